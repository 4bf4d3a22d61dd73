//! Outside bases: an image of a registry, a file of the commit, or nothing.
//!
//! Of a registry image the manifest and config are fetched; its layers wait until somebody needs their bytes.

use std::path::PathBuf;

use stages::digest::{Encoder, Value};
use stages::spec::{Base, BaseFormat};
use stages::{BlobId, ContentId, Platform};

use super::step::parent_config;
use super::worker::{Content, Task, Worker};
use super::{Error, blobs};
use crate::image::assemble::inherited;
use crate::image::read::{self, BaseInput, OpenOptions};
use crate::image::spec::{ImageConfig, MAX_CONFIG_BYTES, Manifest};
use crate::registry::Reference;
use crate::report::Event;
use crate::storage::{BlobStore, LayerSource, LayerUse, StageRecord};

/// Makes a `from` stage.
pub(super) fn make(worker: &mut Worker<'_, '_>, task: &Task<'_>, base: &Base) -> Result<Content, Error> {
    match base {
        Base::Registry { reference, latest } => {
            let digest = match task.node.stage.inputs.get("fromDigest") {
                Some(Value::Text(digest)) if *latest => digest.parse::<BlobId>().ok(),
                _ => None,
            };
            registry(worker, task, reference, digest)
        }
        Base::File { format, path } => file(worker, task, *format, path),
        Base::Scratch | Base::Image { .. } | Base::Artifact { .. } | Base::Dockerfile(_) => {
            Ok(Content { layers: Vec::new(), config: ImageConfig::scratch(&task.node.image.platform).to_bytes() })
        }
    }
}

/// An image that stands on another one of the config.
pub(super) fn of_image(record: &StageRecord) -> Result<Content, Error> {
    let config = inherited(parent_config(record)?).to_bytes();
    Ok(Content { config, ..Content::of(record) })
}

/// An outside image that something is imported from.
pub(super) fn external(worker: &mut Worker<'_, '_>, task: &Task<'_>, reference: &str) -> Result<Content, Error> {
    registry(worker, task, reference, None)
}

fn registry(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    reference: &str,
    digest: Option<BlobId>,
) -> Result<Content, Error> {
    let engine = worker.engine;
    let failed = |source| Error::Pull { stage: task.id.clone(), reference: reference.to_owned(), source };
    let document = |source| Error::BaseDocument { stage: task.id.clone(), base: reference.to_owned(), source };
    let mut parsed: Reference = reference.parse().map_err(failed)?;
    if let Some(digest) = digest {
        parsed = parsed.repository().with_digest(digest);
    }
    engine.events.send(Event::Note { message: format!("looking up {reference}") });
    let (_, manifest) = engine.registry.image(&parsed, &task.node.image.platform).map_err(failed)?;
    let config = engine.registry.blob_bytes(parsed.repository(), &manifest.config, MAX_CONFIG_BYTES).map_err(failed)?;
    let config = ImageConfig::parse(&config).map_err(document)?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        let message = format!(
            "{reference}: its manifest has {} layers, its config {}",
            manifest.layers.len(),
            config.rootfs.diff_ids.len()
        );
        return Err(Error::Config { stage: task.id.clone(), message });
    }
    let mut content = Content { layers: Vec::new(), config: inherited(config.clone()).to_bytes() };
    add_manifest_layers(worker, &mut content, &manifest, &config, reference)?;
    Ok(content)
}

fn add_manifest_layers(
    worker: &Worker<'_, '_>,
    content: &mut Content,
    manifest: &Manifest,
    config: &ImageConfig,
    origin: &str,
) -> Result<(), Error> {
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let source = LayerSource::Blob {
            blob: layer.digest,
            size: layer.size,
            media_type: layer.media_type.clone(),
            diff_id: *diff_id,
            origin: Some(origin.to_owned()),
        };
        add_blob_layer(worker, content, source, *diff_id, layer.digest, layer.size)?;
    }
    Ok(())
}

/// A base's layer is named by its tar and its blob: the same tar compressed in another way is another blob in a manifest.
fn add_blob_layer(
    worker: &Worker<'_, '_>,
    content: &mut Content,
    source: LayerSource,
    diff_id: BlobId,
    blob: BlobId,
    size: u64,
) -> Result<(), Error> {
    let mut encoder = Encoder::new("stager base layer");
    encoder.text(&diff_id.to_string());
    encoder.text(&blob.to_string());
    let layer: ContentId = encoder.finish().into();
    worker.save_recipe(layer, source, size)?;
    content.layers.push(LayerUse { layer, created_by: String::new() });
    Ok(())
}

fn file(worker: &mut Worker<'_, '_>, task: &Task<'_>, format: BaseFormat, path: &str) -> Result<Content, Error> {
    let base = format!("{}:{path}", format.prefix());
    let temp = worker.engine.home.temp()?;
    let (file, reference) = read::split_reference(format, path);
    let gate = |source| Error::Gate { stage: task.id.clone(), what: format!("base file `{path}`"), source };
    let input: PathBuf = worker.engine.gate.materialize_base(file, &temp.path().join("base")).map_err(gate)?;
    let input = if input.is_dir() { BaseInput::Directory(input) } else { BaseInput::File(input) };
    let options = OpenOptions { platform: &task.node.image.platform, reference, spool: temp.path() };
    let failed = |source| Error::Base { stage: task.id.clone(), base: base.clone(), source };
    let opened = read::open_base(format, input, &options).map_err(failed)?;
    let platform = &task.node.image.platform;
    if format == BaseFormat::Rootfs && *platform != Platform::host() {
        let message = format!("{base} does not say what platform it is for: it is taken for {platform}");
        worker.engine.events.send(Event::Warning { message });
    }
    let mut content = Content { layers: Vec::new(), config: opened.config.to_bytes() };
    let mut diff_ids = Vec::new();
    for layer in &opened.layers {
        worker.engine.check_cancelled()?;
        // A layer whose digest the format doesn't say is stored as its tar, and named by what that hashes to.
        let (blob, size, media_type, diff_id) = match (layer.digest, layer.diff_id) {
            (Some(digest), Some(diff_id)) => {
                BlobStore::new(worker.engine.home.clone()).copy_in(&mut layer.open()?, &digest)?;
                (digest, layer.size, layer.media_type.clone(), diff_id)
            }
            (_, known) => {
                let (blob, size) = blobs::store_layer(worker, &mut layer.open_tar()?)?;
                if let Some(expected) = known.filter(|expected| *expected != blob) {
                    return Err(Error::WrongDiffId { blob, expected, found: blob });
                }
                (blob, size, crate::image::spec::media_type::LAYER_TAR.to_owned(), blob)
            }
        };
        diff_ids.push(diff_id);
        let source = LayerSource::Blob { blob, size, media_type, diff_id, origin: None };
        add_blob_layer(worker, &mut content, source, diff_id, blob, size)?;
    }
    let mut config = opened.config;
    config.rootfs.diff_ids = diff_ids;
    content.config = inherited(config).to_bytes();
    Ok(content)
}
