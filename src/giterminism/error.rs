//! What the gate refuses, and what else can go wrong at it.

use std::fmt;
use std::path::PathBuf;

use super::rules::RULES_FILES;
use crate::git::GitError;
use crate::source::{Diagnostic, SourceFile};

/// Why the gate did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file of rules cannot be used.
    #[error("giterminism rules `{}` cannot be used: {}", .text.name, messages(.mistakes))]
    Rules {
        /// The file.
        text: Box<SourceFile>,
        /// What is wrong with it: all of it.
        mistakes: Vec<Diagnostic>,
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
    /// A file was stored by git-LFS, and only its pointer is there.
    #[error("`{path}` is a git-LFS pointer {place}; its content is elsewhere")]
    LfsPointer {
        /// The path as asked for.
        path: String,
        /// Where the pointer is.
        place: &'static str,
    },
    /// Links lead in a circle.
    #[error("too many levels of symbolic links at `{path}`")]
    LinkLoop {
        /// The path as asked for.
        path: String,
    },
    /// A link or a `..` leads out of the repository.
    #[error("`{path}` leads out of the repository, to `{target}`")]
    Outside {
        /// The path as asked for.
        path: String,
        /// Where it leads.
        target: String,
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
            Self::NotFound { .. } | Self::Outside { .. } => Some("file-not-found"),
            Self::LinkLoop { .. } => Some("symlink-loop"),
            Self::LfsPointer { .. } => Some("lfs-pointer"),
            Self::NoVariable { .. } | Self::NoHome { .. } => Some("env-unset"),
            Self::BadPattern { .. } => Some("glob-syntax"),
            Self::Git(error) => error.code(),
            _ => None,
        }
    }

    /// Whether giterminism refused, rather than something failing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::LfsPointer { .. })
    }

    /// What to do about it, where that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => Some(refusal.remedy()),
            Self::LfsPointer { place: ON_DISK, .. } => Some("`git lfs pull` fetches the content".to_owned()),
            Self::LfsPointer { path, .. } => Some(format!(
                "keep it in git itself (`git lfs untrack {path}`, add and commit it again), or fetch it by `git lfs pull` and allow it to be read from the disk"
            )),
            Self::Outside { .. } => Some("have a copy in the repository: a build sees no more than that".to_owned()),
            Self::NotFound { place: IGNORED, .. } => {
                Some("take it out of .gitignore and commit it, or allow it in the rules".to_owned())
            }
            _ => None,
        }
    }
}

/// Places that a file is missing at, or only a pointer is.
pub(super) const IN_COMMIT: &str = "in the commit";
pub(super) const ON_DISK: &str = "on disk";
pub(super) const IGNORED: &str = "in the commit; the one on disk is ignored by git";
pub(super) const ALLOWED_ON_DISK: &str = "on disk, from where the rules let it in";

/// The messages of several mistakes, each with its line.
fn messages(mistakes: &[Diagnostic]) -> String {
    let one = |mistake: &Diagnostic| {
        let line = mistake.place.as_ref().map(|place| format!("line {}: ", place.line)).unwrap_or_default();
        let help = mistake.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{line}{}{help}", mistake.message)
    };
    mistakes.iter().map(one).collect::<Vec<_>>().join("; ")
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
    /// Links that lead to the names, and have to be allowed with them.
    links: Vec<String>,
}

/// The file of rules that lines should be added to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'a> {
    /// Its path.
    pub(super) file: &'a str,
    /// It is werf's, which has other keys for some things.
    pub(super) werf: bool,
}

impl Default for Home<'_> {
    fn default() -> Self {
        Self { file: RULES_FILES[0], werf: false }
    }
}

