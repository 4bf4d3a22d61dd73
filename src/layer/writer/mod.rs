//! Laying a new layer directory out, entry by entry, over the layers below it.
//!
//! All names come from outside. A path's parents are resolved in the union of the new layer and the layers below, links
//! inside that union only; its last component is never followed, but replaced. Every system call works on a name in an
//! open directory of the new layer, so nothing outside it can be reached or changed, whatever the names are.
//!
//! The metadata of directories is set at the end, deepest first: until then they stay writable, and entries made in
//! them do not spoil their times.

mod apply;
mod layer_writer;
mod marks;
mod places;

pub use apply::Skipped;
pub use layer_writer::LayerWriter;
