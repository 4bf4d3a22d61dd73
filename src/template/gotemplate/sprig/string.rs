//! Cutting, testing and joining text.

use super::super::format::sprintf;
use super::super::function::{Arguments, Call, Function, Outcome, function, variadic};
use super::super::guard;
use super::super::quote::quote;
use super::super::text::{self, decode, find, runes};
use super::super::value::{Key, Map, Type, Value};
use super::{text_of, texts_of};

use Type::{Any, Bool, String};
const INT: Type = Type::INT;

pub(super) const FUNCTIONS: &[Function] = &[
    function("hello", &[], String, |_, _| Ok(Value::from("Hello!"))),
    function("trim", &[String], String, |_, a| Ok(Value::string(text::trim_both(a.text(0), text::is_space)))),
    function("trimall", &[String, String], String, trim_all),
    function("trimAll", &[String, String], String, trim_all),
    function("trimSuffix", &[String, String], String, |_, a| {
        Ok(Value::string(a.text(1).strip_suffix(a.text(0)).unwrap_or(a.text(1))))
    }),
    function("trimPrefix", &[String, String], String, |_, a| {
        Ok(Value::string(a.text(1).strip_prefix(a.text(0)).unwrap_or(a.text(1))))
    }),
    function("contains", &[String, String], Bool, |_, a| Ok(Value::Bool(find(a.text(1), a.text(0)).is_some()))),
    function("hasPrefix", &[String, String], Bool, |_, a| Ok(Value::Bool(a.text(1).starts_with(a.text(0))))),
    function("hasSuffix", &[String, String], Bool, |_, a| Ok(Value::Bool(a.text(1).ends_with(a.text(0))))),
    function("repeat", &[INT, String], String, |_, a| Ok(Value::string(repeat(a.text(1), a.int(0))?))),
    function("trunc", &[INT, String], String, trunc),
    function("substr", &[INT, INT, String], String, substr),
    function("abbrev", &[INT, String], String, |_, a| Ok(Value::string(abbreviate(a.text(1), 0, a.int(0))))),
    function("abbrevboth", &[INT, INT, String], String, |_, a| {
        let (left, right) = (a.int(0), a.int(1));
        let unchanged = right < 4 || left > 0 && right < 7;
        Ok(Value::string(if unchanged { a.text(2).to_vec() } else { abbreviate(a.text(2), left, right) }))
    }),
    function("wrap", &[INT, String], String, |_, a| Ok(Value::string(wrap(a.text(1), a.int(0), b"\n", false)?))),
    function("wrapWith", &[INT, String, String], String, |_, a| {
        let separator = if a.text(1).is_empty() { b"\n" } else { a.text(1) };
        Ok(Value::string(wrap(a.text(2), a.int(0), separator, true)?))
    }),
    function("indent", &[INT, String], String, |_, a| Ok(Value::string(indent(a.text(1), a.int(0))?))),
    function("nindent", &[INT, String], String, |_, a| {
        Ok(Value::string([b"\n".to_vec(), indent(a.text(1), a.int(0))?].concat()))
    }),
    function("replace", &[String, String, String], String, |_, a| {
        Ok(Value::string(replace(a.text(2), a.text(0), a.text(1))?))
    }),
    function("plural", &[String, String, INT], String, |_, a| {
        Ok(Value::string(if a.int(2) == 1 { a.text(0) } else { a.text(1) }))
    }),
    variadic("quote", &[Any], String, |_, a| joined(a, |value| Ok(quote(&text_of(value)?)))),
    variadic("squote", &[Any], String, |_, a| joined(a, |value| Ok(sprintf(b"'%v'", std::slice::from_ref(value))?))),
    variadic("cat", &[Any], String, |_, a| joined(a, |value| Ok(super::super::format::display(value)?))),
    function("toString", &[Any], String, |_, a| Ok(Value::string(text_of(a.value(0))?))),
    function("toStrings", &[Any], Type::STRINGS, |_, a| Ok(Value::strings(texts_of(a.value(0))?))),
    function("join", &[String, Any], String, join),
    function("sortAlpha", &[Any], Type::STRINGS, |_, a| {
        let mut texts =
            if matches!(a.value(0), Value::List(_)) { texts_of(a.value(0))? } else { vec![text_of(a.value(0))?] };
        texts.sort();
        Ok(Value::strings(texts))
    }),
    function("splitList", &[String, String], Type::STRINGS, |_, a| {
        Ok(Value::strings(split(a.text(1), a.text(0), -1)?))
    }),
    function("split", &[String, String], Type::STRING_MAP, |_, a| Ok(numbered(split(a.text(1), a.text(0), -1)?))),
    function("splitn", &[String, INT, String], Type::STRING_MAP, |_, a| {
        Ok(numbered(split(a.text(2), a.text(0), a.int(1))?))
    }),
    function("nospace", &[String], String, |_, a| {
        // Go's library takes each byte for a character, and only writes anew what loses some.
        let kept: Vec<u8> = a.text(0).iter().copied().filter(|&byte| !text::is_space(u32::from(byte))).collect();
        Ok(Value::string(if kept.len() == a.text(0).len() { kept } else { from_latin1(&kept) }))
    }),
    function("initials", &[String], String, |_, a| Ok(Value::string(initials(a.text(0))))),
];

