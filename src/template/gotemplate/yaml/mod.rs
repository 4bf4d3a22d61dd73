//! YAML as Go's `yaml.v2` reads and writes it: YAML 1.1 words and numbers, maps with keys of any type, natural key order.

mod read;
mod resolve;
mod write;

pub(super) use read::{read_list, read_map};
pub(super) use write::write;
