//! What is not built again: early cutoff, cache versions, caches between builds.

use crate::env::{Status, TestEnv, sha256};

#[test]
fn an_artifact_rebuilt_to_the_same_bytes_relabels_its_consumers() {
    let env = TestEnv::new();
    env.project().busybox().file("tool/tool.c", "int x; // one\n").config(
        "artifact: tool
from: rootfs:base.tar
git: [{add: /tool, to: /tool}]
build:
  steps: [{name: compile, command: 'mkdir -p /out; cut -d/ -f1 /tool/tool.c > /out/tool'}]
---
image: app
from: rootfs:base.tar
import: [{fromArtifact: tool, add: /out, to: /opt, before: build}]
build:
  steps: [{name: use, command: cp /opt/tool /used}]
",
    );
    env.project().commit("start");
    env.build(&[]);
    env.project().file("tool/tool.c", "int x; // another comment\n").commit("comment");
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    tool build/compile Built
    app build/use Relabelled
    ");
    assert_eq!(env.build(&[]).built(), [""; 0]);
    env.project().file("tool/tool.c", "int y;\n").commit("code");
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    tool build/compile Built
    app build/use Built
    ");
}

#[test]
fn from_cache_version_and_cache_version_change_every_digest() {
    let env = TestEnv::new();
    let config = |cache_version: &str, from_cache_version: &str| {
        let (one, two) = (cache_version, from_cache_version);
        format!("stager: 1\nproject: shop\n{one}\n---\nimage: app\nfrom: scratch\n{two}\ngit: [{{add: /src, to: /}}]\n")
    };
    let mut digests = Vec::new();
    for (one, two) in [
        ("", ""),
        ("cacheVersion: '2'", ""),
        ("", "fromCacheVersion: '2'"),
        ("", "fromCacheVersion: 3"),
        ("cacheVersion: '2'", "fromCacheVersion: '2'"),
    ] {
        env.project().file("src/x", "x\n").file("stager.yaml", config(one, two)).commit("version");
        digests.push(env.plan().image("app").digest.clone());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 5);
}

