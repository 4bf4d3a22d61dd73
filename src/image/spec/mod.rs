//! The documents of an OCI image: [`Descriptor`], [`Manifest`], [`Index`], [`ImageConfig`].
//!
//! Types of our own, because a pulled config must come out of a build with every field it had: what a type doesn't name
//! is kept in its `extra`. Reading is tolerant where real registries are odd (nulls, missing parts) and strict where a
//! document could mean two things. Writing is canonical: sorted keys, no white space, so equal values are equal bytes.

mod config;
mod fields;
mod manifest;

use std::collections::BTreeMap;

pub use config::{Healthcheck, History, ImageConfig, RootFs, RunConfig};
pub use manifest::{Descriptor, Document, DocumentKind, Index, Manifest, PlatformFields, oci_media_type};

/// Fields that a type doesn't name, kept as they are.
pub type Extra = BTreeMap<String, serde_json::Value>;

/// The most bytes an image config may have.
pub const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// The most bytes a manifest or index may have; what registries accept.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// The annotation that names an image inside an OCI layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Media types: OCI's own and Docker's equivalents.
pub mod media_type {
    /// An OCI index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// An uncompressed OCI layer.
    pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A gzip OCI layer.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A zstd OCI layer.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's index.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's uncompressed layer.
    pub const DOCKER_LAYER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker's gzip layer.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker's zstd layer.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
}

/// A document that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Larger than anything sane.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// Not JSON of the expected shape.
    #[error("invalid {what}")]
    Json {
        /// Which document.
        what: &'static str,
        /// What is wrong, and where.
        #[source]
        source: serde_json::Error,
    },
    /// Both a manifest and an index (CVE-2021-41190).
    #[error("the manifest has both layers and manifests: it could mean two images")]
    Ambiguous,
    /// The media type says one thing, the content another.
    #[error("the manifest says it is {media_type}, but it has the fields of {found}")]
    MediaType {
        /// As declared.
        media_type: String,
        /// As found.
        found: &'static str,
    },
    /// Schema 1, or something else altogether.
    #[error("unsupported manifest: {0}")]
    Unsupported(String),
    /// A layer type that can't be carried over.
    #[error("unsupported layer media type {0:?}")]
    LayerType(String),
    /// A config whose `rootfs.type` is not `layers`.
    #[error("unsupported rootfs type {0:?} in the image config")]
    RootFsType(String),
}

/// The canonical JSON of a document: keys sorted at every level, no white space, no final newline.
pub fn canonical_json(document: &impl serde::Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(document).expect("documents have string keys only");
    value.sort_all_objects();
    serde_json::to_vec(&value).expect("a JSON value serialises")
}

fn parse<'de, T: serde::Deserialize<'de>>(what: &'static str, limit: u64, bytes: &'de [u8]) -> Result<T, SpecError> {
    if bytes.len() as u64 > limit {
        return Err(SpecError::TooLarge { what, limit });
    }
    serde_json::from_slice(bytes).map_err(|source| SpecError::Json { what, source })
}

#[cfg(test)]
mod tests;
