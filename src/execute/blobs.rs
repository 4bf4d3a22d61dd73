//! Layers as blobs: fetched when they came from a registry, made when they are ours.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::Scope;

use stages::{BlobId, ContentId};

use super::worker::Worker;
use super::{Engine, Error, SOURCE_DATE_EPOCH, git_content, remote};
use crate::git::{self, OutKind};
use crate::layer::{self, Compression, Metadata, Mtime, TarWriter, UnpackOptions};
use crate::registry::{self, Reference};
use crate::report::Event;
use crate::sha256::HashingReader;
use crate::storage::{BlobPart, BlobStore, DirectoriesRecipe, GitRecipe, LayerSource, StoredBlob, SymlinkRecipe};

/// How many blobs are fetched at once.
const DOWNLOADS: usize = 4;

/// What a layer is in an image: a descriptor's values.
#[derive(Debug, Clone)]
pub(super) struct LayerBlob {
    /// Names what it holds: the layer, or a part of it.
    pub(super) content: ContentId,
    pub(super) blob: StoredBlob,
    pub(super) media_type: String,
    /// For a layer of an outside base: the reference it came by, to fetch it when its bytes are needed.
    pub(super) origin: Option<String>,
}

/// Hears of each blob of a stage as soon as it is known; an error ends the packing of others.
pub(super) type Packed<'p> = &'p dyn Fn(&LayerBlob) -> Result<(), Error>;

/// Metadata of what stager itself places: root's, at the fixed time.
pub(super) fn plain_metadata() -> Metadata {
    Metadata {
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: Mtime { seconds: SOURCE_DATE_EPOCH, nanoseconds: 0 },
        xattrs: layer::Xattrs::default(),
    }
}

/// The blobs among these layers that have to be fetched before the layers can be laid out, in order.
pub(super) fn missing(worker: &Worker<'_, '_>, layers: &[ContentId]) -> Result<Vec<(ContentId, Wanted)>, Error> {
    let store = BlobStore::new(worker.engine.home.clone());
    let mut missing = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let Some((record, _)) = worker.index.layer(layer)? else { continue };
        let blobs = wanted(&record.source);
        if !blobs.is_empty() && worker.index.snapshot(layer, &crate::storage::base_chain(&layers[..at]))?.is_none() {
            let gone = blobs.into_iter().filter(|wanted| !store.has(&wanted.blob, wanted.size));
            missing.extend(gone.map(|wanted| (*layer, wanted)));
        }
    }
    Ok(missing)
}

/// Blobs on their way, while others are being unpacked.
pub(super) struct Arrivals {
    /// Blobs that a layer still waits for.
    awaited: BTreeMap<ContentId, usize>,
    arrived: mpsc::Receiver<(ContentId, Result<(), Error>)>,
}

impl Arrivals {
    /// Starts to fetch, a few at a time, in the given order.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        engine: &'env Engine<'env>,
        missing: Vec<(ContentId, Wanted)>,
    ) -> Self {
        let mut awaited = BTreeMap::new();
        for (layer, _) in &missing {
            *awaited.entry(*layer).or_insert(0) += 1;
        }
        let (sender, arrived) = mpsc::channel();
        let threads = missing.len().min(DOWNLOADS);
        let queue = Arc::new(Mutex::new(missing.into_iter()));
        for _ in 0..threads {
            let (sender, queue) = (sender.clone(), Arc::clone(&queue));
            scope.spawn(move || {
                let store = BlobStore::new(engine.home.clone());
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((layer, Wanted { blob, size, origin, .. })) = next else { break };
                    let fetched = fetch(engine, &store, &blob, size, origin.as_deref());
                    // Who waits no longer has failed for another reason.
                    if sender.send((layer, fetched)).is_err() {
                        break;
                    }
                }
            });
        }
        Self { awaited, arrived }
    }

    /// Waits until all blobs of a layer are here.
    pub(super) fn wait_for(&mut self, layer: &ContentId) -> Result<(), Error> {
        while self.awaited.get(layer).is_some_and(|left| *left > 0) {
            let (arrived, result) = self.arrived.recv().map_err(|_| Error::WorkerDied)?;
            result?;
            if let Some(left) = self.awaited.get_mut(&arrived) {
                *left -= 1;
            }
        }
        Ok(())
    }
}

