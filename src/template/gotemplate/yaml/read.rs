//! Reads YAML.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::super::format::{self, format_float};
use super::super::value::{Key, Map, Type, Value};
use super::super::{guard, json};
use super::resolve::{Scalar, resolve};

type Read<T> = Result<T, String>;

/// A node of the document; aliases name the anchored node by its number.
enum Node {
    Scalar { text: String, plain: bool, is_block: bool, tag: String, line: usize },
    List { items: Vec<usize>, line: usize },
    Map { entries: Vec<(usize, usize)>, line: usize },
    Alias(usize),
}

/// The first document of a text: its nodes and the number of the root.
struct Document {
    nodes: Vec<Node>,
    root: Option<usize>,
}

struct Loader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    nodes: Vec<Node>,
    anchors: HashMap<usize, usize>,
}

fn load(text: &str) -> Read<Document> {
    // The crate takes a tab for indentation here.
    let first = text.lines().find(|line| !line.trim().is_empty());
    if first.is_some_and(|line| line.trim_start_matches(' ').starts_with('\t')) {
        return Err("yaml: found character that cannot start any token".to_owned());
    }
    match load_as_it_is(text) {
        // The crate is stricter than Go's library about the layout of flow collections, and about tabs.
        Err(reason) if reason.ends_with("invalid indentation") || reason.ends_with("valid YAML whitespace") => {
            load_as_it_is(&relaxed(text)).map_err(|_| reason)
        }
        other => other,
    }
}

/// The text with lines inside of brackets moved far to the right, and a space for a tab behind a colon.
fn relaxed(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut quote, mut before) = (0_usize, None, '\n');
    for character in text.chars() {
        match (quote, character) {
            (Some(mark), _) if character == mark && before != '\\' => quote = None,
            (None, '"' | '\'') if before.is_whitespace() || "[{,:".contains(before) => quote = Some(character),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, '\t') if before == ':' => {
                out.push(' ');
                before = ' ';
                continue;
            }
            _ => {}
        }
        out.push(character);
        if character == '\n' && depth > 0 && quote.is_none() {
            out.push_str("                                ");
        }
        before = character;
    }
    out
}

fn load_as_it_is(text: &str) -> Read<Document> {
    let mut loader = Loader { parser: Parser::new_from_str(text), nodes: Vec::new(), anchors: HashMap::new() };
    loop {
        let (event, line) = loader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd => return Ok(Document { nodes: loader.nodes, root: None }),
            event => {
                let root = loader.node(event, line)?;
                // What follows must at least not be part of the document.
                loader.next()?;
                end_last_block(text, &mut loader.nodes);
                return Ok(Document { nodes: loader.nodes, root: Some(root) });
            }
        }
    }
}

/// A block of text that ends with the file and without a line feed has none; the crate adds it.
fn end_last_block(text: &str, nodes: &mut [Node]) {
    if text.ends_with('\n') {
        return;
    }
    let Some(Node::Scalar { text: block, is_block: true, .. }) = nodes.last_mut() else { return };
    let last = |text: &str| text.lines().last().unwrap_or_default().trim().to_owned();
    if block.ends_with('\n') && last(block).ends_with(&last(text)) {
        block.pop();
    }
}

impl<'input> Loader<'input> {
    fn next(&mut self) -> Read<(Event<'input>, usize)> {
        guard::step(1)?;
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(worded(error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn add(&mut self, anchor: usize, node: Node) -> usize {
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        if anchor > 0 {
            self.anchors.insert(anchor, number);
        }
        number
    }

    fn node(&mut self, event: Event<'input>, line: usize) -> Read<usize> {
        guard::descend()?;
        guard::allocate(64)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix)).unwrap_or_default();
                let plain = style == ScalarStyle::Plain;
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                Ok(self.add(anchor, Node::Scalar { text: text.into_owned(), plain, is_block, tag, line }))
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(&target) => Ok(self.add(0, Node::Alias(target))),
                None => Err(format!("yaml: unknown anchor '{anchor}' referenced")),
            },
            Event::SequenceStart(anchor, _) => {
                let number = self.add(anchor, Node::List { items: Vec::new(), line });
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.node(event, line)?),
                    }
                }
                self.nodes[number] = Node::List { items, line };
                Ok(number)
            }
            Event::MappingStart(anchor, _) => {
                let number = self.add(anchor, Node::Map { entries: Vec::new(), line });
                let mut entries = Vec::new();
                loop {
                    match self.next()? {
                        (Event::MappingEnd, _) => break,
                        (event, line) => {
                            let key = self.node(event, line)?;
                            let (event, line) = self.next()?;
                            entries.push((key, self.node(event, line)?));
                        }
                    }
                }
                self.nodes[number] = Node::Map { entries, line };
                Ok(number)
            }
            _ => Err("yaml: unexpected end of the document".to_owned()),
        }
    }
}

/// Which Go types a document becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// `yaml.v2`: whole numbers stay whole, inner maps have keys of any type.
    Native,
    /// By way of JSON: all numbers are floats, all keys text.
    Json,
}

