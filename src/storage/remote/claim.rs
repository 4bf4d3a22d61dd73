//! Claims: a builder says in the place of a record that it is making the stage.
//!
//! A claim saves work that would be done twice, and picks one of several results that come about at once. It is renewed as
//! long as its owner lives: one that stays the same for [`Claim::LIFE`] is of an owner that is gone. Nobody's clock is asked
//! for that but the reader's own.
//!
//! There is no compare-and-swap in a registry, so a claim holds by *writing, waiting and reading*: of builders that wrote at
//! the same time, the last one finds itself, the others find it. What was published is never written over by a claim whose
//! owner looked before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::artifact::Note;
use crate::image::spec::Manifest;

const CLAIM: Note = Note { annotation: "io.stager.claim", artifact_type: "application/vnd.stager.claim.v1+json" };

/// A builder's word that it is making a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Names the run.
    pub owner: String,
    /// Grows with every renewal.
    pub beat: u64,
    /// The owner has given up: nothing is to be waited for.
    pub released: bool,
}

impl Claim {
    /// A claim that stays the same for so long is void.
    pub const LIFE: Duration = Duration::from_secs(30);

    /// The manifest that says so.
    pub(super) fn manifest(&self) -> Manifest {
        CLAIM.manifest(self)
    }

    /// The claim that a manifest holds, if it holds one.
    pub(super) fn read(manifest: &Manifest) -> Option<Self> {
        CLAIM.read(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_comes_back() {
        let claim = Claim { owner: "one".to_owned(), beat: 3, released: false };
        let manifest = claim.manifest();
        assert_eq!(Claim::read(&manifest), Some(claim));
        let other = Manifest { annotations: std::collections::BTreeMap::default(), ..manifest };
        assert_eq!(Claim::read(&other), None);
    }
}
