//! From a config file to its text: reads it with its templates and renders it as its dialect does.

use std::sync::Arc;

use super::dialect::Dialect;
use super::load::{ConfigError, LoadRequest, discover};
use super::text::ConfigText;
use super::werf::head::{self, Head};
use crate::source::{Diagnostic, ReadError, ReadErrorKind, SourceFile};
use crate::template::{
    self, CommitFacts, DebugSink, GoDialect, GoRequest, GoTemplate, TemplateFailure, TemplateRequest, render_go,
};

/// Largest config file, in bytes.
const MAX_SOURCE: usize = 16 << 20;

/// What the Go templates of werf and dapp may know, and where they are.
#[derive(Debug, Clone, Default)]
pub struct GoSettings {
    /// The name of the environment, `.Env`.
    pub env: String,
    /// The commit, `.Commit`.
    pub commit: CommitFacts,
    /// The directory of templates, relative to the project directory; `None` is the dialect's own.
    pub templates: Option<String>,
    /// Whether an unset variable is empty instead of an error.
    pub loose: bool,
    /// Seconds since 1970, for the functions of the clock.
    pub now: i64,
    /// Takes what debug functions print.
    pub debug: Option<DebugSink>,
}

/// Reads and renders the config of a request.
pub(super) fn render_text(request: &LoadRequest<'_>) -> Result<ConfigText, ConfigError> {
    let found = discover(request);
    let dialect = found.as_ref().map_or(request.dialect, |(_, dialect)| Some(*dialect));
    match dialect {
        Some(Dialect::Werf(_)) => {
            let library = library(request, ".werf")?;
            let source = read_text(request, &found?.0)?;
            let Head { semantics, warnings } = head_of(request, &source)?;
            let go = &request.go;
            let dialect = GoDialect::Werf { env: go.env.clone(), commit: go.commit.clone() };
            let text = render_with_go(request, &source, Dialect::Werf(semantics), &dialect, &library)?;
            Ok(text.with_warnings(warnings))
        }
        Some(Dialect::Dapp) => {
            let library = library(request, ".dappfiles")?;
            let source = read_text(request, &found?.0)?;
            render_with_go(request, &source, Dialect::Dapp, &GoDialect::Dapp, &library)
        }
        Some(Dialect::Stager) | None => render_with_jinja(request, &found?.0),
        Some(dialect) => {
            let (path, _) = found?;
            let problem =
                Diagnostic::error(format!("the dialect {dialect} (`{path}`) is not supported by this version"));
            Err(ConfigError::single(problem.help("write a `stager.yaml`")))
        }
    }
}

/// The dialect of a request's config, in which a `werf.yaml` has a say.
pub fn dialect(request: &LoadRequest<'_>) -> Result<Dialect, ConfigError> {
    match discover(request)? {
        (path, Dialect::Werf(_)) => Ok(Dialect::Werf(head_of(request, &read_text(request, &path)?)?.semantics)),
        (_, dialect) => Ok(dialect),
    }
}

/// What the head of a `werf.yaml` says, unless the request has said it.
fn head_of(request: &LoadRequest<'_>, source: &SourceFile) -> Result<Head, ConfigError> {
    if let Some(Dialect::Werf(semantics)) = request.dialect {
        return Ok(Head { semantics, warnings: Vec::new() });
    }
    head::read(source).map_err(|problem| ConfigError {
        diagnostics: vec![problem],
        sources: vec![source.clone()],
        rendered: None,
        claims: Vec::new(),
    })
}

fn render_with_jinja(request: &LoadRequest<'_>, path: &str) -> Result<ConfigText, ConfigError> {
    let mut source = read_text(request, path)?;
    if let Some(bare) = source.text.strip_prefix('\u{feff}') {
        source.text = bare.to_owned();
    }
    let project = project_of(&source.text);
    let template = TemplateRequest {
        source: &source,
        files: Arc::clone(&request.files),
        git: &request.git,
        project: project.as_deref(),
    };
    match template::render(&template) {
        Ok(rendered) => Ok(ConfigText::new(&template, rendered.text, rendered.included)),
        Err(failure) => Err(failed(&source, *failure)),
    }
}

