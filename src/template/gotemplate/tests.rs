use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

fn all() -> Functions {
    Functions::new().with(builtins()).with(sprig()).with(nested()).with(helm())
}

/// Small budgets, so that hostile cases end soon.
fn small() -> Limits {
    Limits { steps: 200_000, allocated: 16 << 20, text: 1 << 20, stack: 32 << 20, ..Limits::default() }
}

fn render_with(functions: Functions, limits: Limits, text: &str, data: Value) -> Result<String, TemplateError> {
    let mut set = TemplateSet::new(functions).with_limits(limits).with_now(1_600_000_000, 0);
    set.parse("main", text)?;
    set.execute("main", data)
}

fn render(text: &str) -> Result<String, TemplateError> {
    let data = Value::map([
        ("s", Value::from("text")),
        ("n", Value::int(3)),
        ("l", Value::list(vec![Value::int(1), Value::from("b")])),
        ("m", Value::map([("k", Value::from("v")), ("null", Value::Nil)])),
        ("null", Value::Nil),
    ]);
    render_with(all(), small(), text, data)
}

#[track_caller]
fn fails(text: &str, reason: &str) {
    let error = render(text).expect_err("an error").to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn errors_carry_their_place() {
    let error = render("a\n{{ .s }} {{ .s.x.y }}").expect_err("an error");
    assert_eq!((error.phase, error.line, error.column), (Phase::Execute, 2, Some(14)));
    assert_eq!(
        error.to_string(),
        "template: main:2:14: executing \"main\" at <.s.x.y>: can't evaluate field x in type interface {}"
    );
    let error = render("a\n{{ nope }}").expect_err("an error");
    assert_eq!((error.phase, error.line, error.column), (Phase::Parse, 2, None));
}

#[test]
fn endless_templates_end() {
    fails(
        "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}",
        "executing \"t\" at <{{template \"t\"}}>: ",
    );
    fails("{{ define \"t\" }}{{ include \"t\" . }}{{ end }}{{ include \"t\" . }}", "nested reference name: t");
    fails("{{ tpl .t . }}{{ $x := \"{{ tpl $.t $ }}\" }}", "");
    fails("{{ $t := \"{{ tpl . . }}\" }}{{ tpl $t $t }}", "nested reference");
    fails("{{ range 9223372036854775807 }}{{ end }}", "runs for too long");
    fails("{{ until 9223372036854775807 }}", "");
    fails("{{ repeat 999999999999 \"x\" }}", "too much memory");
    fails("{{ $x := \"ab\" }}{{ range 99 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}", "too much memory");
    fails("{{ range 99999 }}{{ printf \"%1000d\" 1 }}{{ end }}", "too much memory");
    fails("{{ $x := list 1 }}{{ range 99 }}{{ $x = list $x $x }}{{ end }}{{ $x }}", "too long");
    fails("{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}{{ deepEqual $x (deepCopy $x) }}", "");
}

#[test]
fn values_that_hold_themselves_are_errors_when_shown() {
    for show in ["$d", "toJson $d", "toYaml $d", "deepCopy $d", "printf \"%v\" $d", "merge $d (dict \"x\" $d)"] {
        let text = format!("{{{{ $d := dict }}}}{{{{ $_ := set $d \"self\" $d }}}}{{{{ {show} }}}}");
        // Merging finds that it is there already; everything else would never end.
        if !show.starts_with("merge") {
            assert!(render(&text).is_err(), "{show}");
        }
    }
    assert_eq!(render("{{ $_ := set . \"root\" . }}{{ .root.root.s }}").expect("a value"), "text");
}

#[test]
fn deep_values_are_dropped_without_recursion() {
    let text = "{{ $x := list }}{{ range 20000 }}{{ $x = list $x }}{{ end }}{{ $d := dict }}{{ range 20000 }}{{ $d = dict \"k\" $d }}{{ end }}ok";
    assert_eq!(render(text).expect("a value"), "ok");
}

#[test]
fn deep_nesting_parses_or_fails_in_order() {
    let parentheses = |count: usize| format!("{{{{ {}1{} }}}}", "(".repeat(count), ")".repeat(count));
    assert_eq!(render(&parentheses(300)).expect("a value"), "1");
    assert!(render(&parentheses(200_000)).is_err());
    let blocks = |count: usize| format!("{}x{}", "{{ if 1 }}".repeat(count), "{{ end }}".repeat(count));
    assert_eq!(render(&blocks(300)).expect("a value"), "x");
    assert!(render(&blocks(200_000)).is_err());
    let chain = format!("{{{{ if false }}}}{}{{{{ end }}}}", "{{ else if false }}".repeat(500));
    assert_eq!(render(&chain).expect("a value"), "");
    let error = render(&format!("{{{{ fromYaml `{}` }}}}", "[".repeat(100_000))).expect_err("an error");
    assert_eq!(error.phase, Phase::Execute);
    assert_eq!(render(&format!("{{{{ fromJson `{}` }}}}", "[".repeat(20_000))).expect("a value"), "<no value>");
}

#[test]
fn five_thousand_levels_of_templates() {
    let text = "{{ define \"t\" }}{{ if gt . 0 }}{{ template \"t\" (int (sub . 1)) }}{{ else }}bottom{{ end }}{{ end }}{{ template \"t\" 5000 }}";
    assert_eq!(render_with(all(), Limits::default(), text, Value::Nil).expect("a value"), "bottom");
}

#[test]
fn maps_are_shared_and_merges_share_with_their_source() {
    assert_eq!(render("{{ $_ := set .m \"k\" 2 }}{{ .m.k }}").expect("a value"), "2");
    let shared = "{{ $a := dict }}{{ $b := dict \"x\" (dict \"y\" 1) }}{{ $_ := merge $a $b }}{{ $_ := set $a.x \"y\" 2 }}{{ $b.x.y }}";
    assert_eq!(render(shared).expect("a value"), "2");
}

#[derive(Default)]
struct TestHost {
    log: Mutex<Vec<String>>,
}

impl Host for TestHost {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        match name {
            "SET" => Ok(Some("value".to_owned())),
            "EMPTY" => Ok(Some(String::new())),
            "SECRET" => Err("SECRET is not allowed".to_owned()),
            _ => Ok(None),
        }
    }

    fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        if path == "a.txt" { Ok(b"content".to_vec()) } else { Err(format!("no file {path}")) }
    }

    fn glob(&self, pattern: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        Ok(vec![(format!("{pattern}/b"), b"B".to_vec()), (format!("{pattern}/a"), b"A".to_vec())])
    }

    fn exists(&self, path: &str) -> Result<bool, String> {
        Ok(path == "a.txt")
    }

    fn is_dir(&self, path: &str) -> Result<bool, String> {
        Ok(path == "dir")
    }

    fn debug(&self, text: &str) {
        self.log.lock().expect("a lock").push(text.to_owned());
    }
}

