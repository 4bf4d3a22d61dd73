//! Looking a path up.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, OFlags, Stat};
use rustix::io::Errno;

use crate::layer::error::{Error, Result};
use crate::layer::handle::{Subject, is_whiteout, open_beneath, open_readable_beneath, open_root};
use crate::layer::metadata::{Metadata, Mtime, OPAQUE_XATTR, OWNER_XATTR, Ownership, parse_owner_record};
use crate::layer::node::{FileKind, Identity, identity_of, kind_of, links_of, mtime_of, read_attributes};
use crate::layer::path::{bytes, clean, components};

/// A stack of layer directories as one tree.
pub struct MergedTree {
    pub(super) layers: Vec<Layer>,
    pub(super) ownership: Ownership,
}

pub(super) struct Layer {
    pub(super) root: OwnedFd,
    path: PathBuf,
}

/// A file of a [`MergedTree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its type.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The time of last modification.
    pub mtime: Mtime,
    /// The index of the layer that it comes from, 0 being the top.
    pub layer: usize,
    /// The path inside the tree, and inside that layer. The root is the empty path.
    pub path: PathBuf,
    /// The file on disk: layer directory and path. Links in the layer may point anywhere, so open it with
    /// [`MergedTree::open`].
    pub location: PathBuf,
    pub(in crate::layer) identity: Identity,
    pub(in crate::layer) links: u64,
}

/// A directory of the union: its path, and the layers that show through, top first.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) layers: Vec<usize>,
}

/// What a name in a directory is.
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) directory: Option<Directory>,
}

impl MergedTree {
    /// Opens a stack of layer directories, top first. Without any, the tree is empty.
    pub fn new(layers: Vec<PathBuf>, ownership: Ownership) -> Result<Self> {
        let open = |path: PathBuf| Ok(Layer { root: open_root(&path)?, path });
        Ok(Self { layers: layers.into_iter().map(open).collect::<Result<_>>()?, ownership })
    }

    /// The same tree with one more layer on top.
    pub(in crate::layer) fn with_top(mut self, layer: &Path) -> Result<Self> {
        self.layers.insert(0, Layer { root: open_root(layer)?, path: layer.to_owned() });
        Ok(self)
    }

    /// The file at a path, following no link anywhere. Nothing when the path does not exist or leads through a file
    /// or a link.
    pub fn lookup(&self, path: impl AsRef<Path>) -> Result<Option<Entry>> {
        let path = clean(bytes(path.as_ref()))?;
        Ok(self.find(&path)?.map(|found| found.entry))
    }

    /// The file at a path, following links inside the tree as a process whose root it is would: its canonical path and
    /// what is there, which is no link.
    pub fn resolve(&self, path: impl AsRef<Path>) -> Result<Option<(PathBuf, Entry)>> {
        Ok(self.follow(path.as_ref())?.map(|entry| (entry.path.clone(), entry)))
    }

