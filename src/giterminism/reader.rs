//! Project files through the gate: config, templates and what they read.

use std::collections::BTreeMap;
use std::sync::Arc;

use globset::GlobBuilder;
use stages::filter::PathFilter;

use super::error::{Error, Refusal, RefusalKind};
use super::gate::{Gate, Mode, ReadKind};
use super::patterns::Paths;
use super::rules::Rules;
use crate::git::{FileMode, GitError};
use crate::source::{FileReader, ReadError, ReadErrorKind};

/// Which rule lets an uncommitted file in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileClass {
    /// The config itself: `config.allowUncommitted`.
    Config,
    /// A template of the config: `config.allowUncommittedTemplates`.
    Template,
    /// A file that a template reads: `config.goTemplateRendering.allowUncommittedFiles`.
    File,
    /// A Dockerfile: `config.dockerfile.allowUncommitted`.
    Dockerfile,
    /// An ignore file of a Dockerfile's context: `config.dockerfile.allowUncommittedDockerignoreFiles`.
    Dockerignore,
    /// A file of rules, which nothing lets in.
    Rules,
}

/// Files larger than this are not read into memory.
const LIMIT: u64 = 64 << 20;

impl FileClass {
    fn rule(self) -> &'static str {
        match self {
            Self::Config => "config.allowUncommitted",
            Self::Template => "config.allowUncommittedTemplates",
            Self::File => "config.goTemplateRendering.allowUncommittedFiles",
            Self::Dockerfile => "config.dockerfile.allowUncommitted",
            Self::Dockerignore => "config.dockerfile.allowUncommittedDockerignoreFiles",
            Self::Rules => "",
        }
    }

    fn paths(self, rules: &Rules) -> Option<&Paths> {
        match self {
            Self::Template => Some(&rules.config.allow_uncommitted_templates),
            Self::File => Some(&rules.config.go_template_rendering.allow_uncommitted_files),
            Self::Dockerfile => Some(&rules.config.dockerfile.allow_uncommitted),
            Self::Dockerignore => Some(&rules.config.dockerfile.allow_uncommitted_dockerignore_files),
            Self::Config | Self::Rules => None,
        }
    }
}

impl Gate {
    /// Reads a file of a class; `None` if there is none. The path is relative to the project directory.
    pub fn read_file(&self, class: FileClass, path: &str) -> Result<Option<Arc<[u8]>>, Error> {
        if let Some(known) = self.state().files.get(path) {
            return Ok(known.clone());
        }
        check_path(path)?;
        let (kind, content) = self.look(class, path)?;
        self.note(kind, path, content.as_deref());
        let content = content.map(Arc::from);
        self.state().files.insert(path.to_owned(), content.clone());
        Ok(content)
    }

    /// A file of rules as the commit has it, which must be how the disk has it.
    pub(super) fn rules_file(&self, path: &str) -> Result<Option<Arc<[u8]>>, Error> {
        self.read_file(FileClass::Rules, path)
    }

    fn look(&self, class: FileClass, path: &str) -> Result<(ReadKind, Option<Vec<u8>>), Error> {
        let committed = || self.committed(path);
        if self.options.mode == Mode::Dev || self.repository.work_dir().is_none() {
            return Ok((ReadKind::Committed, committed()?));
        }
        if self.options.mode != Mode::Loose && self.lets_in(class, path) {
            let content = self.on_disk(path)?;
            if content.is_some() && content != committed()? {
                self.check_link_target(class, path)?;
            }
            return Ok((ReadKind::Uncommitted, content));
        }
        let (committed, on_disk) = (committed()?, self.on_disk(path)?);
        if committed == on_disk {
            return Ok((ReadKind::Committed, committed));
        }
        let kind = match (&committed, &on_disk) {
            (Some(_), Some(_)) if !self.differs(path)? => return Ok((ReadKind::Committed, committed)),
            (Some(_), Some(_)) => RefusalKind::Modified,
            (Some(_), None) => RefusalKind::Deleted,
            // What git ignores does not exist for a build.
            (None, _) if self.options.mode != Mode::Loose && self.is_ignored(path)? => {
                return Ok((ReadKind::Committed, None));
            }
            (None, _) => RefusalKind::Untracked,
        };
        self.refuse(kind, class.rule(), vec![path.to_owned()])?;
        Ok((ReadKind::Uncommitted, on_disk))
    }

