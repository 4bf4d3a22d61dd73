//! Dappfiles as people write them, built; and ansible.

use crate::env::{Missing, Registry, TestEnv, Tree, busybox_rootfs, push_rootfs, sha256};

/// A registry with a base, and a project with this dappfile, in which `BASE` is the base.
fn start(env: &TestEnv, dappfile: &str) -> Result<Registry, Missing> {
    let registry = Registry::start()?;
    let reference = push_rootfs(&registry, "busybox:1", busybox_rootfs())?;
    env.project().file("dappfile.yml", dappfile.replace("BASE", &reference));
    Ok(registry)
}

#[track_caller]
fn holds(tree: &Tree, path: &str, content: &str) {
    let file = tree.get(path).unwrap_or_else(|| panic!("{path} is not there: {:?}", tree.keys().collect::<Vec<_>>()));
    assert_eq!(file.sha256, Some(sha256(content.as_bytes())), "{path} is not {content:?}");
}

const SHOP: &str = r#"{{ $_ := set . "Cache" "/var/cache/app" }}
---
artifact: assets
from: BASE
git:
- add: /assets
  to: /src
  stageDependencies:
    buildArtifact: ["**/*.css"]
shell:
  setup: [mkdir -p /out]
  buildArtifact:
  - cd /src
  - cat *.css > /out/all.css
  - echo rubbish > /out/note.txt
---
{{ range tuple "web" "worker" }}
dimg: {{ . }}
from: BASE
{{ include "git.tmpl" $ | indent 0 }}
mount:
- from: tmp_dir
  to: /tmp/scratch
- from: build_dir
  to: {{ $.Cache }}
shell:
  beforeInstall:
  - echo 'app:x:1000:1000::/:/bin/sh' >> /etc/passwd
  install:
  - cp /app/Gemfile /installed
  - echo once >> {{ $.Cache }}/log
  setup:
  - test -f /app/public/all.css || echo none > /css-comes-later
  setupCacheVersion: 1
import:
- artifact: assets
  add: /out
  to: /app/public
  excludePaths: "*.txt"
  owner: www
  after: setup
docker:
  WORKDIR: /app
  USER: www
  ENV:
    ROLE: {{ . }}
  EXPOSE: "8080"
  ENTRYPOINT: [/bin/sh, -c]
  CMD: echo hello
---
{{ end }}
"#;

const GIT_TEMPLATE: &str = "git:
- add: /
  to: /app
  owner: www
  excludePaths: [assets, dappfile.yml, .dappfiles]
  stageDependencies:
    install: Gemfile
";

#[test]
fn an_application_with_an_artifact() {
    let env = TestEnv::new();
    let _registry = need!(start(&env, SHOP));
    env.project().file(".dappfiles/git.tmpl", GIT_TEMPLATE).file("Gemfile", "gems\n").file("app.rb", "app\n");
    env.project().file("assets/a.css", "a\n").file("assets/b.css", "b\n").file("assets/readme", "x\n").commit("start");
    let (report, web) = env.image("web");
    let tree = need!(web.tree());
    holds(&tree, "/app/public/all.css", "a\nb\n");
    holds(&tree, "/installed", "gems\n");
    holds(&tree, "/css-comes-later", "none\n");
    assert_eq!(tree["/app/app.rb"].owner, (33, 0));
    assert_eq!(tree["/app/public/all.css"].owner.0, 33);
    for path in ["/app/public/note.txt", "/app/assets", "/var/cache/app/log"] {
        assert!(!tree.contains_key(path), "{path} is there");
    }
    let config = &web.config["config"];
    assert_eq!((config["WorkingDir"].as_str(), config["User"].as_str()), (Some("/app"), Some("www")));
    assert_eq!(config["Cmd"], serde_json::json!(["echo hello"]));
    assert!(config["Env"].as_array().unwrap().contains(&"ROLE=web".into()), "{config}");
    let names: Vec<&str> = report.image("web").stages.iter().map(|stage| stage.name.as_str()).collect();
    let expected =
        ["from", "before_install", "g_a_archive", "install", "setup", "after_setup_artifact", "docker_instructions"];
    assert_eq!(names, expected);

    env.project().file("app.rb", "changed\n").file("assets/readme", "y\n").commit("no dependency of a stage");
    let (report, web) = env.image("web");
    holds(&need!(web.tree()), "/app/app.rb", "changed\n");
    let built = report.built();
    assert!(!built.iter().any(|stage| stage.contains("/install") || stage.contains("build_artifact")), "{built:?}");

    env.project().file("Gemfile", "more\n").file("assets/b.css", "c\n").commit("dependencies");
    let (report, web) = env.image("web");
    let tree = need!(web.tree());
    holds(&tree, "/installed", "more\n");
    holds(&tree, "/app/public/all.css", "a\nc\n");
    let built = report.built();
    assert!(built.iter().any(|stage| stage == "assets/build_artifact"), "{built:?}");
    assert!(!built.iter().any(|stage| stage.ends_with("before_install")), "{built:?}");
}

