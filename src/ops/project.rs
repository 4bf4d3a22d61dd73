//! A project, opened: its repository, its config at the commit, and what it may read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use stages::filter::PathFilter;
use stages::plan::Plan;
use stages::spec::SecretSource;
use stages::{BlobId, ImageName, ObjectId, Platform};

use super::access::RegistryAccess;
use super::mapped::Mapped;
use super::{Error, includes, logins, unmatched};
use crate::builder::CancelToken;
use crate::config::{
    self, Claim, CommitFacts, ConfigError, DebugSink, Dialect, GitValues, GoSettings, LoadRequest, LoweredConfig,
    ProjectHome, WerfSemantics,
};
use crate::git::{Head, Remotes, Repository, SnapshotOptions};
use crate::giterminism::{self, Gate, GateOptions, Mode, Refusal};
use crate::plan;
use crate::registry::{self, Client, Reference};
use crate::report::{Event, EventSink};
use crate::source::{Diagnostic, FileReader, Place, ReadError};

/// Which project, and under which rules.
#[derive(Debug, Clone)]
pub struct ProjectOptions {
    /// The project directory.
    pub directory: PathBuf,
    /// The config file, relative to it, `..` only at its start; `None` looks for one.
    pub config: Option<String>,
    /// The config's dialect; `None` goes by the file's name.
    pub dialect: Option<Dialect>,
    /// How giterminism is enforced.
    pub mode: Mode,
    /// The one file of giterminism rules, relative to the project directory; `None` looks for them.
    pub giterminism_config: Option<String>,
    /// Patterns of changes that a snapshot of the working tree leaves out.
    pub dev_ignore: Vec<String>,
    /// Takes included files of their newest commits, in place of those of the lock.
    pub allow_includes_update: bool,
    /// What Go templates are told.
    pub templates: TemplateOptions,
    /// Platforms in place of the config's; empty keeps those.
    pub platforms: Vec<Platform>,
    /// The environment that templates and secrets may look into.
    pub env: BTreeMap<String, String>,
    /// Access to registries.
    pub registry: RegistryAccess,
}

/// What the Go templates of werf and dapp are told, and where they are.
#[derive(Debug, Clone, Default)]
pub struct TemplateOptions {
    /// The name of the environment.
    pub environment: String,
    /// The directory of templates, relative to the project directory; `None` is the dialect's own.
    pub directory: Option<String>,
    /// The name of the project, in place of the config's.
    pub project_name: Option<String>,
    /// Seconds since 1970.
    pub now: i64,
    /// Takes what debug functions print.
    pub debug: Option<DebugSink>,
}

/// A project at its commit.
pub struct OpenProject {
    /// The repository.
    pub repository: Repository,
    /// Its HEAD.
    pub head: Head,
    /// The tree that is built: HEAD's, or a snapshot of the working tree.
    pub tree: ObjectId,
    /// Reads the project's files.
    pub gate: Arc<Gate>,
    /// The config.
    pub config: LoweredConfig,
    /// Clones of other repositories.
    pub remotes: Remotes,
    /// Speaks to registries.
    pub registry: Client,
    /// Platforms in place of the config's; empty keeps those.
    platforms: Vec<Platform>,
    mode: Mode,
}

/// A project's files, before its config is read.
pub struct ProjectFiles {
    pub(super) repository: Repository,
    pub(super) head: Head,
    tree: ObjectId,
    pub(super) gate: Arc<Gate>,
    mode: Mode,
}

impl ProjectFiles {
    /// Opens the repository and the gate. `store` takes what a snapshot of the working tree needs.
    pub fn open(options: &ProjectOptions, store: &Path) -> Result<Self, Error> {
        Self::open_as(options, store, &remotes(store), false)
    }

    /// The same; a survey goes on after refusals, to find all of them.
    pub(super) fn open_as(
        options: &ProjectOptions,
        store: &Path,
        remotes: &Remotes,
        survey: bool,
    ) -> Result<Self, Error> {
        let repository = Repository::discover(&options.directory)?;
        check_inside(&repository, options.config.as_deref())?;
        let head = repository.head()?;
        let (repository, tree) = match options.mode {
            Mode::Dev | Mode::LooseDev => {
                let ignore = ignored(&repository, &options.dev_ignore)?;
                let options = SnapshotOptions { store: &store.join("git/dev"), ignore: &ignore, threads: threads() };
                let snapshot = repository.snapshot(&head, options)?;
                (snapshot.repository, snapshot.tree)
            }
            Mode::Strict | Mode::Loose => (repository, head.tree.clone()),
        };
        let gate = Gate::open(
            repository.clone(),
            GateOptions {
                tree: tree.clone(),
                mode: options.mode,
                env: options.env.clone(),
                directory: options.directory.clone(),
                rules: options.giterminism_config.clone(),
                survey,
            },
        )?;
        let gate = gate.with_checksum_cache(store.join("base-checksums-v1"));
        let gate = match &options.config {
            Some(config) => gate.with_config(config),
            None => gate,
        };
        let gate = match &options.templates.directory {
            Some(directory) => gate.with_templates(directory),
            None => gate,
        };
        let included = includes::read(&gate, options, remotes)?;
        let gate = Arc::new(gate.with_included(included));
        Ok(Self { repository, head, tree, gate, mode: options.mode })
    }

