//! The only reader of project files and of the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use stages::filter::PathFilter;
use stages::spec::SecretSource;
use stages::{Checksum, ObjectId};

use super::error::{Error, Refusal};
use super::rules::{RULES_FILES, Rules};
use crate::git::{FileMode, Repository};
use crate::source::{FileReader, ReadError, ReadErrorKind};

/// The largest config, template or file that is read into memory.
const FILE_LIMIT: u64 = 64 << 20;

/// The largest file of a base that is read from the commit.
const BASE_LIMIT: u64 = 16 << 30;

/// How giterminism is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is not allowed is refused.
    Strict,
    /// What is not allowed is let in, with a warning.
    Loose,
    /// The tree that is read is a snapshot of the working tree: nothing is uncommitted.
    Dev,
}

/// What a gate is opened on.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// The tree that files are read from.
    pub tree: ObjectId,
    /// How rules are enforced.
    pub mode: Mode,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The project directory on disk.
    pub directory: PathBuf,
}

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// What kind of thing.
    pub kind: ReadKind,
    /// Its name: a path or a variable.
    pub name: String,
}

/// Kinds of things that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadKind {
    /// A file, as committed.
    File,
    /// A file, as it is on disk.
    UncommittedFile,
    /// An environment variable.
    Variable,
    /// A secret; never its value.
    Secret,
}

/// Which rule a file falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileClass {
    Config,
    Template,
    Other,
}

/// Reads project files and the environment under giterminism's rules.
#[derive(Debug)]
pub struct Gate {
    repository: Repository,
    options: GateOptions,
    rules: Rules,
    reads: Mutex<BTreeSet<Read>>,
    warnings: Mutex<BTreeSet<String>>,
}

impl Gate {
    /// Opens the gate: reads the rules, which must be committed.
    pub fn open(repository: Repository, options: GateOptions) -> Result<Self, Error> {
        let mut gate = Self {
            repository,
            options,
            rules: Rules { file: RULES_FILES[0].to_owned(), ..Rules::default() },
            reads: Mutex::default(),
            warnings: Mutex::default(),
        };
        for file in RULES_FILES {
            let committed = gate.committed(file)?;
            if gate.options.mode == Mode::Strict && gate.differs(file)? {
                let what = format!("the rules in `{file}` as they are on disk");
                let reason = "the file differs from the commit, and must be committed".to_owned();
                return Err(Refusal { what, reason, allow: String::new() }.into());
            }
            if let Some(content) = committed {
                let text = String::from_utf8_lossy(&content);
                gate.rules =
                    Rules::parse(file, &text).map_err(|reason| Error::Rules { file: (*file).to_owned(), reason })?;
                break;
            }
        }
        Ok(gate)
    }

    /// What was read so far.
    pub fn reads(&self) -> Vec<Read> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What was let in although no rule allows it, as texts.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Refuses `fromLatest` unless the rules allow it.
    pub fn check_from_latest(&self, image: &str) -> Result<(), Error> {
        let what = format!("`fromLatest` of image `{image}`");
        let reason = "what the base's tag stands for changes without a commit".to_owned();
        self.check(self.rules.from_latest, what, reason, "  native:\n    allowFromLatest: true")
    }

    /// Refuses a branch of a remote repository unless the rules allow it.
    pub fn check_git_branch(&self, url: &str, branch: &str) -> Result<(), Error> {
        let allowed = self.rules.git_branches.all || self.rules.git_branches.some.allow(branch);
        let what = format!("branch `{branch}` of {}", without_credentials(url));
        let reason = "a branch moves without a commit; name a commit or a tag, or allow the branch".to_owned();
        self.check(allowed, what, reason, &format!("  native:\n    allowGitBranches: [{branch}]"))
    }

    /// Refuses a mount of a host directory unless the rules allow it.
    pub fn check_host_mount(&self, path: &str) -> Result<(), Error> {
        let what = format!("the mount of the host's `{path}`");
        let reason = "its content is not of the commit".to_owned();
        self.check(
            self.rules.host_mounts.allow(path),
            what,
            reason,
            &format!("  native:\n    allowHostMounts: [{path}]"),
        )
    }

