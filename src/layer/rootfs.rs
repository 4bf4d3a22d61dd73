//! A whole snapshot as one archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::merged::{Descend, Entry, MergedTree};
use super::metadata::{Clamp, Metadata, archived_mtime};
use super::node::{FileKind, Identity};
use super::pack::{LayerStats, is_plain_root};
use super::tar::writer::TarWriter;

/// Writes the root file system that a snapshot shows as one archive, in the format of a layer without whiteouts: for
/// `rootfs:` exports. Deterministic as [`pack`](super::pack) is; files are hard links of each other when they are in
/// the same layer.
pub fn pack_merged(tree: &MergedTree, out: impl Write, clamp: Option<Clamp>) -> Result<LayerStats> {
    let mut packer =
        Packer { tree, clamp, writer: TarWriter::new(out), links: HashMap::new(), stats: LayerStats::default() };
    if let Some(root) = tree.lookup("")? {
        let metadata = packer.archived(&root)?;
        if !is_plain_root(&metadata) {
            packer.writer.directory(Path::new(""), &metadata)?;
        }
    }
    tree.walk("", &mut |path, entry| packer.entry(path, entry))?;
    packer.writer.finish()?;
    Ok(packer.stats)
}

struct Packer<'t, W: Write> {
    tree: &'t MergedTree,
    clamp: Option<Clamp>,
    writer: TarWriter<W>,
    /// The first path of an inode with several names. The same inode in two layers is two files: one is an import that
    /// shares its blocks on this machine only.
    links: HashMap<(usize, Identity), PathBuf>,
    stats: LayerStats,
}

impl<W: Write> Packer<'_, W> {
    fn archived(&self, entry: &Entry) -> Result<Metadata> {
        let metadata = self.tree.metadata(entry)?;
        Ok(Metadata { mtime: archived_mtime(metadata.mtime, self.clamp), ..metadata })
    }

    fn entry(&mut self, path: &Path, entry: &Entry) -> Result<Descend> {
        if entry.kind == FileKind::Socket {
            return Ok(Descend::Into);
        }
        let metadata = self.archived(entry)?;
        self.stats.entries += 1;
        if entry.links > 1 && entry.kind != FileKind::Directory {
            if let Some(first) = self.links.get(&(entry.layer, entry.identity)) {
                self.writer.hard_link(path, first, &metadata)?;
                return Ok(Descend::Into);
            }
            self.links.insert((entry.layer, entry.identity), path.to_owned());
        }
        match &entry.kind {
            FileKind::Directory => self.writer.directory(path, &metadata)?,
            FileKind::Regular { size } => {
                self.stats.bytes += size;
                let mut file = File::from(self.tree.open(entry)?);
                self.writer.file(path, &metadata, *size, &mut file)?;
            }
            FileKind::Symlink { target } => self.writer.symlink(path, target, &metadata)?,
            FileKind::Device(device) => self.writer.device(path, *device, &metadata)?,
            FileKind::Fifo => self.writer.fifo(path, &metadata)?,
            FileKind::Socket => {}
        }
        Ok::<_, Error>(Descend::Into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::testing::{Tree, ownership};

    #[test]
    fn the_archive_is_that_of_the_flattened_tree() {
        let (top, bottom, flat) = (Tree::new(), Tree::new(), Tree::new());
        bottom.directory("a").file("a/x", "x").file("a/gone", "").file("b", "old").hard_link("l", "a/x");
        top.directory("a").whiteout("a/gone").file("b", "new").symlink("s", "b").directory("o").opaque("o");
        flat.directory("a").file("a/x", "x").file("b", "new").symlink("s", "b").directory("o").hard_link("l", "a/x");
        for tree in [&top, &bottom, &flat] {
            tree.times(3);
        }
        let tree = MergedTree::new(vec![top.root(), bottom.root()], ownership()).unwrap();
        let mut out = Vec::new();
        let stats = pack_merged(&tree, &mut out, None).unwrap();
        assert_eq!(stats, LayerStats { entries: 6, bytes: 4 });
        assert!(out == flat.pack());
    }

    #[test]
    fn inodes_shared_between_layers_are_not_links() {
        let (top, bottom) = (Tree::new(), Tree::new());
        bottom.file("a", "same");
        fs_err::hard_link(bottom.path("a"), top.path("b")).unwrap();
        let tree = MergedTree::new(vec![top.root(), bottom.root()], ownership()).unwrap();
        let mut out = Vec::new();
        assert_eq!(pack_merged(&tree, &mut out, None).unwrap().bytes, 8);
    }
}
