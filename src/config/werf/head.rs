//! `# stager-dialect: VALUE` in the head of a `werf.yaml`: which line of werf the file is written for.
//!
//! The head is what stands before the first line that is neither empty nor a comment, in the file as it is committed. A
//! template cannot write it, so what a commit means is there to be read.

use super::{Semantics, code};
use crate::config::dialect::Dialect;
use crate::source::{Diagnostic, Place, SourceFile};

/// What the comment begins with.
const KEY: &str = "stager-dialect:";

/// What the head says, and what is odd about comments further down.
#[derive(Debug, Default)]
pub(in crate::config) struct Head {
    pub(in crate::config) semantics: Semantics,
    pub(in crate::config) warnings: Vec<Diagnostic>,
}

/// Reads the head of a file.
pub(in crate::config) fn read(source: &SourceFile) -> Result<Head, Diagnostic> {
    let (mut head, mut said, mut in_head) = (Head::default(), None, true);
    for (index, line) in source.text.trim_start_matches('\u{feff}').lines().enumerate() {
        in_head &= line.trim().is_empty() || line.starts_with('#');
        let Some(value) = value(line) else { continue };
        let place =
            Place { file: source.name.clone(), line: index + 1, column: 1, len: line.trim_end().chars().count() };
        if !in_head {
            head.warnings.push(below(place));
            continue;
        }
        head.semantics = parse(value).ok_or_else(|| unknown(value, place.clone()))?;
        if let Some(first) = said.replace(place.clone()) {
            return Err(twice(place, first));
        }
    }
    Ok(head)
}

/// What a comment names as the dialect; `None` for any other line.
fn value(line: &str) -> Option<&str> {
    line.strip_prefix('#')?.trim().strip_prefix(KEY).map(str::trim)
}

fn parse(value: &str) -> Option<Semantics> {
    match value.parse() {
        Ok(Dialect::Werf(semantics)) => Some(semantics),
        _ => None,
    }
}

fn unknown(value: &str, place: Place) -> Diagnostic {
    let value: String = value.chars().take(80).collect();
    Diagnostic::error(format!("a `werf.yaml` cannot be of the dialect {value:?}"))
        .code(code::DIALECT)
        .at(place)
        .help(format!("write `# {KEY} werf` or `# {KEY} werf-v3`"))
}

fn twice(place: Place, first: Place) -> Diagnostic {
    Diagnostic::error("the dialect is named twice")
        .code(code::DIALECT)
        .at(place)
        .related(first, "first here")
        .help("leave one of the lines out")
}

fn below(place: Place) -> Diagnostic {
    Diagnostic::warning("the dialect is named too far down: this line says nothing")
        .at(place)
        .help("move it up, before the first line that is neither empty nor a comment")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        match read(&SourceFile { name: "werf.yaml".to_owned(), text: text.to_owned() }) {
            Ok(head) => format!("{:?}, {} odd", head.semantics, head.warnings.len()),
            Err(error) => format!("{}: {}", error.place.map_or(0, |place| place.line), error.message),
        }
    }

    #[test]
    fn the_head_says_which_line_of_werf() {
        for (text, expected) in [
            ("configVersion: 1\n", "V2, 0 odd"),
            ("# stager-dialect: werf-v3\nconfigVersion: 1\n", "V3, 0 odd"),
            ("\u{feff}#stager-dialect:werf-v3  \r\n", "V3, 0 odd"),
            ("# a\n\n  \n# stager-dialect: werf\n", "V2, 0 odd"),
            ("{{/* a */}}\n# stager-dialect: werf-v3\n", "V2, 1 odd"),
            ("---\n# stager-dialect: werf-v3\n", "V2, 1 odd"),
            ("# stager-dialect: werf-v3\n---\n# stager-dialect: werf-v4\n", "V3, 1 odd"),
            ("a: |\n  # stager-dialect: werf-v3\n", "V2, 0 odd"),
            ("# use stager-dialect: werf-v3\n", "V2, 0 odd"),
            ("# x\n# stager-dialect: werf-v4\n", "2: a `werf.yaml` cannot be of the dialect \"werf-v4\""),
            ("# stager-dialect: dapp\n", "1: a `werf.yaml` cannot be of the dialect \"dapp\""),
            ("# stager-dialect:\n", "1: a `werf.yaml` cannot be of the dialect \"\""),
            ("# stager-dialect: werf\n# stager-dialect: werf\n", "2: the dialect is named twice"),
        ] {
            assert_eq!(found(text), expected, "{text:?}");
        }
    }
}
