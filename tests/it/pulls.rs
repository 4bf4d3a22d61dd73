//! Bases that come from a registry.

use crate::env::{Registry, TestEnv, busybox_rootfs, push_rootfs};

fn project(reference: &str) -> TestEnv {
    let env = TestEnv::new();
    let config =
        format!("image: app\nfrom: {reference}\nbuild: {{steps: [{{name: run, command: echo ran > /ran}}]}}\n");
    env.project().config(&config).commit("start");
    env
}

#[test]
fn a_base_is_pulled_once() {
    let registry = need!(Registry::start());
    let reference = need!(push_rootfs(&registry, "busybox:1", busybox_rootfs()));
    let env = project(&reference);
    env.build(&[]);
    let pulled = registry.requests().len();
    assert_eq!(env.build(&[]).built(), [""; 0]);
    assert_eq!(registry.requests().len(), pulled, "an unchanged build asks nobody");
    env.project().replace("stager.yaml", "echo ran", "echo ran again").commit("step");
    env.build(&[]);
    let blobs = registry.requests().into_iter().skip(pulled).filter(|request| request.path.contains("/blobs/"));
    assert_eq!(blobs.collect::<Vec<_>>(), [], "the base's layers are here");
    let (_, image) = env.image("app");
    assert_eq!(image.config["config"]["Labels"]["base"], "yes");
    assert_eq!(image.layers().len(), 2);
}

#[test]
fn from_latest_follows_the_tag() {
    let registry = need!(Registry::start());
    let reference = need!(push_rootfs(&registry, "busybox:latest", busybox_rootfs()));
    let env = project(reference.trim_end_matches(":latest"));
    env.project().replace("stager.yaml", "build:", "fromLatest: true\nbuild:");
    env.project().giterminism("{native: {allowFromLatest: true}}").commit("latest");
    let first = env.build(&[]);
    assert_eq!(env.build(&[]).built(), [""; 0]);
    let mut other = busybox_rootfs().to_vec();
    other.extend([0; 10240]);
    need!(push_rootfs(&registry, "busybox:latest", &other));
    let second = env.build(&[]);
    assert_ne!(second.digests(), first.digests());
    assert!(second.built().contains(&"app/build/run".to_owned()), "{:?}", second.built());
}

#[test]
fn a_tag_that_does_not_exist_is_named() {
    let registry = need!(Registry::start());
    let env = project(&format!("{}/nothing:7", registry.address()));
    env.stager(["build"]).ends_with(4).says(&["nothing:7", registry.address()]);
}

#[test]
fn files_are_imported_from_an_external_reference() {
    let registry = need!(Registry::start());
    let reference = need!(push_rootfs(&registry, "busybox:1", busybox_rootfs()));
    let env = TestEnv::new();
    let import = format!("import: [{{from: '{reference}', add: /etc/passwd, to: /p, after: deps}}]");
    env.project().config(&format!("image: app\nfrom: scratch\n{import}\n")).commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert!(tree["/p"].size > 10);
    assert_eq!(tree.len(), 1, "nothing else: {:?}", tree.keys());
}
