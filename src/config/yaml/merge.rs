//! Merge keys: `<<: *defaults`.

use std::collections::HashMap;

use super::build::twice;
use super::tree::{Content, Entry, Node};
use super::{Flavor, code};
use crate::source::Diagnostic;

/// Replaces each `<<` entry by the entries of the maps it names; what a map says itself wins, then the earlier map. In
/// YAML 1.1 nothing wins: a key that is there twice that way is an error, as one written twice is.
pub(super) fn apply(flavor: Flavor, file: &str, node: &mut Node) -> Result<(), Vec<Diagnostic>> {
    match &mut node.content {
        Content::Scalar(_) => Ok(()),
        Content::Sequence(items) => items.iter_mut().try_for_each(|item| apply(flavor, file, item)),
        Content::Mapping(entries) => {
            entries.iter_mut().try_for_each(|entry| apply(flavor, file, &mut entry.value))?;
            merge_into(flavor, file, entries)
        }
    }
}

fn merge_into(flavor: Flavor, file: &str, entries: &mut Vec<Entry>) -> Result<(), Vec<Diagnostic>> {
    let mut sources = Vec::new();
    while let Some(at) = entries.iter().position(|entry| entry.merge) {
        let Entry { mark, value, .. } = entries.remove(at);
        match value.content {
            Content::Sequence(items) => sources.extend(items.into_iter().map(|item| (mark, item))),
            _ => sources.push((mark, value)),
        }
    }
    let mut present: HashMap<String, _> = entries.iter().map(|entry| (entry.key.clone(), entry.mark)).collect();
    let mut problems = Vec::new();
    for (mark, source) in sources {
        let Content::Mapping(found) = source.content else {
            let problem = Diagnostic::error("`<<` takes a map or a list of maps").at(source.mark.place(file));
            return Err(vec![problem.code(code::SYNTAX).help("write `<<: *name` with an anchor `&name` on a map")]);
        };
        for entry in found {
            match present.get(&entry.key) {
                Some(earlier) if flavor == Flavor::Yaml11 => {
                    let problem = twice(file, &entry.key, *earlier, entry.mark).label("again here, beside `<<`");
                    problems.push(
                        problem
                            .related(mark.place(file), "brings the first one in")
                            .help("a key that `<<` brings in cannot be set again: leave it out of one of the two"),
                    );
                }
                Some(_) => {}
                None => {
                    present.insert(entry.key.clone(), entry.mark);
                    entries.push(entry);
                }
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
