//! temporary
use std::path::{Path, PathBuf};

use stages::{CommitId, ObjectId};

use super::{GitError, Repository};

#[allow(missing_docs)]
#[derive(Debug, Clone)]
pub enum RemoteReference {
    Commit(String),
    Tag(String),
    Branch(String),
}

#[allow(missing_docs)]
#[derive(Debug)]
pub struct Remotes(PathBuf);

#[allow(missing_docs)]
pub struct Fetched {
    pub repository: Repository,
    pub commit: CommitId,
    pub tree: ObjectId,
}

#[allow(missing_docs)]
impl Remotes {
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
    pub fn open(&self, _url: &str) -> Result<Repository, GitError> {
        Repository::open(&self.0)
    }
    pub fn fetch(&self, _url: &str, _reference: &RemoteReference) -> Result<Fetched, GitError> {
        let repository = Repository::open(&self.0)?;
        let head = repository.head()?;
        Ok(Fetched { repository, commit: head.commit, tree: head.tree })
    }
}
