//! werf build conformance: `tests/goldens/werf-build` holds what a real werf built of some hundred small projects.
//!
//! Each scenario becomes a git repository, with commits of the recorded ids, and a store of its own. Each state is built by
//! the binary, and compared: success or failure, which stages were built or reused, the config of each image, and the listed
//! files. `differences.toml` says what may differ, and why. `STAGER_GOLDENS=DIR` reads another folder of the same layout,
//! `STAGER_GOLDENS_ONLY=TEXT` runs the scenarios whose id contains the text, and prints what the builds say.

mod bases;
mod compare;
mod differences;
mod listing;
mod registry;
mod repository;
mod scenario;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;
use serde_json::Value as Json;

use self::bases::{Bases, copy_store};
use self::compare::Mismatch;
use self::differences::Differences;
use self::listing::Listing;
use self::registry::{Layer, Registry};
use self::repository::{History, write_files};
use self::scenario::{Scenario, State};
use crate::env::{Missing, Output, Report, TestEnv, debian_rootfs, sha256};

/// The registry's address in the recorded configs.
const RECORDED_REGISTRY: &str = "127.0.0.1:5050";

#[derive(Default)]
struct Tally {
    passed: usize,
    known: usize,
    failed: usize,
}

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/werf-build")
}

fn folder() -> PathBuf {
    let Some(given) = std::env::var_os("STAGER_GOLDENS").map(PathBuf::from) else { return own_folder() };
    if given.join("scenarios.jsonl").is_file() { given } else { given.join("werf-build") }
}

/// What all scenarios share.
struct Ground {
    bases: Bases,
    debian: Layer,
    debian_files: Listing,
    /// The store that scenarios begin with: the base is unpacked in it, and nothing built.
    verbose: bool,
}

impl Ground {
    fn new(directory: &Path, verbose: bool) -> Result<Self, Missing> {
        let file = debian_rootfs()?.to_owned();
        let debian = Layer { digest: sha256(&fs::read(&file).unwrap()), file };
        let bases = Bases::new(Registry::start(directory), debian.clone());
        bases.warm_up();
        let debian_files = Listing::of_layer(&debian.file);
        Ok(Self { bases, debian, debian_files, verbose })
    }
}

/// A scenario under way.
struct Course<'a> {
    ground: &'a Ground,
    scenario: &'a Scenario,
    env: TestEnv,
    history: History,
    /// One layout for all states: what is in it is not written again.
    layout: PathBuf,
}

impl<'a> Course<'a> {
    fn new(ground: &'a Ground, scenario: &'a Scenario, layout: &Path) -> Self {
        let env = TestEnv::new();
        fs::remove_dir_all(env.project().path()).unwrap();
        let history = History::new(env.project().path(), ground.bases.registry(), scenario);
        copy_store(&ground.bases.store(), &env.store());
        let mut course = Self { ground, scenario, env, history, layout: layout.to_owned() };
        course.provide(&scenario.bases);
        course
    }

    fn provide(&mut self, bases: &BTreeMap<String, String>) {
        for (name, dockerfile) in bases {
            self.ground.bases.provide(name, dockerfile, &self.scenario.id);
        }
    }

    /// What is not as recorded in a state, and what the build said; `None` when there is nothing to compare.
    fn advance(&mut self, number: usize, state: &State) -> Option<(Vec<Mismatch>, Output)> {
        assert!(self.history.advance(state), "{} {number}: the commit has another id", self.scenario.id);
        write_files(&self.env.home(), &state.home, str::to_owned);
        self.provide(&state.bases);
        if state.build == Some(false) {
            return None;
        }
        let (output, report) = self.build(number, state);
        let mut found = Vec::new();
        if (output.code == 0) != state.succeeded() {
            let (code, want) = (output.code, if state.succeeded() { "success" } else { "a failure" });
            found.push(Mismatch { aspect: "exit", place: String::new(), text: format!("want {want}, got {code}") });
        } else if state.succeeded() {
            found = self.images(state, &report.expect("a build that succeeds writes its report"));
        } else {
            found.extend(exit_class(state, &output));
            let named = state
                .stages_before_failure
                .iter()
                .any(|stage| stage.name.ends_with("nstall") || stage.name.ends_with("etup"));
            match report {
                Some(report) if named => {
                    found.extend(compare::stages_before_failure(&state.stages_before_failure, &report));
                }
                _ => {}
            }
        }
        Some((found, output))
    }

    fn build(&self, number: usize, state: &State) -> (Output, Option<Report>) {
        let output = format!("oci:{}", self.layout.display());
        fs::remove_file(self.layout.join("index.json")).ok();
        let mut arguments = vec!["--dialect", "werf", "--parallel", "1", "--compression", "none", "--output", &output];
        if !self.scenario.strict {
            arguments.push("--loose-giterminism");
        }
        arguments.extend(state.args.iter().map(String::as_str));
        let (mut run, report) = self.env.build_command(&arguments);
        for (name, value) in &state.env {
            run.env(name, value);
        }
        let output = run.run();
        if self.ground.verbose {
            println!("--- {} {number}: {}\n{}", self.scenario.id, output.code, output.stderr);
        }
        (output, report.is_file().then(|| Report::read(&report)))
    }

