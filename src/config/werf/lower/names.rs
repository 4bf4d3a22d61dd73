//! The names of a config's images, and what the texts that could be one of them mean.

use std::collections::BTreeMap;

use stages::ids::ImageName;

use super::context::{Context, filled};
use super::sections::Written;
use super::warnings::Deprecated;
use crate::config::read::At;
use crate::config::reference;
use crate::config::werf::code;
use crate::config::werf::semantics::Verdict;
use crate::config::yaml::Mark;
use crate::source::nearest;

/// The names, and whether each is an artifact's.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, bool>);

impl Names {
    pub(super) fn of(sections: &[Written]) -> Self {
        let mut names = BTreeMap::new();
        for section in sections {
            let (image, artifact) = match section {
                Written::Project { .. } => continue,
                Written::Stapel(section) => (&section.image, filled(&section.artifact)),
                Written::Dockerfile(section) => (&section.image, None),
            };
            let written = image.iter().flat_map(|names| &names.value.0);
            names.extend(written.map(|name| (name.value.clone(), false)));
            names.extend(artifact.map(|name| (name.value.clone(), true)));
        }
        Self(names)
    }

    /// Whether an image or artifact of the config has the name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The name that a text could be meant to be.
    fn nearest(&self, text: &str) -> Option<&str> {
        nearest(text, self.0.keys().map(String::as_str))
    }

    pub(super) fn is_artifact(&self, name: &ImageName) -> bool {
        self.0.get(name.as_str()) == Some(&true)
    }
}

/// A name, and where it is written.
pub(super) struct Named {
    pub(super) name: ImageName,
    pub(super) mark: Mark,
}

/// The names of a section's images.
pub(super) fn parse_all(context: &mut Context<'_>, key: &str, written: &[At<String>]) -> Vec<Named> {
    let mut names = Vec::new();
    for item in written {
        match (context.rules.odd_names, item.value.is_empty()) {
            (Verdict::Refused, _) => check_plain(context, key, item),
            (_, true) => context.deprecated(Deprecated::Nameless, item.mark),
            (_, false) => {}
        }
        names.extend(parse(context, key, item).map(|name| Named { name, mark: item.mark }));
    }
    names
}

/// Refuses a name that is not plain, or stands for something else.
fn check_plain(context: &mut Context<'_>, key: &str, field: &At<String>) {
    let Ok(name) = field.value.parse::<ImageName>() else { return };
    let message = match field.value.as_str() {
        "" => "an image without a name is gone in werf v3".to_owned(),
        "scratch" => format!("{} must not be `scratch`, which stands for an empty base", context.key(key)),
        _ if name.is_plain() => return,
        _ => format!("{} {}", context.key(key), ImageName::PLAIN),
    };
    context.error(field.mark, code::IMAGE_NAME, message).help = Some("write `image: NAME`".to_owned());
}

/// Refuses what is no image of the config, and of a registry's images does not say which version, where that is asked for.
pub(super) fn check_version(context: &mut Context<'_>, key: &str, field: &At<String>, names: &Names) {
    if context.rules.unversioned != Verdict::Refused || names.has(&field.value) {
        return;
    }
    let (code, reason) = match reference::canonical(&field.value) {
        Ok(_) if reference::with_tag_or_digest(&field.value).is_some() => return,
        Ok(_) => {
            let reason = "is neither an image of this config, nor one of a registry with a tag or digest";
            (code::UNVERSIONED, reason.to_owned())
        }
        Err(reason) => (code::VALUE, reason),
    };
    let message = format!("{} {reason}", context.key(key));
    let problem = context.error(field.mark, code, message);
    problem.label = Some(format!("is {:?}", super::paths::shortened(&field.value)));
    problem.help = Some(match names.nearest(&field.value) {
        Some(name) => format!("did you mean `{name}`? For an image of a registry, add its tag or digest"),
        None => "name an image of this config, or one of a registry as `NAME:TAG` or `NAME@DIGEST`".to_owned(),
    });
}

/// The name that a key holds.
pub(super) fn parse(context: &mut Context<'_>, key: &str, field: &At<String>) -> Option<ImageName> {
    match field.value.parse::<ImageName>() {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("{} {}", context.key(key), error.reason);
            let problem = context.error(field.mark, code::IMAGE_NAME, message);
            problem.label = Some(format!("is {:?}", super::paths::shortened(&field.value)));
            problem.help = Some("give the image another name".to_owned());
            None
        }
    }
}
