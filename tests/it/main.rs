//! The one integration binary: the program from outside, against real registries, engines and users.
//!
//! Tests share the machine: each has a home, a store and a project of its own ([`env::TestEnv`]). What a test needs and the
//! machine lacks makes it print `skipped: why`; `tests/run` installs all of it, and as root turns a skip into a failure.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a skipped test says why")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

/// Takes the value, or ends the test with `skipped: why`.
macro_rules! need {
    ($value:expr) => {
        match $value {
            Ok(value) => value,
            Err(missing) => return crate::env::skip(&missing),
        }
    };
}

mod env;

mod build;
mod cache;
mod ci_env;
mod concurrency;
mod config;
mod dapp;
mod dapp_digests;
mod digests;
mod examples;
mod failures;
mod faults;
mod git_login;
mod giterminism;
mod goldens_gotemplate;
mod goldens_werf_build;
mod goldens_werf_config;
mod images;
mod includes;
mod login;
mod native;
mod outputs;
mod packages;
mod platforms;
mod pulls;
mod registries;
mod rootless;
mod stage_storage;
mod stages;
mod steps;
mod tidy;
mod werf;
mod werf_images;
mod werf_v3;
