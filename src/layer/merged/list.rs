//! Directories and walks.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::vec;

use rustix::fs::{self, AtFlags, FileType, OFlags};

use super::tree::{Directory, Entry, Found, MergedTree, is_opaque};
use crate::layer::error::{Error, Result};
use crate::layer::handle::{Name, Subject, list_names, open_readable_beneath};

/// What a walk does after a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descend {
    /// Goes on, into the directory if it is one.
    Into,
    /// Goes on, but not into this directory.
    Over,
}

impl MergedTree {
    /// The entries of the directory at a path, links followed, sorted by name; nothing when there is no directory.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Option<Vec<(OsString, Entry)>>> {
        let Some(entry) = self.follow(path.as_ref())? else { return Ok(None) };
        let Some(directory) = self.find(&entry.path)?.and_then(|found| found.directory) else { return Ok(None) };
        let named = |found: Found| Some((found.entry.path.file_name()?.to_owned(), found.entry));
        Ok(Some(self.list(&directory)?.into_iter().filter_map(named).collect()))
    }

    /// Visits everything below the directory at a path, following no link: parents before children, siblings by name.
    /// The visitor gets the path relative to the start. Nothing is visited when there is no such directory.
    pub fn walk<E: From<Error>>(
        &self,
        path: impl AsRef<Path>,
        visitor: &mut dyn FnMut(&Path, &Entry) -> Result<Descend, E>,
    ) -> Result<(), E> {
        let start = crate::layer::path::clean(crate::layer::path::bytes(path.as_ref()))?;
        let Some(directory) = self.find(&start)?.and_then(|found| found.directory) else { return Ok(()) };
        let mut stack: Vec<vec::IntoIter<Found>> = vec![self.list(&directory)?.into_iter()];
        while let Some(siblings) = stack.last_mut() {
            let Some(found) = siblings.next() else {
                stack.pop();
                continue;
            };
            let relative = found.entry.path.strip_prefix(&start).unwrap_or(&found.entry.path);
            let descend = visitor(relative, &found.entry)?;
            if let (Descend::Into, Some(directory)) = (descend, &found.directory) {
                stack.push(self.list(directory)?.into_iter());
            }
        }
        Ok(())
    }

    /// The names in the root without the top layer.
    pub(in crate::layer) fn names_below_top(&self) -> Result<Vec<OsString>> {
        let mut root = self.top();
        root.layers.retain(|&layer| layer != 0);
        Ok(self.list(&root)?.into_iter().filter_map(|found| Some(found.entry.path.file_name()?.to_owned())).collect())
    }

    /// Tells whether a path without links is a directory.
    pub(in crate::layer) fn is_directory(&self, path: &Path) -> Result<bool> {
        Ok(self.find(path)?.is_some_and(|found| found.directory.is_some()))
    }

    /// The entries of a directory, sorted by name.
    pub(super) fn list(&self, directory: &Directory) -> Result<Vec<Found>> {
        let mut slots: BTreeMap<OsString, Slot> = BTreeMap::new();
        for (index, &layer) in directory.layers.iter().enumerate() {
            let opened = open_readable_beneath(self.root(layer)?, &directory.path, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(Error::io("open", &directory.path))?;
            let names = list_names(opened.as_fd()).map_err(Error::io("list", &directory.path))?;
            let last = index + 1 == directory.layers.len();
            for name in names {
                self.merge_name(directory, layer, opened.as_fd(), &name, last, &mut slots)?;
            }
        }
        Ok(slots.into_values().filter_map(|slot| slot.found).collect())
    }

    fn merge_name(
        &self,
        directory: &Directory,
        layer: usize,
        opened: BorrowedFd<'_>,
        name: &Name,
        last: bool,
        slots: &mut BTreeMap<OsString, Slot>,
    ) -> Result<()> {
        let file_name = OsStr::from_bytes(name.name.to_bytes());
        let is_directory = name.kind == FileType::Directory;
        let path = directory.path.join(file_name);
        let subject = Subject::At(opened, &name.name);
        let slot = match slots.entry(file_name.to_owned()) {
            btree_map::Entry::Vacant(vacant) => {
                let found = if name.whiteout {
                    None
                } else {
                    let stat = fs::statat(opened, name.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(Error::io("read the metadata of", &path))?;
                    let target = || {
                        fs::readlinkat(opened, name.name.as_c_str(), Vec::new())
                            .map_err(Error::io("read the link", &path))
                    };
                    Some(self.first(layer, &path, &stat, &subject, target)?)
                };
                vacant.insert(Slot { found, closed: !is_directory })
            }
            btree_map::Entry::Occupied(occupied) => {
                let slot = occupied.into_mut();
                if slot.closed {
                    return Ok(());
                }
                match slot.found.as_mut().and_then(|found| found.directory.as_mut()) {
                    Some(merged) if is_directory => merged.layers.push(layer),
                    _ => slot.closed = true,
                }
                slot
            }
        };
        if !slot.closed && !last && is_opaque(&subject, &path)? {
            slot.closed = true;
        }
        Ok(())
    }
}

/// What the layers seen so far say of a name; closed when lower ones have no say.
struct Slot {
    found: Option<Found>,
    closed: bool,
}
