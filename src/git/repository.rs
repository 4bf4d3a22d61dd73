//! Opening repositories and asking for HEAD.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use git2::{ErrorCode, ObjectType, Oid};
use stages::{CommitId, ObjectId};

use super::error::GitError;
use super::submodule::Submodules;
use super::tree_cache::TreeCache;

/// A git repository, cheap to clone and usable from every thread.
///
/// Objects are read through a pool of object databases, because libgit2 holds a lock on one of them for the whole of each
/// read; whoever reads many objects borrows one with `Repository::objects`.
#[derive(Clone)]
pub struct Repository {
    shared: Arc<Shared>,
}

struct Shared {
    git_dir: PathBuf,
    /// Where objects and modules are: that of the main repository for a linked work tree.
    common_dir: PathBuf,
    work_dir: Option<PathBuf>,
    prefix: Vec<u8>,
    /// Object directories that are read besides the repository's own.
    extra_objects: Vec<PathBuf>,
    handle: Mutex<git2::Repository>,
    idle: Mutex<Vec<git2::Odb<'static>>>,
    submodules: Submodules,
    trees: TreeCache,
    origin: Option<Origin>,
}

/// Where a clone of ours is from.
#[derive(Clone)]
pub(super) struct Origin {
    /// Its address without credentials.
    pub(super) address: String,
    /// The directory of all clones.
    pub(super) clones: PathBuf,
}

/// The clone of an address without credentials.
pub(super) fn clone_at(clones: &Path, address: &str) -> PathBuf {
    let key = blake3::hash(address.as_bytes()).to_hex();
    clones.join(format!("{}.git", &key[..32]))
}

/// What HEAD names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: CommitId,
    /// Its tree: that of the whole repository, whatever the project's directory is.
    pub tree: ObjectId,
    /// The branch, unless HEAD is detached.
    pub branch: Option<String>,
    /// The committer's time in seconds since 1970.
    pub time: i64,
    /// The committer's time zone, in minutes east of UTC.
    pub zone: i32,
}

impl Repository {
    /// Opens the repository at or above `directory`: a work tree, a linked work tree, a bare repository or a `.git` file.
    pub fn discover(directory: &Path) -> Result<Self, GitError> {
        configure_library();
        let handle = git2::Repository::discover(directory).map_err(|error| open_error(directory, error))?;
        Self::from_handle(handle, Some(directory))
    }

    /// Opens the repository at exactly this directory.
    pub fn open(directory: &Path) -> Result<Self, GitError> {
        configure_library();
        let handle = git2::Repository::open(directory).map_err(|error| open_error(directory, error))?;
        Self::from_handle(handle, None)
    }

    /// Opens a git directory whatever it says about its work tree, which may be gone.
    pub(super) fn open_bare(directory: &Path) -> Result<Self, GitError> {
        configure_library();
        let handle = git2::Repository::open_bare(directory).map_err(|error| open_error(directory, error))?;
        Self::from_handle(handle, None)
    }

    /// Opens a clone of ours.
    pub(super) fn open_clone(directory: &Path, origin: Origin) -> Result<Self, GitError> {
        configure_library();
        let handle = git2::Repository::open_bare(directory).map_err(|error| open_error(directory, error))?;
        Self::assemble(handle, None, Some(origin))
    }

    pub(super) fn from_handle(handle: git2::Repository, project: Option<&Path>) -> Result<Self, GitError> {
        Self::assemble(handle, project, None)
    }

