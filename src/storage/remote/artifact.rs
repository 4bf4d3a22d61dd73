//! Notes in a repository: manifests without content, whose annotation says something.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RemoteStore;
use crate::image::spec::{Descriptor, Extra, Manifest, media_type};
use crate::registry::{self, Reference};

/// What OCI puts where a config or layer has to be and there is none.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// The bytes of that.
const EMPTY: &[u8] = b"{}";

/// How often a note is tried whose blob the registry doesn't know, and the first pause, which doubles.
const UNKNOWN_BLOB_ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A kind of note.
pub(super) struct Note {
    /// The annotation that holds it.
    pub(super) annotation: &'static str,
    /// The type of the manifest.
    pub(super) artifact_type: &'static str,
}

impl Note {
    /// The manifest that says a value.
    pub(super) fn manifest(&self, value: &impl Serialize) -> Manifest {
        let text = serde_json::to_string(value).expect("a note has string keys only");
        Manifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            config: Descriptor::of(EMPTY_TYPE, EMPTY),
            layers: vec![Descriptor::of(EMPTY_TYPE, EMPTY)],
            annotations: BTreeMap::from([(self.annotation.to_owned(), text)]),
            extra: Extra::from([("artifactType".to_owned(), self.artifact_type.into())]),
        }
    }

    /// What a manifest says, if it is such a note.
    pub(super) fn read<T: DeserializeOwned>(&self, manifest: &Manifest) -> Option<T> {
        serde_json::from_str(manifest.annotations.get(self.annotation)?).ok()
    }
}

impl RemoteStore {
    /// Puts a note under a tag.
    pub(super) fn put_note(&self, reference: &Reference, note: &Manifest) -> Result<(), registry::Error> {
        let bytes = note.to_bytes();
        let put = || self.client().put_manifest(reference, &bytes, media_type::MANIFEST).map(drop);
        let mut pause = FIRST_PAUSE;
        for _ in 0..UNKNOWN_BLOB_ATTEMPTS {
            match put() {
                // The first note in this repository; or a registry that loses a blob for a moment which comes twice at once.
                Err(error) if error.is_blob_unknown() => drop(self.client().push_bytes(self.repository(), EMPTY)?),
                other => return other,
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        put()
    }
}
