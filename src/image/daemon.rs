//! Loading images into a Docker Engine (or podman's service, which speaks the same).
//!
//! The one place of this module that waits for another program, and the one that is asynchronous inside: bollard on a
//! current-thread runtime, behind a blocking call. The archive is made by a thread of its own and handed over in chunks,
//! so it is never held as a whole; an archive that fails half-way fails the request instead of looking complete.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::write::{DockerImage, WriteError, docker_archive_to};

/// The engine's address when none is given.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long an engine may take to answer the first request.
const CONNECT_SECONDS: u64 = 10;
/// bollard bounds whole requests; ours are bounded by progress, so its bound is out of the way.
const REQUEST_SECONDS: u64 = 7 * 24 * 3600;
/// How often a wait looks at the clock and at cancellation.
const TICK: Duration = Duration::from_millis(100);
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks between the archive's thread and the request.
const CHUNKS_AHEAD: usize = 8;

/// How to reach the engine, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct DaemonOptions<'a> {
    /// `DOCKER_HOST`: `unix://…`, `tcp://…` or `http://…`; [`DEFAULT_HOST`] when not given.
    pub host: Option<&'a str>,
    /// The longest time without any progress, of the upload or of the engine's answer.
    pub idle: Duration,
    /// Becomes true when the user has had enough.
    pub cancelled: &'a AtomicBool,
}

/// An engine that didn't take the images.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// An address that isn't supported.
    #[error("unsupported docker host {host:?}: only unix://, tcp:// and http:// are known")]
    Host {
        /// As given.
        host: String,
    },
    /// No engine answers.
    #[error("no docker engine answers at {host}")]
    Connect {
        /// Where it was looked for.
        host: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine says no.
    #[error("the docker engine at {host} refused the image: {message}")]
    Refused {
        /// Which engine.
        host: String,
        /// In its own words.
        message: String,
    },
    /// The connection broke.
    #[error("lost the docker engine at {host}")]
    Lost {
        /// Which engine.
        host: String,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The images themselves can't be read.
    #[error("cannot make the archive for the docker engine")]
    Archive(#[source] Box<WriteError>),
    /// Nothing happened for too long.
    #[error("the docker engine at {host} made no progress for {seconds} s")]
    Stalled {
        /// Which engine.
        host: String,
        /// The bound.
        seconds: u64,
    },
    /// The user has had enough.
    #[error("loading into the docker engine was interrupted")]
    Cancelled,
    /// The machine can't run it.
    #[error("cannot start the docker client")]
    Runtime(#[source] io::Error),
}

/// Loads the images into the engine. Returns what it said of them, such as `Loaded image: app:latest`.
pub fn load_into_daemon(
    images: &[DockerImage],
    epoch: u64,
    options: &DaemonOptions<'_>,
) -> Result<Vec<String>, DaemonError> {
    load_archive(options, |output| docker_archive_to(output, images, epoch))
}

/// Loads a docker archive that `write` produces.
pub fn load_archive(
    options: &DaemonOptions<'_>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), WriteError> + Send,
) -> Result<Vec<String>, DaemonError> {
    let host = options.host.filter(|host| !host.is_empty()).unwrap_or(DEFAULT_HOST);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DaemonError::Runtime)?;
    let docker = runtime.block_on(connect(host))?;
    let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
    std::thread::scope(|scope| {
        let producer = scope.spawn(move || produce(sender, write));
        let answer = runtime.block_on(upload(&docker, host, receiver, options));
        // the connection's task may still hold the receiver, and with it the producer
        runtime.shutdown_background();
        match (answer, producer.join()) {
            (_, Err(panic)) => std::panic::resume_unwind(panic),
            // a broken stream only says that the engine stopped listening: its own words matter
            (Ok(said), Ok(Err(WriteError::Stream(source)))) if said.is_empty() => {
                Err(DaemonError::Lost { host: host.to_owned(), source: Box::new(source) })
            }
            (Err(error), Ok(Err(WriteError::Stream(_)) | Ok(()))) => Err(error),
            (Err(DaemonError::Cancelled), _) => Err(DaemonError::Cancelled),
            (Ok(said), Ok(Ok(()) | Err(WriteError::Stream(_)))) => Ok(said),
            (_, Ok(Err(error))) => Err(DaemonError::Archive(Box::new(error))),
        }
    })
}

async fn connect(host: &str) -> Result<Docker, DaemonError> {
    let version = bollard::API_DEFAULT_VERSION;
    let docker = match host.split_once("://") {
        Some(("unix", _)) => Docker::connect_with_unix(host, REQUEST_SECONDS, version),
        Some(("tcp" | "http", _)) => Docker::connect_with_http(host, REQUEST_SECONDS, version),
        _ => return Err(DaemonError::Host { host: host.to_owned() }),
    };
    let failed = |source| DaemonError::Connect { host: host.to_owned(), source };
    let docker = docker.map_err(|error| failed(Box::new(error)))?;
    let negotiation = tokio::time::timeout(Duration::from_secs(CONNECT_SECONDS), docker.negotiate_version());
    match negotiation.await {
        Ok(Ok(docker)) => Ok(docker),
        Ok(Err(error)) => Err(failed(Box::new(error))),
        Err(_) => Err(failed(format!("no answer within {CONNECT_SECONDS} s").into())),
    }
}

/// What goes from the archive's thread to the request.
enum Chunk {
    Data(Bytes),
    /// Without it, the archive isn't complete.
    End,
}

fn produce(
    sender: SyncSender<Chunk>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut output = io::BufWriter::with_capacity(CHUNK_BYTES, ChunkWriter(sender));
    write(&mut output)?;
    let ChunkWriter(sender) = output.into_inner().map_err(|error| WriteError::Stream(error.into_error()))?;
    sender.send(Chunk::End).map_err(|_| WriteError::Stream(io::ErrorKind::BrokenPipe.into()))
}

struct ChunkWriter(SyncSender<Chunk>);

impl Write for ChunkWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let chunk = Chunk::Data(Bytes::copy_from_slice(buffer));
        self.0.send(chunk).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The chunks as a request body; `sent` becomes true with each one.
fn body(
    receiver: Receiver<Chunk>,
    sent: std::sync::Arc<AtomicBool>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let receiver = std::sync::Mutex::new(Some(receiver));
    futures_util::stream::poll_fn(move |context| {
        use std::task::Poll;
        let mut receiver = receiver.lock().expect("only this closure locks it");
        let Some(chunks) = receiver.as_ref() else { return Poll::Ready(None) };
        // waits a moment at most, so that the timers of this one thread keep running
        match chunks.recv_timeout(TICK) {
            Ok(Chunk::Data(bytes)) => {
                sent.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Ok(bytes)))
            }
            Ok(Chunk::End) => {
                *receiver = None;
                Poll::Ready(None)
            }
            Err(RecvTimeoutError::Timeout) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(RecvTimeoutError::Disconnected) => {
                *receiver = None;
                Poll::Ready(Some(Err(io::Error::other("the archive is incomplete"))))
            }
        }
    })
}

