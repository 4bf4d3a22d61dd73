//! Engine errors as text, hints and exit codes.

use std::error::Error as StdError;
use std::fmt::Write;

use crate::builder::BuilderError;
use crate::builder::native::EnterError;
use crate::config::ConfigError;
use crate::git::GitError;
use crate::plan::PlanError;
use crate::source::{Diagnostic, SourceFile};
use crate::{execute, giterminism, ops, registry, storage, ui};

/// The exit codes of the program; see docs/reference/exit-codes.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExitCode {
    /// A build step or test failed.
    StepFailed = 1,
    /// Bad usage or config.
    Usage = 2,
    /// Giterminism refused something.
    Giterminism = 3,
    /// A storage, registry or engine failed.
    Backend = 4,
    /// Ctrl-C.
    Interrupted = 130,
}

/// A failed command: what people are told, and the exit code.
#[derive(Debug)]
pub(super) struct CommandError {
    code: ExitCode,
    /// The class of the problem, as in [`Diagnostic::code`].
    class: Option<&'static str>,
    /// The exit code of the process that did the work and said all there is to say.
    finished: Option<u8>,
    message: String,
    causes: Vec<String>,
    /// Lines shown as they are, such as the end of a step's output.
    details: Vec<String>,
    diagnostics: Vec<Diagnostic>,
    /// The texts that diagnostics name places in.
    sources: Vec<SourceFile>,
    hints: Vec<String>,
}

impl CommandError {
    fn new(code: ExitCode, error: &dyn StdError) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let message = error.to_string();
        let full =
            causes.iter().any(|cause| cause.contains("No space left on device") || cause.contains("disk is full"));
        let hints = if full {
            vec!["the disk of the store is full: free some space, or set STAGER_HOME to another disk".to_owned()]
        } else {
            Vec::new()
        };
        // A library that repeats its cause in its own text would say everything twice.
        let mut said = message.clone();
        causes.retain(|cause| {
            let new = !said.contains(cause.as_str());
            said.push_str(cause);
            new
        });
        Self {
            code,
            class: None,
            finished: None,
            message,
            causes,
            details: Vec::new(),
            diagnostics: Vec::new(),
            sources: Vec::new(),
            hints,
        }
    }

    /// A command that can't be done as it was asked for.
    pub(super) fn usage(what: &str, error: &dyn StdError) -> Self {
        let inner = Self::new(ExitCode::Usage, error);
        let causes = std::iter::once(inner.message).chain(inner.causes).collect();
        Self { message: what.to_owned(), causes, ..Self::usage_text("") }
    }

    /// The same, without an underlying error.
    pub(super) fn usage_text(message: impl Into<String>) -> Self {
        Self {
            code: ExitCode::Usage,
            class: Some("usage"),
            finished: None,
            message: message.into(),
            causes: Vec::new(),
            details: Vec::new(),
            diagnostics: Vec::new(),
            sources: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Something that this machine doesn't let be done.
    pub(super) fn backend(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Backend, class: None, ..Self::usage_text(message) }
    }

    /// Ctrl-C at a question.
    pub(super) fn interrupted() -> Self {
        Self { code: ExitCode::Interrupted, class: None, ..Self::usage_text("interrupted") }
    }

    /// What giterminism refuses, each with its remedy.
    pub(super) fn refused(diagnostics: Vec<Diagnostic>, sources: Vec<SourceFile>) -> Self {
        Self { code: ExitCode::Giterminism, class: None, diagnostics, sources, ..Self::usage_text("") }
    }

    /// Another process did the work, said what there was to say, and ended with this code.
    pub(super) fn finished(code: i32) -> Self {
        Self { finished: Some(u8::try_from(code).unwrap_or(1)), ..Self::usage_text("") }
    }

    /// With the class of the problem.
    fn class(mut self, class: Option<&'static str>) -> Self {
        self.class = class.or(self.class);
        self
    }

    /// With advice on what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Tells people, and returns the exit code.
    pub(super) fn report(&self, colours: bool) -> u8 {
        if let Some(code) = self.finished {
            return code;
        }
        let mut text = String::new();
        if !self.diagnostics.is_empty() {
            text.push_str(&ui::render(&self.diagnostics, &self.sources, colours));
        }
        if !self.message.is_empty() {
            let class = self.class.map(|class| format!("[{class}]")).unwrap_or_default();
            let _infallible = writeln!(text, "error{class}: {}", ui::printable(&self.message, false));
        }
        for cause in &self.causes {
            let _infallible = writeln!(text, "  because {}", ui::printable(cause, false));
        }
        for detail in &self.details {
            let _infallible = writeln!(text, "  | {}", ui::printable(detail, colours));
        }
        for hint in &self.hints {
            let _infallible = writeln!(text, "hint: {hint}");
        }
        ui::print_message(without_passwords(&text).trim_end());
        self.code as u8
    }
}

