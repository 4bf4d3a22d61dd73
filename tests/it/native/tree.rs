//! What a step sees as its file system, and what it leaves behind.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::*;

#[test]
fn a_step_that_changes_nothing_leaves_nothing() {
    if is_missing() {
        return;
    }
    let sandbox = Sandbox::new("true");
    sandbox.output();
    assert!(sandbox.changes().is_empty(), "{:?}", sandbox.changes());
}

#[test]
fn changes_whiteouts_and_opaque_directories_are_in_the_upper_directory() {
    if is_missing() {
        return;
    }
    let sandbox =
        Sandbox::new("echo new > /added; rm /data/file; rm -rf /data/sub; mkdir /data/sub; echo x > /data/sub/other");
    sandbox.output();
    assert_eq!(sandbox.changes(), ["added", "data", "data/file", "data/sub", "data/sub/other"]);
    let whiteout = fs_err::metadata(sandbox.upper().join("data/file")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(sandbox.upper().join("data/sub"), "user.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..length], b"y");
    assert!(sandbox.lower().join("data/sub/inner").exists());
}

#[test]
fn lower_directories_are_stacked_topmost_first() {
    if is_missing() {
        return;
    }
    for legacy in [false, true] {
        let mut sandbox = Sandbox::new("cat /number; ls /layers | wc -l; cat /layers/199 /data/file");
        let mut lowers = Vec::new();
        for number in 0..200 {
            // Names as long as a real store's, with characters that mean something in mount options.
            let name = format!("{number}-{}:,\\x", "d".repeat(64));
            let layer = sandbox.directory.path().join(name);
            fs_err::create_dir_all(layer.join("layers")).unwrap();
            fs_err::write(layer.join("number"), format!("{number}\n")).unwrap();
            fs_err::write(layer.join(format!("layers/{number}")), format!("layer {number}\n")).unwrap();
            lowers.push(layer);
        }
        sandbox.task.lowers.splice(0..0, lowers);
        let builder = if legacy { builder().with_legacy_overlay() } else { builder() };
        let (outcome, output) = sandbox.try_run_with(&builder).unwrap();
        assert_eq!((outcome.status, output.as_str()), (StepStatus::Exited(0), "0\n200\nlayer 199\nlower\n"));
        assert!(sandbox.changes().is_empty());
    }
}

#[test]
fn an_upper_directory_serves_as_the_next_lower_one() {
    if is_missing() {
        return;
    }
    let first = Sandbox::new("rm -rf /data; mkdir /data; echo two > /data/second");
    first.output();
    let mut second = Sandbox::new("ls /data; cat /data/second");
    second.task.lowers = vec![first.upper(), first.lower()];
    assert_eq!(second.output(), "second\ntwo\n");
}

#[test]
fn an_empty_tree_can_only_fail_to_find_the_command() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("true");
    sandbox.task.lowers.clear();
    assert!(matches!(sandbox.try_run().unwrap_err(), BuilderError::Command { .. }));
    assert!(sandbox.changes().is_empty(), "{:?}", sandbox.changes());
}

#[test]
fn mounts_are_seen_and_leave_no_trace() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new(
        "cat /run/secrets/token /in/file /one; stat -c %a:%u:%g /run/secrets/token; echo kept > /cache/a/b/new; \
         echo gone > /scratch/x; stat -c %a /scratch; (echo no > /in/other) 2>/dev/null || echo read-only; \
         (echo no > /run/secrets/token) 2>/dev/null || echo read-only; cat /other/inner",
    );
    let outside = sandbox.directory.path().join("outside");
    fs_err::create_dir_all(&outside).unwrap();
    fs_err::write(outside.join("file"), "bound\n").unwrap();
    let cache = sandbox.directory.path().join("cache");
    fs_err::create_dir_all(&cache).unwrap();
    let secret = MountSource::SecretFile { bytes: b"hush\n".to_vec(), mode: 0o400, uid: 5, gid: 6 };
    let (other, lower) = (sandbox.directory.path().join("other"), sandbox.lower());
    fs_err::create_dir_all(other.join("data")).unwrap();
    sandbox
        .mount("/run/secrets/token", secret)
        .mount("/in", MountSource::Bind { path: outside.clone(), read_only: true })
        .mount("/one", MountSource::Bind { path: outside.join("file"), read_only: true })
        .mount("/cache/a/b", MountSource::Bind { path: cache.clone(), read_only: false })
        .mount("/scratch", MountSource::Tmpfs { size: Some(1 << 20), mode: 0o1770 })
        .mount("/other", MountSource::ReadOnlyDir { lowers: vec![other, lower], path: "/data/sub".into() });
    let owner = if current_mode() == Some(Mode::SingleId) { "0:0" } else { "5:6" };
    assert_eq!(sandbox.output(), format!("hush\nbound\nbound\n400:{owner}\n1770\nread-only\nread-only\ninner\n"));
    assert_eq!(fs_err::read_to_string(cache.join("new")).unwrap(), "kept\n");
    assert!(sandbox.changes().is_empty(), "{:?}", sandbox.changes());
}

