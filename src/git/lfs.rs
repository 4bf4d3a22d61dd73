//! git-LFS: pointers that stand in commits for files which are elsewhere.
//!
//! Nothing is fetched here. What counts is that a pointer is never taken for the content, and that a work tree in which
//! git-LFS has put the content in the pointer's place does not count as changed.

use std::path::Path;

use git2::{AttrCheckFlags, AttrValue};
use stages::filter::PathFilter;
use stages::{BlobId, ObjectId};

use super::error::GitError;
use super::index::Index;
use super::repository::{Repository, object_id};
use super::tree::{Covered, FileMode, walk};
use super::worktree::Scope;
use crate::sha256::HashingReader;

/// Pointers are shorter than this.
const MAX_POINTER: u64 = 1024;

const FIRST_LINE: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Whether a blob is a pointer that git-LFS left in place of a large file.
pub fn is_lfs_pointer(content: &[u8]) -> bool {
    (content.len() as u64) < MAX_POINTER && content.starts_with(FIRST_LINE)
}

/// Whether a path has the attribute that hands it to git-LFS.
pub(super) fn is_tracked(handle: &git2::Repository, path: &Path) -> bool {
    let value = handle.get_attr_bytes(path, "filter", AttrCheckFlags::FILE_THEN_INDEX).ok().flatten();
    AttrValue::from_bytes(value) == AttrValue::String("lfs")
}

/// The pointer that git-LFS makes of a file; `None` for one that stays as it is.
pub(super) fn pointer_to(file: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let size = fs_err::metadata(file)?.len();
    if size == 0 || size < MAX_POINTER && is_lfs_pointer(&fs_err::read(file)?) {
        return Ok(None);
    }
    let mut reader = HashingReader::new(fs_err::File::open(file)?);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    let (_, hash, size) = reader.finish();
    Ok(Some(pointer(&hash, size)))
}

fn pointer(hash: &BlobId, size: u64) -> Vec<u8> {
    [FIRST_LINE, format!("oid {hash}\nsize {size}\n").as_bytes()].concat()
}

impl Repository {
    /// The pointers of git-LFS among the files of a tree that the scopes have, sorted. Costs nothing to speak of where
    /// no `.gitattributes` of the tree names git-LFS.
    pub fn lfs_pointers(&self, tree: &ObjectId, scopes: &[Scope<'_>]) -> Result<Vec<Vec<u8>>, GitError> {
        if !self.uses_lfs(tree)? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for scope in scopes {
            let Some(start) = self.find(tree, scope.path)? else { continue };
            let mut failure = None;
            walk(&start, scope.filter, Covered::Descend, &mut |path, mode, id, root| {
                if !matches!(mode, FileMode::Regular | FileMode::Executable) || failure.is_some() {
                    return;
                }
                match root.repository.is_pointer(&object_id(id)) {
                    Ok(true) => found.push(joined(scope.path, path)),
                    Ok(false) => {}
                    Err(error) => failure = Some(error),
                }
            })?;
            failure.map_or(Ok(()), Err)?;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn is_pointer(&self, id: &ObjectId) -> Result<bool, GitError> {
        Ok(self.blob_size(id)? < MAX_POINTER && is_lfs_pointer(&self.read_blob(id, MAX_POINTER)?))
    }

    /// The `.gitattributes` that there are: those that the index knows, without a work tree those of the tree.
    fn attribute_files(&self, tree: &ObjectId) -> Result<Vec<Vec<u8>>, GitError> {
        if self.work_dir().is_some() {
            let index = Index::load(self)?;
            let paths = index.entries().iter().map(|entry| index.path(entry));
            return Ok(paths.filter(|path| is_attributes(path)).map(<[u8]>::to_vec).collect());
        }
        let filter = PathFilter::new(&["**/.gitattributes".to_owned()], &[]).expect("the pattern is well-formed");
        Ok(self.list(tree, "", &filter)?.into_iter().map(|entry| entry.path).collect())
    }

    fn uses_lfs(&self, tree: &ObjectId) -> Result<bool, GitError> {
        const MAX_ATTRIBUTES: u64 = 1 << 20;
        for path in self.attribute_files(tree)? {
            let Some(entry) = self.entry(tree, &path)? else { continue };
            let is_file = matches!(entry.mode, FileMode::Regular | FileMode::Executable);
            if is_file && entry.repository.blob_size(&entry.id)? <= MAX_ATTRIBUTES {
                let text = entry.repository.read_blob(&entry.id, MAX_ATTRIBUTES)?;
                if text.windows(10).any(|window| window == b"filter=lfs") {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Whether a path is that of a file of attributes.
pub(super) fn is_attributes(path: &[u8]) -> bool {
    path == b".gitattributes" || path.ends_with(b"/.gitattributes")
}

fn joined(above: &[u8], path: &[u8]) -> Vec<u8> {
    match (above.is_empty(), path.is_empty()) {
        (true, _) => path.to_vec(),
        (_, true) => above.to_vec(),
        _ => [above, b"/", path].concat(),
    }
}
