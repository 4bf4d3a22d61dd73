//! Images made of images: bases, imports, and the image config.

use std::path::PathBuf;

use serde_json::json;

use crate::env::{TestEnv, sha256};

#[test]
fn an_image_on_an_image_starts_with_its_layers() {
    let env = TestEnv::new();
    env.project().busybox().file("src/x", "x\n").config(
        "image: app
fromImage: base
build: {steps: [{name: two, command: cat /one > /two}]}
post: {env: {B: \"$A-2\"}, labels: {b: '2'}}
---
image: base
from: rootfs:base.tar
build: {steps: [{name: one, command: echo 1 > /one}]}
post: {env: {A: '1'}, labels: {a: '1'}, user: '33:33', workdir: /tmp, cmd: [/bin/sh]}
---
image: other
fromArtifact: tool
---
artifact: tool
from: rootfs:base.tar
build: {steps: [{name: tool, command: echo tool > /tool}]}
",
    );
    env.project().commit("start");
    let (_, base) = env.image("base");
    let (report, app) = env.image("app");
    assert_eq!(report.steps(), "base build/one Reused\napp build/two Built\n");
    assert!(app.diff_ids().starts_with(&base.diff_ids()));
    assert_eq!(app.diff_ids().len(), base.diff_ids().len() + 1);
    let config = &app.config["config"];
    assert_eq!(config["User"], "33:33");
    assert_eq!(config["WorkingDir"], "/tmp");
    assert_eq!(config["Cmd"], json!(["/bin/sh"]));
    let variables: Vec<_> = config["Env"].as_array().unwrap().iter().filter_map(|value| value.as_str()).collect();
    assert!(variables.contains(&"A=1") && variables.contains(&"B=1-2"), "{variables:?}");
    assert_eq!((&config["Labels"]["a"], &config["Labels"]["b"]), (&json!("1"), &json!("2")));
    assert_eq!(need!(app.tree())["/two"].sha256.as_deref(), Some(sha256(b"1\n").as_str()));
    let (report, other) = env.image("other");
    assert!(report.images.iter().all(|image| image.name != "tool" || image.artifact), "{report:?}");
    assert!(need!(other.tree()).contains_key("/tool"));
}

#[test]
fn git_content_keeps_modes_links_and_names_and_gets_owners() {
    let env = TestEnv::new();
    let project = env.project().busybox().file("app/run", "#!/bin/sh\n").mode("app/run", 0o755).link("app/link", "run");
    project.file("app/ö dd\tname", "odd\n").file("app/docs/x.md", "docs\n").file("app/keep.md", "keep\n");
    project.config(
        "image: app
from: rootfs:base.tar
git:
  - {add: /app, to: /srv/app, excludePaths: [docs], owner: www, group: staff}
  - {add: /app/keep.md, to: /single.md, owner: 7}
  - {add: /app, to: /md, includePaths: ['**/*.md']}
",
    );
    project.commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert_eq!((tree["/srv/app/run"].mode, tree["/srv/app/run"].owner), (0o755, (33, 50)));
    assert_eq!(tree["/srv/app/link"].link, Some(PathBuf::from("run")));
    assert_eq!(tree["/srv/app/link"].owner, (33, 50));
    assert_eq!(tree["/srv/app/ö dd\tname"].size, 4);
    assert!(!tree.contains_key("/srv/app/docs"), "excluded");
    assert_eq!((tree["/single.md"].size, tree["/single.md"].owner.0), (5, 7));
    let md: Vec<_> = tree.keys().filter(|path| path.starts_with("/md/")).collect();
    assert_eq!(md, ["/md/docs", "/md/docs/x.md", "/md/keep.md"]);
    assert_eq!(tree["/srv/app/run"].mtime, 315_532_801, "SOURCE_DATE_EPOCH");
}

#[test]
fn an_owner_that_the_base_does_not_know_is_named() {
    let env = TestEnv::new();
    env.project().busybox().config("image: app\nfrom: rootfs:base.tar\ngit: [{add: /, to: /x, owner: nobodyatall}]\n");
    env.project().commit("start");
    env.stager(["build"]).says(&["nobodyatall", "/etc/passwd"]);
}

#[test]
fn submodules_and_remote_repositories_bring_their_files() {
    let (env, library) = (TestEnv::new(), TestEnv::new());
    let commit = library.project().file("lib/l.txt", "library\n").commit("library");
    let url = format!("file://{}", library.project().path().display());
    env.project().git(["submodule", "--quiet", "add", &url, "vendor/lib"]);
    env.project().file("src/x", "x\n").config(&format!(
        "image: app
from: scratch
git:
  - {{add: /vendor, to: /vendor}}
  - {{url: '{url}', commit: {commit}, add: /lib, to: /remote, owner: 3}}
"
    ));
    env.project().commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert_eq!(tree["/vendor/lib/lib/l.txt"].size, 8);
    assert_eq!((tree["/remote/l.txt"].size, tree["/remote/l.txt"].owner), (8, (3, 0)));
}

#[test]
fn imports_choose_files_and_owners() {
    let env = TestEnv::new();
    env.project().busybox().config(
        "artifact: assets
from: rootfs:base.tar
build:
  steps:
    - name: make
      command: |
        mkdir -p /dist/js/deep /dist/css
        echo a > /dist/js/a.js; echo b > /dist/js/deep/b.js; echo c > /dist/css/c.css; echo d > /dist/d.map
        ln -s a.js /dist/js/link.js; chown 50:50 /dist/css/c.css; chmod 600 /dist/css/c.css
---
image: app
from: rootfs:base.tar
import:
  - {fromArtifact: assets, add: /dist, to: /srv/www, includePaths: ['**/*.js'], owner: www, before: build}
  - {fromArtifact: assets, add: /dist, to: /all, excludePaths: ['*.map'], after: build}
  - {fromArtifact: assets, add: /dist/d.map, to: /etc/d.map, before: deps}
build:
  steps: [{name: use, command: 'cat /srv/www/js/link.js > /used; test ! -e /all; test -e /etc/d.map'}]
",
    );
    env.project().commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    let under = |directory: &str| {
        let files = tree.iter().filter(|(path, entry)| path.starts_with(directory) && entry.kind != 'd');
        files.map(|(path, _)| path.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(under("/srv/www"), ["/srv/www/js/a.js", "/srv/www/js/deep/b.js", "/srv/www/js/link.js"]);
    assert_eq!(under("/all"), ["/all/css/c.css", "/all/js/a.js", "/all/js/deep/b.js", "/all/js/link.js"]);
    assert_eq!(tree["/srv/www/js/a.js"].owner.0, 33);
    assert_eq!((tree["/all/css/c.css"].owner, tree["/all/css/c.css"].mode), ((50, 50), 0o600));
    assert_eq!(tree["/used"].size, 2);
}

#[test]
fn an_import_of_nothing_is_an_error() {
    let env = TestEnv::new();
    let import = "import: [{fromArtifact: a, add: /nowhere, to: /x, after: deps}]";
    env.project()
        .busybox()
        .config(&format!("artifact: a\nfrom: rootfs:base.tar\n---\nimage: app\nfrom: rootfs:base.tar\n{import}\n"));
    env.project().commit("start");
    let output = env.stager(["build"]);
    assert_ne!(output.code, 0);
    output.says(&["/nowhere", "app"]);
}

#[test]
fn image_post_writes_links_and_the_whole_config() {
    let env = TestEnv::new();
    env.project().file("src/app", "x\n").config(
        "image: app
from: scratch
git: [{add: /src, to: /opt}]
post:
  symlinks: {/opt/app: {paths: [/app, /usr/bin/app], uid: 1000, gid: 1001}}
  labels: {org.example: '1'}
  env: {PATH: '/opt/bin:/bin'}
  entrypoint: /app --flag 'two words'
  cmd: [serve]
  workdir: /opt
  user: '1000:1001'
  stopSignal: SIGQUIT
  volumes: [/data]
  expose: [8080/tcp]
  healthcheck: {test: [CMD, /app, --check], interval: 30s, retries: 3}
",
    );
    env.project().commit("start");
    let (_, image) = env.image("app");
    let config = &image.config["config"];
    assert_eq!(config["Labels"], json!({"org.example": "1"}));
    assert_eq!(config["Entrypoint"], json!(["/app", "--flag", "two words"]));
    assert_eq!(config["Cmd"], json!(["serve"]));
    assert_eq!(config["WorkingDir"], "/opt");
    assert_eq!(config["User"], "1000:1001");
    assert_eq!(config["StopSignal"], "SIGQUIT");
    assert_eq!(config["Volumes"], json!({"/data": {}}));
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}}));
    assert_eq!(config["Healthcheck"]["Interval"], 30_000_000_000_u64);
    assert_eq!(config["Healthcheck"]["Retries"], 3);
    assert_eq!(config["Env"], json!(["PATH=/opt/bin:/bin"]));
    let tree = need!(image.tree());
    for path in ["/app", "/usr/bin/app"] {
        assert_eq!((&tree[path].link, tree[path].owner), (&Some(PathBuf::from("/opt/app")), (1000, 1001)));
    }
}

