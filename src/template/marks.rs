//! Marks in template text that survive rendering and say where a line came from.
//!
//! A mark is put behind the first literal character of each template line that has one, so that it does not disturb
//! whitespace control. It is made of private-use characters, which configs have no use for; should one contain them, or a
//! filter look at marked text, the marked rendering differs from the plain one and is thrown away (see
//! [`super::origin`]).

use std::fmt::Write as _;

const START: char = '\u{F1A60}';
const BETWEEN: char = '\u{F1A61}';
const END: char = '\u{F1A62}';

/// The template with a mark in each of its lines; `file` is a number for the template.
pub(super) fn insert(template: &str, file: usize) -> String {
    let mut marked = String::with_capacity(template.len() * 2);
    let (mut line, mut fresh, mut rest) = (1, true, template);
    while let Some(letter) = rest.chars().next() {
        let tag = tag_length(rest);
        let (piece, after) = rest.split_at(tag.unwrap_or(letter.len_utf8()));
        marked.push_str(piece);
        rest = after;
        let breaks = piece.matches('\n').count();
        line += breaks;
        fresh |= breaks > 0;
        if tag.is_none() && fresh && !letter.is_whitespace() {
            write!(marked, "{START}{file}{BETWEEN}{line}{END}").expect("writing to a string does not fail");
            fresh = false;
        }
    }
    marked
}

/// The length of the tag that the text starts with; a raw block counts as one tag.
fn tag_length(text: &str) -> Option<usize> {
    let close = match text.get(..2)? {
        "{{" => "}}",
        "{%" => "%}",
        "{#" => return Some(text.find("#}").map_or(text.len(), |end| end + 2)),
        _ => return None,
    };
    let length = closing(text, close);
    let word = text.get(2..length).unwrap_or_default().trim_start_matches(['-', '+']).trim_start();
    if close == "%}" && word.starts_with("raw") {
        let end = text.find("endraw").map_or(text.len(), |end| end + closing(&text[end..], close));
        return Some(end.max(length));
    }
    Some(length)
}

/// Where the tag ends, strings inside it skipped.
fn closing(text: &str, close: &str) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (index, letter) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if letter == '\\' => escaped = true,
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            None if text[index..].starts_with(close) => return index + close.len(),
            _ => {}
        }
    }
    text.len()
}

/// Takes the marks out of a rendered text: the text, and for each of its lines the first (file, line) marked in it.
pub(super) fn strip(marked: &str) -> (String, Vec<Option<(usize, usize)>>) {
    let mut text = String::with_capacity(marked.len());
    let mut lines = vec![None];
    let mut rest = marked;
    while let Some(letter) = rest.chars().next() {
        if let Some((mark, length)) = parse(rest) {
            if let Some(line @ None) = lines.last_mut() {
                *line = Some(mark);
            }
            rest = &rest[length..];
            continue;
        }
        text.push(letter);
        if letter == '\n' {
            lines.push(None);
        }
        rest = &rest[letter.len_utf8()..];
    }
    (text, lines)
}

fn parse(text: &str) -> Option<((usize, usize), usize)> {
    let inner = text.strip_prefix(START)?;
    let (file, inner) = inner.split_once(BETWEEN)?;
    let (line, after) = inner.split_once(END)?;
    Some(((file.parse().ok()?, line.parse().ok()?), text.len() - after.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_out_as_they_went_in() {
        let template = "a: 1\n\n  {{ x }}: b\n{% raw %}\nq{{\n{% endraw %}\n{# c\n #}\nz{{ '}}' }}\n{{ y }}\n";
        let (text, lines) = strip(&insert(template, 3));
        assert_eq!(text, template);
        let marked: Vec<_> =
            lines.iter().enumerate().filter_map(|(at, line)| line.map(|line| (at + 1, line))).collect();
        assert_eq!(marked, [(1, (3, 1)), (3, (3, 3)), (9, (3, 9))]);
    }
}
