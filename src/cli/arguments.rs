//! Arguments that several commands share. Each flag has an environment variable `STAGER_<FLAG>`.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::BoolishValueParser;
use stages::Platform;

use super::{CommandError, Context};
use crate::config::{DebugSink, Dialect};
use crate::giterminism::Mode;
use crate::ops::{ProjectOptions, RegistriesFile, RegistryAccess, Repositories, TemplateOptions};
use crate::registry::Repository;
use crate::ui::{self, ProgressMode};

/// Which project, and under which rules.
#[derive(Debug, Args)]
pub(super) struct ProjectArguments {
    /// The project directory; by default the current one
    #[arg(long, value_name = "DIR", env = "STAGER_DIR")]
    dir: Option<PathBuf>,

    /// The config file, relative to the project directory; one of werf or dapp, to the current directory
    #[arg(long, value_name = "FILE", env = "STAGER_CONFIG")]
    config: Option<String>,

    /// What the config is written in: stager, werf (its v2 line), werf-v3 or dapp; by default its name tells, and a
    /// werf.yaml whose head has the comment `# stager-dialect: werf-v3`
    #[arg(long, env = "STAGER_DIALECT")]
    dialect: Option<Dialect>,

    /// The name of the environment, which Go templates see as .Env
    #[arg(long, value_name = "NAME", env = "STAGER_ENV")]
    env: Option<String>,

    /// The directory of Go templates, relative to the current directory; by default .werf or .dappfiles of the project
    #[arg(long, value_name = "DIR", env = "STAGER_CONFIG_TEMPLATES_DIR")]
    config_templates_dir: Option<String>,

    /// Print what the debug functions of Go templates say, on standard error
    #[arg(long, env = "STAGER_DEBUG_TEMPLATES", value_parser = BoolishValueParser::new())]
    debug_templates: bool,

    /// Build for these platforms instead of the config's
    #[arg(long, value_name = "OS/ARCH", env = "STAGER_PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,

    /// Read files that are not committed and variables that are not allowed, with a warning for each
    #[arg(long, env = "STAGER_LOOSE_GITERMINISM", value_parser = BoolishValueParser::new())]
    loose_giterminism: bool,

    /// The file of giterminism rules, relative to the project directory
    #[arg(long, value_name = "FILE", env = "STAGER_GITERMINISM_CONFIG")]
    giterminism_config: Option<String>,

    /// Take included files of werf-includes.yaml from the newest commits, not those of the lock
    #[arg(long, env = "STAGER_ALLOW_INCLUDES_UPDATE", value_parser = BoolishValueParser::new())]
    allow_includes_update: bool,

    /// Build the working tree as it is, instead of the commit
    #[arg(long, env = "STAGER_DEV", value_parser = BoolishValueParser::new())]
    dev: bool,

