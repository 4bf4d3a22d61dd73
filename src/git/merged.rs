//! The file tree that several placements make together, before any of it is written.
//!
//! Directories of which one placement brings everything stay unread tree ids for as long as possible: comparing two such
//! trees then costs as much as their difference.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use git2::{ObjectType, Oid};
use stages::ObjectId;
use stages::filter::PathFilter;

use super::error::{GitError, shown};
use super::repository::Repository;
use super::tree::{FileMode, Found, MAX_DEPTH, Root, TreeEntries, push_segment};

/// User and group id.
pub type Owner = (u32, u32);

/// The metadata of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryMeta {
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: Owner,
}

/// The mode of a placement's target, and of directories on the way to it.
pub(super) const TARGET_MODE: u32 = 0o755;

/// Git content and its place in an image.
#[derive(Debug, Clone)]
pub struct Placement {
    /// Where the content is.
    pub repository: Repository,
    /// The tree of the commit.
    pub tree: ObjectId,
    /// A file, link or directory of the tree, relative to the repository's root.
    pub add: Vec<u8>,
    /// What of it; patterns are relative to `add`.
    pub filter: Arc<PathFilter>,
    /// The absolute path in the image, without symbolic links: of the file if `add` is one, else of the directory.
    pub to: PathBuf,
    /// Who owns what is placed.
    pub owner: Owner,
    /// The mode of directories below `to`; that one itself has 0755.
    pub directory_mode: u32,
}

impl Placement {
    fn look(&self) -> Look {
        Look { owner: self.owner, mode: TARGET_MODE, below: self.directory_mode }
    }
}

/// What the entries of a placement have that git does not know.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    owner: Owner,
    /// The mode of the entry itself, when it is a directory.
    mode: u32,
    /// The mode of directories below it.
    below: u32,
}

impl Look {
    fn of_children(self) -> Self {
        Self { mode: self.below, ..self }
    }

    fn meta(self) -> DirectoryMeta {
        DirectoryMeta { mode: self.mode, owner: self.owner }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    /// A git tree with everything in it.
    Tree(WholeTree),
    Directory(Directory),
    /// What was here is gone.
    Whiteout,
}

/// A file or symbolic link.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    pub(super) root: Arc<Root>,
    pub(super) mode: FileMode,
    pub(super) id: Oid,
    pub(super) owner: Owner,
}

#[derive(Debug, Clone)]
pub(super) struct WholeTree {
    root: Arc<Root>,
    /// Its path in `root`.
    path: Vec<u8>,
    id: Oid,
    look: Look,
    depth: usize,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// `None` for a directory that is there only because something beneath it is.
    pub(super) meta: Option<DirectoryMeta>,
    pub(super) children: BTreeMap<Vec<u8>, Node>,
}

/// Merges placements into the tree of the image's root. Where two bring the same path, the later one wins; two
/// directories become one.
pub(super) fn merge(placements: &[Placement]) -> Result<Directory, GitError> {
    let mut root = Directory::default();
    for placement in placements {
        let found = placement
            .repository
            .find(&placement.tree, &placement.add)?
            .ok_or_else(|| GitError::NotFound { path: shown(&placement.add), tree: placement.tree.clone() })?;
        if let Some(node) = select(&found, &placement.filter, &mut Vec::new(), placement.look(), 0)? {
            place(&mut root, &segments_of(&placement.to)?, node)?;
        }
    }
    Ok(root)
}

fn segments_of(to: &Path) -> Result<Vec<Vec<u8>>, GitError> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut segments = Vec::new();
    for component in to.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => segments.push(name.as_bytes().to_vec()),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(GitError::Outside { path: to.display().to_string() });
            }
        }
    }
    Ok(segments)
}

