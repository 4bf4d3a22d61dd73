//! Documents as written to the project specification.
//!
//! The rules between keys live here: defaults, exclusions, what a value must look like. A document with an error is
//! reported and left out; the others are still lowered, so that one run shows everything that is wrong.

mod base;
mod checks;
mod context;
mod files;
mod post;
mod project;
mod steps;

use std::sync::Arc;

use stages::ids::ImageName;
use stages::kind::StageKind;
use stages::spec::{self, ImageSpec, Imports, Place, Step};

use self::context::Context;
use self::files::{ImportPosition, PlacedImport};
use super::schema::ImageDocument;
use crate::config::dialect::{Lowered, LoweredImage};
use crate::config::read::{FromNode, Reader};
use crate::config::yaml::{Content, Node};
use crate::source::Diagnostic;

/// Lowers the documents of a file.
pub(crate) fn lower(file: &str, documents: &[Node]) -> Lowered {
    let mut lowered = Lowered::default();
    let Some((first, rest)) = documents.split_first() else {
        let problem = Diagnostic::error(format!("`{file}` holds no document"));
        lowered.problems.push(problem.help("start with `stager: 1` and `project: NAME`"));
        return lowered;
    };
    let mut context = Context::new(file);
    lowered.project = project::lower(&mut context, first);
    lowered.problems.append(&mut context.into_problems());
    for document in rest {
        image(file, document, &mut lowered);
    }
    lowered
}

fn image(file: &str, node: &Node, lowered: &mut Lowered) {
    let mut context = Context::new(file);
    let Some(document) = read_image(&mut context.reader, node) else {
        lowered.problems.append(&mut context.into_problems());
        return;
    };
    let Some((name, artifact, mark)) = name(&mut context, &document) else {
        lowered.problems.append(&mut context.into_problems());
        return;
    };
    let kind = if artifact { "artifact" } else { "image" };
    context.subject = name.to_string();
    let (base, base_mark) = base::lower(&mut context, &document);
    let imports = files::imports(&mut context, document.import.as_ref());
    let import_marks = imports.iter().map(|placed| placed.mark).collect();
    let git = files::git(&mut context, document.git.as_ref());
    let spec = ImageSpec {
        name: name.clone(),
        artifact,
        is_final: !artifact,
        platforms: Vec::new(),
        base,
        cache_version: None,
        from_cache_version: document.from_cache_version.as_ref().map(|version| version.value.0.clone()),
        conveyor: conveyor(&mut context, &document, &imports, !git.is_empty()),
        git,
        mounts: files::mounts(&mut context, document.mount.as_ref()),
        tests: checks::tests(&mut context, document.tests.as_ref()),
        publish_tags: post::publish(&mut context, document.publish.as_ref(), artifact),
    };
    lowered.claims.append(&mut context.claims);
    let valid = !context.reader.has_problems();
    let notes = context.into_problems().into_iter().map(|problem| problem.note(format!("in {kind} `{name}`")));
    lowered.problems.extend(notes);
    lowered.images.push(LoweredImage {
        name,
        artifact,
        mark,
        base_mark,
        import_marks,
        variable_marks: Vec::new(),
        mentions: Vec::new(),
        spec: valid.then_some(spec),
    });
}

/// The native order of slots.
fn conveyor(
    context: &mut Context<'_>,
    document: &ImageDocument,
    imports: &[PlacedImport],
    has_git: bool,
) -> Vec<Place> {
    let taken = |position: ImportPosition, slot: &str| {
        let files = imports.iter().filter(|placed| placed.position == position).map(|placed| placed.import.clone());
        let imports = Imports { files: files.collect(), variables: Vec::new() };
        (!imports.is_empty()).then(|| Place::new(StageKind::Deps, slot, spec::Content::Imports(imports)))
    };
    let step = |kind: StageKind, step: Step| {
        Place::new(kind, format!("{}/{}", kind.name(), step.name), spec::Content::Step(Arc::new(step)))
    };
    let mut places = Vec::new();
    places.extend(taken(ImportPosition::BeforeDeps, "deps/imports-before-deps"));
    let packages = steps::packages(context, document.deps.as_ref());
    places.extend(
        packages.map(|packages| Place::new(StageKind::Deps, "deps/packages", spec::Content::Packages(packages))),
    );
    places.extend(has_git.then(|| Place::new(StageKind::Deps, "deps/git", spec::Content::Git)));
    places.extend(steps::deps(context, document.deps.as_ref()).into_iter().map(|made| step(StageKind::Deps, made)));
    places.extend(taken(ImportPosition::AfterDeps, "deps/imports-after-deps"));
    places.extend(taken(ImportPosition::BeforeBuild, "deps/imports-before-build"));
    places.extend(steps::build(context, document.build.as_ref()).into_iter().map(|made| step(StageKind::Build, made)));
    places.extend(taken(ImportPosition::AfterBuild, "deps/imports-after-build"));
    let post = document.post.as_ref().map(|table| post::lower(context, &table.value)).unwrap_or_default();
    places.extend(
        (!post.is_empty()).then(|| Place::new(StageKind::ImagePost, "image-post", spec::Content::Post(Box::new(post)))),
    );
    places
}

/// Reads a document that is not the first one; the project's keys in it get an answer of their own.
fn read_image(reader: &mut Reader<'_>, node: &Node) -> Option<ImageDocument> {
    if let Content::Mapping(entries) = &node.content
        && !entries.iter().any(|entry| matches!(entry.key.as_str(), "image" | "artifact"))
        && let Some(entry) = entries.iter().find(|entry| matches!(entry.key.as_str(), "stager" | "project"))
    {
        let problem = reader.error(entry.mark, "there is more than one project document");
        problem.help =
            Some("the first document is the project, each other one an `image:` or an `artifact:`".to_owned());
        return None;
    }
    ImageDocument::read(node, reader)
}

fn name(context: &mut Context<'_>, document: &ImageDocument) -> Option<(ImageName, bool, crate::config::yaml::Mark)> {
    let (written, artifact) = match (&document.image, &document.artifact) {
        (Some(image), None) => (image, false),
        (None, Some(artifact)) => (artifact, true),
        (Some(image), Some(artifact)) => {
            let related = context.reader.place(image.mark);
            let problem = context.reader.error(artifact.mark, "a document is either an image or an artifact");
            *problem = problem.clone().label("also an artifact").related(related, "an image");
            return None;
        }
        (None, None) => {
            if !document.broken.iter().any(|key| matches!(*key, "image" | "artifact")) {
                let problem = context.reader.error(document.mark, "this document is neither an image nor an artifact");
                problem.help = Some("add `image: NAME` or `artifact: NAME`".to_owned());
            }
            return None;
        }
    };
    let key = if artifact { "artifact" } else { "image" };
    let name = context.checked(key, Some(written), context::image_name)?;
    Some((name, artifact, written.mark))
}