    /// What is loaded of it.
    pub fn request<'a>(&self, options: &'a ProjectOptions) -> Result<LoadRequest<'a>, Error> {
        Ok(LoadRequest {
            files: Arc::clone(&self.gate) as Arc<dyn FileReader>,
            config_path: options.config.as_deref(),
            dialect: options.dialect,
            git: GitValues {
                commit: Some(self.head.commit.to_string()),
                branch: self.head.branch.clone(),
                tag: self.repository.tag_at(&self.head.commit)?,
            },
            go: GoSettings {
                env: options.templates.environment.clone(),
                commit: self.commit_facts(options.templates.now),
                templates: options.templates.directory.clone(),
                loose: options.mode.is_loose(),
                now: options.templates.now,
                debug: options.templates.debug.clone(),
            },
            home: ProjectHome {
                origin: self.repository.remote_address("origin"),
                directory: self.repository.directory_name(),
            },
        })
    }

    /// What templates may know of the commit: of HEAD, or of what a commit of the work tree would be.
    fn commit_facts(&self, now: i64) -> CommitFacts {
        let (commit, time, zone) = if self.tree == self.head.tree {
            (self.head.commit.clone(), self.head.time, self.head.zone)
        } else {
            (self.head.snapshot_commit(&self.tree, now), now, 0)
        };
        CommitFacts { hash: commit.to_string(), date_human: date_for_people(time, zone), date_unix: time }
    }

    /// The rendered text of the config. That of werf and dapp is checked first, as their own commands do.
    pub fn render(&self, options: &ProjectOptions) -> Result<String, Error> {
        let request = self.request(options)?;
        let native = config::discover(&request).is_ok_and(|(_, dialect)| dialect == Dialect::Stager);
        if native {
            return Ok(config::render(&request)?);
        }
        let loaded = self.load(options)?;
        Ok(loaded.text.rendered().text.clone())
    }

    /// Loads the config, and puts what it claims to the gate.
    pub fn load(&self, options: &ProjectOptions) -> Result<LoweredConfig, Error> {
        let loaded = self.read(options).map_err(|error| match error {
            Error::Config(error) => Error::Config(Box::new(self.with_refusals(*error))),
            other => other,
        })?;
        let refused = self.refused(&loaded);
        if refused.is_empty() {
            return Ok(loaded);
        }
        let rendered = Some(loaded.text.rendered().text.clone());
        let diagnostics = refused.into_iter().map(|(diagnostic, _)| diagnostic).collect();
        Err(ConfigError { diagnostics, sources: loaded.text.sources(), rendered, claims: Vec::new() }.into())
    }

    /// Puts what a broken config claims to the gate as well.
    fn with_refusals(&self, mut error: ConfigError) -> ConfigError {
        let claims = std::mem::take(&mut error.claims);
        let refused =
            claims.into_iter().filter_map(|(claim, place)| Some(diagnostic(self.check(&claim).err()?, place, None)));
        error.diagnostics = refused.chain(error.diagnostics).collect();
        error
    }

    /// Loads the config, and leaves its claims alone.
    pub(super) fn read(&self, options: &ProjectOptions) -> Result<LoweredConfig, Error> {
        let request = self.request(options)?;
        if self.has_strict_rules(&request)? {
            self.gate.refuse_unread_rules()?;
        }
        let mut loaded = config::load(&request)?;
        if let Some(name) = options.templates.project_name.as_ref().filter(|_| loaded.text.dialect().is_werf()) {
            let parsed = name.parse().map_err(|_| Error::ProjectName { name: name.clone() });
            loaded.project.name = parsed?;
        }
        loaded.warnings.extend(self.gate.unread_rules().into_iter().map(Diagnostic::warning));
        Ok(loaded)
    }

    /// Whether unknown keys in files of rules are errors: those of werf v3, unlike those of v2.
    fn has_strict_rules(&self, request: &LoadRequest<'_>) -> Result<bool, Error> {
        Ok(!self.gate.unread_rules().is_empty() && config::dialect(request)? == Dialect::Werf(WerfSemantics::V3))
    }

    /// The claims that the gate does not grant, each at its place; without a refusal where something else is wrong.
    pub(super) fn refused(&self, loaded: &LoweredConfig) -> Vec<(Diagnostic, Option<Refusal>)> {
        let errors = loaded.claims.iter().filter_map(|(claim, place)| Some((self.check(claim).err()?, place)));
        let (refusals, diagnostics): (Vec<_>, Vec<_>) = errors
            .map(|(error, place)| {
                let refusal = match &error {
                    giterminism::Error::Refused(refusal) => Some(refusal.clone()),
                    _ => None,
                };
                (refusal, diagnostic(error, place.clone(), image_at(loaded, place)))
            })
            .unzip();
        loaded.text.relocate(diagnostics).into_iter().zip(refusals).collect()
    }

    fn check(&self, claim: &Claim) -> Result<(), giterminism::Error> {
        match claim {
            Claim::FromLatest { image, .. } => self.gate.check_from_latest(image),
            // The image named in the file, after a colon, is no part of its path.
            Claim::BaseFile { path } => self.gate.check_base(path.split(':').next().unwrap_or(path)),
            Claim::GitBranch { url, branch } => self.gate.check_git_branch(url, branch),
            Claim::HostMount { path } => self.gate.check_host_mount(path),
            Claim::BuildDirMount { to } => self.gate.check_build_dir_mount(to),
            Claim::ContextFile { path } => self.gate.check_context_file(path),
            Claim::HostNetwork { image } => self.gate.check_host_network(image),
            Claim::SecretVariable { name } => self.gate.check_secret(&SecretSource::Env(name.clone())),
            Claim::SecretValue { id } => self.gate.check_secret_value(id),
            Claim::SecretFile { path } => self.gate.check_secret(&SecretSource::File(path.clone())),
        }
    }
}

