//! The work tree as a tree object, for `--dev`: what `git add -A && git write-tree` would give, without touching the
//! user's index or object store.
//!
//! Only what differs from HEAD is read and hashed; new blobs and trees go to an object directory of stager's own, which
//! the returned repository reads beside the user's.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};
use rustix::fs::{AtFlags, CWD, readlink, statat};
use stages::filter::PathFilter;
use stages::{CommitId, ObjectId};

use super::diff::ChangeKind;
use super::error::GitError;
use super::repository::{Head, Objects, Repository, object_id, oid};
use super::scan::mode_on_disk;
use super::tree::{FileMode, Found, Root, TreeEntries};
use super::worktree::{Changes, Scope, Scopes};

/// A snapshot of a work tree.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The repository, which also reads the snapshot's objects.
    pub repository: Repository,
    /// The tree of the whole repository.
    pub tree: ObjectId,
}

impl Repository {
    /// Makes a tree of the work tree: HEAD, with every file that differs as it is on disk, untracked ones that are not
    /// ignored included. Objects are written to `store`, a directory that several processes may share.
    ///
    /// A submodule is taken at the commit that is checked out in it, and with its own changes if it has any. The tree of
    /// a work tree without changes is that of HEAD.
    pub fn snapshot(&self, head: &Head, store: &Path, threads: usize) -> Result<Snapshot, GitError> {
        let everything = PathFilter::everything();
        let scopes = [Scope { path: b"", filter: &everything }];
        let (changes, _) = self.work_changes(oid(&head.tree), &Scopes(&scopes), threads, usize::MAX)?;
        if changes.is_empty() {
            return Ok(Snapshot { repository: self.clone(), tree: head.tree.clone() });
        }
        let failed = |error| self.failed("write a snapshot", error);
        let bare = git2::Repository::init_bare(store).map_err(failed)?;
        let mut extra = vec![store.join("objects")];
        let leaves = Leaves { repository: self, bare: &bare, store }.write(changes, head, &mut extra)?;
        let repository = self.with_objects(extra)?;
        let trees = Trees { objects: repository.objects()?, odb: bare.odb().map_err(failed)?, of: self };
        let root = Found {
            root: std::sync::Arc::new(Root { repository: repository.clone(), tree: oid(&head.tree) }),
            mode: FileMode::Tree,
            id: oid(&head.tree),
            path: Vec::new(),
        };
        let tree = match trees.apply(Some(&root), &leaves)? {
            Some(tree) => tree,
            None => trees.odb.write(ObjectType::Tree, b"").map_err(failed)?,
        };
        drop(trees);
        Ok(Snapshot { repository, tree: object_id(tree) })
    }
}

impl Head {
    /// The id that a commit of a snapshot would have: on top of this commit, made by stager at a time in seconds since 1970.
    /// It is not written.
    pub fn snapshot_commit(&self, tree: &ObjectId, time: i64) -> CommitId {
        let who = format!("stager <stager@localhost> {time} +0000");
        let text = format!("tree {tree}\nparent {}\nauthor {who}\ncommitter {who}\n\nsnapshot\n", self.commit);
        let id = Oid::hash_object(ObjectType::Commit, text.as_bytes());
        id.map_or_else(
            |_| self.commit.clone(),
            |id| id.to_string().parse().expect("an Oid prints as hexadecimal digits"),
        )
    }
}

/// What becomes of each changed path; `None` for one that is gone.
type LeafChanges = BTreeMap<Vec<u8>, Option<(FileMode, Oid)>>;

/// Writes blobs.
struct Leaves<'a> {
    repository: &'a Repository,
    bare: &'a git2::Repository,
    store: &'a Path,
}