    fn committed(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let repository = &self.repository;
        let full = repository.in_project(path)?;
        match repository.resolve_symlink_path(&self.options.tree, &full)? {
            Some((_, entry)) if matches!(entry.mode, FileMode::Regular | FileMode::Executable) => {
                Ok(Some(entry.repository.read_blob(&entry.id, LIMIT)?))
            }
            _ => Ok(None),
        }
    }

    fn on_disk(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let repository = &self.repository;
        match repository.working_file(repository.in_project(path)?, LIMIT) {
            Err(GitError::NotA { .. }) => Ok(None),
            result => Ok(result?),
        }
    }

    /// Whether a file differs after git's conversions of line ends, which the bytes alone do not say.
    fn differs(&self, path: &str) -> Result<bool, Error> {
        let repository = &self.repository;
        let full = repository.in_project(path)?;
        let resolved = repository.resolve_symlink_path(&self.options.tree, &full)?.map_or(full, |(path, _)| path);
        Ok(repository.file_differs(&self.options.tree, resolved)?)
    }

    fn is_ignored(&self, path: &str) -> Result<bool, Error> {
        let repository = &self.repository;
        Ok(repository.is_ignored(repository.in_project(path)?)?)
    }

    /// Whether an uncommitted file at the path may be read.
    fn lets_in(&self, class: FileClass, path: &str) -> bool {
        match class {
            FileClass::Rules => false,
            FileClass::Config => self.any(|rules| rules.config.allow_uncommitted),
            _ => self.any(|rules| class.paths(rules).is_some_and(|paths| paths.allow(path))),
        }
    }

    /// That a link is let in does not let in where it leads.
    fn check_link_target(&self, class: FileClass, path: &str) -> Result<(), Error> {
        let repository = &self.repository;
        let Some(target) = repository.working_target(repository.in_project(path)?)? else { return Ok(()) };
        let prefix = [repository.prefix(), b"/"].concat();
        let inside = if prefix.len() == 1 { Some(target.as_slice()) } else { target.strip_prefix(prefix.as_slice()) };
        let inside = inside.map(|inside| String::from_utf8_lossy(inside).into_owned());
        if inside.as_deref().is_some_and(|inside| inside == path || self.lets_in(class, inside)) {
            return Ok(());
        }
        let name = inside.unwrap_or_else(|| String::from_utf8_lossy(&target).into_owned());
        self.refuse(RefusalKind::LinkTarget, class.rule(), vec![name])
    }

    /// The files of the project that match, as the commit has them, and those on disk that the rules let in.
    ///
    /// In [`Mode::Strict`], files on disk that match but are neither committed nor ignored, and committed ones that are
    /// gone, are refused, all at once.
    pub fn find(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let bad = |reason: String| Error::BadPattern { pattern: pattern.to_owned(), reason };
        let filter = PathFilter::new(&[pattern.to_owned()], &[]).map_err(|error| bad(error.to_string()))?;
        let exact = GlobBuilder::new(pattern).literal_separator(true).build();
        let exact = exact.map_err(|error| bad(error.kind().to_string()))?.compile_matcher();
        let wanted = |path: &[u8]| {
            let path = std::str::from_utf8(path).ok()?;
            exact.is_match(path).then(|| path.to_owned())
        };
        let repository = &self.repository;
        let prefix = repository.prefix();
        let committed = repository.list(&self.options.tree, prefix, &filter)?;
        let committed: Vec<String> = committed.iter().filter_map(|entry| wanted(&entry.path)).collect();
        let found = if self.options.mode == Mode::Dev || repository.work_dir().is_none() {
            committed
        } else {
            let on_disk = repository.working_files(prefix, &filter)?;
            let on_disk: Vec<String> = on_disk.iter().filter_map(|path| wanted(path)).collect();
            self.reconcile(committed, on_disk)?
        };
        self.note(ReadKind::Glob, pattern, Some(found.join("\n").as_bytes()));
        Ok(found)
    }

