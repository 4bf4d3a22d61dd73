//! `stager completion`.

use clap::CommandFactory;

use super::{Cli, CommandError};
use crate::ui;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "stager", &mut script);
    ui::print_data(&String::from_utf8_lossy(&script)).map_err(|error| CommandError::usage("cannot write", &error))
}
