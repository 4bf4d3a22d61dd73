//! Following submodules into their repositories, which must be on this machine already: with the work tree or the git
//! directory for a repository of the user, beside the clone for a clone of ours, where [`Remotes::fetch`] puts them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use git2::Oid;

use super::error::{GitError, shown};
use super::gitmodules::resolve;
use super::remote::{Fetched, Remote, RemoteReference, Remotes, without_credentials};
use super::repository::{Origin, Repository, clone_at, lock, object_id, oid};
use super::tree::{FileMode, Root, parse_mode_bits};

/// The submodule repositories that were opened, by the commit's path.
#[derive(Default)]
pub(super) struct Submodules {
    open: Mutex<HashMap<PathBuf, Repository>>,
}

impl Repository {
    /// The tree of a submodule's recorded commit.
    pub(super) fn enter_submodule(&self, root: &Root, path: &[u8], commit: Oid) -> Result<Root, GitError> {
        if let Some(origin) = self.origin() {
            return self.enter_fetched(origin, root, path, commit);
        }
        let commit = object_id(commit);
        let mut places = Vec::new();
        if let Some(work_dir) = self.work_dir() {
            places.push(work_dir.join(OsStr::from_bytes(path)));
        }
        let path = shown(path);
        let module = self.modules(root.tree)?.into_iter().find(|module| module.path == path);
        if let Some(name) = module.map(|module| PathBuf::from(module.name)).filter(|name| is_inside(name)) {
            places.push(self.common_dir().join("modules").join(name));
        }
        for place in places {
            if let Some(repository) = self.open_submodule(&place)
                && repository.has_commit(&commit)
            {
                let tree = oid(&repository.commit_tree(&commit)?);
                return Ok(Root { repository, tree });
            }
        }
        Err(GitError::MissingSubmodule { path, commit })
    }

    /// The same in a clone of ours, whose submodules are clones of their own.
    fn enter_fetched(&self, origin: &Origin, root: &Root, path: &[u8], commit: Oid) -> Result<Root, GitError> {
        let commit = object_id(commit);
        let path = shown(path);
        let missing = |reason: String| GitError::UnknownSubmodule {
            path: path.clone(),
            commit: commit.clone(),
            url: origin.address.clone(),
            reason,
        };
        let module = self.modules(root.tree)?.into_iter().find(|module| module.path == path && !module.url.is_empty());
        let module = module.ok_or_else(|| missing("`.gitmodules` has no address for it".to_owned()))?;
        let address = resolve(&origin.address, &module.url)
            .ok_or_else(|| missing("its address leads outside of the host".to_owned()))?;
        let address = without_credentials(&address);
        let place = clone_at(&origin.clones, &address);
        let known = lock(&self.submodules().open).get(&place).cloned();
        let repository = match known {
            Some(repository) => Some(repository),
            None => {
                Repository::open_clone(&place, Origin { address: address.clone(), clones: origin.clones.clone() }).ok()
            }
        };
        let repository = repository.filter(|repository| repository.has_fetched(&commit));
        let repository = repository.ok_or_else(|| missing(format!("it was not fetched from {address}")))?;
        lock(&self.submodules().open).insert(place, repository.clone());
        let tree = oid(&repository.commit_tree(&commit)?);
        Ok(Root { repository, tree })
    }

    fn open_submodule(&self, place: &Path) -> Option<Repository> {
        let mut open = lock(&self.submodules().open);
        if let Some(repository) = open.get(place) {
            return Some(repository.clone());
        }
        // A directory of the work tree without a repository of its own belongs to this one.
        let repository = Repository::open(place).or_else(|_| Repository::open_bare(place)).ok();
        let repository = repository.filter(|found| found.git_dir() != self.git_dir())?;
        open.insert(place.to_owned(), repository.clone());
        Some(repository)
    }

    /// The commit that a tree records at a path, if a submodule is there. Other submodules are not entered on the way.
    fn recorded_commit(&self, tree: Oid, path: &str) -> Result<Option<Oid>, GitError> {
        let handle = self.handle();
        let tree = handle.find_tree(tree).map_err(|error| self.failed("read a tree", error))?;
        let Ok(entry) = tree.get_path(Path::new(path)) else { return Ok(None) };
        let mode = u32::try_from(entry.filemode_raw()).ok().and_then(parse_mode_bits);
        Ok((mode == Some(FileMode::Submodule)).then(|| entry.id()))
    }
}

fn is_inside(name: &Path) -> bool {
    name.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Submodules within submodules end here.
const MAX_NESTING: usize = 16;
/// And all submodules of one fetch here. The largest public projects have a few hundred.
const MAX_COUNT: usize = 1000;

/// The submodules of one commit, and theirs.
pub(super) struct Nested<'a> {
    remotes: &'a Remotes,
    seen: HashSet<(String, Oid)>,
}

impl<'a> Nested<'a> {
    pub(super) fn new(remotes: &'a Remotes) -> Self {
        Self { remotes, seen: HashSet::new() }
    }

