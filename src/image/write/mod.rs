//! Outputs that are files: OCI layouts and archives, docker archives; and the texts that name every output.
//!
//! Layers come as openers, so that one image can be written to several places and nothing is held in memory. What is
//! written is checked on the way: a layer that isn't what its descriptor says fails the output, and a failed output leaves
//! nothing behind. Bytes depend on the images and the epoch alone: entries are sorted, owners are 0, times are the epoch.

mod destination;
mod docker;
mod oci;
mod output;

use std::io::{self, Read};
use std::path::PathBuf;

use stages::ids::{BlobId, Platform};

pub use destination::{Destination, DestinationError, docker_reference};
pub use docker::{docker_archive_to, write_docker_archive};
pub use oci::{write_oci_archive, write_oci_directory};

use super::spec::{Descriptor, SpecError};
use super::verify::VerifyingReader;

/// Opens a stream anew at each call.
pub type Opener = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// An image for an OCI layout or archive.
pub struct OciImage {
    /// The name under which the layout lists it; several platforms of one image share it.
    pub reference: Option<String>,
    /// Its platform.
    pub platform: Platform,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// Bottom first, as in the manifest.
    pub layers: Vec<OciLayer>,
}

/// A layer as the manifest names it.
pub struct OciLayer {
    /// Digest and size of the stored bytes.
    pub descriptor: Descriptor,
    /// The stored bytes.
    pub open: Opener,
    /// The opener verifies the digest itself, so that it need not be computed twice.
    pub trusted: bool,
}

/// An image for a docker archive or a Docker Engine. Layers are uncompressed there, so no manifest is needed.
pub struct DockerImage {
    /// Names with tags, as [`docker_reference`] makes them.
    pub references: Vec<String>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// Bottom first, as in the config.
    pub layers: Vec<DockerLayer>,
}

/// An uncompressed layer.
pub struct DockerLayer {
    /// Digest of the tar.
    pub diff_id: BlobId,
    /// Bytes of the tar; what isn't known is counted by reading it once more.
    pub size: Option<u64>,
    /// The tar.
    pub open: Opener,
    /// The opener verifies the digest itself, so that it need not be computed twice.
    pub trusted: bool,
}

/// An output that can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The destination can't be written.
    #[error("cannot write {}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A layer can't be read, or isn't what it should be.
    #[error("cannot copy layer {layer}")]
    Layer {
        /// Which one.
        layer: BlobId,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The archive can't be written to the stream given.
    #[error("cannot write the archive")]
    Stream(#[source] io::Error),
    /// A manifest or config that doesn't parse.
    #[error("invalid image{}", name.as_ref().map(|name| format!(" {name}")).unwrap_or_default())]
    Document {
        /// The image's name, when it has one.
        name: Option<String>,
        /// What is wrong.
        #[source]
        source: SpecError,
    },
    /// The images don't go together, or with their destination.
    #[error("{0}")]
    Conflict(String),
    /// The destination holds something else.
    #[error("{} {reason}", path.display())]
    Occupied {
        /// Which one.
        path: PathBuf,
        /// What it is.
        reason: &'static str,
    },
    /// Another process has held the layout for too long.
    #[error("waited {seconds} s for another process that writes to {}", path.display())]
    Locked {
        /// The layout.
        path: PathBuf,
        /// How long.
        seconds: u64,
    },
}

impl WriteError {
    fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A part of an archive or layout.
enum Part<'a> {
    Bytes(Vec<u8>),
    Stream { id: BlobId, size: u64, open: &'a Opener, trusted: bool },
}

impl Part<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stream { size, .. } => *size,
        }
    }

    /// Copies the part to `output`; `output_error` says whose fault a failing write is.
    fn copy_to(
        &self,
        output: &mut dyn io::Write,
        output_error: impl FnOnce(io::Error) -> WriteError,
    ) -> Result<(), WriteError> {
        match self {
            Self::Bytes(bytes) => output.write_all(bytes).map_err(output_error),
            Self::Stream { id, size, open, trusted } => {
                let layer_error = |source| WriteError::Layer { layer: *id, source };
                let stream = open().map_err(layer_error)?;
                let mut stream = if *trusted {
                    VerifyingReader::size_only(stream, *id, *size)
                } else {
                    VerifyingReader::new(stream, *id, Some(*size))
                };
                copy(&mut stream, output, layer_error, output_error)
            }
        }
    }
}

/// Like `io::copy`, but tells failing reads from failing writes.
fn copy(
    input: &mut dyn Read,
    output: &mut dyn io::Write,
    input_error: impl FnOnce(io::Error) -> WriteError,
    output_error: impl FnOnce(io::Error) -> WriteError,
) -> Result<(), WriteError> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if let Err(error) = output.write_all(&buffer[..count]) {
                    return Err(output_error(error));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(input_error(error)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