fn trim_all(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let cut: Vec<u32> = runes(arguments.text(0)).map(|(rune, _)| rune).collect();
    Ok(Value::string(text::trim_both(arguments.text(1), |rune| cut.contains(&rune))))
}

/// A text several times.
pub(super) fn repeat(text: &[u8], count: i64) -> Result<Vec<u8>, std::string::String> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count")?;
    let size = text.len().checked_mul(count).ok_or("strings: Repeat output length overflow")?;
    guard::allocate(size)?;
    Ok(text.repeat(if text.is_empty() { 0 } else { count }))
}

fn trunc(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let (count, text) = (arguments.int(0), arguments.text(1));
    let length = text.len() as i64;
    Ok(Value::string(match count {
        ..0 if length.saturating_add(count) > 0 => &text[(length + count) as usize..],
        0.. if length > count => &text[..count as usize],
        _ => text,
    }))
}

fn substr(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let (start, end, text) = (arguments.int(0), arguments.int(1), arguments.text(2));
    let length = text.len() as i64;
    if start < 0 {
        return match end {
            ..0 => Err(format!("runtime error: slice bounds out of range [:{end}]")),
            _ if end > length => Err(format!("runtime error: slice bounds out of range [:{end}] with length {length}")),
            _ => Ok(Value::string(&text[..end as usize])),
        };
    }
    let end = if end < 0 || end > length { length } else { end };
    if start > end {
        return Err(format!("runtime error: slice bounds out of range [{start}:{end}]"));
    }
    Ok(Value::string(&text[start as usize..end as usize]))
}

/// Cuts in the middle of bytes, as Go's library does.
fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let length = text.len() as i64;
    if width < 4 || length <= width {
        return text.to_vec();
    }
    let room = width - 3;
    let mut offset = offset.min(length);
    if length - offset < room {
        offset = length - room;
    }
    if offset <= 4 {
        return [&text[..room as usize], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + room < length {
        let inner = &text[offset as usize..];
        // A nested abbreviation narrower than its minimum is empty.
        let inner = if room < 4 { Vec::new() } else { abbreviate(inner, 0, room) };
        return [b"...", inner.as_slice()].concat();
    }
    [b"...", &text[(length - room) as usize..]].concat()
}

fn wrap(text: &[u8], width: i64, separator: &[u8], cut_words: bool) -> Result<Vec<u8>, std::string::String> {
    let width = usize::try_from(width.max(1)).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    let mut offset = 0;
    while text.len() - offset > width {
        if text[offset] == b' ' {
            offset += 1;
            continue;
        }
        guard::fits(out.len())?;
        let line = &text[offset..=offset + width];
        if let Some(space) = memchr::memrchr(b' ', line) {
            out.extend_from_slice(&line[..space]);
            offset += space + 1;
        } else if cut_words {
            out.extend_from_slice(&line[..width]);
            offset += width;
        } else {
            let Some(space) = memchr::memchr(b' ', &text[offset + width..]) else {
                break;
            };
            out.extend_from_slice(&text[offset..offset + width + space]);
            offset += width + space + 1;
        }
        out.extend_from_slice(separator);
    }
    out.extend_from_slice(&text[offset..]);
    Ok(out)
}

fn indent(text: &[u8], width: i64) -> Result<Vec<u8>, std::string::String> {
    let pad = repeat(b" ", width)?;
    let breaks = memchr::memchr_iter(b'\n', text).count();
    guard::allocate(text.len().saturating_add((breaks + 1).saturating_mul(pad.len())))?;
    let mut out = pad.clone();
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        out.extend_from_slice(line);
        if line.ends_with(b"\n") {
            out.extend_from_slice(&pad);
        }
    }
    Ok(out)
}

