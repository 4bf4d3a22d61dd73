//! What images of a `werf.yaml` take from other images and from their config.

use std::path::PathBuf;

use serde_json::json;

use crate::env::{OciImage, Registry, Report, Status, TestEnv, busybox_rootfs, push_rootfs, sha256};

/// A project whose images start from a busybox in a registry, which `BASE` in the documents stands for.
fn project(registry: &Registry, documents: &str) -> Result<TestEnv, crate::env::Missing> {
    let reference = push_rootfs(registry, "busybox:1", busybox_rootfs())?;
    let env = TestEnv::new();
    env.project()
        .file("werf.yaml", format!("project: shop\nconfigVersion: 1\n---\n{documents}").replace("BASE", &reference));
    env.project().commit("start");
    Ok(env)
}

fn variable<'a>(image: &'a OciImage, name: &str) -> &'a str {
    let variables = image.config["config"]["Env"].as_array().unwrap().iter().filter_map(|entry| entry.as_str());
    let found = variables.filter_map(|entry| entry.split_once('=')).find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("no {name} in {}", image.config)).1
}

#[test]
fn variables_of_other_images_say_what_an_export_writes() {
    let registry = need!(Registry::start());
    let env = need!(project(
        &registry,
        "image: src
from: BASE
shell: {install: echo 1 > /x}
---
image: app
from: BASE
dependencies:
- image: src
  after: install
  imports:
  - {type: ImageName, targetEnv: NAME}
  - {type: ImageRepo, targetEnv: REPO}
  - {type: ImageTag, targetEnv: TAG}
  - {type: ImageID, targetEnv: ID}
  - {type: ImageDigest, targetEnv: DIGEST}
import: [{image: src, add: /x, to: /y, after: install}]
shell:
  install: echo \"[$TAG]\" > /before
  setup: echo \"$DIGEST\" > /after
imageSpec: {config: {env: {OWN: \"'$x' ${NO:-${REPO}}\"}}}
",
    ));
    let (_, src) = env.image("src");
    let (report, app) = env.image("app");
    let digest = &report.image("src").digest;
    assert_eq!(variable(&app, "TAG"), digest);
    assert_eq!((variable(&app, "REPO"), variable(&app, "NAME")), ("shop", format!("shop:{digest}").as_str()));
    assert_eq!(variable(&app, "DIGEST"), src.digest);
    assert_eq!(variable(&app, "ID"), src.manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(variable(&app, "OWN"), "$x shop", "a shell's word");
    let names: Vec<_> = report.image("app").stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["from", "install", "dependenciesAfterInstall", "setup", "imageSpec"]);
    let tree = need!(app.tree());
    let is = |path: &str, text: &str| assert_eq!(tree[path].sha256.as_deref(), Some(sha256(text.as_bytes()).as_str()));
    is("/before", "[]\n");
    is("/after", &format!("{}\n", src.digest));
    is("/y", "1\n");
}

#[test]
fn imports_land_where_a_copying_tool_puts_them() {
    let registry = need!(Registry::start());
    let env = need!(project(
        &registry,
        "image: src
from: BASE
shell:
  install:
  - mkdir -p /out/sub /out/empty && echo a > /out/a.txt && echo s > /out/sub/s && chmod 750 /out/sub && ln -s a.txt /out/link
  - ln -s out /to-out && mkfifo /out/fifo && ln /out/a.txt /out/hard && chmod 4755 /out/sub/s && mkdir -m 1777 /out/sticky
---
image: app
from: BASE
shell:
  install:
  - mkdir -p /opt /real /there && echo keep > /opt/keep && echo old > /opt/a.txt && chmod 711 /opt && ln -s /real /lnk
import:
- {image: src, add: /to-out, to: /opt, after: install}
- {image: src, add: /out/a.txt, to: /there, after: install}
- {image: src, add: /out/sub, to: /lnk, owner: www, group: 7, after: install}
- {image: src, add: /out/link, to: /new/link, after: install}
- {image: src, add: /out, to: /none, includePaths: [nothing], after: install}
- {image: src, add: /, to: /all, includePaths: ['**/a.txt'], excludePaths: [out/empty], after: install}
",
    ));
    let (_, app) = env.image("app");
    let tree = need!(app.tree());
    let is = |path: &str, kind: char, mode: u32| assert_eq!((tree[path].kind, tree[path].mode), (kind, mode), "{path}");
    is("/opt", 'd', 0o755);
    is("/opt/keep", 'f', 0o644);
    is("/opt/sub", 'd', 0o750);
    is("/opt/sub/s", 'f', 0o4755);
    is("/opt/sticky", 'd', 0o1777);
    is("/none", 'd', 0o755);
    assert_eq!(tree["/opt/a.txt"].sha256.as_deref(), Some(sha256(b"a\n").as_str()));
    assert_eq!(tree["/opt/link"].link, Some(PathBuf::from("a.txt")));
    assert!(tree.contains_key("/opt/empty") && tree.contains_key("/opt/fifo") && tree.contains_key("/opt/hard"));
    assert!(tree.contains_key("/there/a.txt"), "a file goes into a directory");
    assert_eq!(tree["/lnk"].link, Some(PathBuf::from("/real")));
    assert_eq!(tree["/real/s"].owner, (33, 7));
    assert_eq!(tree["/new/link"].link, Some(PathBuf::from("a.txt")));
    let below = |directory: &str| tree.keys().filter(|path| path.starts_with(directory)).cloned().collect::<Vec<_>>();
    assert_eq!(below("/none/"), [""; 0]);
    assert_eq!(below("/all/"), ["/all/out", "/all/out/a.txt"]);
}

#[test]
fn imports_take_from_an_image_as_it_stands_after_a_stage() {
    let registry = need!(Registry::start());
    let env = need!(project(
        &registry,
        "image: src
from: BASE
git: [{add: /web, to: /web, stageDependencies: {install: page}}]
shell:
  beforeInstall: mkdir /out && echo before > /out/a
  install: echo install > /out/a && cat /web/page > /out/page && rm /web/gone && echo gone > /web/made
  setup: exit 7
---
image: early
from: BASE
import: [{image: src, stage: beforeInstall, add: /, to: /early, includePaths: [out, web], before: install}]
---
image: app
fromImage: early
import:
- {image: src, stage: install, add: /, to: /late, includePaths: [out, web], before: install}
- {image: src, stage: install, add: /web/page, to: /page, after: setup}
",
    ));
    env.project().file("web/page", "1\n").file("web/gone", "x\n").commit("web");
    let (report, app) = env.image("app");
    let tree = need!(app.tree());
    let is = |path: &str, text: &str| assert_eq!(tree[path].sha256.as_deref(), Some(sha256(text.as_bytes()).as_str()));
    for (path, text) in [
        ("/early/out/a", "before\n"),
        ("/late/out/a", "install\n"),
        ("/late/out/page", "1\n"),
        ("/late/web/page", "1\n"),
        ("/late/web/made", "gone\n"),
        ("/page", "1\n"),
    ] {
        is(path, text);
    }
    assert!(!tree.contains_key("/early/web") && !tree.contains_key("/late/web/gone"));

    // What comes after the stage is not made for it, and what comes before it is made once.
    let statuses = |report: &Report| -> Vec<String> {
        let stages = report.image("src").stages.iter();
        stages.map(|stage| format!("{} {:?}", stage.name, stage.status).to_lowercase()).collect()
    };
    let built = ["from built", "beforeinstall built", "gitarchive built", "install built", "install/image built"];
    assert_eq!(statuses(&report), [&built[..], &["setup planned", "image-post planned"]].concat());
    let failed = env.stager(["build", "src"]).ends_with(1);
    assert!(failed.stderr.contains("setup"), "{}", failed.stderr);
    env.project().replace("werf.yaml", "exit 7", "exit 0").commit("setup");
    let report = env.build(&["src"]);
    let reused =
        ["from reused", "beforeinstall reused", "gitarchive reused", "install reused", "install/image planned"];
    assert_eq!(statuses(&report), [&reused[..], &["setup built", "image-post built"]].concat());

    // A file of the source that the stage is not keyed by is taken as it is now.
    env.project().file("web/other", "2\n").commit("other");
    let (report, app) = env.image("app");
    assert_eq!(need!(app.tree())["/late/web/other"].sha256.as_deref(), Some(sha256(b"2\n").as_str()));
    assert_eq!(statuses(&report)[3], "install reused");
}

#[test]
fn what_an_import_lacks_is_named() {
    let registry = need!(Registry::start());
    for (keys, said) in [
        ("add: /none, to: /x", "`/none`"),
        ("add: /etc, to: /x, owner: nosuch", "`nosuch`"),
        ("add: /etc, to: /etc/passwd/x", "/etc/passwd"),
    ] {
        let documents = format!(
            "image: src\nfrom: BASE\n---\nimage: app\nfrom: BASE\nimport: [{{image: src, {keys}, after: install}}]\n"
        );
        let env = need!(project(&registry, &documents));
        env.stager(["build"]).ends_with(2).says(&[said, "app", "dependenciesAfterInstall"]);
    }
}

#[test]
fn image_config_is_removed_added_and_inherited() {
    let registry = need!(Registry::start());
    let env = need!(project(
        &registry,
        r#"image: base
from: BASE
docker:
  ENV: {A: one, B: '"two words"', C: "x${NO:-y}"}
  LABEL: {l: "$HOME-${A}", gone.a: "1", gone: "2"}
  VOLUME: [/data]
  EXPOSE: ["80", "9000-9001"]
  HEALTHCHECK: "--interval=10s --retries=2 CMD test -f /ok"
  CMD: [a]
  WORKDIR: rel/dir
---
image: app
fromImage: base
shell: {install: 'echo "$A" > /seen'}
imageSpec:
  author: me
  clearHistory: true
  config:
    removeLabels: ['/gone\..*/']
    removeEnv: ['/[AC]/']
    removeVolumes: [/data]
    env: {D: "$A-2"}
    labels: {'%image%/%project%': x}
    expose: ["443"]
    user: "7"
    clearWorkingDir: true
    entrypoint: [/ep]
---
image: child
fromImage: app
shell: {install: 'echo "$D" > /child'}
"#,
    ));
    let (_, base) = env.image("base");
    let config = &base.config["config"];
    assert_eq!((variable(&base, "B"), variable(&base, "C")), ("two words", "xy"));
    assert_eq!(config["Labels"]["l"], "-", "as it was before");
    assert_eq!((&config["WorkingDir"], &config["Cmd"]), (&json!("/rel/dir"), &json!(["a"])));
    assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}, "9000/tcp": {}, "9001/tcp": {}}));

    let (_, app) = env.image("app");
    let config = &app.config["config"];
    assert_eq!(variable(&app, "D"), "one-2");
    assert!(!config["Env"].to_string().contains("\"A="), "{config}");
    assert_eq!((&config["Labels"]["gone.a"], &config["Labels"]["gone"]), (&json!(null), &json!("2")));
    assert_eq!(config["Labels"]["app/shop"], "x");
    assert_eq!(config["ExposedPorts"], json!({"443/tcp": {}}));
    assert_eq!((&config["Volumes"], &config["WorkingDir"], &config["Cmd"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!((&config["Entrypoint"], &config["User"]), (&json!(["/ep"]), &json!("7")));
    assert_eq!(config["Healthcheck"]["Interval"], 10_000_000_000_u64);
    assert_eq!((&app.config["author"], &app.config["history"]), (&json!("me"), &json!(null)));
    assert!(need!(app.tree()).contains_key("/seen"), "readers take an image without history");

    let (report, child) = env.image("child");
    assert_eq!(report.image("child").stages.last().unwrap().status, Status::Built);
    assert_eq!(child.config["history"].as_array().unwrap().len(), child.diff_ids().len());
    assert_eq!(need!(child.tree())["/child"].sha256.as_deref(), Some(sha256(b"one-2\n").as_str()));
}
