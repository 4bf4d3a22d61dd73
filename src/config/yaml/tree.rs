//! The tree.

use crate::source::Place;

/// A place in the text at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The length in characters.
    pub len: usize,
}

impl Mark {
    /// The place in that file.
    pub fn place(self, file: &str) -> Place {
        Place { file: file.to_owned(), line: self.line, column: self.column, len: self.len }
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it starts; as long as what of it is on that line.
    pub mark: Mark,
    /// What it is.
    pub content: Content,
}

impl Node {
    /// Whether it is null, written or left out.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.kind == ScalarKind::Null)
    }

    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.content {
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a map",
            Content::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => "nothing",
                ScalarKind::Boolean => "a boolean",
                ScalarKind::Integer | ScalarKind::Float => "a number",
                ScalarKind::Text => "text",
            },
        }
    }
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A map, in the order written; keys are unique.
    Mapping(Vec<Entry>),
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// As written, quotes and escapes resolved; empty when left out.
    pub text: String,
    /// What YAML takes it for.
    pub kind: ScalarKind,
}

/// What YAML takes a scalar for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// `null`, `~`, or left out.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// Another number.
    Float,
    /// Anything else.
    Text,
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Where the key is.
    pub mark: Mark,
    /// Whether it is a merge key, which takes in other maps; none is left once a document is read.
    pub merge: bool,
    /// The value.
    pub value: Node,
}
