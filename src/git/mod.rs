//! git objects: trees, checksums, layouts, remote clones; no policy.
mod checksum;
mod diff;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod layout;
mod merged;
mod repository;
mod stream;
mod submodule;
#[cfg(test)]
mod tests;
mod tree;

pub use diff::{Change, ChangeKind};
pub use error::GitError;
pub use layout::{Base, DirectoryLookup, DirectoryMeta, Layout, LayoutOptions, OWNER_XATTR, Ownership, lay_out};
pub use merged::{Owner, Placement};
pub use repository::{Head, Repository};
pub use stream::{OutEntry, OutKind, OutSink, stream};
pub use tree::{FileMode, ListEntry, TreeEntry, is_lfs_pointer};
