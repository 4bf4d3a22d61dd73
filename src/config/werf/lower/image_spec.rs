//! `imageSpec`: the image's config, of an image and of the project.

use std::collections::BTreeMap;

use regex::Regex;
use stages::spec::{Healthcheck, Post, PostRules, Removal};

use super::context::{Context, filled, is_true, listed, owned, values};
use super::docker::ports;
use super::project::present;
use crate::config::read::{At, MapOf};
use crate::config::werf::schema::{GlobalImageSpec, HealthcheckTable, ImageSpecConfig, ImageSpecTable, Maybe};

/// What the section of an image says.
pub(super) fn lower(context: &mut Context<'_>, table: &ImageSpecTable) -> Post {
    context.within(&["imageSpec"], None, |context| {
        let mut post = match present(&table.config) {
            Some(config) => context.within(&["config"], None, |context| lower_config(context, config)),
            None => Post::default(),
        };
        post.author = owned(&table.author);
        post.clear_history = is_true(&table.clear_history);
        post
    })
}

fn lower_config(context: &mut Context<'_>, config: &ImageSpecConfig) -> Post {
    check_patterns(context, "removeLabels", listed(&config.remove_labels));
    check_patterns(context, "removeEnv", listed(&config.remove_env));
    let entrypoint =
        command(context, ("entrypoint", &config.entrypoint), ("clearEntrypoint", &config.clear_entrypoint));
    let cmd = command(context, ("cmd", &config.cmd), ("clearCmd", &config.clear_cmd));
    // An entrypoint makes the inherited command meaningless.
    let cmd = cmd.or_else(|| entrypoint.as_ref().filter(|arguments| !arguments.is_empty()).map(|_| Vec::new()));
    let cleared = |field: &Option<At<String>>, clear: bool| owned(field).or_else(|| clear.then(String::new));
    let expose = present(&config.expose);
    Post {
        labels: map(config.labels.as_ref()),
        env: map(config.env.as_ref()),
        entrypoint,
        cmd,
        workdir: cleared(&config.working_dir, is_true(&config.clear_working_dir)),
        user: cleared(&config.user, is_true(&config.clear_user)),
        stop_signal: owned(&config.stop_signal),
        volumes: values(listed(&config.volumes)),
        expose: expose.map(|items| ports(context, "expose", items)).unwrap_or_default(),
        healthcheck: present(&config.healthcheck).map(healthcheck),
        remove: Removal {
            labels: values(listed(&config.remove_labels)),
            env: values(listed(&config.remove_env)),
            volumes: values(listed(&config.remove_volumes)),
            ports: expose.is_some(),
        },
        rules: PostRules::Words,
        ..Post::default()
    }
}

/// A key that holds arguments.
type Arguments = Option<At<Maybe<Vec<At<String>>>>>;

/// Arguments that are set, or cleared by a key of their own; an empty list does nothing, as in werf.
fn command(
    context: &mut Context<'_>,
    (key, field): (&str, &Arguments),
    (clear_key, clear): (&str, &Option<At<bool>>),
) -> Option<Vec<String>> {
    let items = present(field).map(|items| values(items));
    if let (Some(field), Some([]), false) = (field, items.as_deref(), is_true(clear)) {
        let message = format!("an empty {} keeps what the base has", context.key(key));
        let help =
            if clear_key == "clearCmd" { "`clearCmd: true` clears it" } else { "`clearEntrypoint: true` clears it" };
        context.warnings.add(field.mark, message, help);
    }
    items.filter(|items| !items.is_empty()).or_else(|| is_true(clear).then(Vec::new))
}

/// Numbers are seconds; what is zero is not set.
fn healthcheck(table: &HealthcheckTable) -> Healthcheck {
    let number = |field: &Option<At<i64>>| field.as_ref().map(|field| field.value).filter(|value| *value != 0);
    let time = |field: &Option<At<i64>>| number(field).map(|seconds| seconds.saturating_mul(1_000_000_000));
    Healthcheck {
        test: values(listed(&table.test)),
        interval: time(&table.interval),
        timeout: time(&table.timeout),
        start_period: time(&table.start_period).or_else(|| time(&table.start_period_lower_case)),
        start_interval: None,
        retries: number(&table.retries),
    }
}

fn map(field: Option<&At<MapOf<String>>>) -> BTreeMap<String, String> {
    let pairs = field.map(|field| field.value.0.as_slice()).unwrap_or_default();
    pairs.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect()
}

fn check_patterns(context: &mut Context<'_>, key: &str, patterns: &[At<String>]) {
    for pattern in patterns {
        let regex = pattern.value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        if let Some(Err(error)) = regex.map(|regex| Regex::new(&format!("^(?:{regex})$"))) {
            let message = format!("{} holds a regular expression that cannot be read", context.key(key));
            context.at_build(pattern.mark, message).label = error.to_string().lines().last().map(str::to_owned);
        }
    }
}

/// Puts the project's part over an image's; the project wins.
pub(super) fn merge(post: &mut Post, global: &GlobalImageSpec) {
    if let Some(author) = filled(&global.author) {
        post.author = Some(author.value.clone());
    }
    post.clear_history |= is_true(&global.clear_history);
    let Some(config) = present(&global.config) else { return };
    post.labels.extend(map(config.labels.as_ref()));
    for label in values(listed(&config.remove_labels)) {
        if !post.remove.labels.contains(&label) {
            post.remove.labels.push(label);
        }
    }
}

/// Puts the names of the project and the image where labels ask for them.
pub(super) fn name_labels(post: &mut Post, project: &str, image: &str) {
    let named = |text: &str| text.replace("%project%", project).replace("%image%", image);
    post.labels = post.labels.iter().map(|(key, value)| (named(key), named(value))).collect();
}
