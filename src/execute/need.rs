//! What must be made: looked for from the end.
//!
//! The last stage of an image is asked for first. When it is there, nothing before it is looked at, so a fully cached image
//! costs one look-up here, and one HEAD request where there is a stage storage. When it is not, the stages it needs are asked
//! for, and so on: of each level the index is asked first, and then the registries, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stages::plan::{Plan, PlannedImage, PlannedStage};
use stages::{BlobId, StageDigest};

use super::remote::{self, Answer, Question, RecordWish};
use super::{Error, Search};
use crate::image::spec::Descriptor;
use crate::report::{Event, StageSource};
use crate::storage::{Index, StageRecord};

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
    /// Manifests of stages that the main storage has.
    pub(super) published: BTreeMap<StageDigest, Descriptor>,
    /// Blobs that the main storage has.
    pub(super) blobs: BTreeSet<BlobId>,
    /// Stages that the main storage has something else for, which is to be replaced.
    pub(super) damaged: BTreeSet<StageDigest>,
    /// Where stages that are not of this machine were found.
    sources: BTreeMap<StageDigest, StageSource>,
    /// Last stages that are there, but not in the main storage.
    unpublished: BTreeSet<StageDigest>,
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

    /// The stages that were found here.
    pub fn found(&self) -> impl Iterator<Item = &StageDigest> {
        self.found.keys()
    }

    /// The manifests of stages in the main storage, as far as anybody asked.
    pub fn published(&self) -> &BTreeMap<StageDigest, Descriptor> {
        &self.published
    }

    /// Stages that the main storage has something else for.
    pub fn damaged(&self) -> &BTreeSet<StageDigest> {
        &self.damaged
    }

    /// The record of a stage that came from a storage other than the main one.
    pub fn found_elsewhere(&self, digest: &StageDigest) -> Option<&StageRecord> {
        let elsewhere = matches!(self.sources.get(digest), Some(StageSource::Secondary | StageSource::Cache));
        self.found.get(digest).filter(|_| elsewhere).map(AsRef::as_ref)
    }

    /// The record of a stage that came from the main storage: no cache had it.
    pub fn found_behind_caches(&self, digest: &StageDigest) -> Option<&StageRecord> {
        let is_behind = self.sources.get(digest) == Some(&StageSource::Repo);
        self.found.get(digest).filter(|_| is_behind).map(AsRef::as_ref)
    }

    /// Where stages that are not of this machine were found.
    pub fn sources(&self) -> &BTreeMap<StageDigest, StageSource> {
        &self.sources
    }

    /// Whether an image must be brought into the main storage: it is made now, or it was found elsewhere.
    pub fn is_unpublished(&self, image: &PlannedImage) -> bool {
        self.unpublished.contains(&image.digest())
    }

    /// Whether nothing is to be done.
    pub fn is_met(&self) -> bool {
        self.missing.is_empty() && self.unpublished.is_empty()
    }
}

/// A stage to look for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    stage: StageDigest,
    /// It is the last one of an image that was asked for.
    last: bool,
    /// Its record is needed, not only that it is somewhere.
    record: bool,
}

/// Looks for the images' stages from the end.
pub(super) fn look<'a>(
    search: &Search<'_>,
    index: &mut Index,
    plan: &'a Plan,
    images: &[&'a PlannedImage],
) -> Result<Need<'a>, Error> {
    let nodes = nodes(plan);
    let mut need = Need::default();
    let mut seen: BTreeMap<StageDigest, bool> = BTreeMap::new();
    let last = |image: &&PlannedImage| Wish { stage: image.digest(), last: true, record: search.records };
    let mut pending: Vec<Wish> = images.iter().map(last).collect();
    while !pending.is_empty() {
        let mut level = merged(std::mem::take(&mut pending));
        // A stage that was only known to be somewhere is asked for again when something stands on it.
        level.retain(|wish| seen.get(&wish.stage).is_none_or(|record| wish.record && !record));
        for wish in &level {
            seen.insert(wish.stage, wish.record);
        }
        let records = index.reading(|| {
            let peek = |wish: &Wish| search.record(index, &wish.stage);
            level.iter().map(peek).collect::<Result<Vec<_>, Error>>()
        })?;
        let questions: Vec<Question> =
            level.iter().zip(&records).filter_map(|(wish, record)| question(search, *wish, record.is_some())).collect();
        let answers: BTreeMap<StageDigest, Answer> = questions
            .iter()
            .map(|question| question.stage)
            .zip(remote::ask(search.roles, search.lost, &questions)?)
            .collect();
        for (wish, record) in level.into_iter().zip(records) {
            let missing = need.settle(search, index, wish, record, answers.get(&wish.stage))?;
            if let (true, Some(node)) = (missing, nodes.get(&wish.stage)) {
                need.missing.insert(wish.stage, *node);
                let needed = node.stage.needs().into_iter();
                pending.extend(needed.map(|stage| Wish { stage, last: false, record: true }));
            }
        }
    }
    Ok(need)
}

/// One wish for each stage.
fn merged(wishes: Vec<Wish>) -> Vec<Wish> {
    let mut merged: BTreeMap<StageDigest, Wish> = BTreeMap::new();
    for wish in wishes {
        let found = merged.entry(wish.stage).or_insert(wish);
        found.last |= wish.last;
        found.record |= wish.record;
    }
    merged.into_values().collect()
}

/// What the registries are asked of a stage, if anything.
fn question(search: &Search<'_>, wish: Wish, here: bool) -> Option<Question> {
    let record = match (here, wish.record) {
        (true, _) => RecordWish::Never,
        (false, true) => RecordWish::Always,
        (false, false) => RecordWish::IfAbsent,
    };
    let question = Question { stage: wish.stage, existence: wish.last && search.roles.main.is_some(), record };
    let asks = question.existence || (record != RecordWish::Never && !search.roles.is_empty());
    asks.then_some(question)
}

impl Need<'_> {
    /// Notes what was found of a stage; whether it is missing.
    fn settle(
        &mut self,
        search: &Search<'_>,
        index: &mut Index,
        wish: Wish,
        record: Option<StageRecord>,
        answer: Option<&Answer>,
    ) -> Result<bool, Error> {
        let none = Answer::default();
        let answer = answer.unwrap_or(&none);
        for message in &answer.warnings {
            search.events.send(Event::Warning { message: message.clone() });
        }
        if answer.damaged {
            self.damaged.insert(wish.stage);
        }
        let mut source = StageSource::Local;
        let found = match (record, &answer.stage) {
            (Some(record), _) => Some(record),
            (None, Some((from, stage))) => {
                remote::adopt(search.home, index, stage, search.now)?;
                source = *from;
                if source == StageSource::Repo {
                    // A record whose image is missing is of a builder that got no further: the last stage is published again.
                    if !wish.last {
                        self.published.insert(wish.stage, stage.manifest());
                    }
                    self.blobs.extend(stage.blobs());
                }
                Some(stage.record.clone())
            }
            (None, None) => None,
        };
        if let Some(manifest) = &answer.published {
            self.published.insert(wish.stage, manifest.clone());
            source = if found.is_some() { source } else { StageSource::Repo };
        }
        if source != StageSource::Local {
            self.sources.insert(wish.stage, source);
        }
        let there = found.is_some() || self.published.contains_key(&wish.stage);
        if let Some(record) = found {
            self.found.insert(wish.stage, Arc::new(record));
        }
        if there && wish.last && search.roles.main.is_some() && !self.published.contains_key(&wish.stage) {
            self.unpublished.insert(wish.stage);
        }
        Ok(!there || (wish.record && !self.found.contains_key(&wish.stage)))
    }
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
