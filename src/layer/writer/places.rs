//! Where an entry goes: parents resolved in the union and made where they are missing, what stands there removed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::layer::error::{Error, Result};
use crate::layer::handle::{Subject, is_whiteout, list_names, open_readable, open_root};
use crate::layer::merged::MergedTree;
use crate::layer::metadata::{Metadata, OPAQUE_XATTR, Ownership};
use crate::layer::node::{FileKind, Node};
use crate::layer::path::{components, split};

/// How many directories stay open for the entries to come.
const OPEN_PARENTS: usize = 128;

/// A directory of the new layer, open.
pub(super) struct Parent {
    pub(super) directory: OwnedFd,
    /// Its path without links.
    pub(super) path: PathBuf,
}

/// The place of an entry: a name in an open directory.
pub(super) struct Place {
    pub(super) parent: Arc<Parent>,
    pub(super) name: CString,
    /// The path of the entry without links.
    pub(super) path: PathBuf,
}

impl Place {
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.parent.directory.as_fd()
    }
}

/// The metadata that a directory gets at the end.
pub(super) struct Deferred {
    pub(super) metadata: Metadata,
    /// Whether the directory was there before this writer.
    pub(super) reused: bool,
}

/// The new layer's directories, and the union that paths are resolved in.
pub(super) struct Places {
    pub(super) root: Arc<Parent>,
    pub(super) ownership: Ownership,
    /// The new layer, then the layers below.
    pub(super) view: MergedTree,
    pub(super) deferred: BTreeMap<PathBuf, Deferred>,
    /// Paths that this layer deletes from the layers below; a directory made there is opaque.
    pub(super) deleted: HashSet<PathBuf>,
    /// Open directories by the path that led there.
    parents: HashMap<PathBuf, Arc<Parent>>,
    /// Links that were followed to find them.
    followed: HashSet<PathBuf>,
}

impl Places {
    pub(super) fn new(into: &Path, lowers: &[PathBuf], ownership: Ownership) -> Result<Self> {
        let directory = open_root(into)?;
        let lower = MergedTree::new(lowers.to_vec(), ownership)?;
        let subject = Subject::Open(directory.as_fd());
        // A default list of the user's own directory would be inherited by every file of the layer.
        for name in ["system.posix_acl_default", "system.posix_acl_access"] {
            subject.remove_xattr(name.as_bytes()).map_err(Error::io("set the attributes of", into))?;
        }
        let reused = !list_names(directory.as_fd()).map_err(Error::io("list", into))?.is_empty();
        let metadata = if reused {
            Node::of_directory(directory.as_fd(), ownership, Path::new(""))?.metadata
        } else {
            match lower.lookup("")? {
                Some(entry) => lower.metadata(&entry)?,
                None => implicit_metadata(),
            }
        };
        fs::fchmod(&directory, Mode::RWXU).map_err(Error::io("set the permissions of", into))?;
        Ok(Self {
            root: Arc::new(Parent { directory, path: PathBuf::new() }),
            ownership,
            view: lower.with_top(into)?,
            deferred: BTreeMap::from([(PathBuf::new(), Deferred { metadata, reused })]),
            deleted: HashSet::new(),
            parents: HashMap::new(),
            followed: HashSet::new(),
        })
    }

    /// The place of a clean path, its parents made.
    pub(super) fn place(&mut self, path: &Path) -> Result<Place> {
        let Some((parent, name)) = split(path) else {
            return Err(Error::refused(path, "the root can only be a directory"));
        };
        let parent = self.parent(parent)?;
        let path = parent.path.join(name);
        self.forget_link(&path);
        Ok(Place { parent, name: c_name(name)?, path })
    }

    /// Forgets where paths led when something new is to stand where a link was followed.
    pub(super) fn forget_link(&mut self, path: &Path) {
        if self.followed.remove(path) {
            self.parents.clear();
        }
    }

    /// The open directory that a clean path leads to, made if need be.
    pub(super) fn parent(&mut self, path: &Path) -> Result<Arc<Parent>> {
        if path.as_os_str().is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(parent) = self.parents.get(path) {
            return Ok(Arc::clone(parent));
        }
        let parent = if let Some(parent) = self.child_of_known(path)? {
            parent
        } else {
            let canonical = self.view.canonical_directory(path)?;
            self.followed.extend(canonical.links);
            self.ensure(&canonical.path)?
        };
        if self.parents.len() >= OPEN_PARENTS {
            self.parents.clear();
        }
        self.parents.insert(path.to_owned(), Arc::clone(&parent));
        Ok(parent)
    }

    /// The fast way to a directory: its parent is open and it is in the new layer.
    fn child_of_known(&mut self, path: &Path) -> Result<Option<Arc<Parent>>> {
        let Some((up, name)) = split(path) else { return Ok(None) };
        let up = if up.as_os_str().is_empty() { Some(&self.root) } else { self.parents.get(up) };
        let Some(up) = up.map(Arc::clone) else { return Ok(None) };
        let path = up.path.join(name);
        let Some(directory) = open_directory(&up, name, &path)? else { return Ok(None) };
        self.note(&path, directory.as_fd())?;
        Ok(Some(Arc::new(Parent { directory, path })))
    }

