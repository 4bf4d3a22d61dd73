//! The index against the tree of HEAD: what `git add` and `git rm` prepared.

use std::ops::Range;
use std::sync::Arc;

use git2::{ObjectType, Oid};
use stages::filter::PathFilter;

use super::error::GitError;
use super::index::{Index, IndexEntry};
use super::repository::Repository;
use super::tree::{Covered, FileMode, Found, MAX_DEPTH, Root, TreeEntries, parse_mode_bits, walk};

/// What HEAD has where the index has an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    /// The same.
    Same,
    /// Something else.
    Other(FileMode, Oid),
    /// Nothing.
    Absent,
}

/// How the index and HEAD differ.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// By entry; empty if index and HEAD are the same.
    states: Vec<Committed>,
    /// What HEAD has and the index has not.
    pub(super) missing: Vec<Missing>,
}

/// A file of HEAD.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) path: Vec<u8>,
    pub(super) mode: FileMode,
    pub(super) id: Oid,
}

impl Staged {
    pub(super) fn compare(repository: &Repository, index: &Index, head: Oid) -> Result<Self, GitError> {
        if index.cached_tree(b"") == Some(head) {
            return Ok(Self::default());
        }
        let mut compare = Compare {
            repository,
            index,
            staged: Self { states: vec![Committed::Absent; index.entries().len()], missing: Vec::new() },
        };
        compare.tree(head, &mut Vec::new(), 0..index.entries().len(), 0)?;
        Ok(compare.staged)
    }

    pub(super) fn of(&self, entry: usize) -> Committed {
        self.states.get(entry).copied().unwrap_or(Committed::Same)
    }
}

struct Compare<'a> {
    repository: &'a Repository,
    index: &'a Index,
    staged: Staged,
}

impl Compare<'_> {
    /// Compares a tree of HEAD with the entries below `prefix`, which ends in `/` or is empty.
    fn tree(&mut self, id: Oid, prefix: &mut Vec<u8>, range: Range<usize>, depth: usize) -> Result<(), GitError> {
        if depth > MAX_DEPTH {
            return Err(GitError::MalformedTree { id: id.to_string(), reason: "nested too deeply" });
        }
        let directory = prefix.strip_suffix(b"/").unwrap_or(prefix);
        if self.index.cached_tree(directory) == Some(id) {
            self.staged.states[range].fill(Committed::Same);
            return Ok(());
        }
        let objects = self.repository.objects()?;
        let object = objects.read(id, ObjectType::Tree)?;
        let mut at = range.start;
        for entry in TreeEntries::new(id, object.data()) {
            let entry = entry?;
            let length = prefix.len();
            prefix.extend_from_slice(entry.name);
            if entry.mode == FileMode::Tree {
                prefix.push(b'/');
                let below = self.index.below(at..range.end, prefix);
                at = below.end;
                self.directory(entry.id, prefix, below, depth)?;
            } else {
                at += self.index.entries()[at..range.end].partition_point(|e| self.index.path(e) < prefix.as_slice());
                at = self.file(at..range.end, prefix, entry.mode, entry.id);
            }
            prefix.truncate(length);
        }
        Ok(())
    }

    fn directory(&mut self, id: Oid, prefix: &mut Vec<u8>, below: Range<usize>, depth: usize) -> Result<(), GitError> {
        let sparse =
            self.index.entries()[below.clone()].first().filter(|first| self.index.path(first) == prefix.as_slice());
        if sparse.is_some_and(|sparse| sparse.id == id) {
            self.staged.states[below].fill(Committed::Same);
            return Ok(());
        }
        if !below.is_empty() {
            return self.tree(id, prefix, below, depth + 1);
        }
        let root = Arc::new(Root { repository: self.repository.clone(), tree: id });
        let found = Found { root, mode: FileMode::Tree, id, path: Vec::new() };
        walk(&found, &PathFilter::everything(), Covered::Descend, &mut |path, mode, id, _| {
            self.staged.missing.push(Missing { path: [prefix, path].concat(), mode, id });
        })
    }

    /// Settles the entries of one path and returns where the next ones start.
    fn file(&mut self, range: Range<usize>, path: &[u8], mode: FileMode, id: Oid) -> usize {
        let entries = &self.index.entries()[range.clone()];
        let count = entries.iter().take_while(|entry| self.index.path(entry) == path).count();
        if count == 0 {
            self.staged.missing.push(Missing { path: path.to_vec(), mode, id });
        }
        for (state, entry) in self.staged.states[range.clone()].iter_mut().zip(entries).take(count) {
            let same = entry.id == id && entry.file_mode() == Some(mode) && !entry.unsettled;
            *state = if same { Committed::Same } else { Committed::Other(mode, id) };
        }
        range.start + count
    }
}

impl IndexEntry {
    pub(super) fn file_mode(&self) -> Option<FileMode> {
        parse_mode_bits(self.mode)
    }
}
