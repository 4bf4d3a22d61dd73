use std::path::Path;

use stages::spec::SecretSource;

use super::*;
use crate::git::fixture::Fixture;
use crate::source::{FileReader as _, ReadErrorKind};

fn options(fixture: &Fixture, mode: Mode) -> GateOptions {
    let env = [("TAG", "7"), ("CI_JOB", "x"), ("HOME", "/home/u")];
    GateOptions {
        tree: fixture.tree(),
        mode,
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        directory: fixture.directory.path().to_owned(),
        rules: None,
        survey: false,
    }
}

fn open(fixture: &Fixture, mode: Mode) -> Result<Gate, Error> {
    Gate::open(fixture.repository(), options(fixture, mode))
}

fn strict(fixture: &Fixture) -> Gate {
    open(fixture, Mode::Strict).unwrap()
}

fn loose(fixture: &Fixture) -> Gate {
    open(fixture, Mode::Loose).unwrap()
}

const VERSION: &str = "giterminismConfigVersion: 1\n";

fn rules(text: &str) -> String {
    format!("{VERSION}{text}")
}

fn refusals(gate: &Gate) -> Vec<(RefusalKind, Vec<String>)> {
    gate.refusals().into_iter().map(|refusal| (refusal.kind, refusal.names)).collect()
}

#[test]
fn files_come_from_the_commit_and_must_be_the_same_on_disk() {
    let fixture =
        Fixture::with(&[("stager.yaml", "a"), (".stager/lib", "b"), ("data/x", "c"), (".gitignore", "out\n")]);
    fixture.link("link", "data/x");
    fixture.commit("link");
    let gate = strict(&fixture);
    assert_eq!(gate.read("stager.yaml").unwrap(), b"a");
    assert_eq!(gate.read("link").unwrap(), b"c");
    assert_eq!(gate.read("none").unwrap_err().kind, ReadErrorKind::NotFound);
    assert_eq!(gate.read("../x").unwrap_err().kind, ReadErrorKind::NotFound);
    assert_eq!(gate.read("a\0b").unwrap_err().kind, ReadErrorKind::Invalid);
    assert!(gate.exists("data/x").unwrap() && gate.is_dir("data").unwrap());
    assert!(!gate.exists("data").unwrap() && !gate.is_dir("data/x").unwrap());

    fixture.write("stager.yaml", "changed");
    fixture.write("data/x", "changed");
    fixture.remove(".stager/lib");
    fixture.write("untracked", "");
    fixture.write("out", "ignored");
    let gate = strict(&fixture);
    for (path, kind, rule) in [
        ("stager.yaml", RefusalKind::Modified, "config.allowUncommitted"),
        ("data/x", RefusalKind::Modified, "config.goTemplateRendering.allowUncommittedFiles"),
        ("link", RefusalKind::Modified, "config.goTemplateRendering.allowUncommittedFiles"),
        (".stager/lib", RefusalKind::Deleted, "config.allowUncommittedTemplates"),
        ("untracked", RefusalKind::Untracked, "config.goTemplateRendering.allowUncommittedFiles"),
    ] {
        let error = gate.read(path).unwrap_err();
        assert!(error.is_refusal() && error.message.contains(path), "{error}");
        assert!(error.hint.unwrap().contains(rule.rsplit('.').next().unwrap()));
        let name = if path == "link" { "data/x" } else { path }.to_owned();
        assert!(refusals(&gate).iter().any(|(of, names)| *of == kind && names.contains(&name)));
    }
    assert_eq!(gate.read("out").unwrap_err().kind, ReadErrorKind::NotFound, "what git ignores is not there");
    fixture.write("data/y", "");
    assert!(gate.read("data/y").is_err());
    let together = gate.refusals().into_iter().find(|refusal| refusal.names.len() == 2).unwrap();
    let rule = "config:\n  goTemplateRendering:\n    allowUncommittedFiles: [\"data/y\", \"untracked\"]";
    assert_eq!(together.to_string(), "giterminism refuses the files `data/y`, `untracked`: they are not committed");
    assert_eq!(together.allow, format!("stager-giterminism.yaml:\ngiterminismConfigVersion: 1\n{rule}"));
}

#[test]
fn loose_giterminism_reads_the_disk_and_warns() {
    let fixture = Fixture::with(&[("stager.yaml", "a"), ("data/x", "c"), ("data/gone", "")]);
    fixture.write("stager.yaml", "changed");
    fixture.write("data/new", "");
    fixture.remove("data/gone");
    let gate = loose(&fixture);
    assert_eq!(gate.read("stager.yaml").unwrap(), b"changed");
    assert_eq!(gate.glob("data/*").unwrap(), ["data/new", "data/x"]);
    assert_eq!(gate.read("data/gone").unwrap_err().kind, ReadErrorKind::NotFound);
    assert_eq!(gate.env("TAG").unwrap().as_deref(), Some("7"));
    assert_eq!(gate.secret(&SecretSource::Env("TAG".to_owned())).unwrap().0, b"7");
    assert_eq!(gate.refusals().len(), 5, "{:?}", gate.refusals());
}