/// The changes that a snapshot takes: all but those that match. A pattern without `/` is a name anywhere in the project,
/// any other a path in it; a directory stands for all that is in it.
fn ignored(repository: &Repository, patterns: &[String]) -> Result<PathFilter, Error> {
    let above = String::from_utf8_lossy(repository.prefix()).into_owned();
    let whole = |pattern: &String| {
        let bare = pattern.trim_end_matches('/');
        let anywhere = if bare.contains('/') { "" } else { "**/" };
        let above = if above.is_empty() { String::new() } else { format!("{}/", globset::escape(&above)) };
        format!("{above}{anywhere}{}", bare.trim_start_matches('/'))
    };
    let exclude: Vec<String> = patterns.iter().map(whole).collect();
    PathFilter::new(&[], &exclude).map_err(|error| {
        let bad = patterns.iter().find(|pattern| PathFilter::new(&[], &[whole(pattern)]).is_err());
        Error::DevIgnore { pattern: bad.cloned().unwrap_or_default(), reason: error.to_string() }
    })
}

/// Such as `2024-03-01 12:00:00 +0000 +0000`: Go prints a zone without a name twice.
fn date_for_people(time: i64, zone: i32) -> String {
    let offset = Offset::from_seconds(zone * 60).unwrap_or(Offset::UTC);
    let time = Timestamp::from_second(time).unwrap_or_default();
    time.to_zoned(TimeZone::fixed(offset)).strftime("%Y-%m-%d %H:%M:%S %z %z").to_string()
}

/// Refuses a config that is not in the repository.
fn check_inside(repository: &Repository, config: Option<&str>) -> Result<(), Error> {
    let Some(config) = config else { return Ok(()) };
    let depth = repository.prefix().split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()).count();
    let above = config.split('/').take_while(|segment| *segment == "..").count();
    if above > depth {
        return Err(Error::ConfigOutside { path: config.to_owned() });
    }
    Ok(())
}

/// What lets a config be read, but not be built.
fn refuse_unbuildable(config: &LoweredConfig) -> Result<(), Error> {
    if config.at_build.is_empty() {
        return Ok(());
    }
    Err(with_text(config, config.at_build.clone()))
}

/// What is found out about a config's places behind its reading.
fn unusable(config: &LoweredConfig, problems: Vec<Diagnostic>) -> Error {
    with_text(config, config.text.relocate(problems))
}

fn with_text(config: &LoweredConfig, diagnostics: Vec<Diagnostic>) -> Error {
    let rendered = Some(config.text.rendered().text.clone());
    ConfigError { diagnostics, sources: config.text.sources(), rendered, claims: Vec::new() }.into()
}

