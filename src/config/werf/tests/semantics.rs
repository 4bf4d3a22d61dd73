//! What werf v2 and v3 make of the same text.

use super::*;

const IMAGE: &str = "image: a\nfrom: alpine:3\n";
const BASE: &str = "---\nimage: base\nfrom: alpine:3\n";

/// The classes of what is wrong, in order; `warning` for what only warns, `build` for what only stops a build.
fn verdict(text: &str, semantics: Semantics) -> String {
    let lowered = lowered_as(&format!("{META}{text}"), semantics);
    let class = |problem: &Diagnostic| match &problem.code {
        Some(code) if problem.is_error() => code.clone(),
        _ => "warning".to_owned(),
    };
    let mut found: Vec<String> = lowered.problems.iter().map(class).collect();
    if !lowered.problems.iter().any(Diagnostic::is_error) {
        found.extend(lowered.at_build.iter().map(|_| "build".to_owned()));
    }
    found.join(" ")
}

#[test]
fn forms_that_the_lines_differ_in() {
    let import = |keys: &str| format!("{IMAGE}import: [{{{keys}, after: setup}}]\n{BASE}");
    let dependency = |keys: &str| format!("{IMAGE}dependencies: [{{{keys}}}]\n{BASE}");
    let digest = "0".repeat(64);
    let cases: [(String, &str, &str); 47] = [
        (
            format!("artifact: a\nfrom: alpine:3\n---\n{IMAGE}").replace("image: a", "image: b"),
            "warning warning",
            "directive-removed",
        ),
        (format!("image: a\nfromArtifact: base\n{BASE}"), "warning", "directive-removed"),
        (format!("{IMAGE}disableGitAfterPatch: false\n"), "", "directive-removed"),
        (format!("{IMAGE}docker: {{USER: u}}\n"), "warning", "directive-removed"),
        (format!("{IMAGE}docker: ~\nansible: ~\n"), "", "directive-removed directive-removed"),
        (format!("{IMAGE}ansible: {{install: [{{apt: x}}]}}\n"), "warning", "directive-removed"),
        (import("artifact: base, add: /x"), "warning", "directive-removed"),
        (import("from: base, add: /x, stage: install"), "warning", "directive-removed"),
        ("image: ~\nfrom: alpine:3\n".to_owned(), "warning", "image-name"),
        ("image: ~\ndockerfile: D\n".to_owned(), "warning", "image-name"),
        ("image: ~\nfrom: ''\n".to_owned(), "warning build", "image-name"),
        ("image: ~\n".to_owned(), "warning build", "image-name"),
        ("image: ['', b]\n".to_owned(), "directive-required warning", "directive-required image-name"),
        ("image: ''\nfrom: alpine:3\n".to_owned(), "warning", "image-name"),
        ("image: api-\nfrom: alpine:3\n".to_owned(), "", "image-name"),
        ("image: [a//b, c d]\nfrom: alpine:3\n".to_owned(), "", "image-name image-name"),
        ("image: /api\ndockerfile: D\n".to_owned(), "", "image-name"),
        ("image: modules/Api_1.x\nfrom: alpine:3\n".to_owned(), "", ""),
        ("image: scratch\nfrom: alpine:3\n".to_owned(), "", "image-name"),
        ("image: a\nfrom: alpine\n".to_owned(), "", "image-unversioned"),
        ("image: [a, b]\nfrom: x.io:5000/alpine\n".to_owned(), "", "image-unversioned"),
        ("image: a\nfrom: Alpine\n".to_owned(), "build", "directive-value"),
        (format!("image: a\nfrom: alpine@sha256:{digest}\n"), "", ""),
        (format!("image: a\nfrom: base\n{BASE}"), "", ""),
        ("image: a\nfrom: scratch\n".to_owned(), "", ""),
        ("image: a\nfrom: scratch\nfromLatest: true\n".to_owned(), "", "directive-conflict"),
        ("image: a\nfrom: a\n".to_owned(), "", "directive-conflict"),
        ("image: [b, a]\nfrom: a\n".to_owned(), "", "directive-conflict"),
        (format!("image: a\nfromImage: base\n{BASE}"), "warning", "warning"),
        (format!("image: a\nfromImage: base\nfrom: alpine:3\n{BASE}"), "warning warning", "directive-conflict warning"),
        ("image: a\nfromImage: alpine\n".to_owned(), "warning warning", "image-unversioned warning"),
        (import("from: base, add: /x"), "", ""),
        (import("from: 'alpine:3', add: /x"), "", ""),
        (import("image: base, add: /x"), "warning", "warning"),
        (import("image: base, from: base, add: /x"), "directive-conflict", "directive-conflict"),
        (import("from: alpine, add: /x"), "image-not-found", "image-unversioned"),
        (import("from: 'Alpine:3', add: /x"), "image-not-found", "directive-value"),
        (import("from: scratch, add: /x"), "image-not-found", "directive-value"),
        (import("from: base, add: /x/"), "", "directive-path"),
        (import("from: base, add: /x, to: /y/"), "warning", "directive-path"),
        (format!("{IMAGE}git: [{{to: /y/}}]\n"), "warning", "directive-path"),
        (format!("{IMAGE}git: [{{to: /, add: /y/}}]\n"), "", ""),
        (dependency("from: base, after: setup"), "unknown-field", ""),
        (dependency("image: base, after: setup"), "", "warning"),
        (dependency("image: base, from: base, after: setup"), "unknown-field", "directive-conflict"),
        (
            dependency("image: base, after: setup, imports: [{type: ImageID, targetEnv: X}]"),
            "",
            "directive-value warning",
        ),
        (format!("{IMAGE}git: [{{to: /y, stageDependencies: {{setup: x}}}}]\n"), "warning", "build"),
    ];
    for (text, v2, v3) in cases {
        assert_eq!(
            (verdict(&text, Semantics::V2).as_str(), verdict(&text, Semantics::V3).as_str()),
            (v2, v3),
            "{text}"
        );
    }
}

