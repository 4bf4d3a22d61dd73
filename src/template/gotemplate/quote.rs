//! Go string literals: writing and reading them.

use super::text::{RUNE_ERROR, decode, is_print, push_rune, runes};

/// Writes a double-quoted literal.
pub(super) fn quote(text: &[u8]) -> Vec<u8> {
    quote_with(text, b'"', false)
}

/// Writes a double-quoted literal of ASCII characters only.
pub(super) fn quote_to_ascii(text: &[u8]) -> Vec<u8> {
    quote_with(text, b'"', true)
}

/// A double-quoted literal for a message.
pub(super) fn quoted(text: &[u8]) -> String {
    String::from_utf8_lossy(&quote(text)).into_owned()
}

/// Writes a single-quoted character.
pub(super) fn quote_rune(rune: u32, ascii: bool) -> Vec<u8> {
    let rune = if char::from_u32(rune).is_some() { rune } else { RUNE_ERROR };
    let mut out = vec![b'\''];
    escape_rune(&mut out, rune, b'\'', ascii);
    out.push(b'\'');
    out
}

fn quote_with(text: &[u8], mark: u8, ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(mark);
    let mut position = 0;
    for (rune, size) in runes(text) {
        if rune == RUNE_ERROR && size == 1 {
            out.extend_from_slice(format!("\\x{:02x}", text[position]).as_bytes());
        } else {
            escape_rune(&mut out, rune, mark, ascii);
        }
        position += size;
    }
    out.push(mark);
    out
}

fn escape_rune(out: &mut Vec<u8>, rune: u32, mark: u8, ascii: bool) {
    if rune == u32::from(mark) || rune == u32::from(b'\\') {
        out.push(b'\\');
        push_rune(out, rune);
        return;
    }
    if (rune < 0x80 || !ascii) && is_print(rune) {
        push_rune(out, rune);
        return;
    }
    let escape = match rune {
        7 => "\\a".to_owned(),
        8 => "\\b".to_owned(),
        12 => "\\f".to_owned(),
        10 => "\\n".to_owned(),
        13 => "\\r".to_owned(),
        9 => "\\t".to_owned(),
        11 => "\\v".to_owned(),
        0..0x20 | 0x7F => format!("\\x{rune:02x}"),
        ..=0xFFFF => format!("\\u{rune:04x}"),
        _ => format!("\\U{rune:08x}"),
    };
    out.extend_from_slice(escape.as_bytes());
}

/// Whether the text fits into a raw literal without change.
pub(super) fn can_backquote(text: &[u8]) -> bool {
    runes(text).all(|(rune, size)| {
        !(rune == RUNE_ERROR && size == 1)
            && rune != 0xFEFF
            && rune != 0x60
            && rune != 0x7F
            && (rune >= 0x20 || rune == 9)
    })
}

/// Reads a literal in double or back quotes; `None` if it is malformed.
pub(super) fn unquote(literal: &[u8]) -> Option<Vec<u8>> {
    let (&mark, rest) = literal.split_first()?;
    let (&last, inner) = rest.split_last()?;
    if mark != last {
        return None;
    }
    match mark {
        b'`' if !inner.contains(&b'`') => Some(inner.iter().copied().filter(|&byte| byte != b'\r').collect()),
        b'"' => {
            let mut out = Vec::with_capacity(inner.len());
            let mut rest = inner;
            while !rest.is_empty() {
                if rest[0] == b'"' || rest[0] == b'\n' {
                    return None;
                }
                let (unit, length) = unquote_unit(rest, b'"')?;
                unit.push_to(&mut out);
                rest = &rest[length..];
            }
            Some(out)
        }
        _ => None,
    }
}

/// One character of a literal: text, or a byte given by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Rune(u32),
    Byte(u8),
}

impl Unit {
    fn push_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Rune(rune) => push_rune(out, rune),
            Self::Byte(byte) => out.push(byte),
        }
    }

    pub(super) fn code(self) -> u32 {
        match self {
            Self::Rune(rune) => rune,
            Self::Byte(byte) => u32::from(byte),
        }
    }
}

/// Reads one character of a literal in the given quotes: the character and how many bytes it took.
pub(super) fn unquote_unit(text: &[u8], mark: u8) -> Option<(Unit, usize)> {
    let &first = text.first()?;
    if first == mark {
        return None;
    }
    if first != b'\\' {
        let (rune, size) = decode(text);
        return Some((if size == 1 && first >= 0x80 { Unit::Rune(RUNE_ERROR) } else { Unit::Rune(rune) }, size));
    }
    let simple = |code: u8| Some((Unit::Rune(u32::from(code)), 2));
    match *text.get(1)? {
        b'a' => simple(7),
        b'b' => simple(8),
        b'f' => simple(12),
        b'n' => simple(b'\n'),
        b'r' => simple(b'\r'),
        b't' => simple(b'\t'),
        b'v' => simple(11),
        b'\\' => simple(b'\\'),
        code @ (b'\'' | b'"') if code == mark => simple(code),
        b'x' => numbered(text, 2, 2, 16).map(|(code, length)| (Unit::Byte(code as u8), length)),
        b'u' => numbered(text, 2, 4, 16).and_then(|(code, length)| Some((valid_rune(code)?, length))),
        b'U' => numbered(text, 2, 8, 16).and_then(|(code, length)| Some((valid_rune(code)?, length))),
        b'0'..=b'7' => {
            let (code, length) = numbered(text, 1, 3, 8)?;
            Some((Unit::Byte(u8::try_from(code).ok()?), length))
        }
        _ => None,
    }
}

fn valid_rune(code: u32) -> Option<Unit> {
    char::from_u32(code).map(|_| Unit::Rune(code))
}

fn numbered(text: &[u8], start: usize, digits: usize, radix: u32) -> Option<(u32, usize)> {
    let mut code = 0_u32;
    for &byte in text.get(start..start + digits)? {
        code = code.checked_mul(radix)?.checked_add(char::from(byte).to_digit(radix)?)?;
    }
    Some((code, start + digits))
}
