//! What earlier snapshots found out about changed files, so that nothing is read twice.
//!
//! A file of a work tree is known by its path and by what the file system says of it (device, inode, size, mode, times);
//! an entry gives the blob that git would store for it. Entries of files so young that they may change again without their
//! times telling are not kept. The file is replaced as a whole; a damaged one is an empty one.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use git2::Oid;
use rustix::fs::Stat;

use super::error::GitError;
use super::repository::Repository;

/// The first word of the file.
///
/// - 1: a line `FORMAT CONVERSIONS`, then lines of identity, blob and path, separated by tabs.
const FORMAT: &str = "stager-known-1";
/// Entries beyond this are forgotten: 200 000 take about 30 MB.
const MAX_ENTRIES: usize = 200_000;

/// Known files of one work tree.
#[derive(Debug, Default)]
pub(super) struct Known {
    file: PathBuf,
    /// Stands for the rules of conversion that the blobs were made under.
    conversions: String,
    entries: HashMap<Vec<u8>, (String, Oid)>,
}

/// A file that was read now.
#[derive(Debug)]
pub(super) struct Learnt {
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) id: Oid,
}

impl Known {
    /// What is known of the repository's work tree, kept in a directory of stager's own.
    pub(super) fn load(store: &Path, repository: &Repository, conversions: String) -> Self {
        let of = blake3::hash(repository.location().as_os_str().as_bytes()).to_hex();
        let file = store.join(format!("known-{}", &of[..32]));
        let text = fs_err::read(&file).unwrap_or_default();
        let mut lines = text.split(|&byte| byte == b'\n');
        let current = lines.next() == Some(format!("{FORMAT} {conversions}").as_bytes());
        let entries = if current { lines.filter_map(parse).collect() } else { HashMap::new() };
        Self { file, conversions, entries }
    }

    /// The blob of a file that is as it was.
    pub(super) fn blob(&self, path: &[u8], stat: &Stat) -> Option<Oid> {
        let (identity, id) = self.entries.get(path)?;
        (*identity == identity_of(stat)).then_some(*id)
    }

    /// Adds what was learnt, forgets files that are no longer among `current`, and writes it all, if anything is new.
    pub(super) fn save(mut self, learnt: Vec<Learnt>, is_current: impl Fn(&[u8]) -> bool) -> Result<(), GitError> {
        if learnt.is_empty() {
            return Ok(());
        }
        let parent = self.file.parent().unwrap_or(Path::new(".")).to_owned();
        let failed = |error: std::io::Error| GitError::io("write", &parent, error);
        let temp = tempfile::NamedTempFile::new_in(&parent).map_err(failed)?;
        let now = temp.as_file().metadata().map_err(failed)?.mtime();
        self.entries.retain(|path, _| is_current(path));
        for Learnt { path, stat, id } in learnt {
            let changed = stat.st_mtime.max(stat.st_ctime);
            if changed + 2 < now && !path.contains(&b'\n') {
                self.entries.insert(path, (identity_of(&stat), id));
            } else {
                self.entries.remove(&path);
            }
        }
        let mut text = format!("{FORMAT} {}\n", self.conversions).into_bytes();
        for (path, (identity, id)) in self.entries.iter().take(MAX_ENTRIES) {
            text.extend_from_slice(format!("{identity}\t{id}\t").as_bytes());
            text.extend_from_slice(path);
            text.push(b'\n');
        }
        fs_err::write(temp.path(), text).map_err(failed)?;
        temp.persist(&self.file).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<(Vec<u8>, (String, Oid))> {
    let mut fields = line.splitn(3, |&byte| byte == b'\t');
    let identity = std::str::from_utf8(fields.next()?).ok()?;
    let id = Oid::from_str(std::str::from_utf8(fields.next()?).ok()?).ok()?;
    Some((fields.next()?.to_vec(), (identity.to_owned(), id)))
}

fn identity_of(stat: &Stat) -> String {
    format!(
        "{} {} {} {:o} {}.{} {}.{}",
        stat.st_dev,
        stat.st_ino,
        stat.st_size,
        stat.st_mode,
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn files_are_known_while_they_are_as_they_were() {
        let fixture = Fixture::with(&[("a", "1")]);
        let store = tempfile::tempdir().unwrap();
        let load = |conversions: &str| Known::load(store.path(), &fixture.repository(), conversions.to_owned());
        let now = rustix::fs::stat(fixture.path("a")).unwrap();
        let (mut old, id) = (now, Oid::from_str(&"1".repeat(40)).unwrap());
        (old.st_mtime, old.st_ctime) = (1_000_000, 1_000_000);
        let learn = |path: &str, stat| Learnt { path: path.as_bytes().to_vec(), stat, id };
        let learnt = vec![learn("a", old), learn("young", now), learn("new\nline", old), learn("x\ty", old)];
        load("none").save(learnt, |_| true).unwrap();
        assert_eq!(load("none").blob(b"a", &old), Some(id));
        assert_eq!(load("none").blob(b"x\ty", &old), Some(id));
        assert_eq!(load("other rules").blob(b"a", &old), None);
        for path in [&b"young"[..], b"new\nline", b"none"] {
            assert_eq!(load("none").blob(path, &now), None);
        }
        let mut changed = old;
        changed.st_ctime += 1;
        assert_eq!(load("none").blob(b"a", &changed), None);
        load("none").save(vec![learn("b", old)], |path| path == b"b").unwrap();
        assert_eq!(load("none").blob(b"a", &old), None, "what no longer differs is forgotten");
        assert_eq!(load("none").blob(b"b", &old), Some(id));
        let file = load("none").file;
        for damage in [&b""[..], b"stager-known-1 none\nx\ty\tz\n\n", b"\xff\xfe"] {
            fs_err::write(&file, damage).unwrap();
            assert_eq!(load("none").blob(b"b", &old), None);
        }
    }
}
