//! The words of the [`Builder`](super::Builder) trait: what to run, and how it ended.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One command on one tree.
#[derive(Debug, Clone)]
pub struct StepTask {
    /// The directories that make the parent tree, topmost first. Whiteouts and opaque directories are recorded in
    /// them as overlayfs does (`user.overlay.*`). Empty means an empty tree. They are never written to.
    pub lowers: Vec<PathBuf>,
    /// An existing empty directory that receives the changes.
    pub upper: PathBuf,
    /// An existing empty directory on the same file system as `upper`, for the builder's own use; what is left in it
    /// afterwards is of no value.
    pub scratch: PathBuf,
    /// The command, looked up in the tree along `PATH` of `env` when it has no slash.
    pub argv: Vec<OsString>,
    /// What the command reads from its standard input; `None` is an empty input.
    pub stdin: Option<Vec<u8>>,
    /// The whole environment of the command.
    pub env: Vec<(String, String)>,
    /// Whom the command runs as, in the ids of the tree.
    pub user: UserIds,
    /// The working directory, absolute in the tree; made (root:root, 0755) when it is absent, and then part of the
    /// result.
    pub workdir: String,
    /// What the command can reach.
    pub network: Network,
    /// Mounted in this order over the tree.
    pub mounts: Vec<StepMount>,
    /// The name the command finds as its host's.
    pub hostname: String,
    /// The step is killed after this time.
    pub timeout: Option<Duration>,
    /// Bounds on what the step may use.
    pub limits: Limits,
}

/// Numeric ids of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserIds {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// What a step can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Network {
    /// The builder's default: the user's own network (native), the engine's default network (docker).
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's network.
    Host,
}

/// Something mounted into the tree for the time of the step.
#[derive(Debug, Clone)]
pub struct StepMount {
    /// Where, absolute in the tree; symbolic links are followed inside the tree only. A target that does not exist
    /// is made for the step and is not part of the result.
    pub target: String,
    /// What.
    pub source: MountSource,
}

/// What a [`StepMount`] shows.
#[derive(Clone)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Its path, as the engine sees it.
        path: PathBuf,
        /// Whether the step may write to it.
        read_only: bool,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Its capacity in bytes; `None` is the kernel's default.
        size: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
    },
    /// A file whose content never touches a disk.
    SecretFile {
        /// The content.
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A part of another tree, read-only.
    ReadOnlyDir {
        /// The directories that make the other tree, topmost first; at least one.
        lowers: Vec<PathBuf>,
        /// What of it to show, absolute in that tree; links are followed inside that tree only.
        path: String,
    },
}

impl std::fmt::Debug for MountSource {
    /// Names the source; the content of a secret is left out.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind { path, read_only } => {
                formatter.debug_struct("Bind").field("path", path).field("read_only", read_only).finish()
            }
            Self::Tmpfs { size, mode } => {
                formatter.debug_struct("Tmpfs").field("size", size).field("mode", mode).finish()
            }
            Self::SecretFile { mode, uid, gid, .. } => formatter
                .debug_struct("SecretFile")
                .field("mode", mode)
                .field("uid", uid)
                .field("gid", gid)
                .finish_non_exhaustive(),
            Self::ReadOnlyDir { lowers, path } => {
                formatter.debug_struct("ReadOnlyDir").field("lowers", lowers).field("path", path).finish()
            }
        }
    }
}

/// Bounds on what a step may use. Memory and process bounds need a control group that the engine may write to; where
/// there is none, [`Builder::run`](super::Builder::run) refuses a task that asks for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Number of processes and threads.
    pub processes: Option<u64>,
    /// Number of open files of each process; `None` is 65536, or what the engine itself may have when that is less.
    pub open_files: Option<u64>,
}

impl Limits {
    /// Whether a control group is needed to honour them.
    pub fn need_control_group(&self) -> bool {
        self.memory.is_some() || self.processes.is_some()
    }
}

/// How a step ended and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// From the request to the last process gone.
    pub duration: Duration,
    /// How it ended.
    pub status: StepStatus,
    /// Whether the kernel killed something in it for lack of memory; known only with a memory bound.
    pub out_of_memory: bool,
    /// What it used.
    pub usage: Usage,
}

impl StepOutcome {
    /// Whether the command exited with code 0.
    pub fn is_success(&self) -> bool {
        self.status == StepStatus::Exited(0)
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepStatus {
    /// With an exit code.
    Exited(i32),
    /// By a signal that it got, by number.
    Signaled(i32),
    /// Killed by the builder: it took longer than [`StepTask::timeout`].
    TimedOut,
    /// Killed by the builder: the [`CancelToken`](super::CancelToken) was raised.
    Cancelled,
}

/// Resources used by all processes of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Peak resident memory of the largest process, in bytes.
    pub peak_memory: u64,
}

/// Why a step could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuilderError {
    /// The command does not exist in the tree, or is not executable.
    #[error("cannot run {command:?} in the image")]
    Command {
        /// The command as it was given.
        command: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A step of the sandbox's set-up failed.
    #[error("cannot set up the sandbox: {what}")]
    Sandbox {
        /// What was being done, naming the object.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The task asks for something that can't be honoured.
    #[error("{0}")]
    Task(String),
    /// The helper process could not be started or did not answer.
    #[error("the helper process failed: {what}")]
    Helper {
        /// What was being done.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
