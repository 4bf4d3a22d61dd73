//! git objects: trees, checksums, layouts, remote clones; no policy.
mod checksum;
mod diff;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod index;
mod jobs;
mod layout;
mod merged;
mod remote;
mod repository;
mod scan;
mod snapshot;
mod staged;
mod stream;
mod submodule;
#[cfg(test)]
mod tests;
mod tree;
mod worktree;
#[cfg(test)]
mod worktree_tests;

pub use diff::{Change, ChangeKind};
pub use error::GitError;
pub use layout::{Base, DirectoryLookup, DirectoryMeta, Layout, LayoutOptions, OWNER_XATTR, Ownership, lay_out};
pub use merged::{Owner, Placement};
pub use remote::{Fetched, IsCancelled, RemoteReference, Remotes};
pub use repository::{Head, Repository};
pub use snapshot::Snapshot;
pub use stream::{OutEntry, OutKind, OutSink, stream, stream_laid_out};
pub use tree::{FileMode, ListEntry, TreeEntry, is_lfs_pointer};
pub use worktree::{Scope, Uncommitted};
