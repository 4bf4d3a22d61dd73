//! Project files through the gate: config, templates and what they read.

use std::sync::Arc;

use super::compare::Location;
use super::error::{ALLOWED_ON_DISK, Error, IN_COMMIT, ON_DISK, Refusal, RefusalKind};
use super::gate::{Gate, Mode, ReadKind};
use super::patterns::{Paths, clean};
use super::rules::{RULES_FILES, Rules};
use crate::config::{INCLUDES_FILE, INCLUDES_LOCK};
use crate::git::{TrailEnd, is_lfs_pointer};
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
    /// A file of rules, or of includes, which nothing lets in.
    Rules,
}

/// Files larger than this are not read into memory.
pub(super) const LIMIT: u64 = 64 << 20;

impl FileClass {
    pub(super) fn rule(self) -> &'static str {
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
            Self::Template => Some(&rules.templates),
            Self::File => Some(&rules.rendering.files),
            Self::Dockerfile => Some(&rules.dockerfile.dockerfiles),
            Self::Dockerignore => Some(&rules.dockerfile.dockerignores),
            Self::Config | Self::Rules => None,
        }
    }
}

impl Gate {
    /// Reads a file of a class; `None` if there is none. The path is relative to the project directory.
    pub fn read_file(&self, class: FileClass, path: &str) -> Result<Option<Arc<[u8]>>, Error> {
        let location = self.locate(path)?;
        if let Some(known) = self.state().files.get(&location.shown) {
            return Ok(known.clone());
        }
        let (kind, content) = self.look(class, &location)?;
        self.note(kind, &location.shown, content.as_deref());
        let content = content.map(Arc::from);
        self.state().files.insert(location.shown, content.clone());
        Ok(content)
    }

    fn look(&self, class: FileClass, location: &Location) -> Result<(ReadKind, Option<Vec<u8>>), Error> {
        let mode = self.options.mode;
        let has_disk = self.repository.work_dir().is_some();
        if has_disk && !mode.is_loose() && self.lets_in(class, &location.shown) {
            return Ok((ReadKind::Uncommitted, self.let_in(class, location)?));
        }
        if !has_disk || mode == Mode::Dev {
            let committed = self.committed(location)?;
            if committed.as_deref().is_some_and(is_lfs_pointer) {
                self.refuse(RefusalKind::LfsPointer, class.rule(), vec![location.shown.clone()])?;
            }
            return Ok((ReadKind::Committed, committed));
        }
        self.look_at_both(class, location)
    }

    fn look_at_both(&self, class: FileClass, location: &Location) -> Result<(ReadKind, Option<Vec<u8>>), Error> {
        let loose = self.options.mode.is_loose();
        let compared = self.compare(location)?;
        let Some((kind, place)) = &compared.difference else {
            // What git ignores does not exist for a build.
            let disk = loose && compared.ignored;
            let content = if disk { self.on_disk(location)? } else { compared.committed };
            return Ok((if disk { ReadKind::Uncommitted } else { ReadKind::Committed }, content));
        };
        let refusal = Refusal::through(*kind, class.rule(), self.shown(place), &location.shown);
        self.refuse_all(vec![refusal])?;
        let keeps_pointer = compared.committed.as_deref().is_some_and(is_lfs_pointer);
        let content = match compared.committed {
            Some(committed) if !loose && !keeps_pointer => Some(committed),
            _ => self.on_disk(location)?,
        };
        check_pointer(location, content.as_deref())?;
        Ok((ReadKind::Uncommitted, content))
    }

    /// A file that the rules let in: as it is on disk, whatever the commit has.
    fn let_in(&self, class: FileClass, location: &Location) -> Result<Option<Vec<u8>>, Error> {
        let content = self.on_disk(location)?;
        if content.is_some() {
            self.check_link_targets(class, location)?;
        }
        check_pointer(location, content.as_deref())?;
        Ok(content)
    }

    /// That a link is let in does not let in where it leads, unless the commit has the same there.
    fn check_link_targets(&self, class: FileClass, location: &Location) -> Result<(), Error> {
        for hop in self.repository.trail_on_disk(&location.full)?.hops {
            let target = self.shown(&hop.leads_to);
            if !self.lets_in(class, &target) && self.changed(&hop.leads_to)?.is_some() {
                self.refuse_all(vec![Refusal::through(
                    RefusalKind::LinkTarget,
                    class.rule(),
                    target,
                    &location.shown,
                )])?;
            }
        }
        Ok(())
    }

    /// Whether an uncommitted file at the path may be read.
    pub(super) fn lets_in(&self, class: FileClass, path: &str) -> bool {
        match class {
            FileClass::Rules => false,
            FileClass::Config => self.any(|rules| rules.config),
            _ => self.any(|rules| class.paths(rules).is_some_and(|paths| paths.allow(path))),
        }
    }

