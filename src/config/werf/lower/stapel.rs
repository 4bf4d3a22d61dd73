//! Stapel images and artifacts: a section becomes one image for each of its names.

use std::sync::Arc;

use stages::ids::ImageName;
use stages::kind::StageKind;
use stages::spec::{
    Content, GitMapping, ImageAttribute, ImageSpec, ImageVariable, Import, ImportPlaces, Imports, Mount, Place, Post,
    Step,
};

use super::context::{Context, filled, listed, owned};
use super::dependencies::{self, Dependency, Into, Kind, When};
use super::exports::{self, Export};
use super::images::Lowering;
use super::imports;
use super::names::{self, Named};
use super::project::present;
use super::steps::{STAGES, Steps};
use super::warnings::Deprecated;
use super::{base, docker, git, image_spec, mounts, platforms, secrets, steps};
use crate::config::dialect::LoweredImage;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::StapelSection;
use crate::config::yaml::Mark;

pub(super) fn lower(lowering: &mut Lowering<'_>, context: &mut Context<'_>, section: &StapelSection) {
    let artifact = filled(&section.artifact);
    let written = section.image.as_ref().map(|names| names.value.0.as_slice()).unwrap_or_default();
    let key = if artifact.is_some() { "artifact" } else { "image" };
    let written = artifact.map_or(written, std::slice::from_ref);
    let named = written.first().map(|name| name.value.clone()).filter(|name| !name.is_empty());
    context.subject = named.unwrap_or_else(|| "~".to_owned());
    let parts = parts(lowering, context, section, artifact);
    for Named { name, mark } in names::parse_all(context, key, written) {
        let (base, base_mark) = base::lower(context, section, name.as_str(), &lowering.names);
        let spec = ImageSpec {
            artifact: artifact.is_some(),
            is_final: parts.is_final,
            platforms: platforms_of(context, section),
            base,
            cache_version: owned(&section.cache_version),
            from_cache_version: owned(&section.from_cache_version),
            git: parts.git.clone(),
            conveyor: parts.conveyor(lowering, &name),
            mounts: parts.mounts.clone(),
            tests: Vec::new(),
            publish_tags: Vec::new(),
            name: name.clone(),
        };
        lowering.images.push(LoweredImage {
            artifact: artifact.is_some(),
            mark,
            base_mark,
            import_marks: parts.import_marks.clone(),
            variable_marks: parts.variable_marks.clone(),
            mentions: parts.mentions.clone(),
            spec: Some(spec),
            name,
        });
    }
}

fn platforms_of(context: &mut Context<'_>, section: &StapelSection) -> Vec<stages::ids::Platform> {
    platforms::lower(context, listed(&section.platform))
}

/// What all images of a section have in common.
struct Parts {
    is_final: bool,
    mounts: Vec<Mount>,
    git: Vec<GitMapping>,
    steps: Steps,
    /// What comes from other images, by when it does.
    taken: Vec<(When, Imports)>,
    import_marks: Vec<Mark>,
    variable_marks: Vec<Mark>,
    /// Other images that are named without anything being taken from them.
    mentions: Vec<(ImageName, Mark)>,
    docker: Option<Post>,
    image_spec: Option<Post>,
}

/// Lowers the keys in the order that werf checks them in.
fn parts(
    lowering: &Lowering<'_>,
    context: &mut Context<'_>,
    section: &StapelSection,
    artifact: Option<&At<String>>,
) -> Parts {
    let mounts = mounts::lower(context, &section.mount);
    let mut mappings = git::lower(context, &section.git);
    let mut steps = steps::lower(context, section, &mappings, &lowering.step_env);
    let mut imported = imports::lower(context, &section.import, &lowering.names);
    let mut placed: Vec<&mut Export> = mappings.iter_mut().map(|mapping| &mut mapping.export).collect();
    placed.extend(imported.iter_mut().map(|import| &mut import.export));
    exports::exclude_each_other(context, &mut placed);
    let dependencies = dependencies::lower(context, &section.dependencies, Into::Environment);
    steps.give(&secrets::lower(context, &section.secrets));
    base::check(context, section, &lowering.names);
    let (docker, image_spec) = config(context, section);
    if let Some(artifact) = artifact {
        unsupported(context, section, artifact);
    }
    deprecations(context, section, artifact);
    let mut taken = Taken::default();
    taken.add(context, imported, &dependencies);
    Parts {
        is_final: artifact.is_none() && present(&section.is_final).copied().unwrap_or(true),
        mounts,
        git: mappings.into_iter().map(git::Mapping::into_spec).collect(),
        steps,
        taken: taken.places,
        import_marks: taken.import_marks,
        variable_marks: taken.variable_marks,
        mentions: taken.mentions,
        docker,
        image_spec,
    }
}

fn config(context: &mut Context<'_>, section: &StapelSection) -> (Option<Post>, Option<Post>) {
    let (docker, image_spec) = (present(&section.docker), present(&section.image_spec));
    if let (Some(docker), Some(image_spec)) = (docker, image_spec)
        && filled(&section.artifact).is_none()
    {
        let related = context.reader.place(image_spec.mark);
        let message = "`docker` and `imageSpec` exclude each other";
        let problem = context.error(docker.mark, code::CONFLICT, message);
        *problem = problem.clone().related(related, "`imageSpec` is here").help("write all of it as `imageSpec`");
    }
    (docker.map(|table| docker::lower(context, table)), image_spec.map(|table| image_spec::lower(context, table)))
}

