//! Images of a `werf.yaml`: what steps see is what the image holds, and what they did outlives new commits.

use crate::env::{Registry, RootlessUser, TestEnv, busybox_rootfs, push_rootfs, sha256};

const SEEN: &str = "app 755
app/sub 775
app/sub/deep 775
tmp 1777
tmp/sub 775
root 700
";

fn project(env: &TestEnv, base: &str) {
    let config = format!(
        "project: shop
configVersion: 1
---
image: app
from: {base}
mount:
- {{from: tmp_dir, to: /scratch}}
- {{from: build_dir, to: /kept/deep}}
git:
- {{add: /src, to: /app, stageDependencies: {{setup: [dep]}}}}
- {{add: /src, to: /tmp, includePaths: [sub, other]}}
- {{add: /src/a, to: /root/renamed}}
shell:
  install:
  - cd /; stat -c '%n %a' app app/sub app/sub/deep tmp tmp/sub root > /seen
  - echo mine > /app/edited; rm /app/gone; rm -r /app/emptied
  - echo shared > /scratch/file; test -z \"$(ls /kept/deep)\"; touch /kept/deep/file
  setup: (cat /scratch/file || echo none; cat /app/dep) > /out; false || exit 0; exit 1
"
    );
    let project = env.project();
    project.file("werf.yaml", config).file("werf-giterminism.yaml", GITERMINISM);
    for (path, text) in [("a", "a\n"), ("dep", "1\n"), ("edited", "1\n"), ("gone", "1\n"), ("emptied/x", "1\n")] {
        project.file(&format!("src/{path}"), text);
    }
    project.file("src/sub/deep/f", "f\n").file("src/other/f", "f\n").file("src/turns", "file\n").commit("first");
}

const GITERMINISM: &str = "giterminismConfigVersion: 1
config: {stapel: {mount: {allowBuildDir: true}}}
";

fn check(env: &TestEnv, base: &str) -> Result<(), crate::env::Missing> {
    project(env, base);
    let (report, image) = env.image("app");
    assert_eq!(report.steps(), "app install Built\napp setup Built\n");
    let tree = image.tree()?;
    assert_eq!(tree["/seen"].sha256, Some(sha256(SEEN.as_bytes())), "what steps see");
    let held = |path: &str| format!("{} {:o}\n", &path[1..], tree[path].mode);
    let held: String = ["/app", "/app/sub", "/app/sub/deep", "/tmp", "/tmp/sub", "/root"].map(held).concat();
    assert_eq!(held, SEEN, "what the image holds");
    assert_eq!(tree["/out"].sha256, Some(sha256(b"shared\n1\n")), "tmp_dir is shared by the stages");
    for mount in ["/scratch", "/kept", "/kept/deep"] {
        assert_eq!((tree[mount].kind, tree[mount].mode), ('d', 0o755), "{mount} stays");
    }
    assert!(!tree.keys().any(|path| path.starts_with("/scratch/") || path.starts_with("/kept/deep/")));
    assert!(!tree.keys().any(|path| path.contains("stager-script")));

    env.project().file("src/edited", "2\n").file("src/gone", "2\n").file("src/emptied/y", "2\n");
    env.project()
        .file("src/a", "a2\n")
        .remove("src/turns")
        .file("src/turns/inner", "x\n")
        .remove("src/sub")
        .commit("second");
    let (report, image) = env.image("app");
    assert_eq!(report.steps(), "app install Reused\napp setup Reused\n");
    let tree = image.tree()?;
    assert_eq!(tree["/app/edited"].sha256, Some(sha256(b"mine\n")), "a command's file wins");
    assert!(!tree.contains_key("/app/gone") && !tree.contains_key("/app/emptied"), "a deletion wins");
    assert!(!tree.contains_key("/app/sub") && !tree.contains_key("/tmp/sub"), "directories left empty go");
    assert_eq!((tree["/app/turns"].kind, tree["/app/turns"].mode), ('d', 0o775));
    assert_eq!(tree["/root/renamed"].sha256, Some(sha256(b"a2\n")));
    assert_eq!((tree["/tmp"].mode, tree["/root"].mode), (0o1777, 0o700));

    env.project().file("src/dep", "2\n").commit("third");
    assert_eq!(env.build(&[]).steps(), "app install Reused\napp setup Built\n");
    env.project().file("src/dep", "1\n").commit("back");
    assert_eq!(env.build(&[]).steps(), "app install Reused\napp setup Reused\n");
    assert!(env.mounts().is_empty());
    Ok(())
}

#[test]
fn steps_see_what_the_image_holds() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "busybox:1", busybox_rootfs()));
    need!(check(&TestEnv::new(), &base));
}

#[test]
fn steps_of_other_users_see_what_the_image_holds() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "busybox:1", busybox_rootfs()));
    for user in [RootlessUser::with_ranges, RootlessUser::single] {
        let user = need!(user());
        need!(check(&TestEnv::of_user(&user), &base));
    }
}

#[test]
fn a_script_may_be_longer_than_arguments_can_be() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "busybox:1", busybox_rootfs()));
    let env = TestEnv::new();
    let long = "x".repeat(100);
    let commands: Vec<String> = (0..40_000).map(|number| format!("  - ': {number} {long}'\n")).collect();
    let commands = commands.concat();
    let config = format!(
        "project: shop\nconfigVersion: 1\n---\nimage: app\nfrom: {base}\nshell:\n  install:\n{commands}  - wc -c < /dev/stdin > /input\n"
    );
    env.project().file("werf.yaml", config).commit("long");
    let (_, image) = env.image("app");
    assert_eq!(need!(image.tree())["/input"].sha256, Some(sha256(b"0\n")), "there is no input");
}

#[test]
fn a_failed_stage_leaves_those_before_it() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "busybox:1", busybox_rootfs()));
    let env = TestEnv::new();
    let config = |last: &str| {
        format!(
            "project: shop\nconfigVersion: 1\n---\nimage: app\nfrom: {base}\nshell:\n  install: touch /i\n  setup: {last}\n"
        )
    };
    env.project().file("werf.yaml", config("[cd /nowhere, touch /never]")).commit("fails");
    env.stager(["build"]).ends_with(1).says(&["setup", "nowhere"]);
    env.project().file("werf.yaml", config("touch /s")).commit("works");
    assert_eq!(env.build(&[]).steps(), "app install Reused\napp setup Built\n");
}
