//! Go's `fmt`: `print`, `println` and `printf` over template values.

mod float;
mod verbs;

use super::guard::Exhausted;
use super::text::{decode, push_rune};
use super::value::Value;
use verbs::Printer;

pub(super) use float::format_float;

/// A width or precision beyond this is no number to Go.
const MAX_NUMBER: i64 = 1_000_000;

/// Joins values as `fmt.Sprint` does: a space between two that are no strings.
pub(super) fn sprint(values: &[Value]) -> Result<Vec<u8>, Exhausted> {
    let mut printer = Printer::new();
    let mut after_string = false;
    for (index, value) in values.iter().enumerate() {
        let is_string = matches!(value, Value::Str(_));
        if index > 0 && !is_string && !after_string {
            printer.buffer.push(b' ');
        }
        printer.print(value, 'v')?;
        after_string = is_string;
    }
    Ok(printer.buffer)
}

/// Joins values with spaces and ends the line.
pub(super) fn sprintln(values: &[Value]) -> Result<Vec<u8>, Exhausted> {
    let mut printer = Printer::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.buffer.push(b' ');
        }
        printer.print(value, 'v')?;
    }
    printer.buffer.push(b'\n');
    Ok(printer.buffer)
}

/// One value as `%v` prints it.
pub(super) fn display(value: &Value) -> Result<Vec<u8>, Exhausted> {
    if let Value::Str(text) = value {
        return Ok(text.to_vec());
    }
    sprint(std::slice::from_ref(value))
}

/// Formats values by a format text. Faults of the format show in the result, as in Go.
pub(super) fn sprintf(format: &[u8], values: &[Value]) -> Result<Vec<u8>, Exhausted> {
    let mut run = Run { format, values, position: 0, argument: 0, reordered: false, good_index: true };
    let mut printer = Printer::new();
    while run.position < format.len() {
        let text = &format[run.position..];
        let literal = memchr::memchr(b'%', text).unwrap_or(text.len());
        printer.buffer.extend_from_slice(&text[..literal]);
        run.position += literal;
        if run.position < format.len() {
            run.position += 1;
            run.directive(&mut printer)?;
        }
    }
    if !run.reordered && run.argument < values.len() {
        run.extra(&mut printer)?;
    }
    Ok(printer.buffer)
}

struct Run<'a> {
    format: &'a [u8],
    values: &'a [Value],
    position: usize,
    argument: usize,
    reordered: bool,
    good_index: bool,
}

