//! How fields are read that real configs write in more than one way.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serializer};

/// `null` means the default.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// A list of texts; `null` is empty, a lone text is a list of one (as Docker's first configs wrote commands).
pub(super) fn texts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::deserialize(input)? {
        None => Vec::new(),
        Some(Texts::One(text)) => vec![text],
        Some(Texts::Many(texts)) => texts,
    })
}

/// A map of texts; `null` is empty, and so is a `null` value.
pub(super) fn text_map<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: BTreeMap<String, Option<String>> = nullable(input)?;
    Ok(map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

/// Go's `map[string]struct{}`: only the keys matter.
pub(super) fn set<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeSet<String>, D::Error> {
    #[expect(clippy::zero_sized_map_values, reason = "the values must be there to be skipped")]
    let map: BTreeMap<String, IgnoredAny> = nullable(input)?;
    Ok(map.into_keys().collect())
}

/// Writes what [`set`] reads.
pub(super) fn write_set<S: Serializer>(set: &BTreeSet<String>, output: S) -> Result<S::Ok, S::Error> {
    let mut map = output.serialize_map(Some(set.len()))?;
    for key in set {
        map.serialize_entry(key, &serde_json::Map::new())?;
    }
    map.end()
}
