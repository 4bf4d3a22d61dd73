//! What a job of a CI system exports.

use fs_err as fs;

use crate::env::{Run, TestEnv, find};

/// The variables of a job for an environment of that name.
fn job(slug: &str) -> Vec<(&str, &str)> {
    vec![
        ("GITLAB_CI", "true"),
        ("CI_REGISTRY", "registry.example.org"),
        ("CI_REGISTRY_IMAGE", "registry.example.org/team/shop"),
        ("CI_JOB_TOKEN", "hunter2"),
        ("CI_ENVIRONMENT_SLUG", slug),
    ]
}

/// Runs a script that has `$STAGER` in a job.
fn shell(env: &TestEnv, variables: &[(&str, &str)], script: &str) -> String {
    let mut run = Run::new(&find("sh").unwrap(), ["-euc", script]);
    run.cwd(env.project().path()).env("PATH", "/usr/bin:/bin").env("STAGER", env!("CARGO_BIN_EXE_stager"));
    run.env("HOME", env.home().to_str().unwrap()).env("TMPDIR", env.out("").to_str().unwrap());
    for (name, value) in variables {
        run.env(name, value);
    }
    run.run().succeeds().stdout
}

#[test]
fn exports_survive_a_shell_and_show_no_token() {
    let env = TestEnv::new();
    let slug = "it's a \"$(touch pwned)\" `id` \\ slug";
    let text = shell(&env, &job(slug), "\"$STAGER\" ci-env gitlab");
    assert!(!text.contains("hunter2") && text.contains("export DOCKER_CONFIG="), "{text}");
    let script = r#"eval "$("$STAGER" ci-env gitlab)"; printf '%s\n' "$STAGER_ENV" "$STAGER_PROGRESS"; cat "$DOCKER_CONFIG/config.json""#;
    let output = shell(&env, &job(slug), script);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], [slug, "plain"]);
    assert!(output.contains("registry.example.org") && output.contains("Z2l0bGFiLWNpLXRva2VuOmh1bnRlcjI="), "{output}");
    assert!(!env.project().path().join("pwned").exists());
    let mine = [job(slug), vec![("STAGER_ENV", "mine")]].concat();
    let script = r#". "$("$STAGER" ci-env gitlab --as-file)"; printf %s "$STAGER_ENV""#;
    assert_eq!(shell(&env, &mine, script), "mine");
}

#[test]
fn only_variables_that_stager_reads_are_exported() {
    let env = TestEnv::new();
    let help: String = ["build", "config render", "plan"]
        .iter()
        .map(|command| env.stager(command.split(' ').chain(["--help"])).succeeds().stdout)
        .collect();
    let text = shell(&env, &job("review"), "\"$STAGER\" ci-env gitlab");
    let exported = text.lines().filter_map(|line| line.strip_prefix("export ")?.split('=').next());
    let exported: Vec<&str> = exported.filter(|name| *name != "DOCKER_CONFIG").collect();
    assert!(exported.contains(&"STAGER_PROGRESS"), "{text}");
    for name in exported {
        assert!(help.contains(&format!("[env: {name}=")), "{name} is exported, and no flag reads it");
    }
}

#[test]
fn files_of_variables_are_written_or_added_to() {
    let mut env = TestEnv::new();
    for (name, value) in job("review") {
        env.set(name, value);
    }
    let file = env.out("job.env");
    let path = file.to_str().unwrap().to_owned();
    fs::write(&file, "BEFORE=1\n").unwrap();
    let write = |env: &TestEnv| env.stager(["ci-env", "gitlab", "--as-env-file", "-o", &path]).succeeds().stdout;
    assert_eq!(write(&env), format!("{path}\n"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("STAGER_ENV=review\n") && !text.contains("BEFORE") && !text.contains("hunter2"), "{text}");
    fs::write(&file, "BEFORE=1\n").unwrap();
    env.set("GITHUB_ENV", &path);
    write(&env);
    assert!(fs::read_to_string(&file).unwrap().starts_with("BEFORE=1\nSTAGER_ENV="));
    env.set("CI_ENVIRONMENT_SLUG", "a\nPATH=/evil");
    env.stager(["ci-env", "gitlab", "--as-env-file"]).ends_with(2).says(&["STAGER_ENV", "line"]);
}
