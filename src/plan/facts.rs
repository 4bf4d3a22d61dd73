//! Facts of a commit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use stages::conveyor::{Facts, Selection};
use stages::filter::{FilterError, PathFilter};
use stages::spec::{GitMapping, GitReference, GitSource};
use stages::{BlobId, Checksum, ObjectId, Platform};

use crate::git::{GitError, RemoteReference, Remotes, Repository};
use crate::giterminism::Gate;

/// Asks a registry what a reference stands for now.
pub type LatestDigest<'a> = dyn Fn(&str, &Platform) -> Result<BlobId, crate::registry::Error> + 'a;

/// The checksum of no files at all.
const NOTHING: Checksum = Checksum::from_bytes([0; 32]);

/// Why a fact can't be had.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Reading git objects.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A mapping of something that the commit doesn't have.
    #[error("`git.add: {add}`: {} has no such file or directory", url.as_deref().unwrap_or("the commit"))]
    NothingThere {
        /// As written.
        add: String,
        /// The remote repository, if it is one.
        url: Option<String>,
    },
    /// A mapping whose patterns select nothing.
    #[error("`git.add: {add}` (to `{to}`): the patterns match no file of the commit")]
    NothingSelected {
        /// As written.
        add: String,
        /// As written.
        to: String,
    },
    /// A pattern that can't be read.
    #[error("`git.add: {add}`")]
    Filter {
        /// The mapping.
        add: String,
        /// What is wrong.
        #[source]
        source: FilterError,
    },
    /// A base file.
    #[error("cannot use the base file `{path}`")]
    BaseFile {
        /// As written.
        path: String,
        /// Why not.
        #[source]
        source: crate::giterminism::Error,
    },
    /// A registry did not say what `fromLatest` asks.
    #[error("`fromLatest`: cannot look up `{reference}`")]
    Latest {
        /// The base.
        reference: String,
        /// Why not.
        #[source]
        source: crate::registry::Error,
    },
}

/// The facts of one commit. Repeated questions are answered from memory: hundreds of images map the same directories.
pub struct CommitFacts<'a> {
    /// The project's repository.
    pub repository: &'a Repository,
    /// The root tree of the commit.
    pub tree: ObjectId,
    /// Remote repositories.
    pub remotes: &'a Remotes,
    /// Reads base files.
    pub gate: &'a Gate,
    /// Answers `fromLatest`.
    pub latest: &'a LatestDigest<'a>,
    cache: RefCell<HashMap<Question, Option<Checksum>>>,
    /// Compiling patterns takes longer than walking a small directory, and most images of a config have the same ones.
    filters: RefCell<HashMap<Patterns, Rc<PathFilter>>>,
    remote_trees: RefCell<HashMap<String, ObjectId>>,
    base_files: RefCell<HashMap<String, Checksum>>,
    base_digests: RefCell<HashMap<(String, Platform), BlobId>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Question {
    url: Option<String>,
    tree: ObjectId,
    add: String,
    patterns: Patterns,
}

/// The patterns of a mapping and a selection.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Patterns {
    include_paths: Vec<String>,
    exclude_paths: Vec<String>,
    files: Chosen,
}

/// A [`Selection`] that is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Chosen {
    All,
    FromRoot { files: Vec<String>, add: String },
    FromAdd(Vec<String>),
}

impl Patterns {
    fn of(mapping: &GitMapping, selection: Selection<'_>) -> Self {
        Self {
            include_paths: mapping.include_paths.clone(),
            exclude_paths: mapping.exclude_paths.clone(),
            files: match selection {
                Selection::All => Chosen::All,
                Selection::FromRoot(files) => Chosen::FromRoot { files: files.to_vec(), add: mapping.add.clone() },
                Selection::FromAdd(files) => Chosen::FromAdd(files.to_vec()),
            },
        }
    }

    fn filter(&self) -> Result<PathFilter, FilterError> {
        let filter = PathFilter::new(&self.include_paths, &self.exclude_paths)?;
        match &self.files {
            Chosen::All => Ok(filter),
            Chosen::FromRoot { files, add } => filter.narrowed(add.trim_matches('/'), files),
            Chosen::FromAdd(files) => filter.narrowed("", files),
        }
    }
}

