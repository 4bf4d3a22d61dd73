//! `werf-includes.yaml`: files of a config that come from other repositories.

use fs_err as fs;

use crate::env::{GitServer, Project, TestEnv};

/// A repository beside the project.
fn repository(env: &TestEnv, name: &str) -> Project {
    let path = env.root().join("served").join(name);
    fs::create_dir_all(&path).unwrap();
    let repository = Project::new(path, None);
    repository.init();
    repository
}

/// An address that stager fetches without a server.
fn url(repository: &Project) -> String {
    format!("file://{}", repository.path().display())
}

/// One entry of the list, in flow style.
fn entry(repository: &Project, rest: &str) -> String {
    format!("- {{git: '{}', branch: main, add: /, to: /{rest}}}\n", url(repository))
}

fn list(env: &TestEnv, entries: &[String]) {
    env.project().file("werf-includes.yaml", format!("includes:\n{}", entries.concat()));
}

/// Pins the branches of repositories to what they are now.
fn lock(env: &TestEnv, repositories: &[&Project]) {
    let pin = |repository: &&Project| {
        let commit = repository.git(["rev-parse", "HEAD"]);
        format!("- {{git: '{}', branch: main, commit: {}}}\n", url(repository), commit.trim())
    };
    let pins: Vec<String> = repositories.iter().map(pin).collect();
    env.project().file("werf-includes.lock", format!("includes:\n{}", pins.concat()));
}

fn render(env: &TestEnv) -> String {
    env.stager(["config", "render"]).succeeds().stdout
}

