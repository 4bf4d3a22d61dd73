//! Where a repository is pulled from: the mirrors of its registry in their order, then the registry itself.
//!
//! A mirror is another repository of another registry, with credentials and certificates of its own. It is asked once: only
//! the registry itself is waited for. One that can't be reached or lets us not in is not asked again by this client.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::Error;
use super::reference::Repository;
use super::retry::Patience;
use super::settings::{Settings, Wait};
use super::wire::lock;

/// The mirrors that a client has given up.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    broken: Mutex<BTreeSet<String>>,
}

impl Mirrors {
    /// The places to pull from, the registry itself at the end.
    pub(super) fn sources(&self, settings: &Settings, repository: &Repository) -> Vec<Repository> {
        let broken = lock(&self.broken);
        let mirrors = settings.hosts.get(repository.registry()).map_or(&[][..], |host| host.mirrors.as_slice());
        let working = mirrors.iter().filter(|mirror| !broken.contains(mirror.registry().as_str()));
        working.map(|mirror| repository.on(mirror)).chain([repository.clone()]).collect()
    }

    /// Asks one place after the other.
    pub(super) fn ask<T>(
        &self,
        settings: &Settings,
        repository: &Repository,
        ask: impl Fn(&Repository, Patience) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut sources = self.sources(settings, repository);
        let last = sources.pop();
        for mirror in &sources {
            match ask(mirror, Patience::Once) {
                Err(error) if !matches!(error, Error::Cancelled { .. }) => self.failed(settings, mirror, &error),
                found => return found,
            }
        }
        ask(last.as_ref().unwrap_or(repository), Patience::Retry)
    }

    /// Takes note of a mirror's failure; the next place is asked.
    pub(super) fn failed(&self, settings: &Settings, mirror: &Repository, error: &Error) {
        if matches!(error, Error::NotFound { .. }) {
            return;
        }
        if let Some(hook) = &settings.on_wait {
            hook.call(&Wait { reason: error, delay: None });
        }
        let lasting = matches!(
            error,
            Error::Unreachable { .. }
                | Error::Tls { .. }
                | Error::Timeout { .. }
                | Error::Unauthorized { .. }
                | Error::Denied { .. }
                | Error::Credentials { .. }
                | Error::Settings { .. }
        );
        if lasting {
            lock(&self.broken).insert(mirror.registry().to_owned());
        }
    }
}