    fn assemble(handle: git2::Repository, project: Option<&Path>, origin: Option<Origin>) -> Result<Self, GitError> {
        let work_dir = handle.workdir().map(|path| fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
        let prefix = match (&work_dir, project) {
            (Some(work_dir), Some(project)) => {
                let project = fs_err::canonicalize(project).map_err(|error| GitError::io("resolve", project, error))?;
                project.strip_prefix(work_dir).map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                git_dir: handle.path().to_owned(),
                common_dir: handle.commondir().to_owned(),
                work_dir,
                prefix,
                extra_objects: Vec::new(),
                handle: Mutex::new(handle),
                idle: Mutex::default(),
                submodules: Submodules::default(),
                trees: TreeCache::default(),
                origin,
            }),
        })
    }

    pub(super) fn tree_cache(&self) -> &TreeCache {
        &self.shared.trees
    }

    /// The same repository, which also reads objects of other directories.
    pub(super) fn with_objects(&self, extra_objects: Vec<PathBuf>) -> Result<Self, GitError> {
        let handle = git2::Repository::open(self.git_dir()).map_err(|error| open_error(self.git_dir(), error))?;
        Ok(Self {
            shared: Arc::new(Shared {
                git_dir: self.shared.git_dir.clone(),
                common_dir: self.shared.common_dir.clone(),
                work_dir: self.shared.work_dir.clone(),
                prefix: self.shared.prefix.clone(),
                extra_objects,
                handle: Mutex::new(handle),
                idle: Mutex::default(),
                submodules: Submodules::default(),
                trees: TreeCache::default(),
                origin: self.shared.origin.clone(),
            }),
        })
    }

    /// The git directory of this work tree.
    pub fn git_dir(&self) -> &Path {
        &self.shared.git_dir
    }

    /// The directory with objects, references and submodules; differs from [`Repository::git_dir`] in a linked work tree.
    pub fn common_dir(&self) -> &Path {
        &self.shared.common_dir
    }

    /// The root of the work tree; `None` for a bare repository.
    pub fn work_dir(&self) -> Option<&Path> {
        self.shared.work_dir.as_deref()
    }

    /// The address of a remote, as the repository's settings have it.
    pub fn remote_address(&self, name: &str) -> Option<String> {
        self.handle().find_remote(name).ok()?.url().ok().map(str::to_owned)
    }

    /// The name of its directory: that of the work tree, or of the git directory where there is none.
    pub fn directory_name(&self) -> Option<String> {
        let directory = self.work_dir().unwrap_or(&self.shared.git_dir);
        directory.file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// The directory that [`Repository::discover`] was called with, relative to the repository's root: empty for the root.
    pub fn prefix(&self) -> &[u8] {
        &self.shared.prefix
    }

    /// The commit that HEAD names.
    pub fn head(&self) -> Result<Head, GitError> {
        let handle = self.handle();
        let reference = handle.head().map_err(|error| match error.code() {
            ErrorCode::UnbornBranch | ErrorCode::NotFound => self.unborn(&handle),
            _ => self.failed("read HEAD", error),
        })?;
        let commit = reference.peel_to_commit().map_err(|error| self.failed("read the commit of HEAD", error))?;
        let branch = reference.is_branch().then(|| String::from_utf8_lossy(reference.shorthand_bytes()).into_owned());
        Ok(Head {
            commit: object_id(commit.id()),
            tree: object_id(commit.tree_id()),
            branch,
            time: commit.time().seconds(),
            zone: commit.time().offset_minutes(),
        })
    }

    fn unborn(&self, handle: &git2::Repository) -> GitError {
        let head = handle.find_reference("HEAD").ok();
        let target = head.as_ref().and_then(|head| head.symbolic_target_bytes()).unwrap_or(b"HEAD");
        let branch = target.strip_prefix(b"refs/heads/").unwrap_or(target);
        GitError::Unborn {
            repository: self.location().to_owned(),
            branch: String::from_utf8_lossy(branch).into_owned(),
        }
    }

    /// The tag that points at the commit. Of several, an annotated one is taken before a lightweight one, then the one
    /// tagged last, then the one whose name sorts last.
    pub fn tag_at(&self, commit: &CommitId) -> Result<Option<String>, GitError> {
        let failed = |error| self.failed("list tags", error);
        let wanted = oid(commit);
        let handle = self.handle();
        let mut best = None;
        for reference in handle.references_glob("refs/tags/*").map_err(failed)? {
            let reference = reference.map_err(failed)?;
            if reference.target_peel().or_else(|| reference.target()).is_none() {
                continue;
            }
            let Ok(target) = reference.peel(ObjectType::Commit) else { continue };
            if target.id() != wanted {
                continue;
            }
            let tagged = reference.peel_to_tag().ok();
            let time = tagged.as_ref().and_then(git2::Tag::tagger).map(|tagger| tagger.when().seconds());
            let name = String::from_utf8_lossy(reference.shorthand_bytes()).into_owned();
            best = best.max(Some((tagged.is_some(), time, name)));
        }
        Ok(best.map(|(_, _, name)| name))
    }

    /// The tree of a commit.
    pub fn commit_tree(&self, commit: &CommitId) -> Result<ObjectId, GitError> {
        let handle = self.handle();
        let found = handle.find_commit(oid(commit)).map_err(|source| GitError::Object {
            kind: "commit",
            id: commit.to_string(),
            repository: self.location().to_owned(),
            source,
        })?;
        Ok(object_id(found.tree_id()))
    }

    /// Whether an object of that id is in the repository.
    pub fn has_object(&self, id: &ObjectId) -> bool {
        git2::Oid::from_str(id.as_str()).is_ok_and(|id| self.handle().odb().is_ok_and(|odb| odb.exists(id)))
    }

    /// Whether this clone holds the commit and its tree.
    pub fn has_commit(&self, commit: &CommitId) -> bool {
        let handle = self.handle();
        handle.find_commit(oid(commit)).is_ok_and(|commit| commit.tree().is_ok())
    }

    /// Whether a fetch of that very commit into this clone was finished; what a broken one left may lack files.
    pub(super) fn has_fetched(&self, commit: &CommitId) -> bool {
        let named = self.handle().find_reference(&format!("refs/stager/commits/{commit}")).is_ok();
        named && self.has_commit(commit)
    }

    /// Borrows an object database of this repository for the calling thread.
    pub(super) fn objects(&self) -> Result<Objects<'_>, GitError> {
        let idle = lock(&self.shared.idle).pop();
        let odb = match idle {
            Some(odb) => odb,
            None => self.open_objects().map_err(|error| self.failed("open the object database", error))?,
        };
        Ok(Objects { repository: self, odb: Some(odb) })
    }

    pub(super) fn open_objects(&self) -> Result<git2::Odb<'static>, git2::Error> {
        let odb = git2::Odb::new()?;
        let own = self.shared.common_dir.join("objects");
        for objects in std::iter::once(&own).chain(&self.shared.extra_objects) {
            let objects = objects.to_str().ok_or_else(|| git2::Error::from_str("the path is not UTF-8"))?;
            odb.add_disk_alternate(objects)?;
        }
        Ok(odb)
    }

    pub(super) fn handle(&self) -> MutexGuard<'_, git2::Repository> {
        lock(&self.shared.handle)
    }

    pub(super) fn submodules(&self) -> &Submodules {
        &self.shared.submodules
    }

    /// Set for a clone of ours.
    pub(super) fn origin(&self) -> Option<&Origin> {
        self.shared.origin.as_ref()
    }

    /// What messages call this repository.
    pub(super) fn location(&self) -> &Path {
        self.work_dir().unwrap_or(&self.shared.git_dir)
    }

    pub(super) fn failed(&self, action: impl Into<String>, source: git2::Error) -> GitError {
        GitError::Repository { action: action.into(), repository: self.location().to_owned(), source }
    }

    /// A file of the work tree by its path in the repository.
    pub(super) fn work_path(&self, path: &[u8]) -> Result<PathBuf, GitError> {
        let root = self.work_dir().ok_or_else(|| GitError::Bare(self.shared.git_dir.clone()))?;
        Ok(root.join(OsStr::from_bytes(path)))
    }
}