fn render_with_go(
    request: &LoadRequest<'_>,
    source: &SourceFile,
    dialect: Dialect,
    go_dialect: &GoDialect,
    library: &[GoTemplate],
) -> Result<ConfigText, ConfigError> {
    let template = GoRequest {
        source,
        library,
        files: Arc::clone(&request.files),
        dialect: go_dialect,
        loose: request.go.loose,
        now: request.go.now,
        debug: request.go.debug.as_ref(),
    };
    match render_go(&template) {
        Ok(rendered) => Ok(ConfigText::of_go(dialect, &template, rendered)),
        Err(failure) => Err(failed(source, *failure)),
    }
}

fn failed(source: &SourceFile, failure: TemplateFailure) -> ConfigError {
    ConfigError {
        diagnostics: vec![failure.diagnostic],
        sources: std::iter::once(source.clone()).chain(failure.included).collect(),
        rendered: None,
        claims: Vec::new(),
    }
}

/// The templates that a config may include: every `*.tmpl` file below the directory, in the order of their paths. All are
/// read, used or not, so that one that differs from the commit never goes unnoticed. Of other repositories, as in werf, every
/// file there is one, comes later, and is named by its whole path.
fn library(request: &LoadRequest<'_>, own: &str) -> Result<Vec<GoTemplate>, ConfigError> {
    let directory = request.go.templates.as_deref().unwrap_or(own).trim_end_matches('/');
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let pattern = format!("{}**/*.tmpl", escaped(&prefix));
    let included = request.files.included(directory).map_err(|error| unreadable(&error))?;
    let own = request.files.glob(&pattern).map_err(|error| unreadable(&error))?;
    let own = own.into_iter().filter(|path| !included.contains(path));
    let paths: Vec<(String, bool)> =
        own.map(|path| (path, false)).chain(included.iter().map(|path| (path.clone(), true))).collect();
    let mut problems = Vec::new();
    let mut templates = Vec::new();
    for (path, is_included) in paths {
        match read_text(request, &path) {
            Ok(source) => {
                let name = path.strip_prefix(&prefix).filter(|_| !is_included).unwrap_or(&path).to_owned();
                templates.push(GoTemplate { name, source });
            }
            Err(mut error) => problems.append(&mut error.diagnostics),
        }
    }
    if problems.is_empty() {
        Ok(templates)
    } else {
        Err(ConfigError { diagnostics: problems, sources: Vec::new(), rendered: None, claims: Vec::new() })
    }
}

/// A path as a pattern that matches it alone.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for letter in path.chars() {
        if "*?[]{}!\\".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

fn read_text(request: &LoadRequest<'_>, path: &str) -> Result<SourceFile, ConfigError> {
    let bytes = request.files.read(path).map_err(|error| unreadable(&error))?;
    if bytes.len() > MAX_SOURCE {
        let message = format!("`{path}` is larger than {} MiB", MAX_SOURCE >> 20);
        return Err(ConfigError::single(Diagnostic::error(message)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().get(..valid).unwrap_or_default().split(|byte| *byte == b'\n').count();
        ConfigError::single(Diagnostic::error(format!("`{path}` is not UTF-8 text (line {line})")))
    })?;
    Ok(SourceFile { name: path.to_owned(), text })
}

pub(super) fn unreadable(error: &ReadError) -> ConfigError {
    let mut problem = Diagnostic::of_read(error);
    if error.kind == ReadErrorKind::NotFound && problem.help.is_none() {
        problem.help = Some("the config is read from the commit: is the file committed?".to_owned());
    }
    ConfigError::single(problem)
}

/// The project's name, read before rendering so that templates may use it: the plain value of a top-level `project:` in
/// the first document.
pub(super) fn project_of(text: &str) -> Option<String> {
    let mut started = false;
    for line in text.lines() {
        if line.starts_with("---") && started {
            return None;
        }
        started |= line.starts_with("---") || !(line.trim().is_empty() || line.starts_with('#'));
        if let Some(value) = line.strip_prefix("project:") {
            let value = value.split(" #").next().unwrap_or_default().trim();
            let plain = value.trim_matches(['"', '\'']);
            return plain.parse::<stages::ProjectName>().ok().map(|name| name.to_string());
        }
    }
    None
}
