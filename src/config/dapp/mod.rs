//! dapp's dialect, `dappfile.yml`: sections as written ([`schema`]), lowered to the project specification ([`lower`]).
//!
//! Its rules are those of the last dapp (0.36). What it has in common with werf, which grew out of it, is werf's code: paths,
//! git mappings and imports, tasks, cache versions. Its own are the names of keys and stages, the order of stages, and the
//! `buildArtifact` stage of artifacts.
//!
//! The older format, a Ruby program named `Dappfile`, is not read: [`ruby`] tells what it would be as YAML.

mod lower;
mod project;
mod ruby;
mod schema;

pub(crate) use lower::lower;
pub use project::{ProjectHome, slug};
pub(super) use ruby::{FILE as RUBY_FILE, refuse};

#[cfg(test)]
mod tests;
