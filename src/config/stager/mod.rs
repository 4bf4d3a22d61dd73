//! The native dialect, `stager.yaml`: documents as written ([`schema`]), lowered to the project specification ([`lower`]).

mod lower;
mod schema;

pub(crate) use lower::lower;
