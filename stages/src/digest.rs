//! The digest of a stage: what enters it, and how it is encoded.
//!
//! Which value enters which digest (`x`), by slot:
//!
//! | value                                            | from | fromImage | packages | git | step | imports | image-post |
//! | ------------------------------------------------ | ---- | --------- | -------- | --- | ---- | ------- | ---------- |
//! | format version, platform, kind, slot             | x    | x         | x        | x   | x    | x       | x          |
//! | parent's digest                                  |      | x         | x        | x   | x    | x       | x          |
//! | project `cacheVersion`, `fromCacheVersion`       | x    | x         |          |     |      |         |            |
//! | base reference; base file's format, content, and the image named in it | x    |           |          |     |      |         |            |
//! | base's registry digest (`fromLatest` only)       | x    |           |          |     |      |         |            |
//! | package names by manager                         |      |           | x        |     |      |         |            |
//! | mapping: `to`, owner, checksum of its content    |      |           |          | x   |      |         |            |
//! | the same, of the files the step sees             |      |           |          |     | x    |         |            |
//! | how mappings are written, and the project (only of a step that declares and sees all) | | | |    | x    |         |            |
//! | the same, of the files it declares (`stageDependencies`) | |        |          |     | x    |         |            |
//! | command, env, network, cache versions of the step |      |           |          |     | x    |         |            |
//! | cache mounts (path, id, sharing), secret ids (not those of a step with declared files) | |   |          |     | x    |         |            |
//! | mounts of the image (place and kind of source)   |      |           | x        |     | x    |         |            |
//! | import: source's digest or reference, places and how they are found, patterns, owner | | | | | | x       |            |
//! | variable: name, what it says, digest of the image it names, the repository if it says that | |      |          |     |      | x       |            |
//! | digest of the git stage                          |      |           |          |     |      |         | x          |
//! | symlinks, every field of the image config, how its texts are read |      |           |          |     |      |         | x          |
//!
//! A Dockerfile is one stage for now: its path, arguments, target, hosts, added files, and the checksum of its context.
//!
//! What never enters: the clock, the commit id (a step of werf sees it, unkeyed, in its environment), an address of a stage storage, registry state (but for `fromLatest`), host
//! paths, secret values, step timeouts, names of images, tags, tests.
//!
//! The encoding is canonical: each value is a type byte and a payload whose length is fixed or written before it (64-bit
//! little endian), so that adjacent values can't run into each other; maps are in byte order of their keys. A change of the
//! encoding or of the table is a new [`FORMAT_VERSION`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ContentId, Platform, StageDigest};
use crate::kind::{Slot, StageKind};

/// The version of the encoding and of the table above.
///
/// 1: the first one.
pub const FORMAT_VERSION: u32 = 1;

/// The named inputs of a stage; stored with it, for `explain`.
pub type Inputs = BTreeMap<String, Value>;

/// One input value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text; digests and checksums are texts too.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// A list of texts.
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::from(text.as_ref())).collect())
    }

    /// A map of texts.
    pub fn text_map(map: &BTreeMap<String, String>) -> Self {
        Self::Map(map.iter().map(|(key, value)| (key.clone(), Self::from(value.as_str()))).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// The digest of a stage: its inputs, on its parent.
pub fn stage_digest(
    platform: &Platform,
    kind: StageKind,
    slot: &Slot,
    inputs: &Inputs,
    parent: Option<&StageDigest>,
) -> StageDigest {
    let mut encoder = Encoder::new("stager stage");
    encoder.text(&platform.to_string());
    encoder.text(kind.name());
    encoder.text(slot.name());
    encoder.map(inputs);
    match parent {
        None => encoder.bool(false),
        Some(parent) => {
            encoder.bool(true);
            encoder.bytes(parent.as_bytes());
        }
    }
    encoder.finish().into()
}

/// The second key of a stage: as its digest, but over what the stages it needs *hold*. `inputs` has those stages' digests
/// replaced by their content ids already; `needs` are the content ids of the parent and of the stage that git content lies
/// above: where things lie counts even where no input names it. `lineage` (see [`lineage`]) keeps a forced rebuild a rebuild.
pub fn content_key(
    platform: &Platform,
    kind: StageKind,
    slot: &Slot,
    inputs: &Inputs,
    needs: &[ContentId],
    lineage: &ContentId,
) -> ContentId {
    let mut encoder = Encoder::new("stager content");
    encoder.text(&platform.to_string());
    encoder.text(kind.name());
    encoder.text(slot.name());
    encoder.map(inputs);
    encoder.integer(needs.len() as i64);
    for needed in needs {
        encoder.bytes(needed.as_bytes());
    }
    encoder.bytes(lineage.as_bytes());
    encoder.finish().into()
}

/// The cache versions that a stage stands on, all the way down: `cacheVersion`, `fromCacheVersion` and `stageCacheVersion` say
/// that things are to be made anew although they would be made from the same content. They are handed on from parent to child, and not over
/// imports.
pub fn lineage(parent: Option<&ContentId>, inputs: &Inputs) -> ContentId {
    let versions: Inputs = ["cacheVersion", "fromCacheVersion", "stageCacheVersion"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), inputs.get(*name)?.clone())))
        .collect();
    match parent {
        Some(parent) if versions.is_empty() => *parent,
        _ => {
            let mut encoder = Encoder::new("stager lineage");
            encoder.bytes(parent.map_or(&[][..], |parent| parent.as_bytes()));
            encoder.map(&versions);
            encoder.finish().into()
        }
    }
}

