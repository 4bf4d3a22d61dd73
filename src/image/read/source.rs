//! Where the files of a layout or archive come from.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::archive::{ArchiveError, Place, Table, clean};
use crate::layer::{Compression, Decompressor};

/// The most bytes a layer or a compressed archive may unpack to: a bound on bombs, far above any real image.
pub(super) const MAX_TAR_BYTES: u64 = 256 << 30;

/// Finds files by their name inside a layout or archive. Reading several at once must work.
pub trait ImageSource: Send + Sync {
    /// Opens the file `name` (relative, `/`-separated, without `..`); `None` if there is none.
    fn open(&self, name: &str) -> io::Result<Option<SourceFile>>;
}

/// An open file.
pub struct SourceFile {
    /// Its bytes.
    pub size: u64,
    /// Reads them from the start.
    pub reader: Box<dyn Read + Send>,
}

/// A directory. Names are resolved beneath it, whatever links it holds.
pub struct DirectorySource(OwnedFd);

impl DirectorySource {
    /// Opens the directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    fn open_beneath(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        // NONBLOCK: a FIFO must not hold us up; it has no effect on files
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..8 {
            match rustix::fs::openat2(&self.0, name, flags, Mode::empty(), resolve) {
                Err(rustix::io::Errno::AGAIN) => {}
                Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => return self.open_without_links(name, flags),
                result => return result,
            }
        }
        Err(rustix::io::Errno::AGAIN)
    }

    /// Where openat2 is missing or filtered: part by part, following no link.
    fn open_without_links(&self, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let mut directory = None;
        let (parents, file) = name.rsplit_once('/').unwrap_or(("", name));
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            let parent = directory.as_ref().unwrap_or(&self.0);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            directory = Some(rustix::fs::openat(parent, part, flags, Mode::empty())?);
        }
        rustix::fs::openat(directory.as_ref().unwrap_or(&self.0), file, flags | OFlags::NOFOLLOW, Mode::empty())
    }
}

impl ImageSource for DirectorySource {
    fn open(&self, name: &str) -> io::Result<Option<SourceFile>> {
        let Some(name) = clean(name) else { return Ok(None) };
        let file = match self.open_beneath(&name) {
            Ok(descriptor) => File::from(descriptor),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a regular file")));
        }
        Ok(Some(SourceFile { size: metadata.len(), reader: Box::new(file) }))
    }
}

/// A tar, indexed once.
pub struct ArchiveSource {
    content: Content,
    table: Table,
}

/// Bytes that can be read at any place by many at once.
#[derive(Clone)]
enum Content {
    File(Arc<File>, u64),
    Memory(Bytes),
}

impl ArchiveSource {
    /// Indexes a tar; one that is compressed by gzip or zstd is unpacked to an unnamed file in `spool`.
    pub fn open(path: &Path, spool: &Path) -> Result<Self, ArchiveError> {
        Self::index(Content::open(path)?, spool)
    }

    /// The same for a tar in memory.
    pub fn from_bytes(bytes: Bytes, spool: &Path) -> Result<Self, ArchiveError> {
        Self::index(Content::Memory(bytes), spool)
    }

    /// A file of this machine as the only entry of a made-up archive.
    pub(super) fn single_file(path: &Path, name: &str) -> io::Result<Self> {
        let content = Content::open(path)?;
        Ok(Self { table: Table::single(name, content.length()), content })
    }

    /// Bytes as the only entry of a made-up archive.
    pub(super) fn single_bytes(bytes: Bytes, name: &str) -> Self {
        let content = Content::Memory(bytes);
        Self { table: Table::single(name, content.length()), content }
    }

    fn index(stored: Content, spool: &Path) -> Result<Self, ArchiveError> {
        let whole = Place { offset: 0, size: stored.length() };
        let start = first_bytes(stored.section(whole), 8)?;
        let content = match Compression::detect(&start).map_err(ArchiveError::Compression)? {
            Compression::None => stored,
            Compression::Gzip | Compression::Zstd => {
                let unpacked = Decompressor::new(stored.section(whole), MAX_TAR_BYTES);
                let mut unpacked = unpacked.map_err(io::Error::other)?;
                let mut file = tempfile::tempfile_in(spool)?;
                let length = io::copy(&mut unpacked, &mut file)?;
                Content::File(Arc::new(file), length)
            }
        };
        let table = Table::scan(content.length(), |buffer, position| content.read_exact_at(buffer, position))?;
        Ok(Self { content, table })
    }
}

impl ImageSource for ArchiveSource {
    fn open(&self, name: &str) -> io::Result<Option<SourceFile>> {
        let open = |place: Place| SourceFile { size: place.size, reader: Box::new(self.content.section(place)) };
        Ok(self.table.find(name).map(open))
    }
}

impl Content {
    fn open(path: &Path) -> io::Result<Self> {
        // looked at before it is opened: opening a FIFO would wait for its writer
        if !fs_err::metadata(path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a regular file", path.display()),
            ));
        }
        let (file, _) = fs_err::File::open(path)?.into_parts();
        let length = file.metadata()?.len();
        Ok(Self::File(Arc::new(file), length))
    }

    fn length(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.read_at(buffer, position),
            Self::Memory(bytes) => {
                let start = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                let count = buffer.len().min(bytes.len() - start);
                buffer[..count].copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let place = Place { offset: position, size: buffer.len() as u64 };
        self.section(place).read_exact(buffer)
    }

    fn section(&self, place: Place) -> Section {
        Section { content: self.clone(), position: place.offset, end: place.offset.saturating_add(place.size) }
    }
}

/// What a stream starts with: at most `length` bytes.
pub(super) fn first_bytes(reader: impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    reader.take(length).read_to_end(&mut start)?;
    Ok(start)
}

/// A part of the content as a stream.
struct Section {
    content: Content,
    position: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.end - self.position).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.content.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
