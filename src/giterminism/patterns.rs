//! The entries of rules: names, globs and `/regular expressions/`.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use globset::{Candidate, Glob, GlobSet, GlobSetBuilder};
use regex::bytes::{Regex, RegexSet, RegexSetBuilder};
use stages::filter::PathFilter;

use super::rules::Flavour;

/// Names of variables, secrets or branches: literal, with wildcards where the file's flavour has them, or as
/// `/regular expression/` that matches the whole name.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: Vec<String>,
    globs: Option<GlobSet>,
    expressions: Option<RegexSet>,
}

impl Names {
    /// `expressions`: whether this list may have them. werf takes them for plain names where it may not.
    pub(super) fn new(entries: Vec<String>, flavour: Flavour, expressions: bool) -> Result<Self, String> {
        let mut names = Self::default();
        let (mut globs, mut patterns) = (Vec::new(), Vec::new());
        for entry in entries {
            let inner = entry.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
            match (inner, flavour) {
                (Some(inner), _) if expressions => patterns.push(inner.to_owned()),
                (Some(_), Flavour::Stager) => {
                    return Err(format!(
                        "`{entry}` looks like an expression, and this list takes names and globs only"
                    ));
                }
                _ if flavour == Flavour::Stager && entry.contains(['*', '?', '[', '{']) => globs.push(entry),
                _ => names.exact.push(entry),
            }
        }
        names.globs = glob_set(&globs)?;
        names.expressions = expression_set(&patterns)?;
        Ok(names)
    }

    pub(super) fn allow(&self, name: &str) -> bool {
        self.exact.iter().any(|exact| exact == name)
            || self.globs.as_ref().is_some_and(|globs| globs.is_match_candidate(&Candidate::new(name)))
            || self.expressions.as_ref().is_some_and(|expressions| expressions.is_match(name.as_bytes()))
    }
}

fn glob_set(globs: &[String]) -> Result<Option<GlobSet>, String> {
    if globs.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(Glob::new(glob).map_err(|error| format!("`{glob}`: {}", error.kind()))?);
    }
    set.build().map(Some).map_err(|error| error.to_string())
}

/// As in Go's regexp, which werf's rules are written for, classes such as `\w` are ASCII.
fn expression_set(expressions: &[String]) -> Result<Option<RegexSet>, String> {
    const SIZE_LIMIT: usize = 8 << 20;
    if expressions.is_empty() {
        return Ok(None);
    }
    let anchored = |expression: &String| format!("^(?:{expression})$");
    let built = RegexSetBuilder::new(expressions.iter().map(anchored)).unicode(false).size_limit(SIZE_LIMIT).build();
    built.map(Some).map_err(|error| {
        let alone = |expression: &&String| Regex::new(&anchored(expression)).is_err();
        match expressions.iter().find(alone) {
            Some(expression) => format!("`/{expression}/` is no regular expression: {}", last_line(&error)),
            None => format!("the expressions cannot be used together: {}", last_line(&error)),
        }
    })
}

/// The library draws the expression first, and says what is wrong last.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Branches by name, or all or none of them.
#[derive(Debug)]
pub(super) enum Branches {
    All(bool),
    Named(Names),
}

impl Branches {
    pub(super) fn allow(&self, branch: &str) -> bool {
        match self {
            Self::All(allowed) => *allowed,
            Self::Named(names) => names.allow(branch),
        }
    }
}

impl Default for Branches {
    fn default() -> Self {
        Self::All(false)
    }
}

/// Paths relative to the project directory: globs, each matching a path, or a directory and all beneath it. A leading `/`
/// means the project directory too, leading `..` directories of the repository above it. Never regular expressions, as in
/// werf.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// By how many `..` the entries start with.
    filters: Vec<(usize, PathFilter)>,
}

impl Paths {
    pub(super) fn new(entries: &[String]) -> Result<Self, String> {
        let mut by_ups = BTreeMap::<usize, Vec<String>>::new();
        for entry in entries {
            let (ups, rest) = ups(entry.trim_start_matches('/'));
            by_ups.entry(ups).or_default().push(root_is_all(rest));
        }
        let filter = |(ups, entries): (usize, Vec<String>)| Some((ups, filter_of(&entries).transpose()?));
        let filters = by_ups.into_iter().filter_map(filter).map(|(ups, filter)| Ok((ups, filter?)));
        Ok(Self { filters: filters.collect::<Result<_, String>>()? })
    }

