//! Runs of programs: a scrubbed environment, a deadline, the whole output.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Missing;

/// A run of a program that has not started yet.
#[derive(Clone)]
pub(crate) struct Run {
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    cwd: PathBuf,
    user: Option<(u32, u32)>,
    umask: Option<String>,
    input: Option<String>,
    deadline: Duration,
}

/// How a run ended; a signal counts as 128 and its number, as in a shell.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
    pub(crate) duration: Duration,
}

/// A run under way; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pid: Pid,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    start: Instant,
    deadline: Duration,
    line: String,
}

impl Run {
    pub(crate) fn new<A: AsRef<str>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
            environment: BTreeMap::new(),
            cwd: PathBuf::from("/"),
            user: None,
            umask: None,
            input: None,
            deadline: Duration::from_secs(180),
        }
    }

    /// Has another program run this one: `(program, its argument)`.
    pub(crate) fn through(&mut self, (program, argument): (PathBuf, String)) -> &mut Self {
        let inner = std::mem::replace(&mut self.program, program);
        let inner = inner.to_str().expect("a program's path is UTF-8").to_owned();
        self.arguments.splice(0..0, [argument, inner]);
        self
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn cwd(&mut self, directory: &Path) -> &mut Self {
        directory.clone_into(&mut self.cwd);
        self
    }

    pub(crate) fn user(&mut self, ids: Option<(u32, u32)>) -> &mut Self {
        self.user = ids;
        self
    }

    pub(crate) fn umask(&mut self, umask: &str) -> &mut Self {
        self.umask = Some(umask.to_owned());
        self
    }

    /// What standard input holds; nothing without this.
    pub(crate) fn input(&mut self, text: &str) -> &mut Self {
        self.input = Some(text.to_owned());
        self
    }

    /// Another deadline than three minutes.
    pub(crate) fn within(&mut self, deadline: Duration) -> &mut Self {
        self.deadline = deadline;
        self
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Output {
        self.start().finish()
    }

    /// Starts in a process group of its own.
    pub(crate) fn start(&self) -> Running {
        let mut command = match &self.umask {
            Some(umask) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "umask \"$0\"; exec \"$@\"", umask]).arg(&self.program);
                shell
            }
            None => Command::new(&self.program),
        };
        command.args(&self.arguments).env_clear().envs(&self.environment).current_dir(&self.cwd).process_group(0);
        command
            .stdin(self.input.as_ref().map_or_else(Stdio::null, |_| Stdio::piped()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let line = format!("{} {}", self.program.display(), self.arguments.join(" "));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), self.input.clone()) {
            // A program that does not read it is no failure of the test.
            std::thread::spawn(move || stdin.write_all(text.as_bytes()).ok());
        }
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        let pid = Pid::from_child(&child);
        Running { child, pid, stdout, stderr, start: Instant::now(), deadline: self.deadline, line }
    }
}

impl Running {
    /// What Ctrl-C in a terminal does to the program itself.
    pub(crate) fn interrupt(&self) {
        kill_process(self.pid, Signal::INT).expect("the program runs");
    }

    /// `kill -9` of the program, and of nothing else.
    pub(crate) fn kill(&self) {
        kill_process(self.pid, Signal::KILL).expect("the program runs");
    }

    /// Stops the program and all that it started.
    pub(crate) fn stop(&self) {
        kill_process_group(self.pid, Signal::STOP).expect("the program runs");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        kill_process_group(self.pid, Signal::CONT).expect("the program runs");
    }

    /// Waits for the end: of the program, and of everything that still holds its output.
    pub(crate) fn finish(mut self) -> Output {
        let stdout = self.output_of(|running| &running.stdout);
        let stderr = self.output_of(|running| &running.stderr);
        let status = self.child.wait().expect("it is our child");
        Output { stdout, stderr, code: code(status), duration: self.start.elapsed() }
    }

    fn output_of(&self, stream: fn(&Self) -> &Receiver<String>) -> String {
        let left = self.deadline.saturating_sub(self.start.elapsed());
        stream(self).recv_timeout(left).unwrap_or_else(|_| {
            kill_process_group(self.pid, Signal::KILL).ok();
            let end = |receiver: &Receiver<String>| receiver.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
            panic!("still running after {:?}: {}\n{}", self.deadline, self.line, end(&self.stderr));
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            kill_process_group(self.pid, Signal::KILL).ok();
            self.child.wait().ok();
        }
    }
}

impl Output {
    /// The output of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    /// The output of a run that must have ended with this code.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard error must contain all of these.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "stderr does not say {text:?}:\n{}", self.stderr);
        }
        self
    }
}

/// A tool of the machine, run with the machine's own environment. `Missing` when it is not installed.
pub(crate) fn program<A: AsRef<str>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Result<Output, Missing> {
    let mut run = Run::new(&find(name)?, arguments);
    let home = std::env::temp_dir();
    run.env("PATH", PROGRAMS).env("HOME", home.to_str().expect("the temporary directory is UTF-8"));
    run.env("LANG", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    Ok(run.run())
}

const PROGRAMS: &str = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a tool of the machine is. Debian's own comes first, and `/usr/local/bin` is not asked at all: versions differ.
pub(crate) fn find(name: &str) -> Result<PathBuf, Missing> {
    let candidates = PROGRAMS.split(':').map(|directory| Path::new(directory).join(name));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| Missing(format!("{name} is not installed")))
}

fn collect(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok();
        sender.send(String::from_utf8_lossy(&bytes).into_owned()).ok();
    });
    receiver
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