/// What an artifact cannot have.
fn unsupported(context: &mut Context<'_>, section: &StapelSection, artifact: &At<String>) {
    let patch = section.disable_git_after_patch.as_ref().filter(|field| field.value).map(|field| field.mark);
    let keys = [
        ("dependencies", section.dependencies.as_ref().filter(|list| !list.value.0.is_empty()).map(|list| list.mark)),
        ("docker", present(&section.docker).map(|table| table.mark)),
        ("final", section.is_final.as_ref().filter(|field| field.value.0.is_some()).map(|field| field.mark)),
        ("disableGitAfterPatch", patch),
    ];
    for (key, mark) in keys.into_iter().filter_map(|(key, mark)| Some((key, mark?))) {
        let message = format!("the artifact `{}` cannot have `{key}`", artifact.value);
        context.error(mark, code::UNSUPPORTED, message).help =
            Some("make it an `image` with `final: false`".to_owned());
    }
}

fn deprecations(context: &mut Context<'_>, section: &StapelSection, artifact: Option<&At<String>>) {
    let docker = present(&section.docker).map(|table| table.mark);
    let ansible = present(&section.ansible).map(|table| table.mark);
    let marks = [
        (Deprecated::Artifact, artifact.map(|artifact| artifact.mark)),
        (Deprecated::Docker, docker),
        (Deprecated::Ansible, ansible),
    ];
    for (kind, mark) in marks.into_iter().filter_map(|(kind, mark)| Some((kind, mark?))) {
        context.deprecated(kind, mark);
    }
}

/// What an image takes from others, gathered by when it does, with the places where the others are named.
#[derive(Default)]
struct Taken {
    places: Vec<(When, Imports)>,
    import_marks: Vec<Mark>,
    variable_marks: Vec<Mark>,
    mentions: Vec<(ImageName, Mark)>,
}

impl Taken {
    fn add(&mut self, context: &mut Context<'_>, imported: Vec<imports::Import>, dependencies: &[Dependency]) {
        let dependencies: Vec<(&Dependency, ImageName)> = dependencies
            .iter()
            .filter_map(|dependency| Some((dependency, names::parse(context, "dependencies", &dependency.image)?)))
            .collect();
        for (dependency, name) in &dependencies {
            self.mentions.push((name.clone(), dependency.image.mark));
        }
        let mut imported = imported;
        for when in [When::BeforeInstall, When::AfterInstall, When::BeforeSetup, When::AfterSetup] {
            let mut imports = Imports::default();
            for import in imported.extract_if(.., |import| import.when == when) {
                self.import_marks.push(import.mark);
                imports.files.push(file(import));
            }
            for (dependency, name) in dependencies.iter().filter(|(dependency, _)| dependency.when == Some(when)) {
                self.variable_marks.extend(dependency.values.iter().map(|_| dependency.image.mark));
                imports.variables.extend(variables(dependency, name));
            }
            if !imports.is_empty() {
                self.places.push((when, imports));
            }
        }
    }
}

fn file(import: imports::Import) -> Import {
    let Export { add, to, include_paths, exclude_paths, owner, .. } = import.export;
    let places = ImportPlaces::Followed;
    let imports::Import { source, stage, .. } = import;
    Import { source, stage, add, to, include_paths, exclude_paths, owner, required: false, places }
}

/// The variables of a dependency.
pub(super) fn variables(dependency: &Dependency, image: &ImageName) -> Vec<ImageVariable> {
    let attribute = |kind: Kind| match kind {
        Kind::Name => ImageAttribute::Name,
        Kind::Tag => ImageAttribute::Tag,
        Kind::Repo => ImageAttribute::Repository,
        Kind::Id => ImageAttribute::Id,
        Kind::Digest => ImageAttribute::ManifestDigest,
    };
    let variable = |value: &dependencies::Value| ImageVariable {
        name: value.target.value.clone(),
        image: image.clone(),
        value: attribute(value.kind),
    };
    dependency.values.iter().map(variable).collect()
}

impl Parts {
    /// The stages between the base and the finished image, in werf's order.
    fn conveyor(&self, lowering: &Lowering<'_>, name: &ImageName) -> Vec<Place> {
        let taken = |when: When, slot: &str| {
            let imports = self.taken.iter().find(|(known, _)| *known == when).map(|(_, imports)| imports.clone());
            imports.map(|imports| Place::new(StageKind::Deps, slot, Content::Imports(imports)))
        };
        let [before_install, install, before_setup, setup] = STAGES;
        let mut places = Vec::new();
        places.extend(self.step(before_install));
        places.extend(taken(When::BeforeInstall, "dependenciesBeforeInstall"));
        places.extend((!self.git.is_empty()).then(|| Place::new(StageKind::Deps, "gitArchive", Content::Git)));
        places.extend(self.step(install));
        places.extend(taken(When::AfterInstall, "dependenciesAfterInstall"));
        places.extend(self.step(before_setup));
        places.extend(taken(When::BeforeSetup, "dependenciesBeforeSetup"));
        places.extend(self.step(setup));
        places.extend(taken(When::AfterSetup, "dependenciesAfterSetup"));
        let docker = self.docker.clone().map(|post| ("dockerInstructions", post));
        let image_spec = lowering.image_spec(self.image_spec.clone(), self.is_final, name);
        let config = docker.into_iter().chain(image_spec.map(|post| ("imageSpec", post)));
        places.extend(config.map(|(slot, post)| Place::new(StageKind::ImagePost, slot, Content::Post(Box::new(post)))));
        places
    }

    fn step(&self, stage: &'static str) -> Option<Place> {
        let step: Step = self.steps.of(stage)?.clone();
        Some(Place::new(StageKind::Build, stage, Content::Step(Arc::new(step))))
    }
}
