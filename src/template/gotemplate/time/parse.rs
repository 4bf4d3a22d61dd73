//! Reads times by Go's layouts.

use super::layout::{Piece, next_piece};
use super::{MONTHS, Time, WEEKDAYS, Zone, days_of};

/// Text in quotes as Go's time package writes it: what is not ASCII by its bytes.
pub(super) fn quoted(text: &[u8]) -> String {
    let mut out = "\"".to_owned();
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..0x80 => out.push(char::from(byte)),
            _ => out.extend(format!("\\x{byte:02x}").chars()),
        }
    }
    out.push('"');
    out
}

/// A piece that does not fit, or one that is out of its range.
enum Fault {
    Bad,
    Range(&'static str),
}

type Read<T> = Result<T, Fault>;

#[derive(Default)]
struct Fields {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanoseconds: u32,
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i64>,
    zone: Option<String>,
}

/// Reads a time; what has no zone is in UTC.
pub(in super::super) fn parse(layout: &[u8], value: &[u8]) -> Result<Time, String> {
    let mut fields = Fields::default();
    let (mut layout_rest, mut rest) = (layout, value);
    loop {
        let (text, piece, after) = next_piece(layout_rest);
        let cannot = |rest: &[u8], element: &[u8]| {
            let (value, layout) = (quoted(value), quoted(layout));
            format!("parsing time {value} as {layout}: cannot parse {} as {}", quoted(rest), quoted(element))
        };
        rest = skip(rest, text).map_err(|rest| cannot(rest, text))?;
        let Some((piece, length)) = piece else {
            if !rest.is_empty() {
                return Err(format!("parsing time {}: extra text: {}", quoted(value), quoted(rest)));
            }
            break;
        };
        let start = layout_rest.len() - after.len() - length;
        let element = &layout_rest[start..start + length];
        layout_rest = after;
        let held = rest;
        match fields.read(piece, &mut rest, layout_rest) {
            Ok(()) => {}
            Err(Fault::Bad) => return Err(cannot(held, element)),
            Err(Fault::Range(name)) => {
                return Err(format!("parsing time {}: {name} out of range", quoted(value)));
            }
        }
    }
    fields.time().map_err(|reason| format!("parsing time {}: {reason}", quoted(value)))
}

/// Passes over text of the layout; a space stands for any number of them. The error is where it stops to fit.
fn skip<'a>(mut value: &'a [u8], mut text: &[u8]) -> Result<&'a [u8], &'a [u8]> {
    while let Some(&byte) = text.first() {
        if byte == b' ' {
            if value.first().is_some_and(|&first| first != b' ') {
                return Err(value);
            }
            text = trim(text);
            value = trim(value);
            continue;
        }
        if value.first() != Some(&byte) {
            return Err(value);
        }
        text = &text[1..];
        value = &value[1..];
    }
    Ok(value)
}

fn trim(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&byte| byte == b' ').count()..]
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Read<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count).ok_or(Fault::Bad)?;
    *rest = after;
    Ok(taken)
}

/// Takes a number of up to `most` digits, or of exactly that many.
fn number(rest: &mut &[u8], most: usize, fixed: bool) -> Read<i64> {
    let count = rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || fixed && count != most {
        return Err(Fault::Bad);
    }
    let digits = take(rest, count)?;
    Ok(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

fn in_range(number: i64, low: i64, high: i64, name: &'static str) -> Read<i64> {
    if (low..=high).contains(&number) { Ok(number) } else { Err(Fault::Range(name)) }
}

/// Takes one of several names, in any case; its position.
fn name(rest: &mut &[u8], names: &[&str], length: Option<usize>) -> Read<i64> {
    for (index, name) in names.iter().enumerate() {
        let name = &name.as_bytes()[..length.unwrap_or(name.len())];
        if rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            *rest = &rest[name.len()..];
            return Ok(index as i64);
        }
    }
    Err(Fault::Bad)
}

fn is_mark(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'.' | b','))
}

