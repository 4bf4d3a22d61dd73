//! Points in time and durations as Go has them, with the methods that templates may call.

mod duration;
mod layout;
mod parse;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::value::{Object, Signature, Type, Value};

pub(super) use duration::{Duration, parse_duration};
pub(super) use parse::parse;

const TIME: Type = Type::Named("time.Time");
const DURATION: Type = Type::Named("time.Duration");
/// Layout of `String()`.
const DEFAULT_LAYOUT: &[u8] = b"2006-01-02 15:04:05.999999999 -0700 MST";
/// Seconds from the first year to 1970.
const ZERO_SECONDS: i64 = -62_135_596_800;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Where a time is shown. The local zone is always UTC: a render may not depend on the machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Zone {
    Utc,
    /// Name (may be empty) and seconds east of UTC.
    Fixed(String, i64),
    Named(TimeZone),
}

impl Zone {
    /// The zone of the given name; unknown ones are UTC.
    pub(super) fn named(name: &str) -> Self {
        if matches!(name, "" | "UTC" | "Local") {
            return Self::Utc;
        }
        match TimeZone::get(name) {
            Ok(zone) if zone.iana_name() == Some(name) => Self::Named(zone),
            _ => Self::Utc,
        }
    }

    /// Abbreviation and seconds east of UTC at a time.
    fn at(&self, seconds: i64) -> (String, i64) {
        match self {
            Self::Utc => ("UTC".to_owned(), 0),
            Self::Fixed(name, offset) => (name.clone(), *offset),
            Self::Named(zone) => {
                let low = Timestamp::MIN.as_second();
                let high = Timestamp::MAX.as_second();
                let at = Timestamp::from_second(seconds.clamp(low, high)).unwrap_or(Timestamp::UNIX_EPOCH);
                let info = zone.to_offset_info(at);
                (info.abbreviation().to_owned(), i64::from(info.offset().seconds()))
            }
        }
    }
}

/// A point in time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Time {
    /// Seconds since 1970.
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
    pub(super) zone: Zone,
}

/// A time on the calendar and the clock of its zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) year_day: i64,
    pub(super) weekday: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

/// Days since 1970 of a date; months and days may be out of range.
pub(super) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    // Years start in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468 + day - 1
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Time {
    /// A time given by its seconds since 1970.
    pub(super) fn unix(seconds: i64, nanoseconds: u32) -> Self {
        Self { seconds, nanoseconds, zone: Zone::Utc }
    }

    /// Go's zero time.
    pub(super) fn zero() -> Self {
        Self::unix(ZERO_SECONDS, 0)
    }

    pub(super) fn in_zone(&self, zone: Zone) -> Self {
        Self { zone, ..self.clone() }
    }

    /// A time with the readings of a calendar and a clock in its zone.
    pub(super) fn from_civil(year: i64, month: i64, day: i64, seconds: i64, nanoseconds: u32, zone: Zone) -> Self {
        let local = days_of(year, month, day).wrapping_mul(86_400).wrapping_add(seconds);
        let (_, guess) = zone.at(local);
        let (_, offset) = zone.at(local.wrapping_sub(guess));
        Self { seconds: local.wrapping_sub(offset), nanoseconds, zone }
    }

    pub(super) fn civil(&self) -> Civil {
        let (_, offset) = self.zone.at(self.seconds);
        let local = self.seconds.saturating_add(offset);
        let (days, clock) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            year_day: days - days_of(year, 1, 1) + 1,
            weekday: (days + 4).rem_euclid(7),
            hour: clock / 3600,
            minute: clock / 60 % 60,
            second: clock % 60,
        }
    }

    pub(super) fn format(&self, layout: &[u8]) -> Vec<u8> {
        let (name, offset) = self.zone.at(self.seconds);
        layout::format(layout, &self.civil(), self.nanoseconds, &name, offset)
    }

    pub(super) fn plus(&self, duration: i64) -> Self {
        let total = i128::from(self.nanoseconds) + i128::from(duration);
        let seconds = self.seconds.saturating_add(total.div_euclid(1_000_000_000) as i64);
        Self { seconds, nanoseconds: total.rem_euclid(1_000_000_000) as u32, zone: self.zone.clone() }
    }

    /// Nanoseconds since another time, cut to what a duration can hold.
    pub(super) fn since(&self, other: &Self) -> i64 {
        let difference = (i128::from(self.seconds) - i128::from(other.seconds)) * 1_000_000_000
            + i128::from(self.nanoseconds)
            - i128::from(other.nanoseconds);
        difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    fn instant(&self) -> (i64, u32) {
        (self.seconds, self.nanoseconds)
    }

    fn unix_scaled(&self, per_second: i64) -> Value {
        let part = i64::from(self.nanoseconds) / (1_000_000_000 / per_second);
        Value::int64(self.seconds.wrapping_mul(per_second).wrapping_add(part))
    }

    fn add_date(&self, arguments: &[Value]) -> Self {
        let civil = self.civil();
        let number = |index: usize| match arguments.get(index) {
            Some(Value::Int(_, number)) => (*number).clamp(-10_000_000, 10_000_000),
            _ => 0,
        };
        let clock = civil.hour * 3600 + civil.minute * 60 + civil.second;
        let (year, month, day) = (civil.year + number(0), civil.month + number(1), civil.day + number(2));
        Self::from_civil(year, month, day, clock, self.nanoseconds, self.zone.clone())
    }

    /// Down to a multiple of a duration since the zero time; to the nearest one with `round`.
    fn to_multiple(&self, duration: i64, round: bool) -> Self {
        if duration <= 0 {
            return self.clone();
        }
        let since_zero =
            (i128::from(self.seconds) - i128::from(ZERO_SECONDS)) * 1_000_000_000 + i128::from(self.nanoseconds);
        let rest = since_zero.rem_euclid(i128::from(duration)) as i64;
        if round && rest >= duration - rest { self.plus(duration - rest) } else { self.plus(-rest) }
    }
}

