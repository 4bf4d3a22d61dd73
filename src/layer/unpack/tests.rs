use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::layer::merged::MergedTree;
use crate::layer::metadata::{OPAQUE_XATTR, OWNER_XATTR};
use crate::layer::node::FileKind;
use crate::layer::pack::pack;
use crate::layer::tar::pax;
use crate::layer::testing::{Raw, Tree, is_root, listing, ownership, pack_options, raw_archive, raw_header};

fn options() -> UnpackOptions {
    UnpackOptions { ownership: ownership(), limits: Limits { bytes: 1 << 30, archive: 1 << 30, ..Limits::default() } }
}

const D: u8 = b'5';
const F: u8 = b'0';
const L: u8 = b'1';
const S: u8 = b'2';

fn apply(archive: &[u8], lowers: &[&Tree]) -> (Tree, Result<UnpackStats>) {
    let into = Tree::new();
    let lowers: Vec<_> = lowers.iter().map(|tree| tree.root()).collect();
    let result = unpack(archive, &into.root(), &lowers, &options());
    (into, result)
}

fn union(top: &Tree, lowers: &[&Tree]) -> MergedTree {
    let layers = std::iter::once(top).chain(lowers.iter().copied()).map(Tree::root).collect();
    MergedTree::new(layers, ownership()).unwrap()
}

