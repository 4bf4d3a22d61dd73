//! Credentials from docker's `config.json` and its credential helpers.

use std::io::{self, Cursor};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::Secret;
use crate::registry::Error;
use crate::registry::error::{Task, printable};
use crate::registry::reference::DOCKER_HUB;
use crate::registry::retry::check_cancel;
use crate::registry::settings::Settings;

/// The largest `config.json` that is read, in bytes.
const MAX_CONFIG: u64 = 4 << 20;

/// How often a running helper is looked at.
pub(super) const SLICE: Duration = Duration::from_millis(50);

/// What identifies the user to one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Password {
        user: String,
        password: Secret,
    },
    /// A refresh token, to be exchanged for access tokens.
    Identity(Secret),
}

impl Credential {
    /// The credential for a registry's name: as the settings have it, else from the files and helpers they name.
    pub(crate) fn find(settings: &Settings, task: &Task, registry: &str) -> Result<Option<Self>, Error> {
        if let Some(given) = settings.credentials.find(registry) {
            return Ok(Some(given.clone()));
        }
        let Some(directory) = &settings.docker_config_dir else { return Ok(None) };
        let path = directory.join("config.json");
        let fail = |reason: String| Error::Credentials { host: registry.to_owned(), reason };
        let Some(config) = read_config(&path).map_err(|error| fail(error.to_string()))? else { return Ok(None) };
        for key in keys(registry) {
            match ask(settings, task, &config, key) {
                Ok(Some(credential)) => return Ok(Some(credential)),
                Ok(None) => {}
                Err(Ask::Cancelled(error)) => return Err(error),
                Err(Ask::Failed(reason)) => return Err(fail(format!("{reason}, from {}", path.display()))),
            }
        }
        Ok(None)
    }
}

/// The names under which docker keeps the credentials of a registry.
pub(super) fn keys(registry: &str) -> Vec<&str> {
    if registry == DOCKER_HUB {
        vec!["https://index.docker.io/v1/", "index.docker.io", DOCKER_HUB]
    } else {
        vec![registry]
    }
}