#[test]
fn an_entrypoint_clears_an_inherited_command() {
    let env = TestEnv::new();
    env.project().file("src/x", "x\n").config(
        "image: base
from: scratch
git: [{add: /src, to: /}]
post: {entrypoint: [/e], cmd: [c]}
---
image: plain
fromImage: base
post: {labels: {a: b}}
---
image: entry
fromImage: base
post: {entrypoint: [/new]}
---
image: both
fromImage: base
post: {entrypoint: [], cmd: [only]}
",
    );
    env.project().commit("start");
    let shown = |name: &str| {
        let (_, image) = env.image(name);
        let list = |key: &str| image.config["config"].get(key).filter(|value| !value.is_null()).cloned();
        let empty_is_nothing = |key: &str| list(key).filter(|value| *value != json!([]));
        (empty_is_nothing("Entrypoint"), empty_is_nothing("Cmd"))
    };
    assert_eq!(shown("plain"), (Some(json!(["/e"])), Some(json!(["c"]))));
    assert_eq!(shown("entry"), (Some(json!(["/new"])), None));
    assert_eq!(shown("both"), (None, Some(json!(["only"]))));
}

#[test]
fn removed_and_replaced_files_of_the_base_are_gone() {
    let env = TestEnv::new();
    env.project().busybox().config(
        "image: app
from: rootfs:base.tar
build:
  steps:
    - {name: one, command: 'mkdir -p /d/sub; echo 1 > /d/one; echo 1 > /d/sub/x; echo 1 > /f; rm /bin/vi'}
    - {name: two, command: 'rm -r /d; mkdir /d; echo 2 > /d/two; rm /f; mkdir /f; echo 2 > /f/inside'}
    - {name: three, command: 'test ! -e /d/one; test -d /f; ln /d/two /d/hard; touch \"/n w\"'}
",
    );
    env.project().commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert!(!tree.contains_key("/bin/vi"));
    let below: Vec<_> = tree.keys().filter(|path| path.starts_with("/d/") || path.starts_with("/f")).collect();
    assert_eq!(below, ["/d/hard", "/d/two", "/f", "/f/inside"]);
    assert_eq!(tree["/n w"].size, 0);
}
