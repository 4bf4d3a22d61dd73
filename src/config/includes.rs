//! werf's `werf-includes.yaml`: which files of a config come from which other repositories, and `werf-includes.lock`, which
//! pins each of these to a commit.
//!
//! As in werf, keys that mean nothing are passed over.

use std::collections::BTreeMap;

use serde::Deserialize;
use stages::spec::{GitReference, SecretSource};

use super::load::ConfigError;
use super::login::GitLogin;
use crate::source::{Diagnostic, Place, SourceFile};

/// The name of the list.
pub const INCLUDES_FILE: &str = "werf-includes.yaml";
/// The name of the lock.
pub const INCLUDES_LOCK: &str = "werf-includes.lock";

/// Larger files than this are a mistake.
const MAX_SIZE: usize = 1 << 20;

/// Files of another repository, and where they are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The address of the repository.
    pub url: String,
    /// What of it.
    pub reference: GitReference,
    /// Who to be at its server.
    pub login: Option<GitLogin>,
    /// A directory or file of the repository, relative to its root; empty is all of it.
    pub add: String,
    /// Where it goes, relative to the project directory; empty is that itself.
    pub to: String,
    /// Patterns relative to `add`; none means everything.
    pub include_paths: Vec<String>,
    /// Patterns relative to `add`.
    pub exclude_paths: Vec<String>,
}

/// The commits of a lock, by repository and reference.
#[derive(Debug, Default)]
pub struct IncludeLocks(BTreeMap<(String, String), String>);

impl IncludeLocks {
    /// The commit that an include is pinned to.
    pub fn commit(&self, include: &Include) -> Result<&str, ConfigError> {
        let name = name_of(&include.reference);
        let locked = self.0.get(&(include.url.clone(), name.to_owned()));
        locked.map(String::as_str).ok_or_else(|| {
            let shown = shown(&include.url);
            let problem = Diagnostic::error(format!("`{INCLUDES_LOCK}` has no commit for `{name}` of `{shown}`"));
            let help = "add it: an entry with the same `git`, the same `branch`, `tag` or `commit`, and the `commit`";
            ConfigError::single(problem.code("directive-required").help(help))
        })
    }
}

/// Reads the list.
pub fn includes(text: &str) -> Result<Vec<Include>, ConfigError> {
    let file: Option<File<Entry>> = parse(INCLUDES_FILE, text)?;
    let entries = file.and_then(|file| file.includes).unwrap_or_default();
    entries.into_iter().enumerate().map(|(index, entry)| include(index, entry)).collect()
}

/// Reads the lock.
pub fn include_locks(text: &str) -> Result<IncludeLocks, ConfigError> {
    let file: Option<File<LockEntry>> = parse(INCLUDES_LOCK, text)?;
    let mut locks = BTreeMap::new();
    for (index, entry) in file.and_then(|file| file.includes).unwrap_or_default().into_iter().enumerate() {
        let wrong = |key: &str, what: &str| wrong(INCLUDES_LOCK, index, key, what);
        let commit = filled(entry.commit).ok_or_else(|| wrong("commit", "is missing"))?.to_ascii_lowercase();
        if commit.parse::<stages::CommitId>().is_err() {
            return Err(wrong("commit", "must be a full commit id"));
        }
        let url = filled(entry.git).ok_or_else(|| wrong("git", "is missing"))?;
        let reference = filled(entry.tag).or(filled(entry.branch)).unwrap_or_else(|| commit.clone());
        locks.insert((url, reference), commit);
    }
    Ok(IncludeLocks(locks))
}

