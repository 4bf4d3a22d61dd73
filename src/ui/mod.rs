//! The only writer to the terminal.

pub mod diagnostics;
