//! Reading git's index file: what git last saw of each file of the work tree.
//!
//! Read here and not by libgit2, because the comparison needs the cached tree ids (which libgit2 does not show) and one
//! pass over 100 000 entries without an allocation for each. Versions 2, 3 and 4 are read; the format is described in
//! git's `Documentation/gitformat-index.txt`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use git2::Oid;

use super::error::GitError;
use super::repository::Repository;
use super::tree::MAX_DEPTH;

/// The entries of an index, in git's order.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<IndexEntry>,
    /// The paths of all entries, one after the other.
    paths: Vec<u8>,
    /// Trees whose content the index is known to hold unchanged, by path.
    trees: HashMap<Vec<u8>, Oid>,
    /// When the index was written: files changed at this time or later may differ unnoticed.
    pub(super) written: Time,
}

/// Seconds and nanoseconds; zero nanoseconds may also mean that they are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    pub(super) seconds: u32,
    pub(super) nanoseconds: u32,
}

#[derive(Debug)]
pub(super) struct IndexEntry {
    path: Range<u32>,
    pub(super) changed: Time,
    pub(super) modified: Time,
    pub(super) inode: u32,
    pub(super) mode: u32,
    pub(super) size: u32,
    pub(super) id: Oid,
    /// In conflict, or only announced with `git add --intent-to-add`: the entry is not what a commit would hold.
    pub(super) unsettled: bool,
    /// The user said not to look (`--assume-unchanged`), or the file is outside of a sparse checkout.
    pub(super) unwatched: bool,
}

impl Index {
    /// The index of a work tree; empty if there is none.
    pub(super) fn load(repository: &Repository) -> Result<Self, GitError> {
        use std::os::unix::fs::MetadataExt as _;
        let path = repository.git_dir().join("index");
        let failed = |error| GitError::io("read", &path, error);
        let file = match fs_err::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        let meta = file.metadata().map_err(failed)?;
        let data = read_all(file, meta.size()).map_err(failed)?;
        let mut index = Self::parse(&data).map_err(|reason| unusable(&path, reason))?;
        index.written = Time { seconds: meta.mtime() as u32, nanoseconds: meta.mtime_nsec() as u32 };
        Ok(index)
    }

