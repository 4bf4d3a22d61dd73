//! The config's text before and after rendering, and places carried from the one to the other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::config::Dialect;
use crate::source::{Diagnostic, FileReader, Place, SourceFile};
use crate::template::{
    GitValues, GoOrigin, GoOrigins, GoRendered, GoRequest, Origins, TemplateRequest, has_tags, origins,
};

/// A config's text, and how to speak of it.
///
/// Places of the typed config are lines of the rendered text. [`ConfigText::relocate`] points a diagnostic at the file
/// that a person edits wherever the line can be found there; else it shows the rendered line, says so, and names the
/// template line it came from.
pub struct ConfigText {
    dialect: Dialect,
    source: SourceFile,
    rendered: SourceFile,
    included: Vec<SourceFile>,
    warnings: Vec<Diagnostic>,
    template: Template,
}

/// How lines of the rendered text are found in the template.
enum Template {
    /// By rendering once more, when something is wrong.
    Jinja { files: Arc<dyn FileReader>, git: GitValues, project: Option<String>, origins: OnceLock<Origins> },
    /// By what the rendering noted.
    Go(GoOrigins),
}

impl fmt::Debug for ConfigText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConfigText").field("source", &self.source.name).finish_non_exhaustive()
    }
}

impl ConfigText {
    pub(super) fn new(request: &TemplateRequest<'_>, text: String, included: Vec<SourceFile>) -> Self {
        let template = Template::Jinja {
            files: Arc::clone(&request.files),
            git: request.git.clone(),
            project: request.project.map(str::to_owned),
            origins: OnceLock::new(),
        };
        Self {
            dialect: Dialect::Stager,
            source: request.source.clone(),
            rendered: rendered(request.source, has_tags(&request.source.text), text),
            included,
            warnings: Vec::new(),
            template,
        }
    }

    pub(super) fn of_go(dialect: Dialect, request: &GoRequest<'_>, output: GoRendered) -> Self {
        Self {
            dialect,
            source: request.source.clone(),
            rendered: rendered(request.source, request.source.text.contains("{{"), output.text),
            included: output.included,
            warnings: output.warnings,
            template: Template::Go(output.origins),
        }
    }

    /// The same, with more that is odd about it.
    pub(super) fn with_warnings(mut self, warnings: Vec<Diagnostic>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// What the text is written in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is odd about the file as it is in the project.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The file as it is in the project.
    pub fn source(&self) -> &SourceFile {
        &self.source
    }

    /// The rendered text. Its name is that of the file, when that has no template tags.
    pub fn rendered(&self) -> &SourceFile {
        &self.rendered
    }

    /// Every text that places may name.
    pub fn sources(&self) -> Vec<SourceFile> {
        let rendered = (self.rendered.name != self.source.name).then_some(&self.rendered);
        std::iter::once(&self.source).chain(rendered).chain(&self.included).cloned().collect()
    }

    /// Points diagnostics about the rendered text at the files they came from; repetitions of one template line (as a loop
    /// makes them) become one.
    pub fn relocate(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        if self.rendered.name == self.source.name {
            return diagnostics;
        }
        merged(diagnostics.into_iter().map(|diagnostic| self.moved(diagnostic)).collect())
    }

    fn moved(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        for related in &mut diagnostic.related {
            if let Some(place) = self.origin(&related.place).and_then(Origin::exact) {
                related.place = place;
            }
        }
        let Some(place) = diagnostic.place.clone().filter(|place| place.file == self.rendered.name) else {
            return diagnostic;
        };
        match self.origin(&place) {
            Some(Origin::Exact { place, caller }) => match caller {
                Some(caller) => diagnostic.at(place).related(caller, INCLUDED),
                None => diagnostic.at(place),
            },
            Some(Origin::Line(line)) => diagnostic.related(line, "rendered from this line").note(self.says_so()),
            None => diagnostic.note(self.says_so()),
        }
    }

    fn says_so(&self) -> String {
        format!(
            "the lines shown are those of the rendered text; `stager config render` prints all of `{}`",
            self.source.name
        )
    }

    fn origin(&self, place: &Place) -> Option<Origin> {
        if place.file != self.rendered.name {
            return None;
        }
        match &self.template {
            Template::Jinja { .. } => self.origin_of_line(place),
            Template::Go(origins) => origins.of(&self.rendered.text, place).map(|origin| match origin {
                GoOrigin::Exact { place, caller } => Origin::Exact { place, caller },
                GoOrigin::Action(place) => Origin::Line(place),
            }),
        }
    }

    fn origin_of_line(&self, place: &Place) -> Option<Origin> {
        let origins = self.origins()?;
        let origin = origins.of(place.line)?;
        let here = Place { file: origin.file.clone(), line: origin.line, ..place.clone() };
        let source = std::iter::once(&self.source).chain(&self.included).find(|source| source.name == origin.file)?;
        let template = source.text.split('\n').nth(origin.line - 1)?.trim_end();
        let rendered = self.rendered.text.split('\n').nth(place.line - 1)?;
        let upto = |line: &str| line.chars().take(place.column - 1 + place.len).collect::<String>();
        if origin.verbatim || (place.len > 0 && upto(template) == upto(rendered)) {
            return Some(Origin::Exact { place: here, caller: None });
        }
        let column = template.chars().take_while(|letter| letter.is_whitespace()).count() + 1;
        Some(Origin::Line(Place { column, len: template.trim().chars().count(), ..here }))
    }

    fn origins(&self) -> Option<&Origins> {
        let Template::Jinja { files, git, project, origins: known } = &self.template else { return None };
        Some(known.get_or_init(|| {
            let (source, project) = (&self.source, project.as_deref());
            let request = TemplateRequest { source, files: Arc::clone(files), git, project };
            origins(&request, &self.rendered.text)
        }))
    }
}

/// The rendered text of a file; it has the file's name when rendering changes nothing.
fn rendered(source: &SourceFile, has_tags: bool, text: String) -> SourceFile {
    let name = if has_tags { format!("{} (rendered)", source.name) } else { source.name.clone() };
    SourceFile { name, text }
}

/// The label of the line through which a template came in.
const INCLUDED: &str = "included from here";

enum Origin {
    /// The same letters at the same place of a template, and the line that included that.
    Exact { place: Place, caller: Option<Place> },
    /// The template line they came from.
    Line(Place),
}

impl Origin {
    fn exact(self) -> Option<Place> {
        match self {
            Self::Exact { place, .. } => Some(place),
            Self::Line(_) => None,
        }
    }
}

/// Keeps the first of several diagnostics that say the same of the same line.
fn merged(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<(String, Option<Place>), (usize, usize)> = BTreeMap::new();
    let mut kept: Vec<Diagnostic> = Vec::new();
    for diagnostic in diagnostics {
        let template_line = diagnostic.related.iter().find(|related| related.label == "rendered from this line");
        let place = template_line.map(|related| related.place.clone()).or_else(|| diagnostic.place.clone());
        let (_, again) = seen.entry((diagnostic.message.clone(), place)).or_insert((kept.len(), 0));
        *again += 1;
        if *again == 1 {
            kept.push(diagnostic);
        }
    }
    for (at, count) in seen.into_values().filter(|(_, count)| *count > 1) {
        let times = if count == 2 { "once more".to_owned() } else { format!("{} times more", count - 1) };
        kept[at].notes.push(format!("the same {times}, as the line is rendered several times"));
    }
    kept
}
