//! What is wrong, where, and what to do about it.

use serde::{Deserialize, Serialize};

use super::ReadError;

/// A text and the name that places refer to it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Relative to the project directory, or a name such as `stager.yaml (rendered)`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A range within one line of a [`SourceFile`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The name of the file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The length in characters; 0 is a point.
    pub len: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The work stops.
    Error,
    /// The work goes on.
    Warning,
}

/// A second place that explains the first, such as the earlier one of two equal names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// What is there.
    pub label: String,
}

/// One problem: the fact, its places, the reason, the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The class of the problem: a stable word for programs, one of those in docs/reference/errors.md.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// One sentence fragment, lower case, without a full stop.
    pub message: String,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<Place>,
    /// What is at that place, shown beside it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// Further places.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub related: Vec<Related>,
    /// Background, one fact each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
}

impl Diagnostic {
    /// The codes of what giterminism refuses.
    pub const REFUSALS: [&str; 5] =
        ["untracked", "uncommitted", "giterminism-denied", "link-target-not-accepted", "lfs-pointer"];

    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: None,
            message: message.into(),
            place: None,
            label: None,
            related: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning without a place.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Whether it stops the work.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Whether giterminism refuses something here.
    pub fn is_refusal(&self) -> bool {
        self.code.as_deref().is_some_and(|code| Self::REFUSALS.contains(&code))
    }

    /// What a reader of files said, with its class and remedy.
    pub fn of_read(error: &ReadError) -> Self {
        let mut diagnostic = Self::error(error.message.clone());
        diagnostic.code = error.code.map(str::to_owned);
        diagnostic.help.clone_from(&error.hint);
        diagnostic
    }

    /// With that code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// At that place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// With a label beside the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With a second place.
    #[must_use]
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push(Related { place, label: label.into() });
        self
    }

    /// With one more fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
