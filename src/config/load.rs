//! From a project's files to its typed config.

use std::collections::BTreeMap;
use std::sync::Arc;

use stages::ids::ImageName;
use stages::spec::Project;

use super::claim::Claim;
use super::cleanup::CleanupPolicies;
use super::dapp::ProjectHome;
use super::dialect::{DISCOVERED, Dialect, Lowered, LoweredImage};
use super::login::GitLogin;
use super::render::{GoSettings, render_text, unreadable};
use super::text::ConfigText;
use super::werf::Semantics as WerfSemantics;
use super::yaml::Mark;
use super::{dapp, stager, validate, werf, yaml};
use crate::source::{Diagnostic, FileReader, Place, Severity, SourceFile};
use crate::template::{CommitFacts, GitValues};

/// What to load.
#[derive(Clone)]
pub struct LoadRequest<'a> {
    /// Reads the project's files.
    pub files: Arc<dyn FileReader>,
    /// The config file; `None` looks for one.
    pub config_path: Option<&'a str>,
    /// Its dialect; `None` takes it from the file's name, and from what a `werf.yaml` says of itself.
    pub dialect: Option<Dialect>,
    /// What templates of the native dialect may know of the commit.
    pub git: GitValues,
    /// What Go templates may know.
    pub go: GoSettings,
    /// What a dapp project is named after.
    pub home: ProjectHome,
}

/// A typed config.
#[derive(Debug)]
pub struct LoweredConfig {
    /// The project.
    pub project: Project,
    /// What the config asks for from outside the commit, for the gate to judge.
    pub claims: Vec<(Claim, Place)>,
    /// Who to be at git servers.
    pub logins: Vec<(GitLogin, Place)>,
    /// The cleanup section.
    pub cleanup: CleanupPolicies,
    /// Where each image is declared.
    pub places: BTreeMap<ImageName, Place>,
    /// What each image says of others, as it is written.
    pub references: BTreeMap<ImageName, References>,
    /// What stops a build, though the config can be read; [`Self::warnings`] tells of it too.
    pub at_build: Vec<Diagnostic>,
    /// What is odd, but no error.
    pub warnings: Vec<Diagnostic>,
    /// The text; its `relocate` belongs to every diagnostic made of the places here.
    pub text: ConfigText,
}

/// What an image says of others, beyond what its specification does.
#[derive(Debug, Clone, Default)]
pub struct References {
    /// The places in the text of [`ImageSpec::imports`], in that order: line and column.
    ///
    /// [`ImageSpec::imports`]: stages::spec::ImageSpec::imports
    pub import_places: Vec<(usize, usize)>,
    /// The images that it depends on without taking files, each once, as they are written.
    pub mentions: Vec<ImageName>,
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
    /// What it asks for from outside the commit before anything is wrong: where that is refused, it comes first.
    pub claims: Vec<(Claim, Place)>,
}

impl ConfigError {
    /// One that is wrong with one thing.
    pub fn single(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], sources: Vec::new(), rendered: None, claims: Vec::new() }
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
    let mut lowered = lower(&text, request);
    let mut diagnostics = text.warnings().to_vec();
    diagnostics.extend(text.relocate(std::mem::take(&mut lowered.problems)));
    let at_build = text.relocate(std::mem::take(&mut lowered.at_build));
    let logins = placed(&file, std::mem::take(&mut lowered.logins));
    if diagnostics.iter().any(Diagnostic::is_error) {
        let rendered = Some(text.rendered().text.clone());
        let claims = claimed(&text, lowered.claims);
        return Err(ConfigError { diagnostics, sources: text.sources(), rendered, claims });
    }
    match assemble(lowered, &file) {
        Some(parts) => {
            let (project, cleanup, places, references, claims) = parts;
            diagnostics.extend(at_build.iter().map(as_warning));
            let warnings = diagnostics;
            Ok(LoweredConfig { project, claims, logins, cleanup, places, references, at_build, warnings, text })
        }
        None => Err(ConfigError::single(Diagnostic::error("the config has no project"))),
    }
}

/// Claims with the places that a person edits.
fn claimed(text: &ConfigText, claims: Vec<(Claim, Mark)>) -> Vec<(Claim, Place)> {
    let file = &text.rendered().name;
    let place = |mark: Mark| {
        let moved = text.relocate(vec![Diagnostic::error("").at(mark.place(file))]);
        moved.into_iter().find_map(|diagnostic| diagnostic.place).unwrap_or_else(|| mark.place(file))
    };
    claims.into_iter().map(|(claim, mark)| (claim, place(mark))).collect()
}

/// What stops a build, for commands that build nothing.
fn as_warning(problem: &Diagnostic) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..problem.clone() }.note("it stops a build")
}

/// What the documents of a text say, in the order of their places.
fn lower(text: &ConfigText, request: &LoadRequest<'_>) -> Lowered {
    let rendered = text.rendered();
    match text.dialect() {
        Dialect::Werf(semantics) => lower_werf(rendered, &request.go.commit, semantics),
        Dialect::Dapp => dapp::lower(&rendered.name, &rendered.text, &request.home),
        _ => lower_native(rendered),
    }
}

