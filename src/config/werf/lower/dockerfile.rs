//! Images from a Dockerfile: what the section says. Reading and building the Dockerfile is another matter.

use std::collections::BTreeMap;

use stages::ids::ImageName;
use stages::kind::StageKind;
use stages::spec::{Base, Content, DockerfileImage, ImageSpec, Place};

use super::context::{Context, filled, listed, owned, texts, values};
use super::dependencies::{self, Dependency, Into};
use super::images::Lowering;
use super::names::{self, Named};
use super::paths;
use super::project::present;
use super::stapel::variables;
use super::warnings::Deprecated;
use super::{image_spec, platforms, secrets};
use crate::config::claim::Claim;
use crate::config::dialect::LoweredImage;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::DockerfileSection;
use crate::config::werf::semantics::Verdict;
use crate::config::yaml::{Content as Yaml, Mark, Node};

pub(super) fn lower(lowering: &mut Lowering<'_>, context: &mut Context<'_>, section: &DockerfileSection) {
    let written = section.image.as_ref().map(|names| names.value.0.as_slice()).unwrap_or_default();
    let named = written.first().map(|name| name.value.clone()).filter(|name| !name.is_empty());
    context.subject = named.unwrap_or_else(|| "~".to_owned());
    let dependencies = dependencies::lower(context, &section.dependencies, Into::BuildArguments);
    let secrets = secrets::lower(context, &section.secrets);
    let mut dockerfile = DockerfileImage { secrets, ..source(context, section, &dependencies) };
    let own_config = present(&section.image_spec).map(|table| image_spec::lower(context, table));
    let mut named: Vec<(ImageName, Mark)> = Vec::new();
    for dependency in &dependencies {
        let Some(name) = names::parse(context, "dependencies", &dependency.image) else { continue };
        dockerfile.variables.extend(variables(dependency, &name));
        named.push((name, dependency.image.mark));
    }
    dockerfile.staged = section.staged.as_ref().map_or(lowering.project.staged, |staged| staged.value);
    let is_final = present(&section.is_final).copied().unwrap_or(true);
    let platforms = platforms::lower(context, listed(&section.platform));
    for Named { name, mark } in names::parse_all(context, "image", written) {
        let config = lowering.image_spec(own_config.clone(), is_final, &name);
        let conveyor = config.map(|post| Place::new(StageKind::ImagePost, "imageSpec", Content::Post(Box::new(post))));
        let spec = ImageSpec {
            artifact: false,
            is_final,
            platforms: platforms.clone(),
            base: Base::Dockerfile(Box::new(dockerfile.clone())),
            cache_version: owned(&section.cache_version),
            from_cache_version: None,
            git: Vec::new(),
            conveyor: conveyor.into_iter().collect(),
            mounts: Vec::new(),
            tests: Vec::new(),
            publish_tags: Vec::new(),
            name: name.clone(),
        };
        lowering.images.push(LoweredImage {
            artifact: false,
            mark,
            base_mark: None,
            import_marks: Vec::new(),
            variable_marks: dependencies.iter().flat_map(|d| d.values.iter().map(|_| d.image.mark)).collect(),
            mentions: named.clone(),
            spec: Some(spec),
            name,
        });
    }
}

/// What there is to build. After an error the paths are those of the project directory.
fn source(context: &mut Context<'_>, section: &DockerfileSection, dependencies: &[Dependency]) -> DockerfileImage {
    let directory = inside(context, "context", filled(&section.context), "relative to the project directory");
    let dockerfile = filled(&section.dockerfile);
    if dockerfile.is_none() && !section.broken.contains(&"dockerfile") {
        let mark = section.dockerfile.as_ref().map_or(section.mark, |field| field.mark);
        let problem = context.error(mark, code::REQUIRED, "`dockerfile` names no file");
        problem.help = Some("write `dockerfile: Dockerfile`".to_owned());
    }
    let beside = context.rules.dockerfile_beside_context == Verdict::Accepted;
    let dockerfile = match dockerfile {
        Some(field) if beside => within_project(context, directory.as_deref().unwrap_or("."), field),
        field => inside(context, "dockerfile", field, "relative to `context`"),
    };
    let args = args(context, section);
    clashes(context, section, dependencies);
    let directory = directory.unwrap_or_else(|| ".".to_owned());
    let context_add_files = context_files(context, section, &directory);
    let joined = paths::clean(&format!("{directory}/{}", dockerfile.unwrap_or_default()));
    DockerfileImage {
        dockerfile: joined,
        context: if directory == "." { String::new() } else { directory },
        context_add_files,
        target: owned(&section.target),
        args,
        add_hosts: values(texts(&section.add_host)),
        network: owned(&section.network),
        ssh: owned(&section.ssh),
        ..DockerfileImage::default()
    }
}

