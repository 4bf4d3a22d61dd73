//! Stages that run a command.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use stages::ContentId;
use stages::plan::GitView;
use stages::spec::{self, Command, Mount, Step};

use super::caches::CacheHold;
use super::layout::make_layer_directory;
use super::worker::{Content, Task, Worker};
use super::{Error, SOURCE_DATE_EPOCH, ansible, git_content};
use crate::builder::{Limits, MountSource, Network, StepMount, StepStatus, StepTask, UserIds};
use crate::image::assemble::DEFAULT_PATH;
use crate::image::spec::ImageConfig;
use crate::layer::{Clamp, LayerWriter, MergedTree, Metadata, Mtime, Ownership, Xattrs};
use crate::report::Event;
use crate::storage::StageRecord;

/// What is kept of a failed step's output, for its error.
const OUTPUT_TAIL: usize = 20;

/// A line of output longer than this is cut into several.
const LINE_LIMIT: usize = 16 * 1024;

/// Runs a step on its parent, with the git files it sees.
pub(super) fn make(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    step: &Step,
    mounts: &[Mount],
    git: Option<&GitView>,
) -> Result<Content, Error> {
    let parent = task.parent()?;
    let mut layers: Vec<_> = parent.layers.iter().map(|used| used.layer).collect();
    if let Some(view) = git {
        let below = task.need(&view.after)?.layers.len();
        if let Some(layer) = git_content::view_layer(worker, task, view)? {
            layers.insert(below.min(layers.len()), layer);
        }
    }
    let run_of = |argv| Run { step, argv, mounts, extra: Vec::new(), script: None, scratch_at: None };
    match &step.command {
        Command::Shell(script) => run(worker, task, &layers, run_of(shell(script))),
        Command::Exec(argv) => run(worker, task, &layers, run_of(argv.iter().map(OsString::from).collect())),
        Command::Script(commands) if commands.is_empty() => Ok(Content::of(parent)),
        Command::Script(commands) => {
            let interpreter = interpreter(&worker.merged(&layers)?)?;
            let argv = [interpreter, "-e", SCRIPT].map(OsString::from).to_vec();
            run(worker, task, &layers, Run { script: Some(script(commands)), ..run_of(argv) })
        }
        Command::Ansible(tasks) => ansible::make(worker, task, step, &layers, mounts, tasks),
    }
}

/// Where a script is while it runs: in a file, as it may be longer than arguments can be, and its commands may read standard
/// input.
pub(super) const SCRIPT: &str = "/dev/stager-script";

/// What runs scripts: bash where the image has it.
fn interpreter(tree: &MergedTree) -> Result<&'static str, Error> {
    for bash in ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"] {
        if tree.resolve(Path::new(bash))?.is_some() {
            return Ok(bash);
        }
    }
    Ok("/bin/sh")
}

fn script(commands: &[String]) -> Vec<u8> {
    let mut script = commands.join("\n").into_bytes();
    script.push(b'\n');
    script
}

/// The argument vector that runs a script.
pub(super) fn shell(script: &str) -> Vec<OsString> {
    ["/bin/sh", "-e", "-c", script].into_iter().map(OsString::from).collect()
}

/// One run in the builder.
pub(super) struct Run<'r> {
    pub(super) step: &'r Step,
    pub(super) argv: Vec<OsString>,
    pub(super) mounts: &'r [Mount],
    /// Environment below the step's own.
    pub(super) extra: Vec<(String, String)>,
    /// The text of [`SCRIPT`], which `argv` runs.
    pub(super) script: Option<Vec<u8>>,
    /// Where a directory in memory is while it runs, for what the command writes for its own use.
    pub(super) scratch_at: Option<&'static str>,
}

