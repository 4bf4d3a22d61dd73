//! The work tree as a tree object, for `--dev`: what `git add -A && git write-tree` would give, without touching the
//! user's index or object store.
//!
//! Only what differs from HEAD is read and hashed; new blobs and trees go to an object directory of stager's own, which
//! the returned repository reads beside the user's.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};
use rustix::fs::{AtFlags, CWD, readlink, statat};
use rustix::io::Errno;
use stages::filter::PathFilter;
use stages::{CommitId, ObjectId};

use super::diff::ChangeKind;
use super::error::GitError;
use super::index::Index;
use super::known::{Known, Learnt};
use super::lfs::{is_attributes, is_tracked, pointer_to};
use super::repository::{Head, Objects, Repository, object_id, oid};
use super::scan::{Trust, mode_on_disk};
use super::tree::{FileMode, Found, Root, TreeEntries};
use super::worktree::{Changes, Scope, Scopes, Survey};

/// A snapshot of a work tree.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The repository, which also reads the snapshot's objects.
    pub repository: Repository,
    /// The tree of the whole repository.
    pub tree: ObjectId,
}

/// How a snapshot is taken.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotOptions<'a> {
    /// Takes the snapshot's objects, and what was read before; several processes may share it.
    pub store: &'a Path,
    /// Patterns relative to the repository's root: what matches stays as HEAD has it.
    pub ignore: &'a PathFilter,
    /// How many threads read files.
    pub threads: usize,
}