#[test]
fn a_chain_of_dimgs_and_a_stage_for_each_command() {
    let env = TestEnv::new();
    let dappfile = "artifact: app\nfrom: BASE\nshell: {install: echo artifact > /a}\n---\ndimg: app\nfromDimgArtifact: app\n\
                    asLayers: true\nshell: {install: [echo 1 > /one, echo 2 > /two]}\n---\ndimg: [first, second]\nfromDimg: app\n\
                    shell: {setup: cat /a /one /two > /all}\n";
    let _registry = need!(start(&env, dappfile));
    env.project().commit("start");
    let (report, image) = env.image("first");
    holds(&need!(image.tree()), "/all", "artifact\n1\n2\n");
    let built = report.built();
    for stage in ["app-artifact/install", "app/install-0", "app/install-1", "first/setup"] {
        assert!(built.iter().any(|name| name == stage), "{stage}: {built:?}");
    }
    env.project().replace("dappfile.yml", "echo 2 >", "echo 3 >").commit("second layer");
    let (report, _) = env.image("second");
    assert!(!report.built().contains(&"app/install-0".to_owned()), "{:?}", report.built());
}

#[test]
fn errors_of_a_dappfile_are_kind() {
    let env = TestEnv::new();
    env.project()
        .file("Dappfile", "dimg 'x' do\n  docker.from 'ubuntu:16.04'\n  shell.install do\n    run 'x'\n  end\nend\n");
    env.project().commit("ruby");
    env.stager(["build"]).ends_with(2).says(&[
        "Ruby program",
        "dappfile.yml",
        "`docker.from` is `from`",
        "shell.install",
    ]);
    env.project().file("dappfile.yaml", "dimg: x\nfrom: {{ env \"BASE\" }}\nfrm: y\n").commit("yaml");
    env.stager(["build"]).ends_with(3).says(&["BASE", "stager-giterminism.yaml"]);
    env.project().replace("dappfile.yaml", "{{ env \"BASE\" }}", "alpine").commit("no variable");
    env.stager(["config", "check"]).ends_with(2).says(&[
        "unknown key `frm`",
        "did you mean `from`?",
        "dappfile.yaml:3",
    ]);
}

/// A base whose `ansible-playbook` is a stand-in, which shows how it is called, runs nothing, and ends as the image says.
const ANSIBLE: &str = r#"artifact: base
from: BASE
shell:
  install:
  - mkdir -p /usr/bin
  - |
    cat > /usr/bin/ansible-playbook <<'END'
    #!/bin/sh
    echo "$1 $2" > /called
    cat "$3" > /playbook.json
    mkdir -p "$ANSIBLE_LOCAL_TEMP" "$ANSIBLE_REMOTE_TEMP/x" "$ANSIBLE_HOME/tmp" || exit 9
    [ "$ANSIBLE_RETRY_FILES_ENABLED" = False ] || exit 9
    echo "TASK [from ansible itself]"
    exit $(cat /code)
    END
  - chmod 755 /usr/bin/ansible-playbook
  - echo 0 > /code
---
dimg: app
fromDimgArtifact: base
ansible:
  install:
  - name: first
    copy: {content: x, dest: /x, mode: 0644}
  - block:
    - command: "a: b"
    rescue:
    - debug: {msg: yes}
    always:
    - shell: c
"#;

#[test]
fn ansible_runs_by_the_images_own_program() {
    let env = TestEnv::new();
    let _registry = need!(start(&env, ANSIBLE));
    env.project().commit("start");
    let (_, image) = env.image("app");
    let tree = need!(image.tree());
    holds(&tree, "/called", "--inventory localhost,\n");
    let tasks = serde_json::json!([
        {"name": "first", "copy": {"content": "x", "dest": "/x", "mode": 420}},
        {"block": [{"command": "a: b"}], "rescue": [{"debug": {"msg": true}}], "always": [{"shell": "c"}]},
    ]);
    let play = serde_json::json!([{
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": false,
        "become": false,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": tasks,
    }]);
    holds(&tree, "/playbook.json", &play.to_string());
    let left = |path: &&String| path.contains("stager-") || path.contains(".ansible") || path.contains(".retry");
    assert_eq!(tree.keys().find(left), None);

    env.project().file("readme", "x").commit("nothing of the image");
    assert_eq!(env.build(&["app"]).built(), [""; 0]);
    env.project().replace("dappfile.yml", "name: first", "name: 1st").commit("a task");
    assert_eq!(env.build(&["app"]).built(), ["app/install"]);

    env.project().replace("dappfile.yml", "echo 0 > /code", "echo 2 > /code").commit("a failure");
    env.stager(["build", "app"]).ends_with(1).says(&[
        "TASK [from ansible itself]",
        "install",
        "app",
        "exited with code 2",
    ]);
}

#[test]
fn an_image_without_ansible_is_told_what_it_lacks() {
    let env = TestEnv::new();
    let _registry = need!(start(&env, "dimg: app\nfrom: BASE\nansible: {setup: [{debug: {msg: x}}]}\n"));
    env.project().commit("start");
    let output = env.stager(["build"]);
    assert_ne!(output.code, 0);
    output.says(&["app", "setup", "`ansible-playbook`", "ansible-core"]);
}
