//! The gate through which every project file and environment look-up passes.
//!
//! A build reads a commit, not a directory: configs, templates and files come from the HEAD commit, and a working copy that
//! differs is refused, not silently ignored. What may be let in from outside is declared in `stager-giterminism.yaml` (or
//! `werf-giterminism.yaml`), which is itself read from the commit: [`Rules`]. [`Gate`] is the only reader of project files and of
//! the environment, and records what it read.

mod entries;
mod error;
mod gate;
mod rules;

pub use error::{Error, Refusal};
pub use gate::{Gate, GateOptions, Mode, Read, ReadKind};
pub use rules::{RULES_FILES, Rules};
