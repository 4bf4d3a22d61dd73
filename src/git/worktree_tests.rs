use std::time::{Duration, SystemTime};

use stages::filter::PathFilter;

use super::fixture::Fixture;
use super::*;

/// All differences within the repository, or the given part of it.
fn differences(fixture: &Fixture, path: &str, patterns: &[&str]) -> Vec<(String, ChangeKind)> {
    let include: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    let filter = PathFilter::new(&include, &[]).unwrap();
    let repository = fixture.repository();
    let scopes = [Scope { path: path.as_bytes(), filter: &filter }];
    let found = repository.uncommitted(&repository.head().unwrap(), &scopes, 100, 2).unwrap();
    let count = |wanted| found.names.iter().filter(|(_, kind)| *kind == wanted).count() as u64;
    let counts = (count(ChangeKind::Modified), count(ChangeKind::Added), count(ChangeKind::Removed));
    assert_eq!((found.modified, found.added, found.removed), counts);
    found.names.into_iter().map(|(path, kind)| (String::from_utf8(path).unwrap(), kind)).collect()
}

fn all(fixture: &Fixture) -> Vec<(String, ChangeKind)> {
    differences(fixture, "", &[])
}

fn is(expected: &[(&str, ChangeKind)]) -> Vec<(String, ChangeKind)> {
    expected.iter().map(|&(path, kind)| (path.to_owned(), kind)).collect()
}

use ChangeKind::{Added, Modified, Removed};

#[test]
fn a_clean_tree_is_clean() {
    let fixture = Fixture::with(&[("a", "1"), ("dir/b", "2"), ("dir/sub/c", "3"), ("dir.x", "4")]);
    fixture.link("link", "a");
    fixture.commit("link");
    assert_eq!(all(&fixture), []);
    // Files that are only younger than git's notes are read and found the same.
    let young = SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().write(true).open(fixture.path("dir/b")).unwrap().set_modified(young).unwrap();
    assert_eq!(all(&fixture), []);
    fixture.git(&["update-index", "--index-version", "4"]);
    assert_eq!(all(&fixture), []);
}

#[test]
fn differences_from_head_are_found() {
    let fixture = Fixture::with(&[
        ("same", "1"),
        ("changed", "2"),
        ("mode", "3"),
        ("dir/gone", "4"),
        ("all/gone/a", "5"),
        ("all/gone/b", "6"),
        ("file", "7"),
        ("type", "8"),
    ]);
    fixture.write("changed", "3");
    fixture.make_executable("mode");
    fixture.remove("dir/gone");
    fixture.remove("all/gone");
    fixture.remove("file");
    fixture.write("file/inner", "9");
    fixture.remove("type");
    fixture.link("type", "same");
    fixture.write("new/deep/file", "10");
    let expected = is(&[
        ("all/gone/a", Removed),
        ("all/gone/b", Removed),
        ("changed", Modified),
        ("dir/gone", Removed),
        ("file", Removed),
        ("file/inner", Added),
        ("mode", Modified),
        ("new/deep/file", Added),
        ("type", Modified),
    ]);
    assert_eq!(all(&fixture), expected);
    assert_eq!(differences(&fixture, "all/gone", &["b"]), is(&[("all/gone/b", Removed)]));
    assert_eq!(differences(&fixture, "new", &["**/file"]), is(&[("new/deep/file", Added)]));
    assert_eq!(differences(&fixture, "same", &[]), []);
    fixture.git(&["config", "core.fileMode", "false"]);
    assert!(!all(&fixture).iter().any(|(path, _)| path == "mode"));
    // Staging changes nothing about what is not committed.
    fixture.git(&["config", "core.fileMode", "true"]);
    fixture.git(&["add", "-A"]);
    assert_eq!(all(&fixture), expected);
}

#[test]
fn a_change_of_the_same_size_in_the_same_instant_is_found() {
    let fixture = Fixture::with(&[("a", "1")]);
    for content in ["2", "3", "4"] {
        fixture.write("a", content);
        fixture.git(&["add", "a"]);
        fixture.write("a", "1");
        assert_eq!(all(&fixture), [], "back to what HEAD has");
        fixture.write("a", "x");
        assert_eq!(all(&fixture), is(&[("a", Modified)]));
    }
}

#[test]
fn the_index_is_seen_apart_from_the_files() {
    let fixture = Fixture::with(&[("a", "1"), ("dir/b", "2"), ("dir/c", "3"), ("other/d", "4")]);
    fixture.git(&["rm", "-q", "--cached", "-r", "dir"]);
    assert_eq!(all(&fixture), [], "the files are there as HEAD has them");
    fixture.write("dir/b", "changed");
    fixture.remove("dir/c");
    assert_eq!(all(&fixture), is(&[("dir/b", Modified), ("dir/c", Removed)]));
    fixture.write("staged", "5");
    fixture.write("announced", "6");
    fixture.git(&["add", "staged"]);
    fixture.git(&["add", "-N", "announced"]);
    fixture.remove("staged");
    assert_eq!(all(&fixture), is(&[("announced", Added), ("dir/b", Modified), ("dir/c", Removed)]));
    fixture.git(&["update-index", "--assume-unchanged", "a"]);
    fixture.write("a", "not looked at");
    assert!(!all(&fixture).iter().any(|(path, _)| path == "a"));
    fixture.remove(".git/index");
    assert_eq!(all(&fixture).len(), 4, "without an index the files are compared with HEAD");
}

