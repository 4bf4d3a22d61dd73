//! Where the parts of a rendered text came from.

use std::collections::BTreeMap;

use super::super::gotemplate::{Span, Str};
use super::Sources;
use crate::source::{Place, SourceFile};

/// Where a place of a rendered text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoOrigin {
    /// The same letters of a template, and the line that included it.
    Exact {
        /// Where they are.
        place: Place,
        /// The line of the config that led there.
        caller: Option<Place>,
    },
    /// An action of a template; the place is its line.
    Action(Place),
}

/// The origins of a rendered text.
#[derive(Debug, Default)]
pub struct GoOrigins {
    parts: Vec<Part>,
    sources: Vec<SourceFile>,
}

#[derive(Debug)]
struct Part {
    start: usize,
    source: Option<usize>,
    line: usize,
    column: usize,
    verbatim: bool,
    /// The source and line of the action that brought it through other templates.
    caller: Option<(usize, usize)>,
}

impl GoOrigins {
    pub(super) fn new(sources: &Sources<'_>, spans: &[Span]) -> Self {
        let mut known: BTreeMap<Str, Option<usize>> = BTreeMap::new();
        let mut found = Vec::new();
        let mut index_of = |template: &Str| {
            if let Some(index) = known.get(template) {
                return *index;
            }
            let source = sources.find(&String::from_utf8_lossy(template));
            let index = source.map(|source| {
                found.push(source.clone());
                found.len() - 1
            });
            known.insert(template.clone(), index);
            index
        };
        let mut part = |span: &Span| Part {
            start: span.start,
            source: index_of(&span.template),
            line: span.line,
            column: span.column,
            verbatim: span.verbatim,
            caller: span.caller.as_ref().and_then(|(template, line)| Some((index_of(template)?, *line))),
        };
        Self { parts: spans.iter().map(&mut part).collect(), sources: found }
    }

    /// Where a place of the rendered text came from; `None` when it is no place of it, or came from a text of `tpl`.
    pub fn of(&self, rendered: &str, place: &Place) -> Option<GoOrigin> {
        let line_start = start_of_line(rendered, place.line)?;
        let line = rendered.get(line_start..)?.split('\n').next()?;
        let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte);
        let start = line_start + byte(place.column.checked_sub(1)?);
        let end = line_start + byte((place.column - 1).saturating_add(place.len));
        let index = self.index_at(start)?;
        let part = self.parts.get(index)?;
        let next = self.parts.get(index + 1).map_or(usize::MAX, |next| next.start);
        // A point has no letters to compare, and what is wrong there may be anything of its line or of the one before.
        let before = || start_of_line(rendered, place.line - 1).unwrap_or(line_start);
        let (from, to) = if start == end { (before(), line_start + line.len()) } else { (start, end) };
        if !part.verbatim || to > next || from < part.start {
            let brought = self.action_within(from, to).unwrap_or(part);
            return self.line_of(brought.source, brought.line).or_else(|| self.call_of(brought)).map(GoOrigin::Action);
        }
        let Some(source) = part.source.and_then(|source| self.sources.get(source)) else {
            return self.call_of(part).map(GoOrigin::Action);
        };
        let before = rendered.get(part.start..start)?;
        let column = if let Some((_, rest)) = before.rsplit_once('\n') {
            rest.chars().count() + 1
        } else {
            let text = source.text.split('\n').nth(part.line - 1)?;
            text.get(..part.column)?.chars().count() + before.chars().count() + 1
        };
        let line = part.line + before.matches('\n').count();
        let place = Place { file: source.name.clone(), line, column, len: place.len };
        Some(GoOrigin::Exact { place, caller: self.call_of(part) })
    }

    fn line_of(&self, source: Option<usize>, line: usize) -> Option<Place> {
        whole_line(self.sources.get(source?)?, line)
    }

    fn call_of(&self, part: &Part) -> Option<Place> {
        let (source, line) = part.caller?;
        self.line_of(Some(source), line)
    }

    fn index_at(&self, offset: usize) -> Option<usize> {
        self.parts.partition_point(|part| part.start <= offset).checked_sub(1)
    }

    /// The first action that wrote something of a range.
    fn action_within(&self, from: usize, to: usize) -> Option<&Part> {
        let parts = self.parts.get(self.index_at(from)?..)?;
        parts.iter().take_while(|part| part.start < to.max(from + 1)).find(|part| !part.verbatim)
    }
}

fn start_of_line(text: &str, line: usize) -> Option<usize> {
    match line {
        0 => None,
        1 => Some(0),
        _ => memchr::memchr_iter(b'\n', text.as_bytes()).nth(line - 2).map(|end| end + 1),
    }
}

/// The text of a line without the white space around it.
pub(super) fn whole_line(source: &SourceFile, line: usize) -> Option<Place> {
    let text = source.text.split('\n').nth(line.checked_sub(1)?)?.trim_end();
    let indent = text.chars().take_while(|letter| letter.is_whitespace()).count();
    Some(Place { file: source.name.clone(), line, column: indent + 1, len: text.trim().chars().count() })
}
