//! Finds and makes mount targets inside a tree that nobody trusts.
//!
//! A path is resolved component by component through directory handles: every component is opened without following
//! links, links are read and their text is resolved from the root of the *tree*, and `..` never leaves it. So a link
//! in an image can't lead a mount, a stub or a deletion outside.
//!
//! What had to be made is remembered as [`Stub`]s, and removed from the upper directory after the step if the step
//! left it as it was. Usually there is nothing to remember: the builder puts all targets into a layer of its own below
//! the image's layers, so that they exist; only an image that hides or redirects them (a whiteout, an opaque
//! directory, a dangling link) needs stubs.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::wire::Bytes;

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Something the builder made in, or copied up to, the upper directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stub {
    /// Its names from the root down; real directories, no links.
    names: Vec<Bytes>,
    kind: StubKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum StubKind {
    /// An empty file made as a mount point.
    File,
    /// A directory made as a mount point, or above one.
    Directory,
    /// A directory of a lower layer that was copied up because something was made in it.
    CopiedUp { mode: u32, uid: u32, gid: u32 },
}

/// What a target must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetKind {
    File,
    Directory,
}

/// Resolves targets in one tree and keeps the list of what it made.
pub(super) struct Targets<'a> {
    root: BorrowedFd<'a>,
    device: u64,
    stubs: Vec<Stub>,
    made_for_good: Vec<Vec<Bytes>>,
}

/// One directory on the way: its handle and its name in the one before.
struct Place {
    handle: OwnedFd,
    name: OsString,
}

impl<'a> Targets<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> io::Result<Self> {
        Ok(Self { root, device: fstat(root)?.st_dev, stubs: Vec::new(), made_for_good: Vec::new() })
    }

    /// What was made so far that the step's result must not show.
    pub(super) fn into_stubs(mut self) -> Vec<Stub> {
        self.stubs.retain(|stub| !self.made_for_good.contains(&stub.names));
        self.stubs
    }

    /// A handle on `path`, made as a stub if it is absent.
    pub(super) fn mount_point(&mut self, path: &str, kind: TargetKind) -> io::Result<OwnedFd> {
        self.resolve(path, kind, true)
    }

    /// A handle on the directory `path`, made for good if it is absent.
    pub(super) fn make_directory(&mut self, path: &str) -> io::Result<OwnedFd> {
        self.resolve(path, TargetKind::Directory, false)
    }

    /// Whether the tree has this directory.
    pub(super) fn is_directory(&self, path: &str) -> bool {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(self.root, path, flags, Mode::empty(), how).is_ok()
    }

    /// A handle on the real directory `name` in the root; a link in its place is an error.
    pub(super) fn system_directory(&mut self, name: &str) -> io::Result<OwnedFd> {
        match open_component(self.root, OsStr::new(name)) {
            Ok((handle, stat)) if file_type(&stat) == FileType::Directory => Ok(handle),
            Ok(_) => Err(io::Error::from(Errno::NOTDIR)),
            Err(Errno::NOENT) => self.make(&[], OsStr::new(name), TargetKind::Directory, true),
            Err(error) => Err(error.into()),
        }
    }

    fn resolve(&mut self, path: &str, kind: TargetKind, as_stub: bool) -> io::Result<OwnedFd> {
        let mut pending: VecDeque<OsString> = components(path.as_bytes()).collect();
        let mut places: Vec<Place> = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                places.pop();
                continue;
            }
            let here = places.last().map_or(self.root, |place| place.handle.as_fd());
            let (handle, stat) = match open_component(here, &name) {
                Ok(found) => found,
                Err(Errno::NOENT) => {
                    let made_kind = if pending.is_empty() { kind } else { TargetKind::Directory };
                    let handle = self.make(&places, &name, made_kind, as_stub)?;
                    places.push(Place { handle, name });
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match file_type(&stat) {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let text = readlinkat(here, &name, Vec::new())?.into_bytes();
                    if text.starts_with(b"/") {
                        places.clear();
                    }
                    for component in components(&text).collect::<Vec<_>>().into_iter().rev() {
                        pending.push_front(component);
                    }
                }
                FileType::Directory => places.push(Place { handle, name }),
                _ if pending.is_empty() && kind == TargetKind::File => return Ok(handle),
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        match (places.pop(), kind) {
            (Some(place), TargetKind::File) => {
                if FileType::from_raw_mode(fstat(&place.handle)?.st_mode) == FileType::Directory {
                    return Err(Errno::ISDIR.into());
                }
                Ok(place.handle)
            }
            (Some(place), TargetKind::Directory) => Ok(place.handle),
            (None, TargetKind::File) => Err(Errno::ISDIR.into()),
            (None, TargetKind::Directory) => Ok(openat(self.root, ".", handle_flags(), Mode::empty())?),
        }
    }

    fn make(&mut self, above: &[Place], name: &OsStr, kind: TargetKind, as_stub: bool) -> io::Result<OwnedFd> {
        let here = above.last().map_or(self.root, |place| place.handle.as_fd());
        if as_stub {
            self.remember(above, name, kind)?;
        } else {
            let above = above.iter().map(|place| Bytes::from(&place.name));
            self.made_for_good.push(above.chain([Bytes::from(&name)]).collect());
        }
        match kind {
            TargetKind::Directory => mkdirat(here, name, Mode::from_raw_mode(0o755))?,
            TargetKind::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                drop(openat(here, name, flags, Mode::from_raw_mode(0o644))?);
            }
        }
        Ok(open_component(here, name)?.0)
    }

    /// Notes a stub about to be made, and the directories above it that will be copied up for it.
    fn remember(&mut self, above: &[Place], name: &OsStr, kind: TargetKind) -> io::Result<()> {
        let mut names: Vec<Bytes> = Vec::new();
        for place in above {
            let stat = fstat(&place.handle)?;
            if stat.st_dev != self.device {
                return Ok(()); // Inside another mount: not in the upper directory.
            }
            names.push(Bytes::from(&place.name));
            let known = self.stubs.iter().any(|stub| stub.names == names);
            if !known {
                let kind = StubKind::CopiedUp { mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid };
                self.stubs.push(Stub { names: names.clone(), kind });
            }
        }
        names.push(Bytes::from(&name));
        let kind = if kind == TargetKind::File { StubKind::File } else { StubKind::Directory };
        self.stubs.push(Stub { names, kind });
        Ok(())
    }
}

