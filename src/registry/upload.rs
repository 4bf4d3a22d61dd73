//! Sending a blob: in one request where that works, in pieces where it must be, from the committed offset after a cut.
//!
//! A blob of up to [`WHOLE`] bytes goes in one `PUT`; a larger one in `PATCH` requests of a 16th of it, so that a
//! registry that keeps whole requests only loses one of them. Where the upload's address says how far it got (`_state`), as
//! docker-registry's does, a second request stands by for each piece ([`super::standby`]). After any failure the registry is
//! asked first whether it has the blob by now, then how far the upload got. Where it can't say a new upload begins.

use std::io::{self, Read};

use stages::ids::BlobId;
use ureq::http::Method;
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};

use super::Error;
use super::address::{Url, encode};
use super::auth::Scopes;
use super::error::Task;
use super::exchange::{Answered, Call, Core, Target};
use super::manifest::MAX_MANIFEST;
use super::reference::Repository;
use super::retry::Backoff;
use super::standby;
use super::wire::{Body, Consent, OpenStream, lock};
use crate::sha256::Sha256;

/// The largest blob that is sent in one request, in bytes, and the least size of a piece of a larger one.
const WHOLE: u64 = 16 << 20;

/// Into how many pieces a larger one is cut, and the most bytes that one has. Each piece costs some answer times.
const PIECES: u64 = 16;
const MAX_PIECE: u64 = 64 << 20;

/// The first size tried after a proxy has refused a body as too large, and the smallest.
const SMALL_CHUNK: u64 = 16 << 20;
const MIN_CHUNK: u64 = 256 << 10;

/// Opens the blob's content at an offset; may be called several times.
pub type OpenBlob<'a> = dyn Fn(u64) -> io::Result<Box<dyn Read>> + 'a;

/// From this length on a body waits for the registry's consent; any body does once something has failed.
const ASK_FIRST: u64 = 1 << 20;

/// An upload that a registry has begun.
#[derive(Debug)]
pub struct Upload {
    pub(super) repository: Repository,
    url: Url,
    min_chunk: u64,
}

/// How a blob came to be in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there before.
    Present,
    /// Its bytes were sent.
    Sent,
}

/// What a registry makes of the wish to mount a blob.
#[derive(Debug)]
pub enum Mount {
    /// The blob is in the repository now.
    Mounted,
    /// It isn't; an upload has begun instead.
    Started(Upload),
}

/// What is to be sent.
pub(super) struct Content<'a> {
    pub(super) digest: BlobId,
    pub(super) size: u64,
    pub(super) open: &'a OpenBlob<'a>,
}

pub(super) fn blob_task(operation: &'static str, repository: &Repository, digest: BlobId) -> Task {
    Task::new(operation, format_args!("{repository}@{digest}"))
}

/// Whether the repository has the blob.
pub(super) fn has_blob(
    core: &Core,
    task: &Task,
    repository: &Repository,
    digest: BlobId,
    scopes: Scopes,
) -> Result<bool, Error> {
    let path = format!("{}/blobs/{digest}", repository.path());
    let call = Call::new(task, repository.registry(), Method::HEAD, Target::Api(path), scopes);
    Ok(core.retried(&call, &[200, 404])?.status() == 200)
}

/// Begins an upload.
pub(super) fn start(core: &Core, task: &Task, repository: &Repository) -> Result<Upload, Error> {
    let path = format!("{}/blobs/uploads/", repository.path());
    let scopes = Scopes::push(repository.path());
    let call = Call::new(task, repository.registry(), Method::POST, Target::Api(path), scopes).body(Body::Bytes(&[]));
    let answered = core.retried(&call, &[202])?;
    started(core, task, repository, &answered)
}

/// Asks the registry to take the blob over from another of its repositories.
pub(super) fn mount(
    core: &Core,
    task: &Task,
    repository: &Repository,
    digest: BlobId,
    from: &Repository,
) -> Result<Mount, Error> {
    if repository.registry() != from.registry() {
        return start(core, task, repository).map(Mount::Started);
    }
    let path = format!("{}/blobs/uploads/?mount={digest}&from={}", repository.path(), encode(from.path()));
    let scopes = Scopes::push(repository.path()).and(&Scopes::pull(from.path()));
    let call =
        Call::new(task, repository.registry(), Method::POST, Target::Api(path), scopes).body(Body::Bytes(&[])).commit();
    match core.retried(&call, &[201, 202]) {
        Ok(answered) if answered.status() == 201 => {
            check_digest(task, &answered, digest)?;
            Ok(Mount::Mounted)
        }
        Ok(answered) => started(core, task, repository, &answered).map(Mount::Started),
        // No access to the source, or no such thing as mounting: the bytes can still be sent.
        Err(Error::Unauthorized { .. } | Error::Denied { .. } | Error::NotFound { .. } | Error::Unsupported { .. }) => {
            start(core, task, repository).map(Mount::Started)
        }
        Err(error) => Err(error),
    }
}

