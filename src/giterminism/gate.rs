//! The gate: reads the commit, lets in what the rules allow, remembers both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stages::ObjectId;

use super::error::{Error, Home, IN_COMMIT, Refusal, RefusalKind};
use super::included::Included;
use super::patterns::{absolute, clean};
use super::reader::FileClass;
use super::rules::{Flavour, RULES_FILES, Rules};
use crate::config::INCLUDES_FILE;
use crate::git::Repository;
use crate::source::{Diagnostic, SourceFile};

/// How strictly the rules are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What the rules do not allow is refused.
    Strict,
    /// It is let in with a warning; project files are read from the disk.
    Loose,
    /// The tree is a snapshot of the work tree, so files cannot differ from it. All else is as strict.
    Dev,
    /// The tree is a snapshot, and what the rules do not allow is let in with a warning.
    LooseDev,
}

impl Mode {
    /// Whether what the rules do not allow is let in.
    pub fn is_loose(self) -> bool {
        matches!(self, Self::Loose | Self::LooseDev)
    }

    /// Whether the tree is a snapshot of the work tree.
    pub fn is_dev(self) -> bool {
        matches!(self, Self::Dev | Self::LooseDev)
    }
}

/// What a gate is opened on.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// The tree of HEAD, or of the snapshot in [`Mode::Dev`]: of the whole repository.
    pub tree: ObjectId,
    /// How strictly the rules are applied.
    pub mode: Mode,
    /// The environment that may be asked for. Its `HOME` is what `~/` stands for.
    pub env: BTreeMap<String, String>,
    /// The project directory on disk.
    pub directory: PathBuf,
    /// The one file of rules to read, relative to the project directory; it must be there. `None` reads those of
    /// [`RULES_FILES`] that are.
    pub rules: Option<String>,
    /// Goes on after a refusal as if it had been allowed, so that all of them are found; for a check, never for a build.
    pub survey: bool,
}

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Read {
    /// What it was.
    pub kind: ReadKind,
    /// Its path, pattern or name.
    pub name: String,
    /// The BLAKE3 hash of what was read, in hex; `None` for what was absent, and always for secrets.
    pub digest: Option<String>,
}

/// What kind of thing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadKind {
    /// A file of the commit.
    Committed,
    /// A file of the disk that the rules, or loose giterminism, let in.
    Uncommitted,
    /// A file of another repository, which `werf-includes.yaml` names.
    Included,
    /// A pattern; the digest is that of the paths found.
    Glob,
    /// An environment variable.
    Variable,
    /// A secret.
    Secret,
    /// A base file.
    BaseFile,
}

/// The only reader of project files, environment variables and secrets.
#[derive(Debug)]
pub struct Gate {
    pub(super) repository: Repository,
    pub(super) options: GateOptions,
    pub(super) rules: Vec<Rules>,
    /// The files that they are from.
    rules_read: Vec<String>,
    pub(super) config: Option<String>,
    pub(super) templates: Option<String>,
    pub(super) checksum_cache: Option<PathBuf>,
    /// The first that has a file counts.
    pub(super) included: Vec<Included>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    reads: BTreeSet<Read>,
    refused: BTreeSet<Refusal>,
    pub(super) files: HashMap<String, Option<Arc<[u8]>>>,
    pub(super) base_files: HashMap<String, stages::Checksum>,
}

impl Gate {
    /// Opens a gate on the repository of a project, reading the rules through it.
    pub fn open(repository: Repository, mut options: GateOptions) -> Result<Self, Error> {
        options.directory = fs_err::canonicalize(&options.directory)
            .map_err(|error| Error::io("open", options.directory.clone(), error))?;
        let mut gate = Self {
            repository,
            options,
            rules: Vec::new(),
            rules_read: Vec::new(),
            config: None,
            templates: None,
            checksum_cache: None,
            included: Vec::new(),
            state: Mutex::default(),
        };
        (gate.rules_read, gate.rules) = gate.read_rules()?.into_iter().unzip();
        Ok(gate)
    }

