//! Runs a plan.
//!
//! [`look`] finds from the end what is there and what is missing; [`execute`] makes the missing stages, each one once, in
//! parallel over the graph. A stage is made by one of the files named after what it does (`base`, `packages`, `git_content`,
//! `step`, `imports`, `post`); `worker` decides whether it must be made at all.
//!
//! *Early cutoff* (law 5): before a stage is made, its inputs are keyed a second time by content: the digests of its parent
//! and of the stages among its inputs are replaced by what those stages hold. A stage that was once made from the same
//! content is relabelled: its record is saved under the new digest, and nothing is run.
//!
//! *Portable and laid out* (`layout`, `blobs`): git content, imports and symlinks are recipes until somebody needs their
//! files (a step that runs on them) or their tar (an export). So no base is pulled, and no file written, for an image that
//! nothing runs in.
//!
//! *Once per machine*: a stage is made under a file lock named after its digest; whoever comes second finds it in the index.
//!
//! It must not know about configs, command lines or terminals.

mod ansible;
mod base;
mod blobs;
mod caches;
mod claims;
mod describe;
mod engine;
mod error;
mod export;
mod findings;
mod git_content;
mod imports;
mod layout;
mod need;
mod packages;
mod post;
mod publish;
mod queue;
mod remote;
mod second_key;
mod step;
mod users;
mod variables;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stages::StageDigest;
use stages::plan::{Plan, PlannedImage};

use publish::{Publication, Publisher};

pub use caches::RunDirectories;
pub use engine::{Engine, SOURCE_DATE_EPOCH, Settings};
pub use error::{Error, LostBlob};
pub use export::{ExportRequest, Exported, Output, export};
pub use layout::bind_store;
pub use need::Need;
pub use worker::Made;

use crate::git::{Remotes, Repository};
use crate::image::spec::Descriptor;
use crate::report::EventSink;
use crate::storage::{GitRecipe, Home, Index, Roles, StageRecord};

/// Where stages are looked for, and what is wanted of them.
pub struct Search<'s> {
    /// The store.
    pub home: &'s Home,
    /// The project's repository.
    pub repository: &'s Repository,
    /// Repositories of remote mappings.
    pub remotes: &'s Remotes,
    /// Stage storages in registries.
    pub roles: &'s Roles,
    /// Whether the records of the images are wanted, and not only that they are somewhere.
    pub records: bool,
    /// Blobs that registries were found not to have, or not as they should be: stages that need them are none.
    pub lost: &'s BTreeSet<LostBlob>,
    /// The present, in seconds since 1970.
    pub now: i64,
    /// Where warnings go.
    pub events: &'s dyn EventSink,
}

impl Search<'_> {
    /// The record of a stage that is here, with all that it needs; nothing is changed.
    pub fn record(&self, index: &Index, digest: &StageDigest) -> Result<Option<StageRecord>, Error> {
        let objects = |recipe: &GitRecipe| git_content::has_tree(self.repository, self.remotes, recipe);
        worker::peek_stage(&worker::Store { home: self.home, objects: &objects }, index, digest)
    }
}

/// Looks for the stages of these images, from the end; nothing is made. What registries have of what is needed is noted in
/// the index.
pub fn look<'a>(
    search: &Search<'_>,
    index: &mut Index,
    plan: &'a Plan,
    images: &[&'a PlannedImage],
) -> Result<Need<'a>, Error> {
    need::look(search, index, plan, images)
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The stages that were made.
    pub made: BTreeMap<StageDigest, Made>,
    /// Manifests of stages that this run brought to the main storage, or found there.
    pub published: BTreeMap<StageDigest, Descriptor>,
    /// What stopped the run when not all is made and published.
    pub result: Result<(), Error>,
}

/// Stages that are here, of which some storage may know nothing.
#[derive(Debug, Default)]
pub struct Standing<'a> {
    /// Records that are not known to be published.
    pub elsewhere: Vec<(&'a PlannedImage, StageRecord)>,
    /// Records of the main storage that the caches lack.
    pub behind: Vec<(&'a PlannedImage, StageRecord)>,
}

/// Makes what is missing, and publishes it on the way.
pub fn execute(engine: &Engine<'_>, need: Need<'_>, standing: Standing<'_>) -> Outcome {
    let known = need.blobs.clone();
    let mut published = need.published.clone();
    std::thread::scope(|scope| {
        let hold = claims::start(scope, engine);
        let publisher = Publisher::start(scope, engine, known, &hold);
        let publish = |(image, record): (&PlannedImage, StageRecord), behind: bool| {
            let (image, platform) = (image.name.clone(), image.platform.clone());
            let (record, hints) = (Arc::new(record), Vec::new());
            // Caches have been asked for what goes there behind.
            publisher.publish(&Publication { image, platform, record, fresh: behind, hints, behind });
        };
        standing.elsewhere.into_iter().for_each(|standing| publish(standing, false));
        let (made, result) = queue::run(engine, need, &publisher, &hold);
        // Now that what the steps needed has been pulled.
        if result.is_ok() {
            standing.behind.into_iter().for_each(|standing| publish(standing, true));
        }
        drop(hold);
        let (manifests, sent) = publisher.finish(engine);
        published.extend(manifests);
        Outcome { made, published, result: result.and(sent) }
    })
}
