//! werf's dialect, `werf.yaml`: sections as written ([`schema`]), lowered to the project specification ([`lower`]).
//!
//! Behaviour is that of werf's v2 line, the later one where it changed, or of v3 where the file or the command line says
//! so ([`head`]); what differs is a table ([`semantics`]). Deprecated forms work, and warn once for each kind.

pub(super) mod code;
pub(super) mod head;
pub(super) mod lower;
pub(super) mod schema;
pub(super) mod semantics;

pub(crate) use lower::lower;
pub use semantics::Semantics;

#[cfg(test)]
mod tests;
