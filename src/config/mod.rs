//! Dialects: documents as written, lowered to the one project specification.

pub mod yaml;