/// A blob that came from outside.
pub(super) struct Wanted {
    blob: BlobId,
    size: u64,
    diff_id: BlobId,
    /// The reference that it can be had by.
    origin: Option<String>,
}

/// The blobs that a layer is kept as; none for one that is kept in another way.
fn wanted(source: &LayerSource) -> Vec<Wanted> {
    match source {
        LayerSource::Blob { blob, size, diff_id, origin, .. } => {
            vec![Wanted { blob: *blob, size: *size, diff_id: *diff_id, origin: origin.clone() }]
        }
        LayerSource::Parts { parts } => {
            let wanted = |part: &BlobPart| Wanted {
                blob: part.blob,
                size: part.size,
                diff_id: part.diff_id,
                origin: Some(part.origin.clone()),
            };
            parts.iter().map(wanted).collect()
        }
        LayerSource::Directory { .. } | LayerSource::Git { .. } | LayerSource::Symlinks { .. } => Vec::new(),
    }
}

fn fetch(engine: &Engine<'_>, store: &BlobStore, blob: &BlobId, size: u64, origin: Option<&str>) -> Result<(), Error> {
    engine.check_cancelled()?;
    // Two runs that need the same blob fetch it once.
    let lock = engine.home.lock(&format!("blob-{}", blob.hex()));
    let what = format!("blob {blob}");
    let waiting = || engine.events.send(Event::Waiting { what: what.clone() });
    let deadline = engine.settings.lock_deadline;
    let _lock = crate::storage::Lock::take(&lock, &what, deadline, waiting, || engine.cancel.is_cancelled())?;
    if store.has(blob, size) {
        return Ok(());
    }
    let Some(reference) = origin else { return Err(Error::LayerGone { blob: *blob }) };
    let failed = |source| Error::FetchLayer { blob: *blob, reference: reference.to_owned(), source };
    engine.events.send(Event::Note { message: format!("pulling {blob} of {reference} ({size} bytes)") });
    let parsed: Reference = reference.parse().map_err(failed)?;
    let mut reader = engine.registry.blob(parsed.repository(), *blob, size).map_err(failed)?;
    match store.copy_in(&mut reader, blob) {
        Err(crate::storage::Error::Io(error)) => Err(match registry::Error::from_io(error) {
            Ok(error) => failed(error),
            Err(error) => error.into(),
        }),
        other => Ok(other?),
    }
}

/// Unpacks a layer of an outside base into a new layer directory; the digest of its tar is checked on the way.
pub(super) fn unpack(
    worker: &mut Worker<'_, '_>,
    source: &LayerSource,
    into: &Path,
    lowers: &[PathBuf],
) -> Result<(), Error> {
    wanted(source).iter().try_for_each(|wanted| unpack_one(worker, wanted, into, lowers))
}