    /// Refuses the host's network unless the rules allow it.
    pub fn check_host_network(&self, image: &str) -> Result<(), Error> {
        let what = format!("the host's network in image `{image}`");
        let reason = "what answers there is not of the commit".to_owned();
        self.check(self.rules.host_network, what, reason, "  native:\n    allowHostNetwork: true")
    }

    /// Refuses a secret unless the rules allow it.
    pub fn check_secret(&self, source: &SecretSource) -> Result<(), Error> {
        let reason = "its value is not of the commit".to_owned();
        match source {
            SecretSource::Value(_) => Ok(()),
            SecretSource::Env(name) => self.check(
                self.rules.secret_env_variables.allow(name),
                format!("a secret from the variable `{name}`"),
                reason,
                &format!("  secrets:\n    allowEnvVariables: [{name}]"),
            ),
            SecretSource::File(path) => self.check(
                self.rules.secret_files.allow(path),
                format!("a secret from the file `{path}`"),
                reason,
                &format!("  secrets:\n    allowFiles: [\"{path}\"]"),
            ),
        }
    }

    /// The value of a secret. It is never recorded.
    pub fn secret(&self, source: &SecretSource) -> Result<Vec<u8>, Error> {
        self.check_secret(source)?;
        match source {
            SecretSource::Value(value) => Ok(value.clone().into_bytes()),
            SecretSource::Env(name) => {
                self.record(ReadKind::Secret, name);
                let value = self.options.env.get(name).ok_or_else(|| Error::Unset { name: name.clone() })?;
                Ok(value.clone().into_bytes())
            }
            SecretSource::File(path) => {
                self.record(ReadKind::Secret, path);
                let home = self.options.env.get("HOME").map(String::as_str);
                let file = match (path.strip_prefix("~/"), home) {
                    (Some(rest), Some(home)) => Path::new(home).join(rest),
                    (Some(_), None) => return Err(Error::Unset { name: "HOME".to_owned() }),
                    (None, _) => self.options.directory.join(path),
                };
                Ok(fs::read(file)?)
            }
        }
    }

    /// Refuses a base file that is not of the commit, unless the rules allow it.
    pub fn check_base(&self, path: &str) -> Result<(), Error> {
        self.base_place(path).map(|_| ())
    }

    /// The checksum of a base file or directory: of the commit's, or of the one on disk where that is allowed.
    pub fn base_checksum(&self, path: &str) -> Result<Checksum, Error> {
        match self.base_place(path)? {
            BasePlace::Commit(tree_path) => {
                let found = self.repository.checksum(&self.options.tree, &tree_path, &PathFilter::everything())?;
                found.ok_or_else(|| Error::NotFound { path: path.to_owned() })
            }
            BasePlace::Disk(file) => checksum_on_disk(&file),
        }
    }

    /// A base file or directory as a path on disk; one of the commit is written to `into`.
    pub fn materialize_base(&self, path: &str, into: &Path) -> Result<PathBuf, Error> {
        let tree_path = match self.base_place(path)? {
            BasePlace::Disk(file) => return Ok(file),
            BasePlace::Commit(tree_path) => tree_path,
        };
        let tree = &self.options.tree;
        let entry =
            self.repository.entry(tree, &tree_path)?.ok_or_else(|| Error::NotFound { path: path.to_owned() })?;
        if entry.mode != FileMode::Tree {
            fs::write(into, entry.repository.read_blob(&entry.id, BASE_LIMIT)?)?;
            return Ok(into.to_owned());
        }
        fs::create_dir(into)?;
        for file in self.repository.list(tree, &tree_path, &PathFilter::everything())? {
            let name = String::from_utf8_lossy(&file.path).into_owned();
            if !matches!(file.mode, FileMode::Regular | FileMode::Executable) {
                return Err(Error::Invalid {
                    text: format!("{path}/{name}"),
                    reason: "is not a regular file".to_owned(),
                });
            }
            let place = into.join(&name);
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(place, file.repository.read_blob(&file.id, BASE_LIMIT)?)?;
        }
        Ok(into.to_owned())
    }

