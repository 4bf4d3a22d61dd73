//! Users who are not root.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;

use super::run::program;
use super::{Missing, is_root};

/// A user made for one test, with a copy of the program where it may be read; removed when dropped.
pub(crate) struct RootlessUser {
    name: String,
    ids: (u32, u32),
    _directory: tempfile::TempDir,
    binary: PathBuf,
}

/// `useradd` locks its files and fails when somebody else has them.
static ACCOUNTS: Mutex<u32> = Mutex::new(0);

impl RootlessUser {
    /// A user with ranges of subordinate ids.
    pub(crate) fn with_ranges() -> Result<Self, Missing> {
        program("newuidmap", [""; 0])?;
        let user = Self::create(&[])?;
        let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
        assert!(ranges.contains(&format!("{}:", user.name)), "useradd gives subordinate ids: {ranges}");
        Ok(user)
    }

    /// A user without subordinate ids: all there is, is one id.
    pub(crate) fn single() -> Result<Self, Missing> {
        Self::create(&["--system"])
    }

    fn create(options: &[&str]) -> Result<Self, Missing> {
        if !is_root() {
            return Err(Missing("other users are made as root".into()));
        }
        let mut count = ACCOUNTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *count += 1;
        let name = format!("stager-it-{}-{count}", std::process::id());
        let fixed = ["--user-group", "--no-create-home", "--home-dir", "/nonexistent", &name];
        program("useradd", options.iter().copied().chain(fixed))?.succeeds();
        let id = |option: &str| program("id", [option, &name]).expect("coreutils").succeeds().stdout.trim().parse();
        let ids = (id("--user").expect("a number"), id("--group").expect("a number"));
        let directory = tempfile::Builder::new().prefix("stager-it-user-").tempdir().unwrap();
        let binary = directory.path().join("stager");
        fs::copy(env!("CARGO_BIN_EXE_stager"), &binary).unwrap();
        give(directory.path(), ids);
        Ok(Self { name, ids, _directory: directory, binary })
    }

    /// User and group id.
    pub(crate) fn ids(&self) -> (u32, u32) {
        self.ids
    }

    /// A copy of the program that the user may run.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }
}

impl Drop for RootlessUser {
    fn drop(&mut self) {
        let _accounts = ACCOUNTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let removed = program("userdel", ["--force", &self.name]);
        if let Some(output) = removed.ok().filter(|output| output.code != 0) {
            eprintln!("userdel {}: {}", self.name, output.stderr);
        }
    }
}

/// Gives a directory and everything in it to a user.
pub(crate) fn give(path: &Path, (user, group): (u32, u32)) {
    let owner = format!("{user}:{group}");
    program("chown", ["-R", "-h", &owner, path.to_str().expect("test paths are UTF-8")]).expect("coreutils").succeeds();
}

#[test]
fn users_have_ranges_or_not() {
    let (many, single) = (need!(RootlessUser::with_ranges()), need!(RootlessUser::single()));
    let ranges = fs::read_to_string("/etc/subuid").unwrap();
    assert!(ranges.contains(&many.name) && !ranges.contains(&single.name), "{ranges}");
    let env = super::TestEnv::of_user(&many);
    env.project().file("x", "x\n").commit("as the user");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(env.project().path().join(".git/HEAD")).unwrap());
    assert_eq!(owner, many.ids().0);
}