impl Home<'_> {
    fn key(self, rule: &'static str) -> &'static str {
        match rule {
            "config.native.allowFromLatest" if self.werf => "config.stapel.allowFromLatest",
            "config.native.allowGitBranches" if self.werf => "config.stapel.git.allowBranch",
            "config.native.allowHostMounts" if self.werf => "config.stapel.mount.allowFromPaths",
            rule => rule,
        }
    }
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, rule: &'static str, names: Vec<String>) -> Self {
        let (what, reason) = (kind.describe(&names), kind.reason(names.len()).to_owned());
        Self { kind, rule, what, reason, allow: allow(Home::default(), rule, &names), links: Vec::new(), names }
    }

    /// The same with the lines for another file of rules.
    pub(super) fn at_home(self, home: Home<'_>) -> Self {
        let rule = home.key(self.rule);
        let names: Vec<String> = self.links.iter().chain(&self.names).cloned().collect();
        Self { allow: allow(home, rule, &names), rule, ..self }
    }

    /// The same for a file that was asked for by the name of a link, which a rule must allow too.
    pub(super) fn through(kind: RefusalKind, rule: &'static str, name: String, link: &str) -> Self {
        if name == link {
            return Self::new(kind, rule, vec![name]);
        }
        let refusal = Self::new(kind, rule, vec![name]);
        Self { reason: format!("{} (`{link}` leads there)", refusal.reason), links: vec![link.to_owned()], ..refusal }
    }
}

/// What kind of thing was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalKind {
    /// A file on disk that git does not know. These come first: what else differs may be what they replace.
    Untracked,
    /// A committed file that differs on disk.
    Modified,
    /// A committed file that is gone on disk.
    Deleted,
    /// A submodule in which another commit is checked out than the one that the commit records.
    Submodule,
    /// A file of which the commit has a git-LFS pointer only.
    LfsPointer,
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
    /// The newest commits of included repositories, in place of those of the lock.
    IncludesUpdate,
}

impl Refusal {
    /// What to do: commit what can be committed, or allow it.
    pub fn remedy(&self) -> String {
        use RefusalKind as Kind;
        let (it, file) = if self.names.len() == 1 { ("it", "the file") } else { ("them", "the files") };
        let otherwise =
            if self.allow.is_empty() { String::new() } else { format!(", or allow {it} in {}", self.allow) };
        match self.kind {
            Kind::Modified | Kind::Deleted => {
                format!("commit {file} or take the change back, build the work tree with --dev{otherwise}")
            }
            Kind::Untracked => format!("commit {file}, build the work tree with --dev{otherwise}"),
            Kind::Submodule => {
                let names = self.names.join(" ");
                format!("`git add {names}` and commit, or `git submodule update -- {names}`{otherwise}")
            }
            Kind::LfsPointer => format!("keep {it} in git itself{otherwise} and fetch the content by `git lfs pull`"),
            Kind::LinkTarget | Kind::BaseFile | Kind::ContextFile => format!("commit {it}{otherwise}"),
            _ => format!("allow {it} in {}", self.allow),
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
            Self::Modified | Self::Deleted | Self::Submodule => "uncommitted",
            Self::Untracked => "untracked",
            Self::LinkTarget => "link-target-not-accepted",
            Self::LfsPointer => "lfs-pointer",
            _ => "giterminism-denied",
        }
    }

    /// The names as a phrase.
    fn describe(self, names: &[String]) -> String {
        let (one, many) = match self {
            Self::Modified | Self::Untracked | Self::Deleted | Self::LfsPointer => ("the file", "the files"),
            Self::Submodule => ("the submodule", "the submodules"),
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
            Self::IncludesUpdate => ("the flag", "the flags"),
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
            Self::Submodule => "another commit is checked out than the one recorded",
            Self::LfsPointer if count == 1 => "the commit has a git-LFS pointer in its place, not the content",
            Self::LfsPointer => "the commit has git-LFS pointers in their place, not the content",
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
            Self::IncludesUpdate => "branches and tags of other repositories move without a commit",
        }
    }
}

/// The lines of a rules file that allow the names under a key: a list, or `true` for a key that is a switch.
fn allow(home: Home<'_>, rule: &'static str, names: &[String]) -> String {
    const SWITCHES: [&str; 8] = [
        "config.allowUncommitted",
        "config.stapel.allowFromLatest",
        "config.stapel.git.allowBranch",
        "config.stapel.mount.allowBuildDir",
        "config.native.allowFromLatest",
        "config.native.allowHostNetwork",
        "cli.allowCustomTags",
        "includes.allowIncludesUpdate",
    ];
    if rule.is_empty() {
        return String::new();
    }
    let mut lines = format!("{}:\ngiterminismConfigVersion: 1", home.file);
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
