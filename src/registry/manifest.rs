//! Manifests and indexes: the bytes as the registry keeps them, and what is read from them.
//!
//! Docker's schema 2 and OCI's formats have the same shape; schema 1 is refused. A document that could be read as both
//! an image and an index is refused as well, whatever its media type says (CVE-2021-41190).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use stages::ids::{BlobId, Platform};

use super::Error;
use super::error::{Task, printable};

/// Media types of manifests, indexes and the layers that must not be uploaded.
pub mod media_type {
    /// An OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// A docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A layer that docker registries do not hold.
    pub(crate) const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    /// The beginning of the names of OCI's non-distributable layers.
    pub(crate) const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.";
}

/// The largest manifest or index that is read or written, in bytes.
pub const MAX_MANIFEST: usize = 4 << 20;

/// What the client accepts where a manifest is asked for.
pub(super) const ACCEPT: [&str; 4] =
    [media_type::OCI_MANIFEST, media_type::OCI_INDEX, media_type::DOCKER_MANIFEST, media_type::DOCKER_LIST];

/// A reference to content: media type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type.
    #[serde(default)]
    pub media_type: String,
    /// The digest.
    pub digest: BlobId,
    /// The size in bytes.
    pub size: u64,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index, the platform of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescribedPlatform>,
    /// The type of the artifact, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Whether this is a layer that its maker wants fetched from other places than the registry. Those places are never
    /// contacted; the registry may have the layer all the same.
    pub fn is_foreign(&self) -> bool {
        self.media_type.starts_with(media_type::DOCKER_FOREIGN) || self.media_type.starts_with(media_type::OCI_FOREIGN)
    }

    /// Whether it names an index.
    pub fn is_index(&self) -> bool {
        is_index_type(&self.media_type)
    }
}

/// A platform as an index writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedPlatform {
    /// The architecture in Go's terms.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// The variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of the operating system; only Windows images have one.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

impl From<&Platform> for DescribedPlatform {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture().to_owned(),
            os: platform.os().to_owned(),
            variant: platform.variant().map(str::to_owned),
            os_version: None,
        }
    }
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// The image's configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// The type of the artifact, when it is not an image.
    #[serde(default)]
    pub artifact_type: Option<String>,
}

/// An index, or docker's manifest list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Index {
    /// The manifests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One image.
    Image(Box<ImageManifest>),
    /// Images for several platforms.
    Index(Index),
}

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
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest,
            size: self.bytes.len() as u64,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Reads the document.
    pub fn parse(&self) -> Result<Manifest, Error> {
        let task = Task::new("read manifest", self.digest);
        let bad = |error: serde_json::Error| Error::protocol(&task, format!("the document is malformed: {error}"));
        if is_index_type(&self.media_type) {
            serde_json::from_slice(&self.bytes).map(Manifest::Index).map_err(bad)
        } else {
            serde_json::from_slice(&self.bytes).map(|image| Manifest::Image(Box::new(image))).map_err(bad)
        }
    }
}

fn is_index_type(media_type: &str) -> bool {
    media_type == media_type::OCI_INDEX || media_type == media_type::DOCKER_LIST
}

/// Go writes empty lists as `null`.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The media type of a document from its own words, its shape and the `Content-Type` it came with. Refuses what could be
/// taken for two things, and what is neither image nor index.
pub(super) fn recognise(task: &Task, bytes: &[u8], content_type: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<u64>,
        media_type: Option<String>,
        #[serde(default, deserialize_with = "present")]
        manifests: bool,
        #[serde(default, deserialize_with = "present")]
        layers: bool,
        #[serde(default, deserialize_with = "present")]
        config: bool,
        #[serde(default, deserialize_with = "present")]
        fs_layers: bool,
    }
    let refuse = |reason: String| Error::protocol(task, reason);
    let shape: Shape =
        serde_json::from_slice(bytes).map_err(|error| refuse(format!("the manifest is not valid JSON: {error}")))?;
    if shape.schema_version == Some(1) || shape.fs_layers {
        return Err(refuse("the image has a manifest of docker's schema 1, which is not supported".to_owned()));
    }
    let image = shape.layers || shape.config;
    if shape.manifests == image {
        let what = if image { "both an image and an index" } else { "neither an image nor an index" };
        return Err(refuse(format!("the manifest is {what}")));
    }
    let header = content_type.split(';').next().unwrap_or_default().trim();
    let declared = shape.media_type.as_deref().filter(|own| !own.is_empty());
    let known = |name: &&str| ACCEPT.contains(name);
    for name in declared.into_iter().chain(Some(header).filter(known)) {
        if !ACCEPT.contains(&name) {
            return Err(refuse(format!(
                "the manifest has the media type {}, which is not supported",
                printable(name, 100)
            )));
        }
        if is_index_type(name) != shape.manifests {
            let kind = if image { "an image" } else { "an index" };
            return Err(refuse(format!("the manifest calls itself {name} but has the shape of {kind}")));
        }
    }
    let by_shape = if image { media_type::OCI_MANIFEST } else { media_type::OCI_INDEX };
    Ok(declared.or_else(|| Some(header).filter(known)).unwrap_or(by_shape).to_owned())
}

/// Whether a key holds anything; an explicit `null` does not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<serde::de::IgnoredAny>::deserialize(deserializer).map(|value| value.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(json: &str, content_type: &str) -> Result<String, String> {
        recognise(&Task::new("pull manifest", "x"), json.as_bytes(), content_type).map_err(|error| error.to_string())
    }

    #[test]
    fn documents_are_recognised_by_all_they_say() {
        use media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
        let image = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert_eq!(recognised(image, "application/json").unwrap(), OCI_MANIFEST);
        assert_eq!(recognised(image, &format!("{DOCKER_MANIFEST}; charset=utf-8")).unwrap(), DOCKER_MANIFEST);
        assert_eq!(recognised(index, "").unwrap(), OCI_INDEX);
        assert_eq!(recognised(index, DOCKER_LIST).unwrap(), DOCKER_LIST);
        let own = format!(r#"{{"mediaType":"{OCI_MANIFEST}","config":{{}},"layers":null,"manifests":null}}"#);
        assert_eq!(recognised(&own, "text/plain").unwrap(), OCI_MANIFEST);
        let cases = [
            (image, OCI_INDEX, "shape of an image"),
            (index, OCI_MANIFEST, "shape of an index"),
            (r#"{"manifests":[],"layers":[]}"#, OCI_INDEX, "both"),
            (r#"{"manifests":[],"config":{}}"#, OCI_INDEX, "both"),
            ("{}", OCI_MANIFEST, "neither"),
            ("<html>", OCI_MANIFEST, "not valid JSON"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "", "schema 1"),
            (r#"{"mediaType":"application/x","layers":[]}"#, "", "not supported"),
        ];
        for (json, content_type, part) in cases {
            let error = recognised(json, content_type).expect_err(json);
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn nulls_and_unknown_fields_are_read() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let json = format!(r#"{{"config":{{"digest":"{digest}","size":3,"annotations":null,"x":1}},"layers":null}}"#);
        let raw = RawManifest {
            bytes: json.into_bytes(),
            media_type: media_type::OCI_MANIFEST.to_owned(),
            digest: digest.parse().unwrap(),
        };
        let Manifest::Image(image) = raw.parse().unwrap() else { panic!("an image") };
        assert_eq!((image.config.size, image.layers.len()), (3, 0));
        let negative =
            RawManifest { bytes: raw.bytes.iter().map(|&b| if b == b'3' { b'-' } else { b }).collect(), ..raw };
        assert!(negative.parse().is_err());
    }
}
