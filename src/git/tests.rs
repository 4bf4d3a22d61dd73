use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use stages::filter::PathFilter;
use stages::{Checksum, ObjectId};

use super::fixture::{Fixture, git_in};
use super::*;
use crate::layer::{OWNER_XATTR, Ownership};

fn filter(include: &[&str], exclude: &[&str]) -> PathFilter {
    let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
    PathFilter::new(&owned(include), &owned(exclude)).unwrap()
}

fn names(entries: &[ListEntry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.path).unwrap()).collect()
}

fn checksum(repository: &Repository, tree: &ObjectId, add: &str, filter: &PathFilter) -> Option<Checksum> {
    repository.checksum(tree, add, filter).unwrap()
}

#[test]
fn head_names_commit_tree_branch_and_tag() {
    let fixture = Fixture::with(&[("sub/a", "1")]);
    let repository = Repository::discover(&fixture.path("sub")).unwrap();
    let head = repository.head().unwrap();
    assert_eq!((&head.commit, &head.tree), (&fixture.commit_id(), &fixture.tree()));
    assert_eq!(head.branch.as_deref(), Some("main"));
    assert_eq!(repository.prefix(), b"sub");
    assert_eq!(repository.in_project("./x//y").unwrap(), b"sub/x/y");
    assert_eq!(repository.tag_at(&head.commit).unwrap(), None);
    fixture.git(&["tag", "v9"]);
    fixture.git(&["tag", "-a", "-m", "x", "v1"]);
    fixture.git(&["pack-refs", "--all"]);
    assert_eq!(repository.tag_at(&head.commit).unwrap().as_deref(), Some("v1"));
    fixture.git(&["checkout", "-q", "--detach"]);
    assert_eq!(fixture.repository().head().unwrap().branch, None);
}

#[test]
fn repositories_are_found_in_all_their_forms() {
    let fixture = Fixture::with(&[("a", "1")]);
    fixture.write("a", "2");
    let tree = fixture.commit("second");
    let elsewhere = tempfile::tempdir().unwrap();
    let source = format!("file://{}", fixture.directory.path().display());
    git_in(elsewhere.path(), &["clone", "-q", "--depth", "1", &source, "shallow"]);
    git_in(elsewhere.path(), &["clone", "-q", "--bare", &source, "bare.git"]);
    git_in(elsewhere.path(), &["clone", "-q", "--shared", fixture.directory.path().to_str().unwrap(), "shared"]);
    fixture.git(&["worktree", "add", "-q", elsewhere.path().join("linked").to_str().unwrap()]);
    for form in ["shallow", "bare.git", "shared", "linked"] {
        let repository = Repository::discover(&elsewhere.path().join(form)).unwrap();
        assert_eq!(repository.head().unwrap().tree, tree, "{form}");
        assert_eq!(names(&repository.list(&tree, "", &PathFilter::everything()).unwrap()), ["a"], "{form}");
        assert_eq!(repository.work_dir().is_none(), form == "bare.git");
    }
}

#[test]
fn what_cannot_be_opened_is_said() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Repository::discover(directory.path()), Err(GitError::NotARepository(_))));
    let error = Fixture::new().repository().head().unwrap_err();
    assert!(matches!(&error, GitError::Unborn { branch, .. } if branch == "main"), "{error}");
    let foreign = Fixture::with(&[("a", "1")]);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(foreign.directory.path(), Some(4242), Some(4242)).unwrap();
        std::os::unix::fs::chown(foreign.path(".git"), Some(4242), Some(4242)).unwrap();
        assert!(matches!(Repository::discover(foreign.directory.path()), Err(GitError::NotOwned(_))));
    } else {
        eprintln!("skipped: only root can give a repository away");
    }
}

