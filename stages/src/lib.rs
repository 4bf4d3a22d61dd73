//! The pure domain of stager: what an image is made of, in which order, and under which digests.
//!
//! No I/O, no clock, no environment, no YAML: everything here is a function of values.

pub mod conveyor;
pub mod digest;
pub mod filter;
pub mod graph;
pub mod ids;
pub mod kind;
pub mod plan;
pub mod spec;

pub use ids::{
    BlobId, Checksum, CommitId, ContentId, IdError, ImageName, ObjectId, Platform, ProjectName, StageDigest,
};
