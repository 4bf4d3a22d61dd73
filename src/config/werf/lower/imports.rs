//! `import`: files of other images.

use stages::kind::Slot;
use stages::spec::ImportSource;

use super::context::{Context, filled};
use super::dependencies::{When, when};
use super::exports::{self, Export, Origin};
use super::names::{self, Names};
use super::steps::STAGES;
use super::warnings::Deprecated;
use crate::config::read::At;
use crate::config::reference;
use crate::config::werf::code;
use crate::config::werf::schema::{ImportEntry, Items};
use crate::config::werf::semantics::Verdict;
use crate::config::yaml::Mark;

/// One import.
pub(super) struct Import {
    pub(super) export: Export,
    pub(super) source: ImportSource,
    /// The stage of the source that it takes from; `None` is the last one.
    pub(super) stage: Option<Slot>,
    /// Where the source is named.
    pub(super) mark: Mark,
    pub(super) when: When,
}

pub(super) fn lower(context: &mut Context<'_>, imports: &Option<At<Items<ImportEntry>>>, names: &Names) -> Vec<Import> {
    let entries = imports.as_ref().map(|imports| imports.value.0.as_slice()).unwrap_or_default();
    context.each("import", entries, |context, entry| import(context, entry, names))
}

fn import(context: &mut Context<'_>, entry: &At<ImportEntry>, names: &Names) -> Option<Import> {
    let table = &entry.value;
    let keys = exports::Keys {
        mark: entry.mark,
        broken: &table.broken,
        add: table.add.as_ref(),
        to: filled(&table.to),
        origin: Origin::Import,
        include_paths: &table.include_paths,
        exclude_paths: &table.exclude_paths,
        owner: &table.owner,
        group: &table.group,
    };
    let export = exports::lower(context, &keys);
    let source = source(context, entry, names);
    let when = when(context, entry.mark, &table.broken, &table.before, &table.after);
    let stage = filled(&table.stage).and_then(|field| stage(context, field));
    if let Some(export) = export.as_ref().filter(|export| export.add == "/" && export.include_paths.is_empty()) {
        let mark = table.add.as_ref().map_or(export.mark, |add| add.mark);
        let message = format!("{} is the whole image: say which part of it", context.key("add"));
        context.error(mark, code::REQUIRED, message).help = Some("add `includePaths`".to_owned());
    }
    let (source, mark) = source?;
    Some(Import { export: export?, source, stage, mark, when: when? })
}

fn source(context: &mut Context<'_>, entry: &At<ImportEntry>, names: &Names) -> Option<(ImportSource, Mark)> {
    let ImportEntry { image, from, artifact, broken, .. } = &entry.value;
    let keys = [("from", filled(from)), ("image", filled(image)), ("artifact", filled(artifact))];
    let Some((key, field)) = context.exclusive(&keys) else {
        if !broken.iter().any(|key| matches!(*key, "from" | "image" | "artifact")) {
            let message = format!("`{}` does not say where from", context.reader.path());
            let problem = context.error(entry.mark, code::REQUIRED, message);
            problem.help =
                Some("add `from: NAME`, an image of this config or one of a registry with its tag".to_owned());
        }
        return None;
    };
    match key {
        "image" => context.deprecated(Deprecated::ImportImage, field.mark),
        "artifact" => context.deprecated(Deprecated::Artifact, field.mark),
        _ => {}
    }
    if key != "artifact"
        && let Some(canonical) = reference::with_tag_or_digest(&field.value)
    {
        return Some((ImportSource::External(canonical), field.mark));
    }
    if context.rules.unversioned == Verdict::Refused && !names.has(&field.value) {
        unknown(context, key, field, names);
        return None;
    }
    let name = names::parse(context, key, field)?;
    let source = if names.is_artifact(&name) { ImportSource::Artifact(name) } else { ImportSource::Image(name) };
    Some((source, field.mark))
}

fn unknown(context: &mut Context<'_>, key: &str, field: &At<String>, names: &Names) {
    if field.value != "scratch" {
        return names::check_version(context, key, field, names);
    }
    let message = format!("{} is `scratch`, which holds no files", context.key(key));
    context.error(field.mark, code::VALUE, message).help = Some("import from an image".to_owned());
}

/// A stage of the source in place of its last one. A source that has nothing in it is taken as a whole, as by werf.
fn stage(context: &mut Context<'_>, field: &At<String>) -> Option<Slot> {
    context.deprecated(Deprecated::ImportStage, field.mark);
    if STAGES.contains(&field.value.as_str()) {
        return Some(Slot::new(field.value.clone()));
    }
    let message = format!("{} names no stage that can be imported from", context.key("stage"));
    let problem = context.error(field.mark, code::VALUE, message);
    problem.label = Some(format!("is {:?}", super::paths::shortened(&field.value)));
    problem.help = Some(format!("write one of {}", STAGES.join(", ")));
    None
}
