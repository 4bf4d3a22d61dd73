//! Git content: recipes that become files or a tar when somebody needs them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use stages::digest::Encoder;
use stages::filter::PathFilter;
use stages::plan::{GitView, PlannedImage, ResolvedMapping, StageTask};
use stages::spec::{GitMapping, GitSource};
use stages::{Checksum, ContentId, StageDigest};

use super::worker::{Content, Task, Worker};
use super::{Engine, Error, users};
use crate::git::{Placement, Remotes, Repository};
use crate::layer::{Descend, FileKind};
use crate::storage::{DirectoriesRecipe, GitRecipe, LayerSource, base_chain};

/// Makes the git stage: a recipe, no file.
pub(super) fn make(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    mappings: &[ResolvedMapping],
) -> Result<Content, Error> {
    let parent = task.parent()?;
    let layers: Vec<_> = parent.layers.iter().map(|used| used.layer).collect();
    let recipes = recipes(worker, task, mappings, None, &layers)?;
    let mut content = Content::of(parent);
    if let Some(layer) = save(worker, recipes)? {
        content.push(layer, &task.id.stage);
    }
    Ok(content)
}

/// The layer of the git files that a step sees; `None` when it sees none.
pub(super) fn view_layer(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    view: &GitView,
) -> Result<Option<ContentId>, Error> {
    let layers: Vec<_> = task.need(&view.after)?.layers.iter().map(|used| used.layer).collect();
    let recipes = recipes(worker, task, &view.mappings, view.files.as_deref(), &layers)?;
    save(worker, recipes)
}

fn recipes(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    mappings: &[ResolvedMapping],
    files: Option<&[String]>,
    layers: &[ContentId],
) -> Result<Vec<GitRecipe>, Error> {
    let mut recipes = Vec::new();
    for ResolvedMapping { mapping, tree } in mappings {
        let (user, group) = users::resolve(worker, task, &mapping.owner, layers)?;
        let mut recipe = GitRecipe {
            url: match &mapping.source {
                GitSource::Local => None,
                GitSource::Remote { url, .. } => Some(url.clone()),
            },
            tree: tree.clone(),
            content: Checksum::from_bytes([0; 32]),
            add: mapping.add.clone(),
            to: mapping.to.clone(),
            include_paths: mapping.include_paths.clone(),
            exclude_paths: mapping.exclude_paths.clone(),
            files: files.map(<[String]>::to_vec),
            owner: (user.is_some() || group.is_some()).then(|| (user.unwrap_or(0), group.unwrap_or(0))),
            directories: (mapping.directory_mode != GitMapping::DIRECTORY_MODE)
                .then(|| DirectoriesRecipe { mode: mapping.directory_mode, kept: Vec::new() }),
        };
        let placement = placement(worker.engine, &recipe)?;
        let content = placement.repository.checksum(&placement.tree, &placement.add, &placement.filter)?;
        if let Some(content) = content {
            recipe.content = content;
            if let Some(directories) = recipe.directories.as_mut().filter(|_| recipe.owner.is_none()) {
                directories.kept = kept(worker, &placement, layers)?;
            }
            recipes.push(recipe);
        }
    }
    Ok(recipes)
}

/// The directories of a placement, below its target, that are there already. Most targets are new, and then nothing of the
/// content is looked at.
fn kept(worker: &mut Worker<'_, '_>, placement: &Placement, layers: &[ContentId]) -> Result<Vec<String>, Error> {
    let listed = listed(worker, layers)?;
    let listed: Option<BTreeSet<&str>> = listed.as_ref().map(|paths| paths.lines().collect());
    let tree = if listed.is_none() { Some(worker.merged(layers)?) } else { None };
    let is_directory = |path: &Path| -> Result<bool, Error> {
        match (&listed, &tree) {
            (Some(paths), _) => Ok(path == Path::new("/") || path.to_str().is_some_and(|path| paths.contains(path))),
            (None, Some(tree)) => Ok(tree.lookup(path)?.is_some_and(|entry| entry.kind == FileKind::Directory)),
            (None, None) => Ok(false),
        }
    };
    if !is_directory(&placement.to)? {
        return Ok(Vec::new());
    }
    let mut directories = BTreeSet::new();
    for entry in placement.repository.list(&placement.tree, &placement.add, &placement.filter)? {
        let path = Path::new(OsStr::from_bytes(&entry.path));
        for directory in path.ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty()) {
            if !directories.insert(directory.to_owned()) {
                break;
            }
        }
    }
    let mut kept = Vec::new();
    for directory in directories {
        let path = placement.to.join(directory);
        // A name that is not UTF-8 can't be kept in a record; nothing in a base is called so.
        if let (true, Some(path)) = (is_directory(&path)?, path.to_str()) {
            kept.push(path.to_owned());
        }
    }
    Ok(kept)
}