fn unpack_one(worker: &Worker<'_, '_>, wanted: &Wanted, into: &Path, lowers: &[PathBuf]) -> Result<(), Error> {
    let Wanted { blob, size, diff_id, origin } = wanted;
    let store = BlobStore::new(worker.engine.home.clone());
    if !store.has(blob, *size) {
        fetch(worker.engine, &store, blob, *size, origin.as_deref())?;
    }
    let file = store.open(blob)?.ok_or(Error::LayerGone { blob: *blob })?;
    let options = UnpackOptions { ownership: worker.engine.settings.ownership, limits: layer::Limits::default() };
    let (found, stats) = layer::unpack_blob(std::io::BufReader::with_capacity(1 << 18, file), into, lowers, &options)?;
    if found.blob != *blob {
        // Damaged on disk: the next run fetches it again.
        worker.engine.home.discard(&store.path(blob))?;
        return Err(crate::storage::Error::WrongDigest { expected: *blob, found: found.blob }.into());
    }
    if found.diff_id != *diff_id {
        return Err(Error::WrongDiffId { blob: *blob, expected: *diff_id, found: found.diff_id });
    }
    for device in stats.skipped.devices.iter().take(3) {
        let message =
            format!("device node {} of a base is left out: this user may not make device nodes", device.display());
        worker.engine.events.send(Event::Warning { message });
    }
    Ok(())
}

/// The blobs of a layer, in order: those that came, or some made now. The latter are in the store, the former are once they
/// were fetched ([`fetch_blob`]). Git content is cut into parts when it is large: each is a blob of its own, and one that
/// holds the same as before is not made again. The image has as many blobs `below`, which the cut depends on. `packed` hears of
/// each as soon as it is known.
pub(super) fn layer_blobs(
    worker: &mut Worker<'_, '_>,
    id: &ContentId,
    compression: Compression,
    below: usize,
    packed: Packed<'_>,
) -> Result<Vec<LayerBlob>, Error> {
    let (record, _) = worker.index.layer(id)?.ok_or(Error::LayerForgotten { layer: *id })?;
    let most = git::most_parts(below);
    let blobs = match record.source {
        // What came as parts may have come with another stack of layers below, for which it was cut otherwise.
        LayerSource::Parts { parts } => match known_git_blobs(worker, id, compression, most)? {
            Some(known) => known,
            None => parts.into_iter().map(LayerBlob::from).collect(),
        },
        LayerSource::Blob { blob, size, diff_id, origin, media_type } => {
            vec![LayerBlob { content: *id, blob: StoredBlob { blob, diff_id, size }, media_type, origin }]
        }
        LayerSource::Git { mappings } => return git_blobs(worker, id, &mappings, compression, most, packed),
        source => vec![own_blob(worker, id, &source, compression)?],
    };
    blobs.iter().try_for_each(packed)?;
    Ok(blobs)
}

impl From<BlobPart> for LayerBlob {
    fn from(part: BlobPart) -> Self {
        let blob = StoredBlob { blob: part.blob, diff_id: part.diff_id, size: part.size };
        Self { content: part.content_id, blob, media_type: part.media_type, origin: Some(part.origin) }
    }
}

fn git_blobs(
    worker: &mut Worker<'_, '_>,
    id: &ContentId,
    mappings: &[GitRecipe],
    compression: Compression,
    most: usize,
    packed: Packed<'_>,
) -> Result<Vec<LayerBlob>, Error> {
    if let Some(known) = known_git_blobs(worker, id, compression, most)? {
        known.iter().try_for_each(packed)?;
        return Ok(known);
    }
    let engine = worker.engine;
    let placements =
        mappings.iter().map(|recipe| git_content::placement(engine, recipe)).collect::<Result<Vec<_>, _>>()?;
    let parts = git::cut(&placements, most)?;
    if parts.len() == 1 {
        let whole = own_blob(worker, id, &LayerSource::Git { mappings: mappings.to_vec() }, compression)?;
        packed(&whole)?;
        worker.index.save_layer_parts(id, most, &[*id])?;
        return Ok(vec![whole]);
    }
    let ids: Vec<ContentId> = parts.iter().map(|part| git_content::part_id(part, mappings)).collect();
    learn_parts(worker, mappings, &ids, compression)?;
    let mut blobs = Vec::new();
    for (part, part_id) in parts.iter().zip(&ids) {
        engine.check_cancelled()?;
        // Each time: a step may be having it laid out meanwhile.
        let laid_out = worker.index.whole_layout(id)?.map(|name| engine.home.snapshot(&name));
        let produce = |out: &mut dyn Write| {
            let mut stream = |sink: git::OutSink<'_>| git::stream_part(part, laid_out.as_deref(), &|_| None, sink);
            write_git(mappings, &mut Interruptible { inner: out, engine }, &mut stream)
        };
        let blob = make_blob(worker, part_id, compression, produce)?;
        packed(&blob)?;
        blobs.push(blob);
    }
    worker.index.save_layer_parts(id, most, &ids)?;
    Ok(blobs)
}

