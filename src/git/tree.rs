//! Reading trees and blobs of a commit.
//!
//! Tree objects are parsed here rather than by libgit2: a listing of 100 000 files then allocates once per file instead of
//! three times, and every name is checked before it becomes a path.

use std::io::Read as _;
use std::sync::Arc;

use git2::{ObjectType, Oid};
use stages::ObjectId;
use stages::filter::PathFilter;

use super::error::{GitError, shown};
use super::repository::{Objects, Repository, object_id, oid};

/// Directories nested deeper than this are refused: the recursion must end, and no file system holds them.
pub(super) const MAX_DEPTH: usize = 1000;

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// A file, 0644.
    Regular,
    /// A file, 0755.
    Executable,
    /// A symbolic link; the blob holds its target.
    Symlink,
    /// A directory.
    Tree,
    /// A commit of another repository.
    Submodule,
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// What it is.
    pub mode: FileMode,
    /// Its blob or tree; the commit of a submodule.
    pub id: ObjectId,
    /// The repository that holds the object: another one than asked within a submodule.
    pub repository: Repository,
}

/// A file of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Relative to the directory that was listed; empty if that was a file.
    pub path: Vec<u8>,
    /// Regular, executable or symbolic link.
    pub mode: FileMode,
    /// Its blob.
    pub id: ObjectId,
    /// The repository that holds the blob.
    pub repository: Repository,
}

/// The tree of a commit, to which `.gitmodules` belongs. Every path below is relative to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Root {
    pub(super) repository: Repository,
    pub(super) tree: Oid,
}

/// An entry and the root under which it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) root: Arc<Root>,
    pub(super) mode: FileMode,
    pub(super) id: Oid,
    /// Its path in `root`.
    pub(super) path: Vec<u8>,
}

impl Repository {
    /// The entry at a path of a commit's tree. The empty path is the tree itself; a path may lead into a submodule;
    /// symbolic links are not followed.
    pub fn entry(&self, tree: &ObjectId, path: impl AsRef<[u8]>) -> Result<Option<TreeEntry>, GitError> {
        let found = self.find(tree, path.as_ref())?;
        Ok(found.map(|found| TreeEntry {
            mode: found.mode,
            id: object_id(found.id),
            repository: found.root.repository.clone(),
        }))
    }

    /// The content of a blob of at most `limit` bytes.
    pub fn read_blob(&self, id: &ObjectId, limit: u64) -> Result<Vec<u8>, GitError> {
        let size = self.blob_size(id)?;
        if size > limit {
            return Err(GitError::TooLarge { id: id.clone(), size, limit });
        }
        Ok(self.objects()?.read(oid(id), ObjectType::Blob)?.data().to_vec())
    }

    /// Writes a blob to `sink`. The inner result is the sink's own.
    pub fn copy_blob(&self, id: &ObjectId, sink: &mut dyn std::io::Write) -> Result<std::io::Result<()>, GitError> {
        self.objects()?.copy_blob(oid(id), sink)
    }

    /// The size of a blob in bytes.
    pub fn blob_size(&self, id: &ObjectId) -> Result<u64, GitError> {
        let objects = self.objects()?;
        objects.size(oid(id))
    }

    /// The files beneath `prefix` that pass the filter, whose patterns are relative to `prefix`; sorted by the bytes of
    /// their paths. Submodules are followed.
    pub fn list(
        &self,
        tree: &ObjectId,
        prefix: impl AsRef<[u8]>,
        filter: &PathFilter,
    ) -> Result<Vec<ListEntry>, GitError> {
        let Some(found) = self.find(tree, prefix.as_ref())? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        walk(&found, filter, Covered::Descend, &mut |path, mode, id, root| {
            let repository = root.repository.clone();
            entries.push(ListEntry { path: path.to_vec(), mode, id: object_id(id), repository });
        })?;
        Ok(entries)
    }

