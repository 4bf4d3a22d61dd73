//! A build reads a commit; what else it may read is declared.

use crate::env::TestEnv;

fn image() -> TestEnv {
    let env = TestEnv::new();
    env.project().file("src/x", "x\n").config("image: app\nfrom: scratch\ngit: [{add: /src, to: /}]\n").commit("start");
    env
}

#[test]
fn an_uncommitted_config_stops_the_build() {
    let env = image();
    env.project().replace("stager.yaml", "image: app", "image: changed");
    let output = env.stager(["build"]).ends_with(3).says(&["stager.yaml"]);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    let loose = env.stager(["build", "--loose-giterminism"]).succeeds();
    loose.says(&["stager.yaml"]);
    env.project().giterminism("{allowUncommitted: true}").commit("allow");
    env.project().replace("stager.yaml", "image: changed", "image: again");
    assert_eq!(env.stager(["config", "list"]).succeeds().stdout, "again\n");
}

#[test]
fn uncommitted_content_is_warned_of_and_not_built() {
    let env = image();
    env.build(&[]);
    env.project().file("src/x", "changed\n").file("src/new", "new\n");
    let output = env.stager(["build"]).succeeds().says(&["src/x", "--dev"]);
    assert!(!output.stderr.contains("stager.yaml"), "{}", output.stderr);
    assert_eq!(env.build(&[]).built(), [""; 0]);
    let dev = env.build(&["--dev"]);
    assert_ne!(dev.digests(), env.build(&[]).digests());
}

#[test]
fn uncommitted_files_that_are_not_mapped_are_nobodys_business() {
    let env = image();
    env.project().file("docs/x", "x\n").file("src-not/x", "x\n");
    let output = env.stager(["build", "--progress", "plain"]).succeeds();
    assert!(!output.stderr.contains("--dev"), "{}", output.stderr);
}

#[test]
fn environment_variables_are_declared() {
    let env = image();
    env.project().replace("stager.yaml", "from: scratch", "from: scratch\nfromCacheVersion: {{ env('V', 'none') }}");
    env.project().commit("variable");
    env.command(["build"]).env("V", "1").run().ends_with(3).says(&["V", "stager-giterminism.yaml"]);
    env.project().giterminism("{goTemplateRendering: {allowEnvVariables: [/^V$/]}}").commit("allow");
    let digest = |value: &str| {
        let plan = env.command(["plan", "--format", "json"]).env("V", value).run().succeeds();
        crate::env::Report::parse(&plan.stdout).image("app").digest.clone()
    };
    assert_eq!(digest("1"), digest("1"));
    assert_ne!(digest("1"), digest("2"));
}

#[test]
fn from_latest_host_mounts_and_the_host_network_are_declared() {
    for text in [
        "from: 127.0.0.1:1/x\nfromLatest: true",
        "from: scratch\nmount: [{to: /x, from: /etc}]",
        "from: scratch\nbuild: {network: host, steps: [{name: x, command: x}]}",
    ] {
        let env = image();
        env.project().replace("stager.yaml", "from: scratch", text).commit("loose");
        env.stager(["build"]).ends_with(3).says(&["stager-giterminism.yaml", "app"]);
    }
}

#[test]
fn a_base_file_outside_of_the_commit_is_declared() {
    let env = image();
    env.project().file(".gitignore", "base.tar\n").replace("stager.yaml", "from: scratch", "from: rootfs:base.tar");
    env.project().commit("base");
    env.project().busybox();
    env.stager(["build"]).ends_with(3).says(&["base.tar"]);
    env.project().giterminism("{native: {allowBaseFiles: [base.tar]}}").commit("allow");
    let first = env.build(&[]);
    env.project().file("base.tar", [0; 10240]);
    assert_ne!(env.build(&[]).digests(), first.digests(), "its content enters the digest");
}

#[test]
fn a_project_without_commits_or_repository_is_refused() {
    let env = TestEnv::new();
    env.project().config("image: app\nfrom: scratch\n");
    env.stager(["build"]).says(&["commit"]);
    let output = env.command(["build"]).cwd(&env.home()).run();
    assert!(matches!(output.code, 2 | 3), "{output:?}");
    output.says(&["git"]);
}
