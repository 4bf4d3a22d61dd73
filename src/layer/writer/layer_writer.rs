//! The writer and its entries.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::apply::{Skipped, Target, apply, strip};
use super::marks::Mark;
use super::places::{Place, Places};
use crate::layer::copy::copy_file;
use crate::layer::error::{Error, Result};
use crate::layer::handle::{open_beneath, open_readable_beneath};
use crate::layer::merged::{Entry, MergedTree};
use crate::layer::metadata::{Metadata, Ownership};
use crate::layer::node::{Device, DeviceKind, FileKind};
use crate::layer::path::{bytes, clean, split};
use crate::layer::tar::sparse::Extent;

const BUFFER: usize = 128 << 10;

/// Lays out a new layer directory over a stack of layer directories; the counterpart of
/// [`TarWriter`](crate::layer::TarWriter) on disk.
///
/// Paths are relative to the root of the image; a leading `/` is dropped, `..` is refused. Entries may come in any
/// order, and a later one replaces an earlier one at the same path, except that a directory keeps what is in it. Parents
/// that no entry made get the metadata that the layers below have for them.
pub struct LayerWriter {
    places: Places,
    buffer: Vec<u8>,
    postponed: Vec<Mark>,
    empty_root: bool,
    skipped: Skipped,
}

impl LayerWriter {
    /// Starts in the directory `into`, which exists and is empty or what another writer left, over `lowers`, top first.
    pub fn new(into: &Path, lowers: &[PathBuf], ownership: Ownership) -> Result<Self> {
        Ok(Self {
            places: Places::new(into, lowers, ownership)?,
            buffer: vec![0; BUFFER],
            postponed: Vec::new(),
            empty_root: false,
            skipped: Skipped::default(),
        })
    }

    /// Makes a directory, or changes the metadata of one. The empty path is the root.
    pub fn directory(&mut self, path: &Path, metadata: &Metadata) -> Result<()> {
        let path = clean(bytes(path))?;
        if path.as_os_str().is_empty() {
            if let Some(root) = self.places.deferred.get_mut(&path) {
                root.metadata = metadata.clone();
            }
            return Ok(());
        }
        let place = self.places.place(&path)?;
        self.places.make_directory(&place, metadata.clone()).map(drop)
    }

    /// Makes a regular file of `size` bytes from `content`; [`Error::Changed`] when there are fewer.
    pub fn file(&mut self, path: &Path, metadata: &Metadata, size: u64, content: &mut dyn Read) -> Result<()> {
        let (place, file) = self.new_file(path, metadata)?;
        self.write(&place, &file, size, content)?;
        self.apply(&Target::Open(file.as_fd()), &place.path, metadata)
    }

    /// Makes a sparse file: `content` holds the extents only.
    pub(in crate::layer) fn sparse_file(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        size: u64,
        map: &[Extent],
        content: &mut dyn Read,
    ) -> Result<()> {
        let (place, file) = self.new_file(path, metadata)?;
        fs::ftruncate(&file, size).map_err(Error::io("write", &place.path))?;
        for extent in map {
            fs::seek(&file, fs::SeekFrom::Start(extent.offset)).map_err(Error::io("write", &place.path))?;
            self.write(&place, &file, extent.length, content)?;
        }
        self.apply(&Target::Open(file.as_fd()), &place.path, metadata)
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, path: &Path, target: &Path, metadata: &Metadata) -> Result<()> {
        let path = clean(bytes(path))?;
        if target.as_os_str().is_empty() {
            return Err(Error::refused(path, "a symbolic link to nothing"));
        }
        let place = self.places.place(&path)?;
        self.places
            .create(&place, |directory, name| fs::symlinkat(target, directory, name))?
            .map_err(Error::io("create", &place.path))?;
        self.apply(&Target::Link(place.directory(), &place.name), &place.path, metadata)
    }

