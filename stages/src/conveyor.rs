//! The conveyor: lays a config out as stages, in the order of slots.
//!
//! The order of slots is data: each dialect lowers its images to a list of places ([`ImageSpec::conveyor`]).
//!
//! Git content is a branch of its own. Each step is keyed by the git files it sees (all mapped ones unless it declares some)
//! and runs on just these, so its parent is the step before it, not the git stage. (Steps of werf and dapp see all files and
//! are keyed by those that they declare.) The first image-post place joins both, and is there for it when the config has none:
//! the image is the base, what came before the git content, the *current* git content, and the layers of the steps stacked
//! over it. So a change in a file that no step is keyed by makes a new git layer, and re-runs nothing.
//!
//! An import may take from an image as it stands after one of its stages. Where git content is beside that stage, a stage of
//! the source joins both, beside the chain too, so that nothing of the source stands on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::digest::{Encoder, Inputs, Value, stage_digest};
use crate::ids::{BlobId, Checksum, CommitId, ImageName, ObjectId, Platform, StageDigest};
use crate::kind::{Slot, StageKind};
use crate::plan::{
    GitPlace, GitView, Plan, PlannedImage, PlannedImport, PlannedStage, PlannedVariable, ResolvedMapping, StageTask,
};
use crate::spec::{
    Base, Command, Content, DockerfileImage, FileView, GitMapping, GitReference, GitSource, ImageAttribute, ImageSpec,
    Import, ImportPlaces, ImportSource, Imports, Mount, MountSource, Network, Owner, Packages, Place, Post, PostRules,
    Project, Removal, Sharing, Step,
};

/// What the conveyor must be told about the world: all of it is a function of the commit, but for
/// [`Facts::base_digest`].
pub trait Facts {
    /// Why a fact can't be had.
    type Error: std::error::Error + 'static;

    /// The root tree of a mapping's repository (the project directory's for the local one).
    fn tree(&self, mapping: &GitMapping) -> Result<ObjectId, Self::Error>;

    /// The checksum of what is selected of a mapping's content.
    fn checksum(&self, mapping: &GitMapping, selection: Selection<'_>) -> Result<Checksum, Self::Error>;

    /// The checksum of a base file's content.
    fn base_file(&self, path: &str) -> Result<Checksum, Self::Error>;

    /// The digest of the manifest that a reference names at present; asked for `fromLatest` only.
    fn base_digest(&self, reference: &str, platform: &Platform) -> Result<BlobId, Self::Error>;
}

/// Which of a mapping's files are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// Those that match one of these patterns, relative to the repository's root.
    FromRoot(&'a [String]),
    /// Those that match one of these patterns, relative to the mapping's `add`.
    FromAdd(&'a [String]),
}

/// A fact that an image needs and that can't be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot plan image `{image}`")]
pub struct ImageError<E: std::error::Error + 'static> {
    /// The image.
    pub image: ImageName,
    /// Why not.
    #[source]
    pub source: E,
}

/// Lays out all images of a project.
///
/// The project is valid: references exist and have no cycle (see [`crate::graph`]).
pub fn lay_out<F: Facts>(project: &Project, commit: CommitId, facts: &F) -> Result<Plan, ImageError<F::Error>> {
    let taken = taken_stages(project);
    let mut images: Vec<PlannedImage> = Vec::new();
    for platform in platforms(project) {
        let mut places = BTreeMap::new();
        for spec in dependency_order(project) {
            if !platforms_of(project, spec).contains(platform) {
                continue;
            }
            let others = Others { images: &images, places: &places, taken: &taken };
            let conveyor = Conveyor { project, spec, platform, facts, others, stages: Vec::new(), head: None };
            let image = conveyor.run().map_err(|source| ImageError { image: spec.name.clone(), source })?;
            places.insert(&spec.name, images.len());
            images.push(image);
        }
    }
    Ok(Plan { project: project.name.clone(), commit, images })
}

/// The stages that imports take from in place of a finished image.
fn taken_stages(project: &Project) -> BTreeSet<(&ImageName, &Slot)> {
    let imports = project.images.iter().flat_map(ImageSpec::imports);
    imports.filter_map(|import| Some((import.source.image()?, import.stage.as_ref()?))).collect()
}

/// The platforms that an image is built for.
fn platforms_of<'a>(project: &'a Project, spec: &'a ImageSpec) -> &'a [Platform] {
    if spec.platforms.is_empty() { &project.platforms } else { &spec.platforms }
}

/// All platforms of a project, the project's own first.
fn platforms(project: &Project) -> Vec<&Platform> {
    let mut all: Vec<&Platform> = project.platforms.iter().collect();
    for platform in project.images.iter().flat_map(|spec| &spec.platforms) {
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    all
}

/// The images so that each one comes after those it is based on or imports from, otherwise as written.
fn dependency_order(project: &Project) -> Vec<&ImageSpec> {
    fn visit<'a>(
        by_name: &BTreeMap<&ImageName, &'a ImageSpec>,
        spec: &'a ImageSpec,
        seen: &mut BTreeSet<&'a ImageName>,
        order: &mut Vec<&'a ImageSpec>,
    ) {
        if !seen.insert(&spec.name) {
            return;
        }
        for name in needed_images(spec) {
            if let Some(needed) = by_name.get(name) {
                visit(by_name, needed, seen, order);
            }
        }
        order.push(spec);
    }
    let by_name = project.images.iter().map(|spec| (&spec.name, spec)).collect();
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for spec in &project.images {
        visit(&by_name, spec, &mut seen, &mut order);
    }
    order
}

fn needed_images(spec: &ImageSpec) -> impl Iterator<Item = &ImageName> {
    let of_dockerfile: &[_] = match &spec.base {
        Base::Dockerfile(dockerfile) => &dockerfile.variables,
        _ => &[],
    };
    let imports = spec.imports().filter_map(|import| import.source.image());
    let variables = spec.variables().chain(of_dockerfile).map(|variable| &variable.image);
    spec.base.image().into_iter().chain(imports).chain(variables)
}

struct Conveyor<'a, F: Facts> {
    project: &'a Project,
    spec: &'a ImageSpec,
    platform: &'a Platform,
    facts: &'a F,
    others: Others<'a>,
    stages: Vec<PlannedStage>,
    /// The last stage of the chain that the next step stands on; git content is beside it.
    head: Option<StageDigest>,
}

