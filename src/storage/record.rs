//! What the index says of stages and layers.

use serde::{Deserialize, Serialize};
use stages::digest::{Encoder, Inputs};
use stages::kind::{Slot, StageKind};
use stages::{BlobId, ContentId, ImageName, ObjectId, Platform, ProjectName, StageDigest};

/// A stage that was built.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRecord {
    /// Its name.
    pub digest: StageDigest,
    /// The project that built it first.
    pub project: ProjectName,
    /// The image that it was built for first.
    pub image: ImageName,
    /// The platform.
    pub platform: Platform,
    /// What it brings.
    pub kind: StageKind,
    /// Its place in the conveyor.
    pub slot: Slot,
    /// The stage it stands on.
    pub parent: Option<StageDigest>,
    /// What entered its digest.
    pub inputs: Inputs,
    /// The second key: its inputs by content (law 5).
    pub content_key: ContentId,
    /// What it holds: its layers and config.
    pub content_id: ContentId,
    /// The cache versions it stands on (see [`stages::digest::lineage`]).
    pub lineage: ContentId,
    /// The image config, as JSON.
    pub config: Vec<u8>,
    /// All layers, from the bottom up.
    pub layers: Vec<LayerUse>,
    /// How long it took.
    pub duration_ms: u64,
}

impl StageRecord {
    /// What the layers and the config of a stage amount to. History texts are not part of it.
    pub fn content_id_of(layers: &[LayerUse], config: &[u8]) -> ContentId {
        let mut encoder = Encoder::new("stager state");
        for layer in layers {
            encoder.bytes(layer.layer.as_bytes());
        }
        encoder.bytes(config);
        encoder.finish().into()
    }
}

/// A stage as a list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSummary {
    /// Its name.
    pub digest: StageDigest,
    /// The image that it was built for first.
    pub image: ImageName,
    /// The platform.
    pub platform: Platform,
    /// What it brings.
    pub kind: StageKind,
    /// Its place in the conveyor.
    pub slot: Slot,
    /// The bytes of its layers, as far as they are known.
    pub size: u64,
    /// When it was made here or came here, in seconds since the epoch.
    pub created: i64,
    /// When it was last used.
    pub last_used: i64,
}

/// A layer within a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerUse {
    /// Which layer.
    pub layer: ContentId,
    /// What the image's history says of it; empty for a layer of the base, whose own history says it.
    pub created_by: String,
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRecord {
    /// Its name.
    pub content_id: ContentId,
    /// Its portable form.
    pub source: LayerSource,
    /// Entries in it; 0 when not known.
    pub entries: u64,
    /// Bytes of file content, or of the compressed blob for a layer of a base.
    pub size: u64,
}

/// The portable form of a layer: what its tar is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum LayerSource {
    /// A layer of an outside base, kept as the bytes that came.
    #[serde(rename_all = "camelCase")]
    Blob {
        /// The blob as it is stored or can be fetched.
        blob: BlobId,
        /// Its length in bytes.
        size: u64,
        /// OCI media type.
        media_type: String,
        /// Digest of the uncompressed tar.
        diff_id: BlobId,
        /// The canonical reference it came by, to fetch it when bytes are needed.
        origin: Option<String>,
    },
    /// A layer that a stage storage has as several blobs, which together are one tar.
    #[serde(rename_all = "camelCase")]
    Parts {
        /// In order; no two bring the same file.
        parts: Vec<BlobPart>,
    },
    /// A layer directory: what a step wrote, or an import.
    #[serde(rename_all = "camelCase")]
    Directory {
        /// Its name in `snapshots/`.
        directory: String,
        /// For an import: its place in the image. The directories above it stand only for what lies below: they are not
        /// part of the tar, and take what they have below when laid out. `None`: the directory is the layout already,
        /// whatever lies below.
        place: Option<String>,
    },
    /// Git content.
    #[serde(rename_all = "camelCase")]
    Git {
        /// Mappings in order.
        mappings: Vec<GitRecipe>,
    },
    /// Symlinks of an image-post stage.
    #[serde(rename_all = "camelCase")]
    Symlinks {
        /// In order of their paths.
        links: Vec<SymlinkRecipe>,
    },
}

/// A part of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobPart {
    /// Names what it holds.
    pub content_id: ContentId,
    /// The blob.
    pub blob: BlobId,
    /// Its length in bytes.
    pub size: u64,
    /// OCI media type.
    pub media_type: String,
    /// Digest of the uncompressed tar.
    pub diff_id: BlobId,
    /// The canonical reference that it can be had by.
    pub origin: String,
}

/// One mapping of git content, with all names resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitRecipe {
    /// `None` for the project's own repository.
    pub url: Option<String>,
    /// The root tree that `add` and `files` are relative to.
    pub tree: ObjectId,
    /// Checksum of the content selected.
    pub content: stages::Checksum,
    /// Path in the tree.
    pub add: String,
    /// Path in the image.
    pub to: String,
    /// Patterns relative to `add`.
    pub include_paths: Vec<String>,
    /// Patterns relative to `add`.
    pub exclude_paths: Vec<String>,
    /// Patterns relative to the tree's root that narrow the content; `None` for all.
    pub files: Option<Vec<String>>,
    /// Owner and group; `None` when the mapping names none, so that `to` itself keeps what it has below.
    pub owner: Option<(u32, u32)>,
    /// The directories below `to`, when they have a mode of their own; `None` where they are as an unpacker makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directories: Option<DirectoriesRecipe>,
}

/// Directories of a mapping whose mode is a part of the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoriesRecipe {
    /// Their mode.
    pub mode: u32,
    /// Absolute paths, sorted, of those that are there below the content: they keep what they have.
    pub kept: Vec<String>,
}

/// One symlink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SymlinkRecipe {
    /// Absolute path of the link.
    pub path: String,
    /// What it points to.
    pub target: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What an import takes of a stack of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Equal for two stacks exactly when the import makes the same layer of both.
    pub id: ContentId,
    /// The name of what is taken, when that is no directory.
    pub file_name: Option<String>,
}

/// What an import makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Its layer; `None` when it takes nothing.
    pub layer: Option<ContentId>,
}

/// A layer laid out on a stack.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotRecord {
    /// The layer.
    pub layer: ContentId,
    /// The chain of all layers below (see [`base_chain`]).
    pub below: ContentId,
    /// Layouts that this one could be a delta over have the same family.
    pub family: Option<ContentId>,
    /// The recipe it was laid out from.
    pub source: LayerSource,
    /// Names in `snapshots/`, bottom first.
    pub directories: Vec<String>,
}

/// The compressed form of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBlob {
    /// Digest of the compressed bytes.
    pub blob: BlobId,
    /// Digest of the tar.
    pub diff_id: BlobId,
    /// Length of the compressed bytes.
    pub size: u64,
}

/// Names a stack of layers, from the bottom up.
pub fn base_chain<'a>(layers: impl IntoIterator<Item = &'a ContentId>) -> ContentId {
    let mut encoder = Encoder::new("stager stack");
    for layer in layers {
        encoder.bytes(layer.as_bytes());
    }
    encoder.finish().into()
}
