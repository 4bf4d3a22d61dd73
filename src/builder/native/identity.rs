//! Which ids this process can give to the steps it runs.

use std::fmt;

use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities};
use serde::{Deserialize, Serialize};

/// How the ids of a tree map to the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Real root: ids are the machine's own.
    Root,
    /// Root of a user namespace with a range of subordinate ids.
    MultiId,
    /// Root of a user namespace that has no other id; owners are emulated.
    SingleId,
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Root => "root",
            Self::MultiId => "rootless, subordinate ids",
            Self::SingleId => "rootless, a single id with emulated owners",
        })
    }
}

/// What this process is, if it may make mount and pid namespaces; `None` calls for
/// [`super::enter_user_namespace`].
pub fn current_mode() -> Option<Mode> {
    let map = fs_err::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let may_administer = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    if geteuid().is_root() && may_administer { Some(mode_of_map(&map)) } else { None }
}

/// Judges by the size of the uid map: lines of (first inside, first outside, count).
fn mode_of_map(map: &str) -> Mode {
    let extents: Vec<Vec<u64>> =
        map.lines().map(|line| line.split_whitespace().filter_map(|field| field.parse().ok()).collect()).collect();
    let is_whole = matches!(extents.as_slice(), [extent] if extent.as_slice() == [0, 0, u64::from(u32::MAX)]);
    let count: u64 = extents.iter().filter_map(|extent| extent.get(2)).sum();
    match (is_whole, count) {
        (true, _) => Mode::Root,
        (false, 0..=1) => Mode::SingleId,
        (false, _) => Mode::MultiId,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_tells_the_mode() {
        assert_eq!(mode_of_map("         0          0 4294967295\n"), Mode::Root);
        assert_eq!(mode_of_map("0 1000 1\n"), Mode::SingleId);
        assert_eq!(mode_of_map("0 1000 1\n1 100000 65536\n"), Mode::MultiId);
        assert_eq!(mode_of_map("0 0 65536\n"), Mode::MultiId);
        assert_eq!(mode_of_map(""), Mode::SingleId);
    }
}
