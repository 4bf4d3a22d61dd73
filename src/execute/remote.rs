//! Stages of registries: asked for side by side, and taken into the index.

use std::collections::BTreeSet;

use stages::{ContentId, StageDigest};

use super::{Engine, Error, LostBlob, blobs, worker};
use crate::git;
use crate::image::spec::Descriptor;
use crate::layer::Compression;
use crate::registry;
use crate::report::{Event, StageSource};
use crate::storage::{
    BlobPart, BlobStore, Found, Home, Imported, Index, LayerRecord, LayerSource, RemoteLayer, RemoteStage, RemoteStore,
    Roles, Selection, StoredBlob, base_chain,
};

/// How many questions are out at once.
const QUESTIONS: usize = 16;

/// What is asked of the registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) stage: StageDigest,
    /// Whether it counts that the main storage has it as an image.
    pub(super) existence: bool,
    /// Whether the stage itself is wanted.
    pub(super) record: RecordWish,
}

/// When the record of a stage is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordWish {
    Never,
    /// Where the main storage doesn't have it as an image.
    IfAbsent,
    Always,
}

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The manifest that the main storage has.
    pub(super) published: Option<Descriptor>,
    /// The stage, and where it was found.
    pub(super) stage: Option<(StageSource, Box<RemoteStage>)>,
    /// Whether the main storage has something of that name that can't be used.
    pub(super) damaged: bool,
    /// For people.
    pub(super) warnings: Vec<String>,
}

/// Asks all questions; answers come in the same order. A failure of the main storage ends the run, that of another one is a
/// warning.
pub(super) fn ask(roles: &Roles, lost: &BTreeSet<LostBlob>, questions: &[Question]) -> Result<Vec<Answer>, Error> {
    registry::side_by_side(questions, QUESTIONS, |question| ask_one(roles, lost, question))
}

fn ask_one(roles: &Roles, lost: &BTreeSet<LostBlob>, question: &Question) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    if let (Some(main), true) = (&roles.main, question.existence) {
        answer.published = main.manifest(&question.stage).map_err(|source| unreadable(main, source))?;
    }
    match question.record {
        RecordWish::Never => return Ok(answer),
        RecordWish::IfAbsent if answer.published.is_some() => return Ok(answer),
        RecordWish::IfAbsent | RecordWish::Always => {}
    }
    for (source, store) in sources(roles) {
        if store.is_left_out() {
            continue;
        }
        match store.stage(&question.stage) {
            // Another storage may have what this one has lost.
            Ok(Found::Stage(stage)) if lost.iter().any(|lost| lost.concerns(store, &stage)) => {
                answer.damaged |= source == StageSource::Repo;
            }
            Ok(Found::Stage(stage)) => {
                answer.stage = Some((source, stage));
                break;
            }
            Ok(Found::Nothing | Found::Claimed(_)) => {}
            Ok(Found::Damaged { reason }) => {
                answer.damaged |= source == StageSource::Repo;
                answer.warnings.push(format!("a stage that can't be used, and will be made again: {reason}"));
            }
            Err(error) if source == StageSource::Repo => return Err(unreadable(store, error)),
            Err(error @ registry::Error::Cancelled { .. }) => return Err(unreadable(store, error)),
            Err(error) => {
                if store.leave_out() {
                    answer.warnings.push(format!("{} is left out: {error}", store.repository()));
                }
            }
        }
    }
    Ok(answer)
}

/// The storages in the order in which they are asked.
fn sources(roles: &Roles) -> impl Iterator<Item = (StageSource, &RemoteStore)> {
    let cache = roles.cache.iter().map(|store| (StageSource::Cache, store));
    let main = roles.main.iter().map(|store| (StageSource::Repo, store));
    cache.chain(main).chain(roles.secondary.iter().map(|store| (StageSource::Secondary, store)))
}

impl LostBlob {
    fn concerns(&self, store: &RemoteStore, stage: &RemoteStage) -> bool {
        self.repository.as_ref().is_none_or(|repository| repository == store.repository()) && stage.has_blob(&self.blob)
    }
}

pub(super) fn unreadable(store: &RemoteStore, source: registry::Error) -> Error {
    Error::StageStorage { repository: store.repository().to_string(), source }
}

/// What a hint of the storages says, asked one after the other: caches have none. As for stages, a failure of the main storage
/// ends the run, that of another one is a warning.
fn hinted<T>(
    engine: &Engine<'_>,
    ask: impl Fn(&RemoteStore) -> Result<Option<T>, registry::Error>,
) -> Result<Option<T>, Error> {
    for (source, store) in sources(engine.roles) {
        if source == StageSource::Cache || store.is_left_out() {
            continue;
        }
        match ask(store) {
            Ok(Some(said)) => return Ok(Some(said)),
            Ok(None) => {}
            Err(error) if source == StageSource::Repo => return Err(unreadable(store, error)),
            Err(error @ registry::Error::Cancelled { .. }) => return Err(unreadable(store, error)),
            Err(error) => {
                if store.leave_out() {
                    let message = format!("{} is left out: {error}", store.repository());
                    engine.events.send(Event::Warning { message });
                }
            }
        }
    }
    Ok(None)
}

/// A stage that a hint led to, if a storage has it.
fn led_to(engine: &Engine<'_>, stage: StageDigest) -> Result<Option<Box<RemoteStage>>, Error> {
    let question = Question { stage, existence: false, record: RecordWish::Always };
    Ok(ask_one(engine.roles, engine.lost, &question)?.stage.map(|(_, stage)| stage))
}

