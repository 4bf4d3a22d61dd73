//! All images of a config: their names, what they take from the project, and what holds between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use stages::ids::{ImageName, Platform};
use stages::spec::{ImageSpec, Mount, Post};

use super::context::Context;
use super::image_spec;
use super::names::Names;
use super::project::Project;
use crate::config::dialect::LoweredImage;
use crate::config::werf::{Semantics, code};
use crate::config::yaml::Mark;
use crate::template::CommitFacts;

/// What lowering images goes on.
pub(super) struct Lowering<'a> {
    pub(super) project: &'a Project,
    pub(super) names: Names,
    pub(super) semantics: Semantics,
    pub(super) images: Vec<LoweredImage>,
    /// What steps see without being keyed by it.
    pub(super) step_env: Arc<BTreeMap<String, String>>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(project: &'a Project, names: Names, commit: &CommitFacts, semantics: Semantics) -> Self {
        let step_env = [
            ("LANG", "C.UTF-8".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("WERF_COMMIT_HASH", commit.hash.clone()),
            ("WERF_COMMIT_TIME_HUMAN", commit.date_human.clone()),
            ("WERF_COMMIT_TIME_UNIX", commit.date_unix.to_string()),
        ];
        let step_env = Arc::new(step_env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        Self { project, names, semantics, images: Vec::new(), step_env }
    }

    /// An image's config with the project's part put over it, which only final images get.
    pub(super) fn image_spec(&self, own: Option<Post>, is_final: bool, name: &ImageName) -> Option<Post> {
        let global = self.project.image_spec.as_ref().filter(|_| is_final);
        if own.is_none() && global.is_none() {
            return None;
        }
        let mut post = own.unwrap_or_default();
        if let Some(global) = global {
            image_spec::merge(&mut post, global);
        }
        let project = self.project.name.as_ref().map(stages::ProjectName::as_str).unwrap_or_default();
        image_spec::name_labels(&mut post, project, name.as_str());
        Some(post)
    }

    /// A nameless image is alone among those that are published.
    pub(super) fn check_nameless(&self, context: &mut Context<'_>) {
        let is_final = |image: &&LoweredImage| image.spec.as_ref().is_some_and(|spec| spec.is_final);
        let finals: Vec<&LoweredImage> = self.images.iter().filter(is_final).collect();
        let Some(nameless) = self.images.iter().find(|image| image.name.as_str().is_empty()) else { return };
        let other = finals.iter().find(|image| !image.name.as_str().is_empty());
        if let Some(other) = other.filter(|_| finals.len() > 1) {
            let related = context.reader.place(other.mark);
            let message = "an image without a name cannot be beside others that are published";
            let problem = context.error(nameless.mark, code::NAME_CONFLICT, message);
            *problem = problem
                .clone()
                .related(related, "another one")
                .help("give it a name, or make the others `final: false`");
        }
    }

    /// Other images are there for all the platforms that an image needs them for.
    pub(super) fn check_platforms(&self, context: &mut Context<'_>) {
        let platforms = |spec: &'_ ImageSpec| -> Vec<Platform> {
            if spec.platforms.is_empty() { self.project.platforms.clone() } else { spec.platforms.clone() }
        };
        let of_name: BTreeMap<&str, Vec<Platform>> = self
            .images
            .iter()
            .filter_map(|image| Some((image.name.as_str(), platforms(image.spec.as_ref()?))))
            .collect();
        for image in &self.images {
            let Some(spec) = &image.spec else { continue };
            for (name, mark) in needed(image, spec) {
                let Some(there) = of_name.get(name.as_str()) else { continue };
                if let Some(missing) = platforms(spec).iter().find(|platform| !there.contains(platform)) {
                    let message = format!("`{}` needs `{name}` for {missing}, which that is not built for", image.name);
                    let problem = context.error(mark, code::VALUE, message);
                    problem.help = Some(format!("add {missing} to `platform` of `{name}`"));
                }
            }
        }
    }
}

/// An image's own mounts, and the image that it starts from.
struct Own {
    base: Option<String>,
    mounts: Vec<Mount>,
}

/// Images have the mounts of those that they start from.
pub(in crate::config) fn inherit_mounts(images: &mut [LoweredImage]) {
    let specs = images.iter().filter_map(|image| image.spec.as_ref());
    let own: BTreeMap<String, Own> = specs
        .filter(|spec| !spec.mounts.is_empty() || spec.base.image().is_some())
        .map(|spec| {
            let base = spec.base.image().map(|name| name.as_str().to_owned());
            (spec.name.as_str().to_owned(), Own { base, mounts: spec.mounts.clone() })
        })
        .collect();
    if own.values().all(|own| own.mounts.is_empty()) {
        return;
    }
    for spec in images.iter_mut().filter_map(|image| image.spec.as_mut()) {
        for mount in inherited(&own, spec.name.as_str()) {
            if !spec.mounts.iter().any(|known| known.to == mount.to) {
                spec.mounts.push(mount);
            }
        }
    }
}

/// The mounts of the images below one, nearest first. A circle of bases is reported elsewhere; here it ends.
fn inherited(own: &BTreeMap<String, Own>, name: &str) -> Vec<Mount> {
    let (mut mounts, mut seen) = (Vec::new(), vec![name]);
    while let Some(base) = own.get(seen[seen.len() - 1]).and_then(|own| own.base.as_deref()) {
        if seen.contains(&base) {
            break;
        }
        seen.push(base);
        mounts.extend(own.get(base).into_iter().flat_map(|own| own.mounts.clone()));
    }
    mounts
}

/// The images that an image needs, and where it says so.
fn needed<'i>(image: &'i LoweredImage, spec: &'i ImageSpec) -> Vec<(&'i ImageName, Mark)> {
    let base = spec.base.image().map(|name| (name, image.base_mark.unwrap_or(image.mark)));
    let imports =
        spec.imports().zip(&image.import_marks).filter_map(|(import, mark)| Some((import.source.image()?, *mark)));
    let mentions = image.mentions.iter().map(|(name, mark)| (name, *mark));
    base.into_iter().chain(imports).chain(mentions).collect()
}
