//! Defaults, tests for emptiness, and what a value is.

use super::super::function::{Function, function, variadic};
use super::super::json;
use super::super::value::{Type, Value, deep_equal};

use Type::{Any, Bool, String};

pub(super) const FUNCTIONS: &[Function] = &[
    variadic("default", &[Any, Any], Any, |_, a| {
        let given = a.value(1);
        Ok(if a.len() < 2 || is_empty(given) { a.value(0).clone() } else { given.clone() })
    }),
    function("empty", &[Any], Bool, |_, a| Ok(Value::Bool(is_empty(a.value(0))))),
    variadic("coalesce", &[Any], Any, |_, a| Ok(a.rest(0).find(|value| !is_empty(value)).cloned().unwrap_or_default())),
    variadic("all", &[Any], Bool, |_, a| Ok(Value::Bool(!a.rest(0).any(is_empty)))),
    variadic("any", &[Any], Bool, |_, a| Ok(Value::Bool(a.rest(0).any(|value| !is_empty(value))))),
    function("ternary", &[Any, Any, Bool], Any, |_, a| Ok(a.value(usize::from(!a.bool(2))).clone())),
    function("fail", &[String], String, |_, a| Err(a.string(0))),
    function("typeOf", &[Any], String, |_, a| Ok(Value::from(a.value(0).type_name()))),
    function("typeIs", &[String, Any], Bool, |_, a| Ok(Value::Bool(a.text(0) == a.value(1).type_name().as_bytes()))),
    function("typeIsLike", &[String, Any], Bool, |_, a| {
        let found = a.value(1).type_name();
        let pointed = found.strip_prefix('*').is_some_and(|found| found.as_bytes() == a.text(0));
        Ok(Value::Bool(pointed || found.as_bytes() == a.text(0)))
    }),
    function("kindOf", &[Any], String, |_, a| Ok(Value::from(a.value(0).kind()))),
    function("kindIs", &[String, Any], Bool, |_, a| Ok(Value::Bool(a.text(0) == a.value(1).kind().as_bytes()))),
    function("deepEqual", &[Any, Any], Bool, |_, a| Ok(Value::Bool(deep_equal(a.value(0), a.value(1))?))),
    function("toJson", &[Any], String, |_, a| swallow(json::encode(a.value(0), json::COMPACT))),
    function("mustToJson", &[Any], String, |_, a| Ok(Value::string(json::encode(a.value(0), json::COMPACT)?))),
    function("toPrettyJson", &[Any], String, |_, a| swallow(json::encode(a.value(0), json::PRETTY))),
    function("mustToPrettyJson", &[Any], String, |_, a| Ok(Value::string(json::encode(a.value(0), json::PRETTY)?))),
    function("toRawJson", &[Any], String, |_, a| Ok(Value::string(json::encode(a.value(0), json::RAW)?))),
    function("mustToRawJson", &[Any], String, |_, a| Ok(Value::string(json::encode(a.value(0), json::RAW)?))),
    function("fromJson", &[String], Any, |_, a| match json::decode(a.text(0)) {
        Ok(value) | Err(json::JsonError::Number(value, _)) => Ok(value),
        Err(json::JsonError::Exhausted(exhausted)) => Err(exhausted.into()),
        Err(json::JsonError::Syntax(_)) => Ok(Value::Nil),
    }),
    function("mustFromJson", &[String], Any, |_, a| Ok(json::decode(a.text(0))?)),
];

/// Emptiness as Sprig sees it: the zero value of its type.
pub(super) fn is_empty(value: &Value) -> bool {
    !value.truth()
}

/// A value that has no JSON form becomes no text at all; an exhausted budget stays an error.
fn swallow(encoded: Result<Vec<u8>, json::JsonError>) -> Result<Value, std::string::String> {
    match encoded {
        Ok(text) => Ok(Value::string(text)),
        Err(json::JsonError::Exhausted(exhausted)) => Err(exhausted.into()),
        Err(_) => Ok(Value::from("")),
    }
}
