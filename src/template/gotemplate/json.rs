//! JSON as Go's `encoding/json` writes and reads it.

use super::format::format_float;
use super::guard::{self, Exhausted};
use super::number::parse_float;
use super::quote::quoted;
use super::text::{RUNE_ERROR, push_rune, runes};
use super::value::{Key, List, Map, Type, Value};

/// How JSON is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Whether `<`, `>` and `&` are escaped.
    html: bool,
    /// Whether each element has a line of its own.
    indent: bool,
}

pub(super) const COMPACT: Style = Style { html: true, indent: false };
pub(super) const PRETTY: Style = Style { html: true, indent: true };
pub(super) const RAW: Style = Style { html: false, indent: false };

/// What is wrong with a JSON text, or with a value that has no JSON form.
#[derive(Debug, Clone)]
pub(super) enum JsonError {
    Syntax(String),
    /// A number that no `float64` can hold; the rest of the text is fine.
    Number(Value, String),
    Exhausted(Exhausted),
}

impl From<Exhausted> for JsonError {
    fn from(value: Exhausted) -> Self {
        Self::Exhausted(value)
    }
}

impl From<JsonError> for String {
    fn from(value: JsonError) -> Self {
        match value {
            JsonError::Syntax(message) | JsonError::Number(_, message) => message,
            JsonError::Exhausted(exhausted) => exhausted.to_string(),
        }
    }
}

/// Writes a value.
pub(super) fn encode(value: &Value, style: Style) -> Result<Vec<u8>, JsonError> {
    let mut encoder = Encoder { out: Vec::new(), style, depth: 0 };
    encoder.value(value)?;
    guard::allocate(encoder.out.len())?;
    Ok(encoder.out)
}

struct Encoder {
    out: Vec<u8>,
    style: Style,
    depth: usize,
}

impl Encoder {
    fn value(&mut self, value: &Value) -> Result<(), JsonError> {
        guard::descend()?;
        guard::step(1)?;
        guard::fits(self.out.len())?;
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::Bool(value) => self.out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Int(_, number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Uint(_, number) => self.out.extend_from_slice(number.to_string().as_bytes()),
            Value::Float(number) => self.out.extend_from_slice(float_text(*number)?.as_bytes()),
            Value::Complex(..) => return Err(JsonError::Syntax("json: unsupported type: complex128".to_owned())),
            Value::Str(text) => self.string(text),
            Value::List(list) => self.list(list)?,
            Value::Map(map) => self.map(map)?,
            Value::Object(object) => match (object.json(), object.underlying()) {
                (Some(text), _) => self.out.extend_from_slice(text.as_bytes()),
                (None, Some(underlying)) => self.value(&underlying)?,
                (None, None) => self.out.extend_from_slice(b"{}"),
            },
        }
        Ok(())
    }

    fn line(&mut self) {
        if self.style.indent {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + 2 * self.depth, b' ');
        }
    }

    fn list(&mut self, list: &List) -> Result<(), JsonError> {
        if list.is_nil() || list.is_empty() {
            self.out.extend_from_slice(if list.is_nil() { b"null" } else { b"[]" });
            return Ok(());
        }
        self.out.push(b'[');
        self.depth += 1;
        for (index, item) in list.items().iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.line();
            self.value(item)?;
        }
        self.depth -= 1;
        self.line();
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, map: &Map) -> Result<(), JsonError> {
        if map.key() != Type::String {
            return Err(JsonError::Syntax(format!("json: unsupported type: {}", map.type_of())));
        }
        if map.is_nil() || map.is_empty() {
            self.out.extend_from_slice(if map.is_nil() { b"null" } else { b"{}" });
            return Ok(());
        }
        self.out.push(b'{');
        self.depth += 1;
        for (index, (key, item)) in map.entries().iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.line();
            if let Key::Str(text) = key {
                self.string(text);
            }
            self.out.extend_from_slice(if self.style.indent { b": " } else { b":" });
            self.value(item)?;
        }
        self.depth -= 1;
        self.line();
        self.out.push(b'}');
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for (rune, size) in runes(text) {
            match rune {
                0x22 | 0x5C => self.out.extend_from_slice(&[b'\\', rune as u8]),
                8 => self.out.extend_from_slice(b"\\b"),
                9 => self.out.extend_from_slice(b"\\t"),
                10 => self.out.extend_from_slice(b"\\n"),
                12 => self.out.extend_from_slice(b"\\f"),
                13 => self.out.extend_from_slice(b"\\r"),
                0..0x20 | 0x2028 | 0x2029 => self.escape(rune),
                0x26 | 0x3C | 0x3E if self.style.html => self.escape(rune),
                RUNE_ERROR if size == 1 => self.out.extend_from_slice(b"\\ufffd"),
                _ => push_rune(&mut self.out, rune),
            }
        }
        self.out.push(b'"');
    }

    fn escape(&mut self, rune: u32) {
        self.out.extend_from_slice(format!("\\u{rune:04x}").as_bytes());
    }
}

