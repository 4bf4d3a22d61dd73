//! `from`, `fromDimg`, `fromDimgArtifact`: what a dimg starts from.

use stages::spec::Base;

use super::names::Names;
use crate::config::dapp::schema::DimgSection;
use crate::config::read::At;
use crate::config::reference;
use crate::config::werf::code;
use crate::config::werf::lower::context::{Context, filled};
use crate::config::yaml::Mark;

/// The base, and where it is written; after an error it is `scratch`.
pub(super) fn lower(context: &mut Context<'_>, section: &DimgSection, names: &Names) -> (Base, Option<Mark>) {
    let keys = [
        ("from", filled(&section.from)),
        ("fromDimg", filled(&section.from_dimg)),
        ("fromDimgArtifact", filled(&section.from_dimg_artifact)),
    ];
    let Some((key, field)) = context.exclusive(&keys) else {
        if !section.broken.iter().any(|key| matches!(*key, "from" | "fromDimg" | "fromDimgArtifact")) {
            let mark = section.dimg.as_ref().map(|dimg| dimg.mark);
            let mark = mark.or(section.artifact.as_ref().map(|artifact| artifact.mark)).unwrap_or(section.mark);
            let message = "there is no base";
            context.error(mark, code::REQUIRED, message).help =
                Some("add `from: IMAGE`, `fromDimg: NAME` or `fromDimgArtifact: NAME`".to_owned());
        }
        return (Base::Scratch, None);
    };
    let base = match key {
        "from" => from(context, field),
        "fromDimg" => dimg(context, section, field, names),
        _ => artifact(context, section, field, names),
    };
    (base.unwrap_or(Base::Scratch), Some(field.mark))
}

fn from(context: &mut Context<'_>, field: &At<String>) -> Option<Base> {
    if field.value == "scratch" {
        return Some(Base::Scratch);
    }
    match reference::canonical(&field.value) {
        Ok(reference) => Some(Base::Registry { reference, latest: false }),
        Err(reason) => {
            let message = format!("`from` {reason}");
            context.at_build(field.mark, message).help = Some("name an image of a registry".to_owned());
            None
        }
    }
}

fn dimg(context: &mut Context<'_>, section: &DimgSection, field: &At<String>, names: &Names) -> Option<Base> {
    let own = section.dimg.iter().flat_map(|names| &names.value.0);
    if filled(&section.artifact).is_none() && own.into_iter().any(|name| name.value == field.value) {
        itself(context, "fromDimg", field);
        return None;
    }
    names.find_dimg(context, "fromDimg", field).map(|name| Base::Image { name })
}

fn artifact(context: &mut Context<'_>, section: &DimgSection, field: &At<String>, names: &Names) -> Option<Base> {
    if filled(&section.artifact).is_some_and(|own| own.value == field.value) {
        itself(context, "fromDimgArtifact", field);
        return None;
    }
    names.find_artifact(context, "fromDimgArtifact", field).map(|name| Base::Artifact { name })
}

fn itself(context: &mut Context<'_>, key: &str, field: &At<String>) {
    context.error(field.mark, code::CONFLICT, format!("`{key}` names the document itself")).help =
        Some("name another one".to_owned());
}
