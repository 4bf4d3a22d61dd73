//! Enters a user namespace by running the whole command line again inside one.
//!
//! Once per run of the program: what the engine does from then on (unpacking, chown, overlay mounts, removing) it does
//! as root of its namespace. The first process stays outside, passes signals on, and hands the exit code back; if it
//! is killed, the kernel kills the second.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};
use rustix::thread::{Gid, Uid, UnshareFlags, set_thread_res_gid, set_thread_res_uid};

use super::diagnosis::{self, Diagnosis};
use super::idmap::{self, IdMap};
use super::sys::{self, CStringArray};
use super::{Mode, current_mode};

/// Which ids the namespace should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// As many as the machine grants.
    Best,
    /// Only one, with emulated owners ([`Mode::SingleId`]).
    SingleId,
}

/// What [`enter_user_namespace`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// This process may make namespaces: go on.
    Already(Mode),
    /// The command line has been run in a namespace and ended with this code: exit with it.
    Finished(i32),
}

/// Why no user namespace could be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The machine doesn't allow it.
    #[error("{}", .0.problem)]
    Refused(Diagnosis),
    /// A step on the way failed.
    #[error("cannot enter a user namespace: {what}")]
    Failed {
        /// What was being done.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Signals that the first process passes on.
const PASSED_ON: [i32; 6] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Runs this program's command line in a user namespace, if this process can't make namespaces as it is.
///
/// Call it while the process has a single thread, before anything is done that must not be done twice.
pub fn enter_user_namespace(wanted: Wanted) -> Result<Entered, EnterError> {
    if let Some(mode) = current_mode() {
        return Ok(Entered::Already(mode));
    }
    let argv = std::env::args_os().map(|argument| CString::new(argument.into_vec())).collect::<Result<Vec<_>, _>>();
    let argv = argv.map_err(|error| failed("reading the command line")(error.into()))?;
    let argv = CStringArray::new(argv);
    let signals = [PASSED_ON.as_slice(), &[libc::SIGCHLD]].concat();
    sys::block_signals(&signals);
    let run = || {
        sys::unblock_signals(&signals);
        sys::exec_in_same_environment(c"/proc/self/exe", &argv).raw_os_error().unwrap_or(libc::EIO)
    };
    let result = start_in_best(wanted, run).and_then(|child| stay_outside(child, &signals));
    sys::unblock_signals(&signals);
    result.map(Entered::Finished)
}

/// Starts a child with the best map that works. The child runs `action`, which returns an error number if it returns.
fn start_in_best(wanted: Wanted, action: impl Fn() -> i32) -> Result<Pid, EnterError> {
    let maps = if wanted == Wanted::SingleId { vec![IdMap::Single] } else { idmap::candidates() };
    let mut result = Err(failed("choosing ids")(io::ErrorKind::NotFound.into()));
    for map in maps {
        result = start_in(&map, &action);
        // Only the map makes a difference between candidates.
        if !matches!(result, Err(EnterError::Failed { what: MAPPING, .. })) {
            break;
        }
    }
    result
}

const MAPPING: &str = "mapping ids";

/// Starts a child in a new user and mount namespace, as its root.
pub(super) fn start_in(map: &IdMap, action: impl Fn() -> i32) -> Result<Pid, EnterError> {
    sys::keep_ended_children();
    let (mut ours, mut theirs) = UnixStream::pair().map_err(failed("making a socket"))?;
    let parent = getpid();
    let Some(child) = sys::fork().map_err(failed("starting a process"))? else {
        drop(ours);
        let errno = become_root(&mut theirs, parent).map_or_else(|errno| errno, |()| action());
        let _ = theirs.write_all(&errno.to_ne_bytes());
        sys::exit_now(1);
    };
    drop(theirs);
    let result = guide(&mut ours, map, child);
    if result.is_err() {
        let _ = kill_process(child, Signal::KILL);
        let _ = waitpid(Some(child), WaitOptions::empty());
    }
    result.map(|()| child)
}

/// The child's side, up to being root; errors are error numbers, told to the parent.
fn become_root(parent: &mut UnixStream, parent_pid: Pid) -> Result<(), i32> {
    let errno = |error: rustix::io::Errno| error.raw_os_error();
    let told = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(told)?;
    parent.write_all(&0i32.to_ne_bytes()).map_err(told)?;
    parent.read_exact(&mut [0]).map_err(told)?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(errno)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(errno)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(errno)?;
    if getppid() != Some(parent_pid) {
        return Err(libc::ESRCH);
    }
    // AppArmor lets the namespace be made, but gives no rights in it: find out before going on.
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).map_err(errno)
}

/// The parent's side: writes the maps when the child is ready for them, and waits until the child runs its program
/// (its end of the socket is then closed).
fn guide(child: &mut UnixStream, map: &IdMap, pid: Pid) -> Result<(), EnterError> {
    let mut word = [0; 4];
    child.read_exact(&mut word).map_err(failed("starting a process"))?;
    refuse(i32::from_ne_bytes(word), "making a user namespace")?;
    map.apply(pid).map_err(failed(MAPPING))?;
    child.write_all(&[1]).map_err(failed("starting a process"))?;
    match child.read_exact(&mut word) {
        Err(_) => Ok(()),
        Ok(()) => refuse(i32::from_ne_bytes(word), "becoming root of a user namespace"),
    }
}

fn refuse(errno: i32, what: &'static str) -> Result<(), EnterError> {
    if errno == 0 {
        return Ok(());
    }
    let source = io::Error::from_raw_os_error(errno);
    match diagnosis::of_refusal(errno) {
        Some(diagnosis) => Err(EnterError::Refused(diagnosis)),
        None => Err(EnterError::Failed { what, source }),
    }
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> EnterError {
    move |source| EnterError::Failed { what, source }
}

/// Waits for the child and passes on what this process is told by others. What the terminal tells (Ctrl-C), it tells
/// the child as well.
fn stay_outside(child: Pid, signals: &[i32]) -> Result<i32, EnterError> {
    loop {
        let signal = match sys::wait_signal(signals) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(failed("waiting for a signal"))?,
        };
        if signal.number != libc::SIGCHLD {
            if signal.from_process
                && let Some(number) = Signal::from_named_raw(signal.number)
            {
                let _ = kill_process(child, number);
            }
            continue;
        }
        match waitpid(Some(child), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => return Ok(exit_code(status)),
            Ok(None) => {}
            Err(error) => return Err(failed("waiting for a process")(error.into())),
        }
    }
}

/// As a shell tells it.
pub(super) fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or_default())
}
