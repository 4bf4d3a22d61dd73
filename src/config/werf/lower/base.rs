//! `from`, `fromImage`, `fromArtifact`: what an image starts from.

use stages::spec::Base;

use super::context::{Context, filled, is_true};
use super::names::{self, Names};
use super::warnings::Deprecated;
use crate::config::claim::Claim;
use crate::config::read::At;
use crate::config::reference;
use crate::config::werf::code;
use crate::config::werf::schema::StapelSection;
use crate::config::werf::semantics::Verdict;
use crate::config::yaml::Mark;

/// Checks the keys of a section, whatever its names.
pub(super) fn check(context: &mut Context<'_>, section: &StapelSection, names: &Names) {
    let StapelSection { from, from_image, from_artifact, broken, .. } = section;
    let (from, from_image, from_artifact) = (filled(from), filled(from_image), filled(from_artifact));
    if let Some(latest) = section.from_latest.as_ref().filter(|latest| latest.value) {
        let reference = from_image.or(from).map(|from| from.value.clone()).unwrap_or_default();
        if reference == "scratch" && context.rules.latest_scratch == Verdict::Refused {
            let problem = context.error(latest.mark, code::CONFLICT, "`fromLatest` means nothing for `scratch`");
            problem.help = Some("leave it out: there is no image to look up".to_owned());
        }
        let image = context.subject.clone();
        context.claim(latest.mark, Claim::FromLatest { image, reference });
    }
    if from.or(from_image).or(from_artifact).is_none() {
        if !broken.iter().any(|key| matches!(*key, "from" | "fromImage" | "fromArtifact")) {
            without_base(context, section);
        }
        return;
    }
    if let Some(field) = from_image {
        context.deprecated(Deprecated::FromImage, field.mark);
    }
    if let (Some(field), Some(from)) = (from_image, from) {
        from_twice(context, from, field);
    } else if let Some((key, field)) =
        from_image.map(|field| ("fromImage", field)).or(from.map(|field| ("from", field)))
        && field.value != "scratch"
    {
        names::check_version(context, key, field, names);
    }
    if let Some(artifact) = from_artifact {
        context.deprecated(Deprecated::Artifact, artifact.mark);
        let other = from_image.map(|field| ("fromImage", Some(field))).or(from.map(|field| ("from", Some(field))));
        if let Some(other) = other {
            context.exclusive(&[other, ("fromArtifact", Some(artifact))]);
        }
    }
}

/// werf finds out of a nameless image only when it builds that there is nothing to start from.
fn without_base(context: &mut Context<'_>, section: &StapelSection) {
    let (mark, message) = (section_mark(section), format!("`{}` has no base", context.subject));
    let named = section.image.as_ref().is_none_or(|names| names.value.0.iter().any(|name| !name.value.is_empty()));
    let problem = if named { context.error(mark, code::REQUIRED, message) } else { context.at_build(mark, message) };
    problem.help = Some("add `from: IMAGE`, an image of a registry or of this config".to_owned());
}

fn from_twice(context: &mut Context<'_>, from: &At<String>, from_image: &At<String>) {
    if context.rules.from_beside_from_image == Verdict::Refused {
        context.exclusive(&[("from", Some(from)), ("fromImage", Some(from_image))]);
    } else {
        let message = "`fromImage` makes `from` meaningless".to_owned();
        context.warnings.add(from.mark, message, "leave one of them out");
    }
}

/// Where a section is named.
pub(super) fn section_mark(section: &StapelSection) -> Mark {
    let image = section.image.as_ref().map(|image| image.mark);
    image.or(section.artifact.as_ref().map(|artifact| artifact.mark)).unwrap_or(section.mark)
}

/// The base of the image of that name, and where it is written. Call [`check`] first; after an error it is `scratch`.
pub(super) fn lower(
    context: &mut Context<'_>,
    section: &StapelSection,
    own_name: &str,
    names: &Names,
) -> (Base, Option<Mark>) {
    let base = if let Some(field) = filled(&section.from_artifact) {
        from_artifact(context, field, own_name, names).map(|base| (base, field.mark))
    } else if let Some(field) = filled(&section.from_image) {
        if field.value == own_name {
            itself(context, "fromImage", field);
        }
        from(context, "fromImage", field, own_name, names).map(|base| (base, field.mark))
    } else {
        filled(&section.from).and_then(|field| Some((from(context, "from", field, own_name, names)?, field.mark)))
    };
    let Some((base, mark)) = base else { return (Base::Scratch, None) };
    (latest(section, base), Some(mark))
}

fn itself(context: &mut Context<'_>, key: &str, field: &At<String>) {
    let problem = context.error(field.mark, code::CONFLICT, format!("`{key}` names the image itself"));
    problem.help = Some("name another image".to_owned());
}

fn from_artifact(context: &mut Context<'_>, field: &At<String>, own_name: &str, names: &Names) -> Option<Base> {
    if field.value == own_name {
        itself(context, "fromArtifact", field);
    }
    let name = names::parse(context, "fromArtifact", field)?;
    Some(if names.has(name.as_str()) && !names.is_artifact(&name) {
        Base::Image { name }
    } else {
        Base::Artifact { name }
    })
}

/// An image of the config when one has the name, else an image of a registry. The own name is never the image itself.
fn from(context: &mut Context<'_>, key: &str, field: &At<String>, own_name: &str, names: &Names) -> Option<Base> {
    if field.value == "scratch" {
        return Some(Base::Scratch);
    }
    if key == "from" && field.value == own_name && context.rules.own_name_as_base == Verdict::Refused {
        itself(context, key, field);
        return None;
    }
    if field.value != own_name && names.has(&field.value) {
        let name = names::parse(context, key, field)?;
        return Some(if names.is_artifact(&name) { Base::Artifact { name } } else { Base::Image { name } });
    }
    if key == "fromImage" && field.value != own_name && context.rules.unversioned == Verdict::Accepted {
        let message = format!("no image of this config is named `{}`: it is taken from a registry", field.value);
        context.warnings.add(field.mark, message, "write `from` for an image of a registry, or correct the name");
    }
    match reference::canonical(&field.value) {
        Ok(reference) => Some(Base::Registry { reference, latest: false }),
        Err(reason) => {
            let message = format!("{} {reason}", context.key(key));
            let problem = context.at_build(field.mark, message);
            problem.help = Some("name an image of this config, or one of a registry".to_owned());
            Some(Base::Scratch)
        }
    }
}

/// `fromLatest` says something about an image of a registry only, and nothing where that is named by a digest.
fn latest(section: &StapelSection, base: Base) -> Base {
    match base {
        Base::Registry { reference, .. } => {
            let latest = is_true(&section.from_latest) && !reference::has_digest(&reference);
            Base::Registry { reference, latest }
        }
        other => other,
    }
}