const CONFIG: &str = "project: shop
configVersion: 1
---
image: app
from: scratch
imageSpec:
  config:
    labels:
      a: {{ .Files.Get \"a\" | trim | quote }}
      b: {{ .Files.Get \"b\" | trim | quote }}
      c: {{ .Files.Get \"c\" | trim | quote }}
      link: {{ .Files.Get \"sub/link\" | trim | quote }}
      glob: {{ range $path, $content := .Files.Glob \"sub/*\" }}{{ $path }},{{ end }}
      within: {{ range $path, $content := .Files.Glob \"sub\" }}{{ $path }},{{ end }}
      there: {{ .Files.Exists \"a\" }} {{ .Files.Exists \"none\" }} {{ .Files.IsDir \"sub\" }} {{ .Files.IsDir \"none\" }}
      who: {{ include \"who\" . }} {{ include \".werf/plain.tmpl\" . | trim }} {{ include \"own.tmpl\" . | trim }}
";

/// A general repository and a specific one, which a project uses that has not even a config.
fn overlay(env: &TestEnv) -> (Project, Project) {
    let general = repository(env, "general");
    for name in ["a", "b", "c"] {
        general.file(name, "general\n");
    }
    general.file("stager.yaml", "stager: 1\nproject: other\n");
    general.file("werf.yaml", CONFIG).file(".werf/defs.tpl", "{{ define \"who\" }}general{{ end }}");
    general.file("sub/x", "general\n").link("sub/link", "../a").commit("general");
    // A submodule, which nobody can fetch, is no part of it.
    general.file(".gitmodules", "[submodule \"m\"]\n\tpath = sub/m\n\turl = /none\n");
    general.git(["add", "--all"]);
    general.git(["update-index", "--add", "--cacheinfo", &format!("160000,{},sub/m", "1".repeat(40))]);
    general.git(["commit", "--quiet", "--message", "submodule"]);
    let specific = repository(env, "specific");
    specific.file("conf/b", "specific\n").file("conf/c", "specific\n").file("conf/sub/y", "y\n");
    specific
        .file("conf/.werf/plain.tmpl", "plain\n")
        .file("conf/left/out", "x\n")
        .file("else", "x\n")
        .commit("specific");
    env.project().file("c", "local\n").file(".werf/own.tmpl", "own\n").file("sub/z", "z\n");
    let conf = format!("- {{git: '{}', branch: main, add: /conf/, to: /, excludePaths: [left]}}\n", url(&specific));
    list(env, &[entry(&general, ""), conf]);
    lock(env, &[&general, &specific]);
    env.project().commit("includes");
    (general, specific)
}

#[test]
fn files_of_other_repositories_stand_in_for_those_that_are_not_there() {
    let env = TestEnv::new();
    let (general, _specific) = overlay(&env);
    let labels = "a: \"general\"
      b: \"specific\"
      c: \"local\"
      link: \"general\"
      glob: sub/link,sub/x,sub/y,sub/z,
      within: sub/link,sub/x,sub/y,sub/z,
      there: true false true false
      who: general plain own
";
    let text = render(&env);
    assert!(text.ends_with(labels), "{text}");
    assert_eq!(env.stager(["config", "list"]).succeeds().stdout, "app\n");
    assert_eq!(env.plan().images.len(), 1);

    // The lock says which commit; one that was fetched needs nothing more.
    general.file("a", "newer\n").commit("newer");
    assert_eq!(render(&env), text);
    fs::rename(general.path(), env.root().join("away")).unwrap();
    assert_eq!(render(&env), text);

    // A config of the project's own counts, under either name.
    env.project().file("werf.yml", "project: own\nconfigVersion: 1\n---\nimage: mine\nfrom: scratch\n").commit("own");
    assert_eq!(env.stager(["config", "list"]).succeeds().stdout, "mine\n");
}

#[test]
fn newer_commits_than_those_of_the_lock_must_be_allowed() {
    let env = TestEnv::new();
    let (general, _) = overlay(&env);
    general.file("a", "newer\n").commit("newer");
    let update = ["config", "render", "--allow-includes-update"];
    let refused = env.stager(update).ends_with(3);
    for text in ["--allow-includes-update", "werf-giterminism.yaml", "allowIncludesUpdate: true"] {
        assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
    }
    let loose = env.stager(["config", "render", "--allow-includes-update", "--loose-giterminism"]).succeeds();
    assert!(loose.stdout.contains("a: \"newer\""), "{}", loose.stdout);
    env.project().file("werf-giterminism.yaml", "giterminismConfigVersion: 1\nincludes: {allowIncludesUpdate: true}\n");
    env.project().remove("werf-includes.lock").commit("rule");
    assert!(env.stager(update).succeeds().stdout.contains("a: \"newer\""));
}

#[test]
fn includes_come_from_servers_that_ask_for_a_password() {
    let mut env = TestEnv::new();
    let general = repository(&env, "general");
    let commit = general
        .file("werf.yaml", "project: shop\nconfigVersion: 1\n---\nimage: app\nfrom: scratch\n")
        .commit("general");
    let server = GitServer::start(&env.root().join("served"), "ci:hunter2");
    let git = format!("http://{}/general/.git", server.address());
    let auth = "basicAuth: {username: ci, password: {env: TOKEN}}";
    env.project()
        .file(
            "werf-includes.yaml",
            format!("includes: [{{git: '{git}', commit: {commit}, {auth}, add: /werf.yaml, to: /werf.yaml}}]\n"),
        )
        .file("werf-includes.lock", format!("includes: [{{git: '{git}', commit: {commit}}}]\n"))
        .commit("includes");
    let output = env.stager(["config", "list"]).ends_with(2);
    assert!(output.stderr.contains("`TOKEN` is not set"), "{}", output.stderr);
    env.set("TOKEN", "wrong-one");
    let output = env.stager(["config", "list"]).ends_with(4);
    assert!(
        output.stderr.contains("Authentication failed") && !output.stderr.contains("wrong-one"),
        "{}",
        output.stderr
    );
    env.set("TOKEN", "hunter2");
    assert_eq!(env.stager(["config", "list"]).succeeds().stdout, "app\n");
}

#[test]
fn what_is_wrong_with_includes_is_told() {
    let env = TestEnv::new();
    let general = repository(&env, "general");
    general.file("werf.yaml", CONFIG).file("a", "x\n").link("out", "/etc/passwd").commit("general");
    let fails = |entry: String, code: i32, text: &str| {
        list(&env, &[entry]);
        env.project().commit("list");
        let output = env.stager(["config", "render"]).ends_with(code);
        assert!(output.stderr.contains(text), "{text}: {}", output.stderr);
    };
    fails(entry(&general, ""), 2, "there is no file `werf-includes.lock`");
    lock(&env, &[]);
    fails(entry(&general, ""), 2, "`werf-includes.lock` has no commit for `main`");
    lock(&env, &[&general]);
    fails(entry(&general, ", includePaths: [none]"), 2, "`includes[0]` takes no file");
    fails(entry(&general, ", includePaths: [a]"), 2, "there is no config");
    fails("- {git: 'ext::sh -c id', branch: main, add: /, to: /}\n".to_owned(), 2, "no commit for `main`");
    env.project().file("werf.yaml", CONFIG.replace("\"a\"", "\"out\"").replace("sub/link", "out"));
    fails(entry(&general, ""), 2, "leads out of the repository");

    // Neither file is taken from the disk, nor from another repository.
    env.project()
        .file("werf.yaml", "project: shop\nconfigVersion: 1\n---\nimage: app\nfrom: scratch\n")
        .commit("plain");
    render(&env);
    lock(&env, &[]);
    let output = env.stager(["config", "render"]).ends_with(3);
    assert!(output.stderr.contains("`werf-includes.lock`"), "{}", output.stderr);
    // What is not werf's has no includes.
    env.project().busybox().config("image: app\nfrom: scratch\n").commit("native");
    env.stager(["config", "render"]).succeeds();
}
