//! Layers as directories for overlayfs, made when a step runs on them or somebody reads their files.
//!
//! A layer is laid out *on what lies below it*: an entry's parent directory that the layer does not bring itself takes the
//! metadata that it has below, and a parent that is a symbolic link below is followed (inside the image). So a layout is kept
//! by layer and stack. A git tree is laid out as a delta over the nearest one of its family, up to a bounded depth.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use stages::ContentId;

use super::worker::Worker;
use super::{Error, SOURCE_DATE_EPOCH, blobs, git_content};
use crate::git::{self, DirectoryMeta, LayoutOptions, Placement};
use crate::layer::{self, FileKind, ImportOptions, ImportSpec, MergedTree, Ownership, UnpackOptions};
use crate::report::Event;
use crate::storage::{GitRecipe, Home, Index, LayerSource, Lock, SnapshotRecord, SymlinkRecipe, base_chain};

/// A git layout is a stack of at most so many directories; then a whole one is made again.
const MAX_DELTAS: usize = 12;

/// How many relatives are looked at for a delta.
const RELATIVES: u32 = 8;

/// Laying out a base takes this long at the most, for another process that waits for it.
const LAYOUT_DEADLINE: Duration = Duration::from_secs(1800);

const META_OWNERSHIP: &str = "ownership";

/// How the directories of a store keep owners.
pub(super) fn store_ownership(index: &Index) -> Result<Ownership, Error> {
    Ok(match index.meta(META_OWNERSHIP)?.as_deref() {
        Some(text) if text.starts_with("recorded") => Ownership::Recorded,
        _ => Ownership::Real,
    })
}

/// Ties a store to the user ids that its directories are written with. `domain` names them, such as `real 0` or
/// `recorded 1000`. When they are others than before, what is stored can't be used, and is dropped. Layouts of an earlier boot
/// are dropped too: nobody knows which of their bytes reached the disk.
pub fn bind_store(home: &Home, index: &mut Index, domain: &str) -> Result<(), Error> {
    match index.meta(META_OWNERSHIP)? {
        Some(bound) if bound == domain => {}
        None => index.set_meta(META_OWNERSHIP, domain)?,
        Some(_) => {
            index.forget_everything()?;
            for entry in fs::read_dir(home.snapshot(""))? {
                home.discard(&entry?.path())?;
            }
            index.set_meta(META_OWNERSHIP, domain)?;
        }
    }
    for directory in index.drop_stale_snapshots()? {
        home.discard(&home.snapshot(&directory))?;
    }
    Ok(())
}

impl Worker<'_, '_> {
    /// Lays out a stack of layers; the directories from the bottom up.
    pub(super) fn lay_out(&mut self, layers: &[ContentId]) -> Result<Vec<PathBuf>, Error> {
        blobs::fetch_missing(self, layers)?;
        let mut directories = Vec::new();
        for (at, layer) in layers.iter().enumerate() {
            let names = self.lay_out_one(layer, &base_chain(&layers[..at]), &directories)?;
            directories.extend(names.iter().map(|name| self.engine.home.snapshot(name)));
        }
        Ok(directories)
    }

    /// The union of a stack of layers.
    pub(super) fn merged(&mut self, layers: &[ContentId]) -> Result<MergedTree, Error> {
        let mut directories = self.lay_out(layers)?;
        directories.reverse();
        Ok(MergedTree::new(directories, self.engine.settings.ownership)?)
    }

