//! The engine's side: starts a runner for each step, passes its output on, and ends it.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::cgroup::ControlGroups;
use super::hook::RUNNER_NAME;
use super::image::SelfImage;
use super::service_files;
use super::wire::{self, Job, Message};
use super::{Mode, current_mode};
use crate::builder::{Builder, BuilderError, CancelToken, StepOutcome, StepStatus, StepTask};

/// What is read from a step at once.
const CHUNK: usize = 64 << 10;
/// A kill takes milliseconds; after this the runner itself is killed, which the step doesn't survive either.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// Runs steps in namespaces, from within a process that may make them (root, or [`super::enter_user_namespace`]).
#[derive(Debug)]
pub struct NativeBuilder {
    image: SelfImage,
    mode: Mode,
    legacy_overlay: bool,
}

impl NativeBuilder {
    /// A builder whose helper processes run from `helper`: the stager binary, `/proc/self/exe` for stager itself.
    ///
    /// Fails when this process may not make namespaces.
    pub fn new(helper: &Path) -> Result<Self, BuilderError> {
        let mode = current_mode().ok_or_else(|| {
            BuilderError::Task("this process may not make namespaces: it is not root in a user namespace".into())
        })?;
        let image = SelfImage::new(helper)
            .map_err(|source| BuilderError::Helper { what: "preparing the helper's program".into(), source })?;
        Ok(Self { image, mode, legacy_overlay: false })
    }

    /// Mounts trees by the classic mount(2), as on kernels before 6.7.
    #[must_use]
    pub fn with_legacy_overlay(mut self) -> Self {
        self.legacy_overlay = true;
        self
    }

    /// How ids are mapped for the steps.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

impl Builder for NativeBuilder {
    fn run(
        &self,
        task: &StepTask,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancelToken,
    ) -> Result<StepOutcome, BuilderError> {
        let started = Instant::now();
        check(task)?;
        let groups = ControlGroups::for_limits(&task.limits)?;
        let mut job = Job::new(task, self.mode);
        job.legacy_overlay = self.legacy_overlay;
        job.service_files = service_files::for_task(task);
        job.control_groups = groups.directories();
        let mut runner = Runner::start(&self.image)?;
        let reason = runner.serve(&job, output, cancel, task.timeout.map(|timeout| started + timeout))?;
        let message = runner.finish(output)?;
        let out_of_memory = groups.saw_out_of_memory();
        drop(groups);
        match message {
            Message::Finished { status, usage } => {
                let status = match reason {
                    // A command that ended by itself at the same moment has ended by itself.
                    Some(reason) if status == StepStatus::Signaled(9) => reason,
                    _ => status,
                };
                Ok(StepOutcome { duration: started.elapsed(), status, out_of_memory, usage })
            }
            Message::Failed(failure) => Err(error_of(failure)),
            Message::Stubs(_) => Err(BuilderError::Helper { what: "no outcome".into(), source: eof() }),
        }
    }

    fn describe(&self) -> String {
        format!("native builder ({})", self.mode)
    }
}

fn check(task: &StepTask) -> Result<(), BuilderError> {
    let bad = |what: String| Err(BuilderError::Task(what));
    let is_clean = |path: &str| path.starts_with('/') && !path.split('/').any(|part| part == "..");
    if task.argv.is_empty() {
        return bad("the step has no command".into());
    }
    if !is_clean(&task.workdir) {
        return bad(format!("the working directory {:?} is not an absolute path without \"..\"", task.workdir));
    }
    for mount in &task.mounts {
        if !is_clean(&mount.target) || mount.target.split('/').all(|part| part.is_empty() || part == ".") {
            return bad(format!("the mount target {:?} is not an absolute path below / without \"..\"", mount.target));
        }
    }
    if let Some((name, _)) = task.env.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
        return bad(format!("{name:?} is no name of an environment variable"));
    }
    Ok(())
}

fn error_of(failure: wire::Failure) -> BuilderError {
    if failure.errno == 0 {
        return BuilderError::Task(failure.what);
    }
    let source = io::Error::from_raw_os_error(failure.errno);
    if failure.is_command {
        BuilderError::Command { command: failure.what, source }
    } else {
        BuilderError::Sandbox { what: failure.what, source }
    }
}

