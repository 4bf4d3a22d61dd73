//! `mount`.

use std::collections::BTreeMap;

use stages::spec::{Mount, MountSource};

use super::context::{Context, filled};
use super::paths;
use crate::config::claim::Claim;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::{Items, MountEntry};
use crate::config::yaml::Mark;

pub(in crate::config) fn lower(context: &mut Context<'_>, mounts: &Option<At<Items<MountEntry>>>) -> Vec<Mount> {
    let entries = mounts.as_ref().map(|mounts| mounts.value.0.as_slice()).unwrap_or_default();
    let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
    context.each("mount", entries, |context, entry| {
        let mount = mount(context, entry)?;
        if let Some(earlier) = seen.insert(mount.to.clone(), entry.mark) {
            let related = context.reader.place(earlier);
            let problem = context.error(entry.mark, code::CONFLICT, format!("two mounts are at `{}`", mount.to));
            *problem = problem.clone().related(related, "first here").help("leave one of them out");
        }
        Some(mount)
    })
}

/// The source comes first: what giterminism refuses is refused whatever else is wrong.
fn mount(context: &mut Context<'_>, entry: &At<MountEntry>) -> Option<Mount> {
    let MountEntry { to, from, from_path, broken, .. } = &entry.value;
    let (from, from_path) = (filled(from), filled(from_path));
    let source = match (from_path, from) {
        (Some(path), _) => host(context, path),
        (None, Some(from)) => named(context, from, filled(to)),
        (None, None) => None,
    };
    context.exclusive(&[("from", from), ("fromPath", from_path)]);
    let target = filled(to).map(|to| paths::absolute(context, "to", to));
    if target.is_none() && !broken.contains(&"to") {
        let message = format!("missing key {}", context.key("to"));
        context.error(entry.mark, code::PATH, message).help = Some("add `to: /PATH`".to_owned());
    }
    let readable = !broken.iter().any(|key| matches!(*key, "from" | "fromPath"));
    if from.or(from_path).is_none() && readable {
        no_source(context, entry.mark);
    }
    Some(Mount { to: target??, source: source? })
}

fn host(context: &mut Context<'_>, path: &At<String>) -> Option<MountSource> {
    let checked = paths::plain(context, "fromPath", path)?;
    context.claim(path.mark, Claim::HostMount { path: checked.clone() });
    Some(MountSource::Host(checked))
}

fn named(context: &mut Context<'_>, from: &At<String>, to: Option<&At<String>>) -> Option<MountSource> {
    match from.value.as_str() {
        "tmp_dir" => Some(MountSource::Run),
        "build_dir" => {
            context.claim(from.mark, Claim::BuildDirMount { to: to.map(|to| to.value.clone()).unwrap_or_default() });
            Some(MountSource::Cache)
        }
        // The name that a mount with `fromPath` has inside werf.
        "custom_dir" => {
            no_source(context, from.mark);
            None
        }
        _ => {
            let message = format!("{} must be `tmp_dir` or `build_dir`", context.key("from"));
            let problem = context.error(from.mark, code::VALUE, message);
            problem.help = Some("a path of the host goes into `fromPath`".to_owned());
            None
        }
    }
}

fn no_source(context: &mut Context<'_>, mark: Mark) {
    let message = format!("`{}` has no source", context.reader.path());
    let problem = context.error(mark, code::PATH, message);
    problem.help = Some("add `from: tmp_dir`, `from: build_dir` or `fromPath: PATH`".to_owned());
}
