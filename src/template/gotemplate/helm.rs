//! Functions that Helm added to Sprig and that werf's configs know as well.

use super::function::{Arguments, Call, Function, Outcome, function};
use super::json::JsonError;
use super::value::{Type, Value};
use super::{toml, yaml};

/// `required`, `toYaml`, `fromYaml`, `fromYamlArray`, `toToml`. `fromYaml` is werf's: integers stay integers, and bad input
/// is an error.
pub fn helm() -> Vec<Function> {
    vec![
        function("required", &[Type::String, Type::Any], Type::Any, required),
        function("toYaml", &[Type::Any], Type::String, to_yaml),
        function("fromYaml", &[Type::String], Type::MAP, |_, arguments| yaml::read_map(arguments.text(0))),
        function("fromYamlArray", &[Type::String], Type::LIST, |_, arguments| {
            Ok(yaml::read_list(arguments.text(0)).unwrap_or_else(|reason| Value::list(vec![Value::from(reason)])))
        }),
        function("toToml", &[Type::Any], Type::String, |_, arguments| match arguments.value(0) {
            Value::Nil => Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
            value => Ok(toml::write(value).map_or_else(Value::from, Value::string)),
        }),
    ]
}

fn required(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    match arguments.value(1) {
        Value::Nil => Err(arguments.string(0)),
        Value::Str(text) if text.is_empty() => Err(arguments.string(0)),
        other => Ok(other.clone()),
    }
}

/// A value that has no YAML form becomes no text at all.
fn to_yaml(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    match yaml::write(arguments.value(0)) {
        Ok(text) => Ok(Value::string(text.strip_suffix(b"\n").unwrap_or(&text))),
        Err(JsonError::Exhausted(exhausted)) => Err(exhausted.into()),
        Err(_) => Ok(Value::from("")),
    }
}
