//! One pass over the directories of a work tree, against the index.
//!
//! Each directory is read once and its files are asked for relative to it, on two or more threads. A file whose size,
//! times and inode are those that git noted is taken as unchanged, unless it is as young as the index (git's "racy"
//! entries); any other file is hashed.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Mutex;

use git2::{ObjectType, Oid};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

use super::diff::ChangeKind;
use super::error::{GitError, shown};
use super::index::{Index, IndexEntry, Time};
use super::jobs;
use super::join::join;
use super::known::Known;
use super::repository::{Repository, lock};
use super::staged::{Committed, Staged};
use super::tree::FileMode;
use super::worktree::{Reach, Scopes};

/// What the pass found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Tracked paths that differ from HEAD.
    pub(super) changes: Vec<(Vec<u8>, ChangeKind)>,
    /// Paths that are not in the index, and whether they are directories.
    pub(super) untracked: Vec<(Vec<u8>, bool)>,
    /// Submodules with a directory, and the commit that HEAD records if it records one.
    pub(super) submodules: Vec<(Vec<u8>, Option<Oid>)>,
}

/// What git's configuration says about the file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust {
    /// `core.fileMode`: the executable bit means something.
    pub(super) file_mode: bool,
    /// `core.trustctime`.
    pub(super) changed_time: bool,
}

pub(super) struct Scan<'a> {
    pub(super) repository: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) staged: &'a Staged,
    pub(super) scopes: &'a Scopes<'a>,
    pub(super) trust: Trust,
    pub(super) threads: usize,
    /// What an earlier run hashed.
    pub(super) known: Option<&'a Known>,
}