/// Runs a command on a stack of layers, and adds what it changed to the parent's content.
pub(super) fn run(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    layers: &[ContentId],
    run: Run<'_>,
) -> Result<Content, Error> {
    let parent = task.parent()?;
    let mut lowers = worker.lay_out(layers)?;
    lowers.reverse();
    let temp = worker.engine.home.temp()?;
    let (upper, scratch) = (temp.path().join("upper"), temp.path().join("scratch"));
    make_layer_directory(&upper, &lowers, worker.engine.settings.ownership)?;
    fs::create_dir(&scratch)?;
    if matches!(run.step.command, Command::Script(_) | Command::Ansible(_)) {
        make_mount_points(&upper, &lowers, worker.engine.settings.ownership, run.mounts)?;
    }
    // The file system's own clock says when the step started: its times are compared with this. (The upper directory has the
    // time of the root below.)
    let start = fs::metadata(&scratch)?.mtime();
    let caches = CacheHold::take(worker.engine, &task.id, run.step, run.mounts)?;
    let secrets = secrets(worker, task, run.step)?;
    let masked = Secrets::of(&secrets);
    let mut mounts = step_mounts(worker, task, run.mounts, &caches)?;
    mounts.extend(secrets);
    mounts.extend(run.script.map(|bytes| StepMount {
        target: SCRIPT.to_owned(),
        source: MountSource::SecretFile { bytes, mode: 0o444, uid: 0, gid: 0 },
    }));
    mounts.extend(run.scratch_at.map(|target| StepMount {
        target: target.to_owned(),
        source: MountSource::Tmpfs { size: None, mode: 0o1777 },
    }));
    let step_task = StepTask {
        lowers,
        upper: upper.clone(),
        scratch,
        argv: run.argv,
        stdin: None,
        env: environment(&parent_config(parent)?, &run.extra, run.step),
        user: UserIds::default(),
        workdir: "/".to_owned(),
        network: network(run.step.network),
        mounts,
        hostname: "stager".to_owned(),
        timeout: run.step.timeout_seconds.map(Duration::from_secs),
        limits: Limits::default(),
    };
    run_builder(worker, task, &step_task, &masked)?;
    drop(caches);
    let mut content = Content::of(parent);
    let clamp = Clamp { from: start, to: SOURCE_DATE_EPOCH };
    if let Some(layer) = worker.keep_layer(&upper, Some(clamp), None)? {
        content.push(layer, &task.id.stage);
    }
    Ok(content)
}

fn run_builder(worker: &Worker<'_, '_>, task: &Task<'_>, step_task: &StepTask, secrets: &Secrets) -> Result<(), Error> {
    let engine = worker.engine;
    let mut lines = Lines::new(|line| {
        let line = secrets.mask(&line);
        engine.events.send(Event::StageOutput { id: task.id.clone(), line: line.clone() });
        line
    });
    let outcome = engine
        .builder
        .run(step_task, &mut |bytes| lines.push(bytes), engine.cancel)
        .map_err(|source| Error::Builder { stage: task.id.clone(), source })?;
    let output = lines.finish();
    let how = match outcome.status {
        StepStatus::Exited(0) => return Ok(()),
        StepStatus::Cancelled => return Err(Error::Interrupted),
        StepStatus::Exited(code) => format!("exited with code {code}"),
        StepStatus::Signaled(signal) if outcome.out_of_memory => format!("ran out of memory (signal {signal})"),
        StepStatus::Signaled(signal) => format!("was killed by signal {signal}"),
        StepStatus::TimedOut => {
            format!("was killed after its timeout of {} s", step_task.timeout.unwrap_or_default().as_secs())
        }
    };
    Err(Error::StepFailed { stage: task.id.clone(), how, output })
}

/// The image config that a stage's record holds.
pub(super) fn parent_config(record: &StageRecord) -> Result<ImageConfig, Error> {
    ImageConfig::parse(&record.config).map_err(|source| Error::StoredConfig { digest: record.digest, source })
}

