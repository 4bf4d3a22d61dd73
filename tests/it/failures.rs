//! Failures end with a clear message, the right exit code, and nothing left behind.

use std::time::Duration;

use crate::env::{Report, TestEnv, processes, wait_until};

/// An image with one step.
fn step(command: &str) -> TestEnv {
    let env = TestEnv::new();
    let image = "image: app\nfrom: rootfs:base.tar\nbuild:\n  steps:\n    - {name: first, command: echo made > /made}";
    env.project()
        .busybox()
        .config(&format!("{image}\n    - name: compile\n      command: {command}\n"))
        .commit("start");
    env
}

/// A command line that no other test has: sleeps for an odd time.
fn long(seconds: &str) -> String {
    format!("{}.{seconds}", 4000 + std::process::id() % 1000)
}

#[test]
fn a_failing_step_is_named_with_its_output_and_code() {
    let env = step("'echo this went wrong; exit 7'");
    env.stager(["build"]).ends_with(1).says(&["app", "build/compile", "this went wrong", "7"]);
    env.project().replace("stager.yaml", "exit 7", "exit 0").commit("repair");
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    app build/first Reused
    app build/compile Built
    ");
}

#[test]
fn a_step_killed_by_a_signal_fails() {
    let env = step("kill -KILL $$");
    env.stager(["build"]).ends_with(1).says(&["build/compile", "signal"]);
}

#[test]
fn an_unreachable_registry_is_a_storage_failure_that_names_it() {
    let env = TestEnv::new();
    env.project().config("image: app\nfrom: 127.0.0.1:1/none:1\nbuild:\n  steps: [{name: run, command: 'true'}]\n");
    env.project().commit("start");
    let output = env.stager(["build"]).ends_with(4).says(&["127.0.0.1:1"]);
    assert!(output.duration < Duration::from_secs(60), "every wait has a deadline: {:?}", output.duration);
}

#[test]
fn a_missing_base_file_is_named() {
    let env = TestEnv::new();
    env.project().config("image: app\nfrom: rootfs:nothing.tar\n").commit("start");
    env.stager(["build"]).ends_with(2).says(&["nothing.tar", "app"]);
}

#[test]
fn a_broken_base_is_refused_and_leaves_no_stage() {
    let env = TestEnv::new();
    env.project()
        .file("base.tar", "this is no tar\n")
        .config("image: app\nfrom: rootfs:base.tar\nbuild:\n  steps: [x]\n");
    env.project().replace("stager.yaml", "[x]", "[{name: x, command: 'true'}]").commit("start");
    let output = env.stager(["build"]);
    assert!(matches!(output.code, 2 | 4), "{output:?}");
    output.says(&["base.tar"]);
}

#[test]
fn an_entry_point_that_is_missing_is_named() {
    let env = TestEnv::new();
    env.project()
        .config("image: app\nfrom: scratch\nbuild:\n  steps: [{name: run, command: 'true'}]\n")
        .commit("start");
    env.stager(["build"]).ends_with(1).says(&["/bin/sh", "build/run"]);
}

#[test]
fn ctrl_c_ends_the_step_with_all_its_processes_and_mounts() {
    let time = long("11");
    let env = step(&format!("'trap \"\" INT TERM; setsid sleep {time} & sleep {time}'"));
    let running = env.command(["build"]).start();
    wait_until("both processes of the step", || processes(&format!("sleep {time}")) == 2);
    running.interrupt();
    let output = running.finish().ends_with(130);
    assert!(output.duration < Duration::from_secs(60), "{:?}", output.duration);
    wait_until("the end of the step's processes", || processes(&format!("sleep {time}")) == 0);
    assert_eq!(env.mounts(), [""; 0]);
    env.project().replace("stager.yaml", &format!("sleep {time}'"), "true'");
    env.project().replace("stager.yaml", &format!("setsid sleep {time} &"), "").commit("short");
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    app build/first Reused
    app build/compile Built
    ");
}

#[test]
fn after_kill_9_nothing_runs_and_the_next_build_works() {
    let time = long("12");
    let env = step(&format!("setsid sleep {time} & wait"));
    let running = env.command(["build"]).start();
    wait_until("the step", || processes(&format!("sleep {time}")) > 0);
    running.kill();
    running.finish().ends_with(137);
    wait_until("the end of the step's processes", || processes(&format!("sleep {time}")) == 0);
    assert_eq!(env.mounts(), [""; 0]);
    env.project().replace("stager.yaml", &format!("setsid sleep {time} & wait"), "true").commit("short");
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    app build/first Reused
    app build/compile Built
    ");
}

#[test]
fn a_failed_image_does_not_hide_the_others_in_the_report() {
    let env = step("exit 3");
    env.project().replace("stager.yaml", "image: app", "image: other\nfrom: scratch\n---\nimage: app").commit("two");
    let (mut run, path) = env.build_command(&[]);
    run.run().ends_with(1);
    let report = Report::read(&path);
    assert!(report.images.iter().any(|image| image.name == "app"), "{report:?}");
}

#[test]
fn bad_usage_is_exit_code_2() {
    let env = step("'true'");
    env.stager(["bild"]).ends_with(2);
    env.stager(["build", "--no-such-flag"]).ends_with(2).says(&["--no-such-flag"]);
    env.stager(["build", "--output", "floppy:A"]).ends_with(2).says(&["floppy"]);
    env.stager(["build", "--parallel", "many"]).ends_with(2).says(&["--parallel"]);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let env = step("'true'");
    fs_err::write(env.root().join("file"), "in the way").unwrap();
    let store = env.root().join("file/store");
    env.command(["build"]).env("STAGER_HOME", store.to_str().unwrap()).run().ends_with(4).says(&["file/store"]);
}
