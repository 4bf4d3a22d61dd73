//! The owner emulation of the single-id mode: `chown` and its family, answered by the runner.
//!
//! With one mapped id the kernel refuses to give a file to anybody else, and `apt-get install` fails at its first
//! `chown`. So the step's filter hands these calls over; the runner finds the file as the caller would (in the caller's
//! root, from its working directory or descriptor), records the wished owner in the extended attribute
//! [`OWNER_XATTR`], and says that it worked. Packing a layer reads the attribute. What is lost, by declaration:
//! processes of the step see every file as root's (busybox, which reads the owner that it isn't told to change, thus
//! gives the other half back to root); and symbolic links, devices, pipes and sockets stay root's, since
//! Linux allows them no user attributes.
//!
//! The runner resolves the path with its root changed to the caller's, through handles that were opened while the
//! caller was known to wait: a racing step can at most put the attribute on another of its own files.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    FileType, Mode, OFlags, ResolveFlags, XattrFlags, fchmod, fgetxattr, fremovexattr, fsetxattr, fstat, open, openat,
    openat2,
};
use rustix::io::Errno;
use rustix::process::{chroot, fchdir};

use super::sys::{self, Notification};
use crate::layer::{OWNER_XATTR, owner_record, parse_owner_record};

const UNCHANGED: u32 = u32::MAX;
const PATH_MAX: usize = 4096;

/// Answers the owner calls of one step.
pub(super) struct Supervisor {
    /// The runner's own /proc: it stays reachable when the root has been changed.
    proc: OwnedFd,
    listener: Option<OwnedFd>,
}

/// An owner call, whichever way it was made.
#[derive(Debug, PartialEq, Eq)]
struct OwnerCall {
    file: FileReference,
    uid: u32,
    gid: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum FileReference {
    Descriptor(i32),
    Path { directory: i32, address: u64, follow: bool, allow_empty: bool },
}

impl Supervisor {
    pub(super) fn new() -> io::Result<Self> {
        let proc = open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { proc, listener: None })
    }

    /// Ready to read when a call waits for [`Self::serve`].
    pub(super) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn set_listener(&mut self, listener: OwnedFd) {
        self.listener = Some(listener);
    }

    /// Answers what waits. Drops the listener when nobody is left to ask.
    pub(super) fn serve(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        loop {
            let mut fds = [PollFd::new(&listener, PollFlags::IN)];
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut fds, Some(&none)).is_err() {
                break;
            }
            let events = fds[0].revents();
            if !events.contains(PollFlags::IN) {
                if !events.is_empty() {
                    return; // Hung up.
                }
                break;
            }
            match sys::receive_notification(listener.as_fd()) {
                Ok(notification) => self.answer(listener.as_fd(), &notification),
                // ENOENT: the caller died between the poll and here.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {}
                Err(_) => return,
            }
        }
        self.listener = Some(listener);
    }

    fn answer(&self, listener: BorrowedFd<'_>, notification: &Notification) {
        let result = match decode(notification) {
            Some(call) => self.record(listener, notification, &call),
            None => Err(Errno::NOSYS),
        };
        sys::answer_notification(listener, notification.id, result.err().map_or(0, Errno::raw_os_error));
    }

    fn record(&self, listener: BorrowedFd<'_>, caller: &Notification, call: &OwnerCall) -> Result<(), Errno> {
        let (handle, opened) = match &call.file {
            FileReference::Descriptor(number) => (self.descriptor(caller, *number)?, true),
            FileReference::Path { directory, address, follow, allow_empty } => {
                let path = self.read_path(caller, *address)?;
                let start = match *directory {
                    libc::AT_FDCWD => self.open_of(caller, "cwd")?,
                    // The descriptor is ignored then, and may be anything.
                    _ if path.as_bytes().starts_with(b"/") => self.open_of(caller, "root")?,
                    number => self.descriptor(caller, number)?,
                };
                let root = self.open_of(caller, "root")?;
                if !sys::notification_is_valid(listener, caller.id) {
                    return Ok(()); // Nobody waits for the answer.
                }
                if path.is_empty() {
                    if !*allow_empty {
                        return Err(Errno::NOENT);
                    }
                    (start, true)
                } else {
                    match find(&root, &start, &path, *follow) {
                        // Its own descriptors by another name: pipes and devices, which keep no owner anyway.
                        Err(_) if is_about_itself(path.as_bytes()) => return Ok(()),
                        found => (found?, false),
                    }
                }
            }
        };
        if opened && !sys::notification_is_valid(listener, caller.id) {
            return Ok(());
        }
        self.write_owner(&handle, call)
    }

    fn open_of(&self, caller: &Notification, name: &str) -> Result<OwnedFd, Errno> {
        openat(&self.proc, format!("{}/{name}", caller.pid), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
    }

    fn descriptor(&self, caller: &Notification, number: i32) -> Result<OwnedFd, Errno> {
        self.open_of(caller, &format!("fd/{number}")).map_err(|_| Errno::BADF)
    }

    fn read_path(&self, caller: &Notification, address: u64) -> Result<CString, Errno> {
        let name = format!("{}/mem", caller.pid);
        let memory = openat(&self.proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = vec![0; PATH_MAX];
        let length = rustix::io::pread(&memory, &mut bytes, address).map_err(|_| Errno::FAULT)?;
        bytes.truncate(length);
        let text = CStr::from_bytes_until_nul(&bytes);
        text.map(CStr::to_owned).map_err(|_| if length == PATH_MAX { Errno::NAMETOOLONG } else { Errno::FAULT })
    }

    fn write_owner(&self, handle: &OwnedFd, call: &OwnerCall) -> Result<(), Errno> {
        if call.uid == UNCHANGED && call.gid == UNCHANGED {
            return Ok(());
        }
        let stat = fstat(handle)?;
        if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory) {
            return Ok(()); // No user attributes there: a declared loss.
        }
        let own_name = sys::proc_path(handle).replacen("/proc/", "", 1);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.proc, own_name, flags, Mode::empty())?;
        let (uid, gid) = present_owner(&file);
        let wished = (merge(call.uid, uid), merge(call.gid, gid));
        if wished != (uid, gid) {
            ignore_unsupported(if wished == (0, 0) {
                fremovexattr(&file, OWNER_XATTR)
            } else {
                fsetxattr(&file, OWNER_XATTR, owner_record(wished.0, wished.1).as_bytes(), XattrFlags::empty())
            })?;
        }
        clear_set_ids(&file, stat.st_mode)
    }
}

