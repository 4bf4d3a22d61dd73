//! What a layer holds, as one number: the key of early cutoff.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::scope;

use rustix::fs::{self, AtFlags, Timespec, Timestamps, UTIME_OMIT};
use stages::ContentId;

use super::error::{Error, Result};
use super::metadata::{Clamp, Metadata, Ownership, archived_mtime};
use super::node::{DeviceKind, FileKind, Identity, Node};
use super::pack::{LayerStats, is_plain_root};
use super::path::bytes;
use super::pool::{Pending, Pool};
use super::walk::{Item, Walk};

/// The version of the encoding under a [`ContentId`]. Two ids are comparable only within one version, so it is part of
/// what is hashed.
///
/// Changelog:
/// - 1: the entries of the layer format in its order; each a tag, then length-framed path, mode, ids, seconds, attributes
///   and what the type has: the content's length and BLAKE3 hash, a link's target, a device's numbers.
pub const CONTENT_VERSION: u32 = 1;

/// How a layer directory is identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentOptions {
    /// Where owners are kept.
    pub ownership: Ownership,
    /// Which times are replaced.
    pub clamp: Option<Clamp>,
    /// Whether times under the clamp are also replaced on disk, so that later steps see what the archive will say. Only
    /// for the upper directory of a step that just ended: its files are nobody else's yet.
    pub normalize: bool,
    /// How many threads read files; more than one pays from a few hundred files on.
    pub threads: usize,
}

/// Names what a layer directory holds: two ids are equal exactly when `pack` with the same options makes equal archives.
pub fn content_id(layer: &Path, options: &ContentOptions) -> Result<(ContentId, LayerStats)> {
    let (mut walk, root, directory) = Walk::new(layer, options.ownership)?;
    let mut fold = Fold::new();
    let reader = Reader { options: *options };
    if !is_plain_root(&root.metadata) {
        let metadata = reader.archived(&root.metadata);
        fold.hash.update(&encode(tag::DIRECTORY, Path::new(""), &metadata, &[]));
    }
    reader.normalize(&root, Path::new(""), |times| fs::futimens(&directory, times))?;
    drop(directory);
    let first = batch(&mut walk)?;
    if first.len() < BATCH || options.threads < 2 {
        let mut next = first;
        while !next.is_empty() {
            fold.add(reader.read_all(next)?);
            next = batch(&mut walk)?;
        }
        return Ok(fold.finish());
    }
    scope(|scope| {
        let pool = Pool::start(scope, options.threads, || move |items| reader.read_all(items));
        let mut pending: VecDeque<Pending<Result<Vec<Record>>>> = VecDeque::new();
        let mut next = first;
        while !next.is_empty() {
            pending.push_back(pool.submit(next));
            if pending.len() > 2 * options.threads {
                fold.take(&mut pending)?;
            }
            next = batch(&mut walk)?;
        }
        while !pending.is_empty() {
            fold.take(&mut pending)?;
        }
        Ok(fold.finish())
    })
}

/// How many entries one worker reads at a time.
const BATCH: usize = 256;

fn batch(walk: &mut Walk) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    while items.len() < BATCH {
        match walk.next()? {
            // What can't be written as a layer is refused while it can still be told where it comes from.
            Some(item) if !item.whiteout && is_reserved(&item.path) => {
                return Err(Error::refused(&item.path, "names that start with `.wh.` mean deleted files in a layer"));
            }
            Some(item) => items.push(item),
            None => break,
        }
    }
    Ok(items)
}

fn is_reserved(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".wh."))
}

pub(super) mod tag {
    pub(in crate::layer) const DIRECTORY: u8 = 1;
    pub(in crate::layer) const OPAQUE_DIRECTORY: u8 = 2;
    pub(in crate::layer) const FILE: u8 = 3;
    pub(in crate::layer) const SYMLINK: u8 = 4;
    pub(in crate::layer) const CHARACTER: u8 = 5;
    pub(in crate::layer) const BLOCK: u8 = 6;
    pub(in crate::layer) const FIFO: u8 = 7;
    pub(in crate::layer) const WHITEOUT: u8 = 8;
    pub(in crate::layer) const HARD_LINK: u8 = 9;
}

/// An entry, encoded as if it were the first with its inode.
struct Record {
    path: PathBuf,
    encoded: Vec<u8>,
    /// The inode, if it has other names.
    shared: Option<(Identity, Metadata)>,
    size: u64,
}

/// Reads entries; any thread may.
#[derive(Clone, Copy)]
struct Reader {
    options: ContentOptions,
}

impl Reader {
    fn archived(self, metadata: &Metadata) -> Metadata {
        Metadata { mtime: archived_mtime(metadata.mtime, self.options.clamp), ..metadata.clone() }
    }

    fn read_all(self, items: Vec<Item>) -> Result<Vec<Record>> {
        let mut buffer = vec![0; 64 << 10];
        items.into_iter().filter_map(|item| self.read(&item, &mut buffer).transpose()).collect()
    }

