//! PAX extended headers: `length key=value\n` records for what a plain header cannot hold.

use std::collections::BTreeMap;

/// The prefix of keys that carry extended attributes.
pub(in crate::layer) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// Records by key; values may be any bytes.
pub(in crate::layer) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Appends a record. The length counts itself.
pub(in crate::layer) fn write_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + b" =\n".len();
    let mut length = rest + decimal_digits(rest);
    if decimal_digits(length) + rest != length {
        length = rest + decimal_digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn decimal_digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Reads all records of an extended header into `records`; a later one replaces an earlier one.
pub(in crate::layer) fn read_records(mut data: &[u8], records: &mut Records) -> Option<()> {
    while data.first().is_some_and(|&byte| byte != 0) {
        let space = data.iter().take(20).position(|&byte| byte == b' ')?;
        let digits = data.get(..space)?;
        let length: usize =
            digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok())??.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=').filter(|&position| position > 0)?;
        records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        data = &data[length..];
    }
    Some(())
}

/// The key for an attribute. `=` cannot stand in a key: GNU tar's escape is used, and only then. A name that looks
/// escaped already has no key.
pub(in crate::layer) fn xattr_key(name: &[u8]) -> Option<Vec<u8>> {
    let mut key = XATTR_PREFIX.to_vec();
    if contains(name, b"%3D") {
        return None;
    }
    if name.contains(&b'=') {
        for &byte in name {
            match byte {
                b'%' => key.extend_from_slice(b"%25"),
                b'=' => key.extend_from_slice(b"%3D"),
                byte => key.push(byte),
            }
        }
    } else {
        key.extend_from_slice(name);
    }
    Some(key)
}

/// The attribute that a key carries.
pub(in crate::layer) fn xattr_name(key: &[u8]) -> Option<Vec<u8>> {
    let escaped = key.strip_prefix(XATTR_PREFIX)?;
    if !contains(escaped, b"%3D") {
        return Some(escaped.to_vec());
    }
    let mut name = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = if let Some(tail) = rest.strip_prefix(b"%3D") {
            (b'=', tail)
        } else if let Some(tail) = rest.strip_prefix(b"%25") {
            (b'%', tail)
        } else {
            (byte, tail)
        };
        name.push(byte);
        rest = tail;
    }
    Some(name)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Reads a decimal time such as `-1.5` as whole seconds, rounded down, and nanoseconds.
pub(in crate::layer) fn read_time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || whole.starts_with('+') {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds))
    } else {
        Some((seconds, nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_at_every_length() {
        for length in (0..1200).chain([9_980, 9_990, 99_980, 100_000]) {
            let mut out = Vec::new();
            let value = vec![b'\n'; length];
            write_record(&mut out, b"k", &value);
            write_record(&mut out, b"path", b"a=b");
            let mut records = Records::new();
            read_records(&out, &mut records).unwrap();
            assert_eq!(records[&b"k"[..]], value);
            assert_eq!(records[&b"path"[..]], b"a=b");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"99 a=b\n",
            b"3 a=b\n",
            b"6 a=bX",
            b"6 ab=\n7 =bcd\n",
            b"99999999999999999999 a=b\n",
            b"2 \n",
        ] {
            assert!(read_records(bad, &mut Records::new()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn attribute_names_round_trip() {
        for name in [&b"user.a"[..], b"user.a=b", b"user.%25=%", b"user.50%", b"user.%25"] {
            let key = xattr_key(name).unwrap();
            assert_eq!(xattr_name(&key).unwrap(), name, "{name:?}");
            assert!(!key.contains(&b'='));
        }
        assert_eq!(xattr_key(b"user.%3D"), None);
    }

    #[test]
    fn times_round_down() {
        assert_eq!(read_time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(read_time(b"-1.5"), Some((-2, 500_000_000)));
        assert_eq!(read_time(b"-0.25"), Some((-1, 750_000_000)));
        assert_eq!(read_time(b"7.1234567891"), Some((7, 123_456_789)));
        assert_eq!(read_time(b"1e5"), None);
        assert_eq!(read_time(b"1.x"), None);
    }
}
