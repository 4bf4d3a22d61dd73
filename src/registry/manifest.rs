//! Manifests and indexes as the registry keeps them: bytes, their digest, and the media type they go by.
//!
//! What the bytes mean is the affair of [`crate::image::spec`].

use std::error::Error as _;

use stages::ids::BlobId;

use super::Error;
use super::error::{Task, printable};
use crate::image::spec::{Descriptor, Document, DocumentKind, MAX_MANIFEST_BYTES, SpecError, media_type};

/// The largest manifest or index that is read or written, in bytes.
pub(super) const MAX_MANIFEST: usize = MAX_MANIFEST_BYTES as usize;

/// What the client accepts where a manifest is asked for.
pub(super) const ACCEPT: [&str; 4] =
    [media_type::MANIFEST, media_type::INDEX, media_type::DOCKER_MANIFEST, media_type::DOCKER_INDEX];

/// A manifest's bytes, whose digest has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The bytes as the registry keeps them.
    pub bytes: Vec<u8>,
    /// The media type, that of the document where it has one.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: BlobId,
}

impl RawManifest {
    /// The descriptor of these bytes.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }

    /// Reads the document.
    pub fn parse(&self) -> Result<Document, Error> {
        Document::parse(&self.bytes).map_err(|error| refused(&Task::new("read manifest", self.digest), &error))
    }
}

/// The media type of a document from its own words, its shape and the `Content-Type` it came with. Refuses what could be
/// taken for two things, and what is neither image nor index.
pub(super) fn recognise(task: &Task, bytes: &[u8], content_type: &str) -> Result<String, Error> {
    let (kind, declared) = DocumentKind::of(bytes).map_err(|error| refused(task, &error))?;
    let header = content_type.split(';').next().unwrap_or_default().trim();
    let header = Some(header).filter(|name| ACCEPT.contains(name)).map(str::to_owned);
    if let Some(header) = &header {
        kind.expect(header).map_err(|error| refused(task, &error))?;
    }
    Ok(declared.or(header).unwrap_or_else(|| kind.media_type().to_owned()))
}

fn refused(task: &Task, error: &SpecError) -> Error {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Error::protocol(task, printable(&format!("{error}{cause}"), 400))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(json: &str, content_type: &str) -> Result<String, String> {
        recognise(&Task::new("pull manifest", "x"), json.as_bytes(), content_type).map_err(|error| error.to_string())
    }

    #[test]
    fn documents_are_recognised_by_all_they_say() {
        use media_type::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST};
        let image = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert_eq!(recognised(image, "application/json").unwrap(), MANIFEST);
        assert_eq!(recognised(image, &format!("{DOCKER_MANIFEST}; charset=utf-8")).unwrap(), DOCKER_MANIFEST);
        assert_eq!(recognised(index, "").unwrap(), INDEX);
        assert_eq!(recognised(index, DOCKER_INDEX).unwrap(), DOCKER_INDEX);
        let own = format!(r#"{{"mediaType":"{MANIFEST}","config":{{}},"layers":null,"manifests":null}}"#);
        assert_eq!(recognised(&own, "text/plain").unwrap(), MANIFEST);
        let cases = [
            (image, INDEX, "has the fields of an image"),
            (index, MANIFEST, "has the fields of an index"),
            (r#"{"manifests":[],"layers":[]}"#, INDEX, "both"),
            (r#"{"manifests":[],"config":{}}"#, INDEX, "both"),
            ("{}", MANIFEST, "neither"),
            ("<html>", MANIFEST, "invalid manifest: expected value"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "", "schema 1"),
            (r#"{"mediaType":"application/x","layers":[]}"#, "", "says it is application/x"),
            (r#"{"mediaType":"a\u001b[31m","layers":[]}"#, "", r"a\u{1b}[31m"),
        ];
        for (json, content_type, part) in cases {
            let error = recognised(json, content_type).expect_err(json);
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn nulls_and_unknown_fields_are_read() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":3,"annotations":null,"x":1}},"layers":null}}"#
        );
        let raw = RawManifest {
            bytes: json.into_bytes(),
            media_type: media_type::MANIFEST.to_owned(),
            digest: digest.parse().unwrap(),
        };
        let Document::Manifest(image) = raw.parse().unwrap() else { panic!("an image") };
        assert_eq!((image.config.size, image.layers.len()), (3, 0));
        let negative =
            RawManifest { bytes: raw.bytes.iter().map(|&b| if b == b'3' { b'-' } else { b }).collect(), ..raw };
        assert!(negative.parse().is_err());
    }
}
