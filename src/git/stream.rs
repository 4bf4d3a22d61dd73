//! Git content as a sequence of entries, for whoever writes an archive: the same tree that [`super::lay_out`] writes.
//!
//! One thread reads and inflates objects ahead of the consumer, in batches and with bounded memory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use git2::{ObjectType, Oid};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};

use super::error::GitError;
use super::layout::{Base, DirectoryLookup};
use super::merged::{Directory, DirectoryMeta, Leaf, Node, Owner, Placement, TARGET_MODE, delta, expand, merge};
use super::repository::Repository;
use super::tree::{FileMode, push_segment};

/// An entry of a layer.
pub struct OutEntry<'a> {
    /// Its path in the image, without the leading `/`.
    pub path: &'a [u8],
    /// What it is.
    pub kind: OutKind<'a>,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: Owner,
}

/// What an entry is.
pub enum OutKind<'a> {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
        /// Its content, of exactly that size.
        content: &'a mut dyn Read,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: &'a [u8],
    },
    /// What the base has here is gone (only with a base).
    Whiteout,
}

/// Takes one entry after the other.
pub type OutSink<'a> = &'a mut dyn FnMut(OutEntry<'_>) -> std::io::Result<()>;

/// Hands over every entry that the placements make, in the order of layer archives: a directory before what
/// they hold. The root itself is no entry. With a base, only what differs from it, as [`super::lay_out`] does.
pub fn stream(
    placements: &[Placement],
    base: Option<Base<'_>>,
    directories: DirectoryLookup<'_>,
    sink: OutSink<'_>,
) -> Result<(), GitError> {
    let mut tree = merge(placements)?;
    if let Some(base) = base {
        tree = delta(merge(base.placements)?, tree, base.exists_below)?.unwrap_or_default();
    }
    stream_tree(tree, None, directories, sink)
}

/// As [`stream`] without a base, for placements that [`super::lay_out`] has written into `laid_out` before: what a file
/// holds is read there and not inflated again. A file that is not there, or not of the
/// object's size, comes from its object.
pub fn stream_laid_out(
    placements: &[Placement],
    laid_out: &Path,
    directories: DirectoryLookup<'_>,
    sink: OutSink<'_>,
) -> Result<(), GitError> {
    stream_tree(merge(placements)?, Some(laid_out), directories, sink)
}

/// As [`stream_laid_out`], of a tree that is merged already; without a directory, as [`stream`].
pub(super) fn stream_tree(
    tree: Directory,
    laid_out: Option<&Path>,
    directories: DirectoryLookup<'_>,
    sink: OutSink<'_>,
) -> Result<(), GitError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Without the directory this is only slower.
    let laid_out = laid_out.and_then(|laid_out| fs::open(laid_out, flags, Mode::empty()).ok());
    let (sender, receiver) = sync_channel(BATCHES_AHEAD);
    std::thread::scope(|scope| {
        let producer = scope.spawn(move || {
            let mut reader = Reader { sender, directories, laid_out, batch: Vec::new(), bytes: 0, path: Vec::new() };
            match reader.directory(tree).and_then(|()| reader.flush()) {
                Ok(()) | Err(Stop::Disconnected) => Ok(()),
                Err(Stop::Failed(error)) => Err(error),
            }
        });
        let consumed = consume(receiver, sink);
        let produced = producer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        produced.and(consumed)
    })
}

/// At most this many batches wait, each of [`BATCH_BYTES`] and one more file.
const BATCHES_AHEAD: usize = 2;
const BATCH_BYTES: u64 = 4 << 20;
const BATCH_ENTRIES: usize = 512;
/// Larger files are not read ahead.
const LARGE: u64 = 8 << 20;

struct Item {
    path: Vec<u8>,
    payload: Payload,
    mode: u32,
    owner: Owner,
}

enum Payload {
    Directory,
    File(Vec<u8>),
    Large(Repository, Oid, u64),
    LargeOnDisk(File, u64),
    Symlink(Vec<u8>),
    Whiteout,
}

enum Stop {
    Failed(GitError),
    /// The consumer gave up and knows why.
    Disconnected,
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Self {
        Self::Failed(error)
    }
}

struct Reader<'a> {
    sender: SyncSender<Vec<Item>>,
    directories: DirectoryLookup<'a>,
    laid_out: Option<OwnedFd>,
    batch: Vec<Item>,
    bytes: u64,
    path: Vec<u8>,
}

