//! Which images a command is about.

use globset::{GlobBuilder, GlobMatcher};
use stages::ImageName;
use stages::plan::{Plan, PlannedImage};

use super::Error;
use crate::source::nearest;

/// Longest pattern, in characters.
const MAX_PATTERN: usize = 100;

/// Patterns of the command line: a name, a glob (`*` and `?` stay within a segment), or `!glob` to leave some out.
#[derive(Debug)]
pub struct Selection<'p> {
    include: Vec<Pattern<'p>>,
    exclude: Vec<Pattern<'p>>,
}

#[derive(Debug)]
struct Pattern<'p> {
    text: &'p str,
    glob: GlobMatcher,
}

impl<'p> Selection<'p> {
    /// Reads patterns.
    ///
    /// # Errors
    /// When one is malformed, too long, or holds what a shell would take: `&`, `|`, `$`.
    pub fn parse(patterns: &'p [String]) -> Result<Self, Error> {
        let mut selection = Self { include: Vec::new(), exclude: Vec::new() };
        for pattern in patterns {
            match pattern.strip_prefix('!') {
                Some(pattern) => selection.exclude.push(Pattern::parse(pattern)?),
                None => selection.include.push(Pattern::parse(pattern)?),
            }
        }
        Ok(selection)
    }

    /// Whether it names images, and does not only leave some out.
    pub fn names_some(&self) -> bool {
        !self.include.is_empty()
    }

    /// Whether it takes an image; `unnamed` says whether it takes it when it names none. Its very name beats an exclusion.
    fn takes(&self, name: &str, unnamed: bool) -> bool {
        let included = if self.names_some() { self.include.iter().any(|one| one.matches(name)) } else { unnamed };
        let excluded = || self.exclude.iter().any(|one| one.matches(name));
        included && (self.include.iter().any(|one| one.is(name)) || !excluded())
    }

    /// The items that it takes.
    ///
    /// # Errors
    /// When one of its patterns names nothing.
    pub fn of<'a, T>(
        &self,
        items: &'a [T],
        name_of: impl Fn(&T) -> &ImageName,
        unnamed: impl Fn(&T) -> bool,
    ) -> Result<Vec<&'a T>, Error> {
        for pattern in &self.include {
            if !items.iter().any(|item| pattern.matches(name_of(item).as_str())) {
                return Err(no_such_image(pattern.text, items.iter().map(|item| name_of(item).as_str())));
            }
        }
        Ok(items.iter().filter(|item| self.takes(name_of(item).as_str(), unnamed(item))).collect())
    }
}

impl<'p> Pattern<'p> {
    fn parse(text: &'p str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Pattern { pattern: text.to_owned(), reason: reason.to_owned() };
        if text.chars().count() > MAX_PATTERN {
            return Err(bad(&format!("it is longer than {MAX_PATTERN} characters")));
        }
        if text.contains("**") {
            return Err(bad("`**` is not known here; `*` stands for what is between two `/`"));
        }
        if let Some(special) = text.chars().find(|letter| "&|$".contains(*letter)) {
            return Err(bad(&format!("`{special}` cannot be part of it")));
        }
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| bad(&error.kind().to_string()))?.compile_matcher();
        Ok(Self { text, glob })
    }

    fn is(&self, name: &str) -> bool {
        name == self.text || (self.text == "~" && name.is_empty())
    }

    fn matches(&self, name: &str) -> bool {
        self.is(name) || (!name.is_empty() && self.glob.is_match(name))
    }
}

fn no_such_image<'a>(pattern: &str, names: impl Iterator<Item = &'a str> + Clone) -> Error {
    let nearest = nearest(pattern, names.clone()).map(ToString::to_string);
    Error::NoSuchImage { names: names.take(10).map(str::to_owned).collect(), pattern: pattern.to_owned(), nearest }
}

/// The images that the patterns name. Without a pattern that names some, all images; artifacts only when they are named.
///
/// # Errors
/// When a pattern is malformed, or names nothing.
pub fn select<'a>(plan: &'a Plan, patterns: &[String]) -> Result<Vec<&'a PlannedImage>, Error> {
    let chosen = Selection::parse(patterns)?.of(&plan.images, |image| &image.name, |image| !image.artifact)?;
    if chosen.is_empty() {
        return Err(Error::NothingChosen { patterns: patterns.to_vec() });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(patterns: &[&str]) -> Result<String, String> {
        let names = ["web", "web/api", "worker", "base"].map(|name| name.parse::<ImageName>().expect("a name"));
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let selection = Selection::parse(&patterns).map_err(|error| error.to_string())?;
        let found = selection.of(&names, |name| name, |name| name.as_str() != "base");
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn patterns_name_and_leave_out() {
        for (patterns, expected) in [
            (&[][..], "web web/api worker"),
            (&["w*"], "web worker"),
            (&["web/?pi", "base"], "web/api base"),
            (&["!w*"], "web/api"),
            (&["[wb]*", "!web"], "worker base"),
            (&["web", "worker", "!w*"], "web worker"),
            (&["!nothing"], "web web/api worker"),
        ] {
            assert_eq!(chosen(patterns).as_deref(), Ok(expected), "{patterns:?}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        let long = "a".repeat(101);
        for (pattern, expected) in [
            ("zz*", "no image `zz*`"),
            ("", "no image ``"),
            ("**", "`**` is not known"),
            ("a|b", "`|` cannot"),
            ("!a$", "`$` cannot"),
            ("[a", "is not a pattern"),
            ("web\\", "is not a pattern"),
            (long.as_str(), "longer than 100"),
        ] {
            let error = chosen(&[pattern]).expect_err(pattern);
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }
}