fn lower_werf(rendered: &SourceFile, commit: &CommitFacts, semantics: WerfSemantics) -> Lowered {
    let mut lowered = werf::lower(&rendered.name, &rendered.text, commit, semantics);
    if !lowered.problems.iter().any(Diagnostic::is_error) {
        lowered.problems.extend(validate::check(&rendered.name, &lowered.images));
    }
    lowered
}

fn lower_native(rendered: &SourceFile) -> Lowered {
    let file = &rendered.name;
    let documents = yaml::parse(file, &rendered.text);
    let mut problems = documents.problems;
    let mut lowered = if documents.documents.is_empty() && !problems.is_empty() {
        Lowered::default()
    } else {
        stager::lower(file, &documents.documents)
    };
    let complete = problems.is_empty();
    problems.append(&mut lowered.problems);
    if complete {
        problems.extend(validate::check(file, &lowered.images));
    }
    problems.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(|place| (place.line, place.column)));
    if problems.iter().any(Diagnostic::is_error) {
        lowered.claims.clear();
    }
    Lowered { problems, ..lowered }
}

type Parts =
    (Project, CleanupPolicies, BTreeMap<ImageName, Place>, BTreeMap<ImageName, References>, Vec<(Claim, Place)>);

fn assemble(lowered: Lowered, file: &str) -> Option<Parts> {
    let project = lowered.project?;
    let (mut places, mut references) = (BTreeMap::new(), BTreeMap::new());
    let mut images = Vec::with_capacity(lowered.images.len());
    for image in lowered.images {
        references.insert(image.name.clone(), references_of(&image));
        places.insert(image.name, image.mark.place(file));
        images.push(image.spec?);
    }
    let claims = placed(file, lowered.claims);
    let spec = Project {
        name: project.name,
        platforms: project.platforms,
        cache_version: project.cache_version,
        repository: None,
        images,
    };
    Some((spec, project.cleanup, places, references, claims))
}

fn placed<T>(file: &str, marked: Vec<(T, Mark)>) -> Vec<(T, Place)> {
    marked.into_iter().map(|(value, mark)| (value, mark.place(file))).collect()
}

fn references_of(image: &LoweredImage) -> References {
    let mut mentions: Vec<ImageName> = Vec::new();
    for (name, _) in &image.mentions {
        if !mentions.contains(name) {
            mentions.push(name.clone());
        }
    }
    References { import_places: image.import_marks.iter().map(|mark| (mark.line, mark.column)).collect(), mentions }
}

/// Renders a config, and reads no further.
pub fn render(request: &LoadRequest<'_>) -> Result<String, ConfigError> {
    render_text(request).map(|text| text.rendered().text.clone())
}

/// The config file and its dialect: what is asked for, or the first that is there. What a `werf.yaml` says of itself is
/// not looked at: that is [`dialect`](super::dialect).
pub fn discover(request: &LoadRequest<'_>) -> Result<(String, Dialect), ConfigError> {
    if let Some(path) = request.config_path {
        let path = path.strip_prefix("./").unwrap_or(path);
        refuse_ruby(request, path, path.rsplit('/').next() == Some(dapp::RUBY_FILE))?;
        let dialect = request.dialect.or_else(|| Dialect::of_file(path)).unwrap_or(Dialect::Stager);
        return Ok((path.to_owned(), dialect));
    }
    for (name, dialect) in DISCOVERED {
        let wanted = request.dialect.is_none_or(|wanted| wanted.has_files_of(*dialect));
        if wanted && request.files.exists(name).map_err(|error| unreadable(&error))? {
            return Ok(((*name).to_owned(), request.dialect.unwrap_or(*dialect)));
        }
    }
    refuse_ruby(request, dapp::RUBY_FILE, request.dialect.is_none_or(|wanted| wanted == Dialect::Dapp))?;
    let names: Vec<String> = DISCOVERED
        .iter()
        .filter(|(_, dialect)| request.dialect.is_none_or(|wanted| wanted.has_files_of(*dialect)))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let problem = match names.as_slice() {
        [] => Diagnostic::error("this dialect has no file name of its own")
            .code("usage")
            .help("name the file by --config"),
        names => {
            let wanted = request.dialect.map_or("stager.yaml", |dialect| dialect.file_name().unwrap_or("stager.yaml"));
            Diagnostic::error(format!("there is no config: looked for {}", names.join(", ")))
                .code("file-not-found")
                .help(format!("write a `{wanted}` and commit it, or name the file by --config"))
        }
    };
    Err(ConfigError::single(problem))
}

/// An older dapp's config, which is a program, is refused with what it would be as YAML.
fn refuse_ruby(request: &LoadRequest<'_>, path: &str, applies: bool) -> Result<(), ConfigError> {
    if !applies || !request.files.exists(path).map_err(|error| unreadable(&error))? {
        return Ok(());
    }
    let bytes = request.files.read(path).map_err(|error| unreadable(&error))?;
    Err(dapp::refuse(path, String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests;
