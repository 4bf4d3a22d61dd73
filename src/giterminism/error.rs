//! What the gate refuses, and what else can go wrong at it.

use std::fmt;
use std::path::PathBuf;

use super::rules::RULES_FILES;
use crate::git::GitError;

/// Why the gate did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file of rules cannot be used; one line for each mistake.
    #[error("giterminism rules `{file}` cannot be used: {}", .mistakes.join("; "))]
    Rules {
        /// The file.
        file: String,
        /// What is wrong with it.
        mistakes: Vec<String>,
    },
    /// A file is neither in the commit nor, where that is allowed, on disk.
    #[error("there is no file `{path}` {place}")]
    NotFound {
        /// The path as asked for.
        path: String,
        /// Where it was looked for.
        place: &'static str,
    },
    /// A path is not relative to the project directory.
    #[error("`{path}` is not a path inside of the project")]
    BadPath {
        /// The path as asked for.
        path: String,
    },
    /// A pattern is malformed.
    #[error("invalid pattern `{pattern}`: {reason}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An environment variable that a secret comes from is not set.
    #[error("environment variable `{name}` is not set")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// `~/` was used and no home directory is known.
    #[error("`{path}` needs a home directory, and HOME is not set")]
    NoHome {
        /// The path as written.
        path: String,
    },
    /// A file was stored by git-LFS and is not in the commit itself.
    #[error("`{path}` is a git-LFS pointer in the commit; its content is elsewhere")]
    LfsPointer {
        /// The path as asked for.
        path: String,
    },
    /// A host file could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The repository.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Error {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    /// The class of the problem, as diagnostics have it.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind.code()),
            Self::Rules { .. } => Some("giterminism-config-invalid"),
            Self::NotFound { .. } => Some("file-not-found"),
            Self::BadPattern { .. } => Some("glob-syntax"),
            Self::Git(error) => error.code(),
            _ => None,
        }
    }

    /// Whether giterminism refused, rather than something failing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// Things of one kind that the rules do not allow, and what would allow them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// What kind of thing.
    pub kind: RefusalKind,
    /// Paths, names or addresses.
    pub names: Vec<String>,
    /// The key of the rules that decides, such as `config.goTemplateRendering.allowEnvVariables`.
    pub rule: &'static str,
    /// The names with what they are, for messages.
    pub what: String,
    /// Why they are not let in unasked.
    pub reason: String,
    /// The file of rules and the lines to add to it; empty if no rule can allow it.
    pub allow: String,
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, rule: &'static str, names: Vec<String>) -> Self {
        let (what, reason) = (kind.describe(&names), kind.reason(names.len()).to_owned());
        Self { kind, rule, what, reason, allow: allow(rule, &names), names }
    }
}

/// What kind of thing was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalKind {
    /// A committed file that differs on disk.
    Modified,
    /// A file on disk that git does not know.
    Untracked,
    /// A committed file that is gone on disk.
    Deleted,
    /// An allowed link that leads to a file which is not allowed.
    LinkTarget,
    /// A base file that is not in the commit.
    BaseFile,
    /// An environment variable that a template asks for.
    Variable,
    /// A secret's environment variable.
    SecretVariable,
    /// A secret's file.
    SecretFile,
    /// A secret written in the config, by its id.
    SecretValue,
    /// `fromLatest` of an image.
    FromLatest,
    /// A branch of a remote repository.
    GitBranch,
    /// A mount of a host path.
    HostMount,
    /// werf's mount of the build directory.
    BuildDirMount,
    /// The host's network in an image's steps.
    HostNetwork,
    /// A file added to a Dockerfile's context.
    ContextFile,
    /// A tag given on the command line.
    CustomTag,
}

impl Refusal {
    /// What to do: commit what can be committed, or allow it.
    pub fn remedy(&self) -> String {
        use RefusalKind as Kind;
        let file = matches!(
            self.kind,
            Kind::Modified | Kind::Untracked | Kind::Deleted | Kind::LinkTarget | Kind::BaseFile | Kind::ContextFile
        );
        match (file, self.allow.is_empty()) {
            (_, true) => "commit the file, or take the change back".to_owned(),
            (true, false) => format!("commit it, or allow it in {}", self.allow),
            (false, false) => format!("allow it in {}", self.allow),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "giterminism refuses {}: {}", self.what, self.reason)
    }
}

