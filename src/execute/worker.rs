//! One worker: decides whether a stage must be made, and has it made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use stages::digest::{Encoder, lineage};
use stages::plan::StageTask;
use stages::{ContentId, StageDigest};

use super::claims::{Hold, Pulse, Turn};
use super::need::Node;
use super::queue::Records;
use super::second_key::second_key;
use super::{Engine, Error, base, claims, git_content, imports, packages, post, remote, step};
use crate::layer;
use crate::report::{Event, StageId, StageStatus};
use crate::storage::{
    BlobStore, GitRecipe, Hint, Home, Index, LayerRecord, LayerSource, LayerUse, Lock, RemoteStage, RemoteStore,
    StageRecord,
};

/// A stage that is there now.
#[derive(Debug, Clone)]
pub struct Made {
    /// What it holds.
    pub record: Arc<StageRecord>,
    /// What became of it.
    pub status: StageStatus,
    /// How long that took, in milliseconds.
    pub duration_ms: u64,
    /// Bytes that it added.
    pub size: Option<u64>,
    /// What other machines should know of it.
    pub(super) hints: Vec<Hint>,
}

/// What a stage holds, before it has a record.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// All layers, from the bottom up.
    pub(super) layers: Vec<LayerUse>,
    /// The image config, as JSON.
    pub(super) config: Vec<u8>,
}

impl Content {
    pub(super) fn of(record: &StageRecord) -> Self {
        Self { layers: record.layers.clone(), config: record.config.clone() }
    }

    pub(super) fn push(&mut self, layer: ContentId, stage: &str) {
        self.layers.push(LayerUse { layer, created_by: format!("stager {stage}") });
    }
}

/// Makes stages, one after the other, with its own connection to the index.
pub(super) struct Worker<'e, 'a> {
    pub(super) engine: &'e Engine<'a>,
    pub(super) index: Index,
    /// What was learnt of the stage at work, for other machines.
    pub(super) hints: Vec<Hint>,
    /// Has claims renewed.
    hold: Hold,
}

/// A stage at work: what it is and what it needs.
pub(super) struct Task<'t> {
    pub(super) node: Node<'t>,
    pub(super) needs: &'t Records,
    pub(super) id: StageId,
}

impl Task<'_> {
    /// The record of a needed stage.
    pub(super) fn need(&self, digest: &StageDigest) -> Result<&StageRecord, Error> {
        self.needs.get(digest).map(AsRef::as_ref).ok_or(Error::MissingNeed { stage: self.id.clone(), digest: *digest })
    }

    /// The cache versions that the stage stands on.
    fn lineage(&self) -> Result<ContentId, Error> {
        let parent = match &self.node.stage.parent {
            None => None,
            Some(parent) => Some(self.need(parent)?.lineage),
        };
        Ok(lineage(parent.as_ref(), &self.node.stage.inputs))
    }

    /// What a found stage holds, with the history that this stage's own needs give their layers: which image made a layer
    /// first on some machine is nothing that an image should show.
    fn with_own_history(&self, found: &StageRecord) -> Content {
        let known: BTreeMap<ContentId, &String> = self
            .needs
            .values()
            .flat_map(|record| record.layers.iter().map(|used| (used.layer, &used.created_by)))
            .collect();
        let mut content = Content::of(found);
        if matches!(&self.node.stage.task, StageTask::Post { post, .. } if post.clear_history) {
            return content;
        }
        for used in &mut content.layers {
            if let Some(created_by) = known.get(&used.layer) {
                used.created_by.clone_from(created_by);
            }
        }
        content
    }

    /// The record of the parent.
    pub(super) fn parent(&self) -> Result<&StageRecord, Error> {
        let parent = self.node.stage.parent.ok_or_else(|| Error::NoParent { stage: self.id.clone() })?;
        self.need(&parent)
    }
}

impl<'e, 'a> Worker<'e, 'a> {
    /// A worker whose claims that thread renews.
    pub(super) fn open(engine: &'e Engine<'a>, hold: Hold) -> Result<Self, Error> {
        Ok(Self { engine, index: Index::open(engine.home)?, hints: Vec::new(), hold })
    }

