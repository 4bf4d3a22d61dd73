//! Files by handle: every look at a layer directory goes through a directory descriptor and follows no link.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, XattrFlags};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

use super::error;
use super::path::components;

/// Opens a directory that stager itself named; links in its path are the user's own.
pub(super) fn open_root(path: &Path) -> error::Result<OwnedFd> {
    fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(error::Error::io("open", path))
}

/// Opens a directory entry for reading. A file or directory of our own that its mode hides from us, which only happens
/// outside a user namespace, is made readable for the moment of opening it.
pub(super) fn open_readable<P: Arg + Copy>(parent: BorrowedFd<'_>, name: P, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match fs::openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => fs::openat(parent, name, flags, Mode::empty()),
        Err(Errno::ACCESS) => {
            let handle = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            with_permission(handle.as_fd(), || fs::openat(parent, name, flags, Mode::empty()))
        }
        opened => opened,
    }
}

fn with_permission<T>(handle: BorrowedFd<'_>, open: impl FnOnce() -> Result<T>) -> Result<T> {
    let mode = Mode::from_raw_mode(fs::fstat(handle)?.st_mode);
    let magic = magic_path(handle);
    fs::chmod(magic.as_c_str(), mode | Mode::RUSR | Mode::XUSR)?;
    let opened = open();
    fs::chmod(magic.as_c_str(), mode)?;
    opened
}

/// As [`open_beneath`], for reading; see [`open_readable`] for what its mode hides.
pub(super) fn open_readable_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    match open_beneath(root, path, flags | OFlags::NONBLOCK) {
        Err(Errno::ACCESS) => {
            let handle = open_beneath(root, path, OFlags::PATH)?;
            with_permission(handle.as_fd(), || open_beneath(root, path, flags | OFlags::NONBLOCK))
        }
        opened => opened,
    }
}

/// Opens a path below a directory, following no link anywhere in it. The empty path is the directory itself.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let whole = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match fs::openat2(root, whole, flags, Mode::empty(), resolve) {
        // Old kernels, seccomp filters of container engines, and paths longer than PATH_MAX.
        Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => open_by_component(root, path, flags),
        opened => opened,
    }
}

fn open_by_component(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let mut names = components(path).peekable();
    let mut current: Option<OwnedFd> = None;
    while let Some(name) = names.next() {
        let parent = current.as_ref().map_or(root, AsFd::as_fd);
        let step = if names.peek().is_some() {
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
        } else {
            flags
        };
        current = Some(fs::openat(parent, name, step, Mode::empty())?);
    }
    current.map_or_else(|| fs::openat(root, ".", flags, Mode::empty()), Ok)
}

/// The path through which a system call without a handle form reaches the file behind a handle.
pub(super) fn magic_path(handle: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", handle.as_raw_fd())).expect("digits hold no NUL")
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Name {
    /// The name.
    pub(super) name: CString,
    /// Its type, never unknown.
    pub(super) kind: FileType,
    /// Whether it is an overlayfs whiteout.
    pub(super) whiteout: bool,
}

/// The names in a directory, in layer order: whiteouts first, then by bytes. The descriptor must be fresh.
pub(super) fn list_names(directory: BorrowedFd<'_>) -> Result<Vec<Name>> {
    let mut buffer = Vec::<u8>::with_capacity(64 << 10);
    let mut names = Vec::new();
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(Name { name: entry.file_name().to_owned(), kind: entry.file_type(), whiteout: false });
        }
    }
    for name in &mut names {
        if matches!(name.kind, FileType::Unknown | FileType::CharacterDevice) {
            let stat = fs::statat(directory, name.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            name.kind = FileType::from_raw_mode(stat.st_mode);
            name.whiteout = is_whiteout(&stat);
        }
    }
    names.sort_unstable_by(|left, right| (!left.whiteout, &left.name).cmp(&(!right.whiteout, &right.name)));
    Ok(names)
}

