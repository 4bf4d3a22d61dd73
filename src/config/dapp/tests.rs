//! Dappfiles as people write them, and what becomes of them.

use std::sync::Arc;

use stages::spec::{Base, Command, Content, FileView, ImageSpec, MountSource, Post};

use super::ProjectHome;
use crate::config::{Claim, ConfigError, GitValues, GoSettings, LoadRequest, LoweredConfig, load};
use crate::source::MemoryFiles;
use crate::ui::diagnostics;

fn load_files(files: MemoryFiles) -> Result<LoweredConfig, ConfigError> {
    let home = ProjectHome { origin: Some("git@example.org:group/shop.git".to_owned()), directory: None };
    let (git, go) = (GitValues { commit: None, branch: None, tag: None }, GoSettings::default());
    load(&LoadRequest { files: Arc::new(files), config_path: None, dialect: None, git, go, home })
}

fn loaded(text: &str) -> LoweredConfig {
    load_files(MemoryFiles::new().file("dappfile.yml", text)).unwrap_or_else(|error| panic!("{}", shown_error(&error)))
}

fn shown_error(error: &ConfigError) -> String {
    diagnostics::render(&error.diagnostics, &error.sources, false)
}

/// What a person sees of a config that does not load.
fn shown(text: &str) -> String {
    shown_error(&load_files(MemoryFiles::new().file("dappfile.yml", text)).expect_err(text))
}

fn image<'c>(config: &'c LoweredConfig, name: &str) -> &'c ImageSpec {
    config.project.image(&name.parse().unwrap()).unwrap_or_else(|| panic!("no image {name}"))
}

fn slots(image: &ImageSpec) -> Vec<&str> {
    image.conveyor.iter().map(|place| place.slot.name()).collect()
}

fn post(image: &ImageSpec) -> &Post {
    image
        .conveyor
        .iter()
        .find_map(|place| match &place.content {
            Content::Post(post) => Some(&**post),
            _ => None,
        })
        .expect("it has config")
}

fn commands(image: &ImageSpec, slot: &str) -> Command {
    let place = image.conveyor.iter().find(|place| place.slot.name() == slot);
    match place.map(|place| &place.content) {
        Some(Content::Step(step)) => step.command.clone(),
        other => panic!("{slot}: {other:?}"),
    }
}

const EVERYTHING: &str = r#"
{{ $_ := set . "Base" "alpine:3.6" }}
---
artifact: assets
from: {{ .Base }}
git:
- add: /src
  to: /src
  as: sources
  stageDependencies: {setup: ["*.js", lib/], buildArtifact: package.json}
shell:
  setup: npm i
  buildArtifact: [make, make install]
  buildArtifactCacheVersion: 3
---
dimg: app
from: {{ .Base }}
fromCacheVersion: 2
mount:
- {from: tmp_dir, to: /var/cache/apt}
- {from: build_dir, to: /root/.cache}
git:
- {add: /, to: /app, owner: app, excludePaths: [src], stageDependencies: {install: Gemfile}}
- {url: "https://example.org/group/lib.git", commit: 0123456789012345678901234567890123456789, to: /lib}
shell:
  beforeInstall: [apk update, apk add ruby]
  install: bundle
  cacheVersion: 1
import:
- {artifact: assets, add: /out, to: /app/public, after: setup}
- {artifact: assets, add: /etc/x, before: install}
docker:
  ENV: {A: "'b c'", PATH: "$PATH:/x"}
  LABEL: {maintainer: me}
  CMD: run it
  ENTRYPOINT: [/entry, -x]
  EXPOSE: ["80", 53/udp]
  VOLUME: /data
  ONBUILD: RUN true
  WORKDIR: /app
  USER: app
---
dimg: [web, worker]
fromDimg: app
ansible:
  setup:
  - name: a
    copy: {content: x, dest: /y, mode: 0644}
  - block: [{command: a}]
    rescue: [{debug: {msg: yes}}]
---
dimg: base
fromDimgArtifact: assets
"#;

