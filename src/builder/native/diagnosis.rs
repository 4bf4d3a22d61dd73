//! Turns the kernel's refusals into the name of the setting that causes them.

use serde::{Deserialize, Serialize};

/// What stands in the way, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The fact, naming the setting and its value.
    pub problem: String,
    /// A command or a setting, in words for people.
    pub remedy: String,
}

/// A kernel setting that forbids user namespaces when it has one value.
struct Setting {
    name: &'static str,
    forbidding: &'static str,
    remedy: &'static str,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        name: "user.max_user_namespaces",
        forbidding: "0",
        remedy: "as root run `sysctl user.max_user_namespaces=15000`",
    },
    Setting {
        name: "kernel.unprivileged_userns_clone",
        forbidding: "0",
        remedy: "as root run `sysctl kernel.unprivileged_userns_clone=1`",
    },
    Setting {
        name: "kernel.apparmor_restrict_unprivileged_userns",
        forbidding: "1",
        remedy: "as root give the stager binary an AppArmor profile with the rule `userns,`, or run \
                 `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    },
];

/// Why user namespaces were refused with this error number, if it can be told.
pub(super) fn of_refusal(errno: i32) -> Option<Diagnosis> {
    by_setting(|name| fs_err::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok())
        .or_else(|| by_error(errno, is_filtered()))
}

fn by_setting(read: impl Fn(&str) -> Option<String>) -> Option<Diagnosis> {
    SETTINGS.iter().find(|setting| read(setting.name).is_some_and(|value| value.trim() == setting.forbidding)).map(
        |setting| Diagnosis {
            problem: format!("user namespaces are disabled: {}={}", setting.name, setting.forbidding),
            remedy: setting.remedy.to_owned(),
        },
    )
}

fn by_error(errno: i32, filtered: bool) -> Option<Diagnosis> {
    let (problem, remedy) = match errno {
        libc::EPERM | libc::EACCES if filtered => (
            "user namespaces are refused: this process runs under a seccomp filter, as in a container",
            "start the container with `--security-opt seccomp=unconfined` (Docker, Podman) or a profile that allows \
             unshare, mount and pivot_root; in Kubernetes set `securityContext.seccompProfile.type: Unconfined`",
        ),
        libc::EPERM | libc::EACCES => (
            "user namespaces are refused: a security module forbids them, or this process runs in a chroot",
            "run stager outside of the chroot, or as root",
        ),
        libc::ENOSPC | libc::EUSERS => (
            "user namespaces are exhausted: user.max_user_namespaces is reached, or too many are nested",
            "as root raise `sysctl user.max_user_namespaces`",
        ),
        libc::EINVAL | libc::ENOSYS => (
            "this kernel has no user namespaces (CONFIG_USER_NS)",
            "use a kernel with CONFIG_USER_NS, or run stager as root",
        ),
        _ => return None,
    };
    Some(Diagnosis { problem: problem.to_owned(), remedy: remedy.to_owned() })
}

/// Whether a seccomp filter holds this process.
fn is_filtered() -> bool {
    fs_err::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|value| value.trim() == "2"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_named() {
        let with = |name: &'static str, value: &'static str| {
            by_setting(move |asked| (asked == name).then(|| format!("{value}\n")))
        };
        for (name, value) in [
            ("user.max_user_namespaces", "0"),
            ("kernel.unprivileged_userns_clone", "0"),
            ("kernel.apparmor_restrict_unprivileged_userns", "1"),
        ] {
            let diagnosis = with(name, value).unwrap();
            assert!(diagnosis.problem.contains(name) && diagnosis.remedy.contains("root"), "{diagnosis:?}");
        }
        assert_eq!(with("kernel.unprivileged_userns_clone", "1"), None);
        assert!(by_error(libc::EPERM, true).unwrap().remedy.contains("seccomp=unconfined"));
        assert_eq!(by_error(libc::ENOENT, false), None);
    }
}
