//! `shell` and `ansible`: the user stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use stages::kind::StageKind;
use stages::spec::{Command, Content, FileView, Network, Place, Step};

use super::git::Mapping;
use crate::config::dapp::schema::{AnsibleTable, DimgSection, ShellTable};
use crate::config::werf::code;
use crate::config::werf::lower::context::{Context, filled};
use crate::config::werf::lower::project::present;
use crate::config::werf::lower::steps::{Written, script, tasks, there};

/// A user stage by its key; the name it has as a stage.
fn slot(key: &str) -> &'static str {
    match key {
        "beforeInstall" => "before_install",
        "install" => "install",
        "beforeSetup" => "before_setup",
        "setup" => "setup",
        _ => "build_artifact",
    }
}

/// The places of the user stages that there are, by their keys.
#[derive(Clone, Default)]
pub(super) struct Steps(BTreeMap<&'static str, Vec<Place>>);

impl Steps {
    /// The places of a stage: one, or with `asLayers` one for each of its commands.
    pub(super) fn of(&self, key: &str) -> Vec<Place> {
        self.0.get(key).cloned().unwrap_or_default()
    }
}

pub(super) fn lower(context: &mut Context<'_>, section: &DimgSection, mappings: &[Mapping]) -> Steps {
    let (shell, ansible) = (present(&section.shell), present(&section.ansible));
    if let (Some(shell), Some(ansible)) = (shell, ansible) {
        let related = context.reader.place(shell.mark);
        let message = "a dimg is built by `shell` or by `ansible`, not by both";
        let problem = context.error(ansible.mark, code::CONFLICT, message);
        *problem = problem.clone().related(related, "`shell` is here").help("leave one of them out");
    }
    let written = match (shell, ansible) {
        (Some(shell), _) => Some((&shell.cache_version, of_shell(shell))),
        (None, Some(ansible)) => Some((&ansible.cache_version, of_ansible(ansible))),
        (None, None) => None,
    };
    artifacts_only(context, section);
    let is_artifact = filled(&section.artifact).is_some();
    let as_layers = section.as_layers.as_ref().is_some_and(|field| field.value);
    let mut steps = Steps::default();
    if let Some((common, written)) = written {
        for written in written.iter().filter(|written| is_artifact || written.stage != "buildArtifact") {
            if let Some((command, cache_versions)) = there(written, common) {
                let files = keyed_by(written.stage, mappings);
                let commands = if as_layers { layers(command) } else { vec![command] };
                steps.0.insert(written.stage, places(written.stage, commands, &files, &cache_versions));
            }
        }
    }
    warn_of_unused_dependencies(context, mappings, &steps);
    steps
}

fn of_shell(table: &ShellTable) -> [Written<'_>; 5] {
    [
        script("beforeInstall", &table.before_install, &table.before_install_cache_version),
        script("install", &table.install, &table.install_cache_version),
        script("beforeSetup", &table.before_setup, &table.before_setup_cache_version),
        script("setup", &table.setup, &table.setup_cache_version),
        script("buildArtifact", &table.build_artifact, &table.build_artifact_cache_version),
    ]
}

fn of_ansible(table: &AnsibleTable) -> [Written<'_>; 5] {
    [
        tasks("beforeInstall", &table.before_install, &table.before_install_cache_version),
        tasks("install", &table.install, &table.install_cache_version),
        tasks("beforeSetup", &table.before_setup, &table.before_setup_cache_version),
        tasks("setup", &table.setup, &table.setup_cache_version),
        tasks("buildArtifact", &table.build_artifact, &table.build_artifact_cache_version),
    ]
}

/// Only artifacts have a `buildArtifact` stage: it is an error to give a dimg commands for it; tasks were passed over by
/// dapp, so that they get a warning.
fn artifacts_only(context: &mut Context<'_>, section: &DimgSection) {
    if filled(&section.artifact).is_some() {
        return;
    }
    if let Some(shell) = present(&section.shell) {
        let commands = shell.build_artifact.as_ref().filter(|field| !field.value.items().is_empty());
        let marks = [
            ("buildArtifact", commands.map(|field| field.mark)),
            ("buildArtifactCacheVersion", filled(&shell.build_artifact_cache_version).map(|field| field.mark)),
        ];
        for (key, mark) in marks.into_iter().filter_map(|(key, mark)| Some((key, mark?))) {
            let message = format!("`shell.{key}` is for artifacts only");
            context.error(mark, code::UNSUPPORTED, message).help =
                Some("move the commands to `setup`, or make it an artifact".to_owned());
        }
    }
    let tasks = present(&section.ansible).and_then(|table| table.build_artifact.as_ref());
    if let Some(tasks) = tasks.filter(|tasks| !tasks.value.0.is_empty()) {
        let message = "`ansible.buildArtifact` of a dimg is never run".to_owned();
        context.warnings.add(tasks.mark, message, "only artifacts have that stage: move the tasks to `setup`");
    }
}

/// Each command for itself.
fn layers(command: Command) -> Vec<Command> {
    match command {
        Command::Script(commands) if !commands.is_empty() => {
            commands.into_iter().map(|command| Command::Script(vec![command])).collect()
        }
        Command::Ansible(tasks) => tasks.into_iter().map(|task| Command::Ansible(vec![task])).collect(),
        other => vec![other],
    }
}

fn places(
    key: &'static str,
    commands: Vec<Command>,
    files: &FileView,
    cache_versions: &BTreeMap<String, String>,
) -> Vec<Place> {
    let several = commands.len() > 1;
    let place = |(index, command): (usize, Command)| {
        let name = if several { format!("{}-{index}", slot(key)) } else { slot(key).to_owned() };
        let step = Step {
            name: name.clone(),
            command,
            files: files.clone(),
            env: BTreeMap::new(),
            unkeyed_env: Arc::default(),
            cache_versions: cache_versions.clone(),
            network: Network::Default,
            caches: Vec::new(),
            secrets: Vec::new(),
            timeout_seconds: None,
        };
        Place::new(StageKind::Build, name, Content::Step(Arc::new(step)))
    };
    commands.into_iter().enumerate().map(place).collect()
}

/// Nothing of git is there before the first stage, so nothing of it keys that.
fn keyed_by(key: &str, mappings: &[Mapping]) -> FileView {
    let patterns = |mapping: &Mapping| mapping.dependencies.get(key).map(|(_, patterns)| patterns.clone());
    FileView::KeyedBy(mappings.iter().map(|mapping| patterns(mapping).unwrap_or_default()).collect())
}

fn warn_of_unused_dependencies(context: &mut Context<'_>, mappings: &[Mapping], steps: &Steps) {
    let dependencies = mappings.iter().flat_map(|mapping| &mapping.dependencies);
    for (key, (mark, _)) in dependencies.filter(|(key, _)| !steps.0.contains_key(*key)) {
        let subject = if context.subject.is_empty() { "~" } else { &context.subject };
        let message = format!("`stageDependencies.{key}` is for a stage that `{subject}` does not have");
        context.warnings.add(*mark, message, "give the stage commands, or leave its dependencies out");
    }
}
