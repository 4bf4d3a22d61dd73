//! What the conveyor makes of a config: every stage with its digest and what to do for it.

use std::sync::Arc;

use crate::digest::Inputs;
use crate::ids::{CommitId, ImageName, ObjectId, Platform, ProjectName, StageDigest};
use crate::kind::{Slot, StageKind};
use crate::spec::{Base, DockerfileImage, GitMapping, ImageTest, ImageVariable, Import, Mount, Packages, Post, Step};

/// All images of a config at one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The project.
    pub project: ProjectName,
    /// The commit it was made from.
    pub commit: CommitId,
    /// Images in an order in which each one comes after those it needs; for several platforms, each platform in turn.
    pub images: Vec<PlannedImage>,
}

impl Plan {
    /// The image of that name and platform.
    pub fn image(&self, name: &ImageName, platform: &Platform) -> Option<&PlannedImage> {
        self.images.iter().find(|image| image.name == *name && image.platform == *platform)
    }
}

/// An image with its stages.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedImage {
    /// Its name.
    pub name: ImageName,
    /// Artifacts are never published.
    pub artifact: bool,
    /// Whether it is meant to be published.
    pub is_final: bool,
    /// The platform it is for.
    pub platform: Platform,
    /// Stages in the conveyor's order; absent ones are left out. Never empty.
    pub stages: Vec<PlannedStage>,
    /// Tags to publish it under.
    pub publish_tags: Vec<String>,
    /// Tests of the finished image.
    pub tests: Vec<ImageTest>,
}

impl PlannedImage {
    /// The images of the config that it stands on or imports from.
    pub fn needed_images(&self) -> impl Iterator<Item = &ImageName> {
        self.stages.iter().flat_map(|stage| -> Vec<&ImageName> {
            match &stage.task {
                StageTask::Image { name } => vec![name],
                StageTask::Imports { imports, variables } => {
                    let files = imports.iter().filter_map(|planned| planned.import.source.image());
                    files.chain(variables.iter().map(|planned| &planned.variable.image)).collect()
                }
                StageTask::Dockerfile { variables, .. } => {
                    variables.iter().map(|planned| &planned.variable.image).collect()
                }
                _ => Vec::new(),
            }
        })
    }

    /// The digest of the whole image: that of its last stage.
    pub fn digest(&self) -> StageDigest {
        self.stages.last().expect("a planned image has at least its from stage").digest
    }

    /// The digest of the image as it stands after a stage; of the whole image when it has no such stage.
    pub fn digest_after(&self, slot: &Slot) -> StageDigest {
        let of = |slot: &Slot| self.stages.iter().find(|stage| stage.slot == *slot).map(|stage| stage.digest);
        of(&slot.so_far()).or_else(|| of(slot)).unwrap_or_else(|| self.digest())
    }
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStage {
    /// Its place in the conveyor.
    pub slot: Slot,
    /// What it brings.
    pub kind: StageKind,
    /// Its name in every storage.
    pub digest: StageDigest,
    /// The stage it stands on; `None` for an outside base.
    pub parent: Option<StageDigest>,
    /// What entered the digest, beside the parent.
    pub inputs: Inputs,
    /// What to do when no storage has it.
    pub task: StageTask,
}

impl PlannedStage {
    /// The digests of the stages that must be there before this one can be made, each once, the parent first.
    pub fn needs(&self) -> Vec<StageDigest> {
        let named: Vec<StageDigest> = match &self.task {
            StageTask::Imports { imports, variables } => {
                let files = imports.iter().filter_map(|import| import.source);
                files.chain(variables.iter().filter_map(|variable| variable.source)).collect()
            }
            StageTask::Dockerfile { variables, .. } => {
                variables.iter().filter_map(|variable| variable.source).collect()
            }
            StageTask::Run { git: Some(view), .. } => vec![view.after],
            StageTask::Post { git: Some(git), .. } => vec![git.stage, git.after],
            _ => Vec::new(),
        };
        let mut needs: Vec<StageDigest> = Vec::new();
        for needed in self.parent.into_iter().chain(named) {
            if !needs.contains(&needed) {
                needs.push(needed);
            }
        }
        needs
    }
}

/// What to do for a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum StageTask {
    /// Take an outside base.
    Base {
        /// Which one.
        base: Base,
    },
    /// Stand on another image of the config: nothing to do.
    Image {
        /// Which one.
        name: ImageName,
    },
    /// Install packages.
    Packages {
        /// Which.
        packages: Packages,
        /// Mounts of the image.
        mounts: Vec<Mount>,
    },
    /// Place git content.
    Git {
        /// The mappings with what they resolve to at this commit.
        mappings: Arc<[ResolvedMapping]>,
    },
    /// Run a command.
    Run {
        /// The step.
        step: Arc<Step>,
        /// Mounts of the image.
        mounts: Vec<Mount>,
        /// The git files it sees; `None` when the image maps none, or it declares none of them.
        git: Option<GitView>,
    },
    /// Copy files from other images, and set variables that name them.
    Imports {
        /// In order.
        imports: Vec<PlannedImport>,
        /// In order.
        variables: Vec<PlannedVariable>,
    },
    /// Make an image by a Dockerfile.
    Dockerfile {
        /// As the config says.
        image: Box<DockerfileImage>,
        /// Build arguments that name other images.
        variables: Vec<PlannedVariable>,
    },
    /// Make symlinks, set the image config, and stack the image: git content under the layers of the steps.
    Post {
        /// What the config says.
        post: Box<Post>,
        /// The git stage, when the image has one.
        git: Option<GitPlace>,
    },
}

/// A git mapping at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedMapping {
    /// The mapping as written.
    pub mapping: GitMapping,
    /// The root tree of the repository (for the local one: of the project directory).
    pub tree: ObjectId,
}

/// The git files that a step sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitView {
    /// The mappings.
    pub mappings: Arc<[ResolvedMapping]>,
    /// Patterns relative to each repository's root; `None` means all.
    pub files: Option<Vec<String>>,
    /// The stage that git content lies right above.
    pub after: StageDigest,
}

/// Where an image's git content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitPlace {
    /// The git stage.
    pub stage: StageDigest,
    /// The stage that it lies right above.
    pub after: StageDigest,
}

/// An import with its source resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedImport {
    /// As written.
    pub import: Import,
    /// The digest of the image of this config that it takes from; `None` for an outside reference.
    pub source: Option<StageDigest>,
}

/// A variable that names another image, with that image resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedVariable {
    /// As written.
    pub variable: ImageVariable,
    /// The digest of the image that it names.
    pub source: Option<StageDigest>,
    /// The repository that the image is named in.
    pub repository: String,
}
