//! What the gate refuses, and what else can go wrong at it.

use std::fmt;
use std::path::PathBuf;

use crate::git::GitError;

/// Why the gate did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
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
    /// What to add to `stager-giterminism.yaml`, as YAML.
    pub remedy: String,
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, rule: &'static str, names: Vec<String>) -> Self {
        Self { kind, remedy: remedy(rule, &names), names, rule }
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
    /// An environment variable.
    Variable,
    /// A secret.
    Secret,
    /// `fromLatest`.
    FromLatest,
    /// A branch of a remote repository.
    GitBranch,
    /// A mount of a host path.
    HostMount,
    /// A mount of the build directory.
    BuildDirMount,
    /// The host's network.
    HostNetwork,
    /// A file added to a Dockerfile's context.
    ContextFile,
    /// Tags given on the command line.
    CustomTags,
}

/// The lines of a rules file that allow the names under a key: a list, or `true` for a key that is a switch.
fn remedy(rule: &'static str, names: &[String]) -> String {
    const SWITCHES: [&str; 8] = [
        "config.allowUncommitted",
        "config.stapel.allowFromLatest",
        "config.stapel.git.allowBranch",
        "config.stapel.mount.allowBuildDir",
        "config.native.allowFromLatest",
        "config.native.allowGitBranches",
        "config.native.allowHostNetwork",
        "cli.allowCustomTags",
    ];
    let mut lines = String::new();
    let parts: Vec<&str> = rule.split('.').collect();
    for (depth, part) in parts.iter().enumerate() {
        let last = depth + 1 == parts.len();
        let value = match (last, SWITCHES.contains(&rule)) {
            (false, _) => String::new(),
            (true, true) => " true".to_owned(),
            (true, false) => {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                format!(" [{}]", names.join(", "))
            }
        };
        let newline = if last { "" } else { "\n" };
        lines.push_str(&format!("{}{part}:{value}{newline}", "  ".repeat(depth)));
    }
    lines
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, many, verdict) = match self.kind {
            RefusalKind::Modified => ("file", "files", "differs from the commit"),
            RefusalKind::Untracked => ("file", "files", "is not committed"),
            RefusalKind::Deleted => ("file", "files", "is in the commit and gone from the disk"),
            RefusalKind::LinkTarget => ("link target", "link targets", "is not allowed, though the link is"),
            RefusalKind::Variable => ("environment variable", "environment variables", "is not allowed"),
            RefusalKind::Secret => ("secret", "secrets", "is not allowed"),
            RefusalKind::FromLatest => ("`fromLatest` of", "`fromLatest` of", "is not allowed"),
            RefusalKind::GitBranch => ("branch of", "branches of", "is not allowed"),
            RefusalKind::HostMount => ("mount of", "mounts of", "is not allowed"),
            RefusalKind::BuildDirMount => ("build directory mount at", "build directory mounts at", "is not allowed"),
            RefusalKind::HostNetwork => ("host network for", "host network for", "is not allowed"),
            RefusalKind::ContextFile => ("context file", "context files", "is not allowed"),
            RefusalKind::CustomTags => ("tag", "tags", "is not allowed"),
        };
        let noun = if self.names.len() == 1 { one } else { many };
        write!(formatter, "giterminism: {noun} ")?;
        for (at, name) in self.names.iter().enumerate() {
            write!(formatter, "{}`{name}`", if at == 0 { "" } else { ", " })?;
        }
        let verdict = if self.names.len() == 1 {
            verdict.to_owned()
        } else {
            verdict.replace("differs", "differ").replace("is ", "are ")
        };
        write!(formatter, " {verdict} ({})", self.rule)
    }
}

/// One refusal or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Never empty, sorted by kind.
    pub refusals: Vec<Refusal>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusals: vec![refusal] }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusals
            .iter()
            .enumerate()
            .try_for_each(|(at, refusal)| write!(formatter, "{}{refusal}", if at == 0 { "" } else { "\n" }))
    }
}

impl std::error::Error for Refused {}
