//! Finds out what the machine allows, by trying it: for `stager doctor` and for refusals.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountAttrFlags, MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::diagnosis::Diagnosis;
use super::hook::PROBE_NAME;
use super::idmap::{self, IdMap};
use super::mounts::{new_file_system, open_directory};
use super::overlay::{Stack, Writable, mount_stack};
use super::seccomp::{self, Identities};
use super::userns::{EnterError, exit_code, start_in};
use super::wire::{Failure, errno_of};
use super::{Mode, current_mode, remove_tree, sys};

/// What the native builder finds on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// How steps would run; `None` when they can't.
    pub mode: Option<Mode>,
    /// What was tried, in a sensible order to read.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What, in a few words.
    pub name: String,
    /// Whether steps can't run without it.
    pub required: bool,
    /// How it went.
    pub result: CheckResult,
}

/// How a [`Check`] went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckResult {
    /// It works.
    Ok,
    /// It doesn't.
    Problem(Diagnosis),
}

impl Probe {
    /// Whether steps can run.
    pub fn is_usable(&self) -> bool {
        self.mode.is_some() && self.checks.iter().all(|check| !check.required || check.result == CheckResult::Ok)
    }

    /// The problems, required ones first.
    pub fn problems(&self) -> Vec<(&Check, &Diagnosis)> {
        let mut problems: Vec<_> = self
            .checks
            .iter()
            .filter_map(|check| match &check.result {
                CheckResult::Problem(diagnosis) => Some((check, diagnosis)),
                CheckResult::Ok => None,
            })
            .collect();
        problems.sort_by_key(|(check, _)| !check.required);
        problems
    }
}

/// Tries everything the builder needs, overlayfs in `directory` (which must exist; the store's). `helper` is the
/// stager binary, as for [`super::NativeBuilder::new`].
pub fn probe(helper: &Path, directory: &Path) -> io::Result<Probe> {
    let output =
        Command::new(helper).arg0(PROBE_NAME).arg(directory).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}

/// The helper's side: a process of its own, since namespaces and forks are no business of a threaded program.
pub(super) fn helper_main() -> i32 {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else { return 2 };
    let probe = match current_mode() {
        Some(mode) => Probe { mode: Some(mode), checks: inside(mode, &directory) },
        None => from_outside(&directory),
    };
    let text = serde_json::to_vec(&probe).unwrap_or_default();
    i32::from(io::stdout().write_all(&text).is_err())
}

fn from_outside(directory: &Path) -> Probe {
    let mut checks = Vec::new();
    let subordinate = idmap::subordinate();
    let mut mode = None;
    let mut refusal = None;
    for map in idmap::candidates() {
        let candidate_mode = if map == IdMap::Single { Mode::SingleId } else { Mode::MultiId };
        match try_inside(&map, candidate_mode, directory) {
            Ok(found) => {
                mode = Some(candidate_mode);
                checks = found;
                break;
            }
            Err(error) => refusal = Some((candidate_mode, error)),
        }
    }
    if mode != Some(Mode::MultiId) {
        let problem = match (&subordinate, &refusal) {
            (Err(missing), _) => missing.to_string(),
            (Ok(_), Some((Mode::MultiId, error))) => text_of(error),
            (Ok(_), _) => "the machine grants none".to_owned(),
        };
        let remedy = "install the package uidmap (shadow-utils) and as root run `usermod --add-subuids 100000-165535 \
                      --add-subgids 100000-165535 USER`; without it owners are emulated";
        checks.insert(0, check("subordinate ids", false, Err(diagnosis(problem, remedy))));
    }
    let namespaces = match (mode, refusal) {
        (None, Some((_, EnterError::Refused(diagnosis)))) => Err(diagnosis),
        (None, Some((_, error))) => Err(diagnosis(text_of(&error), "run stager as root")),
        _ => Ok(()),
    };
    checks.insert(0, check("user namespaces", true, namespaces));
    Probe { mode, checks }
}

fn text_of(error: &EnterError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

/// Runs the inner checks as root of a user namespace.
fn try_inside(map: &IdMap, mode: Mode, directory: &Path) -> Result<Vec<Check>, EnterError> {
    let failed = |what| move |source: io::Error| EnterError::Failed { what, source };
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed("making a pipe")(error.into()))?;
    let child = start_in(map, || {
        // The parent waits for its end of the socket to close, which it does when this process ends.
        let text = serde_json::to_vec(&inside(mode, directory)).unwrap_or_default();
        let sent = rustix::io::write(&writer, &text).is_ok();
        sys::exit_now(i32::from(!sent))
    })?;
    drop(writer);
    let mut text = Vec::new();
    std::fs::File::from(reader).read_to_end(&mut text).map_err(failed("reading from a process"))?;
    waitpid(Some(child), WaitOptions::empty()).map_err(|error| failed("waiting for a process")(error.into()))?;
    serde_json::from_slice(&text).map_err(|error| failed("trying a user namespace")(error.into()))
}

