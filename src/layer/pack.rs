//! A layer directory as a layer archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::metadata::{Clamp, Metadata, Ownership, archived_mtime};
use super::node::{FileKind, Identity, Node};
use super::tar::writer::TarWriter;
use super::walk::Walk;

/// How a layer directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackOptions {
    /// Where owners are kept.
    pub ownership: Ownership,
    /// Which times are replaced.
    pub clamp: Option<Clamp>,
}

/// The size of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerStats {
    /// The number of entries: files, directories, links, whiteouts. The root does not count.
    pub entries: u64,
    /// The length of all regular files, each inode once.
    pub bytes: u64,
}

/// Writes a layer directory as a layer archive, whose bytes depend on nothing but the content (see
/// [`FORMAT_VERSION`](super::FORMAT_VERSION)).
///
/// Sockets are left out. The root is written only when it differs from a plain one (mode 0755, owner 0:0, no
/// attributes), so that a `chmod /` reaches the image and an ordinary layer says nothing of the root. An opaque mark on
/// the root is ignored, as overlayfs does.
pub fn pack(layer: &Path, out: impl Write, options: &PackOptions) -> Result<LayerStats> {
    pack_without(layer, &[], out, options)
}

/// As [`pack`], without the entries of the directories `omitted` (relative; the empty path is the root), whose content is
/// written all the same: directories that stand only for what lies below.
pub fn pack_without(layer: &Path, omitted: &[PathBuf], out: impl Write, options: &PackOptions) -> Result<LayerStats> {
    let (mut walk, root, _) = Walk::new(layer, options.ownership)?;
    let mut writer = TarWriter::new(out);
    let mut packer = Packer { clamp: options.clamp, links: HashMap::new(), stats: LayerStats::default() };
    if !is_plain_root(&root.metadata) && !omitted.iter().any(|path| path.as_os_str().is_empty()) {
        writer.directory(Path::new(""), &packer.archived(root.metadata))?;
    }
    while let Some(item) = walk.next()? {
        if item.whiteout {
            packer.stats.entries += 1;
            writer.whiteout(&item.path)?;
        } else if !omitted.contains(&item.path) {
            packer.entry(&mut writer, &item.path, item.read(options.ownership)?)?;
        }
    }
    writer.finish()?;
    Ok(packer.stats)
}

/// Tells whether a root needs no entry of its own.
pub(super) fn is_plain_root(metadata: &Metadata) -> bool {
    metadata.mode == 0o755 && metadata.uid == 0 && metadata.gid == 0 && metadata.xattrs.is_empty()
}

struct Packer {
    clamp: Option<Clamp>,
    links: HashMap<Identity, PathBuf>,
    stats: LayerStats,
}

impl Packer {
    fn archived(&self, metadata: Metadata) -> Metadata {
        Metadata { mtime: archived_mtime(metadata.mtime, self.clamp), ..metadata }
    }

    fn entry<W: Write>(&mut self, writer: &mut TarWriter<W>, path: &Path, node: Node) -> Result<()> {
        if node.kind == FileKind::Socket {
            return Ok(());
        }
        self.stats.entries += 1;
        let metadata = self.archived(node.metadata);
        if node.links > 1 && node.kind != FileKind::Directory {
            if let Some(first) = self.links.get(&node.identity) {
                return writer.hard_link(path, first, &metadata);
            }
            self.links.insert(node.identity, path.to_owned());
        }
        match node.kind {
            FileKind::Directory => {
                writer.directory(path, &metadata)?;
                if node.opaque { writer.opaque(path) } else { Ok(()) }
            }
            FileKind::Regular { size } => {
                self.stats.bytes += size;
                let file = node.file.ok_or_else(|| Error::Changed { path: path.to_owned() })?;
                writer.file(path, &metadata, size, &mut File::from(file))
            }
            FileKind::Symlink { target } => writer.symlink(path, &target, &metadata),
            FileKind::Device(device) => writer.device(path, device, &metadata),
            FileKind::Fifo => writer.fifo(path, &metadata),
            FileKind::Socket => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
