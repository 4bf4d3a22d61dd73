//! What plain scalars of YAML 1.1 are, as the programs of those dialects take them.

use super::events::CORE_TAGS;
use super::tree::ScalarKind;

/// The kind of a scalar; `tag` is the one written before it.
pub(super) fn kind(text: &str, plain: bool, tag: Option<&str>) -> ScalarKind {
    match tag.map(|tag| tag.strip_prefix(CORE_TAGS)) {
        Some(Some("int" | "float" | "bool" | "null")) => plain_kind(text),
        None if plain => plain_kind(text),
        _ => ScalarKind::Text,
    }
}

fn plain_kind(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        _ if boolean(text).is_some() => ScalarKind::Boolean,
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN"
        | ".NAN" => ScalarKind::Float,
        _ if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) => {
            ScalarKind::Text
        }
        _ if integer(text).is_some() => ScalarKind::Integer,
        _ if is_float(text) => ScalarKind::Float,
        _ => ScalarKind::Text,
    }
}

/// The truth that a plain text stands for.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The whole number that a plain text stands for: decimal, `0x`, `0b`, `0o`, or octal by a leading zero; `_` separates.
/// Beyond the range of the type the nearest value of it stands in, since no key takes such a number.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let plain: String = text.chars().filter(|letter| *letter != '_').collect();
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    let value = if negative { -value } else { value };
    Some(i64::try_from(value).unwrap_or(if negative { i64::MIN } else { i64::MAX }))
}

fn is_float(text: &str) -> bool {
    let plain: String = text.chars().filter(|letter| *letter != '_').collect();
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_have_the_kinds_of_yaml_1_1() {
        use ScalarKind::{Boolean, Float, Integer, Null, Text};
        for (text, expected) in [
            ("", Null),
            ("~", Null),
            ("NULL", Null),
            ("nULL", Text),
            ("y", Boolean),
            ("On", Boolean),
            ("oN", Text),
            ("off", Boolean),
            ("1", Integer),
            ("-5", Integer),
            ("0x1F", Integer),
            ("017", Integer),
            ("089", Float),
            ("0o17", Integer),
            ("0b101", Integer),
            ("1_000", Integer),
            ("1.10", Float),
            ("1e3", Float),
            (".5", Float),
            ("1.", Float),
            (".", Text),
            ("-", Text),
            ("1.2.3", Text),
            ("12:30", Text),
            ("2024-03-01", Text),
            ("1e", Text),
            (".inf", Float),
            ("0x", Text),
        ] {
            assert_eq!(kind(text, true, None), expected, "{text}");
        }
        assert_eq!(kind("1", false, None), Text);
        assert_eq!(kind("1", true, Some("tag:yaml.org,2002:str")), Text);
        assert_eq!(kind("1", false, Some("tag:yaml.org,2002:int")), Integer);
        assert_eq!(kind("1", true, Some("!custom")), Text);
        for (text, expected) in [("017", 15), ("-0x10", -16), ("1_0", 10), ("99999999999999999999", i64::MAX)] {
            assert_eq!(integer(text), Some(expected), "{text}");
        }
    }
}
