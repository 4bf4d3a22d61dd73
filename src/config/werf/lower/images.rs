//! All images of a config: their names, what they take from the project, and what holds between them.

use std::collections::BTreeMap;

use stages::ids::{ImageName, Platform};
use stages::spec::{Base, ImageSpec, Mount, Post};

use super::context::Context;
use super::image_spec;
use super::names::Names;
use super::project::Project;
use super::warnings::Deprecated;
use crate::config::dialect::LoweredImage;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::yaml::Mark;
use crate::template::CommitFacts;

/// What lowering images goes on.
pub(super) struct Lowering<'a> {
    pub(super) project: &'a Project,
    pub(super) names: Names,
    pub(super) images: Vec<LoweredImage>,
    /// What steps see without being keyed by it.
    pub(super) step_env: BTreeMap<String, String>,
}

/// A name, and where it is written.
pub(super) struct Named {
    pub(super) name: ImageName,
    pub(super) mark: Mark,
}

/// The names of a section's images.
pub(super) fn names(context: &mut Context<'_>, key: &str, written: &[At<String>]) -> Vec<Named> {
    let mut names = Vec::new();
    for item in written {
        if item.value.is_empty() {
            context.deprecated(Deprecated::Nameless, item.mark);
        }
        match item.value.parse::<ImageName>() {
            Ok(name) => names.push(Named { name, mark: item.mark }),
            Err(error) => {
                let problem = context.error(item.mark, code::IMAGE_NAME, format!("`{key}` {}", error.reason));
                problem.label = Some(format!("is {:?}", super::paths::shortened(&item.value)));
                problem.help = Some("give the image another name".to_owned());
            }
        }
    }
    names
}

impl<'a> Lowering<'a> {
    pub(super) fn new(project: &'a Project, names: Names, commit: &CommitFacts) -> Self {
        let step_env = [
            ("LANG", "C.UTF-8".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("WERF_COMMIT_HASH", commit.hash.clone()),
            ("WERF_COMMIT_TIME_HUMAN", commit.date_human.clone()),
            ("WERF_COMMIT_TIME_UNIX", commit.date_unix.to_string()),
        ];
        let step_env = step_env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { project, names, images: Vec::new(), step_env }
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
        let project = self.project.name.as_ref().map(|name| name.as_str()).unwrap_or_default();
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

/// Images have the mounts of those that they start from.
pub(in crate::config) fn inherit_mounts(images: &mut [LoweredImage]) {
    let specs: BTreeMap<String, ImageSpec> =
        images.iter().filter_map(|image| Some((image.name.as_str().to_owned(), image.spec.clone()?))).collect();
    for spec in images.iter_mut().filter_map(|image| image.spec.as_mut()) {
        let mut inherited = inherited(&specs, spec);
        inherited.retain(|mount| !spec.mounts.iter().any(|own| own.to == mount.to));
        spec.mounts.append(&mut inherited);
    }
}

fn inherited(specs: &BTreeMap<String, ImageSpec>, spec: &ImageSpec) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    let (mut at, mut seen) = (spec, vec![spec.name.clone()]);
    while let Base::Image { name } | Base::Artifact { name } = &at.base {
        let Some(base) = specs.get(name.as_str()).filter(|_| !seen.contains(name)) else { break };
        seen.push(name.clone());
        for mount in &base.mounts {
            if !mounts.iter().any(|known| known.to == mount.to) {
                mounts.push(mount.clone());
            }
        }
        at = base;
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