struct Decoder<'a> {
    document: &'a Document,
    target: Target,
    /// Aliases being resolved, against those that hold themselves.
    open: Vec<usize>,
}

impl Decoder<'_> {
    fn node(&self, number: usize) -> Read<&Node> {
        self.document.nodes.get(number).ok_or_else(|| "yaml: broken reference".to_owned())
    }

    fn value(&mut self, number: usize) -> Read<Value> {
        guard::descend()?;
        guard::step(1)?;
        guard::allocate(size_of::<Value>())?;
        match self.node(number)? {
            Node::Alias(target) => {
                let target = *target;
                if self.open.contains(&target) {
                    return Err("yaml: anchor value contains itself".to_owned());
                }
                self.open.push(target);
                let value = self.value(target)?;
                self.open.pop();
                Ok(value)
            }
            Node::Scalar { text, plain, tag, .. } => scalar_value(text, *plain, tag, self.target),
            Node::List { items, .. } => {
                let items = items.clone();
                Ok(Value::list(items.into_iter().map(|item| self.value(item)).collect::<Read<_>>()?))
            }
            Node::Map { .. } => {
                let map = match self.target {
                    Target::Native => Map::with_types(Type::Any, Type::Any),
                    Target::Json => Map::new(),
                };
                self.fill(&map, number)?;
                Ok(Value::Map(map))
            }
        }
    }

    /// Puts the entries of a mapping node into a map.
    fn fill(&mut self, map: &Map, number: usize) -> Read<()> {
        guard::descend()?;
        let Node::Map { entries, .. } = self.node(number)? else {
            return Err("yaml: map merge requires map or sequence of maps as the value".to_owned());
        };
        for (key, value) in entries.clone() {
            if self.is_merge(key)? {
                self.merge(map, value)?;
                continue;
            }
            let key = self.key(key, map.key())?;
            let value = self.value(value)?;
            map.insert(key, value);
        }
        Ok(())
    }

    fn is_merge(&self, number: usize) -> Read<bool> {
        Ok(match self.node(number)? {
            Node::Scalar { text, plain, tag, .. } => {
                text == "<<" && (*plain && tag.is_empty() || tag.ends_with("merge"))
            }
            _ => false,
        })
    }

    fn merge(&mut self, map: &Map, number: usize) -> Read<()> {
        let target = match self.node(number)? {
            Node::Alias(target) => *target,
            Node::List { items, .. } => {
                for item in items.clone().into_iter().rev() {
                    self.merge(map, item)?;
                }
                return Ok(());
            }
            _ => number,
        };
        if self.open.contains(&target) {
            return Err("yaml: anchor value contains itself".to_owned());
        }
        self.open.push(target);
        self.fill(map, target)?;
        self.open.pop();
        Ok(())
    }

    fn key(&mut self, number: usize, kind: Type) -> Read<Key> {
        if kind == Type::String && self.target == Target::Native {
            let target = match self.node(number)? {
                Node::Alias(target) => *target,
                _ => number,
            };
            return match self.node(target)? {
                Node::Scalar { text, plain, tag, .. } => match scalar(text, *plain, tag)? {
                    (Scalar::Null, _) => Ok(Key::from("")),
                    _ => Ok(Key::from(text.as_str())),
                },
                other => Err(unmarshal_error(other, "string")),
            };
        }
        let value = self.value(number)?;
        if matches!(value, Value::List(_) | Value::Map(_)) {
            let shown = format::sprintf(b"yaml: invalid map key: %#v", &[value])?;
            return Err(String::from_utf8_lossy(&shown).into_owned());
        }
        if self.target == Target::Native {
            return Key::from_value(&value).ok_or_else(|| "yaml: invalid map key".to_owned());
        }
        let text = match &value {
            Value::Str(text) => return Ok(Key::Str(text.clone())),
            Value::Float(number) => key_text(*number),
            Value::Bool(value) => value.to_string(),
            other => return Err(format!("unsupported map key of type: {}", other.kind())),
        };
        Ok(Key::from(text.as_str()))
    }
}

/// A number as the key of a JSON object.
fn key_text(number: f64) -> String {
    match format_float(number, b'g', None).as_str() {
        "+Inf" => ".inf".to_owned(),
        "-Inf" => "-.inf".to_owned(),
        "NaN" => ".nan".to_owned(),
        _ if number == number.trunc() && number.abs() < 1e15 => format!("{number}"),
        text => text.to_owned(),
    }
}

