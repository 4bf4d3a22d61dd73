//! What a step sees, and what it must not.

use crate::env::{TestEnv, program, sha256};

/// Builds an image whose one step runs this script; the tree of the image.
fn step(settings: &str, script: &str) -> TestEnv {
    let env = TestEnv::new();
    let script = format!("        {}\n", script.replace('\n', "\n        "));
    let config = format!(
        "image: app\nfrom: rootfs:base.tar\nbuild:\n{settings}  steps:\n    - name: run\n      command: |\n{script}"
    );
    env.project().busybox().config(&config).commit("start");
    env
}

#[test]
fn a_step_without_network_has_loopback_only() {
    let env = step(
        "  network: none\n",
        "test \"$(ls /sys/class/net)\" = lo\nping -c 1 127.0.0.1 || ifconfig lo | grep RUNNING",
    );
    env.build(&[]);
}

#[test]
fn a_step_is_apart_from_the_machine() {
    let script = "test $$ -lt 10
test \"$(id -u)\" = 0
! mount -t tmpfs none /mnt 2>/dev/null
! cat /proc/kcore 2>/dev/null
test -c /dev/null; test -w /dev/null; test -d /dev/shm; test -d /dev/pts
test -z \"$(ls /dev | grep -E '^(sd|vd|nvme|kmsg|mem)')\"
echo x > /dev/null; head -c 4 /dev/urandom > /dev/null
test ! -e /work; test ! -e /root/.cargo
grep -q NoNewPrivs:.1 /proc/self/status
grep -q 'Seccomp:.2' /proc/self/status
mkdir -p /proc-test; ! echo 1 > /proc/sys/kernel/panic";
    let env = step("", script);
    env.build(&[]);
}

#[test]
fn a_step_has_a_clean_environment() {
    let mut env = step("  env: {MINE: '1'}\n", "env | sort > /env");
    env.set("LEAK", "leaked");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert!(tree["/env"].size > 10);
    env.project().replace(
        "stager.yaml",
        "env | sort > /env",
        "test -z \"$LEAK\"; test \"$MINE\" = 1; test -n \"$HOME\"",
    );
    env.project().commit("check");
    env.build(&[]);
    assert!(!image.config.to_string().contains("MINE"), "env of steps is not the image's");
    assert!(!image.config.to_string().contains("leaked"));
}

#[test]
fn a_step_ends_with_its_processes() {
    let env = step("", "sleep 3600 &\necho started");
    env.build(&[]);
}

#[test]
fn stages_log_what_steps_print() {
    let env = step("", "echo to stdout\necho to stderr >&2\nprintf 'no newline'");
    env.stager(["build", "--progress", "plain"]).succeeds().says(&["to stdout", "to stderr", "no newline"]);
}

#[test]
fn large_output_and_odd_bytes_are_no_trouble() {
    let env = step("", "seq 1 200000\nprintf '\\377\\376\\033[31m\\n'");
    env.stager(["build", "--progress", "plain"]).succeeds().says(&["200000"]);
}

#[test]
fn a_step_sees_only_the_files_it_declares() {
    let env = TestEnv::new();
    env.project().busybox().file("src/a", "a\n").file("src/b", "b\n").config(
        "image: app
from: rootfs:base.tar
git: [{add: /src, to: /src}]
build:
  steps:
    - {name: narrow, command: 'ls /src > /narrow; test ! -e /src/b', files: [src/a]}
    - {name: wide, command: 'ls /src > /wide; test -e /src/b'}
",
    );
    env.project().commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert_eq!(tree["/narrow"].sha256, Some(sha256(b"a\n")));
    assert_eq!(tree["/wide"].sha256, Some(sha256(b"a\nb\n")));
    assert!(tree.contains_key("/src/a") && tree.contains_key("/src/b"));
}

#[test]
fn secrets_reach_the_step_and_nothing_else() {
    const VALUE: &str = "hunter2-4fd7a0c1e8";
    let script = format!(
        "test \"$(cat /run/secrets/token)\" = {}\nwc -c < /run/secrets/token > /length\ncat /run/secrets/token",
        {
            // The config must not contain the value either: the shell joins it.
            VALUE.replacen('-', "\"\"-", 1)
        }
    );
    let mut env = step("  secrets: [{id: token, env: TOKEN}]\n", &script);
    env.project().giterminism("{secrets: {allowEnvVariables: [TOKEN]}}").commit("allow");
    env.set("TOKEN", VALUE);
    let layout = env.out("layout");
    let (mut run, report) =
        env.build_command(&["--progress", "plain", "--output", &format!("oci:{}", layout.display())]);
    let output = run.run().succeeds();
    assert!(!output.stderr.contains(VALUE) && !output.stdout.contains(VALUE), "a log shows the secret");
    assert!(!fs_err::read_to_string(report).unwrap().contains(VALUE));
    for place in [env.store(), layout.clone(), env.home()] {
        if place.exists() {
            let found = program("grep", ["-rlF", VALUE, place.to_str().unwrap()]).expect("grep").stdout;
            assert_eq!(found, "", "the secret is on disk");
        }
    }
    let tree = need!(crate::env::OciImage::open(&layout).tree());
    assert!(!tree.keys().any(|path| path.contains("secrets/token")));
    let digest = env.plan().digests().len();
    env.set("TOKEN", "another value");
    assert_eq!(env.build(&[]).built(), [""; 0], "values are not keyed");
    assert_eq!(digest, 1);
}

#[test]
fn a_missing_secret_is_named() {
    let env = step("  secrets: [{id: token, env: NO_SUCH_TOKEN}]\n", "true");
    env.project().giterminism("{secrets: {allowEnvVariables: [NO_SUCH_TOKEN]}}").commit("allow");
    let output = env.stager(["build"]);
    assert_ne!(output.code, 0);
    output.says(&["NO_SUCH_TOKEN"]);
}

#[test]
fn old_times_stay_and_new_ones_are_fixed() {
    let env = TestEnv::new();
    env.project().busybox().config(
        "image: app
from: rootfs:base.tar
build: {steps: [{name: times, command: 'touch -t 202001010000 /old; touch /new'}]}
",
    );
    env.project().commit("start");
    let out = env.out("rootfs.tar");
    env.build(&["--output", &format!("rootfs:{}", out.display())]);
    let mut archive = tar::Archive::new(fs_err::File::open(&out).unwrap());
    let times: std::collections::BTreeMap<String, u64> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.header().mtime().unwrap())
        })
        .collect();
    assert_eq!((times["old"], times["new"]), (1_577_836_800, 315_532_801));
}
