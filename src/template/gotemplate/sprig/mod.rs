//! The text functions of Sprig v3.
//!
//! Not here: `env` and `expandenv`, which need a [`Host`](super::Host), and what makes keys and certificates or encrypts, which
//! fails by name (see `crypto`).

mod case;
mod crypto;
mod date;
mod decimal;
mod default;
mod dict;
mod encoding;
mod list;
mod merge;
mod numeric;
mod path;
mod regex;
mod regex_syntax;
mod semver;
mod string;
mod url;
mod url_parts;

use super::function::Function;
use super::value::Value;

pub(super) use crypto::adler32;
use numeric::to_int;

/// Base 64, for YAML's binary scalars.
pub(super) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    encoding::decode64(text).ok()
}

/// Sprig's text functions.
pub fn sprig() -> Vec<Function> {
    [
        string::FUNCTIONS,
        case::FUNCTIONS,
        list::FUNCTIONS,
        dict::FUNCTIONS,
        default::FUNCTIONS,
        numeric::FUNCTIONS,
        encoding::FUNCTIONS,
        crypto::FUNCTIONS,
        regex::FUNCTIONS,
        semver::FUNCTIONS,
        date::FUNCTIONS,
        path::FUNCTIONS,
        url::FUNCTIONS,
    ]
    .concat()
}

/// What Go says when reflection meets nothing.
const NIL_POINTER: &str = "runtime error: invalid memory address or nil pointer dereference";

/// A value as text: strings and errors as they are, the rest as `%v` prints it.
pub(super) fn text_of(value: &Value) -> Result<Vec<u8>, String> {
    Ok(super::format::display(value)?)
}

/// The items of a list as texts, without nil; anything else is a list of one.
fn texts_of(value: &Value) -> Result<Vec<Vec<u8>>, String> {
    match value {
        Value::List(list) => {
            super::guard::step(list.len())?;
            list.items().iter().filter(|item| !matches!(item, Value::Nil)).map(text_of).collect()
        }
        Value::Nil => Ok(Vec::new()),
        other => Ok(vec![text_of(other)?]),
    }
}
