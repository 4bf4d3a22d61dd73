//! `stager build`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stages::plan::{Plan, PlannedImage, StageTask};
use stages::{ImageName, Platform, StageDigest};

use super::namespace::{domain, ownership};
use super::project::{OpenProject, ProjectOptions};
use super::promotion::{Promotion, Tags, promote, promotions};
use super::repositories::Repositories;
use super::{Error, select};
use crate::builder::native::{self, Mode, NativeBuilder};
use crate::builder::{Builder, CancelToken};
use crate::execute::{
    self, Engine, ExportRequest, Exported, LostBlob, Made, Need, Output, RunDirectories, Search, Settings, Standing,
};
use crate::image::spec::Descriptor;
use crate::image::write::Destination;
use crate::layer::Compression;
use crate::report::{BuildReport, Event, EventSink, StageReport, StageSource, StageStatus, with_causes};
use crate::storage::{self, CommitImage, CommitImages, Home, Index, Roles};

/// A stage that another stager makes is waited for this long.
const LOCK_DEADLINE: Duration = Duration::from_secs(3 * 3600);

/// What to build, and how.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Which project.
    pub project: ProjectOptions,
    /// Names and globs of images; empty for all.
    pub images: Vec<String>,
    /// `--output` texts; `%image%` stands for the image's name.
    pub outputs: Vec<String>,
    /// Stage storages in registries.
    pub repositories: Repositories,
    /// How new layers are compressed when they leave.
    pub compression: Compression,
    /// How many stages are made at once.
    pub parallel: usize,
    /// The store's root directory.
    pub store: PathBuf,
    /// The user that the store must belong to.
    pub user: u32,
    /// Seconds since 1970.
    pub now: i64,
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
}

/// What came of a build.
#[derive(Debug)]
pub enum Built {
    /// All is there.
    Done(Box<BuildReport>),
    /// Something failed; the report says how far it came.
    Failed(Box<BuildReport>, Box<Error>),
    /// Something must be made, and this process has no ids to make it with: to be called again from within a user
    /// namespace.
    NeedsNamespace,
}

/// Builds images of a project.
pub fn build(options: &BuildOptions, events: &Arc<dyn EventSink>, cancel: &CancelToken) -> Result<Built, Error> {
    let project = OpenProject::open(&options.project, &options.store, cancel, events)?;
    let plan = project.plan(options.repositories.main.as_ref())?;
    let images = select(&plan, &options.images)?;
    refuse_dockerfiles(&plan, &images)?;
    let outputs = outputs(&options.outputs, &images)?;
    let roles = options.repositories.open(&project.registry);
    let mut promotions = promotions(&images, &roles)?;
    for promotion in &mut promotions {
        hold_back(promotion, &project, &**events);
    }
    let home = Home::open(&options.store, options.user)?;
    let run = Run { options, project: &project, plan: &plan, images, home: &home, roles: &roles, events, cancel };
    std::thread::scope(|scope| {
        // Its answer is a warning at most; a look that failed says nothing of the build.
        let mut uncommitted = None;
        let mut look = || _ = uncommitted.get_or_insert_with(|| scope.spawn(|| project.warn_of_mapped(events)));
        run.until_nothing_is_lost(&outputs, &promotions, &mut look)
    })
}

/// Keeps publish tags from an image whose config names platforms that this build is not for.
fn hold_back(promotion: &mut Promotion, project: &OpenProject, events: &dyn EventSink) {
    let missing = promotion.hold_back(project.declared_platforms(&promotion.image));
    if !missing.is_empty() {
        let missing: Vec<String> = missing.into_iter().map(ToString::to_string).collect();
        let (image, missing) = (&promotion.image, missing.join(", "));
        let message = format!(
            "the publish tags of image `{image}` are held back: its config names {missing} as well, which this build is \
             not for; `stager publish-index` joins the platforms when all are built"
        );
        events.send(Event::Note { message });
    }
}

