//! The report of a plan or a build.

use serde::Serialize;
use stages::kind::StageKind;
use stages::plan::Plan;
use stages::{BlobId, CommitId, ImageName, Platform, ProjectName, StageDigest};

/// The version of the report's schema.
///
/// 1: the first one.
pub const SCHEMA: u32 = 1;

/// What was planned or built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The project.
    pub project: ProjectName,
    /// The commit.
    pub commit: CommitId,
    /// Images in build order.
    pub images: Vec<ImageReport>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// Its name.
    pub name: ImageName,
    /// Whether it is an artifact.
    pub artifact: bool,
    /// Its platform.
    pub platform: Platform,
    /// Its digest: that of its last stage.
    pub digest: StageDigest,
    /// Digest of its manifest; known once something was exported or pushed.
    pub manifest: Option<BlobId>,
    /// References it was published or exported under.
    pub tags: Vec<String>,
    /// Its stages in the conveyor's order.
    pub stages: Vec<StageReport>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Its name within the image.
    pub name: String,
    /// What it brings.
    pub kind: StageKind,
    /// Its digest.
    pub digest: StageDigest,
    /// What became of it.
    pub status: StageStatus,
    /// Where it was found.
    pub source: Option<StageSource>,
    /// How long it took, in milliseconds; 0 for one that was found.
    pub duration_ms: u64,
    /// Bytes that it added, when known.
    pub size: Option<u64>,
}

/// What became of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StageStatus {
    /// Not looked for yet.
    Planned,
    /// Found by its digest.
    Reused,
    /// Made in this run.
    Built,
    /// Found by the content of its inputs: nothing was run.
    Relabelled,
    /// It has no inputs.
    Absent,
}

/// Where a stage was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StageSource {
    /// The store of this machine.
    Local,
    /// `--repo`.
    Repo,
    /// A `--secondary-repo`.
    Secondary,
    /// `--cache-repo`.
    Cache,
}

impl BuildReport {
    /// The report of a plan: every stage is planned.
    pub fn planned(plan: &Plan) -> Self {
        let images = plan.images.iter().map(|image| ImageReport {
            name: image.name.clone(),
            artifact: image.artifact,
            platform: image.platform.clone(),
            digest: image.digest(),
            manifest: None,
            tags: Vec::new(),
            stages: image
                .stages
                .iter()
                .map(|stage| StageReport {
                    name: stage.slot.name().to_owned(),
                    kind: stage.kind,
                    digest: stage.digest,
                    status: StageStatus::Planned,
                    source: None,
                    duration_ms: 0,
                    size: None,
                })
                .collect(),
        });
        Self { schema: SCHEMA, project: plan.project.clone(), commit: plan.commit.clone(), images: images.collect() }
    }
}

impl StageStatus {
    /// The word of the schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Reused => "reused",
            Self::Built => "built",
            Self::Relabelled => "relabelled",
            Self::Absent => "absent",
        }
    }
}