#[test]
fn everything_that_there_is_is_read() {
    let config = loaded(EVERYTHING);
    assert_eq!(config.project.name.as_str(), "shop");
    let names: Vec<&str> = config.project.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["assets", "app", "web", "worker", "base"]);
    let warnings: Vec<&str> = config.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, ["`git.as` means nothing"]);

    let assets = image(&config, "assets");
    assert_eq!(slots(assets), ["g_a_archive", "setup", "build_artifact"]);
    assert_eq!(commands(assets, "build_artifact"), Command::Script(vec!["make".to_owned(), "make install".to_owned()]));
    let keys: Vec<(&FileView, usize)> = assets
        .conveyor
        .iter()
        .filter_map(|place| match &place.content {
            Content::Step(step) => Some((&step.files, step.cache_versions.len())),
            _ => None,
        })
        .collect();
    let keyed = |patterns: &[&str]| FileView::KeyedBy(vec![patterns.iter().map(|&text| text.to_owned()).collect()]);
    assert_eq!(keys, [(&keyed(&["*.js", "lib"]), 0), (&keyed(&["package.json"]), 1)]);

    let app = image(&config, "app");
    let order = ["before_install", "before_install_artifact", "g_a_archive", "install", "before_setup", "setup"];
    assert_eq!(slots(app)[..6], order, "a cache version makes every stage");
    assert_eq!(slots(app)[6..], ["after_setup_artifact", "docker_instructions"]);
    assert_eq!(app.from_cache_version.as_deref(), Some("2"));
    assert_eq!(
        app.mounts.iter().map(|mount| &mount.source).collect::<Vec<_>>(),
        [&MountSource::Run, &MountSource::Cache]
    );
    assert_eq!(app.git[0].exclude_paths, ["src", "public"], "what an import places there is left out");
    assert_eq!(app.git[0].owner.user.as_deref(), Some("app"));
    assert!(config.claims.is_empty(), "{:?}", config.claims);
    let config_of_app = post(app);
    assert_eq!((config_of_app.env["A"].as_str(), config_of_app.env["PATH"].as_str()), ("b c", "$PATH:/x"));
    assert_eq!(config_of_app.cmd.as_deref(), Some(&["run it".to_owned()][..]), "no shell is put around a text");
    assert_eq!(config_of_app.expose, ["80/tcp", "53/udp"]);
    assert_eq!(config_of_app.on_build, ["RUN true"]);

    let web = image(&config, "web");
    assert_eq!(web.base, Base::Image { name: "app".parse().unwrap() });
    assert_eq!(web.mounts, app.mounts, "mounts are inherited");
    let Command::Ansible(tasks) = commands(web, "setup") else { panic!("no tasks") };
    assert_eq!(tasks[0], r#"{"copy":{"content":"x","dest":"/y","mode":420},"name":"a"}"#);
    assert_eq!(image(&config, "base").base, Base::Artifact { name: "assets".parse().unwrap() });
}

#[test]
fn layers_are_a_stage_for_each_command() {
    let config = loaded(
        "dimg: ~\nfrom: alpine\nasLayers: true\ngit: [{to: /app}]\nimport: [{artifact: a, add: /x, before: install}]\n\
         shell: {beforeInstall: [a, b], setup: c}\n---\nartifact: a\nfrom: alpine\n",
    );
    let nameless = image(&config, "");
    assert_eq!(
        slots(nameless),
        ["before_install-0", "before_install-1", "g_a_archive", "before_install_artifact", "setup"]
    );
    assert_eq!(commands(nameless, "before_install-1"), Command::Script(vec!["b".to_owned()]));
    assert_eq!(
        nameless.base,
        Base::Registry { reference: "docker.io/library/alpine:latest".to_owned(), latest: false }
    );
}

#[test]
fn an_artifact_may_have_the_name_of_a_dimg() {
    let config = loaded(
        "dimg: app\nfrom: a\nimport: [{artifact: app, add: /x, after: install}]\n---\nartifact: app\nfrom: a\n---\n\
         dimg: other\nfromDimgArtifact: app\n",
    );
    let names: Vec<&str> = config.project.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["app", "app-artifact", "other"]);
    assert_eq!(image(&config, "other").base, Base::Artifact { name: "app-artifact".parse().unwrap() });
}

