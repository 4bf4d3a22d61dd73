//! Packages through the base's own package manager.

use fs_err as fs;

use crate::env::{Registry, RootlessUser, TestEnv, debian_rootfs, push_rootfs};

const CONFIG: &str = "image: app
from: BASE
deps: {packages: [hello]}
build: {steps: [{name: run, command: hello > /said}]}
";

fn debian(env: &TestEnv) -> Result<Registry, crate::env::Missing> {
    let rootfs = fs::read(debian_rootfs()?).unwrap();
    let registry = Registry::start()?;
    let reference = push_rootfs(&registry, "debian:it", &rootfs)?;
    env.project().config(&CONFIG.replace("BASE", &reference)).commit("start");
    Ok(registry)
}

#[test]
fn apt_installs_packages_and_leaves_no_lists() {
    let env = TestEnv::new();
    let _registry = need!(debian(&env));
    let (report, image) = env.image("app");
    assert!(report.built().iter().any(|stage| stage.contains("packages")), "{:?}", report.built());
    let tree = need!(image.tree());
    assert_eq!(tree["/said"].size, 14, "Hello, world!");
    let rubbish = |path: &&String| {
        path.starts_with("/var/lib/apt/lists/deb") || path.starts_with("/var/cache/apt/archives/hello")
    };
    assert_eq!(tree.keys().find(rubbish), None);
    env.project().replace("stager.yaml", "hello > /said", "hello -t > /said").commit("step");
    let built = env.build(&[]).built();
    assert!(
        built.contains(&"app/build/run".to_owned()) && !built.contains(&"app/deps/packages".to_owned()),
        "{built:?}"
    );
}

#[test]
fn apt_works_with_a_single_id() {
    let user = need!(RootlessUser::single());
    let env = TestEnv::of_user(&user);
    let _registry = need!(debian(&env));
    let (_, image) = env.image("app");
    assert_eq!(need!(image.tree())["/said"].size, 14);
}

#[test]
fn a_package_that_does_not_exist_and_a_base_without_manager_are_named() {
    let env = TestEnv::new();
    env.project().busybox().config(&CONFIG.replace("BASE", "rootfs:base.tar")).commit("busybox");
    let output = env.stager(["build"]);
    assert_ne!(output.code, 0);
    output.says(&["app", "apt", "apk", "dnf"]);
    let _registry = need!(debian(&env));
    env.project().replace("stager.yaml", "[hello]", "{apt: [no-such-package-at-all]}").commit("none");
    env.stager(["build"]).ends_with(1).says(&["no-such-package-at-all"]);
}

/// The other managers can't be had on a Debian machine: programs of their names stand in for them, and show how each is called.
#[test]
fn other_managers_are_called_as_they_want_it() {
    let cases = [
        ("/sbin/apk", "add --no-cache -- curl git\n"),
        ("/usr/bin/dnf", "install -y curl git\nclean all\n"),
        ("/usr/bin/tdnf", "install -y curl git\nclean all\n"),
        ("/usr/bin/microdnf", "install -y curl git\nclean all\n"),
    ];
    let env = TestEnv::new();
    for (program, expected) in cases {
        let install = format!(
            "mkdir -p /sbin /usr/bin; printf '#!/bin/sh\\necho \"$@\" >> /called\\n' > {program}; chmod 755 {program}"
        );
        env.project().busybox().config(&format!(
            "artifact: base\nfrom: rootfs:base.tar\nbuild: {{steps: [{{name: manager, command: {}}}]}}\n---\n\
             image: app\nfromArtifact: base\ndeps: {{packages: [curl, git]}}\n",
            serde_json::to_string(&install).unwrap()
        ));
        env.project().commit(program);
        let (_, image) = env.image("app");
        let tree = need!(image.tree());
        assert_eq!(tree["/called"].sha256, Some(crate::env::sha256(expected.as_bytes())), "{program}");
    }
}
