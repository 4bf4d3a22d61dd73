//! A file of the commit against the work tree, on all of the way that links make to it.

use super::error::{Error, IGNORED, IN_COMMIT, RefusalKind};
use super::gate::Gate;
use super::patterns::ups;
use super::reader::LIMIT;
use crate::git::{FileMode, Trail, TrailEnd, is_lfs_pointer};

/// A path that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// Relative to the project directory, clean; it starts with `..` above that.
    pub(super) shown: String,
    /// Relative to the repository's root.
    pub(super) full: Vec<u8>,
}

/// A file in the commit, and how the work tree differs.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) committed: Option<Vec<u8>>,
    /// The path in the repository at which it differs, and how.
    pub(super) difference: Option<(RefusalKind, Vec<u8>)>,
    /// There is a file on disk that git ignores.
    pub(super) ignored: bool,
}

impl Gate {
    /// A path relative to the project directory, which may lead above that with `..` but not out of the repository.
    pub(super) fn locate(&self, path: &str) -> Result<Location, Error> {
        if path.contains('\0') {
            return Err(Error::BadPath { path: path.to_owned() });
        }
        let (ups, rest) = ups(path);
        let mut segments: Vec<&[u8]> = self.repository.prefix().split(|&byte| byte == b'/').collect();
        segments.retain(|segment| !segment.is_empty());
        for _ in 0..ups {
            segments
                .pop()
                .ok_or_else(|| Error::Outside { path: path.to_owned(), target: super::patterns::clean(path) })?;
        }
        segments.extend(rest.split('/').filter(|segment| !segment.is_empty()).map(str::as_bytes));
        Ok(Location { shown: super::patterns::clean(path), full: segments.join(&b'/') })
    }

    /// A path of the repository as people of this project would write it.
    pub(super) fn shown(&self, full: &[u8]) -> String {
        let segments = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty()).map(<[u8]>::to_vec).collect()
        };
        let (prefix, path) = (segments(self.repository.prefix()), segments(full));
        let shared = prefix.iter().zip(&path).take_while(|(one, other)| one == other).count();
        let mut shown = vec![b"..".to_vec(); prefix.len() - shared];
        shown.extend(path.into_iter().skip(shared));
        String::from_utf8_lossy(&shown.join(&b'/')).into_owned()
    }

    /// The content of a file as the commit has it.
    pub(super) fn committed(&self, location: &Location) -> Result<Option<Vec<u8>>, Error> {
        let trail = self.repository.trail(&self.options.tree, &location.full)?;
        self.committed_at(location, &trail)
    }

    fn committed_at(&self, location: &Location, trail: &Trail) -> Result<Option<Vec<u8>>, Error> {
        match &trail.end {
            TrailEnd::File(path) => {
                let entry = self.repository.entry(&self.options.tree, path)?;
                Ok(entry.map(|entry| entry.repository.read_blob(&entry.id, LIMIT)).transpose()?)
            }
            TrailEnd::Loop => Err(Error::LinkLoop { path: location.shown.clone() }),
            TrailEnd::Outside(target) => Err(outside(location, target)),
            TrailEnd::Directory(_) | TrailEnd::Special(_) | TrailEnd::Missing(_) => Ok(None),
        }
    }

    /// The content of a file on disk, and its path free of links.
    pub(super) fn on_disk(&self, location: &Location) -> Result<Option<Vec<u8>>, Error> {
        match self.repository.trail_on_disk(&location.full)?.end {
            TrailEnd::File(path) => Ok(self.repository.working_file(path, LIMIT)?),
            TrailEnd::Loop => Err(Error::LinkLoop { path: location.shown.clone() }),
            TrailEnd::Outside(target) => Err(outside(location, &target)),
            TrailEnd::Directory(_) | TrailEnd::Special(_) | TrailEnd::Missing(_) => Ok(None),
        }
    }

    /// Compares every link on the way and the file at its end.
    pub(super) fn compare(&self, location: &Location) -> Result<Compared, Error> {
        let there = self.repository.trail(&self.options.tree, &location.full)?;
        let here = self.repository.trail_on_disk(&location.full)?;
        let mut difference = None;
        for hop in &here.hops {
            difference = self.changed(&hop.link)?;
            if difference.is_some() {
                break;
            }
        }
        if difference.is_none() {
            difference = self.compare_ends(&there, &here)?;
        }
        let ignored = matches!(&difference, Some((RefusalKind::Untracked, path)) if self.repository.is_ignored(path)?);
        if ignored {
            difference = None;
        }
        let committed = match self.committed_at(location, &there) {
            // What the commit has there does not matter where the disk has something else.
            Err(Error::LinkLoop { .. } | Error::Outside { .. }) if difference.is_some() => None,
            committed => committed?,
        };
        if committed.as_deref().is_some_and(is_lfs_pointer) {
            difference = Some((RefusalKind::LfsPointer, location.full.clone()));
        }
        Ok(Compared { committed, difference: difference.map(|found| self.in_submodule(found)).transpose()?, ignored })
    }

    fn compare_ends(&self, there: &Trail, here: &Trail) -> Result<Option<(RefusalKind, Vec<u8>)>, Error> {
        match (&there.end, &here.end) {
            (_, TrailEnd::File(path)) => self.changed(path),
            (TrailEnd::File(path), TrailEnd::Missing(_)) if self.repository.is_unwatched(path)? => Ok(None),
            (TrailEnd::File(path), TrailEnd::Missing(_)) => Ok(Some((RefusalKind::Deleted, path.clone()))),
            (TrailEnd::File(path), _) => Ok(Some((RefusalKind::Modified, path.clone()))),
            _ => Ok(None),
        }
    }

    /// How a file or link on disk differs from the commit's.
    pub(super) fn changed(&self, path: &[u8]) -> Result<Option<(RefusalKind, Vec<u8>)>, Error> {
        let (repository, tree) = (&self.repository, &self.options.tree);
        let entry = repository.entry(tree, path)?;
        let kind = match entry.map(|entry| entry.mode) {
            None | Some(FileMode::Tree | FileMode::Submodule) => Some(RefusalKind::Untracked),
            Some(_) => repository.file_differs(tree, path)?.then_some(RefusalKind::Modified),
        };
        Ok(kind.map(|kind| (kind, path.to_vec())))
    }

    /// In a submodule with another commit checked out, that is the difference.
    fn in_submodule(&self, found: (RefusalKind, Vec<u8>)) -> Result<(RefusalKind, Vec<u8>), Error> {
        match self.repository.moved_submodule(&self.options.tree, &found.1)? {
            Some(submodule) if found.0 != RefusalKind::LfsPointer => Ok((RefusalKind::Submodule, submodule)),
            _ => Ok(found),
        }
    }
}

impl Compared {
    /// Where the file is not, if it is nowhere.
    pub(super) fn missing_place(&self) -> &'static str {
        if self.ignored { IGNORED } else { IN_COMMIT }
    }
}

fn outside(location: &Location, target: &[u8]) -> Error {
    Error::Outside { path: location.shown.clone(), target: String::from_utf8_lossy(target).into_owned() }
}