/// Asks the storages for parts, where many would have to be packed.
fn learn_parts(
    worker: &Worker<'_, '_>,
    mappings: &[GitRecipe],
    parts: &[ContentId],
    compression: Compression,
) -> Result<(), Error> {
    let known: Vec<_> = parts.iter().map(|part| known_blob(worker, part, compression)).collect::<Result<_, _>>()?;
    let unknown = known.iter().filter(|known| known.is_none()).count();
    if unknown > (parts.len() / 4).max(1) {
        remote::learn_parts(worker.engine, &worker.index, &git_content::mappings_id(worker.engine, mappings)?)?;
    }
    Ok(())
}

/// The blobs of git content that was packed before.
fn known_git_blobs(
    worker: &Worker<'_, '_>,
    id: &ContentId,
    compression: Compression,
    most: usize,
) -> Result<Option<Vec<LayerBlob>>, Error> {
    let parts = worker.index.layer_parts(id, most)?.filter(|parts| !parts.is_empty());
    let Some(parts) = parts else { return Ok(None) };
    parts.iter().map(|part| known_blob(worker, part, compression)).collect()
}

/// The blob of a layer or part, if there is one: here, or in a registry of this build. What other registries say they have
/// is not believed.
fn known_blob(worker: &Worker<'_, '_>, id: &ContentId, compression: Compression) -> Result<Option<LayerBlob>, Error> {
    let Some((blob, origin)) = worker.index.layer_blob(id, &encoding(compression))? else { return Ok(None) };
    let origin = origin.filter(|origin| worker.engine.roles.has(origin));
    let is_here = BlobStore::new(worker.engine.home.clone()).has(&blob.blob, blob.size);
    let media_type = media_type(compression).to_owned();
    Ok((is_here || origin.is_some()).then_some(LayerBlob { content: *id, blob, media_type, origin }))
}

/// The blob of a layer that is kept as files or a recipe.
fn own_blob(
    worker: &mut Worker<'_, '_>,
    id: &ContentId,
    source: &LayerSource,
    compression: Compression,
) -> Result<LayerBlob, Error> {
    let engine = worker.engine;
    let laid_out = worker.index.whole_layout(id)?.map(|name| engine.home.snapshot(&name));
    let produce =
        |out: &mut dyn Write| write_tar(engine, source, laid_out.as_deref(), &mut Interruptible { inner: out, engine });
    make_blob(worker, id, compression, produce)
}

/// Packs a layer or a part, unless somebody has.
fn make_blob(
    worker: &Worker<'_, '_>,
    id: &ContentId,
    compression: Compression,
    produce: impl FnOnce(&mut dyn Write) -> Result<(), Error> + Send,
) -> Result<LayerBlob, Error> {
    if let Some(known) = known_blob(worker, id, compression)? {
        return Ok(known);
    }
    // Stages that share a layer are on their way at the same time, and it is packed for all of them once.
    let lock = worker.engine.home.lock(&format!("pack-{id}"));
    let what = format!("layer {}, which is being packed for another stage", id.short());
    let engine = worker.engine;
    let waiting = || engine.events.send(Event::Waiting { what: what.clone() });
    let cancelled = || engine.cancel.is_cancelled();
    let _lock = crate::storage::Lock::take(&lock, &what, engine.settings.lock_deadline, waiting, cancelled)?;
    if let Some(known) = known_blob(worker, id, compression)? {
        return Ok(known);
    }
    let store = BlobStore::new(worker.engine.home.clone());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sink = store.create()?;
    let summary = layer::write_blob(produce, &mut sink, compression, threads).map_err(|error| {
        // What stopped it is what counts, not how that was noticed.
        if worker.engine.cancel.is_cancelled() { Error::Interrupted } else { error }
    })?;
    sink.keep(&summary.blob)?;
    let blob = StoredBlob { blob: summary.blob, diff_id: summary.diff_id, size: summary.size };
    worker.index.save_layer_blob(id, &encoding(compression), &blob, None)?;
    Ok(LayerBlob { content: *id, blob, media_type: media_type(compression).to_owned(), origin: None })
}

