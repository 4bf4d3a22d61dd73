//! Writing git content as an overlay layer directory, straight from objects: no checkout, no index.
//!
//! The layer is written in overlayfs' format (a whiteout is a character device 0:0) into a directory that nobody else
//! sees yet. A directory's time is set last, because writing into it changes it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use git2::ObjectType;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::GitError;
use super::jobs;
use super::merged::{Directory, DirectoryMeta, Leaf, Node, Owner, Placement, TARGET_MODE, delta, expand, merge};
use super::repository::{Objects, Repository, lock};
use super::tree::FileMode;
use crate::layer::{OWNER_XATTR, Ownership, owner_record};

/// Answers what the image beneath has at an absolute path, if that is a directory: a layer that mentions a directory
/// must repeat its metadata. Without an answer, placed directories get what their placement says, those on the way to them
/// 0755 and 0:0.
pub type DirectoryLookup<'a> = &'a (dyn Fn(&Path) -> Option<DirectoryMeta> + Sync);

/// How to lay out.
#[derive(Clone, Copy)]
pub struct LayoutOptions<'a> {
    /// The time of every file and directory, in seconds since 1970.
    pub mtime: i64,
    /// How owners are applied.
    pub ownership: Ownership,
    /// How many threads may write, at least 1.
    pub threads: usize,
    /// The directories of the image beneath.
    pub directories: DirectoryLookup<'a>,
}

/// Content that is already laid out, and beneath which image it is.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// The placements it was laid out from.
    pub placements: &'a [Placement],
    /// Whether the image *beneath that content* has something at an absolute path.
    pub exists_below: &'a dyn Fn(&Path) -> bool,
}

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Regular files.
    pub files: u64,
    /// Directories, without the layer's root.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Whiteouts.
    pub whiteouts: u64,
    /// Content bytes.
    pub bytes: u64,
}

/// Writes the placements into `destination`, an empty directory. With a base, only what differs from it.
///
/// Fails with [`GitError::NotADelta`] where the difference cannot be shown over that base; the destination then holds
/// nothing.
pub fn lay_out(
    placements: &[Placement],
    destination: &Path,
    base: Option<Base<'_>>,
    options: LayoutOptions<'_>,
) -> Result<Layout, GitError> {
    let mut tree = merge(placements)?;
    if let Some(base) = base {
        tree = delta(merge(base.placements)?, tree, base.exists_below)?.unwrap_or_default();
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::open(destination, flags, Mode::empty()).map_err(|error| GitError::io("open", destination, error))?;
    let writer = Writer {
        plain_modes: has_plain_umask(&root).map_err(|error| GitError::io("write", destination, error))?,
        root,
        destination,
        options,
        directories: Mutex::default(),
        written: Mutex::default(),
    };
    writer.run(tree)
}

struct Writer<'a> {
    root: OwnedFd,
    destination: &'a Path,
    options: LayoutOptions<'a>,
    /// Whether files get the mode that they are created with.
    plain_modes: bool,
    /// Every directory, for its time.
    directories: Mutex<Vec<PathBuf>>,
    written: Mutex<Layout>,
}

struct Job {
    /// The directory to write into, relative to the destination.
    path: PathBuf,
    content: Content,
}

enum Content {
    Children(Node),
    Leaves(Vec<(Vec<u8>, Leaf)>),
}

/// Files of one directory are split into jobs of this many.
const LEAVES_PER_JOB: usize = 256;

