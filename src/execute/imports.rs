//! Imports: files of other images.
//!
//! An import is a layer of its own, whatever lies below: it is told where it lands before it is made. Exact places need no look
//! at the image for that; places that are followed do, so that the image is laid out for them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use stages::ContentId;
use stages::digest::Encoder;
use stages::filter::PathFilter;
use stages::plan::{PlannedImport, PlannedVariable};
use stages::spec::{Import, ImportPlaces, ImportSource};

use super::findings::{finding, is_elsewhere};
use super::layout::make_layer_directory;
use super::step::parent_config;
use super::worker::{Content, Task, Worker};
use super::{Error, base, remote, users, variables};
use crate::layer::{self, FileKind, ImportOptions, ImportSpec, MergedTree, Ownership};
use crate::storage::{Hint, Imported, LayerRecord, LayerSource, Selection, base_chain};

/// What programs find in a container, and no image holds.
const SYSTEM_DIRECTORIES: [&str; 3] = ["proc", "sys", "dev"];

/// Makes a stage of imports, one layer for each, and of variables that name other images.
pub(super) fn make(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    imports: &[PlannedImport],
    named: &[PlannedVariable],
) -> Result<Content, Error> {
    let parent = task.parent()?;
    let mut content = Content::of(parent);
    for planned in imports {
        worker.engine.check_cancelled()?;
        let source = source_layers(worker, task, planned)?;
        let target: Vec<_> = content.layers.iter().map(|used| used.layer).collect();
        if let Some(layer) = import(worker, task, &planned.import, &source, &target)? {
            content.push(layer, &task.id.stage);
        }
    }
    if !named.is_empty() {
        let mut config = parent_config(parent)?;
        variables::set(worker, task, named, &mut config)?;
        content.config = config.to_bytes();
    }
    Ok(content)
}

/// What an import takes of a stack of layers. It is looked up where that was read before: here, or on another machine when the
/// layers would have to be pulled; else they are laid out.
pub(super) fn selection(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    import: &Import,
    source: &[ContentId],
) -> Result<Selection, Error> {
    let request = request(worker, import, source);
    if let Some(selection) = worker.index.selection(&request)? {
        return Ok(selection);
    }
    if is_elsewhere(worker, source)?
        && let Some(selection) = remote::selection(worker.engine, &request)?
    {
        worker.index.save_selection(&request, &selection)?;
        return Ok(selection);
    }
    let filter = filter(task, import)?;
    let tree = source_tree(worker, task, import, source)?;
    let (add, taken) = (Path::new(&import.add), |path: &Path| filter.matches(path.as_os_str().as_bytes()));
    let failed = |error| not_there(task, import, error);
    let root = layer::import_root(&tree, add, follows(import)).map_err(failed)?;
    let name = root.path.file_name().map(|name| name.to_string_lossy().into_owned());
    let selection = Selection {
        id: layer::selection_id(&tree, add, follows(import), &taken).map_err(failed)?,
        file_name: name.filter(|_| root.kind != FileKind::Directory),
    };
    worker.index.save_selection(&request, &selection)?;
    worker.hints.push(Hint::Selection { request, selection: selection.clone(), stage: task.node.stage.digest });
    Ok(selection)
}

/// The tree that an import takes from. Where all of it is git content on a base that has nothing there, the base is left out.
fn source_tree(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    import: &Import,
    source: &[ContentId],
) -> Result<MergedTree, Error> {
    let (below, above) = source.split_at(source.len() - git_on_top(worker, source)?);
    if !below.is_empty() && !above.is_empty() && is_free(worker, task, below, &import.add)? {
        let tree = worker.merged(above)?;
        if is_without_links(&tree, import)? {
            return Ok(tree);
        }
    }
    worker.merged(source)
}

/// How many of the upper layers are git content.
fn git_on_top(worker: &Worker<'_, '_>, layers: &[ContentId]) -> Result<usize, Error> {
    for (count, layer) in layers.iter().rev().enumerate() {
        let known = worker.index.layer(layer)?;
        if !matches!(known, Some((LayerRecord { source: LayerSource::Git { .. }, .. }, _))) {
            return Ok(count);
        }
    }
    Ok(layers.len())
}