    /// Opens a directory by its path without links, making what is missing with the metadata that the layers below have
    /// for it.
    pub(super) fn ensure(&mut self, path: &Path) -> Result<Arc<Parent>> {
        let mut parent = Arc::clone(&self.root);
        for name in components(path) {
            let path = parent.path.join(name);
            let directory = if let Some(directory) = open_directory(&parent, name, &path)? {
                self.note(&path, directory.as_fd())?;
                directory
            } else {
                let metadata = match self.view.lookup(&path)? {
                    Some(entry) if entry.kind == FileKind::Directory => self.view.metadata(&entry)?,
                    _ => implicit_metadata(),
                };
                self.make_directory(&Place { parent, name: c_name(name)?, path: path.clone() }, metadata)?
            };
            parent = Arc::new(Parent { directory, path });
        }
        Ok(parent)
    }

    /// Makes a directory, replacing what is there unless that is a directory too.
    pub(super) fn make_directory(&mut self, place: &Place, metadata: Metadata) -> Result<OwnedFd> {
        let mut opaque = self.deleted.contains(&place.path);
        loop {
            match fs::mkdirat(place.directory(), place.name.as_c_str(), Mode::RWXU) {
                Ok(()) => break,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::io("create", &place.path)(errno)),
            }
            let name = OsStr::from_bytes(place.name.to_bytes());
            if let Some(directory) = open_directory(&place.parent, name, &place.path)? {
                let reused = self.deferred.get(&place.path).is_none_or(|deferred| deferred.reused);
                self.deferred.insert(place.path.clone(), Deferred { metadata, reused });
                return Ok(directory);
            }
            opaque |= self.clear(place)?;
        }
        let directory = open_readable(place.directory(), place.name.as_c_str(), OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(Error::io("open", &place.path))?;
        if opaque {
            mark_opaque(directory.as_fd(), &place.path)?;
        }
        self.deferred.insert(place.path.clone(), Deferred { metadata, reused: false });
        Ok(directory)
    }

    /// Removes what stands at a place; tells whether that was a whiteout.
    pub(super) fn clear(&mut self, place: &Place) -> Result<bool> {
        let failed = |errno: Errno| Error::io("replace", &place.path)(errno);
        let stat = match fs::statat(place.directory(), place.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            stat => stat.map_err(failed)?,
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            remove_tree(place.directory(), &place.name).map_err(failed)?;
            self.parents.clear();
            let below = self.deferred.range(place.path.clone()..);
            let gone: Vec<_> =
                below.map(|(path, _)| path).take_while(|path| path.starts_with(&place.path)).cloned().collect();
            for path in gone {
                self.deferred.remove(&path);
            }
            return Ok(false);
        }
        fs::unlinkat(place.directory(), place.name.as_c_str(), AtFlags::empty()).map_err(failed)?;
        Ok(is_whiteout(&stat))
    }

    /// Runs `create` at a place, replacing what is there.
    pub(super) fn create<T>(
        &mut self,
        place: &Place,
        create: impl Fn(BorrowedFd<'_>, &std::ffi::CStr) -> rustix::io::Result<T>,
    ) -> Result<rustix::io::Result<T>> {
        match create(place.directory(), &place.name) {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                Ok(create(place.directory(), &place.name))
            }
            created => Ok(created),
        }
    }

    /// Remembers the metadata of a directory from an earlier writer, because what is made in it changes its time.
    fn note(&mut self, path: &Path, directory: BorrowedFd<'_>) -> Result<()> {
        if !self.deferred.contains_key(path) {
            let metadata = Node::of_directory(directory, self.ownership, path)?.metadata;
            fs::fchmod(directory, Mode::RWXU).map_err(Error::io("set the permissions of", path))?;
            self.deferred.insert(path.to_owned(), Deferred { metadata, reused: true });
        }
        Ok(())
    }
}

/// The metadata of a parent that an archive implies and no layer has.
fn implicit_metadata() -> Metadata {
    Metadata { mode: 0o755, ..Metadata::default() }
}

pub(super) fn mark_opaque(directory: BorrowedFd<'_>, path: &Path) -> Result<()> {
    Subject::Open(directory).set_xattr(OPAQUE_XATTR.as_bytes(), b"y").map_err(Error::io("mark as opaque", path))
}

fn c_name(name: &OsStr) -> Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| Error::refused(name, "a path cannot hold a NUL byte"))
}

/// Opens a name that is a directory of the new layer; nothing when it is missing or something else.
fn open_directory(parent: &Parent, name: &OsStr, path: &Path) -> Result<Option<OwnedFd>> {
    match open_readable(parent.directory.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        opened => opened.map(Some).map_err(Error::io("open", path)),
    }
}

/// Removes a directory of the new layer and all in it, following nothing, whatever its depth.
fn remove_tree(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> rustix::io::Result<()> {
    let open =
        |parent: BorrowedFd<'_>, name: &std::ffi::CStr| open_readable(parent, name, OFlags::RDONLY | OFlags::DIRECTORY);
    let top = open(parent, name)?;
    let mut stack = vec![(list_names(top.as_fd())?, top, name.to_owned())];
    while let Some((names, directory, _)) = stack.last_mut() {
        match names.pop() {
            Some(entry) if entry.kind == FileType::Directory => {
                let child = open(directory.as_fd(), &entry.name)?;
                stack.push((list_names(child.as_fd())?, child, entry.name));
            }
            Some(entry) => fs::unlinkat(&*directory, entry.name.as_c_str(), AtFlags::empty())?,
            None => {
                let Some((_, _, done)) = stack.pop() else { break };
                let above = stack.last().map_or(parent, |(_, directory, _)| directory.as_fd());
                fs::unlinkat(above, done.as_c_str(), AtFlags::REMOVEDIR)?;
            }
        }
    }
    Ok(())
}
