//! What must be made: looked for from the end.
//!
//! The last stage of an image is asked for first. When it is there, nothing before it is looked at, so a fully cached image
//! costs one look-up. When it is not, the stages it needs are asked for, and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stages::StageDigest;
use stages::plan::{Plan, PlannedImage, PlannedStage};

use super::Error;
use crate::storage::StageRecord;

/// A stage of a plan, with the image it belongs to (the first one, when several have it).
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) image: &'a PlannedImage,
    pub(super) stage: &'a PlannedStage,
}

/// What was found, and what must be made.
#[derive(Debug, Default)]
pub struct Need<'a> {
    pub(super) found: BTreeMap<StageDigest, Arc<StageRecord>>,
    pub(super) missing: BTreeMap<StageDigest, Node<'a>>,
}

impl Need<'_> {
    /// How many stages must be made.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// The stages that must be made.
    pub fn missing_stages(&self) -> impl Iterator<Item = &StageDigest> {
        self.missing.keys()
    }

    /// The stages that were found.
    pub fn found(&self) -> impl Iterator<Item = &StageDigest> {
        self.found.keys()
    }
}

/// Looks for the images' stages from the end. `look_up` gives the record of a stage whose objects are there.
pub(super) fn look<'a>(
    plan: &'a Plan,
    images: &[&'a PlannedImage],
    mut look_up: impl FnMut(&StageDigest) -> Result<Option<StageRecord>, Error>,
) -> Result<Need<'a>, Error> {
    let nodes = nodes(plan);
    let mut need = Need::default();
    let mut seen = BTreeSet::new();
    let mut pending: Vec<StageDigest> = images.iter().map(|image| image.digest()).collect();
    while let Some(digest) = pending.pop() {
        if !seen.insert(digest) {
            continue;
        }
        if let Some(record) = look_up(&digest)? {
            need.found.insert(digest, Arc::new(record));
        } else if let Some(node) = nodes.get(&digest) {
            need.missing.insert(digest, *node);
            pending.extend(node.stage.needs());
        }
    }
    Ok(need)
}

fn nodes(plan: &Plan) -> BTreeMap<StageDigest, Node<'_>> {
    let mut nodes = BTreeMap::new();
    for image in &plan.images {
        for stage in &image.stages {
            nodes.entry(stage.digest).or_insert(Node { image, stage });
        }
    }
    nodes
}
