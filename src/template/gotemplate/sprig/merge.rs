//! Merging and copying dictionaries, with the habits of the libraries that Sprig uses: what counts as absent, and what is
//! shared with the source afterwards.

use super::super::function::{Arguments, Call, Outcome};
use super::super::guard::{self, Exhausted};
use super::super::value::{List, Map, Value};

/// Fills what is empty in the first map from the others.
pub(super) fn merge(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    merge_all(arguments, false)
}

/// Overwrites the first map with the others.
pub(super) fn merge_overwrite(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    merge_all(arguments, true)
}

fn merge_all(arguments: &Arguments<'_>, overwrite: bool) -> Outcome {
    let mut target = arguments.map(0);
    for index in 1..arguments.len() {
        let source = arguments.map(index);
        if target.is_nil() && !source.is_nil() {
            target = Map::new();
        }
        merge_maps(&target, &source, overwrite)?;
    }
    Ok(Value::Map(target))
}

/// Zero, false, empty text, empty containers and nothing: what a merge takes for absent.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        other => !other.truth(),
    }
}

fn merge_maps(target: &Map, source: &Map, overwrite: bool) -> Result<(), Exhausted> {
    guard::descend()?;
    for (key, value) in source.entries() {
        guard::step(1)?;
        let old = target.find(&key);
        match (&value, &old) {
            (Value::Nil, _) => {
                if overwrite {
                    target.insert(key, value);
                }
                continue;
            }
            (Value::Map(new), Some(Value::Map(old_map))) => {
                merge_maps(old_map, new, overwrite)?;
                // An old map that was empty and stayed so is replaced, one that has entries now is kept.
                if !old_map.is_empty() {
                    continue;
                }
            }
            (Value::List(_), Some(old)) if !is_blank(old) => {
                if overwrite {
                    target.insert(key, value);
                }
                continue;
            }
            _ => {}
        }
        if overwrite || old.as_ref().is_none_or(is_blank) {
            target.insert(key, value);
        }
    }
    Ok(())
}

/// A copy that shares nothing with the original.
pub(super) fn deep_copy(value: &Value) -> Outcome {
    if matches!(value, Value::Nil) {
        return Err("reflect: call of reflect.Value.Type on zero Value".to_owned());
    }
    Ok(copy(value)?)
}

fn copy(value: &Value) -> Result<Value, Exhausted> {
    guard::descend()?;
    guard::allocate(size_of::<Value>())?;
    guard::step(1)?;
    Ok(match value {
        Value::List(list) if !list.is_nil() => {
            let items = list.items().iter().map(copy).collect::<Result<_, _>>()?;
            Value::List(List::new(list.elem(), items))
        }
        Value::Map(map) if !map.is_nil() => {
            let copied = Map::with_types(map.key(), map.elem());
            for (key, value) in map.entries() {
                copied.insert(key, copy(&value)?);
            }
            Value::Map(copied)
        }
        Value::Object(object) => object.copied().unwrap_or_else(|| value.clone()),
        other => other.clone(),
    })
}
