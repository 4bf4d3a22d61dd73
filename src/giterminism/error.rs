//! What the gate refuses, and why else it fails.

use crate::git::GitError;

/// Why the gate gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Giterminism does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such file, neither in the commit nor, where that is allowed, on disk.
    #[error("there is no file `{path}` in the commit")]
    NotFound {
        /// Relative to the project directory.
        path: String,
    },
    /// The rules can't be read.
    #[error("cannot read the giterminism rules in {file}: {reason}")]
    Rules {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A path or pattern that makes no sense.
    #[error("`{text}` {reason}")]
    Invalid {
        /// As given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A variable that is not set.
    #[error("the environment variable `{name}` is not set")]
    Unset {
        /// Its name.
        name: String,
    },
    /// Reading the repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Reading a file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Something that giterminism does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("giterminism refuses {what}: {reason}")]
pub struct Refusal {
    /// What was asked for.
    pub what: String,
    /// The rule that it breaks.
    pub reason: String,
    /// The lines that would allow it.
    pub allow: String,
}
