//! The entries of rules: names, globs and `/regular expressions/`.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use stages::filter::PathFilter;

/// Names of variables or secrets: literal, with `*`, or as `/regular expression/` that matches the whole name.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(super) struct Names {
    exact: Vec<String>,
    globs: Vec<GlobMatcher>,
    expressions: Vec<Regex>,
}

impl Names {
    pub(super) fn allow(&self, name: &str) -> bool {
        self.exact.iter().any(|exact| exact == name)
            || self.globs.iter().any(|glob| glob.is_match(name))
            || self.expressions.iter().any(|expression| expression.is_match(name.as_bytes()))
    }
}

impl TryFrom<Vec<String>> for Names {
    type Error = String;

    fn try_from(entries: Vec<String>) -> Result<Self, String> {
        let mut names = Self::default();
        for entry in entries {
            if let Some(expression) = entry.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
                names.expressions.push(expression_of(expression).map_err(|reason| format!("`{entry}`: {reason}"))?);
            } else if entry.contains(['*', '?', '[', '{']) {
                let glob = GlobBuilder::new(&entry).build().map_err(|error| format!("`{entry}`: {}", error.kind()))?;
                names.globs.push(glob.compile_matcher());
            } else {
                names.exact.push(entry);
            }
        }
        Ok(names)
    }
}

/// As in Go's regexp, which werf's rules are written for, classes such as `\w` are ASCII.
fn expression_of(expression: &str) -> Result<Regex, String> {
    const SIZE_LIMIT: usize = 1 << 20;
    let pattern = format!("^(?:{expression})$");
    let built = RegexBuilder::new(&pattern).unicode(false).size_limit(SIZE_LIMIT).build();
    built.map_err(|error| error.to_string())
}

/// Paths relative to the project directory: globs, each matching a path, or a directory and all beneath it. A leading `/`
/// means the project directory too. Never regular expressions, as in werf.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(super) struct Paths(Option<PathFilter>);

impl Paths {
    pub(super) fn allow(&self, path: &str) -> bool {
        self.0.as_ref().is_some_and(|filter| filter.matches(path))
    }

    pub(super) fn filter(&self) -> Option<&PathFilter> {
        self.0.as_ref()
    }
}

impl TryFrom<Vec<String>> for Paths {
    type Error = String;

    fn try_from(entries: Vec<String>) -> Result<Self, String> {
        let entries: Vec<String> = entries.iter().map(|entry| entry.trim_start_matches('/').to_owned()).collect();
        filter_of(&entries).map(Self)
    }
}

fn filter_of(entries: &[String]) -> Result<Option<PathFilter>, String> {
    let some = !entries.is_empty();
    some.then(|| PathFilter::new(entries, &[])).transpose().map_err(|error| error.to_string())
}

/// Paths of the host: absolute, `~/` for the home, or relative to the project directory; globs as in [`Paths`].
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct HostPaths(Vec<String>);

impl HostPaths {
    /// Whether an absolute, clean path is allowed.
    pub(super) fn allow(&self, path: &Path, project: &Path, home: Option<&Path>) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let entries: Vec<String> = self
            .0
            .iter()
            .filter_map(|entry| absolute(entry, project, home))
            .filter_map(|entry| Some(entry.to_str()?.trim_start_matches('/').to_owned()))
            .collect();
        let relative = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes();
        // An entry that is no pattern was refused when the rules were read.
        filter_of(&entries).ok().flatten().is_some_and(|filter| filter.matches(relative))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let relative = |entry: &String| {
            let rest = entry.strip_prefix("~/").unwrap_or(entry).trim_start_matches('/');
            rest.split('/').filter(|segment| *segment != "..").collect::<Vec<_>>().join("/")
        };
        filter_of(&self.0.iter().map(relative).collect::<Vec<_>>()).map(|_| ())
    }
}

/// A host path as absolute and without `..`, by its text alone; `None` if it needs a home and there is none.
pub(super) fn absolute(path: &str, project: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let path = match path.strip_prefix("~/") {
        Some(rest) => home?.join(rest),
        None => project.join(path),
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
