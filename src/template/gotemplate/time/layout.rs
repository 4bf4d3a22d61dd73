//! Go's time layouts: the reference time `Mon Jan 2 15:04:05 MST 2006` spelled as the result shall be.

use super::{Civil, MONTHS, WEEKDAYS};

/// What a piece of a layout stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperHalf,
    LowerHalf,
    ZoneName,
    /// An offset; `iso` ones write `Z` for none.
    Offset {
        iso: bool,
        colons: bool,
        minutes: bool,
        seconds: bool,
    },
    /// A fraction of a second with its mark; `nines` ones drop zeros at the end.
    Fraction {
        mark: u8,
        digits: usize,
        nines: bool,
    },
}

/// An offset of the given form: `Z` for none, colons, minutes, seconds.
const fn offset([iso, colons, minutes, seconds]: [bool; 4]) -> Piece {
    Piece::Offset { iso, colons, minutes, seconds }
}

/// Spellings of which the first that fits counts.
const SPELLINGS: &[(&[u8], Piece)] = &[
    (b"January", Piece::LongMonth),
    (b"Jan", Piece::Month),
    (b"Monday", Piece::LongWeekday),
    (b"Mon", Piece::Weekday),
    (b"MST", Piece::ZoneName),
    (b"01", Piece::ZeroMonth),
    (b"02", Piece::ZeroDay),
    (b"03", Piece::ZeroHour12),
    (b"04", Piece::ZeroMinute),
    (b"05", Piece::ZeroSecond),
    (b"06", Piece::Year),
    (b"002", Piece::ZeroYearDay),
    (b"15", Piece::Hour),
    (b"1", Piece::NumMonth),
    (b"2006", Piece::LongYear),
    (b"2", Piece::Day),
    (b"_2", Piece::UnderDay),
    (b"__2", Piece::UnderYearDay),
    (b"3", Piece::Hour12),
    (b"4", Piece::Minute),
    (b"5", Piece::Second),
    (b"PM", Piece::UpperHalf),
    (b"pm", Piece::LowerHalf),
    (b"-070000", offset([false, false, true, true])),
    (b"-07:00:00", offset([false, true, true, true])),
    (b"-0700", offset([false, false, true, false])),
    (b"-07:00", offset([false, true, true, false])),
    (b"-07", offset([false, false, false, false])),
    (b"Z070000", offset([true, false, true, true])),
    (b"Z07:00:00", offset([true, true, true, true])),
    (b"Z0700", offset([true, false, true, false])),
    (b"Z07:00", offset([true, true, true, false])),
    (b"Z07", offset([true, false, false, false])),
];

/// Splits a layout at its first piece: the text before, the piece and its length, the rest.
pub(super) fn next_piece(layout: &[u8]) -> (&[u8], Option<(Piece, usize)>, &[u8]) {
    for start in 0..layout.len() {
        let rest = &layout[start..];
        // Here the underscore is text.
        if rest.starts_with(b"_2006") {
            return (&layout[..=start], Some((Piece::LongYear, 4)), &rest[5..]);
        }
        if let Some((piece, length)) = piece_at(rest) {
            return (&layout[..start], Some((piece, length)), &rest[length..]);
        }
    }
    (layout, None, b"")
}

fn piece_at(rest: &[u8]) -> Option<(Piece, usize)> {
    if let [mark @ (b'.' | b','), digit @ (b'0' | b'9'), ..] = rest {
        let digits = rest[1..].iter().take_while(|byte| *byte == digit).count();
        if rest.get(1 + digits).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        return Some((Piece::Fraction { mark: *mark, digits, nines: *digit == b'9' }, digits + 1));
    }
    let (spelling, piece) = SPELLINGS.iter().find(|(spelling, piece)| {
        let short_name = matches!(piece, Piece::Month | Piece::Weekday);
        rest.starts_with(spelling) && !(short_name && rest.get(3).is_some_and(u8::is_ascii_lowercase))
    })?;
    Some((*piece, spelling.len()))
}

/// A number with zeros in front.
fn padded(out: &mut Vec<u8>, number: i64, width: usize) {
    let sign = if number < 0 { "-" } else { "" };
    out.extend_from_slice(format!("{sign}{:0width$}", number.unsigned_abs()).as_bytes());
}

