//! Configs: documents as written, in one of several dialects, lowered to the one project specification.
//!
//! [`load`] goes from text to [`stages::spec::Project`]: the file is found, rendered ([`crate::template`]), read as YAML
//! whose every key knows its place ([`yaml`]), read again as the dialect's documents (tables of keys in each dialect's
//! `schema`), lowered (`lower`), and checked across images (`validate`). Every step reports all that it finds, as
//! [`crate::source::Diagnostic`]s with places in the file that a person edits.
//!
//! Files come through a [`crate::source::FileReader`]. This module knows neither git nor giterminism: what needs a
//! permission is handed to the caller as a [`Claim`].

mod claim;
mod cleanup;
mod dapp;
mod dialect;
mod documents;
mod graph;
mod includes;
mod load;
mod login;
mod read;
pub mod reference;
mod registries;
mod render;
mod rules;
mod stager;
mod text;
mod validate;
mod werf;
pub mod yaml;

pub use claim::Claim;
pub use cleanup::{CleanupPolicies, KeepPolicy, Limit, LimitOperator, ReferencePattern};
pub use dapp::{ProjectHome, slug};
pub use dialect::{DISCOVERED, Dialect, UnknownDialect};
pub use documents::documents;
pub use graph::{GraphFormat, UnknownGraphFormat, graph};
pub use includes::{INCLUDES_FILE, INCLUDES_LOCK, Include, IncludeLocks, include_locks, includes};
pub use load::{ConfigError, LoadRequest, LoweredConfig, References, discover, load, render};
pub use login::GitLogin;
pub use registries::{Registries, parse_registries};
pub use render::{GoSettings, dialect};
pub use text::ConfigText;
pub use werf::Semantics as WerfSemantics;

pub use crate::template::{CommitFacts, DebugSink, GitValues};
