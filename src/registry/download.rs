//! Reading a blob: streamed, verified, resumed where a connection broke.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stages::ids::BlobId;
use ureq::http::Method;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use super::Error;
use super::auth::Scopes;
use super::error::Task;
use super::exchange::{Answered, Call, Core, Target};
use super::reference::Repository;
use super::retry::{Backoff, Patience, Spent, check_cancel};
use super::upload::blob_task;
use super::wire::classify;
use crate::sha256::Sha256;

/// A blob's bytes. The last of them are given out only when the whole has the right size and digest, so a reader that
/// got every byte has verified content. A cut or silent connection is resumed with a range request, that to a mirror at
/// the next source.
///
/// Errors are an [`Error`] inside of [`io::Error`]: see [`Error::from_io`].
pub struct BlobReader {
    core: Arc<Core>,
    repository: Repository,
    /// Where else it can be had.
    others: VecDeque<Repository>,
    task: Task,
    digest: BlobId,
    size: u64,
    offset: u64,
    hasher: Option<Sha256>,
    body: Option<Body>,
    spent: Spent,
    resumes: u32,
    done: bool,
}

struct Body {
    reader: ureq::BodyReader<'static>,
    host: String,
    /// Bytes of this body to be skipped, from a server that ignores ranges.
    skip: u64,
    /// The offset at which this body began to bring news.
    start: u64,
    window: Window,
}

/// The slowest transfer that is waited for: some kilobytes in twice the idle time, the reader's own pauses aside.
#[derive(Default)]
struct Window {
    waited: Duration,
    bytes: u64,
}

const MIN_WINDOW_BYTES: u64 = 4096;

impl Window {
    /// Whether the transfer is too slow to wait for.
    fn add(&mut self, bytes: u64, waited: Duration, idle: Duration) -> bool {
        self.bytes += bytes;
        self.waited += waited;
        if self.waited < idle.saturating_mul(2) {
            return false;
        }
        let slow = self.bytes < MIN_WINDOW_BYTES;
        *self = Self::default();
        slow
    }
}

impl BlobReader {
    /// Opens the blob; the first request is sent before this returns, so a missing blob is an error here.
    pub(super) fn open(core: Arc<Core>, repository: &Repository, digest: BlobId, size: u64) -> Result<Self, Error> {
        let mut others = VecDeque::from(core.mirrors.sources(&core.settings, repository));
        let repository = others.pop_front().unwrap_or_else(|| repository.clone());
        let mut reader = Self {
            core,
            task: blob_task("pull blob", &repository, digest),
            repository,
            others,
            digest,
            size,
            offset: 0,
            hasher: Some(Sha256::new()),
            body: None,
            spent: Spent::default(),
            resumes: 0,
            done: false,
        };
        reader.reconnect(None)?;
        if size == 0 {
            reader.verify()?;
        }
        Ok(reader)
    }

    /// The size of the whole blob in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How often the transfer was resumed after a cut.
    pub fn resumes(&self) -> u32 {
        self.resumes
    }

    /// Connects at the current offset, after `failure` if there was one.
    fn reconnect(&mut self, failure: Option<Error>) -> Result<(), Error> {
        let core = Arc::clone(&self.core);
        let task = self.task.clone();
        let mut backoff = Backoff::resumed(&core.settings, &task, self.spent);
        if let Some(body) = self.body.take() {
            backoff.progressed(self.offset - body.start);
        }
        let mut pending = failure;
        loop {
            let resuming = pending.is_some();
            if let Some(error) = pending.take()
                && !self.turn_away(&error)
            {
                let waited = backoff.wait(error);
                self.spent = backoff.spent();
                waited?;
            }
            self.resumes += u32::from(resuming && self.offset > 0);
            match self.request() {
                Ok(body) => {
                    self.body = Some(body);
                    return Ok(());
                }
                Err(error) => pending = Some(error),
            }
        }
    }

    /// Goes on at the next source after a mirror's failure; `false` when this was the registry itself.
    fn turn_away(&mut self, error: &Error) -> bool {
        if matches!(error, Error::Cancelled { .. }) {
            return false;
        }
        let Some(next) = self.others.pop_front() else { return false };
        self.core.mirrors.failed(&self.core.settings, &self.repository, error);
        self.task = blob_task("pull blob", &next, self.digest);
        self.repository = next;
        true
    }