/// The images that are planned already, and what imports take of images.
struct Others<'a> {
    images: &'a [PlannedImage],
    /// Where those of the platform are.
    places: &'a BTreeMap<&'a ImageName, usize>,
    taken: &'a BTreeSet<(&'a ImageName, &'a Slot)>,
}

impl<F: Facts> Conveyor<'_, F> {
    fn run(mut self) -> Result<PlannedImage, F::Error> {
        self.base()?;
        let spec = self.spec;
        let (mut git, mut joined) = (None, false);
        for place in &spec.conveyor {
            match &place.content {
                Content::Imports(imports) => self.imports(place, imports),
                Content::Packages(packages) => self.packages(place, packages),
                Content::Git => git = self.git(place)?,
                Content::Step(step) => self.step(place, step, git.as_ref())?,
                Content::Post(post) => {
                    self.post(place, post, git.as_ref().filter(|_| !joined));
                    joined = true;
                }
            }
            if let Some(git) = git.as_ref().filter(|_| !joined && self.is_taken(place)) {
                self.so_far(place, git);
            }
        }
        if git.is_some() && !joined {
            let post = Box::<Post>::default();
            let place = Place::new(StageKind::ImagePost, "image-post", Content::Post(post.clone()));
            self.post(&place, &post, git.as_ref());
        }
        Ok(PlannedImage {
            name: spec.name.clone(),
            artifact: spec.artifact,
            is_final: spec.is_final && !spec.artifact,
            platform: self.platform.clone(),
            stages: self.stages,
            publish_tags: spec.publish_tags.clone(),
            tests: spec.tests.clone(),
        })
    }

    fn base(&mut self) -> Result<(), F::Error> {
        let mut inputs = Inputs::new();
        let cache_version = self.spec.cache_version.as_ref().unwrap_or(&self.project.cache_version);
        if !cache_version.is_empty() {
            inputs.insert("cacheVersion".into(), Value::from(cache_version.as_str()));
        }
        if let Some(version) = &self.spec.from_cache_version {
            inputs.insert("fromCacheVersion".into(), Value::from(version.as_str()));
        }
        let (kind, parent, task) = match &self.spec.base {
            Base::Image { name } => {
                (StageKind::FromImage, self.image_digest(name), StageTask::Image { name: name.clone() })
            }
            Base::Artifact { name } => {
                (StageKind::FromArtifact, self.image_digest(name), StageTask::Image { name: name.clone() })
            }
            Base::Dockerfile(dockerfile) => return self.dockerfile(dockerfile, inputs),
            base => {
                self.base_inputs(base, &mut inputs)?;
                (StageKind::From, None, StageTask::Base { base: base.clone() })
            }
        };
        self.head = parent;
        self.push(kind, Slot::new(kind.name()), inputs, task);
        Ok(())
    }

    fn base_inputs(&self, base: &Base, inputs: &mut Inputs) -> Result<(), F::Error> {
        match base {
            Base::Scratch => {
                inputs.insert("from".into(), Value::from("scratch"));
            }
            Base::Registry { reference, latest } => {
                inputs.insert("from".into(), Value::from(reference.as_str()));
                if *latest {
                    let digest = self.facts.base_digest(reference, self.platform)?;
                    inputs.insert("fromDigest".into(), Value::from(digest.to_string().as_str()));
                }
            }
            Base::File { format, path } => {
                inputs.insert("fromFormat".into(), Value::from(format.prefix()));
                let (file, reference) = format.split(path);
                if let Some(reference) = reference {
                    inputs.insert("fromReference".into(), Value::from(reference));
                }
                let content = self.facts.base_file(file)?;
                inputs.insert("fromContent".into(), Value::from(content.to_string().as_str()));
            }
            Base::Image { .. } | Base::Artifact { .. } | Base::Dockerfile(_) => {}
        }
        Ok(())
    }

    /// One stage for all of a Dockerfile, keyed by its whole context.
    fn dockerfile(&mut self, image: &DockerfileImage, mut inputs: Inputs) -> Result<(), F::Error> {
        for (name, path) in [("context", &image.context), ("dockerfile", &image.dockerfile)] {
            let mapping = GitMapping {
                source: GitSource::Local,
                add: format!("/{path}"),
                to: "/".to_owned(),
                include_paths: Vec::new(),
                exclude_paths: Vec::new(),
                owner: Owner::default(),
                directory_mode: GitMapping::DIRECTORY_MODE,
                required: false,
            };
            let checksum = self.facts.checksum(&mapping, Selection::All)?;
            inputs.insert(name.into(), Value::texts([path.as_str(), &checksum.to_string()]));
        }
        inputs.insert("args".into(), Value::text_map(&image.args));
        inputs.insert("addHosts".into(), Value::texts(&image.add_hosts));
        inputs.insert("contextAddFiles".into(), Value::texts(&image.context_add_files));
        if let Some(target) = &image.target {
            inputs.insert("target".into(), Value::from(target.as_str()));
        }
        let variables = self.planned_variables(&image.variables);
        inputs.insert("variables".into(), Value::List(variables.iter().map(variable_input).collect()));
        let task = StageTask::Dockerfile { image: Box::new(image.clone()), variables };
        self.push(StageKind::Build, Slot::new("dockerfile"), inputs, task);
        Ok(())
    }

    fn packages(&mut self, place: &Place, packages: &Packages) {
        let value = match packages {
            Packages::Any(names) => Value::texts(names),
            Packages::ByManager(lists) => Value::Map(
                lists.iter().map(|(manager, names)| (manager.program().to_owned(), Value::texts(names))).collect(),
            ),
        };
        let mut inputs = Inputs::from([("packages".to_owned(), value)]);
        self.mount_inputs(&mut inputs);
        let task = StageTask::Packages { packages: packages.clone(), mounts: self.spec.mounts.clone() };
        self.push(place.kind, place.slot.clone(), inputs, task);
    }

    /// Plans the git stage beside the chain.
    fn git(&mut self, place: &Place) -> Result<Option<Git>, F::Error> {
        let Some(after) = self.head else { return Ok(None) };
        if self.spec.git.is_empty() {
            return Ok(None);
        }
        let mappings = self
            .spec
            .git
            .iter()
            .map(|mapping| Ok(ResolvedMapping { mapping: mapping.clone(), tree: self.facts.tree(mapping)? }))
            .collect::<Result<Arc<[_]>, F::Error>>()?;
        let all = vec![Selection::All; mappings.len()];
        let inputs = Inputs::from([("git".to_owned(), self.content(&all)?)]);
        let task = StageTask::Git { mappings: Arc::clone(&mappings) };
        self.push(place.kind, place.slot.clone(), inputs, task);
        let stage = self.head.replace(after).expect("the git stage was just pushed");
        Ok(Some(Git { mappings, place: GitPlace { stage, after } }))
    }

    /// The input value for what is selected of each mapping's content.
    fn content(&self, selections: &[Selection<'_>]) -> Result<Value, F::Error> {
        let mapped = self.spec.git.iter().zip(selections).map(|(mapping, selection)| {
            let checksum = self.facts.checksum(mapping, *selection)?;
            let mut map = BTreeMap::from([
                ("to".to_owned(), Value::from(mapping.to.as_str())),
                ("content".to_owned(), Value::from(checksum.to_string().as_str())),
            ]);
            if mapping.directory_mode != GitMapping::DIRECTORY_MODE {
                map.insert("directoryMode".to_owned(), Value::from(i64::from(mapping.directory_mode)));
            }
            owner_inputs(&mapping.owner, &mut map);
            Ok(Value::Map(map))
        });
        Ok(Value::List(mapped.collect::<Result<_, F::Error>>()?))
    }

    fn step(&mut self, place: &Place, step: &Arc<Step>, git: Option<&Git>) -> Result<(), F::Error> {
        let mut inputs = step_inputs(step);
        self.mount_inputs(&mut inputs);
        let view = match git {
            Some(git) => self.view(step, git, &mut inputs)?,
            None => None,
        };
        let task = StageTask::Run { step: Arc::clone(step), mounts: self.spec.mounts.clone(), git: view };
        self.push(place.kind, place.slot.clone(), inputs, task);
        Ok(())
    }

    /// The git files that a step sees; what it is keyed by is added to its inputs.
    fn view(&self, step: &Step, git: &Git, inputs: &mut Inputs) -> Result<Option<GitView>, F::Error> {
        let (name, selections, files) = match &step.files {
            FileView::All => ("files", vec![Selection::All; git.mappings.len()], None),
            FileView::Matching(patterns) if patterns.is_empty() => return Ok(None),
            FileView::Matching(patterns) => {
                ("files", vec![Selection::FromRoot(patterns); git.mappings.len()], Some(patterns.clone()))
            }
            FileView::KeyedBy(patterns) => {
                let selections = patterns.iter().map(|patterns| Selection::FromAdd(patterns)).collect();
                ("stageDependencies", selections, None)
            }
        };
        let keyed = selections.iter().any(|selection| *selection != Selection::FromAdd(&[]));
        let content = if keyed { Some(self.content(&selections)?) } else { None };
        if let FileView::KeyedBy(_) = &step.files {
            // It sees more than it names: what it sees must at least be mapped alike, and be of one project.
            inputs.insert("project".into(), Value::from(self.project.name.as_str()));
            inputs.insert("mappings".into(), in_any_order(self.spec.git.iter().map(mapping_input).collect()));
            inputs.extend(content.map(|content| (name.to_owned(), content)).map(|(name, content)| match content {
                Value::List(list) => (name, in_any_order(list)),
                other => (name, other),
            }));
        } else {
            inputs.extend(content.map(|content| (name.to_owned(), content)));
        }
        Ok(Some(GitView { mappings: Arc::clone(&git.mappings), files, after: git.place.after }))
    }

    fn imports(&mut self, place: &Place, imports: &Imports) {
        let files: Vec<PlannedImport> = imports
            .files
            .iter()
            .map(|import| PlannedImport {
                source: self.import_source(import),
                import: Import { to: self.import_target(import), ..import.clone() },
            })
            .collect();
        let variables = self.planned_variables(&imports.variables);
        if imports.is_empty() {
            return;
        }
        let mut inputs = Inputs::new();
        if !files.is_empty() {
            inputs.insert("imports".into(), Value::List(files.iter().map(import_input).collect()));
        }
        if !variables.is_empty() {
            inputs.insert("variables".into(), Value::List(variables.iter().map(variable_input).collect()));
        }
        self.push(place.kind, place.slot.clone(), inputs, StageTask::Imports { imports: files, variables });
    }

    fn import_source(&self, import: &Import) -> Option<StageDigest> {
        let image = self.image(import.source.image()?)?;
        Some(import.stage.as_ref().map_or_else(|| image.digest(), |stage| image.digest_after(stage)))
    }

    /// Where an import goes. Git content is beside the chain, so that its stage does not see it: where a mapping lies below
    /// `to`, there is a directory.
    fn import_target(&self, import: &Import) -> String {
        let to = import.to.trim_end_matches('/');
        let has_git_below = self
            .spec
            .git
            .iter()
            .any(|mapping| mapping.to.strip_prefix(to).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1));
        match import.places {
            ImportPlaces::Followed if has_git_below => format!("{to}/"),
            _ => import.to.clone(),
        }
    }

    fn planned_variables(&self, variables: &[crate::spec::ImageVariable]) -> Vec<PlannedVariable> {
        let planned = |variable: &crate::spec::ImageVariable| PlannedVariable {
            source: self.image_digest(&variable.image),
            repository: self.project.repository.clone().unwrap_or_else(|| self.project.name.to_string()),
            variable: variable.clone(),
        };
        variables.iter().map(planned).collect()
    }

    fn post(&mut self, place: &Place, post: &Post, git: Option<&Git>) {
        if post.is_empty() && git.is_none() {
            return;
        }
        let mut inputs = post_inputs(post);
        if let Some(git) = git {
            inputs.insert("git".into(), Value::from(git.place.stage.to_string().as_str()));
        }
        let task = StageTask::Post { post: Box::new(post.clone()), git: git.map(|git| git.place) };
        self.push(place.kind, place.slot.clone(), inputs, task);
    }

    fn is_taken(&self, place: &Place) -> bool {
        self.others.taken.contains(&(&self.spec.name, &place.slot))
    }

    /// Joins what is there after a place with the git content, beside the chain.
    fn so_far(&mut self, place: &Place, git: &Git) {
        let head = self.head;
        let post = Box::<Post>::default();
        let slot = place.slot.so_far();
        let place = Place { slot, kind: StageKind::ImagePost, content: Content::Post(post.clone()) };
        self.post(&place, &post, Some(git));
        self.head = head;
    }

    fn push(&mut self, kind: StageKind, slot: Slot, inputs: Inputs, task: StageTask) {
        let parent = self.head;
        let digest = stage_digest(self.platform, kind, &slot, &inputs, parent.as_ref());
        self.stages.push(PlannedStage { slot, kind, digest, parent, inputs, task });
        self.head = Some(digest);
    }

    fn mount_inputs(&self, inputs: &mut Inputs) {
        if !self.spec.mounts.is_empty() {
            inputs.insert("mounts".into(), Value::List(self.spec.mounts.iter().map(mount_input).collect()));
        }
    }

    fn image_digest(&self, name: &ImageName) -> Option<StageDigest> {
        self.image(name).map(PlannedImage::digest)
    }

    fn image(&self, name: &ImageName) -> Option<&PlannedImage> {
        self.others.places.get(name).and_then(|place| self.others.images.get(*place))
    }
}