/// What of an entry passes the filter; `None` if nothing does. `path` is relative to the added directory.
fn select(
    found: &Found,
    filter: &PathFilter,
    path: &mut Vec<u8>,
    look: Look,
    depth: usize,
) -> Result<Option<Node>, GitError> {
    match found.mode {
        FileMode::Submodule if filter.may_contain(&path) => {
            return select(&found.enter()?, filter, path, look, depth);
        }
        FileMode::Submodule => return Ok(None),
        FileMode::Tree if filter.covers(&path) => {
            let (root, path) = (Arc::clone(&found.root), found.path.clone());
            return Ok(Some(Node::Tree(WholeTree { root, path, id: found.id, look, depth })));
        }
        FileMode::Tree if !filter.may_contain(&path) => return Ok(None),
        FileMode::Tree => {}
        FileMode::Regular | FileMode::Executable | FileMode::Symlink => {
            let leaf = Leaf { root: Arc::clone(&found.root), mode: found.mode, id: found.id, owner: look.owner };
            return Ok(filter.matches(&path).then_some(Node::Leaf(leaf)));
        }
    }
    let mut children = BTreeMap::new();
    for (name, child) in entries(&found.root, &found.path, found.id, depth)? {
        let length = path.len();
        push_segment(path, &name);
        if let Some(node) = select(&child, filter, path, look.of_children(), depth + 1)? {
            children.insert(name, node);
        }
        path.truncate(length);
    }
    Ok((!children.is_empty()).then_some(Node::Directory(Directory { meta: Some(look.meta()), children })))
}

fn entries(root: &Arc<Root>, path: &[u8], id: Oid, depth: usize) -> Result<Vec<(Vec<u8>, Found)>, GitError> {
    if depth > MAX_DEPTH {
        return Err(GitError::MalformedTree { id: id.to_string(), reason: "nested too deeply" });
    }
    let objects = root.repository.objects()?;
    let object = objects.read(id, ObjectType::Tree)?;
    let entries = TreeEntries::new(id, object.data()).map(|entry| {
        let entry = entry?;
        // Files never ask where they came from.
        let mut path =
            if matches!(entry.mode, FileMode::Tree | FileMode::Submodule) { path.to_vec() } else { Vec::new() };
        push_segment(&mut path, entry.name);
        Ok((entry.name.to_vec(), Found { root: Arc::clone(root), mode: entry.mode, id: entry.id, path }))
    });
    entries.collect()
}

fn place(root: &mut Directory, to: &[Vec<u8>], node: Node) -> Result<(), GitError> {
    let Some((name, parents)) = to.split_last() else {
        let Some(brought) = expand(node)? else {
            return Err(GitError::NotA { path: "/".to_owned(), expected: "file" });
        };
        return overlay(&mut root.children, brought.children);
    };
    let mut directory = root;
    for parent in parents {
        let child = directory.children.entry(parent.clone()).or_insert_with(|| Node::Directory(Directory::default()));
        // What is no directory gives way to one, as later placements win.
        let expanded = expand(std::mem::replace(child, Node::Whiteout))?.unwrap_or_default();
        *child = Node::Directory(expanded);
        let Node::Directory(inner) = child else { unreachable!("assigned above") };
        directory = inner;
    }
    overlay(&mut directory.children, BTreeMap::from([(name.clone(), node)]))
}

fn overlay(children: &mut BTreeMap<Vec<u8>, Node>, brought: BTreeMap<Vec<u8>, Node>) -> Result<(), GitError> {
    for (name, new) in brought {
        let node = match children.remove(&name) {
            Some(old) => combine(old, new)?,
            None => new,
        };
        children.insert(name, node);
    }
    Ok(())
}

fn combine(old: Node, new: Node) -> Result<Node, GitError> {
    if same_tree(&old, &new) || !old.is_directory() || !new.is_directory() {
        return Ok(new);
    }
    let (Some(mut old), Some(new)) = (expand(old)?, expand(new)?) else { unreachable!("both are directories") };
    overlay(&mut old.children, new.children)?;
    Ok(Node::Directory(Directory { meta: new.meta.or(old.meta), children: old.children }))
}

/// The entries of a directory; `None` for anything else.
pub(super) fn expand(node: Node) -> Result<Option<Directory>, GitError> {
    match node {
        Node::Directory(directory) => Ok(Some(directory)),
        Node::Tree(tree) => tree.read().map(Some),
        Node::Leaf(_) | Node::Whiteout => Ok(None),
    }
}

