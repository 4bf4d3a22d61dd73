//! The table of a tar: which names are at which places.
//!
//! A reader of our own, because only places are wanted, because extension headers must be bounded, and because nothing is
//! ever unpacked. One pass over the headers; content is skipped by position.

use std::collections::BTreeMap;
use std::io;

use tar::{EntryType, Header, PaxExtensions};

const BLOCK: u64 = 512;
/// The most bytes of one extension header (long name, PAX records).
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// The most entries of one archive.
const MAX_ENTRIES: usize = 1 << 20;
/// How many links in a row are followed.
const MAX_LINKS: usize = 16;

/// A tar that can't be indexed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not a tar, or a damaged one.
    #[error("at byte {position}: {reason}")]
    Damaged {
        /// Where.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Compressed in a way that isn't supported.
    #[error("it is compressed by {0}; only gzip and zstd are supported")]
    Compression(&'static str),
}

/// Where an entry's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Debug)]
enum Entry {
    File(Place),
    /// The clean name that a link leads to; `None` if it leads out of the archive.
    Link(Option<String>),
}

/// The entries of an archive by clean name; of equal names the last counts, as when unpacking.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<String, Entry>);

impl Table {
    /// A table of one entry.
    pub(super) fn single(name: &str, size: u64) -> Self {
        Self(BTreeMap::from([(name.to_owned(), Entry::File(Place { offset: 0, size }))]))
    }

    /// Scans the headers. `read_at` fills the buffer from a position, or fails; `length` is that of the whole file.
    pub(super) fn scan(length: u64, read_at: impl Fn(&mut [u8], u64) -> io::Result<()>) -> Result<Self, ArchiveError> {
        let mut scan = Scan { read_at, length, position: 0, pending: Pending::default(), table: Self::default() };
        while scan.step()? {}
        Ok(scan.table)
    }

    /// The place of a file, through links inside the archive.
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        let mut name = clean(name)?;
        for _ in 0..MAX_LINKS {
            match self.0.get(&name)? {
                Entry::File(place) => return Some(*place),
                Entry::Link(target) => name = target.clone()?,
            }
        }
        None
    }
}

/// What extension headers say of the next entry.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

struct Scan<F> {
    read_at: F,
    length: u64,
    position: u64,
    pending: Pending,
    table: Table,
}

