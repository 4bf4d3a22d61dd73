use super::*;
use crate::layer::error::Error;
use crate::layer::metadata::{OWNER_XATTR, Ownership};
use crate::layer::node::FileKind;
use crate::layer::testing::Tree;

use std::path::Path;

fn merged(layers: &[&Tree]) -> MergedTree {
    MergedTree::new(layers.iter().map(|tree| tree.root()).collect(), Ownership::Real).unwrap()
}

fn paths(tree: &MergedTree) -> Vec<String> {
    let mut paths = Vec::new();
    tree.walk("", &mut |path, entry| -> Result<_, Error> {
        paths.push(format!("{} {}", path.display(), entry.layer));
        Ok(Descend::Into)
    })
    .unwrap();
    paths
}

/// Three layers that hide and merge in every way.
fn three_layers() -> (Tree, Tree, Tree) {
    let (top, middle, bottom) = (Tree::new(), Tree::new(), Tree::new());
    bottom.directory("a/deep").file("a/deep/x", "").file("a/low", "").file("gone", "").directory("o").file("o/low", "");
    bottom.directory("back").file("back/low", "").file("kept", "bottom").directory("file").file("file/x", "");
    middle.directory("a").file("a/mid", "").whiteout("back").directory("o").opaque("o").file("o/mid", "");
    middle.file("file", "now a file");
    top.directory("a").whiteout("a/low").whiteout("gone").directory("back").file("back/new", "").directory("o");
    top.directory("file").file("file/top", "");
    (top, middle, bottom)
}

#[test]
fn the_kernel_shows_the_same_union() {
    let (top, middle, bottom) = three_layers();
    top.opaque("").symlink("link", "a").mode("a", 0o700).directory("here").whiteout("here/none");
    let mount = "mount -t overlay overlay -o \"userxattr,lowerdir=$1:$2:$3\" \"$4\" && cd \"$4\" && \
                 find . -mindepth 1 -printf '%P %m\\n' | LC_ALL=C sort";
    let point = Tree::new();
    let output = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", mount, "sh"])
        .args([top.root(), middle.root(), bottom.root(), point.root()])
        .output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return eprintln!("skipped: cannot mount an overlay here");
    };
    let mut ours = Vec::new();
    merged(&[&top, &middle, &bottom])
        .walk("", &mut |path, entry| -> Result<_, Error> {
            ours.push(format!("{} {:o}", path.display(), entry.mode));
            Ok(Descend::Into)
        })
        .unwrap();
    ours.sort();
    assert_eq!(ours, String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>());
}

#[test]
fn the_union_is_what_overlayfs_shows() {
    let (top, middle, bottom) = three_layers();
    let tree = merged(&[&top, &middle, &bottom]);
    let expected = [
        "a 0",
        "a/deep 2",
        "a/deep/x 2",
        "a/mid 1",
        "back 0",
        "back/new 0",
        "file 0",
        "file/top 0",
        "kept 2",
        "o 0",
        "o/mid 1",
    ];
    assert_eq!(paths(&tree), expected);
    for hidden in ["a/low", "gone", "back/low", "o/low", "file/x", "kept/x", "none"] {
        assert_eq!(tree.lookup(hidden).unwrap(), None, "{hidden}");
    }
    for line in expected {
        let (path, layer) = line.rsplit_once(' ').unwrap();
        let entry = tree.lookup(path).unwrap().unwrap();
        assert_eq!(entry.layer.to_string(), layer, "{path}");
        assert!(entry.location.ends_with(path));
    }
    let names: Vec<_> = tree.read_dir("/a").unwrap().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["deep", "mid"]);
}

#[test]
fn links_are_followed_inside_only() {
    let (top, bottom) = (Tree::new(), Tree::new());
    bottom.directory("usr/lib").file("usr/lib/x", "lib").symlink("lib", "usr/lib").directory("etc");
    bottom.symlink("up", "../../../../etc/target").file("etc/target", "inside").symlink("abs", "/etc/target");
    bottom.symlink("loop", "loop2").symlink("loop2", "loop").symlink("dead", "/no/where");
    top.directory("usr/lib").symlink("usr/lib/up", "../../abs").symlink("host", "/proc/self/environ");
    let tree = merged(&[&top, &bottom]);
    for (path, canonical) in [
        ("lib/x", "usr/lib/x"),
        ("/up", "etc/target"),
        ("abs", "etc/target"),
        ("lib/up", "etc/target"),
        ("lib/../../..//./lib", "usr/lib"),
        ("/", ""),
        ("..", ""),
    ] {
        let (resolved, entry) = tree.resolve(path).unwrap().unwrap();
        assert_eq!((resolved.as_path(), entry.path.as_path()), (Path::new(canonical), Path::new(canonical)), "{path}");
    }
    for missing in ["dead", "host", "etc/target/x", "lib/none"] {
        assert_eq!(tree.resolve(missing).unwrap(), None, "{missing}");
    }
    assert!(matches!(tree.resolve("loop/x"), Err(Error::SymlinkLoop { .. })));
    assert_eq!(tree.read("lib/up", 6).unwrap().unwrap(), b"inside");
    assert!(matches!(tree.read("abs", 5), Err(Error::Limit { .. })));
    assert!(matches!(tree.read("etc", 5), Err(Error::Refused { .. })));
    assert_eq!(tree.read("host", 100).unwrap(), None);
    let canonical = tree.canonical_directory(Path::new("lib/new/../other/dir")).unwrap();
    assert_eq!(canonical.path, Path::new("usr/lib/other/dir"));
    assert_eq!(canonical.links, [Path::new("lib")]);
    assert!(matches!(tree.canonical_directory(Path::new("abs/x")), Err(Error::NotADirectory { .. })));
}

#[test]
fn links_that_double_themselves_end() {
    let tree = Tree::new();
    tree.directory("d").symlink("l0", "d");
    for level in 1..40 {
        tree.symlink(format!("l{level}"), format!("l{0}/../l{0}", level - 1));
    }
    assert!(matches!(merged(&[&tree]).resolve("l39"), Err(Error::SymlinkLoop { .. })));
}

#[test]
fn metadata_and_recorded_owners() {
    let tree = Tree::new();
    tree.file("f", "abc").mode("f", 0o6711).xattr("f", "user.k", b"v").xattr("f", OWNER_XATTR, b"5:6");
    tree.symlink("s", "f").times(77);
    let recorded = MergedTree::new(vec![tree.root()], Ownership::Recorded).unwrap();
    let entry = recorded.lookup("/f").unwrap().unwrap();
    assert_eq!((entry.uid, entry.gid, entry.mode, entry.mtime.seconds), (5, 6, 0o6711, 77));
    assert_eq!(entry.kind, FileKind::Regular { size: 3 });
    let metadata = recorded.metadata(&entry).unwrap();
    assert_eq!(metadata.xattrs.into_iter().collect::<Vec<_>>(), [(b"user.k".to_vec(), b"v".to_vec())]);
    let link = recorded.lookup("s").unwrap().unwrap();
    assert_eq!((link.kind.clone(), link.uid), (FileKind::Symlink { target: "f".into() }, 0));
    assert!(recorded.metadata(&link).unwrap().xattrs.is_empty());
    assert!(matches!(recorded.open(&link), Err(Error::Refused { .. })));
}

#[test]
fn an_empty_stack_is_an_empty_tree() {
    let tree = MergedTree::new(Vec::new(), Ownership::Real).unwrap();
    assert_eq!(tree.lookup("").unwrap(), None);
    assert_eq!(tree.resolve("a/b").unwrap(), None);
    assert!(paths(&tree).is_empty());
}
