//! A stage storage in a registry: one repository.
//!
//! A stage is two tags, each named after its digest in hex:
//!
//! - `<digest>`: the stage as an OCI image, for any tool. Its manifest is a function of what the stage holds, so that stages
//!   that hold the same are one image, and a deployment by digest sees no change where there is none.
//! - `<digest>.record`: the same image with stager's record of the stage in an annotation ([`document`]).
//!
//! Blobs come first, then the record, then the tag of the image: whoever sees that one finds all the rest. A build has point
//! look-ups only; tags are listed for people ([`RemoteStore::stages`]).
//!
//! *Invariant:* a record is believed when the digest computed from what it says is the one that was asked for, and its layers
//! are those of the manifest it came in. Anything else is no stage.

mod artifact;
mod claim;
mod copy;
mod document;
mod hint;
mod history;

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stages::{BlobId, ContentId, StageDigest};

use super::record::{BlobPart, StageRecord};
use crate::image::spec::{Descriptor, Document, Manifest, media_type};
use crate::registry::{self, Client, Reference, Repository};

pub use claim::Claim;
pub use copy::copy_image;
pub use document::{PublishedBlob, RECORD_ANNOTATION, RECORD_VERSION};
pub use hint::Hint;
pub use history::{CommitImage, CommitImages, Lease};

/// What the tag of a record ends in.
const RECORD_SUFFIX: &str = ".record";

/// A repository with stages.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    client: Client,
    repository: Repository,
    /// It can be done without, and has failed.
    left_out: Arc<AtomicBool>,
}

/// A stage as a repository has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteStage {
    /// Its record.
    pub record: StageRecord,
    /// Its layers, bottom first.
    pub layers: Vec<RemoteLayer>,
    /// The directories of its layers, one a line, where somebody had to know them.
    pub directories: Option<String>,
    /// Its manifest as an image.
    pub image: Manifest,
}

/// A layer as a repository has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteLayer {
    /// Its name.
    pub content_id: ContentId,
    /// Its blobs, at least one; several together are one tar.
    pub parts: Vec<BlobPart>,
}

/// What a look-up found.
#[derive(Debug)]
pub enum Found {
    /// The stage.
    Stage(Box<RemoteStage>),
    /// A builder that is making it.
    Claimed(Claim),
    /// Nothing of that name.
    Nothing,
    /// Something that can't be used.
    Damaged {
        /// Why not.
        reason: String,
    },
}

impl RemoteStore {
    /// The stages in that repository. Mirrors are not asked for them: what stands there changes.
    pub fn new(client: &Client, repository: Repository) -> Self {
        Self { client: client.without_mirrors(), repository, left_out: Arc::default() }
    }

    /// Where it is.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What speaks to its registry.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same storage, for a last word after an interruption.
    #[must_use]
    pub fn for_a_last_word(&self) -> Self {
        Self { client: self.client.for_a_last_word(), ..self.clone() }
    }

    /// Leaves the storage out from now on, as it has failed and can be done without. Whether that is news.
    pub fn leave_out(&self) -> bool {
        !self.left_out.swap(true, Ordering::Relaxed)
    }

    /// Whether the storage is left out.
    pub fn is_left_out(&self) -> bool {
        self.left_out.load(Ordering::Relaxed)
    }

    /// The reference of a stage as an image.
    pub fn image(&self, stage: &StageDigest) -> Reference {
        self.repository.with_tag(&stage.to_string()).expect("64 hexadecimal digits are a tag")
    }

    fn record(&self, stage: &StageDigest) -> Reference {
        self.repository.with_tag(&format!("{stage}{RECORD_SUFFIX}")).expect("digits and letters are a tag")
    }

    /// The stages that have a record, or a claim in its place, and whether each is there as an image too. This lists all
    /// tags of the repository: nothing that a build should wait for.
    pub fn stages(&self) -> Result<BTreeMap<StageDigest, bool>, registry::Error> {
        let tags: BTreeSet<String> = self.client.tags(&self.repository)?.into_iter().collect();
        let record = |tag: &String| tag.strip_suffix(RECORD_SUFFIX)?.parse::<StageDigest>().ok();
        Ok(tags.iter().filter_map(record).map(|stage| (stage, tags.contains(&stage.to_string()))).collect())
    }

    /// The manifest of a stage; one HEAD request.
    pub fn manifest(&self, stage: &StageDigest) -> Result<Option<Descriptor>, registry::Error> {
        absent_is_none(self.client.resolve(&self.image(stage)))
    }

    /// A stage with its record; one GET request.
    pub fn stage(&self, stage: &StageDigest) -> Result<Found, registry::Error> {
        let reference = self.record(stage);
        let raw = match self.client.manifest(&reference) {
            Ok(raw) => raw,
            Err(registry::Error::NotFound { .. }) => return Ok(Found::Nothing),
            Err(error @ (registry::Error::DigestMismatch { .. } | registry::Error::SizeMismatch { .. })) => {
                return Ok(Found::Damaged { reason: error.to_string() });
            }
            Err(error) => return Err(error),
        };
        let manifest = match raw.parse() {
            Ok(Document::Manifest(manifest)) => *manifest,
            Ok(Document::Index(_)) => return Ok(Found::Damaged { reason: format!("{reference} is an index") }),
            Err(error) => return Ok(Found::Damaged { reason: error.to_string() }),
        };
        if let Some(claim) = Claim::read(&manifest) {
            return Ok(Found::Claimed(claim));
        }
        Ok(match document::read(&manifest, stage, &self.image(stage).to_string()) {
            Ok(found) => Found::Stage(Box::new(found)),
            Err(reason) => Found::Damaged { reason: format!("{reference}: {reason}") },
        })
    }

    /// Puts the two tags of a stage whose blobs are all there. `image` is its manifest.
    pub fn put_stage(
        &self,
        record: &StageRecord,
        image: &Manifest,
        layers: &[Vec<PublishedBlob>],
        directories: Option<String>,
    ) -> Result<(), registry::Error> {
        let with_record = document::write(record, image, layers, directories);
        self.client.put_manifest(&self.record(&record.digest), &with_record.to_bytes(), media_type::MANIFEST)?;
        self.put_image(&record.digest, image)
    }

    /// Puts the tag of a stage whose record is there.
    pub fn put_image(&self, stage: &StageDigest, image: &Manifest) -> Result<(), registry::Error> {
        self.client.put_manifest(&self.image(stage), &image.to_bytes(), media_type::MANIFEST).map(drop)
    }

    /// Puts a claim in the place of a stage's record.
    pub fn put_claim(&self, stage: &StageDigest, claim: &Claim) -> Result<(), registry::Error> {
        self.put_note(&self.record(stage), &claim.manifest())
    }
}

fn absent_is_none<T>(result: Result<T, registry::Error>) -> Result<Option<T>, registry::Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(registry::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl RemoteStage {
    /// Its manifest as an image.
    pub fn manifest(&self) -> Descriptor {
        Descriptor::of(media_type::MANIFEST, &self.image.to_bytes())
    }

    /// The blobs of its layers, bottom first.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        self.layers.iter().flat_map(|layer| &layer.parts).map(|part| part.blob)
    }

    /// Whether a blob is one of its layers.
    pub fn has_blob(&self, wanted: &BlobId) -> bool {
        self.blobs().any(|blob| blob == *wanted)
    }
}
