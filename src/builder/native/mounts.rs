//! File systems and bind mounts as descriptors: made detached, given their attributes, then attached to a handle.
//!
//! Nothing is ever attached by path, and no attribute is added after a mount became visible, so that a hostile tree
//! (a symbolic link at a mount point) can't send a mount elsewhere. Needs Linux 5.12.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, open, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::sys;
use super::wire::{Doing, Failure};

/// The attributes of everything that isn't the tree itself.
pub(super) const NO_DEVICES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// A new file system instance, not attached anywhere. An option with an empty value is a flag.
pub(super) fn new_file_system(name: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(&context, *key)?;
        } else {
            fsconfig_set_string(&context, *key, *value)?;
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A detached copy of the mount tree at `path` below `directory` (which may be empty for `directory` itself).
pub(super) fn clone_tree(directory: impl AsFd, path: &str, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW
        | if path.is_empty() { OpenTreeFlags::AT_EMPTY_PATH } else { OpenTreeFlags::empty() };
    let tree = open_tree(directory, path, flags)?;
    if !attributes.is_empty() {
        sys::mount_setattr(tree.as_fd(), attributes.bits().into(), true)?;
    }
    Ok(tree)
}

/// Attaches a detached mount to a handle.
pub(super) fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", flags)?)
}

/// A handle on an existing directory.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, Failure> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("opening the directory {}", path.display()))
}

/// A detached copy of one of the host's device nodes, after a look that it is that node.
pub(super) fn clone_device(name: &str, major: u32, minor: u32) -> Result<OwnedFd, Failure> {
    let path = format!("/dev/{name}");
    let node = openat(CWD, path.as_str(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("opening {path}"))?;
    let stat = fstat(&node).doing(|| format!("looking at {path}"))?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || stat.st_rdev != rustix::fs::makedev(major, minor) {
        return Err(Failure::refusal(format!("the host's {path} is not the device {major}:{minor}")));
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    clone_tree(&node, "", attributes).doing(|| format!("copying the mount of {path}"))
}
