//! Reading archives that others made: ustar, v7, star, GNU and PAX, every size bounded, nothing trusted.

use std::io::{self, Read};
use std::path::PathBuf;

use super::header::{BLOCK, Block, checksums, field, flag};
use super::numbers;
use super::pax::{self, Records};
use super::sparse::{self, Extent};
use crate::layer::error::{Error, Result};
use crate::layer::metadata::{Metadata, Mtime, Xattrs};
use crate::layer::node::{Device, DeviceKind};

/// What an archive may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries, extension headers not counted.
    pub entries: u64,
    /// The bytes of one path or link.
    pub path: usize,
    /// The components of one path.
    pub depth: usize,
    /// The bytes of the extension headers of one entry.
    pub extensions: usize,
    /// The bytes of all regular files together, holes included.
    pub bytes: u64,
    /// The bytes of the whole archive, decompressed.
    pub archive: u64,
}

impl Default for Limits {
    /// What no honest image comes near: 2 million entries, paths of 4096 bytes and 256 components, 1 MiB of extension
    /// headers for an entry, 1 TiB of files and of archive.
    fn default() -> Self {
        Self { entries: 2_000_000, path: 4096, depth: 256, extensions: 1 << 20, bytes: 1 << 40, archive: 1 << 40 }
    }
}

/// An entry of an archive. Its path and link are as written.
#[derive(Debug)]
pub(in crate::layer) struct Entry {
    pub(in crate::layer) path: Vec<u8>,
    pub(in crate::layer) kind: EntryKind,
    pub(in crate::layer) metadata: Metadata,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::layer) enum EntryKind {
    Directory,
    /// A regular file of some length. With a map, the archive holds only the extents.
    File {
        size: u64,
        sparse: Option<Vec<Extent>>,
    },
    HardLink {
        target: Vec<u8>,
    },
    Symlink {
        target: Vec<u8>,
    },
    Device(Device),
    Fifo,
}

/// Reads an archive entry by entry. The content of the current entry is what `Read` gives.
pub(in crate::layer) struct TarReader<R> {
    input: R,
    limits: Limits,
    offset: u64,
    header_offset: u64,
    content: u64,
    padding: u64,
    entries: u64,
    bytes: u64,
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }
}

/// What extension headers say of the entry that follows.
#[derive(Default)]
struct Extensions {
    records: Records,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: usize,
}

impl<R: Read> TarReader<R> {
    /// Starts at the first header.
    pub(in crate::layer) fn new(input: R, limits: Limits) -> Self {
        Self { input, limits, offset: 0, header_offset: 0, content: 0, padding: 0, entries: 0, bytes: 0 }
    }