    /// Makes a further name of a file of this layer, or of a layer below, which is copied up. The metadata is the
    /// file's. The target is a path in the image, `..` included, as a process whose root it is would read it.
    pub fn hard_link(&mut self, path: &Path, target: &Path) -> Result<()> {
        let path = clean(bytes(path))?;
        let missing = || Error::HardLinkTarget { path: path.clone(), target: target.to_owned() };
        let Some((parent, name)) =
            split(target).filter(|(_, name)| !matches!(bytes(name.as_ref()), b"" | b"." | b".."))
        else {
            return Err(missing());
        };
        let found = match self.places.view.canonical_directory(parent) {
            Err(Error::NotADirectory { .. }) => None,
            canonical => self.places.view.lookup(canonical?.path.join(name))?,
        };
        let Some(entry) = found else { return Err(missing()) };
        if entry.kind == FileKind::Directory {
            return Err(Error::refused(&path, "a hard link to a directory"));
        }
        if entry.layer != 0 {
            self.copy_up(&entry)?;
        }
        let source = split(&entry.path).map(|(parent, _)| self.places.ensure(parent)).transpose()?;
        let Some(source) = source else { return Err(missing()) };
        let place = self.places.place(&path)?;
        if place.path == entry.path {
            return Ok(());
        }
        let linked = self
            .places
            .create(&place, |directory, new| fs::linkat(&source.directory, name, directory, new, AtFlags::empty()))?;
        match linked {
            Err(Errno::NOENT) => Err(missing()),
            linked => linked.map_err(Error::io("create", &place.path)),
        }
    }

    /// Makes a device node; where that is not allowed, reports it as skipped. So is a node that overlayfs would take for
    /// a whiteout.
    pub fn device(&mut self, path: &Path, device: Device, metadata: &Metadata) -> Result<()> {
        let kind = match device.kind {
            DeviceKind::Character => FileType::CharacterDevice,
            DeviceKind::Block => FileType::BlockDevice,
        };
        let number = fs::makedev(device.major, device.minor);
        if kind == FileType::CharacterDevice && number == 0 {
            self.skipped.device(path);
            return Ok(());
        }
        if !self.node(path, kind, number, metadata)? {
            self.skipped.device(path);
        }
        Ok(())
    }

    /// Makes a named pipe.
    pub fn fifo(&mut self, path: &Path, metadata: &Metadata) -> Result<()> {
        if self.node(path, FileType::Fifo, 0, metadata)? { Ok(()) } else { Err(Error::io("create", path)(Errno::PERM)) }
    }

    /// Deletes `path` of the layers below, whatever this layer has there.
    pub fn whiteout(&mut self, path: &Path) -> Result<()> {
        let path = clean(bytes(path))?;
        if !self.places.whiteout(&path)? {
            self.postponed.push(Mark::Whiteout(path));
        }
        Ok(())
    }

    /// Deletes everything that the layers below have in the directory `path`, whatever this layer has there.
    pub fn opaque(&mut self, path: &Path) -> Result<()> {
        let path = clean(bytes(path))?;
        if path.as_os_str().is_empty() {
            self.empty_root = true;
        } else if !self.places.opaque(&path)? {
            self.postponed.push(Mark::Opaque(path));
        }
        Ok(())
    }

