//! The inside of actions: pipelines, commands and their operands.

use super::ast::{NodeId, NodeKind, Pipe};
use super::lex::{Keyword, Kind, Token};
use super::number;
use super::parse::{Parsed, Parser};
use super::quote::quoted;

/// Nested parentheses that Go allows.
const MAX_PARENTHESES: usize = 10_000;

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<NodeId> {
        self.descend()?;
        let position = self.peek_word().position;
        let mut pipe = Pipe { assigns: false, variables: Vec::new(), commands: Vec::new() };
        while self.declaration(&mut pipe, context)? {}
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Keyword(Keyword::Nil)
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.check_pipeline(&pipe, context)?;
        Ok(self.node(position, NodeKind::Pipe(pipe)))
    }

    /// Takes one variable that the pipeline sets; true if another one may follow.
    fn declaration(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<bool> {
        let variable = self.peek_word();
        if variable.kind != Kind::Variable {
            return Ok(false);
        }
        self.next();
        let after = self.peek();
        let next = self.peek_word();
        let name = String::from_utf8_lossy(&variable.value).into_owned();
        if matches!(next.kind, Kind::Assign | Kind::Declare) {
            pipe.assigns = next.kind == Kind::Assign;
            self.next_word();
            pipe.variables.push(name.clone());
            self.tree.variables.push(name);
            return Ok(false);
        }
        if next.kind == Kind::Char && next.value.as_ref() == b"," {
            self.next_word();
            pipe.variables.push(name.clone());
            self.tree.variables.push(name);
            if context == "range" && pipe.variables.len() < 2 {
                return match self.peek_word().kind {
                    Kind::Variable | Kind::RightDelim | Kind::RightParen => Ok(true),
                    _ => Err(self.error("range can only initialize variables".to_owned())),
                };
            }
            return Err(self.error(format!("too many declarations in {context}")));
        }
        // An argument after all: give the variable back, with the space behind it.
        if after.kind == Kind::Space {
            self.tree.tokens[1] = after;
            self.tree.tokens[2] = variable;
            self.tree.peeked = 3;
        } else {
            self.tree.tokens[1] = variable;
            self.tree.peeked = 2;
        }
        Ok(false)
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (index, &command) in pipe.commands.iter().enumerate().skip(1) {
            let NodeKind::Command(arguments) = self.kind(command) else { continue };
            let constant = matches!(
                arguments.first().map(|&first| self.kind(first)),
                Some(NodeKind::Bool(_) | NodeKind::Dot | NodeKind::Nil | NodeKind::Number(_) | NodeKind::String { .. })
            );
            if constant {
                return Err(self.error(format!("non executable command in pipeline stage {}", index + 1)));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<NodeId> {
        let position = self.peek_word().position;
        let mut arguments = Vec::new();
        loop {
            self.peek_word();
            if let Some(operand) = self.operand()? {
                arguments.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.back();
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(&token, "operand")),
            }
        }
        if arguments.is_empty() {
            return Err(self.error("empty command".to_owned()));
        }
        Ok(self.node(position, NodeKind::Command(arguments)))
    }

    fn operand(&mut self) -> Parsed<Option<NodeId>> {
        let Some(node) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(node));
        }
        let position = self.peek().position;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(field_name(&self.next()));
        }
        let kind = match &mut self.nodes[node.0 as usize].kind {
            NodeKind::Field(names) => NodeKind::Field(names.drain(..).chain(fields).collect()),
            NodeKind::Variable(names) => NodeKind::Variable(names.drain(..).chain(fields).collect()),
            NodeKind::Bool(_) | NodeKind::String { .. } | NodeKind::Number(_) | NodeKind::Nil | NodeKind::Dot => {
                let term = self.describe(node);
                return Err(self.error(format!("unexpected . after term {}", quoted(term.as_bytes()))));
            }
            _ => NodeKind::Chain { node, fields },
        };
        Ok(Some(self.node(position, kind)))
    }

    /// A constant as an error quotes it.
    fn describe(&self, id: NodeId) -> String {
        match self.kind(id) {
            NodeKind::Bool(value) => value.to_string(),
            NodeKind::Number(number) => number.text.clone(),
            NodeKind::String { literal, .. } => String::from_utf8_lossy(literal).into_owned(),
            NodeKind::Nil => "nil".to_owned(),
            _ => ".".to_owned(),
        }
    }

    fn term(&mut self) -> Parsed<Option<NodeId>> {
        let token = self.next_word();
        let kind = match token.kind {
            Kind::Identifier => {
                let name = String::from_utf8_lossy(&token.value).into_owned();
                if !(self.knows)(&name) {
                    return Err(self.error(format!("function {} not defined", quoted(&token.value))));
                }
                NodeKind::Identifier(name)
            }
            Kind::Dot => NodeKind::Dot,
            Kind::Keyword(Keyword::Nil) => NodeKind::Nil,
            Kind::Variable => {
                let name = String::from_utf8_lossy(&token.value).into_owned();
                if !self.tree.variables.contains(&name) {
                    return Err(self.error(format!("undefined variable {}", quoted(&token.value))));
                }
                NodeKind::Variable(vec![name])
            }
            Kind::Field => NodeKind::Field(vec![field_name(&token)]),
            Kind::Bool => NodeKind::Bool(token.value.as_ref() == b"true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                NodeKind::Number(number::literal(&token).map_err(|message| self.error(message))?)
            }
            Kind::LeftParen => {
                if self.tree.parentheses >= MAX_PARENTHESES {
                    return Err(self.error("max expression depth exceeded".to_owned()));
                }
                self.tree.parentheses += 1;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.tree.parentheses -= 1;
                return Ok(Some(pipe));
            }
            Kind::String | Kind::RawString => {
                let text = self.unquoted(&token)?.into();
                NodeKind::String { literal: token.value.into_owned(), text }
            }
            _ => {
                self.back();
                return Ok(None);
            }
        };
        Ok(Some(self.node(token.position, kind)))
    }
}

fn field_name(token: &Token<'_>) -> String {
    String::from_utf8_lossy(token.value.get(1..).unwrap_or_default()).into_owned()
}