/// The text with user information of addresses masked: a config that holds a password is shown without it.
fn without_passwords(text: &str) -> String {
    let pattern = regex::Regex::new(r"://[^/\s@]*@").expect("the pattern is well-formed");
    pattern.replace_all(text, "://***@").into_owned()
}

impl From<EnterError> for CommandError {
    fn from(error: EnterError) -> Self {
        let found = Self::new(ExitCode::Backend, &error);
        match error {
            EnterError::Refused(diagnosis) => found.hint(diagnosis.remedy),
            EnterError::Failed { .. } => found.hint("`stager doctor` shows what this machine lets builds do"),
        }
    }
}

impl From<ops::Error> for CommandError {
    fn from(error: ops::Error) -> Self {
        use ops::Error as E;
        match error {
            E::Config(error) => Self::from_config(*error),
            E::Execute(error) => Self::from_execute(&error),
            E::Giterminism(ref refused) => Self::from_giterminism(refused),
            E::Plan { ref source, .. } => Self::from_plan(&error, source),
            E::Dockerfile { .. } => Self::new(ExitCode::Usage, &error)
                .hint("name the other images on the command line, or leave these out by `'!NAME'`"),
            E::ProjectName { .. } => Self::new(ExitCode::Usage, &error)
                .class(Some("meta-project"))
                .hint("a name is latin letters in lower case, digits and inner hyphens, at most 50 of them"),
            E::ConfigOutside { .. } => Self::new(ExitCode::Usage, &error)
                .class(Some("config-path"))
                .hint("a config is read from the commit: move it into the repository, or name one that is there"),
            E::Pattern { .. } | E::NothingChosen { .. } => {
                Self::new(ExitCode::Usage, &error).class(Some("image-selection"))
            }
            E::DevIgnore { .. } | E::Destination(_) | E::RegistriesFile { .. } => {
                Self::new(ExitCode::Usage, &error).class(Some("usage"))
            }
            E::NoSuchImage { ref nearest, ref names, .. } => {
                let found = Self::new(ExitCode::Usage, &error).class(Some("image-selection"));
                match nearest {
                    Some(name) => found.hint(format!("did you mean `{name}`? `stager config list` names them all")),
                    None => found.hint(format!("there are {}; `stager config list` names them all", names.join(", "))),
                }
            }
            E::OutputForOne { .. } => {
                Self::new(ExitCode::Usage, &error).hint("put `%image%` in the output, or name one image")
            }
            E::OutputForOnePlatform { .. } => {
                Self::new(ExitCode::Usage, &error).hint("put `%platform%` in the output, or build one by `--platform`")
            }
            E::Storage(ref storage) => Self::from_storage(&error, storage),
            E::Builder(ref builder) => Self::from_builder(&error, builder),
            E::Tag { .. } => Self::new(ExitCode::Usage, &error).class(Some("publish-tag")),
            E::TagTwice { .. } => Self::new(ExitCode::Usage, &error)
                .class(Some("publish-tag"))
                .hint("put `%image%` into `publish.tags`: it stands for the image's name"),
            E::Publish { ref source, .. } | E::StageStorage { ref source, .. } => Self::from_registry(&error, source),
            E::Vanished { .. } | E::Unusable { .. } | E::Git(GitError::Fetch { .. } | GitError::Busy { .. }) => {
                Self::new(ExitCode::Backend, &error)
            }
            E::Git(ref git) => Self::new(ExitCode::Usage, &error).class(git.code()),
            E::NoDockerConfig => {
                Self::new(ExitCode::Usage, &error).class(Some("usage")).hint("set DOCKER_CONFIG, or HOME")
            }
            E::GivenCredentials(_) => Self::new(ExitCode::Usage, &error)
                .class(Some("usage"))
                .hint("it holds HOST=USER:PASSWORD entries, with white space between them"),
            E::Login(ref registry) => Self::from_login(&error, registry),
            E::NotBuilt { .. } => Self::new(ExitCode::Backend, &error)
                .hint("build this commit for that platform first: `stager build --repo REPO --platform PLATFORM`"),
            E::NoSuchStage { .. } | E::NotWhole { .. } => {
                Self::new(ExitCode::Usage, &error).class(Some("stage")).hint("`stager stages ls` names them all")
            }
            E::Ambiguous { .. } => Self::new(ExitCode::Usage, &error).class(Some("stage")).hint("give more digits"),
        }
    }
}

impl CommandError {
    fn from_config(error: ConfigError) -> Self {
        let code = if error.is_refusal() { ExitCode::Giterminism } else { ExitCode::Usage };
        let mut found = Self::new(code, &error);
        found.message = String::new();
        found.diagnostics = error.diagnostics;
        found.sources = error.sources;
        found
    }

    fn from_giterminism(error: &giterminism::Error) -> Self {
        let code = if error.is_refusal() { ExitCode::Giterminism } else { ExitCode::Usage };
        let mut found = Self::new(code, error).class(error.code());
        found.hints.extend(error.remedy());
        if let giterminism::Error::Rules { text, mistakes } = error {
            found.message = format!("giterminism rules `{}` cannot be used", text.name);
            found.diagnostics.clone_from(mistakes);
            found.sources = vec![(**text).clone()];
        }
        found
    }

