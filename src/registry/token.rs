//! Fetching tokens from the server that a registry's challenge names.
//!
//! The challenge is foreign text, so the server must speak https unless the registry itself doesn't, and a registry of
//! the open internet can't send us, with the user's credentials, to an address inside the user's own network.

use std::time::Instant;

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderMap, HeaderValue, Method};

use super::Error;
use super::address::{Url, encode, is_private_literal};
use super::auth::{Credential, Secret, TokenRequest, TokenServer, basic};
use super::error::{Task, from_answer};
use super::exchange::{Core, Trust, api_host, secret_header};
use super::retry::{Backoff, Patience};
use super::wire::{Body, Kind, read_bounded};

/// The largest token answer that is read, in bytes.
const MAX_TOKEN: usize = 1 << 20;

/// The way to the token servers of one registry.
pub(super) struct TokenAccess<'a> {
    pub(super) core: &'a Core,
    pub(super) task: &'a Task,
    pub(super) registry: &'a str,
    pub(super) patience: Patience,
}

/// One prepared request.
struct Prepared {
    kind: Kind,
    method: Method,
    url: Url,
    headers: HeaderMap,
    form: Option<String>,
    secrets: Vec<Secret>,
}

impl TokenServer for TokenAccess<'_> {
    fn token(&self, request: &TokenRequest<'_>) -> Result<Vec<u8>, Error> {
        let prepared = self.prepare(request)?;
        let mut backoff = Backoff::new(&self.core.settings, self.task).with(self.patience);
        loop {
            match self.fetch(&prepared, request.credential.is_some()) {
                Ok(body) => return Ok(body),
                Err(error) => backoff.wait(error)?,
            }
        }
    }
}

impl TokenAccess<'_> {
    fn prepare(&self, request: &TokenRequest<'_>) -> Result<Prepared, Error> {
        let realm = self.checked_realm(request.realm)?;
        let kind = self.kind(&realm);
        let scopes = request.scopes.texts();
        let mut prepared = Prepared {
            kind,
            method: Method::GET,
            url: realm,
            headers: HeaderMap::new(),
            form: None,
            secrets: Vec::new(),
        };
        if let Some(Credential::Identity(token)) = request.credential {
            let mut form =
                format!("grant_type=refresh_token&client_id=stager&refresh_token={}", encode_form(token.reveal()));
            for (name, value) in [("service", request.service.unwrap_or_default()), ("scope", &scopes.join(" "))] {
                form.extend(["&", name, "=", &encode_form(value)]);
            }
            prepared.method = Method::POST;
            prepared.form = Some(form);
            prepared.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            prepared.secrets.push(token.clone());
            return Ok(prepared);
        }
        if let Some(service) = request.service {
            prepared.url = prepared.url.with_query("service", service);
        }
        for scope in &scopes {
            prepared.url = prepared.url.with_query("scope", scope);
        }
        if let Some(Credential::Password { user, password }) = request.credential {
            let value = basic(user, password);
            prepared.headers.insert(AUTHORIZATION, secret_header(self.task, &value)?);
            prepared.secrets.extend([value, password.clone()]);
        }
        Ok(prepared)
    }

    fn fetch(&self, prepared: &Prepared, with_credential: bool) -> Result<Vec<u8>, Error> {
        let Prepared { kind, method, url, headers, form, secrets } = prepared;
        let body = form.as_ref().map_or(Body::None, |form| Body::Bytes(form.as_bytes()));
        let fail = |failure: super::wire::Failure| failure.into_error(self.task, url.authority());
        let mut response = self.core.request(self.task, *kind, method, url, headers, body)?.map_err(fail)?;
        if response.status().as_u16() == 200 {
            let deadline = Instant::now() + self.core.settings.timeouts.answer;
            let body =
                read_bounded(response.body_mut(), MAX_TOKEN, deadline, &self.core.wire.counters).map_err(fail)?;
            return body
                .ok_or_else(|| Error::protocol(self.task, format!("the token from {} is too large", url.authority())));
        }
        let secrets: Vec<&Secret> = secrets.iter().collect();
        let (answer, retry_after) = self.core.read_answer(response, url, &secrets);
        Err(match answer.status {
            401 | 403 => Error::Unauthorized {
                task: self.task.clone(),
                reason: if with_credential {
                    format!("the credentials for {} are refused ({answer})", self.registry)
                } else {
                    format!("there are no credentials for {}, and no access without ({answer})", self.registry)
                },
            },
            300..=399 => Error::protocol(self.task, format!("the token server {} redirects", answer.host)),
            429 | 500.. => from_answer(self.task.clone(), answer, retry_after),
            // Not an error of its own kind: a token server's 404 says nothing about the object.
            _ => Error::Unauthorized {
                task: self.task.clone(),
                reason: format!("the token server gives none: {answer}"),
            },
        })
    }

    fn checked_realm(&self, realm: &str) -> Result<Url, Error> {
        let bad = |reason: &str| {
            Error::protocol(self.task, format!("{} names a token server that is not used: {reason}", self.registry))
        };
        let url = Url::parse(realm).map_err(bad)?;
        if !url.is_https() && self.core.trust(api_host(self.registry)) == Trust::Checked {
            return Err(bad(&format!("{} is plain http", url.authority())));
        }
        if self.must_be_public(&url) && is_private_literal(url.authority()) {
            return Err(bad(&format!("{} is a private address", url.authority())));
        }
        Ok(url)
    }

    fn kind(&self, realm: &Url) -> Kind {
        Kind {
            verify: self.core.trust(realm.authority()) == Trust::Checked,
            commit: false,
            public_only: self.must_be_public(realm),
            direct: false,
        }
    }

    /// A token server on the registry's own host is as good as the registry.
    fn must_be_public(&self, realm: &Url) -> bool {
        let own = api_host(self.registry);
        self.core.is_public(self.registry) && !realm.authority().eq_ignore_ascii_case(own)
    }
}

/// As in a query, but nothing special passes: some servers read forms strictly.
fn encode_form(value: &str) -> String {
    encode(value).replace('/', "%2F").replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn realm(registry: &str, realm: &str) -> Result<Url, Error> {
        let mut settings = Settings::default();
        settings.insecure_hosts.insert("plain.example.com".to_owned());
        let core = Core::new(settings);
        let task = Task::new("pull manifest", "x");
        TokenAccess { core: &core, task: &task, registry, patience: Patience::Once }.checked_realm(realm)
    }

    #[test]
    fn realms_are_checked() {
        assert!(realm("docker.io", "https://auth.docker.io/token").is_ok());
        for bad in [
            "http://auth.docker.io/token",
            "https://127.0.0.1/token",
            "https://localhost:8443/token",
            "https://169.254.169.254/latest",
            "https://[::1]/t",
            "https://10.1.2.3/t",
            "https://user:pw@auth.docker.io/token",
            "ftp://auth.docker.io",
            "token",
        ] {
            assert!(realm("docker.io", bad).is_err(), "{bad}");
        }
        for good in ["http://127.0.0.1:5001/token", "https://auth.example.com/t", "http://auth.example.com/t"] {
            assert!(realm("127.0.0.1:5000", good).is_ok(), "{good}");
            assert!(realm("plain.example.com", good).is_ok(), "{good}");
        }
        assert!(
            realm("10.0.0.5:5000", "https://10.0.0.6/t").is_ok(),
            "a private registry may have a private token server"
        );
        assert!(realm("10.0.0.5:5000", "http://10.0.0.6/t").is_err());
    }
}
