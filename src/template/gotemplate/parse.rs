//! Tokens into templates: the grammar of Go's `text/template`, with its checks and error texts.
//!
//! A `define` or `block` is a template of its own within the text: it has its own variables and its own look-ahead, which
//! also decides on which line an error is reported. [`Parser::fresh`] switches between them.

use std::sync::Arc;

use super::ast::{Branch, BranchKind, Node, NodeId, NodeKind, Source, Template};
use super::error::TemplateError;
use super::guard;
use super::lex::{Keyword, Kind, Lexer, Token};
use super::quote::{quoted, unquote};
use super::text::Str;

pub(super) type Parsed<T> = Result<T, Box<TemplateError>>;

/// Parses one text into the templates that it holds: those that it defines and itself.
pub(super) fn parse(name: &Str, text: &[u8], knows: &dyn Fn(&str) -> bool) -> Parsed<Vec<Template>> {
    let mut parser = Parser {
        name: name.clone(),
        lexer: Lexer::new(text),
        knows,
        nodes: Vec::new(),
        definitions: Vec::new(),
        tree: Tree::new(),
    };
    let root = parser.text()?;
    parser.add(name.clone(), root)?;
    let lines = memchr::memchr_iter(b'\n', text).collect();
    let source = Arc::new(Source { name: name.clone(), lines, nodes: parser.nodes });
    let definitions = parser.definitions.into_iter();
    Ok(definitions.map(|(name, root)| Template { name, source: Arc::clone(&source), root }).collect())
}

/// What belongs to the template being parsed, not to the text.
pub(super) struct Tree<'a> {
    pub(super) tokens: [Token<'a>; 3],
    pub(super) peeked: usize,
    pub(super) variables: Vec<String>,
    action_line: usize,
    range_depth: usize,
    pub(super) parentheses: usize,
}

impl Tree<'_> {
    fn new() -> Self {
        Self {
            tokens: [Token::nothing(), Token::nothing(), Token::nothing()],
            peeked: 0,
            variables: vec!["$".to_owned()],
            action_line: 0,
            range_depth: 0,
            parentheses: 0,
        }
    }
}

pub(super) struct Parser<'a> {
    name: Str,
    lexer: Lexer<'a>,
    pub(super) knows: &'a dyn Fn(&str) -> bool,
    pub(super) nodes: Vec<Node>,
    definitions: Vec<(Str, NodeId)>,
    pub(super) tree: Tree<'a>,
}

impl<'a> Parser<'a> {
    pub(super) fn error(&self, message: String) -> Box<TemplateError> {
        Box::new(TemplateError::parse(&self.name, self.tree.tokens[0].line, message))
    }

    pub(super) fn descend(&self) -> Parsed<()> {
        guard::descend().map_err(|exhausted| self.error(exhausted.into()))
    }

