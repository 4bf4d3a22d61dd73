//! Upper and lower case, and the ways to write several words as one.

use super::super::function::{Function, function};
use super::super::text::{
    self, decode, is_letter, is_lower, is_number, is_punct, is_space, is_title, is_upper, map_runes, push_rune, runes,
    to_lower, to_title, to_upper,
};
use super::super::value::{Type, Value};

use Type::String;

pub(super) const FUNCTIONS: &[Function] = &[
    function("upper", &[String], String, |_, a| Ok(Value::string(map_runes(a.text(0), to_upper)))),
    function("lower", &[String], String, |_, a| Ok(Value::string(map_runes(a.text(0), to_lower)))),
    function("title", &[String], String, |_, a| Ok(Value::string(title(a.text(0))))),
    function("untitle", &[String], String, |_, a| Ok(Value::string(untitle(a.text(0))))),
    function("swapcase", &[String], String, |_, a| Ok(Value::string(swap_case(a.text(0))))),
    function("camelcase", &[String], String, |_, a| Ok(Value::string(camel_case(a.text(0))))),
    function("snakecase", &[String], String, |_, a| Ok(Value::string(joined_case(a.text(0), b'_')))),
    function("kebabcase", &[String], String, |_, a| Ok(Value::string(joined_case(a.text(0), b'-')))),
];

fn title(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len());
    let mut at_start = true;
    for (rune, _) in runes(source) {
        push_rune(&mut out, if at_start { to_title(rune) } else { rune });
        at_start = match rune {
            0..0x80 => rune != 0x5F && !is_letter(rune) && !text::is_digit(rune),
            _ => !is_letter(rune) && !text::is_digit(rune) && is_space(rune),
        };
    }
    out
}

fn untitle(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len());
    let mut at_start = true;
    for (rune, _) in runes(source) {
        let space = is_space(rune);
        push_rune(&mut out, if at_start && !space { to_lower(rune) } else { rune });
        at_start = space;
    }
    out
}

fn swap_case(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len());
    let mut after_space = true;
    for (rune, _) in runes(source) {
        if is_upper(rune) || is_title(rune) {
            push_rune(&mut out, to_lower(rune));
            after_space = false;
        } else if is_lower(rune) {
            push_rune(&mut out, if after_space { to_title(rune) } else { to_upper(rune) });
            after_space = false;
        } else {
            push_rune(&mut out, rune);
            after_space = is_space(rune);
        }
    }
    out
}

fn is_connector(rune: u32) -> bool {
    matches!(rune, 0x2D | 0x5F) || is_space(rune)
}

