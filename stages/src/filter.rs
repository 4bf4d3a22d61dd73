//! Include and exclude patterns over paths, as `includePaths`, `excludePaths` and `files` use them.
//!
//! A pattern matches a path, or a directory and so everything beneath it. `*` and `?` do not cross `/`, a `**` that is a
//! whole segment does, `[…]` and `{a,b}` work as usual. Patterns and paths are relative to one directory, which the caller
//! knows. An exclude pattern wins over an include pattern; no include pattern means everything.
//!
//! Patterns without a wildcard, the great majority, never reach the regular expression engine, and the others are
//! compiled at the first match: a plan holds thousands of filters and asks few of them.

use std::sync::OnceLock;

use globset::{Candidate, Glob, GlobBuilder, GlobSet};

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The pattern is empty.
    #[error("pattern is empty")]
    Empty,
    /// The pattern starts with `/`; patterns are relative.
    #[error("pattern `{0}` is absolute; patterns are relative to the directory that is added")]
    Absolute(String),
    /// The pattern has a `..` segment.
    #[error("pattern `{0}` leads outside with `..`")]
    Outside(String),
    /// The pattern is not a well-formed glob.
    #[error("pattern `{pattern}` is malformed: {reason}")]
    Malformed {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A set of include and exclude patterns.
#[derive(Debug, Default)]
pub struct PathFilter {
    /// `None`: everything is included.
    include: Option<Patterns>,
    exclude: Option<Patterns>,
    view: Option<View>,
}

/// A second selection, over paths of the whole repository.
#[derive(Debug)]
struct View {
    /// The directory that the filter's paths are relative to, in the repository.
    add: Vec<u8>,
    files: Patterns,
}

impl View {
    fn path(&self, relative: &[u8]) -> Vec<u8> {
        match (self.add.is_empty(), relative.is_empty()) {
            (true, _) => relative.to_vec(),
            (false, true) => self.add.clone(),
            (false, false) => [&self.add, b"/".as_slice(), relative].concat(),
        }
    }
}

impl PathFilter {
    /// Reads the patterns. An empty `include` includes everything.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, FilterError> {
        let include = Patterns::new(include)?.filter(|patterns| !patterns.everything);
        Ok(Self { include, exclude: Patterns::new(exclude)?, view: None })
    }

    /// The same, narrowed to the paths that match one of `files` as well, which are relative to the repository's root.
    /// `add` is the directory in the repository that this filter's paths are relative to.
    pub fn narrowed(mut self, add: &str, files: &[String]) -> Result<Self, FilterError> {
        let files = Patterns::new(files)?.filter(|patterns| !patterns.everything);
        self.view = files.map(|files| View { add: add.trim_matches('/').as_bytes().to_vec(), files });
        Ok(self)
    }

    /// The filter that every path passes.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether every path passes.
    pub fn is_everything(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.view.is_none()
    }

    /// Whether the file at `path` passes.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        self.include.as_ref().is_none_or(|patterns| patterns.matches(path))
            && !self.exclude.as_ref().is_some_and(|patterns| patterns.matches(path))
            && self.view.as_ref().is_none_or(|view| view.files.matches(&view.path(path)))
    }

    /// Whether some path beneath the directory could pass. `false` is certain, `true` is not. The empty path is the
    /// directory that the patterns are relative to.
    pub fn may_contain(&self, directory: impl AsRef<[u8]>) -> bool {
        let directory = directory.as_ref();
        self.include.as_ref().is_none_or(|patterns| patterns.reaches(directory))
            && !self.exclude.as_ref().is_some_and(|patterns| patterns.matches(directory))
            && self.view.as_ref().is_none_or(|view| view.files.reaches(&view.path(directory)))
    }

    /// Whether every path beneath the directory is known to pass. `true` is certain, `false` is not.
    pub fn covers(&self, directory: impl AsRef<[u8]>) -> bool {
        let directory = directory.as_ref();
        self.include.as_ref().is_none_or(|patterns| patterns.matches(directory))
            && !self.exclude.as_ref().is_some_and(|patterns| patterns.reaches(directory))
            && self.view.as_ref().is_none_or(|view| view.files.matches(&view.path(directory)))
    }
}

/// The patterns of one side.
#[derive(Debug)]
struct Patterns {
    /// Some pattern is `**` or `.`.
    everything: bool,
    /// Patterns without wildcards, sorted.
    literals: Vec<Vec<u8>>,
    globs: Vec<Glob>,
    compiled: OnceLock<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    /// Matches what a pattern names, and everything beneath it.
    paths: GlobSet,
    /// Matches the directories on the way there.
    parents: GlobSet,
}