    /// The worker in `slot`, opened when it is not there yet, for work that claims nothing.
    pub(super) fn reopen<'s>(slot: &'s mut Option<Self>, engine: &'e Engine<'a>) -> Result<&'s mut Self, Error> {
        match slot {
            Some(worker) => Ok(worker),
            None => Ok(slot.insert(Self::open(engine, claims::nobody())?)),
        }
    }

    /// Brings a stage about: finds it, relabels it, or makes it.
    pub(super) fn make(&mut self, node: Node<'_>, needs: &Records) -> Result<Made, Error> {
        let start = Instant::now();
        self.hints.clear();
        let id = StageId { image: node.image.name.clone(), stage: node.stage.slot.name().to_owned() };
        let digest = node.stage.digest;
        let _lock = self.lock(&id, &digest)?;
        let task = Task { node, needs, id: id.clone() };
        let store = Store { home: self.engine.home, objects: &|recipe| git_content::has_objects(self.engine, recipe) };
        if let Some(record) = usable_stage(&store, &mut self.index, &digest)? {
            return Ok(self.finished(&id, record, StageStatus::Reused, start, None));
        }
        let lineage = task.lineage()?;
        let key = second_key(self, &task, &lineage).map_err(|error| error.in_stage(&id))?;
        let mut known = self.index.stage_by_content(&key)?;
        if let Some(found) = &known
            && usable(&store, &self.index, found)? != Usable::Yes
        {
            known = None;
        }
        if runs(&node.stage.task) {
            match known {
                Some(_) => self.hints.push(Hint::Key { key, stage: digest }),
                None => known = self.led_to(&key)?,
            }
        }
        if let Some(found) = known {
            let record = self.record(&task, key, lineage, task.with_own_history(&found), 0);
            self.index.save_stage(&record, self.engine.settings.now)?;
            return Ok(self.finished(&id, record, StageStatus::Relabelled, start, None));
        }
        if let Some(Turn::Adopt(theirs)) = self.take_turn(&task)? {
            let record = self.adopt(&theirs)?;
            return Ok(self.finished(&id, record, StageStatus::Reused, start, None));
        }
        self.engine.events.send(Event::StageStarted { id: id.clone(), digest });
        let below = node.stage.parent.map_or(0, |parent| needs.get(&parent).map_or(0, |record| record.layers.len()));
        let content = match self.dispatch(&task) {
            Ok(content) => content,
            Err(error) => {
                let _over = self.hold.send(Pulse::Release(digest));
                return Err(error.in_stage(&id));
            }
        };
        if self.engine.roles.main.is_some() && git_content::looks_at(node.image, &digest) {
            let layers: Vec<ContentId> = content.layers.iter().map(|used| used.layer).collect();
            git_content::directories(self, &layers).map_err(|error| error.in_stage(&id))?;
        }
        if runs(&node.stage.task) {
            self.hints.push(Hint::Key { key, stage: digest });
        }
        let size = self.added(&content, below)?;
        let record = self.record(&task, key, lineage, content, start.elapsed().as_millis() as u64);
        let record = if let Some(theirs) = self.published_meanwhile(&task)? {
            self.adopt(&theirs)?
        } else {
            self.index.save_stage(&record, self.engine.settings.now)?;
            record
        };
        Ok(self.finished(&id, record, StageStatus::Built, start, Some(size)))
    }

    /// The main storage, for a stage that is claimed there.
    fn claimed_in(&self, task: &Task<'_>) -> Option<&'e RemoteStore> {
        self.engine.roles.main.as_ref().filter(|_| may_differ(&task.node.stage.task))
    }

    fn take_turn(&self, task: &Task<'_>) -> Result<Option<Turn>, Error> {
        let Some(main) = self.claimed_in(task) else { return Ok(None) };
        claims::take_turn(self.engine, main, &task.id, &task.node.stage.digest, &self.hold).map(Some)
    }

    /// What another builder has published while this one was at it: it took over, as this one seemed to be gone.
    fn published_meanwhile(&self, task: &Task<'_>) -> Result<Option<Box<RemoteStage>>, Error> {
        let Some(main) = self.claimed_in(task) else { return Ok(None) };
        claims::standing(self.engine, main, &task.id, &task.node.stage.digest)
    }

    /// A stage that another machine has made from the same content.
    fn led_to(&mut self, key: &ContentId) -> Result<Option<StageRecord>, Error> {
        match remote::stage_of_key(self.engine, key)? {
            Some(theirs) => self.adopt(&theirs).map(Some),
            None => Ok(None),
        }
    }

    fn adopt(&mut self, theirs: &RemoteStage) -> Result<StageRecord, Error> {
        remote::adopt(self.engine.home, &mut self.index, theirs, self.engine.settings.now)?;
        Ok(theirs.record.clone())
    }

    fn lock(&self, id: &StageId, digest: &StageDigest) -> Result<Lock, Error> {
        let path = self.engine.home.lock(&digest.to_string());
        let what = format!("stage `{}` of image `{}`", id.stage, id.image);
        let waiting =
            || self.engine.events.send(Event::Waiting { what: format!("{what}, which another stager makes") });
        Ok(Lock::take(&path, &what, self.engine.settings.lock_deadline, waiting, || self.engine.cancel.is_cancelled())?)
    }

    fn dispatch(&mut self, task: &Task<'_>) -> Result<Content, Error> {
        self.engine.check_cancelled()?;
        match &task.node.stage.task {
            StageTask::Base { base } => base::make(self, task, base),
            StageTask::Image { .. } => base::of_image(task.parent()?),
            StageTask::Packages { packages, mounts } => packages::make(self, task, packages, mounts),
            StageTask::Git { mappings } => git_content::make(self, task, mappings),
            StageTask::Run { step, mounts, git } => step::make(self, task, step, mounts, git.as_ref()),
            StageTask::Imports { imports, variables } => imports::make(self, task, imports, variables),
            StageTask::Dockerfile { .. } => Err(Error::Config {
                stage: task.id.clone(),
                message: "building images by a Dockerfile is not supported yet".to_owned(),
            }),
            StageTask::Post { post, git } => post::make(self, task, post, git.as_ref()),
        }
    }

    fn record(
        &self,
        task: &Task<'_>,
        content_key: ContentId,
        lineage: ContentId,
        content: Content,
        duration_ms: u64,
    ) -> StageRecord {
        let Node { image, stage } = task.node;
        StageRecord {
            digest: stage.digest,
            project: self.engine.settings.project.clone(),
            image: image.name.clone(),
            platform: image.platform.clone(),
            kind: stage.kind,
            slot: stage.slot.clone(),
            parent: stage.parent,
            inputs: stage.inputs.clone(),
            content_key,
            content_id: StageRecord::content_id_of(&content.layers, &content.config),
            lineage,
            config: content.config,
            layers: content.layers,
            duration_ms,
        }
    }

    fn finished(
        &mut self,
        id: &StageId,
        record: StageRecord,
        status: StageStatus,
        start: Instant,
        size: Option<u64>,
    ) -> Made {
        let duration_ms = if status == StageStatus::Built { start.elapsed().as_millis() as u64 } else { 0 };
        let digest = record.digest;
        self.engine.events.send(Event::StageFinished { id: id.clone(), digest, status, duration_ms, size });
        Made { record: Arc::new(record), status, duration_ms, size, hints: std::mem::take(&mut self.hints) }
    }

    /// Bytes in the layers above the first `below` ones.
    fn added(&self, content: &Content, below: usize) -> Result<u64, Error> {
        let mut size = 0;
        for layer in content.layers.iter().skip(below) {
            size += self.index.layer(&layer.layer)?.map_or(0, |(record, _)| record.size);
        }
        Ok(size)
    }

    /// Whether a layer is here or can be had.
    pub(super) fn has_layer(&self, id: &ContentId) -> Result<bool, Error> {
        let store = Store { home: self.engine.home, objects: &|recipe| git_content::has_objects(self.engine, recipe) };
        Ok(layer_usable(&store, &self.index, id)? == Usable::Yes)
    }

    /// Saves a layer that is a recipe.
    pub(super) fn save_recipe(&self, content_id: ContentId, source: LayerSource, size: u64) -> Result<(), Error> {
        let record = LayerRecord { content_id, source, entries: 0, size };
        Ok(self.index.save_recipe(&record, self.engine.settings.now)?)
    }

    /// Keeps a finished layer directory; `None` when there is nothing in it. A layer that is there already stays, and the
    /// directory is dropped.
    pub(super) fn keep_layer(
        &mut self,
        directory: &Path,
        clamp: Option<layer::Clamp>,
        place: Option<&str>,
    ) -> Result<Option<ContentId>, Error> {
        let options = layer::ContentOptions {
            ownership: self.engine.settings.ownership,
            clamp,
            normalize: clamp.is_some(),
            threads: threads(),
        };
        let (content_id, stats) = layer::content_id(directory, &options)?;
        if stats.entries == 0 {
            return Ok(None);
        }
        let content_id = placed(content_id, place);
        let known = self.index.layer(&content_id)?;
        let is_good = match &known {
            None => false,
            Some((known, trusted)) => {
                is_directory_there(self.engine.home, known)
                    && (*trusted || verify(self.engine.home, &self.index, known)?)
            }
        };
        if is_good {
            return Ok(Some(content_id));
        }
        let name = self.engine.home.keep_snapshot(directory)?;
        let source = LayerSource::Directory { directory: name.clone(), place: place.map(str::to_owned) };
        let record = LayerRecord { content_id, source, entries: stats.entries, size: stats.bytes };
        if known.is_some() {
            self.index.replace_layer(&record, self.engine.settings.now)?;
        } else if !self.index.save_layer(&record, self.engine.settings.now)? {
            // Another worker made the same bytes at the same time.
            self.engine.home.discard(&self.engine.home.snapshot(&name))?;
        }
        Ok(Some(content_id))
    }
}

