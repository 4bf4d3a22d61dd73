//! One call to a registry: the right scheme and host, authentication, redirects, retries.
//!
//! A call is plain data that can be sent any number of times. What authenticates goes to the registry's own origin only;
//! a redirect to another origin is followed without it, and only to places a registry may send us.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use super::Error;
use super::address::{Url, bare_host, is_loopback, is_private_literal};
use super::auth::{Challenge, Context, Refused, Scopes, Secret, Session};
use super::error::{Answer, Task, from_answer, read_message};
use super::mirrors::Mirrors;
use super::reference::DOCKER_HUB;
use super::retry::{Backoff, Patience, check_cancel, parse_retry_after};
use super::settings::Settings;
use super::token::TokenAccess;
use super::wire::{Body, Failure, Kind, Wire, lock, read_bounded};

/// Redirects followed in a row.
const MAX_REDIRECTS: usize = 5;

/// Answers with status 401 that are met with another attempt.
const MAX_CHALLENGES: usize = 2;

/// The part of an error's body that is read, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;

/// A request to a registry.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) task: &'a Task,
    /// The registry's name.
    pub(super) registry: &'a str,
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) body: Body<'a>,
    pub(super) scopes: Scopes,
    /// The answer may take long, as the registry works on what it got.
    pub(super) commit: bool,
    pub(super) patience: Patience,
}

#[derive(Clone)]
pub(super) enum Target {
    /// A path below `/v2/`.
    Api(String),
    /// An address the registry gave.
    Url(Url),
}

impl<'a> Call<'a> {
    pub(super) fn new(task: &'a Task, registry: &'a str, method: Method, target: Target, scopes: Scopes) -> Self {
        let headers = HeaderMap::new();
        let (body, patience) = (Body::None, Patience::Retry);
        Self { task, registry, method, target, headers, body, scopes, commit: false, patience }
    }

    /// Adds a header whose value we made ourselves.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_str(value).expect("own header values are printable"));
        self
    }

    pub(super) fn body(self, body: Body<'a>) -> Self {
        Self { body, ..self }
    }

    pub(super) fn patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn commit(self) -> Self {
        Self { commit: true, ..self }
    }
}

/// An answer of any status.
pub(super) struct Answered {
    pub(super) response: Response<ureq::Body>,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    sent: Option<Secret>,
    own_origin: bool,
}

impl Answered {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Whether it came from the registry's own origin, and not from where that redirects to.
    pub(super) fn is_own(&self) -> bool {
        self.own_origin
    }

    /// Whether the request said who we are.
    pub(super) fn was_authorized(&self) -> bool {
        self.sent.is_some()
    }

    /// A header's text, when it is printable.
    pub(super) fn header(&self, name: impl ureq::http::header::AsHeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }
}

/// How far a host is trusted, and over which schemes it may be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Checked,
    Insecure,
    Loopback,
}

/// What all calls of a client share.
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) wire: Wire,
    pub(super) mirrors: Mirrors,
    /// Registries where no second request stands by for another ([`super::standby`]).
    pub(super) alone: Mutex<BTreeSet<String>>,
    sessions: Mutex<BTreeMap<String, Arc<Mutex<Session>>>>,
    schemes: Mutex<BTreeMap<String, &'static str>>,
}