    pub(super) fn node(&mut self, position: usize, kind: NodeKind) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node { position, kind });
        id
    }

    pub(super) fn kind(&self, id: NodeId) -> &NodeKind {
        &self.nodes[id.0 as usize].kind
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        if self.tree.peeked > 0 {
            self.tree.peeked -= 1;
        } else {
            self.tree.tokens[0] = self.lexer.next();
        }
        self.tree.tokens[self.tree.peeked].clone()
    }

    pub(super) fn back(&mut self) {
        self.tree.peeked += 1;
    }

    pub(super) fn peek(&mut self) -> Token<'a> {
        if self.tree.peeked == 0 {
            self.tree.peeked = 1;
            self.tree.tokens[0] = self.lexer.next();
        }
        self.tree.tokens[self.tree.peeked - 1].clone()
    }

    pub(super) fn next_word(&mut self) -> Token<'a> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    pub(super) fn peek_word(&mut self) -> Token<'a> {
        let token = self.next_word();
        self.back();
        token
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token<'a>> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    pub(super) fn unexpected(&self, token: &Token<'_>, context: &str) -> Box<TemplateError> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.describe()));
        }
        let mut message = token.describe();
        let started = self.tree.action_line;
        if started != 0 && started != token.line {
            let word = if message.ends_with(" action") { "" } else { " in action" };
            message = format!("{message}{word} started at {}:{started}", self.name);
        }
        self.error(message)
    }

    /// Runs `parse` as a template of its own.
    fn fresh<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = std::mem::replace(&mut self.tree, Tree::new());
        let result = parse(self)?;
        self.tree = outer;
        Ok(result)
    }

    /// Registers a template; a second one of the name is only fine if one of the two is blank.
    fn add(&mut self, name: Str, root: NodeId) -> Parsed<()> {
        match self.definitions.iter().position(|(known, _)| *known == name) {
            None => self.definitions.push((name, root)),
            Some(index) if self.is_blank(self.definitions[index].1) => self.definitions[index].1 = root,
            Some(_) if self.is_blank(root) => {}
            Some(_) => {
                return Err(self.error(format!("template: multiple definition of template {}", quoted(&name))));
            }
        }
        Ok(())
    }

    fn is_blank(&self, root: NodeId) -> bool {
        match self.kind(root) {
            NodeKind::List(nodes) => nodes.iter().all(|&node| self.is_blank(node)),
            NodeKind::Text(text) => super::text::trim_both(text, super::text::is_space).is_empty(),
            _ => false,
        }
    }

    /// The whole text, up to its end.
    fn text(&mut self) -> Parsed<NodeId> {
        let position = self.peek().position;
        let mut list = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delimiter = self.next();
                if self.next_word().is(Keyword::Define) {
                    self.fresh(Self::definition)?;
                    continue;
                }
                self.tree.tokens[1] = delimiter;
                self.tree.peeked = 2;
            }
            let node = self.text_or_action()?;
            match self.kind(node) {
                NodeKind::End => return Err(self.error("unexpected {{end}}".to_owned())),
                NodeKind::Else => return Err(self.error("unexpected {{else}}".to_owned())),
                _ => list.push(node),
            }
        }
        Ok(self.node(position, NodeKind::List(list)))
    }

    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let token = self.next_word();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::RightDelim, context)?;
        let root = self.body(context)?;
        self.add(name, root)
    }

    /// A list that must end with `{{end}}`.
    fn body(&mut self, context: &str) -> Parsed<NodeId> {
        let (list, end) = self.list()?;
        if matches!(self.kind(end), NodeKind::Else) {
            return Err(self.error(format!("unexpected {{{{else}}}} in {context}")));
        }
        Ok(list)
    }

    /// Nodes up to an `{{end}}` or `{{else}}`, which is given back beside them.
    fn list(&mut self) -> Parsed<(NodeId, NodeId)> {
        self.descend()?;
        let position = self.peek_word().position;
        let mut list = Vec::new();
        while self.peek_word().kind != Kind::Eof {
            let node = self.text_or_action()?;
            if matches!(self.kind(node), NodeKind::End | NodeKind::Else) {
                return Ok((self.node(position, NodeKind::List(list)), node));
            }
            list.push(node);
        }
        Err(self.error("unexpected EOF".to_owned()))
    }

    fn text_or_action(&mut self) -> Parsed<NodeId> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(self.node(token.position, NodeKind::Text(token.value.into_owned()))),
            Kind::LeftDelim => {
                self.tree.action_line = token.line;
                let node = self.action()?;
                self.tree.action_line = 0;
                Ok(node)
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Parsed<NodeId> {
        let token = self.next_word();
        if let Kind::Keyword(keyword) = token.kind {
            match keyword {
                Keyword::Block => return self.block(),
                Keyword::Break => return self.leave(&token, "break", NodeKind::Break),
                Keyword::Continue => return self.leave(&token, "continue", NodeKind::Continue),
                Keyword::Else => return self.otherwise(),
                Keyword::End => {
                    let end = self.expect(Kind::RightDelim, "end")?;
                    return Ok(self.node(end.position, NodeKind::End));
                }
                Keyword::If => return self.branch(BranchKind::If),
                Keyword::Range => return self.branch(BranchKind::Range),
                Keyword::With => return self.branch(BranchKind::With),
                Keyword::Template => return self.template(),
                Keyword::Define | Keyword::Nil => {}
            }
        }
        self.back();
        let position = self.peek().position;
        let pipe = self.pipeline("command", Kind::RightDelim)?;
        Ok(self.node(position, NodeKind::Action(pipe)))
    }

    fn leave(&mut self, token: &Token<'_>, word: &str, kind: NodeKind) -> Parsed<NodeId> {
        let next = self.next_word();
        if next.kind != Kind::RightDelim {
            return Err(self.unexpected(&next, &format!("{{{{{word}}}}}")));
        }
        if self.tree.range_depth == 0 {
            return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
        }
        Ok(self.node(token.position, kind))
    }

    fn otherwise(&mut self) -> Parsed<NodeId> {
        let next = self.peek_word();
        // "else if" and "else with" leave the second word for the branch.
        if next.is(Keyword::If) || next.is(Keyword::With) {
            return Ok(self.node(next.position, NodeKind::Else));
        }
        let end = self.expect(Kind::RightDelim, "else")?;
        Ok(self.node(end.position, NodeKind::Else))
    }

    fn branch(&mut self, kind: BranchKind) -> Parsed<NodeId> {
        self.descend()?;
        let variables = self.tree.variables.len();
        let (context, word) = match kind {
            BranchKind::If => ("if", Some(Keyword::If)),
            BranchKind::With => ("with", Some(Keyword::With)),
            BranchKind::Range => ("range", None),
        };
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let inside = usize::from(kind == BranchKind::Range);
        self.tree.range_depth += inside;
        let (list, next) = self.list()?;
        self.tree.range_depth -= inside;
        let mut otherwise = None;
        if matches!(self.kind(next), NodeKind::Else) {
            let continued = matches!(self.peek().kind, Kind::Keyword(found) if Some(found) == word);
            otherwise = Some(if continued {
                self.next();
                let position = self.nodes[next.0 as usize].position;
                let nested = self.branch(kind)?;
                self.node(position, NodeKind::List(vec![nested]))
            } else {
                let (list, end) = self.list()?;
                if matches!(self.kind(end), NodeKind::Else) {
                    return Err(self.error("expected end; found {{else}}".to_owned()));
                }
                list
            });
        }
        self.tree.variables.truncate(variables);
        let position = self.nodes[pipe.0 as usize].position;
        Ok(self.node(position, NodeKind::Branch(Branch { kind, pipe, list, otherwise })))
    }

    fn block(&mut self) -> Parsed<NodeId> {
        let context = "block clause";
        let token = self.next_word();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        self.fresh(|parser| {
            let root = parser.body(context)?;
            parser.add(name.clone(), root)
        })?;
        Ok(self.node(token.position, NodeKind::Template { name, pipe: Some(pipe) }))
    }

    fn template(&mut self) -> Parsed<NodeId> {
        let context = "template clause";
        let token = self.next_word();
        let name = self.template_name(&token, context)?;
        let mut pipe = None;
        if self.next_word().kind != Kind::RightDelim {
            self.back();
            pipe = Some(self.pipeline(context, Kind::RightDelim)?);
        }
        Ok(self.node(token.position, NodeKind::Template { name, pipe }))
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Parsed<Str> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return Err(self.unexpected(token, context));
        }
        Ok(self.unquoted(token)?.into())
    }

    pub(super) fn unquoted(&self, token: &Token<'_>) -> Parsed<Vec<u8>> {
        unquote(&token.value).ok_or_else(|| self.error("invalid syntax".to_owned()))
    }
}
