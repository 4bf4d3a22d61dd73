//! Decimal arithmetic for `addf` and its kin: 0.1 + 0.2 is 0.3.

use std::cmp::Ordering;

use super::super::guard;

/// Digits behind the point of a quotient.
const DIVISION_PLACES: i64 = 16;

/// A number: sign, decimal digits (most significant first, none leading, zero has none) and a power of ten.
#[derive(Debug, Clone)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

type Computed = Result<Decimal, String>;

/// The shortest decimal that gives the number.
pub(super) fn from_float(number: f64) -> Computed {
    if !number.is_finite() {
        let shown = super::super::format::format_float(number, b'g', None);
        return Err(format!("Cannot create a Decimal from {shown}"));
    }
    let text = format!("{:e}", number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect();
    let exponent = exponent.parse::<i64>().unwrap_or(0) - (digits.len() as i64 - 1);
    Ok(Decimal { negative: number < 0.0, digits: trimmed(digits), exponent })
}

impl Decimal {
    pub(super) fn to_float(&self) -> f64 {
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let magnitude = format!("0{digits}e{}", self.exponent).parse::<f64>().unwrap_or(0.0);
        if self.negative && !self.digits.is_empty() { -magnitude } else { magnitude }
    }

    /// The digits as they are with a smaller exponent.
    fn scaled(&self, exponent: i64) -> Result<Vec<u8>, String> {
        let mut digits = self.digits.clone();
        if !digits.is_empty() {
            let zeros = usize::try_from(self.exponent - exponent).unwrap_or(0);
            guard::allocate(zeros)?;
            digits.resize(digits.len() + zeros, 0);
        }
        Ok(digits)
    }
}

fn trimmed(digits: Vec<u8>) -> Vec<u8> {
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    digits[zeros..].to_vec()
}

fn compare(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn sum(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(left.len().max(right.len()) + 1);
    let mut carry = 0;
    for index in 0..left.len().max(right.len()) {
        let digit = |digits: &[u8]| digits.iter().rev().nth(index).copied().unwrap_or(0);
        let total = digit(left) + digit(right) + carry;
        out.push(total % 10);
        carry = total / 10;
    }
    out.push(carry);
    out.reverse();
    trimmed(out)
}

/// The difference of a number and a smaller one.
fn difference(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut out = left.to_vec();
    let mut borrow = 0;
    let offset = left.len() - right.len();
    for index in (0..left.len()).rev() {
        let taken = borrow + index.checked_sub(offset).map_or(0, |position| right[position]);
        borrow = u8::from(out[index] < taken);
        out[index] = out[index] + 10 * borrow - taken;
    }
    trimmed(out)
}

pub(super) fn add(left: &Decimal, right: &Decimal) -> Computed {
    let exponent = left.exponent.min(right.exponent);
    let (left_digits, right_digits) = (left.scaled(exponent)?, right.scaled(exponent)?);
    guard::step(left_digits.len() + right_digits.len())?;
    let (negative, digits) = if left.negative == right.negative {
        (left.negative, sum(&left_digits, &right_digits))
    } else if compare(&left_digits, &right_digits) == Ordering::Less {
        (right.negative, difference(&right_digits, &left_digits))
    } else {
        (left.negative, difference(&left_digits, &right_digits))
    };
    Ok(Decimal { negative, digits, exponent })
}

pub(super) fn subtract(left: &Decimal, right: &Decimal) -> Computed {
    add(left, &Decimal { negative: !right.negative, ..right.clone() })
}

pub(super) fn multiply(left: &Decimal, right: &Decimal) -> Computed {
    guard::step(left.digits.len().saturating_mul(right.digits.len()))?;
    let mut out = vec![0_u32; left.digits.len() + right.digits.len()];
    for (row, &digit) in left.digits.iter().enumerate() {
        for (column, &other) in right.digits.iter().enumerate() {
            out[row + column + 1] += u32::from(digit) * u32::from(other);
        }
    }
    for index in (1..out.len()).rev() {
        out[index - 1] += out[index] / 10;
        out[index] %= 10;
    }
    let digits = out.iter().map(|&digit| digit as u8).collect();
    let negative = left.negative != right.negative;
    Ok(Decimal { negative, digits: trimmed(digits), exponent: left.exponent + right.exponent })
}

/// The quotient, rounded half away from zero.
pub(super) fn divide(left: &Decimal, right: &Decimal) -> Computed {
    if right.digits.is_empty() {
        return Err("decimal division by 0".to_owned());
    }
    let shift = left.exponent - right.exponent + DIVISION_PLACES;
    let (mut dividend, mut divisor) = (left.clone(), right.clone());
    (dividend.exponent, divisor.exponent) = (shift.max(0), (-shift).max(0));
    let (dividend, divisor) = (dividend.scaled(0)?, divisor.scaled(0)?);
    let mut quotient = Vec::with_capacity(dividend.len());
    let mut remainder: Vec<u8> = Vec::new();
    for digit in dividend {
        if !(remainder.is_empty() && digit == 0) {
            remainder.push(digit);
        }
        let mut count = 0;
        while compare(&remainder, &divisor) != Ordering::Less {
            guard::step(1 + divisor.len() / 16)?;
            remainder = difference(&remainder, &divisor);
            count += 1;
        }
        quotient.push(count);
    }
    let mut quotient = trimmed(quotient);
    if compare(&sum(&remainder, &remainder), &divisor) != Ordering::Less {
        quotient = sum(&quotient, &[1]);
    }
    Ok(Decimal { negative: left.negative != right.negative, digits: quotient, exponent: -DIVISION_PLACES })
}