/// Texts of `--output` as destinations. `%image%` in one makes it one destination for each image, `%platform%` (as
/// `linux-amd64`) one for each platform.
fn outputs(texts: &[String], images: &[&PlannedImage]) -> Result<Vec<Output>, Error> {
    let mut outputs: Vec<Output> = Vec::new();
    for text in texts {
        let first = outputs.len();
        for (at, image) in images.iter().enumerate() {
            let filled = text
                .replace("%image%", &image.name.in_paths())
                .replace("%platform%", &image.platform.to_string().replace('/', "-"));
            match outputs[first..].iter_mut().find(|output| output.text == filled) {
                Some(output) => output.images.push(at),
                None => {
                    outputs.push(Output { destination: Destination::parse(&filled)?, text: filled, images: vec![at] });
                }
            }
        }
        for output in &outputs[first..] {
            check_images(output, images)?;
        }
    }
    Ok(outputs)
}

/// Whether a destination can hold the images that go there.
fn check_images(output: &Output, images: &[&PlannedImage]) -> Result<(), Error> {
    let chosen: Vec<&PlannedImage> = output.images.iter().map(|&at| images[at]).collect();
    let names: BTreeSet<&ImageName> = chosen.iter().map(|image| &image.name).collect();
    let one_name = Error::OutputForOne { output: output.text.clone(), images: names.len() };
    let one_platform = Error::OutputForOnePlatform { output: output.text.clone() };
    match &output.destination {
        Destination::OciDirectory { tag, .. } | Destination::OciArchive { tag, .. } => {
            if names.len() > 1 && tag.is_some() { Err(one_name) } else { Ok(()) }
        }
        _ if names.len() < chosen.len() => Err(one_platform),
        Destination::DockerArchive { reference: None, .. } => Ok(()),
        _ if names.len() > 1 => Err(one_name),
        _ => Ok(()),
    }
}

struct Run<'a> {
    options: &'a BuildOptions,
    project: &'a OpenProject,
    plan: &'a Plan,
    images: Vec<&'a PlannedImage>,
    home: &'a Home,
    roles: &'a Roles,
    events: &'a Arc<dyn EventSink>,
    cancel: &'a CancelToken,
}

/// What a run sets out from.
struct Start<'s> {
    mode: Mode,
    outputs: &'s [Output],
    promotions: &'s [Promotion],
    search: Search<'s>,
}

