//! The state of authentication with one registry: its challenge, the user's credential, the tokens in hand.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Challenge, Credential, Scopes, Secret};
use crate::registry::Error;
use crate::registry::error::{Answer, Task};
use crate::registry::settings::Settings;

/// The lifetime of a token that states none, and the shortest one believed.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// No token is kept for longer.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);

/// Tokens are replaced this long before they end.
const MARGIN: Duration = Duration::from_secs(10);

/// Tokens kept for one registry.
const MAX_TOKENS: usize = 64;

/// One registry, as far as authentication goes. Callers hold it locked while a token is fetched, so that many threads
/// fetch one token.
#[derive(Debug, Default)]
pub(crate) struct Session {
    challenge: Option<Challenge>,
    credential: Known,
    tokens: Vec<Token>,
}

/// The credential, once it has been looked for.
#[derive(Debug, Default)]
enum Known {
    #[default]
    No,
    Yes(Option<Credential>),
}

#[derive(Debug, Clone)]
struct Token {
    scopes: Scopes,
    value: Secret,
    expires: Instant,
}

/// What is asked of a token server.
#[derive(Debug)]
pub(crate) struct TokenRequest<'a> {
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) scopes: &'a Scopes,
    pub(crate) credential: Option<&'a Credential>,
}

/// The way to a token server. The answer is the body of a success.
pub(crate) trait TokenServer {
    fn token(&self, request: &TokenRequest<'_>) -> Result<Vec<u8>, Error>;
}

/// What a 401 leads to.
pub(crate) struct Refused<'a> {
    pub(crate) challenge: Option<Challenge>,
    /// The header that was refused.
    pub(crate) sent: Option<&'a Secret>,
    /// The registry's words.
    pub(crate) said: String,
}

impl Session {
    /// The `Authorization` value to begin with; `None` before the registry has asked for one.
    pub(crate) fn begin(&mut self, context: &Context<'_>, scopes: &Scopes) -> Result<Option<Secret>, Error> {
        match self.challenge.clone() {
            None => Ok(None),
            Some(challenge) => self.authorize(context, &challenge, scopes),
        }
    }

    /// The `Authorization` value for another attempt after a 401; `None` when there is nothing but what was refused.
    pub(crate) fn again(
        &mut self,
        context: &Context<'_>,
        scopes: &Scopes,
        refused: Refused<'_>,
    ) -> Result<Option<Secret>, Error> {
        let unauthorized = |reason: &str| Error::Unauthorized {
            task: context.task.clone(),
            reason: with_words(reason, &refused.said),
        };
        let Some(challenge) = refused.challenge else {
            return Err(unauthorized("the registry asks for no kind of authentication that is supported"));
        };
        if let Some(sent) = refused.sent {
            self.forget(sent);
        }
        let wanted = match &challenge {
            Challenge::Bearer { scope, .. } => scopes.clone().and(&Scopes::parse(scope)),
            Challenge::Basic => scopes.clone(),
        };
        self.challenge = Some(challenge.clone());
        let value = self.authorize(context, &challenge, &wanted)?;
        Ok(value.filter(|value| refused.sent != Some(value)))
    }

    /// The error when nothing that can be sent is accepted.
    pub(crate) fn rejected(&mut self, context: &Context<'_>, insufficient_scope: bool, answer: Answer) -> Error {
        let task = context.task.clone();
        match self.credential(context) {
            Err(error) => error,
            Ok(Some(_)) if insufficient_scope => Error::Denied { task, answer },
            Ok(Some(_)) => Error::Unauthorized {
                task,
                reason: with_words("the registry refuses the credentials", &answer.message),
            },
            Ok(None) => {
                let reason = format!("there are no credentials for {}", context.registry);
                Error::Unauthorized { task, reason: with_words(&reason, &answer.message) }
            }
        }
    }

    fn authorize(
        &mut self,
        context: &Context<'_>,
        challenge: &Challenge,
        scopes: &Scopes,
    ) -> Result<Option<Secret>, Error> {
        match challenge {
            Challenge::Basic => match self.credential(context)? {
                Some(Credential::Password { user, password }) => Ok(Some(basic(user, password))),
                Some(Credential::Identity(_)) => Err(Error::Unauthorized {
                    task: context.task.clone(),
                    reason: format!("{} asks for a password, but there is only an identity token", context.registry),
                }),
                None => Ok(None),
            },
            Challenge::Bearer { realm, service, .. } => {
                let now = Instant::now();
                self.tokens.retain(|token| token.expires > now);
                if let Some(token) = self.tokens.iter().find(|token| token.scopes.covers(scopes)) {
                    return Ok(Some(token.value.clone()));
                }
                let credential = self.credential(context)?.cloned();
                let request =
                    TokenRequest { realm, service: service.as_deref(), scopes, credential: credential.as_ref() };
                let body = context.server.token(&request)?;
                let token = parse_token(context.task, &body, scopes)?;
                self.tokens.truncate(MAX_TOKENS - 1);
                self.tokens.insert(0, token.clone());
                Ok(Some(token.value))
            }
        }
    }

    fn credential(&mut self, context: &Context<'_>) -> Result<Option<&Credential>, Error> {
        if let Known::No = self.credential {
            self.credential = Known::Yes(Credential::find(context.settings, context.task, context.registry)?);
        }
        match &self.credential {
            Known::Yes(credential) => Ok(credential.as_ref()),
            Known::No => Ok(None),
        }
    }

    /// Drops a refused token; a refused password is read anew, as helpers hand out short-lived ones.
    fn forget(&mut self, value: &Secret) {
        let before = self.tokens.len();
        self.tokens.retain(|token| &token.value != value);
        if self.tokens.len() == before {
            self.credential = Known::No;
        }
    }
}

