//! The gate: reads the commit, lets in what the rules allow, remembers both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stages::ObjectId;

use super::error::{Error, Refusal, RefusalKind, Refused};
use super::patterns::absolute;
use super::rules::{FILES, Rules};
use crate::git::Repository;

/// How strictly the rules are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What the rules do not allow is refused.
    Strict,
    /// It is let in with a warning; project files are read from the disk.
    Loose,
    /// The tree is a snapshot of the work tree, so files cannot differ from it. All else is as strict.
    Dev,
}

/// What a gate is opened with.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// The project's repository, found from the project directory.
    pub repository: Repository,
    /// The tree of HEAD, or of the snapshot in [`Mode::Dev`]: of the whole repository.
    pub tree: ObjectId,
    /// The absolute project directory.
    pub directory: PathBuf,
    /// The config file if one was named, relative to the project directory.
    pub config: Option<String>,
    /// How strictly the rules are applied.
    pub mode: Mode,
    /// The environment that may be asked for.
    pub env: BTreeMap<String, String>,
    /// The user's home, which `~/` stands for.
    pub home: Option<PathBuf>,
    /// A file in which checksums of base files on disk are kept; `None` hashes them each time.
    pub checksum_cache: Option<PathBuf>,
}

/// Under which keys a config's directives are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// `config.native`.
    Native,
    /// `config.stapel`, for werf's and dapp's formats.
    Stapel,
}

/// A use of something outside of the commit that is no file of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use<'a> {
    /// `fromLatest` of a reference.
    FromLatest(&'a str),
    /// A branch of a remote repository; its address without credentials.
    GitBranch(&'a str),
    /// A host path that steps see.
    HostMount(&'a str),
    /// werf's `build_dir` mount at a path.
    BuildDirMount(&'a str),
    /// The host's network for an image's steps.
    HostNetwork(&'a str),
    /// A file added to a Dockerfile's context.
    ContextFile(&'a str),
    /// A tag given on the command line.
    CustomTag(&'a str),
}

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// What it was.
    pub kind: ReadKind,
    /// Its path, pattern or name.
    pub name: String,
    /// The BLAKE3 hash of what was read, in hex; `None` for what was absent, and always for secrets.
    pub digest: Option<String>,
}

/// What kind of thing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadKind {
    /// A file of the commit.
    Committed,
    /// A file of the disk that the rules, or loose giterminism, let in.
    Uncommitted,
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
    pub(super) options: GateOptions,
    pub(super) rules: Vec<Rules>,
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
    /// Opens a gate, reading the rules through it.
    pub fn open(options: GateOptions) -> Result<Self, Error> {
        let mut gate = Self { options, rules: Vec::new(), state: Mutex::default() };
        let mut rules = Vec::new();
        for file in FILES {
            if let Some(content) = gate.rules_file(file)? {
                rules.push(Rules::parse(file, &String::from_utf8_lossy(&content))?);
            }
        }
        gate.rules = rules;
        Ok(gate)
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

    /// What was refused so far, those of one kind together. In [`Mode::Loose`] these are warnings.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut merged: Vec<Refusal> = Vec::new();
        for refusal in &self.state().refused {
            match merged.iter_mut().find(|known| known.kind == refusal.kind && known.rule == refusal.rule) {
                Some(known) => {
                    let mut names = known.names.clone();
                    names.extend(refusal.names.iter().filter(|name| !known.names.contains(name)).cloned());
                    *known = Refusal::new(known.kind, known.rule, names);
                }
                None => merged.push(refusal.clone()),
            }
        }
        merged
    }

    /// Allows or refuses a use.
    pub fn check(&self, keys: Keys, used: &Use<'_>) -> Result<(), Error> {
        let native = keys == Keys::Native;
        let (allowed, kind, rule, name) = match *used {
            Use::FromLatest(reference) => {
                let rule = if native { "config.native.allowFromLatest" } else { "config.stapel.allowFromLatest" };
                let allowed = self.any(|rules| match keys {
                    Keys::Native => rules.config.native.allow_from_latest,
                    Keys::Stapel => rules.config.stapel.allow_from_latest,
                });
                (allowed, RefusalKind::FromLatest, rule, reference)
            }
            Use::GitBranch(url) => {
                let rule = if native { "config.native.allowGitBranches" } else { "config.stapel.git.allowBranch" };
                let allowed = self.any(|rules| match keys {
                    Keys::Native => rules.config.native.allow_git_branches,
                    Keys::Stapel => rules.config.stapel.git.allow_branch,
                });
                (allowed, RefusalKind::GitBranch, rule, url)
            }
            Use::HostMount(path) => {
                let rule = if native { "config.native.allowHostMounts" } else { "config.stapel.mount.allowFromPaths" };
                (self.allows_mount(keys, path)?, RefusalKind::HostMount, rule, path)
            }
            Use::BuildDirMount(path) => {
                let allowed = self.any(|rules| rules.config.stapel.mount.allow_build_dir);
                (allowed, RefusalKind::BuildDirMount, "config.stapel.mount.allowBuildDir", path)
            }
            Use::HostNetwork(image) => {
                let allowed = self.any(|rules| rules.config.native.allow_host_network);
                (allowed, RefusalKind::HostNetwork, "config.native.allowHostNetwork", image)
            }
            Use::ContextFile(path) => {
                let allowed = self.any(|rules| rules.config.dockerfile.allow_context_add_files.allow(path));
                (allowed, RefusalKind::ContextFile, "config.dockerfile.allowContextAddFiles", path)
            }
            Use::CustomTag(tag) => {
                let allowed = self.any(|rules| rules.cli.allow_custom_tags);
                (allowed, RefusalKind::CustomTags, "cli.allowCustomTags", tag)
            }
        };
        if allowed { Ok(()) } else { self.refuse(kind, rule, vec![name.to_owned()]) }
    }

    fn allows_mount(&self, keys: Keys, path: &str) -> Result<bool, Error> {
        let path = self.host_path(path)?;
        let (project, home) = (&self.options.directory, self.options.home.as_deref());
        Ok(self.any(|rules| match keys {
            Keys::Native => rules.config.native.allow_host_mounts.allow(&path, project, home),
            Keys::Stapel => rules.config.stapel.mount.allow_from_paths.allow(&path, project, home),
        }))
    }

    /// Whether an environment variable may be read, and its value.
    pub(super) fn variable(&self, name: &str) -> Result<Option<String>, Error> {
        if !self.any(|rules| rules.config.go_template_rendering.allow_env_variables.allow(name)) {
            let rule = "config.goTemplateRendering.allowEnvVariables";
            self.refuse(RefusalKind::Variable, rule, vec![name.to_owned()])?;
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

    /// The same for several kinds at once, which become one error.
    pub(super) fn refuse_all(&self, refusals: Vec<Refusal>) -> Result<(), Error> {
        self.state().refused.extend(refusals.iter().cloned());
        if refusals.is_empty() || self.options.mode == Mode::Loose { Ok(()) } else { Err(Refused { refusals }.into()) }
    }

    pub(super) fn note(&self, kind: ReadKind, name: &str, content: Option<&[u8]>) {
        let digest = content.map(|content| blake3::hash(content).to_hex().to_string());
        self.state().reads.insert(Read { kind, name: name.to_owned(), digest });
    }

    /// A path of the host as absolute and clean.
    pub(super) fn host_path(&self, path: &str) -> Result<PathBuf, Error> {
        absolute(path, &self.options.directory, self.options.home.as_deref())
            .ok_or_else(|| Error::NoHome { path: path.to_owned() })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Valid between any two statements that hold it, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
