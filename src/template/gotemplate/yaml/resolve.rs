//! What a plain text means: the rules of YAML 1.1, as `yaml.v2` has them.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::super::number::{parse_float, parse_int, parse_uint};
use super::super::value::{UintKind, Value};

/// A resolved scalar.
#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(Value),
    Float(f64),
    Timestamp,
    Merge,
    Str,
}

impl Scalar {
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Timestamp => "!!timestamp",
            Self::Merge => "!!merge",
            Self::Str => "!!str",
        }
    }
}

fn word(text: &[u8]) -> Option<Scalar> {
    Some(match text {
        b"y" | b"Y" | b"yes" | b"Yes" | b"YES" | b"true" | b"True" | b"TRUE" | b"on" | b"On" | b"ON" => {
            Scalar::Bool(true)
        }
        b"n" | b"N" | b"no" | b"No" | b"NO" | b"false" | b"False" | b"FALSE" | b"off" | b"Off" | b"OFF" => {
            Scalar::Bool(false)
        }
        b"" | b"~" | b"null" | b"Null" | b"NULL" => Scalar::Null,
        b".nan" | b".NaN" | b".NAN" => Scalar::Float(f64::NAN),
        b".inf" | b".Inf" | b".INF" | b"+.inf" | b"+.Inf" | b"+.INF" => Scalar::Float(f64::INFINITY),
        b"-.inf" | b"-.Inf" | b"-.INF" => Scalar::Float(f64::NEG_INFINITY),
        b"<<" => Scalar::Merge,
        _ => return None,
    })
}

static FLOAT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").expect("a constant pattern"));
static BASE60: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$").expect("a constant pattern"));

/// Numbers in base 60 stay text, but are quoted for other readers.
pub(super) fn is_base60(text: &[u8]) -> bool {
    text.contains(&b':') && BASE60.is_match(text)
}

/// The meaning of a text without quotes and without a tag.
pub(super) fn resolve(text: &[u8]) -> Scalar {
    let Some(&first) = text.first() else { return Scalar::Null };
    match first {
        b'.' => word(text).unwrap_or_else(|| match parse_float(text) {
            Ok(number) => Scalar::Float(number),
            Err(_) => Scalar::Str,
        }),
        b'+' | b'-' | b'0'..=b'9' => word(text).unwrap_or_else(|| number(text)),
        // Other texts are only looked up, and only if they start like one of the words.
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text).unwrap_or(Scalar::Str),
        _ => Scalar::Str,
    }
}

fn number(text: &[u8]) -> Scalar {
    if is_timestamp(text) {
        return Scalar::Timestamp;
    }
    let plain: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'_').collect();
    if let Ok(number) = parse_int(&plain, 0) {
        return Scalar::Int(Value::int(number));
    }
    if let Ok(number) = parse_uint(&plain, 0) {
        return Scalar::Int(Value::Uint(UintKind::Uint64, number));
    }
    if FLOAT.is_match(&plain)
        && let Ok(number) = parse_float(&plain)
    {
        return Scalar::Float(number);
    }
    if let Some(digits) = plain.strip_prefix(b"-0b".as_slice())
        && let Ok(number) = parse_int(&[b"-", digits].concat(), 2)
    {
        return Scalar::Int(Value::int(number));
    }
    Scalar::Str
}

fn is_timestamp(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits != 4 || text.get(4) != Some(&b'-') {
        return false;
    }
    let layouts: [&[u8]; 4] = [
        b"2006-1-2T15:4:5.999999999Z07:00",
        b"2006-1-2t15:4:5.999999999Z07:00",
        b"2006-1-2 15:4:5.999999999",
        b"2006-1-2",
    ];
    layouts.iter().any(|layout| super::super::time::parse(layout, text).is_ok())
}
