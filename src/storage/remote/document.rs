//! The record of a stage in the annotation of a manifest.
//!
//! The document is JSON. It says what a stage stands for and which layers it has by their content; the manifest says the
//! same layers as blobs. Foreign text: every value is parsed into its type, and what the digest is of is computed again.

use serde::{Deserialize, Serialize};
use stages::digest::{Inputs, stage_digest};
use stages::kind::{Slot, StageKind};
use stages::{BlobId, ContentId, ImageName, Platform, ProjectName, StageDigest};

use super::{RemoteLayer, RemoteStage};
use crate::image::spec::{Descriptor, ImageConfig, Manifest};
use crate::storage::record::{BlobPart, LayerUse, StageRecord};

/// The annotation that holds the record.
pub const RECORD_ANNOTATION: &str = "io.stager.stage";

/// The version of the document.
///
/// 1: the first one.
pub const RECORD_VERSION: u32 = 1;

/// Longer lists of directories stay out of records: registries take 4 MiB for all of a manifest.
const MAX_DIRECTORIES: usize = 1 << 20;

/// A blob of a layer as the record says it; the manifest says the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedBlob {
    /// Names what it holds: the layer, or a part of it.
    pub content: ContentId,
    /// Digest of its tar.
    pub diff_id: BlobId,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StageDocument {
    version: u32,
    project: ProjectName,
    image: ImageName,
    platform: Platform,
    kind: StageKind,
    slot: Slot,
    parent: Option<StageDigest>,
    inputs: Inputs,
    content_key: ContentId,
    lineage: ContentId,
    /// The image config of the record, as text: its bytes count.
    config: String,
    layers: Vec<LayerDocument>,
    /// The directories of the stack, where git content is placed on it whose own directories give way to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directories: Option<String>,
    duration_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerDocument {
    content: ContentId,
    blobs: Vec<PublishedBlob>,
    created_by: String,
}

/// The manifest with the record of the stage.
pub(super) fn write(
    record: &StageRecord,
    image: &Manifest,
    layers: &[Vec<PublishedBlob>],
    directories: Option<String>,
) -> Manifest {
    let layer = |(used, blobs): (&LayerUse, &Vec<PublishedBlob>)| LayerDocument {
        content: used.layer,
        blobs: blobs.clone(),
        created_by: used.created_by.clone(),
    };
    let document = StageDocument {
        version: RECORD_VERSION,
        project: record.project.clone(),
        image: record.image.clone(),
        platform: record.platform.clone(),
        kind: record.kind,
        slot: record.slot.clone(),
        parent: record.parent,
        inputs: record.inputs.clone(),
        content_key: record.content_key,
        lineage: record.lineage,
        config: String::from_utf8_lossy(&record.config).into_owned(),
        layers: record.layers.iter().zip(layers).map(layer).collect(),
        directories: directories.filter(|paths| paths.len() <= MAX_DIRECTORIES),
        duration_ms: record.duration_ms,
    };
    let text = serde_json::to_string(&document).expect("a record has string keys only");
    let mut manifest = image.clone();
    manifest.annotations.insert(RECORD_ANNOTATION.to_owned(), text);
    manifest
}

/// The stage that a manifest holds the record of, or what is wrong with it. `origin` is the reference that its blobs can be
/// had by.
pub(super) fn read(manifest: &Manifest, asked: &StageDigest, origin: &str) -> Result<RemoteStage, String> {
    let text = manifest.annotations.get(RECORD_ANNOTATION).ok_or("it has no record of a stage")?;
    let document: StageDocument = serde_json::from_str(text).map_err(|error| format!("its record: {error}"))?;
    if document.version != RECORD_VERSION {
        return Err(format!("its record has version {}, this program knows {RECORD_VERSION}", document.version));
    }
    let StageDocument { platform, kind, slot, inputs, parent, .. } = &document;
    let digest = stage_digest(platform, *kind, slot, inputs, parent.as_ref());
    if digest != *asked {
        return Err(format!("its record is of stage {digest}"));
    }
    let blobs: usize = document.layers.iter().map(|layer| layer.blobs.len()).sum();
    if blobs != manifest.layers.len() || document.layers.iter().any(|layer| layer.blobs.is_empty()) {
        return Err(format!("{blobs} layers in its record, {} in it", manifest.layers.len()));
    }
    ImageConfig::parse(document.config.as_bytes()).map_err(|error| format!("the config in its record: {error}"))?;
    let mut image = manifest.clone();
    image.annotations.remove(RECORD_ANNOTATION);
    let mut descriptors = manifest.layers.iter();
    let layers = document.layers.iter().map(|layer| RemoteLayer {
        content_id: layer.content,
        parts: layer.blobs.iter().zip(descriptors.by_ref()).map(|(blob, found)| part(*blob, found, origin)).collect(),
    });
    let layers = layers.collect();
    let directories = document.directories.clone();
    Ok(RemoteStage { image, layers, directories, record: record(document, digest) })
}

fn part(blob: PublishedBlob, found: &Descriptor, origin: &str) -> BlobPart {
    BlobPart {
        content_id: blob.content,
        blob: found.digest,
        size: found.size,
        media_type: found.media_type.clone(),
        diff_id: blob.diff_id,
        origin: origin.to_owned(),
    }
}

fn record(document: StageDocument, digest: StageDigest) -> StageRecord {
    let uses = document.layers.into_iter().map(|layer| LayerUse { layer: layer.content, created_by: layer.created_by });
    let (layers, config) = (uses.collect::<Vec<_>>(), document.config.into_bytes());
    StageRecord {
        digest,
        project: document.project,
        image: document.image,
        platform: document.platform,
        kind: document.kind,
        slot: document.slot,
        parent: document.parent,
        inputs: document.inputs,
        content_key: document.content_key,
        content_id: StageRecord::content_id_of(&layers, &config),
        lineage: document.lineage,
        config,
        layers,
        duration_ms: document.duration_ms,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::image::assemble;
    use crate::image::spec::media_type;

    fn blob(byte: u8) -> BlobId {
        BlobId::from_bytes([byte; 32])
    }

    fn stage() -> (StageRecord, Manifest, Vec<Vec<PublishedBlob>>) {
        let platform: Platform = "linux/amd64".parse().unwrap();
        let inputs: Inputs = BTreeMap::from([("command".to_owned(), "make".into())]);
        let (kind, slot, parent) = (StageKind::Build, Slot::new("build/make"), Some(StageDigest::from_bytes([2; 32])));
        let config = ImageConfig::scratch(&platform).to_bytes();
        let layers =
            vec![LayerUse { layer: ContentId::from_bytes([5; 32]), created_by: "stager build/make".to_owned() }];
        let record = StageRecord {
            digest: stage_digest(&platform, kind, &slot, &inputs, parent.as_ref()),
            project: "shop".parse().unwrap(),
            image: "app".parse().unwrap(),
            platform,
            kind,
            slot,
            parent,
            inputs,
            content_key: ContentId::from_bytes([3; 32]),
            content_id: StageRecord::content_id_of(&layers, &config),
            lineage: ContentId::from_bytes([6; 32]),
            config,
            layers,
            duration_ms: 7,
        };
        let layer = Descriptor::new(media_type::LAYER_GZIP, blob(1), 11);
        let manifest =
            assemble::manifest(Descriptor::new(media_type::CONFIG, blob(9), 3), vec![layer], BTreeMap::new());
        (
            record,
            manifest.unwrap(),
            vec![vec![PublishedBlob { content: ContentId::from_bytes([5; 32]), diff_id: blob(4) }]],
        )
    }

    #[test]
    fn a_record_comes_back() {
        let (record, image, layers) = stage();
        let found = read(&write(&record, &image, &layers, Some("/etc".to_owned())), &record.digest, "r/x:1").unwrap();
        assert_eq!(found.record, record);
        assert_eq!(found.image, image);
        assert_eq!(found.directories.as_deref(), Some("/etc"));
        let part = &found.layers[0].parts[0];
        assert_eq!((part.blob, part.diff_id, part.size), (blob(1), blob(4), 11));
        assert!(found.has_blob(&blob(1)) && !found.has_blob(&blob(9)));
    }

    #[test]
    fn what_is_not_the_stage_is_refused() {
        let (record, image, layers) = stage();
        let good = write(&record, &image, &layers, Some("/etc".to_owned()));
        let changed = |from: &str, to: &str| {
            let mut manifest = good.clone();
            let text = manifest.annotations.get_mut(RECORD_ANNOTATION).unwrap();
            assert!(text.contains(from), "{text}");
            *text = text.replace(from, to);
            manifest
        };
        let fewer = Manifest { layers: Vec::new(), ..good.clone() };
        let cases = [
            (image.clone(), "no record"),
            (changed("\"make\"", "\"rm -rf\""), "record is of stage"),
            (changed("build/make\",\"parent", "build/other\",\"parent"), "record is of stage"),
            (changed("\"version\":1", "\"version\":9"), "has version 9"),
            (changed("{\"version\"", "[\"version\""), "its record:"),
            (fewer, "1 layers in its record, 0 in it"),
        ];
        for (manifest, part) in cases {
            let error = read(&manifest, &record.digest, "r/x:1").expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
