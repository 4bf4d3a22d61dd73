//! The same sandboxes for users who are not root.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::sync::OnceLock;

use stager::builder::native::{Entered, Mode, Wanted, enter_user_namespace};
use stager::layer::{OWNER_XATTR, parse_owner_record};

use super::*;
use crate::env::{RootlessUser, debian_rootfs};

/// Runs a helper below as another user, given by arguments of setpriv.
fn as_user(user: &[&str], helper: &str) -> Option<Output> {
    match user_command(user, helper)?.output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// See above. The test harness has threads: those that don't wait for signals must have them blocked.
fn user_command(user: &[&str], helper: &str) -> Option<Command> {
    if is_missing() {
        return None;
    }
    if current_mode() != Some(Mode::Root) {
        eprintln!("skipped: not root");
        return None;
    }
    let mut command = Command::new("env");
    command
        .args(["--block-signal=TERM", "setpriv"])
        .args(user)
        .arg("--clear-groups")
        .arg(copied(&std::env::current_exe().unwrap()))
        .env("STAGER_TEST_PROGRAM", copied(Path::new(env!("CARGO_BIN_EXE_stager"))))
        .args([&format!("native::rootless::{helper}"), "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir("/");
    Some(command)
}

/// A copy of a program that every user may run, wherever the one that was built is.
fn copied(program: &Path) -> PathBuf {
    static COPIES: OnceLock<tempfile::TempDir> = OnceLock::new();
    let copies = COPIES.get_or_init(|| tempfile::Builder::new().prefix("stager-it-programs-").tempdir().unwrap());
    fs_err::set_permissions(copies.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = copies.path().join(program.file_name().unwrap());
    if !copy.exists() {
        let new = tempfile::NamedTempFile::new_in(copies.path()).unwrap();
        fs_err::copy(program, new.path()).unwrap();
        new.persist(&copy).unwrap();
    }
    copy
}

fn must_pass(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Enters a namespace; `true` inside.
fn enter(wanted: Wanted, expected: Mode) -> bool {
    match enter_user_namespace(wanted).unwrap() {
        Entered::Already(mode) => {
            assert_eq!(mode, expected);
            true
        }
        Entered::Finished(code) => {
            assert_eq!(code, 0);
            false
        }
    }
}

/// Runs all other tests of this module where we are.
fn run_suite() {
    // The program we run from was opened outside; its mount is found nevertheless.
    assert!(
        format!("{:?}", NativeBuilder::new(&stager::builder::native::own_program()).unwrap()).contains("ReadOnlyMount")
    );
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["native::", "--skip", "native::rootless", "--test-threads=2"])
        .output()
        .unwrap();
    must_pass(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("native::tree::a_hostile_image_reaches_nothing_outside ... ok"), "{text}");
}

#[test]
fn the_suite_passes_with_subordinate_ids() {
    let user = need!(RootlessUser::with_ranges());
    let (uid, gid) = (user.ids().0.to_string(), user.ids().1.to_string());
    if let Some(output) = as_user(&["--reuid", &uid, "--regid", &gid], "multi_id_helper") {
        must_pass(&output);
    }
}

#[test]
#[ignore = "a helper"]
fn multi_id_helper() {
    if enter(Wanted::Best, Mode::MultiId) {
        run_suite();
    }
}

#[test]
fn the_suite_passes_with_a_single_id() {
    if let Some(output) = as_user(&["--reuid", "54321", "--regid", "54321"], "single_id_helper") {
        must_pass(&output);
    }
}

#[test]
#[ignore = "a helper"]
fn single_id_helper() {
    if enter(Wanted::Best, Mode::SingleId) {
        run_suite();
        owners_are_recorded();
    }
}

/// The emulation: every way to change an owner is recorded where the file is, seen from the caller.
fn owners_are_recorded() {
    let sandbox = Sandbox::new(
        "cd /data && chown 33:44 file && chown 5:6 ../data/sub && mkdir -p /jail/bin /jail/in && \
         cp /bin/busybox /jail/bin && touch /jail/in/f && chroot /jail /bin/busybox chown 7:8 /in/f && \
         ln -s file link && chown -h 9:9 link && chown 10:10 link && touch back && chown 1:1 back && chown 0:0 back && \
         touch suid && chmod 4755 suid && chown 2:2 suid && stat -c %a suid && ! chown 1:1 missing 2>/dev/null && \
         id -u && chown 3:3 /dev/stdout; echo $?",
    );
    assert_eq!(sandbox.output(), "755\n0\n0\n");
    let owner = |path: &str| {
        let mut value = [0; 32];
        let length = rustix::fs::lgetxattr(sandbox.upper().join(path), OWNER_XATTR, &mut value).ok()?;
        parse_owner_record(&value[..length])
    };
    assert_eq!(owner("data/file"), Some((10, 10)));
    assert_eq!(owner("data/sub"), Some((5, 6)));
    assert_eq!(owner("jail/in/f"), Some((7, 8)));
    assert_eq!(owner("data/suid"), Some((2, 2)));
    assert_eq!(owner("data/back"), None);
}

/// Where the Debian tree lies while it is used: the helper has no other way to know.
const DIRECTORY: &str = "/var/tmp/stager-it-single";

/// Builds a package in the tree, whose files and script give things to other users, and installs it.
const PACKAGE: &str = r"
set -e
apt-config dump APT::Sandbox::User | grep root
mkdir -p /tmp/p/DEBIAN /tmp/p/var/lib/gifts /tmp/p/usr/bin
printf 'Package: gifts
Version: 1
Architecture: all
Maintainer: a <a@b>
Description: d
' > /tmp/p/DEBIAN/control
printf '#!/bin/sh
set -e
chown www-data:mail /var/lib/gifts
install -o daemon -g games /bin/true /usr/bin/gift
' > /tmp/p/DEBIAN/postinst
chmod 755 /tmp/p/DEBIAN/postinst
echo content > /tmp/p/var/lib/gifts/file
chown 101:102 /tmp/p/var/lib/gifts/file
dpkg-deb --build /tmp/p /tmp/gifts.deb > /dev/null
dpkg -i /tmp/gifts.deb
dpkg --verify gifts
";

#[test]
fn dpkg_installs_with_a_single_id() {
    use std::os::unix::fs::lchown;
    let debian = need!(debian_rootfs());
    let directory = Path::new(DIRECTORY);
    stager::builder::native::remove_tree(directory).unwrap();
    fs_err::create_dir_all(directory.join("lower")).unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xf").arg(debian).args(["--exclude=./dev/*", "-C"]).arg(directory.join("lower"));
    assert!(unpack.status().unwrap().success());
    for name in ["upper", "scratch"] {
        fs_err::create_dir_all(directory.join(name)).unwrap();
    }
    let chown = Command::new("chown").args(["-Rh", "54321:54321"]).arg(directory).status().unwrap();
    assert!(chown.success());
    lchown(directory, Some(54321), Some(54321)).unwrap();
    if let Some(output) = as_user(&["--reuid", "54321", "--regid", "54321"], "debian_helper") {
        must_pass(&output);
    }
    stager::builder::native::remove_tree(directory).unwrap();
}

fn debian(script: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(script);
    let directory = Path::new(DIRECTORY);
    sandbox.task.lowers = vec![directory.join("lower")];
    sandbox.task.upper = directory.join("upper");
    sandbox.task.scratch = directory.join("scratch");
    sandbox.task.env = vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())];
    sandbox
}

#[test]
#[ignore = "a helper"]
fn debian_helper() {
    if !enter(Wanted::SingleId, Mode::SingleId) {
        return;
    }
    let sandbox = debian(PACKAGE);
    let output = sandbox.output();
    assert!(output.contains("Setting up gifts (1)"), "{output}");
    let owner = |path: &str| {
        let mut value = [0; 32];
        let length = rustix::fs::lgetxattr(sandbox.task.upper.join(path), OWNER_XATTR, &mut value).ok()?;
        parse_owner_record(&value[..length])
    };
    assert_eq!(owner("var/lib/gifts"), Some((33, 8)));
    assert_eq!(owner("usr/bin/gift"), Some((1, 60)));
    // The setting that apt gets for the time of the step left no trace.
    assert!(!sandbox.task.upper.join("etc/apt").exists());
}

/// Run by hand, on a machine with a network: `apt-get install` in the tree of the test above.
#[test]
#[ignore = "needs the network"]
fn apt_helper() {
    if !enter(Wanted::SingleId, Mode::SingleId) {
        return;
    }
    let mut sandbox = debian(
        "apt-get update && apt-get install -y --no-install-recommends postgresql-common man-db dbus && id messagebus",
    );
    sandbox.task.network = Network::Default;
    sandbox.task.timeout = None;
    let (outcome, output) = sandbox.try_run().unwrap();
    println!(
        "{output}
{outcome:?}"
    );
    assert!(outcome.is_success());
}

#[test]
fn signals_reach_the_inner_process_and_its_code_comes_back() {
    if let Some(output) = as_user(&["--reuid", "54321", "--regid", "54321"], "code_helper") {
        assert_eq!(output.status.code(), Some(42));
    }
}

#[test]
#[ignore = "a helper"]
fn code_helper() {
    match enter_user_namespace(Wanted::SingleId).unwrap() {
        Entered::Finished(code) => std::process::exit(code),
        Entered::Already(_) => {
            // The first process passes SIGTERM on; this one takes it as the order to end with 42.
            let mut signals = signal_hook::iterator::Signals::new([libc::SIGTERM]).unwrap();
            let first = rustix::process::getppid().unwrap();
            rustix::process::kill_process(first, rustix::process::Signal::TERM).unwrap();
            assert_eq!(signals.forever().next(), Some(libc::SIGTERM));
            std::process::exit(42);
        }
    }
}

#[test]
fn the_inner_process_dies_with_the_outer_one() {
    use std::io::{BufRead, BufReader};
    let Some(mut command) = user_command(&["--reuid", "54321", "--regid", "54321"], "death_helper") else { return };
    let mut outer = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(outer.stdout.take().unwrap()).lines().map(Result::unwrap);
    let inner = lines.find_map(|line| line.strip_prefix("inner ").map(str::to_owned)).unwrap();
    let directory = Path::new("/proc").join(inner);
    assert!(directory.exists());
    outer.kill().unwrap();
    outer.wait().unwrap();
    super::outcome::wait_until(|| !directory.exists());
}

#[test]
#[ignore = "a helper"]
fn death_helper() {
    if enter(Wanted::SingleId, Mode::SingleId) {
        println!("\ninner {}", std::process::id());
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn the_machine_is_probed() {
    use stager::builder::native::probe;
    if is_missing() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let found = probe(&program(), directory.path()).unwrap();
    assert_eq!(found.mode, current_mode());
    assert!(found.is_usable(), "{:?}", found.problems());
    assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_user_is_told_what_is_missing() {
    if let Some(output) = as_user(&["--reuid", "54321", "--regid", "54321"], "probe_helper") {
        must_pass(&output);
    }
}

#[test]
#[ignore = "a helper"]
fn probe_helper() {
    let directory = tempfile::tempdir().unwrap();
    let found = stager::builder::native::probe(&program(), directory.path()).unwrap();
    assert_eq!(found.mode, Some(Mode::SingleId));
    assert!(found.is_usable(), "{:?}", found.problems());
    let problems = found.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].1.remedy.contains("add-subuids"), "{problems:?}");
}

#[test]
fn a_refusal_names_the_setting() {
    if is_missing() {
        return;
    }
    // The limit belongs to a user namespace, so it can be set to nothing in one of our own.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \"$@\"";
    let output = Command::new("unshare")
        .args(["-Ur", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["native::rootless::refused_helper", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    must_pass(&output);
}

#[test]
#[ignore = "a helper"]
fn refused_helper() {
    use stager::builder::native::EnterError;
    match enter_user_namespace(Wanted::Best).unwrap_err() {
        EnterError::Refused(diagnosis) => {
            assert_eq!(diagnosis.problem, "user namespaces are disabled: user.max_user_namespaces=0");
            assert!(diagnosis.remedy.contains("sysctl user.max_user_namespaces="), "{diagnosis:?}");
        }
        other @ EnterError::Failed { .. } => panic!("{other:?}"),
    }
    let directory = tempfile::tempdir().unwrap();
    let found = stager::builder::native::probe(&program(), directory.path()).unwrap();
    assert_eq!(found.mode, None);
    assert!(!found.is_usable());
    assert!(found.problems()[0].1.problem.contains("user.max_user_namespaces=0"), "{:?}", found.problems());
    assert!(NativeBuilder::new(&program()).is_err());
}
