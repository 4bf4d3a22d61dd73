//! Bounds on a step's memory and number of processes, by control groups that happen to be writable.
//!
//! Control groups are never required: they are looked for only when a task has such bounds. Version 2 (one group with
//! both controllers enabled) and version 1 (one group per controller) are served, below the group of this process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::wire::Bytes;
use crate::builder::{BuilderError, Limits};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The groups of one step; removed when dropped.
#[derive(Debug, Default)]
pub(super) struct ControlGroups {
    groups: Vec<PathBuf>,
}

impl ControlGroups {
    /// Groups that hold the step to its limits; none if it has none that need them.
    pub(super) fn for_limits(limits: &Limits) -> Result<Self, BuilderError> {
        let mut made = Self::default();
        if !limits.need_control_group() {
            return Ok(made);
        }
        let own = OwnGroups::find().map_err(|source| cannot("finding the control group of this process", source))?;
        if let Some(bytes) = limits.memory {
            made.limit(&own, "memory", &[("memory.max", bytes), ("memory.limit_in_bytes", bytes)])?;
        }
        if let Some(count) = limits.processes {
            made.limit(&own, "pids", &[("pids.max", count)])?;
        }
        Ok(made)
    }

    /// What pid 1 must enter.
    pub(super) fn directories(&self) -> Vec<Bytes> {
        self.groups.iter().map(Bytes::from).collect()
    }

    /// Whether the kernel killed something in them for lack of memory.
    pub(super) fn saw_out_of_memory(&self) -> bool {
        let counts = |group: &PathBuf| {
            ["memory.events", "memory.oom_control"].map(|name| fs_err::read_to_string(group.join(name)).ok())
        };
        self.groups
            .iter()
            .flat_map(counts)
            .flatten()
            .any(|text| text.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0"))
    }

    fn limit(&mut self, own: &OwnGroups, controller: &str, settings: &[(&str, u64)]) -> Result<(), BuilderError> {
        let parent = own.with_controller(controller).ok_or_else(|| {
            BuilderError::Task(format!("no control group with the {controller} controller for this process"))
        })?;
        let group = match self.groups.iter().find(|group| group.parent() == Some(&parent)) {
            Some(group) => group.clone(),
            None => self.make(&parent)?,
        };
        let mut result = Err(io::Error::from(io::ErrorKind::NotFound));
        for (name, value) in settings {
            let file = group.join(name);
            if file.exists() {
                result = fs_err::write(file, value.to_string());
            }
        }
        result.map_err(|source| cannot(&format!("setting a {controller} limit in {}", group.display()), source))
    }

    fn make(&mut self, parent: &Path) -> Result<PathBuf, BuilderError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = parent.join(format!("stager-{}-{number}", std::process::id()));
        fs_err::create_dir(&group).map_err(|source| {
            cannot("making a control group (limits need one that is delegated to this user)", source)
        })?;
        self.groups.push(group.clone());
        Ok(group)
    }
}

impl Drop for ControlGroups {
    fn drop(&mut self) {
        for group in &self.groups {
            // The processes are gone; a group that is still busy for a moment is empty and harmless.
            let _ = fs_err::remove_dir(group);
        }
    }
}

fn cannot(what: &str, source: io::Error) -> BuilderError {
    BuilderError::Sandbox { what: what.to_owned(), source }
}

/// Where this process is in each hierarchy.
struct OwnGroups {
    /// Controllers (empty for version 2) and directory.
    hierarchies: Vec<(Vec<String>, PathBuf)>,
}

impl OwnGroups {
    fn find() -> io::Result<Self> {
        let groups = fs_err::read_to_string("/proc/self/cgroup")?;
        let mounts = fs_err::read_to_string("/proc/self/mountinfo")?;
        Ok(Self { hierarchies: hierarchies(&groups, &mounts) })
    }

    fn with_controller(&self, controller: &str) -> Option<PathBuf> {
        let first = self.hierarchies.iter().find(|(controllers, _)| controllers.iter().any(|name| name == controller));
        let second = || {
            self.hierarchies.iter().find(|(controllers, directory)| {
                let enabled = fs_err::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
                controllers.is_empty() && enabled.split_whitespace().any(|name| name == controller)
            })
        };
        first.or_else(second).map(|(_, directory)| directory.clone())
    }
}

/// Joins /proc/self/cgroup (`id:controllers:path`) with the cgroup mounts of /proc/self/mountinfo.
fn hierarchies(groups: &str, mounts: &str) -> Vec<(Vec<String>, PathBuf)> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let controllers: Vec<String> =
            controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let Some((root, mount_point)) = mounts.lines().find_map(|mount| mount_of(mount, &controllers)) else {
            continue;
        };
        let below = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
        found.push((controllers, Path::new(mount_point).join(below)));
    }
    found
}

/// Root and mount point of a mountinfo line, if it mounts the hierarchy with these controllers.
fn mount_of<'a>(line: &'a str, controllers: &[String]) -> Option<(&'a str, &'a str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mount_point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let (file_system, options) = (kind.next()?, kind.nth(1)?);
    let fits = match controllers {
        [] => file_system == "cgroup2",
        [first, ..] => file_system == "cgroup" && options.split(',').any(|option| option == first),
    };
    fits.then_some((root, mount_point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let groups = "5:memory:/user\n3:cpu,cpuacct:/\n0::/user.slice/session\n";
        let mounts = "30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
                      31 24 0:27 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n\
                      32 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
        let found = hierarchies(groups, mounts);
        let paths: Vec<_> = found.iter().map(|(_, path)| path.as_path()).collect();
        let expected =
            ["/sys/fs/cgroup/memory/user", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified/user.slice/session"];
        assert_eq!(paths, expected.map(Path::new));
    }
}
