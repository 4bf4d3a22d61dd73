//! A set of templates that know each other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::ast::Template;
use super::error::TemplateError;
use super::execute::{Run, Span, Templates};
use super::function::Functions;
use super::guard::{self, Limits};
use super::parse;
use super::text::Str;
use super::value::Value;

/// What a template gave.
#[derive(Debug)]
pub struct Output {
    /// The text; it need not be UTF-8.
    pub bytes: Vec<u8>,
    /// Where its parts came from, in order.
    pub spans: Vec<Span>,
    /// Functions of the clock and of chance that were called.
    pub impure: Vec<&'static str>,
}

/// Templates by name, with the functions that they may call.
pub struct TemplateSet {
    functions: Arc<Functions>,
    templates: Templates,
    limits: Limits,
    now: Option<(i64, u32)>,
}

impl TemplateSet {
    /// An empty set.
    pub fn new(functions: Functions) -> Self {
        Self { functions: Arc::new(functions), templates: Templates::new(), limits: Limits::default(), now: None }
    }

    /// Replaces the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells the templates the time, in seconds and nanoseconds since 1970; without it `now` fails.
    #[must_use]
    pub fn with_now(mut self, seconds: i64, nanoseconds: u32) -> Self {
        self.now = Some((seconds, nanoseconds));
        self
    }

    /// Parses a text under a name. It may define further templates. Of two templates with one name the later one wins,
    /// unless it is blank.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        self.parse_all([(name, text)])
    }

    /// The same for several names and texts, up to the first that is malformed; they share the limits of one.
    pub fn parse_all<'t>(
        &mut self,
        texts: impl IntoIterator<Item = (&'t str, &'t str)> + Send,
    ) -> Result<(), TemplateError> {
        let functions = Arc::clone(&self.functions);
        let parsed = guard::enter(&self.limits, || -> Result<Vec<_>, _> {
            let known = |function: &str| functions.find(function).is_some();
            texts.into_iter().map(|(name, text)| parse::parse(&Str::from(name), text.as_bytes(), &known)).collect()
        });
        for template in parsed.map_err(no_thread)?.map_err(|error: Box<TemplateError>| *error)?.into_iter().flatten() {
            add(&mut self.templates, template);
        }
        Ok(())
    }

    /// Whether there is a template of the name.
    pub fn contains(&self, name: &str) -> bool {
        self.templates.contains_key(&Str::from(name))
    }

    /// Executes a template. Output that is not UTF-8 has the replacement character in place of the bad bytes.
    pub fn execute(&self, name: &str, data: Value) -> Result<String, TemplateError> {
        let output = self.execute_bytes(name, data)?;
        Ok(String::from_utf8(output).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Executes a template and gives its output as it is.
    pub fn execute_bytes(&self, name: &str, data: Value) -> Result<Vec<u8>, TemplateError> {
        self.run(name, data, None).map(|output| output.bytes)
    }

    /// Executes a template and says where each part of its output came from.
    pub fn execute_spanned(&self, name: &str, data: Value) -> Result<Output, TemplateError> {
        self.run(name, data, Some(Vec::new()))
    }

    fn run(&self, name: &str, data: Value, spans: Option<Vec<Span>>) -> Result<Output, TemplateError> {
        let name = Str::from(name);
        let executed = guard::enter(&self.limits, || {
            let run = Run {
                functions: Arc::clone(&self.functions),
                templates: RefCell::new(self.templates.clone()),
                limits: self.limits,
                now: self.now,
                included: RefCell::new(HashMap::new()),
                failed: RefCell::default(),
                impure: RefCell::default(),
                nested: spans.as_ref().map(|_| RefCell::new((Str::from(""), Vec::new()))),
            };
            let (bytes, spans) = run.execute_spanned(&name, &name, data, spans).map_err(|mut error| {
                error.causes = run.failed.take();
                error.causes.reverse();
                error
            })?;
            Ok(Output { bytes, spans, impure: run.impure.take().into_iter().collect() })
        });
        executed.map_err(no_thread)?.map_err(|error: Box<TemplateError>| *error)
    }
}

/// Adds a template, unless it is blank and would replace another.
pub(super) fn add(templates: &mut Templates, template: Template) {
    if templates.contains_key(&template.name) && template.source.is_blank(template.root) {
        return;
    }
    templates.insert(template.name.clone(), template);
}

fn no_thread(error: std::io::Error) -> TemplateError {
    TemplateError::general(format!("cannot start a thread for the template: {error}"))
}
