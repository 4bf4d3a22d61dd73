//! Templates: minijinja for the native format.
