//! Images and stages from one repository to another: blobs are taken over within a registry, else they are streamed.

use std::io::{self, Read};

use stages::BlobId;

use super::{BlobPart, PublishedBlob, RemoteLayer, RemoteStage, RemoteStore};
use crate::image::spec::{Descriptor, Document, Manifest, media_type};
use crate::registry::{self, Client, Mount, RawManifest, Reference, Repository};

impl RemoteStore {
    /// Copies a stage that another storage has: first its blobs, then its record, then the tag of its image.
    pub fn copy_from(&self, other: &Self, stage: &RemoteStage) -> Result<(), registry::Error> {
        copy_blobs(&self.client, other.repository(), self.repository(), &stage.image)?;
        let blobs = |layer: &RemoteLayer| {
            let blob = |part: &BlobPart| PublishedBlob { content: part.content_id, diff_id: part.diff_id };
            layer.parts.iter().map(blob).collect()
        };
        let layers: Vec<Vec<PublishedBlob>> = stage.layers.iter().map(blobs).collect();
        self.put_stage(&stage.record, &stage.image, &layers, stage.directories.clone())
    }
}

/// Copies an image under another reference; an index with all of its images. Returns the digest of its manifest.
pub fn copy_image(client: &Client, from: &Reference, to: &Reference) -> Result<BlobId, registry::Error> {
    let raw = client.manifest(from)?;
    copy_document(client, from, to, &raw)?;
    Ok(raw.digest)
}

fn copy_document(client: &Client, from: &Reference, to: &Reference, raw: &RawManifest) -> Result<(), registry::Error> {
    match raw.parse()? {
        Document::Manifest(manifest) => copy_blobs(client, from.repository(), to.repository(), &manifest)?,
        Document::Index(index) => {
            for entry in &index.manifests {
                let from = from.repository().with_digest(entry.digest);
                copy_document(client, &from, &to.repository().with_digest(entry.digest), &client.manifest(&from)?)?;
            }
        }
    }
    client.put_manifest(to, &raw.bytes, &raw.media_type)?;
    Ok(())
}

fn copy_blobs(client: &Client, from: &Repository, to: &Repository, manifest: &Manifest) -> Result<(), registry::Error> {
    if from == to {
        return Ok(());
    }
    let config = Descriptor { media_type: media_type::CONFIG.to_owned(), ..manifest.config.clone() };
    manifest.layers.iter().chain([&config]).try_for_each(|blob| copy_blob(client, from, to, blob))
}

fn copy_blob(client: &Client, from: &Repository, to: &Repository, blob: &Descriptor) -> Result<(), registry::Error> {
    let upload = if from.registry() == to.registry() {
        match client.mount_blob(to, blob.digest, from)? {
            Mount::Mounted => return Ok(()),
            Mount::Started(upload) => upload,
        }
    } else if client.has_blob(to, blob.digest)? {
        return Ok(());
    } else {
        client.start_upload(to)?
    };
    let open = |offset: u64| -> io::Result<Box<dyn Read>> {
        let mut reader = client.blob(from, blob.digest, blob.size).map_err(io::Error::other)?;
        io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
        Ok(Box::new(reader))
    };
    client.upload_blob(upload, blob.digest, blob.size, &open)?;
    Ok(())
}