    /// The paths of the same files and links, without those of submodules.
    pub fn list_own(
        &self,
        tree: &ObjectId,
        prefix: impl AsRef<[u8]>,
        filter: &PathFilter,
    ) -> Result<Vec<Vec<u8>>, GitError> {
        let Some(found) = self.find(tree, prefix.as_ref())? else { return Ok(Vec::new()) };
        let mut paths = Vec::new();
        walk(&found, filter, Covered::DescendOwn, &mut |path, _, _, _| paths.push(path.to_vec()))?;
        Ok(paths)
    }

    /// The same with symbolic links that may lead to something that passes, though they do not themselves.
    pub fn list_with_links(
        &self,
        tree: &ObjectId,
        prefix: impl AsRef<[u8]>,
        filter: &PathFilter,
    ) -> Result<Vec<(Vec<u8>, FileMode)>, GitError> {
        let Some(found) = self.find(tree, prefix.as_ref())? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        walk(&found, filter, Covered::DescendWithLinks, &mut |path, mode, _, _| entries.push((path.to_vec(), mode)))?;
        Ok(entries)
    }

    pub(super) fn find(&self, tree: &ObjectId, path: &[u8]) -> Result<Option<Found>, GitError> {
        let root = Arc::new(Root { repository: self.clone(), tree: oid(tree) });
        let mut found = Found { mode: FileMode::Tree, id: root.tree, root, path: Vec::new() };
        for segment in segments(path)? {
            if found.mode == FileMode::Submodule {
                found = found.enter()?;
            }
            if found.mode != FileMode::Tree {
                return Ok(None);
            }
            let directory = found.root.repository.directory_of(found.id)?;
            let Some(&entry) = directory.get(segment) else { return Ok(None) };
            (found.mode, found.id) = entry;
            push_segment(&mut found.path, segment);
        }
        Ok(Some(found))
    }

    /// A path of the project as a path in the repository.
    pub fn in_project(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, GitError> {
        let mut joined = self.prefix().to_vec();
        for segment in segments(path.as_ref())? {
            push_segment(&mut joined, segment);
        }
        Ok(joined)
    }
}

impl Found {
    /// The tree of the commit that this submodule records.
    pub(super) fn enter(&self) -> Result<Self, GitError> {
        let root = Arc::new(self.root.repository.enter_submodule(&self.root, &self.path, self.id)?);
        Ok(Self { mode: FileMode::Tree, id: root.tree, root, path: Vec::new() })
    }
}

impl Objects<'_> {
    pub(super) fn size(&self, id: Oid) -> Result<u64, GitError> {
        let (size, _) = self.odb().read_header(id).map_err(|error| self.failed(id, ObjectType::Blob, error))?;
        Ok(size as u64)
    }

    /// Writes a blob to `sink`, piece by piece where libgit2 can (loose objects), so that huge ones need no memory.
    pub(super) fn copy_blob(&self, id: Oid, sink: &mut dyn std::io::Write) -> Result<std::io::Result<()>, GitError> {
        const STREAMED: u64 = 8 << 20;
        if self.size(id)? >= STREAMED
            && let Ok((mut reader, _, _)) = self.odb().reader(id)
        {
            let mut buffer = vec![0; 1 << 20];
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => return Ok(Ok(())),
                    Ok(read) => match sink.write_all(&buffer[..read]) {
                        Ok(()) => {}
                        Err(error) => return Ok(Err(error)),
                    },
                    Err(error) => {
                        return Err(self.failed(id, ObjectType::Blob, git2::Error::from_str(&error.to_string())));
                    }
                }
            }
        }
        Ok(sink.write_all(self.read(id, ObjectType::Blob)?.data()))
    }
}

/// What a walk does with a directory or submodule of which everything passes the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covered {
    /// Visits each file.
    Descend,
    /// The same, and links under whose name something could pass.
    DescendWithLinks,
    /// The same as [`Self::Descend`], but for submodules, which are left out.
    DescendOwn,
    /// Visits it as one entry.
    Report,
}

