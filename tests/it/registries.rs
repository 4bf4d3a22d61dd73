//! `registries.yaml`: mirrors and certificates of registries.

use fs_err as fs;

use crate::env::{Registry, TestEnv, busybox_rootfs, push_rootfs};

/// A project on a base of a registry that is not there.
fn project() -> TestEnv {
    let env = TestEnv::new();
    env.project().config("image: app\nfrom: nowhere.invalid/busybox:1\nbuild: {steps: [{command: echo ran > /ran}]}\n");
    env.project().commit("start");
    env
}

#[test]
fn a_base_comes_from_a_mirror() {
    let registry = need!(Registry::start());
    need!(push_rootfs(&registry, "hub/busybox:1", busybox_rootfs()));
    let env = project();
    let directory = env.home().join(".config/stager");
    fs::create_dir_all(&directory).unwrap();
    let mirrors =
        format!("registries: {{nowhere.invalid: {{mirrors: ['127.0.0.1:1/x', '{}/hub']}}}}\n", registry.address());
    fs::write(directory.join("registries.yaml"), mirrors).unwrap();
    let output = env.stager(["build"]).succeeds().says(&["the next source instead of a mirror", "127.0.0.1:1"]);
    assert_eq!(output.stderr.matches("127.0.0.1:1/x").count(), 1, "a dead mirror is asked once:\n{}", output.stderr);
    assert!(registry.requests().iter().any(|request| request.path.starts_with("/v2/hub/busybox/blobs/")));
}

#[test]
fn mistakes_in_the_file_are_shown_at_their_place() {
    let env = project();
    let file = env.out("mine.yaml");
    fs::write(&file, "registries:\n  nowhere.invalid:\n    mirror: [a]\n").unwrap();
    let named = file.to_str().unwrap();
    env.stager(["build", "--registries-file", named]).ends_with(2).says(&[
        "unknown key `registries[\"nowhere.invalid\"].mirror`",
        "mine.yaml:3:5",
        "did you mean `mirrors`?",
    ]);
    let absent = env.out("absent.yaml");
    let mut run = env.command(["login", "127.0.0.1:1", "-u", "me", "--password-stdin"]);
    run.env("STAGER_REGISTRIES_FILE", absent.to_str().unwrap()).input("x");
    run.run().ends_with(2).says(&["settings for registries", "absent.yaml"]);
}
