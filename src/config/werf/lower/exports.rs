//! What git mappings and imports have in common: where from, where to, which part, whose.

use stages::spec::Owner;

use super::context::{Context, owned, texts};
use super::paths;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::Texts;
use crate::config::werf::semantics::Verdict;
use crate::config::yaml::Mark;

/// Where files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Origin {
    Git,
    /// Another image, where a target that is not written is the source's own path.
    Import,
}

/// The keys that say it.
pub(in crate::config) struct Keys<'a> {
    pub(in crate::config) mark: Mark,
    pub(in crate::config) broken: &'a [&'static str],
    pub(in crate::config) add: Option<&'a At<String>>,
    pub(in crate::config) to: Option<&'a At<String>>,
    pub(in crate::config) origin: Origin,
    pub(in crate::config) include_paths: &'a Option<At<Texts>>,
    pub(in crate::config) exclude_paths: &'a Option<At<Texts>>,
    pub(in crate::config) owner: &'a Option<At<String>>,
    pub(in crate::config) group: &'a Option<At<String>>,
}

/// One placement of files.
#[derive(Debug, Clone)]
pub(in crate::config) struct Export {
    pub(in crate::config) origin: Origin,
    pub(in crate::config) mark: Mark,
    pub(in crate::config) add: String,
    pub(in crate::config) to: String,
    pub(in crate::config) include_paths: Vec<String>,
    pub(in crate::config) exclude_paths: Vec<String>,
    pub(in crate::config) owner: Owner,
}

pub(in crate::config) fn lower(context: &mut Context<'_>, keys: &Keys<'_>) -> Option<Export> {
    let add = path(context, "add", keys.add, keys);
    let to = match keys.to {
        None if keys.origin == Origin::Import && !keys.broken.contains(&"to") => add.clone(),
        to => path(context, "to", to, keys),
    };
    slash_after_to(context, keys);
    let include_paths = paths::relative_patterns(context, "includePaths", texts(keys.include_paths));
    let exclude_paths = paths::relative_patterns(context, "excludePaths", texts(keys.exclude_paths));
    let owner = Owner { user: owned(keys.owner), group: owned(keys.group) };
    Some(Export { origin: keys.origin, mark: keys.mark, add: add?, to: to?, include_paths, exclude_paths, owner })
}

/// A slash at the end of the target, which some take for "into this directory".
fn slash_after_to(context: &mut Context<'_>, keys: &Keys<'_>) {
    let has_slash = |field: &&At<String>| field.value.len() > 1 && field.value.ends_with('/');
    let means = "what `add` names is placed as this path, never inside it";
    if context.rules.slash_after_to == Verdict::Refused {
        let target =
            keys.to.map(|to| ("to", to)).or(keys.add.filter(|_| keys.origin == Origin::Import).map(|add| ("add", add)));
        let Some((key, written)) = target.filter(|(_, written)| has_slash(written)) else { return };
        let message = format!("{} must not end with a slash", context.key(key));
        let instead = paths::clean(&paths::shortened(&written.value));
        context.error(written.mark, code::PATH, message).help = Some(format!("write `{instead}`: {means}"));
    } else if let Some(written) = keys.to.filter(has_slash) {
        let message = format!("the slash at the end of {} means nothing", context.key("to"));
        context.warnings.add(written.mark, message, means);
    }
}

fn path(context: &mut Context<'_>, key: &'static str, field: Option<&At<String>>, keys: &Keys<'_>) -> Option<String> {
    match field {
        Some(field) => paths::absolute(context, key, field),
        None if keys.broken.contains(&key) => None,
        None => {
            let message = format!("missing key {}", context.key(key));
            context.error(keys.mark, code::PATH, message).help = Some(format!("add `{key}: /PATH`"));
            None
        }
    }
}

/// Keeps what one export places out of those that it lies inside of, and finds those that place the same. Imports may meet
/// where a line of werf lets them: the later one wins then.
pub(in crate::config) fn exclude_each_other(context: &mut Context<'_>, exports: &mut [&mut Export]) {
    for outer in 0..exports.len() {
        for inner in (0..exports.len()).filter(|inner| *inner != outer) {
            let imports = [&exports[outer], &exports[inner]].iter().all(|export| export.origin == Origin::Import);
            if imports && context.rules.meeting_imports == Verdict::Accepted {
                continue;
            }
            match left_out(exports[outer], exports[inner]) {
                Ok(mut paths) => exports[outer].exclude_paths.append(&mut paths),
                // Each pair is looked at from both sides; one report is enough.
                Err(Same) if outer < inner => conflict(context, exports[outer], exports[inner]),
                Err(Same) => {}
            }
        }
    }
}

