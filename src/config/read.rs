//! From YAML trees to documents as written: tables of keys and types, every error with its place, all errors collected.
//!
//! A dialect describes its documents by [`table!`]; what a key may hold is a type that implements [`FromNode`]. Unknown
//! keys, wrong types and empty values are reported here; rules between keys are the business of the dialect's lowering.
//!
//! A reader of YAML 1.1 takes values as the programs of those dialects do: null is the empty value of whatever type, `yes` a
//! boolean, `0x10` a number.

use std::fmt::Write as _;

use super::yaml::{Content, Entry, Flavor, Mark, Node, Scalar, ScalarKind, boolean, code, integer};
use crate::source::{Diagnostic, Place, nearest};

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) mark: Mark,
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
}

impl Segment {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}

/// A key that a dialect has, but not the version of it that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Withheld {
    /// Its path, without the indexes of lists.
    pub(crate) path: &'static str,
    /// The class of the error.
    pub(crate) code: &'static str,
    /// What is said of it, behind its name.
    pub(crate) reason: &'static str,
    /// What to write instead.
    pub(crate) instead: &'static str,
}

/// Collects what is wrong, and knows which key is being read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    file: &'a str,
    flavor: Flavor,
    path: Vec<Segment>,
    problems: Vec<Diagnostic>,
    /// Keys of the tables that are not there for this reader.
    withheld: &'static [Withheld],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self::with_flavor(file, Flavor::Yaml12)
    }

    /// A reader of documents of YAML 1.1.
    pub(crate) fn yaml11(file: &'a str) -> Self {
        Self::with_flavor(file, Flavor::Yaml11)
    }

    fn with_flavor(file: &'a str, flavor: Flavor) -> Self {
        Self { file, flavor, path: Vec::new(), problems: Vec::new(), withheld: &[] }
    }

    /// The same, without some of the keys that tables have.
    pub(crate) fn without(self, withheld: &'static [Withheld]) -> Self {
        Self { withheld, ..self }
    }

    /// Whether null stands for the empty value of whatever type.
    fn null_is_empty(&self) -> bool {
        self.flavor == Flavor::Yaml11
    }

    pub(crate) fn place(&self, mark: Mark) -> Place {
        mark.place(self.file)
    }

    /// Adds an error at that place.
    pub(crate) fn error(&mut self, mark: Mark, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.problems.len();
        self.problems.push(Diagnostic::error(message).at(mark.place(self.file)));
        &mut self.problems[at]
    }

    pub(crate) fn into_problems(self) -> Vec<Diagnostic> {
        self.problems
    }

    pub(crate) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Runs with one more key on the path.
    pub(crate) fn key<T>(&mut self, key: &str, run: impl FnOnce(&mut Self) -> T) -> T {
        self.within(Segment::Key(key.to_owned()), run)
    }

    /// Runs with one more index on the path.
    pub(crate) fn index<T>(&mut self, index: usize, run: impl FnOnce(&mut Self) -> T) -> T {
        self.within(Segment::Index(index), run)
    }

    /// Puts keys, and perhaps an index, on the path; gives what [`Self::leave`] takes.
    pub(crate) fn enter(&mut self, keys: &[&str], index: Option<usize>) -> usize {
        let depth = self.path.len();
        self.path.extend(keys.iter().map(|key| Segment::Key((*key).to_owned())));
        self.path.extend(index.map(Segment::Index));
        depth
    }

    /// Takes off the path what [`Self::enter`] put there.
    pub(crate) fn leave(&mut self, depth: usize) {
        self.path.truncate(depth);
    }

    fn within<T>(&mut self, segment: Segment, run: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let result = run(self);
        self.path.pop();
        result
    }

    /// The key path, such as `build.steps[0].command`.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for segment in &self.path {
            match segment {
                Segment::Key(key) => push_key(&mut path, key),
                Segment::Index(index) => write!(path, "[{index}]").expect("writing to a string does not fail"),
            }
        }
        path
    }

    /// The key path with one more key.
    pub(crate) fn path_to(&self, key: &str) -> String {
        let mut path = self.path();
        push_key(&mut path, key);
        path
    }

    /// The value is not of the type it has to be.
    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str) {
        let (path, found, flavor) = (self.path(), node.describe(), self.flavor);
        let subject = if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") };
        let problem = self.error(node.mark, format!("{subject} must be {expected}, not {found}"));
        problem.label = Some(format!("expected {expected}"));
        if flavor == Flavor::Yaml11 {
            problem.code = Some(code::TYPE.to_owned());
            return;
        }
        if let Content::Scalar(scalar) = &node.content
            && expected.contains("true or false")
            && matches!(scalar.text.to_ascii_lowercase().as_str(), "yes" | "no" | "on" | "off")
        {
            problem.help = Some("`yes`, `no`, `on` and `off` are text in YAML 1.2: write true or false".to_owned());
        }
    }

    /// The entries of a map; null counts as an empty one.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n [Entry]> {
        match &node.content {
            Content::Mapping(entries) => Some(entries),
            _ if node.is_null() => Some(&[]),
            _ => {
                self.wrong_type(node, expected);
                None
            }
        }
    }

    /// Reads the value of an entry.
    pub(crate) fn field<T: FromNode>(&mut self, entry: &Entry) -> Option<At<T>> {
        let mut mark = entry.value.mark;
        if mark.len == 0 {
            mark = entry.mark;
        }
        self.key(&entry.key, |reader| T::read(&entry.value, reader)).map(|value| At { value, mark })
    }

    /// Whether a key of a table is not there for this reader; it is reported then.
    pub(crate) fn withholds(&mut self, entry: &Entry) -> bool {
        let Some(Withheld { code, reason, instead, .. }) = self.withheld(&entry.key) else { return false };
        let path = self.path_to(&entry.key);
        let problem = self.error(entry.mark, format!("`{path}` {reason}"));
        *problem = problem.clone().code(*code).help(*instead);
        true
    }

    fn withheld(&self, key: &str) -> Option<&'static Withheld> {
        let keys = || self.path.iter().filter_map(Segment::key).chain([key]);
        self.withheld.iter().find(|withheld| withheld.path.split('.').eq(keys()))
    }

    /// Reports a key that is not in the table; the nearest known one is the answer.
    pub(crate) fn unknown_key(&mut self, entry: &Entry, known: &[&'static str]) -> Option<&'static str> {
        let path = self.path_to(&entry.key);
        let known: Vec<&'static str> = known.iter().copied().filter(|key| self.withheld(key).is_none()).collect();
        let meant = nearest(&entry.key, known.iter().copied());
        let problem = self.error(entry.mark, format!("unknown key `{path}`"));
        problem.code = Some("unknown-field".to_owned());
        problem.help = Some(match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the keys here are {}", list(&known)),
        });
        meant.and_then(|meant| known.iter().copied().find(|key| *key == meant))
    }
}

