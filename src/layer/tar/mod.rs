//! The tar format of layers: a writer whose bytes are pinned, and a reader that trusts nothing.

pub(super) mod header;
pub(super) mod numbers;
pub(super) mod pax;
pub(super) mod reader;
pub(super) mod sparse;
pub(super) mod writer;
