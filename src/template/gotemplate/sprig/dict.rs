//! Dictionaries.

use super::super::function::{Arguments, Call, Function, Outcome, function, variadic};
use super::super::guard;
use super::super::value::{Key, Map, Type, Value};
use super::merge::{deep_copy, merge, merge_overwrite};
use super::text_of;

use Type::{Any, Bool, String};
const MAP: Type = Type::MAP;

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("dict", &[Any], MAP, dict),
    function("get", &[MAP, String], Any, |_, a| Ok(a.map(0).find(&key(a, 1)).unwrap_or_else(|| Value::from("")))),
    function("set", &[MAP, String, Any], MAP, set),
    function("unset", &[MAP, String], MAP, |_, a| {
        a.map(0).remove(&key(a, 1));
        Ok(a.value(0).clone())
    }),
    function("hasKey", &[MAP, String], Bool, |_, a| Ok(Value::Bool(a.map(0).find(&key(a, 1)).is_some()))),
    variadic("pluck", &[String, MAP], Type::LIST, |_, a| {
        let name = key(a, 0);
        Ok(Value::list((1..a.len()).filter_map(|index| a.map(index).find(&name)).collect()))
    }),
    variadic("keys", &[MAP], Type::STRINGS, |_, a| {
        let maps: Vec<_> = (0..a.len()).flat_map(|index| a.map(index).entries()).collect();
        guard::step(maps.len())?;
        Ok(Value::List(super::super::value::List::new(String, maps.iter().map(|(key, _)| key.value()).collect())))
    }),
    function("values", &[MAP], Type::LIST, |_, a| {
        Ok(Value::list(a.map(0).entries().into_iter().map(|(_, value)| value).collect()))
    }),
    variadic("pick", &[MAP, String], MAP, |_, a| {
        let (source, picked) = (a.map(0), Map::new());
        for name in (1..a.len()).map(|index| key(a, index)) {
            if let Some(value) = source.find(&name) {
                picked.insert(name, value);
            }
        }
        Ok(Value::Map(picked))
    }),
    variadic("omit", &[MAP, String], MAP, |_, a| {
        let (entries, kept) = (a.map(0).entries(), Map::new());
        guard::step(entries.len())?;
        let omitted: Vec<Key> = (1..a.len()).map(|index| key(a, index)).collect();
        for (name, value) in entries {
            if !omitted.contains(&name) {
                kept.insert(name, value);
            }
        }
        Ok(Value::Map(kept))
    }),
    variadic("merge", &[MAP, MAP], Any, merge),
    variadic("mustMerge", &[MAP, MAP], Any, merge),
    variadic("mergeOverwrite", &[MAP, MAP], Any, merge_overwrite),
    variadic("mustMergeOverwrite", &[MAP, MAP], Any, merge_overwrite),
    function("deepCopy", &[Any], Any, |_, a| deep_copy(a.value(0))),
    function("mustDeepCopy", &[Any], Any, |_, a| deep_copy(a.value(0))),
    variadic("dig", &[Any], Any, dig),
];

fn key(arguments: &Arguments<'_>, index: usize) -> Key {
    Key::Str(arguments.text(index).into())
}

fn dict(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let map = Map::new();
    for index in (0..arguments.len()).step_by(2) {
        let value = if index + 1 < arguments.len() { arguments.value(index + 1).clone() } else { Value::from("") };
        map.insert(Key::Str(text_of(arguments.value(index))?.into()), value);
    }
    Ok(Value::Map(map))
}

fn set(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    guard::allocate(2 * size_of::<Value>())?;
    if arguments.map(0).insert(key(arguments, 1), arguments.value(2).clone()) {
        Ok(arguments.value(0).clone())
    } else {
        Err("assignment to entry in nil map".to_owned())
    }
}

fn dig(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    if arguments.len() < 3 {
        return Err("dig needs at least three arguments".to_owned());
    }
    let last = arguments.len() - 1;
    let mut map = as_map(arguments.value(last))?;
    let mut names = Vec::new();
    for name in (0..last - 1).map(|index| arguments.value(index)) {
        match name {
            Value::Str(name) => names.push(Key::Str(name.clone())),
            other => return Err(conversion(other, "string")),
        }
    }
    let Some((end, path)) = names.split_last() else { return Ok(Value::Nil) };
    for name in path {
        match map.find(name) {
            Some(value) => map = as_map(&value)?,
            None => return Ok(arguments.value(last - 1).clone()),
        }
    }
    Ok(map.find(end).unwrap_or_else(|| arguments.value(last - 1).clone()))
}

fn as_map(value: &Value) -> Result<Map, std::string::String> {
    match value {
        Value::Map(map) if map.type_of() == MAP => Ok(map.clone()),
        other => Err(conversion(other, "map[string]interface {}")),
    }
}

fn conversion(value: &Value, wanted: &str) -> std::string::String {
    let found = value.type_of().map_or_else(|| "nil".to_owned(), |found| found.to_string());
    format!("interface conversion: interface {{}} is {found}, not {wanted}")
}
