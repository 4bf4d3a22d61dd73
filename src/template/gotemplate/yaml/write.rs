//! Writes YAML with the emitter of `yaml.v2`: through JSON, as `sigs.k8s.io/yaml` does, or directly.

use std::cmp::Ordering;

use super::super::format::format_float;
use super::super::guard;
use super::super::json::{self, JsonError};
use super::super::number::{parse_int, parse_uint};
use super::super::text::{decode, is_digit, is_letter, runes};
use super::super::value::{Key, Value};
use super::resolve::{Scalar, is_base60, resolve};

/// Column behind which text with spaces goes on in the next line.
const BEST_WIDTH: usize = 80;
const INDENT: i64 = 2;
/// Longest key that stands on one line with its value.
const SIMPLE_KEY: usize = 128;

/// Writes a value as a document. What JSON cannot hold is an error.
pub(in super::super) fn write(value: &Value) -> Result<Vec<u8>, JsonError> {
    // What has no JSON form fails here, before anything is written.
    json::encode(value, json::RAW)?;
    emit(value, Route::Json)
}

/// Writes a value as a document without a detour through JSON: keys may be of any type, floats are Go's.
pub(in super::super) fn write_direct(value: &Value) -> Result<Vec<u8>, JsonError> {
    emit(value, Route::Direct)
}

fn emit(value: &Value, route: Route) -> Result<Vec<u8>, JsonError> {
    let mut emitter = Emitter { out: Vec::new(), column: 0, whitespace: true, indention: true, route };
    emitter.node(value, Place { indent: -1, in_mapping: false, simple_key: false })?;
    emitter.indent_to(0);
    guard::allocate(emitter.out.len())?;
    Ok(emitter.out)
}

/// What a value is before it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Json,
    Direct,
}

/// Where a node stands: the indentation of its parent, and what the parent is.
#[derive(Clone, Copy)]
struct Place {
    indent: i64,
    in_mapping: bool,
    simple_key: bool,
}

struct Emitter {
    out: Vec<u8>,
    column: usize,
    /// Whether the last thing written was white space.
    whitespace: bool,
    /// Whether the line holds nothing but indentation and indicators.
    indention: bool,
    route: Route,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

impl Emitter {
    fn put(&mut self, byte: u8) {
        self.out.push(byte);
        self.column += 1;
    }

    fn put_rune(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.out.push(b'\n');
        self.column = 0;
    }

    fn indent_to(&mut self, indent: i64) {
        let indent = usize::try_from(indent).unwrap_or(0);
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.line_break();
        }
        while self.column < indent {
            self.put(b' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &[u8], spaced: bool, whitespace: bool, indention: bool) {
        if spaced && !self.whitespace {
            self.put(b' ');
        }
        self.out.extend_from_slice(text);
        self.column += text.len();
        self.whitespace = whitespace;
        self.indention &= indention;
    }

    fn node(&mut self, value: &Value, place: Place) -> Result<(), JsonError> {
        guard::descend()?;
        guard::step(1)?;
        guard::fits(self.out.len())?;
        let plain = match value {
            Value::Str(text) => {
                self.scalar(&clean(text)?, None, place);
                return Ok(());
            }
            Value::List(list) if list.is_nil() && self.route == Route::Json => "null".to_owned(),
            Value::Map(map) if map.is_nil() && self.route == Route::Json => "null".to_owned(),
            Value::List(list) => return self.list(list.items(), place),
            Value::Map(map) => return self.map(&map.entries(), place),
            Value::Nil => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(_, number) => number.to_string(),
            Value::Uint(_, number) => number.to_string(),
            Value::Float(number) if self.route == Route::Direct => float(*number),
            other => {
                // Floats and objects are what their JSON says.
                let text = json::encode(other, json::RAW)?;
                match json::decode(&text)? {
                    Value::Str(text) => {
                        self.scalar(&text, None, place);
                        return Ok(());
                    }
                    Value::Float(number) if parse_int(&text, 0).is_err() && parse_uint(&text, 0).is_err() => {
                        format_float(number, b'g', None)
                    }
                    Value::Float(_) => parse_int(&text, 0)
                        .map_or_else(|_| String::from_utf8_lossy(&text).into_owned(), |number| number.to_string()),
                    _ => String::from_utf8_lossy(&text).into_owned(),
                }
            }
        };
        self.scalar(plain.as_bytes(), Some(Style::Plain), place);
        Ok(())
    }

    fn list(&mut self, items: &[Value], place: Place) -> Result<(), JsonError> {
        if items.is_empty() {
            self.indicator(b"[", true, true, false);
            self.indicator(b"]", false, false, false);
            return Ok(());
        }
        // Under a key, the items stand below the key itself.
        let flush = place.in_mapping && !self.indention;
        let indent = if place.indent < 0 { 0 } else { place.indent + if flush { 0 } else { INDENT } };
        for item in items {
            self.indent_to(indent);
            self.indicator(b"-", true, false, true);
            self.node(item, Place { indent, in_mapping: false, simple_key: false })?;
        }
        Ok(())
    }

    fn map(&mut self, entries: &[(Key, Value)], place: Place) -> Result<(), JsonError> {
        if entries.is_empty() {
            self.indicator(b"{", true, true, false);
            self.indicator(b"}", false, false, false);
            return Ok(());
        }
        let mut entries: Vec<(&Key, Vec<u8>, &Value)> = entries
            .iter()
            .map(|(key, value)| Ok((key, self.key_text(key)?, value)))
            .collect::<Result<_, JsonError>>()?;
        entries.sort_by(|left, right| key_order((left.0, &left.1), (right.0, &right.1)));
        let indent = if place.indent < 0 { 0 } else { place.indent + INDENT };
        let inside = Place { indent, in_mapping: true, simple_key: false };
        for (kind, key, value) in entries {
            let style = (!matches!(kind, Key::Str(_))).then_some(Style::Plain);
            self.indent_to(indent);
            if key.len() <= SIMPLE_KEY && !key.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                self.scalar(&key, style, Place { simple_key: true, ..inside });
                self.indicator(b":", false, false, false);
            } else {
                self.indicator(b"?", true, false, true);
                self.scalar(&key, style, inside);
                self.indent_to(indent);
                self.indicator(b":", true, false, true);
            }
            self.node(value, inside)?;
        }
        Ok(())
    }