#[test]
fn ignored_files_do_not_count() {
    let fixture =
        Fixture::with(&[(".gitignore", "/target\n*.o\n!keep.o\n"), ("src/.gitignore", "gen\n"), ("src/a", "1")]);
    fixture.write("target/x/y", "");
    fixture.write("src/a.o", "");
    fixture.write("src/keep.o", "");
    fixture.write("src/gen/z", "");
    fixture.write("src/sub/only.o", "");
    fixture.write(".git/info/exclude", "local\n");
    fixture.write("local", "");
    assert_eq!(all(&fixture), is(&[("src/keep.o", Added)]));
    // A tracked file is watched whatever the rules say.
    fixture.git(&["add", "-f", "src/a.o"]);
    fixture.commit("forced");
    fixture.write("src/a.o", "changed");
    assert_eq!(all(&fixture), is(&[("src/a.o", Modified)]));
}

#[test]
fn sparse_checkouts_and_conflicts_are_understood() {
    let fixture = Fixture::with(&[("in/a", "1"), ("out/b", "2"), ("out/deep/c", "3")]);
    fixture.git(&["sparse-checkout", "set", "--sparse-index", "in"]);
    assert!(!fixture.path("out").exists());
    assert_eq!(all(&fixture), []);
    fixture.git(&["sparse-checkout", "disable"]);
    fixture.git(&["checkout", "-q", "-b", "other"]);
    fixture.write("in/a", "theirs");
    fixture.commit("theirs");
    fixture.git(&["checkout", "-q", "main"]);
    fixture.write("in/a", "ours");
    fixture.commit("ours");
    assert!(std::panic::catch_unwind(|| fixture.git(&["merge", "-q", "other"])).is_err(), "a conflict");
    assert_eq!(all(&fixture), is(&[("in/a", Modified)]));
    fixture.write("in/a", "ours");
    assert_eq!(all(&fixture), []);
}

#[test]
fn submodules_are_compared_with_the_recorded_commit() {
    let inner = Fixture::with(&[("x", "1")]);
    let outer = Fixture::with(&[("a", "0")]);
    outer.git(&["submodule", "add", "-q", inner.directory.path().to_str().unwrap(), "libs/inner"]);
    outer.commit("submodule");
    assert_eq!(all(&outer), []);
    outer.write("libs/inner/x", "changed");
    outer.write("libs/inner/new", "");
    assert_eq!(all(&outer), is(&[("libs/inner/new", Added), ("libs/inner/x", Modified)]));
    fixture::git_in(&outer.path("libs/inner"), &["commit", "-qam", "inner"]);
    assert_eq!(all(&outer), is(&[("libs/inner", Modified)]));
    outer.remove("libs/inner");
    assert_eq!(all(&outer), []);
}

#[test]
fn files_that_git_converts_are_not_different() {
    let fixture =
        Fixture::with(&[(".gitattributes", "*.txt text eol=crlf\n"), ("a.txt", "one\ntwo\n"), ("b.txt", "x\n")]);
    fixture.write("a.txt", "one\r\ntwo\r\n");
    fixture.write("b.txt", "y\r\n");
    assert_eq!(all(&fixture), is(&[("b.txt", Modified)]));
    let repository = fixture.repository();
    assert!(!repository.file_differs(&fixture.tree(), "a.txt").unwrap());
    assert!(repository.file_differs(&fixture.tree(), "b.txt").unwrap());
}

#[test]
fn single_files_are_compared_and_read() {
    let fixture = Fixture::with(&[("sub/a", "1"), ("b", "2")]);
    let tree = fixture.tree();
    let repository = fixture.repository();
    let differs = |path: &str| repository.file_differs(&tree, path).unwrap();
    fixture.write("new", "3");
    fixture.remove("b");
    assert_eq!(["sub/a", "b", "new", "none"].map(differs), [false, true, true, false]);
    fixture.write("sub/a", "2");
    assert!(differs("sub/a"));
    fixture.link("inside", "sub/a");
    fixture.link("outside", "/etc/hostname");
    assert_eq!(repository.working_file("sub/a", 10).unwrap().as_deref(), Some(b"2".as_slice()));
    assert_eq!(repository.working_file("none", 10).unwrap(), None);
    assert!(matches!(repository.working_file("outside", 10), Err(GitError::NotA { .. })));
    assert!(matches!(repository.working_file("../x", 10), Err(GitError::Outside { .. })));
    assert!(matches!(repository.working_file("sub/a", 0), Err(GitError::WorkingFileTooLarge { .. })));
    assert!(matches!(repository.working_file("sub", 9), Err(GitError::NotA { .. })));
    let found = repository.working_files("", &PathFilter::new(&["**/a".to_owned()], &[]).unwrap()).unwrap();
    let entry = |path: &str, is_link| (path.as_bytes().to_vec(), is_link);
    assert_eq!(found, [entry("inside", true), entry("outside", true), entry("sub/a", false)]);
}

#[test]
fn a_bare_repository_has_nothing_uncommitted() {
    let fixture = Fixture::with(&[("a", "1")]);
    let elsewhere = tempfile::tempdir().unwrap();
    fixture::git_in(elsewhere.path(), &["clone", "-q", "--bare", fixture.directory.path().to_str().unwrap(), "b"]);
    let repository = Repository::discover(&elsewhere.path().join("b")).unwrap();
    let everything = PathFilter::everything();
    let scopes = [Scope { path: b"", filter: &everything }];
    assert!(repository.uncommitted(&repository.head().unwrap(), &scopes, 9, 2).unwrap().is_clean());
}