fn eof() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn helper_failed(what: &str) -> impl FnOnce(io::Error) -> BuilderError + '_ {
    move |source| BuilderError::Helper { what: what.to_owned(), source }
}

/// One running helper; killed and reaped when dropped.
struct Runner {
    child: Child,
    control: UnixStream,
    output: std::fs::File,
    buffer: Vec<u8>,
}

impl Runner {
    fn start(image: &SelfImage) -> Result<Self, BuilderError> {
        let (control, theirs) = UnixStream::pair().map_err(helper_failed("making a socket"))?;
        let (output, writer) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| helper_failed("making a pipe")(error.into()))?;
        // A larger pipe means fewer wake-ups; users have a quota for it, and the default will do.
        let _ = fcntl_setpipe_size(&output, 4 * CHUNK);
        rustix::io::ioctl_fionbio(&output, true).map_err(|error| helper_failed("setting up a pipe")(error.into()))?;
        let errors = writer.try_clone().map_err(helper_failed("copying a descriptor"))?;
        let child = Command::new(image.path())
            .arg0(RUNNER_NAME)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(writer))
            .stderr(Stdio::from(errors))
            .spawn()
            .map_err(helper_failed("starting it"))?;
        Ok(Self { child, control, output: output.into(), buffer: vec![0; CHUNK] })
    }

    /// Sends the job and passes output on until the outcome is there. Returns why the step was ended, if it was.
    fn serve(
        &mut self,
        job: &Job,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancelToken,
        deadline: Option<Instant>,
    ) -> Result<Option<StepStatus>, BuilderError> {
        wire::send(&mut self.control, job).map_err(helper_failed("sending the step"))?;
        let mut reason = None;
        let mut last_call = deadline;
        let mut output_is_open = true;
        loop {
            let now = Instant::now();
            if reason.is_none() {
                if cancel.is_cancelled() {
                    reason = Some(StepStatus::Cancelled);
                } else if deadline.is_some_and(|deadline| now >= deadline) {
                    reason = Some(StepStatus::TimedOut);
                }
                if reason.is_some() {
                    // The runner takes the end of the conversation as the order to kill.
                    let _ = self.control.shutdown(Shutdown::Write);
                    last_call = Some(now + KILL_GRACE);
                }
            } else if last_call.is_some_and(|last_call| now >= last_call) {
                return Err(helper_failed("ending the step")(io::ErrorKind::TimedOut.into()));
            }
            let ready = self.wait(output_is_open, reason.is_none().then_some(cancel), last_call)?;
            if ready.output {
                output_is_open = self.pass_on(output);
            }
            if ready.control {
                return Ok(reason);
            }
        }
    }

    fn wait(
        &self,
        output_is_open: bool,
        cancel: Option<&CancelToken>,
        deadline: Option<Instant>,
    ) -> Result<Ready, BuilderError> {
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        if let Some(cancel) = cancel {
            fds.push(PollFd::from_borrowed_fd(cancel.as_fd(), PollFlags::IN));
        }
        if output_is_open {
            fds.push(PollFd::new(&self.output, PollFlags::IN));
        }
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(helper_failed("waiting for it")(error.into())),
        }
        let is_ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { control: is_ready(fds.first()), output: output_is_open && is_ready(fds.last()) })
    }

    /// One chunk of output; `false` at its end.
    fn pass_on(&mut self, output: &mut dyn FnMut(&[u8])) -> bool {
        match self.output.read(&mut self.buffer) {
            Ok(0) => false,
            Ok(length) => {
                output(self.buffer.get(..length).unwrap_or_default());
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// Takes the outcome and the output that is still in the pipe; all its writers are dead by now.
    fn finish(mut self, output: &mut dyn FnMut(&[u8])) -> Result<Message, BuilderError> {
        let message = wire::receive(&mut self.control).map_err(helper_failed("reading the outcome"))?;
        loop {
            match self.output.read(&mut self.buffer) {
                Ok(length) if length > 0 => output(self.buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.child.wait().map_err(helper_failed("waiting for its end"))?;
        message.ok_or_else(|| helper_failed("it ended without an answer")(eof()))
    }
}

struct Ready {
    control: bool,
    output: bool,
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Both do nothing after `finish`; otherwise nothing of the step may outlive it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where stager finds itself.
pub fn own_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}