#[test]
fn a_snapshot_is_read_without_a_look_at_the_disk() {
    let fixture = Fixture::with(&[("stager.yaml", "a")]);
    fixture.write("stager.yaml", "changed");
    fixture.write("new", "");
    let gate = open(&fixture, Mode::Dev).unwrap();
    assert_eq!(gate.read("stager.yaml").unwrap(), b"a");
    assert_eq!(gate.glob("*").unwrap(), ["stager.yaml"]);
    assert!(gate.env("TAG").unwrap_err().is_refusal());
}

#[test]
fn patterns_see_what_the_commit_has() {
    let fixture = Fixture::with(&[("t/a.tpl", ""), ("t/sub/b.tpl", ""), ("t/c.txt", ""), (".gitignore", "*.tmp\n")]);
    fixture.write("t/x.tmp", "");
    let gate = strict(&fixture);
    assert_eq!(gate.glob("t/*").unwrap(), ["t/a.tpl", "t/c.txt"]);
    assert_eq!(gate.glob("**/*.tpl").unwrap(), ["t/a.tpl", "t/sub/b.tpl"]);
    assert_eq!(gate.glob("t/[").unwrap_err().kind, ReadErrorKind::Invalid);
    fixture.write("t/new1.tpl", "");
    fixture.write("t/new2.tpl", "");
    fixture.remove("t/a.tpl");
    let gate = strict(&fixture);
    assert_eq!(gate.glob("*.md").unwrap(), Vec::<String>::new());
    assert!(gate.glob("t/*.tpl").unwrap_err().is_refusal());
    let expected = [
        (RefusalKind::Untracked, vec!["t/new1.tpl".to_owned(), "t/new2.tpl".to_owned()]),
        (RefusalKind::Deleted, vec!["t/a.tpl".to_owned()]),
    ];
    assert_eq!(refusals(&gate), expected);
}

#[test]
fn a_directory_that_matches_may_stand_for_what_is_in_it() {
    let fixture = Fixture::with(&[("t/a/x", ""), ("t/a/deep/y", ""), ("t/b.txt", ""), ("u/z", "")]);
    fixture.link("t/link", "../u");
    fixture.commit("a link");
    let gate = strict(&fixture);
    let inside = ["t/a/deep/y", "t/a/x"];
    let all = ["t/a/deep/y", "t/a/x", "t/b.txt", "t/link/z"];
    for (pattern, expected) in [
        ("t/*", all.as_slice()),
        ("t/**", all.as_slice()),
        ("t/a", inside.as_slice()),
        ("t/{a,none}", inside.as_slice()),
        ("*/[a]/deep", &inside[..1]),
        ("t/link", &all[3..]),
        ("t/*.txt", &all[2..3]),
    ] {
        assert_eq!(gate.glob_within(pattern).unwrap(), expected, "{pattern}");
        let mut apart = gate.glob(pattern).unwrap();
        apart.extend(gate.glob(&format!("{pattern}/**")).unwrap());
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(apart, expected, "{pattern} in two walks");
    }
    fixture.write("t/a/new", "");
    assert!(strict(&fixture).glob_within("t/*").unwrap_err().is_refusal());
}

#[test]
fn rules_let_uncommitted_files_in() {
    let allow = "config:\n  allowUncommitted: true\n  allowUncommittedTemplates: [/.stager/**/*.tpl]\n  goTemplateRendering:\n    allowUncommittedFiles: [data, links/one]\n";
    let fixture = Fixture::with(&[("stager-giterminism.yaml", &rules(allow)), ("stager.yaml", "a"), ("other", "o")]);
    fixture.write("stager.yaml", "changed");
    fixture.write(".stager/x.tpl", "t");
    fixture.write("data/deep/new", "n");
    fixture.write("secret", "s");
    fs_err::create_dir(fixture.path("links")).unwrap();
    fixture.link("links/one", "../secret");
    let gate = strict(&fixture);
    assert_eq!(gate.read("stager.yaml").unwrap(), b"changed");
    assert_eq!(gate.read(".stager/x.tpl").unwrap(), b"t");
    assert_eq!(gate.read("data/deep/new").unwrap(), b"n");
    assert_eq!(gate.glob("data/**").unwrap(), ["data/deep/new"]);
    assert!(gate.is_dir("data").unwrap());
    assert_eq!(gate.read("data/none").unwrap_err().kind, ReadErrorKind::NotFound);
    assert!(gate.read("links/one").unwrap_err().is_refusal(), "an allowed link does not allow its target");
    assert_eq!(refusals(&gate), [(RefusalKind::LinkTarget, vec!["secret".to_owned()])]);
    let uncommitted: Vec<_> =
        gate.reads().into_iter().filter(|read| read.kind == ReadKind::Uncommitted && read.digest.is_some()).collect();
    assert_eq!(uncommitted.len(), 3);
}