/// A clean path that does not lead out of where it starts; what is not there is the start.
fn inside(context: &mut Context<'_>, key: &str, field: Option<&At<String>>, what: &str) -> Option<String> {
    let Some(field) = field else { return Some(".".to_owned()) };
    if !paths::is_relative(&field.value) {
        let message = format!("{} must be a path {what} that stays inside it", context.key(key));
        let problem = context.error(field.mark, code::PATH, message);
        problem.label = Some(format!("is {:?}", paths::shortened(&field.value)));
        problem.help = Some("write it without a leading `/` or `..`".to_owned());
        return None;
    }
    paths::plain(context, key, field).map(|path| paths::clean(&path))
}

/// A clean path relative to the context, from which it may lead out, but not out of the project.
fn within_project(context: &mut Context<'_>, directory: &str, field: &At<String>) -> Option<String> {
    if field.value.starts_with('/') || !paths::is_relative(&format!("{directory}/{}", field.value)) {
        let message = "`dockerfile` must be a path relative to `context` that stays inside the project directory";
        let problem = context.error(field.mark, code::PATH, message);
        problem.label = Some(format!("is {:?}", paths::shortened(&field.value)));
        problem.help = Some("write it without a leading `/`, and with fewer `..`".to_owned());
        return None;
    }
    paths::plain(context, "dockerfile", field).map(|path| paths::clean(&path))
}

fn context_files(context: &mut Context<'_>, section: &DockerfileSection, directory: &str) -> Vec<String> {
    let (old, new) = (texts(&section.context_add_file), texts(&section.context_add_files));
    if let (Some(old), Some(new), false) =
        (&section.context_add_file, &section.context_add_files, old.is_empty() || new.is_empty())
    {
        let related = context.reader.place(old.mark);
        let message = "`contextAddFiles` and `contextAddFile` exclude each other";
        let problem = context.error(new.mark, code::CONFLICT, message);
        *problem =
            problem.clone().related(related, "the deprecated one").help("move everything into `contextAddFiles`");
    }
    if let Some(old) = old.first() {
        context.deprecated(Deprecated::ContextAddFile, old.mark);
    }
    let (key, files) = if old.is_empty() { ("contextAddFiles", new) } else { ("contextAddFile", old) };
    let lowered = context.each(key, files, |context, file| {
        if !paths::is_relative(&file.value) {
            let message =
                format!("`{}` must be a path relative to `context` that stays inside it", context.reader.path());
            let problem = context.error(file.mark, code::PATH, message);
            problem.label = Some(format!("is {:?}", paths::shortened(&file.value)));
            problem.help = Some("write it without a leading `/` or `..`".to_owned());
            return None;
        }
        Some((paths::clean(&format!("{directory}/{}", file.value)), file.mark))
    });
    for (path, mark) in &lowered {
        context.claim(*mark, Claim::ContextFile { path: path.clone() });
    }
    lowered.into_iter().map(|(path, _)| path).collect()
}

fn args(context: &mut Context<'_>, section: &DockerfileSection) -> BTreeMap<String, String> {
    let pairs = section.args.as_ref().map(|args| args.value.0.as_slice()).unwrap_or_default();
    let mut args = BTreeMap::new();
    for (name, value) in pairs {
        if let Some(text) = single(&value.value.0) {
            args.insert(name.value.clone(), text.to_owned());
            continue;
        }
        let key = context.within(&["args"], None, |context| context.key(&name.value));
        let problem = context.error(value.mark, code::VALUE, format!("{key} must be a single value"));
        problem.help = Some("a build argument is a text".to_owned());
    }
    args
}

fn single(node: &Node) -> Option<&str> {
    match &node.content {
        Yaml::Scalar(scalar) => Some(&scalar.text),
        Yaml::Sequence(_) | Yaml::Mapping(_) => None,
    }
}

/// A build argument has one value: from `args`, or from a dependency.
fn clashes(context: &mut Context<'_>, section: &DockerfileSection, dependencies: &[Dependency]) {
    let pairs = section.args.as_ref().map(|args| args.value.0.as_slice()).unwrap_or_default();
    let written: BTreeMap<&str, Mark> = pairs.iter().map(|(name, _)| (name.value.as_str(), name.mark)).collect();
    for value in dependencies.iter().flat_map(|dependency| &dependency.values) {
        let Some(mark) = written.get(value.target.value.as_str()) else { continue };
        let related = context.reader.place(*mark);
        let message = format!("the build argument `{}` is given two values", value.target.value);
        let problem = context.error(value.target.mark, code::CONFLICT, message);
        *problem = problem.clone().related(related, "the one of `args`").help("leave it out of `args`");
    }
}
