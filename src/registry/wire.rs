//! One HTTP request on one connection: agents with their deadlines, roots and proxies, and the kinds of failure.
//!
//! Redirects are not followed here and no status is an error. A watcher ends all traffic once the caller cancels.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, AsSendBody, SendBody};

use super::Error;
use super::address::{Url, is_loopback, is_private};
use super::error::Task;
use super::hosts::Certificates;
use super::settings::Settings;
use super::tls;

/// How often the watcher looks at the cancel flag.
const WATCH: Duration = Duration::from_millis(100);

/// Which agent serves a request: agents differ in what can't be changed from request to request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// Check certificates.
    pub(super) verify: bool,
    /// Wait long for the answer: the server works on what it was sent.
    pub(super) commit: bool,
    /// Refuse names that resolve to private addresses.
    pub(super) public_only: bool,
    /// Never go through the proxy.
    pub(super) direct: bool,
}

/// A request body. Streams can be opened again for another attempt.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    Stream { length: u64, consent: Consent, open: &'a OpenStream<'a> },
}

/// Whether the server's consent is waited for before a body is sent, so that a refusal is heard and costs no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    Unasked,
    /// For a second; a server without a notion of consent gets the body then.
    Asked,
    /// For so long.
    Awaited(Duration),
}

pub(super) type OpenStream<'a> = dyn Fn() -> io::Result<Box<dyn Read>> + 'a;

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failure {
    Unreachable(ureq::Error),
    Tls(ureq::Error),
    Disconnected(ureq::Error),
    Timeout(&'static str),
    /// Not HTTP, or more than the limits allow.
    NotHttp(ureq::Error),
    PrivateAddress,
    Source(io::Error),
    Settings(String),
}

impl Failure {
    pub(super) fn into_error(self, task: &Task, host: &str) -> Error {
        let (task, host) = (task.clone(), host.to_owned());
        match self {
            Self::Unreachable(error) => Error::Unreachable { task, host, source: cause(error) },
            Self::Tls(error) => Error::Tls { task, host, source: cause(error) },
            Self::Disconnected(error) => Error::Disconnected { task, host, source: cause(error) },
            Self::Timeout(waiting) => Error::Timeout { task, host, waiting },
            Self::NotHttp(error) => Error::Protocol {
                task,
                reason: format!("{host} does not answer in HTTP: {}", super::error::printable(&error.to_string(), 200)),
            },
            Self::PrivateAddress => Error::Protocol {
                task,
                reason: format!("{host} has a private address, which a public registry must not refer to"),
            },
            Self::Source(source) => Error::Source { task, source },
            Self::Settings(reason) => Error::Settings { reason },
        }
    }
}

fn cause(error: ureq::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        ureq::Error::Io(error) => error.into(),
        error => error.into(),
    }
}

/// Bytes and requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests sent, to registries and token servers, redirects and retries included.
    pub requests: u64,
    /// Bytes of request bodies.
    pub sent: u64,
    /// Bytes of response bodies.
    pub received: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    sent: AtomicU64,
    pub(super) received: AtomicU64,
}

type Agents = BTreeMap<(Kind, String), Agent>;

/// The agents of one client.
pub(super) struct Wire {
    settings: Settings,
    /// By kind, and by host where it has certificates of its own.
    agents: Arc<Mutex<Agents>>,
    certificates: Mutex<BTreeMap<String, Arc<Certificates>>>,
    book: Arc<AddressBook>,
    pub(super) counters: Arc<Counters>,
}

