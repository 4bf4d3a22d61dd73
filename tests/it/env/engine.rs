//! A Docker Engine of the tests' own: no bridge, no firewall rules, nothing shared with one that may already run.

use std::sync::OnceLock;

use super::daemon::Daemon;
use super::run::{Output, find, program};
use super::{Missing, is_root, wait_until};

/// One engine for the whole test binary; it ends with the process.
pub(crate) struct DockerEngine {
    daemon: Daemon,
}

impl DockerEngine {
    pub(crate) fn shared() -> Result<&'static Self, Missing> {
        static ENGINE: OnceLock<Result<DockerEngine, String>> = OnceLock::new();
        let engine = ENGINE.get_or_init(|| Self::start().map_err(|missing| missing.0));
        engine.as_ref().map_err(|why| Missing(why.clone()))
    }

    fn start() -> Result<Self, Missing> {
        if !is_root() {
            return Err(Missing("a Docker Engine of our own needs root".into()));
        }
        let server = find("dockerd")?;
        find("docker")?;
        let directory = Daemon::directory("dockerd");
        let at = |name: &str| directory.join(name).to_str().expect("test paths are UTF-8").to_owned();
        let (data, exec, pid) = (at("data"), at("exec"), at("pid"));
        let socket = format!("unix://{}", at("docker.sock"));
        let arguments = [
            ["--data-root", &data],
            ["--exec-root", &exec],
            ["--pidfile", &pid],
            ["--host", &socket],
            ["--bridge", "none"],
        ];
        let switches = ["--iptables=false", "--ip-masq=false", "--ip-forward=false"];
        let arguments: Vec<&str> = arguments.iter().flatten().copied().chain(switches).collect();
        let engine = Self { daemon: Daemon::start(directory, &server, &arguments) };
        wait_until("dockerd to listen or to fail", || {
            let log = engine.daemon.log();
            log.contains("API listen on") || log.contains("failed to start daemon")
        });
        let log = engine.daemon.log();
        let why = log.lines().find(|line| line.contains("failed to start daemon"));
        why.map_or(Ok(engine), |line| Err(Missing(format!("dockerd does not start here: {line}"))))
    }

    /// Its address, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.daemon.path().join("docker.sock").display())
    }

    /// Runs Debian's own `docker` client against it.
    pub(crate) fn docker<const N: usize>(&self, arguments: [&str; N]) -> Output {
        let host = self.host();
        let all = ["--host", &host].into_iter().chain(arguments);
        program("docker", all).expect("found when the engine was started")
    }
}

#[test]
fn the_engine_answers() {
    let engine = need!(DockerEngine::shared());
    assert!(engine.docker(["info", "--format", "{{.ServerVersion}}"]).succeeds().stdout.starts_with(char::is_numeric));
}
