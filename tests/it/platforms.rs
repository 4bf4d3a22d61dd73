//! Images for several platforms in a stage storage: one index each, and the tags on it.

use serde_json::Value;

use crate::env::{Missing, Registry, Report, TestEnv, program};

const CONFIG: &str = "image: app
from: scratch
git: [{add: /src, to: /code}]
publish: {tags: ['%image%-latest']}
---
image: other
from: scratch
git: [{add: /src, to: /other}]
";

/// Two images for two platforms, with nothing to run in them.
fn project() -> TestEnv {
    let env = TestEnv::new();
    let text = format!("stager: 1\nproject: test\nplatforms: [linux/amd64, linux/arm64]\n---\n{CONFIG}");
    env.project().file("stager.yaml", text).file("src/a", "a\n");
    env.project().commit("start");
    env
}

fn build(env: &mut TestEnv, machine: &str, arguments: &[&str]) -> Report {
    on(env, machine);
    env.build(arguments)
}

fn on(env: &mut TestEnv, machine: &str) {
    let store = env.root().join(machine);
    env.set("STAGER_HOME", store.to_str().unwrap());
}

/// What an independent reader sees under a reference.
fn raw(reference: &str) -> Result<Value, Missing> {
    let reference = format!("docker://{reference}");
    let output = program("skopeo", ["inspect", "--raw", "--tls-verify=false", &reference])?;
    Ok(serde_json::from_str(&output.succeeds().stdout).unwrap())
}

/// `platform digest` of the entries of an index.
fn entries(index: &Value) -> Vec<String> {
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json", "{index}");
    let entry = |entry: &Value| {
        assert!(entry["size"].as_u64().unwrap() > 100, "{entry}");
        let platform = &entry["platform"];
        let [os, architecture] = ["os", "architecture"].map(|name| platform[name].as_str().unwrap());
        format!("{os}/{architecture} {}", entry["digest"].as_str().unwrap())
    };
    index["manifests"].as_array().unwrap().iter().map(entry).collect()
}

/// The same, as a report has them.
fn built(report: &Report, name: &str) -> Vec<String> {
    let images = report.images.iter().filter(|image| image.name == name);
    images.map(|image| format!("{} {}", image.platform, image.manifest.as_deref().unwrap())).collect()
}

/// The tag that an image's index has of its own.
fn index_tag<'r>(report: &'r Report, name: &str, repo: &str) -> &'r str {
    let digests: Vec<String> = report.images.iter().map(|image| format!("{repo}:{}", image.digest)).collect();
    let own = |tag: &&String| tag.strip_prefix(repo).is_some_and(|rest| rest.len() == 65) && !digests.contains(tag);
    report.image(name).tags.iter().find(own).expect("an index")
}

#[test]
fn tags_of_several_platforms_stand_on_an_index() {
    let registry = need!(Registry::start());
    let mut env = project();
    let repo = format!("{}/stages", registry.address());
    let report = build(&mut env, "one", &["--repo", &repo]);
    let expected = built(&report, "app");
    assert_eq!(expected.len(), 2);
    assert_eq!(entries(&need!(raw(&format!("{repo}:app-latest")))), expected);
    assert_eq!(entries(&need!(raw(index_tag(&report, "app", &repo)))), expected);
    assert_eq!(entries(&need!(raw(index_tag(&report, "other", &repo)))), built(&report, "other"));
    for image in report.images.iter().filter(|image| image.name == "app") {
        let tags = [format!("{repo}:{}", image.digest), index_tag(&report, "app", &repo).to_owned()];
        assert_eq!(image.tags[..2], tags);
        assert_eq!(image.tags[2..], [format!("{repo}:app-latest")]);
    }
    let (second, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert_eq!(second.manifests(), report.manifests());
    let asked: Vec<_> = requests.iter().map(|request| (request.method.as_str(), request.status)).collect();
    assert_eq!(
        asked,
        [("HEAD", 200); 4 + 2 + 1 + 1],
        "a platform of an image each, an index each, a tag, and the note: {requests:?}"
    );
}

#[test]
fn a_final_repository_has_the_index_and_what_it_names() {
    let registry = need!(Registry::start());
    let mut env = project();
    let [repo, last] = ["stages", "finished"].map(|name| format!("{}/{name}", registry.address()));
    let report = build(&mut env, "one", &["app", "--repo", &repo, "--final-repo", &last]);
    let expected = built(&report, "app");
    for index in [index_tag(&report, "app", &repo), index_tag(&report, "app", &last), &format!("{last}:app-latest")] {
        assert_eq!(entries(&need!(raw(index))), expected);
    }
    assert_eq!(registry.tags("finished").len(), 2 + 1 + 1, "{:?}", registry.tags("finished"));
    assert!(!registry.tags("stages").contains(&"app-latest".to_owned()));
    let source = format!("docker://{last}:app-latest");
    let target = format!("oci:{}:x", env.out("all").display());
    need!(program("skopeo", ["copy", "--all", "--src-tls-verify=false", &source, &target])).succeeds();
}

#[test]
fn a_runner_for_each_platform_leaves_the_tags_to_the_one_that_joins_them() {
    let registry = need!(Registry::start());
    let mut env = project();
    let repo = format!("{}/stages", registry.address());
    let whole = {
        let other = format!("{}/whole", registry.address());
        build(&mut env, "zero", &["--repo", &other])
    };
    on(&mut env, "one");
    let output = env.stager(["build", "--repo", &repo, "--platform", "linux/amd64"]).succeeds();
    output.says(&["publish tags of image `app` are held back", "linux/arm64", "stager publish-index"]);
    assert!(!registry.tags("stages").contains(&"app-latest".to_owned()));
    let join = ["publish-index", "--repo", &repo, "--platform", "linux/amd64,linux/arm64"];
    let missing = &whole.images.iter().find(|image| image.platform == "linux/arm64").unwrap().digest;
    env.stager(join).ends_with(4).says(&["image `app` for linux/arm64 is not in", missing]);
    assert!(!registry.tags("stages").contains(&"app-latest".to_owned()));
    build(&mut env, "two", &["--repo", &repo, "--platform", "linux/arm64"]);
    on(&mut env, "three");
    let output = env.stager(join).succeeds();
    let tag = format!("{repo}:app-latest");
    assert!(output.stdout.contains(&format!("app {tag}\n")), "{}", output.stdout);
    assert_eq!(entries(&need!(raw(&tag))), built(&whole, "app"), "as one build of both has it");
    let (output, requests) = registry.during(|| env.stager(join).succeeds());
    assert!(output.stderr.is_empty(), "{}", output.stderr);
    assert!(requests.iter().all(|request| request.method == "HEAD" && request.status == 200), "{requests:?}");
    assert_eq!(requests.len(), 4 + 2 + 1, "{requests:?}");
}
