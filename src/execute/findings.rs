//! Questions about the files of a stack of layers that are asked again and again: answered once, here or on another machine, so
//! that the layers need not be pulled for them.

use stages::ContentId;

use super::worker::{Task, Worker};
use super::{Error, blobs, remote};
use crate::layer::MergedTree;
use crate::storage::Hint;

/// The answer to a question, which names the layers too. When nobody knows it the layers are laid out and `find` looks at them; that
/// there is no answer is not kept.
pub(super) fn finding(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    question: ContentId,
    layers: &[ContentId],
    find: impl FnOnce(&MergedTree) -> Result<Option<String>, Error>,
) -> Result<Option<String>, Error> {
    if let Some(answer) = worker.index.finding(&question)? {
        return Ok(Some(answer));
    }
    if is_elsewhere(worker, layers)?
        && let Some(answer) = remote::finding(worker.engine, &question)?
    {
        worker.index.save_finding(&question, &answer)?;
        return Ok(Some(answer));
    }
    let Some(answer) = find(&worker.merged(layers)?)? else { return Ok(None) };
    worker.index.save_finding(&question, &answer)?;
    worker.hints.push(Hint::Finding { question, answer: answer.clone(), stage: task.node.stage.digest });
    Ok(Some(answer))
}

/// Whether something of these layers would have to be pulled.
pub(super) fn is_elsewhere(worker: &Worker<'_, '_>, layers: &[ContentId]) -> Result<bool, Error> {
    Ok(!blobs::missing(worker, layers)?.is_empty())
}
