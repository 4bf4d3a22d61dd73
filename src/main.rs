//! The `stager` program.

use std::process::ExitCode;

use stager::builder::native::helper_hook;

fn main() -> ExitCode {
    // The same program is the helper that steps run under: that must be known before anything else is done.
    match helper_hook() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::from(stager::cli::main()),
    }
}
