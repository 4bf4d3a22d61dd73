use std::fmt::Write as _;

use stages::spec::{Content, ImageSpec};

use super::{Semantics, lower};
use crate::config::dialect::Lowered;
use crate::config::validate;
use crate::source::Diagnostic;
use crate::template::CommitFacts;

const META: &str = "configVersion: 1\nproject: demo\n---\n";

mod semantics;

fn lowered(text: &str) -> Lowered {
    lowered_as(text, Semantics::V2)
}

fn lowered_as(text: &str, semantics: Semantics) -> Lowered {
    let commit = CommitFacts { hash: "abc".to_owned(), date_human: "then".to_owned(), date_unix: 5 };
    let mut lowered = lower("werf.yaml", text, &commit, semantics);
    if !lowered.problems.iter().any(Diagnostic::is_error) {
        lowered.problems.extend(validate::check("werf.yaml", &lowered.images));
    }
    lowered
}

/// The problems of images behind a project section, a line each.
fn problems(images: &str) -> String {
    told(&lowered(&format!("{META}{images}")).problems)
}

fn told(problems: &[Diagnostic]) -> String {
    let mut out = String::new();
    for problem in problems {
        let place = problem.place.as_ref().expect("has a place");
        let class = problem.code.as_deref().unwrap_or(if problem.is_error() { "no class" } else { "warning" });
        assert!(problem.help.is_some() || class.starts_with("yaml-"), "{class}: {} has no remedy", problem.message);
        writeln!(out, "{}:{} [{class}] {}", place.line, place.column, problem.message).unwrap();
    }
    out
}

fn classes(images: &str) -> Vec<String> {
    let found = lowered(&format!("{META}{images}")).problems;
    found.iter().filter(|problem| problem.is_error()).map(|problem| problem.code.clone().unwrap_or_default()).collect()
}

