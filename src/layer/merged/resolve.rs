//! Following links inside the tree.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::tree::{Directory, Entry, MergedTree};
use crate::layer::error::{Error, Result};
use crate::layer::node::FileKind;
use crate::layer::path::components;

/// As many links as the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// The longest path that following links may make, in components.
const MAX_COMPONENTS: usize = 4096;

/// A path without links: what exists of it, and the rest as written.
pub(in crate::layer) struct Canonical {
    /// The path inside the tree.
    pub(in crate::layer) path: PathBuf,
    /// The links that were followed on the way.
    pub(in crate::layer) links: Vec<PathBuf>,
}

struct Resolver<'t> {
    tree: &'t MergedTree,
    path: &'t Path,
    directories: Vec<Directory>,
    missing: Vec<OsString>,
    leaf: Option<Entry>,
    pending: Vec<OsString>,
    links: Vec<PathBuf>,
}

impl MergedTree {
    /// The file at a path, all links followed; nothing when it does not exist.
    pub(super) fn follow(&self, path: &Path) -> Result<Option<Entry>> {
        let resolver = match Resolver::run(self, path) {
            Err(Error::NotADirectory { .. }) => return Ok(None),
            resolver => resolver?,
        };
        if !resolver.missing.is_empty() {
            return Ok(None);
        }
        match (resolver.leaf, resolver.directories.last()) {
            (Some(entry), _) => Ok(Some(entry)),
            (None, Some(directory)) => Ok(self.find(&directory.path)?.map(|found| found.entry)),
            (None, None) => Ok(None),
        }
    }

    /// A directory's path with all links followed, as far as it exists; what does not exist is taken as written.
    ///
    /// # Errors
    /// [`Error::NotADirectory`] when it leads through, or to, something that is no directory.
    pub(in crate::layer) fn canonical_directory(&self, path: &Path) -> Result<Canonical> {
        let resolver = Resolver::run(self, path)?;
        if let Some(leaf) = resolver.leaf {
            return Err(Error::NotADirectory { path: leaf.path });
        }
        let mut path = resolver.directories.last().map(|directory| directory.path.clone()).unwrap_or_default();
        path.extend(resolver.missing);
        Ok(Canonical { path, links: resolver.links })
    }
}

impl<'t> Resolver<'t> {
    fn run(tree: &'t MergedTree, path: &'t Path) -> Result<Self> {
        let (directories, missing, links) = (vec![tree.top()], Vec::new(), Vec::new());
        let mut resolver = Self { tree, path, directories, missing, leaf: None, pending: Vec::new(), links };
        resolver.push(path)?;
        while let Some(name) = resolver.pending.pop() {
            resolver.step(name)?;
        }
        Ok(resolver)
    }

    fn push(&mut self, path: &Path) -> Result<()> {
        let names: Vec<OsString> = components(path).map(OsStr::to_owned).collect();
        self.pending.extend(names.into_iter().rev());
        if self.pending.len() > MAX_COMPONENTS {
            return Err(Error::SymlinkLoop { path: self.path.to_owned() });
        }
        Ok(())
    }

    fn step(&mut self, name: OsString) -> Result<()> {
        if let Some(leaf) = &self.leaf {
            return Err(Error::NotADirectory { path: leaf.path.clone() });
        }
        if name == "." {
            return Ok(());
        }
        if name == ".." {
            if self.missing.pop().is_none() && self.directories.len() > 1 {
                self.directories.pop();
            }
            return Ok(());
        }
        let (true, Some(directory)) = (self.missing.is_empty(), self.directories.last()) else {
            self.missing.push(name);
            return Ok(());
        };
        let Some(found) = self.tree.child(directory, &name)? else {
            self.missing.push(name);
            return Ok(());
        };
        match (found.directory, &found.entry.kind) {
            (Some(directory), _) => self.directories.push(directory),
            (None, FileKind::Symlink { target }) => {
                let target = target.clone();
                self.expand(found.entry.path, &target)?;
            }
            (None, _) => self.leaf = Some(found.entry),
        }
        Ok(())
    }

    fn expand(&mut self, link: PathBuf, target: &Path) -> Result<()> {
        self.links.push(link);
        if self.links.len() > MAX_LINKS {
            return Err(Error::SymlinkLoop { path: self.path.to_owned() });
        }
        if target.is_absolute() {
            self.directories.truncate(1);
        }
        self.push(target)
    }
}