/// Two exports that place the same path.
struct Same;

/// What the outer export has to leave out, because the inner one places it.
fn left_out(outer: &Export, inner: &Export) -> Result<Vec<String>, Same> {
    if !is_within(&inner.to, &outer.to) {
        return Ok(Vec::new());
    }
    let (included, excluded) = (placed(outer), below(&outer.to, &outer.exclude_paths));
    let mut paths = Vec::new();
    for path in placed(inner) {
        if included.contains(&path) {
            return Err(Same);
        }
        let touches = |known: &String| is_within(known, &path);
        if included.iter().any(touches) || excluded.iter().any(touches) {
            continue;
        }
        let relative = path.strip_prefix(&outer.to).unwrap_or(&path).trim_start_matches('/').to_owned();
        paths.push(relative);
    }
    Ok(paths)
}

/// The paths that an export places something at.
fn placed(export: &Export) -> Vec<String> {
    if export.include_paths.is_empty() { vec![export.to.clone()] } else { below(&export.to, &export.include_paths) }
}

fn below(to: &str, patterns: &[String]) -> Vec<String> {
    patterns.iter().map(|pattern| paths::clean(&format!("{to}/{pattern}"))).collect()
}

fn is_within(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory);
    directory == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn conflict(context: &mut Context<'_>, first: &Export, second: &Export) {
    let related = context.reader.place(first.mark);
    let message = format!("two of `git` and `import` place the same at `{}`", second.to);
    let problem = context.error(second.mark, code::CONFLICT, message);
    *problem = problem
        .clone()
        .related(related, "the other one")
        .help("place them at different paths, or give both `includePaths` that do not meet");
}

/// A pattern of a git mapping: what stands for everything below a directory is left off, as the directory itself matches
/// that too.
pub(in crate::config) fn git_pattern(pattern: &str) -> String {
    let mut rest = pattern;
    while let Some(shorter) = ["/**/*", "/**", "/*", "/"].iter().find_map(|end| rest.strip_suffix(end)) {
        rest = shorter;
    }
    match rest {
        "" | "." | "*" | "**" => "**".to_owned(),
        rest => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(to: &str, include_paths: &[&str]) -> Export {
        Export {
            origin: Origin::Git,
            mark: Mark::default(),
            add: "/".to_owned(),
            to: to.to_owned(),
            include_paths: include_paths.iter().map(|&path| path.to_owned()).collect(),
            exclude_paths: Vec::new(),
            owner: Owner::default(),
        }
    }

    #[test]
    fn what_lies_inside_is_left_out() {
        type Part<'a> = (&'a str, &'a [&'a str]);
        let cases: [(Part<'_>, Part<'_>, Option<&[&str]>); 9] = [
            (("/app", &[]), ("/app/lib", &[]), Some(&["lib"])),
            (("/app", &[]), ("/app2", &[]), Some(&[])),
            (("/app/lib", &[]), ("/app", &[]), Some(&[])),
            (("/", &[]), ("/app", &[]), Some(&["app"])),
            (("/", &[]), ("/", &[]), None),
            (("/app", &[]), ("/app", &[]), None),
            (("/app", &["a"]), ("/app", &["b"]), Some(&["b"])),
            (("/app", &["a"]), ("/app", &["a"]), None),
            (("/app", &["lib/x"]), ("/app/lib", &[]), Some(&[])),
        ];
        for (outer, inner, expected) in cases {
            let found = left_out(&export(outer.0, outer.1), &export(inner.0, inner.1)).ok();
            assert_eq!(
                found,
                expected.map(|paths| paths.iter().map(|&path| path.to_owned()).collect()),
                "{outer:?} {inner:?}"
            );
        }
    }

    #[test]
    fn ends_that_mean_everything_below_are_left_off() {
        for (pattern, expected) in [
            ("dir", "dir"),
            ("dir/", "dir"),
            ("dir/*", "dir"),
            ("dir/**", "dir"),
            ("dir/**/*", "dir"),
            ("*", "**"),
            ("**/*", "**"),
            ("**/*.js", "**/*.js"),
            (".", "**"),
        ] {
            assert_eq!(git_pattern(pattern), expected, "{pattern}");
        }
    }
}