/// Removes from the upper directory the stubs that the step left as they were.
///
/// Works on handles below `upper` only. What the step changed, moved or filled stays.
pub(super) fn remove_stubs(upper: BorrowedFd<'_>, stubs: &[Stub]) {
    for stub in stubs.iter().rev() {
        // A stub that can't be reached or removed was changed by the step, or is hidden by what the step did.
        let _ = remove_stub(upper, stub);
    }
}

fn remove_stub(upper: BorrowedFd<'_>, stub: &Stub) -> rustix::io::Result<()> {
    let Some((last, above)) = stub.names.split_last() else { return Ok(()) };
    let mut handle: Option<OwnedFd> = None;
    for name in above {
        let here = handle.as_ref().map_or(upper, AsFd::as_fd);
        let next = openat(here, OsStr::from_bytes(&name.0), handle_flags() | OFlags::DIRECTORY, Mode::empty())?;
        handle = Some(next);
    }
    let here = handle.as_ref().map_or(upper, AsFd::as_fd);
    let last = OsStr::from_bytes(&last.0);
    let stat = statat(here, last, AtFlags::SYMLINK_NOFOLLOW)?;
    match stub.kind {
        StubKind::File if file_type(&stat) == FileType::RegularFile && stat.st_size == 0 && stat.st_nlink == 1 => {
            unlinkat(here, last, AtFlags::empty())
        }
        StubKind::Directory if stat.st_mode == 0o040_755 && stat.st_uid == 0 && stat.st_gid == 0 => {
            unlinkat(here, last, AtFlags::REMOVEDIR)
        }
        StubKind::CopiedUp { mode, uid, gid } if (mode, uid, gid) == (stat.st_mode, stat.st_uid, stat.st_gid) => {
            unlinkat(here, last, AtFlags::REMOVEDIR)
        }
        _ => Ok(()),
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = OsString> + '_ {
    path.split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsString::from_vec(part.to_vec()))
}

