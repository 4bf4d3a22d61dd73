//! werf config conformance: `tests/goldens/werf-config` holds what a real werf did with some hundred small projects.
//!
//! Each case becomes a git repository, whose commit must have the recorded id, and is put to the built binary: success or
//! failure, the class of the error, the exit code that goes with the class, and standard output. `differences.toml` says
//! what may differ, and what is wanted instead. `STAGER_GOLDENS=DIR` reads the cases of another folder of the same layout,
//! `STAGER_GOLDENS_ONLY=TEXT` runs those whose id contains the text and prints what they say.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;
use git2::{IndexAddOption, Repository, RepositoryInitOptions, Signature, Time};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::env::{Output, Run};

/// One line of `cases.jsonl`; its README explains the fields.
#[derive(Deserialize)]
struct Case {
    id: String,
    group: String,
    files: BTreeMap<String, String>,
    #[serde(default)]
    symlinks: BTreeMap<String, String>,
    #[serde(default)]
    uncommitted: BTreeMap<String, Option<String>>,
    #[serde(default)]
    uncommitted_symlinks: BTreeMap<String, String>,
    #[serde(default)]
    stage: Vec<String>,
    repo: Option<String>,
    commit_date: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    args: Vec<String>,
    command: String,
    commit: Option<String>,
    rc: i32,
    stdout: String,
    error: String,
    error_class: Option<String>,
    unordered: Option<String>,
    quirk_kind: Option<String>,
    later_v2: Option<Json>,
}

/// `differences.toml`.
#[derive(Deserialize)]
struct Differences {
    #[serde(default)]
    quirk: BTreeMap<String, Difference>,
    #[serde(default)]
    later_v2: BTreeMap<String, Difference>,
    #[serde(default)]
    case: BTreeMap<String, Difference>,
}

/// What is wanted in place of what was recorded, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    wanted: String,
    reason: String,
}

impl Differences {
    fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("differences.toml")).unwrap();
        let differences: Self = toml::from_str(&text).unwrap();
        let all = differences.quirk.values().chain(differences.later_v2.values()).chain(differences.case.values());
        assert!(all.into_iter().all(|difference| !difference.reason.is_empty()), "a difference has a reason");
        differences
    }

    fn of(&self, case: &Case) -> Option<&Difference> {
        let later = case.later_v2.as_ref().and_then(Json::as_str);
        let by_later = || self.later_v2.iter().find(|(words, _)| later.is_some_and(|text| text.starts_with(*words)));
        let by_quirk = || self.quirk.get(case.quirk_kind.as_ref()?);
        self.case.get(&case.id).or_else(|| by_later().map(|(_, difference)| difference)).or_else(by_quirk)
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    known: usize,
    failed: usize,
}

enum Verdict {
    Passed,
    Known,
    Failed(String),
}

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/werf-config")
}

fn folder() -> PathBuf {
    let Some(given) = std::env::var_os("STAGER_GOLDENS").map(PathBuf::from) else { return own_folder() };
    let is_ours = fs::read_to_string(given.join("cases.jsonl")).is_ok_and(|text| text.contains("\"config "));
    if is_ours { given } else { given.join("werf-config") }
}

/// Sets up the project of a case; `None` when it has no commit.
fn set_up(case: &Case, project: &Path) -> Option<String> {
    write_files(project, case.files.iter().map(|(path, text)| (path, Some(text))), &case.symlinks);
    if case.repo.as_deref() == Some("none") {
        return None;
    }
    let repository =
        Repository::init_opts(project, RepositoryInitOptions::new().initial_head("main").external_template(false))
            .unwrap();
    let mut index = repository.index().unwrap();
    let mut commit = None;
    if case.repo.as_deref() != Some("empty") {
        index.add_all(["*"], IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let who = author(case.commit_date.as_deref().unwrap_or("2024-03-01T12:00:00+00:00"));
        commit = Some(repository.commit(Some("HEAD"), &who, &who, "case\n", &tree, &[]).unwrap().to_string());
    }
    let changes = case.uncommitted.iter().map(|(path, text)| (path, text.as_ref()));
    write_files(project, changes, &case.uncommitted_symlinks);
    if !case.stage.is_empty() {
        index.add_all(&case.stage, IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(&case.stage, None).unwrap();
        index.write().unwrap();
    }
    commit
}

fn write_files<'a>(
    project: &Path,
    files: impl Iterator<Item = (&'a String, Option<&'a String>)>,
    links: &BTreeMap<String, String>,
) {
    for (path, text) in files {
        let path = project.join(path);
        match text {
            Some(text) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // Written in place, a link would change its target.
                fs::remove_file(&path).ok();
                fs::write(&path, text).unwrap();
            }
            None => fs::remove_file(&path).unwrap(),
        }
    }
    for (path, target) in links {
        let path = project.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::remove_file(&path).ok();
        fs_err::os::unix::fs::symlink(target, path).unwrap();
    }
}

