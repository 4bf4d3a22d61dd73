//! `stager publish-index`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use stages::{ImageName, Platform, StageDigest};

use super::project::{OpenProject, ProjectOptions};
use super::promotion::{AT_ONCE, Promotion, promote, promotions};
use super::repositories::Repositories;
use super::{Error, select};
use crate::builder::CancelToken;
use crate::image::spec::Descriptor;
use crate::registry::side_by_side;
use crate::report::EventSink;
use crate::storage::RemoteStore;

/// Which images are published, and where.
#[derive(Debug, Clone)]
pub struct PublishIndexOptions {
    /// Which project, and for which platforms.
    pub project: ProjectOptions,
    /// Names and globs of images; empty for all.
    pub images: Vec<String>,
    /// The storage that has the stages, and where finished images go.
    pub repositories: Repositories,
    /// The store's root directory.
    pub store: PathBuf,
}

/// Joins the platforms of images that were built elsewhere, each one maybe on another machine: puts their indexes and tags.
/// Returns what each image is called, in the order of the images' names.
pub fn publish_index(
    options: &PublishIndexOptions,
    events: &Arc<dyn EventSink>,
    cancel: &CancelToken,
) -> Result<Vec<(ImageName, Vec<String>)>, Error> {
    let project = OpenProject::open(&options.project, &options.store, cancel, events)?;
    let plan = project.plan(options.repositories.main.as_ref())?;
    let images = select(&plan, &options.images)?;
    let roles = options.repositories.open(&project.registry);
    let promotions = promotions(&images, &roles)?;
    let Some(main) = &roles.main else { return Ok(Vec::new()) };
    let tags = promote(&promotions, &roles, &manifests(&promotions, main)?)?;
    let mut named: BTreeMap<ImageName, Vec<String>> = BTreeMap::new();
    for ((image, _), tags) in tags {
        let names = named.entry(image).or_default();
        let new: Vec<String> = tags.into_iter().filter(|tag| !names.contains(tag)).collect();
        names.extend(new);
    }
    Ok(named.into_iter().collect())
}

/// The last stage of each platform as the storage has it.
fn manifests(promotions: &[Promotion], main: &RemoteStore) -> Result<BTreeMap<StageDigest, Descriptor>, Error> {
    let wanted: Vec<(&ImageName, &Platform, &StageDigest)> = promotions
        .iter()
        .flat_map(|promotion| promotion.stages.iter().map(|(platform, stage)| (&promotion.image, platform, stage)))
        .collect();
    let found = side_by_side(&wanted, AT_ONCE, |(image, platform, stage)| {
        let failed = |source| Error::Publish { reference: main.image(stage).to_string(), source };
        let manifest = main.manifest(stage).map_err(failed)?;
        let manifest = manifest.ok_or_else(|| Error::NotBuilt {
            image: (*image).clone(),
            platform: (*platform).clone(),
            stage: **stage,
            repository: main.repository().to_string(),
        })?;
        Ok::<_, Error>((**stage, manifest))
    })?;
    Ok(found.into_iter().collect())
}