fn started(core: &Core, task: &Task, repository: &Repository, answered: &Answered) -> Result<Upload, Error> {
    let url = next_url(core, task, repository, answered)?
        .ok_or_else(|| Error::protocol(task, "the registry began an upload without saying where"))?;
    let min_chunk = answered.header("oci-chunk-min-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Upload { repository: repository.clone(), url, min_chunk })
}

fn next_url(core: &Core, task: &Task, repository: &Repository, answered: &Answered) -> Result<Option<Url>, Error> {
    let location = answered.response.headers().get(LOCATION);
    location.map(|value| core.location(task, repository.registry(), &answered.url, value)).transpose()
}

fn check_digest(task: &Task, answered: &Answered, expected: BlobId) -> Result<(), Error> {
    match answered.header("docker-content-digest") {
        Some(claimed) if claimed.starts_with("sha256:") && claimed != expected.to_string() => {
            Err(Error::DigestMismatch { task: task.clone(), expected, actual: super::error::printable(claimed, 80) })
        }
        _ => Ok(()),
    }
}

/// Sends a blob through an upload.
pub(super) fn send(core: &Core, task: &Task, upload: Upload, content: &Content<'_>) -> Result<Pushed, Error> {
    let repository = upload.repository.clone();
    let whole = content.size <= WHOLE;
    let mut sender = Sender {
        core,
        task,
        repository: &repository,
        content,
        upload: Some(upload),
        committed: 0,
        chunk: (content.size / PIECES).clamp(WHOLE, MAX_PIECE),
        whole,
        patched: false,
        restarts: 0,
        failed: false,
        deaf: false,
        guarded: false,
    };
    let result = sender.run();
    if let Err(error) = &result
        && !error.is_transient()
        && !matches!(error, Error::Cancelled { .. })
    {
        sender.abandon();
    }
    result
}

struct Sender<'a> {
    core: &'a Core,
    task: &'a Task,
    repository: &'a Repository,
    content: &'a Content<'a>,
    upload: Option<Upload>,
    /// Bytes that the registry has taken.
    committed: u64,
    chunk: u64,
    /// Send all in one request.
    whole: bool,
    /// A piece has been accepted.
    patched: bool,
    restarts: u32,
    failed: bool,
    /// The server has no notion of consent.
    deaf: bool,
    /// Requests stood by for others.
    guarded: bool,
}