    fn request(&self) -> Result<Body, Error> {
        let path = format!("{}/blobs/{}", self.repository.path(), self.digest);
        let scopes = Scopes::pull(self.repository.path());
        let mut call = Call::new(&self.task, self.repository.registry(), Method::GET, Target::Api(path), scopes);
        if !self.others.is_empty() {
            call = call.patience(Patience::Once);
        }
        if self.offset > 0 {
            call = call.header(RANGE, &format!("bytes={}-", self.offset));
        }
        let answered = self.core.once(&call, &[200, 206])?;
        let skip = if answered.status() == 206 { self.check_range(&answered)? } else { self.check_length(&answered)? };
        let host = answered.url.authority().to_owned();
        let reader = answered.response.into_body().into_reader();
        Ok(Body { reader, host, skip, start: self.offset, window: Window::default() })
    }

    /// A whole body: all of it before the offset is skipped.
    fn check_length(&self, answered: &Answered) -> Result<u64, Error> {
        match answered.header(CONTENT_LENGTH).and_then(|text| text.parse().ok()) {
            Some(length) if length != self.size => Err(self.wrong_size(length)),
            _ => Ok(self.offset),
        }
    }

    fn check_range(&self, answered: &Answered) -> Result<u64, Error> {
        let text = answered.header(CONTENT_RANGE).unwrap_or_default();
        let parsed = text.trim().strip_prefix("bytes ").and_then(|text| text.split_once('/'));
        let start =
            parsed.and_then(|(range, _)| range.split_once('-')).and_then(|(start, _)| start.parse::<u64>().ok());
        let total = parsed.and_then(|(_, total)| total.parse::<u64>().ok());
        if total.is_some_and(|total| total != self.size) {
            return Err(self.wrong_size(total.unwrap_or_default()));
        }
        match start {
            Some(start) if start <= self.offset => Ok(self.offset - start),
            _ => Err(Error::protocol(
                &self.task,
                format!(
                    "{} answered a range request from byte {} with another range",
                    answered.url.authority(),
                    self.offset
                ),
            )),
        }
    }

    fn wrong_size(&self, actual: u64) -> Error {
        Error::SizeMismatch { task: self.task.clone(), expected: self.size, actual }
    }

    /// Reads at least one byte that is news; an error is fatal.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            check_cancel(&self.core.settings, &self.task)?;
            match self.step(buffer) {
                Ok(0) => {}
                Ok(count) => return self.accept(buffer, count),
                Err(error) => {
                    check_cancel(&self.core.settings, &self.task)?;
                    self.reconnect(Some(error))?;
                }
            }
        }
    }

    /// One read; zero means that bytes were skipped.
    fn step(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let left = self.size - self.offset;
        let Some(body) = &mut self.body else {
            return Err(Error::protocol(&self.task, "the transfer has failed before"));
        };
        let wanted = if body.skip > 0 { body.skip } else { left };
        let limit = buffer.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..limit];
        let began = Instant::now();
        let count =
            body.reader.read(buffer).map_err(|error| classify(error.into()).into_error(&self.task, &body.host))?;
        self.core.wire.counters.received.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 {
            // A body that ends early without saying so has no length: it may have been cut.
            let source = io::Error::from(io::ErrorKind::UnexpectedEof).into();
            return Err(Error::Disconnected { task: self.task.clone(), host: body.host.clone(), source });
        }
        if body.window.add(count as u64, began.elapsed(), self.core.settings.timeouts.idle) {
            return Err(Error::Timeout {
                task: self.task.clone(),
                host: body.host.clone(),
                waiting: "send more than a trickle",
            });
        }
        if body.skip > 0 {
            body.skip -= count as u64;
            return Ok(0);
        }
        Ok(count)
    }

    /// Takes new bytes in; the last ones only when the whole is right.
    fn accept(&mut self, buffer: &[u8], count: usize) -> Result<usize, Error> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.offset += count as u64;
        if self.offset == self.size {
            self.verify()?;
        }
        Ok(count)
    }

    fn verify(&mut self) -> Result<(), Error> {
        // Whatever comes out, no other source can change it: the bytes are given out.
        self.others.clear();
        // A body without a length could go on; reading its end also gives the connection back.
        if let Some(mut body) = self.body.take() {
            let extra = body.reader.read(&mut [0; 1]).unwrap_or(0);
            if extra > 0 {
                return Err(self.wrong_size(self.size + 1));
            }
        }
        let actual = self.hasher.take().map(Sha256::finish);
        match actual {
            Some(actual) if actual == self.digest => {
                self.done = true;
                Ok(())
            }
            Some(actual) => Err(Error::DigestMismatch {
                task: self.task.clone(),
                expected: self.digest,
                actual: actual.to_string(),
            }),
            None => Err(Error::protocol(&self.task, "the transfer has failed before")),
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.done {
            return Ok(0);
        }
        self.fill(buffer).map_err(io::Error::other)
    }
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "BlobReader({} at {} of {})", self.task, self.offset, self.size)
    }
}
