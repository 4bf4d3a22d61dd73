//! Go templates of werf and dapp: what people see when one is wrong, and where rendered lines come from.

use super::*;

fn werf(files: MemoryFiles) -> LoadRequest<'static> {
    LoadRequest { dialect: Some(Dialect::Werf(WerfSemantics::V2)), ..request(files) }
}

fn error_of(files: MemoryFiles) -> String {
    let error = super::super::render(&werf(files)).expect_err("an error");
    diagnostics::render(&error.diagnostics, &error.sources, false)
}

fn image(from: &str) -> String {
    format!("configVersion: 1\nproject: demo\n---\nimage: a\nfrom: {from}\n")
}

#[test]
fn texts_are_rendered() {
    let files = MemoryFiles::new()
        .file("werf.yaml", image("{{ include \"sub/base.tmpl\" . }}{{ template \"tag\" }}-{{ env \"X\" \"d\" }}"))
        .file(".werf/sub/base.tmpl", "debian:")
        .file(".werf/h.tmpl", "{{ define \"tag\" }}12{{ end }}")
        .file(".werf/ignored.txt", "{{ nonsense")
        .file("other/tag.tmpl", "{{ define \"tag\" }}13{{ end }}");
    assert_eq!(super::super::render(&werf(files.clone())).unwrap(), image("debian:12-d"));
    let mut other = werf(files.clone().file("other/sub/base.tmpl", "x:"));
    other.go.templates = Some("other/".to_owned());
    assert_eq!(super::super::render(&other).unwrap(), image("x:13-d"));
}

