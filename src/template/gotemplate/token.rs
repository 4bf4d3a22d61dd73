//! The tokens of a template.

use std::borrow::Cow;

use super::quote::quoted;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Keyword(Keyword),
}

/// Words with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

pub(super) fn keyword(word: &[u8]) -> Option<Keyword> {
    Some(match word {
        b"block" => Keyword::Block,
        b"break" => Keyword::Break,
        b"continue" => Keyword::Continue,
        b"define" => Keyword::Define,
        b"else" => Keyword::Else,
        b"end" => Keyword::End,
        b"if" => Keyword::If,
        b"nil" => Keyword::Nil,
        b"range" => Keyword::Range,
        b"template" => Keyword::Template,
        b"with" => Keyword::With,
        _ => return None,
    })
}

/// A token: its kind, position in the text, content and line.
#[derive(Debug, Clone)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) position: usize,
    pub(super) value: Cow<'a, [u8]>,
    pub(super) line: usize,
}

impl Token<'_> {
    pub(super) fn nothing() -> Self {
        Self { kind: Kind::Error, position: 0, value: Cow::Borrowed(b""), line: 0 }
    }

    pub(super) fn is(&self, word: Keyword) -> bool {
        self.kind == Kind::Keyword(word)
    }

    /// The token as error messages show it.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => String::from_utf8_lossy(&self.value).into_owned(),
            Kind::Keyword(_) | Kind::Dot => format!("<{}>", String::from_utf8_lossy(&self.value)),
            _ if self.value.len() > 10 => {
                let end: usize = super::text::runes(&self.value).take(10).map(|(_, size)| size).sum();
                format!("{}...", quoted(&self.value[..end]))
            }
            _ => quoted(&self.value),
        }
    }
}
