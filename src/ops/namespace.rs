//! What the ids of this process mean for a store.

use crate::builder::native::Mode;
use crate::layer::Ownership;

/// How owners are kept on disk in a mode.
pub(super) fn ownership(mode: Mode) -> Ownership {
    match mode {
        Mode::Root | Mode::MultiId => Ownership::Real,
        Mode::SingleId => Ownership::Recorded,
    }
}

/// Names the ids that a store's directories are written with.
pub(super) fn domain(mode: Mode) -> &'static str {
    match mode {
        Mode::Root => "real root",
        Mode::MultiId => "real subordinate",
        Mode::SingleId => "recorded",
    }
}
