//! `stager plan`.

use std::fmt::Write;
use std::sync::Arc;

use stages::plan::Plan;

use super::arguments::{MainRepository, ProjectArguments};
use super::{CommandError, Context, interrupt};
use crate::ops::{self, OpenProject};
use crate::plan::mermaid;
use crate::report::{BuildReport, EventSink};
use crate::ui::{self, Progress, ProgressMode};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Images to show: names or globs, `!glob` leaves some out; all images and artifacts by default
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    project: ProjectArguments,

    #[command(flatten)]
    repository: MainRepository,

    /// How the plan is printed
    #[arg(long, value_enum, env = "STAGER_FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Images and their stages
    Text,
    /// The schema of build reports
    Json,
    /// A Mermaid flow chart
    Mermaid,
}

pub(super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let cancel = interrupt::token()?;
    let options = arguments.project.options(context);
    let progress = Progress::start(ProgressMode::Quiet, context.colours);
    let events: Arc<dyn EventSink> = Arc::new(progress.sink());
    let plan = OpenProject::open(&options, &context.stager_home()?, &cancel, &events)?;
    let plan = plan.plan(arguments.repository.repo.as_ref())?;
    let plan = if arguments.images.is_empty() {
        plan
    } else {
        let images = ops::select(&plan, &arguments.images)?.into_iter().cloned().collect();
        Plan { images, ..plan }
    };
    let text = match arguments.format {
        Format::Text => text(&plan),
        Format::Mermaid => mermaid(&plan),
        Format::Json => {
            let json = serde_json::to_string_pretty(&BuildReport::planned(&plan));
            json.map_err(|error| CommandError::usage("cannot write the plan", &error))? + "\n"
        }
    };
    ui::print_data(&text).map_err(|error| CommandError::usage("cannot write the plan", &error))
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for image in &plan.images {
        let what = if image.artifact { "artifact" } else { "image" };
        let _infallible = writeln!(text, "{what} {} {} {}", image.name, image.platform, image.digest());
        let width = image.stages.iter().map(|stage| stage.slot.name().len()).max().unwrap_or(0);
        for stage in &image.stages {
            let _infallible = writeln!(text, "  {:width$}  {}", stage.slot.name(), stage.digest);
        }
    }
    text
}
