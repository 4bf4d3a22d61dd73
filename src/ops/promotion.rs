//! What finished images are called in a registry.
//!
//! An image for one platform is its last stage. One for several is an index of the last stages of its platforms: its publish
//! tags stand on the index, and so does a tag of its own, which names the platforms and their stages. Indexes come after all
//! that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stages::digest::Encoder;
use stages::plan::PlannedImage;
use stages::{ContentId, ImageName, Platform, StageDigest};

use super::Error;
use crate::image::spec::{Descriptor, Index, PlatformFields, media_type};
use crate::registry::{self, Client, Reference, side_by_side};
use crate::sha256::Sha256;
use crate::storage::{RemoteStore, Roles, copy_image};

/// How many questions are out at once.
pub(super) const AT_ONCE: usize = 8;

/// An image that is to be called something in the repository of finished images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Promotion {
    pub(super) image: ImageName,
    /// Its last stages.
    pub(super) stages: BTreeMap<Platform, StageDigest>,
    /// Tags beside the digests.
    tags: BTreeSet<Reference>,
}

/// What images are called, by name and platform.
pub(super) type Tags = BTreeMap<(ImageName, Platform), Vec<String>>;

/// What is to be published of these images. `%image%` in a tag stands for the image's name.
pub(super) fn promotions(images: &[&PlannedImage], roles: &Roles) -> Result<Vec<Promotion>, Error> {
    let Some(target) = roles.published.as_ref().or(roles.main.as_ref()) else { return Ok(Vec::new()) };
    let mut owners: BTreeMap<Reference, &ImageName> = BTreeMap::new();
    let mut promotions: BTreeMap<&ImageName, Promotion> = BTreeMap::new();
    for image in images.iter().filter(|image| image.is_final && !image.artifact) {
        let promotion = promotions.entry(&image.name).or_insert_with(|| Promotion {
            image: image.name.clone(),
            stages: BTreeMap::new(),
            tags: BTreeSet::new(),
        });
        promotion.stages.insert(image.platform.clone(), image.digest());
        for text in &image.publish_tags {
            let text = text.replace("%image%", &image.name.in_paths().replace('/', "-"));
            let tag = target.repository().with_tag(&text).map_err(|source| Error::Tag { tag: text, source })?;
            if let Some(other) = owners.insert(tag.clone(), &image.name).filter(|other| **other != image.name) {
                let images = [other.clone(), image.name.clone()];
                return Err(Error::TagTwice { reference: tag.to_string(), images });
            }
            promotion.tags.insert(tag);
        }
    }
    Ok(promotions.into_values().collect())
}

impl Promotion {
    /// Takes the publish tags away, when the config names platforms that are not among these. Returns those that are missing.
    pub(super) fn hold_back<'p>(&mut self, declared: &'p [Platform]) -> Vec<&'p Platform> {
        if self.tags.is_empty() || declared.len() < 2 {
            return Vec::new();
        }
        let missing: Vec<&Platform> = declared.iter().filter(|platform| !self.stages.contains_key(*platform)).collect();
        if !missing.is_empty() {
            self.tags.clear();
        }
        missing
    }

    /// The tag of its index; none for one platform.
    fn index_tag(&self) -> Option<String> {
        if self.stages.len() < 2 {
            return None;
        }
        let mut encoder = Encoder::new("stager image index");
        for (platform, stage) in &self.stages {
            encoder.text(&platform.to_string());
            encoder.bytes(stage.as_bytes());
        }
        Some(ContentId::from(encoder.finish()).to_string())
    }
}

/// Publishes finished images: what has its name already costs one request for each name. `manifests` are those of the main
/// storage. Returns the names.
pub(super) fn promote(
    promotions: &[Promotion],
    roles: &Roles,
    manifests: &BTreeMap<StageDigest, Descriptor>,
) -> Result<Tags, Error> {
    let Some(main) = &roles.main else { return Ok(Tags::new()) };
    let promoter = Promoter { main, published: roles.published.as_ref(), manifests };
    let platforms: Vec<(&Promotion, &Platform, &StageDigest)> = promotions
        .iter()
        .flat_map(|promotion| promotion.stages.iter().map(move |(platform, stage)| (promotion, platform, stage)))
        .collect();
    let stages = side_by_side(&platforms, AT_ONCE, |(promotion, _, stage)| promoter.stage(promotion, stage))?;
    let indexes = side_by_side(promotions, AT_ONCE, |promotion| promoter.index(promotion))?;
    let mut tags: Tags = platforms
        .into_iter()
        .zip(stages)
        .map(|((promotion, platform, _), names)| ((promotion.image.clone(), platform.clone()), names))
        .collect();
    for (promotion, names) in promotions.iter().zip(indexes) {
        for platform in promotion.stages.keys() {
            tags.entry((promotion.image.clone(), platform.clone())).or_default().extend(names.iter().cloned());
        }
    }
    Ok(tags)
}

struct Promoter<'a> {
    main: &'a RemoteStore,
    published: Option<&'a RemoteStore>,
    manifests: &'a BTreeMap<StageDigest, Descriptor>,
}

