//! Regular expressions.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::bytes::{Captures, Regex, RegexBuilder};

use super::super::function::{Arguments, Call, Function, Outcome, function};
use super::super::guard;
use super::super::quote::{can_backquote, quoted};
use super::super::text::Str;
use super::super::value::{List, Type, Value};
use super::regex_syntax::translate;

use Type::{Bool, String};
const INT: Type = Type::INT;
const STRINGS: Type = Type::STRINGS;

/// Bytes that a compiled pattern may take.
const MAX_PROGRAM: usize = 8 << 20;
/// Patterns that are kept compiled.
const CACHE: usize = 100;

pub(super) const FUNCTIONS: &[Function] = &[
    function("regexMatch", &[String, String], Bool, |_, a| {
        // A wrong pattern matches nothing.
        Ok(Value::Bool(compile(a.text(0)).is_ok_and(|regex| regex.is_match(a.text(1)))))
    }),
    function("mustRegexMatch", &[String, String], Bool, |_, a| {
        Ok(Value::Bool(compile(a.text(0))?.is_match(a.text(1))))
    }),
    function("regexFind", &[String, String], String, |_, a| find(&must(a.text(0))?, a)),
    function("mustRegexFind", &[String, String], String, |_, a| find(&compile(a.text(0))?, a)),
    function("regexFindAll", &[String, String, INT], STRINGS, |_, a| find_all(&must(a.text(0))?, a)),
    function("mustRegexFindAll", &[String, String, INT], STRINGS, |_, a| find_all(&compile(a.text(0))?, a)),
    function("regexReplaceAll", &[String, String, String], String, |_, a| replace(&must(a.text(0))?, a, true)),
    function("mustRegexReplaceAll", &[String, String, String], String, |_, a| replace(&compile(a.text(0))?, a, true)),
    function("regexReplaceAllLiteral", &[String, String, String], String, |_, a| replace(&must(a.text(0))?, a, false)),
    function("mustRegexReplaceAllLiteral", &[String, String, String], String, |_, a| {
        replace(&compile(a.text(0))?, a, false)
    }),
    function("regexSplit", &[String, String, INT], STRINGS, |_, a| split(&must(a.text(0))?, a)),
    function("mustRegexSplit", &[String, String, INT], STRINGS, |_, a| split(&compile(a.text(0))?, a)),
    function("regexQuoteMeta", &[String], String, quote_meta),
];

thread_local! {
    static COMPILED: RefCell<HashMap<Str, Regex>> = RefCell::new(HashMap::new());
}

fn compile(pattern: &[u8]) -> Result<Regex, std::string::String> {
    guard::step(1 + pattern.len())?;
    let key = Str::from(pattern);
    if let Some(regex) = COMPILED.with(|cache| cache.borrow().get(&key).cloned()) {
        return Ok(regex);
    }
    guard::step(1000)?;
    let translated = translate(pattern).map_err(|reason| format!("error parsing regexp: {reason}"))?;
    let regex =
        RegexBuilder::new(&translated).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_PROGRAM).build().map_err(|_| {
            format!("error parsing regexp: expression too large: `{}`", std::string::String::from_utf8_lossy(pattern))
        })?;
    COMPILED.with(|cache| {
        let mut cache = cache.borrow_mut();
        if cache.len() >= CACHE {
            cache.clear();
        }
        cache.insert(key, regex.clone());
    });
    Ok(regex)
}

/// Compiles a pattern; the error is that of functions that take it for granted.
fn must(pattern: &[u8]) -> Result<Regex, std::string::String> {
    compile(pattern).map_err(|reason| {
        let shown = if can_backquote(pattern) {
            format!("`{}`", std::string::String::from_utf8_lossy(pattern))
        } else {
            quoted(pattern)
        };
        format!("regexp: Compile({shown}): {reason}")
    })
}

/// All matches; an empty one never splits a character.
fn matches<'t>(regex: &Regex, text: &'t [u8]) -> impl Iterator<Item = Captures<'t>> {
    regex.captures_iter(text).filter(|captures| {
        let Some(all) = captures.get(0) else { return false };
        !all.is_empty() || text.get(all.start()).is_none_or(|byte| byte & 0xC0 != 0x80)
    })
}

