//! The one integration binary.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "tests panic and say why they skip")]

mod native;