    /// With --dev: leave changes of files that match this pattern out. May be given several times, or separated by commas
    #[arg(long, value_name = "GLOB", env = "STAGER_DEV_IGNORE", value_delimiter = ',')]
    dev_ignore: Vec<String>,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl ProjectArguments {
    pub(super) fn options(self, context: &Context) -> ProjectOptions {
        let twins = Twins::new(context, self.dir.as_deref(), self.config.as_deref(), self.dialect);
        let directory = self.dir.or_else(|| twins.variable("WERF_DIR").map(PathBuf::from)).unwrap_or_default();
        let directory = context.directory.join(directory);
        let config = self.config.or_else(|| twins.variable("WERF_CONFIG"));
        let templates = self.config_templates_dir.or_else(|| twins.variable("WERF_CONFIG_TEMPLATES_DIR"));
        let debug = self.debug_templates || twins.flag("WERF_DEBUG_TEMPLATES");
        let dev = self.dev || twins.flag("WERF_DEV");
        let loose = self.loose_giterminism || twins.flag("WERF_LOOSE_GITERMINISM");
        let update = self.allow_includes_update || twins.flag("WERF_ALLOW_INCLUDES_UPDATE");
        ProjectOptions {
            allow_includes_update: update,
            config: config.map(|config| config_path(context, &directory, config, self.dialect)),
            dialect: self.dialect,
            templates: TemplateOptions {
                environment: self.env.or_else(|| twins.variable("WERF_ENV")).unwrap_or_default(),
                directory: templates.map(|templates| relative_to(&directory, &context.directory.join(templates))),
                project_name: twins.variable("WERF_PROJECT_NAME"),
                now: context.now,
                debug: debug.then(|| DebugSink(Arc::new(|text| ui::print_message(&ui::printable(text, false))))),
            },
            directory,
            mode: match (dev, loose) {
                (true, true) => Mode::LooseDev,
                (true, false) => Mode::Dev,
                (false, true) => Mode::Loose,
                (false, false) => Mode::Strict,
            },
            giterminism_config: self.giterminism_config.or_else(|| twins.variable("WERF_GITERMINISM_CONFIG")),
            dev_ignore: self.dev_ignore.into_iter().chain(twins.variables("WERF_DEV_IGNORE")).collect(),
            platforms: self.platform,
            env: context.env.clone(),
            registry: self.registry.access(context),
        }
    }
}

/// How registries are reached.
#[derive(Debug, Args)]
pub(super) struct RegistryArguments {
    /// Registries to reach without TLS, or with a certificate that nobody vouches for
    #[arg(long, value_name = "HOST", env = "STAGER_INSECURE_REGISTRY", value_delimiter = ',')]
    insecure_registry: Vec<String>,

    /// Mirrors and certificates of registries; by default stager/registries.yaml of the user's configuration
    #[arg(long, value_name = "FILE", env = "STAGER_REGISTRIES_FILE")]
    registries_file: Option<PathBuf>,
}

impl RegistryArguments {
    /// With what the environment says of registries.
    pub(super) fn access(self, context: &Context) -> RegistryAccess {
        let home = context.variable("HOME").map(PathBuf::from);
        let docker_config = context
            .variable("DOCKER_CONFIG")
            .map(|directory| context.directory.join(directory))
            .or_else(|| home.map(|home| home.join(".docker")));
        let proxy = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
            .iter()
            .find_map(|name| context.variable(name))
            .map(|proxy| {
                let none = ["NO_PROXY", "no_proxy"].iter().find_map(|name| context.variable(name)).unwrap_or_default();
                (proxy.to_owned(), none.to_owned())
            });
        RegistryAccess {
            docker_config,
            insecure: self.insecure_registry,
            credentials: context.registry_auth.clone(),
            registries: match self.registries_file {
                Some(file) => RegistriesFile::Named(context.directory.join(file)),
                None => context
                    .config_home()
                    .map_or(RegistriesFile::None, |home| RegistriesFile::Usual(home.join("stager/registries.yaml"))),
            },
            docker_certificates: Some(PathBuf::from("/etc/docker/certs.d")),
            proxy,
        }
    }
}

/// The variables of werf that stand in for flags: they hold for a project that is not written in another dialect.
struct Twins<'c> {
    context: &'c Context,
    hold: bool,
}

impl<'c> Twins<'c> {
    fn new(context: &'c Context, dir: Option<&Path>, config: Option<&str>, dialect: Option<Dialect>) -> Self {
        let named = dialect.or_else(|| config.and_then(Dialect::of_file)).map(Dialect::is_werf);
        let found = || {
            let directory = dir.map_or_else(|| context.directory.clone(), |dir| context.directory.join(dir));
            !["stager.yaml", "stager.yml"].iter().any(|name| directory.join(name).exists())
        };
        Self { context, hold: named.unwrap_or_else(found) }
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.context.variable(name).filter(|_| self.hold).map(str::to_owned)
    }

    /// Those of a flag that may be given several times, which end in `_` and anything.
    fn variables(&self, name: &str) -> Vec<String> {
        let is_of =
            |variable: &str| variable.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        let set = self.context.env.iter().filter(|(variable, value)| self.hold && is_of(variable) && !value.is_empty());
        set.map(|(_, value)| value.clone()).collect()
    }

