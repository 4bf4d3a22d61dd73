//! YAML as Go's `yaml.v2` reads and writes it: YAML 1.1 words and numbers, maps with keys of any type, natural key order.

mod read;
mod resolve;
mod write;

use super::value::Value;

pub(super) use read::{read_list, read_map};
pub(super) use write::{write, write_direct};

/// A text as a YAML scalar, quoted where YAML 1.1 would read something else.
pub fn yaml_scalar(text: &str) -> String {
    let written = write(&Value::from(text)).unwrap_or_default();
    String::from_utf8_lossy(&written).trim_end().to_owned()
}