impl std::error::Error for Refusal {}

impl RefusalKind {
    /// The class of the problem, as diagnostics have it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Untracked => "untracked",
            Self::Modified | Self::Deleted => "uncommitted",
            Self::LinkTarget => "link-target-not-accepted",
            _ => "giterminism-denied",
        }
    }

    /// The names as a phrase.
    fn describe(self, names: &[String]) -> String {
        let (one, many) = match self {
            Self::Modified | Self::Untracked | Self::Deleted => ("the file", "the files"),
            Self::BaseFile => ("the base file", "the base files"),
            Self::LinkTarget => ("the link target", "the link targets"),
            Self::Variable => ("the environment variable", "the environment variables"),
            Self::SecretVariable => ("a secret from the variable", "secrets from the variables"),
            Self::SecretFile => ("a secret from the file", "secrets from the files"),
            Self::SecretValue => ("the value of the secret", "the values of the secrets"),
            Self::FromLatest => ("`fromLatest` of image", "`fromLatest` of images"),
            Self::GitBranch => ("the branch", "the branches"),
            Self::HostMount => ("the mount of the host's", "mounts of the host's"),
            Self::BuildDirMount => ("the mount of the build directory at", "mounts of the build directory at"),
            Self::HostNetwork => ("the host's network in image", "the host's network in images"),
            Self::ContextFile => ("the context file", "the context files"),
            Self::CustomTag => ("the tag", "the tags"),
        };
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        format!("{} {}", if names.len() == 1 { one } else { many }, quoted.join(", "))
    }

    fn reason(self, count: usize) -> &'static str {
        match self {
            Self::Modified if count == 1 => "it differs from the commit",
            Self::Modified => "they differ from the commit",
            Self::Untracked if count == 1 => "it is not committed",
            Self::Untracked => "they are not committed",
            Self::Deleted if count == 1 => "it is in the commit, and gone from the disk",
            Self::Deleted => "they are in the commit, and gone from the disk",
            Self::BaseFile => "it is not in the commit",
            Self::LinkTarget => "a rule allows the link, and none where it leads",
            Self::Variable | Self::SecretVariable | Self::SecretFile | Self::SecretValue => {
                "the value is not of the commit"
            }
            Self::FromLatest => "what the base's tag stands for changes without a commit",
            Self::GitBranch => "a branch moves without a commit; name a commit or a tag, or allow the branch",
            Self::HostMount | Self::BuildDirMount => "its content is not of the commit",
            Self::HostNetwork => "what answers there is not of the commit",
            Self::ContextFile => "it is not of the commit",
            Self::CustomTag => "tags of the command line are not of the commit",
        }
    }
}

/// The lines of a rules file that allow the names under a key: a list, or `true` for a key that is a switch.
fn allow(rule: &'static str, names: &[String]) -> String {
    const SWITCHES: [&str; 6] = [
        "config.allowUncommitted",
        "config.stapel.git.allowBranch",
        "config.stapel.mount.allowBuildDir",
        "config.native.allowFromLatest",
        "config.native.allowHostNetwork",
        "cli.allowCustomTags",
    ];
    if rule.is_empty() {
        return String::new();
    }
    let mut lines = format!("{}:\ngiterminismConfigVersion: 1", RULES_FILES[0]);
    let parts: Vec<&str> = rule.split('.').collect();
    for (depth, part) in parts.iter().enumerate() {
        let value = match (depth + 1 == parts.len(), SWITCHES.contains(&rule)) {
            (false, _) => String::new(),
            (true, true) => " true".to_owned(),
            (true, false) => {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                format!(" [{}]", names.join(", "))
            }
        };
        lines.extend(["\n", "  ".repeat(depth).as_str(), part, ":", &value]);
    }
    lines
}
