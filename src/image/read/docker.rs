//! What `docker save` writes, in its generations: layers as `ID/layer.tar` (some of them links to others), flat names as
//! other tools choose them, and the OCI layout that current engines add next to `manifest.json`.

use std::sync::Arc;

use serde::Deserialize;
use stages::ids::BlobId;

use super::oci::{self, check_layer_count};
use super::{ImageSource, OpenOptions, OpenedBase, ReadError, read_document, stored_layer};
use crate::image::spec::{ImageConfig, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, SpecError};
use crate::sha256::Sha256;

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Item {
    fn tags(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }

    /// As people would name it.
    fn describe(&self) -> String {
        self.tags().first().unwrap_or(&self.config).clone()
    }
}

pub(super) fn open(source: Arc<dyn ImageSource>, options: &OpenOptions<'_>) -> Result<OpenedBase, ReadError> {
    let Some(bytes) = read_document(source.as_ref(), "manifest.json", MAX_MANIFEST_BYTES)? else {
        return match source.open("index.json") {
            Ok(Some(_)) => oci::open(source, options),
            _ => Err(ReadError::Missing("there is no manifest.json: this is not a docker archive".to_owned())),
        };
    };
    let items: Vec<Item> = serde_json::from_slice(&bytes).map_err(|source| ReadError::Document {
        what: "manifest.json".to_owned(),
        source: SpecError::Json { what: "docker archive manifest", source },
    })?;
    let item = choose(&items, options.reference)?;
    let (config, config_bytes) = read_config(source.as_ref(), &item.config)?;
    let names = item.layers.as_deref().unwrap_or_default();
    check_layer_count(&config, names.len())?;
    let layers = std::iter::zip(&config.rootfs.diff_ids, names)
        .map(|(diff_id, name)| stored_layer(Arc::clone(&source), name.clone(), Some(*diff_id)))
        .collect::<Result<_, _>>()?;
    Ok(OpenedBase { config, config_bytes, manifest: None, layers })
}

fn choose<'a>(items: &'a [Item], reference: Option<&str>) -> Result<&'a Item, ReadError> {
    let list = || items.iter().map(Item::describe).collect::<Vec<_>>().join(", ");
    let Some(reference) = reference else {
        return match items {
            [item] => Ok(item),
            [] => Err(ReadError::Missing("there is no image in the archive".to_owned())),
            _ => Err(ReadError::SeveralMatch(list())),
        };
    };
    let wanted = familiar(reference);
    let fits = |item: &&Item| {
        item.tags().iter().any(|tag| familiar(tag) == wanted)
            || digest_in(&item.config).is_some_and(|id| id.to_string() == reference)
    };
    let no_match = || ReadError::NoMatch { wanted: format!("named {reference:?}"), available: list() };
    items.iter().find(fits).ok_or_else(no_match)
}

/// The short form of an image name: without the default registry and with a tag.
fn familiar(name: &str) -> String {
    let short = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    let short = short.strip_prefix("library/").unwrap_or(short);
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains(':') { short.to_owned() } else { format!("{short}:latest") }
}

/// The digest that a config's name promises: `HEX.json`, `sha256:HEX`, `blobs/sha256/HEX`.
fn digest_in(name: &str) -> Option<BlobId> {
    let stem = name.rsplit('/').next()?;
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    format!("sha256:{}", stem.strip_prefix("sha256:").unwrap_or(stem)).parse().ok()
}

fn read_config(source: &dyn ImageSource, name: &str) -> Result<(ImageConfig, Vec<u8>), ReadError> {
    let missing = || ReadError::Missing(format!("there is no {name} in the archive"));
    let bytes = read_document(source, name, MAX_CONFIG_BYTES)?.ok_or_else(missing)?;
    if digest_in(name).is_some_and(|promised| promised != Sha256::of(&bytes)) {
        return Err(ReadError::Invalid(format!("the image config {name} is corrupt: its digest is not its name")));
    }
    let config = ImageConfig::parse(&bytes)
        .map_err(|source| ReadError::Document { what: format!("the image config {name}"), source })?;
    Ok((config, bytes))
}