#[derive(Debug, Deserialize)]
struct File<T> {
    includes: Option<Vec<T>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    git: Option<String>,
    basic_auth: Option<Auth>,
    branch: Option<String>,
    tag: Option<String>,
    commit: Option<String>,
    add: Option<String>,
    to: Option<String>,
    include_paths: Option<Vec<String>>,
    exclude_paths: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct LockEntry {
    git: Option<String>,
    branch: Option<String>,
    tag: Option<String>,
    commit: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    username: Option<String>,
    /// Looked into by hand, as messages of serde tell of values.
    password: Option<serde_yaml::Value>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Auth").finish_non_exhaustive()
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<Option<T>, ConfigError> {
    if text.len() > MAX_SIZE {
        return Err(ConfigError::single(Diagnostic::error(format!("`{name}` is larger than {} MiB", MAX_SIZE >> 20))));
    }
    serde_yaml::from_str(text).map_err(|error| malformed(name, text, &error))
}

/// The message is the reader's; the text is shown, as it is that of a config.
fn malformed(name: &str, text: &str, error: &serde_yaml::Error) -> ConfigError {
    let mut problem = Diagnostic::error(format!("`{name}` cannot be read: {error}")).code("yaml-syntax");
    if let Some(location) = error.location() {
        let (line, column) = (location.line(), location.column());
        problem = problem.at(Place { file: name.to_owned(), line, column, len: 0 });
    }
    let source = SourceFile { name: name.to_owned(), text: text.to_owned() };
    ConfigError { diagnostics: vec![problem], sources: vec![source], rendered: None, claims: Vec::new() }
}

fn include(index: usize, entry: Entry) -> Result<Include, ConfigError> {
    let wrong = |key: &str, what: &str| wrong(INCLUDES_FILE, index, key, what);
    let url = filled(entry.git).ok_or_else(|| wrong("git", "is missing"))?;
    let login = entry.basic_auth.map(|auth| login(&url, auth).map_err(|(key, what)| wrong(key, what))).transpose()?;
    let place = |key: &str, path: Option<String>| {
        let path = filled(path).ok_or_else(|| wrong(key, "is missing"))?;
        clean(&path).ok_or_else(|| wrong(key, "must be an absolute path"))
    };
    let patterns = |key: &str, patterns: Option<Vec<String>>| {
        let patterns = patterns.unwrap_or_default();
        let relative = patterns.iter().all(|pattern| !pattern.starts_with('/'));
        if relative { Ok(patterns) } else { Err(wrong(key, "must be relative to `add`")) }
    };
    let reference = match (filled(entry.branch), filled(entry.tag), filled(entry.commit)) {
        (Some(branch), None, None) => GitReference::Branch(branch),
        (None, Some(tag), None) => GitReference::Tag(tag),
        (None, None, Some(commit)) => GitReference::Commit(commit.to_ascii_lowercase()),
        _ => return Err(wrong("git", "needs one of `branch`, `tag` and `commit` beside it")),
    };
    Ok(Include {
        add: place("add", entry.add)?,
        to: place("to", entry.to)?,
        include_paths: patterns("includePaths", entry.include_paths)?,
        exclude_paths: patterns("excludePaths", entry.exclude_paths)?,
        url,
        reference,
        login,
    })
}

fn login(url: &str, auth: Auth) -> Result<GitLogin, (&'static str, &'static str)> {
    let username = filled(auth.username).ok_or(("basicAuth.username", "is missing"))?;
    let source = |key: &str| {
        let text = auth.password.as_ref().and_then(|password| password.get(key)).and_then(|value| value.as_str());
        filled(text.map(str::to_owned))
    };
    let password = match (source("env"), source("src"), source("value")) {
        (Some(name), None, None) => SecretSource::Env(name),
        (None, Some(path), None) => SecretSource::File(path),
        (None, None, Some(text)) => SecretSource::Value(text),
        _ => return Err(("basicAuth.password", "must have one of `env`, `src` and `value`")),
    };
    Ok(GitLogin { url: url.to_owned(), username, password })
}

fn wrong(file: &str, index: usize, key: &str, what: &str) -> ConfigError {
    let problem = Diagnostic::error(format!("`{file}`: `includes[{index}].{key}` {what}"));
    ConfigError::single(problem.code("directive-value"))
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// An absolute path as relative to the root, which `..` does not leave.
fn clean(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.strip_prefix('/')?.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    Some(segments.join("/"))
}

fn name_of(reference: &GitReference) -> &str {
    match reference {
        GitReference::Commit(name) | GitReference::Tag(name) | GitReference::Branch(name) => name,
    }
}

/// An address without credentials.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        includes(text).unwrap_err().to_string()
    }

    #[test]
    fn a_list_is_read_as_werf_reads_it() {
        for empty in ["", "includes:\n", "includes: []\n", "# none\n"] {
            assert_eq!(includes(empty).unwrap(), []);
        }
        let text = "includes:\n- {name: x, git: g, tag: v1, add: /a/../b/, to: //c/., includePaths: [.werf], excludePaths: ~}\n\
             - {git: h, commit: ABC, add: /, to: /, basicAuth: {username: u, password: {env: T}}}\n";
        let read = includes(text).unwrap();
        assert_eq!((read[0].add.as_str(), read[0].to.as_str()), ("b", "c"));
        assert_eq!(
            (&read[0].reference, &read[0].include_paths[..]),
            (&GitReference::Tag("v1".into()), &[".werf".to_owned()][..])
        );
        assert_eq!(read[1].reference, GitReference::Commit("abc".into()));
        assert_eq!(read[1].login.as_ref().unwrap().password, SecretSource::Env("T".into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (entry, message) in [
            ("{branch: b}", "`includes[0].git` is missing"),
            ("{git: g, add: /, to: /}", "one of `branch`, `tag` and `commit`"),
            ("{git: g, branch: b, tag: t, add: /, to: /}", "one of `branch`, `tag` and `commit`"),
            ("{git: g, branch: b, to: /}", "`includes[0].add` is missing"),
            ("{git: g, branch: b, add: x, to: /}", "`includes[0].add` must be an absolute path"),
            ("{git: g, branch: b, add: /, to: x}", "`includes[0].to` must be an absolute path"),
            ("{git: g, branch: b, add: /, to: /, excludePaths: [/x]}", "`includes[0].excludePaths` must be relative"),
            ("{git: g, branch: b, add: /, to: /, basicAuth: {username: u}}", "one of `env`, `src` and `value`"),
            ("{git: g, branch: b, add: /, to: /, basicAuth: {password: {env: x}}}", "`includes[0].basicAuth.username`"),
            ("{git: [", "cannot be read"),
        ] {
            let error = error(&format!("includes: [{entry}]\n"));
            assert!(error.contains(message), "{entry}: {error}");
        }
    }

    #[test]
    fn a_lock_pins_repositories_by_their_references() {
        let commit = "a".repeat(40);
        let text = format!("includes:\n- {{git: g, branch: main, commit: {commit}}}\n- {{git: g, commit: {commit}}}\n");
        let locks = include_locks(&text).unwrap();
        let of = |reference| {
            let include = Include {
                url: "g".to_owned(),
                reference,
                login: None,
                add: String::new(),
                to: String::new(),
                include_paths: Vec::new(),
                exclude_paths: Vec::new(),
            };
            locks.commit(&include).map(str::to_owned).map_err(|error| error.to_string())
        };
        assert_eq!(of(GitReference::Branch("main".into())).as_deref(), Ok(commit.as_str()));
        assert_eq!(of(GitReference::Commit(commit.clone())).as_deref(), Ok(commit.as_str()));
        assert!(of(GitReference::Tag("v1".into())).unwrap_err().contains("no commit for `v1` of `g`"));
        assert!(
            include_locks("includes: [{git: g, branch: b, commit: abc}]")
                .unwrap_err()
                .to_string()
                .contains("full commit id")
        );
    }
}
