//! A parser's events as a tree.

use std::collections::HashMap;

use super::events::{CORE_TAGS, Event, Span, SyntaxError};
use super::split::Chunk;
use super::tree::{Content, Entry, Mark, Node, Scalar, ScalarKind};
use super::{Flavor, MAX_DEPTH, MAX_NODES, code};
use crate::source::Diagnostic;

/// What a chunk holds, as far as it could be read.
pub(super) struct Built {
    /// `None` when it holds no document. Whole when nothing else is wrong but keys that are there twice.
    pub(super) root: Option<Node>,
    pub(super) problems: Vec<Diagnostic>,
}

/// The tree of the events of a chunk. `nodes` counts over all chunks.
pub(super) fn tree(
    flavor: Flavor,
    file: &str,
    chunk: Chunk<'_>,
    events: impl Iterator<Item = Result<(Event, Span), SyntaxError>>,
    nodes: &mut usize,
) -> Built {
    let mut builder = Builder {
        flavor,
        file,
        lines_before: chunk.lines_before,
        lines: chunk.text.split('\n').collect(),
        nodes,
        frames: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        problems: Vec::new(),
    };
    for event in events {
        let handled = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.syntax(&error)),
        };
        if let Err(problem) = handled {
            builder.problems.push(*problem);
            break;
        }
    }
    Built { root: builder.root, problems: builder.problems }
}

struct Builder<'a> {
    flavor: Flavor,
    file: &'a str,
    lines_before: usize,
    lines: Vec<&'a str>,
    nodes: &'a mut usize,
    frames: Vec<Frame>,
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    problems: Vec<Diagnostic>,
}

/// A list or map being read.
struct Frame {
    mark: Mark,
    anchor: usize,
    nodes_before: usize,
    content: Open,
}

enum Open {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, key: Option<Key>, seen: HashMap<String, Mark> },
}

/// A key whose value comes next.
struct Key {
    text: String,
    mark: Mark,
    merge: bool,
}

/// The key that takes in other maps.
const MERGE: &str = "<<";

type Step = Result<(), Box<Diagnostic>>;

