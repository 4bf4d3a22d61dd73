//! Text made safe for HTML, JavaScript and URLs.

use super::text::{decode, is_print};

/// Escapes the characters that are special in HTML.
pub(super) fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            0 => out.extend_from_slice("\u{FFFD}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            _ => out.push(byte),
        }
    }
    out
}

/// Escapes the characters that are special in JavaScript strings.
pub(super) fn js(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut position = 0;
    while position < text.len() {
        let (rune, size) = decode(&text[position..]);
        match rune {
            0x5C => out.extend_from_slice(b"\\\\"),
            0x27 => out.extend_from_slice(b"\\'"),
            0x22 => out.extend_from_slice(b"\\\""),
            0x3C | 0x3E | 0x26 | 0x3D | 0..0x20 => out.extend_from_slice(format!("\\u{rune:04X}").as_bytes()),
            0x20..0x80 => out.push(rune as u8),
            _ if is_print(rune) => out.extend_from_slice(&text[position..position + size]),
            _ => out.extend_from_slice(format!("\\u{rune:04X}").as_bytes()),
        }
        position += size;
    }
    out
}

/// Escapes a text for the query part of a URL.
pub(super) fn url_query(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}
