//! What can go wrong with repositories and their objects.

use std::path::PathBuf;

use stages::ObjectId;

/// A failure in a repository.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No repository at or above the directory.
    #[error("no git repository at or above {0}")]
    NotARepository(PathBuf),
    /// git's ownership check refused the repository.
    #[error("git repository {0} belongs to another user and is not a safe.directory of this one")]
    NotOwned(PathBuf),
    /// HEAD names a branch without a commit.
    #[error("branch `{branch}` of {repository} has no commit yet")]
    Unborn {
        /// The repository.
        repository: PathBuf,
        /// The branch that HEAD names.
        branch: String,
    },
    /// A repository could not be opened or asked.
    #[error("cannot {action} in git repository {repository}")]
    Repository {
        /// What was attempted, such as `read HEAD`.
        action: String,
        /// The repository.
        repository: PathBuf,
        /// Why it failed.
        #[source]
        source: git2::Error,
    },
    /// An object could not be read: missing in a shallow or partial clone, or damaged.
    #[error("cannot read git {kind} {id} in {repository}")]
    Object {
        /// `tree`, `blob`, `commit`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The repository.
        repository: PathBuf,
        /// Why it failed.
        #[source]
        source: git2::Error,
    },
    /// A tree object breaks git's rules.
    #[error("git tree {id} is malformed: {reason}")]
    MalformedTree {
        /// Its id.
        id: String,
        /// The broken rule.
        reason: &'static str,
    },
    /// The tree has no such path.
    #[error("`{path}` is not in tree {tree}")]
    NotFound {
        /// The path that was asked for.
        path: String,
        /// The tree.
        tree: ObjectId,
    },
    /// The path leads to something of another kind.
    #[error("`{path}` is not a {expected}")]
    NotA {
        /// The path that was asked for.
        path: String,
        /// `file`, `directory`.
        expected: &'static str,
    },
    /// A blob is larger than the caller takes.
    #[error("git blob {id} has {size} bytes, more than the {limit} allowed here")]
    TooLarge {
        /// Its id.
        id: ObjectId,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A working file is larger than the caller takes.
    #[error("`{path}` has {size} bytes, more than the {limit} allowed here")]
    WorkingFileTooLarge {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A path has a `..` segment that leads outside of the repository, or is absolute inside of a link.
    #[error("`{path}` leads outside of the repository")]
    Outside {
        /// The path or link.
        path: String,
    },
    /// Symbolic links point at each other.
    #[error("too many levels of symbolic links at `{path}`")]
    LinkLoop {
        /// The path that was asked for.
        path: String,
    },
    /// A submodule's commit is not on this machine.
    #[error(
        "submodule `{path}` at commit {commit} is not in this clone; `git submodule update --init -- {path}` gets it"
    )]
    MissingSubmodule {
        /// Where the submodule is.
        path: String,
        /// The commit that the tree records.
        commit: ObjectId,
    },
    /// A submodule of a clone could not be fetched.
    #[error("cannot fetch submodule `{path}` at commit {commit} from {url}")]
    Submodule {
        /// Where the submodule is in the commit that was asked for.
        path: String,
        /// The commit that the tree records.
        commit: ObjectId,
        /// The submodule's address without credentials.
        url: String,
        /// Why it failed.
        #[source]
        source: Box<GitError>,
    },
    /// A submodule of a clone that no fetch could know, or whose clone is gone since.
    #[error("submodule `{path}` at commit {commit} of {url} is not available: {reason}")]
    UnknownSubmodule {
        /// Where the submodule is.
        path: String,
        /// The commit that the tree records.
        commit: ObjectId,
        /// The address without credentials of the repository above it.
        url: String,
        /// Why.
        reason: String,
    },
    /// The content cannot be laid out as a delta, because a path that went away exists beneath.
    #[error("`{path}` was removed but exists below, which a delta cannot show")]
    NotADelta {
        /// The path in the image.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// The verb, such as `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The index file of a work tree cannot be used.
    #[error("cannot use the git index {path}: {reason}")]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operation needs a work tree.
    #[error("git repository {0} is bare; there are no working files")]
    Bare(PathBuf),
    /// A remote address or reference is not acceptable.
    #[error("cannot fetch {url}: {reason}")]
    BadRemote {
        /// The address without credentials.
        url: String,
        /// Why it is refused.
        reason: String,
    },
    /// A fetch failed.
    #[error("cannot fetch {what} from {url}: {reason}")]
    Fetch {
        /// The reference or commit.
        what: String,
        /// The address without credentials.
        url: String,
        /// What git said.
        reason: String,
    },
    /// Another process holds the clone for too long.
    #[error("waited {seconds} s for another process that fetches into {path}")]
    Busy {
        /// The clone.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
}

impl GitError {
    /// The class of the problem, as diagnostics have it.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::NotARepository(_) | Self::NotOwned(_) | Self::Unborn { .. } | Self::Bare(_) => Some("repository"),
            Self::LinkLoop { .. } => Some("symlink-loop"),
            Self::NotFound { .. } | Self::NotA { .. } | Self::Outside { .. } => Some("file-not-found"),
            _ => None,
        }
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action, path: path.into(), source: source.into() }
    }
}

/// A repository path for a message.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