    /// The content of the regular file at a path, links followed; nothing when there is none.
    ///
    /// # Errors
    /// [`Error::Limit`] when it is longer than `limit` bytes; [`Error::Refused`] when it is not a regular file.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(entry) = self.follow(path.as_ref())? else { return Ok(None) };
        if !matches!(entry.kind, FileKind::Regular { .. }) {
            return Err(Error::refused(&entry.path, "not a regular file"));
        }
        let mut content = Vec::new();
        let file = std::fs::File::from(self.open(&entry)?);
        file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(Error::io("read", &entry.path))?;
        if content.len() as u64 > limit {
            return Err(Error::Limit { what: "bytes in a file", limit });
        }
        Ok(Some(content))
    }

    /// Opens a regular file or directory for reading, through handles.
    pub fn open(&self, entry: &Entry) -> Result<OwnedFd> {
        let flags = match entry.kind {
            FileKind::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
            FileKind::Regular { .. } => OFlags::RDONLY,
            _ => return Err(Error::refused(&entry.path, "neither a regular file nor a directory")),
        };
        open_readable_beneath(self.root(entry.layer)?, &entry.path, flags).map_err(Error::io("open", &entry.path))
    }

    /// All metadata of a file, with its extended attributes.
    pub fn metadata(&self, entry: &Entry) -> Result<Metadata> {
        let handle = self.handle(entry)?;
        let attributes = read_attributes(&Subject::Handle(handle.as_fd()))
            .map_err(Error::io("read the attributes of", &entry.path))?;
        Ok(Metadata { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs: attributes.layer })
    }

    /// A handle that names a file without opening it.
    pub(in crate::layer) fn handle(&self, entry: &Entry) -> Result<OwnedFd> {
        open_beneath(self.root(entry.layer)?, &entry.path, OFlags::PATH).map_err(Error::io("open", &entry.path))
    }

    pub(super) fn root(&self, layer: usize) -> Result<BorrowedFd<'_>> {
        self.layers
            .get(layer)
            .map(|layer| layer.root.as_fd())
            .ok_or_else(|| Error::refused("", "the entry is of another tree"))
    }

    pub(super) fn top(&self) -> Directory {
        Directory { path: PathBuf::new(), layers: (0..self.layers.len()).collect() }
    }

    pub(super) fn find(&self, path: &Path) -> Result<Option<Found>> {
        let Some(mut found) = self.find_root()? else { return Ok(None) };
        for name in components(path) {
            let Some(directory) = &found.directory else { return Ok(None) };
            let Some(next) = self.child(directory, name)? else { return Ok(None) };
            found = next;
        }
        Ok(Some(found))
    }

    /// The root of the tree: what the top layer says of it.
    pub(super) fn find_root(&self) -> Result<Option<Found>> {
        let Some(layer) = self.layers.first() else { return Ok(None) };
        let stat = fs::fstat(&layer.root).map_err(Error::io("read the metadata of", &layer.path))?;
        let entry = self.entry(0, Path::new(""), &stat, &Subject::Open(layer.root.as_fd()), unreadable)?;
        Ok(Some(Found { entry, directory: Some(self.top()) }))
    }

    /// A name in a directory.
    pub(super) fn child(&self, directory: &Directory, name: &OsStr) -> Result<Option<Found>> {
        let path = directory.path.join(name);
        let mut found: Option<Found> = None;
        let mut layers = directory.layers.iter().peekable();
        while let Some(&layer) = layers.next() {
            let handle = match open_beneath(self.root(layer)?, &path, OFlags::PATH) {
                Err(Errno::NOENT | Errno::NAMETOOLONG) => continue,
                handle => handle.map_err(Error::io("open", &path))?,
            };
            let stat = fs::fstat(&handle).map_err(Error::io("read the metadata of", &path))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_whiteout(&stat) || (found.is_some() && !is_directory) {
                break;
            }
            let subject = Subject::Handle(handle.as_fd());
            match &mut found {
                Some(Found { directory: Some(merged), .. }) => merged.layers.push(layer),
                _ => found = Some(self.first(layer, &path, &stat, &subject, || read_link(handle.as_fd(), &path))?),
            }
            if !is_directory || (layers.peek().is_some() && is_opaque(&subject, &path)?) {
                break;
            }
        }
        Ok(found)
    }

    /// What the topmost layer that has a name says of it.
    pub(super) fn first(
        &self,
        layer: usize,
        path: &Path,
        stat: &Stat,
        subject: &Subject<'_>,
        target: impl FnOnce() -> Result<std::ffi::CString>,
    ) -> Result<Found> {
        let entry = self.entry(layer, path, stat, subject, target)?;
        let is_directory = entry.kind == FileKind::Directory;
        let directory = is_directory.then(|| Directory { path: path.to_owned(), layers: vec![layer] });
        Ok(Found { entry, directory })
    }

    fn entry(
        &self,
        layer: usize,
        path: &Path,
        stat: &Stat,
        subject: &Subject<'_>,
        target: impl FnOnce() -> Result<std::ffi::CString>,
    ) -> Result<Entry> {
        let kind = kind_of(stat, target)?;
        let recordable = matches!(kind, FileKind::Directory | FileKind::Regular { .. });
        let (uid, gid) = match self.ownership {
            Ownership::Real => (stat.st_uid, stat.st_gid),
            Ownership::Recorded if recordable => recorded_owner(subject, path)?,
            Ownership::Recorded => (0, 0),
        };
        let location = self.layers.get(layer).map_or_else(|| path.to_owned(), |layer| layer.path.join(path));
        Ok(Entry {
            kind,
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            mtime: mtime_of(stat),
            layer,
            path: path.to_owned(),
            location,
            identity: identity_of(stat),
            links: links_of(stat),
        })
    }
}

fn recorded_owner(subject: &Subject<'_>, path: &Path) -> Result<(u32, u32)> {
    let record = subject.xattr(OWNER_XATTR.as_bytes()).map_err(Error::io("read the attributes of", path))?;
    let invalid = || Error::OwnerRecord { path: path.to_owned() };
    record.map_or(Ok((0, 0)), |record| parse_owner_record(&record).ok_or_else(invalid))
}

/// Tells whether a directory hides what is below it.
pub(super) fn is_opaque(subject: &Subject<'_>, path: &Path) -> Result<bool> {
    let mark = subject.xattr(OPAQUE_XATTR.as_bytes()).map_err(Error::io("read the attributes of", path))?;
    Ok(mark.as_deref() == Some(b"y"))
}

fn read_link(handle: BorrowedFd<'_>, path: &Path) -> Result<std::ffi::CString> {
    fs::readlinkat(handle, "", Vec::new()).map_err(Error::io("read the link", path))
}

fn unreadable() -> Result<std::ffi::CString> {
    Err(Error::refused("", "the root of a layer is a directory"))
}
