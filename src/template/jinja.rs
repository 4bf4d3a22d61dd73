//! The minijinja environment.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, context, value::Value};

use super::{explain, filters, marks, values};
use crate::source::{Diagnostic, FileReader, ReadErrorKind, SourceFile};

/// Instructions one rendering may run: two hundred times what a config of a thousand images needs.
const FUEL: u64 = 100_000_000;
/// Bytes one rendering may write.
const MAX_OUTPUT: usize = 64 << 20;
/// Where templates that others include live.
pub(super) const LIBRARY: &str = ".stager/";

/// What a template may know of the commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitValues {
    /// The commit id.
    pub commit: Option<String>,
    /// The branch that is checked out.
    pub branch: Option<String>,
    /// A tag of the commit.
    pub tag: Option<String>,
}

/// A template and what it may see.
#[derive(Clone)]
pub struct TemplateRequest<'a> {
    /// The template.
    pub source: &'a SourceFile,
    /// Reads files, templates and variables.
    pub files: Arc<dyn FileReader>,
    /// The values under `git`.
    pub git: &'a GitValues,
    /// The value of `project`; undefined when not known.
    pub project: Option<&'a str>,
}

/// A rendered template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The templates it was made of, beside the main one.
    pub included: Vec<SourceFile>,
}

/// A template that could not be rendered.
#[derive(Debug)]
pub struct TemplateFailure {
    /// Why.
    pub diagnostic: Diagnostic,
    /// The templates read until then, beside the main one.
    pub included: Vec<SourceFile>,
}

/// Whether a text has template tags; one without renders to itself.
pub fn has_tags(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|tag| text.contains(tag))
}

/// Renders a template.
pub fn render(request: &TemplateRequest<'_>) -> Result<Rendered, Box<TemplateFailure>> {
    if !has_tags(&request.source.text) {
        return Ok(Rendered { text: request.source.text.clone(), included: Vec::new() });
    }
    run(request, false)
}

/// Renders; `marked` puts a mark with the origin into each line (see [`marks`]).
pub(super) fn run(request: &TemplateRequest<'_>, marked: bool) -> Result<Rendered, Box<TemplateFailure>> {
    let library = Library::default();
    let environment = environment(request, &library, marked);
    let outcome = render_main(&environment, request, marked);
    let included = library.files();
    match outcome {
        Ok(text) => Ok(Rendered { text, included }),
        Err(error) => {
            Err(Box::new(TemplateFailure { diagnostic: explain::diagnostic(&error, request, &included), included }))
        }
    }
}

fn render_main(environment: &Environment<'_>, request: &TemplateRequest<'_>, marked: bool) -> Result<String, Error> {
    let text =
        if marked { Cow::Owned(marks::insert(&request.source.text, 0)) } else { Cow::Borrowed(&*request.source.text) };
    let template = environment.template_from_named_str(&request.source.name, &text)?;
    let mut output = Bounded::default();
    let project = request.project.map_or(Value::UNDEFINED, Value::from);
    let context = context! {
        env => values::env(&request.files),
        files => values::files(&request.files),
        git => values::git(request.git),
        project => project,
    };
    template.render_captured_to(context, &mut output)?;
    String::from_utf8(output.bytes).map_err(|_| Error::new(ErrorKind::InvalidOperation, "the output is not UTF-8 text"))
}

fn environment(request: &TemplateRequest<'_>, library: &Library, marked: bool) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_debug(true);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(100);
    environment.set_syntax(syntax());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(filters::write);
    environment.set_path_join_callback(|name, _| library_path(name));
    let (files, library) = (Arc::clone(&request.files), library.clone());
    environment.set_loader(move |name| library.load(&*files, name, marked));
    filters::register(&mut environment);
    environment
}

fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder().keep_trailing_newline(true).build().expect("the default delimiters are valid")
}

/// The path of an included template: names are relative to the library, with or without its own name before them.
pub(super) fn library_path(name: &str) -> Cow<'_, str> {
    if name.starts_with(LIBRARY) { Cow::Borrowed(name) } else { Cow::Owned(format!("{LIBRARY}{name}")) }
}

/// The included templates read so far.
#[derive(Debug, Clone, Default)]
struct Library(Arc<Mutex<Vec<SourceFile>>>);

impl Library {
    fn files(&self) -> Vec<SourceFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn load(&self, files: &dyn FileReader, path: &str, marked: bool) -> Result<Option<String>, Error> {
        if !is_clean(path) {
            let detail = format!("a template's name is a path under `{LIBRARY}` without `..`; got {path:?}");
            return Err(Error::new(ErrorKind::InvalidOperation, detail));
        }
        let bytes = match files.read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == ReadErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(values::failure(error)),
        };
        let text = values::text(path, bytes)?;
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.push(SourceFile { name: path.to_owned(), text: text.clone() });
        Ok(Some(if marked { marks::insert(&text, read.len()) } else { text }))
    }
}

/// Whether a path stays where it starts and is written in the one way.
pub(super) fn is_clean(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|segment| !matches!(segment, "" | "." | "..")) && !path.contains('\0')
}

/// A writer with an end.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(format!("the rendered text is larger than {} MiB", MAX_OUTPUT >> 20)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