impl Writer<'_> {
    fn run(self, tree: Directory) -> Result<Layout, GitError> {
        let meta = self.directory_meta(Path::new(""), None);
        self.apply_to_directory(&self.root, Path::new(""), meta)?;
        let first = Job { path: PathBuf::new(), content: Content::Children(Node::Directory(tree)) };
        jobs::run(self.options.threads, first, &|job, more| {
            let mut done = Done::default();
            self.perform(job, &mut done)?;
            more.append(&mut done.jobs);
            lock(&self.written).add(done.written);
            lock(&self.directories).append(&mut done.directories);
            Ok(())
        })?;
        self.set_directory_times()?;
        Ok(*lock(&self.written))
    }

    fn perform(&self, job: Job, done: &mut Done) -> Result<(), GitError> {
        let directory = if job.path.as_os_str().is_empty() {
            self.root.try_clone().map_err(|error| GitError::io("open", self.destination, error))?
        } else {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            fs::openat(&self.root, &job.path, flags, Mode::empty())
                .map_err(|error| self.failed("open", &job.path, error))?
        };
        match job.content {
            Content::Leaves(leaves) => self.leaves(&directory, &job.path, &leaves, done),
            Content::Children(node) => {
                let children = expand(node)?.unwrap_or_default().children;
                self.children(&directory, job.path, children, done)
            }
        }
    }

    fn children(
        &self,
        directory: &OwnedFd,
        path: PathBuf,
        children: std::collections::BTreeMap<Vec<u8>, Node>,
        done: &mut Done,
    ) -> Result<(), GitError> {
        let mut leaves = Vec::new();
        for (name, node) in children {
            match node {
                Node::Leaf(leaf) => leaves.push((name, leaf)),
                Node::Whiteout => self.whiteout(directory, &path.join(OsStr::from_bytes(&name)), &name, done)?,
                node => {
                    let inner = path.join(OsStr::from_bytes(&name));
                    self.directory(directory, &inner, &name, node.directory_meta())?;
                    done.written.directories += 1;
                    done.directories.push(inner.clone());
                    done.jobs.push(Job { path: inner, content: Content::Children(node) });
                }
            }
        }
        while leaves.len() > LEAVES_PER_JOB {
            let content = Content::Leaves(leaves.split_off(leaves.len() - LEAVES_PER_JOB));
            done.jobs.push(Job { path: path.clone(), content });
        }
        self.leaves(directory, &path, &leaves, done)
    }

    fn leaves(
        &self,
        directory: &OwnedFd,
        path: &Path,
        leaves: &[(Vec<u8>, Leaf)],
        done: &mut Done,
    ) -> Result<(), GitError> {
        let mut borrowed: Option<(&Repository, Objects<'_>)> = None;
        for (name, leaf) in leaves {
            let repository = &leaf.root.repository;
            if borrowed.as_ref().is_none_or(|(of, _)| *of != repository) {
                borrowed = Some((repository, repository.objects()?));
            }
            let Some((_, objects)) = &borrowed else { continue };
            let path = path.join(OsStr::from_bytes(name));
            match leaf.mode {
                FileMode::Symlink => self.symlink(directory, &path, name, leaf, objects)?,
                _ => done.written.bytes += self.file(directory, &path, name, leaf, objects)?,
            }
            match leaf.mode {
                FileMode::Symlink => done.written.symlinks += 1,
                _ => done.written.files += 1,
            }
        }
        Ok(())
    }

    fn file(
        &self,
        directory: &OwnedFd,
        path: &Path,
        name: &[u8],
        leaf: &Leaf,
        objects: &Objects<'_>,
    ) -> Result<u64, GitError> {
        let failed = |error: Errno| self.failed("write", path, error);
        let mode = Mode::from_raw_mode(if leaf.mode == FileMode::Executable { 0o755 } else { 0o644 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(fs::openat(directory, name, flags, mode).map_err(failed)?);
        let mut counted = Counted { file: &file, bytes: 0 };
        objects.copy_blob(leaf.id, &mut counted)?.map_err(|error| self.failed_io("write", path, error))?;
        let bytes = counted.bytes;
        self.apply_owner(&file, path, leaf.owner)?;
        if !self.plain_modes {
            fs::fchmod(&file, mode).map_err(failed)?;
        }
        fs::futimens(&file, &self.times()).map_err(failed)?;
        Ok(bytes)
    }

    fn symlink(
        &self,
        directory: &OwnedFd,
        path: &Path,
        name: &[u8],
        leaf: &Leaf,
        objects: &Objects<'_>,
    ) -> Result<(), GitError> {
        let failed = |error: Errno| self.failed("link", path, error);
        let target = objects.read(leaf.id, ObjectType::Blob)?;
        fs::symlinkat(target.data(), directory, name).map_err(failed)?;
        if self.options.ownership == Ownership::Real && leaf.owner != (0, 0) {
            let (uid, gid) = ids(leaf.owner);
            fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        fs::utimensat(directory, name, &self.times(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
    }

    fn whiteout(&self, directory: &OwnedFd, path: &Path, name: &[u8], done: &mut Done) -> Result<(), GitError> {
        let failed = |error: Errno| self.failed("white out", path, error);
        fs::mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(failed)?;
        fs::utimensat(directory, name, &self.times(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        done.written.whiteouts += 1;
        Ok(())
    }

    fn directory(
        &self,
        parent: &OwnedFd,
        path: &Path,
        name: &[u8],
        meta: Option<DirectoryMeta>,
    ) -> Result<(), GitError> {
        let failed = |error: Errno| self.failed("create", path, error);
        fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = fs::openat(parent, name, flags, Mode::empty()).map_err(failed)?;
        self.apply_to_directory(&directory, path, self.directory_meta(path, meta))
    }

    fn directory_meta(&self, path: &Path, placed: Option<DirectoryMeta>) -> DirectoryMeta {
        let below = (self.options.directories)(&Path::new("/").join(path));
        below.or(placed).unwrap_or(DirectoryMeta { mode: TARGET_MODE, owner: (0, 0) })
    }

    fn apply_to_directory(&self, directory: &OwnedFd, path: &Path, meta: DirectoryMeta) -> Result<(), GitError> {
        self.apply_owner(directory, path, meta.owner)?;
        fs::fchmod(directory, Mode::from_raw_mode(meta.mode & 0o7777))
            .map_err(|error| self.failed("change", path, error))
    }

    fn apply_owner(&self, file: impl AsFd, path: &Path, owner: Owner) -> Result<(), GitError> {
        let result = match self.options.ownership {
            _ if owner == (0, 0) => Ok(()),
            Ownership::Real => {
                let (uid, gid) = ids(owner);
                fs::fchown(file, uid, gid)
            }
            Ownership::Recorded => {
                fs::fsetxattr(file, OWNER_XATTR, owner_record(owner.0, owner.1).as_bytes(), XattrFlags::empty())
            }
        };
        result.map_err(|error| self.failed("set the owner of", path, error))
    }

    fn set_directory_times(&self) -> Result<(), GitError> {
        for path in lock(&self.directories).iter() {
            fs::utimensat(&self.root, path, &self.times(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| self.failed("set the time of", path, error))?;
        }
        let root = fs::futimens(&self.root, &self.times());
        root.map_err(|error| self.failed("set the time of", Path::new(""), error))
    }

    fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.options.mtime, tv_nsec: 0 };
        Timestamps { last_access: time, last_modification: time }
    }

    fn failed(&self, action: &'static str, path: &Path, error: Errno) -> GitError {
        self.failed_io(action, path, error.into())
    }

    fn failed_io(&self, action: &'static str, path: &Path, error: std::io::Error) -> GitError {
        GitError::io(action, self.destination.join(path), error)
    }
}

/// What one job did and found.
#[derive(Default)]
struct Done {
    written: Layout,
    directories: Vec<PathBuf>,
    jobs: Vec<Job>,
}

impl Layout {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.directories += other.directories;
        self.symlinks += other.symlinks;
        self.whiteouts += other.whiteouts;
        self.bytes += other.bytes;
    }
}

struct Counted<'a> {
    file: &'a File,
    bytes: u64,
}

impl std::io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether files get the modes they are created with. The umask cannot be asked for without changing it for all threads,
/// so a file is tried.
fn has_plain_umask(directory: &OwnedFd) -> Result<bool, Errno> {
    const NAME: &str = ".stager-umask";
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let probe = fs::openat(directory, NAME, flags, Mode::from_raw_mode(0o755))?;
    let mode = fs::fstat(&probe).map(|stat| stat.st_mode & 0o777);
    fs::unlinkat(directory, NAME, AtFlags::empty())?;
    Ok(mode? == 0o755)
}

fn ids((uid, gid): Owner) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}