type Visit<'a> = dyn FnMut(&[u8], FileMode, Oid, &Arc<Root>) + 'a;

/// Visits what passes the filter, in the order of path bytes, with paths relative to `start`.
pub(super) fn walk(
    start: &Found,
    filter: &PathFilter,
    covered: Covered,
    visit: &mut Visit<'_>,
) -> Result<(), GitError> {
    let mut path = start.path.clone();
    if !path.is_empty() {
        path.push(b'/');
    }
    let mut walk = Walk { filter, covered, visit, relative: path.len(), in_root: 0, path, depth: 0 };
    walk.entry(&start.root, start.mode, start.id, filter.is_everything(), &start.root.repository.objects()?)
}

struct Walk<'a, 'v> {
    filter: &'a PathFilter,
    covered: Covered,
    visit: &'a mut Visit<'v>,
    /// The path in the outermost root, ending in `/` only at the start.
    path: Vec<u8>,
    /// Where the part that patterns and visitors see starts.
    relative: usize,
    /// Where the part inside of the current root starts.
    in_root: usize,
    depth: usize,
}

impl Walk<'_, '_> {
    fn entry(
        &mut self,
        root: &Arc<Root>,
        mode: FileMode,
        id: Oid,
        covered: bool,
        objects: &Objects<'_>,
    ) -> Result<(), GitError> {
        let path = &self.path[self.relative.min(self.path.len())..];
        if matches!(mode, FileMode::Tree | FileMode::Submodule) {
            if mode == FileMode::Submodule && self.covered == Covered::DescendOwn {
                return Ok(());
            }
            let covered = covered || self.filter.covers(path);
            if covered && self.covered == Covered::Report {
                (self.visit)(path, mode, id, root);
            } else if covered || self.filter.may_contain(path) {
                self.directory(root, mode, id, covered, objects)?;
            }
        } else if covered || self.filter.matches(path) || self.is_wanted_link(mode, path) {
            (self.visit)(path, mode, id, root);
        }
        Ok(())
    }

    fn is_wanted_link(&self, mode: FileMode, path: &[u8]) -> bool {
        mode == FileMode::Symlink && self.covered == Covered::DescendWithLinks && self.filter.may_contain(path)
    }

    fn directory(
        &mut self,
        root: &Arc<Root>,
        mode: FileMode,
        id: Oid,
        covered: bool,
        objects: &Objects<'_>,
    ) -> Result<(), GitError> {
        if mode == FileMode::Tree {
            return self.tree(root, id, covered, objects);
        }
        let path = self.path[self.in_root..].strip_suffix(b"/").unwrap_or(&self.path[self.in_root..]).to_vec();
        let inner = Found { root: Arc::clone(root), mode, id, path }.enter()?;
        let outer = std::mem::replace(&mut self.in_root, self.path.len() + usize::from(!self.path.ends_with(b"/")));
        self.tree(&inner.root, inner.id, covered, &inner.root.repository.objects()?)?;
        self.in_root = outer;
        Ok(())
    }

    fn tree(&mut self, root: &Arc<Root>, id: Oid, covered: bool, objects: &Objects<'_>) -> Result<(), GitError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(malformed(id, "nested too deeply"));
        }
        let object = objects.read(id, ObjectType::Tree)?;
        for entry in TreeEntries::new(id, object.data()) {
            let entry = entry?;
            let length = self.path.len();
            if self.path.last().is_some_and(|&byte| byte != b'/') {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(entry.name);
            self.entry(root, entry.mode, entry.id, covered, objects)?;
            self.path.truncate(length);
        }
        self.depth -= 1;
        Ok(())
    }
}

/// One entry of a tree object.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) mode: FileMode,
    pub(super) id: Oid,
}

/// The entries of a tree object: each `mode SP name NUL id`, in git's order.
pub(super) struct TreeEntries<'a> {
    tree: Oid,
    rest: &'a [u8],
    previous: Option<RawEntry<'a>>,
}