impl Scan<'_> {
    pub(super) fn run(&self) -> Result<Findings, GitError> {
        let path = self.repository.work_path(b"")?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(&path, flags, Mode::empty()).map_err(|error| GitError::io("open", &path, error))?;
        let findings = Mutex::new(Findings::default());
        let first = Job { prefix: Vec::new(), range: 0..self.index.entries().len(), reach: self.scopes.reach(b"") };
        jobs::run(self.threads, first, &|job, more| {
            let mut visit = Visit { scan: self, job, findings: Findings::default(), more };
            visit.directory(&root)?;
            let Findings { mut changes, mut untracked, mut submodules } = visit.findings;
            if !(changes.is_empty() && untracked.is_empty() && submodules.is_empty()) {
                let mut findings = lock(&findings);
                findings.changes.append(&mut changes);
                findings.untracked.append(&mut untracked);
                findings.submodules.append(&mut submodules);
            }
            Ok(())
        })?;
        Ok(findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// One directory to visit.
struct Job {
    /// Ends in `/`, or is empty for the root.
    prefix: Vec<u8>,
    /// The index entries below it.
    range: Range<usize>,
    reach: Reach,
}

/// What the index has directly in a directory.
enum Child {
    File(usize),
    Directory(Range<usize>),
    /// A directory outside of a sparse checkout.
    Sparse,
}

struct Visit<'a> {
    scan: &'a Scan<'a>,
    job: Job,
    findings: Findings,
    more: &'a mut Vec<Job>,
}

impl Visit<'_> {
    fn directory(&mut self, root: &OwnedFd) -> Result<(), GitError> {
        let Some((directory, names)) = self.read(root)? else { return Ok(()) };
        let children = self.children();
        for pair in join(names, children, |(name, _), (child, _)| name.as_slice().cmp(child)) {
            match pair {
                (Some((name, kind)), Some((_, child))) => self.both(&directory, &name, kind, child)?,
                (Some((name, kind)), None) => self.untracked(&name, is_directory(&directory, &name, kind)),
                (None, Some((_, child))) => self.gone(&child),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// The directory and its sorted names; `None` if it is gone since its parent was read.
    #[expect(clippy::type_complexity, reason = "used once")]
    fn read(&self, root: &OwnedFd) -> Result<Option<(OwnedFd, Vec<(Vec<u8>, FileType)>)>, GitError> {
        let path = if self.job.prefix.is_empty() { b".".as_slice() } else { &self.job.prefix };
        let failed = |error: Errno| GitError::io("read", OsStr::from_bytes(path), error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A slash at the end would make NOFOLLOW follow.
        let bare = path.strip_suffix(b"/").unwrap_or(path);
        let directory = match fs::openat(root, bare, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::with_capacity(64);
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b".." | b".git") {
                names.push((name.to_vec(), entry.file_type()));
            }
        }
        names.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Some((directory, names)))
    }

    /// What the index has directly here, sorted by plain name.
    fn children(&self) -> Vec<(Vec<u8>, Child)> {
        let index = self.scan.index;
        let mut children: Vec<(Vec<u8>, Child)> = Vec::new();
        let mut at = self.job.range.start;
        while at < self.job.range.end {
            let path = index.path(&index.entries()[at]);
            let rest = &path[self.job.prefix.len()..];
            match rest.iter().position(|&byte| byte == b'/') {
                Some(slash) if slash + 1 == rest.len() => {
                    children.push((rest[..slash].to_vec(), Child::Sparse));
                    at += 1;
                }
                Some(slash) => {
                    let below = index.below(at..self.job.range.end, &path[..=self.job.prefix.len() + slash]);
                    at = below.end;
                    children.push((rest[..slash].to_vec(), Child::Directory(below)));
                }
                None => {
                    // A conflict has several entries for one path; each is unsettled.
                    if children.last().is_none_or(|(name, _)| name != rest) {
                        children.push((rest.to_vec(), Child::File(at)));
                    }
                    at += 1;
                }
            }
        }
        children.sort_by(|(one, _), (other, _)| one.cmp(other));
        children
    }

    fn both(&mut self, directory: &OwnedFd, name: &[u8], kind: FileType, child: Child) -> Result<(), GitError> {
        match child {
            Child::Sparse => Ok(()),
            Child::Directory(range) if is_directory(directory, name, kind) => {
                let mut prefix = self.path(name);
                let reach = if self.job.reach == Reach::Whole { Reach::Whole } else { self.scan.scopes.reach(&prefix) };
                prefix.push(b'/');
                if reach != Reach::Nothing {
                    self.more.push(Job { prefix, range, reach });
                }
                Ok(())
            }
            Child::Directory(_) => {
                self.gone(&child);
                self.untracked(name, false);
                Ok(())
            }
            Child::File(at) if self.scan.index.entries()[at].file_mode() == Some(FileMode::Submodule) => {
                self.submodule(name, at);
                Ok(())
            }
            Child::File(at) => self.file(directory, name, at),
        }
    }

    fn submodule(&mut self, name: &[u8], at: usize) {
        let path = self.path(name);
        if self.job.reach == Reach::Whole || self.scan.scopes.reach(&path) != Reach::Nothing {
            let recorded = match self.scan.staged.of(at) {
                Committed::Same => Some(self.scan.index.entries()[at].id),
                Committed::Other(FileMode::Submodule, id) => Some(id),
                Committed::Other(..) | Committed::Absent => None,
            };
            self.findings.submodules.push((path, recorded));
        }
    }

    fn file(&mut self, directory: &OwnedFd, name: &[u8], at: usize) -> Result<(), GitError> {
        if !self.in_scope(name) {
            return Ok(());
        }
        let stat = match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                self.gone(&Child::File(at));
                return Ok(());
            }
            Err(error) => return Err(GitError::io("read", OsStr::from_bytes(&self.path(name)), error)),
        };
        let entry = &self.scan.index.entries()[at];
        let committed = self.scan.staged.of(at);
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            self.gone(&Child::File(at));
            self.untracked(name, true);
            return Ok(());
        }
        let settled = entry.unwatched || !entry.unsettled && self.is_as_noted(entry, &stat);
        let kind = match committed {
            Committed::Same if settled => return Ok(()),
            Committed::Absent => ChangeKind::Added,
            Committed::Other(..) if settled => ChangeKind::Modified,
            Committed::Same => match entry.file_mode() {
                // git notes a size of 0 for entries that it wants to be hashed.
                Some(mode) if entry.size == 0 || entry.size == stat.st_size as u32 => {
                    return self.compare(name, &stat, mode, entry.id);
                }
                _ => ChangeKind::Modified,
            },
            Committed::Other(mode, id) => return self.compare(name, &stat, mode, id),
        };
        self.findings.changes.push((self.path(name), kind));
        Ok(())
    }

    fn compare(&mut self, name: &[u8], stat: &Stat, mode: FileMode, id: Oid) -> Result<(), GitError> {
        let path = self.path(name);
        let same_mode = mode_on_disk(stat, mode, self.scan.trust) == Some(mode);
        let known = self.scan.known.and_then(|known| known.blob(&path, stat));
        let same = same_mode
            && match known {
                Some(known) => known == id,
                None => hash_on_disk(self.scan.repository, &path, mode)? == Some(id),
            };
        if !same {
            self.findings.changes.push((path, ChangeKind::Modified));
        }
        Ok(())
    }

    fn is_as_noted(&self, entry: &IndexEntry, stat: &Stat) -> bool {
        let time = |seconds: i64, nanoseconds: u64| Time {
            seconds: seconds as u32,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or_default(),
        };
        let modified = time(stat.st_mtime, stat.st_mtime_nsec);
        let changed = time(stat.st_ctime, stat.st_ctime_nsec);
        entry.size == stat.st_size as u32
            && entry.inode == stat.st_ino as u32
            && same_time(entry.modified, modified)
            && (!self.scan.trust.changed_time || same_time(entry.changed, changed))
            && entry.file_mode().is_some_and(|mode| mode_on_disk(stat, mode, self.scan.trust) == Some(mode))
            && is_older(entry.modified, self.scan.index.written)
    }

    /// Records tracked paths as removed.
    fn gone(&mut self, child: &Child) {
        let range = match child {
            Child::Sparse => return,
            Child::File(at) => *at..*at + 1,
            Child::Directory(range) => range.clone(),
        };
        for at in range {
            let entry = &self.scan.index.entries()[at];
            let path = self.scan.index.path(entry);
            // A submodule without a directory is one that was never asked for.
            let expected = !entry.unwatched && !matches!(entry.file_mode(), Some(FileMode::Submodule | FileMode::Tree));
            if expected && self.scan.staged.of(at) != Committed::Absent && self.scan.scopes.contains(path) {
                self.findings.changes.push((path.to_vec(), ChangeKind::Removed));
            }
        }
    }

    fn untracked(&mut self, name: &[u8], is_directory: bool) {
        let path = self.path(name);
        let relevant = if is_directory {
            self.job.reach == Reach::Whole || self.scan.scopes.reach(&path) != Reach::Nothing
        } else {
            self.in_scope(name)
        };
        if relevant {
            self.findings.untracked.push((path, is_directory));
        }
    }

    fn in_scope(&self, name: &[u8]) -> bool {
        self.job.reach == Reach::Whole || self.scan.scopes.contains(&self.path(name))
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        [&self.job.prefix, name].concat()
    }
}