#[test]
fn cache_mounts_outlive_steps_and_stay_out_of_layers() {
    let env = TestEnv::new();
    env.project().busybox().file("n", "1\n").config(
        "image: app
from: rootfs:base.tar
git: [{add: /, to: /src, includePaths: [n]}]
deps:
  run: ['echo deps >> /cache/log']
  files: [nothing]
  caches: [{path: /cache, id: log, sharing: locked}]
build:
  caches: [{path: /var/log2, id: log, sharing: locked}]
  steps: [{name: count, command: cat /src/n >> /var/log2/log; wc -l < /var/log2/log > /count}]
",
    );
    env.project().commit("start");
    env.build(&[]);
    env.project().file("n", "2\n").commit("again");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert_eq!(tree["/count"].sha256.as_deref(), Some(sha256(b"3\n").as_str()), "deps, 1, 2");
    let left: Vec<_> = tree.keys().filter(|path| path.ends_with("/log")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn mounts_are_not_in_the_image() {
    let env = TestEnv::new();
    env.project().busybox().config(
        "image: app
from: rootfs:base.tar
mount: [{to: /scratch, from: tmp}, {to: /kept, from: cache}]
build:
  steps:
    - {name: one, command: 'echo 1 > /scratch/x; echo 1 >> /kept/x'}
    - {name: two, command: 'test ! -e /scratch/x; wc -l < /kept/x > /lines'}
",
    );
    env.project().commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    assert_eq!(tree["/lines"].sha256.as_deref(), Some(sha256(b"1\n").as_str()));
    assert!(!tree.contains_key("/scratch/x") && !tree.contains_key("/kept/x"));
}

#[test]
fn a_bumped_cache_version_makes_everything_anew() {
    let env = TestEnv::new();
    env.project().busybox().config(
        "image: base
from: rootfs:base.tar
fromCacheVersion: 1
build: {steps: [{name: one, command: 'true > /one'}]}
---
image: app
fromImage: base
build: {steps: [{name: two, command: 'true > /two'}]}
",
    );
    env.project().commit("start");
    env.build(&[]);
    env.project().replace("stager.yaml", "fromCacheVersion: 1", "fromCacheVersion: 2").commit("again");
    // The content of all stages is the same as before: a rebuild that was asked for is one all the same.
    insta::assert_snapshot!(env.build(&[]).steps(), @r"
    base build/one Built
    app build/two Built
    ");
}

#[test]
fn where_git_content_lies_is_part_of_what_a_step_sees() {
    let env = TestEnv::new();
    env.project().busybox().file("src/f", "from git\n").config(
        "artifact: tool
from: rootfs:base.tar
deps: {run: ['mkdir -p /src; echo from step > /src/f'], files: []}
---
image: one
from: rootfs:base.tar
git: [{add: /src, to: /src}]
deps: {run: ['mkdir -p /src; echo from step > /src/f'], files: []}
build: {steps: [{name: see, command: cat /src/f > /seen}]}
---
image: two
fromArtifact: tool
git: [{add: /src, to: /src}]
build: {steps: [{name: see, command: cat /src/f > /seen}]}
",
    );
    env.project().commit("start");
    let seen = |name: &str| env.image(name).1.tree().unwrap()["/seen"].sha256.clone();
    // In the first image the step's file lies over that of git, in the second one below it.
    assert_eq!(seen("one"), Some(crate::env::sha256(b"from step\n")));
    assert_eq!(seen("two"), Some(crate::env::sha256(b"from git\n")));
}

#[test]
fn equal_content_of_another_repository_is_found_in_this_one() {
    let (one, mut two) = (TestEnv::new(), TestEnv::new());
    for env in [&one, &two] {
        env.project().file("src/x", "the same\n").config("image: app\nfrom: scratch\ngit: [{add: /src, to: /src}]\n");
    }
    one.project().file("README", "one\n").commit("one");
    two.project().file("README", "two\n").commit("two");
    one.build(&[]);
    let store = one.store();
    two.set("STAGER_HOME", store.to_str().unwrap());
    let (_, image) = two.image("app");
    assert!(image.tree().unwrap().contains_key("/src/x"));
}

#[test]
fn a_commit_that_is_rewritten_leaves_a_store_that_works() {
    let env = TestEnv::new();
    env.project()
        .file("src/x", "x\n")
        .config("image: app\nfrom: scratch\ngit: [{add: /src, to: /src}]\n")
        .commit("one");
    env.build(&[]);
    let project = env.project();
    env.project().file("README", "other\n");
    project.git(["add", "-A"]);
    project.git(["commit", "--quiet", "--amend", "-m", "rewritten"]);
    project.git(["reflog", "expire", "--expire=now", "--all"]);
    project.git(["gc", "--quiet", "--prune=now"]);
    let (_, image) = env.image("app");
    assert!(image.tree().unwrap().contains_key("/src/x"));
}

#[test]
fn steps_exports_and_other_tools_see_the_same_tree() {
    let env = TestEnv::new();
    env.project().busybox().file("srv/x", "x\n").file("bin/tool", "t\n").config(
        "artifact: files
from: rootfs:base.tar
build: {steps: [{name: files, command: 'mkdir -m 750 /d; echo d > /d/f; chown 5:5 /d'}]}
---
image: app
from: rootfs:base.tar
deps: {run: ['mkdir /real /kept; chmod 711 /kept; ln -s real /srv; mv /bin /usr-bin; ln -s usr-bin /bin'], files: []}
build: {steps: [{name: nothing, command: 'true', files: []}]}
---
image: placed
fromImage: app
git:
  - {add: /srv, to: /srv, owner: www}
  - {add: /bin, to: /bin, owner: www}
import: [{fromArtifact: files, add: /d, to: /kept, before: build}]
build:
  steps:
    - name: list
      command: 'find /srv/ /real /bin /usr-bin/tool /kept -exec stat -c \"%n %a %u:%g %F\" {} + | sort > /list'
",
    );
    env.project().commit("start");
    let (_, image) = env.image("placed");
    let tree = image.tree().unwrap();
    assert_eq!((tree["/kept"].mode, tree["/kept"].owner), (0o750, (5, 5)));
    assert!(tree.contains_key("/usr-bin/tool") && tree.contains_key("/usr-bin/sh"), "the link /bin stays a link");
    let out = env.out("rootfs.tar");
    env.build(&["placed", "--output", &format!("rootfs:{}", out.display())]);
    let rootfs = crate::env::tar_tree(&out);
    for (path, file) in &tree {
        let other = rootfs.get(path).unwrap_or_else(|| panic!("{path} is not in the rootfs"));
        assert_eq!((other.mode, other.owner, &other.sha256), (file.mode, file.owner, &file.sha256), "{path}");
    }
}

#[test]
fn a_layer_torn_by_a_crash_is_made_again() {
    let env = TestEnv::new();
    env.project().busybox().config(
        "image: app
from: rootfs:base.tar
build: {steps: [{name: one, command: echo whole > /torn}]}
",
    );
    env.project().commit("start");
    env.build(&[]);
    // As after a crash of the machine: the row is there, of another boot, and the file's bytes are not.
    let store = env.store();
    let index = rusqlite::Connection::open(store.join("index-v1.db")).unwrap();
    assert_eq!(index.execute("UPDATE layers SET boot = 'another' WHERE directory IS NOT NULL", []).unwrap(), 1);
    drop(index);
    let torn = fs_err::read_dir(store.join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("torn"))
        .find(|file| file.exists())
        .unwrap();
    fs_err::write(torn, "").unwrap();
    env.project().replace("stager.yaml", "name: one", "name: two").commit("another stage with the same bytes");
    let (_, image) = env.image("app");
    assert_eq!(image.tree().unwrap()["/torn"].sha256, Some(crate::env::sha256(b"whole\n")));
    env.project().replace("stager.yaml", "name: two", "name: one").commit("back");
    let (_, image) = env.image("app");
    assert_eq!(image.tree().unwrap()["/torn"].sha256, Some(crate::env::sha256(b"whole\n")));
}

#[test]
fn an_import_is_made_anew_only_when_what_it_takes_changes() {
    let env = TestEnv::new();
    let config = |command: &str| {
        format!(
            "image: assets
from: rootfs:base.tar
build: {{steps: [{{name: make, command: 'mkdir -p /out/sub; echo 1 > /out/a.js; echo 1 > /out/sub/b.js; echo 1 > /out/c.css; {command}'}}]}}
---
image: app
from: rootfs:base.tar
import: [{{fromImage: assets, add: /out, to: /www, includePaths: ['**/*.js'], before: build}}]
build: {{steps: [{{name: use, command: find /www -type f > /used}}]}}
"
        )
    };
    let build = |command: &str| {
        env.project().busybox().config(&config(command));
        env.project().commit(command);
        let report = env.build(&["app"]);
        let stages = &report.image("app").stages;
        let status = |name: &str| stages.iter().find(|stage| stage.name.ends_with(name)).unwrap().status;
        (status("imports-before-build"), status("build/use"))
    };
    assert_eq!(build("true"), (Status::Built, Status::Built));
    for elsewhere in [
        "echo 2 > /out/c.css",
        "echo 2 > /elsewhere",
        "mkdir -p /out/empty",
        "ln -s nowhere /out/link.css",
        "chmod 600 /out/c.css",
    ] {
        assert_eq!(build(elsewhere), (Status::Relabelled, Status::Relabelled), "{elsewhere}");
    }
    for taken in [
        "chmod 755 /out/a.js",
        "chmod 700 /out/sub",
        "echo 2 > /out/sub/b.js",
        "mv /out/a.js /out/z.js",
        "chown 7 /out/a.js",
        "mkdir -p /out/new.js",
        "ln -s nowhere /out/link.js",
    ] {
        assert_eq!(build(taken), (Status::Built, Status::Built), "{taken}");
    }
    assert_eq!(build("rm /out/c.css"), (Status::Relabelled, Status::Relabelled), "as in the beginning");
}
