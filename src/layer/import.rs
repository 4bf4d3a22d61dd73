//! Copying part of a snapshot into a new layer: imports without a container.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::merged::{Descend, Entry, MergedTree};
use super::metadata::{Metadata, Ownership};
use super::node::{FileKind, Identity};
use super::path::{bytes, clean, split};
use super::writer::{LayerWriter, Skipped};

/// What to import.
pub struct ImportSpec<'a> {
    /// The file, link or directory in the source. Links in its parents are followed inside the source; it is not, so
    /// that a link is copied as a link.
    pub add: &'a Path,
    /// Where it goes. A directory's content goes into the directory `to`; a file or link becomes `to`, unless that ends
    /// in `/` or is a directory of the target, and then goes into it under its own name.
    pub to: &'a Path,
    /// Tells which files, links and directories are taken, by path relative to `add`: the directory `add` itself by the
    /// empty path, a single file by its name. A directory that is not taken is still made, as the source has it, when
    /// something in it is.
    pub filter: &'a dyn Fn(&Path) -> bool,
    /// The user of everything imported; that of the source by default.
    pub uid: Option<u32>,
    /// The group of everything imported; that of the source by default.
    pub gid: Option<u32>,
}

/// How an import is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// How owners are kept, in the source and in the new layer.
    pub ownership: Ownership,
    /// Whether files whose metadata stays may share the inode of the source's file: then neither is ever changed in
    /// place. Without, or across file systems, they are copied.
    pub share: bool,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportStats {
    /// The number of entries, implied directories not counted.
    pub entries: u64,
    /// The length of all regular files.
    pub bytes: u64,
    /// What this machine or user could not make.
    pub skipped: Skipped,
}

/// Imports into the new layer directory `into`, which lies over `target_lowers` (top first), with modes, times,
/// attributes, capabilities and the hard links inside the selection. Parents of `to` take their metadata from the layers
/// below; links among them, and directories that the target has as links, are followed inside the target.
///
/// A directory `to` that the target has keeps its metadata, one that it lacks gets that of `add`. An import of nothing
/// is an empty layer.
///
/// # Errors
/// [`Error::NotFound`] when `add` does not exist.
pub fn import_tree(
    source: &MergedTree,
    spec: &ImportSpec<'_>,
    target_lowers: &[PathBuf],
    into: &Path,
    options: &ImportOptions,
) -> Result<ImportStats> {
    let mut importer = Importer::new(target_lowers, into, options)?;
    importer.import(source, spec)?;
    importer.finish()
}

/// Several imports into one layer directory, in order; a later one replaces what an earlier one put at a path.
pub struct Importer {
    writer: LayerWriter,
    share: bool,
    /// The inodes of sources that the layer shares. No further file shares one of them, unless it is a hard link in the
    /// source: else two copies of one file would be links of each other here and not elsewhere.
    shared: HashSet<Identity>,
    stats: ImportStats,
}

impl Importer {
    /// Starts in `into`, over `target_lowers`, top first.
    pub fn new(target_lowers: &[PathBuf], into: &Path, options: &ImportOptions) -> Result<Self> {
        Ok(Self {
            writer: LayerWriter::new(into, target_lowers, options.ownership)?,
            share: options.share,
            shared: HashSet::new(),
            stats: ImportStats::default(),
        })
    }

    /// Imports part of a snapshot; see [`import_tree`].
    pub fn import(&mut self, source: &MergedTree, spec: &ImportSpec<'_>) -> Result<()> {
        let entry = find(source, spec.add)?;
        let selection = Selection { importer: self, source, spec, links: HashMap::new(), waiting: Vec::new() };
        match entry.kind {
            FileKind::Directory => selection.directory(&entry),
            _ => selection.single(&entry),
        }
    }

    /// Sets the metadata of directories, and reports.
    pub fn finish(self) -> Result<ImportStats> {
        let skipped = self.writer.finish()?;
        Ok(ImportStats { skipped, ..self.stats })
    }
}

/// The entry at a path whose parents, and only they, may be links.
fn find(source: &MergedTree, add: &Path) -> Result<Entry> {
    let missing = || Error::NotFound { path: add.to_owned() };
    let path = clean(bytes(add))?;
    let found = match split(&path) {
        None => source.lookup("")?,
        Some((parent, name)) => match source.resolve(parent)? {
            Some((parent, _)) => source.lookup(parent.join(name))?,
            None => None,
        },
    };
    found.ok_or_else(missing)
}

/// One import in progress.
struct Selection<'a> {
    importer: &'a mut Importer,
    source: &'a MergedTree,
    spec: &'a ImportSpec<'a>,
    /// Where the first name of an inode went.
    links: HashMap<(usize, Identity), PathBuf>,
    /// Directories that are not taken themselves, from the outermost to the current one, and are not made yet.
    waiting: Vec<(PathBuf, Entry)>,
}