    fn base_place(&self, path: &str) -> Result<BasePlace, Error> {
        if !path.starts_with('/') {
            let tree_path = self.repository.in_project(path)?;
            if self.repository.entry(&self.options.tree, &tree_path)?.is_some() {
                return Ok(BasePlace::Commit(tree_path));
            }
        }
        let file = self.options.directory.join(path);
        if !file.exists() {
            return Err(Error::NotFound { path: path.to_owned() });
        }
        let what = format!("the base file `{path}`");
        let reason = "it is not in the commit".to_owned();
        let allow = format!("  native:\n    allowBaseFiles: [\"{path}\"]");
        self.check(self.rules.base_files.allow(path), what, reason, &allow)?;
        Ok(BasePlace::Disk(file))
    }

    /// The content of a config file. Like [`FileReader::read`], under the rule for configs.
    pub fn read_config(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.read_as(path, FileClass::Config)
    }

    fn read_as(&self, path: &str, class: FileClass) -> Result<Vec<u8>, Error> {
        let committed = self.committed(path)?;
        if self.options.mode == Mode::Dev || !self.differs(path)? {
            self.record(ReadKind::File, path);
            return committed.ok_or_else(|| Error::NotFound { path: path.to_owned() });
        }
        let (allowed, allow) = match class {
            FileClass::Config => (self.rules.allow_uncommitted_config, "  allowUncommitted: true".to_owned()),
            FileClass::Template => {
                (self.rules.uncommitted_templates.allow(path), format!("  allowUncommittedTemplates: [{path}]"))
            }
            FileClass::Other => (
                self.rules.uncommitted_files.allow(path),
                format!("  goTemplateRendering:\n    allowUncommittedFiles: [{path}]"),
            ),
        };
        let reason = match committed {
            Some(_) => "it differs from the commit".to_owned(),
            None => "it is not committed".to_owned(),
        };
        self.check(allowed, format!("the file `{path}`"), reason, &allow)?;
        self.record(ReadKind::UncommittedFile, path);
        let tree_path = self.repository.in_project(path)?;
        let content = self.repository.working_file(&tree_path, FILE_LIMIT)?;
        content.ok_or_else(|| Error::NotFound { path: path.to_owned() })
    }

    /// The content of a file of the commit; links are followed inside the commit.
    fn committed(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let tree_path = self.repository.in_project(path)?;
        let Some((_, entry)) = self.repository.resolve_symlink_path(&self.options.tree, &tree_path)? else {
            return Ok(None);
        };
        match entry.mode {
            FileMode::Regular | FileMode::Executable => Ok(Some(entry.repository.read_blob(&entry.id, FILE_LIMIT)?)),
            _ => Ok(None),
        }
    }

    /// Whether the working copy differs from the commit. Of a link, the link and what it leads to are compared.
    fn differs(&self, path: &str) -> Result<bool, Error> {
        let tree_path = self.repository.in_project(path)?;
        if self.repository.work_dir().is_none() {
            return Ok(false);
        }
        if self.repository.file_differs(&self.options.tree, &tree_path)? {
            return Ok(true);
        }
        match self.repository.resolve_symlink_path(&self.options.tree, &tree_path)? {
            Some((resolved, _)) if resolved != tree_path => {
                Ok(self.repository.file_differs(&self.options.tree, &resolved)?)
            }
            _ => Ok(false),
        }
    }

    fn check(&self, allowed: bool, what: String, reason: String, allow: &str) -> Result<(), Error> {
        if allowed {
            return Ok(());
        }
        let refusal = Refusal {
            what,
            reason,
            allow: format!("{}:\ngiterminismConfigVersion: 1\nconfig:\n{allow}", self.rules.file),
        };
        if self.options.mode == Mode::Loose {
            let warning = format!("{}: {}", refusal.what, refusal.reason);
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).insert(warning);
            return Ok(());
        }
        Err(refusal.into())
    }

    fn record(&self, kind: ReadKind, name: &str) {
        let read = Read { kind, name: name.to_owned() };
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).insert(read);
    }

    /// Whether files on disk that are not committed may be seen by a look for files.
    fn sees_disk(&self, path: &str) -> bool {
        self.options.mode == Mode::Loose || self.rules.uncommitted_files.allow(path)
    }
}

enum BasePlace {
    Commit(Vec<u8>),
    Disk(PathBuf),
}

