//! Equality of values as Go's reflection sees it.

use super::collection::{List, Map};
use super::guard::Exhausted;
use super::value::Value;

/// Equality as `reflect.DeepEqual` has it: types count, nil lists differ from empty ones, NaN from itself.
pub(super) fn deep_equal(left: &Value, right: &Value) -> Result<bool, Exhausted> {
    super::guard::descend()?;
    super::guard::step(1)?;
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(kind, left), Value::Int(other, right)) => kind == other && left == right,
        (Value::Uint(kind, left), Value::Uint(other, right)) => kind == other && left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Complex(left, left_i), Value::Complex(right, right_i)) => left == right && left_i == right_i,
        (Value::Str(left), Value::Str(right)) => left == right,
        (Value::List(left), Value::List(right)) => return deep_equal_lists(left, right),
        (Value::Map(left), Value::Map(right)) => return deep_equal_maps(left, right),
        (Value::Object(left), Value::Object(right)) => {
            left.type_name() == right.type_name() && left.equals(right.as_ref())
        }
        _ => false,
    })
}

fn deep_equal_lists(left: &List, right: &List) -> Result<bool, Exhausted> {
    if left.elem() != right.elem() || left.is_nil() != right.is_nil() || left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.items().iter().zip(right.items()) {
        if !deep_equal(left, right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn deep_equal_maps(left: &Map, right: &Map) -> Result<bool, Exhausted> {
    if left.type_of() != right.type_of() || left.is_nil() != right.is_nil() || left.len() != right.len() {
        return Ok(false);
    }
    if left.is_same(right) {
        return Ok(true);
    }
    for (key, value) in left.entries() {
        match right.find(&key) {
            Some(other) if deep_equal(&value, &other)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}
