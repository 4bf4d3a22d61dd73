//! The `stager` program.

use std::process::ExitCode;

use stager::builder::native::helper_hook;

fn main() -> ExitCode {
    match helper_hook() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::SUCCESS,
    }
}
