//! How registries are reached: what the user has set, as one plain value, and the client that goes by it.

use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use crate::builder::CancelToken;
use crate::registry::{self, Client, Secret};
use crate::report::{Event, EventSink};

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct RegistryAccess {
    /// The directory of docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// Registries that may be reached without TLS, or with a certificate that nobody vouches for.
    pub insecure: Vec<String>,
    /// `HOST=USER:PASSWORD` entries with white space between them; they come before docker's config.
    pub credentials: Option<Secret>,
    /// An http proxy, and the hosts that it is not for.
    pub proxy: Option<(String, String)>,
}

impl RegistryAccess {
    /// A client for any registry, project or not. It ends with `cancel`, and tells `events` what it waits for.
    pub fn client(&self, cancel: &CancelToken, events: &Arc<dyn EventSink>) -> Result<Client, Error> {
        Ok(Client::new(self.settings(cancel, events)?))
    }

    /// What such a client goes by.
    pub(super) fn settings(
        &self,
        cancel: &CancelToken,
        events: &Arc<dyn EventSink>,
    ) -> Result<registry::Settings, Error> {
        let events = Arc::clone(events);
        let credentials = self.credentials.as_ref().map(|entries| entries.reveal().parse()).transpose();
        Ok(registry::Settings {
            insecure_hosts: self.insecure.iter().cloned().collect(),
            credentials: credentials.map_err(Error::GivenCredentials)?.unwrap_or_default(),
            docker_config_dir: self.docker_config.clone(),
            proxy: self.proxy.clone().map(|(url, no_proxy)| registry::Proxy { url, no_proxy }),
            cancel: Arc::clone(cancel.flag()),
            on_wait: Some(registry::WaitHook::new(move |wait| {
                let what = format!("another try in {} s: {}", wait.delay.as_secs_f32().ceil(), wait.reason);
                events.send(Event::Waiting { what });
            })),
            ..registry::Settings::default()
        })
    }
}