    fn read(self, item: &Item, buffer: &mut [u8]) -> Result<Option<Record>> {
        let path = item.path.clone();
        if item.whiteout {
            let encoded = encode(tag::WHITEOUT, &path, &Metadata::default(), &[]);
            return Ok(Some(Record { path, encoded, shared: None, size: 0 }));
        }
        let node = item.read(self.options.ownership)?;
        let metadata = self.archived(&node.metadata);
        let mut size = 0;
        let content = match node.kind {
            FileKind::Socket => return Ok(None),
            FileKind::Regular { size: length } => {
                size = length;
                let file = node.file.as_ref().ok_or_else(|| Error::Changed { path: path.clone() })?;
                Some(hash_file(file, size, &path, buffer)?)
            }
            _ => None,
        };
        let encoded = encode_node(&path, &metadata, &node.kind, node.opaque, content.as_ref());
        self.normalize_item(&node, item)?;
        let shared = (node.links > 1 && node.kind != FileKind::Directory).then_some((node.identity, metadata));
        Ok(Some(Record { path, encoded, shared, size }))
    }

    fn normalize_item(self, node: &Node, item: &Item) -> Result<()> {
        let (parent, name) = item.place();
        self.normalize(node, &item.path, |times| fs::utimensat(parent, name, times, AtFlags::SYMLINK_NOFOLLOW))
    }

    fn normalize(
        self,
        node: &Node,
        path: &Path,
        set: impl FnOnce(&Timestamps) -> rustix::io::Result<()>,
    ) -> Result<()> {
        match self.options.clamp {
            Some(clamp) if self.options.normalize && clamp.applies(node.metadata.mtime) => {
                let times = Timestamps {
                    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
                    last_modification: Timespec { tv_sec: clamp.to, tv_nsec: 0 },
                };
                set(&times).map_err(Error::io("set the time of", path))
            }
            _ => Ok(()),
        }
    }
}

/// Encodes an entry of a type; `content` is the hash of a regular file's.
pub(super) fn encode_node(
    path: &Path,
    metadata: &Metadata,
    kind: &FileKind,
    opaque: bool,
    content: Option<&blake3::Hash>,
) -> Vec<u8> {
    match kind {
        FileKind::Directory if opaque => encode(tag::OPAQUE_DIRECTORY, path, metadata, &[]),
        FileKind::Directory => encode(tag::DIRECTORY, path, metadata, &[]),
        FileKind::Regular { size } => {
            let hash = content.map_or(&[][..], |hash| hash.as_bytes());
            encode(tag::FILE, path, metadata, &[&size.to_le_bytes(), hash])
        }
        FileKind::Symlink { target } => encode(tag::SYMLINK, path, metadata, &[bytes(target)]),
        FileKind::Device(device) => {
            let tag = if device.kind == DeviceKind::Block { tag::BLOCK } else { tag::CHARACTER };
            encode(tag, path, metadata, &[&[device.major.to_le_bytes(), device.minor.to_le_bytes()].concat()])
        }
        FileKind::Fifo | FileKind::Socket => encode(tag::FIFO, path, metadata, &[]),
    }
}

pub(super) fn hash_file(file: &OwnedFd, size: u64, path: &Path, buffer: &mut [u8]) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut left = size;
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
        let count = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut buffer[..room]))
            .map_err(Error::io("read", path))?;
        if count == 0 {
            return Err(Error::Changed { path: path.to_owned() });
        }
        hasher.update(&buffer[..count]);
        left -= count as u64;
    }
    Ok(hasher.finalize())
}

/// Encodes an entry: every variable part is preceded by its length.
pub(super) fn encode(tag: u8, path: &Path, metadata: &Metadata, own: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + bytes(path).len());
    let framed = |out: &mut Vec<u8>, part: &[u8]| {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    };
    out.push(tag);
    framed(&mut out, bytes(path));
    for number in [metadata.mode, metadata.uid, metadata.gid] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&metadata.mtime.seconds.to_le_bytes());
    out.extend_from_slice(&(metadata.xattrs.len() as u64).to_le_bytes());
    for (name, value) in &metadata.xattrs {
        framed(&mut out, name);
        framed(&mut out, value);
    }
    for part in own {
        framed(&mut out, part);
    }
    out
}

/// Folds records into the id, in order.
struct Fold {
    hash: blake3::Hasher,
    links: HashMap<Identity, PathBuf>,
    stats: LayerStats,
}

impl Fold {
    fn new() -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(b"stager layer content\0");
        hash.update(&CONTENT_VERSION.to_le_bytes());
        Self { hash, links: HashMap::new(), stats: LayerStats::default() }
    }

    fn take(&mut self, pending: &mut VecDeque<Pending<Result<Vec<Record>>>>) -> Result<()> {
        let Some(records) = pending.pop_front() else { return Ok(()) };
        // A worker that panicked passes its panic on when the scope ends.
        let stopped = |_| Error::stream("read", "layer directory")(std::io::ErrorKind::BrokenPipe.into());
        self.add(records.recv().map_err(stopped)??);
        Ok(())
    }

    fn add(&mut self, records: Vec<Record>) {
        for record in records {
            self.stats.entries += 1;
            if let Some((identity, metadata)) = record.shared {
                if let Some(first) = self.links.get(&identity) {
                    self.hash.update(&encode(tag::HARD_LINK, &record.path, &metadata, &[bytes(first)]));
                    continue;
                }
                self.links.insert(identity, record.path);
            }
            self.stats.bytes += record.size;
            self.hash.update(&record.encoded);
        }
    }

    fn finish(self) -> (ContentId, LayerStats) {
        (ContentId::from(self.hash.finalize()), self.stats)
    }
}

#[cfg(test)]
mod tests;
