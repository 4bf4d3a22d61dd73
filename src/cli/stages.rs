//! `stager stages`.

mod copy;
mod ls;
mod show;

use std::sync::Arc;

use stages::ImageName;

use super::arguments::RegistryArguments;
use super::{CommandError, Context, interrupt};
use crate::builder::CancelToken;
use crate::ops::StageStorage;
use crate::registry::Repository;
use crate::report::EventSink;
use crate::ui::{Progress, ProgressMode};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List stages: those of this machine, the newest first, or those of a repository
    Ls(ls::Arguments),
    /// Show all that is recorded of a stage
    Show(show::Arguments),
    /// Copy stages with their records from one repository to another; what is there is skipped
    Copy(Box<copy::Arguments>),
}

/// Where stages are looked at.
#[derive(Debug, clap::Args)]
struct StorageArguments {
    /// Look into this repository instead of the store of this machine
    #[arg(long, value_name = "REPO", env = "STAGER_REPO")]
    repo: Option<Repository>,

    #[command(flatten)]
    registry: RegistryArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Ls(arguments) => ls::run(context, arguments),
        Command::Show(arguments) => show::run(context, arguments),
        Command::Copy(arguments) => copy::run(context, *arguments),
    }
}

impl StorageArguments {
    fn storage(self, context: &Context) -> Result<StageStorage, CommandError> {
        Ok(match self.repo {
            Some(repository) => StageStorage::Remote { repository, access: self.registry.access(context) },
            None => StageStorage::Local { store: context.stager_home()?, user: context.user },
        })
    }
}

/// Works with warnings shown, and Ctrl-C heard.
fn quietly<T>(
    context: &Context,
    work: impl FnOnce(&Arc<dyn EventSink>, &CancelToken) -> Result<T, crate::ops::Error>,
) -> Result<T, CommandError> {
    let cancel = interrupt::token()?;
    let progress = Progress::start(ProgressMode::Quiet, context.colours);
    let events: Arc<dyn EventSink> = Arc::new(progress.sink());
    Ok(work(&events, &cancel)?)
}

fn image_name(image: &ImageName) -> &str {
    if image.as_str().is_empty() { "~" } else { image.as_str() }
}

/// Seconds since 1970 as people read them.
fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
}
