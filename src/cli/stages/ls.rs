//! `stager stages ls`.

use std::fmt::Write;

use clap::builder::BoolishValueParser;
use serde::Serialize;

use super::{Format, StorageArguments, image_name, moment, quietly};
use crate::cli::{CommandError, Context};
use crate::ops::{self, ListedStage, StageStorage};
use crate::ui;

/// The version of the JSON document.
///
/// 1: the first one.
const SCHEMA: u32 = 1;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    storage: StorageArguments,

    /// With --repo: fetch the record of each stage, to tell its image, name, platform and size
    #[arg(long, env = "STAGER_LONG", value_parser = BoolishValueParser::new())]
    long: bool,

    /// How the list is printed
    #[arg(long, value_enum, env = "STAGER_FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct List<'l> {
    schema: u32,
    stages: &'l [ListedStage],
}

pub(super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let storage = arguments.storage.storage(context)?;
    let stages = quietly(context, |events, cancel| ops::list_stages(&storage, arguments.long, events, cancel))?;
    let text = match arguments.format {
        Format::Text => text(&stages, matches!(storage, StageStorage::Local { .. })),
        Format::Json => {
            let json = serde_json::to_string_pretty(&List { schema: SCHEMA, stages: &stages });
            json.map_err(|error| CommandError::usage("cannot write the list", &error))? + "\n"
        }
    };
    ui::print_data(&text).map_err(|error| CommandError::usage("cannot write the list", &error))
}

/// A line for each stage. Names of a store are short: their beginnings are names there.
fn text(stages: &[ListedStage], short: bool) -> String {
    let rows: Vec<Vec<String>> = stages.iter().map(|stage| row(stage, short)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _infallible = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn row(stage: &ListedStage, short: bool) -> Vec<String> {
    let mut row = vec![if short { stage.digest.short() } else { stage.digest.to_string() }];
    row.extend(stage.image.as_ref().map(|image| image_name(image).to_owned()));
    row.extend(stage.stage.as_ref().map(|slot| ui::printable(slot.name(), false)));
    row.extend(stage.kind.map(|kind| kind.to_string()));
    row.extend(stage.platform.as_ref().map(ToString::to_string));
    row.extend(stage.size.map(ui::size));
    row.extend(stage.created.map(moment));
    row.extend(stage.last_used.map(moment));
    if !stage.whole {
        row.push("unfinished".to_owned());
    }
    row
}
