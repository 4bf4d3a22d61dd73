//! Stage storages in registries: what a machine with an empty store takes from them, and what it leaves there.

use crate::env::{
    Network, OciImage, Registry, Report, Request, Status, TestEnv, busybox_rootfs, program, push_rootfs, wait_until,
};

/// An image with a step on some of its git files, and one on top of it; their base is in the registry.
fn project(registry: &Registry) -> TestEnv {
    let base = push_rootfs(registry, "base:1", busybox_rootfs()).expect("skopeo or the like is there");
    let env = TestEnv::new();
    env.project().file("src/a", "a\n").file("docs/text", "text\n").config(&format!(
        "image: app
from: {base}
git: [{{add: /, to: /code, excludePaths: [stager.yaml]}}]
build: {{steps: [{{name: make, command: cat /code/src/* > /made, files: [src/**]}}]}}
---
image: side
fromImage: app
post: {{labels: {{side: 'yes'}}}}
publish: {{tags: [side-latest]}}
"
    ));
    env.project().commit("start");
    env
}

/// Builds as a machine of that name: one with a store of its own.
fn build(env: &mut TestEnv, machine: &str, arguments: &[&str]) -> Report {
    on(env, machine);
    env.build(arguments)
}

fn on(env: &mut TestEnv, machine: &str) {
    let store = env.root().join(machine);
    env.set("STAGER_HOME", store.to_str().unwrap());
}

fn sources(report: &Report) -> Vec<&str> {
    report.images.iter().flat_map(|image| &image.stages).filter_map(|stage| stage.source.as_deref()).collect()
}

/// What was asked for the bytes of blobs.
fn pulled(requests: &[Request]) -> Vec<&str> {
    let is_pull = |request: &&Request| request.method == "GET" && request.path.contains("/blobs/");
    requests.iter().filter(is_pull).map(|request| request.path.as_str()).collect()
}

#[test]
fn an_empty_machine_asks_once_for_each_image() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    let first = build(&mut env, "one", &["--repo", &repo]);
    assert_eq!(first.built().len(), 6, "{:?}", first.built());
    let (second, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert_eq!(second.built(), [""; 0]);
    assert_eq!(second.manifests(), first.manifests());
    assert!(sources(&second).contains(&"repo"), "{:?}", sources(&second));
    let asked: Vec<_> = requests.iter().map(|request| (request.method.as_str(), request.status)).collect();
    assert_eq!(asked, [("HEAD", 200); 4], "an image each, the note of the commit, and a tag: {requests:?}");
    let image = first.image("side");
    let tags = [format!("{repo}:{}", image.digest), format!("{repo}:side-latest")];
    assert_eq!(image.tags, tags);
}

#[test]
fn any_tool_can_pull_a_stage() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    let report = build(&mut env, "one", &["--repo", &repo]);
    for stage in &report.image("app").stages {
        let layout = env.out(&stage.digest);
        let source = format!("docker://{repo}:{}", stage.digest);
        let target = format!("oci:{}:x", layout.display());
        need!(program("skopeo", ["copy", "--src-tls-verify=false", &source, &target])).succeeds();
    }
    let last = report.image("app");
    let image = OciImage::open(&env.out(&last.digest));
    let tree = need!(image.tree());
    assert!(tree.contains_key("/made") && tree.contains_key("/code/docs/text"), "{:?}", tree.keys());
}

#[test]
fn a_change_of_files_moves_no_layer_of_others() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &["--repo", &repo]);
    env.project().file("docs/text", "other\n").commit("docs");
    let (report, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert_eq!(report.built(), ["app/deps/git", "app/image-post", "side/fromImage", "side/image-post"]);
    assert_eq!(pulled(&requests), [""; 0]);
    let sent = requests.iter().filter(|request| request.method == "POST").count();
    assert_eq!(sent, 4, "the files, and the configs of the git stage and the two images: {requests:#?}");
}

#[test]
fn a_step_pulls_what_lies_under_it() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &["--repo", &repo]);
    env.project().file("src/b", "b\n").commit("source");
    let (report, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert!(report.built().contains(&"app/build/make".to_owned()));
    let pulled = pulled(&requests);
    assert_eq!(pulled.len(), 1, "the base: {pulled:?}");
    assert!(pulled[0].starts_with("/v2/stages/"), "from the storage: {pulled:?}");
}

#[test]
fn what_was_built_before_is_published_without_building() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &[]);
    assert_eq!(build(&mut env, "one", &["--repo", &repo]).built(), [""; 0]);
    let of_stages = registry.tags("stages").into_iter().filter(|tag| !tag.contains('-')).count();
    assert_eq!(of_stages, 2 * 6, "{:?}", registry.tags("stages"));
    assert_eq!(build(&mut env, "two", &["--repo", &repo]).built(), [""; 0]);
}

#[test]
fn a_lost_blob_is_made_again() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    let report = build(&mut env, "one", &["--repo", &repo]);
    let layout = env.out("layout");
    let source = format!("docker://{repo}:{}", report.image("app").digest);
    let target = format!("oci:{}:x", layout.display());
    need!(program("skopeo", ["copy", "--src-tls-verify=false", &source, &target])).succeeds();
    let image = OciImage::open(&layout);
    for layer in image.layers() {
        registry.lose("stages", layer);
    }
    // Something stands on the image now, and needs its bytes.
    env.project().replace(
        "stager.yaml",
        "post: {labels",
        "build: {steps: [{name: look, command: cat /made > /seen}]}\npost: {labels",
    );
    env.project().commit("step");
    on(&mut env, "two");
    let (mut run, _) = env.build_command(&["--repo", &repo]);
    run.run().succeeds().says(&["is made again"]);
    // What was made again is there for others.
    env.project().replace("stager.yaml", "/made > /seen", "/made > /saw").commit("another");
    on(&mut env, "three");
    let (mut run, _) = env.build_command(&["--repo", &repo]);
    let output = run.run().succeeds();
    assert!(!output.stderr.contains("made again"), "{}", output.stderr);
}

#[test]
fn a_record_of_something_else_is_no_stage() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    let report = build(&mut env, "one", &["--repo", &repo]);
    let stages = &report.image("app").stages;
    let (base, step) = (&stages[0].digest, &stages.iter().find(|stage| stage.name == "build/make").unwrap().digest);
    let copy = |from: &str, to: &str| {
        let (from, to) = (format!("docker://{repo}:{from}"), format!("docker://{repo}:{to}"));
        program("skopeo", ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to])
    };
    need!(copy(&format!("{base}.record"), &format!("{step}.record"))).succeeds();
    env.project().file("docs/text", "other\n").commit("docs");
    on(&mut env, "two");
    let (mut run, second) = env.build_command(&["--repo", &repo]);
    run.run().succeeds().says(&["its record is of stage", base]);
    assert!(Report::read(&second).built().contains(&"app/build/make".to_owned()));
    env.project().file("docs/text", "third\n").commit("docs");
    assert!(!build(&mut env, "three", &["--repo", &repo]).built().contains(&"app/build/make".to_owned()));
}

#[test]
fn secondary_and_cache_repositories_are_read_and_copied_from() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let named = |name: &str| format!("{}/{name}", registry.address());
    let (old, main, cache, last) = (named("old"), named("main"), named("cache"), named("finished"));
    build(&mut env, "one", &["--repo", &old]);
    let (report, requests) = registry
        .during(|| build(&mut env, "two", &["--repo", &main, "--secondary-repo", &old, "--cache-repo", &cache]));
    assert_eq!(report.built(), [""; 0]);
    let bytes = requests.iter().filter(|request| request.path.contains("/blobs/sha256:") && request.method == "GET");
    assert_eq!(bytes.count(), 0, "blobs are mounted: {requests:#?}");
    let of_stages = registry.tags("main").into_iter().filter(|tag| !tag.contains('-')).collect::<Vec<_>>();
    assert_eq!(registry.tags("cache"), of_stages);
    let report = build(&mut env, "three", &["--repo", &main, "--final-repo", &last]);
    assert_eq!(report.built(), [""; 0]);
    let mut expected =
        vec![report.image("app").digest.clone(), report.image("side").digest.clone(), "side-latest".to_owned()];
    expected.sort();
    assert_eq!(registry.tags("finished"), expected, "images, without records");
    // A cache that can't be reached is no reason to fail, nor one that is gone.
    env.project().file("src/c", "c\n").commit("source");
    on(&mut env, "three");
    let (mut run, _) = env.build_command(&["--repo", &main, "--cache-repo", "127.0.0.1:9/cache"]);
    run.run().succeeds().says(&["127.0.0.1:9/cache is left out"]);
}

#[test]
fn a_registry_that_is_down_is_an_error_before_anything_is_built() {
    let mut env = TestEnv::new();
    env.project().busybox().config("image: app\nfrom: rootfs:base.tar\nbuild: {steps: [{name: run, command: echo}]}\n");
    env.project().commit("start");
    on(&mut env, "one");
    let output = env.stager(["build", "--repo", "127.0.0.1:9/stages"]).ends_with(4);
    let output = output.says(&["cannot look for stages in 127.0.0.1:9/stages", "is the registry up"]);
    assert!(!output.stderr.contains("build/run"), "{}", output.stderr);
}

#[test]
fn builders_come_to_one_result() {
    let registry = need!(Registry::start());
    let env = project(&registry);
    env.project()
        .replace("stager.yaml", "> /made", "> /made; sleep 1; cat /proc/sys/kernel/random/uuid >> /made")
        .commit("random");
    let repo = format!("{}/stages", registry.address());
    let running: Vec<_> = (0..8)
        .map(|machine| {
            let (mut run, report) = env.build_command(&["--repo", &repo]);
            run.env("STAGER_HOME", env.root().join(format!("machine-{machine}")).to_str().unwrap());
            (run.start(), report)
        })
        .collect();
    let reports: Vec<Report> = running
        .into_iter()
        .map(|(running, report)| {
            running.finish().succeeds();
            Report::read(&report)
        })
        .collect();
    let manifest = |report: &Report| report.image("side").manifest.clone().unwrap();
    let standing = need!(program(
        "skopeo",
        ["inspect", "--tls-verify=false", &format!("docker://{repo}:{}", reports[0].image("side").digest)]
    ));
    let standing: serde_json::Value = serde_json::from_str(&standing.succeeds().stdout).unwrap();
    let built = reports.iter().flat_map(Report::built).filter(|stage| stage == "app/build/make").count();
    assert_eq!(built, 1, "the others wait, and take what came of it");
    for report in &reports {
        assert_eq!(manifest(report), standing["Digest"].as_str().unwrap(), "all have what the tag stands on");
    }
}

#[test]
fn a_builder_that_is_interrupted_lets_others_go_on() {
    let registry = need!(Registry::start());
    let env = project(&registry);
    env.project().replace("stager.yaml", "> /made", "> /made; sleep 4").commit("slow");
    let repo = format!("{}/stages", registry.address());
    let start = |machine: &str| {
        let (mut run, _) = env.build_command(&["--repo", &repo]);
        run.env("STAGER_HOME", env.root().join(machine).to_str().unwrap()).start()
    };
    let make = env.plan().image("app").stages.iter().find(|stage| stage.name == "build/make").unwrap().digest.clone();
    let first = start("one");
    wait_until("the claim", || registry.tags("stages").contains(&format!("{make}.record")));
    first.interrupt();
    first.finish().ends_with(130);
    let second = start("two").finish().succeeds();
    assert!(second.duration.as_secs() < 15, "the claim of a builder that is gone would be waited for 30 s: {second:?}");
}

#[test]
fn a_repository_set_to_nothing_is_none() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    for variable in ["STAGER_REPO", "STAGER_SECONDARY_REPO", "STAGER_CACHE_REPO", "STAGER_FINAL_REPO", "STAGER_REPORT"]
    {
        env.set(variable, "");
    }
    assert_eq!(env.build(&[]).built().len(), 6);
    env.set("STAGER_REPO", "a b");
    env.stager(["build"]).ends_with(2).says(&["a b"]);
}

#[test]
fn builders_on_machines_of_their_own_need_no_server() {
    let network = need!(Network::start(4));
    let registry = need!(Registry::start_in(&network));
    let env = TestEnv::new();
    env.project().busybox().config(
        "image: app
from: rootfs:base.tar
build: {steps: [{name: make, command: cat /proc/sys/kernel/random/uuid > /made; sleep 2}]}
",
    );
    env.project().commit("random");
    let repo = format!("{}/stages", registry.address());
    let start = |machine: usize| {
        let (mut run, report) = env.build_command(&["--repo", &repo, "--insecure-registry", registry.address()]);
        run.env("STAGER_HOME", env.root().join(format!("machine-{machine}")).to_str().unwrap());
        run.through(network.on(machine));
        (run.start(), report)
    };
    let (sleeper, sleepers_report) = start(0);
    let make = env.plan().image("app").stages.iter().find(|stage| stage.name == "build/make").unwrap().digest.clone();
    wait_until("the claim", || registry.tags("stages").contains(&format!("{make}.record")));
    sleeper.stop();
    let others: Vec<_> = (1..4).map(start).collect();
    let mut reports: Vec<Report> = Vec::new();
    for (running, report) in others {
        running.finish().succeeds().says(&["which another builder makes"]);
        reports.push(Report::read(&report));
    }
    sleeper.resume();
    sleeper.finish().succeeds();
    let made = reports.iter().flat_map(Report::built).filter(|stage| stage == "app/build/make").count();
    assert_eq!(made, 1, "one has taken over, and the others have waited for it");
    reports.push(Report::read(&sleepers_report));
    let standing = format!("sha256:{}", registry.tagged("stages", &reports[0].image("app").digest));
    for report in &reports {
        assert_eq!(report.image("app").manifest.as_deref(), Some(standing.as_str()), "what the tag stands on");
    }
    let path = format!("/v2/stages/manifests/{make}");
    let put = registry.requests().into_iter().filter(|request| request.method == "PUT" && request.path == path);
    assert_eq!(put.count(), 1, "nothing was written over");
}

#[test]
fn names_that_cannot_be_published_are_refused_first() {
    let registry = need!(Registry::start());
    let env = project(&registry);
    env.project()
        .replace("stager.yaml", "build: {steps", "publish: {tags: [side-latest]}\nbuild: {steps")
        .commit("twice");
    let repo = format!("{}/stages", registry.address());
    env.stager(["build", "--repo", &repo]).ends_with(2).says(&["`app`, `side`", "side-latest", "%image%"]);
    env.project().replace("stager.yaml", "[side-latest]", "['%image%-latest']").commit("each");
    env.stager(["build", "--repo", &repo]).succeeds();
    assert!(registry.tags("stages").contains(&"app-latest".to_owned()));
    env.stager(["build", "--final-repo", &repo]).ends_with(2).says(&["--repo"]);
    env.stager(["build", "--repo", "UPPER/case"]).ends_with(2).says(&["UPPER/case"]);
}

#[test]
fn a_builder_that_slept_through_its_claim_writes_nothing_over() {
    let registry = need!(Registry::start());
    let env = project(&registry);
    let random = "> /made; cat /proc/sys/kernel/random/uuid >> /made; sleep 2";
    env.project().replace("stager.yaml", "> /made", random).commit("random");
    let repo = format!("{}/stages", registry.address());
    let start = |machine: &str| {
        let (mut run, report) = env.build_command(&["--repo", &repo]);
        run.env("STAGER_HOME", env.root().join(machine).to_str().unwrap());
        (run.start(), report)
    };
    let (first, first_report) = start("one");
    let digest = env.plan().image("app").stages.iter().find(|stage| stage.name == "build/make").unwrap().digest.clone();
    let claim = format!("{digest}.record");
    wait_until("the claim", || registry.tags("stages").contains(&claim));
    first.stop();
    let (second, second_report) = start("two");
    second.finish().succeeds().says(&["which another builder makes"]);
    let second = Report::read(&second_report);
    assert!(second.built().contains(&"app/build/make".to_owned()), "it took over: {:?}", second.built());
    first.resume();
    first.finish().succeeds();
    let first = Report::read(&first_report);
    assert_eq!(first.manifests(), second.manifests(), "the one that slept has adopted what it found");
    let third = {
        let (running, report) = start("three");
        running.finish().succeeds();
        Report::read(&report)
    };
    assert_eq!(third.manifests(), second.manifests());
}

#[test]
fn one_changed_file_of_many_sends_one_small_layer() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "base:1", busybox_rootfs()));
    let mut env = TestEnv::new();
    for directory in 0..6 {
        for file in 0..20 {
            let text = format!("{directory}-{file}-{}\n", "x".repeat(file)).repeat(20_000);
            env.project().file(&format!("src/d{directory}/f{file}"), text);
        }
    }
    env.project().config(&format!(
        "image: app\nfrom: {base}\ngit: [{{add: /src, to: /code}}]\n---\nimage: top\nfromImage: app\nbuild: {{steps: [{{name: look, command: cat /code/d3/f7 > /seen}}]}}\n"
    ));
    env.project().commit("start");
    let repo = format!("{}/stages", registry.address());
    let first = build(&mut env, "one", &["app", "--repo", &repo]);
    env.project().file("src/d3/f7", "changed\n").commit("change");
    let (second, requests) = registry.during(|| build(&mut env, "two", &["app", "--repo", &repo]));
    assert_ne!(second.image("app").digest, first.image("app").digest);
    let sent = requests.iter().filter(|request| request.method == "PUT" && request.path.contains("/blobs/uploads/"));
    assert_eq!(sent.count(), 2, "a part, and the config that git stage and image share: {requests:#?}");
    let packed = |env: &TestEnv, machine: &str| {
        fs_err::read_dir(env.root().join(machine).join("blobs/sha256")).expect("the store has blobs").count()
    };
    assert!(packed(&env, "one") > 8);
    assert_eq!(packed(&env, "two"), 1, "the storage knows the other parts");
    // The parts are one tree for who stands on them, on a machine that has not the files of the commit at hand either.
    let third = build(&mut env, "three", &["--repo", &repo]);
    assert_eq!(third.built(), ["top/build/look", "top/fromImage"]);
    let (_, image) = env.image("top");
    let tree = need!(image.tree());
    assert_eq!(tree["/seen"].size, 8);
    assert_eq!(tree.keys().filter(|path| path.starts_with("/code/d")).count(), 6 + 6 * 20);
}

#[test]
fn a_part_that_is_lost_is_packed_again() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "base:1", busybox_rootfs()));
    let mut env = TestEnv::new();
    for file in 0..60 {
        env.project().file(&format!("src/f{file:02}"), format!("{file}\n").repeat(150_000));
    }
    env.project().config(&format!("image: app\nfrom: {base}\ngit: [{{add: /src, to: /code}}]\n")).commit("start");
    let repo = format!("{}/stages", registry.address());
    let first = build(&mut env, "one", &["--repo", &repo]);
    let (_, image) = env.image("app");
    let layers = image.layers();
    assert!(layers.len() > 4, "{layers:?}");
    for part in &layers[1..3] {
        registry.lose("stages", part);
    }
    env.project().file("src/f59", "changed\n").commit("change");
    let changed = build(&mut env, "two", &["--repo", &repo]);
    assert_ne!(changed.image("app").digest, first.image("app").digest);
    let source = format!("docker://{repo}:{}", changed.image("app").digest);
    let target = format!("oci:{}:x", env.out("layout").display());
    need!(program("skopeo", ["copy", "--src-tls-verify=false", &source, &target])).succeeds();
}

#[test]
fn files_of_a_werf_image_change_without_its_base() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "base:1", busybox_rootfs()));
    let mut env = TestEnv::new();
    env.project().file("src/bin/tool", "tool\n").file("src/share/text", "text\n").file(
        "werf.yaml",
        format!(
            "configVersion: 1
project: shop
---
image: app
from: {base}
git:
- {{add: /src, to: /usr, stageDependencies: {{install: [bin]}}}}
shell: {{install: [cat /usr/bin/tool > /made]}}
"
        ),
    );
    env.project().commit("start");
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &["--repo", &repo]);
    env.project().file("src/share/text", "other\n").commit("files");
    let (second, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert!(second.built().contains(&"app/gitArchive".to_owned()), "{:?}", second.built());
    assert_eq!(pulled(&requests), [""; 0]);
    on(&mut env, "three");
    let (alone, image) = env.image("app");
    assert_eq!(alone.manifests(), second.manifests(), "as on a machine that has the base");
    let tree = need!(image.tree());
    assert_eq!((tree["/usr/bin"].mode & 0o777, tree["/usr/share"].mode & 0o777), (0o755, 0o775));
}

#[test]
fn a_storage_knows_what_commits_gave_and_what_builds_need() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let commit = env.project().git(["rev-parse", "HEAD"]).trim().to_owned();
    let repo = format!("{}/stages", registry.address());
    let report = build(&mut env, "one", &["--repo", &repo]);
    let noted = |prefix: &str| {
        let tags = registry.tags("stages").into_iter().filter(|tag| tag.starts_with(prefix));
        tags.map(|tag| registry.get(&format!("/v2/stages/manifests/{tag}"))).collect::<Vec<_>>()
    };
    let commits = noted(&format!("commit-{commit}-"));
    assert_eq!(commits.len(), 1, "{commits:?}");
    for image in ["app", "side"] {
        assert!(commits[0].contains(&report.image(image).digest), "{}", commits[0]);
    }
    let leases = noted("lease-");
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert!(report.image("app").stages.iter().all(|stage| leases[0].contains(&stage.digest)), "{}", leases[0]);
    build(&mut env, "two", &["--repo", &repo]);
    assert_eq!((noted("commit-").len(), noted("lease-").len()), (1, 1), "nothing was built: nothing is noted");
    env.project().file("notes", "x").commit("another");
    build(&mut env, "two", &["app", "--repo", &repo]);
    assert_eq!(noted("commit-").len(), 2);
}

#[test]
fn a_record_without_its_image_is_published_to_the_end() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let repo = format!("{}/stages", registry.address());
    let first = build(&mut env, "one", &["--repo", &repo]);
    let digest = &first.image("side").digest;
    for machine in ["one", "two"] {
        registry.untag("stages", digest);
        let again = build(&mut env, machine, &["--repo", &repo]);
        assert_eq!((again.built(), again.manifests()), (Vec::new(), first.manifests()), "on {machine}");
        assert!(registry.tags("stages").contains(digest), "on {machine}");
    }
    registry.untag("stages", digest);
    let layout = format!("oci:{}", env.out("layout").display());
    assert_eq!(build(&mut env, "three", &["side", "--repo", &repo, "--output", &layout]).built(), [""; 0]);
    assert!(registry.tags("stages").contains(digest));
}

#[test]
fn what_a_cache_has_lost_comes_from_the_storage() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let (repo, cache) = (format!("{}/stages", registry.address()), format!("{}/cache", registry.address()));
    let first = build(&mut env, "one", &["--repo", &repo, "--cache-repo", &cache]);
    let layout = env.out("layout");
    let source = format!("docker://{cache}:{}", first.image("app").digest);
    need!(program("skopeo", ["copy", "--src-tls-verify=false", &source, &format!("oci:{}:x", layout.display())]))
        .succeeds();
    for layer in OciImage::open(&layout).layers() {
        registry.lose("cache", layer);
    }
    env.project().file("src/b", "b\n").commit("source");
    let second = build(&mut env, "two", &["--repo", &repo, "--cache-repo", &cache]);
    assert!(second.built().contains(&"app/build/make".to_owned()));
    assert!(!second.built().contains(&"app/from".to_owned()), "the base is in the storage: {:?}", second.built());
}

#[test]
fn a_cache_is_filled_with_what_comes_from_the_storage() {
    let registry = need!(Registry::start());
    let mut env = project(&registry);
    let (repo, cache) = (format!("{}/stages", registry.address()), format!("{}/cache", registry.address()));
    build(&mut env, "one", &["--repo", &repo]);
    // The records of what lies below are read, and no layer.
    env.project().file("docs/text", "other\n").commit("docs");
    let with_cache = ["--repo", &repo, "--cache-repo", &cache];
    let (second, requests) = registry.during(|| build(&mut env, "two", &with_cache));
    let taken = |report: &Report| -> Vec<String> {
        let stages = report.images.iter().flat_map(|image| &image.stages);
        stages.filter(|stage| stage.source.as_deref() == Some("repo")).map(|stage| stage.digest.clone()).collect()
    };
    let taken = taken(&second);
    assert!(!taken.is_empty());
    for stage in &taken {
        assert!(registry.tags("cache").contains(&format!("{stage}.record")), "{stage}: {:?}", registry.tags("cache"));
        assert!(registry.tags("cache").contains(stage), "{stage}: {:?}", registry.tags("cache"));
    }
    assert_eq!(pulled(&requests), [""; 0], "blobs are mounted");
    // Now it comes from the cache, and nothing is filled again.
    env.project().file("docs/text", "third\n").commit("docs");
    let (third, requests) = registry.during(|| build(&mut env, "three", &with_cache));
    assert!(sources(&third).contains(&"cache"), "{:?}", sources(&third));
    let again = |request: &&Request| request.method == "PUT" && taken.iter().any(|stage| request.path.contains(stage));
    assert_eq!(requests.iter().filter(again).count(), 0, "{requests:#?}");
}

/// An image with a step, and on top of it files of an artifact that is made by another step, which a second step uses.
fn importing_project(registry: &Registry) -> TestEnv {
    let base = push_rootfs(registry, "base:1", busybox_rootfs()).expect("skopeo or the like is there");
    let env = TestEnv::new();
    env.project().file("src/a", "a\n").file("assets/a", "a\n").config(&format!(
        "artifact: assets
from: {base}
git: [{{add: /assets, to: /assets}}]
build: {{steps: [{{name: pack, command: 'test -e /assets/a && mkdir /out && echo packed > /out/pack'}}]}}
---
image: app
from: {base}
git: [{{add: /src, to: /src}}]
import:
- {{fromArtifact: assets, add: /out, to: /srv/late, after: build}}
build: {{steps: [{{name: make, command: cat /src/* > /made}}]}}
---
image: user
from: {base}
import:
- {{fromArtifact: assets, add: /out, to: /srv/early, before: build}}
build: {{steps: [{{name: use, command: date +%N > /used && cat /srv/early/pack >> /used}}]}}
"
    ));
    env.project().commit("start");
    env
}

#[test]
fn an_import_on_something_new_pulls_neither_its_source_nor_its_target() {
    let registry = need!(Registry::start());
    let mut env = importing_project(&registry);
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &["--repo", &repo]);
    env.project().file("src/b", "b\n").commit("source");
    let (report, requests) = registry.during(|| build(&mut env, "two", &["app", "--repo", &repo]));
    assert_eq!(
        report.built(),
        ["app/build/make", "app/deps/git", "app/deps/imports-after-build", "app/image-post"],
        "the source is as it was"
    );
    let pulled = pulled(&requests);
    assert_eq!(pulled.len(), 1, "the base, for the step: {pulled:?}");
    let other = format!("{}/other", registry.address());
    let alone = build(&mut env, "three", &["app", "--repo", &other]);
    assert_eq!(alone.image("app").manifest, report.image("app").manifest, "as where all of it was made");
}

#[test]
fn a_source_made_anew_to_the_same_bytes_runs_nothing_of_others() {
    let registry = need!(Registry::start());
    let mut env = importing_project(&registry);
    let repo = format!("{}/stages", registry.address());
    let first = build(&mut env, "one", &["--repo", &repo]);
    env.project().file("assets/b", "b\n").commit("assets");
    let second = build(&mut env, "two", &["user", "--repo", &repo]);
    assert!(second.built().contains(&"assets/build/pack".to_owned()), "{:?}", second.built());
    assert!(second.with_status(Status::Relabelled).contains(&"user/build/use".to_owned()), "{}", second.steps());
    assert_eq!(
        second.image("user").manifest,
        first.image("user").manifest,
        "the time in it is that of the first machine"
    );
}

#[test]
fn files_of_an_imported_source_change_without_its_base() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "base:1", busybox_rootfs()));
    let mut env = TestEnv::new();
    env.project().file("assets/a", "a\n").link("assets/tools", "/bin").config(&format!(
        "artifact: assets
from: {base}
git: [{{add: /assets, to: /srv/assets}}]
---
image: app
from: {base}
import:
- {{fromArtifact: assets, add: /srv/assets, to: /assets, after: build}}
- {{fromArtifact: assets, add: /srv/assets/tools/busybox, to: /box, after: build}}
"
    ));
    env.project().commit("start");
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &["--repo", &repo]);
    let (_, image) = env.image("app");
    assert!(need!(image.tree())["/box"].size > 1 << 19, "what a link leads to is taken from the base");
    env.project().replace(
        "stager.yaml",
        "- {fromArtifact: assets, add: /srv/assets/tools/busybox, to: /box, after: build}\n",
        "",
    );
    env.project().file("assets/b", "b\n").commit("assets");
    let (second, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert!(second.built().contains(&"app/deps/imports-after-build".to_owned()), "{:?}", second.built());
    assert_eq!(pulled(&requests), [""; 0]);
    let other = format!("{}/other", registry.address());
    let base_at_hand = build(&mut env, "one", &["--repo", &other]);
    assert_eq!(base_at_hand.image("app").manifest, second.image("app").manifest);
    let (_, image) = env.image("app");
    assert!(need!(image.tree()).contains_key("/assets/b"));
}

#[test]
fn an_import_whose_layer_is_lost_is_made_again() {
    let registry = need!(Registry::start());
    let mut env = importing_project(&registry);
    let repo = format!("{}/stages", registry.address());
    let first = build(&mut env, "one", &["app", "--repo", &repo]);
    let layout = env.out("layout");
    let source = format!("docker://{repo}:{}", first.image("app").digest);
    need!(program("skopeo", ["copy", "--src-tls-verify=false", &source, &format!("oci:{}:x", layout.display())]))
        .succeeds();
    registry.lose("stages", OciImage::open(&layout).layers().last().unwrap());
    env.project().file("src/b", "b\n").commit("source");
    on(&mut env, "two");
    let export = format!("oci:{}", env.out("exported").display());
    let (mut run, _) = env.build_command(&["app", "--repo", &repo, "--output", &export]);
    run.run().succeeds().says(&["is made again"]);
    assert!(need!(OciImage::open(&env.out("exported")).tree()).contains_key("/srv/late/pack"));
}

#[test]
fn owners_by_name_are_known_without_the_base() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "base:1", busybox_rootfs()));
    let mut env = TestEnv::new();
    env.project()
        .file("src/a", "a\n")
        .config(&format!("image: app\nfrom: {base}\ngit: [{{add: /src, to: /src, owner: www, group: www}}]\n"));
    env.project().commit("start");
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &["--repo", &repo]);
    env.project().file("src/b", "b\n").commit("source");
    let (report, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert_eq!(report.built(), ["app/deps/git", "app/image-post"]);
    assert_eq!(pulled(&requests), [""; 0]);
    let (_, image) = env.image("app");
    assert_eq!(need!(image.tree())["/src/b"].owner, (33, 33));
}

#[test]
fn a_place_that_is_followed_is_known_without_the_image() {
    let registry = need!(Registry::start());
    let base = need!(push_rootfs(&registry, "base:1", busybox_rootfs()));
    let mut env = TestEnv::new();
    env.project().file(
        "werf.yaml",
        format!(
            "configVersion: 1
project: shop
---
artifact: tools
from: {base}
shell: {{install: [mkdir /out && echo tool > /out/tool && echo other > /out/other]}}
---
image: app
from: {base}
shell: {{beforeInstall: [ln -s usr/bin /sbin]}}
import:
- {{artifact: tools, add: /out/tool, to: /sbin, after: setup}}
- {{artifact: tools, add: /out/other, to: /srv/other, after: setup}}
"
        ),
    );
    env.project().commit("start");
    let repo = format!("{}/stages", registry.address());
    build(&mut env, "one", &["--repo", &repo]);
    env.project().replace("werf.yaml", "- {artifact: tools, add: /out/other, to: /srv/other, after: setup}\n", "");
    env.project().commit("one import less");
    let (report, requests) = registry.during(|| build(&mut env, "two", &["--repo", &repo]));
    assert_eq!(report.built(), ["app/dependenciesAfterSetup"]);
    assert_eq!(pulled(&requests), [""; 0]);
    let (_, image) = env.image("app");
    assert!(need!(image.tree()).contains_key("/usr/bin/tool"));
}
