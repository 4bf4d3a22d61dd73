//! `stager stages copy`: stages from one repository to another.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use stages::digest::Value;
use stages::{ImageName, Platform, StageDigest};

use super::project::{OpenProject, ProjectOptions};
use super::stages::{absent, unreadable, usable};
use super::{Error, select};
use crate::builder::CancelToken;
use crate::registry::Repository;
use crate::report::{Event, EventSink};
use crate::storage::{Found, RemoteStage, RemoteStore, StageRecord};

/// What is copied, and where.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// The project that images are of, and how registries are reached.
    pub project: ProjectOptions,
    /// Where stages are taken from.
    pub from: Repository,
    /// Where they go.
    pub to: Repository,
    /// Which stages.
    pub what: CopyWhat,
    /// Also those that they stand on.
    pub parents: bool,
    /// The store's root directory.
    pub store: PathBuf,
}

/// Which stages are copied.
#[derive(Debug, Clone)]
pub enum CopyWhat {
    /// All that the repository has.
    All,
    /// These, and the last stages of images.
    Named {
        /// Stages.
        digests: Vec<StageDigest>,
        /// Names and globs of images; empty for all; `None` for no image.
        images: Option<Vec<String>>,
    },
}

/// Why a stage is copied, which says what it means when it is not there.
#[derive(Debug, Clone)]
enum Wish {
    /// By its digest.
    Named,
    /// As the last stage of an image.
    Image(ImageName, Platform),
    /// It was found, or a record named it.
    Any,
}

/// Copies stages, one by one; tells of each when it is there.
pub fn copy_stages(
    options: &CopyOptions,
    events: &Arc<dyn EventSink>,
    cancel: &CancelToken,
    on_copied: &mut dyn FnMut(&StageRecord),
) -> Result<(), Error> {
    let client = options.project.registry.client(cancel, events)?;
    let store = |repository: &Repository| RemoteStore::new(&client, repository.clone());
    let (from, to) = (store(&options.from), store(&options.to));
    let mut pending: VecDeque<(StageDigest, Wish)> = wishes(options, &from, events, cancel)?.into();
    let mut seen = BTreeSet::new();
    while let Some((digest, wish)) = pending.pop_front() {
        if !seen.insert(digest) {
            continue;
        }
        let stage = match (copy_one(&from, &to, &digest, on_copied), wish) {
            (Ok(Some(stage)), _) => stage,
            (Ok(None), wish) => {
                not_there(&from, digest, wish, &**events)?;
                continue;
            }
            (Err(error @ Error::Unusable { .. }), Wish::Any) => {
                events.send(Event::Warning { message: format!("{error}; it is left out") });
                continue;
            }
            (Err(error), _) => return Err(error),
        };
        if options.parents {
            pending.extend(below(&stage.record).map(|digest| (digest, Wish::Any)));
        }
    }
    Ok(())
}

fn wishes(
    options: &CopyOptions,
    from: &RemoteStore,
    events: &Arc<dyn EventSink>,
    cancel: &CancelToken,
) -> Result<Vec<(StageDigest, Wish)>, Error> {
    let (digests, patterns) = match &options.what {
        CopyWhat::All => {
            let all = from.stages().map_err(|source| unreadable(from, source))?;
            return Ok(all.into_keys().map(|digest| (digest, Wish::Any)).collect());
        }
        CopyWhat::Named { digests, images } => (digests, images),
    };
    let mut wishes: Vec<(StageDigest, Wish)> = digests.iter().map(|digest| (*digest, Wish::Named)).collect();
    if let Some(patterns) = patterns {
        let project = OpenProject::open(&options.project, &options.store, cancel, events)?;
        let plan = project.plan(Some(&options.from))?;
        let last = |image: &&stages::plan::PlannedImage| {
            (image.digest(), Wish::Image(image.name.clone(), image.platform.clone()))
        };
        wishes.extend(select(&plan, patterns)?.iter().map(last));
    }
    Ok(wishes)
}

/// Copies a stage unless it is there, and returns it; `None` when there is none. What was published stays: of a stage whose
/// publication was interrupted, only the tag of its image follows.
fn copy_one(
    from: &RemoteStore,
    to: &RemoteStore,
    digest: &StageDigest,
    on_copied: &mut dyn FnMut(&StageRecord),
) -> Result<Option<RemoteStage>, Error> {
    let failed = |source| Error::Publish { reference: to.image(digest).to_string(), source };
    if let Found::Stage(there) = to.stage(digest).map_err(|source| unreadable(to, source))? {
        if to.manifest(digest).map_err(|source| unreadable(to, source))?.is_none() {
            to.put_image(digest, &there.image).map_err(failed)?;
            on_copied(&there.record);
        }
        return Ok(Some(*there));
    }
    let Some(found) = usable(from, digest)? else { return Ok(None) };
    to.copy_from(from, &found).map_err(failed)?;
    on_copied(&found.record);
    Ok(Some(found))
}

/// What a stage stands on: its parent, and the git content that lies below the layers of the steps, which the last stage of an
/// image names as an input.
fn below(record: &StageRecord) -> impl Iterator<Item = StageDigest> {
    let git = match record.inputs.get("git") {
        Some(Value::Text(digest)) => digest.parse().ok(),
        _ => None,
    };
    record.parent.into_iter().chain(git)
}

fn not_there(from: &RemoteStore, stage: StageDigest, wish: Wish, events: &dyn EventSink) -> Result<(), Error> {
    let repository = from.repository().to_string();
    match wish {
        Wish::Named => Err(absent(&stage, &repository)),
        Wish::Image(image, platform) => Err(Error::NotBuilt { image, platform, stage, repository }),
        Wish::Any => {
            events
                .send(Event::Warning { message: format!("there is no stage {stage} in {repository}; it is left out") });
            Ok(())
        }
    }
}
