//! Renders a config.

use std::fmt;
use std::sync::Arc;

use super::super::gotemplate::{
    CommitFacts, Functions, Host, Output, TemplateError, TemplateSet, Value, builtins, dapp, dapp_data, helm, nested,
    sprig, werf, werf_data,
};
use super::super::jinja::TemplateFailure;
use super::Sources;
use super::explain::Explain;
use super::host::ReaderHost;
use super::origin::GoOrigins;
use crate::source::{Diagnostic, FileReader, SourceFile};

/// Whose functions and data a template sees.
#[derive(Debug, Clone)]
pub enum GoDialect {
    /// werf: `.Files`, `.Env`, `.Commit`.
    Werf {
        /// The value of `.Env`.
        env: String,
        /// The values of `.Commit`.
        commit: CommitFacts,
    },
    /// dapp: `.Files.Get`.
    Dapp,
}

impl GoDialect {
    /// The name under which the config itself is known to its templates.
    pub(super) fn config_name(&self) -> &'static str {
        match self {
            Self::Werf { .. } => "werfConfig",
            Self::Dapp => "dappfile",
        }
    }
}

/// A template that others may include.
#[derive(Debug, Clone)]
pub struct GoTemplate {
    /// The name it is included by.
    pub name: String,
    /// Its file.
    pub source: SourceFile,
}

/// Takes what debug functions print.
#[derive(Clone)]
pub struct DebugSink(pub Arc<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for DebugSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DebugSink")
    }
}

/// A config, and what its template may see.
pub struct GoRequest<'a> {
    /// The config.
    pub source: &'a SourceFile,
    /// The templates that it may include, in the order in which they are parsed.
    pub library: &'a [GoTemplate],
    /// Reads files and variables.
    pub files: Arc<dyn FileReader>,
    /// Whose functions and data it sees.
    pub dialect: &'a GoDialect,
    /// Whether an unset variable is empty instead of an error.
    pub loose: bool,
    /// Seconds since 1970, for the functions of the clock.
    pub now: i64,
    /// Takes what debug functions print; without it that is dropped.
    pub debug: Option<&'a DebugSink>,
}

/// A rendered config.
#[derive(Debug)]
pub struct GoRendered {
    /// The text.
    pub text: String,
    /// Where its parts came from.
    pub origins: GoOrigins,
    /// The files it was made of, beside the config: those of the library, and those that the template read.
    pub included: Vec<SourceFile>,
    /// What is odd about the template.
    pub warnings: Vec<Diagnostic>,
}

/// Renders a config.
pub fn render_go(request: &GoRequest<'_>) -> Result<GoRendered, Box<TemplateFailure>> {
    let host = Arc::new(ReaderHost::new(request));
    let shared: Arc<dyn Host> = Arc::clone(&host) as Arc<dyn Host>;
    let functions = functions(request.dialect, &shared);
    let names: Vec<&str> = functions.names().collect();
    let output = execute(request, functions.clone(), &shared);
    let sources = Sources { request, read: host.read() };
    let explain = Explain { request, sources: &sources, functions: &names, host: &host };
    let failure = |diagnostic| Box::new(TemplateFailure { diagnostic, included: sources.included() });
    let output = output.map_err(|error| failure(explain.diagnostic(&error)))?;
    let text = String::from_utf8(output.bytes).map_err(|error| failure(explain.not_text(&error)))?;
    let origins = GoOrigins::new(&sources, &output.spans);
    let warnings = explain.warnings(&text, &origins, &output.impure);
    Ok(GoRendered { text, origins, included: sources.included(), warnings })
}

fn execute(request: &GoRequest<'_>, functions: Functions, host: &Arc<dyn Host>) -> Result<Output, TemplateError> {
    let mut set = TemplateSet::new(functions).with_now(request.now, 0);
    let name = request.dialect.config_name();
    let library = request.library.iter().map(|template| (template.name.as_str(), template.source.text.as_str()));
    set.parse_all(library.chain([(name, request.source.text.as_str())]))?;
    if !set.contains(name) {
        // A config of definitions and comments only.
        return Ok(Output { bytes: Vec::new(), spans: Vec::new(), impure: Vec::new() });
    }
    set.execute_spanned(name, data(request.dialect, host))
}

fn functions(dialect: &GoDialect, host: &Arc<dyn Host>) -> Functions {
    let common = Functions::new().with(builtins()).with(sprig()).with(nested());
    match dialect {
        GoDialect::Werf { .. } => common.with(helm()).with(werf(host)),
        GoDialect::Dapp => common.with(dapp(host)),
    }
}

fn data(dialect: &GoDialect, host: &Arc<dyn Host>) -> Value {
    match dialect {
        GoDialect::Werf { env, commit } => werf_data(host, env, commit),
        GoDialect::Dapp => dapp_data(host),
    }
}
