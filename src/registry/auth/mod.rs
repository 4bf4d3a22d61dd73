//! Who we are to a registry: challenges, credentials, tokens.
//!
//! Credentials belong to one registry name. They go to that registry's own origin (Basic) or to the token server its
//! challenge names (Bearer), never anywhere else; tokens go to the registry's origin only. Everything secret is a
//! [`Secret`], which neither `Debug` nor an error shows.

mod challenge;
mod config_file;
mod credentials;
mod given;
mod helper;
mod scope;
mod secret;
mod session;
mod store;

pub use given::GivenCredentials;
pub use secret::Secret;
pub use store::{CredentialStore, Kept};

pub(super) use challenge::Challenge;
pub(super) use credentials::Credential;
pub(super) use scope::Scopes;
pub(super) use session::{Context, Refused, Session, TokenRequest, TokenServer, basic};
