//! Templates: minijinja for the native format.

pub mod gotemplate;