impl Run<'_> {
    /// Builds; what a registry turns out not to have is made again, and the build goes on from there.
    fn until_nothing_is_lost(
        &self,
        outputs: &[Output],
        promotions: &[Promotion],
        on_build: &mut dyn FnMut(),
    ) -> Result<Built, Error> {
        let mut index = Index::open(self.home)?;
        let mode = native::current_mode();
        if let Some(mode) = mode {
            execute::bind_store(self.home, &mut index, domain(mode))?;
        }
        let mut lost = BTreeSet::new();
        loop {
            let built = self.attempt(&mut index, mode, &lost, outputs, promotions, on_build)?;
            let blob = match &built {
                Built::Failed(_, error) => error.lost_blob(),
                Built::Done(_) | Built::NeedsNamespace => None,
            };
            match (blob, &built) {
                (Some(blob), Built::Failed(_, error)) if lost.len() < MAX_LOST && lost.insert(blob.clone()) => {
                    index.forget_blob(&blob.blob)?;
                    let message = format!("{}; what needs it is made again", with_causes(error));
                    self.events.send(Event::Warning { message });
                }
                _ => return Ok(built),
            }
        }
    }

    fn attempt(
        &self,
        index: &mut Index,
        mode: Option<Mode>,
        lost: &BTreeSet<LostBlob>,
        outputs: &[Output],
        promotions: &[Promotion],
        on_build: &mut dyn FnMut(),
    ) -> Result<Built, Error> {
        let search = Search {
            home: self.home,
            repository: &self.project.repository,
            remotes: &self.project.remotes,
            roles: self.roles,
            records: !outputs.is_empty(),
            lost,
            now: self.options.now,
            events: &**self.events,
        };
        let need = execute::look(&search, index, self.plan, &self.images)?;
        let idle = need.is_met() && outputs.is_empty();
        match mode {
            None if !idle => return Ok(Built::NeedsNamespace),
            _ => self.events.send(Event::Planned { images: self.images.len(), stages: need.missing() }),
        }
        on_build();
        match mode {
            Some(mode) if !idle => self.make(index, need, Start { mode, outputs, promotions, search }),
            _ => self.reuse(index, &need, promotions),
        }
    }

    /// Everything is there: says so, and notes that it was used.
    fn reuse(&self, index: &mut Index, need: &Need<'_>, promotions: &[Promotion]) -> Result<Built, Error> {
        let stale: Vec<StageDigest> = need
            .found()
            .filter(|record| index.last_used(record).is_ok_and(|used| used.is_some_and(|used| self.is_stale(used))))
            .copied()
            .collect();
        if !stale.is_empty() {
            index.touch_stages(&stale, self.options.now)?;
        }
        let mut done = Progressed::of(need);
        let promoted = self.promote(promotions, &done);
        Ok(self.ended(&mut done, promoted))
    }

    /// Notes what this commit gave, and gives the images their names.
    fn promote(&self, promotions: &[Promotion], done: &Progressed) -> Result<Tags, Error> {
        // What --dev builds is of no commit.
        if let (Some(main), false) = (&self.roles.main, self.options.project.mode.is_dev()) {
            let image = |image: &&PlannedImage| CommitImage {
                name: image.name.clone(),
                platform: image.platform.clone(),
                digest: image.digest(),
            };
            let images = CommitImages {
                project: self.plan.project.clone(),
                commit: self.plan.commit.clone(),
                built: self.options.now,
                images: self.images.iter().map(image).collect(),
            };
            let reference = main.repository().to_string();
            main.note_commit(&images).map_err(|source| Error::Publish { reference, source })?;
        }
        promote(promotions, self.roles, &done.published)
    }

    /// The end of a run that made all it had to.
    fn ended(&self, done: &mut Progressed, promoted: Result<Tags, Error>) -> Built {
        match promoted {
            Ok(tags) => {
                done.tags = tags;
                Built::Done(Box::new(self.report(done)))
            }
            Err(error) => Built::Failed(Box::new(self.report(done)), Box::new(error)),
        }
    }

    /// A use is noted when the last one noted is an hour old: cleanup counts in hours, and a look-up should not write.
    fn is_stale(&self, last_used: i64) -> bool {
        self.options.now - last_used >= 3600
    }

    fn make(&self, index: &mut Index, need: Need<'_>, start: Start<'_>) -> Result<Built, Error> {
        self.home.reclaim()?;
        index.reap_leases(is_alive)?;
        let run = format!("{}-{}", std::process::id(), self.options.now);
        index.take_leases(&run, &self.stages(), self.options.now)?;
        let result = self.make_leased(index, need, start);
        empty_trash(self.home);
        // A build's own failure says more than that of dropping its leases, which the next run does as well.
        let dropped = index.drop_leases(&run);
        let built = result?;
        dropped?;
        Ok(built)
    }

    fn make_leased(&self, index: &mut Index, need: Need<'_>, start: Start<'_>) -> Result<Built, Error> {
        let builder = NativeBuilder::new(&native::own_program()).map_err(Error::Builder)?;
        if need.missing() > 0 {
            self.events.send(Event::Note { message: builder.describe() });
        }
        let engine = Engine {
            home: self.home,
            builder: &builder,
            registry: &self.project.registry,
            roles: self.roles,
            damaged: need.damaged().clone(),
            lost: start.search.lost,
            repository: &self.project.repository,
            remotes: &self.project.remotes,
            gate: &self.project.gate,
            events: Arc::clone(self.events),
            cancel: self.cancel,
            run_directories: RunDirectories::default(),
            settings: Settings {
                run: fs_err::read_to_string("/proc/sys/kernel/random/uuid")
                    .map_err(storage::Error::Io)?
                    .trim()
                    .to_owned(),
                leased: self.stages(),
                project: self.plan.project.clone(),
                parallel: self.options.parallel,
                ownership: ownership(start.mode),
                compression: self.options.compression,
                now: self.options.now,
                started: Instant::now(),
                lock_deadline: LOCK_DEADLINE,
            },
        };
        let standing = self.standing(&start.search, index, &need)?;
        let mut done = Progressed::of(&need);
        let outcome = execute::execute(&engine, need, standing);
        done.made = outcome.made;
        done.published = outcome.published;
        if let Err(error) = outcome.result {
            return Ok(Built::Failed(Box::new(self.report(&done)), Box::new(error.into())));
        }
        match self.export(&engine, index, &done, start.outputs) {
            Ok(exported) => done.exported = exported,
            Err(error) => return Ok(Built::Failed(Box::new(self.report(&done)), Box::new(error))),
        }
        let promoted = self.promote(start.promotions, &done);
        Ok(self.ended(&mut done, promoted))
    }

    /// Records that are here and may not be in the storages that are written: of images that the main one lacks, and what came
    /// from others, or from the main one past the caches.
    fn standing<'n>(&'n self, search: &Search<'_>, index: &Index, need: &Need<'_>) -> Result<Standing<'n>, Error> {
        let mut standing = Standing::default();
        for image in self.closure() {
            let whole = need.is_unpublished(image);
            for stage in &image.stages {
                let record = match need.found_elsewhere(&stage.digest) {
                    Some(record) => Some(record.clone()),
                    None if whole => search.record(index, &stage.digest)?,
                    None => None,
                };
                match record {
                    Some(record) => standing.elsewhere.push((image, record)),
                    None if self.roles.cache.is_empty() => {}
                    None => {
                        let behind = need.found_behind_caches(&stage.digest);
                        standing.behind.extend(behind.map(|record| (image, record.clone())));
                    }
                }
            }
        }
        Ok(standing)
    }

    fn export(
        &self,
        engine: &Engine<'_>,
        index: &Index,
        done: &Progressed,
        outputs: &[Output],
    ) -> Result<BTreeMap<(ImageName, Platform), Exported>, Error> {
        if outputs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut images = Vec::new();
        for image in &self.images {
            let record = match done.made.get(&image.digest()) {
                Some(made) => Arc::clone(&made.record),
                None => Arc::new(index.stage(&image.digest())?.ok_or(Error::Vanished { image: image.name.clone() })?),
            };
            images.push((*image, record));
        }
        let request = ExportRequest {
            images,
            outputs,
            compression: self.options.compression,
            docker_host: self.options.docker_host.as_deref(),
        };
        Ok(execute::export(engine, &request)?)
    }

    fn closure(&self) -> Vec<&PlannedImage> {
        closure(self.plan, &self.images)
    }

    /// All stages that the images are of.
    fn stages(&self) -> Vec<StageDigest> {
        self.closure().iter().flat_map(|image| image.stages.iter().map(|stage| stage.digest)).collect()
    }

    fn report(&self, done: &Progressed) -> BuildReport {
        let mut report = BuildReport::planned(self.plan);
        let wanted: BTreeSet<_> =
            self.closure().iter().map(|image| (image.name.clone(), image.platform.clone())).collect();
        let reached = reached(self.plan, &self.images);
        report.images.retain(|image| wanted.contains(&(image.name.clone(), image.platform.clone())));
        for image in &mut report.images {
            let key = (image.name.clone(), image.platform.clone());
            image.manifest = done.published.get(&image.digest).map(|manifest| manifest.digest);
            image.tags = done.tags.get(&key).cloned().unwrap_or_default();
            if let Some(exported) = done.exported.get(&key) {
                image.manifest = image.manifest.or(Some(exported.manifest));
                image.tags.extend(exported.references.iter().cloned());
            }
            image.stages.iter_mut().for_each(|stage| done.fill(stage, reached.contains(&stage.digest)));
        }
        report
    }
}