#[test]
fn a_link_is_followed_hop_by_hop() {
    let fixture = Fixture::with(&[("real/w", "1"), ("loop", ""), ("other", "1")]);
    fixture.remove("loop");
    for (link, target) in [("one", "two"), ("two", "dir/w"), ("dir", "real"), ("loop", "loop"), ("out", "../../x")] {
        fixture.link(link, target);
    }
    fixture.commit("links");
    let gate = strict(&fixture);
    assert_eq!(gate.read("one").unwrap(), b"1");
    assert_eq!(gate.glob("dir/*").unwrap(), ["dir/w"]);
    assert_eq!(gate.glob("**/w").unwrap(), ["dir/w", "real/w"]);
    assert!(gate.is_dir("dir").unwrap());
    assert_eq!(gate.read("loop").unwrap_err().code, Some("symlink-loop"));
    assert_eq!(gate.read("out").unwrap_err().code, Some("file-not-found"));

    fixture.remove("two");
    fixture.link("two", "other");
    let error = strict(&fixture).read("one").unwrap_err();
    assert!(error.message.contains("`two`") && error.message.contains("`one` leads there"), "{error}");
    assert!(error.hint.unwrap().contains("[\"one\", \"two\"]"));
    fixture.remove("two");
    fixture.link("two", "dir/w");
    fixture.write("real/w", "2");
    assert_eq!(strict(&fixture).read("one").unwrap_err().code, Some("uncommitted"));
    assert!(strict(&fixture).read("one").unwrap_err().message.contains("`real/w`"));
    fixture.remove("real/w");
    assert!(strict(&fixture).read("one").unwrap_err().message.contains("gone"));
}

#[test]
fn an_allowed_link_needs_every_hop_allowed_that_is_not_committed() {
    let fixture = |allowed: &str| {
        let allow = rules(&format!("config: {{goTemplateRendering: {{allowUncommittedFiles: {allowed}}}}}"));
        let fixture = Fixture::with(&[("stager-giterminism.yaml", &allow), ("clean", "c")]);
        fixture.write("real", "new");
        fixture.link("middle", "real");
        fixture.link("link", "middle");
        fixture.link("to-clean", "clean");
        strict(&fixture).read("link").map_err(|error| (error.code, error.message))
    };
    assert_eq!(fixture("[link, middle, real]").unwrap(), b"new");
    for (allowed, named) in [("[link]", "`middle`"), ("[link, middle]", "`real`")] {
        let (code, message) = fixture(allowed).unwrap_err();
        assert_eq!(code, Some("link-target-not-accepted"));
        assert!(message.contains(named), "{message}");
    }
    assert_eq!(fixture("[none]").unwrap_err().0, Some("untracked"));
}

#[test]
fn paths_may_lead_above_the_project_and_not_out_of_the_repository() {
    let allow = rules("config: {goTemplateRendering: {allowUncommittedFiles: [../shared/new, /own/..//x/]}}");
    let fixture = Fixture::with(&[("a/b/stager-giterminism.yaml", &allow), ("a/shared/x", "1"), ("top", "2")]);
    fixture.write("a/shared/new", "n");
    fixture.write("a/b/x", "own");
    let repository = crate::git::Repository::discover(&fixture.path("a/b")).unwrap();
    let directory = fixture.path("a/b");
    let gate = Gate::open(repository, GateOptions { directory, ..options(&fixture, Mode::Strict) }).unwrap();
    assert_eq!(gate.read("../shared/x").unwrap(), b"1");
    assert_eq!(gate.read("./x/../../shared/x").unwrap(), b"1");
    assert_eq!(gate.read("/../../top").unwrap(), b"2");
    assert_eq!(gate.read("../shared/new").unwrap(), b"n");
    assert_eq!(gate.read("x").unwrap(), b"own");
    assert_eq!(gate.glob("../shared/*").unwrap(), ["../shared/new", "../shared/x"]);
    assert!(gate.is_dir("..").unwrap() && gate.is_dir("").unwrap() && !gate.is_dir("../top").unwrap());
    for out in ["../../../x", "x/../../../.."] {
        assert_eq!(gate.read(out).unwrap_err().code, Some("file-not-found"));
    }
    fixture.write("a/shared/x", "changed");
    let error = Gate::open(gate.repository.clone(), gate.options.clone()).unwrap().read("../shared/x").unwrap_err();
    assert!(error.message.contains("`../shared/x`"), "{error}");
}

#[test]
fn directories_are_those_of_the_commit() {
    let fixture = Fixture::with(&[("data/v", "1"), (".gitignore", "out\n")]);
    fixture.write("data/v", "changed");
    fixture.write("new/x", "");
    fixture.write("out/x", "");
    fs_err::create_dir(fixture.path("empty")).unwrap();
    let gate = strict(&fixture);
    assert!(gate.is_dir("data").unwrap());
    assert_eq!(gate.is_dir("new").unwrap_err().code, Some("untracked"));
    assert!(!gate.is_dir("out").unwrap() && !gate.is_dir("empty").unwrap() && !gate.is_dir("none").unwrap());
    assert!(loose(&fixture).is_dir("out").unwrap());
}

