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
mod describe;
mod engine;
mod error;
mod export;
mod git_content;
mod imports;
mod layout;
mod need;
mod packages;
mod post;
mod queue;
mod second_key;
mod step;
mod users;
mod variables;
mod worker;

use std::collections::BTreeMap;

use stages::StageDigest;
use stages::plan::{Plan, PlannedImage};

pub use caches::RunDirectories;
pub use engine::{Engine, SOURCE_DATE_EPOCH, Settings};
pub use error::Error;
pub use export::{ExportRequest, Exported, Output, export};
pub use layout::bind_store;
pub use need::Need;
pub use worker::Made;

use crate::git::{Remotes, Repository};
use crate::storage::{GitRecipe, Home, Index};

/// Looks for the stages of these images, from the end; nothing is made, and nothing in the store is changed.
pub fn look<'a>(
    plan: &'a Plan,
    images: &[&'a PlannedImage],
    home: &Home,
    index: &Index,
    repository: &Repository,
    remotes: &Remotes,
) -> Result<Need<'a>, Error> {
    let objects = |recipe: &GitRecipe| git_content::has_tree(repository, remotes, recipe);
    let store = worker::Store { home, objects: &objects };
    index.reading(|| need::look(plan, images, |digest| worker::peek_stage(&store, index, digest)))
}

/// Makes what is missing. Returns the stages that were made, and what stopped the run when they are not all.
pub fn execute(engine: &Engine<'_>, need: Need<'_>) -> (BTreeMap<StageDigest, Made>, Result<(), Error>) {
    queue::run(engine, need)
}
