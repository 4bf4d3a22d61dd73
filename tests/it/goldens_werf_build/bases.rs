//! Base images: Debian, and what the scenarios' Dockerfiles make of it.
//!
//! The few instructions that they use are run by stager itself, in its native format; the image's config is put together here
//! as Docker does it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value as Json, json};

use super::RECORDED_REGISTRY;
use super::registry::{Layer, Registry};
use crate::env::{OciImage, TestEnv};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Base {
    config: Json,
    layers: Vec<Layer>,
}

/// Makes bases, each once for a Dockerfile.
pub(super) struct Bases {
    registry: Registry,
    env: Mutex<TestEnv>,
    made: Mutex<BTreeMap<String, Base>>,
}

impl Bases {
    pub(super) fn new(registry: Registry, debian: Layer) -> Self {
        registry.put("debian:base", &json!({}), std::slice::from_ref(&debian));
        let made = BTreeMap::from([("debian:base".to_owned(), Base { config: json!({}), layers: vec![debian] })]);
        Self { registry, env: Mutex::new(TestEnv::new()), made: Mutex::new(made) }
    }

    pub(super) fn registry(&self) -> &str {
        self.registry.address()
    }

    /// The store that Debian was unpacked into.
    pub(super) fn store(&self) -> std::path::PathBuf {
        self.env.lock().unwrap().store()
    }

    /// Makes the image and serves it under its name in the scenario's name space.
    pub(super) fn provide(&self, name: &str, dockerfile: &str, scenario: &str) {
        let name = name.strip_prefix(RECORDED_REGISTRY).expect("bases are in the registry").trim_start_matches('/');
        let place = format!("{scenario}/{name}");
        let mut made = self.made.lock().unwrap();
        if !made.contains_key(dockerfile) {
            let base = self.make(dockerfile, &made);
            made.insert(dockerfile.to_owned(), base);
        }
        let base = &made[dockerfile];
        self.registry.put(&place, &base.config, &base.layers);
    }

    fn make(&self, dockerfile: &str, made: &BTreeMap<String, Base>) -> Base {
        let mut lines = dockerfile.lines();
        let from = lines.next().and_then(|line| line.strip_prefix("FROM ")).expect("a Dockerfile starts with FROM");
        let from = from.strip_prefix(RECORDED_REGISTRY).unwrap_or(from).trim_start_matches('/');
        let below = made.get(from).unwrap_or_else(|| panic!("no base {from} to build on"));
        let mut config = below.config.clone();
        if config["Env"].is_null() {
            config["Env"] = json!([PATH]);
        }
        let mut commands = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (instruction, rest) = line.split_once(' ').expect("an instruction has arguments");
            instruct(&mut config, &mut commands, instruction, rest);
        }
        let mut layers = below.layers.clone();
        if !commands.is_empty() {
            layers.extend(self.run(from, &commands));
        }
        Base { config, layers }
    }

    /// The layers that commands add to a base.
    fn run(&self, from: &str, commands: &[String]) -> Vec<Layer> {
        let script: Vec<String> = commands.iter().map(|command| format!("        {command}\n")).collect();
        let script = script.concat();
        let registry = self.registry.address();
        let steps = format!("build:\n  steps:\n    - name: run\n      command: |\n{script}");
        let env = self.env.lock().unwrap();
        env.project().config(&format!("image: base\nfrom: {registry}/{from}\n{steps}")).commit("base");
        let layout = env.out(&crate::env::sha256(script.as_bytes()));
        env.build(&["--compression", "none", "--output", &format!("oci:{}", layout.display())]);
        let image = OciImage::open(&layout);
        let new = image.layers().into_iter().skip(1);
        new.map(|digest| {
            let digest = digest.strip_prefix("sha256:").unwrap();
            Layer { file: layout.join("blobs/sha256").join(digest), digest: digest.to_owned() }
        })
        .collect()
    }

    /// Has Debian pulled and unpacked.
    pub(super) fn warm_up(&self) {
        self.run("debian:base", &["touch /warm".to_owned()]);
    }
}

fn instruct(config: &mut Json, commands: &mut Vec<String>, instruction: &str, rest: &str) {
    match instruction {
        "RUN" => commands.push(rest.to_owned()),
        "ENV" => pairs(rest).into_iter().for_each(|(name, value)| set_variable(config, &name, &value)),
        "LABEL" => pairs(rest).into_iter().for_each(|(name, value)| config["Labels"][name] = value.into()),
        "USER" => config["User"] = rest.into(),
        "WORKDIR" => {
            config["WorkingDir"] = rest.into();
            commands.push(format!("mkdir -p {rest}"));
        }
        "VOLUME" => config["Volumes"][rest] = json!({}),
        "EXPOSE" => config["ExposedPorts"][rest] = json!({}),
        "STOPSIGNAL" => config["StopSignal"] = rest.into(),
        "ENTRYPOINT" => config["Entrypoint"] = words(rest),
        "CMD" => config["Cmd"] = words(rest),
        "SHELL" => config["Shell"] = words(rest),
        "ONBUILD" => config["OnBuild"] = json!([rest]),
        "HEALTHCHECK" => config["Healthcheck"] = healthcheck(rest),
        _ => panic!("this suite makes no bases with {instruction}"),
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let words = shlex::split(text).expect("quotes are closed");
    words.iter().map(|word| word.split_once('=').expect("NAME=VALUE")).map(|(a, b)| (a.into(), b.into())).collect()
}

fn set_variable(config: &mut Json, name: &str, value: &str) {
    let list = config["Env"].as_array_mut().expect("set before");
    list.retain(|entry| entry.as_str().is_none_or(|entry| !entry.starts_with(&format!("{name}="))));
    list.push(format!("{name}={value}").into());
}

fn words(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| json!(["/bin/sh", "-c", text]))
}

fn healthcheck(text: &str) -> Json {
    let (options, command) = text.split_once("CMD ").expect("a command");
    let mut check = match serde_json::from_str::<Vec<String>>(command) {
        Ok(words) => json!({"Test": std::iter::once("CMD".to_owned()).chain(words).collect::<Vec<_>>()}),
        Err(_) => json!({"Test": ["CMD-SHELL", command]}),
    };
    for option in options.split_whitespace() {
        let (name, value) = option.trim_start_matches("--").split_once('=').expect("--NAME=VALUE");
        let seconds = |text: &str| text.strip_suffix('s').unwrap().parse::<i64>().unwrap() * 1_000_000_000;
        match name {
            "interval" => check["Interval"] = seconds(value).into(),
            "timeout" => check["Timeout"] = seconds(value).into(),
            "start-period" => check["StartPeriod"] = seconds(value).into(),
            "retries" => check["Retries"] = value.parse::<i64>().unwrap().into(),
            _ => panic!("HEALTHCHECK --{name}"),
        }
    }
    check
}

/// A copy of a store: what is immutable by hard links, the rest by its bytes.
pub(super) fn copy_store(from: &Path, to: &Path) {
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let script =
        "mkdir \"$2\" && chmod 700 \"$2\" && cd \"$1\" && cp -a index* \"$2\" && cp -al blobs snapshots \"$2\"";
    crate::env::program("sh", ["-c", script, "copy", from, to]).expect("a shell").succeeds();
}
