//! Following a path through symbolic links, in a tree or in the work tree, without leaving either.

use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{self, AtFlags, CWD, FileType};
use rustix::io::Errno;
use stages::ObjectId;

use super::error::{GitError, shown};
use super::repository::Repository;
use super::tree::{FileMode, TreeEntry, segments};

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// Where a path leads. Paths are relative to the repository's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The links on the way.
    pub hops: Vec<Hop>,
    /// What is at its end.
    pub end: TrailEnd,
}

/// A link on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The link itself.
    pub link: Vec<u8>,
    /// The whole path after it.
    pub leads_to: Vec<u8>,
}

/// What is at the end of a trail, with its path free of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrailEnd {
    /// A regular file.
    File(Vec<u8>),
    /// A directory or a submodule.
    Directory(Vec<u8>),
    /// A socket, a device: nothing that a repository holds.
    Special(Vec<u8>),
    /// Nothing.
    Missing(Vec<u8>),
    /// Links lead in a circle.
    Loop,
    /// A link leads out of the repository; its target.
    Outside(Vec<u8>),
}

/// What is at one place.
enum Look {
    Nothing,
    File,
    Directory,
    Special,
    Link(Vec<u8>),
    /// A link to an absolute path within the root, relative to that.
    LinkFromRoot(Vec<u8>),
    /// A link to an absolute path elsewhere.
    LinkOutside(Vec<u8>),
}

impl Repository {
    /// Where a path of a tree leads.
    pub fn trail(&self, tree: &ObjectId, path: impl AsRef<[u8]>) -> Result<Trail, GitError> {
        let path = path.as_ref();
        if let Some(end) = self.end_without_links(tree, path)? {
            return Ok(Trail { hops: Vec::new(), end });
        }
        follow(path, |path| {
            let Some(entry) = self.entry(tree, path)? else { return Ok(Look::Nothing) };
            Ok(match entry.mode {
                FileMode::Regular | FileMode::Executable => Look::File,
                FileMode::Tree | FileMode::Submodule => Look::Directory,
                FileMode::Symlink => {
                    let target = entry.repository.read_blob(&entry.id, 4096)?;
                    if target.starts_with(b"/") { Look::LinkOutside(target) } else { Look::Link(target) }
                }
            })
        })
    }

    /// Where a path leads that exists and has no links: nearly all do, and one look-up tells.
    fn end_without_links(&self, tree: &ObjectId, path: &[u8]) -> Result<Option<TrailEnd>, GitError> {
        let Ok(segments) = segments(path) else { return Ok(None) };
        let path = segments.join(&b'/');
        Ok(self.find(tree, &path)?.and_then(|found| match found.mode {
            FileMode::Regular | FileMode::Executable => Some(TrailEnd::File(path)),
            FileMode::Tree | FileMode::Submodule => Some(TrailEnd::Directory(path)),
            FileMode::Symlink => None,
        }))
    }

    /// Where a path of the work tree leads. There is nothing in `.git`.
    pub fn trail_on_disk(&self, path: impl AsRef<[u8]>) -> Result<Trail, GitError> {
        let root = self.work_dir().ok_or_else(|| GitError::Bare(self.git_dir().to_owned()))?;
        follow(path.as_ref(), |path| {
            if path.split(|&byte| byte == b'/').any(|segment| segment.eq_ignore_ascii_case(b".git")) {
                return Ok(Look::Nothing);
            }
            let place = self.work_path(path)?;
            let stat = match fs::statat(CWD, &place, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return Ok(Look::Nothing),
                Err(error) => return Err(GitError::io("read", place, error)),
            };
            Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Look::File,
                FileType::Directory => Look::Directory,
                FileType::Symlink => {
                    let target =
                        fs::readlink(&place, Vec::new()).map_err(|error| GitError::io("read", place, error))?;
                    link(target.into_bytes(), root.as_os_str().as_bytes())
                }
                _ => Look::Special,
            })
        })
    }

    /// Follows symbolic links in every part of the path, within the tree: the path without links, and what is there.
    pub fn resolve_symlink_path(
        &self,
        tree: &ObjectId,
        path: impl AsRef<[u8]>,
    ) -> Result<Option<(Vec<u8>, TreeEntry)>, GitError> {
        let path = path.as_ref();
        match self.trail(tree, path)?.end {
            TrailEnd::File(path) | TrailEnd::Directory(path) => Ok(self.entry(tree, &path)?.map(|entry| (path, entry))),
            TrailEnd::Missing(_) | TrailEnd::Special(_) => Ok(None),
            TrailEnd::Loop => Err(GitError::LinkLoop { path: shown(path) }),
            TrailEnd::Outside(target) => Err(GitError::Outside { path: shown(&target) }),
        }
    }
}

fn link(target: Vec<u8>, root: &[u8]) -> Look {
    if !target.starts_with(b"/") {
        return Look::Link(target);
    }
    match target.strip_prefix(root) {
        Some(inside) if inside.is_empty() || inside.starts_with(b"/") => Look::LinkFromRoot(inside.to_vec()),
        _ => Look::LinkOutside(target),
    }
}

