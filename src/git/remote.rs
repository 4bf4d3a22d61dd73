//! Clones of other repositories, kept under stager's home and shared by all processes of the user.
//!
//! Submodules are clones of their own, which the clone above them finds by their address. A clone is bare and holds what was asked for, as shallow as the server allows. Repositories on this machine are
//! fetched by libgit2; https and ssh by the `git` program, because that has the user's credentials, proxies and keys. The
//! program runs without prompts, hooks and the `ext` transport. Addresses keep their credentials to themselves: the
//! clone's name and every message are made from the address without them. A [`Login`] goes with an address, and with those of
//! submodules at the same server.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use stages::{CommitId, ObjectId};

use super::error::GitError;
use super::login::{Login, server};
use super::repository::{Origin, Repository, clone_at, lock, object_id};
use super::submodule::Nested;

/// What to take of a remote repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteReference {
    /// The tip of a branch.
    Branch(String),
    /// What a tag points at.
    Tag(String),
    /// A full commit id.
    Commit(String),
    /// The tip of the default branch.
    Head,
}

/// What was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The clone.
    pub repository: Repository,
    /// The commit.
    pub commit: CommitId,
    /// Its tree.
    pub tree: ObjectId,
}

/// Asked several times a second whether to give up.
pub type IsCancelled = Arc<dyn Fn() -> bool + Send + Sync>;

/// The clones under one directory.
pub struct Remotes {
    directory: PathBuf,
    deadline: Duration,
    is_cancelled: IsCancelled,
    /// By the address as it is asked for.
    logins: HashMap<String, Login>,
    open: Mutex<HashMap<PathBuf, Repository>>,
    /// What this run asked for already: one run sees one state of each reference.
    fetched: Mutex<HashMap<(String, RemoteReference), Fetched>>,
}

/// Large repositories over slow lines end within this.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
const POLL: Duration = Duration::from_millis(25);
const INTERRUPTED: &str = "interrupted";

