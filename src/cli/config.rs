//! `stager config`.

use stages::spec::{ImageSpec, Project};

use super::arguments::ProjectArguments;
use super::{CommandError, Context};
use crate::config::{self, Dialect, GraphFormat, LoweredConfig};
use crate::ops::{ProjectFiles, Selection};
use crate::ui;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the config as its template gives it, or the documents of some images
    Render(RenderArguments),
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
pub(super) struct RenderArguments {
    /// Images to print: names or globs, `!glob` leaves some out; the whole text by default
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    project: ProjectArguments,
}

/// Which images, when nothing needs to be built.
#[derive(Debug, clap::Args)]
pub(super) struct ListArguments {
    /// Images to print: names or globs, `!glob` leaves some out; all images and artifacts by default
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    project: ProjectArguments,

    /// Leave out artifacts, and images that are not final
    #[arg(long, alias = "images-only", env = "STAGER_FINAL_IMAGES_ONLY", num_args = 0..=1, require_equals = true,
          value_name = "BOOL", default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    final_images_only: Option<bool>,
}

#[derive(Debug, clap::Args)]
pub(super) struct GraphArguments {
    #[command(flatten)]
    list: ListArguments,

    /// How the graph is printed: text, mermaid, dot, json or yaml; by default yaml for werf, else text
    #[arg(long, env = "STAGER_FORMAT")]
    format: Option<GraphFormat>,
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), CommandError> {
    let text = match command {
        Command::Render(arguments) => render(context, arguments)?,
        Command::Check(Arguments { project }) => {
            load(context, project)?;
            String::new()
        }
        Command::List(arguments) => list(context, arguments)?,
        Command::Graph(GraphArguments { list, format }) => {
            let ListArguments { images, project, final_images_only } = list;
            let loaded = load(context, project)?;
            let chosen = chosen(&loaded.project, &images, final_images_only.unwrap_or(false))?;
            let default = if loaded.text.dialect().is_werf() { GraphFormat::Yaml } else { GraphFormat::Text };
            config::graph(&loaded, &chosen, format.unwrap_or(default))
        }
    };
    ui::print_data(&text).map_err(|error| CommandError::usage("cannot write", &error))
}

/// Loads the config, and shows its warnings.
fn load(context: &Context, project: ProjectArguments) -> Result<LoweredConfig, CommandError> {
    let options = project.options(context);
    let loaded = ProjectFiles::open(&options, &context.stager_home()?)?.load(&options)?;
    if !loaded.warnings.is_empty() {
        ui::print_message(ui::render(&loaded.warnings, &loaded.text.sources(), context.colours).trim_end());
    }
    Ok(loaded)
}

fn render(context: &Context, arguments: RenderArguments) -> Result<String, CommandError> {
    let options = arguments.project.options(context);
    let files = ProjectFiles::open(&options, &context.stager_home()?)?;
    if arguments.images.is_empty() {
        return Ok(files.render(&options)?);
    }
    let loaded = files.load(&options)?;
    let chosen = chosen(&loaded.project, &arguments.images, false)?;
    Ok(config::documents(&loaded, &chosen.into_iter().map(|image| &image.name).collect()))
}

/// Names, one a line, sorted; `~` is the image without a name.
fn list(context: &Context, arguments: ListArguments) -> Result<String, CommandError> {
    let loaded = load(context, arguments.project)?;
    let chosen = chosen(&loaded.project, &arguments.images, arguments.final_images_only.unwrap_or(false))?;
    let mut names: Vec<&str> =
        chosen.iter().map(|image| if image.name.as_str().is_empty() { "~" } else { image.name.as_str() }).collect();
    if loaded.text.dialect() != Dialect::Stager {
        names.sort_unstable();
    }
    Ok(names.into_iter().flat_map(|name| [name, "\n"]).collect())
}

fn chosen<'a>(
    project: &'a Project,
    patterns: &[String],
    final_images_only: bool,
) -> Result<Vec<&'a ImageSpec>, CommandError> {
    let selection = Selection::parse(patterns)?;
    let mut chosen = selection.of(&project.images, |image| &image.name, |_| true)?;
    chosen.retain(|image| !final_images_only || (image.is_final && !image.artifact));
    Ok(chosen)
}
