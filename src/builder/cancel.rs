//! A cancellation that threads can test and file-descriptor loops can wait for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A flag that is raised once and stays raised; clones share it.
#[derive(Debug, Clone)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    raised: Arc<AtomicBool>,
    event: OwnedFd,
}

impl CancelToken {
    /// A token that nobody has raised. Fails only when the process is out of file descriptors.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inner: Arc::new(Inner { raised: Arc::default(), event }) })
    }

    /// Raises the flag and wakes everybody who waits. Does nothing the second time.
    pub fn cancel(&self) {
        self.inner.raised.store(true, Ordering::SeqCst);
        // The counter is never read, so it stays readable for every waiter; a write fails only when it is already huge.
        let _ = rustix::io::write(&self.inner.event, &1u64.to_ne_bytes());
    }

    /// The flag itself, for code that only tests it.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.inner.raised
    }

    /// Whether the flag is raised.
    pub fn is_cancelled(&self) -> bool {
        self.inner.raised.load(Ordering::SeqCst)
    }
}

impl AsFd for CancelToken {
    /// Readable once the flag is raised: for `poll`, never to be read from.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(token: &CancelToken) -> bool {
        let mut fds = [PollFd::new(token, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn a_raised_token_wakes_every_clone() {
        let token = CancelToken::new().unwrap();
        let clone = token.clone();
        assert!(!clone.is_cancelled() && !is_readable(&clone));
        token.cancel();
        token.cancel();
        assert!(clone.is_cancelled() && is_readable(&clone) && is_readable(&token));
    }
}
