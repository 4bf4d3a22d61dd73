//! `shell` and `ansible`: the four user stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use stages::spec::{Command, FileView, Network, Secret, Step};

use super::context::{Context, filled, values};
use super::exports::git_pattern;
use super::git::Mapping;
use super::project::present;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::{Items, Raw, StapelSection, Texts};
use crate::config::werf::semantics::Verdict;
use crate::config::yaml::{Content, Node, ScalarKind, boolean, integer};

/// The user stages, in their order.
pub(in crate::config) const STAGES: [&str; 4] = ["beforeInstall", "install", "beforeSetup", "setup"];

/// The user stages that there are.
pub(in crate::config) struct Steps(BTreeMap<&'static str, Step>);

impl Steps {
    /// Gives each of them the secrets.
    pub(in crate::config) fn give(&mut self, secrets: &[Secret]) {
        for step in self.0.values_mut() {
            step.secrets = secrets.to_vec();
        }
    }

    pub(in crate::config) fn of(&self, stage: &str) -> Option<&Step> {
        self.0.get(stage)
    }
}

/// What one builder says of one stage.
pub(in crate::config) struct Written<'s> {
    pub(in crate::config) stage: &'static str,
    pub(in crate::config) command: Option<Command>,
    pub(in crate::config) cache_version: &'s Option<At<String>>,
}

pub(in crate::config) fn lower(
    context: &mut Context<'_>,
    section: &StapelSection,
    mappings: &[Mapping],
    unkeyed_env: &Arc<BTreeMap<String, String>>,
) -> Steps {
    check_one_builder(context, section);
    let network = network(context, section);
    let mut steps = BTreeMap::new();
    if let Some((common, written)) = written(section) {
        for written in written {
            let Some((command, cache_versions)) = there(&written, common) else { continue };
            let step = Step {
                name: written.stage.to_owned(),
                command,
                files: keyed_by(written.stage, mappings, context.rules.stage_dependencies),
                env: BTreeMap::new(),
                unkeyed_env: Arc::clone(unkeyed_env),
                cache_versions,
                network,
                caches: Vec::new(),
                secrets: Vec::new(),
                timeout_seconds: None,
            };
            steps.insert(written.stage, step);
        }
    }
    idle_dependencies(context, section, &steps);
    Steps(steps)
}

fn check_one_builder(context: &mut Context<'_>, section: &StapelSection) {
    if let (Some(shell), Some(ansible)) = (present(&section.shell), present(&section.ansible)) {
        let related = context.reader.place(shell.mark);
        let message = "an image is built by `shell` or by `ansible`, not by both";
        let problem = context.error(ansible.mark, code::CONFLICT, message);
        *problem =
            problem.clone().related(related, "`shell` is here").help("leave one of them out, even if it is empty");
    }
}

/// What the builder of a section says of each stage, and the cache version of all of them.
fn written(section: &StapelSection) -> Option<(&Option<At<String>>, [Written<'_>; 4])> {
    if let Some(shell) = present(&section.shell) {
        let stages = [
            script("beforeInstall", &shell.before_install, &shell.before_install_cache_version),
            script("install", &shell.install, &shell.install_cache_version),
            script("beforeSetup", &shell.before_setup, &shell.before_setup_cache_version),
            script("setup", &shell.setup, &shell.setup_cache_version),
        ];
        return Some((&shell.cache_version, stages));
    }
    let ansible = present(&section.ansible)?;
    let stages = [
        tasks("beforeInstall", &ansible.before_install, &ansible.before_install_cache_version),
        tasks("install", &ansible.install, &ansible.install_cache_version),
        tasks("beforeSetup", &ansible.before_setup, &ansible.before_setup_cache_version),
        tasks("setup", &ansible.setup, &ansible.setup_cache_version),
    ];
    Some((&ansible.cache_version, stages))
}

pub(in crate::config) fn script<'s>(
    stage: &'static str,
    commands: &Option<At<Texts>>,
    cache_version: &'s Option<At<String>>,
) -> Written<'s> {
    let items = commands.as_ref().map(|commands| values(commands.value.items())).unwrap_or_default();
    Written { stage, command: (!items.is_empty()).then_some(Command::Script(items)), cache_version }
}

