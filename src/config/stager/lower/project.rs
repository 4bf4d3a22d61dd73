//! The first document.

use stages::ids::{Platform, ProjectName};

use super::context::{Context, check};
use crate::config::cleanup::{CleanupPolicies, KeepPolicy, Limit, LimitOperator, ReferencePattern};
use crate::config::dialect::LoweredProject;
use crate::config::read::{At, FromNode};
use crate::config::rules::{Rule, duration, not_blank};
use crate::config::stager::schema::{Cleanup, KeepEntry, LimitTable, ProjectDocument, References};
use crate::config::yaml::{Content, Node};

pub(super) fn lower(context: &mut Context<'_>, node: &Node) -> Option<LoweredProject> {
    if let Content::Mapping(entries) = &node.content
        && let Some(entry) = entries.iter().find(|entry| matches!(entry.key.as_str(), "image" | "artifact"))
    {
        let problem = context.reader.error(entry.mark, "the first document must be the project, not an image");
        problem.help = Some("put `stager: 1` and `project: NAME` before it, and a line `---` between them".to_owned());
        return None;
    }
    let document = ProjectDocument::read(node, &mut context.reader)?;
    let here = (document.mark, document.broken.as_slice());
    context.required(here, "stager", document.stager.as_ref(), version);
    let name = context.required(here, "project", document.project.as_ref(), project_name);
    let platforms = platforms(context, document.platforms.as_ref());
    let cleanup = document.cleanup.as_ref().map(|table| context_cleanup(context, &table.value));
    let cache_version = document.cache_version.map(|version| version.value.0).unwrap_or_default();
    if context.reader.has_problems() {
        return None;
    }
    Some(LoweredProject { name: name?, platforms, cache_version, cleanup: cleanup.unwrap_or_default() })
}

fn version(text: &str) -> Rule<()> {
    if text == "1" { Ok(()) } else { Err("must be 1, the only version of the format".to_owned()) }
}

fn project_name(text: &str) -> Rule<ProjectName> {
    text.parse().map_err(|error: stages::IdError| error.reason.to_owned())
}

fn platforms(context: &mut Context<'_>, written: Option<&At<Vec<At<String>>>>) -> Vec<Platform> {
    let Some(written) = written.filter(|written| !written.value.is_empty()) else { return vec![Platform::host()] };
    let mut platforms: Vec<Platform> = Vec::new();
    context.reader.key("platforms", |reader| {
        for (index, item) in written.value.iter().enumerate() {
            reader.index(index, |reader| {
                let Some(platform) = check(reader, item, &platform) else { return };
                if platforms.contains(&platform) {
                    reader.error(item.mark, format!("the platform `{platform}` is there twice"));
                }
                platforms.push(platform);
            });
        }
    });
    platforms
}

fn platform(text: &str) -> Rule<Platform> {
    let platform: Platform = text.parse().map_err(|error: stages::IdError| error.reason.to_owned())?;
    if platform.os() == "linux" { Ok(platform) } else { Err("must be a platform of linux".to_owned()) }
}

fn context_cleanup(context: &mut Context<'_>, table: &Cleanup) -> CleanupPolicies {
    let mut keep = None;
    if let Some(entries) = &table.keep {
        let mut policies = Vec::new();
        for (index, entry) in entries.value.iter().enumerate() {
            let policy =
                within(context, &["cleanup", "keep"], Some(index), |context| keep_policy(context, &entry.value));
            policies.extend(policy);
        }
        keep = Some(policies);
    }
    let keep_built_within_hours = table.keep_built_within_hours.as_ref().map(|hours| hours.value);
    CleanupPolicies { keep_built_within_hours, keep, ..CleanupPolicies::default() }
}

/// Runs with keys, and perhaps an index, on the path.
pub(super) fn within<'a, T>(
    context: &mut Context<'a>,
    keys: &[&str],
    index: Option<usize>,
    run: impl FnOnce(&mut Context<'a>) -> T,
) -> T {
    let depth = context.reader.enter(keys, index);
    let result = run(context);
    context.reader.leave(depth);
    result
}

fn keep_policy(context: &mut Context<'_>, entry: &KeepEntry) -> Option<KeepPolicy> {
    let Some(references) = &entry.references else {
        context.missing(entry.mark, &entry.broken, "references");
        return None;
    };
    let pattern = within(context, &["references"], None, |context| reference_pattern(context, &references.value));
    let limit_of = |context: &mut Context<'_>, keys: &[&str], table: Option<&At<LimitTable>>| {
        table.map(|table| within(context, keys, None, |context| limit(context, &table.value))).unwrap_or_default()
    };
    Some(KeepPolicy {
        references: pattern?,
        limit: limit_of(context, &["references", "limit"], references.value.limit.as_ref()),
        images_per_reference: limit_of(context, &["imagesPerReference"], entry.images_per_reference.as_ref()),
    })
}

fn reference_pattern(context: &mut Context<'_>, table: &References) -> Option<ReferencePattern> {
    let mark = |field: &Option<At<String>>| field.as_ref().map(|field| field.mark);
    let set = context.exclusive(&[("branch", mark(&table.branch)), ("tag", mark(&table.tag))]);
    if set.is_none() && table.broken.is_empty() {
        let path = context.reader.path();
        context.reader.error(table.mark, format!("`{path}` needs a `branch` or a `tag`"));
    }
    match context.checked("branch", table.branch.as_ref(), not_blank) {
        Some(branch) => Some(ReferencePattern::Branch(branch)),
        None => context.checked("tag", table.tag.as_ref(), not_blank).map(ReferencePattern::Tag),
    }
}

fn limit(context: &mut Context<'_>, table: &LimitTable) -> Limit {
    if let Some(last) = table.last.as_ref().filter(|last| last.value < -1) {
        let path = context.reader.path_to("last");
        context.reader.error(last.mark, format!("`{path}` must be -1 (all of them), 0 or more"));
    }
    Limit {
        last: table.last.as_ref().map(|last| last.value),
        within: context.checked("in", table.within.as_ref(), duration),
        operator: context.checked("operator", table.operator.as_ref(), operator).unwrap_or_default(),
    }
}

fn operator(text: &str) -> Rule<LimitOperator> {
    match text {
        "And" | "and" => Ok(LimitOperator::And),
        "Or" | "or" => Ok(LimitOperator::Or),
        _ => Err("must be And or Or".to_owned()),
    }
}
