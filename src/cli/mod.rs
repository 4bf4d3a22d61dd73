//! argv in, exit code out: one file for each command, each one turning arguments into options, calling one operation, and
//! printing its result. The only user of clap.

mod arguments;
mod build;
mod ci_env;
mod completion;
mod config;
mod context;
mod doctor;
mod error;
mod giterminism;
mod interrupt;
mod login;
mod plan;
mod publish_index;
mod stages;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use context::Context;
use error::CommandError;

/// Builds container images from a git commit, in stages that are kept and reused.
#[derive(Debug, Parser)]
#[command(name = "stager", version, max_term_width = 110, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build images
    Build(build::Arguments),
    /// Show what a build would consist of, from the config and the commit alone
    Plan(plan::Arguments),
    /// Join the platforms of images that were built one by one, and put their tags
    PublishIndex(publish_index::Arguments),
    /// Look at stages, here or in a repository, and copy them
    #[command(subcommand)]
    Stages(stages::Command),
    /// Look at the config
    #[command(subcommand)]
    Config(config::Command),
    /// See what giterminism makes of the project
    #[command(subcommand)]
    Giterminism(giterminism::Command),
    /// Log in to a registry: check a password and keep it where docker does
    Login(login::Arguments),
    /// Remove what is kept of a login
    Logout(login::LogoutArguments),
    /// Print what a job of a CI system should export
    CiEnv(ci_env::Arguments),
    /// Show what this machine lets builds do, and what to change where it doesn't
    Doctor(doctor::Arguments),
    /// Print a completion script for a shell
    Completion(completion::Arguments),
}

/// The command line. A variable that is set to nothing counts as not set, as CI systems can't always leave one out.
fn parse(arguments: &[std::ffi::OsString]) -> Result<Cli, clap::Error> {
    fn without_empty_variables(command: clap::Command) -> clap::Command {
        let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        command
            .mut_args(
                |argument| {
                    if argument.get_env().is_some_and(is_empty) { argument.env(Resettable::Reset) } else { argument }
                },
            )
            .mut_subcommands(without_empty_variables)
    }
    let matches = without_empty_variables(Cli::command()).try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// Runs the command line; returns the exit code.
pub fn main() -> u8 {
    let context = match Context::from_process() {
        Ok(context) => context,
        Err(error) => return error.report(false),
    };
    let cli = match parse(&context.arguments) {
        Ok(cli) => cli,
        Err(error) => return error::report_usage(&error),
    };
    let result = match cli.command {
        Command::Build(arguments) => build::run(&context, arguments),
        Command::Plan(arguments) => plan::run(&context, arguments),
        Command::PublishIndex(arguments) => publish_index::run(&context, arguments),
        Command::Stages(command) => stages::run(&context, command),
        Command::Config(command) => config::run(&context, command),
        Command::Giterminism(command) => giterminism::run(&context, command),
        Command::Login(arguments) => login::run(&context, arguments),
        Command::Logout(arguments) => login::run_logout(&context, arguments),
        Command::CiEnv(arguments) => ci_env::run(&context, &arguments, &Cli::command()),
        Command::Doctor(arguments) => doctor::run(&context, &arguments),
        Command::Completion(arguments) => completion::run(&arguments),
    };
    match result {
        Ok(()) => 0,
        Err(error) => error.report(context.colours),
    }
}
