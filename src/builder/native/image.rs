//! The program that helpers run from, out of reach of what they run.
//!
//! A step could get hold of its runner's program file through /proc and write to it later, replacing the engine
//! (CVE-2019-5736). So helpers run from a detached read-only mount of the file; where that can't be made, from a
//! sealed copy in memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fstat, memfd_create, open};
use rustix::mount::MountAttrFlags;

use super::mounts::clone_tree;
use super::sys;

/// A program file that nobody can write to through the processes started from it.
#[derive(Debug)]
pub(super) enum SelfImage {
    /// The file itself.
    ReadOnlyMount(OwnedFd),
    /// A copy of it in memory.
    SealedCopy(OwnedFd),
}

impl SelfImage {
    pub(super) fn new(program: &Path) -> io::Result<Self> {
        read_only_mount(program).map(Self::ReadOnlyMount).or_else(|_| sealed_copy(program).map(Self::SealedCopy))
    }

    /// What to execute; valid in this process while `self` lives.
    pub(super) fn path(&self) -> PathBuf {
        let (Self::ReadOnlyMount(file) | Self::SealedCopy(file)) = self;
        sys::proc_path(file).into()
    }
}

/// A mount of this mount namespace can be copied. `/proc/self/exe` may still lead to one of the namespace that this
/// process was started from, so the file is looked up again by its name.
fn read_only_mount(program: &Path) -> io::Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let by_link = open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let Ok(name) = fs_err::read_link(program) else {
        return clone_tree(&by_link, "", attributes);
    };
    let by_name = open(&name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let (wanted, found) = (fstat(&by_link)?, fstat(&by_name)?);
    if (wanted.st_dev, wanted.st_ino) != (found.st_dev, found.st_ino) {
        return Err(io::ErrorKind::NotFound.into());
    }
    clone_tree(&by_name, "", attributes)
}

fn sealed_copy(program: &Path) -> io::Result<OwnedFd> {
    let memory = memfd_create("stager", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut copy = File::from(memory);
    io::copy(&mut fs_err::File::open(program)?, &mut copy)?;
    let copy = OwnedFd::from(copy);
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_program_is_found_on_a_read_only_mount() {
        if super::super::current_mode().is_none() {
            return;
        }
        let image = SelfImage::ReadOnlyMount(read_only_mount(Path::new("/proc/self/exe")).unwrap());
        // Writing to a mapped program fails anyway; a change of its mode tells the mount apart.
        let refusal = rustix::fs::chmod(image.path(), Mode::RWXU).unwrap_err();
        assert_eq!(refusal, rustix::io::Errno::ROFS);
        assert!(std::process::Command::new(image.path()).arg("--list").output().unwrap().status.success());
    }

    #[test]
    fn a_sealed_copy_is_the_same_program_and_refuses_writing() {
        let copy = sealed_copy(Path::new("/bin/true")).unwrap();
        let path = sys::proc_path(&copy);
        assert_eq!(fs_err::read(&path).unwrap(), fs_err::read("/bin/true").unwrap());
        assert!(fs_err::write(&path, "x").is_err());
        assert!(std::process::Command::new(&path).status().unwrap().success());
    }
}
