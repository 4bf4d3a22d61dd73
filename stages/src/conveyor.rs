//! The conveyor: lays a config out as stages, in the order of slots.
//!
//! The native order is: base, `deps/imports-before-deps`, `deps/packages`, `deps/git`, `deps/<step>`,
//! `deps/imports-after-deps`, `deps/imports-before-build`, `build/<step>`, `deps/imports-after-build`, `image-post`.
//!
//! Git content is a branch of its own. Each step is keyed by the git files it sees (all mapped ones unless it declares some)
//! and runs on just these, so its parent is the step before it, not the git stage. `image-post` joins both: the image is the
//! base, the packages, the *current* git content, and the layers of the steps stacked over it. So a change in a file that
//! no step sees makes a new git layer, and re-runs nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::{Inputs, Value, stage_digest};
use crate::ids::{BlobId, Checksum, CommitId, ImageName, ObjectId, Platform, StageDigest};
use crate::kind::{Slot, StageKind};
use crate::plan::{GitPlace, GitView, Plan, PlannedImage, PlannedImport, PlannedStage, ResolvedMapping, StageTask};
use crate::spec::{
    Base, Command, FileView, GitMapping, ImageSpec, Import, ImportPosition, ImportSource, Mount, MountSource, Network,
    Owner, Packages, Post, Project, Sharing, Step,
};

/// What the conveyor must be told about the world: all of it is a function of the commit, but for
/// [`Facts::base_digest`].
pub trait Facts {
    /// Why a fact can't be had.
    type Error: std::error::Error + 'static;

    /// The root tree of a mapping's repository (the project directory's for the local one).
    fn tree(&self, mapping: &GitMapping) -> Result<ObjectId, Self::Error>;

    /// The checksum of a mapping's content, narrowed to the paths that match `files` when given.
    fn checksum(&self, mapping: &GitMapping, files: Option<&[String]>) -> Result<Checksum, Self::Error>;

    /// The checksum of a base file's content.
    fn base_file(&self, path: &str) -> Result<Checksum, Self::Error>;

    /// The digest of the manifest that a reference names at present; asked for `fromLatest` only.
    fn base_digest(&self, reference: &str, platform: &Platform) -> Result<BlobId, Self::Error>;
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
    let mut images = Vec::new();
    for platform in &project.platforms {
        let mut digests = BTreeMap::new();
        for spec in dependency_order(project) {
            let conveyor =
                Conveyor { project, spec, platform, facts, digests: &digests, stages: Vec::new(), head: None };
            let image = conveyor.run().map_err(|source| ImageError { image: spec.name.clone(), source })?;
            digests.insert(spec.name.clone(), image.digest());
            images.push(image);
        }
    }
    Ok(Plan { project: project.name.clone(), commit, images })
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
    spec.base.image().into_iter().chain(spec.imports.iter().filter_map(|import| import.source.image()))
}

struct Conveyor<'a, F: Facts> {
    project: &'a Project,
    spec: &'a ImageSpec,
    platform: &'a Platform,
    facts: &'a F,
    digests: &'a BTreeMap<ImageName, StageDigest>,
    stages: Vec<PlannedStage>,
    /// The last stage of the chain that the next step stands on; git content is beside it.
    head: Option<StageDigest>,
}

