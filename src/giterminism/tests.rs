use std::collections::BTreeMap;
use std::path::Path;

use stages::spec::SecretSource;

use super::*;
use crate::git::fixture::Fixture;
use crate::source::{FileReader as _, ReadErrorKind};

fn options(fixture: &Fixture, mode: Mode) -> GateOptions {
    let repository = fixture.repository();
    GateOptions {
        tree: repository.head().unwrap().tree,
        repository,
        directory: fixture.directory.path().canonicalize().unwrap(),
        config: None,
        mode,
        env: BTreeMap::from([("TAG".to_owned(), "7".to_owned()), ("CI_JOB".to_owned(), "x".to_owned())]),
        home: Some("/home/u".into()),
        checksum_cache: None,
    }
}

fn strict(fixture: &Fixture) -> Gate {
    Gate::open(options(fixture, Mode::Strict)).unwrap()
}

fn loose(fixture: &Fixture) -> Gate {
    Gate::open(options(fixture, Mode::Loose)).unwrap()
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
    assert_eq!(gate.read("../x").unwrap_err().kind, ReadErrorKind::Invalid);
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
        assert!(error.is_refusal() && error.message.contains(path) && error.message.contains(rule), "{error}");
        assert!(error.hint.unwrap().contains(rule.rsplit('.').next().unwrap()));
        assert!(refusals(&gate).iter().any(|(of, names)| *of == kind && names.contains(&path.to_owned())));
    }
    assert_eq!(gate.read("out").unwrap_err().kind, ReadErrorKind::NotFound, "what git ignores is not there");
    let together = gate.refusals().into_iter().find(|refusal| refusal.names.len() == 2).unwrap();
    assert_eq!(
        together.to_string(),
        "giterminism: files `data/x`, `link` differ from the commit (config.goTemplateRendering.allowUncommittedFiles)"
    );
    assert_eq!(together.remedy, "config:\n  goTemplateRendering:\n    allowUncommittedFiles: [\"data/x\", \"link\"]");
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
    assert_eq!(gate.secret(&SecretSource::Env("TAG".to_owned())).unwrap(), b"7");
    assert_eq!(gate.refusals().len(), 5, "{:?}", gate.refusals());
}

#[test]
fn a_snapshot_is_read_without_a_look_at_the_disk() {
    let fixture = Fixture::with(&[("stager.yaml", "a")]);
    fixture.write("stager.yaml", "changed");
    fixture.write("new", "");
    let gate = Gate::open(options(&fixture, Mode::Dev)).unwrap();
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
fn rules_themselves_must_be_committed() {
    let fixture = Fixture::with(&[("stager.yaml", "")]);
    fixture.write("stager-giterminism.yaml", VERSION);
    let open = |mode| Gate::open(options(&fixture, mode));
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
    let directory = fixture.path("sub").canonicalize().unwrap();
    let gate = Gate::open(GateOptions { repository, directory, ..options(&fixture, Mode::Strict) }).unwrap();
    assert_eq!(gate.read("a").unwrap(), b"inner");
    assert_eq!(gate.glob("*").unwrap(), ["a", "stager-giterminism.yaml"]);
    assert!(gate.env("TAG").is_ok());
}

#[test]
fn variables_are_allowed_by_name_glob_or_expression() {
    let allow = "config:\n  goTemplateRendering:\n    allowEnvVariables: [TAG, 'GLOB_*', '/CI_[A-Z]+/', '/a|bc/']\n";
    let fixture = Fixture::with(&[("werf-giterminism.yaml", &rules(allow))]);
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
fn uses_are_allowed_under_their_own_keys() {
    let native = "config: {native: {allowFromLatest: true, allowGitBranches: true, allowHostMounts: [/var/cache/*, ~/m2], allowHostNetwork: true}}";
    let stapel = "config: {stapel: {allowFromLatest: true, git: {allowBranch: true}, mount: {allowBuildDir: true, allowFromPaths: [/x]}}}\ncli: {allowCustomTags: true}";
    let uses = [
        (Use::FromLatest("debian"), true, true),
        (Use::GitBranch("https://h/x"), true, true),
        (Use::HostMount("/var/cache/apt/y"), true, false),
        (Use::HostMount("/x/y"), false, true),
        (Use::HostMount("~/m2/repo"), true, false),
        (Use::HostMount("/var/cache/../lib"), false, false),
        (Use::HostNetwork("app"), true, false),
        (Use::BuildDirMount("/c"), false, true),
        (Use::CustomTag("v1"), false, true),
        (Use::ContextFile("f"), false, false),
    ];
    for (text, keys) in [(native, Keys::Native), (stapel, Keys::Stapel)] {
        let fixture = Fixture::with(&[("stager-giterminism.yaml", &rules(text))]);
        let gate = strict(&fixture);
        for (used, by_native, by_stapel) in &uses {
            let expected = if keys == Keys::Native { by_native } else { by_stapel };
            assert_eq!(gate.check(keys, used).is_ok(), *expected, "{keys:?} {used:?}");
        }
    }
    let gate = strict(&Fixture::with(&[("a", "")]));
    let refused = gate.check(Keys::Native, &Use::FromLatest("debian:12")).unwrap_err().to_string();
    assert_eq!(refused, "giterminism: `fromLatest` of `debian:12` is not allowed (config.native.allowFromLatest)");
    assert_eq!(gate.refusals()[0].remedy, "config:\n  native:\n    allowFromLatest: true");
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
    assert_eq!(gate.secret(&file(&path)).unwrap(), b"token");
    assert_eq!(gate.secret(&file("keys/a")).unwrap(), b"key");
    assert_eq!(gate.secret(&env("TAG")).unwrap(), b"7");
    for refused in [file("other"), file("keys/../other"), env("CI_JOB"), file("~/x")] {
        assert!(gate.secret(&refused).unwrap_err().is_refusal(), "{refused:?}");
    }
    assert!(matches!(gate.secret(&file("keys/none")), Err(Error::NotFound { .. })));
    let value = SecretSource::Value("hunter2".to_owned());
    assert!(gate.check_secret("plain", &value).is_ok());
    let error = gate.check_secret("other", &value).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
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
    let open = || {
        let options = GateOptions { checksum_cache: Some(cache.clone()), ..options(&fixture, Mode::Strict) };
        Gate::open(options).unwrap()
    };
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
        let options = GateOptions { checksum_cache: cache.map(Path::to_owned), ..options(&fixture, Mode::Strict) };
        Gate::open(options).unwrap().base_checksum(file.to_str().unwrap()).unwrap()
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
        ("giterminismConfigVersion: 1\nconfig: {}\nconfig: {}", "duplicate"),
        ("giterminismConfigVersion: 1\n---\na: b", "document"),
    ] {
        assert!(parse(bad).contains(part), "{bad}: {}", parse(bad));
    }
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
