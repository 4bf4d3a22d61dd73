use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use super::*;
use crate::layer::metadata::OWNER_XATTR;
use crate::layer::testing::{Tree, is_root, pack_options};
use crate::sha256::Sha256;

/// A tree with everything that a layer may hold.
fn everything() -> Tree {
    let tree = Tree::new();
    tree.directory("dir").opaque("dir").file("dir/a", "hello").hard_link("dir/b", "dir/a").symlink("dir/c", "../else");
    tree.file("a.b", "sorts after a/").directory("a").file("a/c", "in a").whiteout("zz").whiteout("dir/gone");
    tree.fifo("pipe").xattr("a/c", "user.note", b"line\nline\0").mode("a/c", 0o4755);
    tree.xattr("a", "user.overlay.origin", b"x").xattr("a.b", OWNER_XATTR, b"7:7");
    tree.file(OsStr::from_bytes(b"latin-\xe9\nline"), "odd name").file("n".repeat(255), "long name");
    let deep = format!("a/{}", "d".repeat(99).as_str()).repeat(3);
    tree.directory(&deep).file(format!("{deep}/f"), "deep").symlink("far", "t".repeat(300));
    tree.times(1_000);
    tree
}

#[test]
fn the_bytes_of_a_known_tree_do_not_change() {
    let tree = everything();
    if is_root() {
        assert_eq!(
            Sha256::of(&tree.pack()).to_string(),
            "sha256:f768401b7ccc1d5e572e8e54f37291a4ed69b7abea5c3c191cb2092e1f11d1b4"
        );
    }
}

#[test]
fn gnu_tar_lists_and_extracts_the_archive() {
    let tree = everything();
    let mut tar = match Command::new("tar").arg("tvf").arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        Ok(tar) => tar,
        Err(error) => return eprintln!("skipped: cannot run tar: {error}"),
    };
    tar.stdin.take().unwrap().write_all(&tree.pack()).unwrap();
    let output = tar.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["dir/.wh..wh..opq", "dir/.wh.gone", ".wh.zz", "dir/b link to dir/a", "dir/c -> ../else", "prw-r--r--"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(text.lines().count(), 18, "{text}");
}

#[test]
fn order_is_parents_first_whiteouts_before_siblings() {
    let tree = Tree::new();
    tree.directory("a").file("a/c", "").file("a.b", "").whiteout("z").whiteout("b").directory("o").opaque("o");
    tree.file("o/x", "").whiteout("o/y");
    let bytes = tree.pack();
    let names: Vec<_> = ::tar::Archive::new(&bytes[..])
        .entries()
        .unwrap()
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect();
    assert_eq!(names, [".wh.b", ".wh.z", "a/", "a/c", "a.b", "o/", "o/.wh..wh..opq", "o/.wh.y", "o/x"]);
}

#[test]
fn times_are_clamped_and_whole() {
    let tree = Tree::new();
    tree.file("old", "").file("new", "");
    crate::layer::testing::set_times(&tree.path("old"), 99);
    let mut out = Vec::new();
    let clamp = Some(Clamp { from: 100, to: 1 });
    pack(&tree.root(), &mut out, &PackOptions { clamp, ..pack_options() }).unwrap();
    let times: Vec<_> = ::tar::Archive::new(&out[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().header().mtime().unwrap())
        .collect();
    assert_eq!(times, [1, 99]);
}

#[test]
fn recorded_owners_become_real_ones() {
    let tree = Tree::new();
    tree.file("mine", "").file("theirs", "").xattr("theirs", OWNER_XATTR, b"1000:70000");
    let recorded = PackOptions { ownership: Ownership::Recorded, clamp: None };
    let mut out = Vec::new();
    pack(&tree.root(), &mut out, &recorded).unwrap();
    let owners: Vec<_> = ::tar::Archive::new(&out[..])
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.header().uid().unwrap(), entry.header().gid().unwrap())
        })
        .collect();
    assert_eq!(owners, [(0, 0), (1000, 70000)]);
    tree.xattr("mine", OWNER_XATTR, b"root");
    assert!(matches!(pack(&tree.root(), Vec::new(), &recorded), Err(Error::OwnerRecord { .. })));
}

#[test]
fn what_its_mode_hides_is_read_and_stays_as_it_is() {
    let tree = Tree::new();
    tree.directory("d").file("d/f", "secret").xattr("d/f", OWNER_XATTR, b"1:2").xattr("d/f", "user.k", b"v");
    // What lies in such a directory can be reached by root only, be it a namespace's.
    let directory = if rustix::process::geteuid().is_root() { 0 } else { 0o700 };
    tree.mode("d/f", 0).xattr("d", OWNER_XATTR, b"3:4").mode("d", directory);
    let mut out = Vec::new();
    let recorded = PackOptions { ownership: Ownership::Recorded, clamp: None };
    assert_eq!(pack(&tree.root(), &mut out, &recorded).unwrap(), LayerStats { entries: 2, bytes: 6 });
    let headers: Vec<_> = ::tar::Archive::new(&out[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().header().clone())
        .map(|header| (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap()))
        .collect();
    assert_eq!(headers, [(directory, 3, 4), (0, 1, 2)]);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs_err::metadata(tree.path("d")).unwrap()) & 0o7777, directory);
    tree.mode("d", 0o755);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs_err::metadata(tree.path("d/f")).unwrap()) & 0o7777, 0);
}

#[test]
fn a_changed_root_is_written_and_a_plain_one_is_not() {
    let tree = Tree::new();
    assert_eq!(tree.pack().len(), 1024);
    tree.mode("", 0o700).times(5);
    let bytes = tree.pack();
    assert_eq!(&bytes[..4], b"./\0\0");
    assert_eq!(bytes.len(), 1536);
}

#[test]
fn trees_deeper_than_the_open_file_limit_are_packed() {
    let tree = Tree::new();
    let mut parent = crate::layer::handle::open_root(&tree.root()).unwrap();
    for _ in 0..2_000 {
        rustix::fs::mkdirat(&parent, "d", rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        parent = rustix::fs::openat(&parent, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    tree.file("e", "after");
    let mut out = Vec::new();
    let stats = pack(&tree.root(), &mut out, &pack_options()).unwrap();
    assert_eq!(stats, LayerStats { entries: 2_001, bytes: 5 });
}

#[test]
fn names_that_mean_whiteouts_are_refused() {
    let tree = Tree::new();
    tree.file(".wh.x", "");
    assert!(matches!(pack(&tree.root(), Vec::new(), &pack_options()), Err(Error::Refused { .. })));
}