    fn from_plan(error: &ops::Error, plan: &PlanError) -> Self {
        match plan {
            PlanError::BaseFile { source: giterminism::Error::Refused(refusal), .. } => {
                Self::new(ExitCode::Giterminism, error).hint(refusal.remedy()).class(Some(refusal.kind.code()))
            }
            PlanError::Latest { source, .. } => Self::from_registry(error, source),
            PlanError::Git(GitError::Fetch { .. } | GitError::Busy { .. } | GitError::Submodule { .. }) => {
                Self::new(ExitCode::Backend, error)
            }
            PlanError::NothingThere { .. } => {
                Self::new(ExitCode::Usage, error).hint("is it committed? paths are relative to the project directory")
            }
            _ => Self::new(ExitCode::Usage, error),
        }
    }

    fn from_storage(error: &dyn StdError, storage: &storage::Error) -> Self {
        let found = Self::new(ExitCode::Backend, error);
        match storage {
            storage::Error::Foreign { .. } => found.hint("set STAGER_HOME to a directory of your own"),
            storage::Error::TooNew { .. } => found.hint("use the newer stager, or another STAGER_HOME"),
            _ => found,
        }
    }

    fn from_builder(error: &dyn StdError, builder: &BuilderError) -> Self {
        let found = Self::new(ExitCode::Backend, error);
        match builder {
            BuilderError::Command { .. } => Self { code: ExitCode::StepFailed, ..found }
                .hint("the command must be in the image: is the base right, is it installed by a stage before?"),
            _ => found.hint("`stager doctor` shows what this machine lets builds do"),
        }
    }

    fn from_execute(error: &execute::Error) -> Self {
        use execute::Error as E;
        match error {
            E::InStage { source, .. } | E::InImage { source, .. } => {
                let inner = Self::from_execute(source);
                let found = Self::new(inner.code, error);
                if found.hints.is_empty() { Self { hints: inner.hints, ..found } } else { found }
            }
            E::StepFailed { output, .. } => Self { details: output.clone(), ..Self::new(ExitCode::StepFailed, error) },
            E::Builder { source, .. } => Self::from_builder(error, source),
            E::Gate { source: giterminism::Error::Refused(refusal), .. } => {
                Self::new(ExitCode::Giterminism, error).hint(refusal.remedy()).class(Some(refusal.kind.code()))
            }
            E::Config { .. } | E::Gate { .. } | E::Filter { .. } | E::Base { .. } | E::BaseDocument { .. } => {
                Self::new(ExitCode::Usage, error)
            }
            E::Interrupted => Self::new(ExitCode::Interrupted, error),
            E::Storage(storage) => Self::from_storage(error, storage),
            E::Pull { source, .. }
            | E::FetchLayer { source, .. }
            | E::Push { source, .. }
            | E::StageStorage { source, .. } => Self::from_registry(error, source),
            _ => Self::new(ExitCode::Backend, error),
        }
    }

    fn from_login(error: &dyn StdError, registry: &registry::Error) -> Self {
        let found = Self::new(ExitCode::Backend, error);
        match registry {
            registry::Error::Cancelled { .. } => Self { code: ExitCode::Interrupted, ..found },
            registry::Error::Unauthorized { .. } | registry::Error::Denied { .. } => {
                found.hint("nothing is kept; some registries want an access token in place of the password")
            }
            registry::Error::NotFound { .. } | registry::Error::Protocol { .. } => found.hint("is this a registry?"),
            registry::Error::Unreachable { .. } | registry::Error::Timeout { .. } => {
                found.hint("is the registry up, and reachable from here?")
            }
            _ => found,
        }
    }

    fn from_registry(error: &dyn StdError, registry: &registry::Error) -> Self {
        let found = Self::new(ExitCode::Backend, error);
        match registry {
            registry::Error::Cancelled { .. } => Self { code: ExitCode::Interrupted, ..found },
            registry::Error::NotFound { .. } => found.hint("is the name right, with its registry and tag?"),
            registry::Error::Unauthorized { task, .. } | registry::Error::Denied { task, .. } => {
                found.hint(format!("log in with `stager login {}`", task.registry()))
            }
            registry::Error::Unreachable { .. } | registry::Error::Timeout { .. } => {
                found.hint("is the registry up, and reachable from here? what is built so far is kept")
            }
            _ => found,
        }
    }
}

/// Tells what clap says of the command line. Help and version are data.
pub(super) fn report_usage(error: &clap::Error) -> u8 {
    use clap::error::ErrorKind;
    let text = error.render().to_string();
    let text = match text.strip_prefix("error: ") {
        Some(rest) => format!("error[usage]: {rest}"),
        None => text,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return u8::from(ui::print_data(&text).is_err());
    }
    ui::print_message(text.trim_end());
    ExitCode::Usage as u8
}