impl Patterns {
    /// `None` for an empty list.
    fn new(patterns: &[String]) -> Result<Option<Self>, FilterError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let mut everything = false;
        let mut literals = Vec::new();
        let mut globs = Vec::new();
        for pattern in patterns {
            let segments = clean(pattern)?;
            if segments.is_empty() {
                everything = true;
            } else if segments.iter().any(|segment| segment.contains(['*', '?', '[', ']', '{', '}', '\\'])) {
                let glob = glob(&segments.join("/")).map_err(|error| FilterError::Malformed {
                    pattern: pattern.clone(),
                    reason: error.kind().to_string(),
                })?;
                globs.push(glob);
            } else {
                literals.push(segments.join("/").into_bytes());
            }
        }
        literals.sort_unstable();
        Ok(Some(Self { everything, literals, globs, compiled: OnceLock::new() }))
    }

    /// Whether a pattern names the path or a directory above it.
    fn matches(&self, path: &[u8]) -> bool {
        self.everything
            || self.literals.iter().any(|literal| is_within(path, literal))
            || !self.globs.is_empty() && self.compiled().paths.is_match_candidate(&Candidate::from_bytes(path))
    }

    /// Whether a pattern may name something beneath the directory, or names it whole.
    fn reaches(&self, directory: &[u8]) -> bool {
        directory.is_empty()
            || self.matches(directory)
            || self.literals.iter().any(|literal| is_within(literal, directory))
            || !self.globs.is_empty() && self.compiled().parents.is_match_candidate(&Candidate::from_bytes(directory))
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            let beneath = self.globs.iter().map(|pattern| glob(&format!("{}/**", pattern.glob())));
            let beneath = beneath.map(|pattern| pattern.expect("a pattern stays well-formed with /** after it"));
            let parents = self.globs.iter().flat_map(|pattern| parents(pattern.glob()));
            Compiled { paths: set(self.globs.iter().cloned().chain(beneath)), parents: set(parents) }
        })
    }
}

fn set(globs: impl Iterator<Item = Glob>) -> GlobSet {
    GlobSet::new(globs).expect("single patterns were accepted, and filters are far below the size limit")
}

fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(&without_slash_in_negations(pattern)).literal_separator(true).build()
}

/// Adds `/` to each negated class, which globset would let match it.
fn without_slash_in_negations(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = [rest.find("[!"), rest.find("[^")].into_iter().flatten().min() {
        let (before, class) = rest.split_at(at + 2);
        out.push_str(before);
        // `]` and `-` mean themselves only as the first of a class.
        let first = class.bytes().next().filter(|byte| b"]-/".contains(byte)).map_or(0, |_| 1);
        out.push_str(&class[..first]);
        if !class.starts_with("]-") && !class.starts_with('/') {
            out.push('/');
        }
        rest = &class[first..];
    }
    out + rest
}

/// The segments of a pattern without `.`, doubled slashes and a `**` at the end, which adds nothing to "everything beneath".
fn clean(pattern: &str) -> Result<Vec<&str>, FilterError> {
    if pattern.is_empty() {
        return Err(FilterError::Empty);
    }
    if pattern.starts_with('/') {
        return Err(FilterError::Absolute(pattern.to_owned()));
    }
    let mut segments: Vec<&str> = pattern.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
    if segments.contains(&"..") {
        return Err(FilterError::Outside(pattern.to_owned()));
    }
    while segments.last() == Some(&"**") {
        segments.pop();
    }
    Ok(segments)
}

/// Globs for the directories above what a pattern matches: its leading segments, up to one that crosses `/`.
fn parents(pattern: &str) -> Vec<Glob> {
    let segments = split_outside_braces(pattern);
    let mut found = Vec::new();
    for end in 1..segments.len() {
        let last = segments[end - 1];
        let crosses = last == "**" || last.contains('/');
        let prefix = if crosses { join(&segments[..end - 1], "**") } else { segments[..end].join("/") };
        // A segment that is no glob by itself, such as half of `[a/b]`, is taken for anything.
        found.extend(glob(&prefix).or_else(|_| glob("**")));
        if crosses {
            return found;
        }
    }
    if segments.last().is_some_and(|last| last.contains('/')) {
        found.extend(glob(&join(&segments[..segments.len() - 1], "**")));
    }
    found
}

fn join(segments: &[&str], last: &str) -> String {
    segments.iter().copied().chain([last]).collect::<Vec<_>>().join("/")
}