/// A number as JavaScript would write it.
fn float_text(number: f64) -> Result<String, JsonError> {
    if !number.is_finite() {
        return Err(JsonError::Syntax(format!("json: unsupported value: {}", format_float(number, b'g', None))));
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format_float(number, b'e', None);
        return Ok(text.replace("e-0", "e-"));
    }
    Ok(format_float(number, b'f', None))
}

/// Reads a text.
pub(super) fn decode(text: &[u8]) -> Result<Value, JsonError> {
    let mut decoder = Decoder { text, position: 0, depth: 0, overflow: None };
    let value = decoder.value()?;
    decoder.space();
    if decoder.position < text.len() {
        return Err(decoder.invalid("after top-level value"));
    }
    match decoder.overflow {
        Some(message) => Err(JsonError::Number(value, message)),
        None => Ok(value),
    }
}

/// Nesting that Go allows.
const MAX_DEPTH: usize = 10_000;

struct Decoder<'a> {
    text: &'a [u8],
    position: usize,
    depth: usize,
    overflow: Option<String>,
}

impl Decoder<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.position += 1;
        }
    }

    fn invalid(&self, context: &str) -> JsonError {
        JsonError::Syntax(match self.peek() {
            None => "unexpected end of JSON input".to_owned(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(b'"') => format!("invalid character '\"' {context}"),
            Some(byte) => {
                let shown = quoted(char::from(byte).to_string().as_bytes());
                format!("invalid character '{}' {context}", shown.trim_matches('"'))
            }
        })
    }

    fn value(&mut self) -> Result<Value, JsonError> {
        guard::descend()?;
        guard::step(1)?;
        self.space();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Value::string(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Nil),
            _ => Err(self.invalid("looking for beginning of value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, JsonError>) -> Result<Value, JsonError> {
        self.position += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(JsonError::Syntax("exceeded max depth".to_owned()));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        for (index, byte) in word.bytes().enumerate() {
            if self.peek() != Some(byte) {
                return Err(self.invalid(&format!(
                    "in literal {word} (expecting '{}')",
                    word.get(index..=index).unwrap_or_default()
                )));
            }
            self.position += 1;
        }
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, JsonError> {
        let map = Map::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.position += 1;
            return Ok(Value::Map(map));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.invalid("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.invalid("after object key"));
            }
            self.position += 1;
            let value = self.value()?;
            guard::allocate(2 * size_of::<Value>())?;
            map.insert(Key::Str(key.into()), value);
            self.space();
            match self.peek() {
                Some(b',') => self.position += 1,
                Some(b'}') => break,
                _ => return Err(self.invalid("after object key:value pair")),
            }
        }
        self.position += 1;
        Ok(Value::Map(map))
    }

    fn array(&mut self) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.position += 1;
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value()?);
            guard::allocate(size_of::<Value>())?;
            self.space();
            match self.peek() {
                Some(b',') => self.position += 1,
                Some(b']') => break,
                _ => return Err(self.invalid("after array element")),
            }
        }
        self.position += 1;
        Ok(Value::list(items))
    }

    fn digits(&mut self, context: &str) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.invalid(context));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.position += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        if self.peek() == Some(b'0') {
            self.position += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = self.text.get(start..self.position).unwrap_or_default();
        if let Ok(number) = parse_float(text) {
            Ok(Value::Float(number))
        } else {
            let shown = String::from_utf8_lossy(text);
            self.overflow
                .get_or_insert_with(|| format!("json: cannot unmarshal number {shown} into Go value of type float64"));
            Ok(Value::Nil)
        }
    }

    fn string(&mut self) -> Result<Vec<u8>, JsonError> {
        self.position += 1;
        let mut out = Vec::new();
        loop {
            let rest = self.text.get(self.position..).unwrap_or_default();
            match rest.first() {
                None | Some(0..0x20) => return Err(self.invalid("in string literal")),
                Some(b'"') => {
                    self.position += 1;
                    return Ok(out);
                }
                Some(b'\\') => self.escape(&mut out)?,
                Some(_) => {
                    let (rune, size) = super::text::decode(rest);
                    push_rune(&mut out, rune);
                    self.position += size;
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.position += 1;
        let plain = match self.peek() {
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'u') => {
                self.position += 1;
                return self.unicode_escape(out);
            }
            _ => return Err(self.invalid("in string escape code")),
        };
        self.position += 1;
        out.push(plain);
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let first = self.hex()?;
        if (0xD800..0xDC00).contains(&first)
            && self.text.get(self.position..).is_some_and(|rest| rest.starts_with(b"\\u"))
        {
            let mark = self.position;
            self.position += 2;
            let second = self.hex()?;
            if (0xDC00..0xE000).contains(&second) {
                push_rune(out, 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00));
                return Ok(());
            }
            self.position = mark;
        }
        push_rune(out, first);
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.invalid("in \\u hexadecimal character escape")) };
            code = code * 16 + digit;
            self.position += 1;
        }
        Ok(code)
    }
}