impl<'a> CommitFacts<'a> {
    /// Facts of the commit with that root tree.
    pub fn new(
        repository: &'a Repository,
        tree: ObjectId,
        remotes: &'a Remotes,
        gate: &'a Gate,
        latest: &'a LatestDigest<'a>,
    ) -> Self {
        Self {
            repository,
            tree,
            remotes,
            gate,
            latest,
            cache: RefCell::default(),
            filters: RefCell::default(),
            remote_trees: RefCell::default(),
            base_files: RefCell::default(),
            base_digests: RefCell::default(),
        }
    }

    fn ask(&self, question: &Question) -> Result<Option<Checksum>, PlanError> {
        let (repository, add) = match &question.url {
            None => (self.repository.clone(), self.repository.in_project(&question.add)?),
            Some(url) => (self.remotes.open(url)?, question.add.trim_matches('/').as_bytes().to_vec()),
        };
        let filter_error = |source| PlanError::Filter { add: question.add.clone(), source };
        let filter = self.filter(&question.patterns).map_err(filter_error)?;
        let checksum = repository.checksum(&question.tree, &add, &filter)?;
        if checksum.is_none() && repository.entry(&question.tree, &add)?.is_none() {
            return Err(PlanError::NothingThere { add: question.add.clone(), url: question.url.clone() });
        }
        Ok(checksum)
    }

    fn filter(&self, patterns: &Patterns) -> Result<Rc<PathFilter>, FilterError> {
        if let Some(known) = self.filters.borrow().get(patterns) {
            return Ok(Rc::clone(known));
        }
        let filter = Rc::new(patterns.filter()?);
        self.filters.borrow_mut().insert(patterns.clone(), Rc::clone(&filter));
        Ok(filter)
    }
}

impl Facts for CommitFacts<'_> {
    type Error = PlanError;

    fn tree(&self, mapping: &GitMapping) -> Result<ObjectId, PlanError> {
        let GitSource::Remote { url, reference } = &mapping.source else { return Ok(self.tree.clone()) };
        let key = format!("{url} {reference:?}");
        if let Some(tree) = self.remote_trees.borrow().get(&key) {
            return Ok(tree.clone());
        }
        let reference = match reference {
            GitReference::Commit(commit) => RemoteReference::Commit(commit.clone()),
            GitReference::Tag(tag) => RemoteReference::Tag(tag.clone()),
            GitReference::Branch(branch) => RemoteReference::Branch(branch.clone()),
        };
        let fetched = self.remotes.fetch(url, &reference)?;
        self.remote_trees.borrow_mut().insert(key, fetched.tree.clone());
        Ok(fetched.tree)
    }

    fn checksum(&self, mapping: &GitMapping, selection: Selection<'_>) -> Result<Checksum, PlanError> {
        if selection == Selection::FromAdd(&[]) {
            return Ok(NOTHING);
        }
        let question = Question {
            url: match &mapping.source {
                GitSource::Local => None,
                GitSource::Remote { url, .. } => Some(url.clone()),
            },
            tree: self.tree(mapping)?,
            add: mapping.add.clone(),
            patterns: Patterns::of(mapping, selection),
        };
        let known = self.cache.borrow().get(&question).copied();
        let checksum = if let Some(checksum) = known {
            checksum
        } else {
            let checksum = self.ask(&question)?;
            self.cache.borrow_mut().insert(question, checksum);
            checksum
        };
        if checksum.is_none() && mapping.required && selection == Selection::All {
            return Err(PlanError::NothingSelected { add: mapping.add.clone(), to: mapping.to.clone() });
        }
        // Nothing selected is a fact too.
        Ok(checksum.unwrap_or(NOTHING))
    }

    fn base_file(&self, path: &str) -> Result<Checksum, PlanError> {
        if let Some(checksum) = self.base_files.borrow().get(path) {
            return Ok(*checksum);
        }
        let failed = |source| PlanError::BaseFile { path: path.to_owned(), source };
        let checksum = self.gate.base_checksum(path).map_err(failed)?;
        self.base_files.borrow_mut().insert(path.to_owned(), checksum);
        Ok(checksum)
    }

    fn base_digest(&self, reference: &str, platform: &Platform) -> Result<BlobId, PlanError> {
        let key = (reference.to_owned(), platform.clone());
        if let Some(digest) = self.base_digests.borrow().get(&key) {
            return Ok(*digest);
        }
        let failed = |source| PlanError::Latest { reference: reference.to_owned(), source };
        let digest = (self.latest)(reference, platform).map_err(failed)?;
        self.base_digests.borrow_mut().insert(key, digest);
        Ok(digest)
    }
}
