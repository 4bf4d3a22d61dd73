//! What a config asks for from outside the commit: the caller puts each claim to the gate.

use serde::Serialize;

/// Something that giterminism has a say in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase", tag = "claim")]
pub enum Claim {
    /// `fromLatest: true`.
    FromLatest {
        /// The image that has it.
        image: String,
        /// Its base.
        reference: String,
    },
    /// A base read from a file or directory: fine when it is one of the commit's, else it has to be allowed.
    BaseFile {
        /// Relative to the project directory, or absolute (then it is never the commit's).
        path: String,
    },
    /// A remote repository's branch, whose tip moves.
    GitBranch {
        /// The repository.
        url: String,
        /// The branch; empty for the one that the repository says is the default.
        branch: String,
    },
    /// A host directory mounted into build steps.
    HostMount {
        /// Absolute; in werf's dialect it may be relative to the project directory, or start with `~/`.
        path: String,
    },
    /// A directory kept between builds mounted into build steps of werf's dialect, where that needs a permission.
    BuildDirMount {
        /// Where it is mounted.
        to: String,
    },
    /// A file of the disk that is added to the context of a Dockerfile.
    ContextFile {
        /// Relative to the project directory.
        path: String,
    },
    /// A step that uses the host's network.
    HostNetwork {
        /// The image that has it.
        image: String,
    },
    /// A secret from an environment variable.
    SecretVariable {
        /// The variable.
        name: String,
    },
    /// A secret whose value is written in the config.
    SecretValue {
        /// Its id.
        id: String,
    },
    /// A secret from a file.
    SecretFile {
        /// As written: `~/` is the user's home, a relative path is relative to the project directory.
        path: String,
    },
}
