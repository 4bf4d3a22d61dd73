//! OCI distribution client; knows no stages. The documents it carries are those of [`crate::image::spec`].
//!
//! A [`Client`] reads and writes blobs and manifests of any registry that speaks the OCI distribution API, docker's
//! included. It is synchronous and shared between threads. What it promises:
//!
//! - **Bytes are what was asked for.** Manifests and blobs are verified by digest and size before their last byte is
//!   given out; ambiguous manifests are refused.
//! - **Every wait ends**: at a deadline ([`Timeouts`]), at the end of the retry budget ([`RetryPolicy`]), or soon after
//!   the caller's cancel flag is set. Name look-ups and connects end at their own deadline only.
//! - **What broke goes on**: transient failures are tried again, downloads at the byte offset, uploads where the registry
//!   can say how far they got. Writes ask first whether they have already happened.
//! - **Credentials go to one place**: the registry they are kept for, and the token server it names. They leave with no
//!   redirect, and show up in no message.
//!
//! - **Mirrors serve pulls only**: what names a digest is verified wherever it comes from; whatever writes goes to the
//!   registry itself.
//!
//! The layers, from the bottom: `wire` sends one request, with what `tls` and `hosts` know of certificates; `exchange` finds
//! scheme and host, authenticates and follows redirects; `token` and `auth` know who we are; `mirrors` knows where else a
//! repository is; `download`, `upload` and `client` are the operations. A table of requests and bytes is [`Traffic`].

mod address;
mod auth;
mod client;
mod download;
mod error;
mod exchange;
mod hosts;
mod manifest;
mod mirrors;
mod platform;
mod reference;
mod retry;
mod settings;
mod side_by_side;
mod standby;
mod tls;
mod token;
mod upload;
mod wire;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use auth::{CredentialStore, GivenCredentials, Kept, Secret};
pub use client::{Client, LoginCheck};
pub use download::BlobReader;
pub use error::{Answer, Error, Task};
pub use hosts::{Certificates, ClientIdentity, HostSettings};
pub use manifest::RawManifest;
pub use reference::{DOCKER_HUB, Mirror, Reference, RegistryName, Repository};
pub use settings::{Proxy, RetryPolicy, Settings, Timeouts, Wait, WaitHook};
pub use side_by_side::side_by_side;
pub use upload::{Mount, OpenBlob, Pushed, Upload};
pub use wire::Traffic;
