//! `stager doctor`.

use std::fmt::Write;

use super::{CommandError, Context};
use crate::builder::native::{self, CheckResult, Probe};
use crate::ui;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How the findings are printed
    #[arg(long, value_enum, env = "STAGER_FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line for each check
    Text,
    /// One JSON object
    Json,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<(), CommandError> {
    let store = context.stager_home()?;
    fs_err::create_dir_all(&store).map_err(|error| CommandError::usage("cannot make the store", &error))?;
    let probe = native::probe(&native::own_program(), &store)
        .map_err(|error| CommandError::usage("cannot try what this machine allows", &error))?;
    let text = match arguments.format {
        Format::Text => text(&probe),
        Format::Json => {
            let json = serde_json::to_string_pretty(&probe);
            json.map_err(|error| CommandError::usage("cannot write the findings", &error))? + "\n"
        }
    };
    ui::print_data(&text).map_err(|error| CommandError::usage("cannot write the findings", &error))?;
    if probe.is_usable() { Ok(()) } else { Err(CommandError::backend("steps can't run on this machine")) }
}

fn text(probe: &Probe) -> String {
    let mut text = match probe.mode {
        Some(mode) => format!("steps run as: {mode}\n"),
        None => "steps can't run here\n".to_owned(),
    };
    for check in &probe.checks {
        let _infallible = match &check.result {
            CheckResult::Ok => writeln!(text, "ok       {}", check.name),
            CheckResult::Problem(diagnosis) => {
                let word = if check.required { "problem" } else { "note" };
                writeln!(text, "{word:8} {}: {}\n         {}", check.name, diagnosis.problem, diagnosis.remedy)
            }
        };
    }
    text
}
