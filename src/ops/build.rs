//! `stager build`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stages::plan::{Plan, PlannedImage, StageTask};
use stages::{ImageName, Platform, StageDigest};

use super::namespace::{domain, ownership};
use super::project::{OpenProject, ProjectOptions};
use super::{Error, select};
use crate::builder::native::{self, Mode, NativeBuilder};
use crate::builder::{Builder, CancelToken};
use crate::execute::{self, Engine, ExportRequest, Exported, Made, Need, Output, RunDirectories, Settings};
use crate::image::write::Destination;
use crate::layer::Compression;
use crate::report::{BuildReport, Event, EventSink, StageReport, StageSource, StageStatus};
use crate::storage::{Home, Index};

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
    let plan = project.plan()?;
    let images = select(&plan, &options.images)?;
    refuse_dockerfiles(&plan, &images)?;
    let outputs = outputs(&options.outputs, &images)?;
    let home = Home::open(&options.store, options.user)?;
    let mut index = Index::open(&home)?;
    let mode = native::current_mode();
    if let Some(mode) = mode {
        execute::bind_store(&home, &mut index, domain(mode))?;
    }
    let need = execute::look(&plan, &images, &home, &index, &project.repository, &project.remotes)?;
    let idle = need.missing() == 0 && outputs.is_empty();
    if !idle && mode.is_none() {
        return Ok(Built::NeedsNamespace);
    }
    events.send(Event::Planned { images: images.len(), stages: need.missing() });
    let run = Run { options, project: &project, plan: &plan, images, home: &home, events, cancel };
    std::thread::scope(|scope| {
        let uncommitted = scope.spawn(|| project.warn_of_mapped(events));
        let result = match mode {
            Some(mode) if !idle => run.make(&mut index, need, mode, &outputs),
            _ => run.reuse(&mut index, &need),
        };
        // Its answer is a warning at most; a look that failed says nothing of the build.
        let _looked = uncommitted.join();
        result
    })
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
    events: &'a Arc<dyn EventSink>,
    cancel: &'a CancelToken,
}

impl Run<'_> {
    /// Everything is there: says so, and notes that it was used.
    fn reuse(&self, index: &mut Index, need: &Need<'_>) -> Result<Built, Error> {
        let stale: Vec<StageDigest> = need
            .found()
            .filter(|record| index.last_used(record).is_ok_and(|used| used.is_some_and(|used| self.is_stale(used))))
            .copied()
            .collect();
        if !stale.is_empty() {
            index.touch_stages(&stale, self.options.now)?;
        }
        Ok(Built::Done(Box::new(self.report(&Progressed::default(), &BTreeMap::new()))))
    }

    /// A use is noted when the last one noted is an hour old: cleanup counts in hours, and a look-up should not write.
    fn is_stale(&self, last_used: i64) -> bool {
        self.options.now - last_used >= 3600
    }

    fn make(&self, index: &mut Index, need: Need<'_>, mode: Mode, outputs: &[Output]) -> Result<Built, Error> {
        self.home.reclaim()?;
        index.reap_leases(is_alive)?;
        let run = format!("{}-{}", std::process::id(), self.options.now);
        let wanted: Vec<StageDigest> =
            self.closure().iter().flat_map(|image| image.stages.iter().map(|stage| stage.digest)).collect();
        index.take_leases(&run, &wanted, self.options.now)?;
        let result = self.make_leased(index, need, mode, outputs);
        empty_trash(self.home);
        // A build's own failure says more than that of dropping its leases, which the next run does as well.
        let dropped = index.drop_leases(&run);
        let built = result?;
        dropped?;
        Ok(built)
    }

    fn make_leased(&self, index: &mut Index, need: Need<'_>, mode: Mode, outputs: &[Output]) -> Result<Built, Error> {
        let builder = NativeBuilder::new(&native::own_program()).map_err(Error::Builder)?;
        if need.missing() > 0 {
            self.events.send(Event::Note { message: builder.describe() });
        }
        let engine = Engine {
            home: self.home,
            builder: &builder,
            registry: &self.project.registry,
            repository: &self.project.repository,
            remotes: &self.project.remotes,
            gate: &self.project.gate,
            events: Arc::clone(self.events),
            cancel: self.cancel,
            run_directories: RunDirectories::default(),
            settings: Settings {
                project: self.plan.project.clone(),
                parallel: self.options.parallel,
                ownership: ownership(mode),
                now: self.options.now,
                lock_deadline: LOCK_DEADLINE,
            },
        };
        let missing: BTreeSet<StageDigest> = need.missing_stages().copied().collect();
        let (made, result) = execute::execute(&engine, need);
        let done = Progressed { made, missing };
        if let Err(error) = result {
            return Ok(Built::Failed(Box::new(self.report(&done, &BTreeMap::new())), Box::new(error.into())));
        }
        match self.export(&engine, index, &done, outputs) {
            Ok(exported) => Ok(Built::Done(Box::new(self.report(&done, &exported)))),
            Err(error) => Ok(Built::Failed(Box::new(self.report(&done, &BTreeMap::new())), Box::new(error))),
        }
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

    fn report(&self, done: &Progressed, exported: &BTreeMap<(ImageName, Platform), Exported>) -> BuildReport {
        let mut report = BuildReport::planned(self.plan);
        let wanted: BTreeSet<_> =
            self.closure().iter().map(|image| (image.name.clone(), image.platform.clone())).collect();
        report.images.retain(|image| wanted.contains(&(image.name.clone(), image.platform.clone())));
        for image in &mut report.images {
            if let Some(exported) = exported.get(&(image.name.clone(), image.platform.clone())) {
                image.manifest = Some(exported.manifest);
                image.tags.clone_from(&exported.references);
            }
            image.stages.iter_mut().for_each(|stage| done.fill(stage));
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
}

impl Progressed {
    /// What became of a stage: one that was not missing was there, and one that was neither made nor there is still planned.
    fn fill(&self, stage: &mut StageReport) {
        match self.made.get(&stage.digest) {
            Some(made) => {
                stage.status = made.status;
                stage.duration_ms = made.duration_ms;
                stage.size = made.size;
            }
            None if self.missing.contains(&stage.digest) => {}
            None => stage.status = StageStatus::Reused,
        }
        stage.source = (stage.status == StageStatus::Reused).then_some(StageSource::Local);
    }
}

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