pub(super) fn format(layout: &[u8], civil: &Civil, nanoseconds: u32, zone: &str, offset: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while !rest.is_empty() {
        let (text, piece, after) = next_piece(rest);
        out.extend_from_slice(text);
        let Some((piece, _)) = piece else { break };
        rest = after;
        write_piece(&mut out, piece, civil, nanoseconds, zone, offset);
    }
    out
}

fn write_piece(out: &mut Vec<u8>, piece: Piece, civil: &Civil, nanoseconds: u32, zone: &str, offset: i64) {
    let month = MONTHS.get((civil.month - 1) as usize).copied().unwrap_or_default();
    let weekday = WEEKDAYS.get(civil.weekday as usize).copied().unwrap_or_default();
    let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
    let afternoon = civil.hour >= 12;
    match piece {
        Piece::LongMonth => out.extend_from_slice(month.as_bytes()),
        Piece::Month => out.extend_from_slice(&month.as_bytes()[..3.min(month.len())]),
        Piece::NumMonth => padded(out, civil.month, 0),
        Piece::ZeroMonth => padded(out, civil.month, 2),
        Piece::LongWeekday => out.extend_from_slice(weekday.as_bytes()),
        Piece::Weekday => out.extend_from_slice(&weekday.as_bytes()[..3.min(weekday.len())]),
        Piece::Day => padded(out, civil.day, 0),
        Piece::UnderDay => out.extend_from_slice(format!("{:2}", civil.day).as_bytes()),
        Piece::ZeroDay => padded(out, civil.day, 2),
        Piece::UnderYearDay => out.extend_from_slice(format!("{:3}", civil.year_day).as_bytes()),
        Piece::ZeroYearDay => padded(out, civil.year_day, 3),
        Piece::Hour => padded(out, civil.hour, 2),
        Piece::Hour12 => padded(out, hour12, 0),
        Piece::ZeroHour12 => padded(out, hour12, 2),
        Piece::Minute => padded(out, civil.minute, 0),
        Piece::ZeroMinute => padded(out, civil.minute, 2),
        Piece::Second => padded(out, civil.second, 0),
        Piece::ZeroSecond => padded(out, civil.second, 2),
        Piece::LongYear => padded(out, civil.year, 4),
        Piece::Year => padded(out, civil.year.abs() % 100, 2),
        Piece::UpperHalf => out.extend_from_slice(if afternoon { b"PM" } else { b"AM" }),
        Piece::LowerHalf => out.extend_from_slice(if afternoon { b"pm" } else { b"am" }),
        Piece::ZoneName if zone.is_empty() => write_offset(out, offset, false, true, false),
        Piece::ZoneName => out.extend_from_slice(zone.as_bytes()),
        Piece::Offset { iso: true, .. } if offset == 0 => out.push(b'Z'),
        Piece::Offset { colons, minutes, seconds, .. } => write_offset(out, offset, colons, minutes, seconds),
        Piece::Fraction { mark, digits, nines } => write_fraction(out, nanoseconds, mark, digits, nines),
    }
}

fn write_offset(out: &mut Vec<u8>, offset: i64, colons: bool, minutes: bool, seconds: bool) {
    let total = (offset / 60).abs();
    out.push(if offset / 60 < 0 { b'-' } else { b'+' });
    padded(out, total / 60, 2);
    let colon: &[u8] = if colons { b":" } else { b"" };
    if minutes {
        out.extend_from_slice(colon);
        padded(out, total % 60, 2);
    }
    if seconds {
        out.extend_from_slice(colon);
        padded(out, offset.abs() % 60, 2);
    }
}

fn write_fraction(out: &mut Vec<u8>, nanoseconds: u32, mark: u8, digits: usize, nines: bool) {
    let text = format!("{nanoseconds:09}");
    let mut text = text.as_bytes()[..digits.min(9)].to_vec();
    if nines {
        let kept = text.iter().rposition(|&byte| byte != b'0').map_or(0, |last| last + 1);
        text.truncate(kept);
        if text.is_empty() {
            return;
        }
    }
    out.push(mark);
    out.extend(text);
}