impl Promoter<'_> {
    /// Publishes the last stage of a platform; under the publish tags as well, when it is the only one.
    fn stage(&self, promotion: &Promotion, stage: &StageDigest) -> Result<Vec<String>, Error> {
        let mut wanted: BTreeSet<Reference> = self.published.iter().map(|published| published.image(stage)).collect();
        if promotion.index_tag().is_none() {
            wanted.extend(promotion.tags.iter().cloned());
        }
        for reference in &wanted {
            let failed = |source| Error::Publish { reference: reference.to_string(), source };
            let manifest = self.manifest(stage).map_err(failed)?.digest;
            if standing(self.main.client(), reference).map_err(failed)? != Some(manifest) {
                let from = self.main.repository().with_digest(manifest);
                copy_published(self.main.client(), &from, reference).map_err(failed)?;
            }
        }
        Ok(std::iter::once(self.main.image(stage)).chain(wanted).map(|name| name.to_string()).collect())
    }

    /// Publishes the index of several platforms.
    fn index(&self, promotion: &Promotion) -> Result<Vec<String>, Error> {
        let Some(tag) = promotion.index_tag() else { return Ok(Vec::new()) };
        let mut wanted = Vec::new();
        for store in [Some(self.main), self.published].into_iter().flatten() {
            let name = store.repository().with_tag(&tag).map_err(|source| Error::Tag { tag: tag.clone(), source })?;
            wanted.push(name);
        }
        wanted.extend(promotion.tags.iter().cloned());
        let bytes = self.index_of(promotion)?.to_bytes();
        let client = self.main.client();
        for reference in &wanted {
            let failed = |source| Error::Publish { reference: reference.to_string(), source };
            if standing(client, reference).map_err(failed)? != Some(Sha256::of(&bytes)) {
                client.put_manifest(reference, &bytes, media_type::INDEX).map_err(failed)?;
            }
        }
        Ok(wanted.iter().map(ToString::to_string).collect())
    }

    fn index_of(&self, promotion: &Promotion) -> Result<Index, Error> {
        let mut entries = Vec::new();
        for (platform, stage) in &promotion.stages {
            let failed = |source| Error::Publish { reference: self.main.image(stage).to_string(), source };
            let manifest = self.manifest(stage).map_err(failed)?;
            entries.push(Descriptor { platform: Some(PlatformFields::from(platform)), ..manifest });
        }
        Ok(Index::new(entries))
    }

    /// The manifest of a stage in the main storage.
    fn manifest(&self, stage: &StageDigest) -> Result<Descriptor, registry::Error> {
        match self.manifests.get(stage) {
            Some(manifest) => Ok(manifest.clone()),
            None => self.main.client().resolve(&self.main.image(stage)),
        }
    }
}

/// What a reference stands on.
fn standing(client: &Client, reference: &Reference) -> Result<Option<stages::BlobId>, registry::Error> {
    match client.resolve(reference) {
        Ok(descriptor) => Ok(Some(descriptor.digest)),
        Err(registry::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(source),
    }
}

/// How often an image that has been published is looked for, and the first pause, which doubles: some six seconds in all.
const LOOKS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Copies an image that is there; registries may be behind their own answers.
fn copy_published(client: &Client, from: &Reference, to: &Reference) -> Result<(), registry::Error> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..LOOKS {
        match copy_image(client, from, to) {
            Err(registry::Error::NotFound { .. }) => std::thread::sleep(pause),
            other => return other.map(drop),
        }
        pause *= 2;
    }
    copy_image(client, from, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promotion(platforms: &[&str]) -> Promotion {
        let stage = |platform: &&str| (platform.parse().unwrap(), StageDigest::from_bytes([platform.len() as u8; 32]));
        let tag = "r.example/x:latest".parse().unwrap();
        Promotion { image: "app".parse().unwrap(), stages: platforms.iter().map(stage).collect(), tags: [tag].into() }
    }

    #[test]
    fn an_index_is_called_after_its_platforms_and_stages() {
        assert_eq!(promotion(&["linux/amd64"]).index_tag(), None);
        let two = promotion(&["linux/arm64", "linux/amd64"]);
        assert_eq!(two.index_tag(), promotion(&["linux/amd64", "linux/arm64"]).index_tag());
        assert_eq!(
            two.index_tag().as_deref(),
            Some("2510a7b8d6d1436482d1b9a2970246d55ecb7a26c16f7821c30617394abf8b97")
        );
        assert_ne!(two.index_tag(), promotion(&["linux/amd64", "linux/arm/v7"]).index_tag());
    }

    #[test]
    fn tags_are_held_back_while_a_platform_is_missing() {
        let cases: [(&[&str], &[&str], &[&str]); 5] = [
            (&["linux/amd64"], &["linux/amd64"], &[]),
            (&["linux/arm64"], &["linux/amd64"], &[]),
            (&["linux/amd64"], &["linux/amd64", "linux/arm64"], &["linux/arm64"]),
            (&["linux/amd64", "linux/arm64"], &["linux/arm64", "linux/amd64"], &[]),
            (&["linux/s390x"], &["linux/arm64", "linux/amd64"], &["linux/arm64", "linux/amd64"]),
        ];
        for (built, declared, expected) in cases {
            let mut promotion = promotion(built);
            let declared: Vec<Platform> = declared.iter().map(|platform| platform.parse().unwrap()).collect();
            let missing: Vec<String> = promotion.hold_back(&declared).iter().map(ToString::to_string).collect();
            assert_eq!(missing, expected, "{built:?} of {declared:?}");
            assert_eq!(promotion.tags.is_empty(), !expected.is_empty(), "{built:?} of {declared:?}");
        }
    }
}