impl PartialEq for Repository {
    fn eq(&self, other: &Self) -> bool {
        self.shared.git_dir == other.shared.git_dir && self.shared.extra_objects == other.shared.extra_objects
    }
}

impl Eq for Repository {}

impl fmt::Debug for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Repository").field(&self.shared.git_dir).finish()
    }
}

/// An object database on loan; it goes back to the pool when dropped.
pub(super) struct Objects<'repository> {
    repository: &'repository Repository,
    odb: Option<git2::Odb<'static>>,
}

impl Objects<'_> {
    pub(super) fn odb(&self) -> &git2::Odb<'static> {
        self.odb.as_ref().expect("only drop takes it")
    }

    pub(super) fn read(&self, id: Oid, kind: ObjectType) -> Result<git2::OdbObject<'_>, GitError> {
        let object = self.odb().read(id).map_err(|error| self.failed(id, kind, error))?;
        if object.kind() == kind {
            Ok(object)
        } else {
            Err(self.failed(id, kind, git2::Error::from_str("the object has another type")))
        }
    }

    pub(super) fn failed(&self, id: Oid, kind: ObjectType, source: git2::Error) -> GitError {
        GitError::Object {
            kind: kind.str(),
            id: id.to_string(),
            repository: self.repository.location().to_owned(),
            source,
        }
    }
}

impl Drop for Objects<'_> {
    fn drop(&mut self) {
        lock(&self.repository.shared.idle).extend(self.odb.take());
    }
}

/// Locks, also after a panic of another thread: what these locks guard is valid between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// git itself does not hash what it reads from its own object store (what comes over the network is verified by the
/// fetch; zlib and pack checksums find damage): with libgit2's check, reading large files takes about three times as long.
fn configure_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| git2::opts::strict_hash_verification(false));
}

fn open_error(directory: &Path, source: git2::Error) -> GitError {
    match source.code() {
        ErrorCode::NotFound => GitError::NotARepository(directory.to_owned()),
        ErrorCode::Owner => GitError::NotOwned(directory.to_owned()),
        _ => GitError::Repository { action: "open".to_owned(), repository: directory.to_owned(), source },
    }
}

/// The library's form of an id.
pub(super) fn oid(id: &ObjectId) -> Oid {
    // Ids of SHA-256 repositories, which libgit2 does not open, name nothing here.
    Oid::from_str(id.as_str()).unwrap_or(Oid::ZERO_SHA1)
}

/// Our form of an id.
pub(super) fn object_id(id: Oid) -> ObjectId {
    id.to_string().parse().expect("an Oid prints as hexadecimal digits")
}
