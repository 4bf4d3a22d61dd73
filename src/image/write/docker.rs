//! Docker archives, as `docker load`, podman and skopeo read them.
//!
//! `CONFIG.json`, `DIFFID/layer.tar`, `manifest.json`, and `repositories` for old readers; layers that images share are
//! there once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::output::{write_file, write_tar};
use super::{DockerImage, DockerLayer, Part, WriteError, docker_reference};
use crate::image::spec::{ImageConfig, canonical_json};
use crate::sha256::Sha256;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item<'a> {
    config: String,
    repo_tags: &'a [String],
    layers: Vec<String>,
}

/// Writes an archive of the images.
pub fn write_docker_archive(path: &Path, images: &[DockerImage], epoch: u64) -> Result<(), WriteError> {
    let parts = parts(images)?;
    write_file(path, |output| write_parts(output, &parts, epoch, |error| WriteError::io(path)(error)))
}

/// Writes the same archive to a stream.
pub fn docker_archive_to(output: &mut dyn Write, images: &[DockerImage], epoch: u64) -> Result<(), WriteError> {
    write_parts(output, &parts(images)?, epoch, WriteError::Stream)
}

fn write_parts(
    output: &mut dyn Write,
    parts: &BTreeMap<String, Part<'_>>,
    epoch: u64,
    output_error: impl Fn(io::Error) -> WriteError,
) -> Result<(), WriteError> {
    write_tar(output, parts.iter().map(|(name, part)| (name.as_str(), part)), epoch, output_error)
}

/// All files of the archive by name; sorted, the two small ones come last.
fn parts(images: &[DockerImage]) -> Result<BTreeMap<String, Part<'_>>, WriteError> {
    let mut parts = BTreeMap::new();
    let mut items = Vec::new();
    let mut repositories: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for image in images {
        check(image)?;
        let config = format!("{}.json", Sha256::of(&image.config).hex());
        for layer in &image.layers {
            if let Entry::Vacant(place) = parts.entry(layer_name(layer)) {
                place.insert(stream(layer)?);
            }
        }
        for reference in &image.references {
            let (name, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
            let top = image.layers.last().map(|layer| layer.diff_id.hex()).unwrap_or_default();
            if repositories.entry(name).or_default().insert(tag, top).is_some() {
                return Err(WriteError::Conflict(format!("two images {reference} in one docker archive")));
            }
        }
        let layers = image.layers.iter().map(layer_name).collect();
        items.push(Item { config: config.clone(), repo_tags: &image.references, layers });
        parts.insert(config, Part::Bytes(image.config.clone()));
    }
    parts.insert("manifest.json".to_owned(), Part::Bytes(canonical_json(&items)));
    if !repositories.is_empty() {
        parts.insert("repositories".to_owned(), Part::Bytes(canonical_json(&repositories)));
    }
    Ok(parts)
}

fn check(image: &DockerImage) -> Result<(), WriteError> {
    for reference in &image.references {
        match docker_reference(reference) {
            Ok(normal) if normal == *reference => {}
            Ok(_) => return Err(WriteError::Conflict(format!("the image name {reference:?} has no tag"))),
            Err(reason) => return Err(WriteError::Conflict(format!("the image name {reference:?} {reason}"))),
        }
    }
    let name = || image.references.first().cloned();
    let config = ImageConfig::parse(&image.config).map_err(|source| WriteError::Document { name: name(), source })?;
    if config.rootfs.diff_ids.iter().eq(image.layers.iter().map(|layer| &layer.diff_id)) {
        return Ok(());
    }
    let name = name().unwrap_or_else(|| "without a name".to_owned());
    Err(WriteError::Conflict(format!("the config of image {name} names other layers than it came with")))
}

fn layer_name(layer: &DockerLayer) -> String {
    format!("{}/layer.tar", layer.diff_id.hex())
}

fn stream(layer: &DockerLayer) -> Result<Part<'_>, WriteError> {
    let id = layer.diff_id;
    let count = || (layer.open)().and_then(|mut tar| io::copy(&mut tar, &mut io::sink()));
    let size = layer.size.map_or_else(count, Ok).map_err(|source| WriteError::Layer { layer: id, source })?;
    Ok(Part::Stream { id, size, open: &layer.open, trusted: layer.trusted })
}