fn render_werf(text: &str) -> Result<String, TemplateError> {
    let host: Arc<dyn Host> = Arc::new(TestHost::default());
    let commit = CommitFacts { hash: "abc".to_owned(), date_human: "today".to_owned(), date_unix: 1_600_000_000 };
    render_with(all().with(werf(&host)), small(), text, werf_data(&host, "test", &commit))
}

#[test]
fn the_yaml_of_werf_takes_what_its_own_reader_gives() {
    let nested = "{{ $l := (fromYaml \"l:\\n- {name: x, 10: a, 9: [b], yes: c, ~: d, 1.5: e, f: 1000000.0}\\n\").l }}";
    let item = "true: c\n1.5: e\n9:\n- b\n10: a\nnull: d\nf: 1e+06\nname: x";
    assert_eq!(render_werf(&format!("{nested}{{{{ index $l 0 | toYaml }}}}")).expect("a value"), item);
    assert_eq!(render_werf(&format!("{nested}{{{{ (index $l 0 | toYaml | fromYaml).name }}}}")).expect("a value"), "x");
    assert_eq!(render_werf("{{ toYaml (list 1.0 1e300 .Missing) }}").expect("a value"), "- 1\n- 1e+300\n- null");
    assert!(render_werf("{{ $d := dict }}{{ $_ := set $d \"self\" $d }}{{ toYaml $d }}").is_err());
}