#[test]
fn what_is_ignored_is_seen_by_loose_giterminism_and_by_rules_only() {
    let allow = rules("config: {goTemplateRendering: {allowUncommittedFiles: [allowed]}}");
    let ignored = "out\nallowed\n";
    let fixture = Fixture::with(&[("stager-giterminism.yaml", &allow), (".gitignore", ignored)]);
    fixture.write("out", "1");
    fixture.write("allowed", "2");
    for mode in [Mode::Strict, Mode::Dev] {
        let gate = open(&fixture, mode).unwrap();
        let error = gate.read("out").unwrap_err();
        assert_eq!(error.code, Some("file-not-found"));
        assert!(error.message.contains("ignored") && error.hint.is_some(), "{error}");
        assert_eq!(gate.read("allowed").unwrap(), b"2");
        assert_eq!(gate.glob("*ow*").unwrap(), ["allowed"]);
    }
    for mode in [Mode::Loose, Mode::LooseDev] {
        let gate = open(&fixture, mode).unwrap();
        assert_eq!(gate.read("out").unwrap(), b"1");
        assert_eq!(gate.glob("o*").unwrap(), ["out"]);
    }
}

#[test]
fn an_allowed_file_is_that_of_the_disk_or_missing() {
    let allow = rules("config: {goTemplateRendering: {allowUncommittedFiles: [data]}}");
    let fixture = Fixture::with(&[("stager-giterminism.yaml", &allow), ("data/v", "1")]);
    fixture.remove("data/v");
    let gate = strict(&fixture);
    assert_eq!(gate.glob("data/*").unwrap(), ["data/v"], "it is missed when it is read");
    let error = gate.read("data/v").unwrap_err();
    assert_eq!((error.kind, error.code), (ReadErrorKind::NotFound, Some("file-not-found")));
    assert!(error.message.contains("rules let it in"), "{error}");
}

#[test]
fn git_directories_and_devices_are_not_there() {
    let fixture = Fixture::with(&[("a", "")]);
    let place = fixture.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    for mode in [Mode::Strict, Mode::Loose] {
        let gate = open(&fixture, mode).unwrap();
        for path in [".git/config", ".GIT/config", "fifo", "a/b"] {
            assert_eq!(gate.read(path).unwrap_err().kind, ReadErrorKind::NotFound, "{path}");
        }
        assert!(!gate.is_dir(".git").unwrap());
    }
}

#[test]
fn pointers_of_git_lfs_are_never_content() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    let allow = rules("config: {goTemplateRendering: {allowUncommittedFiles: [allowed, unfetched]}}");
    let files =
        [("stager-giterminism.yaml", allow.as_str()), ("x", pointer), ("allowed", pointer), ("unfetched", pointer)];
    let fixture = Fixture::with(&files);
    fixture.write("x", "content");
    fixture.write("allowed", "content");
    for mode in [Mode::Strict, Mode::Dev] {
        let gate = open(&fixture, mode).unwrap();
        let error = gate.read("x").unwrap_err();
        assert!(error.is_refusal() && error.code == Some("lfs-pointer"), "{error:?}");
        assert!(error.hint.unwrap().contains("git lfs pull"));
        assert_eq!(gate.read("allowed").unwrap(), b"content");
        assert_eq!(gate.read("unfetched").unwrap_err().code, Some("lfs-pointer"));
    }
    assert_eq!(loose(&fixture).read("x").unwrap(), b"content");
    assert_eq!(loose(&fixture).read("unfetched").unwrap_err().code, Some("lfs-pointer"));
}

#[test]
fn files_outside_of_a_sparse_checkout_are_those_of_the_commit() {
    let fixture = Fixture::with(&[("in/a", "1"), ("out/b", "2"), ("gone", "3")]);
    fixture.git(&["sparse-checkout", "set", "in"]);
    let gate = strict(&fixture);
    assert!(!fixture.path("out/b").exists());
    assert_eq!(gate.read("out/b").unwrap(), b"2");
    assert_eq!(gate.glob("**/b").unwrap(), ["out/b"]);
}

