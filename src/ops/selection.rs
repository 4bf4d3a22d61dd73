//! Which images a command is about.

use globset::GlobBuilder;
use stages::ImageName;
use stages::plan::{Plan, PlannedImage};

use super::Error;
use crate::source::nearest;

/// The images that the patterns name: a name, a glob, or `!glob` to leave some out. Without a pattern that names some, all
/// images; artifacts only when they are named.
///
/// # Errors
/// When a pattern is malformed, or names nothing.
pub fn select<'a>(plan: &'a Plan, patterns: &[String]) -> Result<Vec<&'a PlannedImage>, Error> {
    let matcher = |pattern: &str| {
        GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map(|glob| glob.compile_matcher())
            .map_err(|error| Error::Pattern { pattern: pattern.to_owned(), reason: error.kind().to_string() })
    };
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) => exclude.push(matcher(pattern)?),
            None => include.push((pattern.as_str(), matcher(pattern)?)),
        }
    }
    let matches = |pattern: &str, glob: &globset::GlobMatcher, name: &ImageName| {
        name.as_str() == pattern || glob.is_match(name.as_str()) || (pattern == "~" && name.as_str().is_empty())
    };
    for (pattern, glob) in &include {
        if !plan.images.iter().any(|image| matches(pattern, glob, &image.name)) {
            let names: Vec<&str> = plan.images.iter().map(|image| image.name.as_str()).collect();
            let nearest = nearest(pattern, names.iter().copied()).map(ToString::to_string);
            let names = names.iter().take(10).map(|name| (*name).to_owned()).collect();
            return Err(Error::NoSuchImage { names, pattern: (*pattern).to_owned(), nearest });
        }
    }
    let chosen: Vec<&PlannedImage> = plan
        .images
        .iter()
        .filter(|image| {
            if include.is_empty() {
                return !image.artifact;
            }
            include.iter().any(|(pattern, glob)| matches(pattern, glob, &image.name))
        })
        .filter(|image| !exclude.iter().any(|glob| glob.is_match(image.name.as_str())))
        .collect();
    if chosen.is_empty() {
        return Err(Error::NothingChosen { patterns: patterns.to_vec() });
    }
    Ok(chosen)
}
