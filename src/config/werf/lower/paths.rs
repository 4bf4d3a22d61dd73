//! Paths as werf takes them: cleaned first, checked then.

use super::context::{Context, values};
use crate::config::read::At;
use crate::config::werf::code;

/// The shortest path that means the same: no `.`, no `//`, `..` resolved, no slash at the end; what is empty is `.`.
pub(in crate::config) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if segments.last().is_some_and(|last| *last != "..") => {
                segments.pop();
            }
            ".." if absolute => {}
            segment => segments.push(segment),
        }
    }
    match (absolute, segments.is_empty()) {
        (true, _) => format!("/{}", segments.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => segments.join("/"),
    }
}

/// Whether a path stays below where it starts.
pub(in crate::config) fn is_relative(path: &str) -> bool {
    let clean = clean(path);
    !path.starts_with('/') && clean != ".." && !clean.starts_with("../")
}

/// An absolute path, cleaned.
pub(in crate::config) fn absolute(context: &mut Context<'_>, key: &str, field: &At<String>) -> Option<String> {
    if !field.value.starts_with('/') {
        let message = format!("{} must be an absolute path", context.key(key));
        let problem = context.error(field.mark, code::PATH, message);
        problem.label = Some(format!("is {:?}", shortened(&field.value)));
        problem.help = Some("start it with `/`".to_owned());
        return None;
    }
    plain(context, key, field).map(|path| clean(&path))
}

/// A path that a file system can hold.
pub(in crate::config) fn plain(context: &mut Context<'_>, key: &str, field: &At<String>) -> Option<String> {
    let reason = match &field.value {
        path if path.chars().any(char::is_control) => "must not contain control characters",
        path if path.len() > 4095 => "must be shorter than 4096 bytes",
        path => return Some(path.clone()),
    };
    let message = format!("{} {reason}", context.key(key));
    context.error(field.mark, code::PATH, message);
    None
}

/// Patterns that stay below the directory they belong to, cleaned.
pub(in crate::config) fn relative_patterns(context: &mut Context<'_>, key: &str, items: &[At<String>]) -> Vec<String> {
    let outside: Vec<&At<String>> = items.iter().filter(|item| !is_relative(&item.value)).collect();
    for item in outside {
        let message = format!("{} takes paths relative to `add` that stay inside it", context.key(key));
        let problem = context.error(item.mark, code::PATH, message);
        problem.label = Some(format!("is {:?}", shortened(&item.value)));
        problem.help = Some("write it relative to `add`, without a leading `/` or `..`".to_owned());
    }
    values(items).iter().map(|path| clean(path)).collect()
}

/// A value as messages show it.
pub(in crate::config) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in [
            ("/", "/"),
            ("//a/./b/", "/a/b"),
            ("/../x", "/x"),
            ("/app/../x", "/x"),
            ("", "."),
            ("a/..", "."),
            ("a/../../b", "../b"),
            ("./a//b", "a/b"),
            ("../..", "../.."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
        for (path, expected) in [
            ("a", true),
            ("..x", true),
            ("a/../b", true),
            ("a/../../b", false),
            ("..", false),
            ("/a", false),
            ("", true),
        ] {
            assert_eq!(is_relative(path), expected, "{path}");
        }
    }
}
