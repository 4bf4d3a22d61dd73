//! Floating-point numbers as text, by the rules of Go's `strconv.FormatFloat`.

/// More digits than a double can have; those behind them are zeros. Rust's own precision ends at 65535.
const MOST_DIGITS: usize = 1100;

/// Formats a number. `precision` counts digits as the verb has it; `None` takes as few as tell the number apart.
pub(in super::super) fn format_float(value: f64, verb: u8, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    match verb {
        b'b' => binary(value),
        b'x' | b'X' => hexadecimal(value, verb, precision),
        b'e' | b'E' => scientific(value, verb, precision),
        b'f' => match precision {
            Some(precision) => {
                let exact = precision.min(MOST_DIGITS);
                let mut text = format!("{value:.exact$}");
                text.push_str(&"0".repeat(precision - exact));
                text
            }
            None => format!("{value}"),
        },
        _ => general(value, verb, precision),
    }
}

/// Digits without a point and the exponent of the first one.
fn digits(value: f64, precision: Option<usize>) -> (bool, String, i32) {
    let text = match precision {
        Some(count) => {
            let exact = count.min(MOST_DIGITS);
            let text = format!("{value:.exact$e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            format!("{mantissa}{}e{exponent}", "0".repeat(count - exact))
        }
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let negative = mantissa.starts_with('-');
    let digits = mantissa.chars().filter(char::is_ascii_digit).collect();
    (negative, digits, exponent.parse().unwrap_or(0))
}

fn scientific(value: f64, verb: u8, precision: Option<usize>) -> String {
    let (negative, digits, exponent) = digits(value, precision);
    scientific_text(negative, &digits, exponent, verb)
}

fn scientific_text(negative: bool, digits: &str, exponent: i32, verb: u8) -> String {
    let sign = if negative { "-" } else { "" };
    let point = if digits.len() > 1 { "." } else { "" };
    let (first, rest) = digits.split_at(1);
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{point}{rest}{}{exponent_sign}{:02}", char::from(verb), exponent.abs())
}

fn general(value: f64, verb: u8, precision: Option<usize>) -> String {
    let wanted = precision.map(|count| count.max(1));
    let (negative, all, exponent) = digits(value, wanted.map(|count| count - 1));
    let digits = match all.trim_end_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    let limit = match wanted {
        None => 6,
        Some(count) if count > digits.len() && digits.len() as i32 > exponent => digits.len() as i32,
        Some(count) => count as i32,
    };
    // The shortest form takes an exponent from 1e6 on, an explicit precision from its own length on.
    if exponent < -4 || exponent >= limit {
        let verb = if verb == b'G' { b'E' } else { b'e' };
        return scientific_text(negative, digits, exponent, verb);
    }
    let sign = if negative { "-" } else { "" };
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7FF) as i32;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

fn binary(value: f64) -> String {
    let (mantissa, exponent) = parts(value);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    format!("{sign}{mantissa}p{exponent:+}")
}

fn hexadecimal(value: f64, verb: u8, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        exponent += 52;
        mantissa <<= 8;
        while mantissa & 1 << 60 == 0 {
            mantissa <<= 1;
            exponent -= 1;
        }
    }
    if let Some(count) = precision
        && count < 15
    {
        let shift = (count * 4) as u32;
        let extra = (mantissa << shift) & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        if extra | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & 1 << 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(count) => fraction.chars().chain(std::iter::repeat('0')).take(count).collect(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    let text = format!("{sign}0x{}{point}{fraction}p{exponent_sign}{:02}", mantissa >> 60 & 1, exponent.abs());
    if verb == b'X' { text.to_ascii_uppercase() } else { text }
}