    fn lay_out_one(&mut self, id: &ContentId, below: &ContentId, lowers: &[PathBuf]) -> Result<Vec<String>, Error> {
        let (record, _) = self.index.layer(id)?.ok_or(Error::LayerForgotten { layer: *id })?;
        if let LayerSource::Directory { directory, place: None } = record.source {
            return Ok(vec![directory]);
        }
        if let Some(names) = self.laid_out(id, below)? {
            return Ok(names);
        }
        let key = base_chain([below, id]);
        let what = format!("the layout of layer {}", id.short());
        let waiting = || self.engine.events.send(Event::Waiting { what: what.clone() });
        let cancelled = || self.engine.cancel.is_cancelled();
        let path = self.engine.home.lock(&format!("layout-{key}"));
        let _lock = Lock::take(&path, &what, LAYOUT_DEADLINE, waiting, cancelled)?;
        if let Some(names) = self.laid_out(id, below)? {
            return Ok(names);
        }
        let mut top_first = lowers.to_vec();
        top_first.reverse();
        let lowers = MergedTree::new(top_first.clone(), self.engine.settings.ownership)?;
        let top = top_first.first().map(PathBuf::as_path);
        let (directories, family) = match &record.source {
            LayerSource::Blob { .. } => (
                vec![self.make_layout(top, |worker, into| blobs::unpack(worker, &record.source, into, &top_first))?],
                None,
            ),
            LayerSource::Directory { directory, place } => {
                let source = self.engine.home.snapshot(directory);
                let place = place.as_deref().unwrap_or("/");
                (vec![self.make_layout(top, |worker, into| worker.settle(&source, place, into, &top_first))?], None)
            }
            LayerSource::Symlinks { links } => {
                (vec![self.make_layout(top, |worker, into| worker.make_symlinks(links, into, &top_first))?], None)
            }
            LayerSource::Git { mappings } => {
                let family = git_content::family(mappings, below);
                (self.lay_out_git(mappings, &family, &lowers, top)?, Some(family))
            }
        };
        let snapshot = SnapshotRecord {
            layer: *id,
            below: *below,
            family,
            source: record.source,
            directories: directories.clone(),
        };
        self.index.save_snapshot(&snapshot, self.engine.settings.now)?;
        Ok(directories)
    }

    fn laid_out(&self, id: &ContentId, below: &ContentId) -> Result<Option<Vec<String>>, Error> {
        let Some(found) = self.index.snapshot(id, below)? else { return Ok(None) };
        if found.directories.iter().all(|name| self.engine.home.snapshot(name).is_dir()) {
            return Ok(Some(found.directories));
        }
        self.index.forget_snapshot(id, below)?;
        Ok(None)
    }

    /// Fills a new layer directory and moves it in; returns its name.
    fn make_layout(
        &mut self,
        below: Option<&Path>,
        fill: impl FnOnce(&mut Self, &Path) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let temp = self.engine.home.temp()?;
        let directory = temp.path().join("layer");
        make_layer_directory(&directory, below)?;
        fill(self, &directory)?;
        Ok(self.engine.home.keep_snapshot(&directory)?)
    }

    /// An import on what lies below: its place is found again, as parents may be links there.
    fn settle(&mut self, source: &Path, place: &str, into: &Path, lowers: &[PathBuf]) -> Result<(), Error> {
        let ownership = self.engine.settings.ownership;
        let tree = MergedTree::new(vec![source.to_owned()], ownership)?;
        let place = Path::new(place);
        let spec = ImportSpec { add: place, to: place, filter: &|_| true, uid: None, gid: None };
        layer::import_tree(&tree, &spec, lowers, into, &ImportOptions { ownership, share: true })?;
        Ok(())
    }

    fn make_symlinks(&mut self, links: &[SymlinkRecipe], into: &Path, lowers: &[PathBuf]) -> Result<(), Error> {
        let mut tar = Vec::new();
        blobs::write_symlinks(links, &mut tar)?;
        let options = UnpackOptions { ownership: self.engine.settings.ownership, limits: layer::Limits::default() };
        layer::unpack(&mut tar.as_slice(), into, lowers, &options)?;
        Ok(())
    }

