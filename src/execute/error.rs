//! Why a run failed.

use stages::{BlobId, StageDigest};

use crate::builder::BuilderError;
use crate::git::GitError;
use crate::image;
use crate::layer;
use crate::registry;
use crate::report::StageId;
use crate::storage;

/// A blob that can't be had, or is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostBlob {
    /// Which.
    pub blob: BlobId,
    /// Where; `None` for anywhere.
    pub repository: Option<registry::Repository>,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step's command ended badly.
    #[error("stage `{}` of image `{}` failed: the command {how}", stage.stage, stage.image)]
    StepFailed {
        /// Which stage.
        stage: StageId,
        /// How it ended, as the end of a sentence.
        how: String,
        /// The last lines that it printed.
        output: Vec<String>,
    },
    /// A step could not be run.
    #[error("cannot run stage `{}` of image `{}`", stage.stage, stage.image)]
    Builder {
        /// Which stage.
        stage: StageId,
        /// Why.
        #[source]
        source: BuilderError,
    },
    /// The config asks for something that this base or commit doesn't have.
    #[error("stage `{}` of image `{}`: {message}", stage.stage, stage.image)]
    Config {
        /// Which stage.
        stage: StageId,
        /// What is wrong.
        message: String,
    },
    /// A secret or base file that can't be had, or that giterminism refuses.
    #[error("stage `{}` of image `{}`: cannot use {what}", stage.stage, stage.image)]
    Gate {
        /// Which stage.
        stage: StageId,
        /// What was asked for.
        what: String,
        /// Why not.
        #[source]
        source: crate::giterminism::Error,
    },
    /// A registry.
    #[error("stage `{}` of image `{}`: cannot take `{reference}` from its registry", stage.stage, stage.image)]
    Pull {
        /// Which stage.
        stage: StageId,
        /// What was asked for.
        reference: String,
        /// Why not.
        #[source]
        source: registry::Error,
    },
    /// A stage storage.
    #[error("cannot look for stages in {repository}")]
    StageStorage {
        /// Which.
        repository: String,
        /// Why not.
        #[source]
        source: registry::Error,
    },
    /// Another builder's claim.
    #[error("waited {} s for {what}", waited.as_secs())]
    ClaimDeadline {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: std::time::Duration,
    },
    /// A claim that was written and can't be read.
    #[error(
        "stage `{}` of image `{}`: {repository} does not show the claim that was written there",
        stage.stage,
        stage.image
    )]
    ClaimUnseen {
        /// Which stage.
        stage: StageId,
        /// Where.
        repository: String,
    },
    /// A layer of a base that must be fetched.
    #[error("cannot fetch layer {blob} of `{reference}`")]
    FetchLayer {
        /// The blob.
        blob: BlobId,
        /// The image it belongs to.
        reference: String,
        /// Why not.
        #[source]
        source: registry::Error,
    },
    /// A layer of a base that is not there, and that no registry is known for.
    #[error("layer {blob} of a base is gone from the store, and no registry is known to have it")]
    LayerGone {
        /// The blob.
        blob: BlobId,
    },
    /// A base whose layer is not what its config says.
    #[error("layer {blob} of a base unpacks to {found}, its image config says {expected}")]
    WrongDiffId {
        /// The compressed blob.
        blob: BlobId,
        /// From the config.
        expected: BlobId,
        /// As computed.
        found: BlobId,
    },
    /// A layer that a stage has, and that the index doesn't know.
    #[error("the index has lost layer {layer}")]
    LayerForgotten {
        /// Which.
        layer: stages::ContentId,
    },
    /// Patterns of a stored recipe.
    #[error("a stored recipe has an unreadable pattern")]
    StoredFilter(#[source] stages::filter::FilterError),
    /// Reading or writing a layer.
    #[error("cannot read or write a layer")]
    Layer(#[from] layer::Error),
    /// Reading a base.
    #[error("stage `{}` of image `{}`: cannot read the base {base}", stage.stage, stage.image)]
    Base {
        /// Which stage.
        stage: StageId,
        /// Which base.
        base: String,
        /// Why not.
        #[source]
        source: image::read::ReadError,
    },
    /// A manifest or config of a base.
    #[error("stage `{}` of image `{}`: the base {base} is not an image that can be used", stage.stage, stage.image)]
    BaseDocument {
        /// Which stage.
        stage: StageId,
        /// Which base.
        base: String,
        /// Why not.
        #[source]
        source: image::spec::SpecError,
    },
    /// Assembling an image.
    #[error("cannot assemble image `{image}`")]
    Assemble {
        /// Which.
        image: stages::ImageName,
        /// Why not.
        #[source]
        source: image::assemble::AssembleError,
    },
    /// Writing an image.
    #[error("cannot write {destination}")]
    Write {
        /// Where to.
        destination: String,
        /// Why not.
        #[source]
        source: image::write::WriteError,
    },
    /// A Docker Engine.
    #[error("cannot load into {destination}")]
    Daemon {
        /// Where to.
        destination: String,
        /// Why not.
        #[source]
        source: image::daemon::DaemonError,
    },
    /// Git content.
    #[error("cannot read git content")]
    Git(#[from] GitError),
    /// Patterns of a mapping or an import.
    #[error("stage `{}` of image `{}`", stage.stage, stage.image)]
    Filter {
        /// Which stage.
        stage: StageId,
        /// What is wrong with a pattern.
        #[source]
        source: stages::filter::FilterError,
    },
    /// The store.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A lock was not had.
    #[error(transparent)]
    Lock(storage::LockError),
    /// A file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A stored image config that can't be read.
    #[error("the stored image config of {digest} is unreadable")]
    StoredConfig {
        /// The stage.
        digest: StageDigest,
        /// Why.
        #[source]
        source: image::spec::SpecError,
    },
    /// A push to `registry:`.
    #[error("cannot push `{reference}`")]
    Push {
        /// Where to.
        reference: String,
        /// Why not.
        #[source]
        source: registry::Error,
    },
    /// Something failed while a stage was made.
    #[error("stage `{}` of image `{}` cannot be made", stage.stage, stage.image)]
    InStage {
        /// Which stage.
        stage: StageId,
        /// What failed.
        #[source]
        source: Box<Error>,
    },
    /// Something failed while an image was written.
    #[error("image `{image}` cannot be written")]
    InImage {
        /// Which image.
        image: stages::ImageName,
        /// What failed.
        #[source]
        source: Box<Error>,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// A stage was begun before one it needs: a defect of the plan.
    #[error("stage `{}` of image `{}` needs {digest}, which is not there", stage.stage, stage.image)]
    MissingNeed {
        /// Which stage.
        stage: StageId,
        /// What it needs.
        digest: StageDigest,
    },
    /// A stage that must have a parent has none: a defect of the plan.
    #[error("stage `{}` of image `{}` has no parent", stage.stage, stage.image)]
    NoParent {
        /// Which stage.
        stage: StageId,
    },
    /// A worker thread ended without an answer.
    #[error("a worker ended without an answer")]
    WorkerDied,
}

impl Error {
    /// The blob that a registry doesn't have, or not as it should be, when that is why the run failed.
    pub fn lost_blob(&self) -> Option<LostBlob> {
        use registry::Error as E;
        match self {
            Self::InStage { source, .. } | Self::InImage { source, .. } => source.lost_blob(),
            Self::FetchLayer { blob, reference, source } => {
                let lost = matches!(source, E::NotFound { .. } | E::DigestMismatch { .. } | E::SizeMismatch { .. });
                let reference = reference.parse::<registry::Reference>().ok();
                let repository = reference.map(|reference| reference.repository().clone());
                lost.then_some(LostBlob { blob: *blob, repository })
            }
            Self::WrongDiffId { blob, .. } | Self::LayerGone { blob } => {
                Some(LostBlob { blob: *blob, repository: None })
            }
            _ => None,
        }
    }

    /// The error with the stage it belongs to, where its own text does not name it.
    pub(super) fn in_stage(self, stage: &StageId) -> Self {
        match self {
            Self::FetchLayer { .. }
            | Self::LayerGone { .. }
            | Self::WrongDiffId { .. }
            | Self::LayerForgotten { .. }
            | Self::StoredFilter(_)
            | Self::Layer(_)
            | Self::Git(_)
            | Self::Storage(_)
            | Self::Io(_) => Self::InStage { stage: stage.clone(), source: Box::new(self) },
            other => other,
        }
    }
}

impl From<storage::LockError> for Error {
    fn from(error: storage::LockError) -> Self {
        match error {
            storage::LockError::Cancelled { .. } => Self::Interrupted,
            other => Self::Lock(other),
        }
    }
}