/// Adds a key to a path; one that is not a plain word is quoted.
fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'));
    match (plain, path.is_empty()) {
        (true, true) => path.push_str(key),
        (true, false) => path.extend([".", key]),
        (false, _) => write!(path, "[{key:?}]").expect("writing to a string does not fail"),
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What a key may hold.
pub(crate) trait FromNode: Sized {
    /// Reads it; what is wrong goes to the reader.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

fn scalar<'n>(node: &'n Node, reader: &mut Reader<'_>, expected: &str, kinds: &[ScalarKind]) -> Option<&'n Scalar> {
    match &node.content {
        Content::Scalar(scalar) if kinds.contains(&scalar.kind) => Some(scalar),
        _ => {
            reader.wrong_type(node, expected);
            None
        }
    }
}

/// Any value that is not a list, a map or nothing, as written.
impl FromNode for String {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const KINDS: [ScalarKind; 4] = [ScalarKind::Text, ScalarKind::Integer, ScalarKind::Float, ScalarKind::Boolean];
        if node.is_null() && reader.null_is_empty() {
            return Some(String::new());
        }
        scalar(node, reader, "text", &KINDS).map(|scalar| scalar.text.clone())
    }
}

/// Any value that is not a list or a map, as written; nothing is the empty text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyScalar(pub(crate) String);

impl FromNode for AnyScalar {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Scalar(scalar) = &node.content else {
            reader.wrong_type(node, "a single value");
            return None;
        };
        Some(Self(scalar.text.clone()))
    }
}

impl FromNode for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if node.is_null() && reader.null_is_empty() {
            return Some(false);
        }
        scalar(node, reader, "true or false", &[ScalarKind::Boolean]).and_then(|scalar| boolean(&scalar.text))
    }
}

impl FromNode for i64 {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if node.is_null() && reader.null_is_empty() {
            return Some(0);
        }
        let text = &scalar(node, reader, "a whole number", integer_kinds(reader.flavor))?.text;
        let parsed = match reader.flavor {
            Flavor::Yaml12 => text.parse().ok(),
            Flavor::Yaml11 => integer(text).or_else(|| whole(text)),
        };
        if parsed.is_none() {
            let (path, flavor) = (reader.path(), reader.flavor);
            let problem = reader.error(node.mark, format!("`{path}` must be a whole decimal number, not `{text}`"));
            problem.code = (flavor == Flavor::Yaml11).then(|| code::TYPE.to_owned());
        }
        parsed
    }
}

