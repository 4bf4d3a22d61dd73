//! The dialects, and what each of them lowers to.

use std::fmt;
use std::str::FromStr;

use stages::ids::{ImageName, Platform, ProjectName};
use stages::spec::ImageSpec;

use super::claim::Claim;
use super::cleanup::CleanupPolicies;
use super::login::GitLogin;
use super::werf::Semantics;
use super::yaml::Mark;
use crate::source::Diagnostic;

/// A format that configs are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// `stager.yaml`, the native one.
    Stager,
    /// `werf.yaml`, of a line of werf.
    Werf(Semantics),
    /// `dappfile.yml`.
    Dapp,
    /// Dalec specs.
    Dalec,
    /// `devspace.yaml`.
    Devspace,
    /// Dockerfiles.
    Dockerfile,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 7] = [
        Self::Stager,
        Self::Werf(Semantics::V2),
        Self::Werf(Semantics::V3),
        Self::Dapp,
        Self::Dalec,
        Self::Devspace,
        Self::Dockerfile,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stager => "stager",
            Self::Werf(Semantics::V2) => "werf",
            Self::Werf(Semantics::V3) => "werf-v3",
            Self::Dapp => "dapp",
            Self::Dalec => "dalec",
            Self::Devspace => "devspace",
            Self::Dockerfile => "dockerfile",
        }
    }

    /// The name that its files have first of all.
    pub fn file_name(self) -> Option<&'static str> {
        DISCOVERED.iter().find(|(_, dialect)| self.has_files_of(*dialect)).map(|(name, _)| *name)
    }

    /// Whether it is a dialect of werf's files.
    pub fn is_werf(self) -> bool {
        matches!(self, Self::Werf(_))
    }

    /// Whether files of the one have the names of the other.
    pub fn has_files_of(self, other: Self) -> bool {
        self == other || (self.is_werf() && other.is_werf())
    }

    /// The dialect that a file's name stands for.
    pub fn of_file(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        DISCOVERED.iter().find(|(known, _)| *known == name).map(|(_, dialect)| *dialect)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown dialect `{0}`: the dialects are stager, werf, werf-v3, dapp, dalec, devspace and dockerfile")]
pub struct UnknownDialect(pub String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == text).ok_or_else(|| UnknownDialect(text.to_owned()))
    }
}

/// The files looked for in a project, in this order, and what they are unless they say otherwise.
pub const DISCOVERED: &[(&str, Dialect)] = &[
    ("stager.yaml", Dialect::Stager),
    ("stager.yml", Dialect::Stager),
    ("werf.yaml", Dialect::Werf(Semantics::V2)),
    ("werf.yml", Dialect::Werf(Semantics::V2)),
    ("dappfile.yml", Dialect::Dapp),
    ("dappfile.yaml", Dialect::Dapp),
    ("devspace.yaml", Dialect::Devspace),
];

/// What a dialect makes of its documents.
#[derive(Debug, Default)]
pub(crate) struct Lowered {
    /// The project; `None` when its document has an error.
    pub(crate) project: Option<LoweredProject>,
    /// Images and artifacts, those with an error too.
    pub(crate) images: Vec<LoweredImage>,
    /// What giterminism has a say in.
    pub(crate) claims: Vec<(Claim, Mark)>,
    /// Who to be at git servers.
    pub(crate) logins: Vec<(GitLogin, Mark)>,
    /// What is wrong.
    pub(crate) problems: Vec<Diagnostic>,
    /// What lets the config be read, but nothing of it be built.
    pub(crate) at_build: Vec<Diagnostic>,
}

/// What holds for the whole project.
#[derive(Debug)]
pub(crate) struct LoweredProject {
    pub(crate) name: ProjectName,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) cache_version: String,
    pub(crate) cleanup: CleanupPolicies,
}

/// One image or artifact, and where its names are written.
#[derive(Debug)]
pub(crate) struct LoweredImage {
    pub(crate) name: ImageName,
    pub(crate) artifact: bool,
    pub(crate) mark: Mark,
    pub(crate) base_mark: Option<Mark>,
    /// Of its imports in the conveyor's order.
    pub(crate) import_marks: Vec<Mark>,
    /// Of its variables that name other images, in the conveyor's order.
    pub(crate) variable_marks: Vec<Mark>,
    /// Images that it names, whatever of them it takes.
    pub(crate) mentions: Vec<(ImageName, Mark)>,
    /// `None` when the document has an error.
    pub(crate) spec: Option<ImageSpec>,
}
