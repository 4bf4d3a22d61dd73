//! Checksums over selections of git content, the git part of stage digests.
//!
//! A checksum covers (path relative to the added directory, type and mode, object id) of what the filter selects. A
//! directory of which everything is selected enters as its one tree id, so a mapping without patterns costs a look-up,
//! and a submodule as its one commit id, so that digests need no submodule clone. Each record is length-framed; the
//! checksum depends on the tree and the patterns only.

use git2::Oid;
use stages::filter::PathFilter;
use stages::{Checksum, ObjectId};

use super::error::GitError;
use super::repository::Repository;
use super::tree::{Covered, FileMode, walk};

/// Enters every checksum first; its number changes with the framing.
const FORMAT: &[u8] = b"stager.git.selection.1";

impl Repository {
    /// The checksum over what the filter selects beneath `add` (a file, link or directory of the tree). `None` if that is
    /// nothing at all.
    pub fn checksum(
        &self,
        tree: &ObjectId,
        add: impl AsRef<[u8]>,
        filter: &PathFilter,
    ) -> Result<Option<Checksum>, GitError> {
        let Some(found) = self.find(tree, add.as_ref())? else { return Ok(None) };
        let mut hasher = blake3::Hasher::new();
        hasher.update(FORMAT);
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut records = 0_u64;
        walk(&found, filter, Covered::Report, &mut |path, mode, id, _| {
            // An empty tree holds no file. It can only be the root: git writes no other.
            if id.as_bytes() != EMPTY_TREE {
                records += 1;
                record(&mut buffer, path, mode, id);
            }
            if buffer.len() > BUFFER - 8192 {
                hasher.update(&buffer);
                buffer.clear();
            }
        })?;
        hasher.update(&buffer);
        Ok((records > 0).then(|| hasher.finalize().into()))
    }
}

/// BLAKE3 is fast on long inputs only.
const BUFFER: usize = 64 << 10;

const EMPTY_TREE: &[u8] = b"\x4b\x82\x5d\xc6\x42\xcb\x6e\xb9\xa0\x60\xe5\x4b\xf8\xd6\x92\x88\xfb\xee\x49\x04";

fn record(buffer: &mut Vec<u8>, path: &[u8], mode: FileMode, id: Oid) {
    buffer.push(match mode {
        FileMode::Regular => b'f',
        FileMode::Executable => b'x',
        FileMode::Symlink => b'l',
        FileMode::Tree => b'd',
        FileMode::Submodule => b's',
    });
    for part in [path, id.as_bytes()] {
        buffer.extend_from_slice(&(part.len() as u64).to_le_bytes());
        buffer.extend_from_slice(part);
    }
}
