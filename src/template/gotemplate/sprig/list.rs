//! Lists.

use super::super::function::{Arguments, Call, Function, Outcome, function, variadic};
use super::super::guard;
use super::super::value::{List, Type, Value, deep_equal};
use super::{NIL_POINTER, to_int};

use Type::{Any, Bool};
const LIST: Type = Type::LIST;
const INT: Type = Type::INT;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("list", &[Any], LIST, |_, a| Ok(Value::list(a.to_vec()))),
    variadic("tuple", &[Any], LIST, |_, a| Ok(Value::list(a.to_vec()))),
    function("append", &[Any, Any], LIST, push),
    function("push", &[Any, Any], LIST, push),
    function("mustAppend", &[Any, Any], LIST, push),
    function("mustPush", &[Any, Any], LIST, push),
    function("prepend", &[Any, Any], LIST, prepend),
    function("mustPrepend", &[Any, Any], LIST, prepend),
    function("first", &[Any], Any, |_, a| Ok(items(a.value(0), "find first on")?.first().cloned().unwrap_or_default())),
    function("mustFirst", &[Any], Any, |_, a| {
        Ok(items(a.value(0), "find first on")?.first().cloned().unwrap_or_default())
    }),
    function("last", &[Any], Any, |_, a| Ok(items(a.value(0), "find last on")?.last().cloned().unwrap_or_default())),
    function("mustLast", &[Any], Any, |_, a| {
        Ok(items(a.value(0), "find last on")?.last().cloned().unwrap_or_default())
    }),
    function("rest", &[Any], LIST, rest),
    function("mustRest", &[Any], LIST, rest),
    function("initial", &[Any], LIST, initial),
    function("mustInitial", &[Any], LIST, initial),
    function("reverse", &[Any], LIST, reverse),
    function("mustReverse", &[Any], LIST, reverse),
    function("uniq", &[Any], LIST, uniq),
    function("mustUniq", &[Any], LIST, uniq),
    function("compact", &[Any], LIST, compact),
    function("mustCompact", &[Any], LIST, compact),
    variadic("without", &[Any, Any], LIST, without),
    variadic("mustWithout", &[Any, Any], LIST, without),
    function("has", &[Any, Any], Bool, has),
    function("mustHas", &[Any, Any], Bool, has),
    variadic("slice", &[Any, Any], Any, slice),
    variadic("mustSlice", &[Any, Any], Any, slice),
    variadic("concat", &[Any], Any, concat),
    function("chunk", &[INT, Any], Type::Slice(&Type::LIST), chunk),
    function("mustChunk", &[INT, Any], Type::Slice(&Type::LIST), chunk),
];

/// The items of a list; `action` says in the error what cannot be done to anything else.
fn items<'a>(value: &'a Value, action: &str) -> Result<&'a [Value], String> {
    match value {
        Value::List(list) => {
            guard::step(list.len())?;
            Ok(list.items())
        }
        Value::Nil => Err(NIL_POINTER.to_owned()),
        other => Err(format!("Cannot {action} type {}", other.kind())),
    }
}

fn push(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut list = items(arguments.value(0), "push on")?.to_vec();
    list.push(arguments.value(1).clone());
    Ok(Value::list(list))
}

fn prepend(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut list = vec![arguments.value(1).clone()];
    list.extend_from_slice(items(arguments.value(0), "prepend on")?);
    Ok(Value::list(list))
}

fn rest(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    Ok(match items(arguments.value(0), "find rest on")? {
        [] => Value::List(List::nil(Any)),
        [_, rest @ ..] => Value::list(rest.to_vec()),
    })
}

fn initial(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    Ok(match items(arguments.value(0), "find initial on")? {
        [] => Value::List(List::nil(Any)),
        [initial @ .., _] => Value::list(initial.to_vec()),
    })
}

fn reverse(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::list(items(arguments.value(0), "find reverse on")?.iter().rev().cloned().collect()))
}

fn contains(list: &[Value], wanted: &Value) -> Result<bool, String> {
    for item in list {
        if deep_equal(wanted, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut kept: Vec<Value> = Vec::new();
    for item in items(arguments.value(0), "find uniq on")? {
        if !contains(&kept, item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn compact(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let kept = items(arguments.value(0), "compact on")?.iter().filter(|item| !super::default::is_empty(item));
    Ok(Value::list(kept.cloned().collect()))
}

fn without(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let omitted: Vec<Value> = arguments.rest(1).cloned().collect();
    let mut kept = Vec::new();
    for item in items(arguments.value(0), "find without on")? {
        if !contains(&omitted, item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn has(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    if matches!(arguments.value(1), Value::Nil) {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(contains(items(arguments.value(1), "find has on")?, arguments.value(0))?))
}

fn slice(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let list = match arguments.value(0) {
        Value::List(list) => list,
        Value::Nil => return Err(NIL_POINTER.to_owned()),
        other => return Err(format!("list should be type of slice or array but {}", other.kind())),
    };
    if list.is_empty() {
        return Ok(Value::Nil);
    }
    let start = if arguments.len() > 1 { to_int(arguments.value(1)) } else { 0 };
    let end = if arguments.len() > 2 { to_int(arguments.value(2)) } else { list.len() as i64 };
    guard::step(list.len())?;
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    match range.and_then(|(start, end)| list.items().get(start..end)) {
        Some(part) => Ok(Value::List(List::new(list.elem(), part.to_vec()))),
        None => Err("reflect.Value.Slice: slice index out of bounds".to_owned()),
    }
}

fn concat(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut all = Vec::new();
    for list in arguments.rest(0) {
        match list {
            Value::List(list) => {
                guard::step(list.len())?;
                all.extend_from_slice(list.items());
            }
            Value::Nil => return Err(NIL_POINTER.to_owned()),
            other => return Err(format!("Cannot concat type {} as list", other.kind())),
        }
    }
    Ok(if all.is_empty() { Value::List(List::nil(Any)) } else { Value::list(all) })
}

fn chunk(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let list = items(arguments.value(1), "chunk")?;
    let size = arguments.int(0);
    // Go computes the number of chunks in floating point, also for sizes that make no sense.
    let count = ((list.len() as f64 - 1.0) / size as f64).floor() + 1.0;
    let chunks = match usize::try_from(size) {
        _ if count == 0.0 => Vec::new(),
        Ok(size) if size > 0 => list.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect(),
        Err(_) if list.len() == 1 && size < -1 => vec![Value::list(list.to_vec())],
        _ => return Err("runtime error: makeslice: len out of range".to_owned()),
    };
    Ok(Value::List(List::new(LIST, chunks)))
}