fn follow(path: &[u8], mut look: impl FnMut(&[u8]) -> Result<Look, GitError>) -> Result<Trail, GitError> {
    let segments = |path: &[u8]| path.rsplit(|&byte| byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut pending = segments(path);
    let mut resolved: Vec<Vec<u8>> = Vec::new();
    let mut hops = Vec::new();
    let mut end = TrailEnd::Directory(Vec::new());
    while let Some(segment) = pending.pop() {
        match segment.as_slice() {
            b"" | b"." => continue,
            b".." => {
                if resolved.pop().is_none() {
                    return Ok(Trail { hops, end: TrailEnd::Outside(path.to_vec()) });
                }
                end = TrailEnd::Directory(resolved.join(&b'/'));
                continue;
            }
            _ => resolved.push(segment),
        }
        let here = resolved.join(&b'/');
        let target = match look(&here)? {
            Look::Directory => {
                end = TrailEnd::Directory(here);
                continue;
            }
            Look::File if is_done(&pending) => return Ok(Trail { hops, end: TrailEnd::File(here) }),
            Look::Special if is_done(&pending) => return Ok(Trail { hops, end: TrailEnd::Special(here) }),
            Look::File | Look::Special | Look::Nothing => {
                return Ok(Trail { hops, end: TrailEnd::Missing(whole(resolved, pending)) });
            }
            Look::LinkOutside(target) => return Ok(Trail { hops, end: TrailEnd::Outside(target) }),
            Look::LinkFromRoot(target) => {
                resolved.clear();
                target
            }
            Look::Link(target) => {
                resolved.pop();
                target
            }
        };
        if hops.len() >= MAX_LINKS {
            return Ok(Trail { hops, end: TrailEnd::Loop });
        }
        pending.extend(segments(&target));
        hops.push(Hop { link: here, leads_to: whole(resolved.clone(), pending.clone()) });
    }
    Ok(Trail { hops, end })
}

fn is_done(pending: &[Vec<u8>]) -> bool {
    pending.iter().all(|segment| matches!(segment.as_slice(), b"" | b"."))
}

/// The path of what is resolved and what is still to be, by its text alone.
fn whole(mut resolved: Vec<Vec<u8>>, pending: Vec<Vec<u8>>) -> Vec<u8> {
    for segment in pending.into_iter().rev() {
        match segment.as_slice() {
            b"" | b"." => {}
            b".." => drop(resolved.pop()),
            _ => resolved.push(segment),
        }
    }
    resolved.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn trails_are_the_same_in_the_tree_and_on_disk() {
        let fixture = Fixture::with(&[("real/w", "x"), ("d/e/f", "y")]);
        for (link, target) in [
            ("one", "two"),
            ("two", "dir/../real/w"),
            ("dir", "real"),
            ("loop", "loop"),
            ("out", "../x"),
            ("abs", "/etc/passwd"),
            ("dangling", "none/x"),
            ("d/up", "../dir"),
            ("d/dot", "."),
        ] {
            fixture.link(link, target);
        }
        let tree = fixture.commit("links");
        let repository = fixture.repository();
        for (path, end) in [
            ("one", TrailEnd::File(b"real/w".to_vec())),
            ("dir/w", TrailEnd::File(b"real/w".to_vec())),
            ("d/up/w", TrailEnd::File(b"real/w".to_vec())),
            ("d/dot/dot/e/f", TrailEnd::File(b"d/e/f".to_vec())),
            ("d/up/..", TrailEnd::Directory(Vec::new())),
            ("", TrailEnd::Directory(Vec::new())),
            ("dir", TrailEnd::Directory(b"real".to_vec())),
            ("dir/w/x", TrailEnd::Missing(b"real/w/x".to_vec())),
            ("dangling", TrailEnd::Missing(b"none/x".to_vec())),
            ("loop", TrailEnd::Loop),
            ("loop/x", TrailEnd::Loop),
            ("out", TrailEnd::Outside(b"out".to_vec())),
            ("abs", TrailEnd::Outside(b"/etc/passwd".to_vec())),
            ("..", TrailEnd::Outside(b"..".to_vec())),
        ] {
            let in_tree = repository.trail(&tree, path).unwrap();
            assert_eq!(in_tree.end, end, "{path}");
            assert_eq!(repository.trail_on_disk(path).unwrap(), in_tree, "{path}");
        }
        let hops = repository.trail(&tree, "one").unwrap().hops;
        let hops: Vec<_> = hops.iter().map(|hop| (shown(&hop.link), shown(&hop.leads_to))).collect();
        let hop = |link: &str, leads_to: &str| (link.to_owned(), leads_to.to_owned());
        assert_eq!(hops, [hop("one", "two"), hop("two", "real/w"), hop("dir", "real/w")]);
    }

    #[test]
    fn only_the_disk_has_absolute_links_into_itself_and_nothing_has_git_directories() {
        let fixture = Fixture::with(&[("real/w", "x")]);
        let root = fixture.repository().work_dir().unwrap().to_owned();
        fixture.link("abs", root.join("real/w").to_str().unwrap());
        fixture.link("beside", &format!("{}-other", root.display()));
        let repository = fixture.repository();
        assert_eq!(repository.trail_on_disk("abs").unwrap().end, TrailEnd::File(b"real/w".to_vec()));
        assert!(matches!(repository.trail_on_disk("beside").unwrap().end, TrailEnd::Outside(_)));
        assert!(matches!(repository.trail_on_disk(".git/config").unwrap().end, TrailEnd::Missing(_)));
        rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert_eq!(repository.trail_on_disk("fifo").unwrap().end, TrailEnd::Special(b"fifo".to_vec()));
    }
}
