//! Directories that were looked into, kept parsed: templates ask for thousands of paths of the same few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use git2::{ObjectType, Oid};

use super::error::GitError;
use super::repository::Repository;
use super::tree::{FileMode, TreeEntries};

/// Entries that are kept at most, about 30 MB of them. Past it the cache starts anew.
const MAX_ENTRIES: usize = 200_000;

/// The entries of a directory by their names.
pub(super) type Directory = HashMap<Vec<u8>, (FileMode, Oid)>;

/// The directories of one repository. Objects never change under their id, so nothing here gets old.
#[derive(Default)]
pub(super) struct TreeCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    directories: HashMap<Oid, Arc<Directory>>,
    entries: usize,
}

impl Repository {
    /// The directory of a tree, all of it checked.
    pub(super) fn directory_of(&self, tree: Oid) -> Result<Arc<Directory>, GitError> {
        let cache = &self.tree_cache().0;
        let known = cache.lock().unwrap_or_else(PoisonError::into_inner).directories.get(&tree).cloned();
        if let Some(directory) = known {
            return Ok(directory);
        }
        let objects = self.objects()?;
        let object = objects.read(tree, ObjectType::Tree)?;
        let entries = TreeEntries::new(tree, object.data());
        let directory: Directory = entries
            .map(|entry| entry.map(|entry| (entry.name.to_vec(), (entry.mode, entry.id))))
            .collect::<Result<_, _>>()?;
        let directory = Arc::new(directory);
        cache.lock().unwrap_or_else(PoisonError::into_inner).keep(tree, Arc::clone(&directory));
        Ok(directory)
    }
}

impl Kept {
    fn keep(&mut self, tree: Oid, directory: Arc<Directory>) {
        if self.entries + directory.len() > MAX_ENTRIES {
            *self = Self::default();
        }
        self.entries += directory.len();
        self.directories.insert(tree, directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_within_its_limit() {
        let directory = |entries: usize| {
            let entry = (FileMode::Regular, Oid::ZERO_SHA1);
            Arc::new((0..entries).map(|at| (at.to_string().into_bytes(), entry)).collect::<Directory>())
        };
        let id = |byte: u8| Oid::from_bytes(&[byte; 20]).unwrap();
        let mut kept = Kept::default();
        kept.keep(id(1), directory(MAX_ENTRIES - 1));
        kept.keep(id(2), directory(1));
        assert_eq!((kept.directories.len(), kept.entries), (2, MAX_ENTRIES));
        kept.keep(id(3), directory(2));
        assert_eq!((kept.directories.len(), kept.entries), (1, 2));
        assert!(kept.directories.contains_key(&id(3)));
    }
}
