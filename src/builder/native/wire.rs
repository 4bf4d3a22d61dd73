//! What engine, runner and pid 1 say to each other: one length-framed JSON message each, over inherited descriptors.
//!
//! The format lives only between two processes of one binary; it has no version.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::builder::{MountSource, Network, StepStatus, StepTask, Usage, UserIds};

/// No message is longer: the largest part of one is a step's standard input.
const MAX_MESSAGE: usize = 256 << 20;

/// Any bytes, as JSON text in which each character stands for one byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn to_path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.0.clone()))
    }
}

impl<T: AsRef<std::ffi::OsStr>> From<&T> for Bytes {
    fn from(value: &T) -> Self {
        Self(value.as_ref().as_bytes().to_vec())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().copied().map(char::from).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        bytes.map(Self).map_err(|_| serde::de::Error::custom("a character that is no byte"))
    }
}

/// Engine to runner: a step, in the form that the runner needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) lowers: Vec<Bytes>,
    pub(super) upper: Bytes,
    pub(super) scratch: Bytes,
    pub(super) argv: Vec<Bytes>,
    pub(super) stdin: Option<Bytes>,
    pub(super) env: Vec<(String, String)>,
    pub(super) user: UserIds,
    pub(super) workdir: String,
    pub(super) network: Network,
    pub(super) mounts: Vec<JobMount>,
    pub(super) hostname: String,
    pub(super) open_files: Option<u64>,
    /// Service files: `/etc/…` path and content.
    pub(super) service_files: Vec<(String, Bytes)>,
    pub(super) mode: super::Mode,
    pub(super) legacy_overlay: bool,
    /// Control group directories that the step's first process must enter.
    pub(super) control_groups: Vec<Bytes>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JobMount {
    pub(super) target: String,
    pub(super) source: JobSource,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum JobSource {
    Bind { path: Bytes, read_only: bool },
    Tmpfs { size: Option<u64>, mode: u32 },
    Secret { bytes: Bytes, mode: u32, uid: u32, gid: u32 },
    Layers { lowers: Vec<Bytes>, path: String },
}

impl From<&MountSource> for JobSource {
    fn from(source: &MountSource) -> Self {
        match source {
            MountSource::Bind { path, read_only } => Self::Bind { path: path.into(), read_only: *read_only },
            MountSource::Tmpfs { size, mode } => Self::Tmpfs { size: *size, mode: *mode },
            MountSource::SecretFile { bytes, mode, uid, gid } => {
                Self::Secret { bytes: Bytes(bytes.clone()), mode: *mode, uid: *uid, gid: *gid }
            }
            MountSource::ReadOnlyDir { lowers, path } => {
                Self::Layers { lowers: lowers.iter().map(Bytes::from).collect(), path: path.clone() }
            }
        }
    }
}

impl Job {
    pub(super) fn new(task: &StepTask, mode: super::Mode) -> Self {
        Self {
            lowers: task.lowers.iter().map(Bytes::from).collect(),
            upper: Bytes::from(&task.upper),
            scratch: Bytes::from(&task.scratch),
            argv: task.argv.iter().map(Bytes::from).collect(),
            stdin: task.stdin.clone().map(Bytes),
            env: task.env.clone(),
            user: task.user.clone(),
            workdir: task.workdir.clone(),
            network: task.network,
            mounts: task
                .mounts
                .iter()
                .map(|mount| JobMount { target: mount.target.clone(), source: (&mount.source).into() })
                .collect(),
            hostname: task.hostname.clone(),
            open_files: task.limits.open_files,
            service_files: Vec::new(),
            mode,
            legacy_overlay: false,
            control_groups: Vec::new(),
        }
    }
}

/// Pid 1 (and the step's process before its exec) to runner, and runner to engine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// Mount points that pid 1 had to make in the upper directory.
    Stubs(Vec<super::targets::Stub>),
    /// The set-up failed.
    Failed(Failure),
    /// The command ended.
    Finished { status: StepStatus, usage: Usage },
}

/// Why a set-up failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    /// Whether it is the command that can't be executed.
    pub(super) is_command: bool,
    pub(super) what: String,
    pub(super) errno: i32,
}

impl Failure {
    pub(super) fn new(what: impl Into<String>, error: &io::Error) -> Self {
        Self { is_command: false, what: what.into(), errno: errno_of(error) }
    }

    /// A refusal of our own, not of the kernel.
    pub(super) fn refusal(what: impl Into<String>) -> Self {
        Self { is_command: false, what: what.into(), errno: 0 }
    }
}

/// The error number in an error; EIO if there is none, as in those of fs_err.
pub(super) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// Names what was being done when something failed.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what(), &error.into()))
    }
}

/// Writes one message.
pub(super) fn send<T: Serialize>(writer: &mut impl Write, message: &T) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    if length as usize > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the task is larger than 256 MiB"));
    }
    frame[..4].copy_from_slice(&length.to_ne_bytes());
    writer.write_all(&frame)
}

/// Reads one message; `None` when the other side is gone.
pub(super) fn receive<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_ne_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of absurd length"));
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame)?;
    serde_json::from_slice(&frame).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let all = Bytes((0..=255).collect());
        let mut frame = Vec::new();
        send(&mut frame, &all).unwrap();
        let back: Option<Bytes> = receive(&mut frame.as_slice()).unwrap();
        assert_eq!(back, Some(all));
    }

    #[test]
    fn a_cut_or_absurd_message_is_an_error_and_silence_is_none() {
        let mut frame = Vec::new();
        send(&mut frame, &Bytes(b"abc".to_vec())).unwrap();
        frame.pop();
        assert!(receive::<Bytes>(&mut frame.as_slice()).is_err());
        assert!(receive::<Bytes>(&mut [255u8; 8].as_slice()).is_err());
        assert!(receive::<Bytes>(&mut [].as_slice()).unwrap().is_none());
    }
}