    /// Whether the rules let any file in.
    pub(super) fn may_let_in(&self) -> bool {
        self.any(|rules| rules.config || !rules.templates.is_empty() || !rules.rendering.files.is_empty())
    }

    pub(super) fn class_of(&self, path: &str) -> FileClass {
        let within = |directory: &str| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        let templates = self.templates.as_deref();
        if RULES_FILES.contains(&path)
            || [INCLUDES_FILE, INCLUDES_LOCK].contains(&path)
            || self.options.rules.as_deref() == Some(path)
        {
            FileClass::Rules
        } else if self.config.as_deref() == Some(path) || is_config(path) {
            FileClass::Config
        } else if templates.is_some_and(within) || [".stager", ".werf", ".dappfiles"].into_iter().any(within) {
            FileClass::Template
        } else {
            FileClass::File
        }
    }

    fn directory_exists(&self, path: &str) -> Result<bool, Error> {
        let location = self.locate(path)?;
        let is_directory = |end: &TrailEnd| matches!(end, TrailEnd::Directory(_));
        let has_disk = self.repository.work_dir().is_some();
        let on_disk = || Ok::<_, Error>(has_disk && is_directory(&self.repository.trail_on_disk(&location.full)?.end));
        if self.options.mode.is_loose() && has_disk {
            return on_disk();
        }
        let trail = self.repository.trail(&self.options.tree, &location.full)?;
        if is_directory(&trail.end) {
            return Ok(true);
        }
        if !on_disk()? {
            return Ok(false);
        }
        // A directory of which something is let in from the disk is there; one of which something should be committed
        // is nothing to be guessed about.
        let within = |rules: &Rules| rules.rendering.files.may_contain(&location.shown);
        if self.any(within) {
            return Ok(true);
        }
        let inside = format!("{}/**", globset::escape(&location.shown));
        Ok(self.options.mode == Mode::Strict && !self.find(&inside)?.is_empty())
    }
}

impl FileReader for Gate {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let class = self.class_of(&clean(path));
        match self.read_file(class, path)? {
            Some(content) => Ok(content.to_vec()),
            None => match self.read_included(path)? {
                Some(content) => Ok(content),
                None => Err(self.missing(class, path)?.into()),
            },
        }
    }

    fn exists(&self, path: &str) -> Result<bool, ReadError> {
        Ok(self.read_file(self.class_of(&clean(path)), path)?.is_some() || self.has_included(path))
    }

    fn is_dir(&self, path: &str) -> Result<bool, ReadError> {
        Ok(self.directory_exists(path)? || self.has_included_below(path))
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, ReadError> {
        Ok(joined(self.find(pattern)?, self.find_included(pattern)?))
    }

    fn included(&self, directory: &str) -> Result<Vec<String>, ReadError> {
        Ok(self.included_below(directory)?)
    }

    fn glob_within(&self, pattern: &str) -> Result<Vec<String>, ReadError> {
        let mut included = self.find_included(pattern)?;
        included.extend(self.find_included(&format!("{pattern}/**"))?);
        Ok(joined(self.find_within(pattern)?, included))
    }

    fn env(&self, name: &str) -> Result<Option<String>, ReadError> {
        Ok(self.variable(name)?)
    }
}

impl Gate {
    /// Says where a file is missing.
    fn missing(&self, class: FileClass, path: &str) -> Result<Error, Error> {
        let location = self.locate(path)?;
        let has_disk = self.repository.work_dir().is_some();
        let place = match self.options.mode {
            _ if !has_disk => IN_COMMIT,
            Mode::Loose | Mode::LooseDev => ON_DISK,
            Mode::Strict | Mode::Dev if self.lets_in(class, &location.shown) => ALLOWED_ON_DISK,
            Mode::Strict | Mode::Dev => self.compare(&location)?.missing_place(),
        };
        Ok(Error::NotFound { path: location.shown, place })
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Refused(_) | Error::LfsPointer { .. } => ReadErrorKind::Refused,
            Error::NotFound { .. } | Error::Outside { .. } => ReadErrorKind::NotFound,
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
        match error.remedy() {
            Some(remedy) => read.hint(remedy),
            None => read,
        }
    }
}

/// The paths of both, each once.
fn joined(mut own: Vec<String>, included: Vec<String>) -> Vec<String> {
    if !included.is_empty() {
        own.extend(included);
        own.sort_unstable();
        own.dedup();
    }
    own
}

fn check_pointer(location: &Location, content: Option<&[u8]>) -> Result<(), Error> {
    if content.is_some_and(is_lfs_pointer) {
        return Err(Error::LfsPointer { path: location.shown.clone(), place: ON_DISK });
    }
    Ok(())
}

/// The names under which configs are found.
fn is_config(path: &str) -> bool {
    let stem = path.strip_suffix(".yaml").or_else(|| path.strip_suffix(".yml"));
    matches!(stem, Some("stager" | "werf" | "dappfile" | "devspace"))
}