impl<F: Fn(&mut [u8], u64) -> io::Result<()>> Scan<F> {
    /// One header and what belongs to it; `false` at the end.
    fn step(&mut self) -> Result<bool, ArchiveError> {
        if self.position == self.length {
            return Ok(false); // without the closing blocks, as some tools write it
        }
        let mut block = [0; BLOCK as usize];
        let start = self.position;
        if self.length - start < BLOCK {
            return Err(damaged(start, "the archive is cut off in a header"));
        }
        (self.read_at)(&mut block, start)?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(false);
        }
        if !checksum_holds(&block) {
            return Err(damaged(start, "this is not a tar header"));
        }
        let header = Header::from_byte_slice(&block);
        let size = header.entry_size().map_err(|_| damaged(start, "the size of an entry is not a number"))?;
        let kind = header.entry_type();
        let is_extension = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        let size = if is_extension { size } else { self.pending.size.take().unwrap_or(size) };
        let size = if holds_content(kind) { size } else { 0 };
        let offset = start + BLOCK;
        let end = size.checked_next_multiple_of(BLOCK).and_then(|padded| offset.checked_add(padded));
        if offset.checked_add(size).is_none_or(|end| end > self.length) {
            return Err(damaged(start, "the archive is cut off in an entry"));
        }
        self.position = end.map_or(self.length, |end| end.min(self.length));
        if is_extension {
            self.extension(kind, Place { offset, size })?;
        } else {
            self.entry(header, Place { offset, size })?;
        }
        Ok(true)
    }

    fn extension(&mut self, kind: EntryType, place: Place) -> Result<(), ArchiveError> {
        if place.size > MAX_EXTENSION_BYTES {
            return Err(damaged(place.offset, "an extension header is larger than 1 MiB"));
        }
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let mut content = vec![0; place.size as usize];
        (self.read_at)(&mut content, place.offset)?;
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let length = content.iter().position(|&byte| byte == 0).unwrap_or(content.len());
            content.truncate(length);
            *(if kind.is_gnu_longname() { &mut self.pending.name } else { &mut self.pending.link }) = Some(content);
            return Ok(());
        }
        for record in PaxExtensions::new(&content) {
            let record = record.map_err(|_| damaged(place.offset, "a PAX record is malformed"))?;
            match record.key_bytes() {
                b"path" => self.pending.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.pending.link = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let number = record.value().ok().and_then(|text| text.parse().ok());
                    self.pending.size =
                        Some(number.ok_or_else(|| damaged(place.offset, "a PAX size is not a number"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.pending.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self, header: &Header, place: Place) -> Result<(), ArchiveError> {
        let pending = std::mem::take(&mut self.pending);
        let kind = header.entry_type();
        if pending.sparse || kind.is_gnu_sparse() {
            return Err(damaged(place.offset, "an entry is sparse, which no image archive has"));
        }
        // names that aren't clean UTF-8 name nothing that an image refers to
        let name = text(pending.name.unwrap_or_else(|| header.path_bytes().into_owned()));
        let Some(name) = name.and_then(|name| clean(&name)) else { return Ok(()) };
        let target = || text(pending.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))?);
        let entry = match kind {
            EntryType::Regular | EntryType::Continuous => Entry::File(place),
            EntryType::Link => Entry::Link(target().and_then(|target| clean(&target))),
            EntryType::Symlink => Entry::Link(target().and_then(|target| beside(&name, &target))),
            _ => return Ok(()),
        };
        if self.table.0.len() >= MAX_ENTRIES {
            return Err(damaged(place.offset, "the archive has more than a million entries"));
        }
        self.table.0.insert(name, entry);
        Ok(())
    }
}

fn holds_content(kind: EntryType) -> bool {
    !(kind.is_dir()
        || kind.is_symlink()
        || kind.is_hard_link()
        || kind.is_character_special()
        || kind.is_block_special()
        || kind.is_fifo())
}

fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

/// `./a//b` → `a/b`; `None` for what leaves the archive or is its root.
pub(super) fn clean(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!name.starts_with('/') && !parts.is_empty()).then(|| parts.join("/"))
}

/// The target of a symlink, seen from the directory it is in.
fn beside(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let directory = link.rsplit_once('/').map_or("", |(directory, _)| directory);
    clean(&format!("{}{target}", if directory.is_empty() { String::new() } else { format!("{directory}/") }))
}

fn damaged(position: u64, reason: &'static str) -> ArchiveError {
    ArchiveError::Damaged { position, reason }
}

/// Whether a file that starts so can be a tar.
pub(super) fn plausible(start: &[u8]) -> bool {
    start.len() == BLOCK as usize && (start.iter().all(|&byte| byte == 0) || checksum_holds(start))
}

/// The sum of the header's bytes, its own field taken as blanks; old tools summed signed bytes.
fn checksum_holds(block: &[u8]) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let byte = |(at, &byte): (usize, &u8)| if FIELD.contains(&at) { b' ' } else { byte };
    let unsigned: i64 = block.iter().enumerate().map(|entry| i64::from(byte(entry))).sum();
    let signed: i64 = block.iter().enumerate().map(|entry| i64::from(byte(entry) as i8)).sum();
    let digits: String = block[FIELD]
        .iter()
        .map(|&byte| char::from(byte))
        .skip_while(|&digit| digit == ' ')
        .take_while(|digit| digit.is_digit(8))
        .collect();
    i64::from_str_radix(&digits, 8).is_ok_and(|stored| stored == unsigned || stored == signed)
}
