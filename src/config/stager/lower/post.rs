//! The image-post stage, and what is published.

use std::collections::{BTreeMap, BTreeSet};

use stages::spec::{Healthcheck, Post, Symlinks};

use super::context::Context;
use super::project::within;
use super::steps::{text_map, variables};
use crate::config::read::{At, MapOf, OneOrMany, TextOrList};
use crate::config::reference::check_tag;
use crate::config::rules::{
    Rule, absolute_path, c_text, duration, label_name, not_blank, path_below_root, port, signal, user_and_group,
};
use crate::config::stager::schema::{HealthcheckTable, PostTable, Publish, SymlinkTable};
use crate::config::yaml::Mark;

pub(super) fn lower(context: &mut Context<'_>, table: &PostTable) -> Post {
    within(context, &["post"], None, |context| Post {
        symlinks: symlinks(context, table.symlinks.as_ref()),
        labels: text_map(context, "labels", table.labels.as_ref(), label_name),
        env: variables(context, "env", table.env.as_ref()),
        entrypoint: arguments(context, "entrypoint", table.entrypoint.as_ref()),
        cmd: arguments(context, "cmd", table.cmd.as_ref()),
        workdir: context.checked("workdir", table.workdir.as_ref(), absolute_path),
        user: context.checked("user", table.user.as_ref(), user_and_group),
        stop_signal: context.checked("stopSignal", table.stop_signal.as_ref(), signal),
        volumes: context.list("volumes", table.volumes.as_ref(), path_below_root),
        expose: context.list("expose", table.expose.as_ref(), port),
        healthcheck: table.healthcheck.as_ref().map(|table| healthcheck(context, &table.value)),
        ..Post::default()
    })
}

/// Arguments: a list as it is, a text split as a shell would.
fn arguments(context: &mut Context<'_>, key: &str, field: Option<&At<TextOrList>>) -> Option<Vec<String>> {
    let field = field?;
    match &field.value {
        TextOrList::List(items) => Some(context.each(key, items, c_text)),
        TextOrList::Text(text) => context.checked(key, Some(&At { value: text.clone(), mark: field.mark }), split),
    }
}

fn split(text: &str) -> Rule<Vec<String>> {
    c_text(text)?;
    shlex::split(text).ok_or_else(|| "must be a command line whose quotes are closed".to_owned())
}

fn symlinks(context: &mut Context<'_>, map: Option<&At<MapOf<SymlinkTable>>>) -> BTreeMap<String, Symlinks> {
    let pairs = map.map(|map| map.value.0.as_slice()).unwrap_or_default();
    let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
    let mut links = BTreeMap::new();
    for (target, table) in pairs {
        let keys = ["symlinks", target.value.as_str()];
        within(context, &keys, None, |context| super::context::check(&mut context.reader, target, &not_blank));
        let found = within(context, &keys, None, |context| symlink(context, target, &table.value));
        for path in &found.paths {
            if let Some(earlier) = seen.insert(path.clone(), table.mark) {
                let related = context.reader.place(earlier);
                let problem = context.reader.error(target.mark, format!("two symlinks at `{path}`"));
                *problem = problem.clone().related(related, "first here");
            }
        }
        links.insert(target.value.clone(), found);
    }
    links
}

fn symlink(context: &mut Context<'_>, target: &At<String>, table: &SymlinkTable) -> Symlinks {
    if table.paths.as_ref().is_none_or(|paths| paths.value.0.is_empty()) {
        context.missing(table.mark, &table.broken, "paths");
    }
    let paths = context.list("paths", table.paths.as_ref(), path_below_root);
    if paths.contains(&target.value) {
        context.reader.error(target.mark, format!("the symlink `{}` would point at itself", target.value));
    }
    let id = |field: &Option<At<u32>>| field.as_ref().map_or(0, |field| field.value);
    Symlinks { paths, uid: id(&table.uid), gid: id(&table.gid) }
}

fn healthcheck(context: &mut Context<'_>, table: &HealthcheckTable) -> Healthcheck {
    within(context, &["healthcheck"], None, |context| Healthcheck {
        test: test_command(context, table.test.as_ref()),
        interval: context.checked("interval", table.interval.as_ref(), check_duration),
        timeout: context.checked("timeout", table.timeout.as_ref(), check_duration),
        start_period: context.checked("startPeriod", table.start_period.as_ref(), check_duration),
        start_interval: context.checked("startInterval", table.start_interval.as_ref(), check_duration),
        retries: table.retries.as_ref().map(|retries| i64::from(retries.value)),
    })
}

fn test_command(context: &mut Context<'_>, field: Option<&At<TextOrList>>) -> Vec<String> {
    let Some(field) = field else { return Vec::new() };
    match &field.value {
        TextOrList::Text(text) => {
            let text = context.checked("test", Some(&At { value: text.clone(), mark: field.mark }), not_blank);
            text.map(|text| vec!["CMD-SHELL".to_owned(), text]).unwrap_or_default()
        }
        TextOrList::List(items) => {
            let words = context.each("test", items, c_text);
            let valid = match words.as_slice() {
                [word] => word == "NONE",
                [word, rest @ ..] => (word == "CMD" && !rest.is_empty()) || (word == "CMD-SHELL" && rest.len() == 1),
                [] => false,
            };
            if !valid && words.len() == items.len() {
                let path = context.reader.path_to("test");
                let problem = context.reader.error(field.mark, format!("`{path}` is not a health check's command"));
                problem.help = Some(
                    "write [CMD, PROGRAM, ARGUMENT…], [CMD-SHELL, SCRIPT], [NONE], or a text for the shell".to_owned(),
                );
            }
            words
        }
    }
}

/// The engines refuse what is positive and under a millisecond.
fn check_duration(text: &str) -> Rule<i64> {
    match duration(text)? {
        0 => Ok(0),
        nanoseconds if nanoseconds >= 1_000_000 => Ok(nanoseconds),
        _ => Err("must be 0 or at least 1ms".to_owned()),
    }
}

pub(super) fn publish(context: &mut Context<'_>, publish: Option<&At<Publish>>, artifact: bool) -> Vec<String> {
    let Some(publish) = publish else { return Vec::new() };
    if artifact {
        let problem = context.reader.error(publish.mark, "an artifact is never published");
        problem.help = Some("make it an image, or leave `publish` out".to_owned());
        return Vec::new();
    }
    within(context, &["publish"], None, |context| tags(context, publish.value.tags.as_ref()))
}

fn tags(context: &mut Context<'_>, field: Option<&At<OneOrMany<String>>>) -> Vec<String> {
    // The name of an image that is put in has letters that tags can have.
    let check =
        |text: &str| check_tag(&text.replace("%image%", "image")).map_err(|why| why.replace("image", "%image%"));
    let tags = context.list("tags", field, |text| {
        if text.contains("%image%") { check(text) } else { check_tag(text) }.map(|()| text.to_owned())
    });
    let mut seen = BTreeSet::new();
    let twice = tags.iter().find(|tag| !seen.insert(*tag));
    if let (Some(tag), Some(field)) = (twice, field) {
        context.reader.error(field.mark, format!("`publish.tags` has `{tag}` twice"));
    }
    tags
}
