//! Machines with networks of their own: a network namespace each, and one for what they all reach. They have no names, and end with the
//! processes that hold them.

use std::path::PathBuf;

use super::daemon::Daemon;
use super::run::{find, program};
use super::{Missing, is_root, wait_until};

/// A middle, and machines that reach it and not each other.
pub(crate) struct Network {
    middle: Namespace,
    machines: Vec<Namespace>,
}

struct Namespace {
    _holder: Daemon,
    path: String,
}

impl Namespace {
    fn start() -> Result<Self, Missing> {
        let script = "echo $$; exec sleep infinity";
        let holder = Daemon::start(Daemon::directory("network"), &find("unshare")?, &["--net", "sh", "-c", script]);
        wait_until("a network namespace", || holder.stdout().ends_with('\n'));
        let path = format!("/proc/{}/ns/net", holder.stdout().trim());
        Ok(Self { _holder: holder, path })
    }

    fn ip(&self, arguments: &str) {
        let inside = [&format!("--net={}", self.path), "ip"].map(str::to_owned);
        let all = inside.into_iter().chain(arguments.split(' ').map(str::to_owned));
        program("nsenter", all).expect("found before").succeeds();
    }
}

impl Network {
    /// The address of the middle, from the block that is set aside for tests of networks (RFC 2544).
    pub(crate) const MIDDLE: &str = "198.18.0.1";

    pub(crate) fn start(machines: usize) -> Result<Self, Missing> {
        if !is_root() {
            return Err(Missing("network namespaces need root".into()));
        }
        find("ip")?;
        find("nsenter")?;
        let network = Self {
            middle: Namespace::start()?,
            machines: (0..machines).map(|_| Namespace::start()).collect::<Result<_, _>>()?,
        };
        let middle = &network.middle;
        middle.ip("link set lo up");
        middle.ip(&format!("addr add {}/32 dev lo", Self::MIDDLE));
        for (at, machine) in network.machines.iter().enumerate() {
            let (near, far) = (format!("198.18.{}.1", at + 1), format!("198.18.{}.2", at + 1));
            let holder = machine.path.trim_start_matches("/proc/").trim_end_matches("/ns/net");
            middle.ip(&format!("link add to{at} type veth peer name eth0 netns {holder}"));
            middle.ip(&format!("addr add {near}/30 dev to{at}"));
            middle.ip(&format!("link set to{at} up"));
            machine.ip("link set lo up");
            machine.ip(&format!("addr add {far}/30 dev eth0"));
            machine.ip("link set eth0 up");
            machine.ip(&format!("route add default via {near}"));
        }
        Ok(network)
    }

    /// What runs a program in the middle.
    pub(crate) fn in_the_middle(&self) -> Result<(PathBuf, String), Missing> {
        Ok((find("nsenter")?, format!("--net={}", self.middle.path)))
    }

    /// What runs a program on a machine.
    pub(crate) fn on(&self, machine: usize) -> (PathBuf, String) {
        (find("nsenter").expect("found before"), format!("--net={}", self.machines[machine].path))
    }
}
