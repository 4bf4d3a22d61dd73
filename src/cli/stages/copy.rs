//! `stager stages copy`.

use clap::builder::BoolishValueParser;
use stages::StageDigest;

use super::{image_name, quietly};
use crate::cli::arguments::ProjectArguments;
use crate::cli::{CommandError, Context};
use crate::ops::{self, CopyOptions, CopyWhat};
use crate::registry::Repository;
use crate::ui;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Digests of stages, and images of the project (names or globs), which stand for their last stages; all images by default
    #[arg(value_name = "WHAT", conflicts_with = "all")]
    what: Vec<String>,

    /// The repository that has the stages
    #[arg(long, value_name = "REPO", env = "STAGER_FROM")]
    from: Repository,

    /// The repository that they are copied to
    #[arg(long, value_name = "REPO", env = "STAGER_TO")]
    to: Repository,

    /// Copy every stage that there is
    #[arg(long, env = "STAGER_ALL", value_parser = BoolishValueParser::new())]
    all: bool,

    /// Copy the stages as well that those stand on
    #[arg(long, env = "STAGER_PARENTS", value_parser = BoolishValueParser::new())]
    parents: bool,

    #[command(flatten)]
    project: ProjectArguments,
}

pub(super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let options = CopyOptions {
        project: arguments.project.options(context),
        from: arguments.from,
        to: arguments.to,
        what: if arguments.all { CopyWhat::All } else { named(arguments.what) },
        parents: arguments.parents,
        store: context.stager_home()?,
    };
    let mut written = Ok(());
    quietly(context, |events, cancel| {
        ops::copy_stages(&options, events, cancel, &mut |stage| {
            let name = ui::printable(stage.slot.name(), false);
            let printed = ui::print_data(&format!("{} {} {name}\n", stage.digest, image_name(&stage.image)));
            if written.is_ok() {
                written = printed;
            }
        })
    })?;
    written.map_err(|error| CommandError::usage("cannot write what was copied", &error))
}

/// Digests and images apart. Digests alone are of no project.
fn named(what: Vec<String>) -> CopyWhat {
    let mut digests: Vec<StageDigest> = Vec::new();
    let mut images = Vec::new();
    for text in what {
        match text.parse() {
            Ok(digest) => digests.push(digest),
            Err(_) => images.push(text),
        }
    }
    let images = (!images.is_empty() || digests.is_empty()).then_some(images);
    CopyWhat::Named { digests, images }
}
