//! Deletions: whiteouts and opaque directories. They say what the layers below lose, never what this layer has, and so
//! may come in any order.

use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::places::{Places, mark_opaque};
use crate::layer::error::{Error, Result};
use crate::layer::path::split;

/// A deletion whose directory did not exist when it came.
pub(super) enum Mark {
    Whiteout(PathBuf),
    Opaque(PathBuf),
}

impl Places {
    /// Deletes a path of the layers below. False when its directory does not exist (yet).
    pub(super) fn whiteout(&mut self, path: &Path) -> Result<bool> {
        let Some((parent, name)) = split(path) else {
            return Err(Error::refused(path, "the root cannot be deleted"));
        };
        let Some(parent) = self.existing(parent)? else { return Ok(false) };
        self.deleted.insert(parent.join(name));
        self.hide(&parent, name)?;
        Ok(true)
    }

    /// Empties a directory of the layers below. False when it does not exist (yet).
    pub(super) fn opaque(&mut self, path: &Path) -> Result<bool> {
        let Some(directory) = self.existing(path)? else { return Ok(false) };
        self.deleted.insert(directory.clone());
        let parent = self.ensure(&directory)?;
        mark_opaque(std::os::fd::AsFd::as_fd(&parent.directory), &directory)?;
        Ok(true)
    }

    /// Empties the root. Overlayfs knows no opaque root, so each of its names is hidden by itself.
    pub(super) fn opaque_root(&mut self) -> Result<()> {
        for name in self.view.names_below_top()? {
            self.hide(Path::new(""), &name)?;
        }
        Ok(())
    }

    /// Hides what the layers below have under a name; what this layer has stays.
    fn hide(&mut self, parent: &Path, name: &std::ffi::OsStr) -> Result<()> {
        let path = parent.join(name);
        self.forget_link(&path);
        let parent = self.ensure(parent)?;
        match fs::statat(&parent.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let directory = self.ensure(&path)?;
                mark_opaque(std::os::fd::AsFd::as_fd(&directory.directory), &path)
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => fs::mknodat(&parent.directory, name, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(Error::io("delete", &path)),
            Err(errno) => Err(Error::io("delete", &path)(errno)),
        }
    }

    /// The path without links of a directory that exists in the union.
    fn existing(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        match self.view.canonical_directory(path) {
            Err(Error::NotADirectory { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(canonical) => Ok(self.view.is_directory(&canonical.path)?.then_some(canonical.path)),
        }
    }
}
