//! The example projects, run as their READMEs say.

use std::path::Path;

use crate::env::{Missing, OciImage, Report, Run, TestEnv, debian_rootfs, find, program};

/// Runs an example; its environment, with the results in `out/work/out`, and the report of its second build.
fn run(name: &str) -> Result<(TestEnv, Report), Missing> {
    let env = TestEnv::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("werf-like-examples").join(name).join("run");
    let mut run = Run::new(&find("bash")?, [script.to_str().expect("test paths are UTF-8")]);
    run.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", env.home().to_str().expect("test paths are UTF-8"));
    run.env("STAGER", env!("CARGO_BIN_EXE_stager")).env("STAGER_HOME", env.store().to_str().expect("as above"));
    run.env("WORK", env.out("work").to_str().expect("as above")).env("LANG", "C.UTF-8");
    if let Ok(debian) = debian_rootfs() {
        run.env("DEBIAN_BASE", debian.to_str().expect("as above"));
    }
    let output = run.run().succeeds();
    assert!(output.stdout.contains("built again: "), "{}\n{}", output.stdout, output.stderr);
    let report = Report::read(&env.out("work/out/report.json"));
    Ok((env, report))
}

#[test]
fn quickstart() {
    let (env, report) = need!(run("quickstart"));
    insta::assert_snapshot!(report.steps(), @r"
    site build/pages Reused
    site build/checksums Reused
    ");
    let archive = format!("oci-archive:{}", env.out("work/out/site.tar").display());
    let config = need!(program("skopeo", ["inspect", "--config", &archive])).succeeds().stdout;
    assert!(config.contains("/bin/httpd"), "{config}");
}

#[test]
fn multi_image_app() {
    let (env, _) = need!(run("multi-image-app"));
    let image = |name: &str| OciImage::open(&env.out("work/out").join(name)).tree();
    let web = need!(image("web"));
    assert_eq!(web["/srv/www/index.html"].owner, (1000, 1000));
    assert!(web.contains_key("/srv/www/css/style.css") && !web.contains_key("/srv/www/build.map"));
    assert!(need!(image("api"))["/srv/titles"].size > 0);
}

#[test]
fn packages() {
    need!(debian_rootfs());
    let (env, _) = need!(run("packages"));
    let tree = need!(OciImage::open(&env.out("work/out/wordcount")).tree());
    assert_eq!((tree["/usr/bin/wordcount"].kind, tree["/usr/bin/wordcount"].mode), ('f', 0o755));
    assert!(!tree.contains_key("/usr/bin/tcc"), "the compiler stays behind");
}

#[test]
fn templated_loop() {
    let (_, report) = need!(run("templated-loop"));
    let names: Vec<_> = report.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["base", "cart", "catalog", "checkout"]);
}
