use std::fmt::Write as _;

use super::*;

fn show(node: &Node) -> String {
    match &node.content {
        Content::Scalar(scalar) => {
            format!("{:?}:{:?}@{}:{}+{}", scalar.kind, scalar.text, node.mark.line, node.mark.column, node.mark.len)
        }
        Content::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Content::Mapping(entries) => {
            let shown = entries.iter().map(|entry| {
                format!("{}@{}:{} = {}", entry.key, entry.mark.line, entry.mark.column, show(&entry.value))
            });
            format!("{{{}}}@{}:{}", shown.collect::<Vec<_>>().join(", "), node.mark.line, node.mark.column)
        }
    }
}

fn problems(text: &str) -> Vec<String> {
    let found = parse("f", text);
    let show = |problem: &Diagnostic| {
        let place = problem.place.clone().expect("has a place");
        let related: Vec<String> = problem.related.iter().map(|related| format!(" < {}", related.place.line)).collect();
        let related = related.concat();
        format!("{}:{}{related} {}", place.line, place.column, problem.message)
    };
    found.problems.iter().map(show).collect()
}

#[test]
fn scalars_keep_their_text_and_know_their_kind_and_place() {
    let text = "# intro\na: 1.10\nb: [010, yes, 'x y', true, ~, 0x1f, 1e3]\nc:\n---\n---\nd: |\n  one\n  two\n...\n";
    let found = parse("f", text);
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    insta::assert_snapshot!(found.documents.iter().map(show).collect::<Vec<_>>().join("\n"), @r##"
{a@2:1 = Float:"1.10"@2:4+4, b@3:1 = [Text:"010"@3:5+3, Text:"yes"@3:10+3, Text:"x y"@3:15+5, Boolean:"true"@3:22+4, Null:"~"@3:28+1, Integer:"0x1f"@3:31+4, Float:"1e3"@3:37+3], c@4:1 = Null:""@4:2+0}@2:1
{d@7:1 = Text:"one\ntwo\n"@8:3+3}@7:1
"##);
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nuse:\n  <<: [*b, *m]\n  x: 9\nagain: *b\n";
    insta::assert_snapshot!(show(&parse("f", text).documents[0]), @r##"
{base@1:1 = {x@1:11 = Integer:"1"@1:14+1, y@1:17 = Integer:"2"@1:20+1}@1:10, more@2:1 = {y@2:11 = Integer:"3"@2:14+1, z@2:17 = Integer:"4"@2:20+1}@2:10, use@3:1 = {x@5:3 = Integer:"9"@5:6+1, y@1:17 = Integer:"2"@1:20+1, z@2:17 = Integer:"4"@2:20+1}@4:3, again@6:1 = {x@1:11 = Integer:"1"@1:14+1, y@1:17 = Integer:"2"@1:20+1}@1:10}@1:1
"##);
}

#[test]
fn what_is_wrong_has_its_place() {
    let all: Vec<String> = [
        "a: 1\nb: 2\na: 3\nb: 4\n",
        "ok: 1\n---\na: b: c\n---\nx: [1,\n",
        "a:\n\t- b\n",
        "a: !foo 1",
        "a: !!binary aGk=",
        "? [a]\n: b\n",
        "a: *nope\n",
        "a: &x [*x]\n",
        "<<: 1\n",
        "a: 1\n...\nb: 2\n",
        "a: {{ x }}\n",
        "a: 'x\n",
        "a: @x\n",
        "\u{1}",
    ]
    .iter()
    .map(|text| format!("{text:?}\n  {}", problems(text).join("\n  ")))
    .collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
"a: 1\nb: 2\na: 3\nb: 4\n"
  3:1 < 1 the key `a` is there twice
  4:1 < 2 the key `b` is there twice
"ok: 1\n---\na: b: c\n---\nx: [1,\n"
  3:5 this is not valid YAML: mapping values are not allowed in this context
  6:1 this is not valid YAML: while parsing a node, did not find expected node content
"a:\n\t- b\n"
  2:2 this is not valid YAML: tabs disallowed within this context (block indentation)
"a: !foo 1"
  1:9 the YAML tag `!foo` means nothing here
"a: !!binary aGk="
  1:13 the YAML tag `!!binary` means nothing here
"? [a]\n: b\n"
  1:3 a key must be text, not a list or a map
"a: *nope\n"
  1:4 this is not valid YAML: while parsing node, found unknown anchor
"a: &x [*x]\n"
  1:8 an anchor cannot contain itself
"<<: 1\n"
  1:5 `<<` takes a map or a list of maps
"a: 1\n...\nb: 2\n"
  3:1 a document after `...` does not start with `---`
"a: {{ x }}\n"
  1:5 a key must be text, not a list or a map
"a: 'x\n"
  1:4 this is not valid YAML: while scanning a quoted scalar, found unexpected end of stream
"a: @x\n"
  1:4 this is not valid YAML: unexpected character: `@'
"\u{1}"
  1:1 this is not valid YAML: control characters are not allowed
"##);
}

#[test]
fn bombs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        writeln!(text, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", ")).unwrap();
    }
    assert!(problems(&text)[0].contains("more than"), "{:?}", problems(&text));
    let flow = problems(&"[".repeat(100_000));
    assert!(flow[0].contains("deeper") || flow[0].contains("recursion"), "{flow:?}");
    assert!(problems(&"- ".repeat(10_000))[0].contains("deeper"), "deep block");
    for hostile in [text, "[".repeat(100_000), "- ".repeat(10_000), "{".repeat(100_000), "? ".repeat(10_000)] {
        assert!(!parse_sections("f", &hostile).1.is_empty());
    }
}

/// Long texts are read in shares, one for each processor.
#[test]
fn long_texts_are_read_as_short_ones_are() {
    let padding = format!("# {}\n", "x".repeat(2000));
    let documents = |text: &str| {
        let (chunks, _) = super::split::sections("f", text);
        let shares = super::documents("f", &chunks);
        assert!(
            shares == super::in_turn("f", &chunks, &mut super::Repeated::Refused).0,
            "the order of documents, or what is wrong in one"
        );
        shares
    };
    let document = |number| format!("{padding}n{number}: [{}\n---\n", if number % 20 == 7 { "" } else { "a]" });
    let found = documents(&(0..60).map(document).collect::<String>());
    assert_eq!((found.len(), found.iter().filter(|document| document.is_err()).count()), (60, 3));

    // Half of the values that a text may have, and some.
    let mut half = padding.repeat(20) + "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for level in 1..6 {
        writeln!(half, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", ")).unwrap();
    }
    let found = documents(&format!("{half}---\n{half}"));
    assert!(found[0].is_ok() && found[1].as_ref().unwrap_err()[0].message.contains("more than"));
}

fn sections(text: &str) -> String {
    let (sections, problems) = parse_sections("f", text);
    let mut out = String::new();
    for section in sections {
        let node = section.node.as_ref().map_or_else(|| "malformed".to_owned(), show);
        writeln!(out, "{:?} {node}", &text[section.range]).unwrap();
    }
    for problem in problems {
        let (place, code) = (problem.place.unwrap(), problem.code.unwrap());
        writeln!(out, "{}:{} [{code}] {}", place.line, place.column, problem.message).unwrap();
    }
    out
}

#[test]
fn sections_of_yaml_1_1_are_cut_at_lines_of_hyphens() {
    insta::assert_snapshot!(sections("a: 1\n--- # base-image\n# none\n--- \t\r\nb: y\n---#x\n~\n---\n ---\nc: [017, 'y', 1.10]"), @r##"
"a: 1\n" {a@1:1 = Integer:"1"@1:4+1}@1:1
"b: y\n" {b@5:1 = Boolean:"y"@5:4+1}@5:1
"~\n" Null:"~"@7:1+1
" ---\nc: [017, 'y', 1.10]" malformed
10:2 [yaml-syntax] this is not valid YAML: mapping values are not allowed in this context
"##);
    insta::assert_snapshot!(sections("a: 1\r---\rb: 2\r"), @r##"
"a: 1\r" {a@1:1 = Integer:"1"@1:4+1}@1:1
"b: 2\r" {b@3:1 = Integer:"2"@3:4+1}@3:1
"##);
    insta::assert_snapshot!(sections("a: 1\n--- b: 2\n---\nc: 3\n...\n---\nd: 4\n...\ne: 5\n"), @r##"
"a: 1\n--- b: 2\n" malformed
"c: 3\n...\n" {c@4:1 = Integer:"3"@4:4+1}@4:1
"d: 4\n...\ne: 5\n" malformed
2:1 [yaml-syntax] `---` stands beside a value on its line
2:1 [yaml-syntax] a document after `...` does not start with `---`
9:1 [yaml-syntax] this is not valid YAML: did not find expected <document start>
"##);
    insta::assert_snapshot!(sections("%YAML 1.1\n---\na: 1\n----\n---\nb: \"x\n---\ny\"\n"), @r##"
"%YAML 1.1\n" malformed
"a: 1\n----\n" malformed
"b: \"x\n" malformed
"y\"\n" Text:"y\""@8:1+2
2:1 [yaml-syntax] this is not valid YAML: did not find expected <document start>
5:1 [yaml-syntax] this is not valid YAML: while scanning a simple key, could not find expected ':'
7:1 [yaml-syntax] this is not valid YAML: while scanning a quoted scalar, found unexpected end of stream
"##);
}

#[test]
fn merged_keys_of_yaml_1_1_cannot_be_set_again() {
    insta::assert_snapshot!(sections("a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, z: 3}\nd: {<<: [*a, *b]}\ne: {<<: *a, <<: *b}\n"), @r##"
"a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, z: 3}\nd: {<<: [*a, *b]}\ne: {<<: *a, <<: *b}\n" {a@1:1 = {x@1:8 = Integer:"1"@1:11+1}@1:4, b@2:1 = {y@2:8 = Integer:"2"@2:11+1}@2:4, c@3:1 = {z@3:13 = Integer:"3"@3:16+1, x@1:8 = Integer:"1"@1:11+1}@3:4, d@4:1 = {x@1:8 = Integer:"1"@1:11+1, y@2:8 = Integer:"2"@2:11+1}@4:4, e@5:1 = {x@1:8 = Integer:"1"@1:11+1, y@2:8 = Integer:"2"@2:11+1}@5:4}@1:1
"##);
    insta::assert_snapshot!(sections("a: &a {x: 1}\nc:\n  <<: *a\n  x: 2\n"), @r##"
"a: &a {x: 1}\nc:\n  <<: *a\n  x: 2\n" malformed
4:3 [yaml-duplicate-key] the key `x` is there twice
"##);
    insta::assert_snapshot!(sections("a: &x 1\nb: [*x, *nope]\n---\na: &b [*b]\n---\n? [a]\n: b\n---\nx: 1\nx: 2\n---\na: !t x\n"), @r##"
"a: &x 1\nb: [*x, *nope]\n" malformed
"a: &b [*b]\n" malformed
"? [a]\n: b\n" malformed
"x: 1\nx: 2\n" malformed
"a: !t x\n" {a@12:1 = Text:"x"@12:4+4}@12:1
2:9 [yaml-syntax] this is not valid YAML: there is no anchor `nope` before this
4:8 [yaml-syntax] an anchor cannot contain itself
6:3 [yaml-syntax] a key must be text, not a list or a map
10:1 [yaml-duplicate-key] the key `x` is there twice
"##);
}

const SYMBOLS: &str = "([ a-c:\n\"'|&*!<>{}\\[\\],#?-]|---\n|  |&a |\\*a|<<: |ж|\t|\r\n|\r|%|@|0x|~){0,60}";

/// The text of the only value of `a` in a section.
fn value_of(text: &str) -> String {
    let (sections, problems) = parse_sections("f", text);
    assert!(problems.is_empty(), "{text:?}: {problems:?}");
    format!("{:?}", sections[0].node)
}

#[test]
fn block_scalars_may_end_with_the_text() {
    let cases = [
        ("a: |\n  b", "a: \"b\""),
        ("a: |\n  b\n", "a: \"b\\n\""),
        ("a: |\n  b\n  ", "a: \"b\\n\""),
        ("a: |\n  b\n    ", "a: \"b\\n  \""),
        ("a: |-\n  b", "a: \"b\""),
        ("a: |+\n  b\n\n  c", "a: \"b\\n\\nc\""),
        ("a: >\n  b\n  c", "a: \"b c\""),
        ("a: >\n  b ", "a: \"b \""),
        ("a: >\r\n  b\r\n  c", "a: \"b c\""),
        ("a: |\r\n  b\r\n", "a: \"b\\n\""),
        ("a: 'x\r\n  y'\r\n", "a: 'x y'"),
    ];
    let digits = regex::Regex::new(r"\d+|plain: (true|false)").unwrap();
    for (text, same) in cases {
        let plain = |text: &str| digits.replace_all(&value_of(text), "").into_owned();
        assert_eq!(plain(text), plain(same), "{text:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
    #[test]
    fn random_text_never_panics(text in SYMBOLS) {
        let found = parse("f", &text);
        for problem in &found.problems {
            proptest::prop_assert!(problem.place.as_ref().is_some_and(|place| place.line >= 1 && place.column >= 1));
        }
    }

    #[test]
    fn random_text_of_yaml_1_1_never_panics(text in SYMBOLS) {
        let (sections, problems) = parse_sections("f", &text);
        for problem in &problems {
            proptest::prop_assert!(problem.place.as_ref().is_some_and(|place| place.line >= 1 && place.column >= 1));
        }
        for section in sections {
            proptest::prop_assert!(text.get(section.range).is_some());
        }
    }
}