#[test]
fn entries_and_listings() {
    let fixture = Fixture::with(&[("a/b/c.txt", "1"), ("a/b.txt", "2"), ("a-b", "3"), ("z/README.md", "4")]);
    fixture.write("run", "#!/bin/sh\n");
    fixture.make_executable("run");
    fixture.link("a/link", "b.txt");
    let tree = fixture.commit("more");
    let repository = fixture.repository();
    let entry = |path: &str| repository.entry(&tree, path).unwrap();
    assert_eq!(entry("run").unwrap().mode, FileMode::Executable);
    assert_eq!(entry("a/link").unwrap().mode, FileMode::Symlink);
    assert_eq!(entry("/a/./b/").unwrap().mode, FileMode::Tree);
    assert_eq!(entry("").unwrap().id, tree);
    assert_eq!(entry("a/b.txt/x"), None);
    assert_eq!(entry("a/link/x"), None);
    assert!(matches!(repository.entry(&tree, "a/../.."), Err(GitError::Outside { .. })));

    let list = |prefix: &str, filter: &PathFilter| repository.list(&tree, prefix, filter).unwrap();
    let all = list("", &PathFilter::everything());
    assert_eq!(names(&all), ["a-b", "a/b.txt", "a/b/c.txt", "a/link", "run", "z/README.md"]);
    assert_eq!(names(&list("a", &filter(&["**/*.txt"], &[]))), ["b.txt", "b/c.txt"]);
    assert_eq!(names(&list("", &filter(&["a"], &["a/b"]))), ["a/b.txt", "a/link"]);
    assert_eq!(names(&list("run", &PathFilter::everything())), [""]);
    assert_eq!(names(&list("none", &PathFilter::everything())), Vec::<&str>::new());

    let blob = entry("a/b.txt").unwrap().id;
    assert_eq!(repository.read_blob(&blob, 10).unwrap(), b"2");
    assert!(matches!(repository.read_blob(&blob, 0), Err(GitError::TooLarge { size: 1, .. })));
}

#[test]
fn links_are_followed_within_the_tree_only() {
    let fixture = Fixture::with(&[("real/dir/file", "1")]);
    fixture.link("alias", "real/dir");
    fixture.link("real/up", "../alias/file");
    fixture.link("out", "../elsewhere");
    fixture.link("absolute", "/etc/passwd");
    fixture.link("loop", "loop");
    let tree = fixture.commit("links");
    let repository = fixture.repository();
    let resolve = |path: &str| repository.resolve_symlink_path(&tree, path);
    assert_eq!(resolve("alias/file").unwrap().unwrap().0, b"real/dir/file");
    assert_eq!(resolve("real/up").unwrap().unwrap().0, b"real/dir/file");
    assert_eq!(resolve("alias/none").unwrap(), None);
    assert!(matches!(resolve("out"), Err(GitError::Outside { .. })));
    assert!(matches!(resolve("absolute"), Err(GitError::Outside { .. })));
    assert!(matches!(resolve("loop"), Err(GitError::LinkLoop { .. })));
}

#[test]
fn hostile_trees_are_refused() {
    let fixture = Fixture::with(&[("a", "1")]);
    let repository = fixture.repository();
    let blob = repository.entry(&fixture.tree(), "a").unwrap().unwrap().id;
    let handle = git2::Repository::open(fixture.directory.path()).unwrap();
    let raw = |entries: &[(&str, &str)]| -> ObjectId {
        let mut data = Vec::new();
        for (mode, name) in entries {
            data.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            data.extend_from_slice(git2::Oid::from_str(blob.as_str()).unwrap().as_bytes());
        }
        handle.odb().unwrap().write(git2::ObjectType::Tree, &data).unwrap().to_string().parse().unwrap()
    };
    let everything = PathFilter::everything();
    for bad in [
        &[("100644", "..")][..],
        &[("100644", "a/b")],
        &[("100644", ".GIT")],
        &[("100644", "")],
        &[("170000", "a")],
        &[("100644", "b"), ("100644", "a")],
        &[("100644", "a"), ("100644", "a")],
    ] {
        let error = repository.list(&raw(bad), "", &everything).unwrap_err();
        assert!(matches!(error, GitError::MalformedTree { .. }), "{bad:?}: {error}");
    }
    let good = raw(&[("100644", "a.b"), ("100644", "a0")]);
    assert_eq!(repository.list(&good, "", &everything).unwrap().len(), 2);
    assert!(matches!(repository.list(&raw(&[("40000", "a")]), "", &everything), Err(GitError::Object { .. })));
}