    fn images(&self, state: &State, report: &Report) -> Vec<Mismatch> {
        let mut found = Vec::new();
        for (name, wanted) in &state.images {
            let Some(image) = report.images.iter().find(|image| image.name == *name) else {
                found.push(Mismatch { aspect: "stages", place: name.clone(), text: "is not built".to_owned() });
                continue;
            };
            found.extend(compare::stages(name, &wanted.stages, report));
            let Some(manifest) = &image.manifest else { continue };
            let manifest = self.json(manifest);
            let config = self.json(manifest["config"]["digest"].as_str().unwrap());
            found.extend(compare::config(name, &wanted.config, &config));
            if self.scenario.look_images.as_ref().is_none_or(|names| names.contains(name)) {
                let files = self.files(&manifest);
                let is_buildah = self.scenario.backend.as_deref() == Some("buildah");
                found.extend(compare::tree(wanted, is_buildah, &self.ground.debian_files, &files));
            }
        }
        found
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.layout.join("blobs").join(digest.replace(':', "/"))
    }

    fn json(&self, digest: &str) -> Json {
        serde_json::from_slice(&fs::read(self.blob(digest)).unwrap()).unwrap()
    }

    fn files(&self, manifest: &Json) -> Listing {
        let mut files = Listing::default();
        for layer in manifest["layers"].as_array().unwrap() {
            let digest = layer["digest"].as_str().unwrap();
            if digest.ends_with(&self.ground.debian.digest) {
                files = self.ground.debian_files.clone();
            } else {
                files.apply(&self.blob(digest));
            }
        }
        files
    }
}

/// What werf says of a config, stager says with the exit code of one.
fn exit_class(state: &State, output: &Output) -> Option<Mismatch> {
    let of_config = state.error.as_ref().is_some_and(|error| error.contains("unable to load werf config"));
    let fits = if of_config { [2, 3].contains(&output.code) } else { (1..=4).contains(&output.code) };
    let text = format!("{:?} ends with {}: {}", state.error, output.code, output.stderr.trim_end());
    (!fits).then(|| Mismatch { aspect: "exit", place: String::new(), text })
}

/// Runs a scenario to its end, and judges it.
fn judge(ground: &Ground, scenario: &Scenario, layout: &Path, known: &Differences) -> (Tally, String) {
    let (mut tally, mut report) = (Tally::default(), String::new());
    let mut course = Course::new(ground, scenario, layout);
    for (number, state) in (1..).zip(&scenario.states) {
        let Some((found, output)) = course.advance(number, state) else { continue };
        let refused = known.refusal(scenario);
        if let Some(words) = refused {
            let is_refused = output.code != 0 && (!state.succeeded() || output.stderr.contains(words));
            if !is_refused {
                let _ = writeln!(report, "{} {number}: must be refused with {words:?}\n{}", scenario.id, output.stderr);
            }
            *(if is_refused { &mut tally.known } else { &mut tally.failed }) += 1;
            continue;
        }
        let (covered, other): (Vec<_>, Vec<_>) =
            found.iter().partition(|mismatch| known.covers(scenario, number, mismatch));
        match (covered.is_empty(), other.is_empty()) {
            (true, true) => tally.passed += 1,
            (false, true) => tally.known += 1,
            (_, false) => tally.failed += 1,
        }
        for Mismatch { aspect, place, text } in other {
            let _ = writeln!(report, "{} {number} [{}] {aspect} {place}: {text}", scenario.id, scenario.group);
        }
        if found.iter().any(|mismatch| mismatch.aspect == "exit" && !known.covers(scenario, number, mismatch)) {
            let _ = writeln!(report, "    {}", output.stderr.trim_end().replace('\n', "\n    "));
        }
    }
    (tally, report)
}

#[test]
fn goldens_werf_build() {
    let folder = folder();
    let Ok(scenarios) = fs::read_to_string(folder.join("scenarios.jsonl")) else {
        eprintln!("skipped: no werf-build scenarios in {}", folder.display());
        return;
    };
    let only = std::env::var_os("STAGER_GOLDENS_ONLY").and_then(|only| only.into_string().ok());
    let wanted = |id: &str| only.as_ref().is_none_or(|only| id.contains(only.as_str()));
    let scenarios = scenarios.lines().map(|line| serde_json::from_str::<Scenario>(line).unwrap());
    let scenarios: VecDeque<Scenario> = scenarios.filter(|scenario| wanted(&scenario.id)).collect();
    let known = Differences::read(&own_folder());
    let directory = tempfile::tempdir().unwrap();
    let ground = need!(Ground::new(directory.path(), only.is_some()));
    let queue = Mutex::new(scenarios);
    let results = Mutex::new((BTreeMap::<String, Tally>::new(), String::new()));
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let (ground, queue, results, known) = (&ground, &queue, &results, &known);
            let layout = directory.path().join(format!("layout-{worker}"));
            scope.spawn(move || {
                loop {
                    let Some(scenario) = queue.lock().unwrap().pop_front() else { break };
                    let (tally, text) = judge(ground, &scenario, &layout, known);
                    let mut results = results.lock().unwrap();
                    let sum = results.0.entry(scenario.group.clone()).or_default();
                    sum.passed += tally.passed;
                    sum.known += tally.known;
                    sum.failed += tally.failed;
                    results.1 += &text;
                }
            });
        }
    });
    let (groups, mut report) = results.into_inner().unwrap();
    println!("{:<16}{:>8}{:>8}{:>8}", "group", "passed", "known", "failed");
    let mut total = Tally::default();
    for (group, tally) in &groups {
        println!("{group:<16}{:>8}{:>8}{:>8}", tally.passed, tally.known, tally.failed);
        total.passed += tally.passed;
        total.known += tally.known;
        total.failed += tally.failed;
    }
    println!("{:<16}{:>8}{:>8}{:>8}", "total", total.passed, total.known, total.failed);
    if only.is_none() && folder == own_folder() {
        for unused in known.unused() {
            let _ = writeln!(report, "differences.toml: nothing differs as said here: {unused}");
        }
    }
    assert!(report.is_empty(), "{} states differ:\n{report}", total.failed);
}