impl Run<'_> {
    fn byte(&self) -> Option<u8> {
        self.format.get(self.position).copied()
    }

    /// Handles what follows a percent sign.
    fn directive(&mut self, printer: &mut Printer) -> Result<(), Exhausted> {
        self.good_index = true;
        printer.clear_flags();
        while let Some(flag) = self.byte() {
            match flag {
                b'#' => printer.flags.sharp = true,
                b'0' => printer.flags.zero = true,
                b'+' => printer.flags.plus = true,
                b'-' => printer.flags.minus = true,
                b' ' => printer.flags.space = true,
                _ => break,
            }
            self.position += 1;
        }
        let mut after_index = self.index();
        after_index = self.width(printer, after_index);
        after_index = self.precision(printer, after_index);
        if !after_index {
            self.index();
        }
        self.verb(printer)
    }

    fn width(&mut self, printer: &mut Printer, after_index: bool) -> bool {
        if self.byte() == Some(b'*') {
            self.position += 1;
            let width = self.number_argument();
            if width.is_none() {
                printer.buffer.extend_from_slice(b"%!(BADWIDTH)");
            }
            if width.is_some_and(|width| width < 0) {
                printer.flags.minus = true;
                // Zeros are only padded to the left.
                printer.flags.zero = false;
            }
            printer.width = width.map(|width| width.unsigned_abs() as usize);
            return false;
        }
        printer.width = self.number();
        if after_index && printer.width.is_some() {
            self.good_index = false;
        }
        after_index
    }

    fn precision(&mut self, printer: &mut Printer, mut after_index: bool) -> bool {
        if self.position + 1 >= self.format.len() || self.byte() != Some(b'.') {
            return after_index;
        }
        self.position += 1;
        if after_index {
            self.good_index = false;
        }
        after_index = self.index();
        if self.byte() == Some(b'*') {
            self.position += 1;
            let precision = self.number_argument().and_then(|number| usize::try_from(number).ok());
            if precision.is_none() {
                printer.buffer.extend_from_slice(b"%!(BADPREC)");
            }
            printer.precision = precision;
            return false;
        }
        printer.precision = Some(self.number().unwrap_or(0));
        after_index
    }

    fn verb(&mut self, printer: &mut Printer) -> Result<(), Exhausted> {
        let (rune, size) = decode(&self.format[self.position..]);
        if size == 0 {
            printer.buffer.extend_from_slice(b"%!(NOVERB)");
            return Ok(());
        }
        self.position += size;
        let verb = char::from_u32(rune).unwrap_or(char::REPLACEMENT_CHARACTER);
        if verb == '%' {
            printer.buffer.push(b'%');
            return Ok(());
        }
        if !self.good_index {
            fault(printer, rune, b"(BADINDEX)");
            return Ok(());
        }
        let Some(value) = self.values.get(self.argument) else {
            fault(printer, rune, b"(MISSING)");
            return Ok(());
        };
        if matches!(verb, 'v' | 'w') {
            printer.flags.sharp_v = std::mem::take(&mut printer.flags.sharp);
            printer.flags.plus_v = std::mem::take(&mut printer.flags.plus);
        }
        self.argument += 1;
        printer.print(value, verb)
    }

    /// Reports values that no verb took.
    fn extra(&self, printer: &mut Printer) -> Result<(), Exhausted> {
        printer.clear_flags();
        printer.buffer.extend_from_slice(b"%!(EXTRA ");
        for (index, value) in self.values[self.argument..].iter().enumerate() {
            if index > 0 {
                printer.buffer.extend_from_slice(b", ");
            }
            if !matches!(value, Value::Nil) {
                printer.buffer.extend_from_slice(value.type_name().as_bytes());
                printer.buffer.push(b'=');
            }
            printer.print(value, 'v')?;
        }
        printer.buffer.push(b')');
        Ok(())
    }

    /// Takes a decimal number; one that is too large swallows the rest of the format.
    fn number(&mut self) -> Option<usize> {
        let (number, end) = parse_number(self.format, self.position, self.format.len());
        self.position = end;
        number
    }

    /// Takes an argument as a number.
    fn number_argument(&mut self) -> Option<i64> {
        let value = self.values.get(self.argument)?;
        self.argument += 1;
        let number = match value.underlying() {
            Value::Int(_, number) => number,
            Value::Uint(_, number) => i64::try_from(number).ok()?,
            _ => return None,
        };
        (-MAX_NUMBER..=MAX_NUMBER).contains(&number).then_some(number)
    }

    /// Takes an explicit argument number such as `[2]`; true if there is one.
    fn index(&mut self) -> bool {
        let Some(rest) = self.format.get(self.position..).filter(|rest| rest.first() == Some(&b'[')) else {
            return false;
        };
        self.reordered = true;
        let close = if rest.len() < 3 { None } else { memchr::memchr(b']', rest) };
        let Some(close) = close else {
            self.position += 1;
            self.good_index = false;
            return false;
        };
        let (number, end) = parse_number(rest, 1, close);
        self.position += close + 1;
        let Some(number) = number.filter(|_| end == close) else {
            self.good_index = false;
            return false;
        };
        match number.checked_sub(1).filter(|&index| index < self.values.len()) {
            Some(index) => self.argument = index,
            None => self.good_index = false,
        }
        true
    }
}

fn fault(printer: &mut Printer, verb: u32, reason: &[u8]) {
    printer.buffer.extend_from_slice(b"%!");
    push_rune(&mut printer.buffer, verb);
    printer.buffer.extend_from_slice(reason);
}

fn parse_number(text: &[u8], start: usize, end: usize) -> (Option<usize>, usize) {
    let mut number = None;
    for (position, &byte) in text.iter().enumerate().take(end).skip(start) {
        if !byte.is_ascii_digit() {
            return (number, position);
        }
        let value = number.unwrap_or(0);
        if value > MAX_NUMBER as usize {
            return (None, end);
        }
        number = Some(value * 10 + usize::from(byte - b'0'));
    }
    (number, end.max(start))
}