/// Whether a stage runs something, which is dearer than to ask who has run it.
fn runs(task: &StageTask) -> bool {
    matches!(task, StageTask::Run { .. } | StageTask::Packages { .. })
}

/// Whether two builders of a stage may come to different bytes: what they run may depend on the time or the weather.
fn may_differ(task: &StageTask) -> bool {
    runs(task) || matches!(task, StageTask::Base { .. })
}

/// How many threads read the files of a layer.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The name of a directory layer: the place of an import is part of what it is.
fn placed(content_id: ContentId, place: Option<&str>) -> ContentId {
    let Some(place) = place else { return content_id };
    let mut encoder = Encoder::new("stager import");
    encoder.bytes(content_id.as_bytes());
    encoder.text(place);
    encoder.finish().into()
}

/// Where the objects of layers are looked for.
pub(super) struct Store<'s> {
    pub(super) home: &'s Home,
    /// Whether the git objects of a recipe are at hand.
    pub(super) objects: &'s dyn Fn(&GitRecipe) -> bool,
}

/// Whether a stage can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usable {
    Yes,
    /// Not until a stage below is made again, which brings the objects that are missing.
    NotNow,
    /// Its layers are gone.
    Never,
}

/// The record of a stage, if all its layers are there. One whose layers are gone is forgotten: a miss, never a failure.
pub(super) fn usable_stage(
    store: &Store<'_>,
    index: &mut Index,
    digest: &StageDigest,
) -> Result<Option<StageRecord>, Error> {
    let Some(record) = index.stage(digest)? else { return Ok(None) };
    match usable(store, index, &record)? {
        Usable::Yes => return Ok(Some(record)),
        Usable::NotNow => {}
        Usable::Never => index.forget_stage(digest)?,
    }
    Ok(None)
}

