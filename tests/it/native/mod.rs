//! Real sandboxes, made by the native builder from a busybox tree.

mod isolation;
mod outcome;
mod rootless;
mod tree;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stager::builder::native::{Mode, NativeBuilder, current_mode};
use stager::builder::{
    Builder, BuilderError, CancelToken, Limits, MountSource, Network, StepMount, StepOutcome, StepStatus, StepTask,
    UserIds,
};

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 40] = [
    "sh", "cat", "echo", "ls", "id", "env", "pwd", "rm", "mkdir", "rmdir", "touch", "true", "false", "sleep", "kill",
    "chown", "chmod", "mv", "cp", "stat", "mount", "hostname", "ip", "setsid", "ps", "dd", "yes", "head", "wc", "ln",
    "readlink", "mknod", "chroot", "grep", "test", "find", "unshare", "ulimit", "date", "sort",
];

/// A busybox tree as the only lower directory, and room for one step's result.
pub(crate) struct Sandbox {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) task: StepTask,
    pub(crate) cancel: CancelToken,
}

/// Says why the test can't run here, if it can't.
pub(crate) fn is_missing() -> bool {
    let reason = if !Path::new(BUSYBOX).exists() {
        "no static busybox at /bin/busybox"
    } else if current_mode().is_none() {
        "not root, and not in a user namespace"
    } else {
        return false;
    };
    eprintln!("skipped: {reason}");
    true
}

/// Says that a test needs more than one id, if there is only one.
pub(crate) fn has_single_id() -> bool {
    let single = current_mode() == Some(Mode::SingleId);
    if single {
        eprintln!("skipped: there is only one id");
    }
    single
}

/// The program under test: a copy, where another user could not run the one that was built.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("STAGER_TEST_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_stager").into(), PathBuf::from)
}

pub(crate) fn builder() -> NativeBuilder {
    NativeBuilder::new(&program()).unwrap()
}

pub(crate) fn make_busybox_tree(root: &Path) {
    for name in ["bin", "tmp", "etc", "data/sub"] {
        fs_err::create_dir_all(root.join(name)).unwrap();
    }
    fs_err::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    fs_err::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs_err::write(root.join("data/file"), "lower\n").unwrap();
    fs_err::write(root.join("data/sub/inner"), "inner\n").unwrap();
}

impl Sandbox {
    pub(crate) fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["lower", "upper", "scratch"] {
            fs_err::create_dir(directory.path().join(name)).unwrap();
        }
        make_busybox_tree(&directory.path().join("lower"));
        let task = StepTask {
            lowers: vec![directory.path().join("lower")],
            upper: directory.path().join("upper"),
            scratch: directory.path().join("scratch"),
            argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
            stdin: None,
            env: vec![("PATH".into(), "/bin".into())],
            user: UserIds::default(),
            workdir: "/".into(),
            network: Network::None,
            mounts: Vec::new(),
            hostname: "step".into(),
            timeout: Some(Duration::from_secs(60)),
            limits: Limits::default(),
        };
        Self { directory, task, cancel: CancelToken::new().unwrap() }
    }

    pub(crate) fn mount(&mut self, target: &str, source: MountSource) -> &mut Self {
        self.task.mounts.push(StepMount { target: target.into(), source });
        self
    }

    pub(crate) fn try_run(&self) -> Result<(StepOutcome, String), BuilderError> {
        self.try_run_with(&builder())
    }

    pub(crate) fn try_run_with(&self, builder: &NativeBuilder) -> Result<(StepOutcome, String), BuilderError> {
        let mut output = Vec::new();
        let outcome = builder.run(&self.task, &mut |chunk| output.extend_from_slice(chunk), &self.cancel)?;
        Ok((outcome, String::from_utf8_lossy(&output).into_owned()))
    }

    /// Runs a step that must succeed, and returns its output.
    pub(crate) fn output(&self) -> String {
        let (outcome, output) = self.try_run().unwrap();
        assert_eq!(outcome.status, StepStatus::Exited(0), "{output}");
        output
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.directory.path().join("upper")
    }

    pub(crate) fn lower(&self) -> PathBuf {
        self.directory.path().join("lower")
    }

    /// Everything in the upper directory, sorted, relative.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.upper(), "", &mut names);
        names.sort();
        names
    }
}

fn collect(directory: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), names);
        }
        names.push(name);
    }
}