pub(in crate::config) fn tasks<'s>(
    stage: &'static str,
    tasks: &Option<At<Items<Raw>>>,
    cache_version: &'s Option<At<String>>,
) -> Written<'s> {
    let items = tasks.as_ref().map(|tasks| tasks.value.0.as_slice()).unwrap_or_default();
    let items: Vec<String> = items.iter().map(|item| json(&item.value.0).to_string()).collect();
    Written { stage, command: (!items.is_empty()).then_some(Command::Ansible(items)), cache_version }
}

/// A stage is there when it has commands, or a cache version: its own, or the one of all stages.
pub(in crate::config) fn there(
    written: &Written<'_>,
    common: &Option<At<String>>,
) -> Option<(Command, BTreeMap<String, String>)> {
    let versions = [("cacheVersion", filled(common)), ("stageCacheVersion", filled(written.cache_version))];
    let versions: BTreeMap<String, String> =
        versions.into_iter().filter_map(|(name, field)| Some((name.to_owned(), field?.value.clone()))).collect();
    match &written.command {
        Some(command) => Some((command.clone(), versions)),
        None if versions.is_empty() => None,
        None => Some((Command::Script(Vec::new()), versions)),
    }
}

/// Nothing of git is there before the first stage, so nothing of it keys that. `unless_written` are the patterns of a stage
/// that a mapping says nothing of.
fn keyed_by(stage: &str, mappings: &[Mapping], unless_written: &[&str]) -> FileView {
    let patterns = |mapping: &Mapping| {
        let written = match stage {
            "install" => &mapping.install,
            "beforeSetup" => &mapping.before_setup,
            "setup" => &mapping.setup,
            _ => return Vec::new(),
        };
        match written.as_slice() {
            [] => unless_written.iter().map(|pattern| git_pattern(pattern)).collect(),
            written => written.iter().map(|pattern| git_pattern(pattern)).collect(),
        }
    };
    FileView::KeyedBy(mappings.iter().map(patterns).collect())
}

fn network(context: &mut Context<'_>, section: &StapelSection) -> Network {
    match filled(&section.network) {
        None => Network::Default,
        Some(field) => match field.value.as_str() {
            "default" | "bridge" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            _ => {
                let message = format!("{} must be `default`, `none` or `host`", context.key("network"));
                context.at_build(field.mark, message).help = Some("other networks are not supported".to_owned());
                Network::Default
            }
        },
    }
}

/// `stageDependencies` that no stage is there for.
fn idle_dependencies(context: &mut Context<'_>, section: &StapelSection, steps: &BTreeMap<&'static str, Step>) {
    let entries = section.git.as_ref().map(|git| git.value.0.as_slice()).unwrap_or_default();
    for table in entries.iter().filter_map(|entry| present(&entry.value.stage_dependencies)) {
        let keys = [("install", &table.install), ("beforeSetup", &table.before_setup), ("setup", &table.setup)];
        for (stage, field) in keys {
            let Some(field) = field.as_ref().filter(|field| !field.value.items().is_empty()) else { continue };
            if !steps.contains_key(stage) {
                let message =
                    format!("`stageDependencies.{stage}` is for a stage that `{}` does not have", context.subject);
                let help = "give the stage commands, or leave its dependencies out";
                if context.rules.idle_dependencies == Verdict::Refused {
                    context.at_build(field.mark, message).help = Some(help.to_owned());
                } else {
                    context.warnings.add(field.mark, message, help);
                }
            }
        }
    }
}

/// A value as JSON, whose types are those that YAML 1.1 gives it.
fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value;
    match &node.content {
        Content::Sequence(items) => Value::Array(items.iter().map(json).collect()),
        Content::Mapping(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect())
        }
        Content::Scalar(scalar) => match scalar.kind {
            ScalarKind::Null => Value::Null,
            ScalarKind::Boolean => Value::Bool(boolean(&scalar.text).unwrap_or_default()),
            ScalarKind::Integer => integer(&scalar.text).map_or_else(|| scalar.text.clone().into(), Value::from),
            ScalarKind::Float => {
                let number = scalar.text.replace('_', "").parse::<f64>().ok().and_then(serde_json::Number::from_f64);
                number.map_or_else(|| scalar.text.clone().into(), Value::Number)
            }
            ScalarKind::Text => scalar.text.clone().into(),
        },
    }
}