/// As [`usable_stage`], changing nothing: what can't be verified here is not usable here.
pub(super) fn peek_stage(store: &Store<'_>, index: &Index, digest: &StageDigest) -> Result<Option<StageRecord>, Error> {
    let Some(record) = index.stage(digest)? else { return Ok(None) };
    for used in &record.layers {
        match index.layer(&used.layer)? {
            Some((layer, true)) if presence(store, &layer) == Usable::Yes => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(record))
}

fn usable(store: &Store<'_>, index: &Index, record: &StageRecord) -> Result<Usable, Error> {
    for used in &record.layers {
        match layer_usable(store, index, &used.layer)? {
            Usable::Yes => {}
            not => return Ok(not),
        }
    }
    Ok(Usable::Yes)
}

fn layer_usable(store: &Store<'_>, index: &Index, id: &ContentId) -> Result<Usable, Error> {
    let Some((layer, trusted)) = index.layer(id)? else { return Ok(Usable::Never) };
    match presence(store, &layer) {
        Usable::Yes if trusted || verify(store.home, index, &layer)? => Ok(Usable::Yes),
        Usable::NotNow => Ok(Usable::NotNow),
        Usable::Yes | Usable::Never => {
            index.forget_layer(&layer.content_id)?;
            Ok(Usable::Never)
        }
    }
}

fn presence(store: &Store<'_>, layer: &LayerRecord) -> Usable {
    let there = |there: bool, otherwise: Usable| if there { Usable::Yes } else { otherwise };
    match &layer.source {
        LayerSource::Directory { directory, .. } => there(store.home.snapshot(directory).is_dir(), Usable::Never),
        LayerSource::Blob { origin: None, blob, size, .. } => {
            there(BlobStore::new(store.home.clone()).has(blob, *size), Usable::NotNow)
        }
        LayerSource::Git { mappings } => there(mappings.iter().all(store.objects), Usable::NotNow),
        LayerSource::Blob { .. } | LayerSource::Parts { .. } | LayerSource::Symlinks { .. } => Usable::Yes,
    }
}

/// Whether a layer is kept as a directory that is there. One that is known as a blob of a registry is not: what was made here
/// counts for more than what somebody says of it.
pub(super) fn is_directory_there(home: &Home, layer: &LayerRecord) -> bool {
    match &layer.source {
        LayerSource::Directory { directory, .. } => home.snapshot(directory).is_dir(),
        _ => false,
    }
}

/// Reads a layer directory of an earlier boot again: what was not on disk when the machine went down is not what its name
/// says.
fn verify(home: &Home, index: &Index, record: &LayerRecord) -> Result<bool, Error> {
    let LayerSource::Directory { directory, place } = &record.source else { return Ok(true) };
    let ownership = super::layout::store_ownership(index)?;
    let options = layer::ContentOptions { ownership, clamp: None, normalize: false, threads: threads() };
    let Ok((content_id, _)) = layer::content_id(&home.snapshot(directory), &options) else { return Ok(false) };
    let same = placed(content_id, place.as_deref()) == record.content_id;
    if same {
        index.layer_verified(&record.content_id)?;
    }
    Ok(same)
}
