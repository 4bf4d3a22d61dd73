//! The difference of two trees, at a cost that follows the difference.

use git2::{ObjectType, Oid};
use stages::ObjectId;

use super::error::GitError;
use super::join::join;
use super::repository::{Objects, Repository};
use super::tree::{FileMode, MAX_DEPTH, RawEntry, TreeEntries, push_segment};

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Only the new tree has it.
    Added,
    /// Its content or executable bit differs.
    Modified,
    /// Only the old tree has it.
    Removed,
    /// A file became a link or a submodule, or the other way round.
    TypeChanged,
}

/// A file, link or submodule that differs between two trees. Where a file became a directory, the file is removed and
/// what the directory holds is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the directory that was compared.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: ChangeKind,
}

impl Repository {
    /// What differs beneath `prefix`, sorted by path. A missing directory is an empty one; submodules are not followed.
    pub fn diff(&self, old: &ObjectId, new: &ObjectId, prefix: impl AsRef<[u8]>) -> Result<Vec<Change>, GitError> {
        let prefix = prefix.as_ref();
        let side = |tree| {
            let found = self.find(tree, prefix)?;
            Ok::<_, GitError>(found.map(|found| (found.mode, found.id)))
        };
        let (old, new) = (side(old)?, side(new)?);
        let mut diff = Diff { objects: self.objects()?, path: Vec::new(), depth: 0, changes: Vec::new() };
        diff.entry(old, new)?;
        diff.changes.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(diff.changes)
    }
}

type Side = Option<(FileMode, Oid)>;

struct Diff<'a> {
    objects: Objects<'a>,
    path: Vec<u8>,
    depth: usize,
    changes: Vec<Change>,
}

impl Diff<'_> {
    fn entry(&mut self, old: Side, new: Side) -> Result<(), GitError> {
        if old == new {
            return Ok(());
        }
        let tree = |side: Side| side.filter(|(mode, _)| *mode == FileMode::Tree).map(|(_, id)| id);
        let file = |side: Side| side.filter(|(mode, _)| *mode != FileMode::Tree);
        if tree(old).is_some() || tree(new).is_some() {
            self.trees(tree(old), tree(new))?;
        }
        let kind = match (file(old), file(new)) {
            (None, None) => return Ok(()),
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            (Some((old, _)), Some((new, _))) if class(old) == class(new) => ChangeKind::Modified,
            (Some(_), Some(_)) => ChangeKind::TypeChanged,
        };
        self.changes.push(Change { path: self.path.clone(), kind });
        Ok(())
    }

    fn trees(&mut self, old: Option<Oid>, new: Option<Oid>) -> Result<(), GitError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(GitError::MalformedTree {
                id: old.or(new).unwrap_or(Oid::ZERO_SHA1).to_string(),
                reason: "nested too deeply",
            });
        }
        for (name, old, new) in self.changed_names(old, new)? {
            let length = self.path.len();
            push_segment(&mut self.path, &name);
            self.entry(old, new)?;
            self.path.truncate(length);
        }
        self.depth -= 1;
        Ok(())
    }

    fn changed_names(&self, old: Option<Oid>, new: Option<Oid>) -> Result<Vec<(Vec<u8>, Side, Side)>, GitError> {
        let read = |tree: Option<Oid>| {
            let object = tree.map(|tree| self.objects.read(tree, ObjectType::Tree)).transpose()?;
            Ok::<_, GitError>(object)
        };
        let (old_object, new_object) = (read(old)?, read(new)?);
        let old = by_name(old, old_object.as_ref().map_or(&[][..], |object| object.data()))?;
        let new = by_name(new, new_object.as_ref().map_or(&[][..], |object| object.data()))?;
        let mut changed = Vec::new();
        for (before, after) in join(old, new, |old, new| old.name.cmp(new.name)) {
            let side = |entry: Option<RawEntry<'_>>| entry.map(|entry| (entry.mode, entry.id));
            if side(before) != side(after)
                && let Some(entry) = before.or(after)
            {
                changed.push((entry.name.to_vec(), side(before), side(after)));
            }
        }
        Ok(changed)
    }
}

/// Entries by plain name, so that a file meets the directory of the same name.
fn by_name(tree: Option<Oid>, data: &[u8]) -> Result<Vec<RawEntry<'_>>, GitError> {
    let mut entries = TreeEntries::new(tree.unwrap_or(Oid::ZERO_SHA1), data).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.name);
    Ok(entries)
}

fn class(mode: FileMode) -> FileMode {
    if mode == FileMode::Executable { FileMode::Regular } else { mode }
}