#[test]
fn what_is_gone_is_told_with_what_to_write() {
    let text = concat!(
        "artifact: x\nfrom: alpine\n---\nimage: b\nfrom: basee\ndocker: {USER: u}\nimports: []\n",
        "import: [{artifact: x, add: /b, after: install, stage: install}]\n---\nimage: base\ndokcer: {}\n",
    );
    let first = lowered_as(&format!("{META}{text}"), Semantics::V3);
    let second = "image: [b, ~]\nfrom: basee\nimport: [{from: x:y:z, add: /b, to: /c/, after: install}]\n---\nimage: base\nfrom: x:1\n";
    let second = lowered_as(&format!("{META}{}", second.replace("[b, ~]", "[b, '']")), Semantics::V3);
    let help = |problem: &Diagnostic| format!("  {}\n", problem.help.clone().unwrap_or_default());
    let all = |lowered: &Lowered| -> String {
        lowered.problems.iter().map(|problem| told(std::slice::from_ref(problem)) + &help(problem)).collect()
    };
    insta::assert_snapshot!(all(&first) + &all(&second), @r##"
4:1 [directive-removed] `artifact` is gone in werf v3
  make it an `image` with `final: false`
9:1 [directive-removed] `docker` is gone in werf v3
  write `imageSpec`
10:1 [unknown-field] unknown key `imports`
  did you mean `import`?
11:11 [directive-removed] `import[0].artifact` is gone in werf v3
  write `from`, and make the artifact an `image` with `final: false`
11:49 [directive-removed] `import[0].stage` is gone in werf v3
  make an image that ends with that stage, and import `from` that
14:1 [unknown-field] unknown key `dokcer`
  the keys here are `image`, `from`, `fromImage`, `fromLatest`, `fromCacheVersion`, `cacheVersion`, `final`, `platform`, `network`, `git`, `shell`, `mount`, `import`, `dependencies`, `secrets`, `imageSpec`
6:37 [directive-path] `import[0].to` must not end with a slash
  write `/c`: what `add` names is placed as this path, never inside it
6:17 [directive-value] `import[0].from` names an invalid repository `library/x:y`: it must be lower-case letters, digits and inner `.`, `_`, `-`, separated by `/`
  name an image of this config, or one of a registry as `NAME:TAG` or `NAME@DIGEST`
5:7 [image-unversioned] `from` is neither an image of this config, nor one of a registry with a tag or digest
  did you mean `base`? For an image of a registry, add its tag or digest
4:12 [image-name] an image without a name is gone in werf v3
  write `image: NAME`
"##);
}

#[test]
fn stages_that_name_no_files_see_all_of_them() {
    let text = concat!(
        "image: a\nfrom: alpine:3\nshell: {beforeInstall: a, install: b, beforeSetup: c, setup: d}\n",
        "git: [{to: /a}, {to: /b, stageDependencies: {install: x, setup: []}}]\n",
    );
    let keyed = |semantics| {
        let image = lowered_as(&format!("{META}{text}"), semantics).images.remove(0).spec.unwrap();
        let files = image.conveyor.iter().filter_map(|place| match &place.content {
            Content::Step(step) => Some(format!("{} {:?}\n", step.name, step.files)),
            _ => None,
        });
        files.collect::<String>()
    };
    insta::assert_snapshot!(keyed(Semantics::V2), @r#"
beforeInstall KeyedBy([[], []])
install KeyedBy([[], ["x"]])
beforeSetup KeyedBy([[], []])
setup KeyedBy([[], []])
"#);
    insta::assert_snapshot!(keyed(Semantics::V3), @r#"
beforeInstall KeyedBy([[], []])
install KeyedBy([["**"], ["x"]])
beforeSetup KeyedBy([["**"], ["**"]])
setup KeyedBy([["**"], ["**"]])
"#);
}

#[test]
fn imports_of_v3_may_meet() {
    let text = format!(
        "{IMAGE}import: [{{from: base, add: /x, to: /y, after: setup}}, {{from: base, add: /z, to: /y, after: setup}}, \
         {{from: base, add: /z, to: /y/z, after: setup}}]\n{BASE}"
    );
    assert_eq!(verdict(&text, Semantics::V2), "directive-conflict");
    assert_eq!(verdict(&text, Semantics::V3), "");
    let lowered = lowered_as(&format!("{META}{text}"), Semantics::V3);
    let spec = lowered.images[0].spec.as_ref().unwrap();
    assert!(spec.imports().all(|import| import.exclude_paths.is_empty()), "none leaves anything out");
    for second in
        ["git: [{to: /y}]\nimport: [{from: base, add: /x, to: /y, after: setup}]\n", "git: [{to: /y}, {to: /y}]\n"]
    {
        assert_eq!(verdict(&format!("{IMAGE}{second}{BASE}"), Semantics::V3), "directive-conflict", "{second}");
    }
}

#[test]
fn dockerfiles_of_v3_may_be_beside_their_context() {
    for (dockerfile, v2, v3) in [
        ("sub/D", "", ""),
        ("../D", "directive-path", ""),
        ("../../D", "directive-path", "directive-path"),
        ("/D", "directive-path", "directive-path"),
    ] {
        let text = format!("image: a\ncontext: c\ndockerfile: {dockerfile}\n");
        assert_eq!(
            (verdict(&text, Semantics::V2).as_str(), verdict(&text, Semantics::V3).as_str()),
            (v2, v3),
            "{text}"
        );
    }
}
