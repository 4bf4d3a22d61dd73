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

#[test]
fn a_check_names_everything_at_once() {
    let env = image();
    env.project().file("data/v", "1\n").file("src/gone", "x");
    let text = "from: 127.0.0.1:1/x\nfromLatest: true\nfromCacheVersion: \"{{ env('V', '') }}{{ files.read('data/v') | trim }}\"\nmount: [{to: /x, from: /etc}]";
    env.project().replace("stager.yaml", "from: scratch", text).commit("much");
    env.project().file("data/v", "2\n").file("src/x", "changed\n").file("src/new", "").remove("src/gone");
    let found = ["`data/v`", "`V`", "`fromLatest` of image `app`", "`/etc`", "src/x", "src/new", "src/gone"];
    env.stager(["giterminism", "check"]).ends_with(3).says(&found);
    let output = env.stager(["giterminism", "check", "--format", "json"]).ends_with(3);
    let answer: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&answer["allowed"], &answer["complete"]), (&false.into(), &true.into()));
    let refused = answer["refused"].as_array().unwrap();
    let classes: Vec<_> = refused.iter().map(|refused| refused["class"].as_str().unwrap()).collect();
    let denied = "giterminism-denied";
    assert_eq!(classes, ["uncommitted", denied, denied, denied, "untracked", "uncommitted", "uncommitted"]);
    assert_eq!(refused[1]["rule"], "config.goTemplateRendering.allowEnvVariables");
    assert_eq!(refused[4]["names"], serde_json::json!(["src/new"]));

    let rules =
        "{goTemplateRendering: {allowEnvVariables: [V]}, native: {allowFromLatest: yes, allowHostMounts: [/etc]}}";
    env.project().giterminism(rules).commit("allow");
    env.stager(["giterminism", "check"]).succeeds().says(&["refuses nothing"]);
    for flag in ["--dev", "--loose-giterminism"] {
        env.stager(["giterminism", "check", flag]).ends_with(2);
    }
    env.project().replace("stager.yaml", "image: app", "imag: app").commit("wrong");
    env.stager(["giterminism", "check"]).ends_with(2).says(&["imag"]);
}

#[test]
fn wrong_rules_are_shown_where_they_are() {
    let env = image();
    env.project().file(
        "stager-giterminism.yaml",
        "giterminismConfigVersion: 1\nconfig:\n  allowUncommited: true\n  stapel: ~\n",
    );
    env.project().commit("rules");
    let shown =
        ["error[giterminism-config-invalid]", "stager-giterminism.yaml:3:3", "allowUncommitted", ":4:11", "a map"];
    env.stager(["config", "list"]).ends_with(2).says(&shown);
}

#[test]
fn the_rules_file_is_relative_to_the_project() {
    let env = TestEnv::new();
    env.project()
        .file("svc/stager.yaml", "stager: 1\nproject: shop\n---\nimage: '{{ env(\"NAME\") }}'\nfrom: scratch\n");
    env.project().file(
        "svc/rules.yaml",
        "giterminismConfigVersion: 1.0\nconfig: {goTemplateRendering: {allowEnvVariables: ['/N.*/']}}\n",
    );
    env.project().commit("start");
    let list = |rules: &str| {
        let mut run = env.command(["config", "list", "--dir", "svc", "--giterminism-config", rules]);
        run.env("NAME", "app").run()
    };
    assert_eq!(list("rules.yaml").succeeds().stdout, "app\n");
    list("svc/rules.yaml").ends_with(2).says(&["error[file-not-found]", "svc/rules.yaml"]);
}

#[test]
fn a_snapshot_leaves_the_repository_alone() {
    let env = image();
    env.project().file(".gitignore", "out\n").commit("ignore");
    let state = || (env.project().git(["status", "--porcelain"]), env.project().git(["count-objects", "-v"]));
    env.project()
        .file("src/new", "new\n")
        .file("src/out", "ignored\n")
        .file("src/skip.txt", "skipped\n")
        .file("src/x", "changed");
    let before = state();
    let digest = |arguments: &[&str]| {
        let plan = env.stager([&["plan", "--format", "json"], arguments].concat()).succeeds();
        crate::env::Report::parse(&plan.stdout).image("app").digest.clone()
    };
    let all = digest(&["--dev"]);
    assert_eq!(digest(&["--dev"]), all);
    let some = digest(&["--dev", "--dev-ignore", "*.txt"]);
    let none = digest(&["--dev", "--dev-ignore", "src/", "--dev-ignore", "*.txt"]);
    assert_eq!(state(), before);
    assert_eq!(none, digest(&[]));
    env.project().remove("src/skip.txt").git(["add", "--all"]);
    env.project().git(["commit", "--quiet", "--message", "all"]);
    assert_eq!(digest(&[]), some);
    assert_ne!(all, some);
    env.stager(["plan", "--dev", "--dev-ignore", "["]).ends_with(2).says(&["--dev-ignore"]);
}

#[test]
fn mapped_pointers_of_git_lfs_are_warned_of_once() {
    let env = image();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    env.project().file("src/a.bin", pointer).file("src/b.bin", pointer).file("docs/c.bin", pointer);
    env.project().file(".gitattributes", "*.bin filter=lfs -text\n").commit("pointers");
    let output =
        env.stager(["build"]).succeeds().says(&["2 mapped files are git-LFS pointers", "src/a.bin, src/b.bin"]);
    assert_eq!(output.stderr.matches("git-LFS").count(), 1, "{}", output.stderr);
}

#[test]
fn a_submodule_with_another_commit_is_warned_of() {
    let env = image();
    let inner = env.root().join("inner");
    env.project().clone_to(inner.clone());
    env.project().git(["submodule", "--quiet", "add", inner.to_str().unwrap(), "src/sub"]);
    env.project().commit("submodule");
    env.stager(["giterminism", "check"]).succeeds();
    env.project().file("src/sub/later", "");
    for arguments in [["-C", "src/sub", "add", "later"], ["-C", "src/sub", "commit", "-qmlater"]] {
        env.project().git(arguments);
    }
    let moved = "src/sub (a submodule with another commit checked out)";
    env.stager(["build"]).succeeds().says(&[moved]);
    env.stager(["giterminism", "check"]).ends_with(3).says(&[moved]);
}

#[test]
fn work_trees_shallow_clones_and_bare_repositories_give_the_same() {
    let env = image();
    let digest = |directory: &std::path::Path| {
        let plan = env.command(["plan", "--format", "json"]).cwd(directory).run().succeeds();
        crate::env::Report::parse(&plan.stdout).image("app").digest.clone()
    };
    let [tree, bare, shallow] = ["tree", "bare", "shallow"].map(|name| env.out(name));
    env.project().git(["worktree", "add", "--quiet", tree.to_str().unwrap()]);
    env.project().git(["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    env.project().clone_to(shallow.clone());
    let wanted = digest(env.project().path());
    for directory in [&tree, &bare, &shallow] {
        assert_eq!(digest(directory), wanted, "{}", directory.display());
    }
    fs_err::write(tree.join("stager.yaml"), "changed").unwrap();
    env.command(["plan"]).cwd(&tree).run().ends_with(3).says(&["stager.yaml"]);
    assert_eq!(digest(env.project().path()), wanted);
}
