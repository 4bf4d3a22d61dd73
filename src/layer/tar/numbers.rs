//! Numbers in tar headers: octal digits, or base 256 where GNU tar needs more.

/// Writes octal digits that fill the field but for a closing NUL. The value must fit.
pub(in crate::layer) fn write_octal(field: &mut [u8], value: u64) {
    let Some((last, digits)) = field.split_last_mut() else { return };
    *last = 0;
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    debug_assert_eq!(rest, 0, "the caller checks the range");
}

/// The largest value that [`write_octal`] can write in a field of this many bytes.
pub(in crate::layer) const fn octal_limit(field: usize) -> u64 {
    (1 << (3 * (field - 1))) - 1
}

/// Reads a numeric field: octal with padding, or base 256 when the first bit is set. An empty field is zero.
pub(in crate::layer) fn read(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => read_base256(field),
        _ => read_octal(field),
    }
}

fn read_octal(field: &[u8]) -> Option<i64> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let digits = field[..end].trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(std::str::from_utf8(digits).ok().filter(|text| !text.starts_with(['+', '-']))?, 8).ok()
}

fn read_base256(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    // Two's complement; the first bit is the mark, the second the sign.
    let negative = first & 0x40 != 0;
    let head = if negative { i128::from(first | 0x80) - 256 } else { i128::from(first & 0x7f) };
    let mut value = head;
    for &byte in rest {
        value = value.checked_mul(256)?.checked_add(i128::from(byte))?;
    }
    i64::try_from(value).ok()
}

/// Reads an unsigned numeric field.
pub(in crate::layer) fn read_unsigned(field: &[u8]) -> Option<u64> {
    read(field).and_then(|value| u64::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_round_trips() {
        let mut field = [0; 12];
        for value in [0, 1, 0o644, octal_limit(12)] {
            write_octal(&mut field, value);
            assert_eq!(read_unsigned(&field), Some(value));
        }
        assert_eq!(octal_limit(8), 0o7_777_777);
    }

    #[test]
    fn reads_what_tars_write() {
        assert_eq!(read(b"  644 \0\0"), Some(0o644));
        assert_eq!(read(b"\0\0\0\0"), Some(0));
        assert_eq!(read(b"0000x644"), None);
        assert_eq!(read(b"-0000644"), None);
        assert_eq!(read(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        assert_eq!(read(&[0xff; 12]), Some(-1));
        assert_eq!(read(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(read_unsigned(&[0xff; 12]), None);
    }
}
