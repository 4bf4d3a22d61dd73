//! `stager giterminism`.

use serde::Serialize;

use super::arguments::ProjectArguments;
use super::{CommandError, Context};
use crate::giterminism::Read;
use crate::ops::{self, Checked, RefusedItem};
use crate::source::Place;
use crate::ui;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Name all that giterminism would refuse: what the config reads and asks for, and mapped files that are not committed
    Check(Arguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    project: ProjectArguments,

    /// How the answer is printed
    #[arg(long, value_enum, env = "STAGER_FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Errors on standard error
    Text,
    /// One object on standard output
    Json,
}

pub(super) fn run(context: &Context, command: Command) -> Result<(), CommandError> {
    let Command::Check(arguments) = command;
    let options = arguments.project.options(context);
    if options.mode.is_dev() || options.mode.is_loose() {
        let message = "a check is of the commit, under its rules: --dev and --loose-giterminism make none";
        return Err(CommandError::usage_text(message).hint("leave the flag, or its variable, out"));
    }
    let checked = ops::check_giterminism(&options, &context.stager_home()?)?;
    if arguments.format == Format::Json {
        let json = serde_json::to_string_pretty(&Answer::of(&checked));
        let json = json.map_err(|error| CommandError::usage("cannot write the answer", &error))?;
        ui::print_data(&(json + "\n")).map_err(|error| CommandError::usage("cannot write the answer", &error))?;
    }
    finish(context, checked, arguments.format)
}

fn finish(context: &Context, checked: Checked, format: Format) -> Result<(), CommandError> {
    for warning in &checked.warnings {
        ui::print_message(&format!("warning: {}", ui::printable(warning, false)));
    }
    let diagnostics: Vec<_> = checked.refused.into_iter().map(|item| item.diagnostic).collect();
    if let Some(problem) = checked.problem {
        if !diagnostics.is_empty() {
            ui::print_message(ui::render(&diagnostics, &checked.sources, context.colours).trim_end());
        }
        return Err(problem.into());
    }
    if !diagnostics.is_empty() {
        return Err(CommandError::refused(diagnostics, checked.sources));
    }
    if format == Format::Text {
        let count = checked.reads.iter().filter(|read| read.digest.is_some()).count();
        let things = if count == 1 { "thing" } else { "things" };
        ui::print_message(&format!("giterminism refuses nothing: {count} {things} read at commit {}", checked.commit));
    }
    Ok(())
}

/// The JSON of a check, version 1.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    schema: u32,
    commit: &'a str,
    /// Nothing is refused, and everything was looked at.
    allowed: bool,
    /// The config was read to its end.
    complete: bool,
    refused: Vec<Refused<'a>>,
    warnings: &'a [String],
    reads: &'a [Read],
}

#[derive(Debug, Serialize)]
struct Refused<'a> {
    class: Option<&'a str>,
    message: &'a str,
    names: &'a [String],
    rule: Option<&'a str>,
    remedy: Option<&'a str>,
    place: Option<&'a Place>,
}

impl<'a> Answer<'a> {
    fn of(checked: &'a Checked) -> Self {
        Self {
            schema: 1,
            commit: checked.commit.as_str(),
            allowed: checked.refused.is_empty() && checked.problem.is_none(),
            complete: checked.problem.is_none(),
            refused: checked.refused.iter().map(Refused::of).collect(),
            warnings: &checked.warnings,
            reads: &checked.reads,
        }
    }
}

impl<'a> Refused<'a> {
    fn of(item: &'a RefusedItem) -> Self {
        Self {
            class: item.diagnostic.code.as_deref(),
            message: &item.diagnostic.message,
            names: &item.names,
            rule: (!item.rule.is_empty()).then_some(item.rule),
            remedy: item.diagnostic.help.as_deref(),
            place: item.diagnostic.place.as_ref(),
        }
    }
}