#[test]
fn templates_are_those_below_dappfiles() {
    let files = MemoryFiles::new()
        .file("dappfile.yaml", "{{ include \"lib/base.tmpl\" . }}\n{{ template \"more\" . }}\n")
        .file(".dappfiles/lib/base.tmpl", "{{ define \"more\" }}from: {{ env \"BASE\" }}{{ end }}dimg: app\n")
        .file(".dappfiles/ignored.yml", "{{ nonsense")
        .variable("BASE", "alpine:3.6");
    let config = load_files(files).unwrap();
    assert!(
        matches!(&image(&config, "app").base, Base::Registry { reference, .. } if reference.ends_with("alpine:3.6"))
    );
}

#[test]
fn both_names_of_the_file_are_known_and_yml_is_the_first() {
    let files = MemoryFiles::new().file("dappfile.yaml", "dimg: b\nfrom: a").file("dappfile.yml", "dimg: a\nfrom: a");
    assert!(load_files(files).unwrap().project.image(&"a".parse().unwrap()).is_some());
    let ruby = MemoryFiles::new().file("Dappfile", "dimg do\n  docker.from 'ubuntu:16.04'\nend\n");
    let error = load_files(ruby.clone()).unwrap_err();
    let shown = shown_error(&error);
    assert!(shown.contains("Ruby program") && shown.contains("`docker.from` is `from`"), "{shown}");
    assert!(load_files(ruby.file("dappfile.yml", "dimg: a\nfrom: a")).is_ok());
}

#[test]
fn what_reaches_outside_of_the_commit_is_claimed() {
    let config = loaded(
        "dimg: a\nfrom: a\nmount: [{fromPath: /srv/cache, to: /c}]\n\
         git: [{url: \"https://example.org/group/lib.git\", to: /lib}]\n",
    );
    let claims: Vec<&Claim> = config.claims.iter().map(|(claim, _)| claim).collect();
    assert!(claims.contains(&&Claim::HostMount { path: "/srv/cache".to_owned() }), "{claims:?}");
    assert!(claims.iter().any(|claim| matches!(claim, Claim::GitBranch { .. })), "{claims:?}");
}

