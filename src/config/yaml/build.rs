//! saphyr's events as a tree.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::split::Chunk;
use super::tree::{Content, Entry, Mark, Node, Scalar, ScalarKind};
use super::{MAX_DEPTH, MAX_NODES};
use crate::source::Diagnostic;

/// The tree of a chunk; `None` when it holds no document. `nodes` counts over all chunks.
pub(super) fn tree(file: &str, chunk: Chunk<'_>, nodes: &mut usize) -> Result<Option<Node>, Vec<Diagnostic>> {
    let mut builder = Builder {
        file,
        lines_before: chunk.lines_before,
        lines: chunk.text.split('\n').collect(),
        nodes,
        frames: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        problems: Vec::new(),
    };
    for event in Parser::new_from_str(chunk.text) {
        let handled = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.syntax(&error)),
        };
        if let Err(problem) = handled {
            builder.problems.push(*problem);
            break;
        }
    }
    if builder.problems.is_empty() { Ok(builder.root) } else { Err(builder.problems) }
}

struct Builder<'a> {
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
    Mapping { entries: Vec<Entry>, key: Option<(String, Mark)>, seen: HashMap<String, Mark> },
}

type Step = Result<(), Box<Diagnostic>>;

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                let left_out = span.is_empty() && style == ScalarStyle::Plain;
                let text = if left_out { String::new() } else { text.into_owned() };
                let kind = if left_out { ScalarKind::Null } else { ScalarKind::Text };
                let node = Node { mark: self.mark(span), content: Content::Scalar(Scalar { text, kind }) };
                self.count(1, span)?;
                self.complete(node, anchor, 1)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                self.open(Open::Sequence(Vec::new()), anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span)?;
                self.open(Open::Mapping { entries: Vec::new(), key: None, seen: HashMap::new() }, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::DocumentStart(_) if self.root.is_some() => {
                let problem = self.problem(self.mark(span), "a document after `...` does not start with `---`");
                Err(Box::new(problem.help("start each document with a line `---`")))
            }
            _ => Ok(()),
        }
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
        self.complete(Node { mark, content }, anchor, nodes)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        let Some((node, nodes)) = self.anchors.get(&anchor).cloned() else {
            return Err(Box::new(self.problem(self.mark(span), "an anchor cannot contain itself")));
        };
        self.count(nodes, span)?;
        if self.frames.len() + depth(&node) > MAX_DEPTH {
            return Err(Box::new(self.problem(self.mark(span), format!("nested deeper than {MAX_DEPTH} levels"))));
        }
        self.complete(node, 0, nodes)
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize, nodes: usize) -> Step {
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
                if let Some((key, mark)) = key.take() {
                    entries.push(Entry { key, mark, value: node });
                    return Ok(());
                }
                let Content::Scalar(scalar) = node.content else {
                    return Err(Box::new(self.problem(node.mark, "a key must be text, not a list or a map")));
                };
                if frame.mark.len == 0 {
                    frame.mark = node.mark;
                }
                let earlier = seen.insert(scalar.text.clone(), node.mark);
                *key = Some((scalar.text.clone(), node.mark));
                if let Some(earlier) = earlier {
                    self.duplicate(&scalar.text, node.mark, earlier);
                }
            }
        }
        Ok(())
    }

    fn duplicate(&mut self, key: &str, mark: Mark, earlier: Mark) {
        let problem = Diagnostic::error(format!("the key `{key}` is there twice"))
            .at(mark.place(self.file))
            .label("again here")
            .related(earlier.place(self.file), "first here");
        self.problems.push(problem);
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

    fn check_tag(&self, tag: Option<&Tag>, span: Span) -> Step {
        const CORE: [&str; 7] = ["str", "int", "float", "bool", "null", "map", "seq"];
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && CORE.contains(&tag.suffix.as_str())) => {
                let written = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
                let problem = self.problem(self.mark(span), format!("the YAML tag `{written}` means nothing here"));
                Err(Box::new(problem.help("quote the value if it is text that starts with `!`")))
            }
            _ => Ok(()),
        }
    }

    fn syntax(&self, error: &saphyr_parser::ScanError) -> Box<Diagnostic> {
        let mark = error.marker();
        let mut at = Mark { line: mark.line() + self.lines_before, column: mark.col() + 1, len: 1 };
        at.line = at.line.clamp(1, self.lines_before + self.lines.len());
        let problem = self.problem(at, format!("this is not valid YAML: {}", error.info()));
        let text = self.lines.get(at.line - 1 - self.lines_before).copied().unwrap_or_default();
        Box::new(match remedy(text, error.info()) {
            Some(help) => problem.help(help),
            None => problem,
        })
    }

    fn problem(&self, mark: Mark, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(mark.place(self.file))
    }

    /// A span cut to its first line.
    fn mark(&self, span: Span) -> Mark {
        let (start, end) = (span.start, span.end);
        let column = start.col() + 1;
        let line = self.lines.get(start.line().saturating_sub(1)).map_or(0, |line| line.trim_end().chars().count());
        let rest = (line + 1).saturating_sub(column);
        let len = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { rest };
        Mark { line: start.line() + self.lines_before, column, len: len.min(rest) }
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

/// Keys of entries, for whoever needs to know which are there.
pub(super) fn keys(entries: &[Entry]) -> HashSet<String> {
    entries.iter().map(|entry| entry.key.clone()).collect()
}