fn check(name: &str, required: bool, result: Result<(), Diagnosis>) -> Check {
    Check { name: name.to_owned(), required, result: result.map_or_else(CheckResult::Problem, |()| CheckResult::Ok) }
}

fn diagnosis(problem: impl Into<String>, remedy: &str) -> Diagnosis {
    Diagnosis { problem: problem.into(), remedy: remedy.to_owned() }
}

/// What can be tried by a process that may make namespaces. Each check has a process of its own.
fn inside(mode: Mode, directory: &Path) -> Vec<Check> {
    let in_container = "in a container, start it with `--security-opt seccomp=unconfined --security-opt \
                        systempaths=unconfined`";
    let mut checks = Vec::new();
    let mut add = |name: &str, required, remedy: &str, attempt: &dyn Fn() -> io::Result<()>| {
        let result = in_own_process(attempt).map_err(|error| diagnosis(error.to_string(), remedy));
        checks.push(check(name, required, result));
    };
    add("mount, ipc and uts namespaces", true, in_container, &|| {
        sys::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP)
    });
    let place = format!("put the store (`STAGER_HOME`) on ext4, xfs, btrfs or tmpfs, not on {}", directory.display());
    let needed = format!("{place}; overlayfs in user namespaces needs Linux 5.11 or later");
    add("overlayfs", true, &needed, &|| try_overlay(directory, false).or_else(|_| try_overlay(directory, true)));
    add("overlayfs with many layers", false, "Linux 6.7 or later stacks up to 500 layers", &|| {
        try_overlay_modern(directory)
    });
    add("a proc file system of its own", true, in_container, &|| try_proc());
    add("network namespace", false, "steps with `network: none` can't run; check user.max_net_namespaces", &|| {
        sys::unshare(UnshareFlags::NEWNET)?;
        sys::raise_loopback()
    });
    if mode == Mode::SingleId {
        add("seccomp notifications", false, "owners given by chown are lost; needs Linux 5.5 or later", &|| {
            rustix::thread::set_no_new_privs(true)?;
            sys::install_filter(&seccomp::program(Identities::Supervised), true).map(drop)
        });
    }
    checks
}

/// Runs an attempt in a child, so that it can change its namespaces; its error number is the child's exit code.
fn in_own_process(attempt: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    let Some(child) = sys::fork()? else {
        let errno = attempt().err().map_or(0, |error| errno_of(&error));
        sys::exit_now(errno.min(255));
    };
    match waitpid(Some(child), WaitOptions::empty())?.map(|(_, status)| exit_code(status)) {
        Some(0) | None => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn try_proc() -> io::Result<()> {
    sys::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWPID)?;
    in_own_process(&|| new_file_system("proc", &[], MountAttrFlags::empty()).map(drop))
}

fn try_overlay_modern(directory: &Path) -> io::Result<()> {
    with_directories(directory, |stack, _| super::overlay::mount_modern(stack, MountAttrFlags::empty()).map(drop))
}

fn try_overlay(directory: &Path, legacy: bool) -> io::Result<()> {
    with_directories(directory, |stack, place| mount_stack(stack, place, legacy).map(drop).map_err(as_io))
}

fn as_io(failure: Failure) -> io::Error {
    io::Error::from_raw_os_error(failure.errno)
}

fn with_directories(directory: &Path, attempt: impl FnOnce(&Stack, &OwnedFd) -> io::Result<()>) -> io::Result<()> {
    let temporary = tempfile::Builder::new().prefix(".probe-").tempdir_in(directory)?;
    // Mounts of a namespace can only use directories that were opened in it.
    sys::unshare(UnshareFlags::NEWNS)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let open = |name: &str| {
        let path = temporary.path().join(name);
        fs_err::create_dir(&path)?;
        open_directory(&path).map_err(as_io)
    };
    let lowers = vec![open("one")?, open("two")?];
    let stack = Stack { lowers, upper: Some(Writable { upper: open("upper")?, work: open("work")? }) };
    let result = attempt(&stack, &open("place")?);
    drop(stack);
    remove_tree(temporary.path())?;
    result
}