#[test]
fn werf_asks_its_host() {
    let cases = [
        ("{{ env \"SET\" }}", "value"),
        ("{{ env \"SET\" \"d\" }}", "value"),
        ("{{ env \"EMPTY\" \"d\" }}", "d"),
        ("{{ env \"UNSET\" \"d\" }}", "d"),
        ("{{ .Files.Get \"a.txt\" }}", "content"),
        ("{{ $.Files.Get (print \"a\" \".txt\") | upper }}", "CONTENT"),
        ("{{ range $path, $text := .Files.Glob \"x\" }}{{ $path }}={{ $text }};{{ end }}", "x/a=A;x/b=B;"),
        ("{{ .Files.Exists \"a.txt\" }} {{ .Files.IsDir \"a.txt\" }}", "true false"),
        ("{{ .Env }} {{ .Commit.Hash }} {{ .Commit.Date.Human }} {{ .Commit.Date.Unix }}", "test abc today 1600000000"),
        ("{{ date \"2006\" (atoi .Commit.Date.Unix) }}", "2020"),
        ("{{ tpl `{{ define \"late\" }}L{{ end }}x` . }}{{ include \"late\" . }}{{ template \"late\" }}", "xLL"),
        ("{{ printf_debug \"%s\" \"x\" }}{{ dump_debug . }}{{ tpl_debug \"{{ .Env }}\" . }}", "test"),
    ];
    for (text, want) in cases {
        assert_eq!(render_werf(text).expect(text), want, "{text}");
    }
}

#[test]
fn what_the_host_refuses_is_an_error() {
    let cases = [
        ("{{ env \"SECRET\" }}", "error calling env: SECRET is not allowed"),
        ("{{ env \"UNSET\" }}", "\"UNSET\" must be set or default must be provided"),
        ("{{ .Files.Get \"nope\" }}", "error calling Get: {{ .Files.Get \"nope\" }}: no file nope"),
        ("{{ .Files.Nope }}", "can't evaluate field Nope in type"),
        ("{{ expandenv \"$SET\" }}", "function \"expandenv\" not defined"),
    ];
    for (text, want) in cases {
        let result = render_werf(text);
        let found = result.as_ref().map_or_else(ToString::to_string, |text| format!("error? {text}"));
        assert!(found.contains(want), "{text}: {found}");
    }
}

#[test]
fn dapp_takes_missing_files_for_empty_ones() {
    let host: Arc<dyn Host> = Arc::new(TestHost::default());
    let text = "[{{ .Files.Get \"nope\" }}]{{ env \"SET\" }}{{ expandenv \"$SET ${UNSET}!$\" }}{{ set . \"K\" \"V\" | len }}{{ .K }}";
    let output = render_with(all().with(dapp(&host)), small(), text, dapp_data(&host)).expect("a value");
    assert_eq!(output, "[]valuevalue !$2V");
}