fn integer_kinds(flavor: Flavor) -> &'static [ScalarKind] {
    match flavor {
        Flavor::Yaml12 => &[ScalarKind::Integer],
        Flavor::Yaml11 => &[ScalarKind::Integer, ScalarKind::Float],
    }
}

/// The value of a float that is a whole number, such as `1.0`.
fn whole(text: &str) -> Option<i64> {
    let value: f64 = text.replace('_', "").parse().ok()?;
    (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
}

impl FromNode for u32 {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let parsed = i64::read(node, reader)?;
        let result = Self::try_from(parsed).ok();
        if result.is_none() {
            let path = reader.path();
            let flavor = reader.flavor;
            let problem = reader.error(node.mark, format!("`{path}` must be between 0 and {}", Self::MAX));
            problem.code = (flavor == Flavor::Yaml11).then(|| code::TYPE.to_owned());
        }
        result
    }
}

/// A list; nothing is the empty list.
impl<T: FromNode> FromNode for Vec<At<T>> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Sequence(items) => read_items(items, reader),
            _ if node.is_null() => Some(Vec::new()),
            _ => {
                reader.wrong_type(node, "a list");
                None
            }
        }
    }
}

fn read_items<T: FromNode>(items: &[Node], reader: &mut Reader<'_>) -> Option<Vec<At<T>>> {
    let read = |(index, item): (usize, &Node)| {
        let value = reader.index(index, |reader| T::read(item, reader))?;
        Some(At { value, mark: item.mark })
    };
    let items: Vec<Option<At<T>>> = items.iter().enumerate().map(read).collect();
    items.into_iter().collect()
}

/// A list, or a single item in place of a list of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<At<T>>);

impl<T: FromNode> FromNode for OneOrMany<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Sequence(items) => read_items(items, reader).map(Self),
            _ if node.is_null() => Some(Self(Vec::new())),
            _ => T::read(node, reader).map(|value| Self(vec![At { value, mark: node.mark }])),
        }
    }
}

/// A map with free keys, in the order written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapOf<T>(pub(crate) Vec<(At<String>, At<T>)>);

impl<T: FromNode> FromNode for MapOf<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let mut pairs = Vec::new();
        let mut complete = true;
        for entry in reader.entries(node, "a map")? {
            match reader.field(entry) {
                Some(value) => pairs.push((At { value: entry.key.clone(), mark: entry.mark }, value)),
                None => complete = false,
            }
        }
        complete.then_some(Self(pairs))
    }
}

/// A command: one text, or a list of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextOrList {
    Text(String),
    List(Vec<At<String>>),
}

impl FromNode for TextOrList {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Sequence(items) => read_items(items, reader).map(Self::List),
            Content::Scalar(scalar) if scalar.kind != ScalarKind::Null => Some(Self::Text(scalar.text.clone())),
            _ => {
                reader.wrong_type(node, "text or a list");
                None
            }
        }
    }
}

/// Declares a document or a part of one: its keys and what each may hold. A key that is absent or was not readable is
/// `None`; `broken` tells the two apart, so that nothing is called missing that was written wrongly.
macro_rules! table {
    ($($(#[$meta:meta])* $name:ident { $($key:literal => $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name {
            pub(crate) mark: $crate::config::yaml::Mark,
            pub(crate) broken: Vec<&'static str>,
            $(pub(crate) $field: Option<$crate::config::read::At<$type>>,)*
        }

        impl $name {
            /// The keys, in the order of the reference.
            pub(crate) const KEYS: &[&str] = &[$($key),*];
        }

        impl $crate::config::read::FromNode for $name {
            fn read(
                node: &$crate::config::yaml::Node,
                reader: &mut $crate::config::read::Reader<'_>,
            ) -> Option<Self> {
                let entries = reader.entries(node, "a map")?;
                let mut table = Self { mark: node.mark, broken: Vec::new(), $($field: None,)* };
                for entry in entries {
                    match entry.key.as_str() {
                        _ if reader.withholds(entry) => {}
                        $($key => {
                            table.$field = reader.field(entry);
                            if table.$field.is_none() {
                                table.broken.push($key);
                            }
                        })*
                        _ => table.broken.extend(reader.unknown_key(entry, Self::KEYS)),
                    }
                }
                Some(table)
            }
        }
    )*};
}
pub(crate) use table;