#[test]
fn a_survey_finds_every_refusal() {
    let fixture = Fixture::with(&[("a", "1"), ("b", "2")]);
    fixture.write("a", "changed");
    fixture.remove("b");
    fixture.write("c", "new");
    fixture.write("stager-giterminism.yaml", &rules("config: {goTemplateRendering: {allowEnvVariables: [CI_JOB]}}"));
    let gate =
        Gate::open(fixture.repository(), GateOptions { survey: true, ..options(&fixture, Mode::Strict) }).unwrap();
    assert_eq!(gate.read("a").unwrap(), b"1", "the commit is what a build would see");
    assert_eq!(gate.read("b").unwrap(), b"2");
    assert_eq!(gate.read("c").unwrap(), b"new");
    assert_eq!(gate.env("TAG").unwrap().as_deref(), Some("7"));
    assert!(gate.env("CI_JOB").is_ok());
    assert!(gate.check_from_latest("app").is_err());
    let found = refusals(&gate);
    let names = |kind| found.iter().filter(|(of, _)| *of == kind).flat_map(|(_, names)| names).collect::<Vec<_>>();
    assert_eq!(names(RefusalKind::Untracked), ["c", "stager-giterminism.yaml"]);
    assert_eq!(names(RefusalKind::Modified), ["a"]);
    assert_eq!(names(RefusalKind::Deleted), ["b"]);
    assert_eq!(names(RefusalKind::Variable), ["TAG"]);
}

#[test]
fn the_rules_file_can_be_named() {
    let fixture = Fixture::with(&[
        ("c/own.yaml", &rules("config: {goTemplateRendering: {allowEnvVariables: [TAG]}}")),
        ("stager-giterminism.yaml", "broken"),
    ]);
    let named = |file: &str| {
        Gate::open(
            fixture.repository(),
            GateOptions { rules: Some(file.to_owned()), ..options(&fixture, Mode::Strict) },
        )
    };
    let gate = named("./c/own.yaml").unwrap();
    assert!(gate.env("TAG").is_ok());
    assert!(gate.env("CI_JOB").unwrap_err().hint.unwrap().contains("c/own.yaml:"));
    assert!(matches!(named("none.yaml"), Err(Error::NotFound { .. })));
    fixture.write("c/own.yaml", VERSION);
    assert_eq!(named("c/own.yaml").unwrap_err().code(), Some("uncommitted"));
}

#[test]
fn submodules_are_read_at_the_commit_that_is_recorded() {
    let inner = Fixture::with(&[("f", "1")]);
    let outer = Fixture::with(&[("a", "")]);
    outer.git(&["submodule", "add", "-q", inner.directory.path().to_str().unwrap(), "sub"]);
    outer.commit("submodule");
    assert_eq!(strict(&outer).read("sub/f").unwrap(), b"1");
    outer.write("sub/f", "changed");
    assert!(strict(&outer).read("sub/f").unwrap_err().message.contains("`sub/f`: it differs"));
    outer.write("sub/new", "");
    assert_eq!(strict(&outer).read("sub/new").unwrap_err().code, Some("untracked"));
    crate::git::fixture::git_in(&outer.path("sub"), &["add", "-A"]);
    crate::git::fixture::git_in(&outer.path("sub"), &["commit", "-qm", "later"]);
    let error = strict(&outer).read("sub/f").unwrap_err();
    assert_eq!(error.code, Some("uncommitted"));
    assert!(error.message.contains("submodule `sub`: another commit"), "{error}");
    assert!(error.hint.unwrap().contains("git submodule update -- sub"));

    let clone = tempfile::tempdir().unwrap();
    let from = outer.directory.path().to_str().unwrap();
    crate::git::fixture::git_in(clone.path(), &["clone", "-q", from, "c"]);
    let directory = clone.path().join("c");
    let repository = crate::git::Repository::discover(&directory).unwrap();
    let gate = Gate::open(repository, GateOptions { directory, ..options(&outer, Mode::Strict) }).unwrap();
    let error = gate.read("sub/f").unwrap_err();
    assert!(error.message.contains("git submodule update --init -- sub"), "{error}");
    assert_eq!(gate.glob("a*").unwrap(), ["a"]);
}

#[test]
fn rules_themselves_must_be_committed() {
    let fixture = Fixture::with(&[("stager.yaml", "")]);
    fixture.write("stager-giterminism.yaml", VERSION);
    let open = |mode| open(&fixture, mode);
    assert!(open(Mode::Strict).unwrap_err().is_refusal());
    assert!(open(Mode::Loose).is_ok());
    fixture.commit("rules");
    assert!(open(Mode::Strict).is_ok());
    fixture.write("stager-giterminism.yaml", "config: [\n");
    assert!(open(Mode::Strict).unwrap_err().is_refusal());
    assert!(matches!(open(Mode::Loose), Err(Error::Rules { .. })), "loose reads the disk, and checks it");
}

#[test]
fn a_project_in_a_subdirectory_has_its_own_rules() {
    let fixture = Fixture::with(&[
        ("sub/stager-giterminism.yaml", &rules("config: {goTemplateRendering: {allowEnvVariables: [TAG]}}")),
        ("sub/a", "inner"),
        ("a", "outer"),
    ]);
    let repository = crate::git::Repository::discover(&fixture.path("sub")).unwrap();
    let directory = fixture.path("sub");
    let gate = Gate::open(repository, GateOptions { directory, ..options(&fixture, Mode::Strict) }).unwrap();
    assert_eq!(gate.read("a").unwrap(), b"inner");
    assert_eq!(gate.glob("*").unwrap(), ["a", "stager-giterminism.yaml"]);
    assert!(gate.env("TAG").is_ok());
}

