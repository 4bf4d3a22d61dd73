//! The example projects, run as their READMEs say.

use std::path::Path;

use crate::env::{Missing, Run, TestEnv, debian_rootfs, find};

fn run(name: &str) -> Result<(), Missing> {
    let env = TestEnv::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("werf-like-examples").join(name).join("run");
    let mut run = Run::new(&find("bash")?, [script.to_str().expect("test paths are UTF-8")]);
    run.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", env.home().to_str().expect("test paths are UTF-8"));
    run.env("STAGER", env!("CARGO_BIN_EXE_stager")).env("STAGER_HOME", env.store().to_str().expect("as above"));
    run.env("WORK", env.out("work").to_str().expect("as above")).env("LANG", "C.UTF-8");
    if let Ok(debian) = debian_rootfs() {
        run.env("DEBIAN_BASE", debian.to_str().expect("as above"));
    }
    let output = run.run().succeeds();
    assert!(output.stdout.contains("built again: "), "{}\n{}", output.stdout, output.stderr);
    Ok(())
}

#[test]
fn quickstart() {
    need!(run("quickstart"));
}

#[test]
fn multi_image_app() {
    need!(run("multi-image-app"));
}

#[test]
fn packages() {
    need!(debian_rootfs());
    need!(run("packages"));
}

#[test]
fn templated_loop() {
    need!(run("templated-loop"));
}
