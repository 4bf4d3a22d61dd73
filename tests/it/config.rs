//! Configs: what is read, what is refused, and where the message points.

use crate::env::TestEnv;

fn refused(documents: &str, says: &[&str]) {
    let env = TestEnv::new();
    env.project().file("src/x", "x\n").config(documents).commit("start");
    env.stager(["config", "check"]).ends_with(2).says(says);
    env.stager(["build"]).ends_with(2).says(says);
}

#[test]
fn all_unknown_keys_are_reported_with_line_and_nearest_name() {
    refused(
        "image: app\nfrom: scratch\nimprot: []\ngit: [{add: /, to: /, ownr: 1}]\nbuild: {stepps: []}\n",
        &["stager.yaml:6", "improt", "import", "stager.yaml:7", "ownr", "owner", "stager.yaml:8", "stepps", "steps"],
    );
}

#[test]
fn exactly_one_base_is_needed() {
    refused("image: app\n", &["stager.yaml:4", "app", "from", "fromImage", "fromArtifact"]);
    refused("image: app\nfrom: scratch\nfromImage: b\n---\nimage: b\nfrom: scratch\n", &["app", "fromImage"]);
}

#[test]
fn duplicate_names_are_refused() {
    refused("image: app\nfrom: scratch\n---\nartifact: app\nfrom: scratch\n", &["stager.yaml:7", "app"]);
}

#[test]
fn unknown_references_are_refused_with_the_nearest_name() {
    refused("image: app\nfromImage: bass\n---\nimage: base\nfrom: scratch\n", &["stager.yaml:5", "bass", "base"]);
    refused(
        "image: app\nfrom: scratch\nimport: [{fromArtifact: tol, add: /a, to: /a, after: deps}]\n---\nartifact: tool\nfrom: scratch\n",
        &["stager.yaml:6", "tol", "tool"],
    );
}

#[test]
fn cycles_are_printed() {
    refused(
        "image: a\nfromImage: b\n---\nimage: b\nfromImage: c\n---\nimage: c\nfrom: scratch\nimport: [{fromImage: a, add: /x, to: /x, after: deps}]\n",
        &["a → b → c → a"],
    );
}

#[test]
fn paths_are_absolute_and_stay_inside() {
    refused("image: app\nfrom: scratch\ngit: [{add: /src, to: srv}]\n", &["stager.yaml:6", "srv"]);
    refused("image: app\nfrom: scratch\ngit: [{add: /../etc, to: /srv}]\n", &["stager.yaml:6", "/../etc"]);
    refused("image: app\nfrom: rootfs:../base.tar\n", &["stager.yaml:5", "../base.tar"]);
}

#[test]
fn yaml_and_template_mistakes_have_a_place() {
    refused("image: app\nfrom: [\n", &["stager.yaml:"]);
    refused("image: {{ nothing(\n", &["stager.yaml:4"]);
    refused("image: {{ undefined_name }}\nfrom: scratch\n", &["stager.yaml:4", "undefined_name"]);
}

#[test]
fn the_project_document_is_needed() {
    let env = TestEnv::new();
    env.project().file("README", "none yet").commit("no config");
    env.stager(["build"]).ends_with(2).says(&["stager.yaml"]);
    env.project().file("stager.yaml", "image: app\nfrom: scratch\n").commit("no project");
    env.stager(["build"]).ends_with(2).says(&["stager.yaml:1", "stager: 1"]);
    env.project().file("stager.yaml", "stager: 99\nproject: shop\n").commit("future");
    env.stager(["build"]).ends_with(2).says(&["stager.yaml:1", "99"]);
    env.project().file("stager.yaml", "stager: 1\nproject: Not_A_Name\n").commit("name");
    env.stager(["build"]).ends_with(2).says(&["stager.yaml:2", "Not_A_Name"]);
}