/// Fetches the blob of a layer, if it is not in the store.
pub(super) fn fetch_blob(worker: &Worker<'_, '_>, layer: &LayerBlob) -> Result<(), Error> {
    let store = BlobStore::new(worker.engine.home.clone());
    let StoredBlob { blob, size, .. } = layer.blob;
    if store.has(&blob, size) {
        return Ok(());
    }
    fetch(worker.engine, &store, &blob, size, layer.origin.as_deref())
}

/// Passes bytes on until the run is interrupted.
pub(super) struct Interruptible<'e, 'a, S: ?Sized> {
    pub(super) inner: &'e mut S,
    pub(super) engine: &'e Engine<'a>,
}

fn check_interrupt(engine: &Engine<'_>) -> std::io::Result<()> {
    // Not `Interrupted`: writers try again after that.
    if engine.cancel.is_cancelled() { Err(std::io::Error::other("interrupted")) } else { Ok(()) }
}

impl<S: Write + ?Sized> Write for Interruptible<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        check_interrupt(self.engine)?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Names the bytes that a compression gives: its kind, and every version that they depend on.
pub(super) fn encoding(compression: Compression) -> String {
    let kind = match compression {
        Compression::None => "tar",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    format!("{kind}-{}-{}", layer::FORMAT_VERSION, layer::COMPRESSION_VERSION)
}

pub(super) fn media_type(compression: Compression) -> &'static str {
    use crate::image::spec::media_type as types;
    match compression {
        Compression::None => types::LAYER_TAR,
        Compression::Gzip => types::LAYER_GZIP,
        Compression::Zstd => types::LAYER_ZSTD,
    }
}

/// Writes the tar of a layer. `laid_out` is a directory that holds its files, where that saves making them again.
pub(super) fn write_tar(
    engine: &Engine<'_>,
    source: &LayerSource,
    laid_out: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    match source {
        LayerSource::Directory { directory, place } => {
            let options = layer::PackOptions { ownership: engine.settings.ownership, clamp: None };
            let omitted = place.as_deref().map(implied).unwrap_or_default();
            layer::pack_without(&engine.home.snapshot(directory), &omitted, out, &options)?;
            Ok(())
        }
        LayerSource::Git { mappings } => {
            let placements =
                mappings.iter().map(|recipe| git_content::placement(engine, recipe)).collect::<Result<Vec<_>, _>>()?;
            write_git(mappings, out, &mut |sink| match laid_out {
                Some(laid_out) => git::stream_laid_out(&placements, laid_out, &|_| None, sink),
                None => git::stream(&placements, None, &|_| None, sink),
            })
        }
        LayerSource::Symlinks { links } => write_symlinks(links, out),
        // Such layers are unpacked from their blobs.
        LayerSource::Blob { blob, .. } => Err(Error::LayerGone { blob: *blob }),
        LayerSource::Parts { parts } => parts.first().map_or(Ok(()), |part| Err(Error::LayerGone { blob: part.blob })),
    }
}

/// Directories that distributions make links of: what is placed in `/lib` must not turn the link to `usr/lib` into a directory.
/// They are never written as entries of their own, so that whoever unpacks the layer follows the link if there is one.
const LINKED: &[&str] =
    &["bin", "sbin", "lib", "lib32", "lib64", "libx32", "var/run", "var/lock", "var/tmp", "var/mail"];

