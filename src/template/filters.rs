//! Filters beside minijinja's own, and how values are written.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};

/// The longest label that DNS allows.
const MAX_SLUG: usize = 63;
/// Hexadecimal digits of the hash in a slug that had to be cut.
const HASH_DIGITS: usize = 8;

pub(super) fn register(environment: &mut Environment<'_>) {
    environment.add_filter("slug", slug_filter);
    environment.add_filter("quote", quote);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
}

/// Writes a value as YAML reads it: booleans in lower case. `none` is refused, since the word in a config is never what was
/// meant.
pub(super) fn write(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        return Err(Error::new(ErrorKind::InvalidOperation, "the value is none: there is nothing to write"));
    }
    match bool::try_from(value.clone()) {
        Ok(flag) if value.kind() == ValueKind::Bool => Ok(output.write_str(if flag { "true" } else { "false" })?),
        _ => minijinja::escape_formatter(output, state, value),
    }
}

/// `default(value)`: stands in for what is undefined or `none`; with `true` as second argument also for what is empty.
fn default(value: Value, other: Option<Value>, falsy: Option<bool>) -> Value {
    let missing = value.is_undefined() || value.is_none() || (falsy == Some(true) && !value.is_true());
    if missing { other.unwrap_or_else(|| Value::from("")) } else { value }
}

/// `quote`: the value as a double-quoted YAML (and JSON) string.
fn quote(value: Value) -> Result<Value, Error> {
    let text = scalar(&value, "quote")?;
    serde_json::to_string(&text)
        .map(Value::from)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "cannot quote the text").with_source(error))
}

fn slug_filter(value: Value) -> Result<String, Error> {
    Ok(slug(&scalar(&value, "slug")?))
}

fn scalar(value: &Value, filter: &str) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(value.to_string()),
        kind => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("{filter} takes a text, a number or a boolean, not {kind}"),
        )),
    }
}

/// A text as a name that registries, image tags and DNS labels accept: lower-case letters, digits and inner hyphens, 1 to
/// 63 characters. A text that is such a name already stays; others that were cut, or would be empty, end in a hash of the
/// whole text, so that they do not meet.
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len().min(MAX_SLUG));
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() > MAX_SLUG + 1 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if (1..=MAX_SLUG).contains(&slug.len()) {
        return slug.to_owned();
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let hash = hash.get(..HASH_DIGITS).unwrap_or_default();
    let head = slug.get(..MAX_SLUG - HASH_DIGITS - 1).unwrap_or_default().trim_end_matches('-');
    if head.is_empty() { hash.to_owned() } else { format!("{head}-{hash}") }
}
