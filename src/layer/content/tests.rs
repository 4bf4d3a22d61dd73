use std::collections::BTreeMap;

use super::*;
use crate::layer::metadata::OWNER_XATTR;
use crate::layer::pack::pack;
use crate::layer::testing::{Tree, is_root, ownership, pack_options, set_times};

fn options() -> ContentOptions {
    ContentOptions { ownership: ownership(), clamp: None, normalize: false, threads: 2 }
}

fn id(tree: &Tree, options: &ContentOptions) -> ContentId {
    content_id(&tree.root(), options).unwrap().0
}

/// A change to a tree of [`base`], after which all times are equal again.
type Change = (&'static str, fn(&Tree));

fn done(_: &Tree) {}

fn base() -> Tree {
    let tree = Tree::new();
    tree.directory("d").file("d/a", "a").file("d/b", "b").symlink("s", "d").file("c", "c").file("e", "").fifo("p");
    tree.times(100);
    tree
}

const CHANGES: [Change; 22] = [
    ("content", |tree| done(tree.file("c", "x"))),
    ("longer content", |tree| done(tree.file("c", "cc"))),
    ("swapped", |tree| done(tree.file("d/a", "b").file("d/b", "a"))),
    ("mode", |tree| done(tree.mode("c", 0o600))),
    ("suid", |tree| done(tree.mode("c", 0o4644))),
    ("directory mode", |tree| done(tree.mode("d", 0o700))),
    ("root mode", |tree| done(tree.mode("", 0o700))),
    ("attribute", |tree| done(tree.xattr("c", "user.a", b"b"))),
    ("attribute with another split", |tree| done(tree.xattr("c", "user.ab", b""))),
    ("private attribute", |tree| done(tree.xattr("c", "user.overlay.origin", b"x"))),
    ("owner record", |tree| done(tree.xattr("c", OWNER_XATTR, b"0:0"))),
    ("opaque", |tree| done(tree.opaque("d"))),
    ("opaque root", |tree| done(tree.opaque(""))),
    ("whiteout", |tree| done(tree.whiteout("w"))),
    ("file like a whiteout", |tree| done(tree.file("w", ""))),
    ("new directory", |tree| done(tree.directory("n"))),
    ("link target", |tree| {
        fs_err::remove_file(tree.path("s")).unwrap();
        tree.symlink("s", "c");
    }),
    ("hard link", |tree| {
        fs_err::remove_file(tree.path("d/b")).unwrap();
        tree.hard_link("d/b", "d/a");
    }),
    ("copy", |tree| done(tree.file("d/b", "a"))),
    ("hard link outside", |tree| fs_err::hard_link(tree.path("c"), tree.beside("c")).unwrap()),
    ("socket", |tree| {
        std::os::unix::net::UnixListener::bind(tree.path("sock")).unwrap();
    }),
    ("renamed", |tree| fs_err::rename(tree.path("c"), tree.path("cc")).unwrap()),
];

#[test]
fn ids_are_equal_exactly_when_archives_are() {
    let mut by_archive = BTreeMap::new();
    let mut by_id = BTreeMap::new();
    let mut changes = vec![("nothing", (|_| ()) as fn(&Tree))];
    changes.extend(CHANGES);
    for (name, change) in changes {
        let tree = base();
        change(&tree);
        tree.times(100);
        let (archive, id) = (tree.pack(), id(&tree, &options()));
        let first = *by_archive.entry(archive).or_insert(id);
        assert_eq!(first, id, "{name}: equal archives, other id");
        let first = by_id.entry(id).or_insert_with(|| (name, tree.pack()));
        assert!(first.1 == tree.pack(), "{name}: the id of {}, other archive", first.0);
    }
    assert_eq!(by_id.len(), 18, "nothing, 2 attributes, opaque root, outside link and socket change no byte");
}

#[test]
fn times_count_after_the_clamp_only() {
    let clamp = Some(Clamp { from: 1_000, to: 1 });
    let clamped = ContentOptions { clamp, ..options() };
    let tree = base();
    let first = id(&tree, &clamped);
    set_times(&tree.path("c"), 99);
    assert_ne!(id(&tree, &clamped), first);
    set_times(&tree.path("c"), 1_000);
    let late = id(&tree, &clamped);
    set_times(&tree.path("c"), 2_000);
    assert_eq!(id(&tree, &clamped), late);
    set_times(&tree.path("c"), 1);
    assert_eq!(id(&tree, &options()), late);
}

#[test]
fn normalizing_writes_the_clamped_times() {
    let clamp = Some(Clamp { from: 50, to: 7 });
    let tree = base();
    set_times(&tree.path("c"), 49);
    let before = id(&tree, &ContentOptions { clamp, ..options() });
    let normalized = id(&tree, &ContentOptions { clamp, normalize: true, ..options() });
    assert_eq!(before, normalized);
    assert_eq!(id(&tree, &options()), before);
    for (path, time) in [("", 7), ("d", 7), ("d/a", 7), ("s", 7), ("p", 7), ("c", 49)] {
        let metadata = fs_err::symlink_metadata(tree.path(path)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mtime(&metadata), time, "{path}");
    }
}

#[test]
fn threads_do_not_matter() {
    let tree = Tree::new();
    for directory in 0..8 {
        tree.directory(format!("d{directory}"));
        for file in 0..200 {
            tree.file(format!("d{directory}/{file}"), format!("{directory} {file}"));
        }
        tree.hard_link(format!("d{directory}/link"), "d0/7");
    }
    tree.times(1);
    let (one, stats) = content_id(&tree.root(), &ContentOptions { threads: 1, ..options() }).unwrap();
    assert_eq!(stats.entries, 8 * 202);
    for threads in [2, 3, 8] {
        assert_eq!(content_id(&tree.root(), &ContentOptions { threads, ..options() }).unwrap(), (one, stats));
    }
    let packed = pack(&tree.root(), std::io::sink(), &pack_options());
    assert_eq!(packed.unwrap(), stats);
    tree.xattr("d7/3", OWNER_XATTR, b"junk");
    let recorded = ContentOptions { ownership: Ownership::Recorded, ..options() };
    assert!(matches!(content_id(&tree.root(), &recorded), Err(Error::OwnerRecord { .. })));
}

#[test]
fn both_kinds_of_ownership_give_the_same_id() {
    if !is_root() {
        return;
    }
    let (real, recorded) = (base(), base());
    real.owner("d/a", 1000, 1001);
    recorded.xattr("d/a", OWNER_XATTR, b"1000:1001");
    real.times(5);
    recorded.times(5);
    assert_eq!(id(&real, &options()), id(&recorded, &ContentOptions { ownership: Ownership::Recorded, ..options() }));
}
