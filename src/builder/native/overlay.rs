//! Stacks directories with overlayfs.
//!
//! Options, and why: `userxattr` always, so that a tree is readable in every mode (without it a user namespace can't
//! record opaque directories); `volatile`, since a step's result counts only when the step has ended, so that fsync in
//! a step costs nothing; `redirect_dir=nofollow`, `metacopy=off`, `index=off` and `xino=off`, so that the upper directory
//! is a plain diff that can be renamed, packed and stacked again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, mount,
};
use rustix::process::{chdir, fchdir};

use super::mounts::{clone_tree, open_directory};
use super::sys;
use super::wire::{Doing, Failure};

/// The directories to stack, as handles.
pub(super) struct Stack {
    /// Topmost first.
    pub(super) lowers: Vec<OwnedFd>,
    /// Where changes go; without it the stack is read-only.
    pub(super) upper: Option<Writable>,
}

/// The writable part of a stack.
pub(super) struct Writable {
    pub(super) upper: OwnedFd,
    pub(super) work: OwnedFd,
}

impl Stack {
    /// A read-only stack of existing directories, topmost first.
    pub(super) fn read_only(lowers: &[PathBuf]) -> Result<Self, Failure> {
        let lowers = lowers.iter().map(|path| open_directory(path)).collect::<Result<_, _>>()?;
        Ok(Self { lowers, upper: None })
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        let mut options: Vec<(&str, String)> =
            [("userxattr", ""), ("redirect_dir", "nofollow"), ("metacopy", "off"), ("xino", "off")]
                .map(|(key, value)| (key, value.to_owned()))
                .to_vec();
        if let Some(writable) = &self.upper {
            options.push(("index", "off".into()));
            options.push(("volatile", String::new()));
            options.push(("upperdir", sys::proc_path(&writable.upper)));
            options.push(("workdir", sys::proc_path(&writable.work)));
        }
        options
    }
}

/// Mounts a stack, detached.
///
/// Kernels without `lowerdir+` (before 6.7) get the classic mount(2) on `place`, which is then detached from it, as do
/// all when `legacy` asks for it.
pub(super) fn mount_stack(stack: &Stack, place: &OwnedFd, legacy: bool) -> Result<OwnedFd, Failure> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    if let [only] = stack.lowers.as_slice()
        && stack.upper.is_none()
    {
        let attributes = attributes | MountAttrFlags::MOUNT_ATTR_RDONLY;
        return clone_tree(only, "", attributes).doing(|| "showing a directory read-only".into());
    }
    if !legacy {
        match mount_modern(stack, attributes) {
            Err(error) if is_unsupported(&error) => {}
            result => return result.doing(|| format!("mounting an overlay of {} layers", stack.lowers.len())),
        }
    }
    mount_legacy(stack, place).doing(|| format!("mounting an overlay of {} layers by mount(2)", stack.lowers.len()))
}

/// EINVAL stands for many things, among them an unknown `lowerdir+`; the classic call then tells.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS))
}

pub(super) fn mount_modern(stack: &Stack, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for lower in &stack.lowers {
        fsconfig_set_string(&context, "lowerdir+", sys::proc_path(lower))?;
    }
    for (key, value) in stack.options() {
        if value.is_empty() {
            fsconfig_set_flag(&context, key)?;
        } else {
            fsconfig_set_string(&context, key, value)?;
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// The classic call cuts its options at one page: the layers are named by their descriptor numbers, relative to
/// `/proc/self/fd`, which leaves room for some 900 of them.
fn mount_legacy(stack: &Stack, place: &OwnedFd) -> io::Result<OwnedFd> {
    let before =
        rustix::fs::open(".", rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    let numbers: Vec<String> = stack.lowers.iter().map(|fd| file_name(&sys::proc_path(fd))).collect();
    let mut data = format!("lowerdir={}", numbers.join(":"));
    for (key, value) in stack.options() {
        data.push(',');
        data.push_str(key);
        if !value.is_empty() {
            data.push('=');
            data.push_str(&value);
        }
    }
    let data = std::ffi::CString::new(data)?;
    let target = sys::proc_path(place);
    chdir("/proc/self/fd")?;
    let mounted = mount("overlay", target.as_str(), "overlay", MountFlags::NODEV, data.as_c_str());
    fchdir(&before)?;
    mounted?;
    // The handle `place` still names what lies below the new mount: go through its path to get the mount itself.
    let path = fs_err::read_link(&target)?;
    let root =
        rustix::fs::open(&path, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    let detached = clone_tree(root.as_fd(), "", MountAttrFlags::empty())?;
    drop(root);
    rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH)?;
    Ok(detached)
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
