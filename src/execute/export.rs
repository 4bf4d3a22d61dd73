//! Finished images, written to where somebody else reads them.
//!
//! This is where layers are packed, hashed and compressed: once for each layer, kept as blobs of the store.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use stages::plan::PlannedImage;
use stages::{BlobId, ImageName, Platform};

use super::blobs::{self, LayerBlob};
use super::describe::describe;
use super::worker::Worker;
use super::{Engine, Error, SOURCE_DATE_EPOCH, publish};
use crate::image::daemon::{self, DaemonOptions};
use crate::image::spec::{Descriptor, media_type};
use crate::image::write::{self, Destination, DockerImage, DockerLayer, OciImage, OciLayer};
use crate::layer::{self, Compression, Decompressor};
use crate::registry::Reference;
use crate::report::Event;
use crate::storage::{BlobStore, StageRecord};

/// An engine that takes no byte for so long is given up.
const DAEMON_IDLE: Duration = Duration::from_secs(120);

/// A place to write images to.
#[derive(Debug, Clone)]
pub struct Output {
    /// As the user said it, with the image's name filled in.
    pub text: String,
    /// What that means.
    pub destination: Destination,
    /// Which of the request's images go there.
    pub images: Vec<usize>,
}

/// What to write, and where.
pub struct ExportRequest<'a> {
    /// Images with what they hold.
    pub images: Vec<(&'a PlannedImage, Arc<StageRecord>)>,
    /// Places to write them to.
    pub outputs: &'a [Output],
    /// How new layers are compressed.
    pub compression: Compression,
    /// Where the Docker Engine is, as `DOCKER_HOST` says it.
    pub docker_host: Option<&'a str>,
}

/// What was written of an image.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The digest of its manifest.
    pub manifest: BlobId,
    /// The references that it was written under.
    pub references: Vec<String>,
}

/// An image whose layers are all blobs of the store.
struct Packed {
    name: ImageName,
    platform: Platform,
    manifest: Vec<u8>,
    manifest_digest: BlobId,
    config: Vec<u8>,
    layers: Vec<LayerBlob>,
    record: Arc<StageRecord>,
}

/// Writes images. What was written so far stays when a later destination fails.
pub fn export(
    engine: &Engine<'_>,
    request: &ExportRequest<'_>,
) -> Result<BTreeMap<(ImageName, Platform), Exported>, Error> {
    let mut slot = None;
    let worker = Worker::reopen(&mut slot, engine)?;
    let mut packed = Vec::new();
    for (image, record) in &request.images {
        engine.check_cancelled()?;
        packed.push(pack(worker, image, record, request.compression).map_err(|error| match error {
            Error::Interrupted | Error::Assemble { .. } => error,
            other => Error::InImage { image: image.name.clone(), source: Box::new(other) },
        })?);
    }
    let mut exported: BTreeMap<_, _> = packed
        .iter()
        .map(|image| {
            let exported = Exported { manifest: image.manifest_digest, references: Vec::new() };
            ((image.name.clone(), image.platform.clone()), exported)
        })
        .collect();
    for output in request.outputs {
        engine.check_cancelled()?;
        let images: Vec<&Packed> = output.images.iter().filter_map(|&at| packed.get(at)).collect();
        write_to(worker, request, output, &images)
            .map_err(|error| if engine.cancel.is_cancelled() { Error::Interrupted } else { error })?;
        for image in images {
            engine.events.send(Event::Exported { image: image.name.clone(), destination: output.text.clone() });
            if let Some(exported) = exported.get_mut(&(image.name.clone(), image.platform.clone())) {
                exported.references.push(output.text.clone());
            }
        }
    }
    Ok(exported)
}

fn pack(
    worker: &mut Worker<'_, '_>,
    image: &PlannedImage,
    record: &Arc<StageRecord>,
    compression: Compression,
) -> Result<Packed, Error> {
    let described = describe(worker, &image.name, &image.platform, record, compression, &|_| Ok(()))?;
    for layer in described.blobs() {
        blobs::fetch_blob(worker, layer)?;
    }
    Ok(Packed {
        name: image.name.clone(),
        platform: image.platform.clone(),
        manifest_digest: described.descriptor.digest,
        manifest: described.manifest.to_bytes(),
        config: described.config,
        layers: described.layers.into_iter().flatten().collect(),
        record: Arc::clone(record),
    })
}