fn handle_flags() -> OFlags {
    OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn open_component(here: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<(OwnedFd, Stat)> {
    let handle = openat(here, name, handle_flags(), Mode::empty())?;
    let stat = fstat(&handle)?;
    Ok((handle, stat))
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn open_root(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    fn names_below(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn links_never_lead_outside_the_root() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        fs_err::create_dir_all(root.join("a")).unwrap();
        fs_err::create_dir_all(temp.path().join("outside")).unwrap();
        symlink("../../../outside", root.join("a/relative")).unwrap();
        symlink(temp.path().join("outside"), root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let handle = open_root(&root);
        let mut targets = Targets::new(handle.as_fd()).unwrap();
        targets.mount_point("/a/relative/file", TargetKind::File).unwrap();
        targets.mount_point("/absolute/directory", TargetKind::Directory).unwrap();
        targets.mount_point("/../../../up", TargetKind::File).unwrap();
        let looped = targets.mount_point("/loop/x", TargetKind::File).unwrap_err();
        assert_eq!(looped.raw_os_error(), Some(libc::ELOOP));
        assert!(root.join("outside/file").exists() && root.join("up").exists());
        assert!(names_below(&temp.path().join("outside")).is_empty());
        let stubs = targets.into_stubs();
        remove_stubs(handle.as_fd(), &stubs);
        assert_eq!(names_below(&root), ["a", "absolute", "loop"]);
    }

    #[test]
    fn a_directory_made_for_good_outlives_the_stubs_in_it() {
        let temp = tempfile::tempdir().unwrap();
        let handle = open_root(temp.path());
        let mut targets = Targets::new(handle.as_fd()).unwrap();
        targets.make_directory("/work/here").unwrap();
        targets.mount_point("/work/here/cache", TargetKind::Directory).unwrap();
        remove_stubs(handle.as_fd(), &targets.into_stubs());
        assert_eq!(names_below(&temp.path().join("work")), ["here"]);
        assert!(names_below(&temp.path().join("work/here")).is_empty());
    }

    #[test]
    fn what_the_step_changed_stays() {
        let temp = tempfile::tempdir().unwrap();
        let handle = open_root(temp.path());
        let mut targets = Targets::new(handle.as_fd()).unwrap();
        targets.mount_point("/kept/by/content", TargetKind::File).unwrap();
        targets.mount_point("/gone/entirely", TargetKind::Directory).unwrap();
        let stubs = targets.into_stubs();
        fs_err::write(temp.path().join("kept/by/content"), "x").unwrap();
        remove_stubs(handle.as_fd(), &stubs);
        assert_eq!(names_below(temp.path()), ["kept"]);
        assert_eq!(fs_err::read(temp.path().join("kept/by/content")).unwrap(), b"x");
    }

    #[test]
    fn a_removal_does_not_follow_a_link_that_replaced_a_stub() {
        let temp = tempfile::tempdir().unwrap();
        let (root, outside) = (temp.path().join("root"), temp.path().join("outside"));
        fs_err::create_dir_all(&root).unwrap();
        fs_err::create_dir_all(outside.join("inner")).unwrap();
        fs_err::write(outside.join("file"), "").unwrap();
        let handle = open_root(&root);
        let mut targets = Targets::new(handle.as_fd()).unwrap();
        targets.mount_point("/d/file", TargetKind::File).unwrap();
        targets.mount_point("/d/inner", TargetKind::Directory).unwrap();
        let stubs = targets.into_stubs();
        fs_err::remove_dir_all(root.join("d")).unwrap();
        symlink(&outside, root.join("d")).unwrap();
        remove_stubs(handle.as_fd(), &stubs);
        assert_eq!(names_below(&outside), ["file", "inner"]);
    }

    #[test]
    fn kinds_must_fit() {
        let temp = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(temp.path().join("directory")).unwrap();
        fs_err::write(temp.path().join("file"), "").unwrap();
        let handle = open_root(temp.path());
        let mut targets = Targets::new(handle.as_fd()).unwrap();
        let errno = |result: io::Result<OwnedFd>| result.unwrap_err().raw_os_error();
        assert_eq!(errno(targets.mount_point("/directory", TargetKind::File)), Some(libc::EISDIR));
        assert_eq!(errno(targets.mount_point("/file", TargetKind::Directory)), Some(libc::ENOTDIR));
        assert_eq!(errno(targets.mount_point("/file/below", TargetKind::File)), Some(libc::ENOTDIR));
        assert_eq!(errno(targets.mount_point("/", TargetKind::File)), Some(libc::EISDIR));
        symlink("directory", temp.path().join("proc")).unwrap();
        assert_eq!(errno(targets.system_directory("proc")), Some(libc::ENOTDIR));
    }
}
