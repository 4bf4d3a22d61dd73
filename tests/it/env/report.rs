//! The report of `build --report` and the plan of `plan --format json`: one schema, as a reader outside would type it.

use std::fmt::Write;
use std::path::Path;

use fs_err as fs;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) project: String,
    pub(crate) commit: String,
    pub(crate) images: Vec<Image>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) artifact: bool,
    pub(crate) platform: String,
    pub(crate) digest: String,
    pub(crate) manifest: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) digest: String,
    pub(crate) status: Status,
    pub(crate) source: Option<String>,
    pub(crate) duration_ms: Option<f64>,
    pub(crate) size: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Planned,
    Reused,
    Built,
    Relabelled,
    Absent,
}

impl Report {
    pub(crate) fn read(path: &Path) -> Self {
        Self::parse(&fs::read_to_string(path).unwrap())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let report: Self = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in report:\n{text}"));
        assert_eq!(report.schema, 1, "version of the report schema");
        report
    }

    #[track_caller]
    pub(crate) fn image(&self, name: &str) -> &Image {
        let image = self.images.iter().find(|image| image.name == name);
        image.unwrap_or_else(|| panic!("no image {name} in {:?}", self.images))
    }

    /// The names of the stages that were built, as `image/stage`, sorted.
    pub(crate) fn built(&self) -> Vec<String> {
        self.with_status(Status::Built)
    }

    /// The names of the stages with this status, as `image/stage`, sorted.
    pub(crate) fn with_status(&self, status: Status) -> Vec<String> {
        let mut names = Vec::new();
        for image in &self.images {
            let stages = image.stages.iter().filter(|stage| stage.status == status);
            names.extend(stages.map(|stage| format!("{}/{}", image.name, stage.name)));
        }
        names.sort();
        names
    }

    /// What happened to the build steps, a line for each.
    pub(crate) fn steps(&self) -> String {
        let mut lines = String::new();
        for image in &self.images {
            for stage in image.stages.iter().filter(|stage| stage.kind == "build") {
                let _ = writeln!(lines, "{} {} {:?}", image.name, stage.name, stage.status);
            }
        }
        lines
    }

    /// The digest of every image, by its place.
    pub(crate) fn digests(&self) -> Vec<(&str, &str)> {
        self.images.iter().map(|image| (image.name.as_str(), image.digest.as_str())).collect()
    }

    /// The digest of every image's manifest, where it is known.
    pub(crate) fn manifests(&self) -> Vec<(&str, &str)> {
        self.images.iter().filter_map(|image| Some((image.name.as_str(), image.manifest.as_deref()?))).collect()
    }
}