/// The meaning of a scalar, and whether it is only text.
fn scalar(text: &str, plain: bool, tag: &str) -> Read<(Scalar, bool)> {
    let short = tag.strip_prefix("tag:yaml.org,2002:").map_or_else(|| tag.to_owned(), |name| format!("!!{name}"));
    match short.as_str() {
        "" if !plain => Ok((Scalar::Str, true)),
        "" => Ok((resolve(text.as_bytes()), false)),
        "!!bool" | "!!int" | "!!float" | "!!null" | "!!timestamp" => {
            let found = resolve(text.as_bytes());
            match (&found, short.as_str()) {
                (Scalar::Int(number), "!!float") => Ok((Scalar::Float(as_float(number)), false)),
                _ if found.tag() == short => Ok((found, false)),
                _ => Err(format!("yaml: cannot decode {} `{text}` as a {short}", found.tag())),
            }
        }
        // Texts, and tags that nobody knows.
        _ => Ok((Scalar::Str, true)),
    }
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Int(_, number) => *number as f64,
        Value::Uint(_, number) => *number as f64,
        _ => 0.0,
    }
}

fn scalar_value(text: &str, plain: bool, tag: &str, target: Target) -> Read<Value> {
    if tag.ends_with("binary") {
        let decoded = super::super::sprig::decode_base64(text.as_bytes());
        return decoded
            .map(Value::string)
            .ok_or_else(|| "yaml: !!binary value contains invalid base64 data".to_owned());
    }
    let (scalar, _) = scalar(text, plain, tag)?;
    Ok(match scalar {
        Scalar::Null => Value::Nil,
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Int(number) if target == Target::Json => Value::Float(as_float(&number)),
        Scalar::Int(number) => number,
        Scalar::Float(number) => Value::Float(number),
        Scalar::Timestamp | Scalar::Merge | Scalar::Str => Value::from(text),
    })
}

fn unmarshal_error(node: &Node, wanted: &str) -> String {
    let (line, found) = match node {
        Node::Scalar { text, plain, tag, line, .. } => {
            let tag = scalar(text, *plain, tag).map_or("!!str", |(scalar, _)| scalar.tag());
            let shown = match text.char_indices().nth(10) {
                Some(_) => format!("{}...", text.chars().take(7).collect::<String>()),
                None => text.clone(),
            };
            (*line, format!("{tag} `{shown}`"))
        }
        Node::List { line, .. } => (*line, "!!seq".to_owned()),
        Node::Map { line, .. } => (*line, "!!map".to_owned()),
        Node::Alias(_) => (0, "alias".to_owned()),
    };
    format!("yaml: unmarshal errors:\n  line {line}: cannot unmarshal {found} into {wanted}")
}

/// What is wrong with a text, worded and counted as Go's library does as far as that is known.
fn worded(line: usize, problem: &str) -> String {
    let problem = match problem.strip_prefix("while ").and_then(|problem| problem.split_once(", ")) {
        Some((_, problem)) => problem,
        None => problem,
    };
    let problem = match problem {
        "expected ',' or ']'" => "did not find expected ',' or ']'",
        "found unknown anchor" => return "yaml: unknown anchor referenced".to_owned(),
        "simple key expected" => "could not find expected ':'",
        other if other.starts_with("unexpected character") => "found character that cannot start any token",
        other => other,
    };
    // The parser counts lines from 0, the scanner from 1; the first is not named.
    let line = line.saturating_sub(1);
    if line == 0 {
        return format!("yaml: {problem}");
    }
    let line = line + usize::from(!problem.starts_with("did not find"));
    format!("yaml: line {line}: {problem}")
}

fn as_text(text: &[u8]) -> Read<&str> {
    std::str::from_utf8(text).map_err(|_| "yaml: invalid leading UTF-8 octet".to_owned())
}

/// Reads a mapping as `yaml.v2` decodes it into a `map[string]interface {}`.
pub(in super::super) fn read_map(text: &[u8]) -> Read<Value> {
    let document = load(as_text(text)?)?;
    let map = Map::new();
    let Some(root) = document.root else { return Ok(Value::Map(map)) };
    match document.nodes.get(root) {
        Some(Node::Map { .. }) => {
            Decoder { document: &document, target: Target::Native, open: Vec::new() }.fill(&map, root)?;
            Ok(Value::Map(map))
        }
        Some(Node::Scalar { text, plain, tag, .. }) if matches!(scalar(text, *plain, tag)?.0, Scalar::Null) => {
            Ok(Type::MAP.nil_value())
        }
        Some(other) => Err(unmarshal_error(other, "map[string]interface {}")),
        None => Ok(Value::Map(map)),
    }
}

/// Reads a list by way of JSON.
pub(in super::super) fn read_list(text: &[u8]) -> Read<Value> {
    let converting = |reason: String| format!("error converting YAML to JSON: {reason}");
    let document = as_text(text).and_then(load).map_err(converting)?;
    let Some(root) = document.root else { return Ok(Value::list(Vec::new())) };
    let mut decoder = Decoder { document: &document, target: Target::Json, open: Vec::new() };
    let value = decoder.value(root).map_err(converting)?;
    json::encode(&value, json::COMPACT).map_err(|error| converting(error.into()))?;
    let found = match value {
        Value::List(_) => return Ok(value),
        Value::Nil => return Ok(Value::list(Vec::new())),
        Value::Map(_) => "object",
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    Err(format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type []interface {{}}"
    ))
}
