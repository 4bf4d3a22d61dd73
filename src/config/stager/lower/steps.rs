//! Commands: `deps` and `build`.

use std::collections::BTreeMap;
use std::sync::Arc;

use stages::spec::{
    CacheMount, Command, FileView, Network, PackageManager, Packages, Secret, SecretSource, Sharing, Step,
};

use super::context::Context;
use super::project::within;
use crate::config::claim::Claim;
use crate::config::read::{AnyScalar, At, MapOf, OneOrMany, TextOrList};
use crate::config::rules::{Rule, c_text, duration, not_blank, path_below_root, pattern, plain_name, variable_name};
use crate::config::stager::schema::{
    Build, CacheEntry, Deps, PackageLists, PackagesByManager, SecretEntry, StepEntry, StepTable,
};
use crate::config::yaml::Mark;

pub(super) fn packages(context: &mut Context<'_>, deps: Option<&At<Deps>>) -> Option<Packages> {
    let lists = deps?.value.packages.as_ref()?;
    match &lists.value {
        PackageLists::Any(names) if names.is_empty() => None,
        PackageLists::Any(names) => {
            Some(Packages::Any(within(context, &["deps"], None, |context| context.each("packages", names, package))))
        }
        PackageLists::ByManager(table) => by_manager(context, table),
    }
}

fn by_manager(context: &mut Context<'_>, table: &PackagesByManager) -> Option<Packages> {
    let lists = [
        ("apt", PackageManager::Apt, &table.apt),
        ("apk", PackageManager::Apk, &table.apk),
        ("dnf", PackageManager::Dnf, &table.dnf),
    ];
    let mut packages = BTreeMap::new();
    for (key, manager, list) in lists {
        if let Some(list) = list {
            let names =
                within(context, &["deps", "packages"], None, |context| context.each(key, &list.value.0, package));
            packages.insert(manager, names);
        }
    }
    (!packages.is_empty()).then_some(Packages::ByManager(packages))
}

/// A package, perhaps with a version: what managers take as one argument, and never as an option.
fn package(text: &str) -> Rule<String> {
    let start = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"@/_.".contains(&byte));
    let valid = start && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"'\"`$;&|\\(){}[]#!?".contains(&byte));
    if valid { Ok(text.to_owned()) } else { Err("must be the name of a package, perhaps with a version".to_owned()) }
}

/// What the steps of a section have in common.
#[derive(Default)]
struct Common {
    env: BTreeMap<String, String>,
    network: Network,
    files: Option<Vec<String>>,
    caches: Vec<CacheMount>,
    secrets: Vec<Secret>,
}

/// The keys that say it, in a section or a step.
struct CommonKeys<'a> {
    env: Option<&'a At<MapOf<AnyScalar>>>,
    network: Option<&'a At<String>>,
    files: Option<&'a At<OneOrMany<String>>>,
    caches: Option<&'a At<Vec<At<CacheEntry>>>>,
    secrets: Option<&'a At<Vec<At<SecretEntry>>>>,
}

macro_rules! common_keys {
    ($table:expr) => {
        CommonKeys {
            env: $table.env.as_ref(),
            network: $table.network.as_ref(),
            files: $table.files.as_ref(),
            caches: $table.caches.as_ref(),
            secrets: $table.secrets.as_ref(),
        }
    };
}

pub(super) fn deps(context: &mut Context<'_>, deps: Option<&At<Deps>>) -> Vec<Step> {
    let Some(deps) = deps.map(|deps| &deps.value) else { return Vec::new() };
    let steps = deps.run.as_ref().map(|run| run.value.0.as_slice()).unwrap_or_default();
    let readable = !deps.broken.contains(&"run");
    within(context, &["deps"], None, |context| section(context, "run", readable, steps, &common_keys!(deps)))
}

pub(super) fn build(context: &mut Context<'_>, build: Option<&At<Build>>) -> Vec<Step> {
    let Some(build) = build.map(|build| &build.value) else { return Vec::new() };
    let steps = build.steps.as_ref().map(|steps| steps.value.as_slice()).unwrap_or_default();
    let readable = !build.broken.contains(&"steps");
    within(context, &["build"], None, |context| section(context, "steps", readable, steps, &common_keys!(build)))
}

