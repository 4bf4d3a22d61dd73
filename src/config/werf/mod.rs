//! werf's dialect, `werf.yaml`: sections as written ([`schema`]), lowered to the project specification ([`lower`]).
//!
//! Behaviour is that of werf's v2 line, the later one where it changed. Deprecated forms work, and warn once for each kind.

pub(super) mod code;
pub(super) mod lower;
pub(super) mod schema;

pub(crate) use lower::lower;

#[cfg(test)]
mod tests;