impl Sender<'_> {
    fn run(&mut self) -> Result<Pushed, Error> {
        let mut backoff = Backoff::new(&self.core.settings, self.task);
        loop {
            let before = self.committed;
            let Err(error) = self.attempt() else { return Ok(Pushed::Sent) };
            self.failed = true;
            if self.guarded && error.answer().is_some_and(|answer| matches!(answer.status, 429 | 503)) {
                // It may have been two requests that were too many.
                self.stand_alone();
            }
            if !self.adapt(&error) {
                backoff.progressed(self.committed.saturating_sub(before));
                backoff.wait(error)?;
                let scopes = Scopes::push(self.repository.path());
                if has_blob(self.core, self.task, self.repository, self.content.digest, scopes)? {
                    return Ok(Pushed::Sent);
                }
                let known = self.committed;
                self.probe()?;
                backoff.progressed(self.committed.saturating_sub(known));
            }
        }
    }

    /// Goes on from the committed offset to the end.
    fn attempt(&mut self) -> Result<(), Error> {
        if self.upload.is_none() {
            self.upload = Some(start(self.core, self.task, self.repository)?);
            self.committed = 0;
        }
        if self.committed == 0 && self.whole {
            return self.finish(0);
        }
        while self.committed < self.content.size {
            self.patch()?;
        }
        self.finish(self.content.size)
    }

    /// The closing request, with the bytes from `offset` on.
    fn finish(&mut self, offset: u64) -> Result<(), Error> {
        let url = self.url()?.with_query("digest", &self.content.digest.to_string());
        let length = self.content.size - offset;
        let open = || (self.content.open)(offset);
        let body = if length == 0 { Body::Bytes(&[]) } else { self.stream(length, &open) };
        let call = self.call(Method::PUT, url).header(CONTENT_TYPE, "application/octet-stream").body(body).commit();
        let answered = self.core.once(&call, &[200, 201, 204])?;
        check_digest(self.task, &answered, self.content.digest)
    }

    fn patch(&mut self) -> Result<(), Error> {
        let (from, left) = (self.committed, self.content.size - self.committed);
        let min_chunk = self.upload.as_ref().map_or(0, |upload| upload.min_chunk);
        let length = left.min(self.chunk.max(min_chunk));
        let end = from + length;
        let open = || (self.content.open)(from).map(|reader| Box::new(reader.take(length)) as Box<dyn Read>);
        let url = self.url()?;
        // One request is enough for a registry that keeps count by itself.
        let forgets = url.has_query("_state") && !self.deaf && !self.stands_alone();
        self.guarded |= forgets;
        let call = self
            .call(Method::PATCH, url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_RANGE, &format!("{from}-{}", end - 1))
            .commit();
        // ECR answers 201.
        let good = [201, 202, 204];
        let answered = if forgets {
            standby::send(self.core, &call, length, &open, &good)?
        } else {
            self.core.once(&call.body(self.stream(length, &open)), &good)?
        };
        let committed = answered.header(RANGE).map_or(Some(end), parse_range);
        self.take_url(&answered)?;
        match committed {
            Some(committed) if committed > from && committed <= end => {
                self.committed = committed;
                self.patched = true;
                Ok(())
            }
            _ => Err(Error::protocol(self.task, "the registry lost count of an upload")),
        }
    }

    /// Changes the way of sending where an error shows that the present one can't work. Bounded: each change is made
    /// once, or makes the pieces smaller.
    fn adapt(&mut self, error: &Error) -> bool {
        let status = error.answer().map_or(0, |answer| answer.status);
        let code = |code: &str| error.answer().is_some_and(|answer| answer.codes.iter().any(|found| found == code));
        match status {
            413 => self.shrink(),
            417 => !std::mem::replace(&mut self.deaf, true),
            400 | 404 | 405 | 416 | 501 if !self.whole && !self.patched => {
                // Or too many were two requests at once.
                self.whole = !self.guarded || self.stands_alone();
                self.restart()
            }
            404 | 416 => self.restart(),
            400 if code("BLOB_UPLOAD_INVALID") || code("BLOB_UPLOAD_UNKNOWN") || code("RANGE_INVALID") => {
                self.restart()
            }
            400 if code("DIGEST_INVALID") && self.patched => self.restart(),
            _ => false,
        }
    }

    /// Smaller pieces, until they are as small as is sensible.
    fn shrink(&mut self) -> bool {
        let sent = if self.whole { self.content.size } else { self.chunk.min(self.content.size) };
        let floor = self.upload.as_ref().map_or(0, |upload| upload.min_chunk).max(MIN_CHUNK);
        if sent <= floor {
            return false;
        }
        self.chunk = SMALL_CHUNK.min(sent / 2).max(floor);
        self.whole = false;
        self.patched = true;
        true
    }

    fn restart(&mut self) -> bool {
        self.restarts += 1;
        if self.guarded {
            self.stand_alone();
        }
        self.forget();
        self.restarts < self.core.settings.retry.attempts
    }

    fn stand_alone(&self) {
        lock(&self.core.alone).insert(self.repository.registry().to_owned());
    }

    fn stands_alone(&self) -> bool {
        lock(&self.core.alone).contains(self.repository.registry())
    }

    fn forget(&mut self) {
        self.upload = None;
        self.committed = 0;
    }

    /// Asks how far the upload got. An upload that is not known any more, or holds nothing, is given up.
    fn probe(&mut self) -> Result<(), Error> {
        let Some(upload) = &self.upload else { return Ok(()) };
        let call = self.call(Method::GET, upload.url.clone());
        let answered = match self.core.retried(&call, &[200, 202, 204]) {
            Ok(answered) => answered,
            Err(error) if error.answer().is_some() && !error.is_transient() => {
                self.forget();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match answered.header(RANGE).and_then(parse_range) {
            // `0-0` stands for no byte as well as for one.
            Some(committed) if committed > 1 && committed <= self.content.size => {
                self.committed = committed;
                self.take_url(&answered)
            }
            _ => {
                self.forget();
                Ok(())
            }
        }
    }

    /// Tells the registry that the upload is over; it may not listen.
    fn abandon(&mut self) {
        if let Some(upload) = self.upload.take() {
            let call = self.call(Method::DELETE, upload.url);
            drop(self.core.once(&call, &[200, 202, 204]));
        }
    }

    fn stream<'b>(&self, length: u64, open: &'b OpenStream<'b>) -> Body<'b> {
        let asks = !self.deaf && (self.failed || length >= ASK_FIRST);
        Body::Stream { length, consent: if asks { Consent::Asked } else { Consent::Unasked }, open }
    }

    fn call(&self, method: Method, url: Url) -> Call<'_> {
        Call::new(self.task, self.repository.registry(), method, Target::Url(url), Scopes::push(self.repository.path()))
    }

    fn url(&self) -> Result<Url, Error> {
        let upload = self.upload.as_ref().ok_or_else(|| Error::protocol(self.task, "the upload has ended"))?;
        Ok(upload.url.clone())
    }

    fn take_url(&mut self, answered: &Answered) -> Result<(), Error> {
        let url = next_url(self.core, self.task, self.repository, answered)?;
        if let (Some(upload), Some(url)) = (&mut self.upload, url) {
            upload.url = url;
        }
        Ok(())
    }
}

