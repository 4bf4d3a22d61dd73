//! minijinja's errors as diagnostics.

use std::error::Error as _;

use minijinja::{Error, ErrorKind};

use super::jinja::{LIBRARY, TemplateRequest, library_path};
use crate::source::{Diagnostic, Place, ReadError, SourceFile, nearest};

/// What a rendering failed of, at its innermost place; the includes that led there are related places.
pub(super) fn diagnostic(error: &Error, request: &TemplateRequest<'_>, included: &[SourceFile]) -> Diagnostic {
    let chain = template_errors(error);
    let (inner, outer) = chain.split_last().map_or((error, &[][..]), |(inner, outer)| (*inner, outer));
    let sources = || std::iter::once(request.source).chain(included);
    let place = |error: &Error| {
        let source = sources().find(|source| Some(source.name.as_str()) == error.name())?;
        place_in(source, error)
    };
    let mut diagnostic = Diagnostic::error(format!("cannot render the template: {}", reason(inner)));
    diagnostic.place = place(inner).or_else(|| outer.iter().rev().find_map(|error| place(error)));
    for step in outer.iter().rev() {
        let related = place(step).filter(|place| Some(place) != diagnostic.place.as_ref());
        if let Some(place) = related {
            diagnostic = diagnostic.related(place, "reached from here");
        }
    }
    match read_error(inner) {
        Some(read) => from_reader(diagnostic, read),
        None => with_help(diagnostic, inner, request),
    }
}

/// The template errors of a chain of causes, outermost first.
fn template_errors(error: &Error) -> Vec<&Error> {
    let mut chain = vec![error];
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<Error>() {
            chain.push(cause);
        }
        next = cause.source();
    }
    chain
}

fn read_error(error: &Error) -> Option<&ReadError> {
    error.source()?.downcast_ref()
}

fn from_reader(mut diagnostic: Diagnostic, read: &ReadError) -> Diagnostic {
    let told = Diagnostic::of_read(read);
    (diagnostic.message, diagnostic.code, diagnostic.help) = (told.message, told.code, told.help);
    diagnostic
}

fn reason(error: &Error) -> String {
    let cause = error.source().filter(|cause| !cause.is::<Error>()).map(ToString::to_string);
    let fact = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does too much work (is there a loop without an end?)".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match cause {
        Some(cause) if !fact.contains(&cause) => format!("{fact}: {cause}"),
        _ => fact,
    }
}

/// Where a template error is: its range, cut to the first line; or the whole line.
fn place_in(source: &SourceFile, error: &Error) -> Option<Place> {
    let line = error.line()?;
    let text = source.text.split('\n').nth(line - 1)?.trim_end_matches('\r');
    let whole = || {
        let indent = text.chars().take_while(|letter| letter.is_whitespace()).count();
        (indent + 1, text.trim().chars().count())
    };
    let ranged = || {
        let range = error.range()?;
        let line_start = source.text.get(..range.start)?.rfind('\n').map_or(0, |at| at + 1);
        let on_line = source.text.get(..line_start)?.matches('\n').count() + 1 == line;
        let column = source.text.get(line_start..range.start)?.chars().count() + 1;
        let found = source.text.get(range)?.split('\n').next()?.trim_end();
        (on_line && !found.is_empty()).then(|| (column, found.chars().count()))
    };
    let (column, len) = ranged().unwrap_or_else(whole);
    Some(Place { file: source.name.clone(), line, column, len })
}

fn with_help(diagnostic: Diagnostic, error: &Error, request: &TemplateRequest<'_>) -> Diagnostic {
    let text = expression(&diagnostic, error, request);
    let help = match error.kind() {
        ErrorKind::UndefinedError if text.contains("project") && request.project.is_none() => {
            Some("`project` is read from the first document before rendering: write it there as plain text".to_owned())
        }
        ErrorKind::UndefinedError => Some(undefined(error)),
        ErrorKind::InvalidOperation if text.contains("git.branch") => Some(
            "git.branch is none here, as no branch is checked out; git.branch | default(\"…\") stands in".to_owned(),
        ),
        ErrorKind::InvalidOperation if text.contains("git.tag") => {
            Some("git.tag is none here, as the commit has no tag; git.tag | default(\"…\") stands in".to_owned())
        }
        ErrorKind::SyntaxError if !text.is_empty() => {
            Some("what is no template goes between {% raw %} and {% endraw %}".to_owned())
        }
        ErrorKind::TemplateNotFound => Some(missing_template(error, request)),
        ErrorKind::UnknownFilter => similar(error, FILTERS),
        ErrorKind::UnknownFunction => similar(error, &["env", "range", "dict", "namespace"]),
        _ => None,
    };
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

const NAMES: &[&str] = &["env", "files", "git", "git.branch", "git.commit", "git.tag", "project"];

fn undefined(error: &Error) -> String {
    let name = error.detail().and_then(|detail| detail.split('`').nth(1)).unwrap_or_default();
    match nearest(name, NAMES.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "a template sees env(), files, git and project, and what it sets itself".to_owned(),
    }
}

const FILTERS: &[&str] = &[
    "slug", "quote", "default", "tojson", "indent", "lower", "upper", "title", "replace", "join", "split", "trim",
    "list", "sort", "unique", "first", "last", "length", "map", "select", "reject", "items", "string", "int", "float",
    "bool",
];

/// The piece of template that failed.
fn expression(diagnostic: &Diagnostic, error: &Error, request: &TemplateRequest<'_>) -> String {
    let place = diagnostic.place.as_ref().filter(|place| place.file == request.source.name);
    let line = place.and_then(|place| request.source.text.split('\n').nth(place.line - 1));
    line.or_else(|| error.detail()).unwrap_or_default().to_owned()
}

fn similar(error: &Error, candidates: &[&str]) -> Option<String> {
    let words = error.detail()?.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let known = words.filter(|word| word.len() > 1).find_map(|word| nearest(word, candidates.iter().copied()));
    known.map(|known| format!("did you mean `{known}`?"))
}

fn missing_template(error: &Error, request: &TemplateRequest<'_>) -> String {
    let there = request.files.glob(&format!("{LIBRARY}**")).unwrap_or_default();
    let wanted = error.detail().unwrap_or_default().split(['"', '\'']).nth(1).unwrap_or_default();
    let wanted = library_path(wanted);
    match nearest(&wanted, there.iter().map(String::as_str)) {
        Some(path) => format!("did you mean `{path}`?"),
        None => format!("included templates are files under `{LIBRARY}`"),
    }
}