/// The directories of a stack of layers where they are known, or are of use to others: a build for this machine alone looks
/// at those that it places.
fn listed(worker: &mut Worker<'_, '_>, layers: &[ContentId]) -> Result<Option<String>, Error> {
    match worker.engine.roles.main {
        Some(_) => directories(worker, layers).map(Some),
        None => Ok(worker.index.directories(&base_chain(layers))?),
    }
}

/// The directories of a stack of layers, links not followed: absolute paths, one a line. They are listed once, and travel with
/// the stage in a storage, so that a machine that only places other files on a base need not have the base.
pub(super) fn directories(worker: &mut Worker<'_, '_>, layers: &[ContentId]) -> Result<String, Error> {
    let stack = base_chain(layers);
    if let Some(known) = worker.index.directories(&stack)? {
        return Ok(known);
    }
    let mut paths = String::new();
    worker.merged(layers)?.walk("/", &mut |path, entry| {
        if entry.kind == FileKind::Directory
            && let Some(path) = path.to_str().filter(|path| !path.contains('\n'))
        {
            paths.push('/');
            paths.push_str(path);
            paths.push('\n');
        }
        Ok::<_, Error>(Descend::Into)
    })?;
    worker.index.save_directories(&stack, &paths)?;
    Ok(paths)
}

/// Whether git content of this image is placed on the stage, and gives way to directories that it finds there.
pub(super) fn looks_at(image: &PlannedImage, stage: &StageDigest) -> bool {
    let gives_way = |resolved: &ResolvedMapping| resolved.mapping.directory_mode != GitMapping::DIRECTORY_MODE;
    image.stages.iter().any(|placed| match &placed.task {
        StageTask::Git { mappings } => placed.parent == Some(*stage) && mappings.iter().any(gives_way),
        _ => false,
    })
}

/// Names the mappings of a project, whatever they bring.
pub(super) fn mappings_id(engine: &Engine<'_>, mappings: &[GitRecipe]) -> Result<ContentId, Error> {
    let mut encoder = Encoder::new("stager git mappings");
    encoder.text(engine.settings.project.as_str());
    for GitRecipe { url, add, to, include_paths, exclude_paths, files, owner, directories, tree: _, content: _ } in
        mappings
    {
        let mode = directories.as_ref().map(|directories| directories.mode);
        let rest = serde_json::to_string(&(url, add, to, include_paths, exclude_paths, files, owner, mode));
        encoder.text(&rest.map_err(std::io::Error::from)?);
    }
    Ok(encoder.finish().into())
}

fn save(worker: &Worker<'_, '_>, mappings: Vec<GitRecipe>) -> Result<Option<ContentId>, Error> {
    if mappings.is_empty() {
        return Ok(None);
    }
    let content_id = content_id(&mappings);
    worker.save_recipe(content_id, LayerSource::Git { mappings }, 0)?;
    Ok(Some(content_id))
}

