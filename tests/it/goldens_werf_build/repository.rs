//! The project of a scenario: a repository whose commits have the recorded ids.
//!
//! The recorded configs name a registry at a fixed address, which is another one here: so each commit is made twice, as it
//! was recorded, for its id, and with the address of this run, to be built.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use fs_err as fs;
use git2::build::CheckoutBuilder;
use git2::{IndexEntry, IndexTime, Oid, Repository, RepositoryInitOptions, Signature, Time};

use super::RECORDED_REGISTRY;
use super::scenario::{File, Place, Scenario, State, Submodule};
use crate::env::{Run, find};

/// A commit as recorded and as built.
#[derive(Clone, Copy)]
struct Commit {
    recorded: Oid,
    built: Oid,
}

pub(super) struct History {
    repository: Repository,
    path: PathBuf,
    registry: String,
    commits: Vec<Commit>,
}

impl History {
    pub(super) fn new(path: &Path, registry: &str, scenario: &Scenario) -> Self {
        let mut options = RepositoryInitOptions::new();
        options.initial_head("main").external_template(false);
        let repository = Repository::init_opts(path, &options).unwrap();
        if let Some(origin) = &scenario.origin {
            let url = path.with_file_name(origin);
            repository.remote("origin", url.to_str().unwrap()).unwrap();
        }
        let registry = format!("{registry}/{}", scenario.id);
        Self { repository, path: path.to_owned(), registry, commits: Vec::new() }
    }

    /// Makes the commit of the next state and checks it out; whether it has the recorded id.
    pub(super) fn advance(&mut self, state: &State) -> bool {
        let commit = match &state.git {
            Some(Place::Checkout(earlier)) => self.commits[earlier - 1],
            Some(Place::Parents(parents)) => {
                let parents: Vec<Commit> = parents.iter().map(|parent| self.commits[parent - 1]).collect();
                self.commit(state, &parents)
            }
            None => self.commit(state, &Vec::from_iter(self.commits.last().copied())),
        };
        self.commits.push(commit);
        self.check_out(commit);
        if state.files.values().any(|file| file.submodule.is_some()) {
            self.update_submodules();
        }
        write_files(&self.path, &state.worktree, |text| self.here(text));
        commit.recorded.to_string() == state.commit
    }

    /// A recorded text with the registry of this run.
    pub(super) fn here(&self, text: &str) -> String {
        text.replace(RECORDED_REGISTRY, &self.registry)
    }

    fn commit(&self, state: &State, parents: &[Commit]) -> Commit {
        let recorded = self.write_commit(state, parents.iter().map(|parent| parent.recorded), str::to_owned);
        let built = self.write_commit(state, parents.iter().map(|parent| parent.built), |text| self.here(text));
        Commit { recorded, built }
    }

    fn write_commit(&self, state: &State, parents: impl Iterator<Item = Oid>, adapt: impl Fn(&str) -> String) -> Oid {
        for (path, file) in &state.files {
            if let Some(submodule) = &file.submodule {
                self.make_submodule(path, submodule);
            }
        }
        let number = self.commits.len() as i64;
        write_commit(&self.repository, &state.files, parents, number, adapt)
    }

    fn check_out(&self, commit: Commit) {
        self.repository.reference("refs/heads/main", commit.built, true, "state").unwrap();
        let mut options = CheckoutBuilder::new();
        options.force().remove_untracked(true).remove_ignored(true);
        let object = self.repository.find_object(commit.built, None).unwrap();
        self.repository.reset(&object, git2::ResetType::Hard, Some(&mut options)).unwrap();
    }

    fn make_submodule(&self, path: &str, submodule: &Submodule) {
        let place = self.path.with_file_name(&submodule.repo);
        let mut options = RepositoryInitOptions::new();
        options.initial_head("main").external_template(false);
        let repository = Repository::init_opts(&place, &options).unwrap();
        let commit = write_commit(&repository, &submodule.files, std::iter::empty(), submodule.n, str::to_owned);
        repository.reference(&format!("refs/heads/n{}", submodule.n), commit, true, path).unwrap();
    }

    fn update_submodules(&self) {
        let arguments = ["-c", "protocol.file.allow=always", "submodule", "update", "--init", "--recursive", "--quiet"];
        let mut run = Run::new(&find("git").unwrap(), arguments);
        run.cwd(&self.path).env("PATH", "/usr/bin:/bin").env("GIT_CONFIG_NOSYSTEM", "1");
        // One that cannot be had is the scenario's business: the build says so.
        run.env("HOME", self.path.parent().unwrap().to_str().unwrap()).run();
    }
}

fn write_commit(
    repository: &Repository,
    files: &BTreeMap<String, File>,
    parents: impl Iterator<Item = Oid>,
    number: i64,
    adapt: impl Fn(&str) -> String,
) -> Oid {
    let mut index = repository.index().unwrap();
    index.clear().unwrap();
    for (path, file) in files {
        let entry = |mode, id| IndexEntry {
            ctime: IndexTime::new(0, 0),
            mtime: IndexTime::new(0, 0),
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id,
            flags: 0,
            flags_extended: 0,
            path: path.as_bytes().to_vec(),
        };
        if let Some(submodule) = &file.submodule {
            let place = repository.workdir().unwrap().with_file_name(&submodule.repo);
            let other = Repository::open(place).unwrap();
            let tip = other.refname_to_id(&format!("refs/heads/n{}", submodule.n)).unwrap();
            index.add(&entry(0o160_000, tip)).unwrap();
            continue;
        }
        let mode = match (&file.symlink, file.mode.as_deref()) {
            (Some(_), _) => 0o120_000,
            (None, Some("755")) => 0o100_755,
            (None, _) => 0o100_644,
        };
        let id = repository.blob(&bytes(file, &adapt)).unwrap();
        index.add(&entry(mode, id)).unwrap();
    }
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    index.write().unwrap();
    let time = Time::new(1_700_000_000 + 3600 * number, 0);
    let who = Signature::new("Golden", "golden@example.org", &time).unwrap();
    let parents: Vec<_> = parents.map(|parent| repository.find_commit(parent).unwrap()).collect();
    let parents: Vec<_> = parents.iter().collect();
    repository.commit(None, &who, &who, &format!("state {number}\n"), &tree, &parents).unwrap()
}

fn bytes(file: &File, adapt: impl Fn(&str) -> String) -> Vec<u8> {
    if let Some(text) = file.content.as_ref().or(file.symlink.as_ref()) {
        return adapt(text).into_bytes();
    }
    if let Some((text, times)) = &file.repeat {
        return text.repeat(*times).into_bytes();
    }
    let text = file.base64.as_ref().expect("a file has content");
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Writes files that are in no commit.
pub(super) fn write_files(directory: &Path, files: &BTreeMap<String, File>, adapt: impl Fn(&str) -> String) {
    for (path, file) in files {
        let path = directory.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(target) = &file.symlink {
            fs_err::os::unix::fs::symlink(target, &path).unwrap();
            continue;
        }
        fs::write(&path, bytes(file, &adapt)).unwrap();
        let mode = if file.mode.as_deref() == Some("755") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}
