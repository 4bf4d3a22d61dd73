//! What a build gave against what werf gave.
//!
//! Four rules take away what is no difference, for all cases alike:
//!
//! - *Cold build.* werf patches the git content of an earlier commit, and its patches make directories of other modes than its
//!   archives. Ours is what a build from nothing gives. So where werf did not make the git content in this very state, 0755
//!   and 0775 are one mode.
//! - *The base's own.* Directories of the base keep what they are; the recorded base was another Debian, and werf's
//!   archives change the mode of directories on their way.
//! - *Docker's way.* werf on Buildah makes all directories 0755 and sets no locale; ours is as on Docker.
//! - *Left-overs.* What werf's containers leave in an image: mount points of secrets, `/.werf`, the empty entrypoint, the
//!   user and working directory that Docker fills in, its own variables. stager leaves nothing, and steps see
//!   `SOURCE_DATE_EPOCH`.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Value as Json, json};

use super::listing::{Listing, Node};
use super::scenario::{Found, Image, Stage};
use crate::env::{Report, Status};

/// Something that is not as recorded.
pub(super) struct Mismatch {
    /// `exit`, `stages`, `config` or `tree`.
    pub(super) aspect: &'static str,
    /// The stage, key or path.
    pub(super) place: String,
    pub(super) text: String,
}

fn mismatch(aspect: &'static str, place: &str, text: String) -> Mismatch {
    Mismatch { aspect, place: place.to_owned(), text }
}

/// Stages whose outcome is compared. Git content is one stage here and up to three there, and bases of the config count as
/// new there when only their name is.
const COMPARED: [&str; 10] = [
    "beforeInstall",
    "dependenciesBeforeInstall",
    "install",
    "dependenciesAfterInstall",
    "beforeSetup",
    "dependenciesBeforeSetup",
    "setup",
    "dependenciesAfterSetup",
    "dockerInstructions",
    "imageSpec",
];

/// A stage that is made from the same content as one before is not run again, only named anew (law 5 of the design); where
/// werf runs it, the outcome is the same.
fn is_cut_off(wanted: Option<&&str>, ours: Option<&&str>) -> bool {
    ours == Some(&"relabelled") && matches!(wanted, Some(&"built" | &"reused"))
}

pub(super) fn stages(name: &str, wanted: &[Stage], report: &Report) -> Vec<Mismatch> {
    let image = report.image(name);
    let ours = image.stages.iter().filter_map(|stage| {
        let status = match stage.status {
            Status::Built => "built",
            Status::Reused => "reused",
            Status::Relabelled => "relabelled",
            Status::Planned => "failed",
            Status::Absent => return None,
        };
        Some((stage.name.as_str(), status))
    });
    let ours: BTreeMap<&str, &str> = ours.filter(|(name, _)| COMPARED.contains(name)).collect();
    let wanted = wanted.iter().map(|stage| (stage.name.as_str(), stage.status.as_str()));
    let wanted: BTreeMap<&str, &str> = wanted.filter(|(name, _)| COMPARED.contains(name)).collect();
    let names: BTreeSet<&str> = ours.keys().chain(wanted.keys()).copied().collect();
    let differs = names.into_iter().filter(|stage| {
        let (wanted, ours) = (wanted.get(stage), ours.get(stage));
        ours != wanted && !is_cut_off(wanted, ours)
    });
    differs
        .map(|stage| {
            let say = |status: Option<&&str>| status.map_or("absent", |status| status).to_owned();
            let text = format!("want {}, got {}", say(wanted.get(stage)), say(ours.get(stage)));
            mismatch("stages", &format!("{name}/{stage}"), text)
        })
        .collect()
}

/// The stages up to the one that failed, of the image that it was in.
pub(super) fn stages_before_failure(wanted: &[Stage], report: &Report) -> Vec<Mismatch> {
    let relevant: Vec<&Stage> = wanted.iter().filter(|stage| COMPARED.contains(&stage.name.as_str())).collect();
    if relevant.is_empty() {
        return Vec::new();
    }
    let failing = report.images.iter().find(|image| image.stages.iter().any(|stage| stage.status == Status::Planned));
    let Some(failing) = failing else {
        return vec![mismatch("stages", "", "nothing failed in the report".to_owned())];
    };
    let mut found = Vec::new();
    for stage in relevant {
        let ours = failing.stages.iter().find(|ours| ours.name == stage.name).map(|ours| ours.status);
        let fits = match stage.status.as_str() {
            "built" => matches!(ours, Some(Status::Built | Status::Relabelled)),
            "reused" => matches!(ours, Some(Status::Reused | Status::Relabelled)),
            _ => ours == Some(Status::Planned),
        };
        if !fits {
            found.push(mismatch(
                "stages",
                &stage.name,
                format!("before the failure: want {}, got {ours:?}", stage.status),
            ));
        }
    }
    found
}

