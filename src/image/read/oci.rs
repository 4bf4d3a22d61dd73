//! OCI image layouts, as directories or archives.

use std::sync::Arc;

use stages::ids::BlobId;

use super::{BaseLayer, ImageSource, OpenOptions, OpenedBase, ReadError, read_document};
use crate::image::platform::{best_entries, describe};
use crate::image::spec::{
    Descriptor, Document, ImageConfig, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, Manifest, media_type, oci_media_type,
};
use crate::sha256::Sha256;

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// The name of a blob in a layout.
pub(crate) fn blob_name(digest: &BlobId) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn open(source: Arc<dyn ImageSource>, options: &OpenOptions<'_>) -> Result<OpenedBase, ReadError> {
    let bytes = read_document(source.as_ref(), "index.json", MAX_MANIFEST_BYTES)?.ok_or_else(|| no_index(&source))?;
    let index = match parse("index.json", &bytes)? {
        Document::Index(index) => index,
        Document::Manifest(_) => return Err(ReadError::Invalid("index.json is a manifest, not an index".to_owned())),
    };
    let named = by_reference(&index.manifests, options.reference)?;
    let mut entry = choose(&named, options)?.clone();
    for _ in 0..MAX_DEPTH {
        let what = format!("manifest {}", entry.digest);
        let bytes = read_blob(source.as_ref(), &entry, &what, MAX_MANIFEST_BYTES)?;
        match parse(&what, &bytes)? {
            Document::Manifest(manifest) => return image(source, entry.digest, bytes, &manifest),
            Document::Index(index) => entry = choose(&index.manifests.iter().collect::<Vec<_>>(), options)?.clone(),
        }
    }
    Err(ReadError::Invalid(format!("indexes are nested more than {MAX_DEPTH} deep")))
}

fn no_index(source: &Arc<dyn ImageSource>) -> ReadError {
    ReadError::Missing(match source.open("manifest.json") {
        Ok(Some(_)) => "there is no index.json: this is not an OCI layout but a docker-archive".to_owned(),
        _ => "there is no index.json: this is not an OCI layout".to_owned(),
    })
}

fn parse(what: &str, bytes: &[u8]) -> Result<Document, ReadError> {
    Document::parse(bytes).map_err(|source| ReadError::Document { what: what.to_owned(), source })
}

fn by_reference<'a>(entries: &'a [Descriptor], reference: Option<&str>) -> Result<Vec<&'a Descriptor>, ReadError> {
    let Some(reference) = reference else { return Ok(entries.iter().collect()) };
    let full_name = "io.containerd.image.name";
    let fits = |entry: &&Descriptor| {
        entry.ref_name() == Some(reference)
            || entry.annotations.get(full_name).is_some_and(|name| name == reference)
            || entry.digest.to_string() == reference
    };
    let named: Vec<_> = entries.iter().filter(fits).collect();
    if named.is_empty() {
        let wanted = format!("named {reference:?}");
        return Err(ReadError::NoMatch { wanted, available: list(&entries.iter().collect::<Vec<_>>()) });
    }
    Ok(named)
}

/// The one entry for the platform.
fn choose<'a>(entries: &[&'a Descriptor], options: &OpenOptions<'_>) -> Result<&'a Descriptor, ReadError> {
    let best = best_entries(options.platform, entries);
    match best.first() {
        None => Err(ReadError::NoMatch { wanted: format!("for {}", options.platform), available: list(entries) }),
        // one image under several names is one image
        Some(first) if best.iter().all(|entry| entry.digest == first.digest) => Ok(first),
        Some(_) => Err(ReadError::SeveralMatch(list(&best))),
    }
}

/// Entries as people would name them, at most ten.
fn list(entries: &[&Descriptor]) -> String {
    const SHOWN: usize = 10;
    let name = |entry: &&Descriptor| match (entry.ref_name(), &entry.platform) {
        (Some(name), _) => name.to_owned(),
        (None, Some(platform)) => format!("{} ({})", entry.digest, describe(platform)),
        (None, None) => entry.digest.to_string(),
    };
    let mut names: Vec<String> = entries.iter().take(SHOWN).map(name).collect();
    if entries.len() > SHOWN {
        names.push(format!("{} more", entries.len() - SHOWN));
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn read_blob(source: &dyn ImageSource, blob: &Descriptor, what: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
    let missing = || ReadError::Missing(format!("{what} is not among the blobs"));
    let bytes = read_document(source, &blob_name(&blob.digest), limit)?.ok_or_else(missing)?;
    if bytes.len() as u64 != blob.size || Sha256::of(&bytes) != blob.digest {
        return Err(ReadError::Invalid(format!("{what} is corrupt: its size or digest is not as declared")));
    }
    Ok(bytes)
}

fn image(
    source: Arc<dyn ImageSource>,
    digest: BlobId,
    manifest_bytes: Vec<u8>,
    manifest: &Manifest,
) -> Result<OpenedBase, ReadError> {
    let kind = manifest.config.media_type.as_str();
    if !["", media_type::CONFIG, media_type::DOCKER_CONFIG].contains(&kind) {
        return Err(ReadError::Invalid(format!("{digest} is not an image but an artifact of type {kind}")));
    }
    let what = format!("image config {}", manifest.config.digest);
    let config_bytes = read_blob(source.as_ref(), &manifest.config, &what, MAX_CONFIG_BYTES)?;
    let config =
        ImageConfig::parse(&config_bytes).map_err(|source| ReadError::Document { what: what.clone(), source })?;
    check_layer_count(&config, manifest.layers.len())?;
    let layers = std::iter::zip(&config.rootfs.diff_ids, &manifest.layers)
        .map(|(diff_id, blob)| layer(&source, *diff_id, blob))
        .collect::<Result<_, _>>()?;
    Ok(OpenedBase { config, config_bytes, manifest: Some((digest, manifest_bytes)), layers })
}

pub(super) fn check_layer_count(config: &ImageConfig, layers: usize) -> Result<(), ReadError> {
    let diff_ids = config.rootfs.diff_ids.len();
    if diff_ids == layers {
        return Ok(());
    }
    Err(ReadError::Invalid(format!("the image config lists {diff_ids} layers, the manifest {layers}")))
}

fn layer(source: &Arc<dyn ImageSource>, diff_id: BlobId, blob: &Descriptor) -> Result<BaseLayer, ReadError> {
    let name = blob_name(&blob.digest);
    let what = format!("layer {}", blob.digest);
    let media_type =
        oci_media_type(&blob.media_type).map_err(|source| ReadError::Document { what: what.clone(), source })?;
    let opened = source.open(&name).map_err(|source| ReadError::Io { what: what.clone(), source })?;
    let file = opened.ok_or_else(|| ReadError::Missing(format!("{what} is not among the blobs")))?;
    if file.size != blob.size {
        return Err(ReadError::Invalid(format!("{what} has {} bytes, not {} as declared", file.size, blob.size)));
    }
    Ok(BaseLayer {
        diff_id: Some(diff_id),
        media_type: media_type.to_owned(),
        digest: Some(blob.digest),
        size: blob.size,
        source: Arc::clone(source),
        name,
    })
}
