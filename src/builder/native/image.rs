//! The program that helpers run from, out of reach of what they run.
//!
//! A step could get hold of its runner's program file through /proc and write to it later, replacing the engine
//! (CVE-2019-5736). So helpers run from a detached read-only mount of the file; where that can't be made, from a
//! sealed copy in memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};
use rustix::mount::MountAttrFlags;

use super::mounts::clone_tree;
use super::sys;

/// A program file that nobody can write to through the processes started from it.
#[derive(Debug)]
pub(super) struct SelfImage {
    file: OwnedFd,
}

impl SelfImage {
    pub(super) fn new(program: &Path) -> io::Result<Self> {
        let handle = open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
        let file = clone_tree(handle.as_fd(), "", attributes).or_else(|_| sealed_copy(program))?;
        Ok(Self { file })
    }

    /// What to execute; valid in this process while `self` lives.
    pub(super) fn path(&self) -> PathBuf {
        sys::proc_path(&self.file).into()
    }
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
    fn a_sealed_copy_is_the_same_program_and_refuses_writing() {
        let copy = sealed_copy(Path::new("/bin/true")).unwrap();
        let path = sys::proc_path(&copy);
        assert_eq!(fs_err::read(&path).unwrap(), fs_err::read("/bin/true").unwrap());
        assert!(fs_err::write(&path, "x").is_err());
        assert!(std::process::Command::new(&path).status().unwrap().success());
    }
}
