//! Merge keys: `<<: *defaults`.

use super::build::keys;
use super::tree::{Content, Entry, Node};
use crate::source::Diagnostic;

const MERGE: &str = "<<";

/// Replaces each `<<` entry by the entries of the maps it names; what a map says itself wins, then the earlier map.
pub(super) fn apply(file: &str, node: &mut Node) -> Result<(), Box<Diagnostic>> {
    match &mut node.content {
        Content::Scalar(_) => Ok(()),
        Content::Sequence(items) => items.iter_mut().try_for_each(|item| apply(file, item)),
        Content::Mapping(entries) => {
            entries.iter_mut().try_for_each(|entry| apply(file, &mut entry.value))?;
            merge_into(file, entries)
        }
    }
}

fn merge_into(file: &str, entries: &mut Vec<Entry>) -> Result<(), Box<Diagnostic>> {
    let Some(at) = entries.iter().position(|entry| entry.key == MERGE) else { return Ok(()) };
    let merged = entries.remove(at).value;
    let sources = match merged.content {
        Content::Sequence(items) => items,
        _ => vec![merged],
    };
    let mut present = keys(entries);
    for source in sources {
        let Content::Mapping(found) = source.content else {
            let problem = Diagnostic::error("`<<` takes a map or a list of maps").at(source.mark.place(file));
            return Err(Box::new(problem.help("write `<<: *name` with an anchor `&name` on a map")));
        };
        entries.extend(found.into_iter().filter(|entry| present.insert(entry.key.clone())));
    }
    Ok(())
}
