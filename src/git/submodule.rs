//! Following submodules into their repositories, which must be on this machine already.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use git2::{ObjectType, Oid};

use super::error::{GitError, shown};
use super::repository::{Repository, lock, object_id};
use super::tree::{Root, TreeEntries};

/// The submodule repositories that were opened, by the commit's path.
#[derive(Default)]
pub(super) struct Submodules {
    open: Mutex<HashMap<PathBuf, Repository>>,
}

impl Repository {
    /// The tree of a submodule's recorded commit.
    pub(super) fn enter_submodule(&self, root: &Root, path: &[u8], commit: Oid) -> Result<Root, GitError> {
        let commit = object_id(commit);
        let mut places = Vec::new();
        if let Some(work_dir) = self.work_dir() {
            places.push(work_dir.join(OsStr::from_bytes(path)));
        }
        if let Some(name) = self.submodule_name(root, path)?.filter(|name| is_inside(name)) {
            places.push(self.common_dir().join("modules").join(name));
        }
        for place in places {
            if let Some(repository) = self.open_submodule(&place)
                && repository.has_commit(&commit)
            {
                let tree = super::repository::oid(&repository.commit_tree(&commit)?);
                return Ok(Root { repository, tree });
            }
        }
        Err(GitError::MissingSubmodule { path: shown(path), commit })
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

    /// The name under which `.gitmodules` of that tree lists the path.
    fn submodule_name(&self, root: &Root, path: &[u8]) -> Result<Option<PathBuf>, GitError> {
        let objects = self.objects()?;
        let tree = objects.read(root.tree, ObjectType::Tree)?;
        for entry in TreeEntries::new(root.tree, tree.data()) {
            let entry = entry?;
            if entry.name == b".gitmodules" {
                let text = objects.read(entry.id, ObjectType::Blob)?;
                let name = name_of(&String::from_utf8_lossy(text.data()), &shown(path));
                return Ok(name.map(PathBuf::from));
            }
        }
        Ok(None)
    }
}

fn is_inside(name: &Path) -> bool {
    name.components().all(|part| matches!(part, Component::Normal(_)))
}

/// The name of the section whose `path` is the given one.
fn name_of(gitmodules: &str, path: &str) -> Option<String> {
    let mut name = None;
    for line in gitmodules.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let quoted = section.trim_end().strip_suffix(']').and_then(|section| section.strip_prefix("submodule"));
            let quoted = quoted.and_then(|rest| rest.trim().strip_prefix('"')?.strip_suffix('"'));
            name = quoted.map(|quoted| quoted.replace("\\\"", "\"").replace("\\\\", "\\"));
        } else if let Some((key, value)) = line.split_once('=')
            && key.trim().eq_ignore_ascii_case("path")
            && value.trim().trim_matches('"').trim_end_matches('/') == path
        {
            return name;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_gitmodules() {
        let text = "[submodule \"a name\"]\n\tpath = libs/a\n\turl = x\n[submodule \"b\"]\n path=\"libs/b/\"\n";
        assert_eq!(name_of(text, "libs/a").as_deref(), Some("a name"));
        assert_eq!(name_of(text, "libs/b").as_deref(), Some("b"));
        assert_eq!(name_of(text, "libs/c"), None);
        assert!(!is_inside(Path::new("../../evil")));
        assert!(!is_inside(Path::new("/evil")));
    }
}