impl Node {
    pub(super) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_) | Self::Tree(_))
    }

    /// The metadata of a directory; `None` if it is a directory only on the way to something.
    pub(super) fn directory_meta(&self) -> Option<DirectoryMeta> {
        match self {
            Self::Tree(tree) => Some(tree.look.meta()),
            Self::Directory(directory) => directory.meta,
            Self::Leaf(_) | Self::Whiteout => None,
        }
    }
}

impl WholeTree {
    fn read(&self) -> Result<Directory, GitError> {
        let mut children = BTreeMap::new();
        for (name, found) in entries(&self.root, &self.path, self.id, self.depth)? {
            let found = if found.mode == FileMode::Submodule { found.enter()? } else { found };
            let Found { root, mode, id, path } = found;
            let (look, depth) = (self.look.of_children(), self.depth + 1);
            let node = match mode {
                FileMode::Tree => Node::Tree(WholeTree { root, path, id, look, depth }),
                _ => Node::Leaf(Leaf { root, mode, id, owner: look.owner }),
            };
            children.insert(name, node);
        }
        Ok(Directory { meta: Some(self.look.meta()), children })
    }
}

fn same_tree(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::Tree(one), Node::Tree(other)) => one.id == other.id && one.look == other.look,
        _ => false,
    }
}

/// What must be laid over `old` to give `new`; `None` if nothing.
///
/// A delta cannot make something reappear: if a path goes away, or a file becomes a directory, where the image beneath
/// both has that path too, this fails with [`GitError::NotADelta`].
pub(super) fn delta(
    old: Directory,
    new: Directory,
    exists_below: &dyn Fn(&Path) -> bool,
) -> Result<Option<Directory>, GitError> {
    Delta { path: PathBuf::from("/"), exists_below }.directories(old, new)
}

struct Delta<'a> {
    path: PathBuf,
    exists_below: &'a dyn Fn(&Path) -> bool,
}

impl Delta<'_> {
    fn directories(&mut self, old: Directory, new: Directory) -> Result<Option<Directory>, GitError> {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let mut changed = BTreeMap::new();
        let mut old_children = old.children;
        let mut pairs = Vec::with_capacity(new.children.len());
        for (name, node) in new.children {
            let before = old_children.remove(&name);
            pairs.push((name, before, Some(node)));
        }
        pairs.extend(old_children.into_iter().map(|(name, before)| (name, Some(before), None)));
        for (name, before, after) in pairs {
            self.path.push(OsStr::from_bytes(&name));
            if let Some(node) = self.nodes(before, after)? {
                changed.insert(name, node);
            }
            self.path.pop();
        }
        let same = changed.is_empty() && old.meta == new.meta;
        Ok((!same).then_some(Directory { meta: new.meta, children: changed }))
    }

    fn nodes(&mut self, old: Option<Node>, new: Option<Node>) -> Result<Option<Node>, GitError> {
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (Some(_), None) => return self.uncovered().map(|()| Some(Node::Whiteout)),
            (None, new) => return Ok(new),
        };
        if same_tree(&old, &new) {
            return Ok(None);
        }
        match (old, new) {
            (Node::Leaf(old), Node::Leaf(new)) => Ok((old.differs(&new)).then_some(Node::Leaf(new))),
            (old, new) if old.is_directory() && new.is_directory() => {
                let (Some(old), Some(new)) = (expand(old)?, expand(new)?) else { return Ok(None) };
                Ok(self.directories(old, new)?.map(Node::Directory))
            }
            (_, new) if new.is_directory() => self.uncovered().map(|()| Some(new)),
            (_, new) => Ok(Some(new)),
        }
    }

    /// Checks that nothing beneath would have to show where the old content was.
    fn uncovered(&self) -> Result<(), GitError> {
        if (self.exists_below)(&self.path) {
            return Err(GitError::NotADelta { path: self.path.clone() });
        }
        Ok(())
    }
}

impl Leaf {
    fn differs(&self, other: &Self) -> bool {
        (self.mode, self.id, self.owner) != (other.mode, other.id, other.owner)
    }
}
