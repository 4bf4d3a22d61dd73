//! A snapshot as one tree: the union of its layer directories as overlayfs shows it, without a mount.
//!
//! The layers may hold links to anywhere: every look goes through handles below the layers' roots, and links are
//! followed, where they are, inside the union only.

mod list;
mod resolve;
mod tree;

pub use list::Descend;
pub use tree::{Entry, MergedTree};

#[cfg(test)]
mod tests;