/// What authentication needs from its surroundings.
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) task: &'a Task,
    /// The registry's name, under which credentials are kept.
    pub(crate) registry: &'a str,
    pub(crate) server: &'a dyn TokenServer,
}

fn with_words(reason: &str, said: &str) -> String {
    if said.is_empty() { reason.to_owned() } else { format!("{reason} ({said})") }
}

/// The `Authorization` value of a name and password.
pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
}

fn parse_token(task: &Task, body: &[u8], scopes: &Scopes) -> Result<Token, Error> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<f64>,
    }
    let bad = |what: &str| Error::protocol(task, format!("the token server's answer {what}"));
    let answer: Answer = serde_json::from_slice(body).map_err(|_| bad("is not a JSON token"))?;
    let nonempty = |text: &String| !text.is_empty();
    let token =
        answer.token.filter(nonempty).or(answer.access_token.filter(nonempty)).ok_or_else(|| bad("holds no token"))?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("holds a malformed token"));
    }
    let stated = answer.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let lifetime = stated.unwrap_or(MIN_LIFETIME).clamp(MIN_LIFETIME, MAX_LIFETIME).saturating_sub(MARGIN);
    Ok(Token {
        scopes: scopes.clone(),
        value: Secret::new(format!("Bearer {token}")),
        expires: Instant::now() + lifetime,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Server {
        asked: RefCell<Vec<String>>,
    }

    impl TokenServer for Server {
        fn token(&self, request: &TokenRequest<'_>) -> Result<Vec<u8>, Error> {
            self.asked.borrow_mut().push(request.scopes.texts().join(" "));
            Ok(format!(r#"{{"token":"t{}","expires_in":300}}"#, self.asked.borrow().len()).into_bytes())
        }
    }

    fn bearer(scope: &str) -> Challenge {
        Challenge::Bearer { realm: "https://a/t".to_owned(), service: None, scope: scope.to_owned(), error: None }
    }

    #[test]
    fn tokens_are_reused_by_scope_and_replaced_when_refused() {
        let (server, settings, task) = (Server::default(), Settings::default(), Task::new("test", "x"));
        let context = Context { settings: &settings, task: &task, registry: "h", server: &server };
        let mut session = Session::default();
        let pull = Scopes::pull("a");
        assert_eq!(session.begin(&context, &pull).unwrap(), None);
        let refused = |sent| Refused { challenge: Some(bearer("repository:a:pull")), sent, said: String::new() };
        let first = session.again(&context, &Scopes::push("a"), refused(None)).unwrap().unwrap();
        assert_eq!(first.reveal(), "Bearer t1");
        assert_eq!(session.begin(&context, &pull).unwrap().as_ref(), Some(&first), "push covers pull");
        let second = session.again(&context, &pull, refused(Some(&first))).unwrap().unwrap();
        assert_eq!(second.reveal(), "Bearer t2");
        let mount = Scopes::push("a").and(&Scopes::pull("b"));
        assert_eq!(session.begin(&context, &mount).unwrap().unwrap().reveal(), "Bearer t3");
        assert_eq!(
            *server.asked.borrow(),
            ["repository:a:pull,push", "repository:a:pull", "repository:a:pull,push repository:b:pull"]
        );
        assert!(!format!("{session:?}").contains("t3"));
    }

    #[test]
    fn token_answers_are_checked() {
        let task = Task::new("test", "x");
        let parse = |body: &str| {
            parse_token(&task, body.as_bytes(), &Scopes::default()).map(|token| token.value.reveal().to_owned())
        };
        assert_eq!(parse(r#"{"token":"","access_token":"b","expires_in":-5}"#).unwrap(), "Bearer b");
        assert_eq!(parse(r#"{"token":"a"}"#).unwrap(), "Bearer a");
        for bad in ["", "<html>", "{}", r#"{"token":"a\r\nX: y"}"#, r#"{"token":"ä"}"#, r#"{"token":7}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_credentials_and_refused_credentials_are_told_apart() {
        let (server, task) = (Server::default(), Task::new("test", "x"));
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("config.json"), r#"{"auths":{"h":{"auth":"YWxpY2U6d29uZGVy"}}}"#).unwrap();
        let settings = Settings { docker_config_dir: Some(directory.path().to_owned()), ..Settings::default() };
        let context = |registry| Context { settings: &settings, task: &task, registry, server: &server };
        let refused = |sent| Refused { challenge: Some(Challenge::Basic), sent, said: "no".to_owned() };
        let scopes = Scopes::pull("a");
        let answer = || Answer { host: "h".to_owned(), status: 401, message: "no".to_owned(), codes: Vec::new() };
        let mut session = Session::default();
        assert_eq!(session.again(&context("other"), &scopes, refused(None)).unwrap(), None);
        let error = session.rejected(&context("other"), true, answer()).to_string();
        assert!(error.contains("no credentials for other (no)"), "{error}");
        let mut session = Session::default();
        let value = session.again(&context("h"), &scopes, refused(None)).unwrap().unwrap();
        assert_eq!(value.reveal(), "Basic YWxpY2U6d29uZGVy");
        assert_eq!(session.again(&context("h"), &scopes, refused(Some(&value))).unwrap(), None);
        let error = session.rejected(&context("h"), false, answer()).to_string();
        assert!(error.contains("refuses the credentials") && !error.contains("YWxp"), "{error}");
        assert!(matches!(session.rejected(&context("h"), true, answer()), Error::Denied { .. }));
    }
}
