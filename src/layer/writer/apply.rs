//! Setting metadata, in the order in which nothing undoes what came before: owner, attributes, mode, times.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use crate::layer::error::{Error, Result};
use crate::layer::handle::{Subject, magic_path};
use crate::layer::metadata::{Metadata, Mtime, OWNER_XATTR, Ownership, is_layer_xattr, owner_record};
use crate::layer::node::read_attributes;

/// How many paths a report names; the counts are always whole.
const NAMED: usize = 100;

/// What a layer holds that this machine or user cannot make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Skipped {
    /// The first device nodes that were left out.
    pub devices: Vec<PathBuf>,
    /// How many device nodes were left out.
    pub device_count: u64,
    /// The first extended attributes that were left out: path and name.
    pub xattrs: Vec<(PathBuf, String)>,
    /// How many extended attributes were left out.
    pub xattr_count: u64,
}

impl Skipped {
    pub(super) fn device(&mut self, path: &Path) {
        self.device_count += 1;
        if self.devices.len() < NAMED {
            self.devices.push(path.to_owned());
        }
    }

    fn xattr(&mut self, path: &Path, name: &[u8]) {
        self.xattr_count += 1;
        if self.xattrs.len() < NAMED {
            self.xattrs.push((path.to_owned(), String::from_utf8_lossy(name).into_owned()));
        }
    }
}

/// A file to set metadata on.
pub(super) enum Target<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A device or pipe, held by an `O_PATH` handle.
    Handle(BorrowedFd<'a>),
    /// A symbolic link: its directory and name.
    Link(BorrowedFd<'a>, &'a std::ffi::CStr),
}

impl<'a> Target<'a> {
    fn subject(&self) -> Subject<'a> {
        match *self {
            Self::Open(fd) => Subject::Open(fd),
            Self::Handle(fd) => Subject::Handle(fd),
            Self::Link(fd, name) => Subject::At(fd, name),
        }
    }

    fn chown(&self, uid: Option<Uid>, gid: Option<Gid>) -> rustix::io::Result<()> {
        match *self {
            Self::Open(fd) => fs::fchown(fd, uid, gid),
            Self::Handle(fd) => fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH),
            Self::Link(fd, name) => fs::chownat(fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    fn chmod(&self, mode: Mode) -> rustix::io::Result<()> {
        match *self {
            Self::Open(fd) => fs::fchmod(fd, mode),
            Self::Handle(fd) => fs::chmod(magic_path(fd).as_c_str(), mode),
            Self::Link(..) => Ok(()),
        }
    }

    fn set_mtime(&self, mtime: Mtime) -> rustix::io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
        };
        match *self {
            Self::Open(fd) => fs::futimens(fd, &times),
            Self::Handle(fd) => fs::utimensat(fs::CWD, magic_path(fd).as_c_str(), &times, AtFlags::empty()),
            Self::Link(fd, name) => fs::utimensat(fd, name, &times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }
}

/// Sets all metadata of a new file.
pub(super) fn apply(
    target: &Target<'_>,
    path: &Path,
    metadata: &Metadata,
    ownership: Ownership,
    skipped: &mut Skipped,
) -> Result<()> {
    let present = match target {
        Target::Open(fd) => Some(fs::fstat(fd).map_err(Error::io("read the metadata of", path))?),
        Target::Handle(_) | Target::Link(..) => None,
    };
    let owned = ownership == Ownership::Real
        && present.is_some_and(|stat| (stat.st_uid, stat.st_gid) == (metadata.uid, metadata.gid));
    if !owned {
        set_owner(target, path, metadata, ownership)?;
    }
    set_xattrs(target, path, metadata, skipped)?;
    let mode = metadata.mode & 0o7777;
    // Only a change of the owner or an access control list changes the mode that was seen.
    let untouched = (owned || ownership == Ownership::Recorded) && metadata.xattrs.is_empty();
    if !untouched || present.is_none_or(|stat| stat.st_mode & 0o7777 != mode) {
        target.chmod(Mode::from_raw_mode(mode)).map_err(Error::io("set the permissions of", path))?;
    }
    target.set_mtime(metadata.mtime).map_err(Error::io("set the time of", path))
}

fn set_owner(target: &Target<'_>, path: &Path, metadata: &Metadata, ownership: Ownership) -> Result<()> {
    let (uid, gid) = (metadata.uid, metadata.gid);
    let set = match ownership {
        Ownership::Real if uid == u32::MAX || gid == u32::MAX => Err(Errno::INVAL),
        Ownership::Real => target.chown(Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))),
        Ownership::Recorded if (uid, gid) != (0, 0) && matches!(target, Target::Open(_)) => {
            target.subject().set_xattr(OWNER_XATTR.as_bytes(), owner_record(uid, gid).as_bytes())
        }
        Ownership::Recorded => Ok(()),
    };
    set.map_err(|errno| Error::Owner { path: path.to_owned(), uid, gid, source: errno.into() })
}

fn set_xattrs(target: &Target<'_>, path: &Path, metadata: &Metadata, skipped: &mut Skipped) -> Result<()> {
    for (name, value) in &metadata.xattrs {
        if !is_layer_xattr(name) {
            // Marks of overlayfs and of stager have no business in an archive; labels of the maker's security module
            // mean nothing here.
            if name.starts_with(b"security.") {
                skipped.xattr(path, name);
            }
            continue;
        }
        match target.subject().set_xattr(name, value) {
            // No privilege for the namespace, a file type or file system without it, an id outside the namespace.
            Err(Errno::PERM | Errno::NOTSUP | Errno::INVAL | Errno::ACCESS) => skipped.xattr(path, name),
            set => set.map_err(Error::io("set the attributes of", path))?,
        }
    }
    Ok(())
}

/// Removes what an earlier life of a directory left on it and its new metadata lacks.
pub(super) fn strip(target: &Target<'_>, path: &Path, metadata: &Metadata) -> Result<()> {
    let subject = target.subject();
    let strip = || -> rustix::io::Result<()> {
        let present = read_attributes(&subject)?;
        for name in present.layer.keys().filter(|name| !metadata.xattrs.contains_key(*name)) {
            subject.remove_xattr(name)?;
        }
        if present.owner.is_some() { subject.remove_xattr(OWNER_XATTR.as_bytes()) } else { Ok(()) }
    };
    strip().map_err(Error::io("set the attributes of", path))
}