    fn read_rules(&self) -> Result<Vec<(String, Rules)>, Error> {
        let mut rules = Vec::new();
        let own = self.options.rules.as_deref();
        for file in own.map_or_else(|| RULES_FILES.to_vec(), |own| vec![own]) {
            match self.read_file(FileClass::Rules, file)? {
                Some(content) => rules.push((file.to_owned(), Rules::parse(file, &text_of(file, &content)?)?)),
                None if own.is_some() => {
                    return Err(Error::NotFound { path: file.to_owned(), place: IN_COMMIT });
                }
                None => {}
            }
        }
        Ok(rules)
    }

    /// Names the config file, where it has another name than configs have. Relative to the project directory.
    #[must_use]
    pub fn with_config(self, path: &str) -> Self {
        Self { config: Some(clean(path)), ..self }
    }

    /// Names the directory of templates, where it is another than the dialects have. Relative to the project directory.
    #[must_use]
    pub fn with_templates(self, path: &str) -> Self {
        Self { templates: Some(clean(path)), ..self }
    }

    /// Keeps checksums of base files on disk in this file; without it they are hashed by each run.
    #[must_use]
    pub fn with_checksum_cache(self, path: PathBuf) -> Self {
        Self { checksum_cache: Some(path), ..self }
    }

    /// Lets files of other repositories stand in for what the project does not have; the first that has a file counts.
    #[must_use]
    pub fn with_included(self, included: Vec<Included>) -> Self {
        Self { included, ..self }
    }

    /// How strictly the rules are applied.
    pub fn mode(&self) -> Mode {
        self.options.mode
    }

    /// The project directory.
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// Everything that was read so far, in order of kind and name.
    pub fn reads(&self) -> Vec<Read> {
        self.state().reads.iter().cloned().collect()
    }

