//! OCI image configs and manifests; reading bases, writing outputs.
//!
//! - [`spec`]: the documents (config, manifest, index) as types that lose no field, and the bounds of reading them;
//! - [`platform`]: which entry of an index fits a platform;
//! - [`assemble`]: pure functions from a base config and a post stage to a new config and manifest;
//! - [`read`]: bases that are files: OCI layouts and archives, docker archives, rootfs tars;
//! - [`mod@write`]: outputs that are files, and the `--output` texts that name all outputs;
//! - [`daemon`]: the one output that is a Docker Engine.
//!
//! Everything read here is hostile: documents are bounded, blobs are found by digest only and verified while they are
//! read, and no name of an archive ever becomes a path of this machine. Everything written here is deterministic: the
//! same images and the same epoch give the same bytes. Layers are opaque streams: this module neither packs nor unpacks
//! file trees, and it knows no stage store, registry or git.

pub mod assemble;
pub mod daemon;
pub mod platform;
pub mod read;
pub mod spec;
mod verify;
pub mod write;

pub use verify::VerifyingReader;