/// A file system without user attributes (an old tmpfs) loses owners, as declared.
fn ignore_unsupported(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOTSUP | Errno::NODATA) => Ok(()),
        other => other,
    }
}

fn merge(wished: u32, present: u32) -> u32 {
    if wished == UNCHANGED { present } else { wished }
}

fn present_owner(file: &OwnedFd) -> (u32, u32) {
    let mut value = [0; 32];
    let length = fgetxattr(file, OWNER_XATTR, &mut value).unwrap_or(0);
    value.get(..length).and_then(parse_owner_record).unwrap_or((0, 0))
}

/// A change of owner takes the set-id bits from a program.
fn clear_set_ids(file: &OwnedFd, mode: u32) -> Result<(), Errno> {
    let is_program = FileType::from_raw_mode(mode) == FileType::RegularFile;
    let set_ids = mode & libc::S_ISUID | if mode & libc::S_IXGRP != 0 { mode & libc::S_ISGID } else { 0 };
    if is_program && set_ids != 0 { fchmod(file, Mode::from_raw_mode(mode & 0o7777 & !set_ids)) } else { Ok(()) }
}

/// Names that mean something else to each process, and nothing to the runner.
fn is_about_itself(path: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 6] =
        [b"/dev/stdin", b"/dev/stdout", b"/dev/stderr", b"/dev/fd/", b"/proc/self/", b"/proc/thread-self/"];
    PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Resolves a path as a process with this root, starting from `start`, would. Changes this process's root.
fn find(root: &OwnedFd, start: &OwnedFd, path: &CStr, follow: bool) -> Result<OwnedFd, Errno> {
    fchdir(root)?;
    chroot(".")?;
    let flags = OFlags::PATH | OFlags::CLOEXEC | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    openat2(start, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
}

fn decode(notification: &Notification) -> Option<OwnerCall> {
    let args = notification.args;
    let (first, uid, gid) = (args[0], args[1] as u32, args[2] as u32);
    let path = |follow| FileReference::Path { directory: libc::AT_FDCWD, address: first, follow, allow_empty: false };
    #[cfg(target_arch = "x86_64")]
    if notification.arch == super::seccomp::ARCH_I386 {
        let wide = |id: u64| if id as u16 == u16::MAX { UNCHANGED } else { u32::from(id as u16) };
        let (uid16, gid16) = (wide(args[1]), wide(args[2]));
        return match notification.number {
            16 => Some(OwnerCall { file: path(false), uid: uid16, gid: gid16 }),
            95 => Some(OwnerCall { file: FileReference::Descriptor(first as i32), uid: uid16, gid: gid16 }),
            182 => Some(OwnerCall { file: path(true), uid: uid16, gid: gid16 }),
            198 => Some(OwnerCall { file: path(false), uid, gid }),
            207 => Some(OwnerCall { file: FileReference::Descriptor(first as i32), uid, gid }),
            212 => Some(OwnerCall { file: path(true), uid, gid }),
            298 => Some(decode_at(args)),
            _ => None,
        };
    }
    match libc::c_long::from(notification.number) {
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chown => Some(OwnerCall { file: path(true), uid, gid }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lchown => Some(OwnerCall { file: path(false), uid, gid }),
        libc::SYS_fchown => Some(OwnerCall { file: FileReference::Descriptor(first as i32), uid, gid }),
        libc::SYS_fchownat => Some(decode_at(args)),
        _ => None,
    }
}

fn decode_at(args: [u64; 6]) -> OwnerCall {
    let flags = args[4] as i32;
    let file = FileReference::Path {
        directory: args[0] as i32,
        address: args[1],
        follow: flags & libc::AT_SYMLINK_NOFOLLOW == 0,
        allow_empty: flags & libc::AT_EMPTY_PATH != 0,
    };
    OwnerCall { file, uid: args[2] as u32, gid: args[3] as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_owner_keeps_the_other_half() {
        assert_eq!((merge(UNCHANGED, 7), merge(3, 7)), (7, 3));
    }
}