impl Remotes {
    /// Clones are kept in `directory`, which is made when needed.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            deadline: DEADLINE,
            is_cancelled: Arc::new(|| false),
            logins: HashMap::new(),
            open: Mutex::default(),
            fetched: Mutex::default(),
        }
    }

    /// Gives up when this says so.
    #[must_use]
    pub fn cancelled_by(self, is_cancelled: IsCancelled) -> Self {
        Self { is_cancelled, ..self }
    }

    /// Logs in where these addresses are fetched from.
    #[must_use]
    pub fn with_logins(self, logins: HashMap<String, Login>) -> Self {
        Self { logins, ..self }
    }

    /// How long a fetch, and the wait for another process that fetches the same, may each take.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Makes a commit available, with the commits of its submodules. One that is named by its id and is here already needs no network; a branch, tag or
    /// default branch is asked for once in the life of this value.
    pub fn fetch(&self, url: &str, reference: &RemoteReference) -> Result<Fetched, GitError> {
        let remote = Remote::parse(url)?.with_login(self.logins.get(url))?;
        let key = (url.to_owned(), reference.clone());
        if let Some(known) = lock(&self.fetched).get(&key) {
            return Ok(known.clone());
        }
        let fetched = self.fetch_one(&remote, reference)?;
        Nested::new(self).fetch(&remote, &fetched, Path::new(""), 0)?;
        lock(&self.fetched).insert(key, fetched.clone());
        Ok(fetched)
    }

    /// The same without submodules, and with that login.
    pub fn fetch_alone(
        &self,
        url: &str,
        reference: &RemoteReference,
        login: Option<&Login>,
    ) -> Result<Fetched, GitError> {
        self.fetch_one(&Remote::parse(url)?.with_login(login)?, reference)
    }

    /// Makes a commit available, without its submodules.
    pub(super) fn fetch_one(&self, remote: &Remote, reference: &RemoteReference) -> Result<Fetched, GitError> {
        let name = remote.name_of(reference)?;
        match self.commit_here(remote, reference)? {
            Some(fetched) => Ok(fetched),
            None if (self.is_cancelled)() => Err(remote.failed(reference, INTERRUPTED)),
            None => self.fetch_now(remote, reference, &name),
        }
    }

    /// The clone of an address that was fetched before.
    pub fn open(&self, url: &str) -> Result<Repository, GitError> {
        self.open_clone(&Remote::parse(url)?)
    }

    fn open_clone(&self, remote: &Remote) -> Result<Repository, GitError> {
        let place = self.place(remote);
        if let Some(known) = lock(&self.open).get(&place) {
            return Ok(known.clone());
        }
        let origin = Origin { address: remote.shown.clone(), clones: self.directory.clone() };
        let repository = Repository::open_clone(&place, origin)?;
        lock(&self.open).insert(place, repository.clone());
        Ok(repository)
    }

    fn place(&self, remote: &Remote) -> PathBuf {
        clone_at(&self.directory, &remote.shown)
    }

    fn commit_here(&self, remote: &Remote, reference: &RemoteReference) -> Result<Option<Fetched>, GitError> {
        let RemoteReference::Commit(id) = reference else { return Ok(None) };
        let place = self.place(remote);
        if !place.exists() {
            return Ok(None);
        }
        let repository = self.open_clone(remote)?;
        let commit: CommitId = id.parse().map_err(|_| remote.bad("a commit id has 40 hexadecimal digits"))?;
        if !repository.has_fetched(&commit) {
            return Ok(None);
        }
        let tree = repository.commit_tree(&commit)?;
        Ok(Some(Fetched { repository, commit, tree }))
    }

    fn fetch_now(&self, remote: &Remote, reference: &RemoteReference, name: &str) -> Result<Fetched, GitError> {
        let place = self.place(remote);
        fs_err::create_dir_all(&self.directory).map_err(|error| GitError::io("create", &self.directory, error))?;
        let _held = self.hold(&place, || remote.failed(reference, INTERRUPTED))?;
        if let Some(fetched) = self.commit_here(remote, reference)? {
            return Ok(fetched);
        }
        if !place.exists() {
            create_clone(&self.directory, &place)?;
        }
        let kept = match reference {
            RemoteReference::Commit(id) => format!("refs/stager/commits/{id}"),
            _ => format!("refs/stager/{}", name.strip_prefix("refs/").unwrap_or(name)),
        };
        match &remote.transport {
            Transport::Local(path) => fetch_local(remote, path, &place, reference, &kept)?,
            Transport::Program => self.fetch_by_program(remote, &place, reference, name, &kept)?,
        }
        let repository = self.open_clone(remote)?;
        let commit = {
            let handle = repository.handle();
            let found = handle.find_reference(&kept).and_then(|reference| reference.peel_to_commit());
            object_id(found.map_err(|error| remote.failed(reference, error.message()))?.id())
        };
        let tree = repository.commit_tree(&commit)?;
        Ok(Fetched { repository, commit, tree })
    }

    /// Keeps other processes from fetching into a clone until the file is dropped. `interrupted` is the error of a
    /// wait that was cancelled.
    fn hold(&self, place: &Path, interrupted: impl Fn() -> GitError) -> Result<std::fs::File, GitError> {
        let path = place.with_extension("lock");
        let failed = |error: std::io::Error| GitError::io("lock", &path, error);
        let file = fs_err::OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?.into_parts().0;
        let end = Instant::now() + self.deadline;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
            if (self.is_cancelled)() {
                return Err(interrupted());
            }
            if Instant::now() > end {
                return Err(GitError::Busy { path: place.to_owned(), seconds: self.deadline.as_secs() });
            }
            std::thread::sleep(POLL);
        }
    }

    fn fetch_by_program(
        &self,
        remote: &Remote,
        place: &Path,
        reference: &RemoteReference,
        name: &str,
        kept: &str,
    ) -> Result<(), GitError> {
        let one = [format!("+{name}:{kept}")];
        let result = self.run_fetch(remote, place, reference, true, &one);
        let (Err(error), RemoteReference::Commit(id)) = (&result, reference) else { return result };
        if (self.is_cancelled)() || matches!(error, GitError::BadRemote { .. }) {
            return result;
        }
        // Some servers give single commits to nobody: take all branches and tags, and look there.
        let all = ["+refs/heads/*:refs/stager/heads/*".to_owned(), "+refs/tags/*:refs/stager/tags/*".to_owned()];
        self.run_fetch(remote, place, reference, false, &all)?;
        keep_commit(remote, place, reference, id, kept)
    }

    fn run_fetch(
        &self,
        remote: &Remote,
        place: &Path,
        reference: &RemoteReference,
        shallow: bool,
        refspecs: &[String],
    ) -> Result<(), GitError> {
        if (self.is_cancelled)() {
            return Err(remote.failed(reference, INTERRUPTED));
        }
        let mut command = Command::new("git");
        if let Some((login, server)) = remote.login.as_ref().zip(remote.server.as_deref()) {
            login.give(&mut command, server);
        }
        command
            .arg("--git-dir")
            .arg(place)
            .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0"])
            .args(["-c", "maintenance.auto=false", "fetch", "--no-tags", "--no-write-fetch-head", "--quiet", "--force"])
            .args(["--no-recurse-submodules"])
            .args(shallow.then_some("--depth=1"))
            .args(["--", &remote.url])
            .args(refspecs)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let places = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"];
        // Credentials for registries are none of its business.
        for variable in places.into_iter().chain(["STAGER_REGISTRY_AUTH"]) {
            command.env_remove(variable);
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                remote.bad("the `git` program, which fetches over https and ssh, is not installed")
            }
            _ => GitError::io("run", "git", error),
        })?;
        self.watch(child).map_err(|reason| remote.failed(reference, &reason))
    }

    /// Waits for git to end; what it wrote to stderr if that was badly.
    fn watch(&self, mut child: Child) -> Result<(), String> {
        let stderr = child.stderr.take();
        let reader = std::thread::spawn(move || {
            const LIMIT: u64 = 64 << 10;
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                let kept = stderr.by_ref().take(LIMIT).read_to_end(&mut text);
                // The rest is read too, or git would block.
                let _drained = kept.and_then(|_| std::io::copy(&mut stderr, &mut std::io::sink()));
            }
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        let end = Instant::now() + self.deadline;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
            let cancelled = (self.is_cancelled)();
            if cancelled || Instant::now() > end {
                end_child(&mut child);
                return Err(if cancelled {
                    INTERRUPTED.to_owned()
                } else {
                    format!("it took longer than {} s", self.deadline.as_secs())
                });
            }
            std::thread::sleep(POLL);
        };
        let text = reader.join().unwrap_or_default();
        match (status.success(), text.is_empty()) {
            (true, _) => Ok(()),
            (false, false) => Err(text),
            (false, true) => Err(status.to_string()),
        }
    }
}

