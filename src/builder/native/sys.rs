//! The system calls that neither std nor rustix wraps safely. The only file of the program with `unsafe`.
//!
//! Every function here is callable from safe code; those that hold only in a single-threaded process say so and are
//! used by the helper processes alone.
#![expect(unsafe_code, reason = "raw system calls of the embedded builder live here and nowhere else")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::Pid;

/// The highest signal number of Linux.
const LAST_SIGNAL: libc::c_int = 64;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks; the child gets `None`.
///
/// For single-threaded processes only: in a process with threads the child may find locks held for ever.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: fork itself has no memory-safety conditions; callers are the single-threaded helper processes (see above),
    // so that every lock and the allocator are in a consistent state in the child.
    let pid = check(unsafe { libc::fork() }.into())?;
    Ok(Pid::from_raw(pid as i32))
}

/// Ends the process at once, without running destructors or flushing anything.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no conditions.
    unsafe { libc::_exit(code) }
}

/// Takes ownership of a descriptor inherited at a fixed number.
///
/// Call it once per number, first thing in a fresh process.
pub(super) fn inherited_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl only looks the number up.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) }.into())?;
    // SAFETY: the number is open (just checked), and by the contract nothing else in this fresh process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor from `first` on. For the start of a helper, when nothing owns one of them.
pub(super) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: no owner of such a descriptor exists by the contract; the call touches no memory.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) }).map(drop)
}

/// Marks every descriptor from `first` on to be closed by the next exec.
pub(super) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: sets a flag on descriptors, touches no memory.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// Adds mount attributes (`MOUNT_ATTR_*`) to a mount and, if `recursive`, to all below it.
pub(super) fn mount_setattr(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    // The kernel's struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
    let request: [u64; 4] = [attributes, 0, 0, 0];
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated constant, the request lives through the call and its true size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            request.as_ptr(),
            size_of_val(&request),
        )
    })
    .map(drop)
}

/// Gives every signal its default action and unblocks all of them, as a program expects to find them.
///
/// The Rust runtime ignores SIGPIPE, and the engine may have been started with others ignored or blocked.
pub(super) fn reset_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: installs no handler; fails harmlessly for SIGKILL, SIGSTOP and the C library's own.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    set_signal_mask(libc::SIG_SETMASK, &[]);
}

/// Blocks these signals for this thread and those it starts.
pub(super) fn block_signals(signals: &[i32]) {
    set_signal_mask(libc::SIG_BLOCK, signals);
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the whole set; sigaddset only changes that set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

fn set_signal_mask(how: libc::c_int, signals: &[i32]) {
    let set = signal_set(signals);
    // SAFETY: the set is initialised and lives through the call; the old mask is not asked for.
    unsafe { libc::sigprocmask(how, &raw const set, ptr::null_mut()) };
}

/// A signal taken from the queue.
pub(super) struct TakenSignal {
    pub(super) number: i32,
    /// Whether a process sent it (and not the kernel, as the terminal's Ctrl-C is).
    pub(super) from_process: bool,
}

/// Waits for one of these signals, which must be blocked.
pub(super) fn wait_signal(signals: &[i32]) -> io::Result<TakenSignal> {
    let set = signal_set(signals);
    // SAFETY: both arguments live through the call; siginfo_t is plain data that the kernel fills.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let number = check(libc::sigwaitinfo(&raw const set, &raw mut info).into())?;
        Ok(TakenSignal { number: number as i32, from_process: info.si_code <= 0 })
    }
}

/// CPU time (user, system, in microseconds) and peak memory (bytes) of all children waited for.
pub(super) fn children_usage() -> (u64, u64, u64) {
    // SAFETY: rusage is plain data that the kernel fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    (micros(usage.ru_utime), micros(usage.ru_stime), usage.ru_maxrss as u64 * 1024)
}

/// A command line or an environment in the form that exec wants.
pub(super) struct CStringArray {
    pointers: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

impl CStringArray {
    pub(super) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

/// Replaces the program; returns only on failure.
pub(super) fn exec(path: &CStr, argv: &CStringArray, envp: &CStringArray) -> io::Error {
    // SAFETY: both arrays are NULL-terminated and point to strings that `CStringArray` keeps alive.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Brings the loopback interface of the present network namespace up.
pub(super) fn raise_loopback() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data; zero is valid for it, and the name is shorter than the field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives through the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }.into()).map(drop)
}

/// Installs a seccomp filter on this thread. With `listener`, returns the descriptor that gets the notifications.
pub(super) fn install_filter(program: &[libc::sock_filter], listener: bool) -> io::Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let header = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let flags = if listener { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    // SAFETY: the header names `length` instructions that live through the call; the kernel only reads them.
    let result =
        check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const header) })?;
    // SAFETY: with NEW_LISTENER the result is a new descriptor that nothing else owns.
    Ok(listener.then(|| unsafe { OwnedFd::from_raw_fd(result as RawFd) }))
}

/// A system call that a filter handed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notification {
    pub(super) id: u64,
    pub(super) pid: u32,
    pub(super) arch: u32,
    pub(super) number: i32,
    pub(super) args: [u64; 6],
}

/// Takes the next notification.
pub(super) fn receive_notification(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // SAFETY: the struct is plain data and must be zeroed before the call, says seccomp(2).
    let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the ioctl writes one seccomp_notif.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut raw) }.into())?;
    Ok(Notification { id: raw.id, pid: raw.pid, arch: raw.data.arch, number: raw.data.nr, args: raw.data.args })
}

/// Whether the process that asked still waits for the answer; until then its pid can't have been reused.
pub(super) fn notification_is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the ioctl reads one u64.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _, &raw const id) == 0 }
}

/// Answers a notification with success or with an error number. The asker may be gone: that is no error.
pub(super) fn answer_notification(listener: BorrowedFd<'_>, id: u64, errno: i32) {
    let response = libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 };
    // SAFETY: the ioctl reads one seccomp_notif_resp.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response) };
}

/// Whether descriptor `number` is a socket: what a helper expects to be started with.
pub(super) fn is_socket(number: RawFd) -> bool {
    // SAFETY: fstat fills plain data.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(number, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFSOCK
    }
}

/// `/proc/self/fd/N` of an open descriptor.
pub(super) fn proc_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Moves this process into new namespaces. For single-threaded processes only.
pub(super) fn unshare(flags: rustix::thread::UnshareFlags) -> io::Result<()> {
    // SAFETY: the dangerous flag is FILES, with which other threads' descriptors go out of sight; it is never used,
    // and the callers have one thread.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Replaces the program, keeping the environment; returns only on failure.
pub(super) fn exec_in_same_environment(path: &CStr, argv: &CStringArray) -> io::Error {
    // SAFETY: the array is NULL-terminated and points to strings that `CStringArray` keeps alive.
    unsafe { libc::execv(path.as_ptr(), argv.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Unblocks these signals.
pub(super) fn unblock_signals(signals: &[i32]) {
    set_signal_mask(libc::SIG_UNBLOCK, signals);
}

/// Makes ended children wait for [`rustix::process::waitpid`], whatever this process inherited.
pub(super) fn keep_ended_children() {
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
