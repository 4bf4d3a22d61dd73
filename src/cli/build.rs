//! `stager build`.

use std::path::PathBuf;
use std::sync::Arc;

use super::arguments::{ProgressArguments, ProjectArguments, RepositoryArguments, write_file};
use super::{CommandError, Context, interrupt};
use crate::builder::native::{self, Entered, Wanted};
use crate::layer::Compression;
use crate::ops::{self, BuildOptions, Built};
use crate::report::{BuildReport, EventSink};
use crate::ui::{Progress, ProgressMode};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Images to build: names or globs, `!glob` leaves some out; all images by default
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    project: ProjectArguments,

    #[command(flatten)]
    repositories: RepositoryArguments,

    #[command(flatten)]
    progress: ProgressArguments,

    /// Write the images to: oci:DIR, oci-archive:FILE, docker-archive:FILE, docker-daemon:REF, rootfs:FILE.tar or
    /// registry:REF; `%image%` and `%platform%` in it stand for the image's name and platform. May be given several times; without it,
    /// those of STAGER_OUTPUT, separated by spaces
    #[arg(long, value_name = "DEST")]
    output: Vec<String>,

    /// How new layers are compressed when they leave this machine
    #[arg(long, value_enum, env = "STAGER_COMPRESSION", default_value = "gzip")]
    compression: CompressionArgument,

    /// How many stages are made at once; the number of cores by default
    #[arg(long, value_name = "N", env = "STAGER_PARALLEL", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: Option<u16>,

    /// What runs the steps
    #[arg(long, value_enum, env = "STAGER_BACKEND", default_value = "native")]
    backend: Backend,

    /// Write a report of all stages to this file, as JSON
    #[arg(long, value_name = "FILE.json", env = "STAGER_REPORT", value_parser = report_path)]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CompressionArgument {
    Gzip,
    Zstd,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Backend {
    /// The embedded builder: no daemon, no root
    Native,
}

fn report_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if extension == "json" => Ok(path),
        _ => Err("the name of the report must end in `.json`".to_owned()),
    }
}

pub(super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let Backend::Native = arguments.backend;
    let options = BuildOptions {
        project: arguments.project.options(context),
        images: arguments.images,
        outputs: outputs(context, arguments.output),
        repositories: arguments.repositories.options(),
        compression: match arguments.compression {
            CompressionArgument::Gzip => Compression::Gzip,
            CompressionArgument::Zstd => Compression::Zstd,
            CompressionArgument::None => Compression::None,
        },
        parallel: arguments.parallel.map_or_else(default_parallel, usize::from),
        store: context.stager_home()?,
        user: context.user,
        now: context.now,
        docker_host: context.variable("DOCKER_HOST").map(str::to_owned),
    };
    let mode = arguments.progress.mode(context);
    match run_here(context, &options, mode)? {
        Built::Done(report) => write_report(context, arguments.report.as_deref(), &report),
        Built::Failed(report, error) => {
            write_report(context, arguments.report.as_deref(), &report)?;
            Err((*error).into())
        }
        // This process has one thread again: the same command line runs in the namespace, from the start.
        Built::NeedsNamespace => match native::enter_user_namespace(Wanted::Best)? {
            Entered::Finished(code) => Err(CommandError::finished(code)),
            Entered::Already(_) => Err(CommandError::usage_text("cannot make user namespaces from within one")),
        },
    }
}

/// Builds in this process. Without the ids to make anything with, this only finds out whether that is needed; what it has to
/// say is then said by the process that does it.
fn run_here(context: &Context, options: &BuildOptions, mode: ProgressMode) -> Result<Built, CommandError> {
    if native::current_mode().is_some() {
        let cancel = interrupt::token()?;
        let progress = Progress::start(mode, context.colours);
        let events: Arc<dyn EventSink> = Arc::new(progress.sink());
        return Ok(ops::build(options, &events, &cancel)?);
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let cancel = interrupt::unheard()?;
    let events: Arc<dyn EventSink> = Arc::new(sender);
    let built = ops::build(options, &events, &cancel);
    drop(events);
    if !matches!(built, Ok(Built::NeedsNamespace)) {
        let progress = Progress::start(mode, context.colours);
        let sink = progress.sink();
        for event in &receiver {
            EventSink::send(&sink, event);
        }
    }
    Ok(built?)
}

/// The outputs of the command line, else those of the environment.
fn outputs(context: &Context, given: Vec<String>) -> Vec<String> {
    if !given.is_empty() {
        return given;
    }
    context.variable("STAGER_OUTPUT").unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn default_parallel() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

fn write_report(context: &Context, path: Option<&std::path::Path>, report: &BuildReport) -> Result<(), CommandError> {
    let Some(path) = path else { return Ok(()) };
    let json =
        serde_json::to_string_pretty(report).map_err(|error| CommandError::usage("cannot write the report", &error))?;
    write_file(context, path, &(json + "\n"))
}