impl Repository {
    /// Makes a tree of the work tree: HEAD, with every file that differs as it is on disk, untracked ones that are not
    /// ignored included.
    ///
    /// A submodule is taken at the commit that is checked out in it, and with its own changes if it has any. The tree of
    /// a work tree without changes is that of HEAD. Files are read only if they differ from what git or the snapshot
    /// before noted of them.
    pub fn snapshot(&self, head: &Head, options: SnapshotOptions<'_>) -> Result<Snapshot, GitError> {
        let SnapshotOptions { store, ignore, threads } = options;
        let known = Known::load(store, self, self.conversions()?);
        let scopes = Scopes(&[Scope { path: b"", filter: ignore }]);
        let survey = Survey { scopes: &scopes, threads, untracked: usize::MAX, known: Some(&known) };
        let changes = self.work_changes(oid(&head.tree), &survey)?.changes;
        if changes.is_empty() {
            return Ok(Snapshot { repository: self.clone(), tree: head.tree.clone() });
        }
        let failed = |error| self.failed("write a snapshot", error);
        let bare = git2::Repository::init_bare(store).map_err(failed)?;
        let mut extra = vec![store.join("objects")];
        let leaves = Leaves { repository: self, store, known: &known, head }.write(changes, threads, &mut extra)?;
        let Written { leaves, learnt } = leaves;
        known.save(learnt, |path| leaves.contains_key(path))?;
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

    /// Stands for everything that decides what git stores for a file besides its bytes.
    fn conversions(&self) -> Result<String, GitError> {
        let index = Index::load(self)?;
        if !self.has_conversions(&index) {
            return Ok("none".to_owned());
        }
        let mut hasher = blake3::Hasher::new();
        let configured =
            |key: &str| self.handle().config().and_then(|config| config.get_string(key)).unwrap_or_default();
        for key in ["core.autocrlf", "core.eol", "core.safecrlf", "core.attributesfile"] {
            hasher.update(format!("{key}={}\n", configured(key)).as_bytes());
        }
        let mut files = vec![self.common_dir().join("info/attributes")];
        let paths = index.entries().iter().map(|entry| index.path(entry)).filter(|path| is_attributes(path));
        files.extend(paths.map(|path| self.work_path(path)).collect::<Result<Vec<_>, _>>()?);
        for file in files {
            let content = fs_err::read(&file).unwrap_or_default();
            hasher.update(file.as_os_str().as_bytes()).update(b"\n").update(blake3::hash(&content).as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
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
    store: &'a Path,
    known: &'a Known,
    head: &'a Head,
}

/// The blobs of changed files.
#[derive(Default)]
struct Written {
    leaves: LeafChanges,
    learnt: Vec<Learnt>,
}

impl Leaves<'_> {
    fn write(&self, changes: Changes, threads: usize, extra: &mut Vec<PathBuf>) -> Result<Written, GitError> {
        // Less is done before a thread has begun.
        const ALONE: usize = 64;
        let share = changes.len().div_ceil(threads.max(1)).max(ALONE);
        let parts = std::thread::scope(|scope| {
            let running: Vec<_> =
                changes.chunks(share).map(|part| scope.spawn(move || self.write_some(part))).collect();
            let joined = running.into_iter().map(|thread| thread.join().expect("a thread that writes does not panic"));
            joined.collect::<Result<Vec<_>, _>>()
        })?;
        let mut written = Written::default();
        for mut part in parts {
            written.leaves.append(&mut part.leaves);
            written.learnt.append(&mut part.learnt);
        }
        let mut seen = HashSet::new();
        for path in written.leaves.keys() {
            self.note_submodules(path, &mut seen, extra)?;
        }
        Ok(written)
    }

    fn write_some(&self, changes: &[(Vec<u8>, ChangeKind)]) -> Result<Written, GitError> {
        let writer = Writer::new(self)?;
        let mut written = Written::default();
        for (path, kind) in changes {
            if *kind == ChangeKind::Removed {
                written.leaves.insert(path.clone(), None);
                continue;
            }
            match writer.leaf(path, *kind, &mut written.learnt)? {
                Leaf::Is(mode, id) => drop(written.leaves.insert(path.clone(), Some((mode, id)))),
                Leaf::Gone => drop(written.leaves.insert(path.clone(), None)),
                // A repository that is not a submodule: git would not add its files either.
                Leaf::Foreign => {}
            }
        }
        Ok(written)
    }

    /// A changed file within a submodule needs the submodule's trees to be read and written here too. `seen` has the
    /// directories that were looked at.
    fn note_submodules<'p>(
        &self,
        path: &'p [u8],
        seen: &mut HashSet<&'p [u8]>,
        extra: &mut Vec<PathBuf>,
    ) -> Result<(), GitError> {
        // From the innermost directory: one that was seen was seen with all above it.
        let mut above = path;
        while let Some(at) = above.iter().rposition(|&byte| byte == b'/') {
            above = &above[..at];
            if !seen.insert(above) {
                break;
            }
            let found = self.repository.find(&self.head.tree, above)?;
            if found.is_some_and(|found| found.mode == FileMode::Submodule) {
                let place = self.repository.work_dir().unwrap_or(self.store).join(OsStr::from_bytes(above));
                let objects = Repository::open(&place)?.common_dir().join("objects");
                if !extra.contains(&objects) {
                    extra.push(objects);
                }
            }
        }
        Ok(())
    }
}

/// What a changed path is now.
enum Leaf {
    Is(FileMode, Oid),
    /// Removed since it was looked at.
    Gone,
    Foreign,
}

/// One thread's handles.
struct Writer<'a> {
    leaves: &'a Leaves<'a>,
    /// A handle on the work tree that applies git's conversions and writes to the store.
    converting: git2::Repository,
    trust: Trust,
}

impl<'a> Writer<'a> {
    fn new(leaves: &'a Leaves<'a>) -> Result<Self, GitError> {
        let repository = leaves.repository;
        let failed = |error| repository.failed("write a snapshot", error);
        let converting = git2::Repository::open(repository.git_dir()).map_err(failed)?;
        let store = git2::Repository::open_bare(leaves.store).map_err(failed)?;
        let objects = store.odb().map_err(failed)?;
        let own = repository.common_dir().join("objects");
        objects.add_disk_alternate(&own.to_string_lossy()).map_err(failed)?;
        converting.set_odb(&objects).map_err(failed)?;
        Ok(Self { leaves, converting, trust: repository.trust() })
    }

    fn leaf(&self, path: &[u8], kind: ChangeKind, learnt: &mut Vec<Learnt>) -> Result<Leaf, GitError> {
        let repository = self.leaves.repository;
        let place = repository.work_path(path)?;
        let stat = match statat(CWD, &place, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Leaf::Gone),
            Err(error) => return Err(GitError::io("read", &place, error)),
        };
        let recorded = match kind {
            ChangeKind::Added => None,
            _ => repository.find(&self.leaves.head.tree, path)?.map(|found| found.mode),
        };
        match mode_on_disk(&stat, recorded.unwrap_or(FileMode::Regular), self.trust) {
            Some(FileMode::Symlink) => {
                let target = readlink(&place, Vec::new()).map_err(|error| GitError::io("read", &place, error))?;
                Ok(Leaf::Is(FileMode::Symlink, self.write(&place, target.as_bytes())?))
            }
            Some(mode) => {
                if let Some(id) = self.leaves.known.blob(path, &stat).filter(|id| self.has(*id)) {
                    return Ok(Leaf::Is(mode, id));
                }
                let id = self.blob(path, &place)?;
                learnt.push(Learnt { path: path.to_vec(), stat, id });
                Ok(Leaf::Is(mode, id))
            }
            None if recorded == Some(FileMode::Submodule) => {
                let inner = Repository::open(&place)?.head()?;
                Ok(Leaf::Is(FileMode::Submodule, oid(&inner.commit)))
            }
            None => Ok(Leaf::Foreign),
        }
    }

