//! Giterminism: a build reads a commit, not a directory, and what is let in from outside is declared and reviewed.
//!
//! [`Rules`] is what `stager-giterminism.yaml` and `werf-giterminism.yaml` of the commit allow. [`Gate`] applies them: it
//! is the only reader of project files, environment variables and secrets, hands the config its [`FileReader`], and
//! remembers what it let through and what it refused. What is refused is a [`Refusal`], which names the thing, the rule
//! and the lines that would allow it.
//!
//! [`FileReader`]: crate::source::FileReader

mod base_files;
mod compare;
mod error;
mod find;
mod gate;
mod included;
mod patterns;
mod reader;
mod rules;
mod rules_file;
mod secrets;
#[cfg(test)]
mod tests;

pub use error::{Error, Refusal, RefusalKind};
pub use gate::{Gate, GateOptions, Mode, Read, ReadKind};
pub use included::Included;
pub use reader::FileClass;
pub use rules::{RULES_FILES, Rules};