pub(super) fn read_config(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_CONFIG => {
            Err(io::Error::other(format!("{} is larger than 4 MiB", path.display())))
        }
        Ok(_) => fs_err::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

enum Ask {
    Cancelled(Error),
    Failed(String),
}

/// Looks one name up. A helper is another program, so it gets a thread and a deadline.
fn ask(settings: &Settings, task: &Task, config: &[u8], key: &str) -> Result<Option<Credential>, Ask> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let (input, server) = (Cursor::new(config.to_vec()), key.to_owned());
    let work = move || drop(sender.send(docker_credential::get_credential_from_reader(input, &server)));
    std::thread::Builder::new()
        .name("registry-credentials".to_owned())
        .spawn(work)
        .map_err(|error| Ask::Failed(format!("cannot start a thread: {error}")))?;
    let deadline = Instant::now() + settings.timeouts.credential_helper;
    loop {
        match receiver.recv_timeout(SLICE) {
            Ok(answer) => return understand(answer).map_err(Ask::Failed),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Ask::Failed("the look-up ended without an answer".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => check_cancel(settings, task).map_err(Ask::Cancelled)?,
        }
        if Instant::now() >= deadline {
            return Err(Ask::Failed(format!(
                "the credential helper did not answer within {:?}",
                settings.timeouts.credential_helper
            )));
        }
    }
}

fn understand(answer: Result<DockerCredential, CredentialRetrievalError>) -> Result<Option<Credential>, String> {
    match answer {
        Ok(DockerCredential::UsernamePassword(user, password)) if user.is_empty() && password.is_empty() => Ok(None),
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credential::Password { user, password: Secret::new(password) }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential::Identity(Secret::new(token)))),
        Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => Ok(None),
        // Helpers say this on stdout, in these words, and leave with a failure.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, stdout, stderr }) => {
            let words = if stdout.trim().is_empty() { stderr } else { stdout };
            // A failing helper may still have printed what it found.
            let words = if words.contains('{') { "it failed".to_owned() } else { printable(&words, 200) };
            Err(format!("{helper}: {words}"))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            Err("the credential helper cannot be run".to_owned())
        }
        Err(CredentialRetrievalError::MalformedHelperResponse) => {
            Err("the credential helper's answer is malformed".to_owned())
        }
        Err(CredentialRetrievalError::CredentialDecodingError) => Err("an `auth` value does not decode".to_owned()),
        Err(CredentialRetrievalError::CredentialMismatchError) => {
            Err("`auth` differs from `username` and `password`".to_owned())
        }
        Err(CredentialRetrievalError::ConfigReadError) => Err("the file is not valid JSON".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::GivenCredentials;
    use super::*;

    fn find(config: &str, registry: &str) -> Result<Option<Credential>, Error> {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("config.json"), config).unwrap();
        let settings = Settings { docker_config_dir: Some(directory.path().to_owned()), ..Settings::default() };
        Credential::find(&settings, &Task::new("test", "x"), registry)
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn credentials_belong_to_one_host() {
        // alice:wonder
        let config = r#"{"auths":{"reg.example.com":{"auth":"YWxpY2U6d29uZGVy"},"https://index.docker.io/v1/":{"auth":"YWxpY2U6d29uZGVy"},
            "id.example.com:5000":{"auth":"","identitytoken":"refresh"},"empty.example.com":{}}}"#;
        assert_eq!(find(config, "reg.example.com").unwrap(), Some(password("alice", "wonder")));
        assert_eq!(find(config, "docker.io").unwrap(), Some(password("alice", "wonder")));
        assert_eq!(find(config, "id.example.com:5000").unwrap(), Some(Credential::Identity(Secret::new("refresh"))));
        for other in [
            "evilreg.example.com",
            "example.com",
            "reg.example.com:5000",
            "id.example.com",
            "empty.example.com",
            "reg.example.com.evil",
        ] {
            assert_eq!(find(config, other).unwrap(), None, "{other}");
        }
        assert!(!format!("{:?}", password("alice", "wonder")).contains("wonder"));
        let given: GivenCredentials = "reg.example.com=bob:builder".parse().unwrap();
        let settings =
            Settings { credentials: given, docker_config_dir: Some("/dev/null".into()), ..Settings::default() };
        let found = Credential::find(&settings, &Task::new("test", "x"), "reg.example.com").unwrap();
        assert_eq!(found, Some(password("bob", "builder")), "what is given comes first");
    }

    #[test]
    fn a_broken_file_is_named_and_a_missing_one_is_none() {
        let error = find("{", "h").unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("JSON"), "{error}");
        let error = find(r#"{"auths":{"h":{"auth":"!"}}}"#, "h").unwrap_err().to_string();
        assert!(error.contains("does not decode"), "{error}");
        let error = find(r#"{"credsStore":"stager-has-no-such-helper"}"#, "h").unwrap_err().to_string();
        assert!(error.contains("cannot be run"), "{error}");
        let settings = Settings { docker_config_dir: Some("/nonexistent".into()), ..Settings::default() };
        assert_eq!(Credential::find(&settings, &Task::new("test", "x"), "h").unwrap(), None);
    }

    #[test]
    fn helper_failures_are_told_apart() {
        let failure = |stdout: &str| {
            understand(Err(CredentialRetrievalError::HelperFailure {
                helper: "docker-credential-x".to_owned(),
                stdout: stdout.to_owned(),
                stderr: String::new(),
            }))
        };
        assert_eq!(failure("credentials not found in native keychain\n"), Ok(None));
        assert_eq!(failure("gpg: no key"), Err("docker-credential-x: gpg: no key".to_owned()));
        assert!(!failure(r#"{"Secret":"hush"}"#).unwrap_err().contains("hush"));
    }
}