fn images(images: &str) -> Vec<ImageSpec> {
    let lowered = lowered(&format!("{META}{images}"));
    let errors: Vec<&Diagnostic> = lowered.problems.iter().filter(|problem| problem.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    lowered.images.into_iter().map(|image| image.spec.unwrap()).collect()
}

fn one(fields: &str) -> ImageSpec {
    images(&format!("image: a\nfrom: alpine\n{fields}")).remove(0)
}

fn stages(image: &ImageSpec) -> Vec<&str> {
    image.conveyor.iter().map(|place| place.slot.name()).collect()
}

#[test]
fn stages_are_in_the_order_of_werf() {
    let found = images(concat!(
        "image: b\nfrom: alpine\n---\nimage: a\nfrom: alpine\n",
        "shell: {setup: s, beforeSetup: bs, install: i, beforeInstall: bi}\n",
        "git: [{to: /app, stageDependencies: {install: [go.mod, 'pkg/**/*'], setup: '*'}}]\n",
        "import:\n",
        "- {from: b, add: /4, after: setup, stage: install}\n- {from: b, add: /2, after: install}\n",
        "- {from: b, add: /1, before: install}\n- {from: b, add: /3, before: setup}\n",
        "dependencies: [{image: b, before: setup, imports: [{type: ImageName, targetEnv: B}]}]\n",
        "imageSpec: {config: {user: app, labels: {'%image%': '%project%'}}}\n",
    ));
    insta::assert_snapshot!(stages(&found[1]).join("\n"), @r##"
beforeInstall
dependenciesBeforeInstall
gitArchive
install
dependenciesAfterInstall
beforeSetup
dependenciesBeforeSetup
setup
dependenciesAfterSetup
imageSpec
"##);
    let places: Vec<String> = found[1].conveyor.iter().map(|place| format!("{:?}", place.content)).collect();
    insta::assert_snapshot!(places.join("\n"), @r##"
Step(Step { name: "beforeInstall", command: Script(["bi"]), files: KeyedBy([[]]), env: {}, unkeyed_env: {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "WERF_COMMIT_HASH": "abc", "WERF_COMMIT_TIME_HUMAN": "then", "WERF_COMMIT_TIME_UNIX": "5"}, cache_versions: {}, network: Default, caches: [], secrets: [], timeout_seconds: None })
Imports(Imports { files: [Import { source: Image(ImageName("b")), stage: None, add: "/1", to: "/1", include_paths: [], exclude_paths: [], owner: Owner { user: None, group: None }, required: false, places: Followed }], variables: [] })
Git
Step(Step { name: "install", command: Script(["i"]), files: KeyedBy([["go.mod", "pkg"]]), env: {}, unkeyed_env: {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "WERF_COMMIT_HASH": "abc", "WERF_COMMIT_TIME_HUMAN": "then", "WERF_COMMIT_TIME_UNIX": "5"}, cache_versions: {}, network: Default, caches: [], secrets: [], timeout_seconds: None })
Imports(Imports { files: [Import { source: Image(ImageName("b")), stage: None, add: "/2", to: "/2", include_paths: [], exclude_paths: [], owner: Owner { user: None, group: None }, required: false, places: Followed }], variables: [] })
Step(Step { name: "beforeSetup", command: Script(["bs"]), files: KeyedBy([[]]), env: {}, unkeyed_env: {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "WERF_COMMIT_HASH": "abc", "WERF_COMMIT_TIME_HUMAN": "then", "WERF_COMMIT_TIME_UNIX": "5"}, cache_versions: {}, network: Default, caches: [], secrets: [], timeout_seconds: None })
Imports(Imports { files: [Import { source: Image(ImageName("b")), stage: None, add: "/3", to: "/3", include_paths: [], exclude_paths: [], owner: Owner { user: None, group: None }, required: false, places: Followed }], variables: [ImageVariable { name: "B", image: ImageName("b"), value: Name }] })
Step(Step { name: "setup", command: Script(["s"]), files: KeyedBy([["**"]]), env: {}, unkeyed_env: {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "WERF_COMMIT_HASH": "abc", "WERF_COMMIT_TIME_HUMAN": "then", "WERF_COMMIT_TIME_UNIX": "5"}, cache_versions: {}, network: Default, caches: [], secrets: [], timeout_seconds: None })
Imports(Imports { files: [Import { source: Image(ImageName("b")), stage: Some(Slot("install")), add: "/4", to: "/4", include_paths: [], exclude_paths: [], owner: Owner { user: None, group: None }, required: false, places: Followed }], variables: [] })
Post(Post { symlinks: {}, labels: {"a": "demo"}, env: {}, rules: Words, entrypoint: None, cmd: None, workdir: None, user: Some("app"), stop_signal: None, volumes: [], expose: [], healthcheck: None, on_build: [], remove: Removal { labels: [], env: [], volumes: [], ports: false }, author: None, clear_history: false })
"##);
}

#[test]
fn a_cache_version_alone_makes_a_stage() {
    for (shell, expected) in [
        ("{install: []}", vec![]),
        ("{install: ''}", vec!["install"]),
        ("{install: ['']}", vec!["install"]),
        ("{install: ~}", vec![]),
        ("{setupCacheVersion: 1}", vec!["setup"]),
        ("{cacheVersion: 1}", vec!["beforeInstall", "install", "beforeSetup", "setup"]),
        ("{cacheVersion: ''}", vec![]),
    ] {
        assert_eq!(stages(&one(&format!("shell: {shell}\n"))), expected, "{shell}");
    }
}

#[test]
fn bases_are_images_of_the_config_or_of_registries() {
    let found = images(concat!(
        "artifact: art\nfrom: alpine\n---\nimage: img\nfrom: alpine\n---\nimage: [alpine, z]\nfrom: alpine\n---\n",
        "image: a\nfrom: img\n---\nimage: b\nfromImage: art\nfrom: x\n---\nimage: c\nfromArtifact: img\n---\n",
        "image: d\nfromImage: nosuch\n---\nimage: e\nfrom: scratch\nfromLatest: true\n---\nimage: f\nfrom: x:1\nfromLatest: true\n",
    ));
    let bases: Vec<String> = found.iter().map(|image| format!("{} {:?}", image.name, image.base)).collect();
    insta::assert_snapshot!(bases.join("\n"), @r##"
art Image { name: ImageName("alpine") }
img Image { name: ImageName("alpine") }
alpine Registry { reference: "docker.io/library/alpine:latest", latest: false }
z Image { name: ImageName("alpine") }
a Image { name: ImageName("img") }
b Artifact { name: ImageName("art") }
c Image { name: ImageName("img") }
d Registry { reference: "docker.io/library/nosuch:latest", latest: false }
e Scratch
f Registry { reference: "docker.io/library/x:1", latest: true }
"##);
}

#[test]
fn git_mappings_leave_each_other_out() {
    let image = one(concat!(
        "git:\n- {add: /x/../src/, to: //app/, excludePaths: [a/*, b/**]}\n- {add: /lib, to: /app/lib, owner: u}\n",
        "- {url: https://x.io/a.git, commit: ABCDEF0123456789abcdef0123456789abcdef01, to: /r, includePaths: ./c/}\n",
    ));
    let mappings: Vec<String> = image.git.iter().map(|mapping| format!("{mapping:?}")).collect();
    insta::assert_snapshot!(mappings.join("\n"), @r##"
GitMapping { source: Local, add: "/src", to: "/app", include_paths: [], exclude_paths: ["a", "b", "lib"], owner: Owner { user: None, group: None }, directory_mode: 509, required: true }
GitMapping { source: Local, add: "/lib", to: "/app/lib", include_paths: [], exclude_paths: [], owner: Owner { user: Some("u"), group: None }, directory_mode: 509, required: true }
GitMapping { source: Remote { url: "https://x.io/a.git", reference: Commit("abcdef0123456789abcdef0123456789abcdef01") }, add: "/", to: "/r", include_paths: ["c"], exclude_paths: [], owner: Owner { user: None, group: None }, directory_mode: 509, required: true }
"##);
}

#[test]
fn docker_is_read_as_a_dockerfile_would_be() {
    let image = one(concat!(
        "docker:\n  ENV: {A: '\"x y\"', B: a b, C: '$PATH:/z', D: \"'$E'\"}\n  LABEL: {n: 5}\n  EXPOSE: ['80 443/udp', '90-91']\n",
        "  VOLUME: /a /b\n  ENTRYPOINT: [/e]\n  HEALTHCHECK: --interval=5s CMD x\n  USER: 1000:1000\n  WORKDIR: /w\n",
    ));
    let Content::Post(post) = &image.conveyor[0].content else { panic!("{image:?}") };
    insta::assert_snapshot!(serde_json::to_string(post).unwrap(), @r##"
{"symlinks":{},"labels":{"n":"5"},"env":{"A":"x y","B":"a b","C":"$PATH:/z","D":"\\$E"},"rules":"instructions","entrypoint":["/e"],"cmd":[],"workdir":"/w","user":"1000:1000","stop_signal":null,"volumes":["/a","/b"],"expose":["80/tcp","443/udp","90/tcp","91/tcp"],"healthcheck":{"test":["CMD-SHELL","x"],"interval":5000000000,"timeout":null,"start_period":null,"start_interval":null,"retries":null},"on_build":[],"remove":{"labels":[],"env":[],"volumes":[],"ports":false},"author":null,"clear_history":false}
"##);
    let image = one("docker: {exactValues: true, ENV: {A: '\"x\"'}, CMD: echo hi, ENTRYPOINT: '[\"a\", \"b\"]'}\n");
    let Content::Post(post) = &image.conveyor[0].content else { panic!("{image:?}") };
    assert_eq!(post.env["A"], "\"x\"");
    assert_eq!(post.cmd.clone().unwrap(), ["/bin/sh", "-c", "echo hi"]);
    assert_eq!(post.entrypoint.clone().unwrap(), ["a", "b"]);
}

#[test]
fn image_specs_of_the_project_win() {
    let text = concat!(
        "configVersion: 1\nproject: demo\nbuild:\n  cacheVersion: v\n  platform: [linux/arm64]\n  imageSpec:\n    author: p\n    config: {labels: {a: p, i: '%image%'}, removeLabels: [x]}\n",
        "---\nimage: a\nfrom: alpine\ncacheVersion: own\nimageSpec:\n  author: own\n  config:\n    labels: {a: own, b: own}\n    removeLabels: [y, x]\n    entrypoint: [/e]\n    expose: []\n    clearUser: true\n    healthcheck: {test: [CMD, x], interval: 3, startPeriod: 2}\n",
        "---\nimage: b\nfrom: alpine\nfinal: false\n---\nimage: c\ndockerfile: x/D\ncontext: ./c\nargs: {A: 1}\n",
    );
    let lowered = lowered(text);
    assert_eq!(told(&lowered.problems), "");
    let specs: Vec<ImageSpec> = lowered.images.into_iter().map(|image| image.spec.unwrap()).collect();
    let Content::Post(post) = &specs[0].conveyor[0].content else { panic!() };
    insta::assert_snapshot!(serde_json::to_string(post).unwrap(), @r##"
{"symlinks":{},"labels":{"a":"p","b":"own","i":"a"},"env":{},"rules":"words","entrypoint":["/e"],"cmd":[],"workdir":null,"user":"","stop_signal":null,"volumes":[],"expose":[],"healthcheck":{"test":["CMD","x"],"interval":3000000000,"timeout":null,"start_period":2000000000,"start_interval":null,"retries":null},"on_build":[],"remove":{"labels":["y","x"],"env":[],"volumes":[],"ports":true},"author":"p","clear_history":false}
"##);
    assert!(specs[1].conveyor.is_empty() && !specs[1].is_final);
    insta::assert_snapshot!(format!("{:?}\n{:?}", specs[2].base, stages(&specs[2])), @r##"
Dockerfile(DockerfileImage { dockerfile: "c/x/D", context: "c", context_add_files: [], target: None, args: {"A": "1"}, add_hosts: [], network: None, ssh: None, secrets: [], variables: [], staged: false })
["imageSpec"]
"##);
    assert_eq!(specs[0].cache_version.as_deref(), Some("own"));
    let project = lowered.project.unwrap();
    assert_eq!((project.cache_version.as_str(), project.platforms[0].architecture()), ("v", "arm64"));
}

#[test]
fn mounts_are_inherited() {
    let found = images(concat!(
        "image: c\nfrom: b\nmount: [{from: tmp_dir, to: /t}]\n---\nimage: b\nfrom: a\n---\n",
        "image: a\nfrom: alpine\nmount: [{from: build_dir, to: /t/}, {fromPath: ~/.m2, to: /m}]\n",
    ));
    let mounts: Vec<String> = found.iter().map(|image| format!("{} {:?}", image.name, image.mounts)).collect();
    insta::assert_snapshot!(mounts.join("\n"), @r##"
c [Mount { to: "/t", source: Run }, Mount { to: "/m", source: Host("~/.m2") }]
b [Mount { to: "/t", source: Cache }, Mount { to: "/m", source: Host("~/.m2") }]
a [Mount { to: "/t", source: Cache }, Mount { to: "/m", source: Host("~/.m2") }]
"##);
}

#[test]
fn claims_are_made_until_something_is_wrong() {
    let image = concat!(
        "image: a\nfrom: alpine\nfromLatest: true\nmount: [{from: build_dir, to: /b}, {fromPath: c, to: /c}]\n",
        "git: [{url: https://x.io/a.git, to: /g}, {url: https://x.io/a.git, branch: main, to: /h}]\n",
        "secrets: [{env: E}, {src: ~/s}, {id: v, value: x}]\n---\n",
        "image: d\ndockerfile: D\ncontext: x\ncontextAddFiles: [q, z/../w]\n",
    );
    let found = |text: &str| {
        let Lowered { claims, problems, .. } = lowered(&format!("{META}{text}"));
        assert_eq!(problems.iter().any(Diagnostic::is_error), text.contains("to: g}"), "{problems:?}");
        claims.iter().map(|(claim, mark)| format!("{} {claim:?}", mark.line)).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(found(image), @r##"
14 ContextFile { path: "x/q" }
14 ContextFile { path: "x/w" }
7 BuildDirMount { to: "/b" }
7 HostMount { path: "c" }
8 GitBranch { url: "https://x.io/a.git", branch: "" }
8 GitBranch { url: "https://x.io/a.git", branch: "main" }
9 SecretVariable { name: "E" }
9 SecretFile { path: "~/s" }
9 SecretValue { id: "v" }
6 FromLatest { image: "a", reference: "alpine" }
"##);
    insta::assert_snapshot!(found(&image.replace("to: /g", "to: g")), @r##"
14 ContextFile { path: "x/q" }
14 ContextFile { path: "x/w" }
7 BuildDirMount { to: "/b" }
7 HostMount { path: "c" }
"##);
}

#[test]
fn sections_that_cannot_be_read() {
    let all: Vec<String> = [
        "image: a\nfrom: x\nfroms: y\nshell: {instal: x, setup: 5}\nplatform: linux/amd64\nfinal: 'no'\n",
        "name: x\n---\ntext\n---\n~\n---\n[a]\n---\n---image: x\n",
        "image: []\nfrom: x\n---\nimage: a\nartifact: b\n---\nartifact: ~\n---\ndockerfile: D\n",
        "image: 5\n---\nimage: [a, 1]\n---\nimage: {a: b}\n---\nimage: y\n",
        "image: a\nfrom: x\ngit: [~]\nimport:\n- ~\n",
        "image: a\nfrom: x\nsecrets: [{env: A, src: b}]\nansible: {install: [{git: x}, {apt: a, yum: b}, x, {block: [{file: x, nam: y}], rescue: 5}]}\n",
        "image: a\nfrom: x\nshell:\n  install:\n  - echo a: b\n",
        "configVersion: 1\nproject: Demo\ncleanup: {keepPolicies: [{references: {}}, {}, {references: {branch: /(/, limit: {operator: or, in: 7d, last: x}}}]}\ndeploy: {namespace: ''}\n",
    ]
    .iter()
    .map(|text| format!("{text:?}\n{}", problems(text)))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
"image: a\nfrom: x\nfroms: y\nshell: {instal: x, setup: 5}\nplatform: linux/amd64\nfinal: 'no'\n"
6:1 [unknown-field] unknown key `froms`
7:9 [unknown-field] unknown key `shell.instal`
7:27 [string-or-list] `shell.setup` must be text or a list of texts, not a number
8:11 [yaml-type] `platform` must be a list, not text
9:8 [yaml-type] `final` must be true or false, not text

"name: x\n---\ntext\n---\n~\n---\n[a]\n---\n---image: x\n"
4:1 [section-kind] this section is neither the project nor an image
6:1 [yaml-type] the document must be a map, not text
8:1 [section-kind] this section is neither the project nor an image
10:1 [yaml-type] the document must be a map, not a list
12:1 [section-kind] this section is neither the project nor an image

"image: []\nfrom: x\n---\nimage: a\nartifact: b\n---\nartifact: ~\n---\ndockerfile: D\n"
4:8 [section-kind] this section names no image
8:11 [section-kind] a section is either an image or an artifact
10:11 [section-kind] this section names no image
12:13 [section-kind] this section names no image

"image: 5\n---\nimage: [a, 1]\n---\nimage: {a: b}\n---\nimage: y\n"
4:8 [image-name] `image` must be a name or a list of names, not a number
6:12 [string-or-list] `image[1]` must be text or a list of texts, not a number
8:8 [image-name] `image` must be a name or a list of names, not a map
10:8 [image-name] `image` must be a name or a list of names, not a boolean

"image: a\nfrom: x\ngit: [~]\nimport:\n- ~\n"
6:7 [yaml-type] `git[0]` must be a map, not nothing
8:3 [yaml-type] `import[0]` must be a map, not nothing

"image: a\nfrom: x\nsecrets: [{env: A, src: b}]\nansible: {install: [{git: x}, {apt: a, yum: b}, x, {block: [{file: x, nam: y}], rescue: 5}]}\n"
6:25 [directive-conflict] `secrets[0].src` and `secrets[0].env` exclude each other
7:22 [directive-value] the task `ansible.install[0]` uses no module that is supported
7:40 [directive-value] the task `ansible.install[1]` uses two modules, `apt` and `yum`
7:49 [yaml-type] `ansible.install[2]` must be a task, which is a map, not text
7:89 [yaml-type] `ansible.install[3].rescue` must be a list of tasks, not a number

"image: a\nfrom: x\nshell:\n  install:\n  - echo a: b\n"
8:5 [string-or-list] `shell.install[0]` must be text or a list of texts, not a map

"configVersion: 1\nproject: Demo\ncleanup: {keepPolicies: [{references: {}}, {}, {references: {branch: /(/, limit: {operator: or, in: 7d, last: x}}}]}\ndeploy: {namespace: ''}\n"
4:1 [meta-duplicate] there are two project sections
6:101 [yaml-type] `cleanup.keepPolicies[2].references.limit.in` must be a duration such as `168h` or `1h30m`, not text
6:111 [yaml-type] `cleanup.keepPolicies[2].references.limit.last` must be a whole number, not text
"##);
}

#[test]
fn the_project_section_keeps_to_its_rules() {
    let all: Vec<String> = [
        "image: a\nfrom: x\n",
        "# nothing\n",
        "configVersion: 2\nproject: ''\n",
        "configVersion: 1.5\nproject: p\n",
        "configVersion: one\nproject: [p]\n",
        "configVersion: 0x1\nproject: 123\n",
        "configVersion: 1\nproject: p\ncleanup: {keepImagesBuiltWithinLastNHours: -1}\n",
    ]
    .iter()
    .map(|text| format!("{text:?}\n{}", told(&lowered(text).problems)))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
"image: a\nfrom: x\n"
1:1 [meta-missing] the config has no project section

"# nothing\n"
1:1 [meta-missing] the config has no project section

"configVersion: 2\nproject: ''\n"
1:16 [meta-version] `configVersion` must be 1, the only version of the format
2:10 [meta-project] the project has no name

"configVersion: 1.5\nproject: p\n"
1:16 [yaml-type] `configVersion` must be a whole decimal number, not `1.5`

"configVersion: one\nproject: [p]\n"
1:16 [yaml-type] `configVersion` must be a whole number, not text
2:10 [yaml-type] `project` must be text, not a list

"configVersion: 0x1\nproject: 123\n"

"configVersion: 1\nproject: p\ncleanup: {keepImagesBuiltWithinLastNHours: -1}\n"
3:44 [yaml-type] `cleanup.keepImagesBuiltWithinLastNHours` must be between 0 and 4294967295
"##);
}

#[test]
fn directives_keep_to_their_rules() {
    let all: Vec<String> = [
        "git: [{add: x}, {to: /a, includePaths: [../x, /y], stageDependencies: {setup: /z}}, {to: /b, tag: v}, {to: /a}]\n",
        "git: [{url: u, branch: b, tag: t, to: /a}, {to: /b, basicAuth: {username: u}}]\n",
        "import: [{add: x, before: a, after: b}, {from: b, add: /, after: install}, {from: b, image: b, add: /x, before: beforeSetup, stage: from}]\n",
        "mount: [{from: bogus, to: t}, {to: /x}, {from: tmp_dir, fromPath: /y, to: /x}, {from: custom_dir, to: /z}, {from: tmp_dir, to: /x/}]\n",
        "dependencies: [{imports: [{type: x}]}, {image: b, before: setup, after: x, imports: [{type: ImageID, targetBuildArg: A}]}]\n",
        "dependencies: [{image: b, after: setup, imports: [{type: ImageID, targetEnv: A}, {type: ImageTag, targetEnv: A}]}]\n",
        "secrets: [{id: x}, {value: v}, {src: a/b}, {env: b}, {env: E, id: ../x}]\n",
        "shell: {}\nansible: {}\ndocker: {}\nimageSpec: {}\n",
        "fromImage: a\n",
        "fromArtifact: b\n",
    ]
    .iter()
    .map(|fields| {
        format!("{fields:?}\n{}", problems(&format!("image: a\nfrom: x\n{fields}---\nimage: b\nfrom: y\n")))
    })
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
"git: [{add: x}, {to: /a, includePaths: [../x, /y], stageDependencies: {setup: /z}}, {to: /b, tag: v}, {to: /a}]\n"
6:13 [directive-path] `git[0].add` must be an absolute path
6:7 [directive-path] missing key `git[0].to`
6:41 [directive-path] `git[1].includePaths` takes paths relative to `add` that stay inside it
6:47 [directive-path] `git[1].includePaths` takes paths relative to `add` that stay inside it
6:79 [directive-path] `git[1].stageDependencies.setup` takes paths relative to `add` that stay inside it
6:99 [directive-conflict] `git[2].tag` goes with `url` only
6:79 [warning] `stageDependencies.setup` is for a stage that `a` does not have

"git: [{url: u, branch: b, tag: t, to: /a}, {to: /b, basicAuth: {username: u}}]\n"
6:32 [directive-conflict] `git[0].tag` and `git[0].branch` exclude each other
6:64 [directive-conflict] `git[1].basicAuth` goes with `url` only

"import: [{add: x, before: a, after: b}, {from: b, add: /, after: install}, {from: b, image: b, add: /x, before: beforeSetup, stage: from}]\n"
6:16 [directive-path] `import[0].add` must be an absolute path
6:10 [directive-required] `import[0]` does not say where from
6:37 [directive-conflict] `import[0].after` and `import[0].before` exclude each other
6:27 [directive-value] `import[0].before` must be `install` or `setup`
6:56 [directive-required] `import[1].add` is the whole image: say which part of it
6:93 [directive-conflict] `import[2].image` and `import[2].from` exclude each other
6:113 [directive-value] `import[2].before` must be `install` or `setup`
6:133 [directive-value] `import[2].stage` names no stage that can be imported from
6:133 [warning] `import.stage` is deprecated

"mount: [{from: bogus, to: t}, {to: /x}, {from: tmp_dir, fromPath: /y, to: /x}, {from: custom_dir, to: /z}, {from: tmp_dir, to: /x/}]\n"
6:16 [directive-value] `mount[0].from` must be `tmp_dir` or `build_dir`
6:27 [directive-path] `mount[0].to` must be an absolute path
6:31 [directive-path] `mount[1]` has no source
6:67 [directive-conflict] `mount[2].fromPath` and `mount[2].from` exclude each other
6:87 [directive-path] `mount[3]` has no source
6:108 [directive-conflict] two mounts are at `/x`

"dependencies: [{imports: [{type: x}]}, {image: b, before: setup, after: x, imports: [{type: ImageID, targetBuildArg: A}]}]\n"
6:34 [directive-value] `dependencies[0].imports[0].type` must say what of the image is given
6:27 [directive-required] missing key `dependencies[0].imports[0].targetEnv`
6:16 [directive-required] missing key `dependencies[0].image`
6:16 [directive-required] `dependencies[0]` does not say when
6:86 [directive-required] missing key `dependencies[1].imports[0].targetEnv`
6:118 [directive-unsupported] `dependencies[1].imports[0].targetBuildArg` means nothing for a stapel image
6:73 [directive-conflict] `dependencies[1].after` and `dependencies[1].before` exclude each other

"dependencies: [{image: b, after: setup, imports: [{type: ImageID, targetEnv: A}, {type: ImageTag, targetEnv: A}]}]\n"
6:110 [directive-conflict] `A` is given two values

"secrets: [{id: x}, {value: v}, {src: a/b}, {env: b}, {env: E, id: ../x}]\n"
6:11 [directive-required] `secrets[0]` has no source
6:20 [directive-required] `secrets[1]` needs an `id`, since it has a `value`
6:44 [directive-conflict] two secrets have the id `b`
6:67 [directive-value] a secret's id must be the name of a file, not "../x"

"shell: {}\nansible: {}\ndocker: {}\nimageSpec: {}\n"
7:10 [directive-conflict] an image is built by `shell` or by `ansible`, not by both
8:9 [directive-conflict] `docker` and `imageSpec` exclude each other
8:9 [warning] `docker` is deprecated
7:10 [warning] `ansible` is deprecated

"fromImage: a\n"
6:12 [directive-conflict] `fromImage` names the image itself
6:12 [warning] `fromImage` is deprecated
5:7 [warning] `fromImage` makes `from` meaningless

"fromArtifact: b\n"
6:15 [directive-conflict] `fromArtifact` and `from` exclude each other
6:15 [warning] `artifact`, `fromArtifact` and `import.artifact` are deprecated
"##);
    assert_eq!(classes("image: a\nshell: {install: x}\n"), ["directive-required"]);
    let artifact = "artifact: a\nfrom: x\nfinal: true\ndocker: {}\ndisableGitAfterPatch: true\ndependencies: [{image: a, after: setup}]\n";
    assert_eq!(classes(artifact), ["directive-unsupported"; 4]);
}

#[test]
fn dockerfile_images_keep_to_their_rules() {
    let all: Vec<String> = [
        "dockerfile: /x\ncontext: ../y\ncontextAddFiles: [/a, ../b]\ncontextAddFile: c\n",
        "dockerfile: ''\nargs: {A: {b: c}, B: x}\ndependencies: [{image: b, after: setup, imports: [{type: ImageName, targetBuildArg: B}, {type: ImageTag, targetEnv: X}]}]\n",
        "dockerfile: D\ngit: []\nfromLatest: true\nargs: [a]\nstaged: 'true'\n",
    ]
    .iter()
    .map(|fields| format!("{fields:?}\n{}", problems(&format!("image: a\n{fields}---\nimage: b\nfrom: y\n"))))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
"dockerfile: /x\ncontext: ../y\ncontextAddFiles: [/a, ../b]\ncontextAddFile: c\n"
6:10 [directive-path] `context` must be a path relative to the project directory that stays inside it
5:13 [directive-path] `dockerfile` must be a path relative to `context` that stays inside it
7:18 [directive-conflict] `contextAddFiles` and `contextAddFile` exclude each other
8:17 [warning] `contextAddFile` is deprecated

"dockerfile: ''\nargs: {A: {b: c}, B: x}\ndependencies: [{image: b, after: setup, imports: [{type: ImageName, targetBuildArg: B}, {type: ImageTag, targetEnv: X}]}]\n"
7:89 [directive-required] missing key `dependencies[0].imports[1].targetBuildArg`
7:117 [directive-unsupported] `dependencies[0].imports[1].targetEnv` means nothing for an image from a Dockerfile
7:34 [directive-unsupported] `dependencies[0].after` means nothing for an image from a Dockerfile
5:13 [directive-required] `dockerfile` names no file
6:11 [directive-value] `args.A` must be a single value
7:85 [directive-conflict] the build argument `B` is given two values

"dockerfile: D\ngit: []\nfromLatest: true\nargs: [a]\nstaged: 'true'\n"
6:1 [unknown-field] unknown key `git`
7:1 [unknown-field] unknown key `fromLatest`
8:7 [yaml-type] `args` must be a map, not a list
9:9 [yaml-type] `staged` must be true or false, not text
"##);
}

#[test]
fn images_are_checked_against_each_other() {
    let all: Vec<String> = [
        "image: a\nfrom: x\n---\nartifact: a\nfrom: y\n",
        "image: ~\nfrom: x\n---\nimage: b\nfrom: x\n---\nimage: c\nfrom: x\nfinal: false\n",
        "image: a\nfrom: b\n---\nimage: b\nfrom: x\nimport: [{from: a, add: /x, after: install}]\n",
        "image: a\nfrom: x\nimport: [{from: nosuch, add: /x, after: install}]\ndependencies: [{image: nope, after: setup}]\n",
        "image: a\nfrom: x\ndependencies: [{image: a, after: setup}]\n",
        "image: a\nfromArtifact: nosuch\n",
        "image: a\nfrom: b\nplatform: [linux/amd64, linux/arm64]\n---\nimage: b\nfrom: x\nplatform: [linux/amd64]\n",
    ]
    .iter()
    .map(|text| format!("{text:?}\n{}", problems(text)))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
"image: a\nfrom: x\n---\nartifact: a\nfrom: y\n"
7:11 [warning] `artifact`, `fromArtifact` and `import.artifact` are deprecated
7:11 [image-name-conflict] the name `a` is there twice

"image: ~\nfrom: x\n---\nimage: b\nfrom: x\n---\nimage: c\nfrom: x\nfinal: false\n"
4:8 [image-name-conflict] an image without a name cannot be beside others that are published
4:8 [warning] an image without a name is deprecated

"image: a\nfrom: b\n---\nimage: b\nfrom: x\nimport: [{from: a, add: /x, after: install}]\n"
5:7 [image-cycle] images need each other in a circle: a → b → a

"image: a\nfrom: x\nimport: [{from: nosuch, add: /x, after: install}]\ndependencies: [{image: nope, after: setup}]\n"
6:17 [image-not-found] image `a` needs the image `nosuch`, which is not there
7:24 [image-not-found] image `a` needs the image `nope`, which is not there

"image: a\nfrom: x\ndependencies: [{image: a, after: setup}]\n"
6:24 [image-cycle] `a` refers to itself

"image: a\nfromArtifact: nosuch\n"
5:15 [warning] `artifact`, `fromArtifact` and `import.artifact` are deprecated
5:15 [image-not-found] image `a` needs the artifact `nosuch`, which is not there

"image: a\nfrom: b\nplatform: [linux/amd64, linux/arm64]\n---\nimage: b\nfrom: x\nplatform: [linux/amd64]\n"
5:7 [directive-value] `a` needs `b` for linux/arm64, which that is not built for
"##);
}

#[test]
fn deprecated_forms_warn_once_for_each_kind() {
    let text = concat!(
        "artifact: x\nfrom: alpine\nansible: {install: [{apt: a}]}\n---\nimage: [a, b]\nfromArtifact: x\ndocker: {USER: u}\n",
        "git: [{to: /a/, stageDependencies: {setup: '*'}}]\n",
        "import: [{artifact: x, add: /b, after: install}, {image: x, add: /c, after: setup, stage: install}]\n---\n",
        "image: c\nfromImage: x\nfrom: y\ndocker: {USER: u}\nimageSpec: ~\n---\nimage: d\ndockerfile: D\ncontextAddFile: e\n",
    );
    insta::assert_snapshot!(problems(text), @r##"
4:11 [warning] `artifact`, `fromArtifact` and `import.artifact` are deprecated
15:12 [warning] `fromImage` is deprecated
12:58 [warning] `import.image` is deprecated
12:91 [warning] `import.stage` is deprecated
10:9 [warning] `docker` is deprecated
6:10 [warning] `ansible` is deprecated
22:17 [warning] `contextAddFile` is deprecated
11:12 [warning] the slash at the end of `git[0].to` means nothing
11:44 [warning] `stageDependencies.setup` is for a stage that `a` does not have
16:7 [warning] `fromImage` makes `from` meaningless
"##);
}

#[test]
fn a_base_that_no_image_has_the_name_of_is_told() {
    insta::assert_snapshot!(problems("image: a\nfromImage: bsae\n---\nimage: base\nfrom: alpine\n"), @r##"
5:12 [warning] `fromImage` is deprecated
5:12 [warning] no image of this config is named `bsae`: it is taken from a registry
"##);
}

#[test]
fn some_things_stop_a_build_only() {
    let text = concat!(
        "image: a\nfrom: Alpine\nplatform: ['linux/amd64,linux/arm64']\nnetwork: mine\ngit: [{url: 'not a url', commit: abc, to: /a}]\n",
        "docker: {HEALTHCHECK: x, EXPOSE: [web]}\n---\nimage: b\nfrom: x\nimageSpec: {config: {removeLabels: ['/(/']}}\n",
    );
    let lowered = lowered(&format!("{META}{text}"));
    assert!(lowered.problems.iter().all(|problem| !problem.is_error()), "{:?}", lowered.problems);
    let told: Vec<String> = lowered
        .at_build
        .iter()
        .map(|problem| format!("{} {}", problem.place.as_ref().unwrap().line, problem.message))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r##"
8 `git[0].url` must be a git address: https://, http://, ssh://, git://, file://, or user@host:path
8 `git[0].commit` must be a full commit id: 40 or 64 hexadecimal digits
7 `network` must be `default`, `none` or `host`
9 `docker.EXPOSE` must be a port such as `8080`, `8080/tcp` or `53/udp`
9 `docker.HEALTHCHECK` must be `NONE`, or options and `CMD` with a command
5 `from` names an invalid repository `library/Alpine`: it must be in lower case
6 `platform[0]` must be `os/architecture` or `os/architecture/variant`
13 `imageSpec.config.removeLabels` holds a regular expression that cannot be read
"##);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]
    #[test]
    fn whatever_is_written_nothing_panics(
        text in "((configVersion|project|image|artifact|from|git|to|add|shell|install|ansible|block|mount|import|after|docker|CMD|imageSpec|config|secrets|env|build|platform|cleanup|keepPolicies|references|dockerfile|args|dependencies|imports)(: |:\n  |:\n- )(~|\\[\\]|\\{\\}|1|a|/x|setup|'x: y'|\\[a, ~\\]|\\{to: /a\\}|\\{a: \\{b: 1\\}\\})?\n|---\n){0,14}"
    ) {
        for problem in lowered(&text).problems {
            proptest::prop_assert!(problem.place.is_some(), "{}", problem.message);
        }
    }
}
