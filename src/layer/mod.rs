//! Layers: tree to tar to blob, and back; whiteouts, content ids, merged views.
//!
//! A *layer directory* is the upper directory of an overlayfs mounted with `userxattr`: a character device 0:0 is a
//! whiteout, a directory with `user.overlay.opaque=y` is opaque. A *snapshot* is a stack of layer directories. A *layer
//! archive* is the same as an OCI tar stream, a *blob* the archive as it travels: compressed or not.
//!
//! ```text
//!   layer directory ──pack──▶ layer archive ──write_blob──▶ blob
//!                   ◀─unpack─               ◀─decompress──
//!   layer directory ──content_id──▶ ContentId (equal exactly when the archives are equal)
//!   [layer directory …] ──MergedTree──▶ look-ups, walks, import_tree, pack_merged
//! ```
//!
//! Laws kept here: one content gives one archive, byte for byte, on every machine and for any number of threads; what
//! comes in is hostile, so that every path is resolved inside a root through directory handles, and everything is
//! bounded; stored layer directories are never changed, with the one exception of `content_id` with `normalize`, which
//! is for the upper directory of a step that just ended.
//!
//! This module knows no stages, no registries and no store; it uses the identifiers of the crate `stages` only.

mod blob;
mod compress;
mod content;
mod copy;
mod decompress;
mod error;
mod handle;
mod import;
mod merged;
mod metadata;
mod node;
mod pack;
mod path;
mod pool;
mod rootfs;
mod selection;
mod tar;
#[cfg(test)]
mod testing;
mod unpack;
mod unpack_blob;
mod walk;
mod writer;

pub use blob::{BlobSummary, write_blob};
pub use compress::{COMPRESSION_VERSION, Compression};
pub use content::{CONTENT_VERSION, ContentOptions, content_id};
pub use decompress::Decompressor;
pub use error::{Error, Result};
pub use import::{ImportOptions, ImportSpec, ImportStats, Importer, import_root, import_tree, landing};
pub use merged::{Descend, Entry, MergedTree};
pub use metadata::{
    Clamp, Metadata, Mtime, OPAQUE_XATTR, OWNER_XATTR, Ownership, Xattrs, owner_record, parse_owner_record,
};
pub use node::{Device, DeviceKind, FileKind};
pub use pack::{LayerStats, PackOptions, pack, pack_without};
pub use rootfs::pack_merged;
pub use selection::selection_id;
pub use tar::reader::Limits;
pub use tar::writer::{FORMAT_VERSION, TarWriter};
pub use unpack::{UnpackOptions, UnpackStats, unpack};
pub use unpack_blob::unpack_blob;
pub use writer::{LayerWriter, Skipped};