struct Git {
    mappings: Arc<[ResolvedMapping]>,
    place: GitPlace,
}

fn step_inputs(step: &Step) -> Inputs {
    let command = match &step.command {
        Command::Shell(script) => ("script", Value::from(script.as_str())),
        Command::Exec(argv) => ("argv", Value::texts(argv)),
        Command::Script(commands) => ("commands", Value::texts(commands)),
        Command::Ansible(tasks) => ("tasks", Value::texts(tasks)),
    };
    let mut inputs = Inputs::from([(command.0.to_owned(), command.1)]);
    if !step.env.is_empty() {
        inputs.insert("env".into(), Value::text_map(&step.env));
    }
    for (name, version) in &step.cache_versions {
        inputs.insert(name.clone(), Value::from(version.as_str()));
    }
    if step.network != Network::Default {
        inputs.insert("network".into(), Value::from(step.network.name()));
    }
    if !step.caches.is_empty() {
        let caches = step.caches.iter().map(|cache| {
            Value::Map(BTreeMap::from([
                ("path".to_owned(), Value::from(cache.path.as_str())),
                ("id".to_owned(), Value::from(cache.id.as_str())),
                ("sharing".to_owned(), Value::from(cache.sharing.name())),
            ]))
        });
        inputs.insert("caches".into(), Value::List(caches.collect()));
    }
    // Who names what a step is keyed by has named it all.
    if !step.secrets.is_empty() && !matches!(step.files, FileView::KeyedBy(_)) {
        inputs.insert("secrets".into(), Value::texts(step.secrets.iter().map(|secret| &secret.id)));
    }
    inputs
}