/// git ends its helpers when it is asked to end, not when it is killed.
fn end_child(child: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(POLL);
    }
    let _killed = child.kill().and_then(|()| child.wait());
}

/// Makes an empty bare repository at `place`, all at once.
fn create_clone(directory: &Path, place: &Path) -> Result<(), GitError> {
    let temp = tempfile::Builder::new().prefix("new-").tempdir_in(directory);
    let temp = temp.map_err(|error| GitError::io("create", directory, error))?;
    git2::Repository::init_bare(temp.path()).map_err(|source| GitError::Repository {
        action: "create".to_owned(),
        repository: place.to_owned(),
        source,
    })?;
    fs_err::rename(temp.path(), place).map_err(|error| GitError::io("create", place, error))?;
    // What the guard would remove has another name now.
    let _gone = temp.keep();
    Ok(())
}

fn fetch_local(
    remote: &Remote,
    path: &Path,
    place: &Path,
    reference: &RemoteReference,
    kept: &str,
) -> Result<(), GitError> {
    let failed = |error: git2::Error| remote.failed(reference, error.message());
    // libgit2 asks for ownership only when it opens a repository by name.
    Repository::open(path)?;
    let clone = git2::Repository::open_bare(place).map_err(failed)?;
    let source = path.to_str().ok_or_else(|| remote.bad("the path is not UTF-8"))?;
    let mut from = clone.remote_anonymous(source).map_err(failed)?;
    let refspecs = match reference {
        RemoteReference::Branch(name) => vec![format!("+refs/heads/{name}:{kept}")],
        RemoteReference::Tag(name) => vec![format!("+refs/tags/{name}:{kept}")],
        RemoteReference::Head => vec![format!("+HEAD:{kept}")],
        RemoteReference::Commit(_) => {
            vec!["+refs/heads/*:refs/stager/heads/*".to_owned(), "+refs/tags/*:refs/stager/tags/*".to_owned()]
        }
    };
    let mut options = git2::FetchOptions::new();
    options.download_tags(git2::AutotagOption::None).update_fetchhead(false);
    from.fetch(&refspecs, Some(&mut options), None).map_err(failed)?;
    drop(from);
    match reference {
        RemoteReference::Commit(id) => keep_commit(remote, place, reference, id, kept),
        _ => Ok(()),
    }
}

