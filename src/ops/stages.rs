//! `stager stages ls` and `show`: stages of the local store, or of a repository.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use stages::digest::Inputs;
use stages::kind::{Slot, StageKind};
use stages::{BlobId, ContentId, ImageName, Platform, ProjectName, StageDigest};

use super::promotion::AT_ONCE;
use super::{Error, RegistryAccess};
use crate::builder::CancelToken;
use crate::registry::{self, Repository, side_by_side};
use crate::report::{Event, EventSink};
use crate::storage::{
    self, Found, Home, Index, LayerRecord, LayerSource, LayerUse, RemoteLayer, RemoteStage, RemoteStore, StageRecord,
    StageSummary,
};

/// How many stages an ambiguous name lists.
const MAX_AMBIGUOUS: u32 = 10;

/// Where stages are looked at.
#[derive(Debug, Clone)]
pub enum StageStorage {
    /// The store of this machine.
    Local {
        /// Its root directory.
        store: PathBuf,
        /// The user that it must belong to.
        user: u32,
    },
    /// A repository.
    Remote {
        /// Which.
        repository: Repository,
        /// How it is reached.
        access: RegistryAccess,
    },
}

/// A stage in a list. What a list of tags does not tell is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedStage {
    /// Its name.
    pub digest: StageDigest,
    /// The image that it was built for first.
    pub image: Option<ImageName>,
    /// Its place in the conveyor.
    pub stage: Option<Slot>,
    /// What it brings.
    pub kind: Option<StageKind>,
    /// The platform.
    pub platform: Option<Platform>,
    /// The bytes of its layers.
    pub size: Option<u64>,
    /// When it was made on this machine or came here, in seconds since 1970.
    pub created: Option<i64>,
    /// When it was last used on this machine.
    pub last_used: Option<i64>,
    /// Whether it is whole; in a repository: whether it is there as an image, beside its record or claim.
    pub whole: bool,
}

/// Lists stages: those of the store with the newest first, those of a repository by their digests. `long` fetches the records
/// of a repository.
pub fn list_stages(
    storage: &StageStorage,
    long: bool,
    events: &Arc<dyn EventSink>,
    cancel: &CancelToken,
) -> Result<Vec<ListedStage>, Error> {
    match storage {
        StageStorage::Local { store, user } => {
            let index = Index::open(&Home::open(store, *user)?)?;
            Ok(index.stages()?.into_iter().map(ListedStage::local).collect())
        }
        StageStorage::Remote { repository, access } => {
            let store = RemoteStore::new(&access.client(cancel, events)?, repository.clone());
            list_remote(&store, long, &**events)
        }
    }
}

fn list_remote(store: &RemoteStore, long: bool, events: &dyn EventSink) -> Result<Vec<ListedStage>, Error> {
    let unreadable = |source| unreadable(store, source);
    let found: Vec<(StageDigest, bool)> = store.stages().map_err(unreadable)?.into_iter().collect();
    side_by_side(&found, AT_ONCE, |&(digest, whole)| {
        let bare = ListedStage::bare(digest, whole);
        if !long {
            return Ok(bare);
        }
        match store.stage(&digest).map_err(unreadable)? {
            Found::Stage(stage) => Ok(bare.with_record(&stage)),
            Found::Claimed(_) | Found::Nothing => Ok(bare),
            Found::Damaged { reason } => {
                events.send(Event::Warning { message: format!("a stage that can't be used: {reason}") });
                Ok(bare)
            }
        }
    })
}

impl ListedStage {
    fn local(stage: StageSummary) -> Self {
        Self {
            digest: stage.digest,
            image: Some(stage.image),
            stage: Some(stage.slot),
            kind: Some(stage.kind),
            platform: Some(stage.platform),
            size: Some(stage.size),
            created: Some(stage.created),
            last_used: Some(stage.last_used),
            whole: true,
        }
    }

    fn bare(digest: StageDigest, whole: bool) -> Self {
        Self {
            digest,
            image: None,
            stage: None,
            kind: None,
            platform: None,
            size: None,
            created: None,
            last_used: None,
            whole,
        }
    }

    fn with_record(self, found: &RemoteStage) -> Self {
        let record = &found.record;
        Self {
            image: Some(record.image.clone()),
            stage: Some(record.slot.clone()),
            kind: Some(record.kind),
            platform: Some(record.platform.clone()),
            size: Some(found.layers.iter().map(size_of).sum()),
            ..self
        }
    }
}