/// Drops single connectors and capitalizes what follows; leading connectors stay, of several in a row all but one.
fn camel_case(source: &[u8]) -> Vec<u8> {
    let all: Vec<u32> = runes(source).map(|(rune, _)| rune).collect();
    let Some(first) = all.iter().position(|&rune| !is_connector(rune)) else {
        // Nothing but connectors: the last one is written twice.
        let mut out = map_runes(source, |rune| rune);
        if let Some(&last) = all.last() {
            push_rune(&mut out, last);
        }
        return out;
    };
    let mut out = Vec::with_capacity(source.len());
    for &rune in &all[..first] {
        push_rune(&mut out, rune);
    }
    let mut held = to_upper(all[first]);
    for &rune in &all[first + 1..] {
        let mut next = rune;
        if is_connector(held) {
            if is_connector(rune) {
                push_rune(&mut out, held);
            } else {
                next = to_upper(rune);
            }
        } else {
            push_rune(&mut out, held);
        }
        held = next;
    }
    push_rune(&mut out, held);
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

/// Letters, but not the characters of Chinese, which are words of their own.
fn is_alphabet(rune: u32) -> bool {
    is_letter(rune) && !matches!(rune, 0x3400..=0x4D85 | 0x4E00..=0x9FCC | 0x20000..=0x2B81D)
}

/// Splits off the first word: its class, itself, the rest.
fn next_word(source: &[u8]) -> (Word, &[u8], &[u8]) {
    let run = |start: usize, class: &dyn Fn(u32) -> bool| {
        let mut end = start;
        while end < source.len() {
            let (rune, size) = decode(&source[end..]);
            if !class(rune) {
                break;
            }
            end += size;
        }
        end
    };
    let (rune, size) = decode(source);
    if size == 0 {
        return (Word::None, source, source);
    }
    let (class, end) = match rune {
        text::RUNE_ERROR => (Word::None, size),
        _ if is_connector(rune) => (Word::Connector, run(size, &is_connector)),
        _ if is_punct(rune) => (Word::Punctuation, run(size, &is_punct)),
        _ if is_upper(rune) => (Word::Upper, upper_word(source, size, &run)),
        _ if is_alphabet(rune) => (Word::Letters, run(size, &|rune| is_alphabet(rune) && !is_upper(rune))),
        _ if is_number(rune) => (Word::Number, run(size, &is_number)),
        _ => {
            let other = |rune| !is_connector(rune) && !is_alphabet(rune) && !is_number(rune) && !is_punct(rune);
            (Word::Other, run(size, &other))
        }
    };
    (class, &source[..end], &source[end..])
}

/// Finds the end of a run of characters of a class.
type Run<'a> = &'a dyn Fn(usize, &dyn Fn(u32) -> bool) -> usize;

/// The end of a word that starts with a capital: `HTTPStatus` is `HTTP` and `Status`.
fn upper_word(source: &[u8], size: usize, run: Run<'_>) -> usize {
    let (second, _) = decode(&source[size..]);
    if size == source.len() {
        return size;
    }
    if !is_upper(second) {
        if is_alphabet(second) {
            return run(size, &|rune| is_alphabet(rune) && !is_upper(rune));
        }
        return size;
    }
    let end = run(size, &is_upper);
    if end < source.len() && is_alphabet(decode(&source[end..]).0) {
        let (_, last) = text::decode_last(&source[..end]);
        return end - last;
    }
    end
}

/// Appends a word; capitals become small, connectors become `connector`.
fn append_word(out: &mut Vec<u8>, class: Word, word: &[u8], connector: u8) {
    if !matches!(class, Word::Upper | Word::Connector) {
        out.extend_from_slice(word);
        return;
    }
    for (rune, _) in runes(word) {
        if is_connector(rune) {
            out.push(connector);
        } else {
            push_rune(out, if is_upper(rune) { to_lower(rune) } else { rune });
        }
    }
}

/// Words of camel case joined by `connector`.
fn joined_case(source: &[u8], connector: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len() + 8);
    let (mut class, mut word, mut rest) = next_word(source);
    while !rest.is_empty() {
        if class != Word::Connector {
            append_word(&mut out, class, word, connector);
        }
        let (previous, last) = (class, word);
        (class, word, rest) = next_word(rest);
        match previous {
            Word::Number => {
                (class, word, rest) = take_letters(&mut out, (class, word, rest), connector);
                if !matches!(class, Word::None | Word::Punctuation | Word::Connector) {
                    out.push(connector);
                }
            }
            Word::Connector => append_word(&mut out, previous, last, connector),
            Word::Punctuation => {}
            _ if class != Word::Number => {
                if !matches!(class, Word::Connector | Word::Punctuation) {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (class, word, rest) = next_word(rest);
                if class == Word::Letters {
                    // "HTTP2xx" is "http_2xx", yet "Bld4Floor" is "bld4_floor".
                    out.push(connector);
                    append_word(&mut out, Word::Number, number, connector);
                    (class, word, rest) = take_letters(&mut out, (class, word, rest), connector);
                    if !matches!(class, Word::None | Word::Connector | Word::Punctuation) {
                        out.push(connector);
                    }
                } else {
                    append_word(&mut out, Word::Number, number, connector);
                    if !matches!(class, Word::Connector | Word::Punctuation) {
                        out.push(connector);
                    }
                }
            }
        }
    }
    append_word(&mut out, class, word, connector);
    out
}

/// Appends words of small letters and numbers; gives the first that is neither.
fn take_letters<'a>(
    out: &mut Vec<u8>,
    (mut class, mut word, mut rest): (Word, &'a [u8], &'a [u8]),
    connector: u8,
) -> (Word, &'a [u8], &'a [u8]) {
    while matches!(class, Word::Letters | Word::Number) {
        append_word(out, class, word, connector);
        (class, word, rest) = next_word(rest);
    }
    (class, word, rest)
}