#[test]
fn checksums_follow_what_is_selected_and_nothing_else() {
    let fixture = Fixture::with(&[("src/a.c", "1"), ("src/sub/b.c", "2"), ("docs/x.md", "3")]);
    let repository = fixture.repository();
    let everything = PathFilter::everything();
    let sources = filter(&["**/*.c"], &[]);
    let first = fixture.tree();
    let before = |add: &str, filter: &PathFilter| checksum(&repository, &first, add, filter).unwrap();
    let (whole, directory, selected) = (before("", &everything), before("src", &everything), before("", &sources));
    assert_eq!(checksum(&repository, &first, "", &filter(&["*.none"], &[])), None);
    assert_eq!(checksum(&repository, &first, "none", &everything), None);
    assert_ne!(before("src/a.c", &everything), before("src/sub/b.c", &everything));

    fixture.write("docs/x.md", "4");
    let docs = fixture.commit("docs");
    assert_ne!(checksum(&repository, &docs, "", &everything), Some(whole));
    assert_eq!(checksum(&repository, &docs, "src", &everything), Some(directory));
    assert_eq!(checksum(&repository, &docs, "", &sources), Some(selected));

    let mut seen = vec![selected];
    let changes: [&dyn Fn(); 4] = [
        &|| fixture.make_executable("src/a.c"),
        &|| fs_err::rename(fixture.path("src/a.c"), fixture.path("src/c.c")).unwrap(),
        &|| {
            fixture.remove("src/c.c");
            fixture.link("src/c.c", "1");
        },
        &|| fixture.write("src/sub/b.c", "5"),
    ];
    for change in changes {
        change();
        let tree = fixture.commit("change");
        let now = checksum(&repository, &tree, "", &sources).unwrap();
        assert!(!seen.contains(&now));
        assert_ne!(checksum(&repository, &tree, "src", &everything), Some(directory));
        seen.push(now);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    git_in(
        elsewhere.path(),
        &["clone", "-q", "--depth", "1", &format!("file://{}", fixture.directory.path().display()), "c"],
    );
    let clone = Repository::discover(&elsewhere.path().join("c")).unwrap();
    assert_eq!(checksum(&clone, &fixture.tree(), "", &sources), seen.pop());
}

#[test]
fn differences_are_named() {
    let fixture = Fixture::with(&[("a", "1"), ("dir/b", "2"), ("dir/c", "3"), ("same/x", "4"), ("t", "5"), ("f", "6")]);
    let old = fixture.tree();
    fixture.write("dir/b", "changed");
    fixture.remove("dir/c");
    fixture.remove("t");
    fixture.link("t", "a");
    fixture.remove("f");
    fixture.write("f/inner", "7");
    fixture.make_executable("a");
    fixture.write("new", "8");
    let new = fixture.commit("second");
    let repository = fixture.repository();
    let diff = |prefix: &str| {
        let changes = repository.diff(&old, &new, prefix).unwrap();
        changes.into_iter().map(|change| (String::from_utf8(change.path).unwrap(), change.kind)).collect::<Vec<_>>()
    };
    let expected = [
        ("a", ChangeKind::Modified),
        ("dir/b", ChangeKind::Modified),
        ("dir/c", ChangeKind::Removed),
        ("f", ChangeKind::Removed),
        ("f/inner", ChangeKind::Added),
        ("new", ChangeKind::Added),
        ("t", ChangeKind::TypeChanged),
    ];
    assert_eq!(diff(""), expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(diff("dir").len(), 2);
    assert_eq!(diff("same"), []);
}

fn placement(repository: &Repository, tree: &ObjectId, add: &str, filter: PathFilter, to: &str) -> Placement {
    Placement {
        repository: repository.clone(),
        tree: tree.clone(),
        add: add.as_bytes().to_vec(),
        filter: Arc::new(filter),
        to: to.into(),
        owner: (0, 0),
        directory_mode: 0o755,
    }
}

fn no_directories(_: &Path) -> Option<DirectoryMeta> {
    None
}

fn options(threads: usize) -> LayoutOptions<'static> {
    LayoutOptions { mtime: 315_532_801, ownership: Ownership::Recorded, threads, directories: &no_directories }
}

/// Every path of a directory with its type, permissions and content.
fn shape(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = fs_err::symlink_metadata(&path).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (315_532_801, 0), "{}", path.display());
        let mode = meta.mode() & 0o7777;
        let kind = meta.file_type();
        let shown = if kind.is_dir() {
            pending.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            format!("dir {mode:o}")
        } else if kind.is_symlink() {
            format!("-> {}", fs_err::read_link(&path).unwrap().display())
        } else if kind.is_char_device() {
            assert_eq!(meta.rdev(), 0);
            "gone".to_owned()
        } else {
            format!("{mode:o} {}", fs_err::read_to_string(&path).unwrap())
        };
        let relative = path.strip_prefix(directory).unwrap().display().to_string();
        found.insert(relative, shown);
    }
    found
}

