//! Go's own functions.

use super::escape::{html, js, url_query};
use super::format::{sprint, sprintf, sprintln};
use super::function::{Arguments, Call, Function, Outcome, function, variadic};
use super::value::{Key, Type, UintKind, Value};
use super::{compare, guard};

use Type::{Any, Bool, Reflect, String};

/// The functions that every template knows.
pub fn builtins() -> Vec<Function> {
    vec![
        variadic("and", &[Reflect, Reflect], Reflect, decided_elsewhere),
        variadic("or", &[Reflect, Reflect], Reflect, decided_elsewhere),
        variadic("call", &[Reflect, Reflect], Reflect, decided_elsewhere),
        function("not", &[Reflect], Bool, |_, arguments| Ok(Value::Bool(!arguments.value(0).truth()))),
        variadic("index", &[Reflect, Reflect], Reflect, index),
        variadic("slice", &[Reflect, Reflect], Reflect, slice),
        function("len", &[Reflect], Type::INT, length),
        variadic("print", &[Any], String, |_, arguments| Ok(Value::string(sprint(&arguments.to_vec())?))),
        variadic("println", &[Any], String, |_, arguments| Ok(Value::string(sprintln(&arguments.to_vec())?))),
        variadic("printf", &[String, Any], String, |_, arguments| {
            Ok(Value::string(sprintf(arguments.text(0), &arguments.to_vec()[1..])?))
        }),
        variadic("html", &[Any], String, |_, arguments| Ok(Value::string(html(&joined(arguments)?)))),
        variadic("js", &[Any], String, |_, arguments| Ok(Value::string(js(&joined(arguments)?)))),
        variadic("urlquery", &[Any], String, |_, arguments| Ok(Value::string(url_query(&joined(arguments)?)))),
        variadic("eq", &[Reflect, Reflect], Bool, |_, arguments| compared(compare::equal(arguments))),
        function("ne", &[Reflect, Reflect], Bool, |_, arguments| {
            compared(compare::equal(arguments).map(|equal| !equal))
        }),
        function("lt", &[Reflect, Reflect], Bool, |_, arguments| compared(compare::less(arguments))),
        function("le", &[Reflect, Reflect], Bool, |_, arguments| compared(compare::less_or_equal(arguments))),
        function("gt", &[Reflect, Reflect], Bool, |_, arguments| {
            compared(compare::less_or_equal(arguments).map(|less| !less))
        }),
        function("ge", &[Reflect, Reflect], Bool, |_, arguments| compared(compare::less(arguments).map(|less| !less))),
    ]
}

fn compared(result: Result<bool, std::string::String>) -> Outcome {
    result.map(Value::Bool)
}

/// The executor answers these itself: `and` and `or` stop early, and no value can be called.
fn decided_elsewhere(_: &mut Call<'_>, _: &Arguments<'_>) -> Outcome {
    Err("not a function of its own".to_owned())
}

/// The text of the arguments as an action would print it.
fn joined(arguments: &Arguments<'_>) -> Result<Vec<u8>, std::string::String> {
    let values: Vec<Value> = arguments
        .rest(0)
        .map(|value| if matches!(value, Value::Nil) { Value::from("<no value>") } else { value.clone() })
        .collect();
    Ok(sprint(&values)?)
}

/// A position in something of the given length; the length itself counts.
fn position(index: &Value, length: usize) -> Result<usize, std::string::String> {
    let number = match index.underlying() {
        Value::Int(_, number) => number,
        Value::Uint(_, number) => number as i64,
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        _ => return Err(format!("cannot index slice/array with type {}", index.type_name())),
    };
    usize::try_from(number)
        .ok()
        .filter(|&position| position <= length)
        .ok_or_else(|| format!("index out of range: {number}"))
}

fn index(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut item = arguments.value(0).clone();
    if matches!(item, Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    for index in arguments.rest(1) {
        item = match &item {
            Value::Nil => return Err("index of nil pointer".to_owned()),
            Value::Str(text) => {
                let at = position(index, text.len())?;
                let byte = text.get(at).ok_or("reflect: string index out of range")?;
                Value::Uint(UintKind::Uint8, u64::from(*byte))
            }
            Value::List(list) => {
                let at = position(index, list.len())?;
                list.items().get(at).cloned().ok_or("reflect: slice index out of range")?
            }
            Value::Map(map) => {
                let key = map_key(index, map.key())?;
                let found = key.and_then(|key| map.find(&key));
                found.unwrap_or_else(|| zero(map.elem()))
            }
            other => return Err(format!("can't index item of type {}", pointed_type(other))),
        };
    }
    Ok(item)
}

/// An index as a key of a map; `None` for what no key can be equal to.
fn map_key(index: &Value, wanted: Type) -> Result<Option<Key>, std::string::String> {
    match index.type_of() {
        None if wanted.can_be_nil() => Ok(Some(Key::Nil)),
        None => Err(format!("value is nil; should be of type {wanted}")),
        Some(found) if found == wanted || wanted == Any => match Key::from_value(index) {
            Some(key) => Ok(Some(key)),
            None if matches!(index, Value::Object(_)) => Ok(None),
            None => Err(format!("runtime error: hash of unhashable type {found}")),
        },
        Some(found) => Err(format!("value has type {found}; should be {wanted}")),
    }
}

/// The zero value of an element type.
fn zero(kind: Type) -> Value {
    match kind {
        String => Value::from(""),
        Bool => Value::Bool(false),
        Type::Int(kind) => Value::Int(kind, 0),
        other => other.nil_value(),
    }
}

fn slice(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let item = arguments.value(0);
    let indexes: Vec<&Value> = arguments.rest(1).collect();
    if matches!(item, Value::Nil) {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match item {
        Value::Str(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", pointed_type(other))),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [start, end, capacity] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    if end > capacity {
        return Err(format!("invalid slice index: {end} > {capacity}"));
    }
    guard::step(end - start)?;
    Ok(match item {
        Value::Str(text) => Value::string(text.get(start..end).unwrap_or_default()),
        Value::List(list) => {
            Value::List(super::value::List::new(list.elem(), list.items().get(start..end).unwrap_or_default().to_vec()))
        }
        _ => Value::Nil,
    })
}

fn length(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let length = match arguments.value(0) {
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Nil if arguments.0.first().is_some_and(|operand| operand.interface) => {
            return Err("len of nil pointer".to_owned());
        }
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        other => return Err(format!("len of type {}", pointed_type(other))),
    };
    Ok(Value::int(length as i64))
}

/// The type of a value, or that of what it points to.
fn pointed_type(value: &Value) -> std::string::String {
    value.type_name().trim_start_matches('*').to_owned()
}
