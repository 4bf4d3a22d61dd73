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
    /// that a link is copied as a link, unless `follow` says otherwise.
    pub add: &'a Path,
    /// Whether a link to a directory at `add` stands for that directory.
    pub follow: bool,
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
    /// Whether a directory of which nothing is taken is made, empty, at `to`.
    pub or_empty: bool,
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
        let entry = import_root(source, spec.add, spec.follow)?;
        let selection = Selection { importer: self, source, spec, links: HashMap::new() };
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

/// What an import of `add` starts at. Links among its parents are followed; where it is one itself, it is followed to a
/// directory if asked to.
///
/// # Errors
/// [`Error::NotFound`] when it does not exist.
pub fn import_root(source: &MergedTree, add: &Path, follow: bool) -> Result<Entry> {
    let missing = || Error::NotFound { path: add.to_owned() };
    let path = clean(bytes(add))?;
    let found = match split(&path) {
        None => source.lookup("")?,
        Some((parent, name)) => match source.resolve(parent)? {
            Some((parent, _)) => source.lookup(parent.join(name))?,
            None => None,
        },
    };
    let found = found.ok_or_else(missing)?;
    if follow && matches!(found.kind, FileKind::Symlink { .. }) {
        let directory = source.resolve(&found.path)?.filter(|(_, entry)| entry.kind == FileKind::Directory);
        return Ok(directory.map_or(found, |(_, entry)| entry));
    }
    Ok(found)
}

/// Visits what a filter takes of a directory, and the directories on the way there: parents before children, siblings by name,
/// each with its path relative to the directory.
pub(super) fn select(
    source: &MergedTree,
    root: &Entry,
    filter: &dyn Fn(&Path) -> bool,
    visit: &mut dyn FnMut(&Path, &Entry) -> Result<()>,
) -> Result<()> {
    // Directories that are not taken themselves, from the outermost to the current one, and were not visited yet.
    let mut waiting: Vec<(PathBuf, Entry)> = Vec::new();
    if filter(Path::new("")) {
        visit(Path::new(""), root)?;
    } else {
        waiting.push((PathBuf::new(), root.clone()));
    }
    source.walk(&root.path, &mut |path, entry| -> Result<Descend> {
        while waiting.last().is_some_and(|(waiting, _)| !path.starts_with(waiting)) {
            waiting.pop();
        }
        if filter(path) {
            for (path, directory) in waiting.drain(..) {
                visit(&path, &directory)?;
            }
            visit(path, entry)?;
        } else if entry.kind == FileKind::Directory {
            waiting.push((path.to_owned(), entry.clone()));
        }
        Ok(Descend::Into)
    })
}

/// One import in progress.
struct Selection<'a> {
    importer: &'a mut Importer,
    source: &'a MergedTree,
    spec: &'a ImportSpec<'a>,
    /// Where the first name of an inode went.
    links: HashMap<(usize, Identity), PathBuf>,
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
        let is_there = self.target_directory(&to)?.is_some();
        let (source, spec) = (self.source, self.spec);
        let mut nothing = true;
        select(source, root, spec.filter, &mut |path, entry| {
            nothing = false;
            if is_there && path.as_os_str().is_empty() { Ok(()) } else { self.place(&below(&to, path), entry) }
        })?;
        if nothing && spec.or_empty && !is_there { self.place(&to, root) } else { Ok(()) }
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

/// Where something imported lands in an image, as a copying tool would find out: links to directories are followed inside the
/// image, and what is no directory goes into one that is there, or into one that a `/` at the end of `to` asks for.
///
/// `file_name` is the name of what is no directory.
pub fn landing(target: &MergedTree, to: &Path, file_name: Option<&Path>) -> Result<PathBuf> {
    let path = clean(bytes(to))?;
    let directory = target.resolve(&path)?.filter(|(_, entry)| entry.kind == FileKind::Directory);
    match (directory, file_name) {
        (Some((directory, _)), Some(name)) => Ok(directory.join(name)),
        (Some((directory, _)), None) => Ok(directory),
        (None, Some(name)) if bytes(to).ends_with(b"/") => Ok(target.canonical_directory(&path)?.path.join(name)),
        (None, _) => match split(&path) {
            Some((parent, name)) => Ok(target.canonical_directory(parent)?.path.join(name)),
            None => Ok(path),
        },
    }
}

#[cfg(test)]
mod tests;