/// The images asked for and those they need, in the plan's order.
fn closure<'a>(plan: &'a Plan, images: &[&'a PlannedImage]) -> Vec<&'a PlannedImage> {
    let mut wanted: BTreeSet<(&ImageName, &Platform)> = BTreeSet::new();
    let mut pending: Vec<&PlannedImage> = images.to_vec();
    while let Some(image) = pending.pop() {
        if wanted.insert((&image.name, &image.platform)) {
            pending.extend(image.needed_images().filter_map(|name| plan.image(name, &image.platform)));
        }
    }
    plan.images.iter().filter(|image| wanted.contains(&(&image.name, &image.platform))).collect()
}

/// The stages that images stand on or take from, whether they had to be looked at or not.
fn reached(plan: &Plan, images: &[&PlannedImage]) -> BTreeSet<StageDigest> {
    let mut reached: BTreeSet<StageDigest> = images.iter().map(|image| image.digest()).collect();
    // Each stage is planned after those that it needs.
    for stage in plan.images.iter().rev().flat_map(|image| image.stages.iter().rev()) {
        if reached.contains(&stage.digest) {
            reached.extend(stage.needs());
        }
    }
    reached
}

/// Says before any work which images need a Dockerfile to be built.
fn refuse_dockerfiles(plan: &Plan, images: &[&PlannedImage]) -> Result<(), Error> {
    let is_dockerfile =
        |image: &&PlannedImage| image.stages.iter().any(|stage| matches!(stage.task, StageTask::Dockerfile { .. }));
    let named: Vec<ImageName> =
        closure(plan, images).into_iter().filter(is_dockerfile).map(|image| image.name.clone()).collect();
    if named.is_empty() { Ok(()) } else { Err(Error::Dockerfile { images: named }) }
}

fn is_alive(pid: i64) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// How far a build came.
#[derive(Default)]
struct Progressed {
    made: BTreeMap<StageDigest, Made>,
    /// Stages that were not there when it began.
    missing: BTreeSet<StageDigest>,
    /// Where those were that came from a registry.
    sources: BTreeMap<StageDigest, StageSource>,
    /// Manifests in the main storage.
    published: BTreeMap<StageDigest, Descriptor>,
    exported: BTreeMap<(ImageName, Platform), Exported>,
    /// What images are called in registries.
    tags: Tags,
}

impl Progressed {
    /// What is known before anything is made.
    fn of(need: &Need<'_>) -> Self {
        Self {
            missing: need.missing_stages().copied().collect(),
            sources: need.sources().clone(),
            published: need.published().clone(),
            ..Self::default()
        }
    }

    /// What became of a stage: one that was not missing was there, and one that was neither made nor there, or that nothing
    /// asked for, is still planned.
    fn fill(&self, stage: &mut StageReport, is_reached: bool) {
        match self.made.get(&stage.digest) {
            Some(made) => {
                stage.status = made.status;
                stage.duration_ms = made.duration_ms;
                stage.size = made.size;
            }
            None if self.missing.contains(&stage.digest) || !is_reached => {}
            None => stage.status = StageStatus::Reused,
        }
        let source = self.sources.get(&stage.digest).copied().unwrap_or(StageSource::Local);
        stage.source = (stage.status == StageStatus::Reused).then_some(source);
    }
}

/// How many blobs may be lost before a build gives up on its registries.
const MAX_LOST: usize = 16;

/// Deletes what was moved to the trash, for a second at the most: what is left is for a later run. This comes after the work,
/// as file systems are slow to create files right after they deleted many.
fn empty_trash(home: &Home) {
    let Ok(trash) = home.trash() else { return };
    if trash.is_empty() {
        return;
    }
    let (sender, emptied) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        for path in trash {
            let _left = native::remove_tree(&path);
        }
        drop(sender);
    });
    let _timed_out = emptied.recv_timeout(Duration::from_secs(1));
}
