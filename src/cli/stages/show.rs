//! `stager stages show`.

use std::fmt::Write;

use serde::Serialize;

use super::{Format, StorageArguments, image_name, moment, quietly};
use crate::cli::{CommandError, Context};
use crate::ops::{self, ShownLayer, ShownStage, StageName};
use crate::ui;

/// The version of the JSON document.
///
/// 1: the first one.
const SCHEMA: u32 = 1;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The stage's digest; on this machine at least six digits that it begins with
    #[arg(value_name = "DIGEST")]
    stage: StageName,

    #[command(flatten)]
    storage: StorageArguments,

    /// How the stage is printed
    #[arg(long, value_enum, env = "STAGER_FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Document<'d> {
    schema: u32,
    #[serde(flatten)]
    stage: &'d ShownStage,
}

pub(super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let storage = arguments.storage.storage(context)?;
    let stage = quietly(context, |events, cancel| ops::show_stage(&storage, &arguments.stage, events, cancel))?;
    let text = match arguments.format {
        Format::Text => text(&stage),
        Format::Json => {
            let json = serde_json::to_string_pretty(&Document { schema: SCHEMA, stage: &stage });
            json.map_err(|error| CommandError::usage("cannot write the stage", &error))? + "\n"
        }
    };
    ui::print_data(&text).map_err(|error| CommandError::usage("cannot write the stage", &error))
}

fn text(stage: &ShownStage) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _infallible = writeln!(text, "{name:12} {}", ui::printable(value, false));
    };
    line("stage", &stage.digest.to_string());
    line("image", image_name(&stage.image));
    line("project", stage.project.as_str());
    line("platform", &stage.platform.to_string());
    line("kind", &stage.kind.to_string());
    line("name", stage.stage.name());
    line("parent", &stage.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string()));
    line("second key", &stage.content_key.to_string());
    line("content", &stage.content_id.to_string());
    line("lineage", &stage.lineage.to_string());
    line("made in", &ui::duration(stage.duration_ms));
    stage.created.into_iter().for_each(|created| line("created", &moment(created)));
    stage.last_used.into_iter().for_each(|used| line("last used", &moment(used)));
    text.push_str("inputs\n");
    for (name, value) in &stage.inputs {
        let value = serde_json::to_string(value).expect("an input has string keys only");
        let _infallible = writeln!(text, "  {}: {}", ui::printable(name, false), ui::printable(&value, false));
    }
    text.push_str("layers\n");
    stage.layers.iter().for_each(|layer| text.push_str(&layer_text(layer)));
    let _infallible = writeln!(text, "config\n  {}", ui::printable(&stage.config.to_string(), false));
    text
}

fn layer_text(layer: &ShownLayer) -> String {
    let size = layer.size.map_or_else(|| "unknown size".to_owned(), ui::size);
    let mut text = format!("  {}  {size}  {}", layer.content, ui::printable(&layer.created_by, false));
    text.truncate(text.trim_end().len());
    text.push('\n');
    for blob in &layer.blobs {
        let origin = blob.origin.as_deref().map(|origin| format!("  {}", ui::printable(origin, false)));
        let _infallible = writeln!(text, "    {}  {}{}", blob.digest, ui::size(blob.size), origin.unwrap_or_default());
    }
    text
}