    /// Both lists are sorted; so is the result.
    fn reconcile(&self, committed: Vec<String>, on_disk: Vec<String>) -> Result<Vec<String>, Error> {
        let loose = self.options.mode == Mode::Loose;
        let mut found = Vec::new();
        let mut untracked: Vec<(FileClass, String)> = Vec::new();
        let mut deleted: Vec<(FileClass, String)> = Vec::new();
        for path in &committed {
            let class = self.class_of(path);
            if on_disk.binary_search(path).is_ok() {
                found.push(path.clone());
            } else if loose || !self.lets_in(class, path) {
                deleted.push((class, path.clone()));
            }
        }
        for path in on_disk {
            if committed.binary_search(&path).is_ok() {
                continue;
            }
            let class = self.class_of(&path);
            if self.lets_in(class, &path) {
                found.push(path);
            } else if !self.is_ignored(&path)? {
                if loose {
                    found.push(path.clone());
                }
                untracked.push((class, path));
            }
        }
        let mut by_rule = BTreeMap::<(RefusalKind, &'static str), Vec<String>>::new();
        let untracked = untracked.into_iter().map(|(class, path)| (RefusalKind::Untracked, class, path));
        for (kind, class, path) in
            untracked.chain(deleted.into_iter().map(|(class, path)| (RefusalKind::Deleted, class, path)))
        {
            by_rule.entry((kind, class.rule())).or_default().push(path);
        }
        self.refuse_all(by_rule.into_iter().map(|((kind, rule), names)| Refusal::new(kind, rule, names)).collect())?;
        found.sort_unstable();
        Ok(found)
    }

    fn class_of(&self, path: &str) -> FileClass {
        if super::rules::RULES_FILES.contains(&path) {
            FileClass::Rules
        } else if self.config.as_deref() == Some(path) || is_config(path) {
            FileClass::Config
        } else if [".stager/", ".werf/", ".dappfiles/"].iter().any(|library| path.starts_with(library)) {
            FileClass::Template
        } else {
            FileClass::File
        }
    }

    fn exists_as(&self, path: &str, directory: bool) -> Result<bool, Error> {
        check_path(path)?;
        if !directory {
            return Ok(self.read_file(self.class_of(path), path)?.is_some());
        }
        let repository = &self.repository;
        let full = repository.in_project(path)?;
        if self.options.mode == Mode::Loose && repository.work_dir().is_some() {
            return Ok(repository.working_directory_exists(full)?);
        }
        let committed = repository.resolve_symlink_path(&self.options.tree, &full)?;
        if committed.is_some_and(|(_, entry)| matches!(entry.mode, FileMode::Tree | FileMode::Submodule)) {
            return Ok(true);
        }
        // A directory of which something is let in from the disk is there too.
        let within = |rules: &Rules| {
            let filter = FileClass::File.paths(rules).and_then(Paths::filter);
            filter.is_some_and(|filter| filter.may_contain(path))
        };
        let strict = self.options.mode == Mode::Strict && repository.work_dir().is_some();
        Ok(strict && self.any(within) && repository.working_directory_exists(full)?)
    }
}

impl FileReader for Gate {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let content = self.read_file(self.class_of(path), path)?;
        content.map(|content| content.to_vec()).ok_or_else(|| ReadError::not_found(path))
    }

    fn exists(&self, path: &str) -> Result<bool, ReadError> {
        Ok(self.exists_as(path, false)?)
    }

    fn is_dir(&self, path: &str) -> Result<bool, ReadError> {
        Ok(self.exists_as(path, true)?)
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, ReadError> {
        Ok(self.find(pattern)?)
    }

    fn env(&self, name: &str) -> Result<Option<String>, ReadError> {
        Ok(self.variable(name)?)
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Refused(_) => ReadErrorKind::Refused,
            Error::NotFound { .. } => ReadErrorKind::NotFound,
            Error::BadPath { .. } | Error::BadPattern { .. } => ReadErrorKind::Invalid,
            _ => ReadErrorKind::Failed,
        };
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            message.push_str(": ");
            message.push_str(&source.to_string());
            cause = source.source();
        }
        let mut read = Self::new(kind, message);
        read.code = error.code().or(read.code);
        match error {
            Error::Refused(refusal) if refusal.allow.is_empty() => {
                read.hint("commit the file, or take the change back")
            }
            Error::Refused(refusal) => read.hint(refusal.remedy()),
            _ => read,
        }
    }
}

/// The names under which configs are found.
fn is_config(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
    matches!(stem, Some("stager" | "werf" | "dappfile" | "devspace"))
}

fn check_path(path: &str) -> Result<(), Error> {
    let clean = !path.is_empty()
        && !path.starts_with('/')
        && !path.contains('\0')
        && path.split('/').all(|segment| segment != "..");
    if clean { Ok(()) } else { Err(Error::BadPath { path: path.to_owned() }) }
}