    pub(super) fn allow(&self, path: &str) -> bool {
        let (ups, rest) = ups(path);
        self.filters.iter().any(|(of, filter)| *of == ups && filter.matches(&rest))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether something in the directory could be allowed. `false` is certain, `true` is not.
    pub(super) fn may_contain(&self, directory: &str) -> bool {
        let (ups, rest) = ups(directory);
        self.filters.iter().any(|(of, filter)| *of == ups && filter.may_contain(&rest))
    }
}

/// A path without `.`, without `..` but at its start, and without a `/` at either end.
pub(super) fn clean(path: &str) -> String {
    let (ups, rest) = ups(path);
    let mut clean = vec![".."; ups];
    clean.extend((!rest.is_empty()).then_some(rest.as_str()));
    clean.join("/")
}

/// How many `..` a path starts with once it is clean, and the rest of it.
pub(super) fn ups(path: &str) -> (usize, String) {
    let (mut ups, mut rest) = (0, Vec::new());
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => ups += usize::from(rest.pop().is_none()),
            segment => rest.push(segment),
        }
    }
    (ups, rest.join("/"))
}

fn filter_of(entries: &[String]) -> Result<Option<PathFilter>, String> {
    let some = !entries.is_empty();
    some.then(|| PathFilter::new(entries, &[])).transpose().map_err(|error| error.to_string())
}

/// Paths of the host: absolute, `~/` for the home, or relative to the project directory; globs as in [`Paths`]. One that
/// starts with `**` holds anywhere.
#[derive(Debug, Default)]
pub(super) struct HostPaths {
    entries: Vec<String>,
    /// Made at the first question: a gate has one project and one home.
    filter: OnceLock<Option<PathFilter>>,
}

impl HostPaths {
    pub(super) fn new(entries: Vec<String>) -> Result<Self, String> {
        let relative = |entry: &String| {
            let rest = entry.strip_prefix("~/").unwrap_or(entry).trim_start_matches('/');
            rest.split('/').filter(|segment| *segment != "..").collect::<Vec<_>>().join("/")
        };
        let shapes: Vec<String> = entries.iter().map(relative).filter(|shape| !shape.is_empty()).collect();
        filter_of(&shapes)?;
        Ok(Self { entries, filter: OnceLock::new() })
    }

    /// Whether an absolute, clean path is allowed.
    pub(super) fn allow(&self, path: &Path, project: &Path, home: Option<&Path>) -> bool {
        let filter = self.filter.get_or_init(|| {
            let literal = |path: &Path| path.to_str().map(|path| PathBuf::from(globset::escape(path)));
            let (project, home) = (literal(project), home.and_then(literal));
            let resolved = |entry: &String| {
                if entry.starts_with("**") {
                    return Some(entry.clone());
                }
                let place = absolute(entry, project.as_deref()?, home.as_deref())?;
                Some(place.to_str()?.trim_start_matches('/').to_owned())
            };
            let entries: Vec<String> = self.entries.iter().filter_map(resolved).map(root_is_all).collect();
            // An entry that is no pattern was refused when the rules were read.
            filter_of(&entries).ok().flatten()
        });
        let relative = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes();
        filter.as_ref().is_some_and(|filter| filter.matches(relative))
    }
}

/// `/` itself allows everything, and is no pattern.
fn root_is_all(entry: String) -> String {
    if entry.is_empty() { "**".to_owned() } else { entry }
}

/// A host path as absolute and without `..`, by its text alone; `None` if it needs a home and there is none.
pub(super) fn absolute(path: &str, project: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let path = match (path, path.strip_prefix("~/")) {
        ("~", _) => home?.to_owned(),
        (_, Some(rest)) => home?.join(rest),
        _ => project.join(path),
    };
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            component => clean.push(component),
        }
    }
    Some(clean)
}
