use super::*;
use crate::source::MemoryFiles;
use crate::template::{origins, slug};

fn files() -> MemoryFiles {
    MemoryFiles::new()
        .file("VERSION", "1.2")
        .file("svc/a/Dockerfile", "x")
        .file("svc/b/Dockerfile", "y")
        .file(".stager/lib.j2", "{% macro image(name) %}\nimage: {{ name }}\n{% endmacro %}")
        .file(".stager/bad.j2", "ok\n{{ nothing.here }}\n")
        .variable("CI", "yes")
        .refused("TOKEN")
}

fn try_render(text: &str) -> Result<String, Box<TemplateFailure>> {
    let source = SourceFile { name: "stager.yaml".to_owned(), text: text.to_owned() };
    let git = GitValues { commit: Some("c0ffee".to_owned()), branch: Some("feature/X".to_owned()), tag: None };
    render(&TemplateRequest { source: &source, files: Arc::new(files()), git: &git, project: Some("shop") })
        .map(|rendered| rendered.text)
}

fn failure(text: &str) -> Diagnostic {
    try_render(text).expect_err(text).diagnostic
}

#[test]
fn values_and_filters() {
    for (template, expected) in [
        ("plain: {a: 1}\n", "plain: {a: 1}\n"),
        ("{{ env('CI') }}{{ env('NO', 'd') }}{{ env('NO', default='e') }}", "yesde"),
        ("{{ files.read('VERSION') }}", "1.2"),
        ("{{ files.exists('VERSION') }} {{ files.exists('no') }}", "true false"),
        ("{% for f in files.glob('svc/*/Dockerfile') %}{{ f }};{% endfor %}", "svc/a/Dockerfile;svc/b/Dockerfile;"),
        ("{{ git.commit }} {{ git.branch | slug }} {{ project }}", "c0ffee feature-x shop"),
        ("{% if git.tag %}t{% else %}n{% endif %}{{ git.tag | default('x') }}", "nx"),
        ("{{ 'a\"b' | quote }} {{ [1, 'x'] | tojson }}", "\"a\\\"b\" [1, \"x\"]"),
        ("{% from 'lib.j2' import image %}{{ image('a') }}", "\nimage: a\n"),
        ("{% import '.stager/lib.j2' as lib %}{{ lib.image('a') }}", "\nimage: a\n"),
        ("<{{ '<&>' }}>\n", "<<&>>\n"),
    ] {
        assert_eq!(try_render(template).map_err(|failure| failure.diagnostic), Ok(expected.to_owned()), "{template}");
    }
}

#[test]
fn failures_name_place_cause_and_remedy() {
    let shown = |text: &str| {
        let found = failure(text);
        let place =
            found.place.as_ref().map(|place| format!("{}:{}:{}+{}", place.file, place.line, place.column, place.len));
        let code = found.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
        let related: Vec<String> =
            found.related.iter().map(|related| format!(" < {}:{}", related.place.file, related.place.line)).collect();
        let related = related.concat();
        format!("{}{related}{code}: {} | {}", place.unwrap_or_default(), found.message, found.help.unwrap_or_default())
    };
    let all: Vec<String> = [
        "a\n  x: {{ env('NO') }}\n",
        "{{ env('TOKEN', '') }}",
        "{{ files.read('nothing') }}",
        "{{ files.read('../x') }}",
        "{{ files.open('x') }}",
        "{{ git.tag }}",
        "{{ git.tag | slug }}",
        "a: {{ brnach }}",
        "a: {{ git.brnach }}",
        "{% if x %}",
        "a\n{{ 'x' | slgu }}",
        "{{ enw('x') }}",
        "{% include 'libb.j2' %}",
        "{% include '../x' %}",
        "a\n{% include 'bad.j2' %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 1 / 0 }}",
    ]
    .into_iter()
    .map(shown)
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
stager.yaml:2:9+9 [env-unset]: the environment variable `NO` is not set | set it, or give a default: env("NO", "…")
stager.yaml:1:4+16 [giterminism-denied]: giterminism does not allow `TOKEN` | 
stager.yaml:1:9+16 [file-not-found]: there is no file `nothing` | 
stager.yaml:1:9+13: a file's path is relative to the project directory and has no `..`; got "../x" | 
stager.yaml:1:9+10: cannot render the template: unknown method: files has read, glob and exists, but no `open` | 
stager.yaml:1:4+7: cannot render the template: the value is none: there is nothing to write | git.tag is none here, as the commit has no tag; git.tag | default("…") stands in
stager.yaml:1:14+4: cannot render the template: slug takes a text, a number or a boolean, not none | git.tag is none here, as the commit has no tag; git.tag | default("…") stands in
stager.yaml:1:7+6: cannot render the template: undefined value: `brnach` is undefined | a template sees env(), files, git and project, and what it sets itself
stager.yaml:1:7+10: cannot render the template: undefined value: `git.brnach` is undefined | did you mean `git.branch`?
stager.yaml:1:9+2: cannot render the template: syntax error: unexpected end of input, expected end of block | what is no template goes between {% raw %} and {% endraw %}
stager.yaml:2:10+4: cannot render the template: unknown filter: filter slgu is unknown | did you mean `slug`?
stager.yaml:1:4+8: cannot render the template: unknown function: enw is unknown | did you mean `env`?
stager.yaml:1:4+17: cannot render the template: template not found: tried to include non-existing template 'libb.j2' | did you mean `.stager/lib.j2`?
stager.yaml:1:4+14: cannot render the template: a template's name is a path under `.stager/` without `..`; got ".stager/../x" | 
.stager/bad.j2:2:4+12 < stager.yaml:2: cannot render the template: undefined value: `nothing` is undefined | a template sees env(), files, git and project, and what it sets itself
stager.yaml:1:41+13: cannot render the template: it does too much work (is there a loop without an end?) | 
stager.yaml:1:19+3: cannot render the template: recursion limit exceeded | 
stager.yaml:1:4+5: cannot render the template: unable to calculate 1 / 0 |
"##);
}

