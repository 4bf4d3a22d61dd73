//! The six kinds of stages, and slots: the places of a conveyor.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a stage brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// A base from outside of the config.
    From,
    /// Another image of the config as base.
    #[serde(rename = "fromImage")]
    FromImage,
    /// An artifact of the config as base.
    #[serde(rename = "fromArtifact")]
    FromArtifact,
    /// Content that the project's own steps need: packages, git files, imports, and steps that prepare.
    Deps,
    /// A command; one stage for each step.
    Build,
    /// Symlinks and image config.
    ImagePost,
}

impl StageKind {
    /// The conveyor's own name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::FromImage => "fromImage",
            Self::FromArtifact => "fromArtifact",
            Self::Deps => "deps",
            Self::Build => "build",
            Self::ImagePost => "image-post",
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A place in the conveyor, such as `deps/git` or `build/compile`: names a stage within its image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(String);

impl Slot {
    /// A slot of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The slot of the image as it stands after this one, where that is a stage of its own.
    pub(crate) fn so_far(&self) -> Self {
        Self(format!("{}/image", self.0))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
