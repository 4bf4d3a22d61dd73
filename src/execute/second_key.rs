//! The second key of a stage (law 5): its inputs by what they hold.
//!
//! Digests of stages among the inputs are replaced by the content ids of those stages, with two refinements. An import stands
//! for the files that it takes: its source may change elsewhere. A variable that says the id of another image stands for all
//! that enters that id, the texts of the history too.

use stages::digest::{Encoder, Inputs, Value, content_key};
use stages::plan::{PlannedImport, PlannedVariable, StageTask};
use stages::spec::ImageAttribute;
use stages::{ContentId, StageDigest};

use super::queue::Records;
use super::worker::{Task, Worker};
use super::{Error, imports, variables};

/// The second key of a stage whose needs are all there.
pub(super) fn second_key(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    lineage: &ContentId,
) -> Result<ContentId, Error> {
    let stage = task.node.stage;
    let mut inputs: Inputs =
        stage.inputs.iter().map(|(name, value)| (name.clone(), by_content(value, task.needs))).collect();
    if let StageTask::Imports { imports, variables } = &stage.task {
        refine(&mut inputs, "imports", imports, |planned| selection(worker, task, planned))?;
        refine(&mut inputs, "variables", variables, |planned| identity(task, planned))?;
    }
    let place = match &stage.task {
        StageTask::Run { git: Some(view), .. } => Some(view.after),
        StageTask::Post { git: Some(git), .. } => Some(git.after),
        _ => None,
    };
    let needs = stage
        .parent
        .iter()
        .chain(&place)
        .map(|needed| Ok(task.need(needed)?.content_id))
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(content_key(&task.node.image.platform, stage.kind, &stage.slot, &inputs, &needs, lineage))
}

fn by_content(value: &Value, needs: &Records) -> Value {
    match value {
        Value::Text(text) => match text.parse::<StageDigest>().ok().and_then(|digest| needs.get(&digest)) {
            Some(record) => Value::Text(format!("content:{}", record.content_id)),
            None => value.clone(),
        },
        Value::List(list) => Value::List(list.iter().map(|value| by_content(value, needs)).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), by_content(value, needs))).collect()),
        Value::Bool(_) | Value::Integer(_) => value.clone(),
    }
}

/// Puts what `refined` says of each planned item in place of the image in its input, if it says anything.
fn refine<T>(
    inputs: &mut Inputs,
    name: &str,
    planned: &[T],
    mut refined: impl FnMut(&T) -> Result<Option<String>, Error>,
) -> Result<(), Error> {
    let Some(Value::List(list)) = inputs.get_mut(name) else { return Ok(()) };
    for (value, planned) in list.iter_mut().zip(planned) {
        if let (Value::Map(map), Some(text)) = (value, refined(planned)?) {
            map.insert("image".to_owned(), Value::Text(text));
        }
    }
    Ok(())
}

/// An outside image is what its reference says, as for bases.
fn selection(worker: &mut Worker<'_, '_>, task: &Task<'_>, planned: &PlannedImport) -> Result<Option<String>, Error> {
    let Some(digest) = &planned.source else { return Ok(None) };
    let layers: Vec<ContentId> = task.need(digest)?.layers.iter().map(|used| used.layer).collect();
    let selection = imports::selection(worker, task, &planned.import, &layers)?;
    Ok(Some(format!("selection:{}", selection.id)))
}

fn identity(task: &Task<'_>, planned: &PlannedVariable) -> Result<Option<String>, Error> {
    let (ImageAttribute::Id | ImageAttribute::ManifestDigest, Some(digest)) = (planned.variable.value, planned.source)
    else {
        return Ok(None);
    };
    let record = task.need(&digest)?;
    let mut encoder = Encoder::new("stager image identity");
    encoder.text(&variables::encoding());
    encoder.bytes(record.content_id.as_bytes());
    for used in &record.layers {
        encoder.text(&used.created_by);
    }
    Ok(Some(format!("image:{}", ContentId::from(encoder.finish()))))
}
