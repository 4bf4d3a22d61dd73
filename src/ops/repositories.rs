//! The repositories that an operation works with, as they are named on a command line.

use crate::registry::{Client, Repository};
use crate::storage::{RemoteStore, Roles};

/// Repositories by role, as they are named on a command line.
#[derive(Debug, Clone, Default)]
pub struct Repositories {
    /// The team's stage storage.
    pub main: Option<Repository>,
    /// Other storages to take stages from.
    pub secondary: Vec<Repository>,
    /// Storages that are asked first and filled behind.
    pub cache: Vec<Repository>,
    /// Where finished images go, when that is not the main storage.
    pub published: Option<Repository>,
}

impl Repositories {
    /// The storages behind them. A repository has one role: the main one is left out of the others.
    pub fn open(&self, client: &Client) -> Roles {
        let store = |repository: &Repository| RemoteStore::new(client, repository.clone());
        let others =
            |list: &[Repository]| list.iter().filter(|one| Some(*one) != self.main.as_ref()).map(store).collect();
        Roles {
            main: self.main.as_ref().map(store),
            secondary: others(&self.secondary),
            cache: others(&self.cache),
            published: self.published.as_ref().filter(|one| Some(*one) != self.main.as_ref()).map(store),
        }
    }
}
