//! The files that a config maps into images, against the work tree: a build takes them from the commit, so people are told
//! of those that they see otherwise on disk.

use std::collections::BTreeSet;

use stages::ObjectId;
use stages::filter::PathFilter;
use stages::spec::{GitSource, Project};

use super::project::threads;
use crate::git::{ChangeKind, GitError, Head, Repository, Scope, Uncommitted};
use crate::giterminism::Mode;

/// How many files a warning names.
const NAMES: usize = 5;

/// What a project maps from its own repository.
pub(super) struct Mapped<'a> {
    repository: &'a Repository,
    /// Directories and files of the repository, with the patterns that hold in them; one within another is looked at once.
    scopes: Vec<(Vec<u8>, PathFilter)>,
}

impl<'a> Mapped<'a> {
    pub(super) fn of(repository: &'a Repository, project: &Project) -> Self {
        let mut seen = BTreeSet::new();
        let mut scopes = Vec::new();
        for mapping in project.images.iter().flat_map(|image| &image.git) {
            let key = (&mapping.add, &mapping.include_paths, &mapping.exclude_paths);
            if mapping.source != GitSource::Local || !seen.insert(key) {
                continue;
            }
            // What is wrong with a mapping is said by the plan.
            if let Ok(filter) = PathFilter::new(&mapping.include_paths, &mapping.exclude_paths)
                && let Ok(path) = repository.in_project(&mapping.add)
            {
                scopes.push((path, filter));
            }
        }
        let whole: Vec<Vec<u8>> =
            scopes.iter().filter(|(_, filter)| filter.is_everything()).map(|(path, _)| path.clone()).collect();
        scopes.retain(|(path, filter)| {
            !whole.iter().any(|above| (above != path || !filter.is_everything()) && is_within(path, above))
        });
        Self { repository, scopes }
    }

    fn scopes(&self) -> Vec<Scope<'_>> {
        self.scopes.iter().map(|(path, filter)| Scope { path, filter }).collect()
    }

    /// What differs from the commit, and the first `names` of it.
    pub(super) fn uncommitted(&self, head: &Head, names: usize) -> Result<Uncommitted, GitError> {
        self.repository.uncommitted(head, &self.scopes(), names, threads())
    }

    /// The files of which the tree has git-LFS pointers only.
    pub(super) fn pointers(&self, tree: &ObjectId) -> Result<Vec<Vec<u8>>, GitError> {
        self.repository.lfs_pointers(tree, &self.scopes())
    }

    /// What people should know before they look for their changes in an image.
    pub(super) fn warnings(&self, head: &Head, tree: &ObjectId, mode: Mode) -> Vec<String> {
        let mut warnings = Vec::new();
        if !mode.is_dev() {
            match self.uncommitted(head, NAMES) {
                Ok(uncommitted) => warnings.extend(describe(&uncommitted)),
                Err(error) => {
                    warnings.push(format!("cannot tell whether mapped files differ from the commit: {error}"));
                }
            }
        }
        match self.pointers(tree) {
            Ok(pointers) => warnings.extend(describe_pointers(&pointers)),
            // A submodule that is not here is named by the stage that needs it.
            Err(GitError::MissingSubmodule { .. }) => {}
            Err(error) => warnings.push(format!("cannot tell whether mapped files are git-LFS pointers: {error}")),
        }
        warnings
    }
}

fn is_within(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn describe(uncommitted: &Uncommitted) -> Option<String> {
    if uncommitted.is_clean() {
        return None;
    }
    let total = uncommitted.modified + uncommitted.added + uncommitted.removed;
    let named = uncommitted.names.iter().take(NAMES).map(|(path, kind)| {
        let moved = uncommitted.moved.contains(path) && *kind == ChangeKind::Modified;
        let what = if moved { " (a submodule with another commit checked out)" } else { "" };
        format!("{}{what}", String::from_utf8_lossy(path))
    });
    let named: Vec<String> = named.collect();
    let more = if total > named.len() as u64 { ", ..." } else { "" };
    let least = if uncommitted.incomplete { "at least " } else { "" };
    Some(format!(
        "{least}{total} mapped file{} from the commit and {} not built: {}{more}; --dev builds them",
        if total == 1 { " differs" } else { "s differ" },
        if total == 1 { "is" } else { "are" },
        named.join(", ")
    ))
}

fn describe_pointers(pointers: &[Vec<u8>]) -> Option<String> {
    let named: Vec<_> = pointers.iter().take(NAMES).map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    let more = if pointers.len() > named.len() { ", ..." } else { "" };
    let (are, end) = if pointers.len() == 1 { (" is a", "") } else { ("s are", "s") };
    (!pointers.is_empty()).then(|| {
        format!(
            "{} mapped file{are} git-LFS pointer{end} in the commit, and that is what images get, not the content: {}{more}; \
             `git lfs untrack` and a commit put content into git itself",
            pointers.len(),
            named.join(", ")
        )
    })
}