/// Names git content: what is placed where, for whom. The tree it was found in, which other commits share in part, is not
/// in it.
fn content_id(recipes: &[GitRecipe]) -> ContentId {
    let mut encoder = Encoder::new("stager git content");
    for recipe in recipes {
        encoder.bytes(recipe.content.as_bytes());
        encoder.text(&recipe.to);
        encoder.bool(recipe.owner.is_some());
        let (user, group) = recipe.owner.unwrap_or_default();
        encoder.integer(i64::from(user));
        encoder.integer(i64::from(group));
        encode_directories(&mut encoder, recipe);
    }
    encoder.finish().into()
}

/// Names a part of git content: what it holds, and for which directories the mappings speak.
pub(super) fn part_id(part: &crate::git::Part, recipes: &[GitRecipe]) -> ContentId {
    let mut encoder = Encoder::new("stager git part");
    encoder.bytes(part.id.as_bytes());
    for recipe in recipes {
        encoder.text(&recipe.to);
        encoder.bool(recipe.owner.is_some());
        encode_directories(&mut encoder, recipe);
    }
    encoder.finish().into()
}

/// Only content whose directories have a mode of their own is named after it.
fn encode_directories(encoder: &mut Encoder, recipe: &GitRecipe) {
    let Some(DirectoriesRecipe { mode, kept }) = &recipe.directories else { return };
    encoder.text("directories");
    encoder.integer(i64::from(*mode));
    encoder.integer(kept.len() as i64);
    for path in kept {
        encoder.text(path);
    }
}

/// What layouts of the same mappings at other commits have in common: one can be made as a delta over the other.
pub(super) fn family(recipes: &[GitRecipe], below: &ContentId) -> ContentId {
    let mut encoder = Encoder::new("stager git family");
    encoder.bytes(below.as_bytes());
    for recipe in recipes {
        encoder.text(recipe.url.as_deref().unwrap_or(""));
        for text in [&recipe.add, &recipe.to] {
            encoder.text(text);
        }
        let none = Vec::new();
        for list in [&recipe.include_paths, &recipe.exclude_paths, recipe.files.as_ref().unwrap_or(&none)] {
            encoder.integer(list.len() as i64);
            for pattern in list {
                encoder.text(pattern);
            }
        }
        encoder.bool(recipe.files.is_some());
        encoder.bool(recipe.owner.is_some());
        let (user, group) = recipe.owner.unwrap_or_default();
        encoder.integer(i64::from(user));
        encoder.integer(i64::from(group));
        encode_directories(&mut encoder, recipe);
    }
    encoder.finish().into()
}

/// Whether the objects that a recipe names are at hand.
pub(super) fn has_objects(engine: &Engine<'_>, recipe: &GitRecipe) -> bool {
    has_tree(engine.repository, engine.remotes, recipe)
}

/// Whether the tree that a recipe names is in its repository.
pub(super) fn has_tree(repository: &Repository, remotes: &Remotes, recipe: &GitRecipe) -> bool {
    match &recipe.url {
        None => repository.has_object(&recipe.tree),
        Some(url) => remotes.open(url).is_ok_and(|repository| repository.has_object(&recipe.tree)),
    }
}

/// A recipe with its repository opened.
pub(super) fn placement(engine: &Engine<'_>, recipe: &GitRecipe) -> Result<Placement, Error> {
    let local = recipe.url.is_none();
    let repository = match &recipe.url {
        None => engine.repository.clone(),
        Some(url) => engine.remotes.open(url)?,
    };
    let add =
        if local { repository.in_project(&recipe.add)? } else { recipe.add.trim_matches('/').as_bytes().to_vec() };
    let mut filter = PathFilter::new(&recipe.include_paths, &recipe.exclude_paths).map_err(Error::StoredFilter)?;
    if let Some(files) = &recipe.files {
        filter = filter.narrowed(recipe.add.trim_matches('/'), files).map_err(Error::StoredFilter)?;
    }
    Ok(Placement {
        repository,
        tree: recipe.tree.clone(),
        add,
        filter: Arc::new(filter),
        to: recipe.to.clone().into(),
        owner: recipe.owner.unwrap_or_default(),
        directory_mode: recipe.directories.as_ref().map_or(GitMapping::DIRECTORY_MODE, |directories| directories.mode),
    })
}
