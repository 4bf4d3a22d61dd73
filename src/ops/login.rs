//! Logging in to a registry, and out of it.

use std::sync::Arc;

use super::{Error, RegistryAccess};
use crate::builder::CancelToken;
use crate::registry::{Client, CredentialStore, GivenCredentials, Kept, LoginCheck, RegistryName, Secret, Settings};
use crate::report::EventSink;

/// Who wants to log in, and where.
#[derive(Debug)]
pub struct LoginOptions {
    /// The registry.
    pub registry: RegistryName,
    /// The user's name.
    pub user: String,
    /// The user's password, or a token in its place.
    pub password: Secret,
    /// How registries are reached.
    pub access: RegistryAccess,
}

/// A login.
#[derive(Debug)]
pub struct LoggedIn {
    /// What the registry made of it.
    pub check: LoginCheck,
    /// Where it is kept.
    pub kept: Kept,
    /// Whether credentials of the environment hide it.
    pub hidden: bool,
}

/// Asks the registry whether it takes the credentials, and keeps them if it does.
pub fn login(options: &LoginOptions, cancel: &CancelToken, events: &Arc<dyn EventSink>) -> Result<LoggedIn, Error> {
    let LoginOptions { registry, user, password, access } = options;
    let settings = access.settings(cancel, events)?;
    let store = CredentialStore::new(&settings).ok_or(Error::NoDockerConfig)?;
    let check = check(&settings, registry, user, password).map_err(Error::Login)?;
    let kept = store.save(registry, user, password).map_err(Error::Login)?;
    Ok(LoggedIn { check, kept, hidden: settings.credentials.has(registry) })
}

/// Tries these credentials, and no others that there may be.
fn check(
    settings: &Settings,
    registry: &RegistryName,
    user: &str,
    password: &Secret,
) -> Result<LoginCheck, crate::registry::Error> {
    let settings = Settings {
        credentials: GivenCredentials::one(registry.clone(), user, password.clone()),
        docker_config_dir: None,
        ..settings.clone()
    };
    Client::new(settings).check_login(registry)
}

/// Removes what is kept for a registry; whether there was anything.
pub fn logout(
    registry: &RegistryName,
    access: &RegistryAccess,
    cancel: &CancelToken,
    events: &Arc<dyn EventSink>,
) -> Result<bool, Error> {
    let settings = access.settings(cancel, events)?;
    let store = CredentialStore::new(&settings).ok_or(Error::NoDockerConfig)?;
    store.remove(registry).map_err(Error::Login)
}
