//! `docker`: the image's config as instructions of a Dockerfile.

use std::collections::BTreeMap;

use stages::spec::{Post, PostRules};

use super::context::{Context, filled, is_true, owned, texts};
use super::words;
use crate::config::read::{At, MapOf};
use crate::config::rules::port;
use crate::config::werf::schema::{DockerTable, Texts};

pub(in crate::config) fn lower(context: &mut Context<'_>, table: &DockerTable) -> Post {
    let exact = is_true(&table.exact_values);
    let entrypoint = command(table.entrypoint.as_ref());
    // An entrypoint makes the inherited command meaningless.
    let cmd = command(table.cmd.as_ref()).or_else(|| entrypoint.as_ref().map(|_| Vec::new()));
    context.within(&["docker"], None, |context| Post {
        labels: values(table.label.as_ref(), exact),
        env: values(table.env.as_ref(), exact),
        entrypoint,
        cmd,
        workdir: owned(&table.workdir),
        user: owned(&table.user),
        volumes: texts(&table.volume).iter().flat_map(|item| several(&item.value)).collect(),
        expose: ports(context, "EXPOSE", texts(&table.expose)),
        healthcheck: filled(&table.healthcheck).and_then(|field| match words::healthcheck(&field.value) {
            Ok(check) => Some(check),
            Err(reason) => {
                let message = format!("{} {reason}", context.key("HEALTHCHECK"));
                context.at_build(field.mark, message).help =
                    Some("write it as in a Dockerfile: `--interval=30s CMD curl -f http://localhost/`".to_owned());
                None
            }
        }),
        rules: PostRules::Instructions,
        ..Post::default()
    })
}

/// A text is a script or a JSON list, a list the arguments; an empty text says nothing.
fn command(field: Option<&At<Texts>>) -> Option<Vec<String>> {
    match &field?.value {
        Texts::None => None,
        Texts::One(text) if text.value.is_empty() => None,
        Texts::One(text) => Some(words::arguments(&text.value)),
        Texts::Many(items) => Some(items.iter().map(|item| item.value.clone()).collect()),
    }
}

/// Values with their quotes resolved, or as they are. What is no single word is taken as it is too.
pub(in crate::config) fn values(map: Option<&At<MapOf<String>>>, exact: bool) -> BTreeMap<String, String> {
    let pairs = map.map(|map| map.value.0.as_slice()).unwrap_or_default();
    let value = |text: &str| if exact { None } else { words::word(text) }.unwrap_or_else(|| text.to_owned());
    pairs.iter().map(|(key, text)| (key.value.clone(), value(&text.value))).collect()
}

/// The words of an instruction that takes several.
pub(in crate::config) fn several(text: &str) -> Vec<String> {
    words::list(text).unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

/// The ports of a list, each as image configs have it.
pub(in crate::config) fn ports(context: &mut Context<'_>, key: &str, items: &[At<String>]) -> Vec<String> {
    let mut ports = Vec::new();
    for item in items {
        for text in several(&item.value) {
            match port_range(&text) {
                Ok(mut found) => ports.append(&mut found),
                Err(reason) => {
                    let message = format!("{} {reason}", context.key(key));
                    context.at_build(item.mark, message).label =
                        Some(format!("is {:?}", super::paths::shortened(&text)));
                }
            }
        }
    }
    ports
}

/// A port, or a range of them: `8000-8010/udp`.
fn port_range(text: &str) -> Result<Vec<String>, String> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let Some((first, last)) = numbers.split_once('-') else { return port(text).map(|port| vec![port]) };
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => {
            (first..=last).map(|number| port(&format!("{number}/{protocol}"))).collect()
        }
        _ => Err("must be a port such as `8080`, `53/udp`, or a range such as `8000-8010`".to_owned()),
    }
}
