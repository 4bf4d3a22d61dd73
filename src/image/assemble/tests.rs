use std::collections::BTreeMap;

use super::*;
use crate::sha256::Sha256;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn base() -> ImageConfig {
    ImageConfig::parse(
        br#"{"architecture":"amd64","os":"linux","variant":"v2","os.version":"1","container":"abc","author":"a",
        "container_config":{"Cmd":["x"]},"moby.buildkit.cache.v0":"x","created":"2020-01-01T00:00:00Z",
        "config":{"Env":["PATH=/bin","A=1","HOME=/root"],"Entrypoint":["/e"],"Cmd":["c"],"OnBuild":["RUN x"],
        "Image":"sha256:0","Hostname":"h","Tty":true,"Labels":{"a":"1","b":"2"},"Volumes":{"/v":{}}},
        "rootfs":{"type":"layers","diff_ids":["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]},
        "history":[{"created_by":"base"},{"created_by":"ENV","empty_layer":true}]}"#,
    )
    .unwrap()
}

fn env(entries: &[(&str, &str)]) -> Result<Vec<String>, AssembleError> {
    Ok(apply_post(&base(), &Post { env: pairs(entries), ..Post::default() })?.config.env)
}

#[test]
fn env_expands_to_the_values_before_the_stage() {
    let after = env(&[("Z", "$A"), ("A", "2"), ("PATH", "/opt:${PATH}"), ("B", "$NONE${NONE}x")]).unwrap();
    assert_eq!(after, ["PATH=/opt:/bin", "A=2", "HOME=/root", "B=x", "Z=1"]);
}

#[test]
fn literal_dollars_and_what_is_not_understood() {
    for (value, expected) in [
        ("$$A", "$A"),
        ("\\$A", "$A"),
        ("\\\\x", "\\\\x"),
        ("5$", "5$"),
        ("$5", "$5"),
        ("$-", "$-"),
        ("$A$A", "11"),
        ("${A}b", "1b"),
        ("$Ab", ""),
        ("$ü", "$ü"),
    ] {
        let after = env(&[("X", value)]).unwrap();
        assert_eq!(after.last().unwrap(), &format!("X={expected}"), "{value}");
        let escaped = env(&[("X", &escape_env(value))]).unwrap();
        if !value.contains("\\$") {
            assert_eq!(escaped.last().unwrap(), &format!("X={value}"));
        }
    }
    for value in ["${A:-x}", "${}", "${A", "${1}"] {
        assert!(env(&[("X", value)]).unwrap_err().to_string().contains("env X"), "{value}");
    }
}

#[test]
fn of_duplicate_variables_the_last_counts_and_one_remains() {
    let mut base = base();
    base.config.env = texts(&["A=1", "B=2", "A=3"]);
    let post = Post { env: pairs(&[("A", "$A!")]), ..Post::default() };
    assert_eq!(apply_post(&base, &post).unwrap().config.env, ["A=3!", "B=2"]);
}

#[test]
fn entrypoint_clears_cmd_and_cmd_keeps_entrypoint() {
    type Command<'a> = Option<&'a [&'a str]>;
    let cases: [(Command, Command, &[&str], &[&str]); 6] = [
        (None, None, &["/e"], &["c"]),
        (Some(&["/n"]), None, &["/n"], &[]),
        (Some(&["/n"]), Some(&["d"]), &["/n"], &["d"]),
        (None, Some(&["d"]), &["/e"], &["d"]),
        (Some(&[]), None, &[], &[]),
        (Some(&[]), Some(&["d"]), &[], &["d"]),
    ];
    for (entrypoint, cmd, expected_entrypoint, expected_cmd) in cases {
        let post = Post { entrypoint: entrypoint.map(texts), cmd: cmd.map(texts), ..Post::default() };
        let after = apply_post(&base(), &post).unwrap().config;
        assert_eq!((after.entrypoint, after.cmd), (texts(expected_entrypoint), texts(expected_cmd)));
    }
}

#[test]
fn everything_else_of_a_post_stage() {
    let post = Post {
        labels: pairs(&[("b", "3"), ("c", "4")]),
        workdir: Some("/w".to_owned()),
        user: Some("1:1".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        volumes: texts(&["/data"]),
        expose: texts(&["80", "53/udp"]),
        healthcheck: Some(stages::spec::Healthcheck {
            test: texts(&["CMD", "/c"]),
            interval: Some(30_000_000_000),
            retries: Some(3),
            ..Default::default()
        }),
        ..Post::default()
    };
    let after = apply_post(&base(), &post).unwrap();
    let json = String::from_utf8(crate::image::spec::canonical_json(&after.config)).unwrap();
    assert_eq!(
        json,
        r#"{"Cmd":["c"],"Entrypoint":["/e"],"Env":["PATH=/bin","A=1","HOME=/root"],"ExposedPorts":{"53/udp":{},"80/tcp":{}},"Healthcheck":{"Interval":30000000000,"Retries":3,"Test":["CMD","/c"]},"Labels":{"a":"1","b":"3","c":"4"},"StopSignal":"SIGINT","Tty":true,"User":"1:1","Volumes":{"/data":{},"/v":{}},"WorkingDir":"/w"}"#
    );
}

#[test]
fn assembled_configs_have_layers_history_and_no_trace_of_the_base_build() {
    let layers = [
        LayerRef { diff_id: Some(Sha256::of(b"1")), created_by: "stager build/compile".to_owned() },
        LayerRef { diff_id: None, created_by: "stager image-post".to_owned() },
    ];
    let platform = "linux/amd64".parse().unwrap();
    let config = assemble(&base(), &platform, &layers, 315_532_801).unwrap();
    assert_eq!(config.created.as_deref(), Some("1980-01-01T00:00:01Z"));
    assert_eq!(config.author.as_deref(), Some("a"));
    assert_eq!(config.variant.as_deref(), Some("v2"));
    assert_eq!(config.rootfs.diff_ids.len(), 2);
    let lines: Vec<_> = config.history.iter().map(|line| (line.created_by.as_str(), line.empty_layer)).collect();
    assert_eq!(lines, [("base", false), ("ENV", true), ("stager build/compile", false), ("stager image-post", true)]);
    assert!(config.config.on_build.is_empty());
    let json = String::from_utf8(config.to_bytes()).unwrap();
    for gone in ["container", "buildkit", "Hostname", "\"Image\""] {
        assert!(!json.contains(gone), "{gone} in {json}");
    }
    assert!(json.contains(r#""os.version":"1""#), "unknown fields survive: {json}");
    assert_eq!(ImageConfig::parse(json.as_bytes()).unwrap(), config);
}

#[test]
fn history_that_does_not_fit_the_layers_is_brought_in_step() {
    let layer = [LayerRef { diff_id: Some(Sha256::of(b"1")), created_by: "new".to_owned() }];
    let platform = "linux/amd64".parse().unwrap();
    let step = |history: &[bool], layers: usize| {
        let mut base = ImageConfig::scratch(&platform);
        base.rootfs.diff_ids = vec![Sha256::of(b"0"); layers];
        base.history = history.iter().map(|&empty_layer| History { empty_layer, ..History::default() }).collect();
        let config = assemble(&base, &platform, &layer, 0).unwrap();
        assert_eq!(config.history.last().unwrap().created_by, "new");
        config.history.iter().map(|line| line.empty_layer).collect::<Vec<_>>()
    };
    assert_eq!(step(&[], 2), [false, false, false]);
    assert_eq!(step(&[false, false, true], 1), [true, false, true, false]);
    assert_eq!(step(&[], 0), [false]);
}

#[test]
fn times_out_of_range_are_errors() {
    let platform = "linux/amd64".parse().unwrap();
    assert!(assemble(&ImageConfig::scratch(&platform), &platform, &[], u64::MAX).is_err());
}

#[test]
fn manifests_are_oci_whatever_the_base_was() {
    let config = Descriptor::of(media_type::DOCKER_CONFIG, b"{}");
    let mut layer = Descriptor::of(media_type::DOCKER_LAYER_GZIP, b"layer");
    layer.annotations = pairs(&[("toc", "x")]);
    let written = manifest(config.clone(), vec![layer], BTreeMap::new()).unwrap();
    let json = String::from_utf8(written.to_bytes()).unwrap();
    assert!(!json.contains("docker"), "{json}");
    assert_eq!(written.layers[0].annotations["toc"], "x");
    assert!(manifest(config, vec![Descriptor::of("application/x", b"")], BTreeMap::new()).is_err());
}
