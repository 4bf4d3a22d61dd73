//! The client: what callers use.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use stages::ids::{BlobId, Platform};
use ureq::http::Method;
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LINK};

use super::Error;
use super::auth::Scopes;
use super::download::BlobReader;
use super::error::{Task, printable};
use super::exchange::{Answered, Call, Core, Target};
use super::manifest::{self, MAX_MANIFEST, RawManifest, recognise};
use super::platform::select_platform;
use super::reference::{Reference, RegistryName, Repository};
use super::retry::{Backoff, Patience};
use super::settings::Settings;
use super::upload::{self, Content, Mount, OpenBlob, Pushed, Upload, blob_task};
use super::wire::Traffic;
use crate::image::spec::{Descriptor, Document, Manifest};
use crate::sha256::Sha256;

/// The largest page of a tag list that is read, in bytes.
const MAX_TAG_PAGE: usize = 64 << 20;

/// Pages of a tag list that are followed.
const MAX_TAG_PAGES: usize = 10_000;

/// How many indexes may lead to an image.
const MAX_NESTING: usize = 3;

/// What a registry makes of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginCheck {
    /// It takes the credentials.
    Accepted,
    /// It lets everybody in, and did not look at them.
    NotAsked,
}

/// How long a client waits at each turn that has only a last word to say.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A client for any number of registries. Clones share connections and tokens; all methods can be called from many
/// threads at once.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
    /// Whether mirrors may say what a reference stands for.
    mirrored: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("settings", &self.core.settings).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that has not yet connected to anything.
    pub fn new(settings: Settings) -> Self {
        Self { core: Arc::new(Core::new(settings)), mirrored: true }
    }

    /// The same client, for what must be as it is now: references are asked of the registry itself, as mirrors may be behind.
    /// Blobs, which have only one content, may still come from a mirror.
    #[must_use]
    pub fn without_mirrors(&self) -> Self {
        Self { mirrored: false, ..self.clone() }
    }

    /// A client for a last word after an interruption: it is not cancelled, waits for a second at each turn, and tries
    /// nothing twice.
    #[must_use]
    pub fn for_a_last_word(&self) -> Self {
        let mut settings = self.core.settings.clone();
        let timeouts = &mut settings.timeouts;
        for timeout in [
            &mut timeouts.resolve,
            &mut timeouts.connect,
            &mut timeouts.idle,
            &mut timeouts.commit,
            &mut timeouts.answer,
            &mut timeouts.credential_helper,
        ] {
            *timeout = LAST_WORD;
        }
        settings.retry.attempts = 1;
        settings.cancel = Arc::default();
        settings.on_wait = None;
        Self { core: Arc::new(Core::new(settings)), mirrored: self.mirrored }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// Requests and bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.core.wire.traffic()
    }

    /// Asks a registry whether it takes the credentials that there are for it.
    pub fn check_login(&self, registry: &RegistryName) -> Result<LoginCheck, Error> {
        let task = Task::new("log in to", registry);
        let call = Call::new(&task, registry.as_str(), Method::GET, Target::Api(String::new()), Scopes::default());
        let answered = self.core.retried(&call, &[200])?;
        if !answered.is_own() {
            return Err(Error::protocol(&task, format!("it leads to {}, which is no registry's way", answered.url)));
        }
        Ok(if answered.was_authorized() { LoginCheck::Accepted } else { LoginCheck::NotAsked })
    }

    /// What a reference stands for now: the manifest's digest, size and media type. Usually one HEAD request.
    pub fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.pull(reference, |reference, patience| self.resolve_at(reference, patience))
    }

    /// A manifest or index, verified by its digest.
    pub fn manifest(&self, reference: &Reference) -> Result<RawManifest, Error> {
        self.pull(reference, |reference, patience| {
            self.fetch_manifest(&Task::new("pull manifest", reference), reference, patience)
        })
    }

    /// Asks the mirrors, then the registry itself.
    fn pull<T>(
        &self,
        reference: &Reference,
        ask: impl Fn(&Reference, Patience) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !self.mirrored {
            return ask(reference, Patience::Retry);
        }
        let core = &self.core;
        core.mirrors.ask(&core.settings, reference.repository(), |repository, patience| {
            ask(&reference.of(repository), patience)
        })
    }

    fn resolve_at(&self, reference: &Reference, patience: Patience) -> Result<Descriptor, Error> {
        let task = Task::new("resolve", reference);
        let call = accepting(Self::manifest_call(&task, reference, Method::HEAD)).patience(patience);
        let answered = self.core.retried(&call, &[200, 400, 405, 501])?;
        if answered.status() == 200
            && let Some(descriptor) = described(&task, &answered, reference)?
        {
            return Ok(descriptor);
        }
        Ok(self.fetch_manifest(&task, reference, patience)?.descriptor())
    }

    /// The image for a platform: an index is followed to the manifest that fits. An image that is not in an index is
    /// taken as it is; its configuration says what platform it is for.
    pub fn image(&self, reference: &Reference, platform: &Platform) -> Result<(RawManifest, Manifest), Error> {
        let task = Task::new("pull manifest", reference);
        let mut raw = self.manifest(reference)?;
        for _ in 0..=MAX_NESTING {
            let index = match raw.parse()? {
                Document::Manifest(manifest) => return Ok((raw, *manifest)),
                Document::Index(index) => index,
            };
            let chosen = select_platform(&index, platform)?;
            let next = self.manifest(&reference.repository().with_digest(chosen.digest))?;
            if next.bytes.len() as u64 != chosen.size {
                return Err(Error::SizeMismatch { task, expected: chosen.size, actual: next.bytes.len() as u64 });
            }
            raw = next;
        }
        Err(Error::protocol(&task, format!("more than {MAX_NESTING} indexes within each other")))
    }

    /// Whether a repository has a blob.
    pub fn has_blob(&self, repository: &Repository, digest: BlobId) -> Result<bool, Error> {
        let task = blob_task("look for blob", repository, digest);
        upload::has_blob(&self.core, &task, repository, digest, Scopes::pull(repository.path()))
    }

    /// Opens a blob for reading. It comes from a mirror or the registry (or where that redirects to), never from the URLs that a
    /// foreign layer names.
    pub fn blob(&self, repository: &Repository, digest: BlobId, size: u64) -> Result<BlobReader, Error> {
        BlobReader::open(Arc::clone(&self.core), repository, digest, size)
    }

    /// Reads a small blob, such as an image's configuration, into memory; more than `limit` bytes are an error.
    pub fn blob_bytes(&self, repository: &Repository, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let task = blob_task("pull blob", repository, descriptor.digest);
        if descriptor.size > limit {
            return Err(Error::protocol(&task, format!("it has {} bytes, more than {limit}", descriptor.size)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(descriptor.size).unwrap_or(0));
        let mut reader = self.blob(repository, descriptor.digest, descriptor.size)?;
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Error::from_io(error).unwrap_or_else(|source| Error::Source { task, source })),
        }
    }

    /// Brings a blob into a repository, unless it is there. `open` gives its content from an offset on, and is called
    /// again after a cut.
    pub fn push_blob(
        &self,
        repository: &Repository,
        digest: BlobId,
        size: u64,
        open: &OpenBlob<'_>,
    ) -> Result<Pushed, Error> {
        let task = blob_task("push blob", repository, digest);
        if upload::has_blob(&self.core, &task, repository, digest, Scopes::push(repository.path()))? {
            return Ok(Pushed::Present);
        }
        let upload = upload::start(&self.core, &task, repository)?;
        upload::send(&self.core, &task, upload, &Content { digest, size, open })
    }

    /// Brings a small blob into a repository, unless it is there.
    pub fn push_bytes(&self, repository: &Repository, bytes: &[u8]) -> Result<Pushed, Error> {
        let open = |offset: u64| -> std::io::Result<Box<dyn Read>> {
            let rest = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
            Ok(Box::new(std::io::Cursor::new(rest.to_vec())))
        };
        self.push_blob(repository, Sha256::of(bytes), bytes.len() as u64, &open)
    }

    /// Begins an upload, for [`Client::upload_blob`].
    pub fn start_upload(&self, repository: &Repository) -> Result<Upload, Error> {
        upload::start(&self.core, &Task::new("begin an upload to", repository), repository)
    }

    /// Takes a blob over from another repository of the same registry. Where that can't be, an upload has begun; it goes
    /// on with [`Client::upload_blob`].
    pub fn mount_blob(&self, repository: &Repository, digest: BlobId, from: &Repository) -> Result<Mount, Error> {
        upload::mount(&self.core, &blob_task("mount blob", repository, digest), repository, digest, from)
    }

    /// Sends a blob through an upload that [`Client::mount_blob`] or [`Client::start_upload`] has begun.
    pub fn upload_blob(&self, upload: Upload, digest: BlobId, size: u64, open: &OpenBlob<'_>) -> Result<Pushed, Error> {
        let task = blob_task("push blob", &upload.repository, digest);
        upload::send(&self.core, &task, upload, &Content { digest, size, open })
    }

    /// Stores a manifest or index under the reference's tag, or under its digest when it has no tag. All it refers to
    /// must be there already. A digest in the reference must be that of the bytes.
    pub fn put_manifest(&self, reference: &Reference, bytes: &[u8], media_type: &str) -> Result<BlobId, Error> {
        let task = Task::new("push manifest", reference);
        if bytes.len() > MAX_MANIFEST {
            return Err(Error::protocol(&task, format!("it has {} bytes, more than registries take", bytes.len())));
        }
        if let Some(expected) = reference.digest()
            && Sha256::of(bytes) != expected
        {
            return Err(Error::DigestMismatch { task, expected, actual: Sha256::of(bytes).to_string() });
        }
        let selector = reference.tag().map_or_else(|| reference.selector(), str::to_owned);
        upload::put_manifest(&self.core, &task, reference.repository(), &selector, bytes, media_type)
    }

    /// Deletes a manifest, with all tags that point at it.
    pub fn delete_manifest(&self, repository: &Repository, digest: BlobId) -> Result<(), Error> {
        let task = blob_task("delete manifest", repository, digest);
        let path = format!("{}/manifests/{digest}", repository.path());
        let scopes = Scopes::delete(repository.path());
        let call = Call::new(&task, repository.registry(), Method::DELETE, Target::Api(path), scopes).commit();
        self.core.retried(&call, &[200, 202, 204]).map(drop)
    }

    /// All tags of a repository, in the registry's order. Costly on large repositories: builds must not need it.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let task = Task::new("list tags", repository);
        let mut target = Target::Api(format!("{}/tags/list", repository.path()));
        let (mut tags, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
        for _ in 0..MAX_TAG_PAGES {
            let scopes = Scopes::pull(repository.path());
            let call = Call::new(&task, repository.registry(), Method::GET, target, scopes);
            let mut answered = self.core.retried(&call, &[200])?;
            let body = self.core.read_body(&task, &mut answered, MAX_TAG_PAGE)?;
            let body = body.ok_or_else(|| Error::protocol(&task, "a page of tags is larger than 64 MiB"))?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| Error::protocol(&task, format!("the list of tags is malformed: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            let Some(next) = next_page(&answered) else { return Ok(tags) };
            let value = next.parse().map_err(|_| Error::protocol(&task, "the next page has a malformed address"))?;
            let url = self.core.location(&task, repository.registry(), &answered.url, &value)?;
            if url.origin() != answered.url.origin() || !seen.insert(url.as_uri().to_string()) {
                return Err(Error::protocol(&task, "the pages of tags go round in a circle or leave the registry"));
            }
            target = Target::Url(url);
        }
        Err(Error::protocol(&task, "the list of tags has too many pages"))
    }

    fn manifest_call<'a>(task: &'a Task, reference: &'a Reference, method: Method) -> Call<'a> {
        let repository = reference.repository();
        let path = format!("{}/manifests/{}", repository.path(), reference.selector());
        Call::new(task, repository.registry(), method, Target::Api(path), Scopes::pull(repository.path()))
    }

    fn fetch_manifest(&self, task: &Task, reference: &Reference, patience: Patience) -> Result<RawManifest, Error> {
        let call = accepting(Self::manifest_call(task, reference, Method::GET)).patience(patience);
        let mut backoff = Backoff::new(&self.core.settings, task).with(patience);
        let (answered, bytes) = loop {
            let attempt = self.core.once(&call, &[200]).and_then(|mut answered| {
                let bytes = self.core.read_body(task, &mut answered, MAX_MANIFEST)?;
                Ok((answered, bytes))
            });
            match attempt {
                Ok(done) => break done,
                Err(error) => backoff.wait(error)?,
            }
        };
        let bytes = bytes.ok_or_else(|| Error::protocol(task, "the manifest is larger than 4 MiB"))?;
        let digest = Sha256::of(&bytes);
        let claimed = answered.header("docker-content-digest").and_then(|text| text.parse::<BlobId>().ok());
        if let Some(expected) = reference.digest().or(claimed)
            && expected != digest
        {
            return Err(Error::DigestMismatch { task: task.clone(), expected, actual: digest.to_string() });
        }
        let media_type = recognise(task, &bytes, answered.header(CONTENT_TYPE).unwrap_or_default())?;
        Ok(RawManifest { bytes, media_type, digest })
    }
}

/// Adds the media types of manifests.
pub(super) fn accepting(call: Call<'_>) -> Call<'_> {
    call.header(ACCEPT, &manifest::ACCEPT.join(", "))
}

/// The descriptor in the headers of a HEAD answer, if they are all there.
fn described(task: &Task, answered: &Answered, reference: &Reference) -> Result<Option<Descriptor>, Error> {
    let claimed = answered.header("docker-content-digest").and_then(|text| text.parse::<BlobId>().ok());
    let size = answered.header(CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok()).filter(|&size| size > 0);
    let media_type = answered.header(CONTENT_TYPE).map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
    if let (Some(expected), Some(claimed)) = (reference.digest(), claimed)
        && expected != claimed
    {
        return Err(Error::DigestMismatch { task: task.clone(), expected, actual: claimed.to_string() });
    }
    let known = |media_type: &String| manifest::ACCEPT.contains(&media_type.as_str());
    let (Some(digest), Some(size), Some(media_type)) = (claimed, size, media_type.filter(known)) else {
        return Ok(None);
    };
    if size > MAX_MANIFEST as u64 {
        return Err(Error::protocol(task, format!("the manifest has {} bytes", printable(&size.to_string(), 20))));
    }
    Ok(Some(Descriptor::new(&media_type, digest, size)))
}

/// The target of `Link: <…>; rel="next"`.
fn next_page(answered: &Answered) -> Option<String> {
    let mut rest = answered.header(LINK)?;
    while let Some((target, tail)) = rest.split_once('<').and_then(|(_, after)| after.split_once('>')) {
        let parameters = tail.split('<').next().unwrap_or_default();
        let is_next = |parameter: &str| {
            let value = parameter.trim().strip_prefix("rel=");
            value.is_some_and(|value| value.trim_matches('"').eq_ignore_ascii_case("next"))
        };
        if parameters.split([';', ',']).any(is_next) {
            return Some(target.to_owned());
        }
        rest = tail;
    }
    None
}
