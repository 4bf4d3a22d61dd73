//! The only writer to the terminal.
//!
//! Progress goes to standard error and is a consumer of [`crate::report::Event`]s; standard output carries data only.

pub mod diagnostics;
mod progress;
mod prompt;
mod text;

pub use diagnostics::render;
pub use progress::{Progress, ProgressMode};
pub use prompt::{ask, ask_secret};
pub use text::{duration, printable, size};

use std::io::{self, Write};

/// Writes data to standard output. A reader that has gone away (`| head`) is no failure.
pub fn print_data(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a message to standard error; there is nobody to tell when that fails.
pub fn print_message(text: &str) {
    let mut stderr = io::stderr().lock();
    let _unheard = stderr.write_all(text.as_bytes()).and_then(|()| stderr.write_all(b"\n"));
}
