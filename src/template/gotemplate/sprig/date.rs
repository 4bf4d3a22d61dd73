//! Dates. The local time zone is UTC.

use super::super::function::{Arguments, Call, Function, Outcome, function};
use super::super::number::parse_int;
use super::super::time::{Duration, Time, Zone, parse, parse_duration};
use super::super::value::{Type, Value};

use Type::{Any, String};
const TIME: Type = Type::Named("time.Time");
const ISO_DATE: &[u8] = b"2006-01-02";

pub(super) const FUNCTIONS: &[Function] = &[
    function("now", &[], TIME, |call, _| Ok(Value::object(now(call)?))),
    function("date", &[String, Any], String, |call, a| date(call, a.text(0), a.value(1), "Local")),
    function("dateInZone", &[String, Any, String], String, |call, a| date(call, a.text(0), a.value(1), &a.string(2))),
    function("date_in_zone", &[String, Any, String], String, |call, a| date(call, a.text(0), a.value(1), &a.string(2))),
    function("htmlDate", &[Any], String, |call, a| date(call, ISO_DATE, a.value(0), "Local")),
    function("htmlDateInZone", &[Any, String], String, |call, a| date(call, ISO_DATE, a.value(0), &a.string(1))),
    function("dateModify", &[String, TIME], TIME, modify),
    function("date_modify", &[String, TIME], TIME, modify),
    function("mustDateModify", &[String, TIME], TIME, must_modify),
    function("must_date_modify", &[String, TIME], TIME, must_modify),
    function("ago", &[Any], String, |call, a| {
        let now = now(call)?;
        let then = time_of(a.value(0)).unwrap_or_else(|| now.clone());
        Ok(Value::from(Duration(now.since(&then)).round(1_000_000_000).text()))
    }),
    function("duration", &[Any], String, |_, a| {
        let seconds = match a.value(0) {
            Value::Str(text) => parse_int(text, 10).unwrap_or(0),
            Value::Int(super::super::value::IntKind::Int64, seconds) => *seconds,
            _ => 0,
        };
        Ok(Value::from(Duration::seconds(seconds).text()))
    }),
    function("durationRound", &[Any], String, duration_round),
    function("toDate", &[String, String], TIME, |_, a| {
        Ok(Value::object(parse(a.text(0), a.text(1)).unwrap_or_else(|_| Time::zero())))
    }),
    function("mustToDate", &[String, String], TIME, |_, a| Ok(Value::object(parse(a.text(0), a.text(1))?))),
    function("unixEpoch", &[TIME], String, |_, a| {
        Ok(Value::from(time_of(a.value(0)).unwrap_or_else(Time::zero).seconds.to_string()))
    }),
];

fn now(call: &Call<'_>) -> Result<Time, std::string::String> {
    let (seconds, nanoseconds) = call.run.now.ok_or("the clock is not available")?;
    Ok(Time::unix(seconds, nanoseconds))
}

/// A time, or a number of seconds since 1970.
fn time_of(value: &Value) -> Option<Time> {
    match value {
        Value::Int(_, seconds) => Some(Time::unix(*seconds, 0)),
        Value::Object(object) => object.as_any().downcast_ref::<Time>().cloned(),
        _ => None,
    }
}

fn date(call: &Call<'_>, layout: &[u8], value: &Value, zone: &str) -> Outcome {
    let time = match time_of(value) {
        Some(time) => time,
        None => now(call)?,
    };
    Ok(Value::string(time.in_zone(Zone::named(zone)).format(layout)))
}

fn modified(arguments: &Arguments<'_>, duration: Duration) -> Value {
    let time = time_of(arguments.value(1)).unwrap_or_else(Time::zero);
    Value::object(time.plus(duration.0))
}

fn modify(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    Ok(match parse_duration(arguments.text(0)) {
        Ok(duration) => modified(arguments, duration),
        Err(_) => arguments.value(1).clone(),
    })
}

fn must_modify(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    Ok(modified(arguments, parse_duration(arguments.text(0))?))
}

fn duration_round(call: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let duration = match arguments.value(0) {
        Value::Str(text) => parse_duration(text).map_or(0, |duration| duration.0),
        Value::Int(super::super::value::IntKind::Int64, nanoseconds) => *nanoseconds,
        Value::Object(object) => match object.as_any().downcast_ref::<Time>() {
            Some(time) => now(call)?.since(time),
            None => 0,
        },
        _ => 0,
    };
    let second = 1_000_000_000_u64;
    let units = [(365 * 86_400, "y"), (30 * 86_400, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let all = duration.unsigned_abs();
    let unit = units.iter().find(|(seconds, _)| all > seconds * second);
    Ok(Value::from(
        unit.map_or_else(|| "0s".to_owned(), |(seconds, name)| format!("{}{name}", all / (seconds * second))),
    ))
}
