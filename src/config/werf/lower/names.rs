//! The names of a config's images, and what the texts that could be one of them mean.

use std::collections::BTreeMap;

use stages::ids::ImageName;

use super::context::{Context, filled};
use super::sections::Written;
use crate::config::read::At;
use crate::config::werf::code;

/// The names, and whether each is an artifact's.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, bool>);

impl Names {
    pub(super) fn of(sections: &[Written]) -> Self {
        let mut names = BTreeMap::new();
        for section in sections {
            let (image, artifact) = match section {
                Written::Project(_) => continue,
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

    /// The name that a key holds.
    pub(super) fn parse(&self, context: &mut Context<'_>, key: &str, field: &At<String>) -> Option<ImageName> {
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
}
