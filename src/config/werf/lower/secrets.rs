//! `secrets`: files that commands see, and nothing else does.

use std::collections::BTreeMap;

use stages::spec::{Secret, SecretSource};

use super::context::{Context, filled};
use crate::config::claim::Claim;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::{Items, SecretEntry};
use crate::config::yaml::Mark;

pub(super) fn lower(context: &mut Context<'_>, secrets: &Option<At<Items<SecretEntry>>>) -> Vec<Secret> {
    let entries = secrets.as_ref().map(|secrets| secrets.value.0.as_slice()).unwrap_or_default();
    let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
    context.each("secrets", entries, |context, entry| {
        let (secret, mark) = secret(context, entry)?;
        if let Some(earlier) = seen.insert(secret.id.clone(), entry.mark) {
            let related = context.reader.place(earlier);
            let problem = context.error(entry.mark, code::CONFLICT, format!("two secrets have the id `{}`", secret.id));
            *problem = problem.clone().related(related, "first here").help("give one of them another `id`");
        }
        context.claim(mark, claim(&secret));
        Some(secret)
    })
}

fn claim(secret: &Secret) -> Claim {
    match &secret.source {
        SecretSource::Env(name) => Claim::SecretVariable { name: name.clone() },
        SecretSource::File(path) => Claim::SecretFile { path: path.clone() },
        SecretSource::Value(_) => Claim::SecretValue { id: secret.id.clone() },
    }
}

/// The secret, and where its source is written.
fn secret(context: &mut Context<'_>, entry: &At<SecretEntry>) -> Option<(Secret, Mark)> {
    let SecretEntry { id, env, src, value, broken, .. } = &entry.value;
    let (source, default_id, field) = match (filled(env), filled(src), filled(value)) {
        (Some(name), ..) => (SecretSource::Env(name.value.clone()), Some(name.value.clone()), name),
        (_, Some(path), _) => (SecretSource::File(path.value.clone()), Some(base_name(&path.value)), path),
        (.., Some(text)) => (SecretSource::Value(text.value.clone()), None, text),
        (None, None, None) => {
            if broken.is_empty() {
                let message = format!("`{}` has no source", context.reader.path());
                let problem = context.error(entry.mark, code::REQUIRED, message);
                problem.help = Some("add `env: VARIABLE`, `src: FILE` or `value: TEXT`".to_owned());
            }
            return None;
        }
    };
    let Some(id) = filled(id).map(|id| id.value.clone()).or(default_id) else {
        let message = format!("`{}` needs an `id`, since it has a `value`", context.reader.path());
        context.error(entry.mark, code::REQUIRED, message).help = Some("add `id: NAME`".to_owned());
        return None;
    };
    check_id(context, &id, filled(&entry.value.id).map_or(field.mark, |id| id.mark));
    Some((Secret { id, source }, field.mark))
}

fn base_name(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

/// The id is a file's name below `/run/secrets`.
fn check_id(context: &mut Context<'_>, id: &str, mark: Mark) {
    let bad = matches!(id, "" | "." | "..") || id.contains('/') || id.chars().any(char::is_control) || id.len() > 255;
    if bad {
        let message = format!("a secret's id must be the name of a file, not {:?}", super::paths::shortened(id));
        context.error(mark, code::VALUE, message).help = Some("add an `id` without slashes".to_owned());
    }
}