impl Wire {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            agents: Arc::default(),
            certificates: Mutex::default(),
            book: Arc::default(),
            counters: Arc::default(),
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            requests: get(&self.counters.requests),
            sent: get(&self.counters.sent),
            received: get(&self.counters.received),
        }
    }

    /// Whether the host was reached at a private address; unknown hosts count as public.
    pub(super) fn is_known_private(&self, host: &str) -> bool {
        lock(&self.book.private).get(&host.to_ascii_lowercase()).copied().unwrap_or(false)
    }

    pub(super) fn send(
        &self,
        kind: Kind,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Body<'_>,
    ) -> Result<Response<ureq::Body>, Failure> {
        let agent = self.agent(kind, url)?;
        let mut request = Request::builder().method(method).uri(url.as_uri());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        match body {
            Body::None => run(&agent, request, (), Consent::Unasked),
            Body::Bytes(bytes) => {
                self.counters.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                run(&agent, request, bytes, Consent::Unasked)
            }
            Body::Stream { length, consent, open } => {
                request = request.header("content-length", length);
                if consent != Consent::Unasked {
                    request = request.header("expect", "100-continue");
                }
                let inner = open().map_err(Failure::Source)?;
                let mut source = Source { inner, left: length, error: None, counters: &self.counters };
                let result = run(&agent, request, SendBody::from_reader(&mut source), consent);
                match source.error {
                    Some(error) => Err(Failure::Source(error)),
                    None => result,
                }
            }
        }
    }

    fn agent(&self, kind: Kind, url: &Url) -> Result<Agent, Failure> {
        let certificates = self.certificates(url)?;
        let host = if certificates.is_empty() { String::new() } else { url.authority().to_ascii_lowercase() };
        let key = (Kind { direct: is_loopback(url.authority()), ..kind }, host);
        let mut agents = lock(&self.agents);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.build(key.0, &certificates)?;
        if agents.is_empty() {
            watch(&self.settings, &self.agents);
        }
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    /// The certificates for that very host, looked for once. They are of use under TLS only.
    fn certificates(&self, url: &Url) -> Result<Arc<Certificates>, Failure> {
        if !url.is_https() {
            return Ok(Arc::default());
        }
        let mut known = lock(&self.certificates);
        if let Some(certificates) = known.get(url.authority()) {
            return Ok(Arc::clone(certificates));
        }
        let found = Certificates::find(&self.settings, url.authority());
        let found = Arc::new(found.map_err(|error| Failure::Settings(error.to_string()))?);
        known.insert(url.authority().to_owned(), Arc::clone(&found));
        Ok(found)
    }

    fn build(&self, kind: Kind, certificates: &Certificates) -> Result<Agent, Failure> {
        let timeouts = &self.settings.timeouts;
        if !self.settings.user_agent.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(Failure::Settings("the user agent holds characters that HTTP can't carry".to_owned()));
        }
        let silence = if kind.commit { timeouts.commit } else { timeouts.idle };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(self.settings.user_agent.as_str())
            .accept_encoding("identity")
            .proxy(if kind.direct { None } else { proxy(&self.settings)? })
            .tls_config(tls::config(&self.settings, kind.verify, certificates)?)
            .timeout_resolve(Some(timeouts.resolve))
            .timeout_connect(Some(timeouts.connect))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(timeouts.idle))
            .timeout_recv_response(Some(silence))
            .max_idle_connections(4 * self.settings.parallelism.max(1))
            .max_idle_connections_per_host(self.settings.parallelism.max(1))
            .build();
        let resolver =
            Lookup { inner: DefaultResolver::default(), book: Arc::clone(&self.book), public_only: kind.public_only };
        Ok(Agent::with_parts(config, DefaultConnector::new(), resolver))
    }
}

/// Locks data that no panic can leave half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(
    agent: &Agent,
    request: ureq::http::request::Builder,
    body: impl AsSendBody,
    consent: Consent,
) -> Result<Response<ureq::Body>, Failure> {
    let mut request = request.body(body).map_err(|error| Failure::NotHttp(error.into()))?;
    if let Consent::Awaited(long) = consent {
        request = agent.configure_request(request).timeout_await_100(Some(long)).build();
    }
    agent.run(request).map_err(classify)
}

/// Ends all connections once the flag is set; ends itself with the client.
fn watch(settings: &Settings, agents: &Arc<Mutex<Agents>>) {
    let (cancel, agents) = (Arc::clone(&settings.cancel), Arc::downgrade(agents));
    let body = move || {
        while Weak::strong_count(&agents) > 0 {
            if cancel.load(Ordering::Relaxed) {
                let Some(agents) = agents.upgrade() else { return };
                for agent in lock(&agents).values() {
                    agent.clone().shutdown();
                }
            }
            std::thread::sleep(WATCH);
        }
    };
    // Without the thread a cancel still works, after at most one deadline.
    drop(std::thread::Builder::new().name("registry-watch".to_owned()).spawn(body));
}

fn proxy(settings: &Settings) -> Result<Option<ureq::Proxy>, Failure> {
    let Some(proxy) = &settings.proxy else { return Ok(None) };
    let bad = |what: &str| Failure::Settings(format!("the proxy address {what}"));
    let parsed = ureq::Proxy::new(&proxy.url).map_err(|_| bad("is not a URL"))?;
    if proxy.url.starts_with("socks") {
        return Err(bad("names a SOCKS proxy, which is not supported"));
    }
    let mut builder = ureq::Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(username) = parsed.username() {
        builder = builder.username(username);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in proxy.no_proxy.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().map(Some).map_err(|_| bad("cannot be used"))
}

/// Sorts ureq's errors by what a caller can do about them.
pub(super) fn classify(error: ureq::Error) -> Failure {
    use ureq::Error as E;
    match error {
        E::Timeout(timeout) => Failure::Timeout(waiting_for(timeout)),
        E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => Failure::Unreachable(error),
        E::Tls(_) | E::Pem(_) | E::Rustls(_) | E::TlsRequired => Failure::Tls(error),
        E::Other(inner) if inner.is::<PrivateAddress>() => Failure::PrivateAddress,
        E::Io(ref inner) => match inner.kind() {
            io::ErrorKind::InvalidData => Failure::Tls(error),
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => Failure::Unreachable(error),
            _ if inner.to_string().contains("lookup") => Failure::Unreachable(error),
            _ => Failure::Disconnected(error),
        },
        E::BodyStalled => Failure::Disconnected(error),
        _ => Failure::NotHttp(error),
    }
}

fn waiting_for(timeout: ureq::Timeout) -> &'static str {
    match timeout {
        ureq::Timeout::Resolve => "be found by name",
        ureq::Timeout::Connect => "accept the connection",
        ureq::Timeout::SendRequest | ureq::Timeout::SendBody | ureq::Timeout::PerWrite => "take the data sent",
        _ => "answer",
    }
}

