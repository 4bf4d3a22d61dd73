use std::os::unix::fs::MetadataExt;

use super::*;
use crate::layer::testing::{Tree, is_root, listing, ownership};

fn options() -> ImportOptions {
    ImportOptions { ownership: ownership(), share: true }
}

fn all(_: &Path) -> bool {
    true
}

fn spec<'a>(add: &'a str, to: &'a str) -> ImportSpec<'a> {
    ImportSpec {
        add: Path::new(add),
        follow: false,
        to: Path::new(to),
        filter: &all,
        uid: None,
        gid: None,
        or_empty: false,
    }
}

fn import(source: &[&Tree], spec: &ImportSpec<'_>, lowers: &[&Tree], options: ImportOptions) -> Result<Tree> {
    let source = MergedTree::new(source.iter().map(|tree| tree.root()).collect(), ownership())?;
    let lowers: Vec<_> = lowers.iter().map(|tree| tree.root()).collect();
    let into = Tree::new();
    import_tree(&source, spec, &lowers, &into.root(), &options)?;
    Ok(into)
}

fn source() -> Tree {
    let tree = Tree::new();
    tree.directory("app/bin").directory("app/empty").directory("app/js/deep").file("app/bin/tool", "tool");
    tree.hard_link("app/bin/alias", "app/bin/tool").symlink("app/cur", "bin/tool").file("app/js/a.js", "a");
    tree.file("app/js/deep/b.js", "b").file("app/js/deep/c.css", "c").mode("app/js/deep", 0o750).symlink("link", "app");
    tree.mode("app/bin/tool", 0o4755).xattr("app/js/a.js", "user.k", b"v");
    tree.times(77);
    tree
}

#[test]
fn a_directory_goes_with_all_it_has() {
    if !is_root() {
        return;
    }
    let (source, target) = (source(), Tree::new());
    target.directory("srv").mode("srv", 0o711).owner("srv", 5, 5).times(9);
    for share in [true, false] {
        let into = import(&[&source], &spec("/link/", "/srv/www"), &[&target], ImportOptions { share, ..options() });
        assert_eq!(listing(&into.unwrap().root()), ["srv dir 711 5:5", "srv/www -> app"], "a link is a link");
        let into =
            import(&[&source], &spec("/app", "/srv/www"), &[&target], ImportOptions { share, ..options() }).unwrap();
        assert_eq!(
            listing(&into.root()),
            [
                "srv dir 711 5:5",
                "srv/www dir 755 0:0",
                "srv/www/bin dir 755 0:0",
                "srv/www/bin/alias = tool 4755 0:0",
                "srv/www/bin/tool = tool 4755 0:0",
                "srv/www/cur -> bin/tool",
                "srv/www/empty dir 755 0:0",
                "srv/www/js dir 755 0:0",
                "srv/www/js/a.js = a 644 0:0",
                "srv/www/js/deep dir 750 0:0",
                "srv/www/js/deep/b.js = b 644 0:0",
                "srv/www/js/deep/c.css = c 644 0:0",
            ]
        );
        let metadata = |path| fs_err::symlink_metadata(into.path(path)).unwrap();
        assert_eq!(metadata("srv/www/bin/alias").ino(), metadata("srv/www/bin/tool").ino());
        for (path, time) in [("srv", 9), ("srv/www", 77), ("srv/www/js/deep", 77), ("srv/www/cur", 77)] {
            assert_eq!(metadata(path).mtime(), time, "{path}");
        }
        let original = fs_err::metadata(source.path("app/js/a.js")).unwrap().ino();
        assert_eq!(metadata("srv/www/js/a.js").ino() == original, share);
    }
}

#[test]
fn sharing_or_copying_gives_the_same_layer() {
    let (source, target) = (source(), Tree::new());
    let share = import(&[&source], &spec("app", "x"), &[&target], options()).unwrap();
    let copy = import(&[&source], &spec("app", "x"), &[&target], ImportOptions { share: false, ..options() }).unwrap();
    assert!(share.pack() == copy.pack());
    let twice = |share| {
        let into = Tree::new();
        let tree = MergedTree::new(vec![source.root()], ownership()).unwrap();
        let mut importer = Importer::new(&[], &into.root(), &ImportOptions { share, ..options() }).unwrap();
        importer.import(&tree, &spec("app/js", "one")).unwrap();
        importer.import(&tree, &spec("app/js", "two")).unwrap();
        let stats = importer.finish().unwrap();
        assert_eq!((stats.entries, stats.bytes), (10, 6));
        into.pack()
    };
    assert!(twice(true) == twice(false));
}