/// How a mapping is written: all of it but the content.
fn mapping_input(mapping: &GitMapping) -> Value {
    let GitMapping { source, add, to, include_paths, exclude_paths, owner, directory_mode: _, required: _ } = mapping;
    let source = match source {
        GitSource::Local => Value::Text(String::new()),
        GitSource::Remote { url, reference } => {
            let (kind, name) = match reference {
                GitReference::Commit(name) => ("commit", name),
                GitReference::Tag(name) => ("tag", name),
                GitReference::Branch(name) => ("branch", name),
            };
            Value::texts([url.as_str(), kind, name])
        }
    };
    let mut map = BTreeMap::from([
        ("source".to_owned(), source),
        ("add".to_owned(), Value::from(add.as_str())),
        ("to".to_owned(), Value::from(to.as_str())),
        ("includePaths".to_owned(), Value::texts(include_paths)),
        ("excludePaths".to_owned(), Value::texts(exclude_paths)),
    ]);
    owner_inputs(owner, &mut map);
    Value::Map(map)
}

/// A list whose order means nothing.
fn in_any_order(mut list: Vec<Value>) -> Value {
    if list.len() < 2 {
        return Value::List(list);
    }
    let mut encoded: Vec<(Vec<u8>, Value)> = list
        .drain(..)
        .map(|value| {
            let mut encoder = Encoder::new("stager order");
            encoder.value(&value);
            (encoder.finish().as_bytes().to_vec(), value)
        })
        .collect();
    encoded.sort_by(|left, right| left.0.cmp(&right.0));
    Value::List(encoded.into_iter().map(|(_, value)| value).collect())
}

