//! The directories of a store.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;
use rustix::fs::FlockOperation;

use super::Error;

/// An opened store root.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
    boot: String,
}

impl Home {
    /// Opens a store, making its directories when they are not there.
    ///
    /// # Errors
    /// When it belongs to another user, or can't be written.
    pub fn open(root: &Path, user: u32) -> Result<Self, Error> {
        fs::create_dir_all(root)?;
        let owner = fs::metadata(root)?.uid();
        if owner != user {
            return Err(Error::Foreign { path: root.display().to_string(), owner, user });
        }
        for directory in ["blobs/sha256", "snapshots", "git", "cache", "locks", "tmp", "trash"] {
            let path = root.join(directory);
            if !path.is_dir() {
                fs::create_dir_all(path)?;
            }
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { root: root.to_owned(), boot })
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of this boot of the machine.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// The database file.
    pub fn index_path(&self) -> PathBuf {
        self.root.join("index-v1.db")
    }

    /// A layer directory.
    pub fn snapshot(&self, name: &str) -> PathBuf {
        self.root.join("snapshots").join(name)
    }

    /// Clones of remote repositories.
    pub fn git(&self) -> PathBuf {
        self.root.join("git")
    }

    /// The directory of a cache mount.
    pub fn cache(&self, project: &str, id: &str) -> PathBuf {
        let name = blake3::hash(id.as_bytes()).to_hex();
        self.root.join("cache").join(project).join(&name[..32])
    }

    /// The lock file of that name.
    pub fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    /// A directory for work in progress. It is locked while this process lives, so that [`Home::reclaim`] of another
    /// process leaves it alone.
    pub fn temp(&self) -> Result<TempDir, Error> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join("tmp").join(format!("{}-{count}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let lock = fs::File::open(&path)?;
                    rustix::fs::flock(lock.file(), FlockOperation::NonBlockingLockExclusive)
                        .map_err(io::Error::from)?;
                    return Ok(TempDir { path, trash: self.trash_path(), _lock: lock });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Names of work directories that no living process holds: what a killed run left. They are moved to the trash; the
    /// caller deletes that.
    pub fn reclaim(&self) -> Result<usize, Error> {
        let mut moved = 0;
        for entry in fs::read_dir(self.root.join("tmp"))? {
            let path = entry?.path();
            let Ok(file) = fs::File::open(&path) else { continue };
            if rustix::fs::flock(file.file(), FlockOperation::NonBlockingLockExclusive).is_ok()
                && fs::rename(&path, self.trash_path()).is_ok()
            {
                moved += 1;
            }
        }
        Ok(moved)
    }

    /// Moves an object away, to be deleted later.
    pub fn discard(&self, path: &Path) -> Result<(), Error> {
        match fs::rename(path, self.trash_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => Ok(other?),
        }
    }

    /// What waits to be deleted.
    pub fn trash(&self) -> Result<Vec<PathBuf>, Error> {
        fs::read_dir(self.root.join("trash"))?.map(|entry| Ok(entry?.path())).collect()
    }

    /// Moves a finished layer directory in, under a new name, which is returned.
    pub fn keep_snapshot(&self, directory: &Path) -> Result<String, Error> {
        let name = unique_name();
        fs::rename(directory, self.snapshot(&name))?;
        Ok(name)
    }

    fn trash_path(&self) -> PathBuf {
        self.root.join("trash").join(unique_name())
    }
}

/// A directory for work in progress; what is left in it is moved to the trash when this is dropped.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
    trash: PathBuf,
    _lock: fs::File,
}

impl TempDir {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // An empty one is simply removed; the other way out is `Home::reclaim` of a later run.
        if fs::remove_dir(&self.path).is_err() {
            let _moved = fs::rename(&self.path, &self.trash);
        }
    }
}

/// A name that no other process or run of this machine uses.
fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut random = [0_u8; 16];
    // Names must differ, not be secret: on failure the process id and the counter still tell them apart.
    let _filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    let random = u128::from_le_bytes(random);
    format!("{random:032x}-{}-{count}", std::process::id())
}
