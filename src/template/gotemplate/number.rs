//! Text to number, by the rules of Go's `strconv`.

use super::ast::Number;
use super::lex::{Kind, Token};
use super::quote::{quoted, unquote_unit};

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberError {
    Syntax,
    Range,
}

/// Whether underscores, if any, only separate digits (one may follow the base prefix).
fn underscores_fine(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let (mut previous, digits, hex) = match text {
        [b'0', letter @ (b'b' | b'B' | b'o' | b'O' | b'x' | b'X'), rest @ ..] => {
            (b'0', rest, letter.eq_ignore_ascii_case(&b'x'))
        }
        _ => (b'^', text, false),
    };
    for &byte in digits {
        if byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit() {
            previous = b'0';
        } else if byte == b'_' {
            if previous != b'0' {
                return false;
            }
            previous = b'_';
        } else {
            if previous == b'_' {
                return false;
            }
            previous = b'!';
        }
    }
    previous != b'_'
}

/// Reads an unsigned integer; base 0 takes it from the prefix and allows underscores.
pub(super) fn parse_uint(text: &[u8], base: u32) -> Result<u64, NumberError> {
    let (digits, radix) = match (base, text) {
        (0, [b'0', b'x' | b'X', rest @ ..]) if !rest.is_empty() => (rest, 16),
        (0, [b'0', b'b' | b'B', rest @ ..]) if !rest.is_empty() => (rest, 2),
        (0, [b'0', b'o' | b'O', rest @ ..] | [b'0', rest @ ..]) if !rest.is_empty() => (rest, 8),
        (0, _) => (text, 10),
        _ => (text, base),
    };
    if digits.is_empty() || base == 0 && digits.contains(&b'_') && !underscores_fine(text) {
        return Err(NumberError::Syntax);
    }
    let mut value = Some(0_u64);
    for &byte in digits {
        if byte == b'_' && base == 0 {
            continue;
        }
        let digit = char::from(byte).to_digit(radix).ok_or(NumberError::Syntax)?;
        value = value.and_then(|value| value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit)));
    }
    value.ok_or(NumberError::Range)
}

/// Reads a signed integer, like [`parse_uint`].
pub(super) fn parse_int(text: &[u8], base: u32) -> Result<i64, NumberError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = parse_uint(digits, base)?;
    if negative {
        0_i64.checked_sub_unsigned(magnitude).ok_or(NumberError::Range)
    } else {
        i64::try_from(magnitude).map_err(|_| NumberError::Range)
    }
}

/// Reads a floating-point number: decimal, hexadecimal, infinities and NaN.
pub(super) fn parse_float(text: &[u8]) -> Result<f64, NumberError> {
    let (negative, body) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let sign = if negative { -1.0 } else { 1.0 };
    match body.to_ascii_lowercase().as_slice() {
        b"inf" | b"infinity" => return Ok(sign * f64::INFINITY),
        b"nan" if body.len() == text.len() => return Ok(f64::NAN),
        _ => {}
    }
    if body.contains(&b'_') && !underscores_fine(text) {
        return Err(NumberError::Syntax);
    }
    let plain: Vec<u8> = body.iter().copied().filter(|&byte| byte != b'_').collect();
    let value = match plain.as_slice() {
        [b'0', b'x' | b'X', rest @ ..] => parse_hex_float(rest)?,
        [first, ..] if first.is_ascii_digit() || *first == b'.' => {
            let text = std::str::from_utf8(&plain).map_err(|_| NumberError::Syntax)?;
            text.parse::<f64>().map_err(|_| NumberError::Syntax)?
        }
        _ => return Err(NumberError::Syntax),
    };
    if value.is_infinite() { Err(NumberError::Range) } else { Ok(sign * value) }
}