/// Writes the canonical encoding into a BLAKE3 hasher, which is fast on long pieces only.
#[derive(Debug)]
pub struct Encoder {
    hasher: blake3::Hasher,
    /// What the hasher has not seen yet.
    pending: Vec<u8>,
}

/// How much is kept for the hasher.
const PENDING: usize = 16 << 10;
/// What the inputs of most stages come to.
const TYPICAL: usize = 1 << 10;

impl Encoder {
    /// A new encoding; `purpose` keeps digests of different things apart.
    pub fn new(purpose: &str) -> Self {
        let mut encoder = Self { hasher: blake3::Hasher::new(), pending: Vec::with_capacity(TYPICAL) };
        encoder.text(purpose);
        encoder.integer(i64::from(FORMAT_VERSION));
        encoder
    }

    /// Adds a truth value.
    pub fn bool(&mut self, value: bool) {
        self.pending.extend([1, u8::from(value)]);
    }

    /// Adds a whole number.
    pub fn integer(&mut self, value: i64) {
        self.pending.push(2);
        self.pending.extend(value.to_le_bytes());
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.framed(3, text.as_bytes());
    }

    /// Adds raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.framed(4, bytes);
    }

    /// Adds a value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.bool(*value),
            Value::Integer(value) => self.integer(*value),
            Value::Text(text) => self.text(text),
            Value::List(list) => {
                self.head(5, list.len());
                for value in list {
                    self.value(value);
                }
            }
            Value::Map(map) => self.map(map),
        }
    }

    /// Adds values by name.
    pub fn map(&mut self, map: &BTreeMap<String, Value>) {
        self.head(6, map.len());
        for (key, value) in map {
            self.text(key);
            self.value(value);
        }
    }

    /// The hash of all that was added.
    pub fn finish(mut self) -> blake3::Hash {
        self.hasher.update(&self.pending);
        self.hasher.finalize()
    }

    fn framed(&mut self, tag: u8, bytes: &[u8]) {
        self.head(tag, bytes.len());
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > PENDING {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
    }

    fn head(&mut self, tag: u8, length: usize) {
        self.pending.push(tag);
        self.pending.extend((length as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest_of(inputs: &Inputs) -> StageDigest {
        let slot = Slot::new("build/compile");
        stage_digest(&"linux/amd64".parse().unwrap(), StageKind::Build, &slot, inputs, None)
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Integer),
            ".{0,8}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::btree_map("[a-c]{0,2}", inner, 0..4).prop_map(Value::Map),
            ]
        })
    }

    /// The golden vector pins the encoding: it changes only with the format version.
    #[test]
    fn golden_digest() {
        let inputs = Inputs::from([
            ("command".to_owned(), Value::from("make")),
            ("env".to_owned(), Value::Map(BTreeMap::from([("A".to_owned(), Value::from("1"))]))),
            ("flags".to_owned(), Value::List(vec![Value::Bool(true), Value::Integer(-1)])),
        ]);
        assert_eq!(digest_of(&inputs).to_string(), "ce2782404fbb3e402aa431464b6bb2c999a1d7e26d49f5bec7fbbe0a2839458b");
    }

    #[test]
    fn adjacent_fields_do_not_collide() {
        let pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")];
        let digests: std::collections::BTreeSet<_> = pairs
            .iter()
            .map(|(left, right)| digest_of(&Inputs::from([("x".to_owned(), Value::texts([left, right]))])))
            .collect();
        assert_eq!(digests.len(), pairs.len());
    }

    proptest! {
        #[test]
        fn different_inputs_have_different_digests(
            left in prop::collection::btree_map("[a-c]{0,2}", value(), 0..4),
            right in prop::collection::btree_map("[a-c]{0,2}", value(), 0..4),
        ) {
            prop_assert_eq!(left == right, digest_of(&left) == digest_of(&right));
        }

        #[test]
        fn inputs_survive_json(inputs in prop::collection::btree_map("[a-c]{0,2}", value(), 0..4)) {
            let text = serde_json::to_string(&inputs).unwrap();
            prop_assert_eq!(serde_json::from_str::<Inputs>(&text).unwrap(), inputs);
        }
    }

    #[test]
    fn everything_around_the_inputs_counts() {
        let base = digest_of(&Inputs::new());
        let platform: Platform = "linux/amd64".parse().unwrap();
        let slot = Slot::new("build/compile");
        let others = [
            stage_digest(&"linux/arm64".parse().unwrap(), StageKind::Build, &slot, &Inputs::new(), None),
            stage_digest(&platform, StageKind::Deps, &slot, &Inputs::new(), None),
            stage_digest(&platform, StageKind::Build, &Slot::new("build/other"), &Inputs::new(), None),
            stage_digest(&platform, StageKind::Build, &slot, &Inputs::new(), Some(&base)),
        ];
        assert!(others.iter().all(|other| *other != base));
    }
}