/// Sizes of a registry are foreign numbers.
fn size_of(layer: &RemoteLayer) -> u64 {
    layer.parts.iter().fold(0, |sum, part| part.size.saturating_add(sum))
}

/// A stage as people name it: its digest, or at least six digits that it begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageName {
    /// All of it.
    Whole(StageDigest),
    /// Lower-case hexadecimal digits.
    Beginning(String),
}

impl FromStr for StageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        if let Ok(digest) = text.parse() {
            return Ok(Self::Whole(digest));
        }
        if !(6..64).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a stage is named by 6 to 64 hexadecimal digits".to_owned());
        }
        Ok(Self::Beginning(text))
    }
}

/// All of a stage's record.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownStage {
    /// Its name.
    pub digest: StageDigest,
    /// The project that built it first.
    pub project: ProjectName,
    /// The image that it was built for first.
    pub image: ImageName,
    /// The platform.
    pub platform: Platform,
    /// What it brings.
    pub kind: StageKind,
    /// Its place in the conveyor.
    pub stage: Slot,
    /// The stage it stands on.
    pub parent: Option<StageDigest>,
    /// The second key.
    pub content_key: ContentId,
    /// What it holds.
    pub content_id: ContentId,
    /// The cache versions it stands on.
    pub lineage: ContentId,
    /// What entered its digest, by name.
    pub inputs: Inputs,
    /// From the bottom up.
    pub layers: Vec<ShownLayer>,
    /// The image config.
    pub config: serde_json::Value,
    /// How long it took to make.
    pub duration_ms: u64,
    /// When it was made on this machine or came here, in seconds since 1970.
    pub created: Option<i64>,
    /// When it was last used on this machine.
    pub last_used: Option<i64>,
}

/// A layer of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownLayer {
    /// Its content id.
    pub content: ContentId,
    /// What the image's history says of it.
    pub created_by: String,
    /// Its bytes, as far as they are known.
    pub size: Option<u64>,
    /// The blobs it is known to have; several of a repository together are one tar.
    pub blobs: Vec<ShownBlob>,
}

/// A blob of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownBlob {
    /// Its digest.
    pub digest: BlobId,
    /// Its length in bytes.
    pub size: u64,
    /// Digest of its tar.
    pub diff_id: BlobId,
    /// The reference that it can be had by.
    pub origin: Option<String>,
}

/// One stage with all of its record.
pub fn show_stage(
    storage: &StageStorage,
    name: &StageName,
    events: &Arc<dyn EventSink>,
    cancel: &CancelToken,
) -> Result<ShownStage, Error> {
    match (storage, name) {
        (StageStorage::Local { store, user }, name) => show_local(&Index::open(&Home::open(store, *user)?)?, name),
        (StageStorage::Remote { repository, access }, StageName::Whole(digest)) => {
            show_remote(&RemoteStore::new(&access.client(cancel, events)?, repository.clone()), digest)
        }
        (StageStorage::Remote { .. }, StageName::Beginning(digits)) => Err(Error::NotWhole { digits: digits.clone() }),
    }
}

fn show_local(index: &Index, name: &StageName) -> Result<ShownStage, Error> {
    let digest = whole_name(index, name)?;
    let record = index.stage(&digest)?.ok_or_else(|| absent(&digest, LOCAL))?;
    let layers = record.layers.iter().map(|used| local_layer(index, used)).collect::<Result<_, Error>>()?;
    let (created, last_used) = (index.created(&digest)?, index.last_used(&digest)?);
    Ok(ShownStage { created, last_used, ..shown(record, layers)? })
}

fn show_remote(store: &RemoteStore, digest: &StageDigest) -> Result<ShownStage, Error> {
    let found = usable(store, digest)?.ok_or_else(|| absent(digest, &store.repository().to_string()))?;
    let layers = found.record.layers.iter().zip(&found.layers).map(|(used, layer)| remote_layer(used, layer)).collect();
    shown(found.record, layers)
}

