//! Base 64 and base 32.

use super::super::function::{Function, function};
use super::super::value::{Type, Value};

use Type::String;

pub(super) const FUNCTIONS: &[Function] = &[
    function("b64enc", &[String], String, |_, a| Ok(Value::string(BASE64.encode(a.text(0))))),
    function("b64dec", &[String], String, |_, a| Ok(Value::string(shown(decode64(a.text(0)), "base64")))),
    function("b32enc", &[String], String, |_, a| Ok(Value::string(BASE32.encode(a.text(0))))),
    function("b32dec", &[String], String, |_, a| Ok(Value::string(shown(decode32(a.text(0)), "base32")))),
];

/// Bits of text in groups of bytes and of digits.
pub(super) struct Base {
    alphabet: &'static [u8],
    bits: u32,
    /// Digits in a group.
    group: usize,
}

pub(super) const BASE64: Base =
    Base { alphabet: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", bits: 6, group: 4 };

const BASE32: Base = Base { alphabet: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bits: 5, group: 8 };

/// What was decoded, or Go's error as text: Sprig prints it in the place of the result.
fn shown(decoded: Result<Vec<u8>, usize>, name: &str) -> Vec<u8> {
    decoded.unwrap_or_else(|position| format!("illegal {name} data at input byte {position}").into_bytes())
}

impl Base {
    pub(super) fn encode(&self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() * 2);
        let (mut buffer, mut held) = (0_u32, 0);
        let mask = (1 << self.bits) - 1;
        for &byte in data {
            buffer = buffer << 8 | u32::from(byte);
            held += 8;
            while held >= self.bits {
                held -= self.bits;
                out.push(self.alphabet[(buffer >> held & mask) as usize]);
            }
        }
        if held > 0 {
            out.push(self.alphabet[(buffer << (self.bits - held) & mask) as usize]);
        }
        out.resize(out.len().next_multiple_of(self.group), b'=');
        out
    }

    /// Decodes the digits at the start of a text; what they give, how many there are, and where they end.
    fn digits(&self, text: &[u8]) -> (Vec<u8>, usize, usize) {
        let mut out = Vec::with_capacity(text.len());
        let (mut buffer, mut held, mut count) = (0_u32, 0, 0);
        for (position, byte) in text.iter().enumerate() {
            if matches!(byte, b'\r' | b'\n') {
                continue;
            }
            let Some(digit) = self.alphabet.iter().position(|known| known == byte) else {
                return (out, count, position);
            };
            buffer = (buffer << self.bits | digit as u32) & 0xFFFF;
            held += self.bits;
            if held >= 8 {
                held -= 8;
                out.push((buffer >> held) as u8);
            }
            count += 1;
        }
        (out, count, text.len())
    }
}

/// Decodes base 64, passing over line ends; the error is the position of what is wrong.
pub(super) fn decode64(text: &[u8]) -> Result<Vec<u8>, usize> {
    let (out, count, end) = BASE64.digits(text);
    let open = count % 4;
    if end == text.len() {
        return if open == 0 { Ok(out) } else { Err(end - open) };
    }
    if text[end] != b'=' || open < 2 {
        return Err(end);
    }
    let next = |from: usize| from + text[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut position = next(end + 1);
    if open == 2 {
        match text.get(position) {
            None => return Err(text.len()),
            Some(b'=') => position = next(position + 1),
            Some(_) => return Err(position - 1),
        }
    }
    if position < text.len() { Err(position) } else { Ok(out) }
}

/// Decodes base 32; positions in errors do not count line ends.
fn decode32(text: &[u8]) -> Result<Vec<u8>, usize> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let (out, count, end) = BASE32.digits(&text);
    let open = count % 8;
    if end == text.len() {
        return if open == 0 { Ok(out) } else { Err(end - open) };
    }
    let rest = &text[end + 1..];
    if text[end] != b'=' || open < 2 || rest.len() >= 8 {
        return Err(end);
    }
    if rest.len() + open < 7 {
        return Err(text.len());
    }
    if let Some(wrong) = rest.iter().take(7 - open).position(|&byte| byte != b'=') {
        return Err(end + wrong);
    }
    if matches!(open, 3 | 6) { Err(end) } else { Ok(out) }
}
