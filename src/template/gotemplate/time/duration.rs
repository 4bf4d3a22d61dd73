//! Durations: `1h30m`, and back.

use super::super::value::{Object, Signature, Type, Value};

/// Nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Duration(pub(in super::super) i64);

impl Duration {
    pub(in super::super) fn seconds(count: i64) -> Self {
        Self(count.wrapping_mul(1_000_000_000))
    }

    pub(in super::super) fn text(self) -> String {
        let all = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        match all {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{all}ns"),
            1_000..1_000_000 => format!("{sign}{}µs", with_fraction(all, 3)),
            1_000_000..1_000_000_000 => format!("{sign}{}ms", with_fraction(all, 6)),
            _ => {
                let minutes = all / 60_000_000_000;
                let seconds = with_fraction(all % 60_000_000_000, 9);
                match minutes {
                    0 => format!("{sign}{seconds}s"),
                    1..60 => format!("{sign}{minutes}m{seconds}s"),
                    _ => format!("{sign}{}h{}m{seconds}s", minutes / 60, minutes % 60),
                }
            }
        }
    }

    /// To the nearest multiple, halves away from zero.
    pub(in super::super) fn round(self, unit: i64) -> Self {
        if unit <= 0 {
            return self;
        }
        let rest = self.0 % unit;
        let down = self.0 - rest;
        if rest.unsigned_abs() < unit.unsigned_abs() - rest.unsigned_abs() {
            return Self(down);
        }
        Self(down.saturating_add(if self.0 < 0 { -unit } else { unit }))
    }
}

/// A number divided by a power of ten, without zeros at its end.
fn with_fraction(number: u64, places: usize) -> String {
    let unit = 10_u64.pow(places as u32);
    let fraction = format!("{:0places$}", number % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", number / unit)
}

/// Reads a duration such as `-1.5h` or `2m3s`.
pub(in super::super) fn parse_duration(text: &[u8]) -> Result<Duration, String> {
    let shown = super::parse::quoted(text);
    let invalid = || format!("time: invalid duration {shown}");
    let (negative, mut rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if rest == b"0" {
        return Ok(Duration(0));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let whole = digits(rest);
        let mut after = &rest[whole.len()..];
        let mut fraction: &[u8] = b"";
        if let [b'.', tail @ ..] = after {
            fraction = digits(tail);
            after = &tail[fraction.len()..];
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let name = &after[..after.iter().take_while(|byte| !byte.is_ascii_digit() && **byte != b'.').count()];
        if name.is_empty() {
            return Err(format!("time: missing unit in duration {shown}"));
        }
        let unit = unit(name)
            .ok_or_else(|| format!("time: unknown unit {} in duration {shown}", super::parse::quoted(name)))?;
        let part = amount(whole, fraction, unit).ok_or_else(invalid)?;
        total = total.checked_add(part).filter(|&total| total <= 1 << 63).ok_or_else(invalid)?;
        rest = &after[name.len()..];
    }
    if negative {
        return Ok(Duration(0_i64.wrapping_sub_unsigned(total)));
    }
    i64::try_from(total).map(Duration).map_err(|_| invalid())
}

fn digits(text: &[u8]) -> &[u8] {
    &text[..text.iter().take_while(|byte| byte.is_ascii_digit()).count()]
}

fn unit(name: &[u8]) -> Option<u64> {
    Some(match name {
        b"ns" => 1,
        b"us" | b"\xC2\xB5s" | b"\xCE\xBCs" => 1_000,
        b"ms" => 1_000_000,
        b"s" => 1_000_000_000,
        b"m" => 60_000_000_000,
        b"h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn amount(whole: &[u8], fraction: &[u8], unit: u64) -> Option<u64> {
    let mut number = 0_u64;
    for digit in whole {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0')).filter(|&number| number <= 1 << 63)?;
    }
    let number = number.checked_mul(unit).filter(|&number| number <= 1 << 63)?;
    let (mut numerator, mut scale) = (0_u64, 1.0_f64);
    for digit in fraction {
        let Some(next) = numerator.checked_mul(10).and_then(|next| next.checked_add(u64::from(digit - b'0'))) else {
            break;
        };
        if next > i64::MAX as u64 {
            break;
        }
        numerator = next;
        scale *= 10.0;
    }
    let part = if numerator > 0 { (numerator as f64 * (unit as f64 / scale)) as u64 } else { 0 };
    number.checked_add(part)
}

impl Object for Duration {
    fn type_name(&self) -> &'static str {
        "time.Duration"
    }

    fn kind(&self) -> &'static str {
        "int64"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::int64(self.0))
    }

    fn method(&self, name: &str) -> Option<Signature> {
        let (params, result): (&'static [Type], Type) = match name {
            "Hours" | "Minutes" | "Seconds" => (&[], Type::Float64),
            "Milliseconds" | "Microseconds" | "Nanoseconds" => (&[], Type::INT64),
            "String" => (&[], Type::String),
            "Abs" => (&[], super::DURATION),
            "Round" | "Truncate" => (&[super::DURATION], super::DURATION),
            _ => return None,
        };
        Some(Signature { params, variadic: false, result })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let split = |unit: i64| Value::Float((self.0 / unit) as f64 + (self.0 % unit) as f64 / unit as f64);
        let unit = super::duration_argument(arguments);
        Ok(match name {
            "Hours" => split(3_600_000_000_000),
            "Minutes" => split(60_000_000_000),
            "Seconds" => split(1_000_000_000),
            "Milliseconds" => Value::int64(self.0 / 1_000_000),
            "Microseconds" => Value::int64(self.0 / 1_000),
            "Nanoseconds" => Value::int64(self.0),
            "Abs" => Value::object(Self(self.0.saturating_abs())),
            "Round" => Value::object(self.round(unit)),
            "Truncate" => Value::object(if unit <= 0 { *self } else { Self(self.0 - self.0 % unit) }),
            _ => Value::from(self.text()),
        })
    }

    fn display(&self) -> Option<String> {
        Some(self.text())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