#[test]
fn what_a_step_writes_next_to_a_mount_stays() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("echo x > /run/secrets/mine; pwd; echo y > /work/cache/z; ls");
    sandbox.task.workdir = "/work".into();
    sandbox
        .mount("/run/secrets/token", MountSource::SecretFile { bytes: b"s".to_vec(), mode: 0o400, uid: 0, gid: 0 })
        .mount("/work/cache", MountSource::Tmpfs { size: None, mode: 0o755 });
    assert_eq!(sandbox.output(), "/work\ncache\n");
    assert_eq!(sandbox.changes(), ["run", "run/secrets", "run/secrets/mine", "work"]);
}

#[test]
fn a_working_directory_inside_a_mount_is_made_there() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("echo x > here");
    let cache = sandbox.directory.path().join("cache");
    fs_err::create_dir_all(&cache).unwrap();
    sandbox.task.workdir = "/cache/deep/er".into();
    sandbox.mount("/cache", MountSource::Bind { path: cache.clone(), read_only: false });
    sandbox.output();
    assert!(cache.join("deep/er/here").exists());
    assert!(sandbox.changes().is_empty(), "{:?}", sandbox.changes());
}

#[test]
fn bad_targets_are_refused() {
    if is_missing() {
        return;
    }
    for target in ["/", "relative", "/a/../b", "/proc/sys", "/proc/self/x", "/sys/kernel", "//./"] {
        let mut sandbox = Sandbox::new("true");
        sandbox.mount(target, MountSource::Tmpfs { size: None, mode: 0o755 });
        assert!(sandbox.try_run().is_err(), "{target}");
        assert!(sandbox.changes().is_empty(), "{target}: {:?}", sandbox.changes());
    }
}

/// Links in an image lead nowhere but into the image.
#[test]
fn a_hostile_image_reaches_nothing_outside() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("cat /etc/resolv.conf > /dev/null; echo inside > /var/cache/x; cat /link/token");
    let outside = sandbox.directory.path().join("outside");
    fs_err::create_dir_all(outside.join("cache")).unwrap();
    fs_err::write(outside.join("resolv.conf"), "untouched\n").unwrap();
    let lower = sandbox.lower();
    symlink(outside.join("resolv.conf"), lower.join("etc/resolv.conf")).unwrap();
    symlink("../../../../../../../../../..".to_owned() + outside.to_str().unwrap(), lower.join("link")).unwrap();
    fs_err::create_dir_all(lower.join("var")).unwrap();
    symlink(outside.join("cache"), lower.join("var/cache")).unwrap();
    sandbox.task.network = Network::Default;
    sandbox
        .mount("/link/token", MountSource::SecretFile { bytes: b"t\n".to_vec(), mode: 0o400, uid: 0, gid: 0 })
        .mount("/var/cache", MountSource::Tmpfs { size: None, mode: 0o755 });
    assert_eq!(sandbox.output(), "t\n");
    assert_eq!(fs_err::read_to_string(outside.join("resolv.conf")).unwrap(), "untouched\n");
    assert!(fs_err::read_dir(outside.join("cache")).unwrap().next().is_none());
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 2);
    assert!(sandbox.changes().is_empty(), "{:?}", sandbox.changes());
    for name in ["proc", "dev", "sys"] {
        let sandbox = Sandbox::new("true");
        symlink(&outside, sandbox.lower().join(name)).unwrap();
        let error = sandbox.try_run().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 2);
    }
}

#[test]
fn a_whiteout_over_a_mount_point_leaves_no_stub() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("cat /etc/resolv.conf > /dev/null; cat /etc/hosts");
    let top = sandbox.directory.path().join("top");
    fs_err::create_dir_all(top.join("etc")).unwrap();
    rustix::fs::setxattr(top.join("etc"), "user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).unwrap();
    sandbox.task.lowers.insert(0, top);
    sandbox.task.network = Network::Host;
    assert!(sandbox.output().contains("localhost"));
    assert!(sandbox.changes().is_empty(), "{:?}", sandbox.changes());
}
