//! `dependencies`: names and digests of other images, given to a build.

use std::collections::BTreeMap;

use super::context::{Context, filled};
use super::warnings::Deprecated;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::{DependencyEntry, DependencyImport, Items};
use crate::config::werf::semantics::Verdict;
use crate::config::yaml::Mark;

/// Where the values of a dependency go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Into {
    /// Variables of a stapel image.
    Environment,
    /// Build arguments of a Dockerfile.
    BuildArguments,
}

/// One dependency.
pub(in crate::config) struct Dependency {
    pub(in crate::config) image: At<String>,
    pub(in crate::config) when: Option<When>,
    pub(in crate::config) values: Vec<Value>,
}

/// When something from another image comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum When {
    BeforeInstall,
    AfterInstall,
    BeforeSetup,
    AfterSetup,
}

/// One value, and the variable or argument it is given as.
pub(in crate::config) struct Value {
    pub(in crate::config) kind: Kind,
    pub(in crate::config) target: At<String>,
}

/// What of the image is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Name,
    Tag,
    Repo,
    Id,
    Digest,
}

const KINDS: [(&str, Kind); 5] = [
    ("ImageName", Kind::Name),
    ("ImageTag", Kind::Tag),
    ("ImageRepo", Kind::Repo),
    ("ImageID", Kind::Id),
    ("ImageDigest", Kind::Digest),
];

pub(in crate::config) fn lower(
    context: &mut Context<'_>,
    dependencies: &Option<At<Items<DependencyEntry>>>,
    into: Into,
) -> Vec<Dependency> {
    let entries = dependencies.as_ref().map(|list| list.value.0.as_slice()).unwrap_or_default();
    let lowered = context.each("dependencies", entries, |context, entry| dependency(context, entry, into));
    unique(context, lowered.iter().flat_map(|dependency| &dependency.values));
    lowered
}

fn dependency(context: &mut Context<'_>, entry: &At<DependencyEntry>, into: Into) -> Option<Dependency> {
    let DependencyEntry { before, after, imports, broken, .. } = &entry.value;
    let imports = imports.as_ref().map(|imports| imports.value.0.as_slice()).unwrap_or_default();
    let values = context.each("imports", imports, |context, entry| value(context, entry, into));
    let image = image(context, entry);
    let when = match into {
        Into::Environment => when(context, entry.mark, broken, before, after),
        Into::BuildArguments => {
            for (key, field) in [("before", before), ("after", after)] {
                if let Some(field) = filled(field) {
                    let message = format!("{} means nothing for an image from a Dockerfile", context.key(key));
                    context.error(field.mark, code::UNSUPPORTED, message).help = Some("leave it out".to_owned());
                }
            }
            None
        }
    };
    Some(Dependency { image: image?, when, values })
}

fn image(context: &mut Context<'_>, entry: &At<DependencyEntry>) -> Option<At<String>> {
    let DependencyEntry { from, image, broken, .. } = &entry.value;
    let named = context.exclusive(&[("from", filled(from)), ("image", filled(image))]);
    let wanted = context.rules.dependency_key;
    match named {
        Some((key, field)) if key != wanted => context.deprecated(Deprecated::DependencyImage, field.mark),
        None if !broken.iter().any(|key| matches!(*key, "from" | "image")) => {
            let message = format!("missing key {}", context.key(wanted));
            context.error(entry.mark, code::REQUIRED, message).help = Some(format!("add `{wanted}: NAME`"));
        }
        _ => {}
    }
    named.map(|(_, field)| field.clone())
}

/// Reads `before` and `after`, of which exactly one has to be there.
pub(in crate::config) fn when(
    context: &mut Context<'_>,
    mark: Mark,
    broken: &[&str],
    before: &Option<At<String>>,
    after: &Option<At<String>>,
) -> Option<When> {
    let Some((key, field)) = context.exclusive(&[("before", filled(before)), ("after", filled(after))]) else {
        if !broken.iter().any(|key| matches!(*key, "before" | "after")) {
            let message = format!("`{}` does not say when", context.reader.path());
            let problem = context.error(mark, code::REQUIRED, message);
            problem.help = Some("add `before` or `after`, with `install` or `setup`".to_owned());
        }
        return None;
    };
    match (key, field.value.as_str()) {
        ("before", "install") => Some(When::BeforeInstall),
        ("before", "setup") => Some(When::BeforeSetup),
        (_, "install") => Some(When::AfterInstall),
        (_, "setup") => Some(When::AfterSetup),
        _ => {
            let message = format!("{} must be `install` or `setup`", context.key(key));
            let problem = context.error(field.mark, code::VALUE, message);
            problem.label = Some(format!("is {:?}", super::paths::shortened(&field.value)));
            problem.help = Some("these are the stages that other images' content goes beside".to_owned());
            None
        }
    }
}

fn value(context: &mut Context<'_>, entry: &At<DependencyImport>, into: Into) -> Option<Value> {
    let DependencyImport { kind, target_env, target_build_arg, broken, .. } = &entry.value;
    let written = kind.as_ref().map(|kind| kind.value.as_str()).unwrap_or_default();
    let gone = (context.rules.image_id == Verdict::Refused).then_some(Kind::Id);
    let kinds = || KINDS.iter().filter(move |(_, kind)| Some(*kind) != gone);
    let kind_known = kinds().find(|(name, _)| *name == written).map(|(_, kind)| *kind);
    if kind_known.is_none() && !broken.contains(&"type") {
        let mark = kind.as_ref().map_or(entry.mark, |kind| kind.mark);
        let message = format!("{} must say what of the image is given", context.key("type"));
        let problem = context.error(mark, code::VALUE, message);
        let names: Vec<&str> = kinds().map(|(name, _)| *name).collect();
        problem.help = Some(format!("write one of {}", names.join(", ")));
    }
    let (env, argument) = (("targetEnv", filled(target_env)), ("targetBuildArg", filled(target_build_arg)));
    let (wanted, other, kind_of_image) = match into {
        Into::Environment => (env, argument, "a stapel image"),
        Into::BuildArguments => (argument, env, "an image from a Dockerfile"),
    };
    if wanted.1.is_none() && !broken.contains(&wanted.0) {
        let message = format!("missing key {}", context.key(wanted.0));
        context.error(entry.mark, code::REQUIRED, message).help = Some(format!("add `{}: NAME`", wanted.0));
    }
    if let Some(field) = other.1 {
        let message = format!("{} means nothing for {kind_of_image}", context.key(other.0));
        context.error(field.mark, code::UNSUPPORTED, message).help = Some(format!("write `{}`", wanted.0));
    }
    if let Some(target) = wanted.1.filter(|target| target.value.contains(['=', '\0'])) {
        let message = format!("{} cannot be the name of a variable", context.key(wanted.0));
        context.at_build(target.mark, message).help = Some("leave out `=`".to_owned());
    }
    Some(Value { kind: kind_known?, target: wanted.1?.clone() })
}

fn unique<'v>(context: &mut Context<'_>, values: impl Iterator<Item = &'v Value>) {
    let mut seen: BTreeMap<&str, Mark> = BTreeMap::new();
    for value in values {
        let name = value.target.value.as_str();
        if let Some(earlier) = seen.insert(name, value.target.mark) {
            let related = context.reader.place(earlier);
            let problem = context.error(value.target.mark, code::CONFLICT, format!("`{name}` is given two values"));
            *problem = problem.clone().related(related, "the first one").help("give one of them another name");
        }
    }
}