impl Selection<'_> {
    fn single(mut self, entry: &Entry) -> Result<()> {
        let name = entry.path.file_name().map(PathBuf::from).unwrap_or_default();
        if !(self.spec.filter)(&name) {
            return Ok(());
        }
        let to = clean(bytes(self.spec.to))?;
        let inside = bytes(self.spec.to).ends_with(b"/") || self.target_directory(&to)?.is_some();
        let to = if inside { to.join(name) } else { to };
        self.place(&to, entry)
    }

    fn directory(mut self, root: &Entry) -> Result<()> {
        let to = clean(bytes(self.spec.to))?;
        if self.target_directory(&to)?.is_none() {
            if (self.spec.filter)(Path::new("")) {
                self.place(&to, root)?;
            } else {
                self.waiting.push((PathBuf::new(), root.clone()));
            }
        }
        let source = self.source;
        source.walk(&root.path, &mut |path, entry| -> Result<Descend> {
            while self.waiting.last().is_some_and(|(waiting, _)| !path.starts_with(waiting)) {
                self.waiting.pop();
            }
            if (self.spec.filter)(path) {
                for (waiting, directory) in std::mem::take(&mut self.waiting) {
                    self.place(&below(&to, &waiting), &directory)?;
                }
                self.place(&below(&to, path), entry)?;
            } else if entry.kind == FileKind::Directory {
                self.waiting.push((path.to_owned(), entry.clone()));
            }
            Ok(Descend::Into)
        })
    }

    /// The path without links of a directory of the target, if it has one there.
    fn target_directory(&self, path: &Path) -> Result<Option<PathBuf>> {
        let view = self.importer.writer.view();
        let found = view.resolve(path)?.filter(|(_, entry)| entry.kind == FileKind::Directory);
        Ok(found.map(|(path, _)| path))
    }

    fn place(&mut self, to: &Path, entry: &Entry) -> Result<()> {
        if entry.kind == FileKind::Socket {
            return Ok(());
        }
        self.importer.stats.entries += 1;
        if entry.kind != FileKind::Directory && entry.links > 1 {
            let key = (entry.layer, entry.identity);
            if let Some(first) = self.links.get(&key) {
                return self.importer.writer.hard_link(to, first);
            }
            self.links.insert(key, to.to_owned());
        }
        if let FileKind::Regular { size } = entry.kind {
            self.importer.stats.bytes += size;
            if self.share(to, entry)? {
                return Ok(());
            }
        }
        let mut metadata = self.source.metadata(entry)?;
        (metadata.uid, metadata.gid) = self.owner_of(entry);
        let writer = &mut self.importer.writer;
        match &entry.kind {
            FileKind::Directory => self.place_directory(to, &metadata),
            FileKind::Regular { size } => writer.copy(to, &metadata, *size, &self.source.open(entry)?),
            FileKind::Symlink { target } => writer.symlink(to, target, &metadata),
            FileKind::Device(device) => writer.device(to, *device, &metadata),
            FileKind::Fifo => writer.fifo(to, &metadata),
            FileKind::Socket => Ok(()),
        }
    }

    fn owner_of(&self, entry: &Entry) -> (u32, u32) {
        (self.spec.uid.unwrap_or(entry.uid), self.spec.gid.unwrap_or(entry.gid))
    }

    /// Makes a file by sharing its inode, if nothing of it changes.
    fn share(&mut self, to: &Path, entry: &Entry) -> Result<bool> {
        let unchanged = self.owner_of(entry) == (entry.uid, entry.gid);
        if !self.importer.share || !unchanged || !self.importer.shared.insert(entry.identity) {
            return Ok(false);
        }
        let handle = self.source.handle(entry)?;
        self.importer.writer.adopt(to, handle.as_fd())
    }

    /// A directory that the target has as a link to a directory goes where the link leads: to replace `/lib -> usr/lib`
    /// by a directory would leave an image without its libraries.
    fn place_directory(&mut self, to: &Path, metadata: &Metadata) -> Result<()> {
        let view = self.importer.writer.view();
        let is_link = match split(to) {
            None => return Ok(()),
            Some((parent, name)) => match view.resolve(parent)? {
                Some((parent, _)) => view.lookup(parent.join(name))?.map(|entry| entry.kind),
                None => None,
            },
        };
        if matches!(is_link, Some(FileKind::Symlink { .. })) && self.target_directory(to)?.is_some() {
            return Ok(());
        }
        self.importer.writer.directory(to, metadata)
    }
}

fn below(directory: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { directory.to_owned() } else { directory.join(path) }
}

#[cfg(test)]
mod tests;
