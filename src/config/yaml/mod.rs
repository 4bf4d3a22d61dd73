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

use events::{Yaml11Parser, yaml12};

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
        let built = build::tree(Flavor::Yaml12, file, chunk, yaml12(chunk.text), &mut nodes);
        match document(Flavor::Yaml12, file, chunk, built, &mut Repeated::Refused) {
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
    let documents = match repeated {
        Repeated::Refused => documents(file, &chunks),
        Repeated::LastCounts(_) => in_turn(file, &chunks, &mut repeated).0,
    };
    let mut sections = Vec::new();
    for (chunk, document) in chunks.iter().zip(documents) {
        let start = chunk.text.as_ptr() as usize - text.as_ptr() as usize;
        let range = start..start + chunk.text.len();
        match document {
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

type Document = Result<Option<Node>, Vec<Diagnostic>>;

/// Texts shorter than this are read sooner than a thread begins.
const WORTH_THREADS: usize = 64 << 10;

/// The documents of chunks, those of a long text read on all processors.
fn documents(file: &str, chunks: &[split::Chunk<'_>]) -> Vec<Document> {
    let length: usize = chunks.iter().map(|chunk| chunk.text.len()).sum();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if threads == 1 || length < WORTH_THREADS {
        return in_turn(file, chunks, &mut Repeated::Refused).0;
    }
    let (own, others) = chunks.split_at(chunks.len().div_ceil(threads));
    let shares = std::thread::scope(|scope| {
        let others = others.chunks(own.len());
        let readers: Vec<_> =
            others.map(|share| scope.spawn(move || in_turn(file, share, &mut Repeated::Refused))).collect();
        let join = |reader: std::thread::ScopedJoinHandle<'_, _>| {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        std::iter::once(in_turn(file, own, &mut Repeated::Refused))
            .chain(readers.into_iter().map(join))
            .collect::<Vec<_>>()
    });
    if shares.iter().map(|(_, nodes)| nodes).sum::<usize>() > MAX_NODES {
        // Which document is one too many shows only when they are counted in their order.
        drop(shares);
        return in_turn(file, chunks, &mut Repeated::Refused).0;
    }
    shares.into_iter().flat_map(|(documents, _)| documents).collect()
}

/// The documents of chunks, and how many nodes they have together.
fn in_turn(file: &str, chunks: &[split::Chunk<'_>], repeated: &mut Repeated) -> (Vec<Document>, usize) {
    let (mut parser, mut nodes) = (Yaml11Parser::new(), 0);
    let mut documents = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let built = build::tree(Flavor::Yaml11, file, *chunk, parser.events(chunk.text), &mut nodes);
        documents.push(document(Flavor::Yaml11, file, *chunk, built, repeated));
    }
    (documents, nodes)
}

fn document(
    flavor: Flavor,
    file: &str,
    chunk: split::Chunk<'_>,
    built: build::Built,
    repeated: &mut Repeated,
) -> Document {
    let build::Built { root, mut problems } = built;
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
