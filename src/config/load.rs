//! From a project's files to its typed config.

use std::collections::BTreeMap;
use std::sync::Arc;

use stages::ids::ImageName;
use stages::spec::Project;

use super::claim::Claim;
use super::cleanup::CleanupPolicies;
use super::dialect::{DISCOVERED, Dialect, Lowered};
use super::text::ConfigText;
use super::{stager, validate, yaml};
use crate::source::{Diagnostic, FileReader, Place, ReadError, ReadErrorKind, SourceFile};
use crate::template::{self, GitValues, TemplateRequest};

/// Largest config file, in bytes.
const MAX_SOURCE: usize = 16 << 20;

/// What to load.
#[derive(Clone)]
pub struct LoadRequest<'a> {
    /// Reads the project's files.
    pub files: Arc<dyn FileReader>,
    /// The config file; `None` looks for one.
    pub config_path: Option<&'a str>,
    /// Its dialect; `None` takes it from the file's name.
    pub dialect: Option<Dialect>,
    /// What templates may know of the commit.
    pub git: GitValues,
}

/// A typed config.
#[derive(Debug)]
pub struct LoweredConfig {
    /// The project.
    pub project: Project,
    /// What the config asks for from outside the commit, for the gate to judge.
    pub claims: Vec<(Claim, Place)>,
    /// The cleanup section.
    pub cleanup: CleanupPolicies,
    /// Where each image is declared.
    pub places: BTreeMap<ImageName, Place>,
    /// What is odd, but no error.
    pub warnings: Vec<Diagnostic>,
    /// The text; its `relocate` belongs to every diagnostic made of the places here.
    pub text: ConfigText,
}

/// A config that could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("the config has {} error{}: {}", self.count(), if self.count() == 1 { "" } else { "s" }, self.first())]
pub struct ConfigError {
    /// What is wrong; at least one is an error.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that places name.
    pub sources: Vec<SourceFile>,
    /// The rendered text, when rendering succeeded.
    pub rendered: Option<String>,
}

impl ConfigError {
    fn single(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], sources: Vec::new(), rendered: None }
    }

    fn count(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    fn first(&self) -> &str {
        self.diagnostics.iter().find(|diagnostic| diagnostic.is_error()).map_or("", |diagnostic| &diagnostic.message)
    }

    /// Whether giterminism refused something that the config needs.
    pub fn is_refusal(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_refusal)
    }
}

/// Loads a config: finds it, renders it, reads its documents, lowers and checks them.
pub fn load(request: &LoadRequest<'_>) -> Result<LoweredConfig, ConfigError> {
    let text = render_text(request)?;
    let file = text.rendered().name.clone();
    let documents = yaml::parse(&file, &text.rendered().text);
    let mut diagnostics = documents.problems;
    let mut lowered = if documents.documents.is_empty() && !diagnostics.is_empty() {
        Lowered::default()
    } else {
        stager::lower(&file, &documents.documents)
    };
    let complete = diagnostics.is_empty();
    diagnostics.append(&mut lowered.problems);
    if complete {
        diagnostics.extend(validate::check(&file, &lowered.images));
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(|place| (place.line, place.column)));
    let diagnostics = text.relocate(diagnostics);
    match assemble(lowered, &file) {
        Some(parts) if !diagnostics.iter().any(Diagnostic::is_error) => {
            let (project, cleanup, places, claims) = parts;
            Ok(LoweredConfig { project, claims, cleanup, places, warnings: diagnostics, text })
        }
        _ => Err(ConfigError { diagnostics, sources: text.sources(), rendered: Some(text.rendered().text.clone()) }),
    }
}

type Parts = (Project, CleanupPolicies, BTreeMap<ImageName, Place>, Vec<(Claim, Place)>);

fn assemble(lowered: Lowered, file: &str) -> Option<Parts> {
    let project = lowered.project?;
    let mut places = BTreeMap::new();
    let mut images = Vec::with_capacity(lowered.images.len());
    for image in lowered.images {
        places.insert(image.name, image.mark.place(file));
        images.push(image.spec?);
    }
    let claims = lowered.claims.into_iter().map(|(claim, mark)| (claim, mark.place(file))).collect();
    let spec =
        Project { name: project.name, platforms: project.platforms, cache_version: project.cache_version, images };
    Some((spec, project.cleanup, places, claims))
}

/// Renders a config, and reads no further.
pub fn render(request: &LoadRequest<'_>) -> Result<String, ConfigError> {
    render_text(request).map(|text| text.rendered().text.clone())
}

fn render_text(request: &LoadRequest<'_>) -> Result<ConfigText, ConfigError> {
    let (path, dialect) = discover(request)?;
    if dialect != Dialect::Stager {
        let problem = Diagnostic::error(format!("the dialect {dialect} (`{path}`) is not supported by this version"));
        return Err(ConfigError::single(problem.help("write a `stager.yaml`")));
    }
    let source = read(request, &path)?;
    let project = project_of(&source.text);
    let template = TemplateRequest {
        source: &source,
        files: Arc::clone(&request.files),
        git: &request.git,
        project: project.as_deref(),
    };
    match template::render(&template) {
        Ok(rendered) => Ok(ConfigText::new(&template, rendered.text, rendered.included)),
        Err(failure) => Err(ConfigError {
            diagnostics: vec![failure.diagnostic],
            sources: std::iter::once(source.clone()).chain(failure.included).collect(),
            rendered: None,
        }),
    }
}

/// The config file and its dialect: what is asked for, or the first that is there.
pub fn discover(request: &LoadRequest<'_>) -> Result<(String, Dialect), ConfigError> {
    if let Some(path) = request.config_path {
        let path = path.strip_prefix("./").unwrap_or(path);
        let dialect = request.dialect.or_else(|| Dialect::of_file(path)).unwrap_or(Dialect::Stager);
        return Ok((path.to_owned(), dialect));
    }
    for (name, dialect) in DISCOVERED {
        let wanted = request.dialect.is_none_or(|wanted| wanted == *dialect);
        if wanted && request.files.exists(name).map_err(|error| unreadable(&error))? {
            return Ok(((*name).to_owned(), *dialect));
        }
    }
    let names: Vec<String> = DISCOVERED
        .iter()
        .filter(|(_, dialect)| request.dialect.is_none_or(|wanted| wanted == *dialect))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let problem = match names.as_slice() {
        [] => Diagnostic::error("this dialect has no file name of its own").help("name the file by --config"),
        names => Diagnostic::error(format!("there is no config: looked for {}", names.join(", ")))
            .help("write a `stager.yaml` and commit it, or name the file by --config"),
    };
    Err(ConfigError::single(problem))
}

fn read(request: &LoadRequest<'_>, path: &str) -> Result<SourceFile, ConfigError> {
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
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(SourceFile { name: path.to_owned(), text })
}

fn unreadable(error: &ReadError) -> ConfigError {
    let mut problem = Diagnostic::of_read(error);
    if error.kind == ReadErrorKind::NotFound && problem.help.is_none() {
        problem.help = Some("the config is read from the commit: is the file committed?".to_owned());
    }
    ConfigError::single(problem)
}

/// The project's name, read before rendering so that templates may use it: the plain value of a top-level `project:` in
/// the first document.
fn project_of(text: &str) -> Option<String> {
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

#[cfg(test)]
mod tests;
