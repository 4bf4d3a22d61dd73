//! The names of a config's images, and what the texts that could be one of them mean.

use std::collections::BTreeMap;

use stages::ids::ImageName;

use super::context::{Context, filled};
use super::sections::Written;
use super::warnings::Deprecated;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::yaml::Mark;

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
        if item.value.is_empty() {
            context.deprecated(Deprecated::Nameless, item.mark);
        }
        names.extend(parse(context, key, item).map(|name| Named { name, mark: item.mark }));
    }
    names
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
