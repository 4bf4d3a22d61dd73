//! Builds by users who are not root, with and without subordinate ids.

use crate::env::{OciImage, RootlessUser, TestEnv, processes, wait_until};

const CONFIG: &str = "image: app
from: rootfs:base.tar
git: [{add: /src, to: /src, owner: www}]
build:
  steps:
    - name: owners
      command: |
        id -u > /uid
        echo x > /given; chown 33:50 /given; chmod 4755 /given
        mkdir /dir; chown nobody /dir; ln -s x /dir/link; chown -h 33 /dir/link
        rm /bin/vi; mkdir -p /opaque; rm -r /opaque
    - {name: see, command: 'stat -c %u:%g /given > /seen'}
";

fn env_of(user: &RootlessUser) -> TestEnv {
    let env = TestEnv::of_user(user);
    env.project().busybox().file("src/x", "x\n").config(CONFIG).commit("start");
    env
}

fn builds_with_owners(user: &RootlessUser) -> Option<(TestEnv, OciImage)> {
    let env = env_of(user);
    let (_, image) = env.image("app");
    let tree = image.tree().ok()?;
    assert_eq!((tree["/given"].owner, tree["/given"].mode), ((33, 50), 0o4755));
    assert_eq!(tree["/dir"].owner.0, 65534);
    assert_eq!(tree["/src/x"].owner, (33, 0));
    assert_eq!(tree["/uid"].sha256, Some(crate::env::sha256(b"0\n")));
    assert!(!tree.contains_key("/bin/vi"));
    assert_eq!(tree["/bin/busybox"].owner, (0, 0));
    assert_eq!(env.build(&[]).built(), [""; 0]);
    assert_eq!(env.mounts(), [""; 0]);
    Some((env, image))
}

#[test]
fn a_user_with_subordinate_ids_builds_as_root_does() {
    let user = need!(RootlessUser::with_ranges());
    let Some((_env, image)) = builds_with_owners(&user) else { return };
    let tree = image.tree().unwrap();
    // With a single id the owner of a link is lost, and steps see every file as root's.
    assert_eq!(tree["/dir/link"].owner.0, 33);
    assert_eq!(tree["/seen"].sha256, Some(crate::env::sha256(b"33:50\n")));
    let root = TestEnv::new();
    root.project().busybox().file("src/x", "x\n").config(CONFIG).commit("start");
    assert_eq!(root.image("app").1.digest, image.digest, "the same bytes as root's");
}

#[test]
fn a_user_with_a_single_id_builds() {
    let user = need!(RootlessUser::single());
    builds_with_owners(&user);
}

#[test]
fn nothing_of_an_interrupted_users_build_is_left() {
    let user = need!(RootlessUser::with_ranges());
    let env = env_of(&user);
    let time = format!("{}.13", 5000 + std::process::id() % 1000);
    env.project().replace("stager.yaml", "'stat -c", &format!("'setsid sleep {time}; stat -c")).commit("slow");
    let running = env.command(["build"]).start();
    wait_until("the step", || processes(&format!("sleep {time}")) > 0);
    running.interrupt();
    running.finish().ends_with(130);
    wait_until("the end of the step", || processes(&format!("sleep {time}")) == 0);
}