#[test]
fn a_loop_makes_images() {
    let env = TestEnv::new();
    env.project().file("services/cart.txt", "").file("services/shop.txt", "").giterminism("{}").config(
        r"{% for file in files.glob('services/*.txt') %}
---
image: {{ file | replace('services/', '') | replace('.txt', '') }}
from: scratch
post: {labels: {file: {{ file }}, project: {{ project }}, branch: {{ git.branch }}}}
{% endfor %}
",
    );
    env.project().commit("start");
    let output = env.stager(["config", "list"]).succeeds();
    insta::assert_snapshot!(output.stdout, @r"
    cart
    shop
    ");
    let rendered = env.stager(["config", "render"]).succeeds().stdout;
    assert!(rendered.contains("image: cart") && rendered.contains("branch: main"), "{rendered}");
    env.stager(["config", "check"]).succeeds();
}

#[test]
fn the_graph_shows_who_needs_whom() {
    let env = TestEnv::new();
    let import = "import: [{fromArtifact: tool, add: /x, to: /x, after: deps}]";
    env.project().file("src/x", "x\n").config(&format!(
        "artifact: tool\nfrom: scratch\ngit: [{{add: /src, to: /}}]\n---\nimage: app\nfromImage: base\n{import}\n---\nimage: base\nfrom: scratch\n"
    ));
    env.project().commit("start");
    let graph = env.stager(["config", "graph"]).succeeds().stdout;
    for name in ["tool", "app", "base"] {
        assert!(graph.contains(name), "{graph}");
    }
}

#[test]
fn another_config_may_be_named() {
    let env = TestEnv::new();
    env.project().file("ci/other.yaml", "stager: 1\nproject: other\n---\nimage: x\nfrom: scratch\n").commit("start");
    assert_eq!(env.stager(["config", "list", "--config", "ci/other.yaml"]).succeeds().stdout, "x\n");
    env.stager(["config", "list", "--config", "ci/none.yaml"]).ends_with(2).says(&["ci/none.yaml"]);
}

#[test]
fn images_of_a_config_are_listed_rendered_and_drawn() {
    let env = TestEnv::new();
    let documents = "# base\nimage: base\nfrom: scratch\n---\nartifact: tool\nfrom: scratch\n---\nimage: app # it\nfromImage: base\n";
    env.project().config(documents).commit("start");
    let output = |arguments: &[&str]| env.stager(arguments).succeeds().stdout;
    assert_eq!(output(&["config", "list"]), "base\ntool\napp\n");
    assert_eq!(output(&["config", "list", "--final-images-only"]), "base\napp\n");
    assert_eq!(output(&["config", "list", "--images-only=false", "t*"]), "tool\n");
    assert_eq!(output(&["config", "render", "app"]), "image: app # it\nfromImage: base\n");
    assert_eq!(
        output(&["config", "render", "!tool"]),
        "# base\nimage: base\nfrom: scratch\n---\nimage: app # it\nfromImage: base\n"
    );
    assert_eq!(output(&["config", "graph", "app"]), "image app\n  from base\n");
    assert_eq!(
        output(&["config", "graph", "--format", "yaml"]),
        "- image: app\n  dependsOn:\n    from: base\n- image: base\n- image: tool\n"
    );
    env.stager(["config", "render", "ap"]).ends_with(2).says(&["error[image-selection]", "`ap`", "did you mean `app`"]);
    env.stager(["config", "list", "a|b"]).ends_with(2).says(&["error[image-selection]", "`|`"]);
    env.stager(["config", "list", "--nope"]).ends_with(2).says(&["error[usage]", "--nope"]);
}

#[test]
fn variables_of_werf_hold_for_its_own_projects() {
    let env = TestEnv::new();
    let image = "configVersion: 1\nproject: demo\n---\nimage: {{ .Env | default \"none\" }}\nfrom: alpine\n";
    env.project().file("werf.yaml", image).file("other.yaml", image.replace("default", "default \"x\" | default"));
    env.project().commit("start");
    let list = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut run = env.command(["config", "list"].iter().chain(arguments));
        for (name, value) in variables {
            run.env(name, value);
        }
        run.run().succeeds().stdout
    };
    assert_eq!(list(&[], &[]), "none\n");
    assert_eq!(list(&[("WERF_ENV", "prod")], &[]), "prod\n");
    assert_eq!(list(&[("WERF_ENV", "prod"), ("STAGER_ENV", "dev")], &[]), "dev\n");
    assert_eq!(list(&[("WERF_ENV", "prod"), ("STAGER_ENV", "dev")], &["--env", "test"]), "test\n");
    assert_eq!(list(&[("WERF_CONFIG", "other.yaml")], &["--dialect", "werf"]), "x\n");
    env.project().file("stager.yaml", "stager: 1\nproject: demo\n---\nimage: native\nfrom: scratch\n").commit("native");
    assert_eq!(list(&[("WERF_CONFIG", "other.yaml")], &[]), "native\n");
    env.project().file("stager.yaml", "stager: 1\nproject: demo\n---\nimage: changed\nfrom: scratch\n");
    let mut run = env.command(["config", "list"]);
    run.env("WERF_LOOSE_GITERMINISM", "1").run().ends_with(3).says(&["error[uncommitted]", "stager.yaml"]);
}