/// A stage of a repository; `None` when there is none.
pub(super) fn usable(store: &RemoteStore, digest: &StageDigest) -> Result<Option<RemoteStage>, Error> {
    let place = store.repository().to_string();
    let unusable = |reason: String| Error::Unusable { stage: *digest, place: place.clone(), reason };
    match store.stage(digest).map_err(|source| unreadable(store, source))? {
        Found::Stage(found) => Ok(Some(*found)),
        Found::Nothing => Ok(None),
        Found::Claimed(_) => Err(unusable("a builder is making it, or was".to_owned())),
        Found::Damaged { reason } => Err(unusable(reason)),
    }
}

/// What the local store is called in messages.
const LOCAL: &str = "the store of this machine";

pub(super) fn absent(digest: &StageDigest, place: &str) -> Error {
    Error::NoSuchStage { stage: digest.to_string(), place: place.to_owned() }
}

pub(super) fn unreadable(store: &RemoteStore, source: registry::Error) -> Error {
    Error::StageStorage { repository: store.repository().to_string(), source }
}

fn whole_name(index: &Index, name: &StageName) -> Result<StageDigest, Error> {
    let digits = match name {
        StageName::Whole(digest) => return Ok(*digest),
        StageName::Beginning(digits) => digits,
    };
    let found = index.stages_beginning(digits, MAX_AMBIGUOUS)?;
    match found.as_slice() {
        [] => Err(Error::NoSuchStage { stage: digits.clone(), place: LOCAL.to_owned() }),
        [digest] => Ok(*digest),
        _ => Err(Error::Ambiguous { digits: digits.clone(), found }),
    }
}

fn shown(record: StageRecord, layers: Vec<ShownLayer>) -> Result<ShownStage, Error> {
    let config = serde_json::from_slice(&record.config)
        .map_err(|source| storage::Error::Corrupt { what: "image config", source })?;
    Ok(ShownStage {
        digest: record.digest,
        project: record.project,
        image: record.image,
        platform: record.platform,
        kind: record.kind,
        stage: record.slot,
        parent: record.parent,
        content_key: record.content_key,
        content_id: record.content_id,
        lineage: record.lineage,
        inputs: record.inputs,
        layers,
        config,
        duration_ms: record.duration_ms,
        created: None,
        last_used: None,
    })
}

/// A layer with the blobs that it came as, or has been packed as.
fn local_layer(index: &Index, used: &LayerUse) -> Result<ShownLayer, Error> {
    let layer = index.layer(&used.layer)?.map(|(layer, _)| layer);
    let mut blobs = layer.as_ref().map(came_as).unwrap_or_default();
    for (stored, origin) in index.layer_blobs(&used.layer)? {
        if !blobs.iter().any(|blob| blob.digest == stored.blob) {
            blobs.push(ShownBlob { digest: stored.blob, size: stored.size, diff_id: stored.diff_id, origin });
        }
    }
    let size = layer.map(|layer| layer.size);
    Ok(ShownLayer { content: used.layer, created_by: used.created_by.clone(), size, blobs })
}

fn came_as(layer: &LayerRecord) -> Vec<ShownBlob> {
    match &layer.source {
        LayerSource::Blob { blob, size, diff_id, origin, .. } => {
            vec![ShownBlob { digest: *blob, size: *size, diff_id: *diff_id, origin: origin.clone() }]
        }
        LayerSource::Parts { parts } => parts.iter().map(part).collect(),
        LayerSource::Directory { .. } | LayerSource::Git { .. } | LayerSource::Symlinks { .. } => Vec::new(),
    }
}

fn part(part: &storage::BlobPart) -> ShownBlob {
    ShownBlob { digest: part.blob, size: part.size, diff_id: part.diff_id, origin: Some(part.origin.clone()) }
}

fn remote_layer(used: &LayerUse, layer: &RemoteLayer) -> ShownLayer {
    ShownLayer {
        content: used.layer,
        created_by: used.created_by.clone(),
        size: Some(size_of(layer)),
        blobs: layer.parts.iter().map(part).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_named_by_their_first_digits() {
        let whole = "ab".repeat(32);
        assert_eq!(whole.to_uppercase().parse(), Ok(StageName::Whole(whole.parse().unwrap())));
        assert_eq!("0aF9be".parse(), Ok(StageName::Beginning("0af9be".to_owned())));
        for bad in ["", "abcde", "abcdeg", "abcde%", &"a".repeat(65)] {
            assert!(bad.parse::<StageName>().is_err(), "{bad}");
        }
    }
}