#[test]
fn files_are_looked_for_from_the_project_directory() {
    let files = MemoryFiles::new().file("d/a.txt", "A").file("d/sub/b.txt", "B").file("d/c.md", "C");
    for (template, expected) in [
        ("{{ .Files.Get \"/d/a.txt\" }}{{ .Files.Get \"./d/../d/a.txt\" }}", "AA"),
        ("{{ range $p, $t := .Files.Glob \"d/*.txt\" }}{{ $p }}={{ $t }} {{ end }}", "d/a.txt=A "),
        ("{{ range $p, $t := .Files.Glob \"d\" }}{{ $p }} {{ end }}", "d/a.txt d/c.md d/sub/b.txt "),
        ("{{ range $p, $t := .Files.Glob \"*/s*\" }}{{ $p }} {{ end }}", "d/sub/b.txt "),
        ("{{ range $p, $t := .Files.Glob \"none/**\" }}{{ $p }} {{ end }}", ""),
        (
            "{{ .Files.Exists \"d\" }} {{ .Files.Exists \"x\" }} {{ .Files.IsDir \"d/a.txt\" }} {{ .Files.IsDir \".\" }}",
            "true false false true",
        ),
    ] {
        let text = super::super::render(&werf(files.clone().file("werf.yaml", template)));
        assert_eq!(text.map_err(|error| error.to_string()).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn the_clock_and_chance_are_warned_of() {
    let text = super::super::render_text(&werf(MemoryFiles::new().file("werf.yaml", image("{{ uuidv4 }}{{ now }}"))));
    let messages: Vec<String> = text.unwrap().warnings().iter().map(|warning| warning.message.clone()).collect();
    assert_eq!(messages, ["the config uses `now`, `uuidv4`: each run renders another text"]);
}

#[test]
fn keys_that_are_not_there_are_warned_of() {
    let files = MemoryFiles::new().file("werf.yaml", image("{{ .Values.tag }}\nшell: {{ .Nope }}"));
    let text = super::super::render_text(&werf(files)).unwrap();
    insta::assert_snapshot!(diagnostics::render(text.warnings(), &text.sources(), false), @r##"
warning: the template prints `<no value>` 2 times, first in rendered line 5
 --> werf.yaml:5:1
  |
5 | from: {{ .Values.tag }}
  | ^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: a key that is not there; `required` makes it an error, `default` gives it a value
"##);
}

#[test]
fn errors_show_the_template_and_the_way_to_it() {
    let nested = MemoryFiles::new()
        .file("werf.yaml", image("{{ include \"outer.tmpl\" . | nindent 2 }}"))
        .file(".werf/outer.tmpl", "- x\n- {{ include \"inner\" (dict \"a\" 1) }}\n")
        .file(".werf/h.tmpl", "{{ define \"inner\" }}\nж {{ required \"give a name\" .name }}{{ end }}");
    insta::assert_snapshot!(error_of(nested), @r##"
error[template-required]: give a name
 --> .werf/h.tmpl:2:6
  |
2 | ж {{ required "give a name" .name }}{{ end }}
  |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
 ::: .werf/outer.tmpl:2:6
  |
2 | - {{ include "inner" (dict "a" 1) }}
  |      ---------------------------- reached from here
  |
 ::: werf.yaml:5:10
  |
5 | from: {{ include "outer.tmpl" . | nindent 2 }}
  |          ---------------------- reached from here
"##);
}

#[test]
fn errors_name_class_place_and_remedy() {
    let templates = [
        "{{ inclde \"x\" }}",
        "{{ include \"step.tmpl\" . }}",
        "{{ .Files.Get \"no.txt\" }}",
        "{{ fail \"stop it\" }}",
        "{{ tpl \"\\n{{ fail `inside` }}\" . }}",
        "{{ index (list 1) 5 }}",
        "{{ env \"SECRET\" }}",
        "{{ env \"UNSET\" }}",
        "{{ if }}",
        "{{ template \"loop\" . }}{{ define \"loop\" }}{{ include \"loop\" . }}{{ end }}",
    ];
    let shown = templates.map(|template| {
        let files =
            MemoryFiles::new().file("werf.yaml", image(template)).file(".werf/steps.tmpl", "").refused("SECRET");
        let error = super::super::render(&werf(files)).expect_err(template);
        let [diagnostic] = &error.diagnostics[..] else { panic!("{template}: {error:?}") };
        let place = diagnostic.place.as_ref().map(|place| format!("{}+{}", place.column, place.len));
        let help = diagnostic.help.as_deref().unwrap_or_default();
        let code = diagnostic.code.as_deref().unwrap_or_default();
        format!("{code} {}: {} ({help})", place.unwrap_or_default(), diagnostic.message)
    });
    insta::assert_snapshot!(shown.join("\n"), @r##"
template-parse 10+6: cannot render the template: function "inclde" not defined (did you mean `include`?)
template-missing 10+21: there is no template `step.tmpl` (did you mean `steps.tmpl`? files are named by their path below the templates directory)
file-not-found 16+4: there is no file `no.txt` (is it committed? paths are relative to the project directory)
template-fail 10+14: stop it ()
template-fail 10+29: inside ()
template-exec 10+16: cannot render the template: `index`: index out of range: 5 ()
giterminism-denied 10+12: giterminism does not allow `SECRET` ()
env-unset 10+11: the environment variable `UNSET` is not set (set it, or give a default: {{ env "UNSET" "…" }})
template-parse 1+14: cannot render the template: missing value for if ()
template-exec 52+16: the template `loop` includes itself, over and over (let a condition end the recursion)
"##);
}

#[test]
fn rendered_places_lead_to_the_template() {
    let text =
        "a: 1\n{{ range list \"x\" \"y\" }}\nж: {{ . }} # c\nkey: v\n{{- end }}\n{{ include \"t.tmpl\" . }}\nend: é\n";
    let files = MemoryFiles::new().file("werf.yaml", text).file(".werf/t.tmpl", "from: t");
    let text = super::super::render_text(&werf(files)).unwrap();
    assert_eq!(text.rendered().text, "a: 1\n\nж: x # c\nkey: v\nж: y # c\nkey: v\nfrom: t\nend: é\n");
    for (line, column, len, expected) in [
        (1, 1, 1, "werf.yaml:1:1+1"),
        (3, 1, 1, "werf.yaml:3:1+1"),
        (3, 4, 1, "werf.yaml (rendered):3:4+1 <werf.yaml:3:1+14>"),
        (3, 6, 1, "werf.yaml:3:12+1"),
        (5, 6, 1, "werf.yaml:3:12+1"),
        (6, 1, 3, "werf.yaml:4:1+3"),
        (7, 1, 4, ".werf/t.tmpl:1:1+4 <werf.yaml:6:1+24>"),
        (8, 6, 1, "werf.yaml:7:6+1"),
        (8, 7, 0, "werf.yaml (rendered):8:7+0 <werf.yaml:6:1+24>"),
        (1, 2, 0, "werf.yaml:1:2+0"),
        (3, 8, 0, "werf.yaml (rendered):3:8+0 <werf.yaml:3:1+14>"),
    ] {
        let place = Place { file: text.rendered().name.clone(), line, column, len };
        let moved = text.relocate(vec![Diagnostic::error("x").at(place)]).remove(0);
        let shown = |place: &Place| format!("{}:{}:{}+{}", place.file, place.line, place.column, place.len);
        let related: Vec<String> =
            moved.related.iter().map(|related| format!(" <{}>", shown(&related.place))).collect();
        let related = related.concat();
        assert_eq!(shown(moved.place.as_ref().unwrap()) + &related, expected);
    }
}

#[test]
fn a_syntax_error_in_rendered_text_shows_that_text() {
    let text =
        "configVersion: 1\nproject: demo\n---\nimage: a\nfrom: {{ include \"defs.tmpl\" . }}{{ include \"x\" . }}\n";
    let files = MemoryFiles::new().file("werf.yaml", text).file(".werf/defs.tmpl", "{{ define \"x\" }}X{{ end }}\n");
    let error = load(&werf(files)).expect_err("an error");
    insta::assert_snapshot!(diagnostics::render(&error.diagnostics, &error.sources, false), @r##"
error[yaml-syntax]: this is not valid YAML: while scanning a simple key, could not find expected ':'
 --> werf.yaml (rendered):6:2
  |
6 | X
  |  ^
  |
 ::: werf.yaml:5:1
  |
5 | from: {{ include "defs.tmpl" . }}{{ include "x" . }}
  | ---------------------------------------------------- rendered from this line
  |
  = note: the lines shown are those of the rendered text; `stager config render` prints all of `werf.yaml`
"##);
}

#[test]
fn errors_in_included_text_are_shown_in_its_file() {
    let text = "configVersion: 1\nproject: demo\n---\n{{ range $p, $text := .Files.Glob \"images/*.yaml\" }}\n---\n{{ tpl $text $ }}\n{{ end }}";
    let files = MemoryFiles::new()
        .file("werf.yaml", text)
        .file("images/a.yaml", "image: a\nfrom: x\n# {{ .Env }}\n{{ include \"shell\" . }}\n")
        .file("images/b.yaml", "image: b\nform: x\n# {{ .Env }}\n")
        .file(".werf/h.tmpl", "{{ define \"shell\" }}\nshell:\n  instal: [x]\n{{ end }}");
    let error = load(&werf(files)).expect_err("an error");
    insta::assert_snapshot!(diagnostics::render(&error.diagnostics, &error.sources, false), @r##"
error[unknown-field]: unknown key `shell.instal`
 --> .werf/h.tmpl:3:3
  |
3 |   instal: [x]
  |   ^^^^^^
  |
 ::: werf.yaml:6:1
  |
6 | {{ tpl $text $ }}
  | ----------------- included from here
  |
  = help: did you mean `install`?

error[unknown-field]: unknown key `form`
 --> images/b.yaml:2:1
  |
2 | form: x
  | ^^^^
  |
 ::: werf.yaml:6:1
  |
6 | {{ tpl $text $ }}
  | ----------------- included from here
  |
  = help: did you mean `from`?
"##);
    let broken =
        MemoryFiles::new().file("werf.yaml", text).file("images/a.yaml", "image: a\nfrom: {{ fail \"no\" }}\n");
    insta::assert_snapshot!(error_of(broken), @r##"
error[template-fail]: no
 --> images/a.yaml:2:10
  |
2 | from: {{ fail "no" }}
  |          ^^^^^^^^^
  |
 ::: werf.yaml:6:4
  |
6 | {{ tpl $text $ }}
  |    ----------- reached from here
"##);
}
