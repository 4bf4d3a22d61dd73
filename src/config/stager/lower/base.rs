//! What an image starts from.

use stages::spec::{Base, BaseFormat};

use super::context::{Context, image_name};
use crate::config::claim::Claim;
use crate::config::read::At;
use crate::config::reference;
use crate::config::rules::{Rule, absolute_path, relative_path};
use crate::config::stager::schema::ImageDocument;
use crate::config::yaml::Mark;

/// The base, and where the key that names it is. After an error the base is `scratch`, and the document is left out.
pub(super) fn lower(context: &mut Context<'_>, document: &ImageDocument) -> (Base, Option<Mark>) {
    let mark = |field: &Option<At<String>>| field.as_ref().map(|field| field.mark);
    let keys = [
        ("from", mark(&document.from)),
        ("fromImage", mark(&document.from_image)),
        ("fromArtifact", mark(&document.from_artifact)),
    ];
    let Some(key) = context.exclusive(&keys) else {
        if !keys.iter().any(|(key, _)| document.broken.contains(key)) {
            let at = document.image.as_ref().or(document.artifact.as_ref()).map_or(document.mark, |name| name.mark);
            let problem = context.reader.error(at, format!("`{}` has no base", context.subject));
            problem.help = Some("add exactly one of `from`, `fromImage` and `fromArtifact`".to_owned());
        }
        return (Base::Scratch, None);
    };
    let base = match key {
        "from" => context.checked("from", document.from.as_ref(), from),
        "fromImage" => {
            context.checked("fromImage", document.from_image.as_ref(), image_name).map(|name| Base::Image { name })
        }
        _ => context
            .checked("fromArtifact", document.from_artifact.as_ref(), image_name)
            .map(|name| Base::Artifact { name }),
    };
    let mark = keys.iter().find(|(name, _)| *name == key).and_then(|(_, mark)| *mark);
    let base = latest(context, document, base.unwrap_or(Base::Scratch));
    if let (Base::File { path, .. }, Some(mark)) = (&base, mark) {
        context.claim(mark, Claim::BaseFile { path: path.clone() });
    }
    (base, mark)
}

fn from(text: &str) -> Rule<Base> {
    const FORMATS: [BaseFormat; 4] =
        [BaseFormat::Oci, BaseFormat::OciArchive, BaseFormat::DockerArchive, BaseFormat::Rootfs];
    if text == "scratch" {
        return Ok(Base::Scratch);
    }
    let file = text.split_once(':').and_then(|(prefix, path)| {
        FORMATS.into_iter().find(|format| format.prefix() == prefix).map(|format| (format, path))
    });
    match file {
        Some((format, path)) => {
            let path = if path.starts_with('/') { absolute_path(path) } else { relative_path(path) };
            path.map(|path| Base::File { format, path }).map_err(|reason| format!("has a path that {reason}"))
        }
        None => reference::canonical(text).map(|reference| Base::Registry { reference, latest: false }),
    }
}

/// Applies `fromLatest`.
fn latest(context: &mut Context<'_>, document: &ImageDocument, base: Base) -> Base {
    let Some(field) = document.from_latest.as_ref().filter(|field| field.value) else { return base };
    match base {
        Base::Registry { reference, .. } if !reference::has_digest(&reference) => {
            let claim = Claim::FromLatest { image: context.subject.clone(), reference: reference.clone() };
            context.claim(field.mark, claim);
            Base::Registry { reference, latest: true }
        }
        Base::Registry { .. } => {
            context.reader.error(field.mark, "`fromLatest` has nothing to look up: `from` names a digest");
            base
        }
        _ => {
            if document.from.is_some() || document.broken.is_empty() {
                context.reader.error(field.mark, "`fromLatest` goes with `from` and an image of a registry only");
            }
            base
        }
    }
}
