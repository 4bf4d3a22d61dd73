//! One commit has the same digests and the same bytes everywhere.

use fs_err as fs;

use crate::env::{OciImage, Project, Report, TestEnv};

fn project(env: &TestEnv) -> &Project {
    let project = env.project().busybox().file("src/run.sh", "#!/bin/sh\necho hi\n").mode("src/run.sh", 0o755);
    project.file("src/a/b/c.txt", "c\n").file("src/ü ber.txt", "odd\n").link("src/link", "a/b/c.txt");
    project.config(
        "image: files
from: scratch
git: [{add: /src, to: /app, owner: 7, group: 8}]
post: {symlinks: {/app/run.sh: {paths: [/bin/run, /entry], uid: 5, gid: 6}}, labels: {a: b}, cmd: [/bin/run]}
---
image: app
from: rootfs:base.tar
git: [{add: /src, to: /src}]
import: [{fromImage: files, add: /app, to: /srv, after: deps}]
build:
  steps:
    - {name: generate, command: 'mkdir /gen; seq 1 1000 > /gen/numbers; ln /gen/numbers /gen/hard; rm /bin/vi'}
    - {name: epoch, command: 'echo $SOURCE_DATE_EPOCH > /epoch; date > /dev/null'}
",
    );
    project.commit("start");
    project
}

fn build_to(env: &TestEnv, layout: &std::path::Path) -> (Report, OciImage) {
    let report = env.build(&["app", "--output", &format!("oci:{}", layout.display())]);
    (report, OciImage::open(layout))
}

#[test]
fn two_cold_builds_elsewhere_give_the_same_image() {
    let here = TestEnv::new();
    let clone = project(&here).clone_to(here.root().join("clone"));
    let (report, image) = build_to(&here, &here.out("image"));

    let mut there = TestEnv::new();
    there.set("TZ", "Pacific/Kiritimati");
    there.set("LANG", "de_DE.UTF-8");
    let (mut run, path) = there.build_command(&["app", "--output", &format!("oci:{}", there.out("image").display())]);
    run.cwd(clone.path()).umask("077").run().succeeds();
    let elsewhere = Report::read(&path);
    assert_eq!(elsewhere.digests(), report.digests());
    assert_eq!(elsewhere.manifests(), report.manifests());
    assert_eq!(OciImage::open(&there.out("image")).layers(), image.layers());
    assert_eq!(OciImage::open(&there.out("image")).digest, image.digest);
}

#[test]
fn the_plan_is_pure_and_offline() {
    let env = TestEnv::new();
    project(&env);
    let plan = env.plan();
    insta::assert_debug_snapshot!(plan.images.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), @r#"
    [
        "files",
        "app",
    ]
    "#);
    assert!(plan.images.iter().all(|image| image.manifest.is_none()), "nothing was exported");
    let built = env.build(&[]);
    assert_eq!(plan.digests(), built.digests(), "the plan and the build agree");
    assert_eq!(env.plan(), plan, "what is built does not change the plan");

    env.project().git(["commit", "--quiet", "--amend", "--message", "another message"]);
    let amended = env.plan();
    assert_eq!(amended.digests(), plan.digests());
    assert_ne!(amended.commit, plan.commit);
}

#[test]
fn a_plan_needs_no_registry() {
    let env = TestEnv::new();
    env.project().file("src/x", "x\n").config("image: app\nfrom: 127.0.0.1:1/none\ngit: [{add: /src, to: /}]\n");
    env.project().commit("start");
    let with_tag = {
        let plan = env.plan();
        env.project().replace("stager.yaml", "/none\n", "/none:latest\n").commit("tag");
        assert_eq!(env.plan().digests(), plan.digests(), "the tag defaults to latest");
        plan
    };
    env.project().replace("stager.yaml", "/none:latest", "/none:2").commit("tag");
    assert_ne!(env.plan().digests(), with_tag.digests());
}

#[test]
fn plans_are_written_as_text_json_and_mermaid() {
    let env = TestEnv::new();
    project(&env);
    let text = env.stager(["plan"]).succeeds();
    assert!(text.stdout.contains("app") && text.stdout.contains("build/generate"), "{}", text.stdout);
    let mermaid = env.stager(["plan", "--format", "mermaid"]).succeeds();
    assert!(mermaid.stdout.contains("graph") || mermaid.stdout.contains("flowchart"), "{}", mermaid.stdout);
    assert_eq!(text.stderr, "");
    let elsewhere = TestEnv::new();
    let clone = env.project().clone_to(elsewhere.root().join("clone"));
    let again = elsewhere.command(["plan"]).cwd(clone.path()).run().succeeds();
    assert_eq!(crate::env::normalized(&elsewhere, &again.stdout), crate::env::normalized(&env, &text.stdout));
}

#[test]
fn every_value_modes_names_and_link_targets_enter_the_digest() {
    let env = TestEnv::new();
    let config = "image: app\nfrom: scratch\ngit: [{add: /src, to: /app, owner: 1}]\n";
    env.project().file("src/f", "f\n").link("src/l", "f").config(config).commit("start");
    let mut seen = vec![env.plan().image("app").digest.clone()];
    let mut differs = |what: &str| {
        env.project().commit(what);
        let digest = env.plan().image("app").digest.clone();
        assert!(!seen.contains(&digest), "{what} does not change the digest");
        seen.push(digest);
    };
    env.project().mode("src/f", 0o755);
    differs("mode");
    env.project().remove("src/l").link("src/l", "g");
    differs("link target");
    fs::rename(env.project().path().join("src/f"), env.project().path().join("src/g")).unwrap();
    differs("name");
    env.project().file("src/g", "g\n");
    differs("content");
    env.project().replace("stager.yaml", "owner: 1", "owner: 2");
    differs("owner");
    env.project().replace("stager.yaml", "/app", "/other");
    differs("place");
    env.project().replace("stager.yaml", "from: scratch", "from: scratch\npost: {labels: {a: b}}");
    differs("label");
}

#[test]
fn every_mode_gives_a_clean_commit_the_same_digests() {
    let env = TestEnv::new();
    project(&env);
    let plan = |flags: &[&str]| env.stager([&["plan", "--format", "json"], flags].concat()).succeeds().stdout;
    let strict = plan(&[]);
    assert_eq!(plan(&["--loose-giterminism"]), strict);
    assert_eq!(plan(&["--dev"]), strict);
}
