//! Manifests and indexes, and the descriptors they consist of.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use stages::ids::{BlobId, Platform};

use super::fields::{nullable, text_map};
use super::{Extra, MAX_MANIFEST_BYTES, REF_NAME, SpecError, canonical_json, media_type, parse};
use crate::sha256::Sha256;

/// Points at a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is; may be empty in what others wrote.
    #[serde(default, deserialize_with = "nullable")]
    pub media_type: String,
    /// Its digest.
    pub digest: BlobId,
    /// Its bytes.
    pub size: u64,
    /// Free annotations.
    #[serde(default, deserialize_with = "text_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Which platform the image is for; in indexes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformFields>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Descriptor {
    /// A descriptor without annotations or platform.
    pub fn new(media_type: &str, digest: BlobId, size: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size, annotations: BTreeMap::new(), platform: None, extra: Extra::new() }
    }

    /// The descriptor of `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Sha256::of(bytes), bytes.len() as u64)
    }

    /// The name under which an OCI layout lists it.
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }
}

/// A platform as an index writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlatformFields {
    /// The architecture in Go's terms.
    #[serde(default, deserialize_with = "nullable")]
    pub architecture: String,
    /// The operating system.
    #[serde(default, deserialize_with = "nullable")]
    pub os: String,
    /// The variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Everything else (`os.version`, …).
    #[serde(flatten)]
    pub extra: Extra,
}

impl From<&Platform> for PlatformFields {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture().to_owned(),
            os: platform.os().to_owned(),
            variant: platform.variant().map(ToOwned::to_owned),
            extra: Extra::new(),
        }
    }
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, bottom first.
    #[serde(default, deserialize_with = "nullable")]
    pub layers: Vec<Descriptor>,
    /// Free annotations.
    #[serde(default, deserialize_with = "text_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else (`subject`, `artifactType`, …).
    #[serde(flatten)]
    pub extra: Extra,
}

impl Manifest {
    /// The canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical_json(self)
    }
}

/// An index: manifests by platform or name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The entries.
    #[serde(default, deserialize_with = "nullable")]
    pub manifests: Vec<Descriptor>,
    /// Free annotations.
    #[serde(default, deserialize_with = "text_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Index {
    /// An OCI index of these entries.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::INDEX.to_owned()),
            manifests,
            annotations: BTreeMap::new(),
            extra: Extra::new(),
        }
    }

    /// The canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical_json(self)
    }
}

/// What a manifest's bytes turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// A choice of images.
    Index(Index),
}

/// The fields that tell what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index. What could be both is refused, and so is a media type that contradicts the fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, SpecError> {
        let (document, version) = match DocumentKind::of(bytes)?.0 {
            DocumentKind::Manifest => {
                let manifest: Manifest = parse("manifest", MAX_MANIFEST_BYTES, bytes)?;
                let version = manifest.schema_version;
                (Self::Manifest(Box::new(manifest)), version)
            }
            DocumentKind::Index => {
                let index: Index = parse("index", MAX_MANIFEST_BYTES, bytes)?;
                let version = index.schema_version;
                (Self::Index(index), version)
            }
        };
        if version != 2 {
            return Err(SpecError::Unsupported("schemaVersion is not 2".to_owned()));
        }
        Ok(document)
    }
}

/// Which of the two a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// One image.
    Manifest,
    /// A choice of images.
    Index,
}

impl DocumentKind {
    /// Tells by the fields, and gives the media type that the document declares. What could be both is refused
    /// (CVE-2021-41190), and so is a media type that contradicts the fields.
    pub fn of(bytes: &[u8]) -> Result<(Self, Option<String>), SpecError> {
        let shape: Shape = parse("manifest", MAX_MANIFEST_BYTES, bytes)?;
        if shape.fs_layers.is_some() || shape.schema_version == Some(1) {
            return Err(SpecError::Unsupported("schema 1; push the image again with a current tool".to_owned()));
        }
        let kind = match (shape.config.is_some() || shape.layers.is_some(), shape.manifests.is_some()) {
            (true, true) => return Err(SpecError::Ambiguous),
            (true, false) => Self::Manifest,
            (false, true) => Self::Index,
            (false, false) => return Err(SpecError::Unsupported("neither layers nor manifests".to_owned())),
        };
        let declared = shape.media_type.filter(|declared| !declared.is_empty());
        if let Some(declared) = &declared {
            kind.expect(declared)?;
        }
        Ok((kind, declared))
    }

    /// OCI's media type for it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Manifest => media_type::MANIFEST,
            Self::Index => media_type::INDEX,
        }
    }

    /// Refuses a media type that is not one of its own: OCI's or Docker's.
    pub fn expect(self, declared: &str) -> Result<(), SpecError> {
        let (docker, found) = match self {
            Self::Manifest => (media_type::DOCKER_MANIFEST, "an image"),
            Self::Index => (media_type::DOCKER_INDEX, "an index"),
        };
        if declared == self.media_type() || declared == docker {
            return Ok(());
        }
        Err(SpecError::MediaType { media_type: declared.to_owned(), found })
    }
}

/// The OCI name of a layer media type: Docker's names are translated, OCI's stay.
pub fn oci_media_type(media_type: &str) -> Result<&'static str, SpecError> {
    match media_type {
        media_type::LAYER_TAR | media_type::DOCKER_LAYER_TAR => Ok(media_type::LAYER_TAR),
        media_type::LAYER_GZIP | media_type::DOCKER_LAYER_GZIP => Ok(media_type::LAYER_GZIP),
        media_type::LAYER_ZSTD | media_type::DOCKER_LAYER_ZSTD => Ok(media_type::LAYER_ZSTD),
        "application/vnd.oci.image.layer.nondistributable.v1.tar" => {
            Ok("application/vnd.oci.image.layer.nondistributable.v1.tar")
        }
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
            Ok("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
        }
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd" => {
            Ok("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd")
        }
        other => Err(SpecError::LayerType(other.to_owned())),
    }
}