fn split_outside_braces(pattern: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    let (mut depth, mut start, mut escaped) = (0_u32, 0, false);
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => {
                segments.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    segments.push(&pattern[start..]);
    segments
}

/// Whether `path` is `directory` or beneath it.
fn is_within(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> PathFilter {
        let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
        PathFilter::new(&owned(include), &owned(exclude)).expect("patterns are good")
    }

    #[test]
    fn a_view_narrows_by_paths_of_the_repository() {
        let files = ["web/src/**".to_owned(), "Makefile".to_owned()];
        let narrowed = filter(&[], &["**/*.md"]).narrowed("/web", &files).unwrap();
        assert!(narrowed.matches("src/main.js"));
        assert!(!narrowed.matches("src/readme.md"));
        assert!(!narrowed.matches("Makefile"));
        assert!(narrowed.may_contain("src/deep"));
        assert!(!narrowed.may_contain("docs"));
        assert!(!narrowed.covers(""));
        let of_root = filter(&[], &[]).narrowed("/", &files).unwrap();
        assert!(of_root.matches("Makefile") && of_root.covers("web/src") && !of_root.matches("web/Makefile"));
    }

    #[test]
    fn patterns_match_paths_and_what_is_beneath() {
        let cases: &[(&str, &str, bool)] = &[
            ("src", "src", true),
            ("src", "src/a/b", true),
            ("src", "src2/a", false),
            ("src/", "src/a", true),
            ("./src", "src/a", true),
            ("src/**", "src/a/b", true),
            ("src/**", "src", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/a.md", false),
            ("**/*.md", "README.md", true),
            ("**/*.md", "a/b/c.md", true),
            ("**/*.md", "a/b/c.md.d", false),
            ("**/test", "a/test/b/c", true),
            ("a/*/c", "a/b/c/d", true),
            ("a/*/c", "a/b/x/c", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/x/y/c", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[!a]x", "/x", false),
            ("[^a]b[!c]d", "xb/d", false),
            ("[^a]b[!c]d", "/bxd", false),
            ("[^a]b[!c]d", "xbxd", true),
            ("{a,b/c}/d", "b/c/d", true),
            ("{a,b/c}/d", "c/d", false),
            ("**", "anything/at/all", true),
            (".", "anything", true),
            ("**/*", "a/b", true),
            ("*", ".hidden", true),
            ("a**b", "axxb", true),
            ("a**b", "ax/xb", false),
        ];
        for &(pattern, path, expected) in cases {
            assert_eq!(filter(&[pattern], &[]).matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn an_exclude_pattern_wins() {
        let filter = filter(&["src", "docs/*.md"], &["**/*.tmp", "src/gen"]);
        assert!(filter.matches("src/a.c"));
        assert!(filter.matches("docs/a.md"));
        assert!(!filter.matches("docs/a.txt"));
        assert!(!filter.matches("src/x/y.tmp"));
        assert!(!filter.matches("src/gen/a.c"));
        assert!(!filter.may_contain("src/gen"));
        assert!(PathFilter::everything().matches(b"\xff"));
    }

    #[test]
    fn pruning_never_loses_a_match() {
        let patterns = [
            "a",
            "a/b/c",
            "*/b",
            "**/c",
            "a/**/d",
            "{a,b/c}/d",
            "a/{b,c/d}",
            "a*/[bc]/?",
            "a/\\{b/c",
            "**/b/*",
            "a/b/**",
        ];
        let paths =
            ["a", "a/b", "a/b/c", "b/c/d", "a/d", "a/c/d", "a/c/d/x", "ab/b/x", "a/{b/c", "x/y/b/z", "a/x/y/d", "c"];
        for first in patterns {
            for second in patterns {
                let filter = filter(&[first], &[second]);
                for path in paths.iter().filter(|path| filter.matches(path)) {
                    for (at, _) in path.match_indices('/') {
                        assert!(filter.may_contain(&path[..at]), "+{first} -{second} {path}");
                    }
                }
                for (path, directory) in
                    paths.iter().flat_map(|path| paths.iter().map(move |directory| (path, directory)))
                {
                    if filter.covers(directory) && is_within(path.as_bytes(), directory.as_bytes()) {
                        assert!(filter.matches(path), "+{first} -{second} {directory} covers {path}");
                    }
                }
            }
        }
    }

    #[test]
    fn directories_are_pruned_and_covered() {
        let filter = filter(&["src/lib", "**/x/*.c"], &["src/lib/gen"]);
        assert!(filter.may_contain(""));
        assert!(filter.may_contain("other"));
        assert!(!filter.covers("src/lib"));
        assert!(filter.covers("src/lib/y"));
        let filter = self::filter(&["src/*/a"], &[]);
        assert!(filter.may_contain("src"));
        assert!(!filter.may_contain("docs"));
        assert!(!filter.may_contain("src/x/b"));
        assert!(filter.covers("src/x/a"));
    }

    #[test]
    fn bad_patterns_are_named() {
        for bad in ["", "/a", "../a", "a/../b", "a[", "{a"] {
            assert!(PathFilter::new(&[bad.to_owned()], &[]).is_err(), "{bad}");
        }
    }
}
