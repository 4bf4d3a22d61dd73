use super::*;

fn digest(fill: &str) -> String {
    format!("sha256:{}", fill.repeat(64))
}

#[test]
fn unknown_fields_survive_and_writing_is_canonical() {
    let text = format!(
        r#"{{"os":"linux","zeta":{{"b":1,"a":[null]}},"architecture":"arm","config":{{"Tty":true,"Cmd":["x"],"Memory":18446744073709551615}},
        "rootfs":{{"diff_ids":["{0}"],"type":"layers","odd":1}},"history":[{{"created_by":"a","odd":2}}]}}"#,
        digest("a")
    );
    let config = ImageConfig::parse(text.as_bytes()).unwrap();
    let written = String::from_utf8(config.to_bytes()).unwrap();
    assert_eq!(
        written,
        format!(
            r#"{{"architecture":"arm","config":{{"Cmd":["x"],"Memory":18446744073709551615,"Tty":true}},"history":[{{"created_by":"a","odd":2}}],"os":"linux","rootfs":{{"diff_ids":["{}"],"odd":1,"type":"layers"}},"zeta":{{"a":[null],"b":1}}}}"#,
            digest("a")
        )
    );
    assert_eq!(ImageConfig::parse(written.as_bytes()).unwrap(), config);
}

#[test]
fn nulls_and_missing_parts_are_empty() {
    for text in [
        "{}",
        r#"{"config":null,"rootfs":null,"history":null,"architecture":null,"os":null,"created":null}"#,
        r#"{"config":{"Env":null,"Cmd":null,"Entrypoint":null,"ExposedPorts":null,"Volumes":null,"Labels":null,"User":null,
            "WorkingDir":null,"StopSignal":null,"Healthcheck":null,"OnBuild":null,"Shell":null,"ArgsEscaped":null},
            "rootfs":{"type":null,"diff_ids":null}}"#,
    ] {
        assert_eq!(ImageConfig::parse(text.as_bytes()).unwrap(), ImageConfig::default(), "{text}");
    }
    let odd = ImageConfig::parse(br#"{"config":{"Cmd":"run","Volumes":{"/v":null},"Labels":{"a":null}}}"#).unwrap();
    assert_eq!(odd.config.cmd, ["run"]);
    assert!(odd.config.volumes.contains("/v"));
    assert_eq!(odd.config.labels["a"], "");
}

#[test]
fn hostile_configs_are_errors() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "",
        "[]",
        "null",
        "{",
        r#"{"config":[]}"#,
        r#"{"config":{"Env":[null]}}"#,
        r#"{"config":{"Env":"A=1"}}"#,
        r#"{"config":{"Volumes":["/v"]}}"#,
        r#"{"rootfs":{"type":"layers+base"}}"#,
        r#"{"rootfs":{"diff_ids":["sha256:xyz"]}}"#,
        r#"{"rootfs":{"diff_ids":["sha256:../../../../etc/passwd"]}}"#,
        r#"{"history":{}}"#,
        &deep,
    ] {
        assert!(ImageConfig::parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(80)]);
    }
    let huge = vec![b' '; MAX_CONFIG_BYTES as usize + 1];
    assert!(matches!(ImageConfig::parse(&huge), Err(SpecError::TooLarge { .. })));
}

#[test]
fn documents_mean_one_thing_or_are_refused() {
    let descriptor = format!(r#"{{"mediaType":"m","digest":"{}","size":1}}"#, digest("a"));
    let parse = |text: String| Document::parse(text.as_bytes());
    assert!(matches!(
        parse(format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":null}}"#)),
        Ok(Document::Manifest(_))
    ));
    assert!(matches!(parse(format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#)), Ok(Document::Index(_))));
    let both = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"manifests":[{descriptor}]}}"#);
    assert!(matches!(parse(both), Err(SpecError::Ambiguous)));
    let mislabelled = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::MANIFEST);
    assert!(matches!(parse(mislabelled), Err(SpecError::MediaType { .. })));
    let doubled = format!(r#"{{"schemaVersion":2,"manifests":[],"manifests":[{descriptor}]}}"#);
    assert!(matches!(parse(doubled), Err(SpecError::Json { .. })));
    for text in [
        r#"{"schemaVersion":1,"fsLayers":[]}"#,
        r#"{"schemaVersion":2}"#,
        r#"{"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[{"digest":"sha512:00","size":1}]}"#,
        r#"{"schemaVersion":2,"manifests":[{"size":1}]}"#,
    ] {
        assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
    }
    let negative = descriptor.replace(":1}", ":-1}");
    assert!(parse(format!(r#"{{"schemaVersion":2,"manifests":[{negative}]}}"#)).is_err());
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = ImageConfig::parse(&bytes);
        let _ = Document::parse(&bytes);
    }
}