#[test]
fn variables_are_allowed_by_name_glob_or_expression() {
    let allow = "config:\n  goTemplateRendering:\n    allowEnvVariables: [TAG, 'GLOB_*', '/CI_[A-Z]+/', '/a|bc/']\n";
    let werf = strict(&Fixture::with(&[("werf-giterminism.yaml", &rules(allow))]));
    assert!(werf.env("GLOB_X").unwrap_err().is_refusal(), "werf knows no globs in names");
    assert!(werf.env("GLOB_*").is_ok() && werf.env("CI_JOB").is_ok());
    let fixture = Fixture::with(&[("stager-giterminism.yaml", &rules(allow))]);
    let gate = strict(&fixture);
    for name in ["TAG", "GLOB_X", "CI_JOB", "a", "bc"] {
        assert!(gate.env(name).is_ok(), "{name}");
    }
    for name in ["TAGS", "XCI_JOB", "CI_JOB1", "abc", "", "tag"] {
        assert!(gate.env(name).unwrap_err().is_refusal(), "{name}");
    }
    assert_eq!(gate.env("TAG").unwrap().as_deref(), Some("7"));
    assert_eq!(gate.env("GLOB_UNSET").unwrap(), None);
}

#[test]
fn what_a_config_claims_is_allowed_by_its_key() {
    type Check = dyn Fn(&Gate) -> Result<(), Error>;
    let native = "config: {native: {allowFromLatest: true, allowGitBranches: [main, /release-.*/], allowHostMounts: [/var/cache/*, ~/m2], allowHostNetwork: true}}";
    let stapel = "config: {stapel: {allowFromLatest: true, git: {allowBranch: true}, mount: {allowBuildDir: true, allowFromPaths: [/x]}}, dockerfile: {allowContextAddFiles: [f]}}\ncli: {allowCustomTags: true}";
    let cases: [(&Check, bool, bool); 12] = [
        (&|gate| gate.check_from_latest("app"), true, true),
        (&|gate| gate.check_git_branch("https://h/x", "main"), true, true),
        (&|gate| gate.check_git_branch("https://h/x", "release-1"), true, true),
        (&|gate| gate.check_git_branch("https://h/x", "other"), false, true),
        (&|gate| gate.check_host_mount("/var/cache/apt/y"), true, false),
        (&|gate| gate.check_host_mount("/x/y"), false, true),
        (&|gate| gate.check_host_mount("~/m2/repo"), true, false),
        (&|gate| gate.check_host_mount("/var/cache/../lib"), false, false),
        (&|gate| gate.check_host_network("app"), true, false),
        (&|gate| gate.check_build_dir_mount("/c"), false, true),
        (&|gate| gate.check_custom_tag("v1"), false, true),
        (&|gate| gate.check_context_file("f"), false, true),
    ];
    let gates = [native, stapel].map(|text| strict(&Fixture::with(&[("stager-giterminism.yaml", &rules(text))])));
    for (at, (check, by_native, by_stapel)) in cases.iter().enumerate() {
        assert_eq!((check(&gates[0]).is_ok(), check(&gates[1]).is_ok()), (*by_native, *by_stapel), "case {at}");
    }
    let gate = strict(&Fixture::with(&[("a", "")]));
    let refused = gate.check_from_latest("app").unwrap_err().to_string();
    assert_eq!(
        refused,
        "giterminism refuses `fromLatest` of image `app`: what the base's tag stands for changes without a commit"
    );
    let lines = "giterminismConfigVersion: 1\nconfig:\n  native:\n    allowFromLatest: true";
    assert_eq!(gate.refusals()[0].allow, format!("stager-giterminism.yaml:\n{lines}"));
    assert!(Rules::parse("f", lines).is_ok());
}

#[test]
fn secrets_are_allowed_and_never_recorded() {
    let host = tempfile::tempdir().unwrap();
    fs_err::write(host.path().join("npmrc"), "token").unwrap();
    let path = host.path().join("npmrc").display().to_string();
    let allow = format!(
        "config: {{secrets: {{allowEnvVariables: [TAG], allowFiles: ['{path}', keys/*], allowValueIds: [plain]}}}}"
    );
    let fixture = Fixture::with(&[("stager-giterminism.yaml", &rules(&allow))]);
    fixture.write("keys/a", "key");
    fixture.write("other", "no");
    let gate = strict(&fixture);
    let file = |path: &str| SecretSource::File(path.to_owned());
    let env = |name: &str| SecretSource::Env(name.to_owned());
    assert_eq!(gate.secret(&file(&path)).unwrap().0, b"token");
    assert_eq!(gate.secret(&file("keys/a")).unwrap().0, b"key");
    assert_eq!(gate.secret(&env("TAG")).unwrap().0, b"7");
    for refused in [file("other"), file("keys/../other"), env("CI_JOB"), file("~/x")] {
        assert!(gate.secret(&refused).unwrap_err().is_refusal(), "{refused:?}");
    }
    assert!(matches!(gate.secret(&file("keys/none")), Err(Error::NotFound { .. })));
    assert_eq!(gate.secret(&SecretSource::Value("x".to_owned())).unwrap().0, b"x");
    assert!(gate.check_secret_value("plain").is_ok() && gate.check_secret_value("other").is_err());
    assert!(gate.reads().iter().all(|read| read.kind != ReadKind::Secret || read.digest.is_none()));
}

