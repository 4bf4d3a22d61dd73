//! Numbers.

use super::super::format::display;
use super::super::function::{Arguments, Call, Function, Outcome, function, variadic};
use super::super::guard;
use super::super::number::{parse_float, parse_int};
use super::super::value::{List, Type, Value};
use super::decimal::{self, Decimal};

use Type::{Any, Float64, String};
const INT: Type = Type::INT;
const INT64: Type = Type::INT64;

pub(super) const FUNCTIONS: &[Function] = &[
    function("int", &[Any], INT, |_, a| Ok(Value::int(to_int(a.value(0))))),
    function("int64", &[Any], INT64, |_, a| Ok(Value::int64(to_int(a.value(0))))),
    function("float64", &[Any], Float64, |_, a| Ok(Value::Float(to_float(a.value(0))))),
    function("atoi", &[String], INT, |_, a| Ok(Value::int(atoi(a.text(0))))),
    function("toDecimal", &[Any], INT64, |_, a| Ok(Value::int64(parse_int(&display(a.value(0))?, 8).unwrap_or(0)))),
    function("add1", &[Any], INT64, |_, a| Ok(Value::int64(to_int(a.value(0)).wrapping_add(1)))),
    variadic("add", &[Any], INT64, |_, a| Ok(Value::int64(a.rest(0).map(to_int).fold(0, i64::wrapping_add)))),
    function("sub", &[Any, Any], INT64, |_, a| Ok(Value::int64(to_int(a.value(0)).wrapping_sub(to_int(a.value(1)))))),
    function("div", &[Any, Any], INT64, |_, a| divide(a, i64::wrapping_div)),
    function("mod", &[Any, Any], INT64, |_, a| divide(a, i64::wrapping_rem)),
    variadic("mul", &[Any, Any], INT64, |_, a| Ok(Value::int64(a.rest(0).map(to_int).fold(1, i64::wrapping_mul)))),
    variadic("max", &[Any, Any], INT64, |_, a| Ok(Value::int64(a.rest(0).map(to_int).max().unwrap_or(0)))),
    variadic("biggest", &[Any, Any], INT64, |_, a| Ok(Value::int64(a.rest(0).map(to_int).max().unwrap_or(0)))),
    variadic("min", &[Any, Any], INT64, |_, a| Ok(Value::int64(a.rest(0).map(to_int).min().unwrap_or(0)))),
    variadic("maxf", &[Any, Any], Float64, |_, a| Ok(Value::Float(extreme(a, |left, right| left > right)))),
    variadic("minf", &[Any, Any], Float64, |_, a| Ok(Value::Float(extreme(a, |left, right| left < right)))),
    function("floor", &[Any], Float64, |_, a| Ok(Value::Float(to_float(a.value(0)).floor()))),
    function("ceil", &[Any], Float64, |_, a| Ok(Value::Float(to_float(a.value(0)).ceil()))),
    variadic("round", &[Any, INT, Float64], Float64, round),
    function("add1f", &[Any], Float64, |_, a| {
        let one = decimal::from_float(1.0)?;
        Ok(Value::Float(decimal::add(&number(a.value(0))?, &one)?.to_float()))
    }),
    variadic("addf", &[Any], Float64, |_, a| folded(decimal::from_float(0.0)?, a.rest(0), decimal::add)),
    variadic("subf", &[Any, Any], Float64, |_, a| folded(number(a.value(0))?, a.rest(1), decimal::subtract)),
    variadic("mulf", &[Any, Any], Float64, |_, a| folded(number(a.value(0))?, a.rest(1), decimal::multiply)),
    variadic("divf", &[Any, Any], Float64, |_, a| folded(number(a.value(0))?, a.rest(1), decimal::divide)),
    function("until", &[INT], Type::Slice(&INT), |_, a| {
        let count = a.int(0);
        sequence(0, count, if count < 0 { -1 } else { 1 }).map(ints)
    }),
    function("untilStep", &[INT, INT, INT], Type::Slice(&INT), |_, a| sequence(a.int(0), a.int(1), a.int(2)).map(ints)),
    variadic("seq", &[INT], String, seq),
];

/// Any value as an integer, as Sprig's library converts it: what is no number is 0.
pub(in super::super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        Value::Int(_, number) => *number,
        Value::Uint(_, number) => *number as i64,
        Value::Float(number) => float_to_int(*number),
        Value::Str(text) => parse_int(without_zero_fraction(text), 0).unwrap_or(0),
        Value::Object(object) if matches!(object.type_name(), "time.Month" | "time.Weekday") => {
            object.underlying().map_or(0, |value| to_int(&value))
        }
        _ => 0,
    }
}

