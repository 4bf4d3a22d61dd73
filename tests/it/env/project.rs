//! Git projects, made by the `git` program with a fixed identity and fixed dates.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::run::{Run, find};
use super::{busybox_rootfs, user};

/// A git repository. Its methods work on the files at once and chain.
pub(crate) struct Project {
    path: PathBuf,
    user: Option<(u32, u32)>,
}

impl Project {
    pub(crate) fn new(path: PathBuf, user: Option<(u32, u32)>) -> Self {
        Self { path, user }
    }

    /// An empty repository.
    pub(crate) fn init(&self) {
        self.git(["init", "--quiet", "--initial-branch", "main"]);
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, not executable unless it already is.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().expect("it is inside the project")).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Sets the mode of a file.
    pub(crate) fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().expect("it is inside the project")).unwrap();
        fs_err::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Removes a file or a directory.
    pub(crate) fn remove(&self, path: &str) -> &Self {
        let path = self.path.join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    /// Replaces a text that must be in the file.
    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) -> &Self {
        let content = fs::read_to_string(self.path.join(path)).unwrap();
        assert!(content.contains(from), "{path} does not contain {from:?}:\n{content}");
        self.file(path, content.replace(from, to))
    }

    /// Writes `base.tar`, a busybox root file system for `from: rootfs:base.tar`.
    pub(crate) fn busybox(&self) -> &Self {
        self.file("base.tar", busybox_rootfs())
    }

    /// Writes `stager.yaml`: the project document, and then these.
    pub(crate) fn config(&self, documents: &str) -> &Self {
        self.file("stager.yaml", format!("stager: 1\nproject: shop\n---\n{documents}"))
    }

    /// Writes `stager-giterminism.yaml` with this `config` mapping, in flow style.
    pub(crate) fn giterminism(&self, config: &str) -> &Self {
        self.file("stager-giterminism.yaml", format!("giterminismConfigVersion: 1\nconfig: {config}\n"))
    }

    /// Commits all files; the id of the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        if let Some(ids) = self.user {
            user::give(&self.path, ids);
        }
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// A clone, of the last commit only.
    pub(crate) fn clone_to(&self, path: PathBuf) -> Self {
        let from = format!("file://{}", self.path.display());
        self.git(["clone", "--quiet", "--depth", "1", &from, path.to_str().expect("test paths are UTF-8")]);
        Self { path, user: self.user }
    }

    /// Runs git in the project; its standard output.
    pub(crate) fn git<const N: usize>(&self, arguments: [&str; N]) -> String {
        let git = find("git").expect("git is installed wherever a build from source is done");
        let mut run = Run::new(&git, ["-c", "protocol.file.allow=always"].into_iter().chain(arguments));
        run.cwd(&self.path).user(self.user);
        for who in ["AUTHOR", "COMMITTER"] {
            run.env(&format!("GIT_{who}_NAME"), "Test").env(&format!("GIT_{who}_EMAIL"), "test@example.org");
            run.env(&format!("GIT_{who}_DATE"), "2024-02-03T04:05:06Z");
        }
        run.env("PATH", "/usr/bin:/bin").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        run.run().succeeds().stdout
    }
}
