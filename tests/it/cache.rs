//! What is not built again: early cutoff, cache versions, caches between builds.

use crate::env::{TestEnv, sha256};

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