/// The number of bytes in `0-N`, with or without the unit.
fn parse_range(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix("bytes=").or_else(|| text.strip_prefix("bytes ")).unwrap_or(text);
    let (start, end) = text.split_once('-')?;
    (start == "0").then(|| end.parse::<u64>().ok()?.checked_add(1)).flatten()
}

/// Sends a manifest. After a failure, and after a yes that names no digest (any web page says yes), the registry is asked
/// whether it has it.
pub(super) fn put_manifest(
    core: &Core,
    task: &Task,
    repository: &Repository,
    selector: &str,
    bytes: &[u8],
    media_type: &str,
) -> Result<BlobId, Error> {
    let digest = Sha256::of(bytes);
    let value = media_type.parse().map_err(|_| Error::protocol(task, "the media type can't be sent"))?;
    let call = |method| {
        let path = format!("{}/manifests/{selector}", repository.path());
        Call::new(task, repository.registry(), method, Target::Api(path), Scopes::push(repository.path()))
    };
    let mut put = call(Method::PUT).body(Body::Bytes(bytes)).commit();
    put.headers.insert(CONTENT_TYPE, value);
    let mut backoff = Backoff::new(&core.settings, task);
    loop {
        let failure = match core.once(&put, &[200, 201, 202, 204]) {
            Ok(answered) => {
                check_digest(task, &answered, digest)?;
                if answered.header("docker-content-digest").is_some() || stands(core, &call, digest) {
                    return Ok(digest);
                }
                Error::NotKept { task: task.clone(), host: answered.url.authority().to_owned() }
            }
            Err(error) => error,
        };
        backoff.wait(failure)?;
        if stands(core, &call, digest) {
            return Ok(digest);
        }
    }
}

/// Whether the registry shows a manifest where it was put. What can't be asked now is not there.
fn stands<'a>(core: &Core, call: &dyn Fn(Method) -> Call<'a>, digest: BlobId) -> bool {
    let once = |method| core.once(&super::client::accepting(call(method)), &[200]).ok();
    let Some(answered) = once(Method::HEAD) else { return false };
    if let Some(named) = answered.header("docker-content-digest") {
        return named == digest.to_string();
    }
    let Some(mut answered) = once(Method::GET) else { return false };
    let body = core.read_body(call(Method::GET).task, &mut answered, MAX_MANIFEST);
    matches!(body, Ok(Some(bytes)) if Sha256::of(&bytes) == digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_ranges_parse() {
        assert_eq!(parse_range("0-99"), Some(100));
        assert_eq!(parse_range("bytes=0-99"), Some(100));
        for bad in ["", "1-2", "0-", "0", "-", "0-18446744073709551615", "0--1"] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
