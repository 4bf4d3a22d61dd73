//! How registries are reached: what the user has set, as one plain value, and the client that goes by it.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use crate::builder::CancelToken;
use crate::config::{self, Registries};
use crate::registry::{self, Client, Secret};
use crate::report::{Event, EventSink};

/// The largest file of settings for registries, in bytes.
const MAX_REGISTRIES: u64 = 1 << 20;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct RegistryAccess {
    /// The directory of docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// Registries that may be reached without TLS, or with a certificate that nobody vouches for.
    pub insecure: Vec<String>,
    /// `HOST=USER:PASSWORD` entries with white space between them; they come before docker's config.
    pub credentials: Option<Secret>,
    /// The file of settings for single registries.
    pub registries: RegistriesFile,
    /// Docker's directory of certificates for single registries.
    pub docker_certificates: Option<PathBuf>,
    /// An http proxy, and the hosts that it is not for.
    pub proxy: Option<(String, String)>,
}

/// Where the settings for single registries are.
#[derive(Debug, Clone, Default)]
pub enum RegistriesFile {
    /// There are none.
    #[default]
    None,
    /// In the usual place, if there are any.
    Usual(PathBuf),
    /// Where the user says.
    Named(PathBuf),
}

impl RegistriesFile {
    fn read(&self) -> Result<Registries, Error> {
        let (path, required) = match self {
            Self::None => return Ok(Registries::new()),
            Self::Usual(path) => (path, false),
            Self::Named(path) => (path, true),
        };
        let failed = |source| Error::RegistriesFile { path: path.clone(), source };
        let mut text = String::new();
        match fs_err::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => return Ok(Registries::new()),
            Err(error) => return Err(failed(error)),
            Ok(file) => file.take(MAX_REGISTRIES + 1).read_to_string(&mut text).map_err(failed)?,
        };
        if text.len() as u64 > MAX_REGISTRIES {
            return Err(failed(io::Error::other(format!("it is larger than {} KiB", MAX_REGISTRIES >> 10))));
        }
        let directory = path.parent().unwrap_or(path);
        Ok(config::parse_registries(&path.display().to_string(), directory, &text)?)
    }
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
            hosts: self.registries.read()?,
            docker_certificates: self.docker_certificates.clone(),
            docker_config_dir: self.docker_config.clone(),
            proxy: self.proxy.clone().map(|(url, no_proxy)| registry::Proxy { url, no_proxy }),
            cancel: Arc::clone(cancel.flag()),
            on_wait: Some(registry::WaitHook::new(move |wait| {
                let what = match wait.delay {
                    Some(delay) => format!("another try in {} s: {}", delay.as_secs_f32().ceil(), wait.reason),
                    None => format!("the next source instead of a mirror: {}", wait.reason),
                };
                events.send(Event::Waiting { what });
            })),
            ..registry::Settings::default()
        })
    }
}
