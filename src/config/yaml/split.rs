//! A text cut at its document markers, so that each document is read on its own.

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