fn laid_out(placements: &[Placement], base: Option<Base<'_>>, threads: usize) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    lay_out(placements, directory.path(), base, options(threads)).unwrap();
    shape(directory.path())
}

fn expected(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|&(path, shown)| (path.to_owned(), shown.to_owned())).collect()
}

#[test]
fn placements_are_laid_out_and_merged() {
    let fixture =
        Fixture::with(&[("src/a.c", "1"), ("src/sub/b.c", "2"), ("docs/x.md", "3"), ("one", "4"), ("bin/run", "5")]);
    fixture.make_executable("bin/run");
    fixture.link("src/link", "../nowhere");
    let tree = fixture.commit("more");
    let repository = fixture.repository();
    let placements = [
        placement(&repository, &tree, "src", PathFilter::everything(), "/app/src"),
        placement(&repository, &tree, "one", PathFilter::everything(), "/app/src/sub/b.c"),
        placement(&repository, &tree, "/", filter(&["bin", "**/*.md"], &[]), "/app"),
        placement(&repository, &tree, "docs", PathFilter::everything(), "/app/src/sub"),
    ];
    let wanted = expected(&[
        ("", "dir 755"),
        ("app", "dir 755"),
        ("app/bin", "dir 755"),
        ("app/bin/run", "755 5"),
        ("app/docs", "dir 755"),
        ("app/docs/x.md", "644 3"),
        ("app/src", "dir 755"),
        ("app/src/a.c", "644 1"),
        ("app/src/link", "-> ../nowhere"),
        ("app/src/sub", "dir 755"),
        ("app/src/sub/b.c", "644 4"),
        ("app/src/sub/x.md", "644 3"),
    ]);
    for threads in [1, 4] {
        assert_eq!(laid_out(&placements, None, threads), wanted);
    }
    assert_eq!(streamed(&placements, None), wanted);
    let missing = placement(&repository, &tree, "none", PathFilter::everything(), "/x");
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(lay_out(&[missing], directory.path(), None, options(1)), Err(GitError::NotFound { .. })));
}

/// What [`stream`] hands over, in the form of [`shape`].
fn streamed(placements: &[Placement], base: Option<Base<'_>>) -> BTreeMap<String, String> {
    shown(|sink| stream(placements, base, &no_directories, sink))
}

