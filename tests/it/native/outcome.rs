//! How steps end, what they get and what they say.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

#[test]
fn exit_codes_and_signals_are_outcomes() {
    if is_missing() {
        return;
    }
    let status = |script| Sandbox::new(script).try_run().unwrap().0.status;
    assert_eq!(status("exit 0"), StepStatus::Exited(0));
    assert_eq!(status("exit 37"), StepStatus::Exited(37));
    assert_eq!(status("kill -TERM $$; sleep 9"), StepStatus::Signaled(15));
    assert_eq!(status("kill -KILL $$; sleep 9"), StepStatus::Signaled(9));
}

#[test]
fn a_missing_command_is_named() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("");
    sandbox.task.argv = vec!["nothing-like-it".into()];
    match sandbox.try_run().unwrap_err() {
        BuilderError::Command { command, source } => {
            assert_eq!((command.as_str(), source.raw_os_error()), ("nothing-like-it", Some(2)));
        }
        other => panic!("{other:?}"),
    }
    let mut sandbox = Sandbox::new("");
    sandbox.task.argv = vec!["/data/file".into()];
    assert!(matches!(sandbox.try_run().unwrap_err(), BuilderError::Command { .. }));
}

#[test]
fn environment_user_directory_and_input_are_the_tasks() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("env; id; pwd; cat; hostname; umask; ulimit -n; echo x > /dev/stdout");
    sandbox.task.env.push(("GREETING".into(), "a b=c\nd".into()));
    sandbox.task.user = UserIds { uid: 12, gid: 34, groups: vec![56, 78] };
    let user = if current_mode() == Some(Mode::SingleId) { "uid=0 gid=0" } else { "uid=12 gid=34 groups=56,78" };
    sandbox.task.workdir = "/new/work".into();
    sandbox.task.stdin = Some(b"from stdin\n".to_vec());
    let output = sandbox.output();
    let mut lines: Vec<_> = output.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("uid=")).unwrap();
    let mut environment = lines.drain(..at).filter(|line| !line.starts_with("SHLVL") && !line.starts_with("PWD"));
    let mut sorted: Vec<_> = environment.by_ref().collect();
    drop(environment);
    sorted.sort_unstable();
    assert_eq!(sorted, ["GREETING=a b=c", "PATH=/bin", "d"]);
    let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let files = maximum.min(65536).to_string();
    assert_eq!(lines, [user, "/new/work", "from stdin", "step", "0022", files.as_str(), "x"]);
    assert_eq!(sandbox.changes(), ["new", "new/work"]);
}

#[test]
fn without_input_there_is_nothing_to_read() {
    if is_missing() {
        return;
    }
    assert_eq!(Sandbox::new("cat; readlink /proc/self/fd/0; ls /proc/self/fd | wc -l").output(), "/dev/null\n4\n");
}

#[test]
fn much_output_flows_in_order_and_a_broken_pipe_kills() {
    if is_missing() {
        return;
    }
    let sandbox = Sandbox::new("yes 0123456789abcde | head -c 64000000; echo err >&2");
    let (mut total, mut largest, mut tail) = (0usize, 0, Vec::new());
    let mut sink = |chunk: &[u8]| {
        total += chunk.len();
        largest = largest.max(chunk.len());
        tail = chunk.to_vec();
    };
    let outcome = builder().run(&sandbox.task, &mut sink, &sandbox.cancel).unwrap();
    assert!(outcome.is_success());
    assert_eq!(total, 64_000_004);
    assert!(largest <= 64 << 10);
    assert!(tail.ends_with(b"err\n"));
}