impl Leaves<'_> {
    fn write(&self, changes: Changes, head: &Head, extra: &mut Vec<PathBuf>) -> Result<LeafChanges, GitError> {
        let converting = self.converting()?;
        let mut leaves = LeafChanges::new();
        for (path, kind) in changes {
            let leaf = match kind {
                ChangeKind::Removed => None,
                _ => match self.leaf(&path, head, &converting)? {
                    Some(leaf) => Some(leaf),
                    // A repository that is not a submodule: git would not add its files either.
                    None => continue,
                },
            };
            self.note_submodule(&path, head, extra)?;
            leaves.insert(path, leaf);
        }
        Ok(leaves)
    }

    /// A handle on the work tree that applies git's conversions and writes to the store.
    fn converting(&self) -> Result<git2::Repository, GitError> {
        let failed = |error| self.repository.failed("write a snapshot", error);
        let handle = git2::Repository::open(self.repository.git_dir()).map_err(failed)?;
        let odb = self.bare.odb().map_err(failed)?;
        let objects = self.repository.common_dir().join("objects");
        odb.add_disk_alternate(&objects.to_string_lossy()).map_err(failed)?;
        handle.set_odb(&odb).map_err(failed)?;
        Ok(handle)
    }

    fn leaf(
        &self,
        path: &[u8],
        head: &Head,
        converting: &git2::Repository,
    ) -> Result<Option<(FileMode, Oid)>, GitError> {
        let place = self.repository.work_path(path)?;
        let failed = |error| self.repository.failed(format!("read {} for a snapshot", place.display()), error);
        let stat =
            statat(CWD, &place, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| GitError::io("read", &place, error))?;
        let recorded = self.repository.find(&head.tree, path).ok().flatten().map(|found| found.mode);
        match mode_on_disk(&stat, recorded.unwrap_or(FileMode::Regular), self.repository.trust()) {
            Some(FileMode::Symlink) => {
                let target = readlink(&place, Vec::new()).map_err(|error| GitError::io("read", &place, error))?;
                let odb = self.bare.odb().map_err(failed)?;
                let id = odb.write(ObjectType::Blob, target.as_bytes()).map_err(failed)?;
                Ok(Some((FileMode::Symlink, id)))
            }
            Some(mode) => Ok(Some((mode, converting.blob_path(&place).map_err(failed)?))),
            None if recorded == Some(FileMode::Submodule) => {
                let inner = Repository::open(&place)?.head()?;
                Ok(Some((FileMode::Submodule, oid(&inner.commit))))
            }
            None => Ok(None),
        }
    }

    /// A changed file within a submodule needs the submodule's trees to be read and written here too.
    fn note_submodule(&self, path: &[u8], head: &Head, extra: &mut Vec<PathBuf>) -> Result<(), GitError> {
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let found = self.repository.find(&head.tree, &path[..at])?;
            if found.is_some_and(|found| found.mode == FileMode::Submodule) {
                let place = self.repository.work_dir().unwrap_or(self.store).join(OsStr::from_bytes(&path[..at]));
                let objects = Repository::open(&place)?.common_dir().join("objects");
                if !extra.contains(&objects) {
                    extra.push(objects);
                }
            }
        }
        Ok(())
    }
}

/// Writes trees.
struct Trees<'a> {
    objects: Objects<'a>,
    odb: git2::Odb<'a>,
    of: &'a Repository,
}

impl Trees<'_> {
    /// Applies changes, whose paths are relative to the base, and writes the tree; `None` if nothing is left in it.
    fn apply(&self, base: Option<&Found>, changes: &LeafChanges) -> Result<Option<Oid>, GitError> {
        let mut entries = BTreeMap::new();
        if let Some(base) = base {
            let object = self.objects.read(base.id, ObjectType::Tree)?;
            for entry in TreeEntries::new(base.id, object.data()) {
                let entry = entry?;
                entries.insert(entry.name.to_vec(), (entry.mode, entry.id));
            }
        }
        let mut below = BTreeMap::<Vec<u8>, LeafChanges>::new();
        for (path, leaf) in changes {
            if let Some(slash) = path.iter().position(|&byte| byte == b'/') {
                below.entry(path[..slash].to_vec()).or_default().insert(path[slash + 1..].to_vec(), *leaf);
            } else {
                entries.remove(path);
                entries.extend(leaf.map(|leaf| (path.clone(), leaf)));
            }
        }
        for (name, inner) in below {
            let start = match (base, entries.get(&name)) {
                (Some(base), Some(&(mode, id))) => directory(base, &name, mode, id)?,
                _ => None,
            };
            match self.apply(start.as_ref(), &inner)? {
                Some(tree) => entries.insert(name, (FileMode::Tree, tree)),
                None => entries.remove(&name),
            };
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let written = self.odb.write(ObjectType::Tree, &serialised(entries));
        written.map(Some).map_err(|error| self.of.failed("write a snapshot", error))
    }
}

/// A directory of the base, or the tree of a submodule, which becomes a directory by what changes in it.
fn directory(base: &Found, name: &[u8], mode: FileMode, id: Oid) -> Result<Option<Found>, GitError> {
    let mut path = base.path.clone();
    super::tree::push_segment(&mut path, name);
    let found = Found { root: std::sync::Arc::clone(&base.root), mode, id, path };
    match mode {
        FileMode::Tree => Ok(Some(found)),
        FileMode::Submodule => found.enter().map(Some),
        FileMode::Regular | FileMode::Executable | FileMode::Symlink => Ok(None),
    }
}