fn section(
    context: &mut Context<'_>,
    key: &str,
    readable: bool,
    entries: &[At<StepEntry>],
    keys: &CommonKeys<'_>,
) -> Vec<Step> {
    if entries.is_empty() && readable {
        without_steps(context, key, keys);
    }
    let common = common(context, keys, &Common::default());
    let mut names: BTreeMap<String, Mark> = BTreeMap::new();
    let mut steps = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let step = within(context, &[key], Some(index), |context| step(context, index, entry, &common));
        let Some(step) = step else { continue };
        if let Some(earlier) = names.insert(step.name.clone(), entry.mark) {
            let related = context.reader.place(earlier);
            let path = context.reader.path_to(key);
            let problem = context.reader.error(entry.mark, format!("two steps of `{path}` are named `{}`", step.name));
            *problem = problem
                .clone()
                .related(related, "first here")
                .help("a step without a name is named by its number, from 1");
        }
        steps.push(step);
    }
    steps
}

/// Keys for steps where there are no steps would be dropped silently.
fn without_steps(context: &mut Context<'_>, key: &str, keys: &CommonKeys<'_>) {
    let set = [
        ("env", keys.env.map(|field| field.mark)),
        ("network", keys.network.map(|field| field.mark)),
        ("files", keys.files.map(|field| field.mark)),
        ("caches", keys.caches.map(|field| field.mark)),
        ("secrets", keys.secrets.map(|field| field.mark)),
    ];
    for (name, mark) in set.into_iter().filter_map(|(name, mark)| Some((name, mark?))) {
        let (path, steps) = (context.reader.path_to(name), context.reader.path_to(key));
        let problem = context.reader.error(mark, format!("`{path}` is for the steps of `{steps}`, and there are none"));
        if name == "caches" {
            problem.help = Some("what package installs keep goes into `mount: [{to: PATH, from: cache}]`".to_owned());
        }
    }
}

/// A step's own values over those of its section.
fn common(context: &mut Context<'_>, keys: &CommonKeys<'_>, section: &Common) -> Common {
    let mut env = section.env.clone();
    env.extend(variables(context, "env", keys.env));
    let network = context.checked("network", keys.network, network);
    if let (Some(Network::Host), Some(field)) = (network, keys.network) {
        let claim = Claim::HostNetwork { image: context.subject.clone() };
        context.claim(field.mark, claim);
    }
    let files = keys.files.map(|_| context.list("files", keys.files, pattern));
    let own_caches = each_unique(context, "caches", keys.caches, cache, |cache| cache.path.clone());
    let own_secrets = each_unique(context, "secrets", keys.secrets, secret, |secret| secret.id.clone());
    let inherited = |cache: &&CacheMount| !own_caches.iter().any(|own| own.path == cache.path);
    let mut caches: Vec<CacheMount> = section.caches.iter().filter(inherited).cloned().collect();
    let inherited = |secret: &&Secret| !own_secrets.iter().any(|own| own.id == secret.id);
    let mut secrets: Vec<Secret> = section.secrets.iter().filter(inherited).cloned().collect();
    caches.extend(own_caches);
    secrets.extend(own_secrets);
    Common {
        env,
        network: network.unwrap_or(section.network),
        files: files.or_else(|| section.files.clone()),
        caches,
        secrets,
    }
}

fn step(context: &mut Context<'_>, index: usize, entry: &At<StepEntry>, section: &Common) -> Option<Step> {
    let number = (index + 1).to_string();
    let table = match &entry.value {
        StepEntry::Command(text) => {
            let text = At { value: text.clone(), mark: entry.mark };
            let command = super::context::check(&mut context.reader, &text, &not_blank)?;
            let common = common(
                context,
                &CommonKeys { env: None, network: None, files: None, caches: None, secrets: None },
                section,
            );
            return Some(assemble(number, Command::Shell(command), common, None));
        }
        StepEntry::Table(table) => table,
    };
    let name = context.checked("name", table.name.as_ref(), plain_name);
    let command = command(context, table);
    let timeout = context.checked("timeout", table.timeout.as_ref(), timeout);
    let common = common(context, &common_keys!(table), section);
    Some(assemble(name.unwrap_or(number), command?, common, timeout))
}

fn assemble(name: String, command: Command, common: Common, timeout_seconds: Option<u64>) -> Step {
    Step {
        unkeyed_env: Arc::default(),
        cache_versions: BTreeMap::new(),
        name,
        command,
        files: common.files.map_or(FileView::All, FileView::Matching),
        env: common.env,
        network: common.network,
        caches: common.caches,
        secrets: common.secrets,
        timeout_seconds,
    }
}

fn command(context: &mut Context<'_>, table: &StepTable) -> Option<Command> {
    let Some(command) = &table.command else {
        context.missing(table.mark, &table.broken, "command");
        return None;
    };
    match &command.value {
        TextOrList::Text(text) => {
            let text = At { value: text.clone(), mark: command.mark };
            context.checked("command", Some(&text), not_blank).map(Command::Shell)
        }
        TextOrList::List(arguments) if arguments.is_empty() || arguments[0].value.is_empty() => {
            let path = context.reader.path_to("command");
            context.reader.error(command.mark, format!("`{path}` names no program"));
            None
        }
        TextOrList::List(arguments) => Some(Command::Exec(context.each("command", arguments, c_text))),
    }
}