#[test]
fn daemons_end_with_the_command() {
    if is_missing() {
        return;
    }
    let started = Instant::now();
    let sandbox = Sandbox::new("setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000' & echo done");
    assert_eq!(sandbox.output(), "done\n");
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// A number of seconds to sleep that no other test process has: it marks the processes of one test.
fn mark(number: u32) -> String {
    format!("{}{number}", 100_000 + std::process::id())
}

#[test]
fn a_timeout_kills_the_whole_tree() {
    if is_missing() {
        return;
    }
    let mark = mark(1);
    let mut sandbox = Sandbox::new(&format!(
        "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; while :; do sleep {mark}; done' & \
         echo started; while :; do sleep {mark}; done",
    ));
    sandbox.task.timeout = Some(Duration::from_millis(500));
    let (outcome, output) = sandbox.try_run().unwrap();
    assert_eq!((outcome.status, output.as_str()), (StepStatus::TimedOut, "started\n"));
    assert!(outcome.duration < Duration::from_secs(5));
    assert_eq!(processes_with(&mark), 0);
}

#[test]
fn a_cancel_ends_a_step_at_once() {
    if is_missing() {
        return;
    }
    let sandbox = Sandbox::new(&format!("echo ready; sleep {}", mark(2)));
    let cancel = sandbox.cancel.clone();
    let mut when = None;
    let mut sink = |_: &[u8]| {
        cancel.cancel();
        when = Some(Instant::now());
    };
    let outcome = builder().run(&sandbox.task, &mut sink, &sandbox.cancel).unwrap();
    assert_eq!(outcome.status, StepStatus::Cancelled);
    assert!(when.unwrap().elapsed() < Duration::from_secs(2));
    assert_eq!(processes_with(&mark(2)), 0);
    // And a step that is cancelled before it starts does not run.
    let (outcome, _) = sandbox.try_run().unwrap();
    assert_eq!(outcome.status, StepStatus::Cancelled);
}

/// Not a test: runs a long step in a process of its own, for the next one to kill.
#[test]
#[ignore = "a helper of the_death_of_the_engine_is_the_death_of_the_step"]
fn long_step_helper() {
    let mark = mark(3);
    let sandbox = Sandbox::new(&format!("echo ready; setsid sleep {mark} & sleep {mark}"));
    builder().run(&sandbox.task, &mut |chunk| print!("{}", String::from_utf8_lossy(chunk)), &sandbox.cancel).unwrap();
}

#[test]
fn the_death_of_the_engine_is_the_death_of_the_step() {
    use std::io::{BufRead, BufReader};
    if is_missing() {
        return;
    }
    let mut engine = Command::new(std::env::current_exe().unwrap())
        .args(["native::outcome::long_step_helper", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(engine.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ready")));
    let mark = format!("{}3", 100_000 + engine.id());
    wait_until(|| processes_with(&mark) >= 2);
    engine.kill().unwrap();
    assert_eq!(engine.wait().unwrap().signal(), Some(9));
    wait_until(|| processes_with(&mark) == 0);
}

pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen within ten seconds");
        std::thread::yield_now();
    }
}

/// How many processes of the machine have this argument.
fn processes_with(argument: &str) -> usize {
    let is_one = |entry: &fs_err::DirEntry| {
        let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|part| part == argument.as_bytes())
    };
    fs_err::read_dir("/proc").unwrap().filter_map(Result::ok).filter(is_one).count()
}

#[test]
fn a_fork_bomb_stays_within_its_limit() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("i=0; while [ $i -lt 50 ]; do sleep 5 & i=$((i+1)); done; echo all");
    sandbox.task.limits.processes = Some(20);
    match sandbox.try_run() {
        Ok((outcome, output)) => {
            assert_ne!(outcome.status, StepStatus::Exited(0), "{output}");
            assert!(output.contains("can't fork"), "{output}");
        }
        Err(error) => eprintln!("skipped: {error}"),
    }
}

#[test]
fn a_memory_hog_is_killed_and_said_to_be() {
    if is_missing() {
        return;
    }
    let mut sandbox = Sandbox::new("dd if=/dev/zero of=/dev/null bs=200M count=1");
    sandbox.task.limits.memory = Some(32 << 20);
    match sandbox.try_run() {
        Ok((outcome, output)) => {
            assert!(!outcome.is_success() && outcome.out_of_memory, "{outcome:?} {output}");
        }
        Err(error) => eprintln!("skipped: {error}"),
    }
}

#[test]
fn usage_is_reported() {
    if is_missing() {
        return;
    }
    let (outcome, _) = Sandbox::new("dd if=/dev/zero of=/dev/null bs=20M count=20").try_run().unwrap();
    assert!(outcome.usage.peak_memory > 20 << 20, "{outcome:?}");
    assert!(outcome.usage.system + outcome.usage.user > Duration::ZERO);
}

/// Measured by hand, in a release build: what a step costs over its command.
#[test]
#[ignore = "a measurement"]
fn overhead() {
    let builder = builder();
    for network in [Network::Default, Network::None] {
        let mut sandbox = Sandbox::new("");
        sandbox.task.argv = vec!["/bin/true".into()];
        sandbox.task.network = network;
        let mut times: Vec<Duration> = (0..200)
            .map(|number| {
                sandbox.task.upper = sandbox.directory.path().join(format!("upper-{number}"));
                sandbox.task.scratch = sandbox.directory.path().join(format!("scratch-{number}"));
                fs_err::create_dir(&sandbox.task.upper).unwrap();
                fs_err::create_dir(&sandbox.task.scratch).unwrap();
                let started = Instant::now();
                sandbox.try_run_with(&builder).unwrap();
                started.elapsed()
            })
            .collect();
        times.sort();
        println!("{:?} {network:?}: min {:?} p50 {:?} p95 {:?}", current_mode(), times[0], times[100], times[190]);
    }
}
