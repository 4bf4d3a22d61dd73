//! Names of users and groups, looked up in an image's own `/etc/passwd` and `/etc/group`.

use std::path::Path;

use stages::ContentId;
use stages::digest::Encoder;
use stages::spec::Owner;

use super::Error;
use super::findings::finding;
use super::worker::{Task, Worker};
use crate::layer::MergedTree;
use crate::storage::base_chain;

/// The largest account file that is read.
const LIMIT: u64 = 4 << 20;

/// The user and group id that an owner stands for; `None` for what it does not name. A number is a number, whatever the
/// account files say: the layers are looked at for a name only.
pub(super) fn resolve(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    owner: &Owner,
    layers: &[ContentId],
) -> Result<(Option<u32>, Option<u32>), Error> {
    let user = owner.user.as_ref().map(|name| id(worker, task, name, "/etc/passwd", "user", layers)).transpose()?;
    let group = owner.group.as_ref().map(|name| id(worker, task, name, "/etc/group", "group", layers)).transpose()?;
    Ok((user, group))
}

fn id(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    name: &str,
    file: &str,
    what: &str,
    layers: &[ContentId],
) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let mut encoder = Encoder::new("stager account");
    encoder.bytes(base_chain(layers).as_bytes());
    encoder.text(file);
    encoder.text(name);
    let question = ContentId::from(encoder.finish());
    let found =
        finding(
            worker,
            task,
            question,
            layers,
            |tree| Ok(account(tree, file, name)?.map(|number| number.to_string())),
        )?;
    found.and_then(|number| number.parse().ok()).ok_or_else(|| Error::Config {
        stage: task.id.clone(),
        message: format!(
            "the image has no {what} `{name}` in {file} at this point; use a number, or add it in a stage before"
        ),
    })
}

fn account(tree: &MergedTree, file: &str, name: &str) -> Result<Option<u32>, Error> {
    let Some(text) = tree.read(Path::new(file), LIMIT)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    }))
}
