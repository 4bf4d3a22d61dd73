//! `stager stages`: what is in the store, and in a repository.

use serde_json::Value;

use crate::env::{Registry, Report, TestEnv};

/// Two images that need nothing to run, one on the other.
fn project() -> TestEnv {
    let env = TestEnv::new();
    env.project().file("src/a", "a\n").config(
        "image: app
from: scratch
git: [{add: /src, to: /code}]
---
image: side
fromImage: app
post: {labels: {side: 'yes'}}
",
    );
    env.project().commit("start");
    env
}

fn json(env: &TestEnv, arguments: &[&str]) -> Value {
    let mut all = vec!["stages"];
    all.extend(arguments);
    all.extend(["--format", "json"]);
    serde_json::from_str(&env.stager(all).succeeds().stdout).unwrap()
}

/// The digests of a report's stages, sorted.
fn digests(report: &Report) -> Vec<String> {
    let mut digests: Vec<String> =
        report.images.iter().flat_map(|image| &image.stages).map(|stage| stage.digest.clone()).collect();
    digests.sort();
    digests.dedup();
    digests
}

fn listed(list: &Value) -> Vec<String> {
    let stages = list["stages"].as_array().unwrap();
    let mut digests: Vec<String> = stages.iter().map(|stage| stage["digest"].as_str().unwrap().to_owned()).collect();
    digests.sort();
    digests
}

#[test]
fn the_store_lists_its_stages() {
    let env = project();
    assert_eq!(env.stager(["stages", "ls"]).succeeds().stdout, "");
    let report = env.build(&[]);
    let list = json(&env, &["ls"]);
    assert_eq!(list["schema"], 1);
    assert_eq!(listed(&list), digests(&report));
    let last = report.image("side");
    let stage =
        list["stages"].as_array().unwrap().iter().find(|stage| stage["digest"] == last.digest.as_str()).unwrap();
    assert_eq!(
        [&stage["image"], &stage["stage"], &stage["kind"], &stage["platform"]],
        ["side", "image-post", "image-post", last.platform.as_str()]
    );
    assert!(stage["created"].as_i64().unwrap() > 0 && stage["lastUsed"].as_i64().unwrap() > 0, "{stage}");
    let text = env.stager(["stages", "ls"]).succeeds().stdout;
    assert!(text.contains(&format!("{}  side  image-post", &last.digest[..12])), "{text}");
}

#[test]
fn a_stage_is_shown_by_its_first_digits() {
    let env = project();
    let report = env.build(&[]);
    let last = report.image("side");
    let shown = json(&env, &["show", &last.digest[..6]]);
    assert_eq!(shown["digest"], last.digest.as_str());
    assert_eq!(shown["parent"], last.stages[last.stages.len() - 2].digest.as_str());
    assert!(shown["inputs"].to_string().contains("side"), "{shown}");
    assert_eq!(shown["config"]["config"]["Labels"]["side"], "yes", "{shown}");
    assert_eq!(shown["layers"].as_array().unwrap().len(), 1, "{shown}");
    let text = env.stager(["stages", "show", &last.digest]).succeeds().stdout;
    assert!(text.contains("inputs\n  ") && text.contains(shown["layers"][0]["content"].as_str().unwrap()), "{text}");
    env.stager(["stages", "show", "000000"]).ends_with(2).says(&["no stage 000000", "stager stages ls"]);
    env.stager(["stages", "show", "12345"]).ends_with(2).says(&["6 to 64 hexadecimal digits"]);
}

#[test]
fn a_repository_lists_and_shows_its_stages() {
    let registry = need!(Registry::start());
    let env = project();
    let repo = format!("{}/stages", registry.address());
    let report = env.build(&["--repo", &repo]);
    let (list, requests) = registry.during(|| json(&env, &["ls", "--repo", &repo]));
    assert_eq!(listed(&list), digests(&report));
    assert_eq!(list["stages"][0]["image"], Value::Null);
    assert!(requests.iter().all(|request| request.path.contains("/tags/list")), "{requests:?}");
    let list = json(&env, &["ls", "--long", "--repo", &repo]);
    let images: Vec<&Value> = list["stages"].as_array().unwrap().iter().map(|stage| &stage["image"]).collect();
    assert!(images.contains(&&"app".into()) && images.contains(&&"side".into()), "{list}");
    let last = &report.image("side").digest;
    let shown = json(&env, &["show", last, "--repo", &repo]);
    let here = json(&env, &["show", last]);
    for field in ["digest", "parent", "inputs", "contentId", "contentKey", "lineage", "config"] {
        assert_eq!(shown[field], here[field], "{field}");
    }
    let blob = &shown["layers"][0]["blobs"][0];
    assert!(blob["origin"].as_str().unwrap().starts_with(&repo), "{shown}");
    assert_eq!(here["layers"][0]["blobs"][0]["digest"], blob["digest"], "what was packed for the repository");
    env.stager(["stages", "show", &last[..12], "--repo", &repo]).ends_with(2).says(&["not a whole digest"]);
    let nobody = "0".repeat(64);
    env.stager(["stages", "show", &nobody, "--repo", &repo]).ends_with(2).says(&["no stage 0000", &repo]);
    env.stager(["stages", "ls", "--repo", "127.0.0.1:9/stages"]).ends_with(4).says(&["cannot read the stages of"]);
}

