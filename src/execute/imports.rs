//! Imports: files of other images.

use std::path::Path;

use stages::ContentId;
use stages::filter::PathFilter;
use stages::plan::{PlannedImport, PlannedVariable};
use stages::spec::{Import, ImportSource};

use super::layout::make_layer_directory;
use super::worker::{Content, Task, Worker};
use super::{Error, base, users};
use crate::layer::{self, ImportOptions, ImportSpec};

/// Makes a stage of imports: one layer for each.
pub(super) fn make(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    imports: &[PlannedImport],
    variables: &[PlannedVariable],
) -> Result<Content, Error> {
    if let Some(planned) = variables.first() {
        let message = format!("the variable `{}` of another image is not supported yet", planned.variable.name);
        return Err(Error::Config { stage: task.id.clone(), message });
    }
    let mut content = Content::of(task.parent()?);
    for planned in imports {
        worker.engine.check_cancelled()?;
        let source = source_layers(worker, task, planned)?;
        let target: Vec<_> = content.layers.iter().map(|used| used.layer).collect();
        if let Some(layer) = import(worker, task, &planned.import, &source, &target)? {
            content.push(layer, &task.id.stage);
        }
    }
    Ok(content)
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
    let filter = PathFilter::new(&import.include_paths, &import.exclude_paths)
        .map_err(|source| Error::Filter { stage: task.id.clone(), source })?;
    let tree = worker.merged(source)?;
    if tree.resolve(Path::new(&import.add))?.is_none() {
        let message =
            format!("cannot import `{}`: {} has no such file or directory", import.add, describe(&import.source));
        return Err(Error::Config { stage: task.id.clone(), message });
    }
    let temp = worker.engine.home.temp()?;
    let directory = temp.path().join("import");
    make_layer_directory(&directory, &[], worker.engine.settings.ownership)?;
    let spec = ImportSpec {
        add: Path::new(&import.add),
        to: Path::new(&import.to),
        filter: &|path| filter.matches(path.as_os_str().as_encoded_bytes()),
        uid,
        gid,
    };
    let options = ImportOptions { ownership: worker.engine.settings.ownership, share: true };
    layer::import_tree(&tree, &spec, &[], &directory, &options)?;
    worker.keep_layer(&directory, None, Some(&import.to))
}

fn describe(source: &ImportSource) -> String {
    match source {
        ImportSource::Image(name) => format!("image `{name}`"),
        ImportSource::Artifact(name) => format!("artifact `{name}`"),
        ImportSource::External(reference) => format!("`{reference}`"),
    }
}