#[test]
fn filters_take_files_and_make_their_parents() {
    let source = source();
    let filter =
        |path: &Path| path.extension().is_some_and(|extension| extension == "js") || path == Path::new("empty");
    let spec = ImportSpec { filter: &filter, ..spec("app", "to") };
    let into = import(&[&source], &spec, &[], options()).unwrap();
    let lines: Vec<_> = listing(&into.root()).into_iter().collect();
    assert_eq!(
        lines,
        [
            "to dir 755 0:0",
            "to/empty dir 755 0:0",
            "to/js dir 755 0:0",
            "to/js/a.js = a 644 0:0",
            "to/js/deep dir 750 0:0",
            "to/js/deep/b.js = b 644 0:0",
        ]
    );
    let none = ImportSpec { filter: &|_| false, ..spec };
    assert!(listing(&import(&[&source], &none, &[], options()).unwrap().root()).is_empty());
}

#[test]
fn owners_are_replaced_on_copies_only() {
    if !is_root() {
        return;
    }
    let source = source();
    let spec = ImportSpec { uid: Some(1000), gid: Some(1001), ..spec("app/bin", "bin") };
    let into = import(&[&source], &spec, &[], options()).unwrap();
    assert_eq!(
        listing(&into.root()),
        ["bin dir 755 1000:1001", "bin/alias = tool 4755 1000:1001", "bin/tool = tool 4755 1000:1001"]
    );
    assert!(listing(&source.root()).iter().all(|line| !line.contains("1000")));
}

