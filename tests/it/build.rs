//! One image of one repository: what a build runs, and what it runs again.

use crate::env::{Status, TestEnv};

/// An image whose two steps see one file each.
fn two_steps() -> TestEnv {
    let env = TestEnv::new();
    let project = env.project().busybox().file("src/main.txt", "main\n").file("src/assets.txt", "assets\n");
    project.file("README.md", "not mapped\n").config(
        "image: app
from: rootfs:base.tar
git: [{add: /src, to: /src}]
build:
  steps:
    - {name: compile, command: cat /src/main.txt > /compiled, files: [src/main.txt]}
    - {name: pack, command: cat /compiled /src/assets.txt > /packed, files: [src/assets.txt]}
",
    );
    project.commit("start");
    env
}

#[test]
fn a_second_build_reuses_every_stage() {
    let env = two_steps();
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    app build/compile Built
    app build/pack Built
    ");
    let again = env.build(&[]);
    assert_eq!(again.built(), [""; 0]);
    insta::assert_snapshot!(again.steps(), @r"
    app build/compile Reused
    app build/pack Reused
    ");
    let stages = &again.image("app").stages;
    assert!(stages.iter().all(|stage| matches!(stage.status, Status::Reused | Status::Absent)), "{stages:?}");
    let sources: Vec<_> = stages.iter().filter(|stage| stage.status == Status::Reused).collect();
    assert!(sources.iter().all(|stage| stage.source.as_deref() == Some("local")), "{sources:?}");
}

#[test]
fn steps_write_what_they_say() {
    let env = two_steps();
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    let text = b"main\nassets\n";
    assert_eq!(tree["/packed"].size, text.len() as u64);
    assert_eq!(tree["/packed"].sha256.as_deref(), Some(crate::env::sha256(text).as_str()));
    assert_eq!(tree["/src/assets.txt"].size, 7);
    assert_eq!((tree["/src/assets.txt"].mode, tree["/src/assets.txt"].owner), (0o644, (0, 0)));
}

#[test]
fn a_change_runs_the_steps_that_see_it_and_what_follows() {
    let env = two_steps();
    env.build(&[]);
    env.project().file("src/assets.txt", "new assets\n").commit("assets");
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    app build/compile Reused
    app build/pack Built
    ");
    env.project().file("src/main.txt", "new main\n").commit("main");
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    app build/compile Built
    app build/pack Built
    ");
}

#[test]
fn content_that_is_not_mapped_changes_nothing() {
    let env = two_steps();
    let before = env.build(&[]);
    env.project().file("README.md", "changed\n").commit("read me");
    let after = env.build(&[]);
    assert_eq!(after.built(), [""; 0]);
    assert_eq!(after.digests(), before.digests());
    assert_ne!(after.commit, before.commit);
}

#[test]
fn going_back_to_an_old_commit_builds_nothing() {
    let env = two_steps();
    env.build(&[]);
    env.project().file("src/main.txt", "other\n").commit("other");
    env.build(&[]);
    env.project().git(["checkout", "--quiet", "HEAD~1"]);
    assert_eq!(env.build(&[]).built(), [""; 0]);
}

#[test]
fn a_file_that_no_step_sees_is_in_the_image_and_its_removal_too() {
    let env = two_steps();
    env.project().file("src/unseen.txt", "one\n").commit("unseen");
    let (_, image) = env.image("app");
    assert!(need!(image.tree()).contains_key("/src/unseen.txt"));
    env.project().remove("src/unseen.txt").commit("gone");
    let (report, image) = env.image("app");
    insta::assert_snapshot!(report.steps(), @r"
    app build/compile Reused
    app build/pack Reused
    ");
    assert!(!need!(image.tree()).contains_key("/src/unseen.txt"));
}

#[test]
fn stdout_is_for_data_and_stderr_for_people() {
    let env = two_steps();
    let output = env.stager(["build", "--progress", "plain"]).succeeds();
    assert_eq!(output.stdout, "");
    let output = output.says(&["app", "build/compile", "build/pack"]);
    assert!(!output.stderr.contains('\u{1b}'), "no colours without a terminal: {}", output.stderr);
    let quiet = env.stager(["build", "--progress", "quiet"]).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn json_progress_is_one_event_per_line() {
    let env = two_steps();
    let output = env.stager(["build", "--progress", "json"]).succeeds();
    let events: Vec<serde_json::Value> =
        output.stderr.lines().chain(output.stdout.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event.to_string().contains("build/compile")), "{events:?}");
    assert!(events.iter().all(serde_json::Value::is_object), "{events:?}");
}

#[test]
fn names_and_globs_choose_the_images() {
    let env = TestEnv::new();
    let image = |name: &str| format!("image: {name}\nfrom: scratch\ngit: [{{add: /, to: /{name}}}]\n");
    env.project().config(&[image("web-a"), image("web-b"), image("worker")].join("---\n")).commit("three");
    let names = |arguments: &[&str]| {
        let report = env.build(arguments);
        report.images.iter().map(|image| image.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["web-*"]), ["web-a", "web-b"]);
    assert_eq!(names(&["worker", "web-b"]).len(), 2);
    assert_eq!(names(&["*", "!web-a"]), ["web-b", "worker"]);
    env.stager(["build", "nothing"]).ends_with(2).says(&["nothing", "web-a"]);
}

#[test]
fn a_project_may_be_named_by_its_directory() {
    let env = two_steps();
    let project = env.project().path().to_str().unwrap().to_owned();
    let elsewhere = env.home();
    env.command(["build", "--dir", &project]).cwd(&elsewhere).run().succeeds();
    env.command(["build"]).env("STAGER_DIR", &project).cwd(&elsewhere).run().succeeds();
    env.command(["build"]).cwd(&elsewhere).run().ends_with(2);
}