/// Tells whether a file is an overlayfs whiteout: a character device 0:0.
pub(super) fn is_whiteout(stat: &fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// A file whose extended attributes are wanted.
pub(super) enum Subject<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A file held by an `O_PATH` handle.
    Handle(BorrowedFd<'a>),
    /// A name in a directory; a link is not followed.
    At(BorrowedFd<'a>, &'a CStr),
}

enum Place<'a> {
    Fd(BorrowedFd<'a>),
    Magic(CString),
    Link(CString),
}

impl<'a> Subject<'a> {
    fn place(&self) -> Place<'a> {
        match self {
            Self::Open(fd) => Place::Fd(*fd),
            Self::Handle(fd) => Place::Magic(magic_path(*fd)),
            Self::At(fd, name) => {
                let mut path = magic_path(*fd).into_bytes();
                path.push(b'/');
                path.extend_from_slice(name.to_bytes());
                Place::Link(CString::new(path).expect("names hold no NUL"))
            }
        }
    }

    /// The names of all attributes; none on a file system without them.
    pub(super) fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        let place = self.place();
        let size = || match &place {
            Place::Fd(fd) => fs::flistxattr_query(fd),
            Place::Magic(path) => fs::listxattr_query(path.as_c_str()),
            Place::Link(path) => fs::llistxattr_query(path.as_c_str()),
        };
        let fill = |buffer: &mut [u8]| match &place {
            Place::Fd(fd) => fs::flistxattr(fd, buffer),
            Place::Magic(path) => fs::listxattr(path.as_c_str(), buffer),
            Place::Link(path) => fs::llistxattr(path.as_c_str(), buffer),
        };
        let list = match read_sized(size, fill) {
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            list => list?,
        };
        Ok(list.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// The value of an attribute.
    pub(super) fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let place = self.place();
        let name = OsStr::from_bytes(name);
        let size = || match &place {
            Place::Fd(fd) => fs::fgetxattr_query(fd, name),
            Place::Magic(path) => fs::getxattr_query(path.as_c_str(), name),
            Place::Link(path) => fs::lgetxattr_query(path.as_c_str(), name),
        };
        let fill = |buffer: &mut [u8]| match &place {
            Place::Fd(fd) => fs::fgetxattr(fd, name, buffer),
            Place::Magic(path) => fs::getxattr(path.as_c_str(), name, buffer),
            Place::Link(path) => fs::lgetxattr(path.as_c_str(), name, buffer),
        };
        let value = match (read_sized(size, fill), self) {
            (Err(Errno::ACCESS), Self::Open(handle) | Self::Handle(handle)) => {
                with_permission(*handle, || read_sized(size, fill))
            }
            (Err(Errno::ACCESS), Self::At(directory, name)) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let handle = fs::openat(*directory, *name, flags, Mode::empty())?;
                with_permission(handle.as_fd(), || read_sized(size, fill))
            }
            (value, _) => value,
        };
        match value {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sets an attribute.
    pub(super) fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<()> {
        let name = OsStr::from_bytes(name);
        match self.place() {
            Place::Fd(fd) => fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Place::Magic(path) => fs::setxattr(path.as_c_str(), name, value, XattrFlags::empty()),
            Place::Link(path) => fs::lsetxattr(path.as_c_str(), name, value, XattrFlags::empty()),
        }
    }

    /// Removes an attribute if it is there.
    pub(super) fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        let name = OsStr::from_bytes(name);
        let removed = match self.place() {
            Place::Fd(fd) => fs::fremovexattr(fd, name),
            Place::Magic(path) => fs::removexattr(path.as_c_str(), name),
            Place::Link(path) => fs::lremovexattr(path.as_c_str(), name),
        };
        match removed {
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            removed => removed,
        }
    }
}

/// Asks for a size, then for the data, again when it grew in between.
fn read_sized(size: impl Fn() -> Result<usize>, fill: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    loop {
        let mut buffer = vec![0; size()?];
        if buffer.is_empty() {
            return Ok(buffer);
        }
        match fill(&mut buffer) {
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
            Ok(count) => {
                buffer.truncate(count);
                return Ok(buffer);
            }
        }
    }
}