/// The base's environment, then what the stage adds, then what the step sees without being keyed by it, then its own; later
/// ones win.
fn environment(config: &ImageConfig, extra: &[(String, String)], step: &Step) -> Vec<(String, String)> {
    let mut env =
        BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned()), ("HOME".to_owned(), "/root".to_owned())]);
    for entry in &config.config.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        env.insert(name.to_owned(), value.to_owned());
    }
    env.extend(extra.iter().cloned());
    env.insert("SOURCE_DATE_EPOCH".to_owned(), SOURCE_DATE_EPOCH.to_string());
    env.extend(step.unkeyed_env.as_ref().clone());
    env.extend(step.env.clone());
    env.into_iter().collect()
}

fn network(network: spec::Network) -> Network {
    match network {
        spec::Network::Default => Network::Default,
        spec::Network::None => Network::None,
        spec::Network::Host => Network::Host,
    }
}

fn step_mounts(
    worker: &Worker<'_, '_>,
    task: &Task<'_>,
    mounts: &[Mount],
    caches: &CacheHold,
) -> Result<Vec<StepMount>, Error> {
    let mut all = Vec::new();
    for mount in mounts {
        let source = match &mount.source {
            spec::MountSource::Tmp => MountSource::Tmpfs { size: None, mode: 0o1777 },
            spec::MountSource::Run => {
                let path = worker.engine.run_directories.of(worker.engine.home, task.node.image, &mount.to)?;
                MountSource::Bind { path, read_only: false }
            }
            spec::MountSource::Host(path) => {
                MountSource::Bind { path: host_path(worker, task, path)?, read_only: false }
            }
            // These are among the caches.
            spec::MountSource::Cache => continue,
        };
        all.push(StepMount { target: mount.to.clone(), source });
    }
    all.extend(caches.mounts());
    Ok(all)
}

/// Makes the mount points that are not there: in the images of werf and dapp they stay, as empty directories. What the image
/// has at a mount point stays too; it is only out of the step's sight.
fn make_mount_points(upper: &Path, lowers: &[PathBuf], ownership: Ownership, mounts: &[Mount]) -> Result<(), Error> {
    let tree = MergedTree::new(lowers.to_vec(), ownership)?;
    let mut writer = LayerWriter::new(upper, lowers, ownership)?;
    for mount in mounts {
        let is_file = matches!(&mount.source, spec::MountSource::Host(path) if Path::new(path).is_file());
        if !is_file && tree.resolve(Path::new(&mount.to))?.is_none() {
            writer.directory(Path::new(mount.to.trim_matches('/')), &MOUNT_POINT)?;
        }
    }
    writer.finish()?;
    Ok(())
}

const MOUNT_POINT: Metadata = Metadata {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: Mtime { seconds: SOURCE_DATE_EPOCH, nanoseconds: 0 },
    xattrs: Xattrs::new(),
};

/// A path of the host to mount. A directory is made where nothing is, as werf does.
fn host_path(worker: &Worker<'_, '_>, task: &Task<'_>, path: &str) -> Result<PathBuf, Error> {
    let gate = |source| Error::Gate { stage: task.id.clone(), what: format!("the mount of `{path}`"), source };
    let full = worker.engine.gate.host_path(path).map_err(gate)?;
    if !full.exists() {
        fs::create_dir_all(&full)?;
    }
    Ok(full)
}

/// The files of a step's secrets. Those of host files have the mode that the file has, the others can be read by root only.
fn secrets(worker: &Worker<'_, '_>, task: &Task<'_>, step: &Step) -> Result<Vec<StepMount>, Error> {
    let mut mounts = Vec::new();
    for secret in &step.secrets {
        let gate = |source| Error::Gate { stage: task.id.clone(), what: format!("secret `{}`", secret.id), source };
        let (bytes, mode) = worker.engine.gate.secret(&secret.source).map_err(gate)?;
        let source = MountSource::SecretFile { bytes, mode: mode.unwrap_or(SECRET_MODE), uid: 0, gid: 0 };
        mounts.push(StepMount { target: format!("/run/secrets/{}", secret.id), source });
    }
    Ok(mounts)
}

/// The mode of a secret that is no file of the host.
const SECRET_MODE: u32 = 0o600;

/// Values that must not be seen in a log, whatever a step prints.
struct Secrets(Vec<String>);

