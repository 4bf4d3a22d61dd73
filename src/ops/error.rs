//! Why an operation failed.

use std::path::PathBuf;

use stages::{ImageName, Platform, StageDigest};

use crate::builder::BuilderError;
use crate::config::ConfigError;
use crate::execute;
use crate::git::GitError;
use crate::image::write::DestinationError;
use crate::plan::PlanError;
use crate::{giterminism, registry, storage};

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project's repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The config.
    #[error(transparent)]
    Config(Box<ConfigError>),
    /// Giterminism refuses something.
    #[error(transparent)]
    Giterminism(#[from] giterminism::Error),
    /// The plan.
    #[error("{place}cannot plan image `{image}`")]
    Plan {
        /// Which image.
        image: ImageName,
        /// Where the config declares it, `file:line: `; empty when that is not known.
        place: String,
        /// Why not.
        #[source]
        source: PlanError,
    },
    /// A name for the project that is given beside the config.
    #[error("WERF_PROJECT_NAME is no project name: `{name}`")]
    ProjectName {
        /// As given.
        name: String,
    },
    /// A config outside of the repository.
    #[error("the config `{path}` is outside of the git repository")]
    ConfigOutside {
        /// As given, relative to the project directory.
        path: String,
    },
    /// A pattern of image names.
    #[error("`{pattern}` is not a pattern: {reason}")]
    Pattern {
        /// As given.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A pattern of changes to leave out of a snapshot.
    #[error("`--dev-ignore {pattern}` is not a pattern: {reason}")]
    DevIgnore {
        /// As given.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A pattern that names no image.
    #[error("the config has no image `{pattern}`")]
    NoSuchImage {
        /// The names there are, the first few.
        names: Vec<String>,
        /// As given.
        pattern: String,
        /// The name most like it.
        nearest: Option<String>,
    },
    /// Nothing to build.
    #[error("{}", if patterns.is_empty() { "the config has artifacts only, and builds those by name".to_owned() } else { format!("`{}` leaves no image", patterns.join(" ")) })]
    NothingChosen {
        /// As given.
        patterns: Vec<String>,
    },
    /// Images of Dockerfiles.
    #[error("cannot build {}: images made by a Dockerfile can be planned, but not built yet", quoted(images))]
    Dockerfile {
        /// Their names.
        images: Vec<ImageName>,
    },
    /// An output.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// An output for one image, and several are built.
    #[error("the output `{output}` takes one image, and {images} are built")]
    OutputForOne {
        /// As given.
        output: String,
        /// How many.
        images: usize,
    },
    /// An output for one platform, and several are built.
    #[error("the output `{output}` takes one platform, and several are built")]
    OutputForOnePlatform {
        /// As given.
        output: String,
    },
    /// The store.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The builder can't be used.
    #[error("cannot start the builder")]
    Builder(#[source] BuilderError),
    /// Running the plan.
    #[error(transparent)]
    Execute(#[from] execute::Error),
    /// A tag to publish.
    #[error("`{tag}` is no tag that an image can be published under")]
    Tag {
        /// With the image's name filled in.
        tag: String,
        /// Why not.
        #[source]
        source: registry::Error,
    },
    /// Two images under one tag.
    #[error("the images {} would both be published as `{reference}`", quoted(images))]
    TagTwice {
        /// Where.
        reference: String,
        /// Which images.
        images: [ImageName; 2],
    },
    /// A finished image.
    #[error("cannot publish `{reference}`")]
    Publish {
        /// Under which name.
        reference: String,
        /// Why not.
        #[source]
        source: registry::Error,
    },
    /// An image whose last stage is not in the storage.
    #[error("image `{image}` for {platform} is not in {repository}: there is no stage {stage}")]
    NotBuilt {
        /// Which image.
        image: ImageName,
        /// For which platform.
        platform: Platform,
        /// Its last stage.
        stage: StageDigest,
        /// Where it was looked for.
        repository: String,
    },
    /// A repository with stages.
    #[error("cannot read the stages of {repository}")]
    StageStorage {
        /// Which.
        repository: String,
        /// Why.
        #[source]
        source: registry::Error,
    },
    /// A stage that nobody has.
    #[error("there is no stage {stage} in {place}")]
    NoSuchStage {
        /// Its digest, or what that begins with.
        stage: String,
        /// Where it was looked for.
        place: String,
    },
    /// Digits that several stages begin with.
    #[error("several stages begin with {digits}: {}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// As given.
        digits: String,
        /// The first few of them.
        found: Vec<StageDigest>,
    },
    /// The beginning of a digest, where the whole of it is needed.
    #[error("{digits} is not a whole digest, which a repository needs")]
    NotWhole {
        /// As given.
        digits: String,
    },
    /// A stage that can't be read or copied.
    #[error("stage {stage} of {place} cannot be used: {reason}")]
    Unusable {
        /// Which.
        stage: StageDigest,
        /// Where.
        place: String,
        /// Why not.
        reason: String,
    },
    /// There is no place for credentials.
    #[error("there is no directory of docker's config to keep credentials in")]
    NoDockerConfig,
    /// The settings for registries can't be read.
    #[error("cannot read the settings for registries, {}", path.display())]
    RegistriesFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Credentials of the environment.
    #[error("STAGER_REGISTRY_AUTH cannot be used")]
    GivenCredentials(#[source] registry::Error),
    /// Logging in or out.
    #[error(transparent)]
    Login(registry::Error),
    /// A stage that was there is gone.
    #[error("the last stage of image `{image}` was removed while this build ran")]
    Vanished {
        /// Which image.
        image: ImageName,
    },
}

impl Error {
    /// The blob that a registry doesn't have, or not as it should be, when that is why the run failed.
    pub(super) fn lost_blob(&self) -> Option<execute::LostBlob> {
        match self {
            Self::Execute(error) => error.lost_blob(),
            _ => None,
        }
    }
}

fn quoted(images: &[ImageName]) -> String {
    let names: Vec<String> = images.iter().map(|image| format!("`{image}`")).collect();
    names.join(", ")
}
