//! The parsed form of a template. The nodes of one text lie in one vector and refer to each other by number, so that
//! neither dropping nor cloning them recurses.

use std::sync::Arc;

use super::quote::quoted;
use super::text::Str;

/// Number of a node in its [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) u32);

/// A node: where it is and what it is.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: usize,
    pub(super) kind: NodeKind,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    List(Vec<NodeId>),
    Text(Vec<u8>),
    Action(NodeId),
    Break,
    Continue,
    Branch(Branch),
    Template {
        name: Str,
        pipe: Option<NodeId>,
    },
    Pipe(Pipe),
    Command(Vec<NodeId>),
    Identifier(String),
    /// The name, with its `$`, and fields.
    Variable(Vec<String>),
    Dot,
    Nil,
    Field(Vec<String>),
    Chain {
        node: NodeId,
        fields: Vec<String>,
    },
    Bool(bool),
    Number(Number),
    String {
        literal: Vec<u8>,
        text: Str,
    },
    /// Only during parsing.
    End,
    /// Only during parsing.
    Else,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchKind {
    If,
    With,
    Range,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) kind: BranchKind,
    pub(super) pipe: NodeId,
    pub(super) list: NodeId,
    pub(super) otherwise: Option<NodeId>,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) assigns: bool,
    /// Variables that the pipeline sets: names with `$`.
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<NodeId>,
}

/// A number with everything that it can be.
#[derive(Debug, Default)]
pub(super) struct Number {
    pub(super) text: String,
    pub(super) int: Option<i64>,
    pub(super) uint: Option<u64>,
    pub(super) float: Option<f64>,
    pub(super) complex: Option<(f64, f64)>,
}

/// One parsed text.
#[derive(Debug)]
pub(super) struct Source {
    /// The name under which the text was parsed; errors name it.
    pub(super) name: Str,
    /// Positions of the line feeds.
    pub(super) lines: Vec<usize>,
    pub(super) nodes: Vec<Node>,
}

impl Source {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Line (from 1) and column (bytes, from 0) of a position.
    pub(super) fn place(&self, position: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&end| end < position);
        let start = line.checked_sub(1).map_or(0, |previous| self.lines[previous] + 1);
        (line + 1, position - start)
    }

    /// The node as errors quote it.
    pub(super) fn describe(&self, id: NodeId) -> String {
        let mut out = String::new();
        self.write(&mut out, id);
        out
    }

    fn write(&self, out: &mut String, id: NodeId) {
        match &self.node(id).kind {
            NodeKind::Action(pipe) => {
                out.push_str("{{");
                self.write(out, *pipe);
                out.push_str("}}");
            }
            NodeKind::Template { name, pipe } => {
                out.push_str("{{template ");
                out.push_str(&quoted(name));
                if let Some(pipe) = pipe {
                    out.push(' ');
                    self.write(out, *pipe);
                }
                out.push_str("}}");
            }
            NodeKind::Pipe(pipe) => self.write_pipe(out, pipe),
            NodeKind::Command(arguments) => self.write_command(out, arguments),
            NodeKind::Chain { node, fields } => {
                self.write_parenthesized(out, *node);
                write_fields(out, fields);
            }
            NodeKind::Identifier(name) => out.push_str(name),
            NodeKind::Variable(parts) => out.push_str(&parts.join(".")),
            NodeKind::Field(fields) => write_fields(out, fields),
            NodeKind::Dot => out.push('.'),
            NodeKind::Nil => out.push_str("nil"),
            NodeKind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            NodeKind::Number(number) => out.push_str(&number.text),
            NodeKind::String { literal, .. } => out.push_str(&String::from_utf8_lossy(literal)),
            NodeKind::Break => out.push_str("{{break}}"),
            NodeKind::Continue => out.push_str("{{continue}}"),
            NodeKind::End => out.push_str("{{end}}"),
            NodeKind::Else => out.push_str("{{else}}"),
            // Errors are never placed at these.
            NodeKind::List(_) | NodeKind::Text(_) | NodeKind::Branch(_) => {}
        }
    }

    fn write_pipe(&self, out: &mut String, pipe: &Pipe) {
        if !pipe.variables.is_empty() {
            out.push_str(&pipe.variables.join(", "));
            out.push_str(if pipe.assigns { " = " } else { " := " });
        }
        for (index, command) in pipe.commands.iter().enumerate() {
            if index > 0 {
                out.push_str(" | ");
            }
            self.write(out, *command);
        }
    }

    fn write_command(&self, out: &mut String, arguments: &[NodeId]) {
        for (index, argument) in arguments.iter().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            self.write_parenthesized(out, *argument);
        }
    }

    fn write_parenthesized(&self, out: &mut String, id: NodeId) {
        if matches!(self.node(id).kind, NodeKind::Pipe(_)) {
            out.push('(');
            self.write(out, id);
            out.push(')');
        } else {
            self.write(out, id);
        }
    }

    /// Whether a template with this body is blank: such a definition does not replace another.
    pub(super) fn is_blank(&self, id: NodeId) -> bool {
        match &self.node(id).kind {
            NodeKind::List(nodes) => nodes.iter().all(|&node| self.is_blank(node)),
            NodeKind::Text(text) => super::text::trim_both(text, super::text::is_space).is_empty(),
            _ => false,
        }
    }
}

fn write_fields(out: &mut String, fields: &[String]) {
    for field in fields {
        out.push('.');
        out.push_str(field);
    }
}

/// A named template: a list of nodes in some source.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) name: Str,
    pub(super) source: Arc<Source>,
    pub(super) root: NodeId,
}