/// A stage of the storages that was made from this content.
pub(super) fn stage_of_key(engine: &Engine<'_>, key: &ContentId) -> Result<Option<Box<RemoteStage>>, Error> {
    let Some(stage) = hinted(engine, |store| store.stage_of_key(key))? else { return Ok(None) };
    Ok(led_to(engine, stage)?.filter(|found| found.record.content_key == *key))
}

/// Takes the blobs of a stage that was published lately with git content of these mappings into the index: most of its parts
/// are parts of what is there now.
pub(super) fn learn_parts(engine: &Engine<'_>, index: &Index, mappings: &ContentId) -> Result<(), Error> {
    let Some(stage) = hinted(engine, |store| store.stage_of_sources(mappings))? else { return Ok(()) };
    let Some(stage) = led_to(engine, stage)? else { return Ok(()) };
    let store = BlobStore::new(engine.home.clone());
    stage.layers.iter().flat_map(|layer| &layer.parts).try_for_each(|part| adopt_part(&store, index, part))
}

/// What an import takes, as the storages know it.
pub(super) fn selection(engine: &Engine<'_>, request: &ContentId) -> Result<Option<Selection>, Error> {
    hinted(engine, |store| store.selection(request))
}

/// What was found in a stack of layers, as the storages know it.
pub(super) fn finding(engine: &Engine<'_>, question: &ContentId) -> Result<Option<String>, Error> {
    hinted(engine, |store| store.finding(question))
}

/// What an import makes, as the storages know it. Its layer is in the index then.
pub(super) fn import(engine: &Engine<'_>, index: &mut Index, import: &ContentId) -> Result<Option<Imported>, Error> {
    let Some((made, stage)) = hinted(engine, |store| store.import(import))? else { return Ok(None) };
    let Some(layer) = made.layer else { return Ok(Some(made)) };
    let Some(stage) = led_to(engine, stage)? else { return Ok(None) };
    let Some(at) = stage.layers.iter().position(|found| found.content_id == layer) else { return Ok(None) };
    adopt_layer(engine.home, index, &stage.layers, at, engine.settings.now)?;
    Ok(Some(made))
}

/// Takes a stage of a registry into the index: its layers are blobs that are fetched when somebody needs their bytes. What
/// is here already, made on this machine, stays.
pub(super) fn adopt(home: &Home, index: &mut Index, stage: &RemoteStage, now: i64) -> Result<(), Error> {
    for at in 0..stage.layers.len() {
        adopt_layer(home, index, &stage.layers, at, now)?;
    }
    if let Some(directories) = &stage.directories {
        index.save_directories(&base_chain(stage.layers.iter().map(|layer| &layer.content_id)), directories)?;
    }
    index.forget_stage(&stage.record.digest)?;
    Ok(index.save_stage(&stage.record, now)?)
}

/// Takes the layer at a place of a stack into the index.
fn adopt_layer(home: &Home, index: &mut Index, stack: &[RemoteLayer], at: usize, now: i64) -> Result<(), Error> {
    let layer = &stack[at];
    let store = BlobStore::new(home.clone());
    let record = layer_record(layer);
    let known = index.layer(&layer.content_id)?;
    let is_git = matches!(&known, Some((known, _)) if matches!(known.source, LayerSource::Git { .. }));
    match known {
        None => drop(index.save_layer(&record, now)?),
        Some((known, _)) => match &known.source {
            LayerSource::Blob { blob, size, .. } if store.has(blob, *size) => {}
            LayerSource::Blob { .. } | LayerSource::Parts { .. } => index.save_recipe(&record, now)?,
            LayerSource::Directory { .. } if !worker::is_directory_there(home, &known) => {
                index.forget_layer(&layer.content_id)?;
                index.save_layer(&record, now)?;
            }
            LayerSource::Directory { .. } | LayerSource::Git { .. } | LayerSource::Symlinks { .. } => {}
        },
    }
    for part in &layer.parts {
        adopt_part(&store, index, part)?;
    }
    if is_git || layer.parts.len() > 1 {
        let parts: Vec<ContentId> = layer.parts.iter().map(|part| part.content_id).collect();
        let below = stack[..at].iter().map(|layer| layer.parts.len()).sum();
        index.save_layer_parts(&layer.content_id, git::most_parts(below), &parts)?;
    }
    Ok(())
}

fn layer_record(layer: &RemoteLayer) -> LayerRecord {
    let size = layer.parts.iter().map(|part| part.size).sum();
    let source = match layer.parts.as_slice() {
        [part] => LayerSource::Blob {
            blob: part.blob,
            size: part.size,
            media_type: part.media_type.clone(),
            diff_id: part.diff_id,
            origin: Some(part.origin.clone()),
        },
        parts => LayerSource::Parts { parts: parts.to_vec() },
    };
    LayerRecord { content_id: layer.content_id, source, entries: 0, size }
}

/// Notes where the compressed form of a layer or a part is to be had, unless it is here.
fn adopt_part(store: &BlobStore, index: &Index, part: &BlobPart) -> Result<(), Error> {
    let Some(compression) = compression(&part.media_type) else { return Ok(()) };
    let encoding = blobs::encoding(compression);
    let known = index.layer_blob(&part.content_id, &encoding)?;
    if !known.is_some_and(|(blob, _)| store.has(&blob.blob, blob.size)) {
        let stored = StoredBlob { blob: part.blob, diff_id: part.diff_id, size: part.size };
        index.save_layer_blob(&part.content_id, &encoding, &stored, Some(&part.origin))?;
    }
    Ok(())
}

/// The compression that a media type of ours stands for.
fn compression(media_type: &str) -> Option<Compression> {
    [Compression::Gzip, Compression::Zstd, Compression::None]
        .into_iter()
        .find(|compression| blobs::media_type(*compression) == media_type)
}
