use super::super::render::project_of;
use super::*;
use crate::source::MemoryFiles;
use crate::ui::diagnostics;

mod errors;
mod go;
mod sample;
mod speed;

fn request(files: MemoryFiles) -> LoadRequest<'static> {
    let git = GitValues { commit: Some("c0ffee".to_owned()), branch: Some("feature/X".to_owned()), tag: None };
    let (go, home) = (GoSettings::default(), ProjectHome::default());
    LoadRequest { files: Arc::new(files), config_path: None, dialect: None, git, go, home }
}

fn load_text(text: &str) -> Result<LoweredConfig, ConfigError> {
    load(&request(MemoryFiles::new().file("stager.yaml", text)))
}

/// What a person sees of a config that does not load.
fn shown(text: &str) -> String {
    let error = load_text(text).expect_err(text);
    diagnostics::render(&error.diagnostics, &error.sources, false)
}

#[test]
fn configs_are_found_in_order() {
    let found = |files: MemoryFiles| discover(&request(files)).map_err(|error| error.diagnostics[0].message.clone());
    let all = MemoryFiles::new().file("devspace.yaml", "").file("werf.yaml", "").file("stager.yml", "");
    assert_eq!(found(all.clone()), Ok(("stager.yml".to_owned(), Dialect::Stager)));
    assert_eq!(found(MemoryFiles::new().file("dappfile.yml", "")), Ok(("dappfile.yml".to_owned(), Dialect::Dapp)));
    assert!(found(MemoryFiles::new()).unwrap_err().contains("looked for `stager.yaml`"));
    let named = LoadRequest { config_path: Some("./ci/werf.yaml"), ..request(all.clone()) };
    assert_eq!(discover(&named).unwrap(), ("ci/werf.yaml".to_owned(), Dialect::Werf(WerfSemantics::V2)));
    let wanted = LoadRequest { dialect: Some(Dialect::Werf(WerfSemantics::V2)), ..request(all) };
    assert_eq!(discover(&wanted).unwrap(), ("werf.yaml".to_owned(), Dialect::Werf(WerfSemantics::V2)));
    let error = load(&wanted).unwrap_err();
    assert!(error.to_string().contains("no project section"), "{error}");
}

#[test]
fn a_werf_config_says_which_werf_it_is_for() {
    let text = "# stager-dialect: werf-v3\nconfigVersion: 1\nproject: p\n---\nimage: {{ `a` }}\nfrom: alpine:3\n";
    let found = |text: &str, asked: Option<WerfSemantics>| {
        let dialect = asked.map(Dialect::Werf);
        let request = LoadRequest { dialect, ..request(MemoryFiles::new().file("werf.yaml", text)) };
        let loaded = load(&request).map_err(|error| diagnostics::render(&error.diagnostics, &error.sources, false))?;
        assert_eq!(super::super::dialect(&request).unwrap(), loaded.text.dialect());
        Ok::<_, String>((loaded.text.dialect().name(), loaded.warnings.len()))
    };
    assert_eq!(found(text, None), Ok(("werf-v3", 0)));
    assert_eq!(found(text, Some(WerfSemantics::V2)), Ok(("werf", 0)), "the command line wins");
    assert_eq!(found(&text.replace("werf-v3", "werf"), Some(WerfSemantics::V3)), Ok(("werf-v3", 0)));
    assert_eq!(found(&text.replace("# s", "{{/* */}}\n# s"), None), Ok(("werf", 1)), "it has to be in the head");
    assert_eq!(found(&text.replace("werf-v3", "v3"), Some(WerfSemantics::V2)), Ok(("werf", 0)));
    insta::assert_snapshot!(found(&text.replace("werf-v3", "v3"), None).unwrap_err(), @r##"
error[dialect]: a `werf.yaml` cannot be of the dialect "v3"
 --> werf.yaml:1:1
  |
1 | # stager-dialect: v3
  | ^^^^^^^^^^^^^^^^^^^^
  |
  = help: write `# stager-dialect: werf` or `# stager-dialect: werf-v3`
"##);
}

#[test]
fn refusals_can_be_told_from_mistakes() {
    let template = "stager: 1\nproject: p\ncacheVersion: {{ env('TOKEN', '') }}\n";
    let error = load(&request(MemoryFiles::new().file("stager.yaml", template).refused("TOKEN"))).unwrap_err();
    assert!(error.is_refusal());
    let error = load(&request(MemoryFiles::new().file("stager.yaml", "").refused("stager.yaml"))).unwrap_err();
    assert!(error.is_refusal());
    assert!(!load_text("stager: 2\n").unwrap_err().is_refusal());
}

#[test]
fn unreadable_files_are_named() {
    let latin = MemoryFiles::new().file("stager.yaml", b"stager: 1\nproject: \xe9\n".to_vec());
    assert!(load(&request(latin)).unwrap_err().to_string().contains("not UTF-8 text (line 2)"));
    let missing = LoadRequest { config_path: Some("no.yaml"), ..request(MemoryFiles::new()) };
    assert!(load(&missing).unwrap_err().to_string().contains("there is no file `no.yaml`"));
    let marked = MemoryFiles::new().file("stager.yaml", "\u{feff}stager: 1\nproject: p\n");
    assert!(load(&request(marked)).is_ok());
}

#[test]
fn the_project_name_is_known_to_templates() {
    for (text, expected) in [
        ("stager: 1\nproject: shop\n", Some("shop")),
        ("# c\n---\nproject: \"shop\" # it\n", Some("shop")),
        ("stager: 1\nproject: {{ env('P') }}\n", None),
        ("stager: 1\n---\nproject: shop\n", None),
        ("", None),
    ] {
        assert_eq!(project_of(text).as_deref(), expected, "{text}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]
    #[test]
    fn random_configs_never_panic(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60)) {
        let text: String = words.concat();
        if let Err(error) = load_text(&text) {
            proptest::prop_assert!(error.diagnostics.iter().any(Diagnostic::is_error));
            let _ = diagnostics::render(&error.diagnostics, &error.sources, false);
        }
    }
}

const WORDS: &[&str] = &[
    "stager: 1\nproject: p\n",
    "---\n",
    "image: a\n",
    "artifact: b\n",
    "from: scratch\n",
    "fromImage: a\n",
    "git:\n",
    "- ",
    "  ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "to: /x",
    "build: ",
    "steps:",
    "command: x",
    "\n",
    "post: ",
    "env: ",
    "{{ project }}",
    "{% if x %}",
    "{% endif %}",
    "{% for i in range(3) %}",
    "{% endfor %}",
    "mount: ",
    "import: ",
    "tests: ",
    "publish: ",
    "tags: ",
    ": ",
    "|\n",
    "&a ",
    "*a ",
    "<<: ",
    "\"",
    "'",
    "ж",
    "0755",
    "true",
    "~",
    "deps: ",
    "packages: ",
    "run: ",
    "caches: ",
    "secrets: ",
    "symlinks: ",
];