/// Names a commit that came with the branches, so that the next run knows it is whole.
fn keep_commit(
    remote: &Remote,
    place: &Path,
    reference: &RemoteReference,
    id: &str,
    kept: &str,
) -> Result<(), GitError> {
    let failed = |error: git2::Error| remote.failed(reference, error.message());
    let clone = git2::Repository::open_bare(place).map_err(failed)?;
    let commit = git2::Oid::from_str(id).and_then(|id| clone.find_commit(id));
    let commit = commit.map_err(|_| remote.failed(reference, "no branch or tag of the repository has this commit"))?;
    clone.reference(kept, commit.id(), true, "fetched").map(|_| ()).map_err(failed)
}

/// An address, checked.
pub(super) struct Remote {
    url: String,
    /// Without credentials.
    shown: String,
    /// What must not appear in messages.
    secret: Option<String>,
    /// Of an http address: what a login is for.
    server: Option<String>,
    login: Option<Login>,
    transport: Transport,
}

enum Transport {
    Local(PathBuf),
    Program,
}

impl Remote {
    pub(super) fn parse(url: &str) -> Result<Self, GitError> {
        let shown = without_credentials(url);
        let refused = |reason: &str| GitError::BadRemote { url: shown.clone(), reason: reason.to_owned() };
        if url.starts_with('-') || url.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(refused("the address is malformed"));
        }
        let mut at = None;
        let transport = match url.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Transport::Local(PathBuf::from(path)),
            Some((scheme @ ("https" | "http" | "ssh"), rest)) => {
                let host = rest.split('/').next().unwrap_or_default();
                at = (scheme != "ssh").then(|| server(scheme, host)).flatten();
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                if host.is_empty() || host.starts_with('-') {
                    return Err(refused("the address has no host"));
                }
                Transport::Program
            }
            Some(_) => return Err(refused("only https, http, ssh and file addresses are fetched")),
            None if url.starts_with('/') => Transport::Local(PathBuf::from(url)),
            None => match url.split_once(':') {
                // host:path and user@host:path, as ssh writes them; `helper::address` runs a program.
                Some((host, path)) if is_host(host) && !path.is_empty() && !path.starts_with([':', '-']) => {
                    Transport::Program
                }
                _ => return Err(refused("only https, http, ssh and file addresses and absolute paths are fetched")),
            },
        };
        let secret = (shown != url).then(|| credentials(url).unwrap_or_default().to_owned());
        Ok(Self { url: url.to_owned(), shown, secret, server: at, login: None, transport })
    }

    /// With a login in place of credentials in the address.
    fn with_login(self, login: Option<&Login>) -> Result<Self, GitError> {
        match login {
            None => Ok(self),
            Some(_) if self.server.is_none() => {
                Err(self.bad("a user name and password are for https and http addresses"))
            }
            Some(login) => Ok(Self { url: self.shown.clone(), login: Some(login.clone()), ..self }),
        }
    }

    /// The address, with its credentials.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The address of a submodule of this repository, made absolute.
    pub(super) fn submodule(&self, url: &str) -> Result<Self, GitError> {
        let remote = Self::parse(url)?;
        if let (Transport::Program, Transport::Local(_)) = (&self.transport, &remote.transport) {
            // Or a stranger's repository could put the user's own ones into images.
            return Err(remote.bad("a repository of another machine names one of this machine as its submodule"));
        }
        let login = self.login.clone().filter(|_| remote.server == self.server);
        Ok(Self { login, ..remote })
    }

    /// The reference's full name at the remote.
    fn name_of(&self, reference: &RemoteReference) -> Result<String, GitError> {
        let (name, full) = match reference {
            RemoteReference::Branch(name) => (name, format!("refs/heads/{name}")),
            RemoteReference::Tag(name) => (name, format!("refs/tags/{name}")),
            RemoteReference::Head => return Ok("HEAD".to_owned()),
            RemoteReference::Commit(id) => {
                let valid = id.len() == 40 && id.parse::<CommitId>().is_ok();
                return if valid { Ok(id.clone()) } else { Err(self.bad("a commit id has 40 hexadecimal digits")) };
            }
        };
        if name.starts_with('-') || name.contains('*') || !git2::Reference::is_valid_name(&full) {
            return Err(self.bad(&format!("`{name}` is not the name of a branch or tag")));
        }
        Ok(full)
    }

    pub(super) fn bad(&self, reason: &str) -> GitError {
        GitError::BadRemote { url: self.shown.clone(), reason: reason.to_owned() }
    }

    fn failed(&self, reference: &RemoteReference, reason: &str) -> GitError {
        let what = match reference {
            RemoteReference::Branch(name) => format!("branch `{name}`"),
            RemoteReference::Tag(name) => format!("tag `{name}`"),
            RemoteReference::Commit(id) => format!("commit {id}"),
            RemoteReference::Head => "the default branch".to_owned(),
        };
        let mut reason = reason.replace(&self.url, &self.shown);
        if let Some(login) = &self.login {
            reason = reason.replace(login.password(), "***");
        }
        for secret in
            self.secret.iter().flat_map(|secret| [secret.as_str(), secret.rsplit(':').next().unwrap_or_default()])
        {
            if !secret.is_empty() {
                reason = reason.replace(secret, "***");
            }
        }
        GitError::Fetch { what, url: self.shown.clone(), reason }
    }
}