fn find(regex: &Regex, arguments: &Arguments<'_>) -> Outcome {
    guard::step(arguments.text(1).len())?;
    Ok(Value::string(regex.find(arguments.text(1)).map_or(b"".as_slice(), |found| found.as_bytes())))
}

/// Bounds of the matches, at most `limit` (below 0: all).
fn bounds(regex: &Regex, text: &[u8], limit: i64) -> Result<Vec<(usize, usize)>, std::string::String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    guard::step(text.len())?;
    let mut found = Vec::new();
    for captures in matches(regex, text).take(limit) {
        guard::step(1)?;
        if let Some(all) = captures.get(0) {
            found.push((all.start(), all.end()));
        }
    }
    Ok(found)
}

fn find_all(regex: &Regex, arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.text(1);
    let found = bounds(regex, text, arguments.int(2))?;
    if found.is_empty() {
        return Ok(Value::List(List::nil(String)));
    }
    guard::allocate(text.len())?;
    Ok(Value::strings(found.into_iter().map(|(start, end)| &text[start..end])))
}

fn replace(regex: &Regex, arguments: &Arguments<'_>, expand: bool) -> Outcome {
    let (text, replacement) = (arguments.text(1), arguments.text(2));
    guard::step(text.len())?;
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    for captures in matches(regex, text) {
        guard::step(1)?;
        guard::fits(out.len())?;
        let Some(all) = captures.get(0) else { continue };
        out.extend_from_slice(&text[copied..all.start()]);
        if expand {
            expand_template(&mut out, replacement, &captures);
        } else {
            out.extend_from_slice(replacement);
        }
        copied = all.end();
    }
    out.extend_from_slice(&text[copied..]);
    Ok(Value::string(out))
}

/// Appends a replacement with `$1` and `${name}` filled in.
fn expand_template(out: &mut Vec<u8>, template: &[u8], captures: &Captures<'_>) {
    let mut rest = template;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        out.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let Some((name, after)) = group_name(rest) else {
            out.push(b'$');
            continue;
        };
        rest = after;
        let number = if name.iter().all(u8::is_ascii_digit) {
            std::str::from_utf8(name)
                .ok()
                .and_then(|digits| digits.parse::<usize>().ok())
                .filter(|&number| number < 100_000_000)
        } else {
            None
        };
        let group = match number {
            Some(number) => captures.get(number),
            None => captures.name(&format!("_{}", std::string::String::from_utf8_lossy(name))),
        };
        out.extend_from_slice(group.map_or(b"".as_slice(), |group| group.as_bytes()));
    }
    out.extend_from_slice(rest);
}

/// The name behind a dollar sign and what follows it.
fn group_name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let braced = text.first() == Some(&b'{');
    let body = if braced { &text[1..] } else { text };
    let mut length = 0;
    for (rune, size) in super::super::text::runes(body) {
        if !(rune == 0x5F || super::super::text::is_letter(rune) || super::super::text::is_digit(rune)) {
            break;
        }
        length += size;
    }
    if length == 0 {
        return None;
    }
    let (name, after) = body.split_at(length);
    if braced { Some((name, after.strip_prefix(b"}")?)) } else { Some((name, after)) }
}

fn split(regex: &Regex, arguments: &Arguments<'_>) -> Outcome {
    let (text, limit) = (arguments.text(1), arguments.int(2));
    if limit == 0 {
        return Ok(Value::List(List::nil(String)));
    }
    if !arguments.text(0).is_empty() && text.is_empty() {
        return Ok(Value::strings([""]));
    }
    guard::allocate(text.len())?;
    let mut parts: Vec<&[u8]> = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for (start, stop) in bounds(regex, text, limit)? {
        if limit > 0 && parts.len() as i64 == limit - 1 {
            break;
        }
        end = start;
        if stop != 0 {
            parts.push(&text[begin..end]);
        }
        begin = stop;
    }
    if end != text.len() {
        parts.push(&text[begin..]);
    }
    Ok(Value::strings(parts))
}

fn quote_meta(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut out = Vec::with_capacity(arguments.text(0).len());
    for &byte in arguments.text(0) {
        if br"\.+*?()|[]{}^$".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    Ok(Value::string(out))
}
