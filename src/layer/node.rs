//! One file of a layer directory as it is: type, metadata, identity.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, OFlags, Stat};

use super::error::{Error, Result};
use super::handle::{Subject, open_readable};
use super::metadata::{
    Metadata, Mtime, OPAQUE_XATTR, OWNER_XATTR, Ownership, Xattrs, is_layer_xattr, parse_owner_record,
};

/// The type of a file with what only that type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular {
        /// Its length in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: PathBuf,
    },
    /// A device node.
    Device(Device),
    /// A named pipe.
    Fifo,
    /// A Unix socket; never part of a layer archive.
    Socket,
}

/// A device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Block or character.
    pub kind: DeviceKind,
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

/// The two kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A character device.
    Character,
    /// A block device.
    Block,
}

/// The file system and inode that tell hard links.
pub(super) type Identity = (u64, u64);

/// A file of a layer directory.
pub(super) struct Node {
    /// Its type.
    pub(super) kind: FileKind,
    /// Its metadata, with the time as on disk.
    pub(super) metadata: Metadata,
    /// Its inode.
    pub(super) identity: Identity,
    /// The number of names of the inode, in any layer.
    pub(super) links: u64,
    /// Whether it is an opaque directory.
    pub(super) opaque: bool,
    /// An open descriptor, for a regular file.
    pub(super) file: Option<OwnedFd>,
}

impl Node {
    /// Reads a directory that is already open.
    pub(super) fn of_directory(directory: BorrowedFd<'_>, ownership: Ownership, path: &Path) -> Result<Self> {
        let stat = fs::fstat(directory).map_err(Error::io("read the metadata of", path))?;
        Self::from_stat(&stat, FileKind::Directory, &Subject::Open(directory), ownership, path)
    }

    /// Reads an entry that is not a directory; `hint` is its type as the directory told it.
    pub(super) fn read(
        parent: BorrowedFd<'_>,
        name: &CStr,
        hint: FileType,
        ownership: Ownership,
        path: &Path,
    ) -> Result<Self> {
        if hint == FileType::RegularFile {
            let file = open_readable(parent, name, OFlags::RDONLY).map_err(Error::io("open", path))?;
            let stat = fs::fstat(&file).map_err(Error::io("read the metadata of", path))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Error::Changed { path: path.to_owned() });
            }
            let kind = FileKind::Regular { size: stat.st_size as u64 };
            let node = Self::from_stat(&stat, kind, &Subject::Open(file.as_fd()), ownership, path)?;
            return Ok(Self { file: Some(file), ..node });
        }
        let stat =
            fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::io("read the metadata of", path))?;
        let target = || fs::readlinkat(parent, name, Vec::new()).map_err(Error::io("read the link", path));
        let kind = kind_of(&stat, target)?;
        Self::from_stat(&stat, kind, &Subject::At(parent, name), ownership, path)
    }

    fn from_stat(
        stat: &Stat,
        kind: FileKind,
        subject: &Subject<'_>,
        ownership: Ownership,
        path: &Path,
    ) -> Result<Self> {
        let attributes = read_attributes(subject).map_err(Error::io("read the attributes of", path))?;
        let (uid, gid) = match ownership {
            Ownership::Real => (stat.st_uid, stat.st_gid),
            Ownership::Recorded => match &attributes.owner {
                Some(record) => {
                    parse_owner_record(record).ok_or_else(|| Error::OwnerRecord { path: path.to_owned() })?
                }
                None => (0, 0),
            },
        };
        Ok(Self {
            opaque: attributes.opaque && kind == FileKind::Directory,
            kind,
            metadata: Metadata {
                mode: stat.st_mode & 0o7777,
                uid,
                gid,
                mtime: mtime_of(stat),
                xattrs: attributes.layer,
            },
            identity: identity_of(stat),
            links: links_of(stat),
            file: None,
        })
    }
}

/// The inode of a file.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub(super) fn identity_of(stat: &Stat) -> Identity {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// The number of names of a file.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub(super) fn links_of(stat: &Stat) -> u64 {
    stat.st_nlink as u64
}

/// The time of last modification on disk.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub(super) fn mtime_of(stat: &Stat) -> Mtime {
    Mtime { seconds: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as u32 }
}

/// The type of a file; `target` reads a symbolic link.
pub(super) fn kind_of(stat: &Stat, target: impl FnOnce() -> Result<std::ffi::CString>) -> Result<FileKind> {
    let device =
        |kind| FileKind::Device(Device { kind, major: fs::major(stat.st_rdev), minor: fs::minor(stat.st_rdev) });
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => {
            FileKind::Symlink { target: PathBuf::from(std::ffi::OsString::from_vec(target()?.into_bytes())) }
        }
        FileType::CharacterDevice => device(DeviceKind::Character),
        FileType::BlockDevice => device(DeviceKind::Block),
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        _ => FileKind::Regular { size: stat.st_size as u64 },
    })
}

/// The attributes of a file, sorted by whose they are.
#[derive(Default)]
pub(super) struct Attributes {
    /// Those that belong to the layer.
    pub(super) layer: Xattrs,
    /// The owner record.
    pub(super) owner: Option<Vec<u8>>,
    /// Whether overlayfs marked the directory opaque.
    pub(super) opaque: bool,
}

/// Reads the attributes of a file.
pub(super) fn read_attributes(subject: &Subject<'_>) -> rustix::io::Result<Attributes> {
    let mut attributes = Attributes::default();
    for name in subject.xattr_names()? {
        if is_layer_xattr(&name) {
            if let Some(value) = subject.xattr(&name)? {
                attributes.layer.insert(name, value);
            }
        } else if name == OWNER_XATTR.as_bytes() {
            attributes.owner = subject.xattr(&name)?;
        } else if name == OPAQUE_XATTR.as_bytes() {
            attributes.opaque = subject.xattr(&name)?.as_deref() == Some(b"y");
        }
    }
    Ok(attributes)
}