/// The tags of stages, without notes of commits and leases.
fn stages_of(registry: &Registry, repository: &str) -> Vec<String> {
    registry.tags(repository).into_iter().filter(|tag| !tag.contains('-')).collect()
}

#[test]
fn stages_are_copied_once() {
    let registry = need!(Registry::start());
    let mut env = project();
    let [from, to, part] = ["from", "to", "part"].map(|name| format!("{}/{name}", registry.address()));
    let report = env.build(&["--repo", &from]);
    let all = ["stages", "copy", "--all", "--from", &from, "--to", &to];
    let (output, requests) = registry.during(|| env.stager(all).succeeds());
    assert_eq!(output.stdout.lines().count(), digests(&report).len(), "{}", output.stdout);
    let moved = requests.iter().filter(|request| request.method == "GET" && request.path.contains("/blobs/"));
    assert_eq!(moved.count(), 0, "blobs are mounted: {requests:?}");
    let puts: Vec<&str> =
        requests.iter().filter(|request| request.method == "PUT").map(|request| request.path.as_str()).collect();
    for pair in puts.chunks(2) {
        assert_eq!(pair[0], format!("{}.record", pair[1]), "the record comes before the tag");
    }
    assert_eq!(registry.tags("to"), stages_of(&registry, "from"));
    let (output, requests) = registry.during(|| env.stager(all).succeeds());
    assert_eq!(output.stdout, "");
    assert!(requests.iter().all(|request| ["GET", "HEAD"].contains(&request.method.as_str())), "{requests:?}");
    // A machine that has nothing takes them from there.
    let store = env.root().join("other");
    env.set("STAGER_HOME", store.to_str().unwrap());
    assert_eq!(env.build(&["--repo", &to]).built(), [""; 0]);
    let last = &report.image("side").digest;
    let output = env.stager(["stages", "copy", "side", "--from", &from, "--to", &part]).succeeds();
    assert_eq!(output.stdout, format!("{last} side image-post\n"));
    assert_eq!(registry.tags("part").len(), 2);
    let output = env.stager(["stages", "copy", last, "--parents", "--from", &from, "--to", &part]).succeeds();
    assert_eq!(output.stdout.lines().count(), digests(&report).len() - 1, "{}", output.stdout);
    assert_eq!(registry.tags("part"), stages_of(&registry, "from"));
}

#[test]
fn an_interrupted_publication_is_finished() {
    let registry = need!(Registry::start());
    let env = project();
    let [from, to] = ["from", "to"].map(|name| format!("{}/{name}", registry.address()));
    let report = env.build(&["--repo", &from]);
    let last = &report.image("side").digest;
    registry.untag("from", last);
    let list = json(&env, &["ls", "--repo", &from]);
    let unfinished = list["stages"].as_array().unwrap().iter().filter(|stage| stage["whole"] == false);
    assert_eq!(unfinished.map(|stage| stage["digest"].as_str().unwrap()).collect::<Vec<_>>(), [last]);
    env.stager(["stages", "copy", last, "--from", &from, "--to", &to]).succeeds();
    assert_eq!(registry.tags("to"), [last.clone(), format!("{last}.record")]);
    registry.untag("to", last);
    let output = env.stager(["stages", "copy", last, "--from", &from, "--to", &to]).succeeds();
    assert_eq!(output.stdout.lines().count(), 1);
    assert!(registry.tags("to").contains(last));
}

#[test]
fn what_is_not_there_is_not_copied() {
    let registry = need!(Registry::start());
    let env = project();
    let [from, to] = ["from", "to"].map(|name| format!("{}/{name}", registry.address()));
    let copy = |what: &str| env.stager(["stages", "copy", what, "--from", &from, "--to", &to]);
    copy(&"0".repeat(64)).ends_with(2).says(&["no stage 0000", &from]);
    copy("app").ends_with(4).says(&["image `app` for", "is not in", &from]);
    copy("nobody").ends_with(2).says(&["no image `nobody`"]);
    env.stager(["stages", "copy", "app", "--all", "--from", &from, "--to", &to]).ends_with(2).says(&["--all"]);
    assert_eq!(registry.tags("to"), [""; 0]);
}
