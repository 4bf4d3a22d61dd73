//! Pid 1 of a step: makes the namespaces, lays out the tree, starts the command, reaps, and reports how it ended.
//!
//! When pid 1 ends, the kernel kills whatever else is left in the pid namespace. It is not dumpable and keeps its
//! capabilities, so that nothing in the step may look into it (`/proc/1/exe`, `/proc/1/fd`, `/proc/1/mem`).

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, MemfdFlags, Uid, fchown, memfd_create};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, set_dumpable_behavior, set_parent_process_death_signal,
    wait,
};
use rustix::system::sethostname;
use rustix::thread::UnshareFlags;

use super::Mode as IdMode;
use super::payload::{self, Inherited};
use super::rootfs;
use super::sys;
use super::wire::{self, Doing, Failure, Job, Message};
use crate::builder::{Network, StepStatus, Usage};

/// The descriptors that pid 1 gets from the runner.
pub(super) struct Links {
    /// Messages to the runner.
    pub(super) report: File,
    /// Hung up when the runner is gone.
    pub(super) lifeline: OwnedFd,
    /// Where the command sends the listener of the owner emulation.
    pub(super) supervisor: OwnedFd,
}

/// Runs pid 1 to its end.
pub(super) fn run(job: &Job, links: Links) -> ! {
    let Links { mut report, lifeline, supervisor } = links;
    let message = match set_up(job, &mut report, &lifeline, supervisor) {
        Ok(child) => finish(child),
        Err(failure) => Message::Failed(failure),
    };
    // Nobody is left to tell if this fails: the runner is gone.
    let _ = wire::send(&mut report, &message);
    sys::exit_now(0)
}

fn set_up(job: &Job, report: &mut File, lifeline: &OwnedFd, supervisor: OwnedFd) -> Result<Pid, Failure> {
    die_with_runner(lifeline)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing(|| "hiding the builder from the step".into())?;
    make_namespaces(job)?;
    enter_control_groups(job)?;
    let stdin = standard_input(job)?;
    let prepared = rootfs::prepare(job, |stubs| {
        wire::send(report, &Message::Stubs(stubs)).doing(|| "reporting mount points".into())
    })?;
    let chroot_escapes = prepared.enter()?;
    let inherited = Inherited { stdin, workdir: prepared.workdir, supervisor, chroot_escapes };
    own_output(job)?;
    if let Some(child) = sys::fork().doing(|| "starting the command's process".into())? {
        // Only the command may keep the output open.
        detach_standard_streams()?;
        return Ok(child);
    }
    let failure = payload::become_command(job, inherited);
    // Nobody is left to tell if this fails: the runner is gone.
    let _ = wire::send(report, &Message::Failed(failure));
    sys::exit_now(127)
}

/// The runner is the parent and has one thread, so its death is this process's death.
fn die_with_runner(lifeline: &OwnedFd) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tying the step to the runner".into())?;
    let mut fds = [PollFd::new(lifeline, PollFlags::IN)];
    let ready = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).doing(|| "looking for the runner".into())?;
    if ready > 0 {
        sys::exit_now(1); // It died before the line above.
    }
    Ok(())
}

fn make_namespaces(job: &Job) -> Result<(), Failure> {
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    if job.network == Network::None {
        flags |= UnshareFlags::NEWNET;
    }
    super::sys::unshare(flags).doing(|| "making namespaces".into())?;
    if job.network == Network::None {
        sys::raise_loopback().doing(|| "bringing the loopback interface up".into())?;
    }
    sethostname(job.hostname.as_bytes()).doing(|| format!("setting the host name {:?}", job.hostname))
}

fn enter_control_groups(job: &Job) -> Result<(), Failure> {
    for directory in &job.control_groups {
        let path = directory.to_path().join("cgroup.procs");
        // Not by fs_err, whose errors don't carry the number that the engine is told.
        let written = File::options().write(true).open(&path).and_then(|mut file| file.write_all(b"0"));
        written.doing(|| format!("entering the control group {}", path.display()))?;
    }
    Ok(())
}

/// An unlinked file in memory with the given bytes; `None` for the null device.
fn standard_input(job: &Job) -> Result<Option<OwnedFd>, Failure> {
    let Some(bytes) = &job.stdin else { return Ok(None) };
    let memory = memfd_create("stdin", MemfdFlags::CLOEXEC).doing(|| "making standard input".into())?;
    let mut file = File::from(memory);
    file.write_all(&bytes.0).doing(|| "writing standard input".into())?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).doing(|| "rewinding standard input".into())?;
    Ok(Some(file.into()))
}

/// Lets the step's user open /dev/stdout again, as Docker does.
fn own_output(job: &Job) -> Result<(), Failure> {
    if job.mode == IdMode::SingleId || job.user.uid == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(job.user.uid), Gid::from_raw(job.user.gid));
    fchown(rustix::stdio::stdout(), Some(uid), Some(gid)).doing(|| "giving the output to the step's user".into())
}

fn detach_standard_streams() -> Result<(), Failure> {
    let null = File::options().read(true).write(true).open("/dev/null").doing(|| "opening /dev/null".into())?;
    rustix::stdio::dup2_stdout(&null).doing(|| "closing standard output".into())?;
    rustix::stdio::dup2_stderr(&null).doing(|| "closing standard error".into())
}

/// Reaps whatever ends until the command has ended.
fn finish(child: Pid) -> Message {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                let (user, system, peak_memory) = sys::children_usage();
                let (user, system) = (Duration::from_micros(user), Duration::from_micros(system));
                let usage = Usage { user, system, peak_memory };
                return Message::Finished { status: step_status(status), usage };
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Message::Failed(Failure::new("waiting for the command", &error.into())),
        }
    }
}

fn step_status(status: WaitStatus) -> StepStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => StepStatus::Exited(code),
        (None, signal) => StepStatus::Signaled(signal.unwrap_or_default()),
    }
}
