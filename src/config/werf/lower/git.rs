//! `git`: content of the commit, or of another repository.

use stages::spec::{GitMapping, GitReference, GitSource, SecretSource};

use super::context::{Context, filled, owned, texts};
use super::exports::{self, Export, Origin, git_pattern};
use super::paths;
use super::project::present;
use crate::config::claim::Claim;
use crate::config::login::GitLogin;
use crate::config::read::At;
use crate::config::rules::{git_reference, git_url};
use crate::config::werf::code;
use crate::config::werf::schema::{BasicAuth, GitEntry, Items, Password, StageDependencies};

/// The mode of directories below the target of a mapping, as werf's archives have it.
pub(in crate::config) const DIRECTORY_MODE: u32 = 0o775;

/// A mapping, and the patterns that key the user stages.
pub(in crate::config) struct Mapping {
    pub(in crate::config) export: Export,
    pub(in crate::config) source: GitSource,
    pub(in crate::config) install: Vec<String>,
    pub(in crate::config) before_setup: Vec<String>,
    pub(in crate::config) setup: Vec<String>,
}

impl Mapping {
    pub(in crate::config) fn into_spec(self) -> GitMapping {
        let Export { add, to, include_paths, exclude_paths, owner, .. } = self.export;
        let normal = |patterns: Vec<String>| patterns.iter().map(|pattern| git_pattern(pattern)).collect();
        GitMapping {
            source: self.source,
            add,
            to,
            include_paths: normal(include_paths),
            exclude_paths: normal(exclude_paths),
            owner,
            directory_mode: DIRECTORY_MODE,
            required: true,
        }
    }
}

pub(in crate::config) fn lower(context: &mut Context<'_>, git: &Option<At<Items<GitEntry>>>) -> Vec<Mapping> {
    let entries = git.as_ref().map(|git| git.value.0.as_slice()).unwrap_or_default();
    context.each("git", entries, mapping)
}

fn mapping(context: &mut Context<'_>, entry: &At<GitEntry>) -> Option<Mapping> {
    let table = &entry.value;
    let everything = At { value: "/".to_owned(), mark: entry.mark };
    let add = if table.broken.contains(&"add") { None } else { Some(table.add.as_ref().unwrap_or(&everything)) };
    let keys = exports::Keys {
        mark: entry.mark,
        broken: &table.broken,
        add,
        to: table.to.as_ref(),
        origin: Origin::Git,
        include_paths: &table.include_paths,
        exclude_paths: &table.exclude_paths,
        owner: &table.owner,
        group: &table.group,
    };
    let export = exports::lower(context, &keys);
    let [install, before_setup, setup] = stage_dependencies(context, present(&table.stage_dependencies));
    let remote = Remote { url: &table.url, branch: &table.branch, tag: &table.tag, commit: &table.commit };
    let source = source(context, &remote);
    if let Some(auth) = present(&table.basic_auth) {
        basic_auth(context, entry, auth);
    }
    Some(Mapping { export: export?, source, install, before_setup, setup })
}

fn stage_dependencies(context: &mut Context<'_>, table: Option<&StageDependencies>) -> [Vec<String>; 3] {
    let Some(table) = table else { return Default::default() };
    context.within(&["stageDependencies"], None, |context| {
        [("install", &table.install), ("beforeSetup", &table.before_setup), ("setup", &table.setup)]
            .map(|(key, field)| paths::relative_patterns(context, key, texts(field)))
    })
}

/// The keys that say which repository, and what of it.
pub(in crate::config) struct Remote<'a> {
    pub(in crate::config) url: &'a Option<At<String>>,
    pub(in crate::config) branch: &'a Option<At<String>>,
    pub(in crate::config) tag: &'a Option<At<String>>,
    pub(in crate::config) commit: &'a Option<At<String>>,
}

pub(in crate::config) fn source(context: &mut Context<'_>, remote: &Remote<'_>) -> GitSource {
    let keys = [("branch", filled(remote.branch)), ("tag", filled(remote.tag)), ("commit", filled(remote.commit))];
    let Some(url) = filled(remote.url) else {
        for (key, field) in keys.into_iter().filter_map(|(key, field)| Some((key, field?))) {
            let message = format!("{} goes with `url` only", context.key(key));
            let problem = context.error(field.mark, code::CONFLICT, message);
            problem.help = Some("without `url`, the content is that of the commit being built".to_owned());
        }
        return GitSource::Local;
    };
    let branch = filled(remote.branch);
    if branch.is_some() || keys.iter().all(|(_, field)| field.is_none()) {
        let name = branch.map_or_else(String::new, |branch| branch.value.clone());
        context.claim(branch.unwrap_or(url).mark, Claim::GitBranch { url: url.value.clone(), branch: name });
    }
    let set = context.exclusive(&keys);
    check_at_build(context, "url", url, git_url(&url.value).err());
    let reference = match set {
        Some(("commit", commit)) => GitReference::Commit(commit_id(context, commit)),
        Some((key, name)) => {
            check_at_build(context, key, name, git_reference(&name.value).err());
            let value = name.value.clone();
            if key == "tag" { GitReference::Tag(value) } else { GitReference::Branch(value) }
        }
        None => GitReference::Branch("HEAD".to_owned()),
    };
    GitSource::Remote { url: url.value.clone(), reference }
}

fn commit_id(context: &mut Context<'_>, commit: &At<String>) -> String {
    let lower = commit.value.to_ascii_lowercase();
    let valid = lower.parse::<stages::ObjectId>().is_ok();
    let reason = (!valid).then(|| "must be a full commit id: 40 or 64 hexadecimal digits".to_owned());
    check_at_build(context, "commit", commit, reason);
    lower
}

/// What werf finds out when it builds is no error of the config here either.
fn check_at_build(context: &mut Context<'_>, key: &str, field: &At<String>, reason: Option<String>) {
    if let Some(reason) = reason {
        let message = format!("{} {reason}", context.key(key));
        context.at_build(field.mark, message).label = Some(format!("is {:?}", paths::shortened(&field.value)));
    }
}

fn basic_auth(context: &mut Context<'_>, entry: &At<GitEntry>, auth: &BasicAuth) {
    if filled(&entry.value.url).is_none() {
        let message = format!("{} goes with `url` only", context.key("basicAuth"));
        context.error(auth.mark, code::CONFLICT, message).help =
            Some("without `url`, the content is that of the commit being built".to_owned());
        return;
    }
    let password = context.within(&["basicAuth"], None, |context| password(context, auth));
    if let Some(password) = password {
        let url = entry.value.url.as_ref().map(|url| url.value.clone()).unwrap_or_default();
        context
            .logins
            .push((GitLogin { url, username: owned(&auth.username).unwrap_or_default(), password }, auth.mark));
    }
}

/// Exactly one source; werf finds out when it builds.
fn password(context: &mut Context<'_>, auth: &BasicAuth) -> Option<SecretSource> {
    let table = auth.password.as_ref().map(|password| &password.value);
    let of = |field: fn(&Password) -> &Option<At<String>>| table.and_then(|table| owned(field(table)));
    match (of(|table| &table.env), of(|table| &table.src), of(|table| &table.value)) {
        (Some(name), None, None) => Some(SecretSource::Env(name)),
        (None, Some(path), None) => Some(SecretSource::File(path)),
        (None, None, Some(text)) => Some(SecretSource::Value(text)),
        _ => {
            let message = format!("{} must have one of `env`, `src` and `value`", context.key("password"));
            context.at_build(auth.mark, message);
            None
        }
    }
}