impl Reader<'_> {
    fn directory(&mut self, directory: Directory) -> Result<(), Stop> {
        for (name, node) in directory.children {
            let length = self.path.len();
            push_segment(&mut self.path, &name);
            match node {
                Node::Leaf(leaf) => self.leaf(&leaf)?,
                Node::Whiteout => self.push(Payload::Whiteout, 0, (0, 0))?,
                node => {
                    self.enter(node.directory_meta())?;
                    self.directory(expand(node)?.unwrap_or_default())?;
                }
            }
            self.path.truncate(length);
        }
        Ok(())
    }

    fn enter(&mut self, placed: Option<DirectoryMeta>) -> Result<(), Stop> {
        let path = Path::new("/").join(OsStr::from_bytes(&self.path));
        let meta = (self.directories)(&path).or(placed);
        let meta = meta.unwrap_or(DirectoryMeta { mode: TARGET_MODE, owner: (0, 0) });
        self.push(Payload::Directory, meta.mode, meta.owner)
    }

    fn leaf(&mut self, leaf: &Leaf) -> Result<(), Stop> {
        let repository = &leaf.root.repository;
        let objects = repository.objects()?;
        let read = || Ok::<_, GitError>(objects.read(leaf.id, ObjectType::Blob)?.data().to_vec());
        let (payload, mode) = match leaf.mode {
            FileMode::Symlink => (Payload::Symlink(read()?), 0o777),
            file => {
                let size = objects.size(leaf.id)?;
                let large = size > LARGE;
                let payload = match self.on_disk(size) {
                    Some(payload) => payload,
                    None if large => Payload::Large(repository.clone(), leaf.id, size),
                    None => Payload::File(read()?),
                };
                self.bytes += if large { 0 } else { size };
                (payload, if file == FileMode::Executable { 0o755 } else { 0o644 })
            }
        };
        self.push(payload, mode, leaf.owner)
    }

    /// The laid-out file at the present path, if it is a file of that size.
    fn on_disk(&self, size: u64) -> Option<Payload> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = fs::openat2(self.laid_out.as_ref()?, self.path.as_slice(), flags, Mode::empty(), within).ok()?;
        let stat = fs::fstat(&file).ok()?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() || u64::try_from(stat.st_size) != Ok(size) {
            return None;
        }
        let file = File::from(file);
        if size > LARGE {
            return Some(Payload::LargeOnDisk(file, size));
        }
        let mut content = Vec::with_capacity(usize::try_from(size).ok()?);
        file.take(size).read_to_end(&mut content).ok()?;
        (content.len() as u64 == size).then_some(Payload::File(content))
    }

    fn push(&mut self, payload: Payload, mode: u32, owner: Owner) -> Result<(), Stop> {
        self.batch.push(Item { path: self.path.clone(), payload, mode, owner });
        if self.batch.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.bytes = 0;
        self.sender.send(std::mem::take(&mut self.batch)).map_err(|_| Stop::Disconnected)
    }
}

fn consume(receiver: Receiver<Vec<Item>>, sink: OutSink<'_>) -> Result<(), GitError> {
    for item in receiver.into_iter().flatten() {
        let Item { path, payload, mode, owner } = item;
        let entry = Entry { path: &path, mode, owner };
        match payload {
            Payload::Directory => entry.hand_over(sink, OutKind::Directory)?,
            Payload::Whiteout => entry.hand_over(sink, OutKind::Whiteout)?,
            Payload::Symlink(target) => entry.hand_over(sink, OutKind::Symlink { target: &target })?,
            Payload::File(bytes) => {
                entry.hand_over(sink, OutKind::File { size: bytes.len() as u64, content: &mut bytes.as_slice() })?;
            }
            Payload::LargeOnDisk(mut content, size) => {
                entry.hand_over(sink, OutKind::File { size, content: &mut content })?;
            }
            Payload::Large(repository, id, size) => {
                let objects = repository.objects()?;
                // libgit2 streams loose objects only; one from a pack is inflated into memory.
                if let Ok((mut content, _, _)) = objects.odb().reader(id) {
                    entry.hand_over(sink, OutKind::File { size, content: &mut content })?;
                } else {
                    let object = objects.read(id, ObjectType::Blob)?;
                    entry.hand_over(sink, OutKind::File { size, content: &mut object.data() })?;
                }
            }
        }
    }
    Ok(())
}

struct Entry<'a> {
    path: &'a [u8],
    mode: u32,
    owner: Owner,
}

impl Entry<'_> {
    fn hand_over<'e>(&'e self, sink: OutSink<'_>, kind: OutKind<'e>) -> Result<(), GitError> {
        let &Entry { path, mode, owner } = self;
        sink(OutEntry { path, kind, mode, owner })
            .map_err(|error| GitError::io("write the layer entry", OsStr::from_bytes(path), error))
    }
}
