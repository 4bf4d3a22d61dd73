//! Sparse files as GNU tar stores them: a map of the parts that are not holes.

use super::numbers;

/// A part of a file that is not a hole: where it lies in the file, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::layer) struct Extent {
    pub(in crate::layer) offset: u64,
    pub(in crate::layer) length: u64,
}

/// The most parts a map may have.
pub(in crate::layer) const MAX_EXTENTS: usize = 1 << 17;

/// Reads pairs of 12-byte fields, as in GNU's old format, up to the first empty one.
pub(in crate::layer) fn parse_fields(fields: &[u8], map: &mut Vec<Extent>) -> Option<()> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let extent =
            Extent { offset: numbers::read_unsigned(&pair[..12])?, length: numbers::read_unsigned(&pair[12..])? };
        map.push(extent);
    }
    Some(())
}

/// Reads `offset,length,offset,length…`, as in PAX's format 0.1.
pub(in crate::layer) fn parse_list(list: &[u8]) -> Option<Vec<Extent>> {
    let numbers: Option<Vec<u64>> = list.split(|&byte| byte == b',').map(parse_number).collect();
    pairs(&numbers?)
}

fn pairs(numbers: &[u64]) -> Option<Vec<Extent>> {
    let whole = numbers.len().is_multiple_of(2) && numbers.len() / 2 <= MAX_EXTENTS;
    whole.then(|| numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] }).collect())
}

/// Reads a decimal number without sign.
pub(in crate::layer) fn parse_number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// Gathers the map of PAX's format 1.0: lines of decimal numbers, the first of which counts the pairs, in whole blocks
/// before the content.
#[derive(Default)]
pub(in crate::layer) struct MapReader {
    line: Vec<u8>,
    numbers: Vec<u64>,
}

impl MapReader {
    /// Adds a block; gives the map when it is complete.
    pub(in crate::layer) fn add(&mut self, block: &[u8]) -> Result<Option<Vec<Extent>>, &'static str> {
        for &byte in block {
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() > 20 {
                    return Err("a malformed sparse map");
                }
                continue;
            }
            self.numbers.push(parse_number(&self.line).ok_or("a malformed sparse map")?);
            self.line.clear();
            let count = self.numbers[0];
            if count > MAX_EXTENTS as u64 {
                return Err("a sparse map that is too long");
            }
            if self.numbers.len() as u64 == 1 + 2 * count {
                return Ok(pairs(&self.numbers[1..]));
            }
        }
        Ok(None)
    }
}

/// Tells whether a map is in order, lies within a file of `size`, and needs exactly the `stored` bytes of content.
pub(in crate::layer) fn is_valid(map: &[Extent], size: u64, stored: u64) -> bool {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for extent in map {
        let Some(next) = extent.offset.checked_add(extent.length) else { return false };
        if extent.offset < end || next > size {
            return false;
        }
        end = next;
        sum += extent.length;
    }
    sum == stored
}
