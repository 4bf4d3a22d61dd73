//! Every output form, and the tools of others that must accept it.

use fs_err as fs;

use crate::env::{DockerEngine, OciImage, Registry, TestEnv, program, tar_tree};

fn app() -> TestEnv {
    let env = TestEnv::new();
    env.project().busybox().file("src/hello.txt", "hello from git\n").config(
        "image: app
from: rootfs:base.tar
git: [{add: /src, to: /src}]
build: {steps: [{name: pack, command: 'cat /src/hello.txt > /packed; rm /bin/vi; chown 33:50 /packed'}]}
post: {cmd: [/bin/cat, /packed], labels: {a: b}}
",
    );
    env.project().commit("start");
    env
}

/// Builds to this output; where it is.
fn output(env: &TestEnv, form: &str, name: &str) -> std::path::PathBuf {
    let path = env.out(name);
    let report = env.build(&["app", "--output", &format!("{form}:{}", path.display())]);
    assert!(form == "rootfs" || report.image("app").manifest.is_some(), "{report:?}");
    path
}

#[test]
fn oci_layouts_and_archives_are_read_by_skopeo_umoci_and_podman() {
    let env = app();
    let layout = output(&env, "oci", "layout");
    let image = OciImage::open(&layout);
    let tree = need!(image.tree());
    assert_eq!(tree["/packed"].size, 15);
    let archive = output(&env, "oci-archive", "archive.tar");
    let source = format!("oci-archive:{}", archive.display());
    let raw = need!(program("skopeo", ["inspect", "--raw", &source])).succeeds().stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&raw).unwrap(), image.manifest);
    let storage = env.out("containers");
    let at = |name: &str| storage.join(name).to_str().unwrap().to_owned();
    let podman = |arguments: &[&str]| {
        let (root, run) = (at("root"), at("run"));
        let fixed = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"];
        program("podman", fixed.iter().chain(arguments))
    };
    let id = need!(podman(&["pull", "--quiet", &source])).succeeds().stdout;
    let label = podman(&["image", "inspect", "--format", "{{.Labels.a}}", id.trim()]).expect("found just now");
    assert_eq!(label.succeeds().stdout.trim(), "b");
}

#[test]
fn docker_archives_are_loaded_and_run_by_docker() {
    let env = app();
    let engine = need!(DockerEngine::shared());
    let archive = output(&env, "docker-archive", "docker.tar");
    let loaded = engine.docker(["load", "--quiet", "--input", archive.to_str().unwrap()]).succeeds().stdout;
    let (_, reference) = loaded.trim().split_once(": ").expect("docker says what it loaded");
    assert_eq!(engine.docker(["run", "--rm", "--network", "none", reference]).succeeds().stdout, "hello from git\n");
    need!(program("skopeo", ["inspect", &format!("docker-archive:{}", archive.display())])).succeeds();
}

#[test]
fn docker_daemons_get_the_image() {
    let mut env = app();
    let engine = need!(DockerEngine::shared());
    env.set("DOCKER_HOST", &engine.host());
    env.build(&["app", "--output", "docker-daemon:shop/app:it"]);
    assert_eq!(
        engine.docker(["run", "--rm", "--network", "none", "shop/app:it"]).succeeds().stdout,
        "hello from git\n"
    );
    let owner = engine.docker(["run", "--rm", "--network", "none", "shop/app:it", "stat", "-c", "%u:%g", "/packed"]);
    assert_eq!(owner.succeeds().stdout, "33:50\n");
    env.set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    env.stager(["build", "--output", "docker-daemon:shop/app:it"]).ends_with(4).says(&["/nowhere/docker.sock"]);
}

#[test]
fn root_file_systems_are_flat() {
    let env = app();
    let tar = output(&env, "rootfs", "rootfs.tar");
    let tree = tar_tree(&tar);
    assert_eq!(tree["/packed"].owner, (33, 50));
    assert!(tree.contains_key("/bin/busybox") && !tree.contains_key("/bin/vi"));
    assert!(tree.keys().all(|path| !path.contains(".wh.")), "{:?}", tree.keys());
    env.project().file("copy.tar", fs::read(&tar).unwrap());
    env.project().config("image: app\nfrom: rootfs:copy.tar\nbuild: {steps: [{name: read, command: cat /packed}]}\n");
    env.project().commit("from its own output");
    env.build(&[]);
}

#[test]
fn registries_get_the_image_and_no_blob_twice() {
    let env = app();
    let registry = need!(Registry::start());
    let reference = format!("{}/shop/app:1", registry.address());
    let to = format!("registry:{reference}");
    let report = env.build(&["app", "--output", &to]);
    let source = format!("docker://{reference}");
    let digest = need!(program("skopeo", ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &source]));
    assert_eq!(Some(digest.succeeds().stdout.trim()), report.image("app").manifest.as_deref());
    let uploads = || registry.requests().iter().filter(|request| request.method == "PUT").count();
    let before = uploads();
    env.build(&["app", "--output", &to]);
    let after: Vec<_> =
        registry.requests().into_iter().filter(|request| request.method == "PUT").skip(before).collect();
    assert!(after.iter().all(|request| !request.path.contains("/blobs/")), "{after:?}");
}

#[test]
fn an_output_is_the_same_whichever_way_it_was_built() {
    let env = app();
    let first = OciImage::open(&output(&env, "oci", "one"));
    let again = OciImage::open(&output(&env, "oci", "two"));
    assert_eq!(first.digest, again.digest);
    let archives = ["a.tar", "b.tar"].map(|name| fs::read(output(&env, "oci-archive", name)).unwrap());
    assert!(archives[0] == archives[1], "archives differ");
    env.build(&["app", "--parallel", "1"]);
    let alone = env.out("three");
    let (mut run, _) = env.build_command(&["app", "--parallel", "1", "--output", &format!("oci:{}", alone.display())]);
    run.env("STAGER_HOME", env.root().join("store-2").to_str().unwrap()).run().succeeds();
    assert_eq!(OciImage::open(&alone).digest, first.digest);
}

#[test]
fn the_base_of_an_image_may_be_an_output() {
    let env = app();
    for (form, name) in [("oci-archive", "base-oci.tar"), ("docker-archive", "base-docker.tar")] {
        let archive = output(&env, form, name);
        env.project().file(name, fs::read(&archive).unwrap());
    }
    let layout = output(&env, "oci", "base-layout");
    program("cp", ["-r", layout.to_str().unwrap(), env.project().path().join("base-layout").to_str().unwrap()])
        .expect("coreutils")
        .succeeds();
    let image = |name: &str, from: &str| {
        format!("image: {name}\nfrom: {from}\nbuild: {{steps: [{{name: read, command: cp /packed /copy}}]}}\n")
    };
    let images = [
        image("a", "oci:base-layout"),
        image("b", "oci-archive:base-oci.tar"),
        image("c", "docker-archive:base-docker.tar"),
    ];
    env.project().config(&images.join("---\n")).commit("three bases");
    env.build(&[]);
    for name in ["a", "b", "c"] {
        let (_, image) = env.image(name);
        assert_eq!(image.config["config"]["Labels"]["a"], "b", "{name}");
        assert_eq!(need!(image.tree())["/copy"].size, 15, "{name}");
    }
}
