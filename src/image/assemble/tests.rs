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
        let mut config = base();
        set_variable(&mut config, "X", value);
        assert_eq!(config.config.env.last().unwrap(), &format!("X={value}"), "as it is");
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
        r#"{"Cmd":["c"],"Entrypoint":["/e"],"Env":["PATH=/bin","A=1","HOME=/root"],"ExposedPorts":{"53/udp":{},"80/tcp":{}},"Healthcheck":{"Interval":30000000000,"Retries":3,"Test":["CMD","/c"]},"Labels":{"a":"1","b":"3","c":"4"},"OnBuild":["RUN x"],"StopSignal":"SIGINT","Tty":true,"User":"1:1","Volumes":{"/data":{},"/v":{}},"WorkingDir":"/w"}"#
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
    assert_eq!(config.config.on_build, ["RUN x"], "an image keeps its own triggers");
    assert!(inherited(config.clone()).config.on_build.is_empty(), "and hands none on");
    let json = String::from_utf8(config.to_bytes()).unwrap();
    for gone in ["container", "buildkit", "Hostname", "\"Image\""] {
        assert!(!json.contains(gone), "{gone} in {json}");
    }
    assert!(json.contains(r#""os.version":"1""#), "unknown fields survive: {json}");
    assert_eq!(ImageConfig::parse(json.as_bytes()).unwrap(), config);
}

#[test]
fn what_is_removed_goes_first_and_still_expands() {
    let post = Post {
        remove: stages::spec::Removal {
            env: texts(&["/.*/"]),
            labels: texts(&["a"]),
            volumes: texts(&["/v"]),
            ..Default::default()
        },
        env: pairs(&[("X", "$A"), ("A", "${A}2")]),
        labels: pairs(&[("a", "new")]),
        volumes: texts(&["/w"]),
        user: Some(String::new()),
        cmd: Some(Vec::new()),
        author: Some("me".to_owned()),
        clear_history: true,
        on_build: texts(&["RUN y"]),
        ..Post::default()
    };
    let after = apply_post(&base(), &post).unwrap();
    assert_eq!(after.config.env, ["A=12", "X=1"]);
    assert_eq!(after.config.labels, pairs(&[("a", "new"), ("b", "2")]));
    assert_eq!(after.config.volumes.iter().collect::<Vec<_>>(), ["/w"]);
    assert!(after.config.cmd.is_empty() && after.history.is_empty());
    assert_eq!((after.author.as_deref(), after.config.on_build), (Some("me"), texts(&["RUN y"])));
}

#[test]
fn each_dialect_reads_texts_by_its_own_rules() {
    use PostRules::{Instructions, Plain, Words};
    let post = |rules| Post {
        env: pairs(&[("X", "'$A'")]),
        labels: pairs(&[("l", "$A")]),
        workdir: Some("$HOME/x".to_owned()),
        expose: texts(&["8$A"]),
        rules,
        ..Post::default()
    };
    for (rules, env, label, workdir, port) in [
        (Plain, "X='1'", "$A", "/$HOME/x", "8$A/tcp"),
        (Instructions, "X='1'", "1", "/root/x", "81/tcp"),
        (Words, "X=$A", "$A", "/$HOME/x", "8$A/tcp"),
    ] {
        let after = apply_post(&base(), &post(rules)).unwrap().config;
        assert_eq!(after.env.last().unwrap(), env);
        assert_eq!((after.labels["l"].as_str(), after.working_dir.as_str()), (label, workdir));
        assert_eq!(after.exposed_ports.first().unwrap(), port);
    }
    for (rules, text) in [(Plain, "${A:-x}"), (Instructions, "${A%x}"), (Words, "it's")] {
        let post = Post { env: pairs(&[("X", text)]), rules, ..Post::default() };
        assert!(apply_post(&base(), &post).is_err(), "{text}");
    }
}

#[test]
fn directories_that_are_not_absolute_are_meant_from_the_root() {
    for (written, expected) in
        [("rel/dir", "/rel/dir"), ("./a//../b/", "/b"), ("../../x", "/x"), ("/a/", "/a/"), ("", "")]
    {
        let post = Post { workdir: Some(written.to_owned()), ..Post::default() };
        assert_eq!(apply_post(&base(), &post).unwrap().config.working_dir, expected, "{written}");
    }
}

#[test]
fn a_check_replaces_or_amends_the_one_of_the_base() {
    let check =
        |test: &[&str], interval| stages::spec::Healthcheck { test: texts(test), interval, ..Default::default() };
    let mut old = base();
    old.config.healthcheck =
        Some(Healthcheck { test: texts(&["CMD", "old"]), interval: Some(10), retries: Some(2), ..Default::default() });
    let after = |rules, check| {
        let post = Post { healthcheck: Some(check), rules, ..Post::default() };
        let check = apply_post(&old, &post).unwrap().config.healthcheck.unwrap();
        (check.test, check.interval, check.retries)
    };
    for rules in [PostRules::Plain, PostRules::Words] {
        assert_eq!(after(rules, check(&["NONE"], None)), (texts(&["NONE"]), None, None));
    }
    let instructions = PostRules::Instructions;
    assert_eq!(after(instructions, check(&["NONE"], None)), (texts(&["NONE"]), Some(10), Some(2)));
    assert_eq!(after(instructions, check(&[], Some(7))), (texts(&["CMD", "old"]), Some(7), Some(2)));
}

#[test]
fn taking_the_entrypoint_away_leaves_the_command_of_werf_images() {
    for (rules, expected) in [(PostRules::Words, texts(&["c"])), (PostRules::Plain, Vec::new())] {
        let post = Post { entrypoint: Some(Vec::new()), rules, ..Post::default() };
        let after = apply_post(&base(), &post).unwrap().config;
        assert_eq!((after.entrypoint, after.cmd), (Vec::new(), expected));
    }
}

#[test]
fn a_cleared_history_stays_empty_until_a_layer_comes() {
    let platform = "linux/amd64".parse().unwrap();
    let mut cleared = base();
    cleared.history.clear();
    let line = |text: &str| LayerRef { diff_id: Some(Sha256::of(text.as_bytes())), created_by: text.to_owned() };
    let config = assemble(&cleared, &platform, &[line("")], 0).unwrap();
    assert_eq!((config.history.len(), config.rootfs.diff_ids.len()), (0, 2));
    let config = assemble(&cleared, &platform, &[line(""), line("new")], 0).unwrap();
    let lines: Vec<_> = config.history.iter().map(|line| line.created_by.as_str()).collect();
    assert_eq!((lines, config.rootfs.diff_ids.len()), (vec!["base", "", "new"], 3));
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
