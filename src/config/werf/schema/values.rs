//! What single keys of `werf.yaml` take, where that is more than a text, a number or a list.

use super::super::code;
use crate::config::read::{At, FromNode, Reader};
use crate::config::rules::duration;
use crate::config::yaml::{Content, Node, ScalarKind, integer};

/// A value whose absence says something; null is absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<T: FromNode> FromNode for Maybe<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if node.is_null() {
            return Some(Self(None));
        }
        T::read(node, reader).map(|value| Self(Some(value)))
    }
}

/// A list whose items say something each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Items<T>(pub(crate) Vec<At<T>>);

impl<T: FromNode> FromNode for Items<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let items = match &node.content {
            Content::Sequence(items) => items.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                reader.wrong_type(node, "a list");
                return None;
            }
        };
        let read = |(index, item): (usize, &Node)| {
            reader.index(index, |reader| {
                if item.is_null() {
                    reader.wrong_type(item, "a map");
                    return None;
                }
                T::read(item, reader).map(|value| At { value, mark: item.mark })
            })
        };
        let items: Vec<Option<At<T>>> = items.iter().enumerate().map(read).collect();
        items.into_iter().collect::<Option<_>>().map(Self)
    }
}

/// A text, or a list of texts. Numbers and booleans are neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Null.
    None,
    /// One text.
    One(At<String>),
    /// A list.
    Many(Vec<At<String>>),
}

impl Texts {
    /// The texts.
    pub(crate) fn items(&self) -> &[At<String>] {
        match self {
            Self::None => &[],
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }
}

impl FromNode for Texts {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            _ if node.is_null() => Some(Self::None),
            Content::Sequence(items) => texts(items, reader).map(Self::Many),
            _ => match text(node) {
                Some(text) => Some(Self::One(text)),
                None => not_text_or_list(node, reader),
            },
        }
    }
}

fn text(node: &Node) -> Option<At<String>> {
    match &node.content {
        Content::Scalar(scalar) if scalar.kind == ScalarKind::Text => {
            Some(At { value: scalar.text.clone(), mark: node.mark })
        }
        _ => None,
    }
}

fn texts(items: &[Node], reader: &mut Reader<'_>) -> Option<Vec<At<String>>> {
    let read = |(index, item): (usize, &Node)| {
        text(item).or_else(|| reader.index(index, |reader| not_text_or_list(item, reader)))
    };
    let read: Vec<Option<At<String>>> = items.iter().enumerate().map(read).collect();
    read.into_iter().collect()
}

fn not_text_or_list<T>(node: &Node, reader: &mut Reader<'_>) -> Option<T> {
    let (path, found) = (reader.path(), node.describe());
    let problem = reader.error(node.mark, format!("`{path}` must be text or a list of texts, not {found}"));
    problem.code = Some(code::STRING_OR_LIST.to_owned());
    problem.label = Some("expected text".to_owned());
    problem.help = Some(
        match &node.content {
            Content::Scalar(_) => "quote it: unquoted it is not text in YAML 1.1",
            Content::Mapping(_) => "quote the text: an unquoted `: ` in it makes a map",
            Content::Sequence(_) => "write the texts as one flat list",
        }
        .to_owned(),
    );
    None
}

/// The names of an image: one, several, or none, which is the nameless image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names(pub(crate) Vec<At<String>>);

impl FromNode for Names {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            _ if node.is_null() => Some(Self(vec![At { value: String::new(), mark: node.mark }])),
            Content::Sequence(items) => texts(items, reader).map(Self),
            _ => {
                let name = text(node);
                if name.is_none() {
                    let (path, found) = (reader.path(), node.describe());
                    let message = format!("`{path}` must be a name or a list of names, not {found}");
                    let problem = reader.error(node.mark, message);
                    problem.code = Some(code::IMAGE_NAME.to_owned());
                    problem.help = Some("quote a name that YAML 1.1 takes for something else".to_owned());
                }
                name.map(|name| Self(vec![name]))
            }
        }
    }
}

/// A duration: a number of nanoseconds, or a text such as `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration(pub(crate) i64);

impl FromNode for Duration {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let found = match &node.content {
            Content::Scalar(scalar) if scalar.kind == ScalarKind::Integer => integer(&scalar.text),
            Content::Scalar(scalar) if scalar.kind == ScalarKind::Text => signed_duration(&scalar.text),
            _ => None,
        };
        if found.is_none() {
            reader.wrong_type(node, "a duration such as `168h` or `1h30m`");
        }
        found.map(Self)
    }
}

fn signed_duration(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => duration(rest).ok().map(|nanoseconds| -nanoseconds),
        None => duration(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}

/// Any value at all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Raw(pub(crate) Node);

impl Eq for Raw {}

impl FromNode for Raw {
    fn read(node: &Node, _: &mut Reader<'_>) -> Option<Self> {
        Some(Self(node.clone()))
    }
}