/// Replaces every occurrence; an empty pattern matches before each character and at the end.
pub(in super::super) fn replace(source: &[u8], old: &[u8], new: &[u8]) -> Result<Vec<u8>, std::string::String> {
    let mut out = Vec::with_capacity(source.len());
    if old.is_empty() {
        return interleave(source, new);
    }
    let mut rest = source;
    while let Some(at) = find(rest, old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        guard::fits(out.len())?;
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn interleave(source: &[u8], new: &[u8]) -> Result<Vec<u8>, std::string::String> {
    let mut out = new.to_vec();
    let mut rest = source;
    while !rest.is_empty() {
        let (_, size) = decode(rest);
        out.extend_from_slice(&rest[..size]);
        out.extend_from_slice(new);
        guard::fits(out.len())?;
        rest = &rest[size..];
    }
    Ok(out)
}

fn joined(arguments: &Arguments<'_>, show: impl Fn(&Value) -> Result<Vec<u8>, std::string::String>) -> Outcome {
    let texts = arguments.rest(0).filter(|value| !matches!(value, Value::Nil)).map(show);
    Ok(Value::string(texts.collect::<Result<Vec<_>, _>>()?.join(b" ".as_slice())))
}

fn join(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let texts = texts_of(arguments.value(1))?;
    let separators = arguments.text(0).len().saturating_mul(texts.len());
    guard::allocate(texts.iter().map(Vec::len).sum::<usize>().saturating_add(separators))?;
    Ok(Value::string(texts.join(arguments.text(0))))
}

/// Splits into at most `limit` parts (below 0: all, 0: none); an empty separator splits into characters.
pub(super) fn split(source: &[u8], separator: &[u8], limit: i64) -> Result<Vec<Vec<u8>>, std::string::String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    if limit == 0 {
        return Ok(parts);
    }
    let mut rest = source;
    loop {
        let (end, skip) = if separator.is_empty() {
            let (_, size) = decode(rest);
            if size == 0 || size == rest.len() {
                break;
            }
            (size, 0)
        } else {
            match find(rest, separator) {
                Some(at) => (at, separator.len()),
                None => break,
            }
        };
        if parts.len() + 1 == limit {
            break;
        }
        guard::step(1)?;
        parts.push(rest[..end].to_vec());
        rest = &rest[end + skip..];
    }
    if !(separator.is_empty() && source.is_empty()) {
        parts.push(rest.to_vec());
    }
    Ok(parts)
}

/// Parts under the keys `_0`, `_1` and so on.
fn numbered(parts: Vec<Vec<u8>>) -> Value {
    let map = Map::with_types(String, String);
    for (index, part) in parts.into_iter().enumerate() {
        map.insert(Key::from(format!("_{index}").as_str()), Value::string(part));
    }
    Value::Map(map)
}

fn from_latin1(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|&byte| char::from(byte)).collect::<std::string::String>().into_bytes()
}

fn initials(source: &[u8]) -> Vec<u8> {
    let mut letters = Vec::new();
    let mut after_gap = true;
    for &byte in source {
        let gap = text::is_space(u32::from(byte));
        if !gap && after_gap {
            letters.push(byte);
        }
        after_gap = gap;
    }
    from_latin1(&letters)
}