    /// Makes every submodule that `.gitmodules` of the commit lists available, and theirs. `above` is the commit's own path
    /// in the outermost one.
    pub(super) fn fetch(
        &mut self,
        parent: &Remote,
        fetched: &Fetched,
        above: &Path,
        depth: usize,
    ) -> Result<(), GitError> {
        let repository = &fetched.repository;
        let tree = oid(&fetched.tree);
        for module in repository.modules(tree)? {
            // An entry without an address, like a submodule without an entry, fails only when its files are asked for.
            let Some(commit) = repository.recorded_commit(tree, &module.path)?.filter(|_| !module.url.is_empty())
            else {
                continue;
            };
            let path = above.join(&module.path);
            let address = resolve(parent.url(), &module.url);
            let failed = |source: GitError| GitError::Submodule {
                path: path.display().to_string(),
                commit: object_id(commit),
                url: without_credentials(address.as_deref().unwrap_or(&module.url)),
                source: Box::new(source),
            };
            let known = address.as_deref().ok_or_else(|| parent.bad("a submodule's address leads outside of the host"));
            let remote = known.and_then(|address| parent.submodule(address)).map_err(failed)?;
            if !self.seen.insert((remote.url().to_owned(), commit)) {
                continue;
            }
            if depth >= MAX_NESTING {
                return Err(failed(remote.bad("submodules are nested too deeply")));
            }
            if self.seen.len() > MAX_COUNT {
                return Err(failed(remote.bad("there are too many submodules")));
            }
            let inner =
                self.remotes.fetch_one(&remote, &RemoteReference::Commit(commit.to_string())).map_err(failed)?;
            self.fetch(&remote, &inner, &path, depth + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use stages::filter::PathFilter;

    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn names_do_not_leave_the_modules_directory() {
        assert!(is_inside(Path::new("libs/a name")));
        assert!(!is_inside(Path::new("../../evil")));
        assert!(!is_inside(Path::new("/evil")));
    }

    /// Records a submodule without cloning it.
    fn record(outer: &Fixture, path: &str, url: &str, commit: &str) {
        let known = fs_err::read_to_string(outer.path(".gitmodules")).unwrap_or_default();
        outer.write(".gitmodules", &format!("{known}[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"));
        fs_err::create_dir_all(outer.path(path)).unwrap();
        outer.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
        outer.commit("submodule");
    }

    fn url(source: &Fixture) -> String {
        format!("file://{}", source.directory.path().display())
    }

    /// The address as a repository beside it writes it.
    fn beside(source: &Fixture) -> String {
        format!("../{}", source.directory.path().file_name().unwrap().to_str().unwrap())
    }

    fn list(repository: &Repository, tree: &stages::ObjectId) -> Result<Vec<String>, GitError> {
        let files = repository.list(tree, "", &PathFilter::everything())?;
        Ok(files.iter().map(|file| shown(&file.path)).filter(|path| !path.ends_with(".gitmodules")).collect())
    }

    /// An error with its causes.
    fn whole(error: &GitError) -> String {
        let mut text = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text} {error}");
            source = error.source();
        }
        text
    }

    #[test]
    fn submodules_of_a_fetched_commit_come_with_it_and_need_no_network_then() {
        let leaf = Fixture::with(&[("l", "leaf")]);
        let middle = Fixture::with(&[("m", "1")]);
        record(&middle, "deep/leaf", &url(&leaf), leaf.commit_id().as_str());
        let outer = Fixture::with(&[("o", "1")]);
        record(&outer, "subm", &beside(&middle), middle.commit_id().as_str());
        record(&outer, "again", leaf.directory.path().to_str().unwrap(), leaf.commit_id().as_str());
        outer.git(&["tag", "withsub"]);
        let recorded = middle.commit_id();
        middle.write("m", "2");
        middle.commit("later than what is recorded");

        let store = tempfile::tempdir().unwrap();
        let remotes = Remotes::new(store.path());
        let fetched = remotes.fetch(&url(&outer), &RemoteReference::Tag("withsub".to_owned())).unwrap();
        let files = ["again/l", "o", "subm/deep/leaf/l", "subm/m"];
        assert_eq!(list(&fetched.repository, &fetched.tree).unwrap(), files);
        let entry = fetched.repository.entry(&fetched.tree, "subm/m").unwrap().unwrap();
        assert_eq!(entry.repository.read_blob(&entry.id, 10).unwrap(), b"1");
        assert!(remotes.open(&url(&middle)).unwrap().has_fetched(&recorded));

        let by_id = RemoteReference::Commit(fetched.commit.to_string());
        Remotes::new(store.path()).fetch(&url(&outer), &by_id).unwrap();
        let address = url(&outer);
        drop((leaf, middle, outer));
        let remotes = Remotes::new(store.path());
        let fetched = remotes.fetch(&address, &by_id).unwrap();
        assert_eq!(list(&remotes.open(&address).unwrap(), &fetched.tree).unwrap(), files);
    }

    #[test]
    fn a_submodule_that_cannot_be_fetched_is_named() {
        let leaf = Fixture::with(&[("l", "1")]);
        let absent = "1".repeat(40);
        let middle = Fixture::with(&[("m", "1")]);
        record(&middle, "leaf", &url(&leaf), &absent);
        let outer = Fixture::with(&[("o", "1")]);
        record(&outer, "libs/middle", &beside(&middle), middle.commit_id().as_str());
        let store = tempfile::tempdir().unwrap();
        let fetch = |source: &Fixture| Remotes::new(store.path()).fetch(&url(source), &RemoteReference::Head);
        let error = whole(&fetch(&outer).unwrap_err());
        for part in ["`libs/middle/leaf`", &absent, &url(&leaf), "no branch or tag"] {
            assert!(error.contains(part), "{error}");
        }

        for address in ["https://user:hunter2@127.0.0.1:1/x", "git://user:hunter2@h/x", "../../../../../../x", "x"] {
            let outer = Fixture::with(&[("o", "1")]);
            record(&outer, "secret", address, &absent);
            let error = fetch(&outer).unwrap_err();
            assert!(matches!(&error, GitError::Submodule { path, .. } if path == "secret"), "{error}");
            assert!(!whole(&error).contains("hunter2"), "{}", whole(&error));
        }
    }

    #[test]
    fn submodules_that_gitmodules_does_not_tell_of_fail_where_they_are_read() {
        let leaf = Fixture::with(&[("l", "1")]);
        let commit = leaf.commit_id();
        let outer = Fixture::with(&[("o", "1"), ("d/f", "1")]);
        record(&outer, "leaf", &url(&leaf), commit.as_str());
        // None of these is a submodule of the tree.
        let lines = ["../up", "/abs", "o", "d", "d/f", "leaf/l", "none"]
            .map(|path| format!("[submodule \"x{path}\"]\npath = {path}\nurl = /none\n"));
        outer.write(".gitmodules", &lines.concat());
        outer.commit("forgotten");
        let store = tempfile::tempdir().unwrap();
        let remotes = Remotes::new(store.path());
        let fetched = remotes.fetch(&url(&outer), &RemoteReference::Head).unwrap();
        let error = list(&fetched.repository, &fetched.tree).unwrap_err().to_string();
        for part in ["`leaf`", commit.as_str(), &url(&outer), "no address"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(fetched.repository.entry(&fetched.tree, "d/f").unwrap().is_some());
    }

    #[test]
    fn a_removed_submodule_clone_is_fetched_again_by_the_next_run() {
        let leaf = Fixture::with(&[("l", "1")]);
        let outer = Fixture::with(&[("o", "1")]);
        record(&outer, "leaf", &url(&leaf), leaf.commit_id().as_str());
        let store = tempfile::tempdir().unwrap();
        let by_id = RemoteReference::Commit(outer.commit_id().to_string());
        let tree = Remotes::new(store.path()).fetch(&url(&outer), &by_id).unwrap().tree;
        fs_err::remove_dir_all(clone_at(store.path(), &url(&leaf))).unwrap();
        let remotes = Remotes::new(store.path());
        let error = list(&remotes.open(&url(&outer)).unwrap(), &tree).unwrap_err().to_string();
        assert!(error.contains("was not fetched") && error.contains(&url(&leaf)), "{error}");
        let fetched = remotes.fetch(&url(&outer), &by_id).unwrap();
        assert_eq!(list(&fetched.repository, &tree).unwrap(), ["leaf/l", "o"]);
    }

    #[test]
    fn nesting_ends() {
        let mut chain = vec![Fixture::with(&[("f", "1")])];
        let store = tempfile::tempdir().unwrap();
        let fetch = |source: &Fixture| Remotes::new(store.path()).fetch(&url(source), &RemoteReference::Head);
        for depth in 1..=MAX_NESTING + 1 {
            let outer = Fixture::with(&[("f", "1")]);
            let inner = chain.last().unwrap();
            record(&outer, "s", &beside(inner), inner.commit_id().as_str());
            let result = fetch(&outer);
            assert_eq!(result.is_ok(), depth <= MAX_NESTING, "{depth}: {result:?}");
            chain.push(outer);
        }
        assert!(whole(&fetch(chain.last().unwrap()).unwrap_err()).contains("nested too deeply"));
    }

    #[test]
    fn repositories_of_other_machines_do_not_reach_into_this_one() {
        let parent = Remote::parse("https://host/x").unwrap();
        for address in ["/srv/x", "file:///srv/x", "ext::sh -c id", "-x", "git://h/x"] {
            assert!(matches!(parent.submodule(address), Err(GitError::BadRemote { .. })), "{address}");
        }
        assert!(parent.submodule("git@host:x").is_ok());
        assert!(Remote::parse("/srv/y").unwrap().submodule("/srv/x").is_ok());
    }
}
