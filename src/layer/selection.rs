//! What an import takes of a snapshot, as one number: equal for two snapshots exactly when the import makes the same layer of
//! both. It is read from the snapshot's files, without copying any.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use stages::ContentId;

use super::content::{CONTENT_VERSION, encode, encode_node, hash_file, tag};
use super::error::Result;
use super::import::{import_root, select};
use super::merged::{Entry, MergedTree};
use super::node::{FileKind, Identity};

/// Names what an import of `add` takes: paths relative to `add`, types, modes, owners, times in seconds, attributes, contents,
/// link texts, device numbers, and which names are hard links of each other. `follow` and `filter` are those of its
/// [`ImportSpec`](super::ImportSpec).
///
/// # Errors
/// [`Error::NotFound`](super::Error::NotFound) when `add` does not exist.
pub fn selection_id(
    source: &MergedTree,
    add: &Path,
    follow: bool,
    filter: &dyn Fn(&Path) -> bool,
) -> Result<ContentId> {
    let root = import_root(source, add, follow)?;
    let mut fold = Fold { source, hash: blake3::Hasher::new(), links: HashMap::new(), buffer: vec![0; 64 << 10] };
    fold.hash.update(b"stager import selection\0");
    fold.hash.update(&CONTENT_VERSION.to_le_bytes());
    if root.kind == FileKind::Directory {
        // An import of nothing may still make this directory.
        fold.add(Path::new(""), &root)?;
        fold.hash.update(b"directory\0");
        select(source, &root, filter, &mut |path, entry| fold.add(path, entry))?;
    } else {
        fold.hash.update(b"single\0");
        let name = root.path.file_name().map(PathBuf::from).unwrap_or_default();
        if filter(&name) {
            fold.add(&name, &root)?;
        }
    }
    Ok(fold.hash.finalize().into())
}

struct Fold<'a> {
    source: &'a MergedTree,
    hash: blake3::Hasher,
    /// The first name of each inode.
    links: HashMap<(usize, Identity), PathBuf>,
    buffer: Vec<u8>,
}

impl Fold<'_> {
    fn add(&mut self, path: &Path, entry: &Entry) -> Result<()> {
        if entry.kind == FileKind::Socket {
            return Ok(());
        }
        let metadata = self.source.metadata(entry)?;
        if entry.kind != FileKind::Directory && entry.links > 1 {
            let key = (entry.layer, entry.identity);
            if let Some(first) = self.links.get(&key) {
                self.hash.update(&encode(tag::HARD_LINK, path, &metadata, &[super::path::bytes(first)]));
                return Ok(());
            }
            self.links.insert(key, path.to_owned());
        }
        let content = match entry.kind {
            FileKind::Regular { size } => {
                let file = self.source.open(entry)?;
                Some(hash_file(&file, size, path, &mut self.buffer)?)
            }
            _ => None,
        };
        self.hash.update(&encode_node(path, &metadata, &entry.kind, false, content.as_ref()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::testing::{Tree, is_root, ownership};

    /// What is changed, and how.
    type Change<'a> = (&'a str, &'a dyn Fn(&Tree));

    fn source() -> Tree {
        let tree = Tree::new();
        tree.directory("app/sub/deep").directory("app/empty").directory("other").file("app/a.js", "a");
        tree.file("app/sub/deep/b.js", "b").file("app/c.css", "c").symlink("app/link", "a.js").symlink("to-app", "app");
        tree.file("other/x", "x");
        tree.times(77);
        tree
    }

    fn id(tree: &Tree, add: &str, filter: &dyn Fn(&Path) -> bool) -> ContentId {
        let merged = MergedTree::new(vec![tree.root()], ownership()).unwrap();
        selection_id(&merged, Path::new(add), true, filter).unwrap()
    }

    fn all(_: &Path) -> bool {
        true
    }

    fn scripts(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "js")
    }

    #[test]
    fn it_changes_with_what_is_taken() {
        type Change<'a> = (&'a str, &'a dyn Fn(&Tree));
        let changes: [Change<'_>; 9] = [
            ("content", &|tree| {
                tree.file("app/a.js", "A");
            }),
            ("mode", &|tree| {
                tree.mode("app/sub/deep/b.js", 0o755);
            }),
            ("mode of a directory on the way", &|tree| {
                tree.mode("app/sub/deep", 0o700);
            }),
            ("mode of the start", &|tree| {
                tree.mode("app", 0o700);
            }),
            ("a new file", &|tree| {
                tree.file("app/sub/new.js", "");
            }),
            ("a name", &|tree| fs_err::rename(tree.path("app/a.js"), tree.path("app/z.js")).unwrap()),
            ("a hard link", &|tree| {
                fs_err::remove_file(tree.path("app/a.js")).unwrap();
                tree.file("app/sub/deep/b.js", "a").hard_link("app/a.js", "app/sub/deep/b.js");
            }),
            ("an attribute", &|tree| {
                tree.xattr("app/a.js", "user.k", b"v");
            }),
            ("a type", &|tree| {
                fs_err::remove_file(tree.path("app/a.js")).unwrap();
                tree.symlink("app/a.js", "b");
            }),
        ];
        for (what, change) in changes {
            let tree = source();
            let before = id(&tree, "app", &scripts);
            change(&tree);
            tree.times(77);
            assert_ne!(id(&tree, "app", &scripts), before, "{what}");
        }
        let tree = source();
        let before = id(&tree, "app", &scripts);
        tree.times(78);
        assert_ne!(id(&tree, "app", &scripts), before, "times");
        if is_root() {
            let tree = source();
            tree.owner("app/a.js", 5, 6);
            assert_ne!(id(&tree, "app", &scripts), before, "owner");
        }
    }

    #[test]
    fn it_stays_when_something_else_changes() {
        let changes: [Change<'_>; 5] = [
            ("elsewhere", &|tree| {
                tree.file("other/x", "y");
            }),
            ("an excluded file", &|tree| {
                tree.file("app/c.css", "C");
            }),
            ("a new excluded file", &|tree| {
                tree.file("app/new.css", "C");
            }),
            ("an empty directory that is not taken", &|tree| {
                tree.directory("app/sub/none");
            }),
            ("an excluded link", &|tree| {
                tree.symlink("app/link2", "x");
            }),
        ];
        for (what, change) in changes {
            let tree = source();
            let before = id(&tree, "app", &scripts);
            change(&tree);
            tree.times(77);
            assert_eq!(id(&tree, "app", &scripts), before, "{what}");
        }
        let (tree, again) = (source(), source());
        assert_eq!(id(&tree, "app", &all), id(&again, "app", &all), "another tree with the same files");
        assert_eq!(id(&tree, "to-app", &all), id(&tree, "app", &all), "a link to a directory stands for it");
        assert_ne!(id(&tree, "app", &all), id(&tree, "app", &scripts));
    }

    #[test]
    fn a_link_counts_by_its_text_and_a_file_by_its_name() {
        let tree = source();
        let before = (id(&tree, "app/link", &all), id(&tree, "app/a.js", &all));
        assert_ne!(before.0, before.1);
        fs_err::remove_file(tree.path("app/link")).unwrap();
        tree.symlink("app/link", "c.css").times(77);
        assert_ne!(id(&tree, "app/link", &all), before.0);
        assert_ne!(id(&tree, "app/a.js", &|_| false), before.1, "a file that the patterns leave out");
    }
}
