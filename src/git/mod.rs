//! git objects: trees, checksums, layouts, remote clones; no policy.
//!
//! Everything is read from objects; nothing is ever checked out, and the user's repository is never written to.
//!
//! - [`Repository`] is a cheap handle for all threads: HEAD, trees, blobs, differences, checksums.
//! - A [`Placement`] says what of a tree goes where in an image. [`lay_out`] writes placements as an overlay layer
//!   directory, whole or as the difference from other placements; [`stream`] hands the same entries over one by one; [`cut`] makes parts of
//!   them, by a rule of the content alone.
//! - [`Repository::uncommitted`] compares the work tree with HEAD by git's own notes, [`Repository::snapshot`] makes a tree
//!   of it in a store of ours.
//! - [`Remotes`] keeps clones of other repositories and of their submodules.
//!
//! Paths are relative to the repository's root unless a function says otherwise; [`Repository::in_project`] makes them from
//! paths of the project. They are bytes, because git's are. Trees are always whole trees of commits, since `.gitmodules`
//! is at their root: submodules are followed wherever content is read.

mod checksum;
mod cut;
mod diff;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod gitmodules;
mod index;
mod jobs;
mod join;
mod known;
mod layout;
mod lfs;
mod login;
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
mod trail;
mod tree;
mod tree_cache;
mod worktree;
#[cfg(test)]
mod worktree_tests;

pub use cut::{Part, cut, most_parts, stream_part};
pub use diff::{Change, ChangeKind};
pub use error::GitError;
pub use layout::{Base, DirectoryLookup, Layout, LayoutOptions, lay_out};
pub use lfs::is_lfs_pointer;
pub use login::{BadLogin, Login};
pub use merged::{DirectoryMeta, Owner, Placement};
pub use remote::{Fetched, IsCancelled, RemoteReference, Remotes};
pub use repository::{Head, Repository};
pub use snapshot::{Snapshot, SnapshotOptions};
pub use stream::{OutEntry, OutKind, OutSink, stream, stream_laid_out};
pub use trail::{Hop, Trail, TrailEnd};
pub use tree::{FileMode, ListEntry, TreeEntry};
pub use worktree::{Scope, Uncommitted};
