//! A `werf.yaml` that is written for werf v3, beside the same one read as v2.

use crate::env::{Missing, Registry, TestEnv, busybox_rootfs, push_rootfs, sha256};

const V3: &str = "# What this file is:\n# stager-dialect: werf-v3\n";

/// `second` is where the second import goes; the first one goes to `/both`.
fn project(registry: &Registry, head: &str, second: &str) -> Result<TestEnv, Missing> {
    let base = push_rootfs(registry, "busybox:1", busybox_rootfs())?;
    let env = TestEnv::new();
    let config = format!(
        "{head}project: shop
configVersion: 1
---
image: src
final: false
from: {base}
shell: {{setup: mkdir /one /two && echo 1 > /one/a && echo 1 > /one/both && echo 2 > /two/b && echo 2 > /two/both}}
---
image: app
from: {base}
git:
- {{add: /src, to: /app, excludePaths: [docs], stageDependencies: {{install: dep}}}}
- {{add: /file, to: /etc/file}}
shell:
  beforeInstall: echo before > /before
  install: cat /app/dep > /installed
  setup: cat /app/any > /set
import:
- {{from: src, add: /one, to: /both, after: setup}}
- {{from: src, add: /two, to: {second}, after: setup}}
"
    );
    let project = env.project();
    project.file("werf.yaml", config).file("file", "1\n").file("src/docs/x", "1\n");
    project.file("src/dep", "1\n").file("src/any", "1\n").file("src/other", "1\n").commit("first");
    Ok(env)
}

fn after_a_change(env: &TestEnv, path: &str, arguments: &[&str]) -> String {
    env.project().file(path, "2\n").commit(path);
    let steps = env.build(arguments).steps();
    steps
        .lines()
        .filter(|line| line.starts_with("app "))
        .map(|line| line.replace("app ", ""))
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn any_change_of_a_file_runs_a_stage_that_names_none() {
    let registry = need!(Registry::start());
    let env = need!(project(&registry, V3, "/both"));
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    for (path, text) in [("/both/a", "1\n"), ("/both/b", "2\n"), ("/both/both", "2\n"), ("/set", "1\n")] {
        assert_eq!(tree[path].sha256, Some(sha256(text.as_bytes())), "{path}");
    }
    // `install` names a file of the one mapping, and none of the other; `setup` names none at all.
    assert_eq!(after_a_change(&env, "src/other", &[]), "beforeInstall Reused, install Reused, setup Built");
    assert_eq!(after_a_change(&env, "src/new", &[]), "beforeInstall Reused, install Reused, setup Built");
    assert_eq!(after_a_change(&env, "src/dep", &[]), "beforeInstall Reused, install Built, setup Built");
    assert_eq!(after_a_change(&env, "file", &[]), "beforeInstall Reused, install Built, setup Built");
    assert_eq!(after_a_change(&env, "src/docs/x", &[]), "beforeInstall Reused, install Reused, setup Reused");
}

#[test]
fn a_stage_of_v2_that_names_no_files_sees_no_change() {
    let registry = need!(Registry::start());
    for (head, flag) in [("# stager-dialect: werf\n", &[][..]), (V3, &["--dialect", "werf"][..])] {
        let env = need!(project(&registry, head, "/other"));
        env.build(flag);
        assert_eq!(after_a_change(&env, "src/other", flag), "beforeInstall Reused, install Reused, setup Reused");
        assert_eq!(after_a_change(&env, "file", flag), "beforeInstall Reused, install Reused, setup Reused");
        assert_eq!(after_a_change(&env, "src/dep", flag), "beforeInstall Reused, install Built, setup Built");
    }
    let env = need!(project(&registry, "", "/both"));
    env.stager(["build"]).ends_with(2).says(&["error[directive-conflict]", "/both"]);
}

#[test]
fn a_stage_dependency_that_matches_no_file_is_told() {
    let registry = need!(Registry::start());
    let env = need!(project(&registry, "", "/other"));
    let said = "no file of `git.add: /src` matches the stage dependency";
    assert!(!env.stager(["build"]).succeeds().stderr.contains(said));
    env.project()
        .replace("werf.yaml", "install: dep", "install: [dep, 'docs/*', '*.lock', nosuch/**/*]")
        .commit("more");
    let told = env.stager(["build"]).succeeds().stderr;
    let told: Vec<&str> = told.lines().filter(|line| line.contains(said)).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for pattern in ["`docs`", "`*.lock`", "`nosuch`"] {
        assert!(
            told.iter().any(|line| line.contains("image `app`, stage `install`") && line.ends_with(pattern)),
            "{told:?}"
        );
    }
}

#[test]
fn what_v3_refuses_is_told_before_a_build() {
    let env = TestEnv::new();
    let image = "configVersion: 1\nproject: demo\n---\nimage: app\nfrom: alpine\ndocker: {USER: app}\n";
    let rules = "giterminismConfigVersion: 1\nconfig: {allowUncommited: true}\n";
    env.project().file("werf.yaml", format!("{V3}{image}")).file("werf-giterminism.yaml", rules).commit("start");
    let wrong = ["error[giterminism-config-invalid]", "config.allowUncommited", "werf-giterminism.yaml:2"];
    env.stager(["config", "check"]).ends_with(2).says(&wrong);
    env.stager(["config", "check", "--dialect", "werf"]).succeeds().says(&["config.allowUncommited"]);
    env.stager(["giterminism", "check"]).ends_with(2).says(&wrong);
    env.project().remove("werf-giterminism.yaml").commit("no rules");
    env.stager(["config", "check"]).ends_with(2).says(&["error[directive-removed]", "werf.yaml:8", "imageSpec"]);
    env.stager(["config", "list", "--dialect", "werf"]).succeeds();
    env.project().file("werf.yaml", image).commit("as v2");
    env.stager(["config", "check", "--dialect", "werf-v3"]).ends_with(2).says(&["error[directive-removed]"]);
    env.stager(["config", "check", "--dialect", "werf-v4"]).ends_with(2).says(&["werf-v3"]);
}