impl Secrets {
    /// The lines of the secrets among these mounts. A line of fewer than four characters is no secret, and would tear any
    /// text apart.
    fn of(mounts: &[StepMount]) -> Self {
        let mut lines: Vec<String> = mounts
            .iter()
            .filter_map(|mount| match &mount.source {
                MountSource::SecretFile { bytes, .. } => Some(String::from_utf8_lossy(bytes)),
                _ => None,
            })
            .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
            .filter(|line| line.chars().count() >= 4)
            .collect();
        // A secret that holds another one goes first, or its rest would stay.
        lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
        Self(lines)
    }

    fn mask(&self, line: &str) -> String {
        self.0.iter().fold(line.to_owned(), |line, secret| line.replace(secret, "***"))
    }
}

/// Cuts output into lines, and keeps the last few. The sink gives back what may be kept.
struct Lines<S: FnMut(String) -> String> {
    sink: S,
    partial: Vec<u8>,
    tail: VecDeque<String>,
}

impl<S: FnMut(String) -> String> Lines<S> {
    fn new(sink: S) -> Self {
        Self { sink, partial: Vec::new(), tail: VecDeque::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        for chunk in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(chunk);
            if self.partial.ends_with(b"\n") || self.partial.len() > LINE_LIMIT {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let text = String::from_utf8_lossy(&self.partial).trim_end_matches(['\n', '\r']).to_owned();
        self.partial.clear();
        if self.tail.len() == OUTPUT_TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back((self.sink)(text));
    }

    fn finish(mut self) -> Vec<String> {
        if !self.partial.is_empty() {
            self.flush();
        }
        self.tail.into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn output_is_cut_into_lines() {
        let mut seen = Vec::new();
        let mut lines = Lines::new(|line: String| {
            seen.push(line.clone());
            line
        });
        lines.push(b"one\ntw");
        lines.push(b"o\r\n\nlast");
        let tail = lines.finish();
        assert_eq!(tail, ["one", "two", "", "last"]);
        assert_eq!(seen, tail);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut longest = 0;
        let mut lines = Lines::new(|line: String| {
            longest = longest.max(line.len());
            line
        });
        for _ in 0..100 {
            lines.push(&[b'x'; 1024]);
        }
        assert!(lines.finish().len() <= OUTPUT_TAIL);
        assert!(longest <= LINE_LIMIT + 1024, "{longest}");
    }

    #[test]
    fn secrets_are_masked() {
        let secret = |text: &str| StepMount {
            target: "/run/secrets/x".to_owned(),
            source: MountSource::SecretFile { bytes: text.as_bytes().to_vec(), mode: 0o400, uid: 0, gid: 0 },
        };
        let secrets = Secrets::of(&[secret("token"), secret("long token of two\nlines here\nno\n")]);
        assert_eq!(secrets.mask("a token, long token of two, lines here, no"), "a ***, ***, ***, no");
    }

    #[test]
    fn later_environment_wins() {
        let mut config = ImageConfig::default();
        config.config.env = vec!["PATH=/base".to_owned(), "A=base".to_owned()];
        let step = Step {
            name: String::new(),
            command: Command::Script(Vec::new()),
            files: spec::FileView::All,
            env: BTreeMap::from([("B".to_owned(), "own".to_owned())]),
            unkeyed_env: Arc::new(BTreeMap::from([
                ("A".to_owned(), "unkeyed".to_owned()),
                ("B".to_owned(), "unkeyed".to_owned()),
            ])),
            cache_versions: BTreeMap::new(),
            network: spec::Network::Default,
            caches: Vec::new(),
            secrets: Vec::new(),
            timeout_seconds: None,
        };
        let env = environment(&config, &[("A".to_owned(), "extra".to_owned())], &step);
        let value = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(value("PATH"), Some("/base"));
        assert_eq!(value("A"), Some("unkeyed"));
        assert_eq!(value("B"), Some("own"));
        assert_eq!(value("SOURCE_DATE_EPOCH"), Some("315532801"));
    }
}