/// Whole seconds; less than one would never let a step finish.
fn timeout(text: &str) -> Rule<u64> {
    let nanoseconds = duration(text)?;
    match u64::try_from(nanoseconds / 1_000_000_000) {
        Ok(seconds) if seconds >= 1 => Ok(seconds),
        _ => Err("must be at least 1s".to_owned()),
    }
}

fn network(text: &str) -> Rule<Network> {
    match text {
        "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err("must be `default`, `none` or `host`".to_owned()),
    }
}

/// A map of environment variables.
pub(super) fn variables(
    context: &mut Context<'_>,
    key: &str,
    map: Option<&At<MapOf<AnyScalar>>>,
) -> BTreeMap<String, String> {
    text_map(context, key, map, variable_name)
}

/// A map of texts whose keys obey a rule; values are taken as written.
pub(super) fn text_map(
    context: &mut Context<'_>,
    key: &str,
    map: Option<&At<MapOf<AnyScalar>>>,
    rule: impl Fn(&str) -> Rule<String>,
) -> BTreeMap<String, String> {
    let pairs = map.map(|map| map.value.0.as_slice()).unwrap_or_default();
    let mut texts = BTreeMap::new();
    for (written, value) in pairs {
        let text = At { value: value.value.0.clone(), mark: value.mark };
        let name = within(context, &[key], None, |context| context.checked(&written.value, Some(written), &rule));
        let text = within(context, &[key], None, |context| context.checked(&written.value, Some(&text), c_text));
        texts.extend(name.zip(text));
    }
    texts
}

/// The entries of a list, of which no two may have the same key.
fn each_unique<T, U>(
    context: &mut Context<'_>,
    key: &str,
    entries: Option<&At<Vec<At<T>>>>,
    lower: impl Fn(&mut Context<'_>, &T) -> Option<U>,
    identity: impl Fn(&U) -> String,
) -> Vec<U> {
    let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, entry) in entries.map(|entries| entries.value.as_slice()).unwrap_or_default().iter().enumerate() {
        let Some(lowered) = within(context, &[key], Some(index), |context| lower(context, &entry.value)) else {
            continue;
        };
        let identity = identity(&lowered);
        if let Some(earlier) = seen.insert(identity.clone(), entry.mark) {
            let (related, path) = (context.reader.place(earlier), context.reader.path_to(key));
            let problem = context.reader.error(entry.mark, format!("`{path}` has `{identity}` twice"));
            *problem = problem.clone().related(related, "first here");
        }
        found.push(lowered);
    }
    found
}

fn cache(context: &mut Context<'_>, entry: &CacheEntry) -> Option<CacheMount> {
    let path = context.required((entry.mark, &entry.broken), "path", entry.path.as_ref(), path_below_root);
    let id = context.checked("id", entry.id.as_ref(), plain_name);
    let sharing = context.checked("sharing", entry.sharing.as_ref(), sharing).unwrap_or_default();
    let path = path?;
    Some(CacheMount { id: id.unwrap_or_else(|| path.clone()), path, sharing })
}

fn sharing(text: &str) -> Rule<Sharing> {
    match text {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => Err("must be `shared`, `private` or `locked`".to_owned()),
    }
}

fn secret(context: &mut Context<'_>, entry: &SecretEntry) -> Option<Secret> {
    let here = (entry.mark, entry.broken.as_slice());
    let id = context.required(here, "id", entry.id.as_ref(), plain_name);
    let mark = |field: &Option<At<String>>| field.as_ref().map(|field| field.mark);
    let set = context.exclusive(&[("src", mark(&entry.src)), ("env", mark(&entry.env))]);
    if set.is_none() && !["src", "env"].iter().any(|key| entry.broken.contains(key)) {
        let path = context.reader.path();
        let problem = context.reader.error(entry.mark, format!("`{path}` has no source"));
        problem.help = Some("add `src: FILE` or `env: VARIABLE`".to_owned());
    }
    let file = context.checked("src", entry.src.as_ref(), not_blank);
    let variable = context.checked("env", entry.env.as_ref(), variable_name);
    let (source, claim, mark) = match (file, variable) {
        (Some(path), _) => (SecretSource::File(path.clone()), Claim::SecretFile { path }, mark(&entry.src)),
        (None, Some(name)) => (SecretSource::Env(name.clone()), Claim::SecretVariable { name }, mark(&entry.env)),
        (None, None) => return None,
    };
    context.claim(mark.unwrap_or(entry.mark), claim);
    Some(Secret { id: id?, source })
}
