//! The names of dimgs and artifacts. dapp keeps them apart, so that a dimg and an artifact may have one name; stager's images
//! have one set of names, in which such an artifact is called `NAME-artifact`.

use std::collections::{BTreeMap, BTreeSet};

use stages::ids::ImageName;

use crate::config::dapp::schema::DimgSection;
use crate::config::dialect::LoweredImage;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::lower::context::{Context, filled};
use crate::config::werf::lower::paths::shortened;
use crate::source::nearest;

/// What is added to the name of an artifact that a dimg has too.
const SUFFIX: &str = "-artifact";

pub(super) struct Names {
    dimgs: BTreeSet<String>,
    /// By the name as written, the one it has among all images.
    artifacts: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn of(sections: &[DimgSection]) -> Self {
        let named = sections.iter().flat_map(|section| section.dimg.iter().flat_map(|names| &names.value.0));
        let dimgs: BTreeSet<String> = named.map(|name| name.value.clone()).collect();
        let written: BTreeSet<&String> =
            sections.iter().filter_map(|section| Some(&filled(&section.artifact)?.value)).collect();
        let unique = |name: &&String| {
            let mut own = (*name).clone();
            while dimgs.contains(&own) || (own != **name && written.contains(&own)) {
                own.push_str(SUFFIX);
            }
            ((*name).clone(), own)
        };
        let artifacts = written.iter().map(unique).collect();
        Self { dimgs, artifacts }
    }

    /// The name of an artifact among all images.
    pub(super) fn artifact<'n>(&'n self, written: &'n str) -> &'n str {
        self.artifacts.get(written).map_or(written, String::as_str)
    }

    /// The dimg that a key names.
    pub(super) fn find_dimg(&self, context: &mut Context<'_>, key: &str, field: &At<String>) -> Option<ImageName> {
        if self.dimgs.contains(&field.value) {
            return parse(context, key, field, &field.value);
        }
        let instead = self.artifacts.contains_key(&field.value).then(|| match key {
            "fromDimg" => format!("it is an artifact: write `fromDimgArtifact: {}`", field.value),
            _ => "it is an artifact".to_owned(),
        });
        unknown(context, key, field, "dimg", self.dimgs.iter(), instead);
        None
    }

    /// The artifact that a key names.
    pub(super) fn find_artifact(&self, context: &mut Context<'_>, key: &str, field: &At<String>) -> Option<ImageName> {
        if let Some(name) = self.artifacts.get(&field.value) {
            return parse(context, key, field, name);
        }
        let instead = self.dimgs.contains(&field.value).then(|| match key {
            "fromDimgArtifact" => format!("it is a dimg: write `fromDimg: {}`", field.value),
            _ => "it is a dimg, and files are taken from artifacts only: make it an artifact".to_owned(),
        });
        unknown(context, key, field, "artifact", self.artifacts.keys(), instead);
        None
    }
}

fn unknown<'n>(
    context: &mut Context<'_>,
    key: &str,
    field: &At<String>,
    kind: &str,
    known: impl Iterator<Item = &'n String>,
    instead: Option<String>,
) {
    let meant = nearest(&field.value, known.map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
    let message = format!("{} names the {kind} `{}`, which is not there", context.key(key), shortened(&field.value));
    let help = instead.or(meant).unwrap_or_else(|| format!("each {kind} is a document of its own in this file"));
    context.error(field.mark, "image-not-found", message).help = Some(help);
}

/// A name that a person wrote, as the name of an image.
pub(super) fn parse(context: &mut Context<'_>, key: &str, field: &At<String>, name: &str) -> Option<ImageName> {
    match name.parse::<ImageName>() {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("{} {}", context.key(key), error.reason);
            let problem = context.error(field.mark, code::IMAGE_NAME, message);
            problem.label = Some(format!("is {:?}", shortened(&field.value)));
            problem.help = Some("give it another name".to_owned());
            None
        }
    }
}

/// A dimg without a name is the only one.
pub(super) fn check_nameless(context: &mut Context<'_>, images: &[LoweredImage]) {
    let dimgs = || images.iter().filter(|image| !image.artifact);
    let Some(nameless) = dimgs().find(|image| image.name.as_str().is_empty()) else { return };
    let Some(other) = dimgs().find(|image| !image.name.as_str().is_empty()) else { return };
    let related = context.reader.place(other.mark);
    let message = "a dimg without a name has to be the only one";
    let problem = context.error(nameless.mark, code::NAME_CONFLICT, message);
    *problem = problem.clone().related(related, "another one").help("give it a name");
}
