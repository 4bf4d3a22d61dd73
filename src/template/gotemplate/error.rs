//! What can be wrong with a template.

use std::fmt;

use super::text::Str;

/// When a template failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its text is malformed, or uses an unknown function or variable.
    Parse,
    /// While it ran.
    Execute,
}

/// The error of a template, displayed as Go words it.
#[derive(Debug, Clone)]
pub struct TemplateError {
    /// When it failed.
    pub phase: Phase,
    /// The text in which the error is: the name given to `parse`, not that of a `define`.
    pub template: String,
    /// Line, from 1; 0 if the error has no place.
    pub line: usize,
    /// Column in bytes, from 0; only errors of the execution have one.
    pub column: Option<usize>,
    /// What is wrong there, without the place.
    pub message: String,
    /// The piece of template that failed, as Go prints it; empty for errors of the syntax.
    pub action: String,
    /// The message without the words that say what was executed.
    pub reason: String,
    /// What kind of thing failed.
    pub fault: Fault,
    /// The errors of included templates and of texts that this one comes from, the outer ones first.
    pub causes: Vec<TemplateError>,
}

/// What kind of thing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A template that is not there, by its name.
    Missing(String),
    /// A call of this function or method.
    Call(String),
    /// Anything else.
    Other,
}

impl TemplateError {
    pub(super) fn parse(template: &Str, line: usize, message: String) -> Self {
        let reason = message.clone();
        let template = template.to_text();
        Self { template, line, reason, phase: Phase::Parse, ..Self::general(message) }
    }

    /// The error that all others come from: the last cause, or this one.
    pub fn innermost(&self) -> &Self {
        self.causes.last().unwrap_or(self)
    }

    /// An error that concerns a template as a whole.
    pub(super) fn general(message: String) -> Self {
        Self {
            phase: Phase::Execute,
            template: String::new(),
            line: 0,
            column: None,
            action: String::new(),
            reason: message.clone(),
            message,
            fault: Fault::Other,
            causes: Vec::new(),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("template: ")?;
        if self.line > 0 {
            write!(formatter, "{}:{}:", self.template, self.line)?;
            if let Some(column) = self.column {
                write!(formatter, "{column}:")?;
            }
            formatter.write_str(" ")?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}
