//! Copying one file to another by the cheapest way that the file system has.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::io::Errno;

/// Copies `size` bytes: shares the blocks where the file system can, else lets the kernel copy, else reads and writes.
pub(super) fn copy_file(source: &OwnedFd, target: &OwnedFd, size: u64) -> io::Result<()> {
    if size == 0 || fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    let mut left = size;
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(1 << 30).min(1 << 30);
        match fs::copy_file_range(source, None, target, None, chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => left -= count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                return copy_by_hand(source, target, left);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(source: &OwnedFd, target: &OwnedFd, left: u64) -> io::Result<()> {
    let mut target = File::from(target.try_clone()?);
    let copied = io::copy(&mut File::from(source.try_clone()?).take(left), &mut target)?;
    if copied < left { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}