/// What the processor makes of a float: cut towards zero, and the lowest number for all that does not fit.
pub(super) fn float_to_int(number: f64) -> i64 {
    if (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&number) { number as i64 } else { i64::MIN }
}

/// Cuts `.0`, `.00` and so on.
fn without_zero_fraction(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|&byte| byte != b'0').map_or(0, |last| last + 1);
    match text[..kept].split_last() {
        Some((b'.', whole)) if kept < text.len() => whole,
        _ => text,
    }
}

fn to_float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Uint(_, number) => *number as f64,
        Value::Str(text) => parse_float(text).unwrap_or(0.0),
        other => to_int(other) as f64,
    }
}

/// The value of a decimal text; one that is too large gives the largest number.
fn atoi(text: &[u8]) -> i64 {
    match parse_int(text, 10) {
        Ok(number) => number,
        Err(super::super::number::NumberError::Range) if text.starts_with(b"-") => i64::MIN,
        Err(super::super::number::NumberError::Range) => i64::MAX,
        Err(super::super::number::NumberError::Syntax) => 0,
    }
}

fn divide(arguments: &Arguments<'_>, operation: fn(i64, i64) -> i64) -> Outcome {
    match (to_int(arguments.value(0)), to_int(arguments.value(1))) {
        (_, 0) => Err("runtime error: integer divide by zero".to_owned()),
        (left, right) => Ok(Value::int64(operation(left, right))),
    }
}

fn extreme(arguments: &Arguments<'_>, beats: fn(f64, f64) -> bool) -> f64 {
    let mut numbers = arguments.rest(0).map(to_float);
    let mut best = numbers.next().unwrap_or(0.0);
    for number in numbers {
        if number.is_nan() || beats(number, best) {
            best = number;
        }
        if best.is_nan() {
            break;
        }
    }
    best
}

fn round(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let (number, places) = (to_float(arguments.value(0)), arguments.int(1));
    let threshold = if arguments.len() > 2 { arguments.float(2) } else { 0.5 };
    let exponent = i32::try_from(places.unsigned_abs().min(400)).unwrap_or(400);
    let power = if places < 0 { 1.0 / 10_f64.powi(exponent) } else { 10_f64.powi(exponent) };
    let scaled = power * number;
    let fraction = scaled - scaled.trunc();
    let whole = if fraction >= threshold { scaled.ceil() } else { scaled.floor() };
    Ok(Value::Float(whole / power))
}

fn number(value: &Value) -> Result<Decimal, std::string::String> {
    decimal::from_float(to_float(value))
}

fn folded<'a>(
    first: Decimal,
    values: impl Iterator<Item = &'a Value>,
    operation: fn(&Decimal, &Decimal) -> Result<Decimal, std::string::String>,
) -> Outcome {
    let mut result = first;
    for value in values {
        result = operation(&result, &number(value)?)?;
    }
    Ok(Value::Float(result.to_float()))
}

fn sequence(start: i64, stop: i64, step: i64) -> Result<Vec<i64>, std::string::String> {
    let mut numbers = Vec::new();
    let upwards = stop >= start;
    if upwards && step <= 0 || !upwards && step >= 0 {
        return Ok(numbers);
    }
    let mut number = start;
    while if upwards { number < stop } else { number > stop } {
        guard::step(1)?;
        guard::allocate(size_of::<Value>())?;
        numbers.push(number);
        match number.checked_add(step) {
            Some(next) => number = next,
            None => break,
        }
    }
    Ok(numbers)
}

fn ints(numbers: Vec<i64>) -> Value {
    Value::List(List::new(INT, numbers.into_iter().map(Value::int).collect()))
}

fn seq(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let down = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let numbers = match arguments.len() {
        1 => {
            let (end, step) = (arguments.int(0), down(1, arguments.int(0)));
            sequence(1, end.wrapping_add(step), step)?
        }
        2 => {
            let (start, end) = (arguments.int(0), arguments.int(1));
            let step = down(start, end);
            sequence(start, end.wrapping_add(step), step)?
        }
        3 => {
            let (start, step, end) = (arguments.int(0), arguments.int(1), arguments.int(2));
            if end < start && step > 0 {
                return Ok(Value::from(""));
            }
            sequence(start, end.wrapping_add(down(start, end)), step)?
        }
        _ => Vec::new(),
    };
    let texts: Vec<std::string::String> = numbers.iter().map(i64::to_string).collect();
    Ok(Value::from(texts.join(" ")))
}