fn mount_input(mount: &Mount) -> Value {
    let source = match &mount.source {
        MountSource::Tmp => "tmp",
        MountSource::Run => "run",
        MountSource::Cache => "cache",
        MountSource::Host(_) => "host",
    };
    Value::Map(BTreeMap::from([
        ("to".to_owned(), Value::from(mount.to.as_str())),
        ("from".to_owned(), Value::from(source)),
    ]))
}

fn import_input(planned: &PlannedImport) -> Value {
    // The stage of the source is in the digest that is planned for it.
    let Import { source, stage: _, add, to, include_paths, exclude_paths, owner, required, places } = &planned.import;
    let mut map = BTreeMap::from([
        ("add".to_owned(), Value::from(add.as_str())),
        ("to".to_owned(), Value::from(to.as_str())),
        ("includePaths".to_owned(), Value::texts(include_paths)),
        ("excludePaths".to_owned(), Value::texts(exclude_paths)),
    ]);
    if !required {
        map.insert("required".to_owned(), Value::Bool(false));
    }
    if *places == ImportPlaces::Followed {
        map.insert("places".to_owned(), Value::from("followed"));
    }
    match (source, planned.source) {
        (_, Some(digest)) => map.insert("image".into(), Value::from(digest.to_string().as_str())),
        (ImportSource::External(reference), None) => map.insert("from".into(), Value::from(reference.as_str())),
        (ImportSource::Image(name) | ImportSource::Artifact(name), None) => {
            map.insert("image".into(), Value::from(name.as_str()))
        }
    };
    owner_inputs(owner, &mut map);
    Value::Map(map)
}