/// The directories of an import that its layer does not bring: those above its place, the root among them, and [`LINKED`]
/// ones.
fn implied(place: &str) -> Vec<PathBuf> {
    let above = Path::new(place.trim_matches('/')).ancestors().skip(1).map(Path::to_path_buf);
    above.chain([PathBuf::new()]).chain(LINKED.iter().map(PathBuf::from)).collect()
}

/// Git content straight from its objects. Directories are written only where the mapping says what they are like: others
/// keep what the image has there, and are made (0755, root) where it has nothing.
fn write_git(
    recipes: &[GitRecipe],
    out: &mut dyn Write,
    stream: &mut dyn FnMut(git::OutSink<'_>) -> Result<(), git::GitError>,
) -> Result<(), Error> {
    let mut tar = TarWriter::new(out);
    let mut failure = None;
    let mut sink = |entry: git::OutEntry<'_>| {
        let path = Path::new(std::ffi::OsStr::new(os(entry.path)));
        let metadata = Metadata { mode: entry.mode, uid: entry.owner.0, gid: entry.owner.1, ..plain_metadata() };
        let written = match entry.kind {
            OutKind::Directory => {
                let absolute = Path::new("/").join(path);
                let brought = recipes.iter().any(|recipe| brings(recipe, &absolute)) && !is_linked(path);
                if brought { tar.directory(path, &metadata) } else { Ok(()) }
            }
            OutKind::File { size, content } => tar.file(path, &metadata, size, content),
            OutKind::Symlink { target } => tar.symlink(path, Path::new(os(target)), &metadata),
            OutKind::Whiteout => tar.whiteout(path),
        };
        written.map_err(|error| {
            failure = Some(error);
            std::io::Error::other("the layer can't be written")
        })
    };
    let streamed = stream(&mut sink);
    if let Some(error) = failure {
        return Err(error.into());
    }
    streamed?;
    tar.finish()?;
    Ok(())
}

/// Whether a mapping says what a directory is like: all that it places, where it names an owner; those below its target that
/// are not there already, where directories have a mode of their own.
fn brings(recipe: &GitRecipe, directory: &Path) -> bool {
    let Ok(inner) = directory.strip_prefix(&recipe.to) else { return false };
    let is_new = |directories: &DirectoriesRecipe| {
        let kept = directories.kept.iter();
        inner != Path::new("") && !kept.into_iter().any(|kept| Path::new(kept) == directory)
    };
    recipe.owner.is_some() || recipe.directories.as_ref().is_some_and(is_new)
}

/// Whether a path is one of the directories that are never brought.
pub(super) fn is_linked(path: &Path) -> bool {
    LINKED.iter().any(|linked| path == Path::new(linked))
}

fn os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

pub(super) fn write_symlinks(links: &[SymlinkRecipe], out: &mut dyn Write) -> Result<(), Error> {
    let mut tar = TarWriter::new(out);
    for link in links {
        let metadata = Metadata { mode: 0o777, uid: link.uid, gid: link.gid, ..plain_metadata() };
        tar.symlink(Path::new(link.path.trim_start_matches('/')), Path::new(&link.target), &metadata)?;
    }
    tar.finish()?;
    Ok(())
}

/// Stores the bytes of a layer of a base file.
pub(super) fn store_layer(worker: &Worker<'_, '_>, reader: &mut dyn Read) -> Result<(BlobId, u64), Error> {
    let store = BlobStore::new(worker.engine.home.clone());
    let mut sink = store.create()?;
    let mut reader = HashingReader::new(reader);
    std::io::copy(&mut reader, &mut sink)?;
    let (_, blob, size) = reader.finish();
    sink.keep(&blob)?;
    Ok((blob, size))
}
