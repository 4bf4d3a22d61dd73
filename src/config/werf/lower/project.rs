//! The project section.

use stages::ids::{Platform, ProjectName};

use super::context::{Context, is_true, listed, owned};
use super::{cleanup, platforms};
use crate::config::cleanup::CleanupPolicies;
use crate::config::dialect::LoweredProject;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::{Build, Deploy, GlobalImageSpec, Maybe, ProjectSection};
use crate::config::yaml::Mark;

/// What the project section says, and what its images take from it.
pub(super) struct Project {
    pub(super) name: Option<ProjectName>,
    pub(super) cache_version: Option<String>,
    pub(super) platforms: Vec<Platform>,
    pub(super) staged: bool,
    pub(super) image_spec: Option<GlobalImageSpec>,
    cleanup: CleanupPolicies,
}

impl Project {
    pub(super) fn lowered(self) -> Option<LoweredProject> {
        Some(LoweredProject {
            name: self.name?,
            platforms: self.platforms,
            cache_version: self.cache_version.unwrap_or_default(),
            cleanup: self.cleanup,
        })
    }
}

/// Checks the section, and takes out what counts.
pub(super) fn lower(context: &mut Context<'_>, section: &ProjectSection) -> Project {
    version(context, section);
    let name = name(context, section);
    if let Some(deploy) = present(&section.deploy) {
        context.within(&["deploy"], None, |context| check_deploy(context, deploy));
    }
    let cleanup = section
        .cleanup
        .as_ref()
        .map(|table| context.within(&["cleanup"], None, |context| cleanup::lower(context, &table.value)));
    let build: Option<&Build> = present(&section.build);
    let platforms = build
        .map(|build| context.within(&["build"], None, |context| platforms::lower(context, listed(&build.platform))));
    Project {
        name,
        cache_version: build.and_then(|build| owned(&build.cache_version)),
        platforms: platforms.filter(|platforms| !platforms.is_empty()).unwrap_or_else(|| vec![Platform::host()]),
        staged: build.is_some_and(|build| is_true(&build.staged)),
        image_spec: build.and_then(|build| present(&build.image_spec)).cloned(),
        cleanup: cleanup.unwrap_or_default(),
    }
}

/// The value of a key that is there and not null.
pub(in crate::config) fn present<T>(field: &Option<At<Maybe<T>>>) -> Option<&T> {
    field.as_ref().and_then(|field| field.value.0.as_ref())
}

fn version(context: &mut Context<'_>, section: &ProjectSection) {
    if section.broken.contains(&"configVersion") || present(&section.config_version) == Some(&1) {
        return;
    }
    let mark = section.config_version.as_ref().map_or(section.mark, |version| version.mark);
    let problem = context.error(mark, code::META_VERSION, "`configVersion` must be 1, the only version of the format");
    problem.help = Some("write `configVersion: 1`".to_owned());
}

fn name(context: &mut Context<'_>, section: &ProjectSection) -> Option<ProjectName> {
    let written = present(&section.project).filter(|name| !name.is_empty());
    let mark = section.project.as_ref().map_or(section.mark, |project| project.mark);
    let Some(written) = written else {
        if !section.broken.contains(&"project") {
            let problem = context.error(mark, code::META_PROJECT, "the project has no name");
            problem.help = Some("add `project: NAME`".to_owned());
        }
        return None;
    };
    match written.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let error: stages::IdError = error;
            let problem = context.error(mark, code::META_PROJECT, format!("`project` {}", error.reason));
            problem.label = Some(format!("is {:?}", super::paths::shortened(written)));
            None
        }
    }
}

/// Nothing of `deploy` counts for a build, but werf refuses it when it is empty.
fn check_deploy(context: &mut Context<'_>, deploy: &Deploy) {
    let texts: [(&str, &Option<At<Maybe<String>>>); 3] = [
        ("helmChartDir", &deploy.helm_chart_dir),
        ("helmRelease", &deploy.helm_release),
        ("namespace", &deploy.namespace),
    ];
    for (key, field) in texts {
        if present(field).is_some_and(String::is_empty) {
            must_not_be_empty(context, key, field.as_ref().map_or(deploy.mark, |field| field.mark));
        }
    }
}

fn must_not_be_empty(context: &mut Context<'_>, key: &str, mark: Mark) {
    let message = format!("{} must not be empty", context.key(key));
    context.error(mark, code::REQUIRED, message).help = Some("give it a value, or leave it out".to_owned());
}