fn shown(run: impl FnOnce(OutSink<'_>) -> Result<(), GitError>) -> BTreeMap<String, String> {
    let mut found = expected(&[("", "dir 755")]);
    let mut last = Vec::new();
    run(&mut |entry| {
        let parts: Vec<Vec<u8>> = entry.path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect();
        assert!(parts > last, "sorted part by part");
        last = parts;
        let mode = entry.mode;
        let shown = match entry.kind {
            OutKind::Directory => format!("dir {mode:o}"),
            OutKind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(target)),
            OutKind::Whiteout => "gone".to_owned(),
            OutKind::File { size, content } => {
                let mut text = String::new();
                assert_eq!(content.read_to_string(&mut text)? as u64, size);
                format!("{mode:o} {text}")
            }
        };
        found.insert(String::from_utf8(entry.path.to_vec()).unwrap(), shown);
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn laid_out_files_are_read_where_they_are() {
    let fixture = Fixture::with(&[("same", "1"), ("dir/changed", "2"), ("longer", "3"), ("gone", "4"), ("link", "5")]);
    let big = "x".repeat(9 << 20);
    fixture.write("big", &big);
    let tree = fixture.commit("second");
    let placements = [placement(&fixture.repository(), &tree, "", PathFilter::everything(), "/app")];
    let directory = tempfile::tempdir().unwrap();
    lay_out(&placements, directory.path(), None, options(2)).unwrap();
    let from_disk = || shown(|sink| stream_laid_out(&placements, directory.path(), &no_directories, sink));
    assert_eq!(from_disk(), streamed(&placements, None));
    // Content of the right size shows where it was read; anything else is not what was laid out.
    let app = directory.path().join("app");
    fs_err::write(app.join("dir/changed"), "D").unwrap();
    fs_err::write(app.join("big"), big.replace('x', "y")).unwrap();
    fs_err::write(app.join("longer"), "33").unwrap();
    fs_err::remove_file(app.join("gone")).unwrap();
    fs_err::remove_file(app.join("link")).unwrap();
    std::os::unix::fs::symlink("same", app.join("link")).unwrap();
    let found = from_disk();
    for (path, wanted) in [("same", "1"), ("dir/changed", "D"), ("longer", "3"), ("gone", "4"), ("link", "5")] {
        assert_eq!(found[&format!("app/{path}")], format!("644 {wanted}"), "{path}");
    }
    assert!(found["app/big"] == format!("644 {}", big.replace('x', "y")));
    let nowhere = directory.path().join("none");
    let found = shown(|sink| stream_laid_out(&placements, &nowhere, &no_directories, sink));
    assert!(found == streamed(&placements, None));
}

#[test]
fn a_delta_holds_the_difference_only() {
    let fixture = Fixture::with(&[
        ("keep/x", "1"),
        ("change/a", "2"),
        ("change/b", "3"),
        ("gone/a", "4"),
        ("gone/b/c", "5"),
        ("to-file/a", "6"),
        ("to-dir", "7"),
        ("mode", "8"),
    ]);
    let old = fixture.tree();
    fixture.write("change/a", "two");
    fixture.remove("change/b");
    fixture.remove("gone");
    fixture.remove("to-file");
    fixture.write("to-file", "six");
    fixture.remove("to-dir");
    fixture.write("to-dir/a", "seven");
    fixture.make_executable("mode");
    fixture.write("new/n", "9");
    let new = fixture.commit("second");
    let repository = fixture.repository();
    let before = [placement(&repository, &old, "", PathFilter::everything(), "/app")];
    let after = [placement(&repository, &new, "", PathFilter::everything(), "/app")];
    let wanted = expected(&[
        ("", "dir 755"),
        ("app", "dir 755"),
        ("app/change", "dir 755"),
        ("app/change/a", "644 two"),
        ("app/change/b", "gone"),
        ("app/gone", "gone"),
        ("app/mode", "755 8"),
        ("app/new", "dir 755"),
        ("app/new/n", "644 9"),
        ("app/to-dir", "dir 755"),
        ("app/to-dir/a", "644 seven"),
        ("app/to-file", "644 six"),
    ]);
    let base = Base { placements: &before, exists_below: &|_| false };
    assert_eq!(laid_out(&after, Some(base), 2), wanted);
    assert_eq!(streamed(&after, Some(base)), wanted);
    let same = Base { placements: &after, exists_below: &|_| false };
    assert_eq!(laid_out(&after, Some(same), 2), expected(&[("", "dir 755")]));
    // Where the image beneath has the removed path too, it would have to show again.
    for hidden in ["/app/gone", "/app/to-dir"] {
        let base = Base { placements: &before, exists_below: &|path| path == Path::new(hidden) };
        let directory = tempfile::tempdir().unwrap();
        let error = lay_out(&after, directory.path(), Some(base), options(1)).unwrap_err();
        assert!(matches!(&error, GitError::NotADelta { path } if path == Path::new(hidden)), "{error}");
    }
}

#[test]
fn a_delta_serves_filters_and_moved_placements_too() {
    let fixture = Fixture::with(&[("a.c", "1"), ("a.h", "2"), ("lib/b.c", "3"), ("lib/b.h", "4")]);
    let tree = fixture.tree();
    let repository = fixture.repository();
    let before = [placement(&repository, &tree, "", filter(&["**/*.c"], &[]), "/src")];
    let after = [
        placement(&repository, &tree, "", filter(&[], &["lib"]), "/src"),
        placement(&repository, &tree, "lib", PathFilter::everything(), "/opt/lib"),
    ];
    let base = Base { placements: &before, exists_below: &|_| false };
    let wanted = expected(&[
        ("", "dir 755"),
        ("opt", "dir 755"),
        ("opt/lib", "dir 755"),
        ("opt/lib/b.c", "644 3"),
        ("opt/lib/b.h", "644 4"),
        ("src", "dir 755"),
        ("src/a.h", "644 2"),
        ("src/lib", "gone"),
    ]);
    assert_eq!(laid_out(&after, Some(base), 1), wanted);
}

#[test]
fn directories_below_a_target_have_the_mode_of_the_placement() {
    let fixture = Fixture::with(&[("src/a", "1"), ("src/d/e/f", "2"), ("src/x/y", "3")]);
    let tree = fixture.commit("first");
    let repository = fixture.repository();
    let at = |tree: &ObjectId, directory_mode| {
        let placed = placement(&repository, tree, "src", PathFilter::everything(), "/opt/app");
        let part = placement(&repository, tree, "/", filter(&["src/d/**"], &[]), "/part");
        [Placement { directory_mode, ..placed }, Placement { directory_mode, ..part }]
    };
    let before = at(&tree, 0o775);
    let wanted = expected(&[
        ("", "dir 755"),
        ("opt", "dir 755"),
        ("opt/app", "dir 755"),
        ("opt/app/a", "644 1"),
        ("opt/app/d", "dir 775"),
        ("opt/app/d/e", "dir 775"),
        ("opt/app/d/e/f", "644 2"),
        ("opt/app/x", "dir 775"),
        ("opt/app/x/y", "644 3"),
        ("part", "dir 755"),
        ("part/src", "dir 775"),
        ("part/src/d", "dir 775"),
        ("part/src/d/e", "dir 775"),
        ("part/src/d/e/f", "644 2"),
    ]);
    assert_eq!(laid_out(&before, None, 2), wanted);
    assert_eq!(streamed(&before, None), wanted);
    // A delta to another mode brings every directory that has it, and no file.
    let base = Base { placements: &before, exists_below: &|_| false };
    let after = laid_out(&at(&tree, 0o750), Some(base), 1);
    assert_eq!(after.get("opt/app/d/e").map(String::as_str), Some("dir 750"));
    assert!(after.values().all(|shown| shown.starts_with("dir ")), "{after:?}");
}

#[test]
fn owners_and_known_directories_are_applied() {
    let fixture = Fixture::with(&[("a", "1"), ("d/b", "2")]);
    fixture.link("l", "a");
    let tree = fixture.commit("link");
    let mut placed = placement(&fixture.repository(), &tree, "", PathFilter::everything(), "/tmp/in");
    placed.owner = (1000, 1001);
    let below = |path: &Path| (path == Path::new("/tmp")).then_some(DirectoryMeta { mode: 0o1777, owner: (0, 0) });
    let directory = tempfile::tempdir().unwrap();
    let options = LayoutOptions { directories: &below, ..options(2) };
    let placed = [placed];
    let report = lay_out(&placed, directory.path(), None, options).unwrap();
    assert_eq!(report, Layout { files: 2, directories: 3, symlinks: 1, whiteouts: 0, bytes: 2 });
    let at = |path: &str| directory.path().join(path);
    assert_eq!(fs_err::metadata(at("tmp")).unwrap().mode() & 0o7777, 0o1777);
    let mut value = [0; 32];
    let mut xattr = |path: &str| {
        let length = rustix::fs::lgetxattr(at(path), OWNER_XATTR, &mut value).ok()?;
        Some(String::from_utf8_lossy(&value[..length]).into_owned())
    };
    assert_eq!(xattr("tmp"), None);
    for path in ["tmp/in", "tmp/in/a", "tmp/in/d", "tmp/in/d/b"] {
        assert_eq!(xattr(path).as_deref(), Some("1000:1001"), "{path}");
    }
    if rustix::process::geteuid().is_root() {
        let directory = tempfile::tempdir().unwrap();
        lay_out(&placed, directory.path(), None, LayoutOptions { ownership: Ownership::Real, ..options }).unwrap();
        for path in ["tmp/in", "tmp/in/a", "tmp/in/l", "tmp/in/d/b"] {
            let meta = fs_err::symlink_metadata(directory.path().join(path)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (1000, 1001), "{path}");
        }
    } else {
        eprintln!("skipped: only root can give files away");
    }
}

#[test]
fn wide_directories_and_large_files_are_written() {
    let fixture = Fixture::new();
    for number in 0..700 {
        fixture.write(&format!("wide/{number:03}"), &number.to_string());
    }
    let large = "0123456789abcdef".repeat(600_000);
    fixture.write("large", &large);
    let tree = fixture.commit("many");
    let repository = fixture.repository();
    let placed = [placement(&repository, &tree, "", PathFilter::everything(), "/")];
    let loose = laid_out(&placed, None, 3);
    assert_eq!(loose.len(), 703);
    assert_eq!(loose["large"], format!("644 {large}"));
    assert_eq!(streamed(&placed, None), loose);
    fixture.git(&["gc", "-q"]);
    let repository = fixture.repository();
    let placed = [placement(&repository, &tree, "", PathFilter::everything(), "/")];
    assert_eq!(laid_out(&placed, None, 3), loose);
    assert_eq!(streamed(&placed, None), loose);
}

#[test]
fn submodules_are_followed_or_asked_for() {
    let inner = Fixture::with(&[("deep/x", "1"), ("y", "2")]);
    let outer = Fixture::with(&[("a", "0")]);
    let source = inner.directory.path().to_str().unwrap();
    outer.git(&["submodule", "add", "-q", "--name", "the inner", source, "libs/inner"]);
    let tree = outer.commit("submodule");
    let repository = outer.repository();
    let everything = PathFilter::everything();
    let all = [".gitmodules", "a", "libs/inner/deep/x", "libs/inner/y"];
    assert_eq!(names(&repository.list(&tree, "", &everything).unwrap()), all);
    assert_eq!(names(&repository.list(&tree, "libs/inner/deep", &everything).unwrap()), ["x"]);
    let entry = repository.entry(&tree, "libs/inner/y").unwrap().unwrap();
    assert_eq!(entry.repository.read_blob(&entry.id, 10).unwrap(), b"2");
    let placed = [placement(&repository, &tree, "libs", everything, "/l")];
    let wanted = expected(&[
        ("", "dir 755"),
        ("l", "dir 755"),
        ("l/inner", "dir 755"),
        ("l/inner/deep", "dir 755"),
        ("l/inner/deep/x", "644 1"),
        ("l/inner/y", "644 2"),
    ]);
    assert_eq!(laid_out(&placed, None, 1), wanted);
    let filtered = [placement(&repository, &tree, "", filter(&["**/x"], &[]), "/l")];
    assert_eq!(laid_out(&filtered, None, 1).len(), 6);

    // Without the work tree's copy, .git/modules serves; in a clone without either, the message says what to do.
    let whole = checksum(&repository, &tree, "libs", &PathFilter::everything());
    outer.remove("libs");
    assert_eq!(names(&outer.repository().list(&tree, "", &PathFilter::everything()).unwrap()), all);
    let elsewhere = tempfile::tempdir().unwrap();
    git_in(elsewhere.path(), &["clone", "-q", outer.directory.path().to_str().unwrap(), "clone"]);
    let clone = Repository::discover(&elsewhere.path().join("clone")).unwrap();
    assert_eq!(checksum(&clone, &tree, "libs", &PathFilter::everything()), whole);
    let error = clone.list(&tree, "", &PathFilter::everything()).unwrap_err().to_string();
    let commit = inner.commit_id();
    assert!(
        error.contains("libs/inner") && error.contains(commit.as_str()) && error.contains("submodule update --init")
    );
}

#[test]
fn lfs_pointers_are_recognised() {
    assert!(is_lfs_pointer(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"));
    assert!(!is_lfs_pointer(b"version 2"));
}
