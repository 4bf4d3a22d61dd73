//! The repositories of a build, and what finished images are called in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use stages::plan::PlannedImage;
use stages::{BlobId, ImageName, Platform, StageDigest};

use super::Error;
use crate::registry::{self, Client, Reference, Repository};
use crate::storage::{RemoteStore, Roles, copy_image};

/// How many images are published at once.
const AT_ONCE: usize = 8;

/// Repositories by role, as they are named on a command line.
#[derive(Debug, Clone, Default)]
pub struct Repositories {
    /// The team's stage storage.
    pub main: Option<Repository>,
    /// Other storages to take stages from.
    pub secondary: Vec<Repository>,
    /// Storages that are asked first and filled behind.
    pub cache: Vec<Repository>,
    /// Where finished images go, when that is not the main storage.
    pub published: Option<Repository>,
}

impl Repositories {
    /// The storages behind them. A repository has one role: the main one is left out of the others.
    pub fn open(&self, client: &Client) -> Roles {
        let store = |repository: &Repository| RemoteStore::new(client.clone(), repository.clone());
        let others =
            |list: &[Repository]| list.iter().filter(|one| Some(*one) != self.main.as_ref()).map(store).collect();
        Roles {
            main: self.main.as_ref().map(store),
            secondary: others(&self.secondary),
            cache: others(&self.cache),
            published: self.published.as_ref().filter(|one| Some(*one) != self.main.as_ref()).map(store),
        }
    }
}

/// An image that is to be called something in the repository of finished images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Promotion {
    image: (ImageName, Platform),
    digest: StageDigest,
    /// Tags beside the digest.
    tags: Vec<Reference>,
}

/// What is to be published of these images. `%image%` in a tag stands for the image's name.
pub(super) fn promotions(images: &[&PlannedImage], roles: &Roles) -> Result<Vec<Promotion>, Error> {
    let Some(target) = roles.published.as_ref().or(roles.main.as_ref()) else { return Ok(Vec::new()) };
    let mut owners: BTreeMap<Reference, &PlannedImage> = BTreeMap::new();
    let mut promotions = Vec::new();
    for image in images.iter().filter(|image| image.is_final && !image.artifact) {
        let mut tags = Vec::new();
        for text in &image.publish_tags {
            let text = text.replace("%image%", &image.name.in_paths().replace('/', "-"));
            let tag = target.repository().with_tag(&text).map_err(|source| Error::Tag { tag: text, source })?;
            if let Some(other) = owners.insert(tag.clone(), image)
                && other.name != image.name
            {
                let images = [other.name.clone(), image.name.clone()];
                return Err(Error::TagTwice { reference: tag.to_string(), images });
            }
            tags.push(tag);
        }
        promotions.push(Promotion {
            image: (image.name.clone(), image.platform.clone()),
            digest: image.digest(),
            tags,
        });
    }
    Ok(promotions)
}

/// What images are called, by name and platform.
pub(super) type Tags = BTreeMap<(ImageName, Platform), Vec<String>>;

/// Publishes finished images: what has its name already costs one request for each name. `manifests` are those of the main
/// storage. Returns the names.
pub(super) fn promote(
    promotions: &[Promotion],
    roles: &Roles,
    manifests: &BTreeMap<StageDigest, BlobId>,
) -> Result<Tags, Error> {
    let Some(main) = &roles.main else { return Ok(Tags::new()) };
    let next = Mutex::new(promotions.iter());
    let take = || next.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..promotions.len().min(AT_ONCE))
            .map(|_| {
                scope.spawn(|| {
                    let mut tags = Tags::new();
                    while let Some(promotion) = take() {
                        let named = promote_one(promotion, main, roles.published.as_ref(), manifests)?;
                        tags.insert(promotion.image.clone(), named);
                    }
                    Ok::<_, Error>(tags)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(Err(Error::WorkerDied))).collect::<Vec<_>>()
    });
    let mut tags = Tags::new();
    for part in parts {
        tags.extend(part?);
    }
    Ok(tags)
}

fn promote_one(
    promotion: &Promotion,
    main: &RemoteStore,
    published: Option<&RemoteStore>,
    manifests: &BTreeMap<StageDigest, BlobId>,
) -> Result<Vec<String>, Error> {
    let client = main.client();
    let stage = main.image(&promotion.digest);
    let mut named = vec![stage.to_string()];
    let mut wanted: BTreeSet<Reference> = promotion.tags.iter().cloned().collect();
    wanted.extend(published.map(|published| published.image(&promotion.digest)));
    for reference in wanted {
        let failed = |source| Error::Publish { reference: reference.to_string(), source };
        let manifest = match manifests.get(&promotion.digest) {
            Some(manifest) => *manifest,
            None => client.resolve(&stage).map_err(failed)?.digest,
        };
        let standing = match client.resolve(&reference) {
            Ok(descriptor) => Some(descriptor.digest),
            Err(registry::Error::NotFound { .. }) => None,
            Err(source) => return Err(failed(source)),
        };
        if standing != Some(manifest) {
            let from = main.repository().with_digest(manifest);
            copy_published(client, &from, &reference).map_err(failed)?;
        }
        named.push(reference.to_string());
    }
    Ok(named)
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
