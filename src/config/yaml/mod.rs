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
//! duplicate keys and tags beyond YAML's core ones are errors.

mod build;
mod events;
mod merge;
mod split;
mod tree;
mod values;
mod yaml11;

use std::ops::Range;

pub use tree::{Content, Entry, Mark, Node, Scalar, ScalarKind};
pub(crate) use yaml11::{boolean, integer};

use crate::source::Diagnostic;

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
        match document(Flavor::Yaml12, file, chunk, &mut nodes) {
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
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (chunks, mut problems) = split::sections(file, bare);
    let mut nodes = 0;
    let mut sections = Vec::new();
    for chunk in chunks {
        let start = chunk.text.as_ptr() as usize - text.as_ptr() as usize;
        let range = start..start + chunk.text.len();
        match document(Flavor::Yaml11, file, chunk, &mut nodes) {
            Ok(None) => {}
            Ok(node) => sections.push(Section { range, node }),
            Err(mut found) => {
                problems.append(&mut found);
                sections.push(Section { range, node: None });
            }
        }
    }
    (sections, problems)
}

fn document(
    flavor: Flavor,
    file: &str,
    chunk: split::Chunk<'_>,
    nodes: &mut usize,
) -> Result<Option<Node>, Vec<Diagnostic>> {
    let Some(mut node) = build::tree(flavor, file, chunk, nodes)? else { return Ok(None) };
    if flavor == Flavor::Yaml12 {
        values::resolve(file, chunk, &mut node).map_err(|problem| vec![*problem])?;
    }
    merge::apply(flavor, file, &mut node)?;
    Ok(Some(node))
}

#[cfg(test)]
mod tests;
