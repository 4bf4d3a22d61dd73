//! Text into tokens, as Go's template lexer cuts it.

use std::borrow::Cow;

use super::quote::quoted;
use super::text::{decode, decode_last, is_digit, is_letter, is_print, trim_end, trim_start};
use super::token::keyword;
pub(super) use super::token::{Keyword, Kind, Token};

const LEFT: &[u8] = b"{{";
const RIGHT: &[u8] = b"}}";
const LEFT_COMMENT: &[u8] = b"/*";
const RIGHT_COMMENT: &[u8] = b"*/";
/// A trim marker and the space that belongs to it.
const TRIM_LENGTH: usize = 2;

fn is_blank(rune: u32) -> bool {
    matches!(rune, 0x20 | 0x09 | 0x0D | 0x0A)
}

fn is_alphanumeric(rune: u32) -> bool {
    rune == u32::from(b'_') || is_letter(rune) || is_digit(rune)
}

fn has_left_marker(text: &[u8]) -> bool {
    matches!(text, [b'-', space, ..] if is_blank(u32::from(*space)))
}

fn has_right_marker(text: &[u8]) -> bool {
    matches!(text, [space, b'-', ..] if is_blank(u32::from(*space)))
}

/// Cuts one text; [`Lexer::next`] gives its tokens one after the other.
pub(super) struct Lexer<'a> {
    input: &'a [u8],
    position: usize,
    start: usize,
    line: usize,
    start_line: usize,
    paren_depth: isize,
    inside_action: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0, start: 0, line: 1, start_line: 1, paren_depth: 0, inside_action: false }
    }

    /// The next token; after an error or the end, more of the same.
    pub(super) fn next(&mut self) -> Token<'a> {
        if self.inside_action { self.action() } else { self.text() }
    }

    fn rest(&self) -> &'a [u8] {
        &self.input[self.position..]
    }

    /// The next character and its size, without taking it; size 0 at the end.
    fn peek(&self) -> (u32, usize) {
        decode(self.rest())
    }

    /// Takes the next character; `None` at the end.
    fn take(&mut self) -> Option<u32> {
        let (rune, size) = self.peek();
        if size == 0 {
            return None;
        }
        self.position += size;
        self.line += usize::from(rune == 0x0A);
        Some(rune)
    }

    fn back(&mut self) {
        let (rune, size) = decode_last(&self.input[..self.position]);
        self.position -= size;
        self.line -= usize::from(rune == 0x0A);
    }

    fn emit(&mut self, kind: Kind) -> Token<'a> {
        let token = Token {
            kind,
            position: self.start,
            value: Cow::Borrowed(&self.input[self.start..self.position]),
            line: self.start_line,
        };
        self.start = self.position;
        self.start_line = self.line;
        token
    }

    /// Skips to the current position, counting the lines of what [`Lexer::take`] has not seen.
    fn ignore(&mut self) {
        self.line += count_lines(&self.input[self.start..self.position]);
        self.start = self.position;
        self.start_line = self.line;
    }

    fn error(&mut self, message: String) -> Token<'a> {
        let token = Token {
            kind: Kind::Error,
            position: self.start,
            value: Cow::Owned(message.into_bytes()),
            line: self.start_line,
        };
        self.input = &[];
        self.start = 0;
        self.position = 0;
        token
    }

    fn text(&mut self) -> Token<'a> {
        loop {
            let Some(offset) = super::text::find(self.rest(), LEFT) else {
                self.position = self.input.len();
                if self.position > self.start {
                    self.line += count_lines(&self.input[self.start..self.position]);
                    return self.emit(Kind::Text);
                }
                return self.emit_end();
            };
            if offset > 0 {
                self.position += offset;
                let mut trimmed = 0;
                if has_left_marker(&self.input[self.position + LEFT.len()..]) {
                    let text = &self.input[self.start..self.position];
                    trimmed = text.len() - trim_end(text, is_blank).len();
                }
                self.position -= trimmed;
                self.line += count_lines(&self.input[self.start..self.position]);
                let token = self.emit(Kind::Text);
                self.position += trimmed;
                self.ignore();
                if !token.value.is_empty() {
                    return token;
                }
            }
            if let Some(token) = self.left_delim() {
                return token;
            }
        }
    }

    fn emit_end(&self) -> Token<'a> {
        Token { kind: Kind::Eof, position: self.position, value: Cow::Borrowed(b"EOF"), line: self.start_line }
    }

    /// Takes the opening delimiter; nothing if it opened a comment, which is skipped.
    fn left_delim(&mut self) -> Option<Token<'a>> {
        self.position += LEFT.len();
        let marker = if has_left_marker(self.rest()) { TRIM_LENGTH } else { 0 };
        if self.rest()[marker..].starts_with(LEFT_COMMENT) {
            self.position += marker;
            self.ignore();
            return self.comment();
        }
        let token = self.emit(Kind::LeftDelim);
        self.inside_action = true;
        self.position += marker;
        self.ignore();
        self.paren_depth = 0;
        Some(token)
    }

    fn comment(&mut self) -> Option<Token<'a>> {
        self.position += LEFT_COMMENT.len();
        let Some(end) = super::text::find(self.rest(), RIGHT_COMMENT) else {
            return Some(self.error("unclosed comment".to_owned()));
        };
        self.position += end + RIGHT_COMMENT.len();
        let Some(trims) = self.right_delim_ahead() else {
            return Some(self.error("comment ends before closing delimiter".to_owned()));
        };
        self.line += count_lines(&self.input[self.start..self.position]);
        self.start = self.position;
        self.start_line = self.line;
        if trims {
            self.position += TRIM_LENGTH;
        }
        self.position += RIGHT.len();
        if trims {
            self.position += self.rest().len() - trim_start(self.rest(), is_blank).len();
        }
        self.ignore();
        None
    }

    /// Whether a closing delimiter is next, and whether it trims what follows.
    fn right_delim_ahead(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_marker(rest) && rest[TRIM_LENGTH..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn right_delim(&mut self) -> Token<'a> {
        let trims = self.right_delim_ahead() == Some(true);
        if trims {
            self.position += TRIM_LENGTH;
            self.ignore();
        }
        self.position += RIGHT.len();
        let token = self.emit(Kind::RightDelim);
        if trims {
            self.position += self.rest().len() - trim_start(self.rest(), is_blank).len();
            self.ignore();
        }
        self.inside_action = false;
        token
    }

    fn action(&mut self) -> Token<'a> {
        if self.right_delim_ahead().is_some() {
            if self.paren_depth == 0 {
                return self.right_delim();
            }
            return self.error("unclosed left paren".to_owned());
        }
        let Some(rune) = self.take() else { return self.error("unclosed action".to_owned()) };
        if is_blank(rune) {
            self.back();
            return self.space();
        }
        match u8::try_from(rune).unwrap_or(0) {
            b'=' => self.emit(Kind::Assign),
            b':' => {
                if self.take() == Some(u32::from(b'=')) {
                    self.emit(Kind::Declare)
                } else {
                    self.error("expected :=".to_owned())
                }
            }
            b'|' => self.emit(Kind::Pipe),
            b'"' => self.quote(b'"', Kind::String, "unterminated quoted string"),
            b'`' => self.raw_quote(),
            b'$' => self.field_or_variable(Kind::Variable),
            b'\'' => self.quote(b'\'', Kind::CharConstant, "unterminated character constant"),
            b'.' if self.rest().first().is_some_and(|next| !next.is_ascii_digit()) => {
                self.field_or_variable(Kind::Field)
            }
            b'.' | b'+' | b'-' | b'0'..=b'9' => {
                self.back();
                self.number()
            }
            b'(' => {
                self.paren_depth += 1;
                self.emit(Kind::LeftParen)
            }
            b')' => {
                self.paren_depth -= 1;
                if self.paren_depth < 0 {
                    return self.error("unexpected right paren".to_owned());
                }
                self.emit(Kind::RightParen)
            }
            _ if is_alphanumeric(rune) => {
                self.back();
                self.identifier()
            }
            _ if rune < 0x80 && is_print(rune) => self.emit(Kind::Char),
            _ => self.error(format!("unrecognized character in action: {}", unicode_name(rune))),
        }
    }

    fn space(&mut self) -> Token<'a> {
        let mut count = 0;
        while is_blank(self.peek().0) {
            self.take();
            count += 1;
        }
        // A trimming delimiter starts with a space that is already taken.
        let last = &self.input[self.position - 1..];
        if has_right_marker(last) && last[TRIM_LENGTH..].starts_with(RIGHT) {
            self.back();
            if count == 1 {
                return self.right_delim();
            }
        }
        self.emit(Kind::Space)
    }

    fn identifier(&mut self) -> Token<'a> {
        while is_alphanumeric(self.peek().0) {
            self.take();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        let word = &self.input[self.start..self.position];
        if let Some(keyword) = keyword(word) {
            return self.emit(Kind::Keyword(keyword));
        }
        let kind = if word == b"true" || word == b"false" { Kind::Bool } else { Kind::Identifier };
        self.emit(kind)
    }

    fn field_or_variable(&mut self, kind: Kind) -> Token<'a> {
        if self.at_terminator() {
            return self.emit(if kind == Kind::Variable { Kind::Variable } else { Kind::Dot });
        }
        while is_alphanumeric(self.peek().0) {
            self.take();
        }
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(kind)
    }

    fn bad_character(&mut self) -> Token<'a> {
        let (rune, _) = self.peek();
        self.error(format!("bad character {}", unicode_name(rune)))
    }

    fn at_terminator(&self) -> bool {
        let (rune, size) = self.peek();
        size == 0
            || is_blank(rune)
            || u8::try_from(rune).is_ok_and(|byte| b".,|:)(".contains(&byte))
            || self.rest().starts_with(RIGHT)
    }

    fn quote(&mut self, mark: u8, kind: Kind, problem: &str) -> Token<'a> {
        loop {
            match self.take() {
                Some(0x5C) => {
                    if matches!(self.take(), None | Some(0x0A)) {
                        return self.error(problem.to_owned());
                    }
                }
                None | Some(0x0A) => return self.error(problem.to_owned()),
                Some(rune) if rune == u32::from(mark) => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_quote(&mut self) -> Token<'a> {
        loop {
            match self.take() {
                None => return self.error("unterminated raw quoted string".to_owned()),
                Some(0x60) => return self.emit(Kind::RawString),
                Some(_) => {}
            }
        }
    }

    fn accept(&mut self, valid: &[u8]) -> bool {
        let found = self.rest().first().is_some_and(|byte| valid.contains(byte));
        self.position += usize::from(found);
        found
    }

    fn number(&mut self) -> Token<'a> {
        let mut fine = self.scan_number();
        let mut kind = Kind::Number;
        if fine && matches!(self.rest().first(), Some(b'+' | b'-')) {
            // Complex: 1+2i, without spaces.
            fine = self.scan_number() && self.input[self.position - 1] == b'i';
            kind = Kind::Complex;
        }
        if fine {
            return self.emit(kind);
        }
        self.error(format!("bad number syntax: {}", quoted(&self.input[self.start..self.position])))
    }

    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let mut digits: &[u8] = b"0123456789_";
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = b"0123456789abcdefABCDEF_";
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        while self.accept(digits) {}
        if self.accept(b".") {
            while self.accept(digits) {}
        }
        let exponent: &[u8] = match digits.len() {
            11 => b"eE",
            23 => b"pP",
            _ => b"",
        };
        if self.accept(exponent) {
            self.accept(b"+-");
            while self.accept(b"0123456789_") {}
        }
        self.accept(b"i");
        if is_alphanumeric(self.peek().0) {
            self.take();
            return false;
        }
        true
    }
}

fn count_lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

/// A character as Go's `%#U` shows it.
fn unicode_name(rune: u32) -> String {
    match char::from_u32(rune) {
        Some(character) if is_print(rune) => format!("U+{rune:04X} '{character}'"),
        _ => format!("U+{rune:04X}"),
    }
}