    /// The next entry; after the last one, everything up to the end of the input has been read.
    pub(in crate::layer) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip(self.content.saturating_add(self.padding))?;
            self.header_offset = self.offset;
            let Some(block) = self.header()? else {
                if extensions.size > 0 {
                    return Err(self.invalid("an extension header with no entry"));
                }
                self.drain()?;
                return Ok(None);
            };
            let size = self.unsigned(&block, field::SIZE, "a size that is no number")?;
            match block[field::FLAG] {
                flag::PAX | flag::SOLARIS_PAX => {
                    let data = self.extension(size, &mut extensions)?;
                    pax::read_records(&data, &mut extensions.records)
                        .ok_or_else(|| self.invalid("a malformed PAX record"))?;
                }
                flag::GNU_LONG_NAME => extensions.name = Some(self.long_text(size, &mut extensions)?),
                flag::GNU_LONG_LINK => extensions.link = Some(self.long_text(size, &mut extensions)?),
                // Docker ignores both too.
                flag::GLOBAL_PAX | flag::GNU_VOLUME => self.set_content(size)?,
                _ => return self.entry(&block, size, extensions).map(Some),
            }
        }
    }

    fn entry(&mut self, block: &Block, size: u64, mut extensions: Extensions) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::Limit { what: "entries", limit: self.limits.entries });
        }
        let mut records = std::mem::take(&mut extensions.records);
        // An empty value means that the header's own stands.
        records.retain(|key, value| !value.is_empty() || key.starts_with(pax::XATTR_PREFIX));
        let record = |key: &[u8]| records.get(key).cloned();
        let path = record(b"GNU.sparse.name").or_else(|| record(b"path"));
        let path = path.or(extensions.name).unwrap_or_else(|| header_path(block));
        let link = record(b"linkpath").or(extensions.link);
        let link = link.unwrap_or_else(|| text(&block[field::LINK]).to_vec());
        if path.len().max(link.len()) > self.limits.path {
            return Err(Error::Limit { what: "bytes in a path", limit: self.limits.path as u64 });
        }
        let depth = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".").count();
        if depth > self.limits.depth {
            return Err(Error::Limit { what: "components in a path", limit: self.limits.depth as u64 });
        }
        let size = self.number_record(&records, b"size")?.unwrap_or(size);
        let metadata = self.metadata(block, &records)?;
        let kind = self.kind(block, &records, &path, link, size)?;
        Ok(Entry { path, kind, metadata })
    }

    fn kind(&mut self, block: &Block, records: &Records, path: &[u8], link: Vec<u8>, size: u64) -> Result<EntryKind> {
        let device = |kind| -> Result<EntryKind> {
            let number = |range| {
                let number = self.unsigned(block, range, "a device number that is no number")?;
                u32::try_from(number).map_err(|_| self.invalid("a device number that is too large"))
            };
            Ok(EntryKind::Device(Device {
                kind,
                major: number(field::DEVICE_MAJOR)?,
                minor: number(field::DEVICE_MINOR)?,
            }))
        };
        let kind = match block[field::FLAG] {
            flag::HARD_LINK => EntryKind::HardLink { target: link },
            flag::SYMLINK => EntryKind::Symlink { target: link },
            flag::CHARACTER => device(DeviceKind::Character)?,
            flag::BLOCK_DEVICE => device(DeviceKind::Block)?,
            flag::DIRECTORY => EntryKind::Directory,
            flag::FIFO => EntryKind::Fifo,
            // Before POSIX a directory was a file whose name ends in a slash.
            0 if path.ends_with(b"/") => EntryKind::Directory,
            0 | flag::FILE | flag::CONTIGUOUS => return self.file(records, size),
            flag::GNU_SPARSE => return self.old_sparse(block, size),
            _ => return Err(self.invalid("an entry of unknown type")),
        };
        // Whatever size such an entry claims, no content follows: Go's reader, and so every engine, takes it like that.
        self.set_content(0)?;
        Ok(kind)
    }

    fn file(&mut self, records: &Records, size: u64) -> Result<EntryKind> {
        self.set_content(size)?;
        let major = records.get(&b"GNU.sparse.major"[..]).map(Vec::as_slice);
        let real = self.number_record(records, b"GNU.sparse.realsize")?;
        let real = real.map_or_else(|| self.number_record(records, b"GNU.sparse.size"), |real| Ok(Some(real)))?;
        let map = match (major, records.get(&b"GNU.sparse.map"[..])) {
            (Some(b"1"), _) => Some(self.sparse_map_in_content()?),
            (_, Some(map)) => Some(sparse::parse_list(map).ok_or_else(|| self.invalid("a malformed sparse map"))?),
            (None | Some(b"0"), None) if real.is_none() => None,
            _ => return Err(self.invalid("an unsupported sparse format")),
        };
        let size = if map.is_some() { real.unwrap_or(size) } else { size };
        self.sparse_file(size, map)
    }

    fn old_sparse(&mut self, block: &Block, size: u64) -> Result<EntryKind> {
        let real = self.unsigned(block, field::SPARSE_REAL_SIZE, "a size that is no number")?;
        let malformed = "a malformed sparse map";
        let mut map = Vec::new();
        sparse::parse_fields(&block[field::SPARSE_MAP], &mut map).ok_or_else(|| self.invalid(malformed))?;
        let mut more = block[field::SPARSE_MORE] != 0;
        while more {
            let mut extra = [0; BLOCK];
            self.fill(&mut extra)?;
            sparse::parse_fields(&extra[..504], &mut map).ok_or_else(|| self.invalid(malformed))?;
            more = extra[504] != 0;
            if map.len() > sparse::MAX_EXTENTS {
                return Err(self.invalid("a sparse map that is too long"));
            }
        }
        self.set_content(size)?;
        self.sparse_file(real, Some(map))
    }

    /// Reads the map that PAX's sparse format 1.0 puts before the content.
    fn sparse_map_in_content(&mut self) -> Result<Vec<Extent>> {
        let mut map = sparse::MapReader::default();
        loop {
            if self.content < BLOCK as u64 {
                return Err(self.invalid("a sparse map cut short"));
            }
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            self.content -= BLOCK as u64;
            if let Some(extents) = map.add(&block).map_err(|reason| self.invalid(reason))? {
                return Ok(extents);
            }
        }
    }

    fn sparse_file(&mut self, size: u64, sparse: Option<Vec<Extent>>) -> Result<EntryKind> {
        if sparse.as_ref().is_some_and(|map| !sparse::is_valid(map, size, self.content)) {
            return Err(self.invalid("a sparse map that does not fit its file"));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes {
            return Err(Error::Limit { what: "bytes in files", limit: self.limits.bytes });
        }
        Ok(EntryKind::File { size, sparse })
    }

    fn metadata(&self, block: &Block, records: &Records) -> Result<Metadata> {
        let id = |key: &[u8], range| {
            let id = match self.number_record(records, key)? {
                Some(id) => id,
                None => self.unsigned(block, range, "an owner that is no number")?,
            };
            u32::try_from(id).map_err(|_| self.invalid("an owner that is too large"))
        };
        let mtime = match records.get(&b"mtime"[..]) {
            Some(time) => pax::read_time(time),
            None => numbers::read(&block[field::MTIME]).map(|seconds| (seconds, 0)),
        };
        let (seconds, nanoseconds) = mtime.ok_or_else(|| self.invalid("a time that is no number"))?;
        let mode = self.unsigned(block, field::MODE, "a mode that is no number")?;
        let xattrs: Xattrs =
            records.iter().filter_map(|(key, value)| Some((pax::xattr_name(key)?, value.clone()))).collect();
        Ok(Metadata {
            mode: (mode & 0o7777) as u32,
            uid: id(b"uid", field::UID)?,
            gid: id(b"gid", field::GID)?,
            mtime: Mtime { seconds, nanoseconds },
            xattrs,
        })
    }

    fn number_record(&self, records: &Records, key: &[u8]) -> Result<Option<u64>> {
        records
            .get(key)
            .map(|value| sparse::parse_number(value).ok_or_else(|| self.invalid("a PAX number that is no number")))
            .transpose()
    }

    fn unsigned(&self, block: &Block, range: std::ops::Range<usize>, reason: &'static str) -> Result<u64> {
        numbers::read_unsigned(&block[range]).ok_or_else(|| self.invalid(reason))
    }

    fn extension(&mut self, size: u64, extensions: &mut Extensions) -> Result<Vec<u8>> {
        let limit = self.limits.extensions;
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        extensions.size = extensions.size.saturating_add(length).saturating_add(BLOCK);
        if extensions.size > limit {
            return Err(Error::Limit { what: "bytes in extension headers", limit: limit as u64 });
        }
        self.set_content(size)?;
        let mut data = vec![0; length];
        self.fill(&mut data)?;
        self.content = 0;
        Ok(data)
    }

    fn long_text(&mut self, size: u64, extensions: &mut Extensions) -> Result<Vec<u8>> {
        self.extension(size, extensions).map(|data| text(&data).to_vec())
    }

    /// Reads a header; nothing at the end mark, or where the input ends between entries.
    fn header(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(cut_short()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::stream("read", "layer archive")(error)),
            }
        }
        self.offset += BLOCK as u64;
        if self.offset > self.limits.archive {
            return Err(Error::Limit { what: "bytes in an archive", limit: self.limits.archive });
        }
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let sum = numbers::read(&block[field::CHECKSUM]);
        let (unsigned, signed) = checksums(&block);
        if sum.is_none_or(|sum| sum != signed && u64::try_from(sum) != Ok(unsigned)) {
            return Err(self.invalid("a header with a wrong checksum"));
        }
        Ok(Some(block))
    }

    fn set_content(&mut self, size: u64) -> Result<()> {
        if size > i64::MAX as u64 - self.offset.min(i64::MAX as u64) {
            return Err(self.invalid("a size that is too large"));
        }
        self.content = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.input.read_exact(buffer).map_err(Error::stream("read", "layer archive"))?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink());
        let skipped = skipped.map_err(Error::stream("read", "layer archive"))?;
        self.offset += skipped;
        (self.content, self.padding) = (0, 0);
        if skipped < count { Err(cut_short()) } else { Ok(()) }
    }

    /// Reads what follows the end mark, so that whoever hashes the input has seen all of it.
    fn drain(&mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink()).map_err(Error::stream("read", "layer archive"))?;
        Ok(())
    }

    fn invalid(&self, reason: &'static str) -> Error {
        Error::Archive { offset: self.header_offset, reason }
    }
}

fn cut_short() -> Error {
    Error::stream("read", "layer archive")(io::ErrorKind::UnexpectedEof.into())
}

/// The bytes of a text field up to its end or first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn header_path(block: &Block) -> Vec<u8> {
    let name = text(&block[field::NAME]);
    let magic = &block[field::MAGIC];
    let prefix = if block[field::STAR_MAGIC] == *b"tar\0" {
        text(&block[field::STAR_PREFIX])
    } else if magic.starts_with(b"ustar\0") {
        text(&block[field::PREFIX])
    } else {
        b""
    };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// The path of an entry for messages.
impl Entry {
    pub(in crate::layer) fn shown(&self) -> PathBuf {
        crate::layer::path::from_bytes(&self.path).to_owned()
    }
}

#[cfg(test)]
mod tests;