impl Core {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            wire: Wire::new(settings.clone()),
            settings,
            mirrors: Mirrors::default(),
            alone: Mutex::default(),
            sessions: Mutex::default(),
            schemes: Mutex::default(),
        }
    }

    /// Sends the call until it brings one of the statuses in `good`, as the retry policy allows.
    pub(super) fn retried(&self, call: &Call<'_>, good: &[u16]) -> Result<Answered, Error> {
        let mut backoff = Backoff::new(&self.settings, call.task).with(call.patience);
        loop {
            match self.once(call, good) {
                Ok(answered) => return Ok(answered),
                Err(error) => backoff.wait(error)?,
            }
        }
    }

    /// Sends the call once, with authentication and redirects. Any status outside `good` is an error.
    pub(super) fn once(&self, call: &Call<'_>, good: &[u16]) -> Result<Answered, Error> {
        let answered = self.authenticated(call)?;
        if good.contains(&answered.status()) { Ok(answered) } else { Err(self.refusal(call.task, answered)) }
    }

    fn authenticated(&self, call: &Call<'_>) -> Result<Answered, Error> {
        let session = Arc::clone(lock(&self.sessions).entry(call.registry.to_owned()).or_default());
        let server = TokenAccess { core: self, task: call.task, registry: call.registry, patience: call.patience };
        let context = Context { settings: &self.settings, task: call.task, registry: call.registry, server: &server };
        let mut authorization = lock(&session).begin(&context, &call.scopes)?;
        let mut challenges = 0;
        loop {
            let answered = self.follow(call, authorization.as_ref())?;
            if answered.status() != 401 || !answered.own_origin {
                return Ok(answered);
            }
            let challenge = Challenge::choose(answered.response.headers());
            let (answer, _) = self.answer(answered);
            challenges += 1;
            let insufficient = challenge.as_ref().is_some_and(Challenge::is_insufficient_scope);
            let mut session = lock(&session);
            if challenges <= MAX_CHALLENGES {
                let refused = Refused { challenge, sent: authorization.as_ref(), said: answer.message.clone() };
                authorization = session.again(&context, &call.scopes, refused)?;
            }
            if challenges > MAX_CHALLENGES || authorization.is_none() {
                return Err(session.rejected(&context, insufficient, answer));
            }
        }
    }

    /// Sends the call where it belongs and follows redirects.
    fn follow(&self, call: &Call<'_>, authorization: Option<&Secret>) -> Result<Answered, Error> {
        let (mut url, mut response) = match &call.target {
            Target::Url(url) => (url.clone(), self.hop(call, url, authorization)?),
            Target::Api(path) => self.find_scheme(call, path, authorization)?,
        };
        for _ in 0..MAX_REDIRECTS {
            let status = response.status().as_u16();
            let location = response.headers().get(LOCATION).filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308));
            let Some(location) = location else {
                let own_origin = self.is_own(call.registry, &url);
                let sent = authorization.filter(|_| own_origin).cloned();
                return Ok(Answered { response, url, sent, own_origin });
            };
            if status == 303 && call.method != Method::GET && call.method != Method::HEAD {
                return Err(Error::protocol(call.task, format!("{} answered 303 to {}", url.authority(), call.method)));
            }
            url = self.location(call.task, call.registry, &url, location)?;
            response = self.hop(call, &url, authorization)?;
        }
        Err(Error::protocol(
            call.task,
            format!("more than {MAX_REDIRECTS} redirects, the last from {}", url.authority()),
        ))
    }

    /// One request. The authorization goes along when the URL is the registry's own.
    fn hop(&self, call: &Call<'_>, url: &Url, authorization: Option<&Secret>) -> Result<Response<ureq::Body>, Error> {
        self.try_hop(call, url, authorization)?.map_err(|failure| failure.into_error(call.task, url.authority()))
    }

    fn try_hop(
        &self,
        call: &Call<'_>,
        url: &Url,
        authorization: Option<&Secret>,
    ) -> Result<Result<Response<ureq::Body>, Failure>, Error> {
        let mut headers = call.headers.clone();
        if let Some(authorization) = authorization.filter(|_| self.is_own(call.registry, url)) {
            headers.insert(AUTHORIZATION, secret_header(call.task, authorization)?);
        }
        let verify = self.trust(url.authority()) == Trust::Checked;
        let kind = Kind { verify, commit: call.commit, public_only: false, direct: false };
        self.request(call.task, kind, &call.method, url, &headers, call.body)
    }

    /// A request outside of authentication, ended by the cancel flag.
    pub(super) fn request(
        &self,
        task: &Task,
        kind: Kind,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Body<'_>,
    ) -> Result<Result<Response<ureq::Body>, Failure>, Error> {
        check_cancel(&self.settings, task)?;
        let result = self.wire.send(kind, method, url, headers, body);
        if result.is_err() {
            check_cancel(&self.settings, task)?;
        }
        Ok(result)
    }

    /// Sends the call to the registry's API, over the scheme that works there.
    fn find_scheme(
        &self,
        call: &Call<'_>,
        path: &str,
        authorization: Option<&Secret>,
    ) -> Result<(Url, Response<ureq::Body>), Error> {
        let host = api_host(call.registry);
        let mut first = None;
        for scheme in self.schemes(host) {
            let url = api_url(call.task, scheme, host, path)?;
            let result = self.try_hop(call, &url, authorization)?;
            if first.is_none() && scheme_may_be_wrong(&result) {
                first = Some((url, result));
            } else if let Ok(response) = result {
                lock(&self.schemes).insert(host.to_owned(), scheme);
                return Ok((url, response));
            } else {
                first.get_or_insert((url, result));
                break;
            }
        }
        let (url, result) = first.expect("there is at least one scheme");
        result.map_err(|failure| failure.into_error(call.task, url.authority())).map(|response| (url, response))
    }

    fn schemes(&self, host: &str) -> Vec<&'static str> {
        match (lock(&self.schemes).get(host), self.trust(host)) {
            (Some(scheme), _) => vec![scheme],
            (None, Trust::Checked) => vec!["https"],
            (None, Trust::Insecure) => vec!["https", "http"],
            (None, Trust::Loopback) => vec!["http", "https"],
        }
    }

    pub(super) fn trust(&self, authority: &str) -> Trust {
        if is_loopback(authority) {
            Trust::Loopback
        } else if self.settings.is_insecure(authority) {
            Trust::Insecure
        } else {
            Trust::Checked
        }
    }

    /// Whether the URL has the registry's own origin.
    fn is_own(&self, registry: &str, url: &Url) -> bool {
        let host = api_host(registry);
        let own =
            |scheme: &&str| Url::parse(&format!("{scheme}://{host}/")).is_ok_and(|own| own.origin() == url.origin());
        self.schemes(host).iter().any(own)
    }

    /// The address that an answer's header names, if a registry may send us there.
    pub(super) fn location(&self, task: &Task, registry: &str, from: &Url, value: &HeaderValue) -> Result<Url, Error> {
        let bad = |reason: &str| {
            Error::protocol(task, format!("{} refers to a place that is not used: {reason}", from.authority()))
        };
        let text = value.to_str().map_err(|_| bad("it is not printable"))?;
        let url = from.join(text).map_err(bad)?;
        let trust = self.trust(url.authority());
        let trusted =
            trust == Trust::Insecure || (trust == Trust::Loopback && self.trust(api_host(registry)) != Trust::Checked);
        if from.is_https() && !url.is_https() && !trusted {
            return Err(bad(&format!(
                "{} is plain http; is the proxy before the registry telling it the scheme?",
                url.authority()
            )));
        }
        if is_private_literal(url.authority()) && trust != Trust::Insecure && self.is_public(registry) {
            return Err(bad(&format!("{} is a private address", url.authority())));
        }
        Ok(url)
    }

    /// Whether the registry is one of the open internet, as far as is known.
    pub(super) fn is_public(&self, registry: &str) -> bool {
        let host = api_host(registry);
        let named = bare_host(host);
        let key = if host.starts_with('[') { format!("[{named}]") } else { named.to_owned() };
        self.trust(host) == Trust::Checked && !is_private_literal(host) && !self.wire.is_known_private(&key)
    }

    /// Turns an answer that is no success into an error.
    pub(super) fn refusal(&self, task: &Task, answered: Answered) -> Error {
        let (answer, retry_after) = self.answer(answered);
        from_answer(task.clone(), answer, retry_after)
    }

    fn answer(&self, answered: Answered) -> (Answer, Option<Duration>) {
        let Answered { response, url, sent, .. } = answered;
        self.read_answer(response, &url, &sent.iter().collect::<Vec<_>>())
    }

    /// Reads a refusal. Nothing of `secrets` is repeated, should the server echo it.
    pub(super) fn read_answer(
        &self,
        mut response: Response<ureq::Body>,
        url: &Url,
        secrets: &[&Secret],
    ) -> (Answer, Option<Duration>) {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = text(RETRY_AFTER).and_then(|value| parse_retry_after(value, text(DATE)));
        let content_type = text(CONTENT_TYPE).unwrap_or_default().to_owned();
        let deadline = Instant::now() + self.settings.timeouts.idle;
        let body = read_bounded(response.body_mut(), MAX_ERROR_BODY, deadline, &self.wire.counters);
        let (mut message, codes) = read_message(&content_type, &body.ok().flatten().unwrap_or_default());
        for secret in secrets {
            let bare = secret.reveal().rsplit(' ').next().unwrap_or_default();
            if !bare.is_empty() {
                message = message.replace(bare, "***");
            }
        }
        let answer = Answer { host: url.authority().to_owned(), status: response.status().as_u16(), message, codes };
        (answer, retry_after)
    }

    /// Reads a successful answer into memory; `None` when it has more than `limit` bytes.
    pub(super) fn read_body(
        &self,
        task: &Task,
        answered: &mut Answered,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let deadline = Instant::now() + self.settings.timeouts.answer;
        let body = read_bounded(answered.response.body_mut(), limit, deadline, &self.wire.counters);
        if body.is_err() {
            check_cancel(&self.settings, task)?;
        }
        body.map_err(|failure| failure.into_error(task, answered.url.authority()))
    }
}

/// The host that serves a registry's API.
pub(super) fn api_host(registry: &str) -> &str {
    if registry == DOCKER_HUB { "registry-1.docker.io" } else { registry }
}

fn api_url(task: &Task, scheme: &str, host: &str, path: &str) -> Result<Url, Error> {
    Url::parse(&format!("{scheme}://{host}/v2/{path}")).map_err(|reason| Error::protocol(task, reason))
}

pub(super) fn secret_header(task: &Task, secret: &Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(secret.reveal())
        .map_err(|_| Error::protocol(task, "the credentials hold characters that HTTP can't carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a server may just be speaking the other scheme: no TLS, no HTTP, or Go's 400 for HTTP on a TLS port.
fn scheme_may_be_wrong(result: &Result<Response<ureq::Body>, Failure>) -> bool {
    match result {
        Ok(response) => response.status() == 400,
        Err(failure) => matches!(
            failure,
            Failure::Tls(_) | Failure::NotHttp(_) | Failure::Disconnected(_) | Failure::Unreachable(_)
        ),
    }
}
