//! Where stages live: on this machine, and in registries ([`RemoteStore`], in the [`Roles`] that a build gives them).
//!
//! One versioned root (`$STAGER_HOME`):
//!
//! ```text
//! index-v1.db   SQLite: what the objects below are (migrations/*.sql)
//! blobs/        compressed layers and pulled bases, by sha256
//! snapshots/    layer directories, as overlayfs has them; never changed once renamed in
//! git/          clones of remote repositories
//! cache/        cache mounts, by project and id
//! locks/        one file for each stage being built, held by flock: gone with its process
//! tmp/          work in progress; a directory for each run, reclaimed when that run is gone
//! trash/        what is being deleted
//! ```
//!
//! *Layers are named by their content* ([`stages::ContentId`]) and have two forms. The portable one makes the tar that
//! leaves the machine ([`LayerSource`]). The laid-out one is a stack of directories for overlayfs, and depends on what lies
//! below (a parent directory that the layer doesn't own takes the metadata it has there), so it is kept by layer *and* stack.
//!
//! *Invariant:* objects are written under a temporary name and renamed in; a crash loses at most the running step. Nothing is
//! synced to disk on the way, so a row written in another boot of the machine is believed only after its content was read
//! again (`boot` columns).
//!
//! It must not know how a stage is built.

mod blob;
mod home;
mod index;
mod lock;
mod record;
mod remote;
mod roles;

pub use blob::{BlobStore, NewBlob};
pub use home::{Home, TempDir};
pub use index::Index;
pub use lock::{Lock, LockError};
pub use record::{
    BlobPart, DirectoriesRecipe, GitRecipe, Imported, LayerRecord, LayerSource, LayerUse, Selection, SnapshotRecord,
    StageRecord, StageSummary, StoredBlob, SymlinkRecipe, base_chain,
};
pub use remote::{
    Claim, CommitImage, CommitImages, Found, Hint, Lease, PublishedBlob, RECORD_ANNOTATION, RECORD_VERSION,
    RemoteLayer, RemoteStage, RemoteStore, copy_image,
};
pub use roles::Roles;

/// Why the store can't serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the store.
    #[error("cannot use the local store")]
    Io(#[from] std::io::Error),
    /// The index.
    #[error("cannot use the index {path}")]
    Index {
        /// The database file.
        path: String,
        /// SQLite's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// The index was written by a later version.
    #[error("the index {path} has version {found}, this program knows versions up to {known}")]
    TooNew {
        /// The database file.
        path: String,
        /// Its version.
        found: i64,
        /// The highest version known.
        known: i64,
    },
    /// The store belongs to somebody else.
    #[error("the store {path} belongs to uid {owner}, not to uid {user}")]
    Foreign {
        /// The root directory.
        path: String,
        /// Its owner.
        owner: u32,
        /// Who runs this program.
        user: u32,
    },
    /// A stored JSON value that can't be read.
    #[error("the index holds an unreadable {what}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A blob whose bytes are not what its name says.
    #[error("blob {expected} has the digest {found}")]
    WrongDigest {
        /// Its name.
        expected: stages::BlobId,
        /// What was computed.
        found: stages::BlobId,
    },
}
