//! The repositories that a build works with, by what they are for.

use super::remote::RemoteStore;
use crate::registry::Reference;

/// Repositories by role.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// The team's stage storage: read and written. What it says counts.
    pub main: Option<RemoteStore>,
    /// Other storages that stages are taken from; hits are copied to the main one.
    pub secondary: Vec<RemoteStore>,
    /// Asked first, filled behind; its failures are warnings.
    pub cache: Vec<RemoteStore>,
    /// Where finished images are published to; with none, that is the main storage.
    pub published: Option<RemoteStore>,
}

impl Roles {
    /// All that stages are taken from.
    fn storages(&self) -> impl Iterator<Item = &RemoteStore> {
        self.main.iter().chain(&self.secondary).chain(&self.cache)
    }

    /// Whether a reference names something in one of the stage storages.
    pub fn has(&self, reference: &str) -> bool {
        let Ok(reference) = reference.parse::<Reference>() else { return false };
        self.storages().any(|store| store.repository() == reference.repository())
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.main.is_none() && self.secondary.is_empty() && self.cache.is_empty() && self.published.is_none()
    }
}
