//! Layers as directories for overlayfs, made when a step runs on them or somebody reads their files.
//!
//! A layer is laid out *on what lies below it*, as whoever unpacks its tar does: a parent directory that the layer does not
//! bring takes the metadata that it has below, and a parent that is a link below is followed (inside the image). So a layout is
//! kept by layer and stack, and is made by unpacking the layer's own tar, which steps, exports and other tools then agree on.
//!
//! Git content goes a shorter way where nothing below can be in its way ([`Worker::is_plain_ground`]): straight from objects to
//! files, and as a delta over the nearest layout of its family, up to a bounded depth.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use stages::ContentId;

use super::blobs::Arrivals;
use super::worker::Worker;
use super::{Error, SOURCE_DATE_EPOCH, blobs, git_content};
use crate::git::{self, DirectoryMeta, GitError, LayoutOptions, Placement};
use crate::layer::{self, FileKind, MergedTree, Ownership, UnpackOptions};
use crate::report::Event;
use crate::storage::{GitRecipe, Home, Index, LayerSource, Lock, SnapshotRecord, base_chain};

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
    /// Lays out a stack of layers; the directories from the bottom up. Layers are unpacked while those above them are fetched.
    pub(super) fn lay_out(&mut self, layers: &[ContentId]) -> Result<Vec<PathBuf>, Error> {
        let missing = blobs::missing(self, layers)?;
        let engine = self.engine;
        std::thread::scope(|scope| {
            let mut arrivals = Arrivals::start(scope, engine, missing);
            let mut directories = Vec::new();
            for (at, layer) in layers.iter().enumerate() {
                arrivals.wait_for(layer)?;
                let names = self.lay_out_one(layer, &base_chain(&layers[..at]), &directories)?;
                directories.extend(names.iter().map(|name| engine.home.snapshot(name)));
            }
            Ok(directories)
        })
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
        let (directories, family) =
            match &record.source {
                LayerSource::Blob { .. } | LayerSource::Parts { .. } => (
                    vec![self.make_layout(&top_first, |worker, into| {
                        blobs::unpack(worker, &record.source, into, &top_first)
                    })?],
                    None,
                ),
                LayerSource::Directory { .. } | LayerSource::Symlinks { .. } => {
                    (vec![self.unpack_own(&record.source, &top_first)?], None)
                }
                LayerSource::Git { mappings } => {
                    let family = git_content::family(mappings, below);
                    (self.lay_out_git(mappings, &family, &lowers, &top_first)?, Some(family))
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
        lowers: &[PathBuf],
        fill: impl FnOnce(&mut Self, &Path) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let temp = self.engine.home.temp()?;
        let directory = temp.path().join("layer");
        make_layer_directory(&directory, lowers, self.engine.settings.ownership)?;
        fill(self, &directory)?;
        Ok(self.engine.home.keep_snapshot(&directory)?)
    }

    /// Lays a layer out by unpacking its own tar.
    fn unpack_own(&mut self, source: &LayerSource, top_first: &[PathBuf]) -> Result<String, Error> {
        let options = UnpackOptions { ownership: self.engine.settings.ownership, limits: layer::Limits::default() };
        let engine = self.engine;
        self.make_layout(top_first, |_, into| {
            let (reader, mut writer) = std::io::pipe()?;
            std::thread::scope(|scope| {
                let packed = scope.spawn(move || blobs::write_tar(engine, source, None, &mut writer));
                let unpacked = layer::unpack(reader, into, top_first, &options);
                // A writer whose reader gave up fails too; the reader's reason is the one that counts.
                let packed = packed.join().unwrap_or(Err(Error::WorkerDied));
                unpacked?;
                packed
            })
        })
    }

    fn lay_out_git(
        &mut self,
        recipes: &[GitRecipe],
        family: &ContentId,
        lowers: &MergedTree,
        top_first: &[PathBuf],
    ) -> Result<Vec<String>, Error> {
        let placements = self.placements(recipes)?;
        if !Self::is_plain_ground(recipes, &placements, lowers)? {
            return Ok(vec![self.unpack_own(&LayerSource::Git { mappings: recipes.to_vec() }, top_first)?]);
        }
        for relative in self.index.relatives(family, RELATIVES)? {
            if relative.directories.len() >= MAX_DELTAS {
                continue;
            }
            let LayerSource::Git { mappings } = &relative.source else { continue };
            let there = relative.directories.iter().all(|name| self.engine.home.snapshot(name).is_dir());
            let old = self.placements(mappings);
            let (true, Ok(old)) = (there, old) else { continue };
            if !Self::is_plain_ground(mappings, &old, lowers).unwrap_or(false) {
                continue;
            }
            match self.git_layout(recipes, &placements, Some(&old), lowers, top_first) {
                Ok(delta) => return Ok(relative.directories.iter().cloned().chain([delta]).collect()),
                // The older objects may be gone from the repository, or the change can't be shown as a delta.
                Err(Error::Git(GitError::NotADelta { .. } | GitError::Object { .. } | GitError::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(vec![self.git_layout(recipes, &placements, None, lowers, top_first)?])
    }

    fn placements(&self, recipes: &[GitRecipe]) -> Result<Vec<Placement>, Error> {
        recipes.iter().map(|recipe| git_content::placement(self.engine, recipe)).collect()
    }

    /// Whether nothing below is in the way of git content: every directory it places, and every one above, is a directory
    /// below or nothing at all, and none that it gives an owner is there already.
    fn is_plain_ground(recipes: &[GitRecipe], placements: &[Placement], lowers: &MergedTree) -> Result<bool, Error> {
        for (recipe, placement) in recipes.iter().zip(placements) {
            let Some(parent) = placement.to.parent() else { return Ok(false) };
            if !is_directory_or_nothing(lowers, parent)? {
                return Ok(false);
            }
            match lowers.lookup(&placement.to)?.map(|entry| entry.kind) {
                None => continue,
                Some(FileKind::Directory) if recipe.owner.is_none() => {}
                Some(_) => return Ok(false),
            }
            let mut seen = std::collections::BTreeSet::new();
            for entry in placement.repository.list(&placement.tree, &placement.add, &placement.filter)? {
                let path = Path::new(std::ffi::OsStr::from_bytes(&entry.path));
                for directory in path.ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty()) {
                    if !seen.insert(directory.to_owned()) {
                        break;
                    }
                    let below = lowers.lookup(placement.to.join(directory))?;
                    if below.is_some_and(|entry| entry.kind != FileKind::Directory) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn git_layout(
        &mut self,
        recipes: &[GitRecipe],
        placements: &[Placement],
        old: Option<&[Placement]>,
        lowers: &MergedTree,
        top_first: &[PathBuf],
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
        // What can't be looked at may be there: the layout is made anew then, not as a delta.
        let exists_below = |path: &Path| lowers.lookup(path).map_or(true, |entry| entry.is_some());
        let options = LayoutOptions {
            mtime: SOURCE_DATE_EPOCH,
            ownership: self.engine.settings.ownership,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            directories: &directories,
        };
        let base = old.map(|placements| git::Base { placements, exists_below: &exists_below });
        self.make_layout(top_first, |_, into| {
            git::lay_out(placements, into, base, options)?;
            Ok(())
        })
    }
}

/// Whether a path and all above it are directories, as far as they exist.
fn is_directory_or_nothing(tree: &MergedTree, path: &Path) -> Result<bool, Error> {
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    for directory in above {
        match tree.lookup(directory)?.map(|entry| entry.kind) {
            None => return Ok(true),
            Some(FileKind::Directory) => {}
            Some(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// A new layer directory on `lowers` (top first), whatever the umask is: its own metadata is that of the root it becomes the
/// top of.
pub(super) fn make_layer_directory(path: &Path, lowers: &[PathBuf], ownership: Ownership) -> Result<(), Error> {
    fs::create_dir(path)?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    layer::LayerWriter::new(path, lowers, ownership)?.finish()?;
    Ok(())
}