    fn lay_out_git(
        &mut self,
        recipes: &[GitRecipe],
        family: &ContentId,
        lowers: &MergedTree,
        top: Option<&Path>,
    ) -> Result<Vec<String>, Error> {
        let placements = self.placements(recipes, lowers)?;
        for relative in self.index.relatives(family, RELATIVES)? {
            if relative.directories.len() >= MAX_DELTAS {
                continue;
            }
            let LayerSource::Git { mappings } = &relative.source else { continue };
            let there = relative.directories.iter().all(|name| self.engine.home.snapshot(name).is_dir());
            let old = self.placements(mappings, lowers);
            let (true, Ok(old)) = (there, old) else { continue };
            match self.git_layout(recipes, &placements, Some(&old), lowers, top) {
                Ok(delta) => return Ok(relative.directories.iter().cloned().chain([delta]).collect()),
                // The older objects may be gone from the repository, or the change can't be shown as a delta.
                Err(Error::Git(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(vec![self.git_layout(recipes, &placements, None, lowers, top)?])
    }

    fn placements(&self, recipes: &[GitRecipe], lowers: &MergedTree) -> Result<Vec<Placement>, Error> {
        recipes
            .iter()
            .map(|recipe| {
                let mut placement = git_content::placement(self.engine, recipe)?;
                placement.to = resolved_parent(lowers, &placement.to)?;
                Ok(placement)
            })
            .collect()
    }

    fn git_layout(
        &mut self,
        recipes: &[GitRecipe],
        placements: &[Placement],
        old: Option<&[Placement]>,
        lowers: &MergedTree,
        top: Option<&Path>,
    ) -> Result<String, Error> {
        let owned: Vec<&Path> = recipes
            .iter()
            .zip(placements)
            .filter(|(recipe, _)| recipe.owner.is_some())
            .map(|(_, placement)| placement.to.as_path())
            .collect();
        let directories = |path: &Path| {
            if owned.iter().any(|to| path.starts_with(to) && path != Path::new("/")) {
                return None;
            }
            let entry = lowers.lookup(path).ok().flatten()?;
            matches!(entry.kind, FileKind::Directory)
                .then_some(DirectoryMeta { mode: entry.mode, owner: (entry.uid, entry.gid) })
        };
        let exists_below = |path: &Path| lowers.lookup(path).ok().flatten().is_some();
        let options = LayoutOptions {
            mtime: SOURCE_DATE_EPOCH,
            ownership: match self.engine.settings.ownership {
                Ownership::Real => git::Ownership::Real,
                Ownership::Recorded => git::Ownership::Recorded,
            },
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            directories: &directories,
        };
        let base = old.map(|placements| git::Base { placements, exists_below: &exists_below });
        self.make_layout(top, |_, into| {
            git::lay_out(placements, into, base, options)?;
            Ok(())
        })
    }
}

/// The path with the links in its parents followed inside the image.
fn resolved_parent(lowers: &MergedTree, path: &Path) -> Result<PathBuf, Error> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path.to_owned()) };
    let entry = lowers.lookup(path)?;
    if entry.is_some_and(|entry| matches!(entry.kind, FileKind::Symlink { .. }))
        && let Some((resolved, _)) = lowers.resolve(path)?
    {
        return Ok(resolved);
    }
    let mut missing = vec![name.to_owned()];
    let mut parent = parent;
    loop {
        if let Some((resolved, _)) = lowers.resolve(parent)? {
            return Ok(missing.iter().rev().fold(resolved, |path, name| path.join(name)));
        }
        let (Some(above), Some(name)) = (parent.parent(), parent.file_name()) else { return Ok(path.to_owned()) };
        missing.push(name.to_owned());
        parent = above;
    }
}

/// A new layer directory, whatever the umask is. Its own metadata is that of the root of the stack, of which it becomes
/// the top: the layer below says what that is.
pub(super) fn make_layer_directory(path: &Path, below: Option<&Path>) -> Result<(), Error> {
    fs::create_dir(path)?;
    let mode = match below {
        Some(below) => {
            let metadata = fs::metadata(below)?;
            std::os::unix::fs::chown(path, Some(metadata.uid()), Some(metadata.gid()))?;
            let mut owner = [0; 64];
            if let Ok(length) = rustix::fs::getxattr(below, layer::OWNER_XATTR, &mut owner) {
                rustix::fs::setxattr(path, layer::OWNER_XATTR, &owner[..length], rustix::fs::XattrFlags::empty())
                    .map_err(std::io::Error::from)?;
            }
            metadata.mode() & 0o7777
        }
        None => 0o755,
    };
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}