fn is_directory(directory: &OwnedFd, name: &[u8], kind: FileType) -> bool {
    match kind {
        FileType::Unknown => fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()),
        kind => kind.is_dir(),
    }
}

/// Times are the same as far as both are known.
fn same_time(one: Time, other: Time) -> bool {
    let known = one.nanoseconds != 0 && other.nanoseconds != 0;
    one.seconds == other.seconds && (!known || one.nanoseconds == other.nanoseconds)
}

/// Whether a file was certainly changed before the index was written.
fn is_older(modified: Time, written: Time) -> bool {
    if modified.nanoseconds == 0 || written.nanoseconds == 0 {
        modified.seconds < written.seconds
    } else {
        modified < written
    }
}

/// The mode that git would note for a file; where the executable bit means nothing, that of the tree.
pub(super) fn mode_on_disk(stat: &Stat, recorded: FileMode, trust: Trust) -> Option<FileMode> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => Some(FileMode::Symlink),
        FileType::RegularFile if !trust.file_mode && recorded == FileMode::Executable => Some(FileMode::Executable),
        FileType::RegularFile if trust.file_mode && stat.st_mode & 0o100 != 0 => Some(FileMode::Executable),
        FileType::RegularFile => Some(FileMode::Regular),
        _ => None,
    }
}

/// The blob id that a working file would get; `None` if it is gone.
pub(super) fn hash_on_disk(repository: &Repository, path: &[u8], mode: FileMode) -> Result<Option<Oid>, GitError> {
    let place = repository.work_path(path)?;
    let failed = |error| repository.failed(format!("hash `{}`", shown(path)), error);
    if mode == FileMode::Symlink {
        return match fs::readlink(&place, Vec::new()) {
            Ok(target) => Oid::hash_object(ObjectType::Blob, target.as_bytes()).map(Some).map_err(failed),
            Err(_) => Ok(None),
        };
    }
    match Oid::hash_file(ObjectType::Blob, &place) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
