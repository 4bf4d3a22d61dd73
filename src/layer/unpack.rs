//! A layer archive as a layer directory. The archive is hostile.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::metadata::Ownership;
use super::path::{OPAQUE_NAME, WHITEOUT_META_PREFIX, WHITEOUT_PREFIX, bytes, clean, components, from_bytes, split};
use super::tar::reader::{Entry, EntryKind, Limits, TarReader};
use super::writer::{LayerWriter, Skipped};

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackOptions {
    /// How owners are kept.
    pub ownership: Ownership,
    /// What the archive may hold at most.
    pub limits: Limits,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnpackStats {
    /// The number of entries in the archive.
    pub entries: u64,
    /// The length of all regular files.
    pub bytes: u64,
    /// What this machine or user could not make.
    pub skipped: Skipped,
}

/// Applies a layer archive on the stack `lowers`, top first, as a new layer directory in the empty directory `into`.
///
/// The rules are OCI's: whiteouts and opaque marks concern the layers below only, wherever in the archive they stand; an
/// entry replaces what is at its path, a later one an earlier one, except that a directory keeps what is in it; a parent
/// that is a symbolic link, in this layer or below, is followed inside the image's root; a parent that the archive
/// implies takes its metadata from the layers below. Attributes of overlayfs and of stager are dropped, device nodes
/// that cannot be made are reported. The archive is read to its end.
///
/// # Errors
/// Paths with `..`, hard links to nothing or to directories, whiteouts of the root or of `.` and `..`, malformed
/// archives, and what exceeds the limits. `into` is then half full and to be thrown away; nothing outside it was touched.
pub fn unpack(archive: impl Read, into: &Path, lowers: &[PathBuf], options: &UnpackOptions) -> Result<UnpackStats> {
    let mut reader = TarReader::new(BufReader::with_capacity(256 << 10, archive), options.limits);
    let mut writer = LayerWriter::new(into, lowers, options.ownership)?;
    let mut stats = UnpackStats::default();
    while let Some(entry) = reader.next()? {
        stats.entries += 1;
        if let EntryKind::File { size, .. } = entry.kind {
            stats.bytes += size;
        }
        match role(&entry)? {
            Role::Entry(path) => place(&mut writer, &path, entry, &mut reader)?,
            Role::Whiteout(path) => writer.whiteout(&path)?,
            Role::Opaque(path) => writer.opaque(&path)?,
            Role::Ignored => {}
        }
    }
    stats.skipped = writer.finish()?;
    Ok(stats)
}

/// What an entry's name makes of it.
enum Role {
    Entry(PathBuf),
    Whiteout(PathBuf),
    Opaque(PathBuf),
    /// Bookkeeping of aufs, which old images still carry.
    Ignored,
}

fn role(entry: &Entry) -> Result<Role> {
    let path = clean(&entry.path)?;
    let refused = |reason| Err(Error::refused(entry.shown(), reason));
    let Some((parent, name)) = split(&path) else {
        return match entry.kind {
            EntryKind::Directory => Ok(Role::Entry(path)),
            _ => refused("the root can only be a directory"),
        };
    };
    for component in components(parent).map(|name| bytes(name.as_ref())) {
        if component.starts_with(WHITEOUT_META_PREFIX) {
            return Ok(Role::Ignored);
        }
        if component.starts_with(WHITEOUT_PREFIX) {
            return refused("a deleted file cannot be a directory");
        }
    }
    let name = bytes(name.as_ref());
    if name == OPAQUE_NAME {
        return Ok(Role::Opaque(parent.to_owned()));
    }
    if name.starts_with(WHITEOUT_META_PREFIX) {
        return Ok(Role::Ignored);
    }
    match name.strip_prefix(WHITEOUT_PREFIX) {
        None => Ok(Role::Entry(path)),
        Some(b"" | b"." | b"..") => refused("a whiteout of nothing, `.` or `..`"),
        Some(hidden) => Ok(Role::Whiteout(parent.join(from_bytes(hidden)))),
    }
}

fn place<R: Read>(writer: &mut LayerWriter, path: &Path, entry: Entry, content: &mut TarReader<R>) -> Result<()> {
    let metadata = &entry.metadata;
    match entry.kind {
        EntryKind::Directory => writer.directory(path, metadata),
        EntryKind::File { size, sparse: None } => writer.file(path, metadata, size, content),
        EntryKind::File { size, sparse: Some(map) } => writer.sparse_file(path, metadata, size, &map, content),
        EntryKind::HardLink { target } => writer.hard_link(path, from_bytes(&target)),
        EntryKind::Symlink { target } => writer.symlink(path, from_bytes(&target), metadata),
        EntryKind::Device(device) => writer.device(path, device, metadata),
        EntryKind::Fifo => writer.fifo(path, metadata),
    }
}

#[cfg(test)]
mod tests;
