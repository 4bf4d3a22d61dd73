//! Dimgs and artifacts: a section becomes one image for each of its names.

use stages::kind::StageKind;
use stages::spec::{Content, GitMapping, ImageSpec, Mount, Place, Post};

use super::imports::Taken;
use super::names::{self, Names};
use super::steps::Steps;
use super::{base, docker, git, imports, mounts, steps};
use crate::config::dapp::schema::DimgSection;
use crate::config::dialect::LoweredImage;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::lower::context::{Context, filled, is_true, owned};
use crate::config::werf::lower::dependencies::When;
use crate::config::werf::lower::exports::{self, Export};
use crate::config::werf::lower::project::present;

pub(super) fn lower(context: &mut Context<'_>, section: &DimgSection, names: &Names) -> Vec<LoweredImage> {
    let artifact = filled(&section.artifact);
    let dimgs = section.dimg.as_ref().map(|names| names.value.0.as_slice()).unwrap_or_default();
    let written = artifact.map_or(dimgs, std::slice::from_ref);
    let named = written.first().map(|name| name.value.clone()).filter(|name| !name.is_empty());
    context.subject = named.unwrap_or_else(|| "~".to_owned());
    let parts = Parts::of(context, section, names);
    let (base, base_mark) = base::lower(context, section, names);
    let mut images = Vec::new();
    for At { value, mark } in written {
        let field = At { value: value.clone(), mark: *mark };
        let (key, name) =
            if artifact.is_some() { ("artifact", names.artifact(value)) } else { ("dimg", value.as_str()) };
        let Some(name) = names::parse(context, key, &field, name) else { continue };
        let spec = ImageSpec {
            name: name.clone(),
            artifact: artifact.is_some(),
            is_final: artifact.is_none(),
            platforms: Vec::new(),
            base: base.clone(),
            cache_version: None,
            from_cache_version: owned(&section.from_cache_version),
            git: parts.git.clone(),
            conveyor: parts.conveyor(),
            mounts: parts.mounts.clone(),
            tests: Vec::new(),
            publish_tags: Vec::new(),
        };
        images.push(LoweredImage {
            name,
            artifact: artifact.is_some(),
            mark: *mark,
            base_mark,
            import_marks: parts.taken.marks.clone(),
            variable_marks: Vec::new(),
            mentions: Vec::new(),
            spec: Some(spec),
        });
    }
    images
}

/// What all images of a section have in common.
struct Parts {
    mounts: Vec<Mount>,
    git: Vec<GitMapping>,
    steps: Steps,
    taken: Taken,
    docker: Option<Post>,
    as_layers: bool,
}

impl Parts {
    fn of(context: &mut Context<'_>, section: &DimgSection, names: &Names) -> Self {
        let mounts = mounts::lower(context, &section.mount);
        let mut mappings = git::lower(context, &section.git);
        let steps = steps::lower(context, section, &mappings);
        let mut imported = imports::lower(context, &section.import, names);
        let mut placed: Vec<&mut Export> = mappings.iter_mut().map(|mapping| &mut mapping.export).collect();
        placed.extend(imported.iter_mut().map(|import| &mut import.export));
        exports::exclude_each_other(context, &mut placed);
        let table = present(&section.docker);
        if let Some(table) = table.filter(|_| filled(&section.artifact).is_some()) {
            let message = format!("the artifact `{}` cannot have `docker`", context.subject);
            context.error(table.mark, code::UNSUPPORTED, message).help =
                Some("nobody runs an artifact: give it to the dimg that imports from it".to_owned());
        }
        Self {
            mounts,
            git: mappings.into_iter().map(git::Mapping::into_spec).collect(),
            steps,
            taken: Taken::of(imported),
            docker: table.map(|table| docker::lower(context, table)).filter(|post| !post.is_empty()),
            as_layers: is_true(&section.as_layers),
        }
    }

    /// The stages between the base and the finished image, in dapp's order. Its git patches are no stages here: git content
    /// is that of the commit.
    fn conveyor(&self) -> Vec<Place> {
        let taken = |when: When, slot: &str| {
            let imports = self.taken.at(when);
            imports.map(|imports| Place::new(StageKind::Deps, slot, Content::Imports(imports)))
        };
        let git = (!self.git.is_empty()).then(|| Place::new(StageKind::Deps, "g_a_archive", Content::Git));
        let before_install = taken(When::BeforeInstall, "before_install_artifact");
        let mut places = self.steps.of("beforeInstall");
        if self.as_layers {
            places.extend(git.into_iter().chain(before_install));
        } else {
            places.extend(before_install.into_iter().chain(git));
        }
        places.extend(self.steps.of("install"));
        places.extend(taken(When::AfterInstall, "after_install_artifact"));
        places.extend(self.steps.of("beforeSetup"));
        places.extend(taken(When::BeforeSetup, "before_setup_artifact"));
        places.extend(self.steps.of("setup"));
        places.extend(taken(When::AfterSetup, "after_setup_artifact"));
        places.extend(self.steps.of("buildArtifact"));
        let post = self.docker.clone();
        places.extend(
            post.map(|post| Place::new(StageKind::ImagePost, "docker_instructions", Content::Post(Box::new(post)))),
        );
        places
    }
}