/// A request body of exactly the announced length, which remembers its own failure.
struct Source<'a> {
    inner: Box<dyn Read>,
    left: u64,
    error: Option<io::Error>,
    counters: &'a Counters,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(buffer) = buffer.get_mut(..limit).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let read = loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => Err(self.fail(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it is {} bytes shorter than announced", self.left),
            ))),
            Ok(count) => {
                self.left -= count as u64;
                self.counters.sent.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) => Err(self.fail(error)),
        }
    }
}

impl Source<'_> {
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.error = Some(error);
        io::Error::other("the source failed")
    }
}

/// What names resolved to.
#[derive(Debug, Default)]
struct AddressBook {
    private: Mutex<BTreeMap<String, bool>>,
}

#[derive(Debug)]
struct Lookup {
    inner: DefaultResolver,
    book: Arc<AddressBook>,
    public_only: bool,
}

/// A name that must be public has a private address.
#[derive(Debug, thiserror::Error)]
#[error("private address")]
struct PrivateAddress;

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.inner.resolve(uri, config, timeout)?;
        if self.public_only && addresses.iter().any(|address| is_private(address.ip())) {
            return Err(ureq::Error::Other(Box::new(PrivateAddress)));
        }
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let private = addresses.iter().all(|address| is_private(address.ip()));
        lock(&self.book.private).insert(host, private);
        Ok(addresses)
    }
}

/// Reads a body that is held in memory, within `limit` bytes and `deadline`.
pub(super) fn read_bounded(
    body: &mut ureq::Body,
    limit: usize,
    deadline: Instant,
    counters: &Counters,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut reader = body.as_reader();
    let mut out = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let count = reader.read(&mut buffer).map_err(|error| classify(error.into()))?;
        counters.received.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 {
            return Ok(Some(out));
        }
        if out.len() + count > limit {
            return Ok(None);
        }
        out.extend_from_slice(&buffer[..count]);
        if Instant::now() >= deadline {
            return Err(Failure::Timeout("send the whole answer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reply, Scripted, quick_settings};
    use super::*;

    #[test]
    fn private_addresses_are_refused_where_only_public_ones_will_do() {
        let server = Scripted::start(|_| Reply::new(200));
        let wire = Wire::new(quick_settings());
        let url = Url::parse(&format!("http://localhost:{}/", server.port)).unwrap();
        let kind = Kind { verify: true, commit: false, public_only: false, direct: false };
        let send = |kind| wire.send(kind, &Method::GET, &url, &HeaderMap::new(), Body::None);
        assert!(matches!(send(Kind { public_only: true, ..kind }), Err(Failure::PrivateAddress)));
        assert!(server.lines().is_empty() && !wire.is_known_private("localhost"));
        assert_eq!(send(kind).unwrap().status(), 200);
        assert!(wire.is_known_private("LOCALHOST"));
    }

    #[test]
    fn settings_that_cannot_be_used_are_errors() {
        let url = Url::parse("https://registry.example.com/").unwrap();
        let kind = Kind { verify: false, commit: false, public_only: false, direct: false };
        let proxy = |url: &str| super::super::Proxy { url: url.to_owned(), no_proxy: "a, b".to_owned() };
        for settings in [
            Settings { user_agent: "a\nb".to_owned(), ..quick_settings() },
            Settings { proxy: Some(proxy("socks5://h:1")), ..quick_settings() },
            Settings { proxy: Some(proxy("http://")), ..quick_settings() },
        ] {
            let sent = Wire::new(settings).send(kind, &Method::GET, &url, &HeaderMap::new(), Body::None);
            assert!(matches!(sent, Err(Failure::Settings(_))));
        }
        assert!(!format!("{:?}", proxy("http://user:hush@h:1")).contains("hush"));
    }
}
