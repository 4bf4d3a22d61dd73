//! Mappings of repositories whose server asks for a user name and a password.

use std::path::Path;

use fs_err as fs;

use crate::env::{GitServer, Project, TestEnv, sha256};

const PASSWORD: &str = "hunter2-4f1d";

/// A repository with one file, below the directory that a server serves.
fn repository(env: &TestEnv, name: &str) -> Project {
    let path = env.root().join("served").join(name);
    fs::create_dir_all(&path).unwrap();
    let repository = Project::new(path, None);
    repository.init();
    repository.file(name, format!("{name}\n"));
    repository
}

fn server(env: &TestEnv) -> GitServer {
    GitServer::start(&env.root().join("served"), &format!("ci:{PASSWORD}"))
}

/// The config of an image with a repository at `/lib`.
fn config(env: &TestEnv, address: &str, commit: &str, auth: &str) {
    let git = format!("{{url: 'http://{address}/lib/.git', commit: {commit}, to: /lib, basicAuth: {auth}}}");
    env.project()
        .file("werf.yaml", format!("project: shop\nconfigVersion: 1\n---\nimage: app\nfrom: scratch\ngit:\n- {git}\n"));
    env.project().commit("config");
}

/// The files below a directory that hold a text.
fn holding(directory: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            holding(&path, text, found);
        } else if fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn a_repository_is_fetched_with_a_password_that_stays_nowhere() {
    let mut env = TestEnv::new();
    let commit = repository(&env, "lib").commit("lib");
    let server = server(&env);
    // What the user's own helpers are asked is what they could keep.
    let asked = env.home().join("asked");
    fs::write(
        env.home().join(".gitconfig"),
        format!("[credential]\n\thelper = \"!cat >> {}; true\"\n", asked.display()),
    )
    .unwrap();
    fs::write(env.home().join("password"), format!("{PASSWORD}\n")).unwrap();
    env.set("TOKEN", PASSWORD);

    config(&env, server.address(), &commit, "{username: ci, password: {env: TOKEN}}");
    let (report, app) = env.image("app");
    assert_eq!(need!(app.tree())["/lib/lib"].sha256.as_deref(), Some(sha256(b"lib\n").as_str()));
    assert!(server.requests().iter().any(|request| request.login.is_some()), "{:?}", server.requests());
    let mut found = Vec::new();
    for directory in [env.store(), env.root().join("out")] {
        holding(&directory, PASSWORD, &mut found);
    }
    assert_eq!(found, [""; 0]);
    assert!(!asked.exists(), "{}", fs::read_to_string(asked).unwrap());

    // Who fetches, and how, keys nothing; a commit that is here needs no server.
    let before = server.requests().len();
    config(&env, server.address(), &commit, "{username: other, password: {src: ~/password}}");
    assert_eq!(env.plan().image("app").digest, report.image("app").digest);
    assert_eq!(server.requests().len(), before);
    for auth in [
        format!("{{username: ci, password: {{value: {PASSWORD}}}}}"),
        "{username: ci, password: {src: ~/password}}".to_owned(),
    ] {
        fs::remove_dir_all(env.store().join("git")).unwrap();
        config(&env, server.address(), &commit, &auth);
        assert_eq!(env.plan().image("app").digest, report.image("app").digest);
    }
}

#[test]
fn a_password_goes_to_its_server_alone() {
    let env = TestEnv::new();
    let inner = repository(&env, "inner").commit("inner");
    let lib = repository(&env, "lib");
    let (own, other) = (server(&env), server(&env));
    lib.file(".gitmodules", "[submodule \"inner\"]\n\tpath = inner\n\turl = ../../inner/.git\n");
    lib.git(["add", "--all"]);
    lib.git(["update-index", "--add", "--cacheinfo", &format!("160000,{inner},inner")]);
    lib.git(["commit", "--quiet", "--message", "beside"]);
    let beside = lib.git(["rev-parse", "HEAD"]).trim().to_owned();
    let auth = format!("{{username: ci, password: {{value: {PASSWORD}}}}}");

    // A submodule at the same server is fetched alike.
    config(&env, own.address(), &beside, &auth);
    env.stager(["plan"]).succeeds();

    lib.file(
        ".gitmodules",
        format!("[submodule \"inner\"]\n\tpath = inner\n\turl = http://{}/inner/.git\n", other.address()),
    );
    lib.git(["add", ".gitmodules"]);
    lib.git(["commit", "--quiet", "--message", "elsewhere"]);
    let elsewhere = lib.git(["rev-parse", "HEAD"]).trim().to_owned();
    config(&env, own.address(), &elsewhere, &auth);
    let output = env.stager(["plan"]).ends_with(4);
    assert!(output.stderr.contains(other.address()), "{}", output.stderr);

    let redirecting = GitServer::redirecting(&other);
    config(&env, redirecting.address(), &beside, &auth);
    env.stager(["plan"]).ends_with(4);
    assert!(!redirecting.requests().is_empty() && !other.requests().is_empty());
    assert!(other.requests().iter().all(|request| request.login.is_none()), "{:?}", other.requests());
}

#[test]
fn what_is_wrong_with_a_login_is_told_without_the_password() {
    let mut env = TestEnv::new();
    let commit = repository(&env, "lib").commit("lib");
    let server = server(&env);
    for (auth, code, text) in [
        ("{username: ci, password: {env: TOKEN}}", 2, "`TOKEN` is not set"),
        ("{username: ci, password: {src: /none}}", 2, "/none"),
        ("{username: ci}", 2, "must have one of `env`, `src` and `value`"),
        ("{username: ci, password: {env: A, value: b}}", 2, "must have one of `env`, `src` and `value`"),
        ("{username: \"ci\\nhost=x\", password: {env: PATH}}", 2, "text on one line"),
        ("{username: ci, password: {env: WRONG}}", 4, "Authentication failed"),
    ] {
        env.set("WRONG", "secret-of-another");
        config(&env, server.address(), &commit, auth);
        let output = env.stager(["plan"]).ends_with(code);
        assert!(output.stderr.contains(text), "{auth}: {}", output.stderr);
        assert!(!output.stderr.contains("secret-of-another"), "{}", output.stderr);
    }
    let git = |url: &str, to: &str, user: &str| {
        format!(
            "{{url: '{url}', commit: {commit}, to: {to}, basicAuth: {{username: {user}, password: {{env: WRONG}}}}}}"
        )
    };
    let two = |url: &str, users: [&str; 2]| {
        let text = format!(
            "project: shop\nconfigVersion: 1\n---\nimage: app\nfrom: scratch\ngit:\n- {}\n- {}\n",
            git(url, "/a", users[0]),
            git(url, "/b", users[1])
        );
        env.project().file("werf.yaml", text).commit("two");
        env.stager(["plan"])
    };
    let output = two("http://host/x", ["a", "b"]).ends_with(2);
    assert!(output.stderr.contains("two different `basicAuth`"), "{}", output.stderr);
    let output = two("ssh://host/x", ["a", "a"]).ends_with(2);
    assert!(output.stderr.contains("are for https and http addresses"), "{}", output.stderr);
}