    fn key_text(&self, key: &Key) -> Result<Vec<u8>, JsonError> {
        let text = match key {
            Key::Str(text) => return clean(text),
            // Only maps with keys of type string have a JSON form, so there are no others.
            _ if self.route == Route::Json => String::new(),
            Key::Nil => "null".to_owned(),
            Key::Bool(value) => value.to_string(),
            Key::Int(_, number) => number.to_string(),
            Key::Uint(_, number) => number.to_string(),
            Key::Float(number) => float(*number),
        };
        Ok(text.into_bytes())
    }

    fn scalar(&mut self, text: &[u8], style: Option<Style>, place: Place) {
        let style = style.unwrap_or_else(|| wanted_style(text));
        let style = Analysis::of(text).allowed(style, text, place.simple_key);
        let indent = if place.indent < 0 { INDENT } else { place.indent + INDENT };
        let folds = !place.simple_key;
        match style {
            Style::Plain => self.plain(text, indent, folds),
            Style::SingleQuoted => self.single_quoted(text, indent, folds),
            Style::DoubleQuoted => self.double_quoted(text, indent, folds),
            Style::Literal => self.literal(text, indent),
        }
    }

    fn plain(&mut self, text: &[u8], indent: i64, folds: bool) {
        if !self.whitespace {
            self.put(b' ');
        }
        let mut after_space = false;
        let mut position = 0;
        while let Some(&byte) = text.get(position) {
            let (_, size) = decode(&text[position..]);
            if byte == b' '
                && folds
                && !after_space
                && self.column > BEST_WIDTH
                && text.get(position + 1) != Some(&b' ')
            {
                self.indent_to(indent);
            } else {
                self.put_rune(&text[position..position + size]);
            }
            after_space = byte == b' ';
            if !after_space {
                self.indention = false;
            }
            position += size;
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &[u8], indent: i64, folds: bool) {
        self.indicator(b"'", true, false, false);
        let (mut after_space, mut after_break) = (false, false);
        let mut position = 0;
        while let Some(&byte) = text.get(position) {
            let (_, size) = decode(&text[position..]);
            if byte == b' ' {
                let inner = position > 0 && position + 1 < text.len() && text.get(position + 1) != Some(&b' ');
                if folds && !after_space && self.column > BEST_WIDTH && inner {
                    self.indent_to(indent);
                } else {
                    self.put(b' ');
                }
                after_space = true;
            } else if is_break(&text[position..]) {
                if !after_break && byte == b'\n' {
                    self.line_break();
                }
                self.out.extend_from_slice(&text[position..position + size]);
                self.column = 0;
                self.indention = true;
                after_break = true;
            } else {
                if after_break {
                    self.indent_to(indent);
                }
                self.put_rune(&text[position..position + size]);
                if byte == b'\'' {
                    self.put(b'\'');
                }
                self.indention = false;
                after_space = false;
                after_break = false;
            }
            position += size;
        }
        self.indicator(b"'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn double_quoted(&mut self, text: &[u8], indent: i64, folds: bool) {
        self.indicator(b"\"", true, false, false);
        let mut after_space = false;
        let mut position = 0;
        while let Some(&byte) = text.get(position) {
            let (rune, size) = decode(&text[position..]);
            let rest = &text[position..];
            if !is_printable(rest) || is_break(rest) || matches!(byte, b'"' | b'\\') {
                for byte in escape(rune).bytes() {
                    self.put(byte);
                }
                after_space = false;
            } else if byte == b' ' {
                let inner = position > 0 && position + 1 < text.len();
                if folds && !after_space && self.column > BEST_WIDTH && inner {
                    self.indent_to(indent);
                    if text.get(position + 1) == Some(&b' ') {
                        self.put(b'\\');
                    }
                } else {
                    self.put(b' ');
                }
                after_space = true;
            } else {
                self.put_rune(&rest[..size]);
                after_space = false;
            }
            position += size;
        }
        self.indicator(b"\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn literal(&mut self, text: &[u8], indent: i64) {
        self.indicator(b"|", true, false, false);
        if text.first() == Some(&b' ') || is_break(text) {
            self.indicator(b"2", false, false, false);
        }
        // How the line ends at the end of the text count.
        let ends_in = |skip: usize| match text.len().checked_sub(skip + 1) {
            Some(last) => text[last] == b'\n',
            None => true,
        };
        if !ends_in(0) {
            self.indicator(b"-", false, false, false);
        } else if ends_in(1) {
            self.indicator(b"+", false, false, false);
        }
        self.line_break();
        self.indention = true;
        self.whitespace = true;
        let mut after_break = true;
        let mut position = 0;
        while position < text.len() {
            let (_, size) = decode(&text[position..]);
            if is_break(&text[position..]) {
                self.out.extend_from_slice(&text[position..position + size]);
                self.column = 0;
                self.indention = true;
                after_break = true;
            } else {
                if after_break {
                    self.indent_to(indent);
                }
                self.put_rune(&text[position..position + size]);
                self.indention = false;
                after_break = false;
            }
            position += size;
        }
    }
}

/// The text as it comes out of JSON: undecodable bytes replaced. The reader on the way refuses control characters, but not
/// those that JSON escapes.
fn clean(text: &[u8]) -> Result<Vec<u8>, JsonError> {
    let text = super::super::text::map_runes(text, |rune| rune);
    let refused = |rune| matches!(rune, 0x7F..=0x84 | 0x86..=0x9F | 0xFFFE | 0xFFFF);
    if runes(&text).any(|(rune, _)| refused(rune)) {
        return Err(JsonError::Syntax("yaml: control characters are not allowed".to_owned()));
    }
    Ok(text)
}

fn wanted_style(text: &[u8]) -> Style {
    if text.contains(&b'\n') {
        Style::Literal
    } else if matches!(resolve(text), Scalar::Str) && !is_base60(text) {
        Style::Plain
    } else {
        Style::DoubleQuoted
    }
}

fn is_break(text: &[u8]) -> bool {
    matches!(decode(text).0, 0x0A | 0x0D | 0x85 | 0x2028 | 0x2029)
}

fn is_printable(text: &[u8]) -> bool {
    matches!(decode(text).0, 0x0A | 0x20..=0x7E | 0xA0..=0xD7FF | 0xE000..=0xFEFE | 0xFF00..=0xFFFD)
}

fn escape(rune: u32) -> String {
    let short = match rune {
        0 => '0',
        7 => 'a',
        8 => 'b',
        9 => 't',
        10 => 'n',
        11 => 'v',
        12 => 'f',
        13 => 'r',
        0x1B => 'e',
        0x22 => '"',
        0x5C => '\\',
        0x85 => 'N',
        0xA0 => '_',
        0x2028 => 'L',
        0x2029 => 'P',
        1..=0xFF => return format!("\\x{rune:02X}"),
        0x100..=0xFFFF => return format!("\\u{rune:04X}"),
        _ => return format!("\\U{rune:08X}"),
    };
    format!("\\{short}")
}

/// Which styles can hold a text.
struct Analysis {
    multiline: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Analysis {
    fn of(text: &[u8]) -> Self {
        let mut found = Self { multiline: false, plain: true, single_quoted: true, block: !text.is_empty() };
        if text.starts_with(b"---") || text.starts_with(b"...") {
            found.plain = false;
        }
        let (mut after_white, mut after_space, mut after_break) = (true, false, false);
        let mut position = 0;
        while position < text.len() {
            let rest = &text[position..];
            let (_, size) = decode(rest);
            let next = text.get(position + size);
            let before_white = next.is_none_or(|byte| matches!(byte, b' ' | b'\t'));
            let (first, last) = (position == 0, position + size == text.len());
            if is_indicator(rest[0], first, before_white, after_white) {
                found.plain = false;
            }
            if !is_printable(rest) {
                (found.plain, found.single_quoted, found.block) = (false, false, false);
            }
            let (space, line_break) = (rest[0] == b' ', is_break(rest));
            if space || line_break {
                found.plain &= !(first || last || line_break);
                found.block &= !(space && last);
                if space && after_break {
                    (found.plain, found.single_quoted) = (false, false);
                }
                if line_break && after_space {
                    (found.plain, found.single_quoted, found.block) = (false, false, false);
                }
                found.multiline |= line_break;
            }
            (after_space, after_break) = (space, line_break);
            after_white = space || line_break || rest[0] == b'\t';
            position += size;
        }
        found
    }

    fn allowed(&self, style: Style, text: &[u8], simple_key: bool) -> Style {
        let mut style = style;
        if simple_key && self.multiline {
            style = Style::DoubleQuoted;
        }
        if style == Style::Plain && (!self.plain || text.is_empty() && simple_key) {
            style = Style::SingleQuoted;
        }
        if style == Style::SingleQuoted && !self.single_quoted || style == Style::Literal && (!self.block || simple_key)
        {
            style = Style::DoubleQuoted;
        }
        style
    }
}

/// Whether a character has a meaning of its own where it stands.
fn is_indicator(byte: u8, first: bool, before_white: bool, after_white: bool) -> bool {
    match byte {
        b'#' if !first => after_white,
        b':' => before_white,
        b'?' | b'-' if first => before_white,
        b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%' | b'@'
        | b'`' => first,
        _ => false,
    }
}

fn float(number: f64) -> String {
    match number {
        _ if number.is_nan() => ".nan".to_owned(),
        f64::INFINITY => ".inf".to_owned(),
        f64::NEG_INFINITY => "-.inf".to_owned(),
        _ => format_float(number, b'g', None),
    }
}

/// Truth values and numbers by their value, then nothing, then texts.
fn key_order(left: (&Key, &[u8]), right: (&Key, &[u8])) -> Ordering {
    #[allow(clippy::cast_precision_loss, reason = "Go compares keys of different types as floats")]
    let rank = |key: &Key| match key {
        Key::Bool(value) => (0, f64::from(u8::from(*value))),
        Key::Int(_, number) => (0, *number as f64),
        Key::Uint(_, number) => (0, *number as f64),
        Key::Float(number) => (0, *number),
        Key::Nil => (1, 0.0),
        Key::Str(_) => (2, 0.0),
    };
    let ((left_rank, left_number), (right_rank, right_number)) = (rank(left.0), rank(right.0));
    left_rank.cmp(&right_rank).then(left_number.total_cmp(&right_number)).then_with(|| natural_order(left.1, right.1))
}

/// Numbers inside of keys by their value, letters after everything else.
fn natural_order(left: &[u8], right: &[u8]) -> Ordering {
    let (mut left_rest, mut right_rest) = (left, right);
    let (left_rune, right_rune) = loop {
        let ((left_rune, left_size), (right_rune, right_size)) = (decode(left_rest), decode(right_rest));
        if left_size == 0 || right_size == 0 {
            return left_size.cmp(&right_size);
        }
        if left_rune != right_rune {
            break (left_rune, right_rune);
        }
        (left_rest, right_rest) = (&left_rest[left_size..], &right_rest[right_size..]);
    };
    let (left_letter, right_letter) = (is_letter(left_rune), is_letter(right_rune));
    if left_letter && right_letter {
        return left_rune.cmp(&right_rune);
    }
    if left_letter || right_letter {
        return if right_letter { Ordering::Less } else { Ordering::Greater };
    }
    // A zero inside of a number counts as one of its digits.
    let zero = u32::from(b'0');
    let inside =
        (left_rune == zero || right_rune == zero) && ends_in_a_number(&left[..left.len() - left_rest.len()], zero);
    let number = |text: &[u8]| {
        let digits = runes(text).map(|(rune, _)| rune).take_while(|&rune| is_digit(rune));
        digits.fold((i64::from(inside), 0), |(value, digits), rune| {
            (value.wrapping_mul(10).wrapping_add(i64::from(rune) - i64::from(zero)), digits + 1)
        })
    };
    number(left_rest).cmp(&number(right_rest)).then(left_rune.cmp(&right_rune))
}

/// Whether the digits at the end of a text are not all zeros.
fn ends_in_a_number(text: &[u8], zero: u32) -> bool {
    let runes: Vec<u32> = runes(text).map(|(rune, _)| rune).collect();
    runes.iter().rev().take_while(|&&rune| is_digit(rune)).any(|&rune| rune != zero)
}