fn serialised(entries: BTreeMap<Vec<u8>, (FileMode, Oid)>) -> Vec<u8> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    // git sorts directories as if their names ended in a slash.
    entries.sort_by_cached_key(|(name, (mode, _))| {
        let mut key = name.clone();
        key.extend((*mode == FileMode::Tree).then_some(b'/'));
        key
    });
    let mut data = Vec::new();
    for (name, (mode, id)) in entries {
        let digits: &[u8] = match mode {
            FileMode::Regular => b"100644",
            FileMode::Executable => b"100755",
            FileMode::Symlink => b"120000",
            FileMode::Tree => b"40000",
            FileMode::Submodule => b"160000",
        };
        data.extend_from_slice(digits);
        data.push(b' ');
        data.extend_from_slice(&name);
        data.push(0);
        data.extend_from_slice(id.as_bytes());
    }
    data
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, git_in};
    use super::*;

    /// The snapshot's tree, with a check that git, given the same files, agrees.
    fn snapshot(fixture: &Fixture, store: &Path) -> Snapshot {
        let repository = fixture.repository();
        repository.snapshot(&repository.head().unwrap(), store, 2).unwrap()
    }

    #[test]
    fn a_snapshot_is_the_tree_that_git_would_commit() {
        let fixture = Fixture::with(&[
            ("same/deep/x", "1"),
            ("changed/a", "2"),
            ("gone/b", "3"),
            ("file", "4"),
            ("dir.x", "5"),
            ("dir/y", "6"),
            ("crlf.txt", "a\n"),
            (".gitattributes", "*.txt text eol=crlf\n"),
            (".gitignore", "out\n"),
        ]);
        let store = tempfile::tempdir().unwrap();
        let clean = snapshot(&fixture, store.path());
        assert_eq!(clean.tree, fixture.tree());
        assert!(fs_err::read_dir(store.path()).unwrap().next().is_none(), "nothing was written");

        fixture.write("changed/a", "two");
        fixture.make_executable("dir/y");
        fixture.remove("gone");
        fixture.remove("file");
        fixture.write("file/inner", "7");
        fixture.link("link", "changed/a");
        fixture.write("dir-z/new", "8");
        fixture.write("crlf.txt", "b\r\n");
        fixture.write("out/ignored", "9");
        let index = fs_err::read(fixture.path(".git/index")).unwrap();
        let taken = snapshot(&fixture, store.path());
        assert_eq!(fs_err::read(fixture.path(".git/index")).unwrap(), index, "the index is the user's");
        let blob = taken.repository.entry(&taken.tree, "changed/a").unwrap().unwrap();
        assert_eq!(blob.repository.read_blob(&blob.id, 9).unwrap(), b"two");
        assert!(fixture.repository().entry(&taken.tree, "").is_ok());
        assert!(
            fixture.repository().list(&taken.tree, "", &PathFilter::everything()).is_err(),
            "not in the user's objects"
        );
        assert_eq!(fixture.commit("by git"), taken.tree);
        assert_eq!(snapshot(&fixture, store.path()).tree, taken.tree);
    }

    #[test]
    fn everything_may_be_gone() {
        let fixture = Fixture::with(&[("a", "1"), ("b/c", "2")]);
        fixture.remove("a");
        fixture.remove("b");
        let store = tempfile::tempdir().unwrap();
        let taken = snapshot(&fixture, store.path());
        assert_eq!(taken.repository.list(&taken.tree, "", &PathFilter::everything()).unwrap(), []);
    }

    #[test]
    fn submodules_are_taken_as_they_are() {
        let inner = Fixture::with(&[("x", "1"), ("d/y", "2")]);
        let outer = Fixture::with(&[("a", "0")]);
        outer.git(&["submodule", "add", "-q", inner.directory.path().to_str().unwrap(), "libs/inner"]);
        outer.commit("submodule");
        let store = tempfile::tempdir().unwrap();
        outer.write("libs/inner/d/y", "changed");
        let read = |taken: &Snapshot, path: &str| {
            let entry = taken.repository.entry(&taken.tree, path).unwrap().unwrap();
            String::from_utf8(entry.repository.read_blob(&entry.id, 99).unwrap()).unwrap()
        };
        let taken = snapshot(&outer, store.path());
        assert_eq!(
            (read(&taken, "libs/inner/d/y"), read(&taken, "libs/inner/x")),
            ("changed".to_owned(), "1".to_owned())
        );
        git_in(&outer.path("libs/inner"), &["commit", "-qam", "second"]);
        let taken = snapshot(&outer, store.path());
        assert_eq!(taken.repository.entry(&taken.tree, "libs/inner").unwrap().unwrap().mode, FileMode::Submodule);
        assert_eq!(read(&taken, "libs/inner/d/y"), "changed");
    }
}
