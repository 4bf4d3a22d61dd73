//! A text cut at its document markers, so that each document is read on its own.

use super::code;
use super::tree::Mark;
use crate::source::Diagnostic;

/// A piece of the text that holds one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// The piece, its marker included.
    pub(super) text: &'a str,
    /// Lines before it.
    pub(super) lines_before: usize,
}

/// Cuts before each line that starts with `---` (YAML allows such a line nowhere else, not even in a block scalar); lines
/// before the first marker that hold nothing but comments and directives stay with the document they precede.
pub(super) fn documents(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut has_content, mut offset) = (0, 0, false, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line) {
            if has_content {
                chunks.push(Chunk { text: &text[start..offset], lines_before: start_line });
                (start, start_line) = (offset, index);
            }
            has_content = true;
        }
        has_content |= !is_preamble(line);
        offset += line.len();
    }
    chunks.push(Chunk { text: &text[start..], lines_before: start_line });
    chunks
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_preamble(line: &str) -> bool {
    let trimmed = line.trim();
    trimmed.is_empty() || trimmed.starts_with('#') || line.starts_with('%')
}

/// Cuts at lines of `---` that hold nothing else but blanks and a comment, and drops what has only comments. A lone
/// carriage return ends a line too. A marker with a value on its line is an error: the readers that this is the flavor of
/// would lose the rest of the document there.
pub(super) fn sections<'a>(file: &str, text: &'a str) -> (Vec<Chunk<'a>>, Vec<Diagnostic>) {
    let (mut chunks, mut problems) = (Vec::new(), Vec::new());
    let mut section = Chunk { text: "", lines_before: 0 };
    let (mut start, mut offset, mut has_content) = (0, 0, false);
    for (index, line) in lines(text).enumerate() {
        let (content, end) = (line.trim_end_matches(['\r', '\n']), offset + line.len());
        match content.strip_prefix("---").map(Marker::of) {
            Some(Marker::Separator) => {
                chunks.extend(has_content.then_some(Chunk { text: &text[start..offset], ..section }));
                (start, has_content, section.lines_before) = (end, false, index + 1);
            }
            Some(Marker::WithValue) => problems.push(value_beside_marker(file, index + 1, content)),
            _ => has_content |= !matches!(content.trim_start().chars().next(), None | Some('#')),
        }
        offset = end;
    }
    chunks.extend(has_content.then_some(Chunk { text: &text[start..], ..section }));
    (chunks, problems)
}

/// What follows `---` at the start of a line.
enum Marker {
    /// Blanks, and perhaps a comment.
    Separator,
    /// A blank and a value.
    WithValue,
    /// Something that makes it no marker at all.
    Text,
}

impl Marker {
    fn of(rest: &str) -> Self {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        match trimmed.chars().next() {
            None | Some('#') => Self::Separator,
            Some(_) if trimmed.len() < rest.len() => Self::WithValue,
            Some(_) => Self::Text,
        }
    }
}

fn value_beside_marker(file: &str, line: usize, content: &str) -> Diagnostic {
    let mark = Mark { line, column: 1, len: content.trim_end().chars().count() };
    Diagnostic::error("`---` stands beside a value on its line")
        .at(mark.place(file))
        .code(code::SYNTAX)
        .help("give `---` a line of its own: werf loses what follows such a line")
}

/// Lines with their ends: `\n`, `\r\n` or a lone `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}
