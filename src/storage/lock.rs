//! Locks between processes: a file held by `flock`, freed by the kernel when its holder dies.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// A held lock; freed when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file can't be used.
    #[error("cannot lock")]
    Io(#[from] io::Error),
    /// Somebody else held it for all of the time given.
    #[error("waited {} s for {what}, which another stager holds", waited.as_secs())]
    Deadline {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// The wait was interrupted.
    #[error("interrupted while waiting for {what}")]
    Cancelled {
        /// What was waited for.
        what: String,
    },
}

impl Lock {
    /// Takes the lock if nobody holds it.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match rustix::fs::flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits for the lock, up to a deadline. `waiting` is called once when there is something to wait for, and `cancelled`
    /// is asked every few milliseconds.
    pub fn take(
        path: &Path,
        what: &str,
        deadline: Duration,
        waiting: impl FnOnce(),
        cancelled: impl Fn() -> bool,
    ) -> Result<Self, LockError> {
        if let Some(lock) = Self::try_take(path)? {
            return Ok(lock);
        }
        waiting();
        let start = Instant::now();
        loop {
            if cancelled() {
                return Err(LockError::Cancelled { what: what.to_owned() });
            }
            if start.elapsed() > deadline {
                return Err(LockError::Deadline { what: what.to_owned(), waited: start.elapsed() });
            }
            std::thread::sleep(Duration::from_millis(20));
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
        }
    }
}