/// The author of every case, at a date such as `2024-03-01T12:00:00+03:30`.
fn author(date: &str) -> Signature<'static> {
    let (seconds, offset) = seconds_and_offset(date);
    Signature::new("Case Author", "case@example.org", &Time::new(seconds, offset)).unwrap()
}

fn seconds_and_offset(date: &str) -> (i64, i32) {
    let timestamp: jiff::Timestamp = date.parse().unwrap();
    let zone = date.get(date.len() - 6..).filter(|zone| zone.starts_with(['+', '-']));
    let offset = zone.map_or(0, |zone| {
        let minutes = zone[1..3].parse::<i32>().unwrap() * 60 + zone[4..6].parse::<i32>().unwrap();
        if zone.starts_with('-') { -minutes } else { minutes }
    });
    (timestamp.as_second(), offset)
}

fn run(case: &Case) -> Output {
    let root = tempfile::Builder::new().prefix("stager-werf-").tempdir().unwrap();
    let (project, home) = (root.path().join("project"), root.path().join("home"));
    for directory in [&project, &home, &root.path().join("tmp")] {
        fs::create_dir_all(directory).unwrap();
    }
    assert_eq!(set_up(case, &project), case.commit, "{}: the commit is another one than recorded", case.id);
    let command = case.command.split(' ').chain(["--dialect", "werf"]).chain(case.args.iter().map(String::as_str));
    let mut run = Run::new(Path::new(env!("CARGO_BIN_EXE_stager")), command);
    run.cwd(&project);
    for (name, value) in [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("GIT_CONFIG_NOSYSTEM", "1")]
    {
        run.env(name, value);
    }
    for (name, path) in
        [("HOME", home), ("TMPDIR", root.path().join("tmp")), ("STAGER_HOME", root.path().join("store"))]
    {
        run.env(name, path.to_str().unwrap());
    }
    for (name, value) in &case.env {
        run.env(name, value);
    }
    run.run()
}

/// The class of the first error that the program tells of.
fn class_of(stderr: &str) -> Option<&str> {
    stderr.lines().find_map(|line| line.strip_prefix("error[")?.split_once(']').map(|(class, _)| class))
}

/// The exit code that belongs to a class.
fn code_of(class: &str) -> i32 {
    match class {
        "untracked" | "uncommitted" | "giterminism-denied" | "link-target-not-accepted" => 3,
        _ => 2,
    }
}

/// An output whose order is random in werf, with its pieces sorted as the recorded one has them.
fn sorted(text: &str, unordered: Option<&str>) -> String {
    match unordered {
        Some("lines") => joined(text.split_inclusive('\n').collect()),
        Some("graph") => {
            let mut pieces: Vec<String> = Vec::new();
            for line in text.split_inclusive('\n') {
                match pieces.last_mut() {
                    Some(piece) if !line.starts_with("- ") => piece.push_str(line),
                    _ => pieces.push(line.to_owned()),
                }
            }
            joined(pieces.iter().map(String::as_str).collect())
        }
        Some("docs") => {
            let mut pieces: Vec<&str> = text.split("---\n").collect();
            pieces.sort_unstable();
            pieces.join("---\n")
        }
        _ => text.to_owned(),
    }
}

