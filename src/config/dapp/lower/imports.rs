//! `import`: files of artifacts.

use stages::ids::ImageName;
use stages::spec::{self, ImportPlaces, ImportSource, Imports};

use super::names::Names;
use crate::config::dapp::schema::ImportEntry;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::lower::context::{Context, filled};
use crate::config::werf::lower::dependencies::{When, when};
use crate::config::werf::lower::exports::{self, Export, Origin};
use crate::config::werf::schema::Items;
use crate::config::yaml::Mark;

/// One import.
pub(super) struct Import {
    pub(super) export: Export,
    artifact: ImageName,
    /// Where the artifact is named.
    mark: Mark,
    when: When,
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
    let when = when(context, entry.mark, &table.broken, &table.before, &table.after);
    let Some(field) = filled(&table.artifact) else {
        if !table.broken.contains(&"artifact") {
            let message = format!("missing key {}", context.key("artifact"));
            context.error(entry.mark, code::REQUIRED, message).help = Some("add `artifact: NAME`".to_owned());
        }
        return None;
    };
    let artifact = names.find_artifact(context, "artifact", field)?;
    Some(Import { export: export?, artifact, mark: field.mark, when: when? })
}

/// Imports by when they come, with the places of those they are from in the same order.
#[derive(Clone, Default)]
pub(super) struct Taken {
    places: Vec<(When, Imports)>,
    pub(super) marks: Vec<Mark>,
}

impl Taken {
    pub(super) fn of(mut imports: Vec<Import>) -> Self {
        let mut taken = Self::default();
        for when in [When::BeforeInstall, When::AfterInstall, When::BeforeSetup, When::AfterSetup] {
            let mut files = Vec::new();
            for import in imports.extract_if(.., |import| import.when == when) {
                taken.marks.push(import.mark);
                files.push(file(import));
            }
            if !files.is_empty() {
                taken.places.push((when, Imports { files, variables: Vec::new() }));
            }
        }
        taken
    }

    /// What comes at that time.
    pub(super) fn at(&self, when: When) -> Option<Imports> {
        self.places.iter().find(|(known, _)| *known == when).map(|(_, imports)| imports.clone())
    }
}

fn file(import: Import) -> spec::Import {
    let Export { add, to, include_paths, exclude_paths, owner, .. } = import.export;
    let source = ImportSource::Artifact(import.artifact);
    spec::Import {
        source,
        stage: None,
        add,
        to,
        include_paths,
        exclude_paths,
        owner,
        required: false,
        places: ImportPlaces::Followed,
    }
}
