//! `stager publish-index`.

use std::fmt::Write;
use std::sync::Arc;

use stages::ImageName;

use super::arguments::{ProgressArguments, ProjectArguments};
use super::{CommandError, Context, interrupt};
use crate::ops::{self, PublishIndexOptions, Repositories};
use crate::registry::Repository;
use crate::report::EventSink;
use crate::ui::{self, Progress, ProgressMode};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Images to publish: names or globs, `!glob` leaves some out; all images by default
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    project: ProjectArguments,

    /// The repository that the stages of all platforms have been published to
    #[arg(long, value_name = "REPO", env = "STAGER_REPO")]
    repo: Repository,

    /// Publish finished images to this repository instead of --repo
    #[arg(long, value_name = "REPO", env = "STAGER_FINAL_REPO")]
    final_repo: Option<Repository>,

    #[command(flatten)]
    progress: ProgressArguments,
}

pub(super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let mode = arguments.progress.mode(context);
    let options = PublishIndexOptions {
        project: arguments.project.options(context),
        images: arguments.images,
        repositories: Repositories {
            main: Some(arguments.repo),
            published: arguments.final_repo,
            ..Repositories::default()
        },
        store: context.stager_home()?,
    };
    let mut text = String::new();
    for (image, names) in publish(context, &options, mode)? {
        for name in names {
            let _infallible = writeln!(text, "{image} {name}");
        }
    }
    ui::print_data(&text).map_err(|error| CommandError::usage("cannot write the names", &error))
}

fn publish(
    context: &Context,
    options: &PublishIndexOptions,
    mode: ProgressMode,
) -> Result<Vec<(ImageName, Vec<String>)>, CommandError> {
    let cancel = interrupt::token()?;
    let progress = Progress::start(mode, context.colours);
    let events: Arc<dyn EventSink> = Arc::new(progress.sink());
    Ok(ops::publish_index(options, &events, &cancel)?)
}