fn class(path: &str) -> FileClass {
    if path.starts_with(".stager/") || path.starts_with(".werf/") || path.starts_with(".dappfiles/") {
        return FileClass::Template;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_config = ["stager.", "werf.", "dappfile.", "devspace."].iter().any(|prefix| name.starts_with(prefix));
    if is_config && [".yaml", ".yml"].iter().any(|suffix| name.ends_with(suffix)) {
        FileClass::Config
    } else {
        FileClass::Other
    }
}

impl FileReader for Gate {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        Ok(self.read_as(path, class(path))?)
    }

    fn exists(&self, path: &str) -> Result<bool, ReadError> {
        if self.committed(path).map_err(ReadError::from)?.is_some() {
            return Ok(true);
        }
        let tree_path = self.repository.in_project(path).map_err(Error::from)?;
        let on_disk = || self.repository.file_differs(&self.options.tree, &tree_path);
        match class(path) {
            // A config or template that is only on disk is found, so that reading it says what is wrong.
            FileClass::Config | FileClass::Template if self.options.mode != Mode::Dev => {
                Ok(on_disk().map_err(Error::from)?)
            }
            _ if self.sees_disk(path) => Ok(on_disk().map_err(Error::from)?),
            _ => Ok(false),
        }
    }

    fn is_dir(&self, path: &str) -> Result<bool, ReadError> {
        let tree_path = self.repository.in_project(path).map_err(Error::from)?;
        let entry = self.repository.resolve_symlink_path(&self.options.tree, &tree_path).map_err(Error::from)?;
        if entry.is_some_and(|(_, entry)| entry.mode == FileMode::Tree) {
            return Ok(true);
        }
        Ok(self.sees_disk(path) && self.repository.working_directory_exists(&tree_path).map_err(Error::from)?)
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, ReadError> {
        let invalid = |reason: String| Error::Invalid { text: pattern.to_owned(), reason };
        let filter = PathFilter::new(&[pattern.to_owned()], &[]).map_err(|error| invalid(error.to_string()))?;
        let matcher = globset::GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| invalid(error.kind().to_string()))?
            .compile_matcher();
        let root = self.repository.in_project("").map_err(Error::from)?;
        let listed = self.repository.list(&self.options.tree, &root, &filter).map_err(Error::from)?;
        let mut names: BTreeSet<String> = listed
            .into_iter()
            .filter(|entry| entry.mode != FileMode::Submodule)
            .filter_map(|entry| String::from_utf8(entry.path).ok())
            .filter(|path| matcher.is_match(path))
            .collect();
        if self.options.mode != Mode::Dev && self.repository.work_dir().is_some() {
            let disk = self.repository.working_files(&root, &filter).map_err(Error::from)?;
            let disk = disk.into_iter().filter_map(|path| String::from_utf8(path).ok());
            names.extend(disk.filter(|path| matcher.is_match(path) && self.sees_disk(path)));
        }
        Ok(names.into_iter().collect())
    }

    fn env(&self, name: &str) -> Result<Option<String>, ReadError> {
        let what = format!("the environment variable `{name}`");
        let reason = "its value is not of the commit".to_owned();
        let allow = format!("  goTemplateRendering:\n    allowEnvVariables: [{name}]");
        self.check(self.rules.env_variables.allow(name), what, reason, &allow)?;
        self.record(ReadKind::Variable, name);
        Ok(self.options.env.get(name).cloned())
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => {
                let hint = format!("commit it, or allow it in {}", refusal.allow);
                Self::new(ReadErrorKind::Refused, refusal.to_string()).hint(hint)
            }
            Error::NotFound { path } => Self::not_found(&path),
            Error::Invalid { .. } => Self::new(ReadErrorKind::Invalid, error.to_string()),
            other => Self::new(ReadErrorKind::Failed, other.to_string()),
        }
    }
}

fn checksum_on_disk(path: &Path) -> Result<Checksum, Error> {
    let mut hasher = blake3::Hasher::new();
    if path.is_dir() {
        let mut pending = vec![path.to_owned()];
        let mut files = BTreeSet::new();
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    pending.push(entry.path());
                } else {
                    files.insert(entry.path());
                }
            }
        }
        for file in files {
            let name = file.strip_prefix(path).unwrap_or(&file).as_os_str().as_encoded_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name);
            let mut content = blake3::Hasher::new();
            content.update_reader(fs::File::open(&file)?)?;
            hasher.update(content.finalize().as_bytes());
        }
    } else {
        hasher.update_reader(fs::File::open(path)?)?;
    }
    Ok(hasher.finalize().into())
}

fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or(host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}
