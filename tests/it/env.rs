//! What the tests run in: a home, a store and a git project of their own, servers on loopback, bases, other users.

mod base;
mod daemon;
mod engine;
mod git_server;
mod layout;
mod network;
mod project;
mod proxy;
mod registry;
mod report;
mod run;
mod text;
mod user;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

pub(crate) use base::{busybox_rootfs, debian_rootfs, push_rootfs};
pub(crate) use engine::DockerEngine;
pub(crate) use git_server::GitServer;
pub(crate) use layout::{OciImage, Tree, sha256, tar_tree};
pub(crate) use network::Network;
pub(crate) use project::Project;
pub(crate) use proxy::{Canned, Fault, Proxy, Rule};
pub(crate) use registry::{Registry, Request};
pub(crate) use report::{Report, Status};
pub(crate) use run::{Output, Run, find, program};
pub(crate) use text::normalized;
pub(crate) use user::RootlessUser;

/// What a test needs and this machine does not have.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// Says why a test does not run. `tests/run` as root has installed everything, so there it is a failure.
pub(crate) fn skip(missing: &Missing) {
    assert!(std::env::var_os("STAGER_TESTS_NO_SKIP").is_none(), "this test must not be skipped: {}", missing.0);
    eprintln!("skipped: {}", missing.0);
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until `reached` holds; panics after a minute, so that nothing waits for ever.
pub(crate) fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A home, a store and a project of one test; all gone with it.
pub(crate) struct TestEnv {
    root: tempfile::TempDir,
    project: Project,
    binary: PathBuf,
    user: Option<(u32, u32)>,
    variables: BTreeMap<String, String>,
    reports: Cell<u32>,
}

impl TestEnv {
    /// An environment with an empty git repository as project.
    pub(crate) fn new() -> Self {
        Self::create(PathBuf::from(env!("CARGO_BIN_EXE_stager")), None)
    }

    /// An environment that belongs to another user, who runs everything in it.
    pub(crate) fn of_user(user: &RootlessUser) -> Self {
        Self::create(user.binary().to_owned(), Some(user.ids()))
    }

    fn create(binary: PathBuf, user: Option<(u32, u32)>) -> Self {
        let root = tempfile::Builder::new().prefix("stager-it-").tempdir().expect("a temporary directory");
        for directory in ["home", "home/.docker", "run", "project", "out"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let project = Project::new(root.path().join("project"), user);
        let env = Self { root, project, binary, user, variables: BTreeMap::new(), reports: Cell::new(0) };
        if let Some(ids) = user {
            user::give(env.root.path(), ids);
        }
        env.project.init();
        env
    }

    /// Sets a variable of every later run.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// The git project that stager builds.
    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// The directory that holds everything of this environment.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The store, unless a run names another one.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    /// A path for an output; nothing is there yet.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.root.path().join("out").join(name)
    }

    /// A run of stager in the project directory, to be adjusted and started.
    pub(crate) fn command<A: AsRef<str>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        let mut run = Run::new(&self.binary, arguments);
        let home = self.home();
        run.cwd(self.project.path());
        run.user(self.user);
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        for (name, value) in [("PATH", path), ("LANG", "C.UTF-8"), ("TZ", "UTC"), ("GIT_CONFIG_NOSYSTEM", "1")] {
            run.env(name, value);
        }
        for (name, value) in [
            ("HOME", home.clone()),
            ("XDG_CONFIG_HOME", home.join(".config")),
            ("XDG_DATA_HOME", home.join(".local/share")),
            ("XDG_CACHE_HOME", home.join(".cache")),
            ("XDG_RUNTIME_DIR", self.root.path().join("run")),
            ("DOCKER_CONFIG", home.join(".docker")),
            ("STAGER_HOME", self.store()),
        ] {
            run.env(name, value.to_str().expect("test paths are UTF-8"));
        }
        for (name, value) in &self.variables {
            run.env(name, value);
        }
        run
    }

    /// Runs stager in the project directory to its end.
    pub(crate) fn stager<A: AsRef<str>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command(arguments).run()
    }

    /// Runs `stager build ARGUMENTS`, which must succeed, and reads its report.
    pub(crate) fn build(&self, arguments: &[&str]) -> Report {
        let (mut run, report) = self.build_command(arguments);
        run.run().succeeds();
        Report::read(&report)
    }

    /// A `stager build ARGUMENTS` to be started, and where its report will be.
    pub(crate) fn build_command(&self, arguments: &[&str]) -> (Run, PathBuf) {
        self.reports.set(self.reports.get() + 1);
        let report = self.out(&format!("report-{}.json", self.reports.get()));
        let mut all = vec!["build"];
        all.extend(arguments);
        all.extend(["--report", report.to_str().expect("test paths are UTF-8")]);
        (self.command(all), report)
    }

    /// The plan of the commit, as `stager plan --format json` prints it.
    pub(crate) fn plan(&self) -> Report {
        Report::parse(&self.stager(["plan", "--format", "json"]).succeeds().stdout)
    }

    /// Builds one image into an OCI layout and opens that.
    pub(crate) fn image(&self, name: &str) -> (Report, OciImage) {
        let layout = self.out(&format!("image-{name}-{}", self.reports.get()));
        let report = self.build(&[name, "--output", &format!("oci:{}", layout.display())]);
        (report, OciImage::open(&layout))
    }

    /// Mount points below this environment; there should be none when nothing runs.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let root = self.root.path().to_str().expect("test paths are UTF-8");
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().filter(|line| line.contains(root)).map(str::to_owned).collect()
    }
}

/// How many processes of the machine have exactly this command line.
pub(crate) fn processes(command_line: &str) -> usize {
    let mut count = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let is_process = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if let (true, Ok(line)) = (is_process, fs::read(entry.path().join("cmdline"))) {
            count += usize::from(String::from_utf8_lossy(&line).replace('\0', " ").trim_end() == command_line);
        }
    }
    count
}