    fn parse(data: &[u8]) -> Result<Self, &'static str> {
        const CHECKSUM: usize = 20;
        let content = data.len().checked_sub(CHECKSUM).ok_or("it is too short")?;
        let mut input = Input { data, rest: &data[..content] };
        if input.bytes(4)? != b"DIRC" {
            return Err("it does not start with DIRC");
        }
        let version = input.u32()?;
        if !(2..=4).contains(&version) {
            return Err("its version is not 2, 3 or 4");
        }
        let count = input.u32()? as usize;
        if count > content / 62 + 1 {
            return Err("it has fewer entries than it says");
        }
        let mut index = Self { entries: Vec::with_capacity(count), ..Self::default() };
        for _ in 0..count {
            index.entry(&mut input, version)?;
        }
        while !input.rest.is_empty() {
            let signature = input.bytes(4)?;
            let size = input.u32()? as usize;
            let body = input.bytes(size)?;
            match signature {
                b"TREE" => index.trees(&mut Input { data: body, rest: body }, &mut Vec::new(), 0)?,
                b"link" => return Err("it is split (`git update-index --no-split-index` joins it)"),
                // Optional ones, and that of a sparse index: its directories are seen by their mode.
                b"sdir" | [b'A'..=b'Z', ..] => {}
                _ => return Err("it needs an extension that is not known here"),
            }
        }
        Ok(index)
    }

    fn entry(&mut self, input: &mut Input<'_>, version: u32) -> Result<(), &'static str> {
        const EXTENDED: u16 = 0x4000;
        let start = input.position();
        let changed = input.time()?;
        let modified = input.time()?;
        let _device = input.u32()?;
        let inode = input.u32()?;
        let mode = input.u32()?;
        let (_uid, _gid) = (input.u32()?, input.u32()?);
        let size = input.u32()?;
        let id = Oid::from_bytes(input.bytes(20)?).map_err(|_| "an entry has no id")?;
        let flags = input.u16()?;
        let more = if flags & EXTENDED != 0 { input.u16()? } else { 0 };
        let previous = self.entries.last().map_or(0..0, |entry| entry.path.clone());
        let path = self.paths.len() as u32;
        if version == 4 {
            let kept = (previous.len()).checked_sub(input.varint()?).ok_or("an entry has a bad path")?;
            let from = previous.start as usize;
            self.paths.extend_from_within(from..from + kept);
        }
        let name = input.text()?;
        self.paths.extend_from_slice(name);
        if version < 4 {
            // Entries are padded with NULs, at least one, to a multiple of eight bytes.
            let length = input.position() - start;
            input.bytes(length.next_multiple_of(8) - length)?;
        }
        let end = u32::try_from(self.paths.len()).map_err(|_| "it is too large")?;
        let (stage, intended) = (flags >> 12 & 3, more & 0x2000 != 0);
        let entry = IndexEntry {
            path: path..end,
            changed,
            modified,
            inode,
            mode,
            size,
            id,
            unsettled: stage != 0 || intended,
            unwatched: flags & 0x8000 != 0 || more & 0x4000 != 0,
        };
        let (before, now) = (self.bytes(previous), self.bytes(entry.path.clone()));
        if now.is_empty() || !self.entries.is_empty() && (now < before || now == before && stage == 0) {
            return Err("its entries are out of order");
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Reads one node of the cached trees and what is below it.
    fn trees(&mut self, input: &mut Input<'_>, path: &mut Vec<u8>, depth: usize) -> Result<(), &'static str> {
        let name = input.text()?;
        let length = path.len();
        if !name.is_empty() {
            super::tree::push_segment(path, name);
        }
        let entries = input.number(b' ')?;
        let subtrees = input.number(b'\n')?;
        if entries >= 0 {
            let id = Oid::from_bytes(input.bytes(20)?).map_err(|_| "a cached tree has no id")?;
            self.trees.insert(path.clone(), id);
        }
        for _ in 0..subtrees {
            if depth > MAX_DEPTH {
                return Err("its cached trees are nested too deeply");
            }
            self.trees(input, path, depth + 1)?;
        }
        path.truncate(length);
        Ok(())
    }

    pub(super) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    pub(super) fn path(&self, entry: &IndexEntry) -> &[u8] {
        self.bytes(entry.path.clone())
    }

    fn bytes(&self, range: Range<u32>) -> &[u8] {
        &self.paths[range.start as usize..range.end as usize]
    }

    /// The tree that the index is known to hold at a directory.
    pub(super) fn cached_tree(&self, directory: &[u8]) -> Option<Oid> {
        self.trees.get(directory).copied()
    }

    /// The entries among `within` whose path is below the prefix, which ends in `/` or is empty.
    pub(super) fn below(&self, within: Range<usize>, prefix: &[u8]) -> Range<usize> {
        let entries = &self.entries[within.clone()];
        let start = entries.partition_point(|entry| self.path(entry) < prefix);
        let length = entries[start..].partition_point(|entry| self.path(entry).starts_with(prefix));
        within.start + start..within.start + start + length
    }
}

fn read_all(mut file: fs_err::File, size: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut data = Vec::with_capacity(size as usize + 1);
    file.read_to_end(&mut data)?;
    Ok(data)
}

fn unusable(path: &Path, reason: &'static str) -> GitError {
    GitError::Index { path: path.to_owned(), reason }
}

struct Input<'a> {
    data: &'a [u8],
    rest: &'a [u8],
}

const SHORT: &str = "it ends too early";

impl<'a> Input<'a> {
    /// How far into the data this is; the checksum at the end of a file only moves all positions alike.
    fn position(&self) -> usize {
        self.data.len() - self.rest.len()
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        let bytes = self.bytes(4)?.try_into().map_err(|_| SHORT)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn u16(&mut self) -> Result<u16, &'static str> {
        let bytes = self.bytes(2)?.try_into().map_err(|_| SHORT)?;
        Ok(u16::from_be_bytes(bytes))
    }

    fn time(&mut self) -> Result<Time, &'static str> {
        Ok(Time { seconds: self.u32()?, nanoseconds: self.u32()? })
    }

    /// Text up to a NUL, which is taken too.
    fn text(&mut self) -> Result<&'a [u8], &'static str> {
        self.until(0)
    }

    fn until(&mut self, end: u8) -> Result<&'a [u8], &'static str> {
        let at = self.rest.iter().position(|&byte| byte == end).ok_or(SHORT)?;
        let text = self.bytes(at)?;
        self.bytes(1)?;
        Ok(text)
    }

    fn number(&mut self, end: u8) -> Result<i64, &'static str> {
        let text = std::str::from_utf8(self.until(end)?).ok();
        text.and_then(|text| text.parse().ok()).ok_or("a number in it is malformed")
    }

    /// git's offset encoding: seven bits a byte, each continuation adding one.
    fn varint(&mut self) -> Result<usize, &'static str> {
        let mut value = 0_usize;
        for _ in 0..5 {
            let [byte] = *self.bytes(1)? else { return Err(SHORT) };
            value |= usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            value = (value + 1) << 7;
        }
        Err("a path in it is malformed")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn all_versions_read_alike() {
        let fixture = Fixture::with(&[("a", "1"), ("dir/b", "2"), ("dir/sub/c", "3"), ("dir-x", "4")]);
        let read = || Index::load(&fixture.repository()).unwrap();
        for version in ["2", "3", "4"] {
            fixture.git(&["update-index", "--index-version", version]);
            let index = read();
            let paths: Vec<_> = index.entries().iter().map(|entry| index.path(entry)).collect();
            assert_eq!(paths, [&b"a"[..], b"dir-x", b"dir/b", b"dir/sub/c"], "version {version}");
            assert_eq!(index.cached_tree(b"").unwrap().to_string(), fixture.tree().as_str());
            assert!(index.cached_tree(b"dir/sub").is_some());
            assert_eq!(index.below(0..4, b"dir/"), 2..4);
            assert!(index.below(0..4, b"none/").is_empty());
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let fixture = Fixture::with(&[("a", "1"), ("dir/b", "2")]);
        let path = fixture.path(".git/index");
        let data = fs_err::read(&path).unwrap();
        for end in 0..data.len() - 1 {
            // Whatever the cut, it must not panic; cuts within the entries must be noticed.
            assert!(Index::parse(&data[..end]).is_err() || end > 150, "{end}");
        }
        for at in 0..data.len() {
            let mut data = data.clone();
            data[at] ^= 0xff;
            let _ = Index::parse(&data);
        }
    }
}