    fn flag(&self, name: &str) -> bool {
        let value = self.variable(name).map(|value| value.to_lowercase());
        value.is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no" | "n" | "off" | "f"))
    }
}

/// A config file relative to the project directory. As in the programs themselves, those of werf and dapp are given
/// relative to the current directory.
fn config_path(context: &Context, directory: &Path, config: String, dialect: Option<Dialect>) -> String {
    match dialect.or_else(|| Dialect::of_file(&config)) {
        Some(Dialect::Werf(_) | Dialect::Dapp) => relative_to(directory, &context.directory.join(config)),
        _ => config,
    }
}

/// A path relative to a directory, without looking at the disk: `..` only at its start.
fn relative_to(directory: &Path, path: &Path) -> String {
    let (directory, path) = (clean(directory), clean(path));
    let common = directory.iter().zip(&path).take_while(|(left, right)| left == right).count();
    let up = directory.iter().skip(common).map(|_| "..".to_owned());
    up.chain(path.iter().skip(common).cloned()).collect::<Vec<_>>().join("/")
}

fn clean(path: &Path) -> Vec<String> {
    let mut segments = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => segments.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(segments.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    segments
}

/// Stage storages in registries.
#[derive(Debug, Args)]
pub(super) struct RepositoryArguments {
    #[command(flatten)]
    main: MainRepository,

    /// Take stages from this repository as well, and copy them to --repo. May be given several times, or separated by commas
    #[arg(long, value_name = "REPO", env = "STAGER_SECONDARY_REPO", value_delimiter = ',')]
    secondary_repo: Vec<Repository>,

    /// Ask this repository first, and fill it behind; failures are warnings. May be given several times, or separated by commas
    #[arg(long, value_name = "REPO", env = "STAGER_CACHE_REPO", value_delimiter = ',')]
    cache_repo: Vec<Repository>,

    /// Publish finished images to this repository instead of --repo
    #[arg(long, value_name = "REPO", env = "STAGER_FINAL_REPO", requires = "repo")]
    final_repo: Option<Repository>,
}

/// The main stage storage.
#[derive(Debug, Args)]
pub(super) struct MainRepository {
    /// The repository that keeps the team's stages: they are taken from it, and published to it
    #[arg(long, value_name = "REPO", env = "STAGER_REPO")]
    pub(super) repo: Option<Repository>,
}

impl RepositoryArguments {
    pub(super) fn options(self) -> Repositories {
        Repositories {
            main: self.main.repo,
            secondary: self.secondary_repo,
            cache: self.cache_repo,
            published: self.final_repo,
        }
    }
}

/// How progress is shown.
#[derive(Debug, Args)]
pub(super) struct ProgressArguments {
    /// How progress is shown, on standard error
    #[arg(long, value_enum, env = "STAGER_PROGRESS", default_value = "auto")]
    progress: ProgressArgument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ProgressArgument {
    /// Plain, with a live line on a terminal
    Auto,
    /// Lines of text
    Plain,
    /// One JSON object for each event
    Json,
    /// Warnings only
    Quiet,
}

impl ProgressArguments {
    pub(super) fn mode(&self, context: &Context) -> ProgressMode {
        match (self.progress, context.columns) {
            (ProgressArgument::Auto, Some(columns)) => ProgressMode::Live { columns },
            (ProgressArgument::Auto, None) | (ProgressArgument::Plain, _) => ProgressMode::Plain,
            (ProgressArgument::Json, _) => ProgressMode::Json,
            (ProgressArgument::Quiet, _) => ProgressMode::Quiet,
        }
    }
}

/// Writes a report where `--report` says.
pub(super) fn write_file(context: &Context, path: &std::path::Path, text: &str) -> Result<(), CommandError> {
    fs_err::write(context.directory.join(path), text)
        .map_err(|error| CommandError::usage("cannot write the report", &error))
}
