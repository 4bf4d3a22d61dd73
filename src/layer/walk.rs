//! The one walk over a layer directory: parents first, in the order of the layer format, every step by handle.
//!
//! `pack` and `content_id` share it, so that they see the same things in the same order.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use rustix::fs::{self, FileType, OFlags};

use super::error::{Error, Result};
use super::handle::{Name, list_names, open_readable, open_root};
use super::metadata::Ownership;
use super::node::{Identity, Node, identity_of};

/// Below this depth, only the innermost directories stay open: a layer may be deeper than the limit of open files.
const OPEN_DEPTH: usize = 128;

/// A walk in progress.
pub(super) struct Walk {
    stack: Vec<Frame>,
    path: PathBuf,
}

struct Frame {
    directory: Option<Arc<OwnedFd>>,
    identity: Identity,
    names: vec::IntoIter<Name>,
}

/// One entry met on the walk, not yet read.
pub(super) struct Item {
    /// The path inside the layer.
    pub(super) path: PathBuf,
    /// Whether it is a whiteout; then nothing else is to be read.
    pub(super) whiteout: bool,
    parent: Arc<OwnedFd>,
    name: CString,
    kind: FileType,
    directory: Option<Arc<OwnedFd>>,
}

impl Item {
    /// Reads the entry.
    pub(super) fn read(&self, ownership: Ownership) -> Result<Node> {
        match &self.directory {
            Some(directory) => Node::of_directory(directory.as_fd(), ownership, &self.path),
            None => Node::read(self.parent.as_fd(), &self.name, self.kind, ownership, &self.path),
        }
    }

    /// The open directory that holds the entry, and its name there.
    pub(super) fn place(&self) -> (&OwnedFd, &std::ffi::CStr) {
        (&self.parent, &self.name)
    }
}

impl Walk {
    /// Starts at a layer directory; the second value is its root, which the walk itself leaves out.
    pub(super) fn new(layer: &Path, ownership: Ownership) -> Result<(Self, Node, Arc<OwnedFd>)> {
        let root = Arc::new(open_root(layer)?);
        let node = Node::of_directory(root.as_fd(), ownership, Path::new(""))?;
        let mut walk = Self { stack: Vec::new(), path: PathBuf::new() };
        walk.enter(Arc::clone(&root))?;
        Ok((walk, node, root))
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        while let Some(frame) = self.stack.last_mut() {
            let Some(name) = frame.names.next() else {
                self.leave()?;
                continue;
            };
            let parent = Arc::clone(frame.directory.as_ref().expect("the innermost directory is open"));
            self.path.push(OsStr::from_bytes(name.name.to_bytes()));
            let path = self.path.clone();
            let directory = if name.kind == FileType::Directory {
                let opened = open_readable(parent.as_fd(), name.name.as_c_str(), OFlags::RDONLY | OFlags::DIRECTORY)
                    .map(Arc::new)
                    .map_err(Error::io("open", &path))?;
                self.enter(Arc::clone(&opened))?;
                Some(opened)
            } else {
                self.path.pop();
                None
            };
            return Ok(Some(Item {
                path,
                whiteout: name.whiteout,
                parent,
                name: name.name,
                kind: name.kind,
                directory,
            }));
        }
        Ok(None)
    }

    fn enter(&mut self, directory: Arc<OwnedFd>) -> Result<()> {
        let stat = fs::fstat(&directory).map_err(Error::io("read the metadata of", &self.path))?;
        let names = list_names(directory.as_fd()).map_err(Error::io("list", &self.path))?;
        if self.stack.len() >= OPEN_DEPTH
            && let Some(parent) = self.stack.last_mut()
        {
            parent.directory = None;
        }
        self.stack.push(Frame { directory: Some(directory), identity: identity_of(&stat), names: names.into_iter() });
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        let left = self.stack.pop();
        self.path.pop();
        let (Some(child), Some(parent)) = (left.and_then(|frame| frame.directory), self.stack.last_mut()) else {
            return Ok(());
        };
        if parent.directory.is_none() {
            let reopened = open_readable(child.as_fd(), c"..", OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(Error::io("open", &self.path))?;
            let stat = fs::fstat(&reopened).map_err(Error::io("read the metadata of", &self.path))?;
            if identity_of(&stat) != parent.identity {
                return Err(Error::Changed { path: self.path.clone() });
            }
            parent.directory = Some(Arc::new(reopened));
        }
        Ok(())
    }
}