impl<'a> TreeEntries<'a> {
    pub(super) fn new(tree: Oid, data: &'a [u8]) -> Self {
        Self { tree, rest: data, previous: None }
    }

    fn parse(&mut self) -> Result<RawEntry<'a>, &'static str> {
        const ID: usize = 20;
        let space = self.rest.iter().take(8).position(|&byte| byte == b' ').ok_or("an entry has no mode")?;
        let (mode, rest) = self.rest.split_at(space);
        let mode = parse_mode(mode).ok_or("an entry has an unknown mode")?;
        let end = rest.iter().position(|&byte| byte == 0).ok_or("an entry has no end")?;
        let name = &rest[1..end];
        check_name(name)?;
        let (id, rest) = rest[end + 1..].split_at_checked(ID).ok_or("an entry has no id")?;
        let id = Oid::from_bytes(id).map_err(|_| "an entry has no id")?;
        self.rest = rest;
        Ok(RawEntry { name, mode, id })
    }
}

impl<'a> Iterator for TreeEntries<'a> {
    type Item = Result<RawEntry<'a>, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.parse().and_then(|entry| match self.previous {
            Some(previous) if !in_order(&previous, &entry) => Err("entries are out of order"),
            _ => Ok(entry),
        });
        match entry {
            Ok(entry) => self.previous = Some(entry),
            Err(_) => self.rest = &[],
        }
        Some(entry.map_err(|reason| malformed(self.tree, reason)))
    }
}

fn malformed(tree: Oid, reason: &'static str) -> GitError {
    GitError::MalformedTree { id: tree.to_string(), reason }
}

fn parse_mode(digits: &[u8]) -> Option<FileMode> {
    let octal = |value: u32, &digit: &u8| (b'0'..=b'7').contains(&digit).then(|| value << 3 | u32::from(digit - b'0'));
    parse_mode_bits(digits.iter().try_fold(0, octal)?)
}

/// The mode of an entry of a tree or index.
pub(super) fn parse_mode_bits(mode: u32) -> Option<FileMode> {
    match mode & 0o170_000 {
        0o100_000 if mode & 0o100 != 0 => Some(FileMode::Executable),
        0o100_000 => Some(FileMode::Regular),
        0o120_000 => Some(FileMode::Symlink),
        0o040_000 => Some(FileMode::Tree),
        0o160_000 => Some(FileMode::Submodule),
        _ => None,
    }
}

/// Names that git itself refuses to check out.
fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" => Err("an entry has an empty name"),
        b"." | b".." => Err("an entry is called . or .."),
        _ if name.eq_ignore_ascii_case(b".git") => Err("an entry is called .git"),
        _ if name.contains(&b'/') => Err("an entry has a slash in its name"),
        _ if name.len() > 255 => Err("an entry has a name of more than 255 bytes"),
        _ => Ok(()),
    }
}

/// git sorts directories as if their names ended in `/`.
fn in_order(first: &RawEntry<'_>, second: &RawEntry<'_>) -> bool {
    if first.name == second.name {
        return false;
    }
    let key = |entry: &RawEntry<'_>, at: usize| {
        let end = if entry.mode == FileMode::Tree { b'/' } else { 0 };
        entry.name.get(at).copied().unwrap_or(if at == entry.name.len() { end } else { 0 })
    };
    let same = first.name.iter().zip(second.name).take_while(|(one, other)| one == other).count();
    key(first, same) < key(second, same)
}

/// The segments of a path without empty ones and `.`; `..` is refused, a leading `/` means the root.
pub(super) fn segments(path: &[u8]) -> Result<Vec<&[u8]>, GitError> {
    let segments: Vec<&[u8]> =
        path.split(|&byte| byte == b'/').filter(|segment| !matches!(*segment, b"" | b".")).collect();
    if segments.contains(&b"..".as_slice()) {
        return Err(GitError::Outside { path: shown(path) });
    }
    Ok(segments)
}

pub(super) fn push_segment(path: &mut Vec<u8>, segment: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(segment);
}
