//! `eq`, `lt` and their kin: basic values of one kind only, and nil for equality.

use super::function::Arguments;
use super::value::{Object, Value};

type Compared = Result<bool, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    Bool,
    Complex,
    Int,
    Float,
    String,
    Uint,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Complex(..) => Kind::Complex,
        Value::Int(..) => Kind::Int,
        Value::Float(_) => Kind::Float,
        Value::Str(_) => Kind::String,
        Value::Uint(..) => Kind::Uint,
        _ => Kind::Other,
    }
}

fn incompatible(left: &Value, right: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", left.type_name(), right.type_name())
}

/// Whether the first argument equals one of the others.
pub(super) fn equal(arguments: &Arguments<'_>) -> Compared {
    if arguments.len() < 2 {
        return Err("missing argument for comparison".to_owned());
    }
    for other in arguments.rest(1) {
        if equal_pair(arguments.value(0), other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_pair(left: &Value, right: &Value) -> Compared {
    Ok(match (&left.underlying(), &right.underlying()) {
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(_, left), Value::Int(_, right)) => left == right,
        (Value::Uint(_, left), Value::Uint(_, right)) => left == right,
        (Value::Int(_, signed), Value::Uint(_, unsigned)) | (Value::Uint(_, unsigned), Value::Int(_, signed)) => {
            u64::try_from(*signed).is_ok_and(|signed| signed == *unsigned)
        }
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Complex(left, left_i), Value::Complex(right, right_i)) => left == right && left_i == right_i,
        (Value::Str(left), Value::Str(right)) => left == right,
        (Value::Nil, other) | (other, Value::Nil) if kind(other) != Kind::Other => false,
        (basic, other) if kind(basic) != kind(other) => return Err(incompatible(left, right)),
        _ => return equal_others(left, right),
    })
}

/// Compares what is not basic: only nil, and objects that are comparable.
fn equal_others(left: &Value, right: &Value) -> Compared {
    if left.kind() != right.kind() && !matches!(left, Value::Nil) && !matches!(right, Value::Nil) {
        // Go's own message has the last two the wrong way round.
        return Err(worded(
            b"non-comparable types %s: %s, %s: %v",
            &[left.clone(), Value::from(left.type_name()), Value::from(right.type_name()), right.clone()],
        )?);
    }
    if left.is_nil() || right.is_nil() {
        return Ok(left.is_nil() == right.is_nil());
    }
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => Ok(same_object(left.as_ref(), right.as_ref())),
        _ => Err(worded(b"non-comparable type %s: %s", &[right.clone(), Value::from(right.type_name())])?),
    }
}

fn same_object(left: &dyn Object, right: &dyn Object) -> bool {
    if left.kind() == "ptr" {
        return std::ptr::addr_eq(left, right);
    }
    left.type_name() == right.type_name() && left.equals(right)
}

fn worded(format: &[u8], values: &[Value]) -> Result<String, String> {
    Ok(String::from_utf8_lossy(&super::format::sprintf(format, values)?).into_owned())
}

/// Whether the first argument is below the second.
pub(super) fn less(arguments: &Arguments<'_>) -> Compared {
    let (left, right) = (arguments.value(0), arguments.value(1));
    match (&left.underlying(), &right.underlying()) {
        (basic, other) if kind(basic) == Kind::Other || kind(other) == Kind::Other => {
            Err("invalid type for comparison".to_owned())
        }
        (Value::Int(_, left), Value::Int(_, right)) => Ok(left < right),
        (Value::Uint(_, left), Value::Uint(_, right)) => Ok(left < right),
        (Value::Int(_, signed), Value::Uint(_, unsigned)) => {
            Ok(u64::try_from(*signed).map_or(true, |signed| signed < *unsigned))
        }
        (Value::Uint(_, unsigned), Value::Int(_, signed)) => {
            Ok(u64::try_from(*signed).is_ok_and(|signed| *unsigned < signed))
        }
        (Value::Float(left), Value::Float(right)) => Ok(left < right),
        (Value::Str(left), Value::Str(right)) => Ok(left < right),
        (basic, other) if kind(basic) != kind(other) => Err(incompatible(left, right)),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

/// Whether the first argument is below the second or equal to it.
pub(super) fn less_or_equal(arguments: &Arguments<'_>) -> Compared {
    Ok(less(arguments)? || equal(arguments)?)
}