#[test]
fn base_files_come_from_the_commit_or_an_allowed_path() {
    let host = tempfile::tempdir().unwrap();
    fs_err::write(host.path().join("base.tar"), "one").unwrap();
    fs_err::create_dir_all(host.path().join("layout/blobs")).unwrap();
    fs_err::write(host.path().join("layout/blobs/x"), "x").unwrap();
    let tar = host.path().join("base.tar").display().to_string();
    let allow = format!("config: {{native: {{allowBaseFiles: ['{}', local.tar]}}}}", host.path().display());
    let fixture = Fixture::with(&[
        ("stager-giterminism.yaml", &rules(&allow)),
        ("in/base.tar", "committed"),
        ("in/oci/index.json", "{}"),
        ("lfs.tar", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    ]);
    fixture.write("local.tar", "here");
    fixture.write("refused.tar", "");
    fixture.write("in/base.tar", "changed on disk");
    let cache = host.path().join("cache/base-files");
    let open = || strict(&fixture).with_checksum_cache(cache.clone());
    let gate = open();
    let scratch = tempfile::tempdir().unwrap();
    let read = |path: &str, to: &str| {
        let place = gate.materialize_base(path, &scratch.path().join(to)).unwrap();
        fs_err::read_to_string(place).unwrap()
    };
    assert_eq!(read("in/base.tar", "a"), "committed");
    assert_eq!(read("local.tar", "b"), "here");
    assert_eq!(read(&tar, "c"), "one");
    let layout = gate.materialize_base("in/oci", &scratch.path().join("oci")).unwrap();
    assert_eq!(fs_err::read_to_string(layout.join("index.json")).unwrap(), "{}");
    let checksums: Vec<_> =
        ["in/base.tar", "in/oci", "local.tar", &tar, &host.path().join("layout").display().to_string()]
            .map(|path| gate.base_checksum(path).unwrap())
            .into();
    assert!(checksums.iter().enumerate().all(|(at, one)| !checksums[at + 1..].contains(one)));
    assert_eq!(open().base_checksum(&tar).unwrap(), checksums[3]);
    fs_err::write(&tar, "two").unwrap();
    assert_ne!(open().base_checksum(&tar).unwrap(), checksums[3]);
    assert!(gate.base_checksum("refused.tar").unwrap_err().is_refusal());
    assert!(matches!(gate.base_checksum("none.tar"), Err(Error::NotFound { .. })));
    let lfs = gate.materialize_base("lfs.tar", &scratch.path().join("l")).unwrap_err();
    assert!(matches!(lfs, Error::LfsPointer { .. }));
}

#[test]
fn kept_checksums_are_those_of_unchanged_files() {
    let host = tempfile::tempdir().unwrap();
    let file = host.path().join("old.tar");
    fs_err::write(&file, "old").unwrap();
    // The change time cannot be set; a cache line for the file as it is stands for a settled one.
    let cache = host.path().join("cache");
    let fixture = Fixture::with(&[(
        "stager-giterminism.yaml",
        &rules(&format!("config: {{native: {{allowBaseFiles: ['{}']}}}}", file.display())),
    )]);
    let checksum = |cache: Option<&Path>| {
        let gate = strict(&fixture);
        let gate = match cache {
            Some(cache) => gate.with_checksum_cache(cache.to_owned()),
            None => gate,
        };
        gate.base_checksum(file.to_str().unwrap()).unwrap()
    };
    let plain = checksum(None);
    assert_eq!(checksum(Some(&cache)), plain);
    let kept = fs_err::read_to_string(&cache).unwrap();
    assert_eq!(kept.lines().count(), 1, "a young file is not kept: {kept}");
    fs_err::write(&cache, "damaged\u{0}").unwrap();
    assert_eq!(checksum(Some(&cache)), plain);
}

#[test]
fn rules_are_strict() {
    let parse = |text: &str| Rules::parse("f", text).unwrap_err().to_string();
    assert!(Rules::parse("f", "giterminismConfigVersion: \"1\"\nhelm: {allowUncommittedFiles: [x]}\nincludes: {allowIncludesUpdate: true}\n").is_ok());
    assert!(Rules::parse("f", &rules("config: {dockerfile: {allowUncommitted: [D], allowUncommittedDockerignoreFiles: [i], allowContextAddFiles: [c]}}")).is_ok());
    let unknown = parse(&rules("confg: {}\nconfig: {allowUncomitted: true, stapel: {git: {x: 1}}}\n"));
    for part in [
        "`confg` (did you mean `config`?)",
        "`config.allowUncomitted` (did you mean `allowUncommitted`?)",
        "`config.stapel.git.x`",
    ] {
        assert!(unknown.contains(part), "{unknown}");
    }
    for (bad, part) in [
        ("", "giterminismConfigVersion: 1 is missing"),
        ("config: {}", "giterminismConfigVersion: 1 is missing"),
        ("giterminismConfigVersion: 2", "must be 1"),
        ("giterminismConfigVersion: 1\nconfig: null", "config"),
        ("giterminismConfigVersion: 1\nconfig: {allowUncommitted: yes please}", "config.allowUncommitted"),
        ("giterminismConfigVersion: 1\nconfig: {goTemplateRendering: {allowEnvVariables: ['/(/']}}", "/(/"),
        ("giterminismConfigVersion: 1\nconfig: {allowUncommittedTemplates: ['[']}", "malformed"),
        ("giterminismConfigVersion: 1\nconfig: {secrets: {allowFiles: ['[']}}", "config.secrets.allowFiles"),
        ("giterminismConfigVersion: 1\nconfig: {}\nconfig: {}", "line 3: the key `config` is there twice"),
        ("giterminismConfigVersion: 1\n---\na: b", "document"),
    ] {
        assert!(parse(bad).contains(part), "{bad}: {}", parse(bad));
    }
}

#[test]
fn an_unknown_key_of_the_werf_file_is_passed_over() {
    let text = rules("config:\n  allowUncommitedTemplates: [a]\n  goTemplateRendering: {allowEnvVariables: [TAG]}\n");
    let gate = strict(&Fixture::with(&[("werf-giterminism.yaml", &text)]));
    assert_eq!(gate.env("TAG").unwrap().as_deref(), Some("7"));
    assert_eq!(
        gate.unread_rules(),
        ["`werf-giterminism.yaml`, line 3: unknown key `config.allowUncommitedTemplates`, it allows nothing: \
          did you mean `allowUncommittedTemplates`?"]
    );
    let refused = gate.refuse_unread_rules().unwrap_err().to_string();
    assert!(refused.contains("unknown key `config.allowUncommitedTemplates`"), "werf v3 refuses it: {refused}");
    let gate = open(&Fixture::with(&[("stager-giterminism.yaml", &text)]), Mode::Strict);
    assert!(gate.is_err(), "stager's own file is strict");
    let known = strict(&Fixture::with(&[("werf-giterminism.yaml", &rules("config: {allowUncommitted: true}"))]));
    assert!(known.refuse_unread_rules().is_ok());
}

#[test]
fn of_equal_keys_of_the_werf_file_the_last_one_counts() {
    let text = rules(concat!(
        "config:\n  goTemplateRendering: {allowEnvVariables: [TAG]}\n  secrets: {allowValueIds: [a], allowValueIds: [b]}\n",
        "config:\n  secrets: {allowValueIds: [c], allowValueIds: [d]}\n",
    ));
    let gate = strict(&Fixture::with(&[("werf-giterminism.yaml", &text)]));
    assert!(gate.env("TAG").unwrap_err().is_refusal(), "the whole of an earlier section is passed over");
    let allowed: Vec<&str> =
        ["a", "b", "c", "d"].into_iter().filter(|id| gate.check_secret_value(id).is_ok()).collect();
    assert_eq!(allowed, ["d"]);
    let lines: Vec<String> = gate.unread_rules();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines.contains(
            &"`werf-giterminism.yaml`, line 5: the key `config` is there twice, the last one counts".to_owned()
        ),
        "{lines:?}"
    );
    assert!(gate.refuse_unread_rules().is_ok(), "v3 takes them too");
    let gate = open(&Fixture::with(&[("stager-giterminism.yaml", &text)]), Mode::Strict);
    assert!(gate.is_err(), "stager's own file is strict");
}

#[test]
fn everything_read_is_remembered() {
    let allow = rules("config: {goTemplateRendering: {allowEnvVariables: [TAG]}}");
    let fixture = Fixture::with(&[("stager-giterminism.yaml", &allow), ("a", "1"), ("b/c", "2")]);
    let gate = strict(&fixture);
    gate.read("a").unwrap();
    gate.read("a").unwrap();
    gate.glob("b/*").unwrap();
    gate.env("TAG").unwrap();
    let reads: Vec<_> = gate.reads().into_iter().map(|read| (read.kind, read.name, read.digest.is_some())).collect();
    let read = |kind, name: &str, present| (kind, name.to_owned(), present);
    let expected = [
        read(ReadKind::Committed, "a", true),
        read(ReadKind::Committed, "stager-giterminism.yaml", true),
        read(ReadKind::Committed, "werf-giterminism.yaml", false),
        read(ReadKind::Glob, "b/*", true),
        read(ReadKind::Variable, "TAG", true),
    ];
    assert_eq!(reads, expected);
}
