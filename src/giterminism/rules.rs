//! The typed content of `stager-giterminism.yaml` and `werf-giterminism.yaml`.

use super::error::Error;
use super::patterns::{Branches, HostPaths, Names, Paths};
use super::rules_file;
use crate::source::{Diagnostic, SourceFile};

/// Where rules are looked for; what any of them allows is allowed.
pub const RULES_FILES: [&str; 2] = ["stager-giterminism.yaml", "werf-giterminism.yaml"];

/// How entries of a file of rules are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Names may be globs.
    Stager,
    /// As werf reads its own file: a `*` in a name is a `*`.
    Werf,
}

impl Flavour {
    pub(super) fn of_file(file: &str) -> Self {
        let name = file.rsplit('/').next().unwrap_or(file);
        if name == RULES_FILES[1] { Self::Werf } else { Self::Stager }
    }
}

/// What a project lets in from outside of the commit. The default allows nothing.
#[derive(Debug, Default)]
pub struct Rules {
    /// `cli.allowCustomTags`.
    pub(super) custom_tags: bool,
    /// `config.allowUncommitted`.
    pub(super) config: bool,
    /// `config.allowUncommittedTemplates`.
    pub(super) templates: Paths,
    /// `config.goTemplateRendering`.
    pub(super) rendering: RenderingRules,
    /// `config.stapel`.
    pub(super) stapel: StapelRules,
    /// `config.dockerfile`.
    pub(super) dockerfile: DockerfileRules,
    /// `config.secrets`.
    pub(super) secrets: SecretRules,
    /// `config.native`.
    pub(super) native: NativeRules,
    /// `includes.allowIncludesUpdate`.
    pub(super) includes_update: bool,
    /// Keys of werf's file that are there again further down.
    pub(super) repeated: Vec<Diagnostic>,
    /// Keys of werf's file that mean nothing.
    pub(super) unread: Vec<Diagnostic>,
    /// The file, where it has such keys.
    pub(super) text: Option<Box<SourceFile>>,
}

#[derive(Debug, Default)]
pub(super) struct RenderingRules {
    pub(super) variables: Names,
    pub(super) files: Paths,
}

#[derive(Debug, Default)]
pub(super) struct StapelRules {
    pub(super) from_latest: bool,
    pub(super) branches: bool,
    pub(super) build_dir: bool,
    pub(super) from_paths: HostPaths,
}

#[derive(Debug, Default)]
pub(super) struct DockerfileRules {
    pub(super) dockerfiles: Paths,
    pub(super) dockerignores: Paths,
    pub(super) context_files: Paths,
}

#[derive(Debug, Default)]
pub(super) struct SecretRules {
    pub(super) variables: Names,
    pub(super) files: HostPaths,
    pub(super) values: Names,
}

#[derive(Debug, Default)]
pub(super) struct NativeRules {
    pub(super) from_latest: bool,
    pub(super) base_files: HostPaths,
    pub(super) branches: Branches,
    pub(super) host_mounts: HostPaths,
    pub(super) host_network: bool,
}

impl Rules {
    /// Reads a file of rules. All mistakes are reported at once, each with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        rules_file::read(file, text)
    }
}