impl Builder<'_> {
    fn event(&mut self, event: Event, span: Span) -> Step {
        match event {
            Event::Scalar { text, plain, anchor, tag } => {
                self.check_tag(tag.as_deref(), span)?;
                self.count(1, span)?;
                let scalar = self.scalar(text, plain, tag.as_deref(), span);
                self.complete(Node { mark: self.mark(span), content: Content::Scalar(scalar) }, anchor, 1, plain)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart { anchor, tag } => {
                self.check_tag(tag.as_deref(), span)?;
                self.open(Open::Sequence(Vec::new()), anchor, span)
            }
            Event::MappingStart { anchor, tag } => {
                self.check_tag(tag.as_deref(), span)?;
                self.open(Open::Mapping { entries: Vec::new(), key: None, seen: HashMap::new() }, anchor, span)
            }
            Event::End => self.close(span),
            Event::DocumentStart if self.root.is_some() => {
                let problem = self.problem(self.mark(span), "a document after `...` does not start with `---`");
                Err(Box::new(problem.help("start each document with a line `---`")))
            }
            Event::DocumentStart | Event::Other => Ok(()),
        }
    }

    /// In YAML 1.2 the kind of what is there is found out later, by [`super::values`].
    fn scalar(&self, text: String, plain: bool, tag: Option<&str>, span: Span) -> Scalar {
        let left_out = plain && span.is_empty();
        let text = if left_out { String::new() } else { text };
        let kind = match self.flavor {
            Flavor::Yaml12 if left_out => ScalarKind::Null,
            Flavor::Yaml12 => ScalarKind::Text,
            Flavor::Yaml11 => super::yaml11::kind(&text, plain, tag),
        };
        Scalar { text, kind }
    }

    fn open(&mut self, content: Open, anchor: usize, span: Span) -> Step {
        let mark = self.mark(span);
        if self.frames.len() >= MAX_DEPTH {
            return Err(Box::new(self.problem(mark, format!("nested deeper than {MAX_DEPTH} levels"))));
        }
        self.count(1, span)?;
        let nodes_before = *self.nodes - 1;
        self.frames.push(Frame { mark, anchor, nodes_before, content });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Step {
        let Some(Frame { mut mark, anchor, nodes_before, content }) = self.frames.pop() else { return Ok(()) };
        let end = self.mark(span);
        if end.line == mark.line && end.column > mark.column {
            mark.len = end.column - mark.column + end.len.min(1);
        }
        let content = match content {
            Open::Sequence(items) => Content::Sequence(items),
            Open::Mapping { entries, .. } => Content::Mapping(entries),
        };
        let nodes = *self.nodes - nodes_before;
        self.complete(Node { mark, content }, anchor, nodes, false)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        let Some((node, nodes)) = self.anchors.get(&anchor).cloned() else {
            return Err(Box::new(self.problem(self.mark(span), "an anchor cannot contain itself")));
        };
        self.count(nodes, span)?;
        if self.frames.len() + depth(&node) > MAX_DEPTH {
            return Err(Box::new(self.problem(self.mark(span), format!("nested deeper than {MAX_DEPTH} levels"))));
        }
        self.complete(node, 0, nodes, false)
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize, nodes: usize, plain: bool) -> Step {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.content {
            Open::Sequence(items) => items.push(node),
            Open::Mapping { entries, key, seen } => {
                if let Some(key) = key.take() {
                    entries.push(Entry { key: key.text, mark: key.mark, merge: key.merge, value: node });
                    return Ok(());
                }
                let Content::Scalar(scalar) = node.content else {
                    return Err(Box::new(self.problem(node.mark, "a key must be text, not a list or a map")));
                };
                if frame.mark.len == 0 {
                    frame.mark = node.mark;
                }
                let merge = scalar.text == MERGE && (plain || self.flavor == Flavor::Yaml12);
                let again = !(merge && self.flavor == Flavor::Yaml11);
                let earlier = seen.insert(scalar.text.clone(), node.mark).filter(|_| again);
                self.problems.extend(earlier.map(|earlier| twice(self.file, &scalar.text, node.mark, earlier)));
                *key = Some(Key { text: scalar.text, mark: node.mark, merge });
            }
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Step {
        *self.nodes = self.nodes.saturating_add(nodes);
        if *self.nodes > MAX_NODES {
            let problem =
                self.problem(self.mark(span), format!("the text has more than {MAX_NODES} values, aliases expanded"));
            return Err(Box::new(problem));
        }
        Ok(())
    }

    fn check_tag(&self, tag: Option<&str>, span: Span) -> Step {
        const CORE: [&str; 7] = ["str", "int", "float", "bool", "null", "map", "seq"];
        let Some(tag) = tag else { return Ok(()) };
        let known = match tag.strip_prefix(CORE_TAGS) {
            Some(name) => CORE.contains(&name),
            None => self.flavor == Flavor::Yaml11,
        };
        if known {
            return Ok(());
        }
        let written = tag.strip_prefix(CORE_TAGS).map_or_else(|| tag.to_owned(), |name| format!("!!{name}"));
        let problem = self.problem(self.mark(span), format!("the YAML tag `{written}` means nothing here"));
        Err(Box::new(problem.help("quote the value if it is text that starts with `!`")))
    }

    fn syntax(&self, error: &SyntaxError) -> Box<Diagnostic> {
        let mut at = Mark { line: error.at.0 + self.lines_before, column: error.at.1 + 1, len: 1 };
        at.line = at.line.clamp(self.lines_before + 1, self.lines_before + self.lines.len());
        let problem = self.problem(at, format!("this is not valid YAML: {}", error.reason));
        let text = self.lines.get(at.line - 1 - self.lines_before).copied().unwrap_or_default();
        Box::new(match remedy(text, &error.reason) {
            Some(help) => problem.help(help),
            None => problem,
        })
    }

    fn problem(&self, mark: Mark, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(mark.place(self.file)).code(code::SYNTAX)
    }

    /// A span cut to its first line.
    fn mark(&self, span: Span) -> Mark {
        let ((line, column), (end_line, end_column)) = (span.start, span.end);
        let width = self.lines.get(line.saturating_sub(1)).map_or(0, |line| line.trim_end().chars().count());
        let rest = width.saturating_sub(column);
        let len = if line == end_line { end_column.saturating_sub(column) } else { rest };
        Mark { line: line + self.lines_before, column: column + 1, len: len.min(rest) }
    }
}

fn remedy(line: &str, info: &str) -> Option<String> {
    if line.contains('\t') && info.contains("tab") {
        return Some("indent with spaces: YAML forbids tabs there".to_owned());
    }
    if info.contains("mapping values") {
        return Some("quote the value if it contains `: `".to_owned());
    }
    if line.contains("{{") || line.contains("{%") {
        return Some("this looks like a template tag that was not rendered".to_owned());
    }
    None
}

fn depth(node: &Node) -> usize {
    match &node.content {
        Content::Scalar(_) => 0,
        Content::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Content::Mapping(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
    }
}

/// A key that is there a second time.
pub(super) fn twice(file: &str, key: &str, mark: Mark, earlier: Mark) -> Diagnostic {
    Diagnostic::error(format!("the key `{key}` is there twice"))
        .at(mark.place(file))
        .label("again here")
        .related(earlier.place(file), "first here")
        .code(code::DUPLICATE_KEY)
}