/// Whether a path can be made in these layers by adding to their directories, without anything of theirs being in it.
fn is_free(worker: &mut Worker<'_, '_>, task: &Task<'_>, layers: &[ContentId], path: &str) -> Result<bool, Error> {
    const FREE: &str = "free";
    const TAKEN: &str = "taken";
    let mut encoder = Encoder::new("stager free path");
    encoder.bytes(base_chain(layers).as_bytes());
    encoder.text(path);
    let answer = finding(worker, task, encoder.finish().into(), layers, |tree| {
        for at in from_the_root(path) {
            match tree.lookup(at)?.map(|entry| entry.kind) {
                None => return Ok(Some(FREE.to_owned())),
                Some(FileKind::Directory) => {}
                Some(_) => break,
            }
        }
        Ok(Some(TAKEN.to_owned()))
    })?;
    Ok(answer.as_deref() == Some(FREE))
}

/// Whether nothing on the way to what is taken leads somewhere else.
fn is_without_links(tree: &MergedTree, import: &Import) -> Result<bool, Error> {
    for at in from_the_root(&import.add) {
        let Some(entry) = tree.lookup(at)? else { return Ok(false) };
        let is_last = at == Path::new(&import.add);
        if matches!(entry.kind, FileKind::Symlink { .. }) && (follows(import) || !is_last) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A path and all above it, the root first.
fn from_the_root(path: &str) -> impl Iterator<Item = &Path> {
    let above: Vec<&Path> = Path::new(path).ancestors().collect();
    above.into_iter().rev()
}

/// Names what is asked for of which layers, and how the store keeps owners, which links have only one way of.
fn request(worker: &Worker<'_, '_>, import: &Import, source: &[ContentId]) -> ContentId {
    let mut encoder = Encoder::new("stager import request");
    encoder.bytes(base_chain(source).as_bytes());
    encoder.text(&import.add);
    for patterns in [&import.include_paths, &import.exclude_paths] {
        encoder.integer(patterns.len() as i64);
        for pattern in patterns {
            encoder.text(pattern);
        }
    }
    encoder.bool(follows(import));
    encoder.bool(worker.engine.settings.ownership == Ownership::Recorded);
    encoder.integer(i64::from(layer::CONTENT_VERSION));
    encoder.finish().into()
}

fn follows(import: &Import) -> bool {
    import.places == ImportPlaces::Followed
}

fn filter(task: &Task<'_>, import: &Import) -> Result<PathFilter, Error> {
    let mut exclude = import.exclude_paths.clone();
    let is_glob = |pattern: &String| pattern.contains(['*', '?', '[', '{']);
    if follows(import) && import.add == "/" && import.include_paths.iter().any(is_glob) {
        exclude.extend(SYSTEM_DIRECTORIES.map(str::to_owned));
    }
    PathFilter::new(&import.include_paths, &exclude).map_err(|source| Error::Filter { stage: task.id.clone(), source })
}

fn not_there(task: &Task<'_>, import: &Import, error: layer::Error) -> Error {
    match error {
        layer::Error::NotFound { .. } => Error::Config {
            stage: task.id.clone(),
            message: format!(
                "cannot import `{}`: {} has no such file or directory",
                import.add,
                describe(&import.source)
            ),
        },
        other => other.into(),
    }
}

fn source_layers(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    planned: &PlannedImport,
) -> Result<Vec<ContentId>, Error> {
    let layers = match (&planned.import.source, &planned.source) {
        (_, Some(digest)) => task.need(digest)?.layers.clone(),
        (ImportSource::External(reference), None) => base::external(worker, task, reference)?.layers,
        (ImportSource::Image(name) | ImportSource::Artifact(name), None) => {
            return Err(Error::Config { stage: task.id.clone(), message: format!("no image `{name}` to import from") });
        }
    };
    Ok(layers.iter().map(|used| used.layer).collect())
}

fn import(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    import: &Import,
    source: &[ContentId],
    target: &[ContentId],
) -> Result<Option<ContentId>, Error> {
    let (uid, gid) = users::resolve(worker, task, &import.owner, target)?;
    let selection = selection(worker, task, import, source)?;
    let to = match import.places {
        ImportPlaces::Exact => PathBuf::from(&import.to),
        ImportPlaces::Followed => landing(worker, task, import, target, selection.file_name.as_deref())?,
    };
    let identity = identity(worker, &selection, &to, (uid, gid), import.required);
    if let Some(known) = known(worker, &identity, source)? {
        return Ok(known.layer);
    }
    let filter = filter(task, import)?;
    let tree = source_tree(worker, task, import, source)?;
    let temp = worker.engine.home.temp()?;
    let directory = temp.path().join("import");
    make_layer_directory(&directory, &[], worker.engine.settings.ownership)?;
    let spec = ImportSpec {
        add: Path::new(&import.add),
        follow: follows(import),
        to: &to,
        filter: &|path| filter.matches(path.as_os_str().as_bytes()),
        uid,
        gid,
        or_empty: !import.required,
    };
    let options = ImportOptions { ownership: worker.engine.settings.ownership, share: true };
    layer::import_tree(&tree, &spec, &[], &directory, &options).map_err(|error| not_there(task, import, error))?;
    let made = Imported { layer: worker.keep_layer(&directory, None, to.to_str())? };
    worker.index.save_import(&identity, &made)?;
    worker.hints.push(Hint::Import { import: identity, made, stage: task.node.stage.digest });
    Ok(made.layer)
}

/// Names an import by all that its layer is made of.
fn identity(
    worker: &Worker<'_, '_>,
    selection: &Selection,
    to: &Path,
    owner: (Option<u32>, Option<u32>),
    required: bool,
) -> ContentId {
    let mut encoder = Encoder::new("stager import");
    encoder.bytes(selection.id.as_bytes());
    encoder.bytes(to.as_os_str().as_bytes());
    for id in [owner.0, owner.1] {
        encoder.bool(id.is_some());
        encoder.integer(i64::from(id.unwrap_or_default()));
    }
    encoder.bool(required);
    encoder.bool(worker.engine.settings.ownership == Ownership::Recorded);
    encoder.integer(i64::from(layer::CONTENT_VERSION));
    encoder.finish().into()
}

/// What an import makes that was made before: here, or on another machine when its source would have to be pulled.
fn known(worker: &mut Worker<'_, '_>, identity: &ContentId, source: &[ContentId]) -> Result<Option<Imported>, Error> {
    if let Some(made) = worker.index.import(identity)? {
        let is_there = made.layer.map(|layer| worker.has_layer(&layer)).transpose()?;
        if is_there.unwrap_or(true) {
            return Ok(Some(made));
        }
    }
    if !is_elsewhere(worker, source)? {
        return Ok(None);
    }
    let found = remote::import(worker.engine, &mut worker.index, identity)?;
    if let Some(made) = &found {
        worker.index.save_import(identity, made)?;
    }
    Ok(found)
}

/// Where an import lands in the image that it goes to.
fn landing(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    import: &Import,
    target: &[ContentId],
    file_name: Option<&str>,
) -> Result<PathBuf, Error> {
    let failed = |why: &str| Error::Config {
        stage: task.id.clone(),
        message: format!("cannot import to `{}`: {why}", import.to),
    };
    let mut encoder = Encoder::new("stager landing");
    encoder.bytes(base_chain(target).as_bytes());
    encoder.text(&import.to);
    encoder.bool(file_name.is_some());
    encoder.text(file_name.unwrap_or_default());
    let landed = finding(worker, task, encoder.finish().into(), target, |image| {
        let to = match layer::landing(image, Path::new(&import.to), file_name.map(Path::new)) {
            Err(layer::Error::NotADirectory { path }) => {
                return Err(failed(&format!("`/{}` of the image is no directory", path.display())));
            }
            to => Path::new("/").join(to?),
        };
        let text = to.to_str().ok_or_else(|| failed("a link there leads to a name that is not UTF-8"))?;
        Ok(Some(text.to_owned()))
    })?;
    Ok(PathBuf::from(landed.unwrap_or_else(|| import.to.clone())))
}

fn describe(source: &ImportSource) -> String {
    match source {
        ImportSource::Image(name) => format!("image `{name}`"),
        ImportSource::Artifact(name) => format!("artifact `{name}`"),
        ImportSource::External(reference) => format!("`{reference}`"),
    }
}
