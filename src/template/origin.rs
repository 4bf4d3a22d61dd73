//! Which template line a rendered line came from.

use std::collections::BTreeMap;

use super::jinja::{TemplateRequest, has_tags, run};
use super::marks;
use crate::source::SourceFile;

/// A line of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The template's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// Whether the rendered line is that line, letter by letter.
    pub verbatim: bool,
}

/// The origins of a rendered text's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    lines: Vec<Option<Origin>>,
}

impl Origins {
    /// The origin of a rendered line (counted from 1); `None` when it cannot be told, as for a line that an expression
    /// brought.
    pub fn of(&self, line: usize) -> Option<&Origin> {
        self.lines.get(line.checked_sub(1)?)?.as_ref()
    }
}

/// The origins of the lines of `rendered`, which [`super::render`] made of this request.
pub fn origins(request: &TemplateRequest<'_>, rendered: &str) -> Origins {
    if !has_tags(&request.source.text) {
        return by_number(request.source, rendered);
    }
    by_marks(request, rendered).unwrap_or_else(|| by_equality(request.source, rendered))
}

fn by_number(source: &SourceFile, rendered: &str) -> Origins {
    let origin = |line| Some(Origin { file: source.name.clone(), line, verbatim: true });
    Origins { lines: (1..=rendered.split('\n').count()).map(origin).collect() }
}

fn by_marks(request: &TemplateRequest<'_>, rendered: &str) -> Option<Origins> {
    let marked = run(request, true).ok()?;
    let (text, marks) = marks::strip(&marked.text);
    if text != rendered {
        return None;
    }
    let sources: Vec<(&str, Vec<&str>)> = std::iter::once(request.source)
        .chain(&marked.included)
        .map(|source| (source.name.as_str(), source.text.split('\n').collect()))
        .collect();
    let origin = |((file, line), text): ((usize, usize), &str)| {
        let (name, lines) = sources.get(file)?;
        Some(Origin { file: (*name).to_owned(), line, verbatim: lines.get(line - 1) == Some(&text) })
    };
    Some(Origins { lines: marks.into_iter().zip(text.split('\n')).map(|(mark, text)| origin((mark?, text))).collect() })
}

/// A line without tags that is there once in the template and once in the rendered text came from there.
fn by_equality(source: &SourceFile, rendered: &str) -> Origins {
    let mut counted: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for (index, line) in source.text.split('\n').enumerate() {
        let entry = counted.entry(line).or_default();
        *entry = (index + 1, entry.1 + 1, 0);
    }
    for line in rendered.split('\n') {
        counted.entry(line).or_default().2 += 1;
    }
    let origin = |line: &str| match counted.get(line) {
        Some(&(line_number, 1, 1)) if !line.trim().is_empty() && !has_tags(line) => {
            Some(Origin { file: source.name.clone(), line: line_number, verbatim: true })
        }
        _ => None,
    };
    Origins { lines: rendered.split('\n').map(origin).collect() }
}
