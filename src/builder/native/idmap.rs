//! Which ids a user namespace can have, and writing its maps.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

/// Where distributions put newuidmap and newgidmap; NixOS keeps set-uid programs in a place of its own.
const PROGRAM_DIRECTORIES: [&str; 6] =
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/run/wrappers/bin"];

/// Consecutive ids: first inside, first outside, count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    inside: u32,
    outside: u32,
    count: u32,
}

/// A way to map ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdMap {
    /// Ranges that the administrator granted, written by the set-uid programs.
    Subordinate { uids: Vec<Extent>, gids: Vec<Extent>, newuidmap: PathBuf, newgidmap: PathBuf },
    /// The ids of the present namespace as they are, written by ourselves: for the root of a container that may not
    /// mount.
    Identity { uids: Vec<Extent>, gids: Vec<Extent> },
    /// Only the user's own ids.
    Single,
}

/// Why there are no subordinate ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSubordinateIds {
    #[error("{0} is not installed")]
    Program(&'static str),
    #[error("{file} has no range for {user}")]
    Range { file: &'static str, user: String },
}

/// The maps worth trying, best first.
pub(super) fn candidates() -> Vec<IdMap> {
    let identity = may_write_any_map().then(identity).flatten();
    identity.into_iter().chain(subordinate()).chain([IdMap::Single]).collect()
}

/// The map by subordinate ids, or why there is none.
pub(super) fn subordinate() -> Result<IdMap, NoSubordinateIds> {
    let newuidmap = find_program("newuidmap")?;
    let newgidmap = find_program("newgidmap")?;
    let uids = with_own(geteuid().as_raw(), ranges("/etc/subuid")?);
    let gids = with_own(getegid().as_raw(), ranges("/etc/subgid")?);
    Ok(IdMap::Subordinate { uids, gids, newuidmap, newgidmap })
}

fn find_program(name: &'static str) -> Result<PathBuf, NoSubordinateIds> {
    let paths = PROGRAM_DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
    paths.into_iter().find(|path| path.exists()).ok_or(NoSubordinateIds::Program(name))
}

/// (first, count) of each range granted to this user. Group ranges are granted to users, too.
fn ranges(file: &'static str) -> Result<Vec<(u32, u32)>, NoSubordinateIds> {
    let uid = geteuid().as_raw();
    let passwd = fs_err::read_to_string("/etc/passwd").unwrap_or_default();
    let name = user_name(&passwd, uid);
    let found = granted(&fs_err::read_to_string(file).unwrap_or_default(), uid, name);
    let user = || name.map_or_else(|| uid.to_string(), str::to_owned);
    if found.is_empty() { Err(NoSubordinateIds::Range { file, user: user() }) } else { Ok(found) }
}

fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// Lines of name or uid, first, count.
fn granted(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let is_ours = Some(owner) == name || owner.parse() == Ok(uid);
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (is_ours && count > 0).then_some((first, count))
    };
    text.lines().filter_map(range).collect()
}

/// The user as root, then the ranges one after the other from 1 on.
fn with_own(own: u32, ranges: Vec<(u32, u32)>) -> Vec<Extent> {
    let mut extents = vec![Extent { inside: 0, outside: own, count: 1 }];
    let mut next = 1u32;
    for (first, count) in ranges {
        let count = count.min(u32::MAX - next);
        if count > 0 {
            extents.push(Extent { inside: next, outside: first, count });
            next += count;
        }
    }
    extents
}

fn may_write_any_map() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::SETFCAP;
    geteuid().is_root() && capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

fn identity() -> Option<IdMap> {
    let extents = |file: &str| {
        let text = fs_err::read_to_string(file).ok()?;
        let extents: Vec<Extent> = text.lines().filter_map(identity_extent).collect();
        (!extents.is_empty()).then_some(extents)
    };
    Some(IdMap::Identity { uids: extents("/proc/self/uid_map")?, gids: extents("/proc/self/gid_map")? })
}

fn identity_extent(line: &str) -> Option<Extent> {
    let mut fields = line.split_whitespace().map(str::parse);
    let (inside, _, count) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Extent { inside, outside: inside, count })
}

impl IdMap {
    /// Writes the maps of a process that has just made its user namespace.
    pub(super) fn apply(&self, process: Pid) -> io::Result<()> {
        let pid = process.as_raw_nonzero().get();
        let write = |name: &str, text: String| fs_err::write(format!("/proc/{pid}/{name}"), text);
        match self {
            Self::Subordinate { uids, gids, newuidmap, newgidmap } => {
                let users = start(newuidmap, pid, uids)?;
                let groups = start(newgidmap, pid, gids)?;
                finish(newuidmap, users).and(finish(newgidmap, groups))
            }
            Self::Identity { uids, gids } => {
                write("uid_map", lines(uids))?;
                write("gid_map", lines(gids))
            }
            Self::Single => {
                let own = |id| lines(&[Extent { inside: 0, outside: id, count: 1 }]);
                write("setgroups", "deny".into())?;
                write("uid_map", own(geteuid().as_raw()))?;
                write("gid_map", own(getegid().as_raw()))
            }
        }
    }
}

fn lines(extents: &[Extent]) -> String {
    let line = |extent: &Extent| format!("{} {} {}\n", extent.inside, extent.outside, extent.count);
    extents.iter().map(line).collect::<Vec<_>>().concat()
}

fn start(program: &Path, pid: i32, extents: &[Extent]) -> io::Result<std::process::Child> {
    let numbers = extents.iter().flat_map(|extent| [extent.inside, extent.outside, extent.count]);
    Command::new(program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

fn finish(program: &Path, child: std::process::Child) -> io::Result<()> {
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}: {}", program.display(), said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_granted_by_name_or_number() {
        let text = "other:1:2\nme:100000:65536\n1000:300000:10\nbad\nme:x:1\nme:5:0\n";
        assert_eq!(granted(text, 1000, Some("me")), [(100_000, 65536), (300_000, 10)]);
        assert_eq!(granted(text, 7, None), []);
        assert_eq!(user_name("root:x:0:0::/:\nme:x:1000:1000::/home/me:/bin/sh\n", 1000), Some("me"));
    }

    #[test]
    fn ranges_follow_the_own_id_without_a_gap() {
        let extents = with_own(1000, vec![(100_000, 65536), (300_000, 10)]);
        assert_eq!(lines(&extents), "0 1000 1\n1 100000 65536\n65537 300000 10\n");
        assert_eq!(identity_extent("  0 100000 65536"), Some(Extent { inside: 0, outside: 0, count: 65536 }));
    }
}