async fn upload(
    docker: &Docker,
    host: &str,
    receiver: Receiver<Chunk>,
    options: &DaemonOptions<'_>,
) -> Result<Vec<String>, DaemonError> {
    let sent = std::sync::Arc::new(AtomicBool::new(false));
    let query = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut answer = Box::pin(docker.import_image_stream(query, body(receiver, std::sync::Arc::clone(&sent)), None));
    let mut said = Vec::new();
    let mut last_progress = Instant::now();
    loop {
        if options.cancelled.load(Ordering::Relaxed) {
            return Err(DaemonError::Cancelled);
        }
        let next = tokio::time::timeout(TICK, answer.next()).await;
        if sent.swap(false, Ordering::Relaxed) || next.is_ok() {
            last_progress = Instant::now();
        }
        match next {
            Err(_) if last_progress.elapsed() > options.idle => {
                return Err(DaemonError::Stalled { host: host.to_owned(), seconds: options.idle.as_secs() });
            }
            Err(_) => {}
            Ok(None) => return Ok(said),
            Ok(Some(Ok(line))) => {
                said.extend(line.stream.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()));
            }
            Ok(Some(Err(error))) => return Err(failure(host, error)),
        }
    }
}

fn failure(host: &str, error: EngineError) -> DaemonError {
    let host = host.to_owned();
    match error {
        EngineError::DockerResponseServerError { message, .. } | EngineError::DockerStreamError { error: message } => {
            DaemonError::Refused { host, message }
        }
        other => DaemonError::Lost { host, source: Box::new(other) },
    }
}

#[cfg(test)]
mod tests;
