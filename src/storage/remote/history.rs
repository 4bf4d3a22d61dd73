//! What a cleanup has to know: which commit an image was built from, and what running builds need.
//!
//! Both are notes of their own, written once and never changed, so that no builder needs to read before it writes, and none
//! loses what another wrote:
//!
//! - `commit-COMMIT-HASH`: the images of one run at a commit, by name, with the digests of their last stages. `HASH` is of
//!   these, so the same images of the same commit are one note, however often they are built.
//! - `lease-EXPIRY-RUN`: stages that a running build needs until `EXPIRY`, in seconds since 1970. A build that takes longer
//!   writes another one.
//!
//! A cleanup finds them among the tags, and needs to read only those of its interest. To take many tags away from a registry
//! that does that slowly (docker-registry 2.8 reads all tags for each manifest that is deleted), it can point them at one
//! note first, and then delete that. So the tags go; what garbage collections of such registries make of the
//! rest is told in `docs/design/storage.md`.

use serde::{Deserialize, Serialize};
use stages::digest::Encoder;
use stages::{CommitId, ImageName, Platform, ProjectName, StageDigest};

use super::RemoteStore;
use super::artifact::Note;
use crate::registry::{self, Reference};

const COMMIT: Note = Note { annotation: "io.stager.commit", artifact_type: "application/vnd.stager.commit.v1+json" };
const LEASE: Note = Note { annotation: "io.stager.lease", artifact_type: "application/vnd.stager.lease.v1+json" };

/// The images of a run at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitImages {
    /// The project.
    pub project: ProjectName,
    /// The commit.
    pub commit: CommitId,
    /// When they were first built, in seconds since 1970.
    pub built: i64,
    /// The images, in the order of the plan.
    pub images: Vec<CommitImage>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitImage {
    /// Its name.
    pub name: ImageName,
    /// Its platform.
    pub platform: Platform,
    /// Its last stage.
    pub digest: StageDigest,
}

/// What a running build needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The project.
    pub project: ProjectName,
    /// Names the run.
    pub run: String,
    /// Seconds since 1970, by the clock of the builder.
    pub expires: i64,
    /// The stages.
    pub stages: Vec<StageDigest>,
}

impl CommitImages {
    /// What their note is called. When they were built is no part of it: the first note stays.
    fn tag(&self) -> String {
        let mut encoder = Encoder::new("stager commit images");
        encoder.text(self.project.as_str());
        for image in &self.images {
            encoder.text(image.name.as_str());
            encoder.text(&image.platform.to_string());
            encoder.bytes(image.digest.as_bytes());
        }
        format!("commit-{}-{}", self.commit, &encoder.finish().to_hex()[..16])
    }
}

impl RemoteStore {
    /// Notes which images a commit gave; one HEAD request when that is known. Whether it was news.
    pub fn note_commit(&self, images: &CommitImages) -> Result<bool, registry::Error> {
        let reference = self.note(&images.tag())?;
        match self.client().resolve(&reference) {
            Ok(_) => Ok(false),
            Err(registry::Error::NotFound { .. }) => self.put_note(&reference, &COMMIT.manifest(images)).map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// Notes what a running build needs.
    pub fn note_lease(&self, lease: &Lease) -> Result<(), registry::Error> {
        let reference = self.note(&format!("lease-{}-{}", lease.expires, lease.run))?;
        self.put_note(&reference, &LEASE.manifest(lease))
    }

    fn note(&self, tag: &str) -> Result<Reference, registry::Error> {
        self.repository().with_tag(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(built: i64, digest: u8) -> CommitImages {
        CommitImages {
            project: "shop".parse().unwrap(),
            commit: "1234567890123456789012345678901234567890".parse().unwrap(),
            built,
            images: vec![CommitImage {
                name: "app".parse().unwrap(),
                platform: "linux/amd64".parse().unwrap(),
                digest: StageDigest::from_bytes([digest; 32]),
            }],
        }
    }

    #[test]
    fn notes_come_back_and_are_named_after_what_they_say() {
        let said = images(5, 1);
        assert_eq!(COMMIT.read(&COMMIT.manifest(&said)), Some(said.clone()));
        assert_eq!(LEASE.read::<CommitImages>(&COMMIT.manifest(&said)), None);
        assert_eq!(said.tag(), images(9, 1).tag());
        assert_ne!(said.tag(), images(5, 2).tag());
        assert!(said.tag().starts_with("commit-1234567890123456789012345678901234567890-"), "{}", said.tag());
    }
}