pub(super) fn config(name: &str, wanted: &Json, ours: &Json) -> Vec<Mismatch> {
    let (wanted, ours) = (recorded_config(wanted), own_config(ours));
    let keys: BTreeSet<&String> = wanted.keys().chain(ours.keys()).collect();
    let same = |key: &&String| match (wanted.get(*key), ours.get(*key)) {
        (Some(wanted), Some(ours)) => same_value(wanted, ours),
        (wanted, ours) => wanted == ours,
    };
    let differs = keys.into_iter().filter(|key| !same(key));
    let say = |value: Option<&Json>| value.map_or("nothing".to_owned(), Json::to_string);
    let text = |key: &String| format!("want {}, got {}", say(wanted.get(key)), say(ours.get(key)));
    differs.map(|key| mismatch("config", &format!("{name}/{key}"), text(key))).collect()
}

fn same_value(wanted: &Json, ours: &Json) -> bool {
    match (wanted, ours) {
        (Json::String(wanted), Json::String(ours)) => same_text(wanted, ours),
        (Json::Array(wanted), Json::Array(ours)) => {
            wanted.len() == ours.len() && wanted.iter().zip(ours).all(|(wanted, ours)| same_value(wanted, ours))
        }
        (Json::Object(wanted), Json::Object(ours)) => {
            wanted.len() == ours.len()
                && wanted.iter().all(|(key, value)| ours.get(key).is_some_and(|ours| same_value(value, ours)))
        }
        _ => wanted == ours,
    }
}

/// Whether a text is the recorded one, whose placeholders stand for anything on a line.
fn same_text(wanted: &str, ours: &str) -> bool {
    let placeholder = Regex::new(r"<[A-Z][A-Z_-]*(:[^<>]*)?>").expect("a fixed pattern");
    if !placeholder.is_match(wanted) {
        return wanted == ours;
    }
    let fixed: Vec<String> = placeholder.split(wanted).map(regex::escape).collect();
    Regex::new(&format!("^{}$", fixed.join("[^\\n]+"))).expect("escaped").is_match(ours)
}

fn recorded_config(config: &Json) -> Map<String, Json> {
    let mut config = config.as_object().expect("a config").clone();
    for left_out in ["EnvNoise", "HistoryEntries", "Layers"] {
        config.remove(left_out);
    }
    tidy(&mut config);
    config
}

/// An image's config in the form of the records.
fn own_config(document: &Json) -> Map<String, Json> {
    let mut config = document["config"].as_object().cloned().unwrap_or_default();
    let env = config.get("Env").and_then(Json::as_array).cloned().unwrap_or_default();
    let env = env.iter().filter_map(Json::as_str).filter_map(|entry| entry.split_once('='));
    let env: Map<String, Json> = env.map(|(name, value)| (name.to_owned(), value.into())).collect();
    config.insert("Env".to_owned(), env.into());
    for set in ["Volumes", "ExposedPorts"] {
        if let Some(names) =
            config.get(set).and_then(Json::as_object).map(|set| set.keys().cloned().collect::<Vec<_>>())
        {
            config.insert(set.to_owned(), names.into());
        }
    }
    if let Some(author) = document.get("author") {
        config.insert("Author".to_owned(), author.clone());
    }
    tidy(&mut config);
    config
}

