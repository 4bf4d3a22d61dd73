//! Removes whole trees, whoever owns what in them and however deep they are.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

/// Directories below this depth are moved up before they are emptied, so that neither descriptors nor stack run out.
const MAX_DEPTH: usize = 64;

/// Removes `path` and, if it is a directory, everything below it. A path that doesn't exist is fine.
///
/// Works through directory handles and follows no link. Trees with ids of a user namespace must be removed from
/// within it. What has already been removed when an error occurs stays removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let is_directory = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !is_directory {
        return ignore_absent(unlinkat(CWD, path, AtFlags::empty()));
    }
    match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
        result => return ignore_absent(result),
    }
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    let top = open_for_removal(CWD, &name)?;
    let mut remover = Remover { top, moved: 0 };
    let top = remover.top.try_clone()?;
    // Each round empties the tree to a depth; what lay deeper was moved to the top and is met in the next.
    loop {
        let moved = remover.moved;
        remover.empty(top.as_fd(), 1)?;
        if remover.moved == moved {
            break;
        }
    }
    ignore_absent(unlinkat(CWD, path, AtFlags::REMOVEDIR))
}

struct Remover {
    top: OwnedFd,
    moved: u64,
}

impl Remover {
    fn empty(&mut self, directory: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        let mut subdirectories = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                subdirectories.push(name.to_owned());
                continue;
            }
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                // File systems that don't tell types, and directories.
                Err(Errno::ISDIR | Errno::PERM) => subdirectories.push(name.to_owned()),
                Err(error) => return Err(error.into()),
            }
        }
        subdirectories.iter().try_for_each(|name| self.remove_directory(directory, name, depth))
    }

    fn remove_directory(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
        if depth >= MAX_DEPTH {
            self.moved += 1;
            let unique = format!(".stager-removing-{}-{}", std::process::id(), self.moved);
            return Ok(renameat(parent, name, &self.top, unique)?);
        }
        let child = open_for_removal(parent, name)?;
        self.empty(child.as_fd(), depth + 1)?;
        ignore_absent(unlinkat(parent, name, AtFlags::REMOVEDIR))
    }
}

/// Opens a directory, making it accessible first if its owner locked himself out.
fn open_for_removal(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(parent, name, flags, Mode::empty());
    let handle = match open() {
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        result => result?,
    };
    let mode = rustix::fs::fstat(&handle)?.st_mode;
    if mode & 0o700 != 0o700 {
        // Root doesn't need it; for others a failure shows in what follows.
        let _ = rustix::fs::fchmod(&handle, Mode::RWXU);
    }
    Ok(handle)
}

fn ignore_absent(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_are_removed_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (tree, outside) = (temp.path().join("tree"), temp.path().join("outside"));
        fs_err::create_dir_all(tree.join("a/b")).unwrap();
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("file"), "kept").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        fs_err::set_permissions(tree.join("a/b"), PermissionsExt::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("file").exists());
        symlink(&outside, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(tree.symlink_metadata().is_err() && outside.join("file").exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn depth_is_no_limit() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("tree");
        fs_err::create_dir(&tree).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut here = rustix::fs::open(&tree, flags, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, "directory", Mode::RWXU).unwrap();
            here = openat(&here, "directory", flags, Mode::empty()).unwrap();
        }
        drop(here);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