fn write_to(
    worker: &mut Worker<'_, '_>,
    request: &ExportRequest<'_>,
    output: &Output,
    images: &[&Packed],
) -> Result<(), Error> {
    let store = BlobStore::new(worker.engine.home.clone());
    let place = output.text.clone();
    let failed = |source| Error::Write { destination: place.clone(), source };
    let epoch = SOURCE_DATE_EPOCH.unsigned_abs();
    match &output.destination {
        Destination::OciDirectory { path, tag } => {
            write::write_oci_directory(path, &oci_images(&store, images, tag.as_deref())).map_err(failed)
        }
        Destination::OciArchive { path, tag } => {
            write::write_oci_archive(path, &oci_images(&store, images, tag.as_deref()), epoch).map_err(failed)
        }
        Destination::DockerArchive { path, reference } => {
            write::write_docker_archive(path, &docker_images(&store, images, reference.as_deref()), epoch)
                .map_err(failed)
        }
        Destination::DockerDaemon { reference } => {
            let options =
                DaemonOptions { host: request.docker_host, idle: DAEMON_IDLE, cancelled: worker.engine.cancel.flag() };
            daemon::load_into_daemon(&docker_images(&store, images, Some(reference)), epoch, &options)
                .map_err(|source| Error::Daemon { destination: place.clone(), source })?;
            Ok(())
        }
        Destination::RootfsTar { path } => images.iter().try_for_each(|image| rootfs(worker, path, image)),
        Destination::Registry { reference } => images.iter().try_for_each(|image| push(worker, reference, image)),
    }
}

fn oci_images(store: &BlobStore, images: &[&Packed], tag: Option<&str>) -> Vec<OciImage> {
    images
        .iter()
        .map(|image| OciImage {
            reference: Some(match tag {
                Some(tag) => tag.to_owned(),
                None if is_one_image(images) => "latest".to_owned(),
                None => image.name.as_str().to_owned(),
            }),
            platform: image.platform.clone(),
            manifest: image.manifest.clone(),
            config: image.config.clone(),
            layers: image
                .layers
                .iter()
                .map(|layer| OciLayer {
                    descriptor: Descriptor::new(&layer.media_type, layer.blob.blob, layer.blob.size),
                    open: opener(store, layer, false),
                    trusted: false,
                })
                .collect(),
        })
        .collect()
}

/// Whether these are the platforms of one image.
fn is_one_image(images: &[&Packed]) -> bool {
    images.iter().all(|image| image.name == images[0].name)
}

fn docker_images(store: &BlobStore, images: &[&Packed], reference: Option<&str>) -> Vec<DockerImage> {
    images
        .iter()
        .map(|image| DockerImage {
            references: match reference {
                Some(reference) => vec![reference.to_owned()],
                None if image.name.as_str().is_empty() => Vec::new(),
                None => vec![format!("{}:latest", image.name.as_str().to_lowercase())],
            },
            config: image.config.clone(),
            layers: image
                .layers
                .iter()
                .map(|layer| DockerLayer {
                    diff_id: layer.blob.diff_id,
                    size: None,
                    open: opener(store, layer, true),
                    trusted: false,
                })
                .collect(),
        })
        .collect()
}

/// Opens the bytes of a layer, as stored or as a tar. Who reads them checks their digest.
fn opener(store: &BlobStore, layer: &LayerBlob, tar: bool) -> write::Opener {
    let (store, blob) = (store.clone(), layer.blob.blob);
    Box::new(move || {
        let file = store
            .open(&blob)
            .map_err(io::Error::other)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("blob {blob} is gone from the store")))?;
        let file = BufReader::with_capacity(1 << 18, file);
        if !tar {
            return Ok(Box::new(file));
        }
        Ok(Box::new(Decompressor::new(file, u64::MAX).map_err(io::Error::other)?))
    })
}

fn rootfs(worker: &mut Worker<'_, '_>, path: &Path, image: &Packed) -> Result<(), Error> {
    let layers: Vec<_> = image.record.layers.iter().map(|used| used.layer).collect();
    let tree = worker.merged(&layers)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    layer::pack_merged(&tree, io::BufWriter::with_capacity(1 << 18, &mut file), None)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn push(worker: &mut Worker<'_, '_>, reference: &str, image: &Packed) -> Result<(), Error> {
    let failed = |source| Error::Push { reference: reference.to_owned(), source };
    let parsed: Reference = reference.parse().map_err(failed)?;
    let (client, repository) = (worker.engine.registry, parsed.repository());
    for layer in &image.layers {
        worker.engine.check_cancelled()?;
        publish::bring_blob(worker, client, repository, layer)?;
    }
    client.push_bytes(repository, &image.config).map_err(failed)?;
    // The tag comes last: whoever sees it finds everything it names.
    client.put_manifest(&parsed, &image.manifest, media_type::MANIFEST).map_err(failed)?;
    Ok(())
}