/// What enters for a variable: a name or tag is the image's digest itself, not what the image holds, so it is kept out of
/// the second key's way by a prefix. The repository enters where the variable says it: images with other values are others.
fn variable_input(planned: &PlannedVariable) -> Value {
    let digest = planned.source.map_or_else(|| planned.variable.image.to_string(), |digest| digest.to_string());
    let image = match planned.variable.value {
        ImageAttribute::Name | ImageAttribute::Tag => format!("stage:{digest}"),
        ImageAttribute::Repository => String::new(),
        ImageAttribute::ManifestDigest | ImageAttribute::Id => digest,
    };
    let mut map = BTreeMap::from([
        ("name".to_owned(), Value::from(planned.variable.name.as_str())),
        ("value".to_owned(), Value::from(planned.variable.value.name())),
        ("image".to_owned(), Value::from(image.as_str())),
    ]);
    if matches!(planned.variable.value, ImageAttribute::Name | ImageAttribute::Repository) {
        map.insert("repository".to_owned(), Value::from(planned.repository.as_str()));
    }
    Value::Map(map)
}

fn owner_inputs(owner: &Owner, map: &mut BTreeMap<String, Value>) {
    for (key, value) in [("owner", &owner.user), ("group", &owner.group)] {
        if let Some(value) = value {
            map.insert(key.to_owned(), Value::from(value.as_str()));
        }
    }
}