fn parse_hex_float(text: &[u8]) -> Result<f64, NumberError> {
    let exponent_at = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'p')).ok_or(NumberError::Syntax)?;
    let (digits, exponent) = text.split_at(exponent_at);
    let exponent = match &exponent[1..] {
        [b'+' | b'-', rest @ ..] | rest if rest.is_empty() || !rest.iter().all(u8::is_ascii_digit) => {
            return Err(NumberError::Syntax);
        }
        all => parse_int(all, 10).unwrap_or(if all[0] == b'-' { -100_000 } else { 100_000 }).clamp(-100_000, 100_000),
    };
    let (mut mantissa, mut shift, mut seen_point, mut seen_digit, mut sticky) = (0_u64, 0_i64, false, false, false);
    for &byte in digits {
        if byte == b'.' {
            if seen_point {
                return Err(NumberError::Syntax);
            }
            seen_point = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16).ok_or(NumberError::Syntax)?;
        seen_digit = true;
        if mantissa < 1 << 58 {
            mantissa = mantissa << 4 | u64::from(digit);
            shift -= if seen_point { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            shift += if seen_point { 0 } else { 4 };
        }
    }
    if !seen_digit {
        return Err(NumberError::Syntax);
    }
    // The sticky bit keeps the rounding of the conversion right.
    let value = (mantissa | u64::from(sticky)) as f64;
    let mut scale = (shift + exponent).clamp(-5000, 5000);
    let mut value = value;
    while scale != 0 {
        let part = scale.clamp(-1000, 1000);
        value *= 2_f64.powi(part as i32);
        scale -= part;
    }
    Ok(value)
}

/// Reads the number or character of a token.
pub(super) fn literal(token: &Token<'_>) -> Result<Number, String> {
    let text = String::from_utf8_lossy(&token.value).into_owned();
    match token.kind {
        Kind::CharConstant => character(&token.value, text),
        Kind::Complex => {
            let body = &token.value[..token.value.len() - 1];
            let split = body.iter().rposition(|byte| matches!(byte, b'+' | b'-')).unwrap_or(0);
            let split = match body.get(split.wrapping_sub(1)) {
                Some(b'e' | b'E' | b'p' | b'P') => {
                    body[..split - 1].iter().rposition(|byte| matches!(byte, b'+' | b'-')).unwrap_or(0)
                }
                _ => split,
            };
            match (parse_float(&body[..split]), parse_float(&body[split..])) {
                (Ok(real), Ok(imaginary)) => Ok(complex(text, real, imaginary)),
                _ => Err("expected complex; got another number".to_owned()),
            }
        }
        _ => real(&token.value, text),
    }
}

fn character(literal: &[u8], text: String) -> Result<Number, String> {
    let Some((unit, length)) = unquote_unit(&literal[1..], b'\'') else { return Err("invalid syntax".to_owned()) };
    if literal.get(1 + length..) != Some(b"'") {
        return Err(format!("malformed character constant: {text}"));
    }
    let code = unit.code();
    Ok(Number {
        text,
        int: Some(i64::from(code)),
        uint: Some(u64::from(code)),
        float: Some(f64::from(code)),
        complex: None,
    })
}

fn real(literal: &[u8], text: String) -> Result<Number, String> {
    if let Some(body) = literal.strip_suffix(b"i")
        && let Ok(imaginary) = parse_float(body)
    {
        return Ok(complex(text, 0.0, imaginary));
    }
    let mut number = Number { uint: parse_uint(literal, 0).ok(), int: parse_int(literal, 0).ok(), ..Number::default() };
    if number.int == Some(0) {
        number.uint = Some(0);
    }
    if let Some(int) = number.int {
        number.float = Some(int as f64);
    } else if let Some(uint) = number.uint {
        number.float = Some(uint as f64);
    } else if let Ok(float) = parse_float(literal) {
        if !literal.iter().any(|byte| b".eEpP".contains(byte)) {
            return Err(format!("integer overflow: {}", quoted(literal)));
        }
        number.float = Some(float);
        number.int = whole(float);
        number.uint = whole_unsigned(float);
    } else {
        return Err(format!("illegal number syntax: {}", quoted(literal)));
    }
    number.text = text;
    Ok(number)
}

fn whole(float: f64) -> Option<i64> {
    (float == float.trunc() && (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&float))
        .then_some(float as i64)
}

fn whole_unsigned(float: f64) -> Option<u64> {
    (float == float.trunc() && (0.0..1.844_674_407_370_955_2e19).contains(&float)).then_some(float as u64)
}

fn complex(text: String, real: f64, imaginary: f64) -> Number {
    let mut number = Number { text, complex: Some((real, imaginary)), ..Number::default() };
    if imaginary == 0.0 {
        number.float = Some(real);
        number.int = whole(real);
        number.uint = whole_unsigned(real);
    }
    number
}