impl<F: Facts> Conveyor<'_, F> {
    fn run(mut self) -> Result<PlannedImage, F::Error> {
        self.base()?;
        self.imports(ImportPosition::BeforeDeps, "deps/imports-before-deps");
        self.packages();
        let git = self.git()?;
        for step in &self.spec.deps {
            self.step(StageKind::Deps, step, git.as_ref())?;
        }
        self.imports(ImportPosition::AfterDeps, "deps/imports-after-deps");
        self.imports(ImportPosition::BeforeBuild, "deps/imports-before-build");
        for step in &self.spec.build {
            self.step(StageKind::Build, step, git.as_ref())?;
        }
        self.imports(ImportPosition::AfterBuild, "deps/imports-after-build");
        self.post(git.as_ref());
        Ok(PlannedImage {
            name: self.spec.name.clone(),
            artifact: self.spec.artifact,
            platform: self.platform.clone(),
            stages: self.stages,
            publish_tags: self.spec.publish_tags.clone(),
            tests: self.spec.tests.clone(),
        })
    }

    fn base(&mut self) -> Result<(), F::Error> {
        let mut inputs = Inputs::new();
        if !self.project.cache_version.is_empty() {
            inputs.insert("cacheVersion".into(), Value::from(self.project.cache_version.as_str()));
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
            Base::Image { .. } | Base::Artifact { .. } => {}
        }
        Ok(())
    }

    fn packages(&mut self) {
        let Some(packages) = &self.spec.packages else { return };
        let value = match packages {
            Packages::Any(names) => Value::texts(names),
            Packages::ByManager(lists) => Value::Map(
                lists.iter().map(|(manager, names)| (manager.program().to_owned(), Value::texts(names))).collect(),
            ),
        };
        let mut inputs = Inputs::from([("packages".to_owned(), value)]);
        self.mount_inputs(&mut inputs);
        let task = StageTask::Packages { packages: packages.clone(), mounts: self.spec.mounts.clone() };
        self.push(StageKind::Deps, Slot::new("deps/packages"), inputs, task);
    }

    /// Plans the git stage beside the chain.
    fn git(&mut self) -> Result<Option<Git>, F::Error> {
        let Some(after) = self.head else { return Ok(None) };
        if self.spec.git.is_empty() {
            return Ok(None);
        }
        let mappings = self
            .spec
            .git
            .iter()
            .map(|mapping| Ok(ResolvedMapping { mapping: mapping.clone(), tree: self.facts.tree(mapping)? }))
            .collect::<Result<Vec<_>, F::Error>>()?;
        let inputs = Inputs::from([("git".to_owned(), self.content(None)?)]);
        let task = StageTask::Git { mappings: mappings.clone() };
        self.push(StageKind::Deps, Slot::new("deps/git"), inputs, task);
        let stage = self.head.replace(after).expect("the git stage was just pushed");
        Ok(Some(Git { mappings, place: GitPlace { stage, after } }))
    }

    /// The input value for the mapped content, or for what `files` selects of it.
    fn content(&self, files: Option<&[String]>) -> Result<Value, F::Error> {
        let mapped = self.spec.git.iter().map(|mapping| {
            let checksum = self.facts.checksum(mapping, files)?;
            let mut map = BTreeMap::from([
                ("to".to_owned(), Value::from(mapping.to.as_str())),
                ("content".to_owned(), Value::from(checksum.to_string().as_str())),
            ]);
            owner_inputs(&mapping.owner, &mut map);
            Ok(Value::Map(map))
        });
        Ok(Value::List(mapped.collect::<Result<_, F::Error>>()?))
    }

    fn step(&mut self, kind: StageKind, step: &Step, git: Option<&Git>) -> Result<(), F::Error> {
        let mut inputs = step_inputs(step);
        self.mount_inputs(&mut inputs);
        let files = match &step.files {
            FileView::All => None,
            FileView::Matching(patterns) => Some(patterns.clone()),
        };
        let view = match git {
            Some(git) if files.as_ref().is_none_or(|files| !files.is_empty()) => {
                inputs.insert("files".into(), self.content(files.as_deref())?);
                Some(GitView { mappings: git.mappings.clone(), files, after: git.place.after })
            }
            _ => None,
        };
        let task = StageTask::Run { step: step.clone(), mounts: self.spec.mounts.clone(), git: view };
        self.push(kind, Slot::new(format!("{}/{}", kind.name(), step.name)), inputs, task);
        Ok(())
    }

    fn imports(&mut self, position: ImportPosition, slot: &str) {
        let imports: Vec<PlannedImport> = self
            .spec
            .imports
            .iter()
            .filter(|import| import.position == position)
            .map(|import| PlannedImport {
                source: import.source.image().and_then(|name| self.image_digest(name)),
                import: import.clone(),
            })
            .collect();
        if imports.is_empty() {
            return;
        }
        let value = Value::List(imports.iter().map(import_input).collect());
        let inputs = Inputs::from([("imports".to_owned(), value)]);
        self.push(StageKind::Deps, Slot::new(slot), inputs, StageTask::Imports { imports });
    }

    fn post(&mut self, git: Option<&Git>) {
        if self.spec.post.is_empty() && git.is_none() {
            return;
        }
        let mut inputs = post_inputs(&self.spec.post);
        if let Some(git) = git {
            inputs.insert("git".into(), Value::from(git.place.stage.to_string().as_str()));
        }
        let task = StageTask::Post { post: self.spec.post.clone(), git: git.map(|git| git.place) };
        self.push(StageKind::ImagePost, Slot::new("image-post"), inputs, task);
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
        self.digests.get(name).copied()
    }
}

struct Git {
    mappings: Vec<ResolvedMapping>,
    place: GitPlace,
}

fn step_inputs(step: &Step) -> Inputs {
    let command = match &step.command {
        Command::Shell(script) => ("script", Value::from(script.as_str())),
        Command::Exec(argv) => ("argv", Value::texts(argv)),
    };
    let mut inputs = Inputs::from([(command.0.to_owned(), command.1)]);
    if !step.env.is_empty() {
        inputs.insert("env".into(), Value::text_map(&step.env));
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
    if !step.secrets.is_empty() {
        inputs.insert("secrets".into(), Value::texts(step.secrets.iter().map(|secret| &secret.id)));
    }
    inputs
}

fn mount_input(mount: &Mount) -> Value {
    let source = match &mount.source {
        MountSource::Tmp => "tmp",
        MountSource::Cache => "cache",
        MountSource::Host(_) => "host",
    };
    Value::Map(BTreeMap::from([
        ("to".to_owned(), Value::from(mount.to.as_str())),
        ("from".to_owned(), Value::from(source)),
    ]))
}

fn import_input(planned: &PlannedImport) -> Value {
    let Import { source, add, to, include_paths, exclude_paths, owner, position: _ } = &planned.import;
    let mut map = BTreeMap::from([
        ("add".to_owned(), Value::from(add.as_str())),
        ("to".to_owned(), Value::from(to.as_str())),
        ("includePaths".to_owned(), Value::texts(include_paths)),
        ("excludePaths".to_owned(), Value::texts(exclude_paths)),
    ]);
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
    inputs
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