fn joined(mut pieces: Vec<&str>) -> String {
    pieces.sort_unstable();
    pieces.concat()
}

/// What is wrong with a run that should be as recorded.
fn fault(case: &Case, output: &Output) -> Option<String> {
    if case.rc == 0 {
        let unordered = case.unordered.as_deref();
        let want = case.stdout.replace("<COMMIT>", case.commit.as_deref().unwrap_or_default());
        let (want, got) = (sorted(&want, unordered), sorted(&output.stdout, unordered));
        if output.code == 0 && want == got {
            return None;
        }
        let end = if output.code == 0 { String::new() } else { format!(", code {}: {}", output.code, output.stderr) };
        return Some(format!("want {want:?}\n  got  {got:?}{end}"));
    }
    let class = case.error_class.as_deref().unwrap_or_default();
    let got = class_of(&output.stderr).unwrap_or("none");
    if class != "crash" && got == class && output.code == code_of(class) && output.stdout.is_empty() {
        return None;
    }
    Some(format!(
        "want {class}: {}\n  got  {got}, code {}: {}{}",
        case.error, output.code, output.stdout, output.stderr
    ))
}

/// Whether a run is what a difference wants.
fn suits(wanted: &str, output: &Output) -> bool {
    let class = class_of(&output.stderr);
    let fails = (2..=3).contains(&output.code) && class.is_some_and(|class| output.code == code_of(class));
    match wanted.split_once(':') {
        Some(("error", classes)) => fails && classes.split(' ').any(|wanted| class == Some(wanted)),
        None if wanted == "error" => fails,
        None if wanted == "success" => output.code == 0,
        None if wanted == "error-or-success" => output.code == 0 || fails,
        _ => panic!("differences.toml: unknown `wanted` {wanted:?}"),
    }
}

fn judge(case: &Case, output: &Output, differences: &Differences) -> Verdict {
    match (fault(case, output), differences.of(case)) {
        (None, _) => Verdict::Passed,
        (Some(_), Some(difference)) if suits(&difference.wanted, output) => Verdict::Known,
        (Some(fault), Some(difference)) => Verdict::Failed(format!("{fault}\n  or   {}", difference.wanted)),
        (Some(fault), None) => Verdict::Failed(fault),
    }
}

#[test]
fn goldens_werf_config() {
    let folder = folder();
    let Ok(text) = fs::read_to_string(folder.join("cases.jsonl")) else {
        eprintln!("skipped: no werf-config cases in {}", folder.display());
        return;
    };
    let only = std::env::var_os("STAGER_GOLDENS_ONLY").and_then(|only| only.into_string().ok());
    let differences = Differences::read(&own_folder());
    let cases: VecDeque<Case> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cases = Mutex::new(cases.into_iter().filter(|case| only.as_ref().is_none_or(|only| case.id.contains(only))));
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().next() else { return };
                    let output = run(&case);
                    let verdict = judge(&case, &output, &differences);
                    results.lock().unwrap().push((case, output, verdict));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by(|(left, ..), (right, ..)| (&left.group, &left.id).cmp(&(&right.group, &right.id)));
    let mut groups: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut report = String::new();
    for (case, output, verdict) in &results {
        let tally = groups.entry(&case.group).or_default();
        match verdict {
            Verdict::Passed => tally.passed += 1,
            Verdict::Known => tally.known += 1,
            Verdict::Failed(fault) => {
                tally.failed += 1;
                let _ = writeln!(report, "{} ({} {}): {fault}", case.id, case.command, case.args.join(" "));
            }
        }
        if only.is_some() {
            println!("{}: code {}\n{}{}", case.id, output.code, output.stdout, output.stderr);
        }
    }
    println!("{:<14}{:>7}{:>7}{:>7}", "group", "passed", "known", "failed");
    for (group, tally) in &groups {
        println!("{group:<14}{:>7}{:>7}{:>7}", tally.passed, tally.known, tally.failed);
    }
    let failed: usize = groups.values().map(|tally| tally.failed).sum();
    assert!(report.is_empty(), "{failed} of {} cases differ:\n{report}", results.len());
}