/// Nanoseconds of a mark and digits.
fn fraction(text: &[u8]) -> Read<u32> {
    if !is_mark(text.first()) || text.len() < 2 {
        return Err(Fault::Bad);
    }
    let mut nanoseconds = 0;
    for index in 1..=9 {
        let digit = match text.get(index) {
            Some(byte) if byte.is_ascii_digit() => u32::from(byte - b'0'),
            Some(_) => return Err(Fault::Bad),
            None => 0,
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    Ok(nanoseconds)
}

impl Fields {
    fn read(&mut self, piece: Piece, rest: &mut &[u8], layout: &[u8]) -> Read<()> {
        match piece {
            Piece::Year => {
                let digits = number(&mut take(rest, 2)?, 2, true)?;
                self.year = digits + if digits >= 69 { 1900 } else { 2000 };
            }
            Piece::LongYear => self.year = number(&mut take(rest, 4)?, 4, true)?,
            Piece::Month => self.month = Some(name(rest, &MONTHS, Some(3))? + 1),
            Piece::LongMonth => self.month = Some(name(rest, &MONTHS, None)? + 1),
            Piece::NumMonth | Piece::ZeroMonth => {
                let month = number(rest, 2, piece == Piece::ZeroMonth)?;
                self.month = Some(in_range(month, 1, 12, "month")?);
            }
            Piece::Weekday => drop(name(rest, &WEEKDAYS, Some(3))?),
            Piece::LongWeekday => drop(name(rest, &WEEKDAYS, None)?),
            Piece::Day | Piece::UnderDay | Piece::ZeroDay => {
                if piece == Piece::UnderDay {
                    *rest = rest.strip_prefix(b" ").unwrap_or(rest);
                }
                self.day = Some(number(rest, 2, piece == Piece::ZeroDay)?);
            }
            Piece::UnderYearDay | Piece::ZeroYearDay => {
                for _ in 0..2 {
                    if piece == Piece::UnderYearDay {
                        *rest = rest.strip_prefix(b" ").unwrap_or(rest);
                    }
                }
                self.year_day = Some(number(rest, 3, piece == Piece::ZeroYearDay)?);
            }
            Piece::Hour => self.hour = in_range(number(rest, 2, false)?, 0, 23, "hour")?,
            Piece::Hour12 | Piece::ZeroHour12 => {
                self.hour = in_range(number(rest, 2, piece == Piece::ZeroHour12)?, 0, 12, "hour")?;
            }
            Piece::Minute | Piece::ZeroMinute => {
                self.minute = in_range(number(rest, 2, piece == Piece::ZeroMinute)?, 0, 59, "minute")?;
            }
            Piece::Second | Piece::ZeroSecond => self.read_second(rest, piece == Piece::ZeroSecond, layout)?,
            Piece::UpperHalf | Piece::LowerHalf => {
                let names: [&[u8]; 2] = if piece == Piece::UpperHalf { [b"AM", b"PM"] } else { [b"am", b"pm"] };
                let half = take(rest, 2)?;
                self.afternoon = Some(names.iter().position(|name| *name == half).ok_or(Fault::Bad)? == 1);
            }
            Piece::Offset { iso: true, .. } if rest.first() == Some(&b'Z') => {
                *rest = &rest[1..];
                self.utc = true;
            }
            Piece::Offset { colons, minutes, seconds, .. } => self.read_offset(rest, colons, minutes, seconds)?,
            Piece::ZoneName => self.read_zone(rest)?,
            Piece::Fraction { digits, nines: false, .. } => self.nanoseconds = fraction(take(rest, digits + 1)?)?,
            Piece::Fraction { .. } => {
                if is_mark(rest.first()) && rest.get(1).is_some_and(u8::is_ascii_digit) {
                    self.nanoseconds = take_fraction(rest)?;
                }
            }
        }
        Ok(())
    }

    fn read_second(&mut self, rest: &mut &[u8], fixed: bool, layout: &[u8]) -> Read<()> {
        self.second = in_range(number(rest, 2, fixed)?, 0, 59, "second")?;
        // A fraction may follow even if the layout has none.
        if is_mark(rest.first()) && rest.get(1).is_some_and(u8::is_ascii_digit) {
            let (_, next, _) = next_piece(layout);
            if !matches!(next, Some((Piece::Fraction { .. }, _))) {
                self.nanoseconds = take_fraction(rest)?;
            }
        }
        Ok(())
    }

    fn read_offset(&mut self, rest: &mut &[u8], colons: bool, minutes: bool, seconds: bool) -> Read<()> {
        let negative = match take(rest, 1)? {
            b"+" => false,
            b"-" => true,
            _ => return Err(Fault::Bad),
        };
        let mut parts = [0; 3];
        for (index, present) in [true, minutes, seconds].into_iter().enumerate() {
            if present {
                if colons && index > 0 && take(rest, 1)? != b":" {
                    return Err(Fault::Bad);
                }
                parts[index] = number(&mut take(rest, 2)?, 2, true)?;
            }
        }
        in_range(parts[0], 0, 24, "time zone offset hour")?;
        in_range(parts[1], 0, 60, "time zone offset minute")?;
        in_range(parts[2], 0, 60, "time zone offset second")?;
        let offset = (parts[0] * 60 + parts[1]) * 60 + parts[2];
        self.offset = Some(if negative { -offset } else { offset });
        Ok(())
    }

    fn read_zone(&mut self, rest: &mut &[u8]) -> Read<()> {
        if let Some(after) = rest.strip_prefix(b"UTC") {
            *rest = after;
            self.utc = true;
            return Ok(());
        }
        let length = zone_length(rest).ok_or(Fault::Bad)?;
        self.zone = Some(String::from_utf8_lossy(take(rest, length)?).into_owned());
        Ok(())
    }

    fn time(mut self) -> Result<Time, &'static str> {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        let (month, day) = self.date()?;
        let clock = (self.hour * 60 + self.minute) * 60 + self.second;
        let utc = Time::from_civil(self.year, month, day, clock, self.nanoseconds, Zone::Utc);
        if self.utc {
            return Ok(utc);
        }
        if let Some(offset) = self.offset {
            let zone = match self.zone {
                None if offset == 0 => Zone::Utc,
                Some(name) if offset == 0 && name == "UTC" => Zone::Utc,
                name => Zone::Fixed(name.unwrap_or_default(), offset),
            };
            return Ok(Time { seconds: utc.seconds - offset, zone, ..utc });
        }
        if let Some(name) = self.zone {
            // An abbreviation says nothing about the offset, except GMT+3 and the like.
            let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i64>().ok()).unwrap_or(0);
            return Ok(utc.in_zone(Zone::Fixed(name, hours * 3600)));
        }
        Ok(utc)
    }

    fn date(&self) -> Result<(i64, i64), &'static str> {
        let days_in = |month: i64| days_of(self.year, month + 1, 1) - days_of(self.year, month, 1);
        if let Some(year_day) = self.year_day {
            let length = days_of(self.year + 1, 1, 1) - days_of(self.year, 1, 1);
            if !(1..=length).contains(&year_day) {
                return Err("day-of-year out of range");
            }
            let (mut month, mut day) = (1, year_day);
            while day > days_in(month) {
                day -= days_in(month);
                month += 1;
            }
            if self.month.is_some_and(|given| given != month) {
                return Err("day-of-year does not match month");
            }
            if self.day.is_some_and(|given| given != day) {
                return Err("day-of-year does not match day");
            }
            return Ok((month, day));
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if (1..=days_in(month)).contains(&day) { Ok((month, day)) } else { Err("day out of range") }
    }
}

fn take_fraction(rest: &mut &[u8]) -> Read<u32> {
    let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    fraction(take(rest, digits + 1)?)
}

/// How much of a text is the abbreviation of a time zone.
fn zone_length(text: &[u8]) -> Option<usize> {
    if text.len() < 3 {
        return None;
    }
    if text.starts_with(b"ChST") || text.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix(b"GMT") {
        return Some(3 + signed_offset(rest).unwrap_or(0));
    }
    if matches!(text[0], b'+' | b'-') {
        return signed_offset(text);
    }
    match text.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count() {
        3 => Some(3),
        4 if text[3] == b'T' || text.starts_with(b"WITA") => Some(4),
        5 if text[4] == b'T' => Some(5),
        _ => None,
    }
}

fn signed_offset(text: &[u8]) -> Option<usize> {
    let (sign, digits) = text.split_first()?;
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let hours = digits[..count].iter().fold(0_u64, |hours, digit| hours.saturating_mul(10) + u64::from(digit - b'0'));
    (matches!(sign, b'+' | b'-') && count > 0 && hours <= 23).then_some(count + 1)
}