fn tidy(config: &mut Map<String, Json>) {
    let filled_in = [("Entrypoint", json!([""])), ("WorkingDir", json!("/")), ("User", json!("0:0"))];
    for (key, value) in filled_in {
        if config.get(key) == Some(&value) {
            config.remove(key);
        }
    }
    if let Some(ports) = config.get_mut("ExposedPorts").and_then(Json::as_array_mut) {
        for port in ports.iter_mut() {
            let text = port.as_str().unwrap_or_default();
            *port = if text.contains('/') { text.into() } else { format!("{text}/tcp").into() };
        }
        ports.sort_by_key(Json::to_string);
    }
    if let Some(volumes) = config.get_mut("Volumes").and_then(Json::as_array_mut) {
        volumes.sort_by_key(Json::to_string);
    }
    if let Some(check) = config.get_mut("Healthcheck").and_then(Json::as_object_mut) {
        check.retain(|_, value| value != &json!(0));
    }
    config.retain(|_, value| !is_empty(value));
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}

/// What must not be taken at its word in a recorded tree.
#[derive(Clone, Copy)]
struct Allowance {
    /// Directories of git content may be 0755 or 0775.
    directories: bool,
    /// Commands had no locale set.
    locale: bool,
}

pub(super) fn tree(image: &Image, is_buildah: bool, base: &Listing, ours: &Listing) -> Vec<Mismatch> {
    let allowance = Allowance { directories: is_buildah || !image.is_cold(), locale: is_buildah };
    let mut found = Vec::new();
    for (look, wanted) in &image.tree {
        let ours = ours.look(look);
        let paths: BTreeSet<&str> = wanted.keys().map(String::as_str).chain(ours.keys().copied()).collect();
        for path in paths {
            let problem = match (wanted.get(path), ours.get(path)) {
                (Some(wanted), Some(ours)) => entry(wanted, ours, base.get(path), allowance),
                (Some(_), None) if is_left_over(path) => None,
                (Some(wanted), None) => Some(format!("want {wanted:?}, is not there")),
                (None, Some(ours)) if base.get(path).is_some_and(|base| same_node(base, ours)) => None,
                (None, Some(ours)) => Some(format!("is there: {} {:o} {}", ours.kind, ours.mode, ours.own)),
                (None, None) => None,
            };
            found.extend(problem.map(|text| mismatch("tree", path, text)));
        }
    }
    found
}

fn is_left_over(path: &str) -> bool {
    path == "/run/secrets" || path.starts_with("/run/secrets/") || path == "/.werf" || path.starts_with("/.werf/")
}

fn same_node(one: &Node, other: &Node) -> bool {
    (one.kind, one.mode, &one.own, &one.sha256) == (other.kind, other.mode, &other.own, &other.sha256)
}

fn entry(wanted: &Found, ours: &Node, base: Option<&Node>, allowance: Allowance) -> Option<String> {
    if wanted.kind != ours.kind {
        return Some(format!("want a {}, got a {}", wanted.kind, ours.kind));
    }
    if base.is_some_and(|base| base.kind == "dir" && same_node(base, ours)) {
        return None;
    }
    let mode = format!("{:04o}", ours.mode);
    if let Some(wanted) = wanted.mode.as_ref().filter(|_| ours.kind != "symlink") {
        let patched = |mode: &str| ours.kind == "dir" && allowance.directories && ["0755", "0775"].contains(&mode);
        if *wanted != mode && !(patched(wanted) && patched(&mode)) {
            return Some(format!("want mode {wanted}, got {mode}"));
        }
    }
    if wanted.own != ours.own {
        return Some(format!("want owner {}, got {}", wanted.own, ours.own));
    }
    if wanted.target != ours.target {
        return Some(format!("want a link to {:?}, got {:?}", wanted.target, ours.target));
    }
    content(wanted, ours, allowance)
}

fn content(wanted: &Found, ours: &Node, allowance: Allowance) -> Option<String> {
    if ours.kind != "file" || wanted.sha256 == ours.sha256 {
        return None;
    }
    let text = ours.content.as_ref().map(|content| String::from_utf8_lossy(content).into_owned());
    let text = text.map(|text| text.replace("SOURCE_DATE_EPOCH=315532801\n", ""));
    let text =
        text.map(|text| if allowance.locale { text.replace("LANG=C.UTF-8\nLC_ALL=C.UTF-8\n", "") } else { text });
    let same = match (&wanted.text, &text) {
        (Some(wanted_text), Some(text)) if wanted.normalised => same_text(wanted_text, text),
        (Some(wanted), Some(text)) => wanted == text,
        _ => false,
    };
    (!same).then(|| format!("want {:?}, got {text:?}", wanted.text))
}