fn is_host(text: &str) -> bool {
    let (user, host) = text.split_once('@').unwrap_or(("git", text));
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    plain(user) && plain(host)
}

/// `user:password` of an address that has a scheme.
fn credentials(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(credentials, _)| credentials)
}

/// The address as messages show it. A user name alone, as ssh addresses have it, is no secret there.
pub(super) fn without_credentials(url: &str) -> String {
    match credentials(url) {
        Some(found) if !url.starts_with("ssh://") || found.contains(':') => url.replacen(&format!("{found}@"), "", 1),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, git_in};
    use super::*;

    fn remotes(directory: &Path) -> Remotes {
        Remotes::new(&directory.join("git")).deadline(Duration::from_secs(20))
    }

    #[test]
    fn local_repositories_are_fetched_by_every_kind_of_reference() {
        let source = Fixture::with(&[("a", "1")]);
        let first = source.commit_id();
        source.git(&["tag", "-a", "-m", "x", "v1"]);
        source.git(&["checkout", "-q", "-b", "feature"]);
        source.write("a", "2");
        let tree = source.commit("second");
        let second = source.commit_id();
        let store = tempfile::tempdir().unwrap();
        let url = format!("file://{}", source.directory.path().display());
        for (reference, commit) in [
            (RemoteReference::Branch("feature".to_owned()), &second),
            (RemoteReference::Branch("main".to_owned()), &first),
            (RemoteReference::Tag("v1".to_owned()), &first),
            (RemoteReference::Commit(first.to_string()), &first),
            (RemoteReference::Head, &second),
        ] {
            let fetched = remotes(store.path()).fetch(&url, &reference).unwrap();
            assert_eq!(fetched.commit, *commit, "{reference:?}");
        }
        // A branch follows its tip in the next run, and what is here needs its source no longer.
        source.write("a", "3");
        source.commit("third");
        let remotes_again = remotes(store.path());
        let branch = RemoteReference::Branch("feature".to_owned());
        assert_eq!(remotes_again.fetch(&url, &branch).unwrap().commit, source.commit_id());
        let by_id = RemoteReference::Commit(second.to_string());
        remotes_again.fetch(&url, &by_id).unwrap();
        fs_err::remove_dir_all(source.directory.path()).unwrap();
        let fetched = remotes(store.path()).fetch(&url, &by_id).unwrap();
        assert_eq!(fetched.tree, tree);
        assert!(remotes(store.path()).open(&url).unwrap().has_commit(&second));
        assert!(remotes(store.path()).fetch(&url, &branch).is_err());
    }

    #[test]
    fn missing_things_are_named() {
        let source = Fixture::with(&[("a", "1")]);
        let store = tempfile::tempdir().unwrap();
        let remotes = remotes(store.path());
        let url = source.directory.path().to_str().unwrap();
        let fetch = |reference| remotes.fetch(url, &reference).unwrap_err().to_string();
        assert!(fetch(RemoteReference::Branch("none".to_owned())).contains("branch `none`"));
        assert!(fetch(RemoteReference::Commit("0".repeat(40))).contains(&"0".repeat(40)));
        assert!(fetch(RemoteReference::Commit("abc".to_owned())).contains("40 hexadecimal"));
        assert!(remotes.open("/none").is_err());
    }

    #[test]
    fn the_git_program_fetches_what_libgit2_does_not() {
        // The program is the same for every transport, so a local path stands for a server here.
        let source = Fixture::with(&[("a", "1"), ("b", "2")]);
        source.write("a", "2");
        let tree = source.commit("second");
        let store = tempfile::tempdir().unwrap();
        let remotes = remotes(store.path());
        let url = format!("file://{}", source.directory.path().display());
        let remote = Remote { transport: Transport::Program, ..Remote::parse(&url).unwrap() };
        for reference in
            [RemoteReference::Branch("main".to_owned()), RemoteReference::Commit(source.commit_id().to_string())]
        {
            let name = remote.name_of(&reference).unwrap();
            let fetched = remotes.fetch_now(&remote, &reference, &name).unwrap();
            assert_eq!(fetched.tree, tree);
        }
        let place = remotes.place(&remote);
        assert_eq!(git_in(&place, &["rev-list", "--count", "refs/stager/heads/main"]), "1", "one commit was enough");
        let none = RemoteReference::Branch("none".to_owned());
        let error = remotes.fetch_now(&remote, &none, "refs/heads/none").unwrap_err().to_string();
        assert!(error.contains("branch `none`") && error.contains("couldn't find remote ref"), "{error}");
        let cancelled = self::remotes(store.path()).cancelled_by(Arc::new(|| true));
        assert!(
            cancelled
                .fetch_now(&remote, &RemoteReference::Head, "HEAD")
                .unwrap_err()
                .to_string()
                .contains("interrupted")
        );
    }

    #[test]
    fn hostile_addresses_and_names_are_refused() {
        for url in [
            "ext::sh -c id",
            "ext::sh",
            "--upload-pack=x",
            "git://host/x",
            "ssh://-oProxyCommand=x/y",
            "-host:path",
            "host::path",
            "relative/path",
            "https://",
            "https://user@-x/y",
            "a b:c",
        ] {
            assert!(matches!(Remote::parse(url), Err(GitError::BadRemote { .. })), "{url}");
        }
        for url in ["https://h/x.git", "git@github.com:a/b.git", "ssh://git@h:22/x", "host:path", "/srv/x.git"] {
            assert!(Remote::parse(url).is_ok(), "{url}");
        }
        let remote = Remote::parse("https://h/x").unwrap();
        for name in ["-x", "--upload-pack=x", "a..b", "a b", "a:b", "*", "a~1", ""] {
            assert!(remote.name_of(&RemoteReference::Branch(name.to_owned())).is_err(), "{name}");
        }
    }

    #[test]
    fn credentials_stay_out_of_messages_and_names() {
        let remote = Remote::parse("https://user:hunter2@host/x.git").unwrap();
        assert_eq!(remote.shown, "https://host/x.git");
        let said = "fatal: unable to access 'https://user:hunter2@host/x.git/': denied for hunter2";
        let error = format!("{0} {0:?}", remote.failed(&RemoteReference::Head, said));
        assert!(!error.contains("hunter2"), "{error}");
        assert_eq!(without_credentials("https://token@host/x"), "https://host/x");
        assert_eq!(without_credentials("ssh://git@host/x"), "ssh://git@host/x");
        let store = Path::new("/store");
        let bare = Remote::parse("https://host/x.git").unwrap();
        assert_eq!(remotes(store).place(&remote), remotes(store).place(&bare));
    }

    #[test]
    fn a_clone_in_use_is_waited_for_up_to_the_deadline() {
        let store = tempfile::tempdir().unwrap();
        let mut first = remotes(store.path());
        first.deadline = Duration::from_millis(60);
        fs_err::create_dir_all(&first.directory).unwrap();
        let place = first.directory.join("x.git");
        let remote = Remote::parse("/x.git").unwrap();
        let interrupted = || remote.failed(&RemoteReference::Head, INTERRUPTED);
        let held = first.hold(&place, interrupted).unwrap();
        assert!(matches!(first.hold(&place, interrupted), Err(GitError::Busy { .. })));
        let cancelled = first.cancelled_by(Arc::new(|| true));
        let error = cancelled.hold(&place, interrupted).unwrap_err().to_string();
        assert!(error.contains(INTERRUPTED), "{error}");
        drop(held);
        // A child that another test forks keeps the lock until its exec: that may outlast a short deadline.
        let mut last = cancelled.cancelled_by(Arc::new(|| false));
        last.deadline = Duration::from_secs(60);
        assert!(last.hold(&place, interrupted).is_ok());
    }
}
