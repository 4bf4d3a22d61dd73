//! Go's strings: bytes that are usually, but not always, UTF-8; and the character classes that Go's library asks for.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use regex::Regex;

/// The code point that stands for an undecodable byte.
pub(super) const RUNE_ERROR: u32 = 0xFFFD;

/// An immutable Go string. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Str(Arc<[u8]>);

impl Str {
    /// The text with undecodable bytes replaced.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl Default for Str {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl Deref for Str {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Str {
    /// Whether both are one text, not only equal.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Display for Str {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl From<&str> for Str {
    fn from(value: &str) -> Self {
        Self(Arc::from(value.as_bytes()))
    }
}

impl From<String> for Str {
    fn from(value: String) -> Self {
        Self(Arc::from(value.into_bytes()))
    }
}

impl From<&[u8]> for Str {
    fn from(value: &[u8]) -> Self {
        Self(Arc::from(value))
    }
}

impl From<Vec<u8>> for Str {
    fn from(value: Vec<u8>) -> Self {
        Self(Arc::from(value))
    }
}

/// Decodes the first character: the code point and its length; a bad byte is `(RUNE_ERROR, 1)`, the end `(RUNE_ERROR, 0)`.
pub(super) fn decode(bytes: &[u8]) -> (u32, usize) {
    let Some(&first) = bytes.first() else { return (RUNE_ERROR, 0) };
    let length = match first {
        0..=0x7F => return (u32::from(first), 1),
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return (RUNE_ERROR, 1),
    };
    match bytes.get(..length).and_then(|head| std::str::from_utf8(head).ok()).and_then(|head| head.chars().next()) {
        Some(character) => (u32::from(character), length),
        None => (RUNE_ERROR, 1),
    }
}

/// Decodes the last character, like [`decode`].
pub(super) fn decode_last(bytes: &[u8]) -> (u32, usize) {
    for length in 1..=4.min(bytes.len()) {
        let tail = &bytes[bytes.len() - length..];
        if tail[0] & 0xC0 != 0x80 {
            return match decode(tail) {
                (rune, size) if size == length => (rune, size),
                _ => (RUNE_ERROR, 1),
            };
        }
    }
    (RUNE_ERROR, usize::from(!bytes.is_empty()))
}

/// The characters of a text with their sizes in bytes.
pub(super) fn runes(bytes: &[u8]) -> impl Iterator<Item = (u32, usize)> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (rune, size) = decode(rest);
        rest = rest.get(size..)?;
        (size > 0).then_some((rune, size))
    })
}

/// Appends a code point; what is not one becomes the replacement character.
pub(super) fn push_rune(buffer: &mut Vec<u8>, rune: u32) {
    let character = char::from_u32(rune).unwrap_or(char::REPLACEMENT_CHARACTER);
    buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

pub(super) fn rune_count(bytes: &[u8]) -> usize {
    if bytes.is_ascii() { bytes.len() } else { runes(bytes).count() }
}

fn class(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

fn in_class(regex: &Regex, rune: u32) -> bool {
    char::from_u32(rune).is_some_and(|character| regex.is_match(character.encode_utf8(&mut [0; 4])))
}

macro_rules! unicode_class {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $ascii:expr) => {
        $(#[$doc])*
        pub(super) fn $name(rune: u32) -> bool {
            static CLASS: LazyLock<Regex> = LazyLock::new(|| class(concat!("^", $pattern, "$")));
            match u8::try_from(rune) {
                Ok(byte) if byte.is_ascii() => $ascii(&byte),
                _ => in_class(&CLASS, rune),
            }
        }
    };
}

unicode_class!(is_letter, r"\p{L}", u8::is_ascii_alphabetic);
unicode_class!(is_digit, r"\p{Nd}", u8::is_ascii_digit);
unicode_class!(is_number, r"\p{N}", u8::is_ascii_digit);
unicode_class!(is_upper, r"\p{Lu}", u8::is_ascii_uppercase);
unicode_class!(is_lower, r"\p{Ll}", u8::is_ascii_lowercase);
unicode_class!(is_title, r"\p{Lt}", |_: &u8| false);
unicode_class!(is_punct, r"\p{P}", |byte: &u8| byte.is_ascii_punctuation() && !b"$+<=>^`|~".contains(byte));
unicode_class!(
    /// What Go prints as it is in quoted text.
    is_print, r"[\p{L}\p{M}\p{N}\p{P}\p{S}]", |byte: &u8| (0x20..0x7F).contains(byte));

/// White space as `unicode.IsSpace` has it.
pub(super) fn is_space(rune: u32) -> bool {
    matches!(rune, 0x09..=0x0D | 0x20 | 0x85 | 0xA0 | 0x1680 | 0x2000..=0x200A | 0x2028 | 0x2029 | 0x202F | 0x205F | 0x3000)
}

/// Upper case, one character for one; what would need several stays.
pub(super) fn to_upper(rune: u32) -> u32 {
    let Some(character) = char::from_u32(rune) else { return rune };
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => u32::from(single),
        // Greek letters with iota below have a one-character capital, which the full mapping spells out.
        _ => match rune {
            0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7 => rune + 8,
            0x1FB3 | 0x1FC3 | 0x1FF3 => rune + 9,
            _ => rune,
        },
    }
}

/// Lower case, one character for one.
pub(super) fn to_lower(rune: u32) -> u32 {
    let Some(character) = char::from_u32(rune) else { return rune };
    character.to_lowercase().next().map_or(rune, u32::from)
}

/// Title case, one character for one.
pub(super) fn to_title(rune: u32) -> u32 {
    match rune {
        0x01C4..=0x01C6 => 0x01C5,
        0x01C7..=0x01C9 => 0x01C8,
        0x01CA..=0x01CC => 0x01CB,
        0x01F1..=0x01F3 => 0x01F2,
        0x10D0..=0x10FA | 0x10FD..=0x10FF => rune,
        _ => to_upper(rune),
    }
}

/// Applies a mapping of single characters to a text.
pub(super) fn map_runes(bytes: &[u8], map: impl Fn(u32) -> u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (rune, _) in runes(bytes) {
        push_rune(&mut out, map(rune));
    }
    out
}

/// Removes characters of a class at both ends.
pub(super) fn trim_both(bytes: &[u8], class: impl Fn(u32) -> bool) -> &[u8] {
    trim_end(trim_start(bytes, &class), &class)
}

pub(super) fn trim_start(mut bytes: &[u8], class: impl Fn(u32) -> bool) -> &[u8] {
    loop {
        let (rune, size) = decode(bytes);
        if size == 0 || !class(rune) {
            return bytes;
        }
        bytes = &bytes[size..];
    }
}

pub(super) fn trim_end(mut bytes: &[u8], class: impl Fn(u32) -> bool) -> &[u8] {
    loop {
        let (rune, size) = decode_last(bytes);
        if size == 0 || !class(rune) {
            return bytes;
        }
        bytes = &bytes[..bytes.len() - size];
    }
}

/// Position of the first `needle`; an empty one is found at 0.
pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    memchr::memmem::find(haystack, needle)
}
