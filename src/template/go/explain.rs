//! The errors of a template as diagnostics.

use super::super::gotemplate::{Fault, Phase, TemplateError};
use super::Sources;
use super::host::ReaderHost;
use super::origin::{GoOrigin, GoOrigins, whole_line};
use super::render::GoRequest;
use crate::source::{Diagnostic, Place, nearest};

/// How the error of an endless inclusion starts.
const ENDLESS: &str = "rendering template has a nested reference name: ";

/// What Go prints for a key that is not there.
const NO_VALUE: &str = "<no value>";

/// What is needed to explain an error.
pub(super) struct Explain<'a> {
    pub(super) request: &'a GoRequest<'a>,
    pub(super) sources: &'a Sources<'a>,
    pub(super) functions: &'a [&'a str],
    pub(super) host: &'a ReaderHost,
}

impl Explain<'_> {
    /// An error, at its innermost place; the calls that led there are related places.
    pub(super) fn diagnostic(&self, error: &TemplateError) -> Diagnostic {
        let chain: Vec<&TemplateError> = std::iter::once(error).chain(&error.causes).collect();
        let inner = error.innermost();
        let mut diagnostic = self.told(inner, chain.len() > 1);
        for step in chain.iter().rev() {
            let Some(place) = self.place(step) else {
                if step.line > 0 {
                    let note = format!("it is in line {} of a text that `tpl` was given", step.line);
                    diagnostic = diagnostic.note(note);
                }
                continue;
            };
            match &diagnostic.place {
                None => diagnostic.place = Some(place),
                Some(known) if *known == place => {}
                Some(_) if diagnostic.related.iter().any(|related| related.place == place) => {}
                Some(_) => diagnostic = diagnostic.related(place, "reached from here"),
            }
        }
        diagnostic
    }

    /// What an error says, its class and the remedy, without its place.
    fn told(&self, error: &TemplateError, nested: bool) -> Diagnostic {
        if let Some(read) = self.host.failed(&error.reason) {
            return Diagnostic::of_read(&read);
        }
        if let Some(name) = error.reason.strip_prefix(ENDLESS).and_then(|rest| rest.split(':').next()) {
            let message = format!("the template `{name}` includes itself, over and over");
            return Diagnostic::error(message).code("template-exec").help("let a condition end the recursion");
        }
        let reason = self.with_file_names(&error.reason);
        match &error.fault {
            Fault::Call(function) if function == "fail" => Diagnostic::error(reason).code("template-fail"),
            Fault::Call(function) if function == "required" => Diagnostic::error(reason).code("template-required"),
            Fault::Missing(name) => {
                let missing = Diagnostic::error(format!("there is no template `{name}`"));
                missing.code("template-missing").help(self.known_templates(name))
            }
            Fault::Call(function) => failed(format!("`{function}`: {reason}")).code("template-exec"),
            Fault::Other if error.phase == Phase::Parse => {
                let code = if nested { "template-exec" } else { "template-parse" };
                let diagnostic = failed(reason).code(code);
                match self.known_function(&error.reason) {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                }
            }
            Fault::Other => failed(reason).code("template-exec"),
        }
    }

    /// Errors of the syntax name the template; people know the file.
    fn with_file_names(&self, reason: &str) -> String {
        let name = self.request.dialect.config_name();
        reason.replace(&format!("{name}:"), &format!("{}:", self.request.source.name))
    }

    fn known_templates(&self, wanted: &str) -> String {
        let names = || self.request.library.iter().map(|template| template.name.as_str());
        let base = wanted.rsplit('/').next().unwrap_or(wanted);
        let same_file = names().find(|name| name.rsplit('/').next() == Some(base));
        match same_file.or_else(|| nearest(wanted, names())) {
            Some(name) => format!("did you mean `{name}`? files are named by their path below the templates directory"),
            None if self.request.library.is_empty() => {
                "`define` it, or commit a `*.tmpl` file to the templates directory".to_owned()
            }
            None => format!("the files are {}; other names need a `define`", listed(names())),
        }
    }

    fn known_function(&self, reason: &str) -> Option<String> {
        let name = reason.strip_prefix("function \"")?.split('"').next()?;
        let known = nearest(name, self.functions.iter().copied())?;
        Some(format!("did you mean `{known}`?"))
    }

    fn place(&self, error: &TemplateError) -> Option<Place> {
        let source = self.sources.find(&error.template)?;
        let whole = whole_line(source, error.line)?;
        let text = source.text.split('\n').nth(error.line - 1)?;
        let Some(column) = error.column else { return Some(unknown_function(error, text, &whole).unwrap_or(whole)) };
        let (before, rest) = (text.get(..column)?, text.get(column..)?);
        Some(Place { column: before.chars().count() + 1, len: length_of(&error.action, rest), ..whole })
    }

    /// An output that is no text.
    pub(super) fn not_text(&self, error: &std::string::FromUtf8Error) -> Diagnostic {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.split(|byte| *byte == b'\n').count();
        let message = format!("what `{}` renders to is not UTF-8 (line {line})", self.request.source.name);
        Diagnostic::error(message).code("template-exec").help("is a binary file read into it? `b64enc` makes it text")
    }

    /// Where a key that is not there was printed: Go writes `<no value>`, which is rarely what was meant.
    fn no_value(&self, text: &str, origins: &GoOrigins) -> Option<Diagnostic> {
        let count = text.matches(NO_VALUE).count();
        let before = text.get(..text.find(NO_VALUE)?)?;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let line = before.matches('\n').count() + 1;
        let at = Place { file: self.request.source.name.clone(), line, column, len: NO_VALUE.len() };
        let times = if count == 1 { String::new() } else { format!(" {count} times, first") };
        let mut warning =
            Diagnostic::warning(format!("the template prints `{NO_VALUE}`{times} in rendered line {line}"));
        warning.place = origins.of(text, &at).map(|origin| match origin {
            GoOrigin::Exact { place, .. } | GoOrigin::Action(place) => place,
        });
        Some(warning.help("a key that is not there; `required` makes it an error, `default` gives it a value"))
    }

    /// What is odd about a template that was rendered.
    pub(super) fn warnings(&self, text: &str, origins: &GoOrigins, impure: &[&str]) -> Vec<Diagnostic> {
        let mut warnings: Vec<Diagnostic> = self.no_value(text, origins).into_iter().collect();
        if !impure.is_empty() {
            let names: Vec<String> = impure.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("the config uses {}: each run renders another text", names.join(", "));
            warnings.push(Diagnostic::warning(message).help("stages whose inputs change with it are never reused"));
        }
        warnings
    }
}

/// The name of the function that an error of the syntax is about, where the line has it once.
fn unknown_function(error: &TemplateError, line: &str, whole: &Place) -> Option<Place> {
    let name = error.reason.strip_prefix("function \"")?.split('"').next()?;
    let mut found = line.match_indices(name);
    let (at, _) = found.next()?;
    let column = line.get(..at)?.chars().count() + 1;
    found.next().is_none().then(|| Place { column, len: name.chars().count(), ..whole.clone() })
}

/// How much of a line an action takes. An error of a field is placed at the last one of the chain, so that the line goes on
/// with an end of the action; one of another spelling than Go prints is taken up to the next blank.
fn length_of(action: &str, rest: &str) -> usize {
    let mut ends = action.char_indices().map(|(start, _)| &action[start..]);
    let word = || rest.split([' ', '}', '|', ')']).next().unwrap_or_default();
    ends.find(|end| rest.starts_with(end)).unwrap_or_else(word).chars().count()
}

fn failed(reason: String) -> Diagnostic {
    Diagnostic::error(format!("cannot render the template: {reason}"))
}

/// Up to ten names.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = if names.len() > 10 { ", …" } else { "" };
    format!("{}{more}", names.get(..10.min(names.len())).unwrap_or_default().join(", "))
}