#[test]
fn large_widths_and_precisions_are_fine() {
    for verb in ["d", "x", "U", "f", "e", "g", "s", "q", "v", "c", "b", "O"] {
        for value in ["5", "1.5", "\"s\""] {
            let text = format!(
                "{{{{ printf `%0100000{verb}` {value} | len }}}}{{{{ printf `%.100000{verb}` {value} | len }}}}"
            );
            assert!(render(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn certificates_are_refused_by_name() {
    fails("{{ genCA \"x\" 365 }}", "genCA");
    fails("{{ htpasswd \"a\" \"b\" }}", "htpasswd");
}

/// Pieces from which templates are made that get past the parser now and then.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        "\n",
        "if ",
        "else",
        "end",
        "range ",
        "with ",
        "define \"t\"",
        "template \"t\" ",
        "block \"b\" ",
        "break",
        "continue",
        ".",
        ".s",
        ".m.k",
        ".missing",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        "1",
        "-1",
        "0x1F",
        "1.5",
        "1i",
        "'a'",
        "\"a\"",
        "`r`",
        "nil",
        "true",
        "list ",
        "dict ",
        "printf ",
        "\"%d %s %v\" ",
        "index ",
        "len ",
        "and ",
        "or ",
        "eq ",
        "lt ",
        "set ",
        "merge ",
        "toJson ",
        "toYaml ",
        "fromYaml ",
        "include \"t\" ",
        "tpl ",
        "regexMatch ",
        "splitList ",
        "until ",
        "trunc ",
        "substr ",
        "round ",
        "semver ",
        "toDate ",
        "date ",
        "slice ",
        "/*",
        "*/",
        "{{ end }}",
        "{{ range .l }}",
        "{{ if .n }}",
        "{{ $x := ",
        "text",
        "é",
        "%",
        "\u{0}",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn argument() -> impl Strategy<Value = String> {
    let values = prop::sample::select(vec![
        "nil",
        ".",
        ".s",
        ".n",
        ".l",
        ".m",
        ".null",
        ".missing",
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "1e300",
        "-1e300",
        "\"\"",
        "\"a b\"",
        "\"é\\xff\"",
        "\"%\"",
        "\"[\"",
        "\"{\"",
        "\"1.2.3\"",
        "\"2006-01-02\"",
        "true",
        "1i",
        "(list)",
        "(list 1 nil \"x\")",
        "(dict \"a\" (dict))",
        "(split \",\" \"a,b\")",
        "(until 3)",
        "(semver \"1.2.3\")",
        "(toDate \"2006\" \"2020\")",
        "(fromYaml \"a: {b: c}\")",
        "(float64 \"nan\")",
        "(float64 \"inf\")",
    ]);
    values.prop_map(str::to_owned)
}

fn call() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> =
        [builtins(), sprig(), nested(), helm()].concat().iter().map(|known| known.name).collect();
    (prop::sample::select(names), prop::collection::vec(argument(), 0..5), any::<bool>()).prop_map(
        |(name, arguments, piped)| {
            let arguments = arguments.join(" ");
            if piped { format!("{{{{ .s | {name} {arguments} }}}}") } else { format!("{{{{ {name} {arguments} }}}}") }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(text in ".{0,200}") {
        let _ = render(&text);
        let _ = render(&format!("{{{{ {text} }}}}"));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let knows = |_: &str| true;
        let name = Str::from("main");
        let wrapped = [b"{{".as_slice(), &bytes, b"}}"].concat();
        let _ = guard::enter(&small(), || {
            let _ = parse::parse(&name, &bytes, &knows);
            let _ = parse::parse(&name, &wrapped, &knows);
            let _ = json::decode(&bytes);
            let _ = yaml::read_map(&bytes);
            let _ = time::parse(&bytes, &bytes);
            let _ = time::parse_duration(&bytes);
            let _ = format::sprintf(&bytes, &[Value::int(1), Value::string(bytes.as_slice())]);
        });
    }

    #[test]
    fn token_soup_never_panics(text in soup()) {
        let _ = render(&text);
    }

    #[test]
    fn functions_never_panic(text in call()) {
        let _ = render(&text);
    }

    #[test]
    fn formats_never_panic(format in "%[-+# 0]{0,3}[0-9*\\[\\]]{0,6}(\\.[0-9*]{0,6})?[a-zA-Z%é]?", argument in argument()) {
        let _ = render(&format!("{{{{ printf `{format}` {argument} 3 }}}}"));
    }

    #[test]
    fn patterns_never_panic(pattern in "[a-c(){}\\[\\]|*+?^$.\\\\0-9,:<>P=!iQEdwsp-]{0,16}", text in "[a-c0-9é ]{0,10}") {
        let _ = render(&format!("{{{{ regexReplaceAll `{pattern}` `{text}` `$1${{x}}` }}}}{{{{ regexSplit `{pattern}` `{text}` -1 }}}}"));
    }

    #[test]
    fn json_survives_a_round_trip(text in "\\PC{0,40}", number in any::<i64>(), float in -1e300_f64..1e300) {
        let value = Value::list(vec![Value::from(text.as_str()), Value::map([("k", Value::Float(float))])]);
        let encoded = json::encode(&value, json::COMPACT).expect("JSON");
        let again = json::decode(&encoded).expect("a value");
        prop_assert!(equal::deep_equal(&value, &again).expect("a result"));
        prop_assert_eq!(number::parse_int(number.to_string().as_bytes(), 0), Ok(number));
    }

    #[test]
    fn yaml_reads_what_it_writes(text in "\\PC{0,60}", key in "[a-zA-Z0-9_ :#-]{1,12}") {
        let value = Value::map([(key.as_str(), Value::from(text.as_str()))]);
        let written = yaml::write(&value).expect("YAML");
        let again = yaml::read_map(&written);
        let equal = again.as_ref().is_ok_and(|again| equal::deep_equal(&value, again).expect("a result"));
        prop_assert!(equal, "{} -> {:?}", String::from_utf8_lossy(&written), again);
    }
}