    /// Sets the metadata of directories, and reports what could not be made.
    pub fn finish(mut self) -> Result<Skipped> {
        for mark in std::mem::take(&mut self.postponed) {
            // What still has no directory deletes nothing.
            let _ = match mark {
                Mark::Whiteout(path) => self.places.whiteout(&path)?,
                Mark::Opaque(path) => self.places.opaque(&path)?,
            };
        }
        if self.empty_root {
            self.places.opaque_root()?;
        }
        for (path, deferred) in std::mem::take(&mut self.places.deferred).into_iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let directory = open_readable_beneath(self.places.root.directory.as_fd(), &path, flags)
                .map_err(Error::io("open", &path))?;
            let target = Target::Open(directory.as_fd());
            if deferred.reused {
                strip(&target, &path, &deferred.metadata)?;
            }
            self.apply(&target, &path, &deferred.metadata)?;
        }
        Ok(self.skipped)
    }

    /// The union of the new layer and the layers below, as it is now.
    pub(in crate::layer) fn view(&self) -> &MergedTree {
        &self.places.view
    }

    /// Makes a file that is a further name of an inode outside the layer, if the file system allows it.
    pub(in crate::layer) fn adopt(&mut self, path: &Path, source: BorrowedFd<'_>) -> Result<bool> {
        let place = self.places.place(&clean(bytes(path))?)?;
        let magic = crate::layer::handle::magic_path(source);
        let linked = self.places.create(&place, |directory, name| {
            fs::linkat(fs::CWD, magic.as_c_str(), directory, name, AtFlags::SYMLINK_FOLLOW)
        })?;
        Ok(linked.is_ok())
    }

    /// Makes a regular file that is a copy of an open one.
    pub(in crate::layer) fn copy(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        size: u64,
        source: &OwnedFd,
    ) -> Result<()> {
        let (place, file) = self.new_file(path, metadata)?;
        copy_file(source, &file, size).map_err(Error::io("write", &place.path))?;
        self.apply(&Target::Open(file.as_fd()), &place.path, metadata)
    }

    fn copy_up(&mut self, entry: &Entry) -> Result<()> {
        let metadata = self.places.view.metadata(entry)?;
        match &entry.kind {
            FileKind::Regular { size } => {
                let source = self.places.view.open(entry)?;
                self.copy(&entry.path, &metadata, *size, &source)
            }
            FileKind::Symlink { target } => self.symlink(&entry.path, target, &metadata),
            FileKind::Device(device) => self.device(&entry.path, *device, &metadata),
            FileKind::Fifo => self.fifo(&entry.path, &metadata),
            FileKind::Directory | FileKind::Socket => Err(Error::refused(&entry.path, "a hard link to a socket")),
        }
    }

    fn new_file(&mut self, path: &Path, metadata: &Metadata) -> Result<(Place, OwnedFd)> {
        let place = self.places.place(&clean(bytes(path))?)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = first_mode(metadata);
        let file = self
            .places
            .create(&place, |directory, name| fs::openat(directory, name, flags, mode))?
            .map_err(Error::io("create", &place.path))?;
        Ok((place, file))
    }

    /// Makes a special file; false when this user may not.
    fn node(&mut self, path: &Path, kind: FileType, number: u64, metadata: &Metadata) -> Result<bool> {
        let place = self.places.place(&clean(bytes(path))?)?;
        let made = self
            .places
            .create(&place, |directory, name| fs::mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, number))?;
        match made {
            Err(Errno::PERM) => return Ok(false),
            made => made.map_err(Error::io("create", &place.path))?,
        }
        let name = Path::new(OsStr::from_bytes(place.name.to_bytes()));
        let handle = open_beneath(place.directory(), name, OFlags::PATH).map_err(Error::io("open", &place.path))?;
        self.apply(&Target::Handle(handle.as_fd()), &place.path, metadata)?;
        Ok(true)
    }

    fn write(&mut self, place: &Place, file: &OwnedFd, size: u64, content: &mut dyn Read) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let count = match content.read(&mut self.buffer[..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count.map_err(Error::stream("read", "content of a file"))?,
            };
            if count == 0 {
                return Err(Error::Changed { path: place.path.clone() });
            }
            let mut rest = &self.buffer[..count];
            while !rest.is_empty() {
                let written = rustix::io::retry_on_intr(|| rustix::io::write(file, rest))
                    .map_err(Error::io("write", &place.path))?;
                rest = &rest[written..];
            }
            left -= count as u64;
        }
        Ok(())
    }

    fn apply(&mut self, target: &Target<'_>, path: &Path, metadata: &Metadata) -> Result<()> {
        apply(target, path, metadata, self.places.ownership, &mut self.skipped)
    }
}

/// The mode that a file is made with: its own as far as that does no harm before the rest is set, which spares most
/// files a system call, and one that lets attributes be written where there are any.
fn first_mode(metadata: &Metadata) -> Mode {
    let plain = metadata.xattrs.is_empty() && (metadata.uid, metadata.gid) == (0, 0);
    Mode::from_raw_mode(if plain { metadata.mode & 0o777 } else { 0o600 })
}
