//! The manifest and config of a stage as an image: what an export writes, and what other images can be told of it.

use std::collections::BTreeMap;

use stages::{BlobId, ImageName, Platform};

use super::blobs::{self, LayerBlob, Packed};
use super::step::parent_config;
use super::worker::Worker;
use super::{Error, SOURCE_DATE_EPOCH};
use crate::image::assemble::{self, LayerRef};
use crate::image::spec::{Descriptor, ImageConfig, Manifest, media_type};
use crate::layer::Compression;
use crate::storage::StageRecord;

/// An image by its documents.
pub(super) struct Description {
    pub(super) manifest: Manifest,
    /// The manifest as it is published.
    pub(super) descriptor: Descriptor,
    pub(super) config: Vec<u8>,
    /// For each layer of the record its blobs.
    pub(super) layers: Vec<Vec<LayerBlob>>,
}

impl Description {
    /// All blobs, bottom first.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &LayerBlob> {
        self.layers.iter().flatten()
    }

    pub(super) fn config_digest(&self) -> BlobId {
        self.manifest.config.digest
    }
}

/// Describes a stage as an image. Our own layers are packed for it; those of a base need not be there. `packed` hears of each
/// blob.
pub(super) fn describe(
    worker: &mut Worker<'_, '_>,
    image: &ImageName,
    platform: &Platform,
    record: &StageRecord,
    compression: Compression,
    packed: Packed<'_>,
) -> Result<Description, Error> {
    let failed = |source| Error::Assemble { image: image.clone(), source };
    let base = parent_config(record)?;
    let of_base = base.rootfs.diff_ids.len();
    let mut layers = Vec::new();
    let mut history = Vec::new();
    for (at, used) in record.layers.iter().enumerate() {
        worker.engine.check_cancelled()?;
        let below = layers.iter().map(Vec::len).sum();
        let layer = blobs::layer_blobs(worker, &used.layer, compression, below, packed)?;
        if at >= of_base {
            let line =
                |blob: &LayerBlob| LayerRef { diff_id: Some(blob.blob.diff_id), created_by: used.created_by.clone() };
            history.extend(layer.iter().map(line));
        }
        layers.push(layer);
    }
    let config = assemble::assemble(&base, platform, &history, SOURCE_DATE_EPOCH.unsigned_abs()).map_err(failed)?;
    let config = with_layers(config, &layers).to_bytes();
    let descriptor = |layer: &LayerBlob| Descriptor::new(&layer.media_type, layer.blob.blob, layer.blob.size);
    let descriptors = layers.iter().flatten().map(descriptor).collect();
    let manifest = assemble::manifest(Descriptor::of(media_type::CONFIG, &config), descriptors, BTreeMap::new())
        .map_err(failed)?;
    let descriptor = Descriptor::of(media_type::MANIFEST, &manifest.to_bytes());
    Ok(Description { manifest, descriptor, config, layers })
}

/// Git content lies below the layers of the steps, also when the base is an image with layers of its own.
fn with_layers(mut config: ImageConfig, layers: &[Vec<LayerBlob>]) -> ImageConfig {
    config.rootfs.diff_ids = layers.iter().flatten().map(|layer| layer.blob.diff_id).collect();
    config
}