fn other_time(arguments: &[Value]) -> Time {
    match arguments.first() {
        Some(Value::Object(object)) => object.as_any().downcast_ref::<Time>().cloned().unwrap_or_else(Time::zero),
        _ => Time::zero(),
    }
}

fn duration_argument(arguments: &[Value]) -> i64 {
    match arguments.first().map(Value::underlying) {
        Some(Value::Int(_, number)) => number,
        _ => 0,
    }
}

impl Object for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn method(&self, name: &str) -> Option<Signature> {
        let (params, result): (&'static [Type], Type) = match name {
            "Year" | "Day" | "Hour" | "Minute" | "Second" | "Nanosecond" | "YearDay" => (&[], Type::INT),
            "Unix" | "UnixMilli" | "UnixMicro" | "UnixNano" => (&[], Type::INT64),
            "Month" => (&[], Type::Named("time.Month")),
            "Weekday" => (&[], Type::Named("time.Weekday")),
            "IsZero" | "IsDST" => (&[], Type::Bool),
            "String" => (&[], Type::String),
            "UTC" | "Local" => (&[], TIME),
            "Format" => (&[Type::String], Type::String),
            "Add" | "Truncate" | "Round" => (&[DURATION], TIME),
            "AddDate" => (&[Type::INT, Type::INT, Type::INT], TIME),
            "Sub" => (&[TIME], DURATION),
            "Before" | "After" | "Equal" => (&[TIME], Type::Bool),
            "Compare" => (&[TIME], Type::INT),
            _ => return None,
        };
        Some(Signature { params, variadic: false, result })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let civil = self.civil();
        let instant = self.instant();
        Ok(match name {
            "Year" => Value::int(civil.year),
            "Month" => Value::object(Named::month(civil.month)),
            "Day" => Value::int(civil.day),
            "Hour" => Value::int(civil.hour),
            "Minute" => Value::int(civil.minute),
            "Second" => Value::int(civil.second),
            "Nanosecond" => Value::int(i64::from(self.nanoseconds)),
            "YearDay" => Value::int(civil.year_day),
            "Weekday" => Value::object(Named::weekday(civil.weekday)),
            "Unix" => Value::int64(self.seconds),
            "UnixMilli" => self.unix_scaled(1000),
            "UnixMicro" => self.unix_scaled(1_000_000),
            "UnixNano" => self.unix_scaled(1_000_000_000),
            "IsZero" => Value::Bool(instant == (ZERO_SECONDS, 0)),
            "IsDST" => Value::Bool(false),
            "String" => Value::string(self.format(DEFAULT_LAYOUT)),
            "UTC" | "Local" => Value::object(self.in_zone(Zone::Utc)),
            "Format" => match arguments.first() {
                Some(Value::Str(layout)) => Value::string(self.format(layout)),
                _ => Value::from(""),
            },
            "Add" => Value::object(self.plus(duration_argument(arguments))),
            "Truncate" => Value::object(self.to_multiple(duration_argument(arguments), false)),
            "Round" => Value::object(self.to_multiple(duration_argument(arguments), true)),
            "AddDate" => Value::object(self.add_date(arguments)),
            "Sub" => Value::object(Duration(self.since(&other_time(arguments)))),
            "Before" => Value::Bool(instant < other_time(arguments).instant()),
            "After" => Value::Bool(instant > other_time(arguments).instant()),
            "Equal" => Value::Bool(instant == other_time(arguments).instant()),
            _ => Value::int(instant.cmp(&other_time(arguments).instant()) as i64),
        })
    }

    fn display(&self) -> Option<String> {
        Some(String::from_utf8_lossy(&self.format(DEFAULT_LAYOUT)).into_owned())
    }

    fn json(&self) -> Option<String> {
        let text = self.format(b"2006-01-02T15:04:05.999999999Z07:00");
        Some(format!("\"{}\"", String::from_utf8_lossy(&text)))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// A number with a name: a month or a day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    type_name: &'static str,
    number: i64,
    name: &'static str,
}

impl Named {
    fn month(number: i64) -> Self {
        let name = MONTHS.get((number - 1) as usize).copied().unwrap_or("");
        Self { type_name: "time.Month", number, name }
    }

    fn weekday(number: i64) -> Self {
        let name = WEEKDAYS.get(number as usize).copied().unwrap_or("");
        Self { type_name: "time.Weekday", number, name }
    }
}

impl Object for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> &'static str {
        "int"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::int(self.number))
    }

    fn method(&self, name: &str) -> Option<Signature> {
        (name == "String").then_some(Signature { params: &[], variadic: false, result: Type::String })
    }

    fn call(&self, _name: &str, _arguments: &[Value]) -> Result<Value, String> {
        Ok(Value::from(self.name))
    }

    fn display(&self) -> Option<String> {
        Some(self.name.to_owned())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
