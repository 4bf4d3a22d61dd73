//! YAML documents as trees whose every key and value knows its place.
//!
//! Values come from serde_yaml: what is a number, a boolean, a text is its decision. Places and the text of scalars as
//! written come from the events of saphyr-parser over the same text, since `1.10` has to stay `1.10` in a label. Where the
//! two read a document differently, it is refused rather than guessed at.
//!
//! Anchors, aliases and merge keys work within a document. Size, depth and what aliases may expand to are bounded;
//! duplicate keys and tags beyond YAML's core ones are errors.

mod build;
mod merge;
mod split;
mod tree;
mod values;

pub use tree::{Content, Entry, Mark, Node, Scalar, ScalarKind};

use crate::source::Diagnostic;

/// Deepest nesting of a document.
const MAX_DEPTH: usize = 64;
/// Nodes of a text, aliases expanded.
const MAX_NODES: usize = 2_000_000;

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
        match document(file, chunk, &mut nodes) {
            Ok(Some(node)) => found.documents.push(node),
            Ok(None) => {}
            Err(mut problems) => found.problems.append(&mut problems),
        }
    }
    found
}

fn document(file: &str, chunk: split::Chunk<'_>, nodes: &mut usize) -> Result<Option<Node>, Vec<Diagnostic>> {
    let Some(mut node) = build::tree(file, chunk, nodes)? else { return Ok(None) };
    values::resolve(file, chunk, &mut node).map_err(|problem| vec![*problem])?;
    merge::apply(file, &mut node).map_err(|problem| vec![*problem])?;
    Ok(if node.is_null() { None } else { Some(node) })
}

#[cfg(test)]
mod tests;
