//! `stager login`, `stager logout`, and where credentials come from.

use std::os::unix::fs::PermissionsExt;

use fs_err as fs;

use crate::env::{Output, Registry, TestEnv};

/// A project whose base is in the registry, or would be: who may ask hears that it is not there.
fn project(registry: &Registry) -> TestEnv {
    let env = TestEnv::new();
    env.project().config(&format!("image: app\nfrom: {}/base:1\n", registry.address())).commit("start");
    env
}

fn log_in(env: &TestEnv, registry: &str, password: &str) -> Output {
    env.command(["login", registry, "-u", "alice", "--password-stdin"]).input(password).run()
}

fn config(env: &TestEnv) -> Option<String> {
    fs::read_to_string(env.home().join(".docker/config.json")).ok()
}

#[test]
fn a_login_is_checked_and_kept_and_used() {
    let registry = need!(Registry::start_private());
    let (env, host) = (project(&registry), registry.address());
    let hint = format!("log in with `stager login {host}`");
    env.stager(["build"]).ends_with(4).says(&["not authorised", &hint]);
    let refused = log_in(&env, host, "wrong\n").ends_with(4).says(&["refuses the credentials", "nothing is kept"]);
    assert!(!refused.stderr.contains("wrong") && config(&env).is_none(), "{}", refused.stderr);
    let before = "{\n  \"HttpHeaders\": {\"X\": \"y\"},\n  \"psFormat\": \"table\"\n}\n";
    fs::write(env.home().join(".docker/config.json"), before).unwrap();
    let done = log_in(&env, host, "wonder land\n").succeeds().says(&["logged in to", "as alice", "in plain text"]);
    assert!(!format!("{}{}", done.stdout, done.stderr).contains("wonder"));
    let text = config(&env).unwrap();
    assert!(text.starts_with("{\n\t\"HttpHeaders\": {\"X\": \"y\"},\n\t\"psFormat\": \"table\""), "{text}");
    assert!(text.contains("YWxpY2U6d29uZGVyIGxhbmQ="), "{text}");
    let mode = fs::metadata(env.home().join(".docker/config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    env.stager(["build"]).ends_with(4).says(&["not found"]);
    env.stager(["logout", host]).succeeds().says(&["logged out of"]);
    assert!(!config(&env).unwrap().contains(host));
    env.stager(["logout", host]).succeeds().says(&["not logged in to"]);
    env.stager(["build"]).ends_with(4).says(&["not authorised"]);
}

const HELPER: &str = r#"#!/bin/sh
echo "$0 $*" >>"$HOME/helper.log"
case $1 in
store) cat >"$HOME/kept"; env >"$HOME/seen" ;;
get) if [ -e "$HOME/kept" ]; then cat "$HOME/kept"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) rm "$HOME/kept" ;;
esac
"#;

#[test]
fn a_credential_helper_keeps_the_password() {
    let registry = need!(Registry::start_private());
    let (mut env, host) = (project(&registry), registry.address());
    let helper = env.root().join("bin/docker-credential-test");
    fs::create_dir(env.root().join("bin")).unwrap();
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, fs::metadata("/bin/sh").unwrap().permissions()).unwrap();
    let path = format!("{}:/usr/bin:/bin", env.root().join("bin").display());
    env.set("PATH", &path);
    let before = format!(r#"{{"credHelpers":{{"{host}":"test"}},"auths":{{"{host}":{{"auth":"eDp5"}}}}}}"#);
    fs::write(env.home().join(".docker/config.json"), before).unwrap();
    env.set("STAGER_REGISTRY_AUTH", "other.example.org=other:hush");
    log_in(&env, host, "wonder land").succeeds().says(&["kept by docker-credential-test"]);
    let kept: serde_json::Value = serde_json::from_str(&fs::read_to_string(env.home().join("kept")).unwrap()).unwrap();
    assert_eq!(kept, serde_json::json!({"ServerURL": host, "Username": "alice", "Secret": "wonder land"}));
    assert!(!config(&env).unwrap().contains("eDp5"), "the old one is gone from the config");
    env.stager(["build"]).ends_with(4).says(&["not found"]);
    env.stager(["logout", host]).succeeds().says(&["logged out of"]);
    env.stager(["logout", host]).succeeds().says(&["not logged in to"]);
    assert!(!env.home().join("kept").exists());
    assert!(!fs::read_to_string(env.home().join("helper.log")).unwrap().contains("wonder"), "not in its arguments");
    let seen = fs::read_to_string(env.home().join("seen")).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("hush"), "credentials for others: {seen}");
}

#[test]
fn what_a_login_lacks_is_said() {
    let env = TestEnv::new();
    env.stager(["login", "h:1"]).ends_with(2).says(&["--username"]);
    env.stager(["login", "h:1", "-u", "me"]).ends_with(2).says(&["no terminal", "--password-stdin"]);
    log_in(&env, "h:1/team", "x").ends_with(2).says(&["invalid registry name", "leave the repository out"]);
    log_in(&env, "h:1", "\n").ends_with(2).says(&["the password is empty"]);
    log_in(&env, "127.0.0.1:1", "x").ends_with(4).says(&["cannot log in to 127.0.0.1:1", "is the registry up"]);
    for arguments in [
        ["login", "me:hush@h:1", "-u", "me"],
        ["login", "h:1", "-u", "me:hush"],
        ["login", "h:1", "-p", "hush"],
        ["login", "h:1", "-u=me", "--password=hush"],
    ] {
        let output = env.stager(arguments).ends_with(2);
        assert!(!output.stderr.contains("hush"), "{}", output.stderr);
    }
    assert!(config(&env).is_none());
}

#[test]
fn credentials_of_the_environment_are_for_one_host_and_not_for_templates() {
    let registry = need!(Registry::start_private());
    let (mut env, host) = (project(&registry), registry.address());
    env.set("STAGER_REGISTRY_AUTH", &format!("other.example.org=x:y {host}=alice:wonder"));
    env.stager(["build"]).ends_with(4).says(&["refuses the credentials"]);
    log_in(&env, host, "wonder land").succeeds().says(&["STAGER_REGISTRY_AUTH has other credentials"]);
    env.stager(["build"]).ends_with(4).says(&["refuses the credentials"]);
    env.set("STAGER_REGISTRY_AUTH", "hush:hush");
    let output = env.stager(["build"]).ends_with(2).says(&["STAGER_REGISTRY_AUTH", "entry 1", "HOST=USER:PASSWORD"]);
    assert!(!output.stderr.contains("hush"), "{}", output.stderr);

    env.set("STAGER_REGISTRY_AUTH", "h:1=me:hush");
    let look = r#"echo '{{ env("STAGER_REGISTRY_AUTH", "no such variable") }}'; env; cat /proc/*/environ; exit 1"#;
    let step = format!("build:\n  steps:\n    - name: look\n      command: |\n        {look}\n");
    env.project().busybox().config(&format!("image: app\nfrom: rootfs:base.tar\n{step}")).commit("look");
    let output = env.stager(["build", "--loose-giterminism"]).ends_with(1).says(&["no such variable", "PATH="]);
    assert!(!output.stderr.contains("hush"), "{}", output.stderr);
}