fn content(tree: &MergedTree, path: &str) -> Option<String> {
    tree.read(path, 1 << 20).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

/// What a breakout case expects.
enum Then {
    /// The file has this content, links followed inside.
    Holds(&'static str, &'static str),
    /// Two paths are one file, links followed inside.
    Same(&'static str, &'static str),
    /// Two paths are different files.
    Different(&'static str, &'static str),
    /// Nothing there.
    Missing(&'static str),
    /// The archive is refused.
    Refused,
}

struct Case {
    name: &'static str,
    lower: fn(&Tree),
    archive: &'static [Raw<'static>],
    then: &'static [Then],
}

fn nothing(_: &Tree) {}

fn etc(tree: &Tree) {
    tree.directory("etc").file("etc/passwd", "inside").file("etc/whitedout", "ahhhh whiteout");
}

fn etc_and_link(tree: &Tree) {
    etc(tree);
    tree.symlink("localetc", "/etc");
}

fn etc_and_directory(tree: &Tree) {
    etc(tree);
    tree.directory("localetc");
}

fn etc_and_dead_link(tree: &Tree) {
    etc(tree);
    tree.symlink("localetc", "/dne");
}

const ETC: Raw<'static> = (D, "etc", "", b"");
const PASSWD: Raw<'static> = (F, "/etc/passwd", "", b"inside");
const UNBROKEN: &[Then] = &[Then::Holds("etc/unbroken", "unbroken")];

/// The names of containerd's `TestBreakouts`. Where it takes `..` in a name or makes files of whiteouts' names, we
/// refuse.
const BREAKOUTS: &[Case] = &[
    Case {
        name: "SymlinkAbsolute",
        lower: nothing,
        archive: &[ETC, (S, "localetc", "/etc", b""), (F, "/localetc/unbroken", "", b"unbroken")],
        then: UNBROKEN,
    },
    Case {
        name: "SymlinkUpAndOut",
        lower: nothing,
        archive: &[
            ETC,
            (D, "dummy", "", b""),
            (S, "localetc", "/dummy/../etc", b""),
            (F, "/localetc/unbroken", "", b"unbroken"),
        ],
        then: UNBROKEN,
    },
    Case {
        name: "SymlinkMultipleAbsolute",
        lower: nothing,
        archive: &[
            ETC,
            (D, "dummy", "", b""),
            (S, "/dummy/etc", "/etc", b""),
            (S, "localetc", "/dummy/etc", b""),
            (F, "/localetc/unbroken", "", b"unbroken"),
        ],
        then: UNBROKEN,
    },
    Case {
        name: "SymlinkMultipleRelative",
        lower: nothing,
        archive: &[
            ETC,
            (D, "dummy", "", b""),
            (S, "/dummy/etc", "/etc", b""),
            (S, "localetc", "./dummy/etc", b""),
            (F, "/localetc/unbroken", "", b"unbroken"),
        ],
        then: UNBROKEN,
    },
    Case {
        name: "SymlinkEmptyFile",
        lower: nothing,
        archive: &[
            ETC,
            (F, "etc/emptied", "", b"notempty"),
            (S, "localetc", "/etc", b""),
            (F, "/localetc/emptied", "", b""),
        ],
        then: &[Then::Holds("etc/emptied", "")],
    },
    Case {
        name: "HardlinkRelative",
        lower: nothing,
        archive: &[
            ETC,
            PASSWD,
            (D, "breakouts", "", b""),
            (S, "breakouts/d1", "../../etc", b""),
            (L, "breakouts/mypasswd", "/breakouts/d1/passwd", b""),
        ],
        then: &[Then::Same("breakouts/mypasswd", "etc/passwd")],
    },
    Case {
        name: "HardlinkDownAndOut",
        lower: nothing,
        archive: &[
            ETC,
            PASSWD,
            (D, "breakouts", "", b""),
            (D, "downandout", "", b""),
            (S, "breakouts/d1", "../downandout/../../etc", b""),
            (L, "breakouts/mypasswd", "/breakouts/d1/passwd", b""),
        ],
        then: &[Then::Same("breakouts/mypasswd", "etc/passwd")],
    },
    Case {
        name: "HardlinkAbsolute",
        lower: nothing,
        archive: &[ETC, PASSWD, (S, "localetc", "/etc", b""), (L, "localpasswd", "/localetc/passwd", b"")],
        then: &[Then::Same("localpasswd", "etc/passwd")],
    },
    Case {
        name: "HardlinkRelativeLong",
        lower: nothing,
        archive: &[
            ETC,
            PASSWD,
            (S, "localetc", "../../../../../../../etc", b""),
            (L, "localpasswd", "/localetc/passwd", b""),
        ],
        then: &[Then::Same("localpasswd", "etc/passwd")],
    },
    Case {
        name: "HardlinkRelativeUpAndOut",
        lower: nothing,
        archive: &[
            ETC,
            PASSWD,
            (S, "localetc", "upandout/../../../etc", b""),
            (L, "localpasswd", "/localetc/passwd", b""),
        ],
        then: &[Then::Same("localpasswd", "etc/passwd")],
    },
    Case {
        name: "HardlinkDirectRelative",
        lower: nothing,
        archive: &[ETC, PASSWD, (L, "localpasswd", "../../../../../etc/passwd", b"")],
        then: &[Then::Same("localpasswd", "etc/passwd")],
    },
    Case {
        name: "HardlinkDirectAbsolute",
        lower: nothing,
        archive: &[ETC, PASSWD, (L, "localpasswd", "/etc/passwd", b"")],
        then: &[Then::Same("localpasswd", "etc/passwd")],
    },
    Case {
        name: "SymlinkParentDirectory",
        lower: nothing,
        archive: &[ETC, PASSWD, (S, "..", "/etc/", b"")],
        then: &[Then::Refused],
    },
    Case {
        name: "SymlinkEmptyFilename",
        lower: nothing,
        archive: &[ETC, PASSWD, (S, "", "/etc/", b"")],
        then: &[Then::Refused],
    },
    Case {
        name: "SymlinkParentRelative",
        lower: nothing,
        archive: &[ETC, PASSWD, (S, "localetc/sub/..", "/etc/", b"")],
        then: &[Then::Refused],
    },
    Case {
        name: "SymlinkSlashEnded",
        lower: nothing,
        archive: &[ETC, PASSWD, (D, "localetc/", "", b""), (L, "/localetc/localpasswd", "/etc/passwd", b"")],
        then: &[Then::Same("localetc/localpasswd", "etc/passwd")],
    },
    Case {
        name: "SymlinkOverrideDirectory",
        lower: etc_and_directory,
        archive: &[(S, "localetc", "/etc", b""), (L, "/localetc/localpasswd", "/etc/passwd", b"")],
        then: &[Then::Same("localetc/localpasswd", "etc/passwd")],
    },
    Case {
        name: "SymlinkOverrideDirectoryRelative",
        lower: etc_and_directory,
        archive: &[(S, "localetc", "../../etc", b""), (L, "/localetc/localpasswd", "/etc/passwd", b"")],
        then: &[Then::Same("etc/localpasswd", "etc/passwd")],
    },
    Case {
        name: "DirectoryOverrideSymlink",
        lower: etc_and_link,
        archive: &[(D, "/localetc/", "", b""), (L, "/localetc/localpasswd", "/etc/passwd", b"")],
        then: &[Then::Same("localetc/localpasswd", "etc/passwd"), Then::Missing("etc/localpasswd")],
    },
    Case {
        name: "DirectoryOverrideSymlinkAndHardlink",
        lower: etc_and_link,
        archive: &[(D, "/localetc/", "", b""), (F, "/localetc/localpasswd", "", b"different")],
        then: &[Then::Different("localetc/localpasswd", "etc/passwd"), Then::Missing("etc/localpasswd")],
    },
    Case { name: "WhiteoutRootParent", lower: etc, archive: &[(F, ".wh...", "", b"")], then: &[Then::Refused] },
    Case { name: "WhiteoutParent", lower: etc, archive: &[(F, "etc/.wh...", "", b"")], then: &[Then::Refused] },
    Case { name: "WhiteoutRoot", lower: etc, archive: &[(F, ".wh..", "", b"")], then: &[Then::Refused] },
    Case { name: "WhiteoutEmpty", lower: etc, archive: &[(F, ".wh.", "", b"")], then: &[Then::Refused] },
    Case {
        name: "WhiteoutCurrentDirectory",
        lower: etc,
        archive: &[(F, "etc/.wh..", "", b"")],
        then: &[Then::Refused],
    },
    Case {
        name: "WhiteoutSymlink",
        lower: etc_and_link,
        archive: &[(F, ".wh.localetc", "", b"")],
        then: &[Then::Holds("etc/passwd", "inside"), Then::Missing("localetc")],
    },
    Case {
        name: "WhiteoutSymlinkPath",
        lower: etc_and_link,
        archive: &[(F, "localetc/.wh.whitedout", "", b"")],
        then: &[Then::Holds("localetc/passwd", "inside"), Then::Missing("etc/whitedout")],
    },
    Case {
        name: "WhiteoutDirectoryName",
        lower: etc_and_link,
        archive: &[(F, ".wh.etc/somefile", "", b"non-empty")],
        then: &[Then::Refused],
    },
    Case {
        name: "WhiteoutDeadSymlinkParent",
        lower: etc_and_dead_link,
        archive: &[(F, "localetc/.wh.etc", "", b"")],
        then: &[Then::Holds("etc/passwd", "inside")],
    },
    Case {
        name: "WhiteoutRelativePath",
        lower: etc_and_dead_link,
        archive: &[(F, "dne/../.wh.etc", "", b"")],
        then: &[Then::Refused],
    },
    Case {
        name: "HardlinkSymlinkBeforeCreateTarget",
        lower: nothing,
        archive: &[
            ETC,
            (S, "localpasswd", "/etc/passwd", b""),
            (L, "localpasswd-dup", "localpasswd", b""),
            (F, "/etc/passwd", "", b"after"),
        ],
        then: &[Then::Holds("localpasswd-dup", "after"), Then::Same("localpasswd-dup", "etc/passwd")],
    },
    Case {
        name: "HardlinkSymlinkRelative",
        lower: nothing,
        archive: &[
            ETC,
            PASSWD,
            (S, "passwdlink", "../../../../../etc/passwd", b""),
            (L, "localpasswd", "/passwdlink", b""),
        ],
        then: &[Then::Same("localpasswd", "etc/passwd")],
    },
    Case {
        name: "HardlinkSymlinkAbsolute",
        lower: nothing,
        archive: &[ETC, PASSWD, (S, "passwdlink", "/etc/passwd", b""), (L, "localpasswd", "/passwdlink", b"")],
        then: &[Then::Same("localpasswd", "etc/passwd")],
    },
    Case { name: "ParentIsFile", lower: etc, archive: &[(F, "etc/passwd/x", "", b"")], then: &[Then::Refused] },
    Case { name: "HardlinkToDirectory", lower: etc, archive: &[(L, "other", "etc", b"")], then: &[Then::Refused] },
    Case { name: "HardlinkToRoot", lower: etc, archive: &[(L, "other", "/", b"")], then: &[Then::Refused] },
    Case { name: "HardlinkToNothing", lower: etc, archive: &[(L, "other", "gone", b"")], then: &[Then::Refused] },
    Case { name: "RootAsFile", lower: etc, archive: &[(F, "./", "", b"x")], then: &[Then::Refused] },
    Case { name: "UnknownType", lower: etc, archive: &[(b'Z', "x", "", b"x")], then: &[Then::Refused] },
    Case {
        name: "SymlinkLoopAsParent",
        lower: nothing,
        archive: &[(S, "a", "b", b""), (S, "b", "a", b""), (F, "a/x", "", b"")],
        then: &[Then::Refused],
    },
];

#[test]
fn nothing_breaks_out() {
    for case in BREAKOUTS {
        let lower = Tree::new();
        (case.lower)(&lower);
        lower.times(3);
        let before = listing(&lower.root());
        let (top, result) = apply(&raw_archive(case.archive), &[&lower]);
        assert_eq!(listing(&lower.root()), before, "{}", case.name);
        if matches!(case.then, [Then::Refused]) {
            assert!(result.is_err(), "{}", case.name);
            continue;
        }
        result.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        let tree = union(&top, &[&lower]);
        let file = |path: &str| tree.resolve(path).unwrap().unwrap_or_else(|| panic!("{}: {path}", case.name)).1;
        for then in case.then {
            match then {
                Then::Holds(path, expected) => {
                    assert_eq!(content(&tree, path).as_deref(), Some(*expected), "{}", case.name);
                }
                Then::Same(left, right) => assert_eq!(file(left).identity, file(right).identity, "{}", case.name),
                Then::Different(left, right) => assert_ne!(file(left).identity, file(right).identity, "{}", case.name),
                Then::Missing(path) => assert_eq!(tree.lookup(path).unwrap(), None, "{}", case.name),
                Then::Refused => unreachable!("stands alone"),
            }
        }
    }
}

#[test]
fn files_of_the_host_are_out_of_reach() {
    let outside = Tree::new();
    outside.file("victim", "unharmed").mode("victim", 0o400).directory("dir");
    let victim = outside.path("victim");
    let victim = victim.to_str().unwrap();
    let directory = outside.path("dir");
    let directory = directory.to_str().unwrap();
    let up = format!("{}{}", "../".repeat(20), &directory[1..]);
    for archive in [
        vec![(S, "link", victim, &b""[..]), (L, "sketchy", "link", b""), (F, "link", "", b"broken")],
        vec![(L, "sketchy", victim, b"")],
        vec![(S, "d", directory, b""), (F, "d/new", "", b"broken")],
        vec![(S, "d", &up, b""), (F, "d/new", "", b"broken"), (D, "d/sub", "", b"")],
        vec![(S, "d", "/", b""), (S, "d", directory, b""), (F, "d/.wh..wh..opq", "", b"")],
    ] {
        let _ = apply(&raw_archive(&archive), &[]);
        assert_eq!(listing(&outside.root()), ["dir dir 755 0:0", "victim = unharmed 400 0:0"]);
    }
}

#[test]
fn links_of_merged_directories_are_followed_below_too() {
    if !is_root() {
        return;
    }
    let lower = Tree::new();
    lower.directory("usr/lib").mode("usr", 0o711).owner("usr/lib", 12, 13).symlink("lib", "usr/lib").times(40);
    let (top, result) = apply(&raw_archive(&[(F, "lib/x.so", "", b"elf"), (F, "lib/.wh.y.so", "", b"")]), &[&lower]);
    result.unwrap();
    let expected = ["usr dir 711 0:0", "usr/lib dir 755 12:13", "usr/lib/x.so = elf 644 0:0", "usr/lib/y.so whiteout"];
    assert_eq!(listing(&top.root()), expected);
    let time = |path| std::os::unix::fs::MetadataExt::mtime(&fs_err::metadata(top.path(path)).unwrap());
    assert_eq!((time(""), time("usr"), time("usr/lib"), time("usr/lib/x.so")), (40, 40, 40, 5));
}

#[test]
fn whiteouts_concern_lower_layers_only_and_any_order_will_do() {
    let lower = Tree::new();
    lower.directory("a").file("a/old", "").file("a/kept", "").directory("o/sub").file("o/old", "").file("o/sub/x", "");
    lower.directory("swap").file("swap/old", "").symlink("link", "a").file("file", "");
    let entries: [Raw<'_>; 10] = [
        (F, "a/new", "", b"n"),
        (F, "a/.wh.new", "", b""),
        (F, "a/.wh.old", "", b""),
        (F, "o/new", "", b"n"),
        (F, "o/.wh..wh..opq", "", b""),
        (F, ".wh.swap", "", b""),
        (D, "swap", "", b""),
        (F, "swap/new", "", b"n"),
        (F, ".wh.file", "", b""),
        (F, ".wh..wh.plnk/1.2", "", b"aufs"),
    ];
    let mut reversed = entries;
    reversed.reverse();
    for archive in [entries, reversed] {
        let (top, result) = apply(&raw_archive(&archive), &[&lower]);
        result.unwrap();
        let mut paths = Vec::new();
        union(&top, &[&lower])
            .walk("", &mut |path, _| -> Result<_> {
                paths.push(path.display().to_string());
                Ok(crate::layer::Descend::Into)
            })
            .unwrap();
        assert_eq!(paths, ["a", "a/kept", "a/new", "link", "o", "o/new", "swap", "swap/new"]);
    }
}

#[test]
fn a_deleted_link_is_no_longer_followed() {
    let lower = Tree::new();
    lower.directory("usr/lib").symlink("lib", "usr/lib");
    let archive: [Raw<'_>; 3] = [(F, "lib/one", "", b""), (F, ".wh.lib", "", b""), (F, "lib/two", "", b"")];
    let (top, result) = apply(&raw_archive(&archive), &[&lower]);
    result.unwrap();
    let paths: Vec<_> =
        listing(&top.root()).into_iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(paths, ["lib", "lib/two", "usr", "usr/lib", "usr/lib/one"]);
}

#[test]
fn an_opaque_root_hides_every_name_below() {
    let lower = Tree::new();
    lower.directory("a").file("a/x", "").file("b", "").directory("c");
    let archive: [Raw<'_>; 3] = [(F, ".wh..wh..opq", "", b""), (D, "a", "", b""), (F, "b", "", b"new")];
    let (top, result) = apply(&raw_archive(&archive), &[&lower]);
    result.unwrap();
    assert_eq!(listing(&top.root()), ["a opaque 755 0:0", "b = new 644 0:0", "c whiteout"]);
}

#[test]
fn the_last_of_several_entries_wins() {
    let archive: [Raw<'_>; 12] = [
        (F, "file", "", b"one"),
        (F, "./file", "", b"two"),
        (D, "dir", "", b""),
        (F, "dir/x", "", b"x"),
        (F, "dir", "", b"now a file"),
        (F, "other", "", b"file"),
        (D, "other/", "", b""),
        (F, "other/x", "", b"x"),
        (D, "other", "", b""),
        (S, "link", "other", b""),
        (F, "link", "", b"not followed"),
        (F, "other/x", "", b"last"),
    ];
    let (top, result) = apply(&raw_archive(&archive), &[]);
    assert_eq!(result.unwrap().entries, 12);
    assert_eq!(
        listing(&top.root()),
        [
            "dir = now a file 644 0:0",
            "file = two 644 0:0",
            "link = not followed 644 0:0",
            "other dir 755 0:0",
            "other/x = last 644 0:0"
        ]
    );
}

#[test]
fn a_hard_link_to_a_lower_file_copies_it_up() {
    if !is_root() {
        return;
    }
    let lower = Tree::new();
    lower.directory("bin").file("bin/tool", "tool").owner("bin/tool", 3, 4).mode("bin/tool", 0o4711).times(9);
    let (top, result) = apply(&raw_archive(&[(L, "bin/alias", "bin/tool", b"")]), &[&lower]);
    result.unwrap();
    assert_eq!(listing(&top.root()), ["bin dir 755 0:0", "bin/alias = tool 4711 3:4", "bin/tool = tool 4711 3:4"]);
    let tree = union(&top, &[]);
    let identity = |path| tree.lookup(path).unwrap().unwrap().identity;
    assert_eq!(identity("bin/alias"), identity("bin/tool"));
    assert_ne!(identity("bin/tool"), union(&lower, &[]).lookup("bin/tool").unwrap().unwrap().identity);
}

#[test]
fn limits_hold() {
    let deep = "d/".repeat(40);
    let many: Vec<Raw<'_>> = std::iter::repeat_n((D, "d", "", &b""[..]), 20).collect();
    let base = Limits { entries: 10, path: 90, depth: 30, extensions: 1_500, bytes: 100, archive: 100_000 };
    let unpack_with = |archive: &[u8]| {
        unpack(archive, &Tree::new().root(), &[], &UnpackOptions { limits: base, ..options() }).unwrap_err().to_string()
    };
    assert_eq!(unpack_with(&raw_archive(&many)), "layer exceeds the limit of 10 entries");
    assert_eq!(unpack_with(&raw_archive(&[(D, &deep, "", b"")])), "layer exceeds the limit of 30 components in a path");
    assert_eq!(
        unpack_with(&raw_archive(&[(S, "x", &"l".repeat(91), b"")])),
        "layer exceeds the limit of 90 bytes in a path"
    );
    assert_eq!(
        unpack_with(&raw_archive(&[(F, "x", "", &[0; 60]), (F, "y", "", &[0; 60])])),
        "layer exceeds the limit of 100 bytes in files"
    );
    let mut huge = raw_header(b'x', b"x", b"", 4 << 30).to_vec();
    huge.resize(4096, b'1');
    assert_eq!(unpack_with(&huge), "layer exceeds the limit of 1500 bytes in extension headers");
    let sparse = raw_archive(&[(F, "x", "", &[0; 100])]);
    assert!(unpack_with(&sparse[..550]).starts_with("cannot read the content of a file"));
}

/// An archive with one PAX header before one file.
fn with_pax(records: &[(&[u8], &[u8])], content: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        pax::write_record(&mut data, key, value);
    }
    let mut archive = raw_header(b'x', b"pax", b"", data.len() as u64).to_vec();
    archive.extend_from_slice(&data);
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive.extend_from_slice(&raw_header(F, b"plain", b"", content.len() as u64));
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}

#[test]
fn private_attributes_never_enter_and_others_do() {
    let archive = with_pax(
        &[
            (b"SCHILY.xattr.user.overlay.opaque", b"y"),
            (b"SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            (b"SCHILY.xattr.user.stager.owner", b"9:9"),
            (b"SCHILY.xattr.security.selinux", b"label"),
            (b"SCHILY.xattr.user.kept", b"a\nb"),
            (b"mtime", b"12.25"),
            (b"path", b"dir/named"),
        ],
        b"x",
    );
    let (top, result) = apply(&archive, &[]);
    let stats = result.unwrap();
    assert_eq!(stats.skipped.xattrs, [("dir/named".into(), "security.selinux".to_owned())]);
    let tree = union(&top, &[]);
    let metadata = tree.metadata(&tree.lookup("dir/named").unwrap().unwrap()).unwrap();
    assert_eq!(metadata.xattrs.into_iter().collect::<Vec<_>>(), [(b"user.kept".to_vec(), b"a\nb".to_vec())]);
    assert_eq!((metadata.mtime.seconds, metadata.mtime.nanoseconds), (12, 250_000_000));
    let mut value = [0; 8];
    for name in [OPAQUE_XATTR, OWNER_XATTR, "trusted.overlay.redirect"] {
        assert!(rustix::fs::lgetxattr(top.path("dir/named"), name, &mut value[..]).is_err(), "{name}");
    }
}

#[test]
fn devices_that_cannot_be_are_reported() {
    let mut whiteout = raw_archive(&[(b'3', "null", "", b""), (F, "after", "", b"x")]);
    let (top, result) = apply(&whiteout, &[]);
    let skipped = result.unwrap().skipped;
    assert_eq!((skipped.device_count, skipped.devices), (1, vec![PathBuf::from("null")]));
    assert_eq!(listing(&top.root()).len(), 1);
    if is_root() {
        whiteout[329..337].copy_from_slice(b"0000001\0");
        whiteout[337..345].copy_from_slice(b"0000003\0");
        let mut header: [u8; 512] = whiteout[..512].try_into().unwrap();
        crate::layer::testing::fix_checksum(&mut header);
        whiteout[..512].copy_from_slice(&header);
        let (top, result) = apply(&whiteout, &[]);
        assert_eq!(result.unwrap().skipped.device_count, 0);
        assert!(matches!(union(&top, &[]).lookup("null").unwrap().unwrap().kind, FileKind::Device(_)));
    }
}

#[test]
fn recorded_owners_are_kept_beside() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.directory("home").file("home/f", "x").symlink("home/l", "f").file("root", "");
    tree.owner("home/f", 1000, 1001).owner("home", 1000, 1000).owner("home/l", 1000, 1000).times(9);
    let archive = tree.pack();
    let into = Tree::new();
    let recorded = UnpackOptions { ownership: Ownership::Recorded, ..options() };
    unpack(&archive[..], &into.root(), &[], &recorded).unwrap();
    assert!(listing(&into.root()).iter().all(|line| !line.contains("100")), "{:?}", listing(&into.root()));
    let recorded = MergedTree::new(vec![into.root()], Ownership::Recorded).unwrap();
    for (path, owner) in [("home", (1000, 1000)), ("home/f", (1000, 1001)), ("home/l", (0, 0)), ("root", (0, 0))] {
        let entry = recorded.lookup(path).unwrap().unwrap();
        assert_eq!((entry.uid, entry.gid), owner, "{path}");
    }
}

#[test]
fn packing_what_was_unpacked_gives_the_same_bytes() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.directory("dir").opaque("dir").file("dir/a", "hello").hard_link("dir/b", "dir/a").symlink("dir/c", "../else");
    tree.whiteout("zz").whiteout("dir/gone").fifo("pipe").file("suid", "x").owner("suid", 5, 6).mode("suid", 0o6755);
    tree.xattr("suid", "security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    tree.xattr("dir", "user.note", b"line\nline\0").xattr("dir/a", "user.a=b", b"").directory("ro").mode("ro", 0o555);
    tree.file("ro/f", "")
        .mode("ro/f", 0)
        .symlink("hl", "x")
        .hard_link("hl2", "hl")
        .directory("sticky")
        .mode("sticky", 0o1777);
    tree.file(OsStr::from_bytes(b"latin-\xe9"), "odd").file("n".repeat(255), "long name").file("new\nline", "");
    let deep = format!("a/{}", "d".repeat(99)).repeat(3);
    tree.directory(&deep).file(format!("{deep}/f"), "deep").symlink("far", "t".repeat(300));
    tree.times(-1_000).mode("", 0o711);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path("null"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 3),
    )
    .unwrap();
    tree.times(1_000);
    let archive = tree.pack();
    let (into, result) = apply(&archive, &[]);
    let stats = result.unwrap();
    assert_eq!(stats.skipped, Skipped::default());
    assert!(into.pack() == archive);
    assert_eq!(listing(&into.root()), listing(&tree.root()));
    let mut again = Vec::new();
    let packed = pack(&into.root(), &mut again, &pack_options()).unwrap();
    assert_eq!((packed.entries + 2, packed.bytes), (stats.entries, stats.bytes), "the root and the opaque mark");
}

#[test]
fn gnu_sparse_files_are_read() {
    let tree = Tree::new();
    tree.file("holes", "");
    let file = fs_err::OpenOptions::new().write(true).open(tree.path("holes")).unwrap();
    for (offset, text) in [(0_u64, "start"), (300_000, "middle"), (5_000_000, "end")] {
        std::os::unix::fs::FileExt::write_all_at(file.file(), text.as_bytes(), offset).unwrap();
    }
    file.set_len(9_000_000).unwrap();
    let expected = fs_err::read(tree.path("holes")).unwrap();
    for format in [&["--format=gnu"][..], &["--format=posix", "--sparse-version=0.1"], &["--format=posix"]] {
        let output = std::process::Command::new("tar")
            .arg("cSf")
            .arg("-")
            .args(format)
            .arg("-C")
            .arg(tree.root())
            .arg("holes")
            .output();
        let Ok(output) = output else { return eprintln!("skipped: cannot run tar") };
        assert!(output.stdout.len() < 1_000_000, "tar made it sparse");
        let (into, result) = apply(&output.stdout, &[]);
        assert_eq!(result.unwrap().bytes, 9_000_000);
        assert!(fs_err::read(into.path("holes")).unwrap() == expected, "{format:?}");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs_err::metadata(into.path("holes")).unwrap());
        assert!(blocks < 2_000, "{blocks}");
    }
}

#[test]
fn a_second_writer_adds_to_what_a_first_one_left() {
    let (into, result) = apply(&raw_archive(&[(D, "a", "", b""), (F, "a/x", "", b"x")]), &[]);
    result.unwrap();
    into.mode("a", 0o500);
    unpack(&raw_archive(&[(F, "a/y", "", b"y")])[..], &into.root(), &[], &options()).unwrap();
    assert_eq!(listing(&into.root())[0].split(' ').nth(2), Some("500"));
    let time = std::os::unix::fs::MetadataExt::mtime(&fs_err::metadata(into.path("a")).unwrap());
    assert_eq!(time, 5);
}