#[test]
fn files_go_to_a_path_or_into_a_directory() {
    let (source, target) = (source(), Tree::new());
    target.directory("usr/bin").symlink("bin", "usr/bin").file("plain", "old");
    for (to, lands) in [
        ("/usr/bin", "usr/bin/tool"),
        ("/bin", "usr/bin/tool"),
        ("/bin/renamed", "usr/bin/renamed"),
        ("/new/dir/", "new/dir/tool"),
        ("/new/name", "new/name"),
        ("/plain", "plain"),
    ] {
        let into = import(&[&source], &spec("app/bin/tool", to), &[&target], options()).unwrap();
        assert_eq!(fs_err::read(into.path(lands)).unwrap(), b"tool", "{to}");
    }
    let missing = import(&[&source], &spec("app/none", "x"), &[], options());
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

#[test]
fn links_of_the_target_are_followed_inside_it_and_kept() {
    let (source, target, outside) = (Tree::new(), Tree::new(), Tree::new());
    source.directory("lib").file("lib/new.so", "elf").directory("etc").file("etc/x", "x");
    target.directory("usr/lib").file("usr/lib/libc.so", "").symlink("lib", "usr/lib");
    target.symlink("etc", outside.root());
    let into = import(&[&source], &spec("/", "/"), &[&target], options()).unwrap();
    assert!(listing(&outside.root()).is_empty());
    let merged = MergedTree::new(vec![into.root(), target.root()], ownership()).unwrap();
    assert_eq!(merged.resolve("lib/new.so").unwrap().unwrap().0, Path::new("usr/lib/new.so"));
    assert!(merged.resolve("lib/libc.so").unwrap().is_some());
    assert_eq!(merged.read("etc/x", 9).unwrap().unwrap(), b"x");
}

#[test]
fn links_of_the_source_lead_nowhere_outside_it() {
    let (source, outside) = (Tree::new(), Tree::new());
    outside.file("secret", "secret");
    source.symlink("out", outside.root()).directory("d").symlink("d/up", "../../../../../../../../etc");
    assert!(matches!(import(&[&source], &spec("out/secret", "x"), &[], options()), Err(Error::NotFound { .. })));
    assert!(matches!(import(&[&source], &spec("d/up/passwd", "x"), &[], options()), Err(Error::NotFound { .. })));
    let into = import(&[&source], &spec("/", "/x"), &[], options()).unwrap();
    assert!(listing(&into.root()).iter().all(|line| !line.contains("secret =")));
}

#[test]
fn recorded_owners_travel() {
    let source = Tree::new();
    source.directory("d").file("d/f", "x").xattr("d/f", crate::layer::OWNER_XATTR, b"7:8");
    let recorded = ImportOptions { ownership: Ownership::Recorded, share: true };
    let tree = MergedTree::new(vec![source.root()], Ownership::Recorded).unwrap();
    for (owner, expected) in [(None, (7, 8)), (Some((9, 9)), (9, 9)), (Some((0, 0)), (0, 0))] {
        let into = Tree::new();
        let spec = ImportSpec { uid: owner.map(|(uid, _)| uid), gid: owner.map(|(_, gid)| gid), ..spec("d", "d") };
        import_tree(&tree, &spec, &[], &into.root(), &recorded).unwrap();
        let entry = MergedTree::new(vec![into.root()], Ownership::Recorded).unwrap().lookup("d/f").unwrap().unwrap();
        assert_eq!((entry.uid, entry.gid), expected);
    }
}

#[test]
fn links_at_the_start_are_followed_to_directories_when_asked_to() {
    let source = source();
    let followed = |add| ImportSpec { follow: true, ..spec(add, "to") };
    let into = import(&[&source], &followed("link"), &[], options()).unwrap();
    assert_eq!(fs_err::read(into.path("to/js/a.js")).unwrap(), b"a");
    let into = import(&[&source], &followed("app/cur"), &[], options()).unwrap();
    assert_eq!(listing(&into.root()), ["to -> bin/tool"], "a link to a file stays one");
    source.symlink("dangling", "none");
    let into = import(&[&source], &followed("dangling"), &[], options()).unwrap();
    assert_eq!(listing(&into.root()), ["to -> none"]);
}

#[test]
fn nothing_taken_is_an_empty_directory_when_asked_for() {
    let source = source();
    source.mode("app", 0o750);
    let nothing = |or_empty| ImportSpec { filter: &|_| false, or_empty, ..spec("app", "to/here") };
    let into = import(&[&source], &nothing(true), &[], options()).unwrap();
    assert_eq!(listing(&into.root()), ["to dir 755 0:0", "to/here dir 750 0:0"]);
    let into = import(&[&source], &nothing(false), &[], options()).unwrap();
    assert!(listing(&into.root()).is_empty());
    let file = ImportSpec { add: Path::new("app/bin/tool"), ..nothing(true) };
    assert!(
        listing(&import(&[&source], &file, &[], options()).unwrap().root()).is_empty(),
        "of a file, nothing is nothing"
    );
}

#[test]
fn landings_are_found_in_the_target() {
    let target = Tree::new();
    target.directory("usr/lib").directory("real/in").symlink("lib", "usr/lib").symlink("lnk", "/real").file("file", "");
    target.symlink("up", "../../../real/in").symlink("dangling", "none");
    let tree = MergedTree::new(vec![target.root()], ownership()).unwrap();
    for (to, name, expected) in [
        ("/lnk", None, "real"),
        ("/lnk/new", None, "real/new"),
        ("/lib", None, "usr/lib"),
        ("/lib", Some("x.so"), "usr/lib/x.so"),
        ("/up", Some("f"), "real/in/f"),
        ("/new", Some("f"), "new"),
        ("/new/", Some("f"), "new/f"),
        ("/lib/new/", Some("f"), "usr/lib/new/f"),
        ("/file", Some("f"), "file"),
        ("/dangling", Some("f"), "dangling"),
        ("/", Some("f"), "f"),
        ("/", None, ""),
        ("/a/b/c", None, "a/b/c"),
    ] {
        let found = landing(&tree, Path::new(to), name.map(Path::new)).unwrap();
        assert_eq!(found, Path::new(expected), "{to} {name:?}");
    }
    assert!(landing(&tree, Path::new("/file/x"), None).is_err(), "a file is no directory");
}
