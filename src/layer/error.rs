//! What can go wrong with a layer: one enum for the module.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to read, write or judge a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a file of a layer directory failed.
    #[error("cannot {action} {path:?}")]
    Io {
        /// The verb, such as `open`.
        action: &'static str,
        /// The path inside the layer or snapshot, or the layer directory itself.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The owner of an entry cannot be set, usually because the id is outside the user namespace.
    #[error("cannot set the owner of {path:?} to {uid}:{gid}")]
    Owner {
        /// The path inside the layer.
        path: PathBuf,
        /// The user id wanted.
        uid: u32,
        /// The group id wanted.
        gid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A stream (archive, blob or sink) failed.
    #[error("cannot {action} the {stream}")]
    Stream {
        /// The verb, such as `read`.
        action: &'static str,
        /// What is being moved, such as `layer archive`.
        stream: &'static str,
        /// What the stream said; an archive cut short is `UnexpectedEof`.
        #[source]
        source: io::Error,
    },
    /// A path that no layer may hold, or an entry that may not stand at its path.
    #[error("refused entry {path:?}: {reason}")]
    Refused {
        /// The path as given.
        path: PathBuf,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// An archive that does not keep to the tar format.
    #[error("invalid layer archive at byte {offset}: {reason}")]
    Archive {
        /// The offset of the header in the uncompressed archive.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The input is larger than the caller allows.
    #[error("layer exceeds the limit of {limit} {what}")]
    Limit {
        /// What is counted, such as `entries`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A hard link whose target is neither in this layer nor below it.
    #[error("hard link {path:?} points to {target:?}, which does not exist")]
    HardLinkTarget {
        /// The path of the link.
        path: PathBuf,
        /// The path it names.
        target: PathBuf,
    },
    /// A path with too many symbolic links, or links in a circle.
    #[error("too many symbolic links in {path:?}")]
    SymlinkLoop {
        /// The path as asked for.
        path: PathBuf,
    },
    /// A component of a path that has to be a directory is something else.
    #[error("{path:?} is not a directory")]
    NotADirectory {
        /// The component.
        path: PathBuf,
    },
    /// A path that has to exist in a snapshot does not.
    #[error("{path:?} does not exist in the snapshot")]
    NotFound {
        /// The path inside the snapshot.
        path: PathBuf,
    },
    /// Entries written to a tar stream in another order than the layer format's.
    #[error("layer entry {path:?} is out of order")]
    OutOfOrder {
        /// The entry that came too late.
        path: PathBuf,
    },
    /// A file changed while it was read.
    #[error("{path:?} changed while it was read")]
    Changed {
        /// The path inside the layer.
        path: PathBuf,
    },
    /// The extended attribute that records an owner does not parse.
    #[error("invalid owner record on {path:?}")]
    OwnerRecord {
        /// The path inside the layer.
        path: PathBuf,
    },
    /// Blobs compressed by a method that OCI does not know.
    #[error("unsupported compression {method}")]
    Compression {
        /// The method that the first bytes show.
        method: &'static str,
    },
}

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A closure for `map_err` on a failed system call.
    pub(super) fn io<E: Into<io::Error>>(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { action, path: path.as_ref().to_owned(), source: source.into() }
    }

    /// A closure for `map_err` on a failed stream.
    pub(super) fn stream(action: &'static str, stream: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Stream { action, stream, source }
    }

    /// An entry refused for a reason.
    pub(super) fn refused(path: impl AsRef<Path>, reason: &'static str) -> Self {
        Self::Refused { path: path.as_ref().to_owned(), reason }
    }
}
