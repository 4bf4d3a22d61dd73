//! Bases that are files: OCI layouts and archives, docker archives, rootfs tars.
//!
//! Every format becomes an [`OpenedBase`]: a config, and layers to read. Files are reached through an [`ImageSource`],
//! which knows names inside the layout or archive only. An archive is scanned once for the places of its entries and then
//! read at those places; one that is compressed as a whole is first unpacked to an unnamed file in a directory of the
//! caller's. Documents and layers are verified while they are read.

mod archive;
mod docker;
mod oci;
mod source;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use stages::ids::{BlobId, Platform};
use stages::spec::BaseFormat;

pub use archive::ArchiveError;
pub(crate) use oci::blob_name;
pub use source::{ArchiveSource, DirectorySource, ImageSource, SourceFile};

use self::source::{MAX_TAR_BYTES, first_bytes};
use super::platform;
use super::spec::{ImageConfig, PlatformFields, SpecError, media_type};
use super::verify::VerifyingReader;
use crate::layer::{Compression, Decompressor};

/// A base that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file or directory can't be read.
    #[error("cannot read {what}")]
    Io {
        /// What was being read.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The archive itself is broken.
    #[error("cannot read the archive")]
    Archive(#[from] ArchiveError),
    /// A part that must be there is not.
    #[error("{0}")]
    Missing(String),
    /// A document that doesn't parse.
    #[error("cannot read {what}")]
    Document {
        /// Which document.
        what: String,
        /// What is wrong with it.
        #[source]
        source: SpecError,
    },
    /// The content contradicts itself.
    #[error("{0}")]
    Invalid(String),
    /// No image fits the reference or the platform.
    #[error("no image {wanted}; there is {available}")]
    NoMatch {
        /// What was asked for.
        wanted: String,
        /// What could have been.
        available: String,
    },
    /// More than one image fits.
    #[error("several images fit; name one of {0}")]
    SeveralMatch(String),
    /// The image is for another platform.
    #[error("the image is for {found}, not for {wanted}")]
    Platform {
        /// Of the image.
        found: String,
        /// As asked for.
        wanted: String,
    },
}

/// Where a base's bytes are.
#[derive(Clone)]
pub enum BaseInput {
    /// A directory of this machine (an OCI layout).
    Directory(PathBuf),
    /// A file of this machine (an archive).
    File(PathBuf),
    /// An archive in memory.
    Bytes(Bytes),
    /// A layout or archive whose files something else finds, such as a git tree.
    Source(Arc<dyn ImageSource>),
}

/// What to look for, and how.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions<'a> {
    /// The platform to choose.
    pub platform: &'a Platform,
    /// The image to choose: a name, or a manifest digest (`sha256:…`).
    pub reference: Option<&'a str>,
    /// Where compressed archives are unpacked to; an existing directory.
    pub spool: &'a Path,
}

/// A base, ready to be built on.
#[derive(Debug)]
pub struct OpenedBase {
    /// The config; `scratch` for a rootfs tar.
    pub config: ImageConfig,
    /// The config as it was read; canonical for a rootfs tar.
    pub config_bytes: Vec<u8>,
    /// The manifest as it was read, for formats that have one.
    pub manifest: Option<(BlobId, Vec<u8>)>,
    /// Bottom first.
    pub layers: Vec<BaseLayer>,
}

/// One layer of a base.
#[derive(Clone)]
pub struct BaseLayer {
    /// Digest of the uncompressed tar; unknown for a rootfs tar.
    pub diff_id: Option<BlobId>,
    /// OCI's media type of the stored bytes.
    pub media_type: String,
    /// Digest of the stored bytes, where the format has it.
    pub digest: Option<BlobId>,
    /// Size of the stored bytes.
    pub size: u64,
    source: Arc<dyn ImageSource>,
    name: String,
}

impl std::fmt::Debug for BaseLayer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = formatter.debug_struct("BaseLayer");
        fields.field("diff_id", &self.diff_id).field("media_type", &self.media_type);
        fields.field("digest", &self.digest).field("size", &self.size).field("name", &self.name).finish_non_exhaustive()
    }
}

impl BaseLayer {
    /// The stored bytes, verified where their digest is known: read to the end, or nothing is verified.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let file = self.source.open(&self.name)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{} is no longer in the base", self.name))
        })?;
        Ok(match self.digest {
            Some(digest) => Box::new(VerifyingReader::new(file.reader, digest, Some(self.size))),
            None => file.reader,
        })
    }

    /// The uncompressed tar, verified where its digest is known: read to the end, or nothing is verified.
    pub fn open_tar(&self) -> io::Result<Box<dyn Read + Send>> {
        let stored = self.open()?;
        if self.digest.is_some() && self.digest == self.diff_id {
            return Ok(stored);
        }
        // by its first bytes, as other engines do: media types in the wild are wrong at times
        let tar = Decompressor::new(stored, MAX_TAR_BYTES).map_err(io::Error::other)?;
        Ok(match self.diff_id {
            Some(diff_id) => Box::new(VerifyingReader::new(tar, diff_id, None)),
            None => Box::new(tar),
        })
    }
}