    /// What was refused so far, those of one kind together. In [`Mode::Loose`] these were let in all the same.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut merged: Vec<Refusal> = Vec::new();
        for refusal in &self.state().refused {
            match merged.iter_mut().find(|known| known.kind == refusal.kind && known.rule == refusal.rule) {
                Some(known) => {
                    let mut names = known.names.clone();
                    names.extend(refusal.names.iter().filter(|name| !known.names.contains(name)).cloned());
                    *known = Refusal::new(known.kind, known.rule, names).at_home(self.home_of_rules());
                }
                None => merged.push(refusal.clone()),
            }
        }
        merged
    }

    /// What was let in although no rule allows it, as texts.
    pub fn warnings(&self) -> Vec<String> {
        let loose = self.options.mode.is_loose();
        let refusals = if loose { self.refusals() } else { Vec::new() };
        refusals.iter().map(|refusal| format!("{}: {}", refusal.what, refusal.reason)).collect()
    }

    /// Keys of the files of rules that mean nothing, or are there again further down, and are passed over; as texts.
    pub fn unread_rules(&self) -> Vec<String> {
        let files = self.rules_read.iter().zip(&self.rules);
        let texts = |(file, rules): (&String, &Rules)| {
            let repeated = rules.repeated.iter().map(|key| passed_over(file, key, "the last one counts"));
            let unread = rules.unread.iter().map(|key| {
                let help = key.help.as_deref().unwrap_or_default();
                passed_over(file, key, &format!("it allows nothing: {help}"))
            });
            unread.chain(repeated).collect::<Vec<_>>()
        };
        files.flat_map(texts).collect()
    }

    /// Refuses a file of rules with keys that mean nothing.
    pub fn refuse_unread_rules(&self) -> Result<(), Error> {
        let with_text = |rules: &Rules| Some((rules.text.clone()?, rules.unread.clone()));
        match self.rules.iter().find_map(with_text) {
            Some((text, mistakes)) => Err(Error::Rules { text, mistakes }),
            None => Ok(()),
        }
    }

    /// Refuses `fromLatest` unless the rules allow it.
    pub fn check_from_latest(&self, image: &str) -> Result<(), Error> {
        let allowed = self.any(|rules| rules.native.from_latest || rules.stapel.from_latest);
        self.check(allowed, RefusalKind::FromLatest, "config.native.allowFromLatest", image)
    }

    /// Refuses a branch of a remote repository unless the rules allow it.
    pub fn check_git_branch(&self, _url: &str, branch: &str) -> Result<(), Error> {
        let allowed = self.any(|rules| rules.native.branches.allow(branch) || rules.stapel.branches);
        self.check(allowed, RefusalKind::GitBranch, "config.native.allowGitBranches", branch)
    }

    /// Refuses a mount of a host directory unless the rules allow it.
    pub fn check_host_mount(&self, path: &str) -> Result<(), Error> {
        let place = self.host_path(path)?;
        let (project, home) = (&self.options.directory, self.home());
        let allowed = self.any(|rules| {
            rules.native.host_mounts.allow(&place, project, home)
                || rules.stapel.from_paths.allow(&place, project, home)
        });
        self.check(allowed, RefusalKind::HostMount, "config.native.allowHostMounts", path)
    }

    /// Refuses werf's mount of the build directory at a path unless the rules allow it.
    pub fn check_build_dir_mount(&self, path: &str) -> Result<(), Error> {
        let allowed = self.any(|rules| rules.stapel.build_dir);
        self.check(allowed, RefusalKind::BuildDirMount, "config.stapel.mount.allowBuildDir", path)
    }

    /// Refuses the host's network unless the rules allow it.
    pub fn check_host_network(&self, image: &str) -> Result<(), Error> {
        let allowed = self.any(|rules| rules.native.host_network);
        self.check(allowed, RefusalKind::HostNetwork, "config.native.allowHostNetwork", image)
    }

    /// Refuses a file added to a Dockerfile's context unless the rules allow it.
    pub fn check_context_file(&self, path: &str) -> Result<(), Error> {
        let allowed = self.any(|rules| rules.dockerfile.context_files.allow(path));
        self.check(allowed, RefusalKind::ContextFile, "config.dockerfile.allowContextAddFiles", path)
    }

    /// Refuses a tag of the command line unless the rules allow it.
    pub fn check_custom_tag(&self, tag: &str) -> Result<(), Error> {
        let allowed = self.any(|rules| rules.custom_tags);
        self.check(allowed, RefusalKind::CustomTag, "cli.allowCustomTags", tag)
    }

    /// Refuses the newest commits of included repositories unless the rules allow them.
    pub fn check_includes_update(&self) -> Result<(), Error> {
        if self.any(|rules| rules.includes_update) {
            return Ok(());
        }
        let names = vec!["--allow-includes-update".to_owned()];
        self.refuse(RefusalKind::IncludesUpdate, "includes.allowIncludesUpdate", names)
    }

    /// Refuses one thing that the rules do not allow. Claims of the config are all put to the gate in any case, so that a
    /// survey needs no help here.
    pub(super) fn check(&self, allowed: bool, kind: RefusalKind, rule: &'static str, name: &str) -> Result<(), Error> {
        if allowed {
            return Ok(());
        }
        let refusal = Refusal::new(kind, rule, vec![name.to_owned()]).at_home(self.home_of_rules());
        self.state().refused.insert(refusal.clone());
        if self.options.mode.is_loose() { Ok(()) } else { Err(refusal.into()) }
    }

    /// Whether an environment variable may be read, and its value.
    pub(super) fn variable(&self, name: &str) -> Result<Option<String>, Error> {
        let allowed = self.any(|rules| rules.rendering.variables.allow(name));
        if !allowed {
            self.refuse(RefusalKind::Variable, "config.goTemplateRendering.allowEnvVariables", vec![name.to_owned()])?;
        }
        let value = self.options.env.get(name).cloned();
        self.note(ReadKind::Variable, name, value.as_deref().map(str::as_bytes));
        Ok(value)
    }

    pub(super) fn any(&self, allows: impl Fn(&Rules) -> bool) -> bool {
        self.rules.iter().any(allows)
    }

    /// Records a refusal; an error unless giterminism is loose.
    pub(super) fn refuse(&self, kind: RefusalKind, rule: &'static str, names: Vec<String>) -> Result<(), Error> {
        self.refuse_all(vec![Refusal::new(kind, rule, names)])
    }

    /// The same for several kinds at once, of which the first becomes the error.
    pub(super) fn refuse_all(&self, refusals: Vec<Refusal>) -> Result<(), Error> {
        let refusals = refusals.into_iter().map(|refusal| refusal.at_home(self.home_of_rules()));
        let refusals: Vec<Refusal> = refusals.collect();
        self.state().refused.extend(refusals.iter().cloned());
        match refusals.into_iter().next() {
            Some(refusal) if !(self.options.mode.is_loose() || self.options.survey) => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    /// The file of rules that people would add to: the one that is there, else that of the config's dialect.
    fn home_of_rules(&self) -> Home<'_> {
        let [own, werf] = RULES_FILES;
        let is_there = |file: &str| self.rules_read.iter().any(|read| read == file);
        let written_in_werf = || {
            let config = self.config.as_deref().map(|path| path.rsplit('/').next().unwrap_or(path));
            config.map_or_else(|| self.is_werf_project(), |name| matches!(name, "werf.yaml" | "werf.yml"))
        };
        match self.options.rules.as_deref() {
            Some(file) => Home { file, werf: Flavour::of_file(file) == Flavour::Werf },
            None if is_there(own) => Home { file: own, werf: false },
            None if is_there(werf) || written_in_werf() => Home { file: werf, werf: true },
            None => Home { file: own, werf: false },
        }
    }

    /// Whether the commit, or else the disk, has a config of werf and none of stager.
    fn is_werf_project(&self) -> bool {
        let has = |name: &str| {
            let Ok(location) = self.locate(name) else { return false };
            let in_commit = self.repository.entry(&self.options.tree, &location.full);
            in_commit.is_ok_and(|entry| entry.is_some()) || self.options.directory.join(name).exists()
        };
        let any = |stem: &str| ["yaml", "yml"].iter().any(|ending| has(&format!("{stem}.{ending}")));
        (any("werf") || has(INCLUDES_FILE)) && !any("stager")
    }

    pub(super) fn note(&self, kind: ReadKind, name: &str, content: Option<&[u8]>) {
        let digest = content.map(|content| blake3::hash(content).to_hex().to_string());
        self.state().reads.insert(Read { kind, name: name.to_owned(), digest });
    }

    /// A path of the host as absolute and clean.
    pub fn host_path(&self, path: &str) -> Result<PathBuf, Error> {
        absolute(path, &self.options.directory, self.home()).ok_or_else(|| Error::NoHome { path: path.to_owned() })
    }

    pub(super) fn home(&self) -> Option<&Path> {
        self.options.env.get("HOME").map(Path::new)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Valid between any two statements that hold it, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is passed over, as a text.
fn passed_over(file: &str, key: &Diagnostic, why: &str) -> String {
    let line = key.place.as_ref().map_or(1, |place| place.line);
    format!("`{file}`, line {line}: {}, {why}", key.message)
}

/// A file of rules as text.
fn text_of(file: &str, content: &[u8]) -> Result<String, Error> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    std::str::from_utf8(content).map(str::to_owned).map_err(|error| {
        let lines = content.get(..error.valid_up_to()).unwrap_or_default().split(|byte| *byte == b'\n').count();
        Error::Rules {
            text: Box::new(SourceFile { name: file.to_owned(), text: String::new() }),
            mistakes: vec![Diagnostic::error(format!("it is not UTF-8 text (line {lines})"))],
        }
    })
}
