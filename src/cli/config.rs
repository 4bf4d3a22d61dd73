//! `stager config`.

use super::arguments::ProjectArguments;
use super::{CommandError, Context};
use crate::config::{self, GraphFormat};
use crate::ops::ProjectFiles;
use crate::ui;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the config as its template gives it
    Render(Arguments),
    /// Print the names of images and artifacts, one a line
    List(ListArguments),
    /// Check the config, and what giterminism says of it
    Check(Arguments),
    /// Print which image needs which
    Graph(GraphArguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    project: ProjectArguments,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    project: ProjectArguments,

    /// Leave artifacts out
    #[arg(long, env = "STAGER_IMAGES_ONLY")]
    images_only: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct GraphArguments {
    #[command(flatten)]
    project: ProjectArguments,

    /// How the graph is printed: text, mermaid, dot or json
    #[arg(long, env = "STAGER_FORMAT", default_value = "text")]
    format: GraphFormat,
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), CommandError> {
    let store = context.stager_home()?;
    let text = match command {
        Command::Render(Arguments { project }) => {
            let options = project.options(context);
            let files = ProjectFiles::open(&options, &store)?;
            config::render(&files.request(&options)?).map_err(crate::ops::Error::from)?
        }
        Command::Check(Arguments { project }) => {
            let options = project.options(context);
            let loaded = ProjectFiles::open(&options, &store)?.load(&options)?;
            ui::print_message(ui::render(&loaded.warnings, &loaded.text.sources(), context.colours).trim_end());
            String::new()
        }
        Command::List(ListArguments { project, images_only }) => {
            let options = project.options(context);
            let loaded = ProjectFiles::open(&options, &store)?.load(&options)?;
            let listed = loaded.project.images.iter().filter(|image| !(images_only && image.artifact));
            listed.flat_map(|image| [image.name.to_string(), "\n".to_owned()]).collect()
        }
        Command::Graph(GraphArguments { project, format }) => {
            let options = project.options(context);
            config::graph(&ProjectFiles::open(&options, &store)?.load(&options)?.project, format)
        }
    };
    ui::print_data(&text).map_err(|error| CommandError::usage("cannot write", &error))
}