#[test]
fn unknown_keys_are_reported_all_at_once() {
    let text =
        shown("dimg: a\nfrom: a\nshel: {}\ngit: [{to: /a, path: x}]\n---\ndimg: b\nfrom: a\ndocker: {Env: {}}\n");
    for words in ["unknown key `shel`", "`shell`", "unknown key `git[0].path`", "unknown key `docker.Env`", "`ENV`"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

/// Each config is wrong in one way, and is told so in these words.
#[test]
fn errors_say_what_is_wrong() {
    let cases: &[(&str, &[&str])] = &[
        ("from: a\n", &["neither a dimg nor an artifact", "add `dimg: NAME`"]),
        ("dimg: a\nartifact: b\nfrom: a\n", &["either a dimg or an artifact"]),
        ("artifact: a\nfrom: a\n", &["no dimg"]),
        ("dimg: 1\nfrom: a\n", &["`dimg` must be a name or a list of names"]),
        ("dimg: {}\nfrom: a\n", &["`dimg` must be a name or a list of names"]),
        ("- a\n", &["must be a map"]),
        ("dimg: a\n", &["no base", "`fromDimgArtifact: NAME`", "in dimg `a`"]),
        ("dimg: a\nfrom: a\nfromDimg: b\n---\ndimg: b\nfrom: a\n", &["exclude each other"]),
        ("dimg: a\nfromDimg: a\n", &["names the document itself"]),
        (
            "dimg: abc\nfromDimg: ab\n---\ndimg: abd\nfrom: a\n",
            &["names the dimg `ab`, which is not there", "did you mean"],
        ),
        ("dimg: a\nfromDimg: b\n---\nartifact: b\nfrom: a\n", &["write `fromDimgArtifact: b`"]),
        ("dimg: a\nfromDimgArtifact: b\n---\ndimg: b\nfrom: a\n", &["write `fromDimg: b`"]),
        ("dimg: a\nfromDimg: b\n---\ndimg: b\nfromDimg: a\n", &["in a circle"]),
        ("dimg: a\nfrom: a\n---\ndimg: a\nfrom: a\n", &["the name `a` is there twice"]),
        ("artifact: a\nfrom: a\n---\nartifact: a\nfrom: a\n---\ndimg: b\nfrom: a\n", &["the name `a` is there twice"]),
        ("dimg: ~\nfrom: a\n---\ndimg: b\nfrom: a\n", &["without a name has to be the only one"]),
        ("dimg: a\nfrom: a\ngit: [{add: a, to: /b}]\n", &["`git[0].add` must be an absolute path"]),
        ("dimg: a\nfrom: a\ngit: [{add: /a}]\n", &["missing key `git[0].to`"]),
        ("dimg: a\nfrom: a\ngit: [{to: /a, includePaths: /x}]\n", &["relative to `add`"]),
        (
            "dimg: a\nfrom: a\ngit: [{to: /a, stageDependencies: {setup: [/x]}}]\n",
            &["stageDependencies.setup", "relative"],
        ),
        ("dimg: a\nfrom: a\ngit: [{to: /a, branch: b}]\n", &["goes with `url` only"]),
        ("dimg: a\nfrom: a\ngit: [{to: /a, url: \"https://x/y/z\"}]\n", &["must end in `OWNER/NAME.git`"]),
        ("dimg: a\nfrom: a\ngit: [{to: /a, url: x/y.git, tag: a, branch: b}]\n", &["exclude each other"]),
        ("dimg: a\nfrom: a\ngit: [{to: /a}, {to: /a}]\n", &["place the same"]),
        ("dimg: a\nfrom: a\nshell: {}\nansible: {}\n", &["by `shell` or by `ansible`"]),
        ("dimg: a\nfrom: a\nshell: {install: 1}\n", &["must be text or a list of texts"]),
        ("dimg: a\nfrom: a\nshell: {buildArtifact: x}\n", &["`shell.buildArtifact` is for artifacts only"]),
        ("dimg: a\nfrom: a\nansible: {setup: [{foo: x}]}\n", &["uses no module that is supported"]),
        ("dimg: a\nfrom: a\nansible: {setup: [{copy: {}, file: {}}]}\n", &["uses two modules"]),
        ("dimg: a\nfrom: a\nmount: [{from: x, to: /a}]\n", &["must be `tmp_dir` or `build_dir`"]),
        ("dimg: a\nfrom: a\nmount: [{fromPath: x, to: /a}]\n", &["`mount[0].fromPath` must be an absolute path"]),
        (
            "dimg: a\nfrom: a\nmount: [{from: tmp_dir, to: /a}, {from: build_dir, to: /a}]\n",
            &["two mounts are at `/a`"],
        ),
        ("dimg: a\nfrom: a\nimport: [{add: /a, before: setup}]\n", &["missing key `import[0].artifact`"]),
        (
            "dimg: a\nfrom: a\nimport: [{artifact: b, add: /a, before: setup}]\n",
            &["names the artifact `b`, which is not there"],
        ),
        ("dimg: a\nfrom: a\nimport: [{artifact: b, add: /a}]\n---\nartifact: b\nfrom: a\n", &["does not say when"]),
        (
            "dimg: a\nfrom: a\nimport: [{artifact: b, add: /a, before: beforeSetup}]\n---\nartifact: b\nfrom: a\n",
            &["must be `install` or `setup`"],
        ),
        (
            "dimg: a\nfrom: a\nimport: [{artifact: b, add: /a, before: setup}]\n---\ndimg: b\nfrom: a\n",
            &["make it an artifact"],
        ),
        ("dimg: a\nfrom: a\ndocker: {EXPOSE: 80}\n", &["must be text or a list of texts", "quote it"]),
        ("dimg: a\nfromDimgArtifact: b\n---\nartifact: b\nfrom: a\ndocker: {USER: a}\n", &["cannot have `docker`"]),
    ];
    for (text, words) in cases {
        let shown = shown(text);
        for word in *words {
            assert!(shown.contains(word), "{text}\nis not told {word:?}:\n{shown}");
        }
        assert!(!shown.contains("`fromImage"), "these are werf's words:\n{shown}");
    }
}
