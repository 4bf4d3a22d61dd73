//! What a user or an engine decides about registry access.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::address::bare_host;
use super::auth::GivenCredentials;
use super::hosts::HostSettings;
use super::reference::RegistryName;

/// Settings of a [`Client`](super::Client).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sent as `User-Agent`.
    pub user_agent: String,
    /// Registries (`host` or `host:port`) whose certificate is not checked, and that may be spoken to over plain http.
    /// Loopback hosts always are; they are tried over http first, the others over https first.
    pub insecure_hosts: BTreeSet<String>,
    /// What else is set for single registries.
    pub hosts: BTreeMap<RegistryName, HostSettings>,
    /// Docker's directory of certificates, `/etc/docker/certs.d`: it has a directory for each registry.
    pub docker_certificates: Option<PathBuf>,
    /// Certificate authorities to trust beside the system's, each a PEM text with one or more certificates.
    pub extra_ca: Vec<Vec<u8>>,
    /// Credentials that come before those of docker's config.
    pub credentials: GivenCredentials,
    /// The directory of docker's `config.json`; without it only what is given identifies the user.
    pub docker_config_dir: Option<PathBuf>,
    /// An http proxy for all hosts but loopback ones.
    pub proxy: Option<Proxy>,
    /// How many transfers the caller means to run at once: that many connections stay open for reuse.
    pub parallelism: usize,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// When and how often to try again.
    pub retry: RetryPolicy,
    /// Once true, every operation ends with [`Error::Cancelled`](super::Error::Cancelled).
    pub cancel: Arc<AtomicBool>,
    /// Told about every failure that another attempt follows.
    pub on_wait: Option<WaitHook>,
}

impl Settings {
    /// Whether a host may be spoken to without TLS, or with a certificate that is not checked.
    pub(super) fn is_insecure(&self, authority: &str) -> bool {
        let hosts = &self.insecure_hosts;
        let set = || authority.parse::<RegistryName>().ok().and_then(|name| self.hosts.get(&name));
        hosts.contains(authority) || hosts.contains(bare_host(authority)) || set().is_some_and(|host| host.insecure)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("stager/", env!("CARGO_PKG_VERSION")).to_owned(),
            insecure_hosts: BTreeSet::new(),
            hosts: BTreeMap::new(),
            docker_certificates: None,
            extra_ca: Vec::new(),
            credentials: GivenCredentials::default(),
            docker_config_dir: None,
            proxy: None,
            parallelism: 4,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            cancel: Arc::default(),
            on_wait: None,
        }
    }
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its address, `http://[user:password@]host:port`.
    pub url: String,
    /// Hosts reached directly: a comma-separated list as in `NO_PROXY`.
    pub no_proxy: String,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxy").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

/// Deadlines. Each is for one wait; [`RetryPolicy`] bounds their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up a host's name.
    pub resolve: Duration,
    /// Connecting, with the TLS handshake.
    pub connect: Duration,
    /// The longest silence while reading or writing.
    pub idle: Duration,
    /// The longest silence after a blob or manifest was sent, while the registry checks and stores it.
    pub commit: Duration,
    /// The whole of an answer that is held in memory: a manifest, a token, an error.
    pub answer: Duration,
    /// A credential helper's work; it may ask the user something.
    pub credential_helper: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            commit: Duration::from_secs(300),
            answer: Duration::from_secs(120),
            credential_helper: Duration::from_secs(60),
        }
    }
}

/// When to try again after a transient failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts without progress before giving up; at least one.
    pub attempts: u32,
    /// The wait before the second attempt; each further one is twice as long, less up to half by chance.
    pub base_delay: Duration,
    /// The longest wait that the client chooses itself.
    pub max_delay: Duration,
    /// The longest time spent waiting in one operation; a `Retry-After` beyond it ends the operation.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(10),
            budget: Duration::from_secs(300),
        }
    }
}

/// A new attempt after a failure.
#[derive(Debug)]
pub struct Wait<'a> {
    /// What failed.
    pub reason: &'a super::Error,
    /// How long it is waited for; `None` asks somebody else at once.
    pub delay: Option<Duration>,
}

/// A caller's function that is told about waits.
#[derive(Clone)]
pub struct WaitHook(Arc<dyn Fn(&Wait<'_>) + Send + Sync>);

impl WaitHook {
    /// Wraps the function.
    pub fn new(hook: impl Fn(&Wait<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn call(&self, wait: &Wait<'_>) {
        (self.0)(wait);
    }
}

impl fmt::Debug for WaitHook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WaitHook")
    }
}