    fn blob(&self, path: &[u8], place: &Path) -> Result<Oid, GitError> {
        if is_tracked(&self.converting, Path::new(OsStr::from_bytes(path))) {
            let pointer = pointer_to(place).map_err(|error| GitError::io("read", place, error))?;
            if let Some(pointer) = pointer {
                return self.write(place, &pointer);
            }
        }
        self.converting.blob_path(place).map_err(|error| self.failed(place, error))
    }

    fn has(&self, id: Oid) -> bool {
        self.converting.odb().is_ok_and(|objects| objects.exists(id))
    }

    fn write(&self, place: &Path, content: &[u8]) -> Result<Oid, GitError> {
        let objects = self.converting.odb();
        let written = objects.and_then(|objects| objects.write(ObjectType::Blob, content));
        written.map_err(|error| self.failed(place, error))
    }

    fn failed(&self, place: &Path, error: git2::Error) -> GitError {
        self.leaves.repository.failed(format!("read {} for a snapshot", place.display()), error)
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
        let ignore = PathFilter::everything();
        let options = SnapshotOptions { store, ignore: &ignore, threads: 2 };
        repository.snapshot(&repository.head().unwrap(), options).unwrap()
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

    #[test]
    fn what_is_ignored_stays_as_the_commit_has_it() {
        let fixture = Fixture::with(&[("a", "1"), ("docs/b", "2"), ("docs/gone", "3")]);
        fixture.write("a", "changed");
        fixture.write("docs/b", "changed");
        fixture.write("docs/new", "new");
        fixture.remove("docs/gone");
        let store = tempfile::tempdir().unwrap();
        let ignore = PathFilter::new(&[], &["docs".to_owned()]).unwrap();
        let options = SnapshotOptions { store: store.path(), ignore: &ignore, threads: 2 };
        let repository = fixture.repository();
        let taken = repository.snapshot(&repository.head().unwrap(), options).unwrap();
        let files = taken.repository.list(&taken.tree, "", &PathFilter::everything()).unwrap();
        let files: Vec<_> = files.iter().map(|file| String::from_utf8(file.path.clone()).unwrap()).collect();
        assert_eq!(files, ["a", "docs/b", "docs/gone"]);
        let entry = |path: &str| taken.repository.entry(&taken.tree, path).unwrap().unwrap().id;
        assert_eq!(entry("docs/b"), repository.entry(&fixture.tree(), "docs/b").unwrap().unwrap().id);
        assert_ne!(entry("a"), repository.entry(&fixture.tree(), "a").unwrap().unwrap().id);
    }

    #[test]
    fn files_of_git_lfs_are_pointers_in_the_snapshot_too() {
        let pointer = |text: &str| {
            let hash = crate::sha256::Sha256::of(text.as_bytes());
            format!("version https://git-lfs.github.com/spec/v1\noid {hash}\nsize {}\n", text.len())
        };
        let (old, new) = (pointer("old content"), pointer("new content"));
        let fixture =
            Fixture::with(&[("a.bin", &old), ("b.bin", &old), (".gitattributes", "*.bin filter=lfs -text\n")]);
        // As `git lfs pull` leaves it, and git's notes of the files do not tell.
        fixture.write("a.bin", "old content");
        fixture.write("b.bin", "new content");
        let store = tempfile::tempdir().unwrap();
        let taken = snapshot(&fixture, store.path());
        let read = |path: &str| {
            let entry = taken.repository.entry(&taken.tree, path).unwrap().unwrap();
            String::from_utf8(entry.repository.read_blob(&entry.id, 999).unwrap()).unwrap()
        };
        assert_eq!((read("a.bin"), read("b.bin")), (old, new));
        let everything = PathFilter::everything();
        let scopes = [Scope { path: b"", filter: &everything }];
        let repository = fixture.repository();
        let differs = repository.uncommitted(&repository.head().unwrap(), &scopes, 9, 2).unwrap();
        assert_eq!(differs.names, [(b"b.bin".to_vec(), ChangeKind::Modified)]);
        assert_eq!(repository.lfs_pointers(&fixture.tree(), &scopes).unwrap(), [b"a.bin", b"b.bin"]);
    }
}
