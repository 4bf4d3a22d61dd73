//! Diagnostics as text for people: the message, the lines it is about, notes and the remedy.

use std::collections::BTreeMap;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::source::{Diagnostic, Place, Severity, SourceFile};

/// Lines shown before and after a place.
const CONTEXT: usize = 1;

/// Renders diagnostics one after the other, a blank line between them; ends in a line feed. `colours` adds ANSI escapes.
pub fn render(diagnostics: &[Diagnostic], sources: &[SourceFile], colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(160);
    let files = Files { sources: sources.iter().map(|source| (source.name.as_str(), source)).collect() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(renderer.render(&[group(diagnostic, &files)]).trim_end());
        text.push('\n');
    }
    text
}

struct Files<'a> {
    sources: BTreeMap<&'a str, &'a SourceFile>,
}

fn group<'a>(diagnostic: &'a Diagnostic, files: &Files<'a>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut title = level.primary_title(diagnostic.message.as_str());
    if let Some(code) = &diagnostic.code {
        title = title.id(code.as_str());
    }
    let mut group = Group::with_title(title);
    for (file, places) in by_file(diagnostic) {
        match files.sources.get(file).and_then(|source| snippet(source, &places)) {
            Some(snippet) => group = group.element(snippet),
            None => {
                for (place, ..) in places {
                    group = group.element(Origin::path(file).line(place.line).char_column(place.column));
                }
            }
        }
    }
    let notes = diagnostic.notes.iter().map(|note| Level::NOTE.message(note.as_str()));
    let help = diagnostic.help.iter().map(|help| Level::HELP.message(help.as_str()));
    group.elements(notes).elements(help)
}

type Labelled<'a> = (&'a Place, AnnotationKind, Option<&'a str>);

/// The places of a diagnostic by file, that of the diagnostic itself first.
fn by_file(diagnostic: &Diagnostic) -> Vec<(&str, Vec<Labelled<'_>>)> {
    let main = diagnostic.place.iter().map(|place| (place, AnnotationKind::Primary, diagnostic.label.as_deref()));
    let related = diagnostic
        .related
        .iter()
        .map(|related| (&related.place, AnnotationKind::Context, Some(related.label.as_str())));
    let mut files: Vec<(&str, Vec<Labelled<'_>>)> = Vec::new();
    for labelled in main.chain(related) {
        let file = labelled.0.file.as_str();
        match files.iter_mut().find(|(known, _)| *known == file) {
            Some((_, places)) => places.push(labelled),
            None => files.push((file, vec![labelled])),
        }
    }
    files
}

/// The lines around places of one file; `None` when a place is not in the text.
fn snippet<'a>(source: &'a SourceFile, places: &[Labelled<'a>]) -> Option<Snippet<'a, Annotation<'a>>> {
    let first = places.iter().map(|(place, ..)| place.line).min()?.saturating_sub(CONTEXT).max(1);
    let last = places.iter().map(|(place, ..)| place.line).max()? + CONTEXT;
    let window = window(&source.text, first, last)?;
    let mut snippet = Snippet::source(window).line_start(first).path(source.name.as_str()).fold(true);
    for (place, kind, label) in places {
        let annotation = kind.span(span(window, place.line - first, place)?).label(*label);
        snippet = snippet.annotation(annotation);
    }
    Some(snippet)
}

/// The lines from `first` to `last`, as far as they are there.
fn window(text: &str, first: usize, last: usize) -> Option<&str> {
    let start = text.split_inclusive('\n').take(first - 1).map(str::len).sum::<usize>();
    let length = text.get(start..)?.split_inclusive('\n').take(last + 1 - first).map(str::len).sum::<usize>();
    if length == 0 {
        return None;
    }
    text.get(start..start + length).map(|window| window.strip_suffix('\n').unwrap_or(window))
}

/// The bytes of a place within a window, in the line of that index; a place past the end is moved there.
fn span(window: &str, line: usize, place: &Place) -> Option<Range<usize>> {
    let start = window.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let text = window.get(start..)?.split('\n').next()?.trim_end_matches('\r');
    let byte = |column: usize| text.char_indices().nth(column).map_or(text.len(), |(byte, _)| byte);
    let from = byte(place.column.saturating_sub(1));
    let to = byte((place.column - 1).saturating_add(place.len)).max(from);
    Some(start + from..start + to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize, len: usize) -> Place {
        Place { file: "stager.yaml".to_owned(), line, column, len }
    }

    #[test]
    fn messages_show_lines_labels_notes_and_help() {
        let text = "stager: 1\nproject: shop\n---\nimage: жук\nfrmo: a\n---\nimage: жук\n";
        let sources = [SourceFile { name: "stager.yaml".to_owned(), text: text.to_owned() }];
        let diagnostics = [
            Diagnostic::error("unknown key `frmo`")
                .at(place(5, 1, 4))
                .code("unknown-field")
                .help("did you mean `from`?"),
            Diagnostic::error("the name `жук` is there twice")
                .at(place(7, 8, 3))
                .label("again here")
                .related(place(4, 8, 3), "first here")
                .note("names are shared"),
            Diagnostic::warning("somewhere else").at(Place { file: "x".to_owned(), ..place(3, 2, 1) }),
            Diagnostic::error("nowhere"),
            Diagnostic::error("past the end").at(place(99, 5, 3)),
            Diagnostic::error("past the line").at(place(1, 50, 3)),
        ];
        insta::assert_snapshot!(render(&diagnostics, &sources, false), @r##"
error[unknown-field]: unknown key `frmo`
 --> stager.yaml:5:1
  |
5 | frmo: a
  | ^^^^
  |
  = help: did you mean `from`?

error: the name `жук` is there twice
 --> stager.yaml:7:8
  |
4 | image: жук
  |        --- first here
...
7 | image: жук
  |        ^^^ again here
  |
  = note: names are shared

warning: somewhere else
--> x:3:2

error: nowhere

error: past the end
--> stager.yaml:99:5

error: past the line
 --> stager.yaml:1:10
  |
1 | stager: 1
  |          ^
"##);
        assert!(render(&diagnostics, &sources, true).contains("\u{1b}["));
    }
}