fn post_inputs(post: &Post) -> Inputs {
    let mut inputs = Inputs::new();
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            inputs.insert(key.to_owned(), value);
        }
    };
    let symlinks = post.symlinks.iter().map(|(target, links)| {
        let map = BTreeMap::from([
            ("paths".to_owned(), Value::texts(&links.paths)),
            ("uid".to_owned(), Value::from(i64::from(links.uid))),
            ("gid".to_owned(), Value::from(i64::from(links.gid))),
        ]);
        (target.clone(), Value::Map(map))
    });
    add("symlinks", (!post.symlinks.is_empty()).then(|| Value::Map(symlinks.collect())));
    add("labels", (!post.labels.is_empty()).then(|| Value::text_map(&post.labels)));
    add("env", (!post.env.is_empty()).then(|| Value::text_map(&post.env)));
    add("entrypoint", post.entrypoint.as_ref().map(Value::texts));
    add("cmd", post.cmd.as_ref().map(Value::texts));
    add("workdir", post.workdir.as_deref().map(Value::from));
    add("user", post.user.as_deref().map(Value::from));
    add("stopSignal", post.stop_signal.as_deref().map(Value::from));
    add("volumes", (!post.volumes.is_empty()).then(|| Value::texts(&post.volumes)));
    add("expose", (!post.expose.is_empty()).then(|| Value::texts(&post.expose)));
    add(
        "healthcheck",
        post.healthcheck.as_ref().map(|check| {
            let mut map = BTreeMap::from([("test".to_owned(), Value::texts(&check.test))]);
            let numbers = [
                ("interval", check.interval),
                ("timeout", check.timeout),
                ("startPeriod", check.start_period),
                ("startInterval", check.start_interval),
                ("retries", check.retries),
            ];
            for (key, number) in numbers {
                if let Some(number) = number {
                    map.insert(key.to_owned(), Value::from(number));
                }
            }
            Value::Map(map)
        }),
    );
    add("onBuild", (!post.on_build.is_empty()).then(|| Value::texts(&post.on_build)));
    let has_texts = post.rules != PostRules::Plain && !post.is_empty();
    add("rules", has_texts.then(|| Value::from(post.rules.name())));
    add("author", post.author.as_deref().map(Value::from));
    add("clearHistory", post.clear_history.then_some(Value::Bool(true)));
    add("remove", (post.remove != Removal::default()).then(|| removal_input(&post.remove)));
    inputs
}

fn removal_input(remove: &Removal) -> Value {
    Value::Map(BTreeMap::from([
        ("labels".to_owned(), Value::texts(&remove.labels)),
        ("env".to_owned(), Value::texts(&remove.env)),
        ("volumes".to_owned(), Value::texts(&remove.volumes)),
        ("ports".to_owned(), Value::Bool(remove.ports)),
    ]))
}

impl Network {
    /// The name in configs and digests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

impl Sharing {
    /// The name in configs and digests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        }
    }
}

impl crate::spec::PackageManager {
    /// The name in configs and digests.
    pub fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Apk => "apk",
            Self::Dnf => "dnf",
        }
    }
}
