//! The last moments before the step's command: a process in the step's tree gives up all it must not keep, then execs.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, fchdir, getcwd, getrlimit, setrlimit, setsid, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::Mode as IdMode;
use super::seccomp::{self, Identities};
use super::sys::{self, CStringArray};
use super::wire::{Doing, Failure, Job};

/// What a container's root may do in Docker; everything else leaves the bounding set for good.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Where commands are looked for when the environment has no PATH: Docker's default.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_OPEN_FILES: u64 = 65536;

/// What the payload process inherits for its own use.
pub(super) struct Inherited {
    /// The command's standard input; `None` is the null device of the tree.
    pub(super) stdin: Option<OwnedFd>,
    /// A handle on the working directory.
    pub(super) workdir: OwnedFd,
    /// Where to send the listener of the owner emulation.
    pub(super) supervisor: OwnedFd,
    /// Whether chroot(2) could lead out of the tree.
    pub(super) chroot_escapes: bool,
}

/// Becomes the command; returns only when that is impossible.
pub(super) fn become_command(job: &Job, inherited: Inherited) -> Failure {
    match give_up_privileges(job, inherited) {
        Ok(()) => execute(job),
        Err(failure) => failure,
    }
}

fn give_up_privileges(job: &Job, inherited: Inherited) -> Result<(), Failure> {
    let stdin = match inherited.stdin {
        Some(stdin) => stdin,
        None => File::open("/dev/null").doing(|| "opening the image's /dev/null".into())?.into(),
    };
    rustix::stdio::dup2_stdin(stdin).doing(|| "connecting standard input".into())?;
    rustix::stdio::dup2_stderr(rustix::stdio::stdout()).doing(|| "connecting standard error".into())?;
    setsid().doing(|| "starting a session".into())?;
    enter_workdir(&inherited.workdir, &job.workdir)?;
    set_limits(job)?;
    umask(Mode::WGRP | Mode::WOTH);
    let kept = if inherited.chroot_escapes { KEPT.difference(CapabilitySet::SYS_CHROOT) } else { KEPT };
    drop_bounding_set(kept)?;
    set_no_new_privs(true).doing(|| "setting no_new_privs".into())?;
    become_user(job)?;
    drop_capabilities(job, kept)?;
    install_filter(job, inherited.supervisor)?;
    sys::close_on_exec_from(3).doing(|| "closing descriptors".into())
}

/// A working directory outside the tree would be a way out of it.
fn enter_workdir(workdir: &OwnedFd, name: &str) -> Result<(), Failure> {
    fchdir(workdir).doing(|| format!("entering {name}"))?;
    let path = getcwd(Vec::new()).doing(|| format!("entering {name}"))?;
    if path.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Failure::refusal(format!("the working directory {name} lies outside the image")))
    }
}

fn set_limits(job: &Job) -> Result<(), Failure> {
    let maximum = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let files = job.open_files.unwrap_or(DEFAULT_OPEN_FILES).min(maximum);
    let core = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files) })
        .doing(|| format!("limiting open files to {files}"))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core }).doing(|| "switching core files off".into())
}

fn drop_bounding_set(kept: CapabilitySet) -> Result<(), Failure> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(Errno::INVAL) => break, // Past the last one that this kernel knows.
            Err(error) => return Err(error).doing(|| format!("dropping capability {number}")),
        }
    }
    Ok(())
}

fn become_user(job: &Job) -> Result<(), Failure> {
    if job.mode == IdMode::SingleId {
        return Ok(()); // There is only one id; that the command runs as root is part of the emulation.
    }
    let user = &job.user;
    let groups: Vec<Gid> = user.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let what = || format!("becoming user {}:{}", user.uid, user.gid);
    set_thread_groups(&groups).doing(what)?;
    set_thread_res_gid(gid, gid, gid).doing(what)?;
    set_thread_res_uid(uid, uid, uid).doing(what)
}

fn drop_capabilities(job: &Job, kept: CapabilitySet) -> Result<(), Failure> {
    let is_root = job.user.uid == 0 || job.mode == IdMode::SingleId;
    let own = if is_root { kept } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: own, permitted: own, inheritable: CapabilitySet::empty() };
    clear_ambient_capability_set().doing(|| "clearing ambient capabilities".into())?;
    set_capabilities(None, sets).doing(|| "dropping capabilities".into())
}

fn install_filter(job: &Job, supervisor: OwnedFd) -> Result<(), Failure> {
    if job.mode != IdMode::SingleId {
        let program = seccomp::program(Identities::Real);
        return sys::install_filter(&program, false).map(drop).doing(|| "installing the seccomp filter".into());
    }
    match sys::install_filter(&seccomp::program(Identities::Supervised), true) {
        Ok(Some(listener)) => {
            send_descriptor(&supervisor, &listener).doing(|| "handing over the owner emulation".into())
        }
        // No notifications (old kernel), or an outer supervisor has them: owners are then lost, not refused.
        Ok(None) | Err(_) => sys::install_filter(&seccomp::program(Identities::Pretended), false)
            .map(drop)
            .doing(|| "installing the seccomp filter".into()),
    }
}

fn send_descriptor(socket: &OwnedFd, descriptor: &OwnedFd) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[io::IoSlice::new(b"l")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Finds and executes the command as execvp(3) does, with the PATH of the step.
fn execute(job: &Job) -> Failure {
    let Some(first) = job.argv.first() else { return Failure::refusal("the step has no command") };
    let command = OsString::from_vec(first.0.clone());
    let arrays = (
        strings(job.argv.iter().map(|argument| argument.0.clone())),
        strings(job.env.iter().map(|(name, value)| format!("{name}={value}").into_bytes())),
    );
    let (Ok(argv), Ok(envp)) = arrays else {
        return Failure::refusal("the command or its environment contains a NUL byte");
    };
    let (argv, envp) = (CStringArray::new(argv), CStringArray::new(envp));
    sys::reset_signals();
    let mut error = io::Error::from(Errno::NOENT);
    for candidate in candidates(job, command.as_bytes()) {
        let Ok(path) = CString::new(candidate) else { continue };
        let result = sys::exec(&path, &argv, &envp);
        match result.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => error = result,
            _ => {
                error = result;
                break;
            }
        }
    }
    Failure { is_command: true, ..Failure::new(command.to_string_lossy(), &error) }
}

fn candidates(job: &Job, command: &[u8]) -> Vec<Vec<u8>> {
    if command.contains(&b'/') {
        return vec![command.to_vec()];
    }
    let path = job.env.iter().rev().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    path.split(':')
        .map(|directory| [if directory.is_empty() { "." } else { directory }.as_bytes(), b"/", command].concat())
        .collect()
}

fn strings(list: impl Iterator<Item = Vec<u8>>) -> Result<Vec<CString>, std::ffi::NulError> {
    list.map(CString::new).collect()
}