#[test]
fn an_unknown_project_says_where_it_comes_from() {
    let source = SourceFile { name: "stager.yaml".to_owned(), text: "image: {{ project }}".to_owned() };
    let git = GitValues::default();
    let request = TemplateRequest { source: &source, files: Arc::new(files()), git: &git, project: None };
    let found = render(&request).unwrap_err().diagnostic;
    assert!(found.help.unwrap().contains("first document"));
}

#[test]
fn lines_know_where_they_came_from() {
    let text = "project: shop\n{%- for s in ['a', 'b'] %}\n---\nimage: {{ s }}\nfrom: scratch\n{%- endfor %}\n{% from 'lib.j2' import image %}{{ image('c') }}\n";
    let source = SourceFile { name: "stager.yaml".to_owned(), text: text.to_owned() };
    let git = GitValues::default();
    let request = TemplateRequest { source: &source, files: Arc::new(files()), git: &git, project: None };
    let rendered = render(&request).unwrap().text;
    let origins = origins(&request, &rendered);
    let shown: Vec<String> = rendered
        .lines()
        .enumerate()
        .map(|(index, line)| match origins.of(index + 1) {
            Some(origin) => format!("{line} <- {}:{} {}", origin.file, origin.line, origin.verbatim),
            None => line.to_owned(),
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r##"
project: shop <- stager.yaml:1 true
--- <- stager.yaml:3 true
image: a <- stager.yaml:4 false
from: scratch <- stager.yaml:5 true
--- <- stager.yaml:3 true
image: b <- stager.yaml:4 false
from: scratch <- stager.yaml:5 true

image: c <- .stager/lib.j2:2 false
"##);
}

#[test]
fn slugs_are_names_everywhere() {
    for (text, expected) in [
        ("main", "main"),
        ("Feature/JIRA-12 x", "feature-jira-12-x"),
        ("--a__b--", "a-b"),
        ("v1.2", "v1-2"),
        ("", "af1349b9"),
        ("жук", "0b4eb119"),
    ] {
        assert_eq!(slug(text), expected, "{text}");
    }
    let long = slug(&"ab-".repeat(40));
    assert!(long.len() <= 63 && long.starts_with("ab-ab-"), "{long}");
    assert_ne!(long, slug(&"ab-".repeat(41)));
    assert_eq!(slug(&"a".repeat(63)), "a".repeat(63));
}

#[test]
fn huge_output_ends_in_an_error() {
    let found = failure("{% set x = 'x' * 1000000 %}{% for i in range(100000) %}{{ x }}{% endfor %}");
    assert!(found.message.contains("larger than 64 MiB"), "{}", found.message);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]
    #[test]
    fn random_templates_never_panic(text in "([ a-z:\n\"'|.(){}%#-]|\\{\\{|\\}\\}|\\{%|%\\}|for |in |if |end|set |raw|~|ж){0,40}") {
        let source = SourceFile { name: "t".to_owned(), text };
        let git = GitValues::default();
        let request = TemplateRequest { source: &source, files: Arc::new(MemoryFiles::new()), git: &git, project: None };
        if let Ok(rendered) = render(&request) {
            let _ = origins(&request, &rendered.text);
        }
    }
}
