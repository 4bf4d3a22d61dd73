//! Arguments that several commands share. Each flag has an environment variable `STAGER_<FLAG>`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use stages::Platform;

use super::{CommandError, Context};
use crate::config::Dialect;
use crate::giterminism::Mode;
use crate::ops::{ProjectOptions, RegistryAccess};
use crate::ui::ProgressMode;

/// Which project, and under which rules.
#[derive(Debug, Args)]
pub(super) struct ProjectArguments {
    /// The project directory
    #[arg(long, value_name = "DIR", env = "STAGER_DIR", default_value = ".")]
    dir: PathBuf,

    /// The config file, relative to the project directory
    #[arg(long, value_name = "FILE", env = "STAGER_CONFIG")]
    config: Option<String>,

    /// What the config is written in; by default its name tells
    #[arg(long, env = "STAGER_DIALECT")]
    dialect: Option<Dialect>,

    /// Build for these platforms instead of the config's
    #[arg(long, value_name = "OS/ARCH", env = "STAGER_PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,

    /// Read files that are not committed and variables that are not allowed, with a warning for each
    #[arg(long, env = "STAGER_LOOSE_GITERMINISM", value_parser = BoolishValueParser::new())]
    loose_giterminism: bool,

    /// The file of giterminism rules, relative to the project directory
    #[arg(long, value_name = "FILE", env = "STAGER_GITERMINISM_CONFIG")]
    giterminism_config: Option<String>,

    /// Build the working tree as it is, instead of the commit
    #[arg(long, env = "STAGER_DEV", value_parser = BoolishValueParser::new())]
    dev: bool,

    /// With --dev: leave changes of files that match this pattern out. May be given several times, or separated by commas
    #[arg(long, value_name = "GLOB", env = "STAGER_DEV_IGNORE", value_delimiter = ',')]
    dev_ignore: Vec<String>,

    /// Registries to reach without TLS, or with a certificate that nobody vouches for
    #[arg(long, value_name = "HOST", env = "STAGER_INSECURE_REGISTRY", value_delimiter = ',')]
    insecure_registry: Vec<String>,
}

impl ProjectArguments {
    pub(super) fn options(self, context: &Context) -> ProjectOptions {
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
        ProjectOptions {
            directory: context.directory.join(self.dir),
            config: self.config,
            dialect: self.dialect,
            mode: match (self.dev, self.loose_giterminism) {
                (true, true) => Mode::LooseDev,
                (true, false) => Mode::Dev,
                (false, true) => Mode::Loose,
                (false, false) => Mode::Strict,
            },
            giterminism_config: self.giterminism_config,
            dev_ignore: self.dev_ignore,
            platforms: self.platform,
            env: context.env.clone(),
            registry: RegistryAccess { docker_config, insecure: self.insecure_registry, proxy },
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
