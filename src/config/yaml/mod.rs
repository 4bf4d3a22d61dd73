//! YAML documents as trees whose every key and value knows its place.
//!
//! Values come from serde_yaml: what is a number, a boolean, a text is its decision. Places and the text of scalars as
//! written come from the events of saphyr-parser over the same text, since `1.10` has to stay `1.10` in a label. Where the
//! two read a document differently, it is refused rather than guessed at.
//!
//! That is YAML 1.2, [`Flavor::Yaml12`]. The dialects whose programs read YAML 1.1 get [`Flavor::Yaml11`]: `yes` is a boolean,
//! `017` octal, and documents are cut as those programs cut them.
//!
//! Anchors, aliases and merge keys work within a document. Size, depth and what aliases may expand to are bounded;
//! duplicate keys (unless a reader asks for the last one) and tags beyond YAML's core ones are errors.

mod build;
mod events;
mod merge;
mod split;
mod tree;
mod values;
mod yaml11;

use std::collections::HashSet;
use std::ops::Range;

pub use tree::{Content, Entry, Mark, Node, Scalar, ScalarKind};
pub(crate) use yaml11::{boolean, integer};

use crate::source::{Diagnostic, Severity};

/// Deepest nesting of a document.
const MAX_DEPTH: usize = 64;
/// Nodes of a text, aliases expanded.
const MAX_NODES: usize = 2_000_000;

/// Words for programs about what is wrong with a text.
pub(crate) mod code {
    /// It is not YAML.
    pub(crate) const SYNTAX: &str = "yaml-syntax";
    /// A value is of another kind than its key takes.
    pub(crate) const TYPE: &str = "yaml-type";
    /// A key is there twice.
    pub(crate) const DUPLICATE_KEY: &str = "yaml-duplicate-key";
}

/// Which YAML a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// YAML 1.2.
    Yaml12,
    /// YAML 1.1, as werf and dapp read it.
    Yaml11,
}

/// A text's documents; empty ones are left out.
#[derive(Debug, Default)]
pub struct Documents {
    /// Those that are well-formed.
    pub documents: Vec<Node>,
    /// What is wrong with the others.
    pub problems: Vec<Diagnostic>,
}

/// Reads a text; `file` names it in places. One malformed document does not hide the others.
pub fn parse(file: &str, text: &str) -> Documents {
    let mut found = Documents::default();
    let mut nodes = 0;
    for chunk in split::documents(text) {
        match document(Flavor::Yaml12, file, chunk, &mut nodes, &mut Repeated::Refused) {
            Ok(Some(node)) if !node.is_null() => found.documents.push(node),
            Ok(_) => {}
            Err(mut problems) => found.problems.append(&mut problems),
        }
    }
    found
}

/// A document of a YAML 1.1 text.
#[derive(Debug)]
pub struct Section {
    /// Its part of the text in bytes, without the separators around it.
    pub range: Range<usize>,
    /// What it holds; `None` when it is malformed.
    pub node: Option<Node>,
}

/// Reads a YAML 1.1 text; `file` names it in places. Documents with nothing but comments are left out; one that says
/// `null` is there.
pub fn parse_sections(file: &str, text: &str) -> (Vec<Section>, Vec<Diagnostic>) {
    parse_yaml11(file, text, Repeated::Refused)
}

/// The same for a text in which the last one of equal keys counts; that there are others before it is a warning.
pub fn parse_sections_with_repeated_keys(file: &str, text: &str) -> (Vec<Section>, Vec<Diagnostic>) {
    parse_yaml11(file, text, Repeated::LastCounts(Vec::new()))
}

/// What becomes of keys that a map has twice.
enum Repeated {
    Refused,
    /// With a warning for each of them.
    LastCounts(Vec<Diagnostic>),
}

fn parse_yaml11(file: &str, text: &str, mut repeated: Repeated) -> (Vec<Section>, Vec<Diagnostic>) {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (chunks, mut problems) = split::sections(file, bare);
    let mut nodes = 0;
    let mut sections = Vec::new();
    for chunk in chunks {
        let start = chunk.text.as_ptr() as usize - text.as_ptr() as usize;
        let range = start..start + chunk.text.len();
        match document(Flavor::Yaml11, file, chunk, &mut nodes, &mut repeated) {
            Ok(None) => {}
            Ok(node) => sections.push(Section { range, node }),
            Err(mut found) => {
                problems.append(&mut found);
                sections.push(Section { range, node: None });
            }
        }
    }
    if let Repeated::LastCounts(mut warnings) = repeated {
        problems.append(&mut warnings);
    }
    (sections, problems)
}

fn document(
    flavor: Flavor,
    file: &str,
    chunk: split::Chunk<'_>,
    nodes: &mut usize,
    repeated: &mut Repeated,
) -> Result<Option<Node>, Vec<Diagnostic>> {
    let build::Built { root, mut problems } = build::tree(flavor, file, chunk, nodes);
    if let Repeated::LastCounts(warnings) = repeated {
        let twice = problems.extract_if(.., |problem| problem.code.as_deref() == Some(code::DUPLICATE_KEY));
        warnings.extend(twice.map(|problem| Diagnostic { severity: Severity::Warning, ..problem }));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let Some(mut node) = root else { return Ok(None) };
    if let Repeated::LastCounts(_) = repeated {
        keep_last(&mut node);
    }
    if flavor == Flavor::Yaml12 {
        values::resolve(file, chunk, &mut node).map_err(|problem| vec![*problem])?;
    }
    merge::apply(flavor, file, &mut node)?;
    Ok(Some(node))
}

/// Leaves out keys that are there again further down. `<<` may be there several times.
fn keep_last(node: &mut Node) {
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::Sequence(items) => items.iter_mut().for_each(keep_last),
        Content::Mapping(entries) => {
            let mut seen = HashSet::new();
            entries.reverse();
            entries.retain(|entry| entry.merge || seen.insert(entry.key.clone()));
            entries.reverse();
            for entry in entries {
                keep_last(&mut entry.value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