/// Splits what follows `oci:`, `oci-archive:` or `docker-archive:` into the path and the image named in it: `DIR:TAG`,
/// `DIR@sha256:…`, `FILE:REPOSITORY:TAG`. A path has no colon; a rootfs tar has no reference.
pub fn split_reference(format: BaseFormat, text: &str) -> (&str, Option<&str>) {
    if format == BaseFormat::Rootfs {
        return (text, None);
    }
    let by_digest = text.split_once("@sha256:").map(|(path, _)| (path, &text[path.len() + 1..]));
    let (path, reference) = match by_digest {
        Some(parts) if !parts.0.contains(':') => parts,
        _ => text.split_once(':').unwrap_or((text, "")),
    };
    (path, Some(reference).filter(|reference| !reference.is_empty()))
}

/// Opens a base.
pub fn open_base(format: BaseFormat, input: BaseInput, options: &OpenOptions<'_>) -> Result<OpenedBase, ReadError> {
    let base = match format {
        BaseFormat::Oci => oci::open(directory(input, options)?, options)?,
        BaseFormat::OciArchive => oci::open(archive(input, options)?, options)?,
        BaseFormat::DockerArchive => docker::open(archive(input, options)?, options)?,
        BaseFormat::Rootfs => open_rootfs(input, options)?,
    };
    check_platform(&base.config, options.platform)?;
    Ok(base)
}

fn directory(input: BaseInput, options: &OpenOptions<'_>) -> Result<Arc<dyn ImageSource>, ReadError> {
    match input {
        BaseInput::Directory(path) => {
            let source = DirectorySource::open(&path)
                .map_err(|source| ReadError::Io { what: path.display().to_string(), source })?;
            Ok(Arc::new(source))
        }
        BaseInput::Source(source) => Ok(source),
        // a packed layout under the unpacked one's name
        BaseInput::File(_) | BaseInput::Bytes(_) => archive(input, options),
    }
}

fn archive(input: BaseInput, options: &OpenOptions<'_>) -> Result<Arc<dyn ImageSource>, ReadError> {
    match input {
        BaseInput::File(path) => Ok(Arc::new(ArchiveSource::open(&path, options.spool)?)),
        BaseInput::Bytes(bytes) => Ok(Arc::new(ArchiveSource::from_bytes(bytes, options.spool)?)),
        BaseInput::Source(source) => Ok(source),
        BaseInput::Directory(path) => Err(ReadError::Invalid(format!(
            "{} is a directory, not an archive; an OCI layout is oci:DIR",
            path.display()
        ))),
    }
}

/// The name under which a [`BaseInput::Source`] holds a rootfs tar.
pub const ROOTFS: &str = "rootfs.tar";

fn open_rootfs(input: BaseInput, options: &OpenOptions<'_>) -> Result<OpenedBase, ReadError> {
    let source: Arc<dyn ImageSource> = match input {
        BaseInput::File(path) | BaseInput::Directory(path) => Arc::new(
            ArchiveSource::single_file(&path, ROOTFS)
                .map_err(|source| ReadError::Io { what: path.display().to_string(), source })?,
        ),
        BaseInput::Bytes(bytes) => Arc::new(ArchiveSource::single_bytes(bytes, ROOTFS)),
        BaseInput::Source(source) => source,
    };
    let mut layer = stored_layer(source, ROOTFS.to_owned(), None)?;
    layer.diff_id = None;
    let start = layer.open_tar().and_then(|tar| first_bytes(tar, 512));
    let start = start.map_err(|source| ReadError::Io { what: "the rootfs tar".to_owned(), source })?;
    if !archive::plausible(&start) {
        return Err(ReadError::Invalid("the rootfs is not a tar archive".to_owned()));
    }
    let config = ImageConfig::scratch(options.platform);
    Ok(OpenedBase { config_bytes: config.to_bytes(), config, manifest: None, layers: vec![layer] })
}

/// A layer known by its place only: what it is shows in its first bytes.
fn stored_layer(source: Arc<dyn ImageSource>, name: String, diff_id: Option<BlobId>) -> Result<BaseLayer, ReadError> {
    let missing = || ReadError::Missing(format!("there is no {name} in the archive"));
    let describe = |source| ReadError::Io { what: name.clone(), source };
    let file = source.open(&name).map_err(describe)?.ok_or_else(missing)?;
    let start = first_bytes(file.reader, 8).map_err(describe)?;
    let compression = Compression::detect(&start)
        .map_err(|kind| ReadError::Invalid(format!("{name} is compressed by {kind}, which no image layer may be")))?;
    let media_type = match compression {
        Compression::None => media_type::LAYER_TAR,
        Compression::Gzip => media_type::LAYER_GZIP,
        Compression::Zstd => media_type::LAYER_ZSTD,
    };
    let digest = diff_id.filter(|_| compression == Compression::None);
    Ok(BaseLayer { diff_id, media_type: media_type.to_owned(), digest, size: file.size, source, name })
}

fn check_platform(config: &ImageConfig, wanted: &Platform) -> Result<(), ReadError> {
    let found = PlatformFields {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        variant: config.variant.clone(),
        ..PlatformFields::default()
    };
    let unsaid = found.architecture.is_empty() || found.os.is_empty();
    if unsaid || platform::fits(wanted, &found) {
        return Ok(());
    }
    Err(ReadError::Platform { found: platform::describe(&found), wanted: wanted.to_string() })
}

/// Reads a whole document of at most `limit` bytes; `None` if it isn't there.
fn read_document(source: &dyn ImageSource, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let describe = |source| ReadError::Io { what: name.to_owned(), source };
    let Some(file) = source.open(name).map_err(describe)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.reader.take(limit + 1).read_to_end(&mut bytes).map_err(describe)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::Invalid(format!("{name} has more than {limit} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
