//! One value under one verb.

use super::super::guard::{self, Exhausted};
use super::super::quote::{can_backquote, quote, quote_rune, quote_to_ascii};
use super::super::text::{is_print, push_rune, rune_count, runes};
use super::super::value::{List, Map, Object, Type, UintKind, Value};
use super::format_float;

type Printed = Result<(), Exhausted>;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`.
    pub(super) plus_v: bool,
    /// `%#v`.
    pub(super) sharp_v: bool,
}

/// Text under construction, with the flags of the current verb.
pub(super) struct Printer {
    pub(super) buffer: Vec<u8>,
    pub(super) flags: Flags,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
    /// Inside the report of a wrong verb, where methods are not called.
    reporting: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new(), flags: Flags::default(), width: None, precision: None, reporting: false }
    }

    pub(super) fn clear_flags(&mut self) {
        self.flags = Flags::default();
        self.width = None;
        self.precision = None;
    }

    /// Prints an argument.
    pub(super) fn print(&mut self, value: &Value, verb: char) -> Printed {
        guard::fits(self.buffer.len())?;
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => {
                self.pad(b"<nil>");
                Ok(())
            }
            (_, 'T') => {
                self.string(value.type_name().as_bytes());
                Ok(())
            }
            // Addresses are not for templates: nothing that they print may differ from run to run.
            (Value::Nil, _) | (_, 'p' | 'w') => self.wrong_verb(value, verb),
            _ => self.value(value, verb, Type::Reflect),
        }
    }

    /// Prints a value that stands in a place of the given type (`Reflect`: on its own).
    fn value(&mut self, value: &Value, verb: char, place: Type) -> Printed {
        guard::descend()?;
        guard::step(1)?;
        guard::fits(self.buffer.len())?;
        match value {
            Value::Nil => {
                let text = if self.flags.sharp_v { format!("{place}(nil)") } else { "<nil>".to_owned() };
                self.buffer.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Value::Bool(truth) => match verb {
                't' | 'v' => {
                    self.pad(if *truth { b"true" } else { b"false" });
                    Ok(())
                }
                _ => self.wrong_verb(value, verb),
            },
            Value::Int(_, number) => self.integer(value, *number as u64, true, verb),
            Value::Uint(_, number) => self.integer(value, *number, false, verb),
            Value::Float(number) => self.float_verb(value, *number, verb),
            Value::Complex(real, imaginary) => self.complex(value, *real, *imaginary, verb),
            Value::Str(text) => self.text(value, text, verb),
            Value::List(list) => self.list(list, verb),
            Value::Map(map) => self.map(map, verb),
            Value::Object(object) => self.object(value, object.as_ref(), verb, place),
        }
    }

    fn wrong_verb(&mut self, value: &Value, verb: char) -> Printed {
        self.reporting = true;
        self.buffer.extend_from_slice(b"%!");
        push_rune(&mut self.buffer, u32::from(verb));
        self.buffer.push(b'(');
        if matches!(value, Value::Nil) {
            self.buffer.extend_from_slice(b"<nil>");
        } else {
            self.buffer.extend_from_slice(value.type_name().as_bytes());
            self.buffer.push(b'=');
            self.print(value, 'v')?;
        }
        self.buffer.push(b')');
        self.reporting = false;
        Ok(())
    }

    fn list(&mut self, list: &List, verb: char) -> Printed {
        if list.elem() == Type::Uint(UintKind::Uint8) && matches!(verb, 's' | 'q' | 'x' | 'X') {
            let bytes: Vec<u8> =
                list.items().iter().map(|item| if let Value::Uint(_, byte) = item { *byte as u8 } else { 0 }).collect();
            let text = Value::string(bytes.as_slice());
            return self.text(&text, &bytes, verb);
        }
        let go_syntax = self.flags.sharp_v;
        if go_syntax {
            self.buffer.extend_from_slice(list.type_of().to_string().as_bytes());
            if list.is_nil() {
                self.buffer.extend_from_slice(b"(nil)");
                return Ok(());
            }
        }
        self.buffer.push(if go_syntax { b'{' } else { b'[' });
        for (index, item) in list.items().iter().enumerate() {
            if index > 0 {
                self.buffer.extend_from_slice(if go_syntax { b", " } else { b" " });
            }
            self.value(item, verb, list.elem())?;
        }
        self.buffer.push(if go_syntax { b'}' } else { b']' });
        Ok(())
    }

    fn map(&mut self, map: &Map, verb: char) -> Printed {
        let go_syntax = self.flags.sharp_v;
        if go_syntax {
            self.buffer.extend_from_slice(map.type_of().to_string().as_bytes());
            if map.is_nil() {
                self.buffer.extend_from_slice(b"(nil)");
                return Ok(());
            }
        }
        self.buffer.extend_from_slice(if go_syntax { b"{" } else { b"map[" });
        for (index, (key, item)) in map.entries().iter().enumerate() {
            if index > 0 {
                self.buffer.extend_from_slice(if go_syntax { b", " } else { b" " });
            }
            self.value(&key.value(), verb, map.key())?;
            self.buffer.push(b':');
            self.value(item, verb, map.elem())?;
        }
        self.buffer.push(if go_syntax { b'}' } else { b']' });
        Ok(())
    }

    fn object(&mut self, value: &Value, object: &dyn Object, verb: char, place: Type) -> Printed {
        if !self.reporting
            && !self.flags.sharp_v
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = object.display()
        {
            return self.text(value, text.as_bytes(), verb);
        }
        if let Some(underlying) = object.underlying() {
            return self.value(&underlying, verb, place);
        }
        if self.flags.sharp_v {
            self.buffer.extend_from_slice(object.type_name().as_bytes());
        } else if object.kind() == "ptr" {
            self.buffer.push(b'&');
        }
        self.buffer.push(b'{');
        for (index, (name, field)) in object.fields().iter().enumerate() {
            if index > 0 {
                self.buffer.extend_from_slice(if self.flags.sharp_v { b", " } else { b" " });
            }
            if self.flags.sharp_v || self.flags.plus_v {
                self.buffer.extend_from_slice(name.as_bytes());
                self.buffer.push(b':');
            }
            self.value(field, verb, Type::Any)?;
        }
        self.buffer.push(b'}');
        Ok(())
    }

    fn text(&mut self, value: &Value, text: &[u8], verb: char) -> Printed {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.string(text),
            'x' => self.hex_text(text, b"0123456789abcdefx"),
            'X' => self.hex_text(text, b"0123456789ABCDEFX"),
            'q' => self.quoted(text),
            _ => return self.wrong_verb(value, verb),
        }
        Ok(())
    }

    /// Cuts a text to the precision, which counts characters.
    fn cut<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        match self.precision {
            Some(precision) if precision < text.len() => {
                &text[..runes(text).take(precision).map(|(_, size)| size).sum()]
            }
            _ => text,
        }
    }

    fn string(&mut self, text: &[u8]) {
        let text = self.cut(text);
        self.pad(text);
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.cut(text);
        let literal = if self.flags.sharp && can_backquote(text) {
            [b"`", text, b"`"].concat()
        } else if self.flags.plus {
            quote_to_ascii(text)
        } else {
            quote(text)
        };
        self.pad(&literal);
    }

    fn hex_text(&mut self, text: &[u8], digits: &[u8; 17]) {
        let length = self.precision.map_or(text.len(), |precision| precision.min(text.len()));
        let mut out = Vec::with_capacity(2 * length);
        for (index, byte) in text[..length].iter().enumerate() {
            if self.flags.space && index > 0 {
                out.push(b' ');
            }
            if self.flags.sharp && (self.flags.space || index == 0) {
                out.extend_from_slice(&[b'0', digits[16]]);
            }
            out.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
        self.pad(&out);
    }

    fn pad(&mut self, text: &[u8]) {
        let missing = self.width.map_or(0, |width| width.saturating_sub(rune_count(text)));
        if self.flags.minus {
            self.buffer.extend_from_slice(text);
            self.fill(missing);
        } else {
            self.fill(missing);
            self.buffer.extend_from_slice(text);
        }
    }

    fn fill(&mut self, count: usize) {
        // Zeros are only padded to the left.
        let byte = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.buffer.resize(self.buffer.len() + count, byte);
    }

    fn pad_with_spaces(&mut self, text: &[u8]) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(text);
        self.flags.zero = zero;
    }

    fn integer(&mut self, value: &Value, number: u64, signed: bool, verb: char) -> Printed {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.digits(number, 16, false, verb);
                self.flags.sharp = sharp;
            }
            'v' | 'd' => self.digits(number, 10, signed, verb),
            'b' => self.digits(number, 2, signed, verb),
            'o' | 'O' => self.digits(number, 8, signed, verb),
            'x' | 'X' => self.digits(number, 16, signed, verb),
            'c' => {
                let mut out = Vec::new();
                push_rune(&mut out, code_point(number));
                self.pad(&out);
            }
            'q' => {
                let literal = quote_rune(code_point(number), self.flags.plus);
                self.pad(&literal);
            }
            'U' => self.unicode(number),
            _ => return self.wrong_verb(value, verb),
        }
        Ok(())
    }

    fn digits(&mut self, number: u64, base: u32, signed: bool, verb: char) {
        let negative = signed && (number as i64) < 0;
        let magnitude = if negative { number.wrapping_neg() } else { number };
        if self.precision == Some(0) && magnitude == 0 {
            self.pad_with_spaces(b"");
            return;
        }
        let least = match (self.precision, self.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.flags.zero && !self.flags.minus => {
                width.saturating_sub(usize::from(negative || self.flags.plus || self.flags.space))
            }
            _ => 0,
        };
        let mut text = match base {
            2 => format!("{magnitude:b}"),
            8 => format!("{magnitude:o}"),
            16 if verb == 'X' => format!("{magnitude:X}"),
            16 => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        fill_with_zeros(&mut text, least);
        if self.flags.sharp {
            match base {
                2 => text.insert_str(0, "0b"),
                8 if !text.starts_with('0') => text.insert(0, '0'),
                16 => text.insert_str(0, if verb == 'X' { "0X" } else { "0x" }),
                _ => {}
            }
        }
        if verb == 'O' {
            text.insert_str(0, "0o");
        }
        if negative {
            text.insert(0, '-');
        } else if self.flags.plus {
            text.insert(0, '+');
        } else if self.flags.space {
            text.insert(0, ' ');
        }
        self.pad_with_spaces(text.as_bytes());
    }

    fn unicode(&mut self, number: u64) {
        let least = self.precision.map_or(4, |precision| precision.max(4));
        let mut text = format!("{number:X}");
        fill_with_zeros(&mut text, least);
        text.insert_str(0, "U+");
        if self.flags.sharp
            && let Some(character) = u32::try_from(number).ok().and_then(char::from_u32)
            && is_print(u32::from(character))
        {
            text.extend([' ', '\'', character, '\'']);
        }
        self.pad_with_spaces(text.as_bytes());
    }

    fn float_verb(&mut self, value: &Value, number: f64, verb: char) -> Printed {
        match verb {
            'v' => self.float(number, b'g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => self.float(number, verb as u8, None),
            'f' | 'e' | 'E' => self.float(number, verb as u8, Some(6)),
            'F' => self.float(number, b'f', Some(6)),
            _ => return self.wrong_verb(value, verb),
        }
        Ok(())
    }

    fn complex(&mut self, value: &Value, real: f64, imaginary: f64, verb: char) -> Printed {
        if !"vbgGxXfFeE".contains(verb) {
            return self.wrong_verb(value, verb);
        }
        self.buffer.push(b'(');
        self.float_verb(value, real, verb)?;
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float_verb(value, imaginary, verb)?;
        self.flags.plus = plus;
        self.buffer.extend_from_slice(b"i)");
        Ok(())
    }

    fn float(&mut self, number: f64, verb: u8, default: Option<usize>) {
        let precision = self.precision.or(default);
        let mut text = format_float(number, verb, precision);
        if !text.starts_with(['-', '+']) {
            text.insert(0, '+');
        }
        if self.flags.space && text.starts_with('+') && !self.flags.plus {
            text.replace_range(..1, " ");
        }
        if text[1..].starts_with(['I', 'N']) {
            let hide_sign = text[1..].starts_with('N') && !self.flags.space && !self.flags.plus;
            self.pad_with_spaces(&text.as_bytes()[usize::from(hide_sign)..]);
            return;
        }
        if self.flags.sharp && verb != b'b' {
            text = with_point(&text, verb, precision);
        }
        if !self.flags.plus && text.starts_with('+') {
            self.pad(&text.as_bytes()[1..]);
            return;
        }
        let missing = self.width.map_or(0, |width| width.saturating_sub(text.len()));
        if self.flags.zero && !self.flags.minus && missing > 0 {
            // The sign goes before the zeros.
            self.buffer.push(text.as_bytes()[0]);
            self.fill(missing);
            self.buffer.extend_from_slice(&text.as_bytes()[1..]);
            return;
        }
        self.pad(text.as_bytes());
    }
}

/// The `#` flag: always a decimal point, and trailing zeros up to the precision.
fn with_point(text: &str, verb: u8, precision: Option<usize>) -> String {
    let hex = verb.eq_ignore_ascii_case(&b'x');
    let mut digits = if matches!(verb, b'g' | b'G' | b'x') { precision.unwrap_or(6) as i64 } else { 0 };
    let exponent = if hex { text.find(['p', 'P']) } else { text.find(['e', 'E', 'p', 'P']) };
    let (number, tail) = text.split_at(exponent.unwrap_or(text.len()));
    let mut significant = false;
    for byte in number.bytes().skip(1).filter(|&byte| byte != b'.') {
        significant |= byte != b'0';
        digits -= i64::from(significant);
    }
    let mut out = number.to_owned();
    if !number.contains('.') {
        if number.len() == 2 && number.ends_with('0') {
            digits -= 1;
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(usize::try_from(digits).unwrap_or(0)));
    out.push_str(tail);
    out
}

/// Puts zeros before a number that is too short. Rust's own widths end at 65535.
fn fill_with_zeros(number: &mut String, least: usize) {
    if let Some(missing) = least.checked_sub(number.len()) {
        number.insert_str(0, &"0".repeat(missing));
    }
}

fn code_point(number: u64) -> u32 {
    u32::try_from(number).ok().filter(|&code| char::from_u32(code).is_some()).unwrap_or(0xFFFD)
}