/// The image whose document a place is in.
fn image_at<'c>(config: &'c LoweredConfig, place: &Place) -> Option<&'c ImageName> {
    let before = config.places.iter().filter(|(_, start)| start.file == place.file && start.line <= place.line);
    before.max_by_key(|(_, start)| start.line).map(|(name, _)| name)
}

/// A claim that the gate does not grant, where the config makes it.
fn diagnostic(error: giterminism::Error, place: Place, image: Option<&ImageName>) -> Diagnostic {
    let error: ReadError = error.into();
    let mut diagnostic = Diagnostic::of_read(&error).at(place);
    if let Some(image) = image {
        diagnostic = diagnostic.label(format!("in image `{image}`"));
    }
    diagnostic
}

impl OpenProject {
    /// Opens a project and loads its config.
    pub fn open(
        options: &ProjectOptions,
        store: &Path,
        cancel: &CancelToken,
        events: &Arc<dyn EventSink>,
    ) -> Result<Self, Error> {
        let flag = Arc::clone(cancel.flag());
        let remotes = remotes(store).cancelled_by(Arc::new(move || flag.load(std::sync::atomic::Ordering::SeqCst)));
        let files = ProjectFiles::open_as(options, store, &remotes, false)?;
        let config = files.load(options)?;
        refuse_unbuildable(&config)?;
        for warning in &config.warnings {
            let place =
                warning.place.as_ref().map(|place| format!("{}:{}: ", place.file, place.line)).unwrap_or_default();
            events.send(Event::Warning { message: format!("{place}{}", warning.message) });
        }
        for message in files.gate.warnings() {
            events.send(Event::Warning { message });
        }
        let ProjectFiles { repository, head, tree, gate, mode, .. } = files;
        let logins = logins::read(&gate, &config.logins).map_err(|problems| unusable(&config, problems))?;
        let remotes = remotes.with_logins(logins);
        let registry = options.registry.client(cancel, events)?;
        let platforms = options.platforms.clone();
        Ok(Self { repository, head, tree, gate, config, remotes, registry, platforms, mode })
    }

    /// Plans all its images. Those that name another one name it in that repository, or by the project's name.
    pub fn plan(&self, repository: Option<&registry::Repository>) -> Result<Plan, Error> {
        let latest = |reference: &str, platform: &Platform| -> Result<BlobId, registry::Error> {
            let reference: Reference = reference.parse()?;
            Ok(self.registry.image(&reference, platform)?.0.digest)
        };
        let facts = plan::CommitFacts::new(&self.repository, self.tree.clone(), &self.remotes, &self.gate, &latest);
        let mut project = self.config.project.clone();
        project.repository = repository.map(ToString::to_string);
        if !self.platforms.is_empty() {
            project.platforms.clone_from(&self.platforms);
        }
        plan::plan(&project, self.head.commit.clone(), &facts).map_err(|error| {
            let place = self.config.places.get(&error.image).cloned();
            // The place is that of the rendered text until a diagnostic is relocated to the file that people edit.
            let marked = place.map(|place| Diagnostic::error("").at(place));
            let moved = self.config.text.relocate(marked.into_iter().collect());
            let place = moved.into_iter().find_map(|diagnostic| diagnostic.place);
            Error::Plan {
                image: error.image,
                place: place.map(|place| format!("{}:{}: ", place.file, place.line)).unwrap_or_default(),
                source: error.source,
            }
        })
    }

    /// The platforms that the config names for an image, whichever are planned.
    pub(super) fn declared_platforms(&self, image: &ImageName) -> &[Platform] {
        let spec = self.config.project.images.iter().find(|spec| spec.name == *image);
        spec.map(|spec| spec.platforms.as_slice())
            .filter(|platforms| !platforms.is_empty())
            .unwrap_or(&self.config.project.platforms)
    }

    /// Warns of mapped files that are not what is built as the work tree has them, and of patterns that match none.
    pub fn warn_of_mapped(&self, events: &Arc<dyn EventSink>) {
        let mapped = Mapped::of(&self.repository, &self.config.project);
        let differing = mapped.warnings(&self.head, &self.tree, self.mode);
        let unmatched = unmatched::patterns(&self.repository, &self.tree, &self.config.project);
        for message in differing.into_iter().chain(unmatched) {
            events.send(Event::Warning { message });
        }
    }
}

/// Clones of other repositories.
pub(super) fn remotes(store: &Path) -> Remotes {
    Remotes::new(&store.join("git"))
}

pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
