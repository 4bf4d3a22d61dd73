//! The runner: one process for each step, outside the step's namespaces, that starts pid 1, watches and cleans up.
//!
//! Descriptor 0 is a socket to the engine: the job comes in by it, the outcome goes out, and its end (the engine is
//! gone, or wants the step to end) kills the step. Descriptor 1 is the step's output. The runner has one thread and
//! nothing of the engine's: it is a fresh exec with an empty environment.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, setsid, waitpid};
use rustix::thread::UnshareFlags;

use super::init::{self, Links};
use super::mounts::open_directory;
use super::owners::Supervisor;
use super::sys;
use super::targets::{Stub, remove_stubs};
use super::wire::{self, Doing, Failure, Job, Message};
use crate::builder::{StepStatus, Usage};

/// Runs one step; the exit code says only whether the engine got an answer.
pub(super) fn main() -> i32 {
    let Ok(control) = sys::inherited_fd(0) else { return 1 };
    if sys::close_from(3).is_err() {
        return 1;
    }
    let mut control = UnixStream::from(control);
    let job: Job = match wire::receive(&mut control) {
        Ok(Some(job)) => job,
        Ok(None) | Err(_) => return 1,
    };
    let message = run(&job, &control).unwrap_or_else(Message::Failed);
    i32::from(wire::send(&mut control, &message).is_err())
}

fn run(job: &Job, control: &UnixStream) -> Result<Message, Failure> {
    setsid().doing(|| "starting a session".into())?;
    let upper = open_directory(&job.upper.to_path())?;
    let supervisor = Supervisor::new().doing(|| "preparing the owner emulation".into())?;
    sys::unshare(UnshareFlags::NEWPID).doing(|| "making a pid namespace".into())?;
    let (report_in, report_out) = pipe_with(PipeFlags::CLOEXEC).doing(|| "making a pipe".into())?;
    let (lifeline_in, lifeline_out) = pipe_with(PipeFlags::CLOEXEC).doing(|| "making a pipe".into())?;
    let (listener_in, listener_out) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .doing(|| "making a socket".into())?;
    let Some(pid_one) = sys::fork().doing(|| "starting pid 1".into())? else {
        drop((report_in, lifeline_out, listener_in, upper, supervisor));
        detach_control();
        let links = Links { report: report_out.into(), lifeline: lifeline_in, supervisor: listener_out };
        init::run(job, links);
    };
    drop((report_out, lifeline_in, listener_out));
    detach_output()?;
    let mut watch =
        Watch { pid_one, control, report: Buffered::new(report_in), listener_in: Some(listener_in), supervisor };
    let outcome = watch.until_the_end();
    // Holding the other end until now keeps pid 1 alive.
    drop(lifeline_out);
    waitpid(Some(pid_one), WaitOptions::empty()).doing(|| "waiting for pid 1".into())?;
    remove_stubs(upper.as_fd(), &outcome.stubs);
    Ok(outcome.message)
}

/// Pid 1 must not hold the engine's socket: its end tells that the runner is gone.
fn detach_control() {
    if let Ok(null) = File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(null);
    }
}

/// Only the step may keep the output open, so that its end can be seen.
fn detach_output() -> Result<(), Failure> {
    let null = File::options().write(true).open("/dev/null").doing(|| "opening /dev/null".into())?;
    rustix::stdio::dup2_stdout(&null).doing(|| "closing standard output".into())?;
    rustix::stdio::dup2_stderr(&null).doing(|| "closing standard error".into())
}

struct Watch<'a> {
    pid_one: Pid,
    control: &'a UnixStream,
    report: Buffered,
    listener_in: Option<OwnedFd>,
    supervisor: Supervisor,
}

struct Outcome {
    message: Message,
    stubs: Vec<Stub>,
}

impl Watch<'_> {
    /// Serves the step until pid 1 has closed its report, which it does by ending.
    fn until_the_end(&mut self) -> Outcome {
        let mut may_be_asked_to_kill = true;
        while !self.report.is_complete {
            let ready = self.wait(may_be_asked_to_kill).unwrap_or([true, true, false, false]);
            let [report, control, listener, notifications] = ready;
            if control && may_be_asked_to_kill {
                // Whatever comes after the job means: end it.
                let _ = kill_process(self.pid_one, Signal::KILL);
                may_be_asked_to_kill = false;
            }
            if listener {
                self.take_listener();
            }
            if notifications {
                self.supervisor.serve();
            }
            if report {
                self.report.fill();
            }
        }
        self.outcome()
    }

    /// Which of report, control socket, listener socket and notifications are ready.
    fn wait(&self, may_be_asked_to_kill: bool) -> io::Result<[bool; 4]> {
        let control = may_be_asked_to_kill.then(|| self.control.as_fd());
        let listener = self.listener_in.as_ref().map(AsFd::as_fd);
        let sources = [Some(self.report.pipe.as_fd()), control, listener, self.supervisor.listener()];
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut answers = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(sources.map(|source| source.is_some() && answers.next().unwrap_or(false)))
    }

    fn take_listener(&mut self) {
        let Some(socket) = self.listener_in.take() else { return };
        let mut byte = [0];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(&mut byte)];
        if recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).is_err() {
            return;
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    self.supervisor.set_listener(descriptor);
                }
            }
        }
    }

    fn outcome(&mut self) -> Outcome {
        let mut stubs = Vec::new();
        // Pid 1 was killed before it could say more.
        let mut last = Message::Finished { status: StepStatus::Signaled(9), usage: Usage::default() };
        let mut rest = self.report.bytes.as_slice();
        while let Ok(Some(message)) = wire::receive::<Message>(&mut rest) {
            match (message, &last) {
                (Message::Stubs(made), _) => stubs = made,
                // The failed exec's exit code that follows says nothing more.
                (Message::Finished { .. }, Message::Failed(_)) => {}
                (message, _) => last = message,
            }
        }
        Outcome { message: last, stubs }
    }
}

/// A pipe that is read until its end; what comes through it is small.
struct Buffered {
    pipe: File,
    bytes: Vec<u8>,
    is_complete: bool,
}

impl Buffered {
    fn new(pipe: OwnedFd) -> Self {
        Self { pipe: pipe.into(), bytes: Vec::new(), is_complete: false }
    }

    fn fill(&mut self) {
        let mut chunk = [0; 4096];
        match self.pipe.read(&mut chunk) {
            Ok(0) => self.is_complete = true,
            Ok(length) => self.bytes.extend(chunk.iter().take(length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.is_complete = true,
        }
    }
}
