//! Files of other repositories that stand in for files that a project does not have.

use std::collections::BTreeMap;

use globset::GlobBuilder;
use stages::ObjectId;
use stages::filter::PathFilter;

use super::error::{Error, IN_COMMIT};
use super::gate::{Gate, ReadKind};
use super::patterns::clean;
use super::reader::LIMIT;
use crate::git::{Repository, TrailEnd};

/// Files of one commit of another repository, by the paths that they have in the project.
#[derive(Debug)]
pub struct Included {
    repository: Repository,
    tree: ObjectId,
    /// Path in the project → path in the repository.
    files: BTreeMap<String, Vec<u8>>,
}

impl Included {
    /// What passes the filter beneath `add`, put beneath `to`. The content of submodules is no part of it.
    pub fn new(
        repository: Repository,
        tree: ObjectId,
        add: &str,
        to: &str,
        filter: &PathFilter,
    ) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for entry in repository.list_own(&tree, add, filter)? {
            let Ok(path) = String::from_utf8(entry) else { continue };
            files.insert(joined(to, &path), joined(add, &path).into_bytes());
        }
        Ok(Self { repository, tree, files })
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether it has a file.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Leaves a file out.
    pub fn forget(&mut self, path: &str) {
        self.files.remove(path);
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(own) = self.files.get(path) else { return Ok(None) };
        match self.repository.trail(&self.tree, own)?.end {
            TrailEnd::File(end) => {
                let entry = self.repository.entry(&self.tree, &end)?;
                Ok(entry.map(|entry| entry.repository.read_blob(&entry.id, LIMIT)).transpose()?)
            }
            TrailEnd::Loop => Err(Error::LinkLoop { path: path.to_owned() }),
            TrailEnd::Outside(target) => {
                Err(Error::Outside { path: path.to_owned(), target: String::from_utf8_lossy(&target).into_owned() })
            }
            TrailEnd::Directory(_) | TrailEnd::Special(_) | TrailEnd::Missing(_) => {
                Err(Error::NotFound { path: path.to_owned(), place: IN_COMMIT })
            }
        }
    }
}

fn joined(directory: &str, path: &str) -> String {
    match (directory, path) {
        ("", path) => path.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, path) => format!("{directory}/{path}"),
    }
}

impl Gate {
    /// The content of a file of another repository.
    pub(super) fn read_included(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = clean(path);
        let Some(included) = self.included.iter().find(|included| included.has(&path)) else { return Ok(None) };
        let content = included.read(&path)?;
        self.note(ReadKind::Included, &path, content.as_deref());
        Ok(content)
    }

    pub(super) fn has_included(&self, path: &str) -> bool {
        let path = clean(path);
        self.included.iter().any(|included| included.has(&path))
    }

    pub(super) fn has_included_below(&self, directory: &str) -> bool {
        let prefix = format!("{}/", clean(directory));
        self.included.iter().any(|included| included.below(&prefix).next().is_some())
    }

    /// The paths that match a pattern, each once.
    pub(super) fn find_included(&self, pattern: &str) -> Result<Vec<String>, Error> {
        if self.included.is_empty() {
            return Ok(Vec::new());
        }
        let bad =
            |error: globset::Error| Error::BadPattern { pattern: pattern.to_owned(), reason: error.kind().to_string() };
        let glob = GlobBuilder::new(&clean(pattern)).literal_separator(true).build().map_err(bad)?.compile_matcher();
        let paths = self.included.iter().flat_map(|included| included.files.keys());
        Ok(paths.filter(|path| glob.is_match(path)).cloned().collect())
    }

    /// The files beneath a directory that the project does not have itself, in the order in which they count.
    pub(super) fn included_below(&self, directory: &str) -> Result<Vec<String>, Error> {
        let directory = clean(directory);
        let prefix = if directory.is_empty() { directory } else { format!("{directory}/") };
        let mut found: Vec<String> = Vec::new();
        for path in self.included.iter().flat_map(|included| included.below(&prefix)) {
            if !found.contains(path) && self.read_file(self.class_of(path), path)?.is_none() {
                found.push(path.clone());
            }
        }
        Ok(found)
    }
}

impl Included {
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a String> {
        self.files.keys().filter(move |path| path.starts_with(prefix))
    }
}
