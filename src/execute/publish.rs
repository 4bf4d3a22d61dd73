//! Stages on their way to the storages in registries, while later stages are still being made.
//!
//! Each storage has one loop that owns what is known of it, and a few workers. A stage is *prepared* (its layers packed, if
//! nobody has the tag yet), its blobs are brought in, the first while others are being packed, each one once whichever stages
//! share it, and its tags come last. Whoever finds the tag taken adopts what is there: two builders of a stage come to one
//! result without a lock.
//!
//! Nothing is undone after a failure: blobs that have arrived are found by the next run, which goes on from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use stages::{BlobId, ImageName, Platform, StageDigest};

use super::blobs::{self, LayerBlob, Packed};
use super::claims::{self, Hold};
use super::describe::{Description, describe};
use super::remote::unreadable;
use super::worker::Worker;
use super::{Engine, Error, git_content};
use crate::image::spec::Descriptor;
use crate::registry::{Client, Mount, Reference, Repository};
use crate::report::{Event, StageId, with_causes};
use crate::storage::{BlobStore, Hint, LayerSource, PublishedBlob, RemoteStore, StageRecord, base_chain};

/// How many workers a storage has: they wait for the registry most of the time.
const WORKERS: usize = 4;

/// How many of them may prepare stages at once: one is left to send what has been packed.
const PREPARERS: usize = WORKERS - 1;

/// A stage to bring to the storages.
#[derive(Debug, Clone)]
pub(super) struct Publication {
    pub(super) image: ImageName,
    pub(super) platform: Platform,
    pub(super) record: Arc<StageRecord>,
    /// It was made in this run: nobody is likely to have it yet.
    pub(super) fresh: bool,
    /// What other machines should know of it.
    pub(super) hints: Vec<Hint>,
    /// The main storage has it: it goes to the caches behind, as far as no layer has to be pulled for them.
    pub(super) behind: bool,
}

/// Brings stages to all storages that are written.
pub(super) struct Publisher<'scope> {
    main: Option<Handle<'scope>>,
    caches: Vec<Handle<'scope>>,
    failed: Arc<AtomicBool>,
}

struct Handle<'scope> {
    messages: mpsc::Sender<Message>,
    thread: ScopedJoinHandle<'scope, (BTreeMap<StageDigest, Descriptor>, Option<Error>)>,
}

impl<'scope> Publisher<'scope> {
    /// Starts the loops of the storages. `known` are blobs that the main one has.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        engine: &'env Engine<'env>,
        known: BTreeSet<BlobId>,
        hold: &Hold,
    ) -> Self {
        let failed = Arc::new(AtomicBool::new(false));
        let start = |store: &'env RemoteStore, known: BTreeSet<BlobId>, main: Option<(Arc<AtomicBool>, Hold)>| {
            let (messages, inbox) = mpsc::channel();
            let sender = messages.clone();
            let (failed, hold) = main.unzip();
            let desk = Desk::new(engine, store, known, hold);
            let thread = scope.spawn(move || desk.run(sender, &inbox, failed));
            Handle { messages, thread }
        };
        let main =
            engine.roles.main.as_ref().map(|store| start(store, known, Some((Arc::clone(&failed), hold.clone()))));
        let caches = engine
            .roles
            .cache
            .iter()
            .filter(|store| !store.is_left_out())
            .map(|store| start(store, BTreeSet::new(), None))
            .collect();
        Self { main, caches, failed }
    }

    /// Takes a stage.
    pub(super) fn publish(&self, publication: &Publication) {
        let main = self.main.iter().filter(|_| !publication.behind);
        for handle in main.chain(&self.caches) {
            // A loop that has ended says why at the end.
            let _ended = handle.messages.send(Message::Publish(publication.clone()));
        }
    }

    /// Whether the main storage can't be written.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until all is there. Returns the manifests of the stages in the main storage.
    pub(super) fn finish(self, engine: &Engine<'_>) -> (BTreeMap<StageDigest, Descriptor>, Result<(), Error>) {
        for handle in self.main.iter().chain(&self.caches) {
            let _ended = handle.messages.send(Message::Close);
        }
        for cache in self.caches {
            if let Ok((_, Some(error))) = cache.thread.join()
                && !engine.cancel.is_cancelled()
            {
                let message = format!("a cache repository is not filled: {}", with_causes(&error));
                engine.events.send(Event::Warning { message });
            }
        }
        match self.main.map(|main| main.thread.join()) {
            None => (BTreeMap::new(), Ok(())),
            Some(Ok((manifests, failure))) => (manifests, failure.map_or(Ok(()), Err)),
            Some(Err(_panic)) => (BTreeMap::new(), Err(Error::WorkerDied)),
        }
    }
}

enum Message {
    Publish(Publication),
    Close,
    /// A blob of a stage that is being prepared.
    Packed(usize, LayerBlob),
    Done {
        parcel: usize,
        prepared: bool,
        result: Result<Box<Done>, Error>,
    },
}

/// What a worker does. The number is the parcel's.
enum Work {
    Prepare(Publication),
    Layer(LayerBlob, Effort),
    Config(Arc<Description>),
    Tags(Publication, Arc<Description>),
}

/// What a blob may cost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// It is pulled if need be.
    Pull,
    /// It is here, or near.
    Free,
}

enum Done {
    Prepared(Box<Description>),
    Blob(BlobId),
    /// A blob that would have to be pulled.
    Declined(LayerBlob),
    /// The tag stands, on this manifest.
    Tagged(Descriptor),
}

/// A stage on its way.
struct Parcel {
    publication: Publication,
    description: Option<Arc<Description>>,
    /// Blobs that are not there yet.
    missing: usize,
}

/// The loop of one storage.
struct Desk<'a> {
    engine: &'a Engine<'a>,
    store: &'a RemoteStore,
    /// Blobs that are there.
    known: BTreeSet<BlobId>,
    /// Has claims renewed, where stages are claimed.
    hold: Option<Hold>,
    parcels: Vec<Parcel>,
    /// Blobs on their way → the parcels that wait for them.
    awaited: BTreeMap<BlobId, Vec<usize>>,
    backlog: VecDeque<(usize, Work)>,
    busy: usize,
    /// How many of the busy ones prepare a stage.
    preparing: usize,
    /// Something failed: what has begun need not be finished.
    halted: Arc<AtomicBool>,
    manifests: BTreeMap<StageDigest, Descriptor>,
}

impl<'a> Desk<'a> {
    fn new(engine: &'a Engine<'a>, store: &'a RemoteStore, known: BTreeSet<BlobId>, hold: Option<Hold>) -> Self {
        Self {
            engine,
            store,
            known,
            hold,
            parcels: Vec::new(),
            awaited: BTreeMap::new(),
            backlog: VecDeque::new(),
            busy: 0,
            preparing: 0,
            halted: Arc::default(),
            manifests: BTreeMap::new(),
        }
    }

    fn run(
        mut self,
        sender: mpsc::Sender<Message>,
        inbox: &mpsc::Receiver<Message>,
        failed: Option<Arc<AtomicBool>>,
    ) -> (BTreeMap<StageDigest, Descriptor>, Option<Error>) {
        let (work, jobs) = mpsc::channel::<(usize, Work)>();
        let jobs = Mutex::new(jobs);
        let (engine, store, hold) = (self.engine, self.store, self.hold.take());
        let failure = std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                let (sender, jobs, hold, halted) = (sender.clone(), &jobs, hold.clone(), Arc::clone(&self.halted));
                scope.spawn(move || {
                    let mut worker = None;
                    loop {
                        // Held while waiting for a job, which is all that the other idle workers do too.
                        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((parcel, work)) = job else { break };
                        let prepared = matches!(work, Work::Prepare(_));
                        let packed = |layer: &LayerBlob| {
                            let sent = sender.send(Message::Packed(parcel, layer.clone()));
                            let goes_on = sent.is_ok() && !halted.load(Ordering::Relaxed);
                            // Nobody reads this: what halted the rest is what counts.
                            if goes_on { Ok(()) } else { Err(Error::Interrupted) }
                        };
                        let work = AssertUnwindSafe(|| {
                            let worker = Worker::reopen(&mut worker, engine)?;
                            Hand { worker, store, hold: hold.clone(), packed: &packed }.does(work).map(Box::new)
                        });
                        // A panic is a defect: it ends the run as any failure does, not by hanging it.
                        let result = catch_unwind(work).unwrap_or(Err(Error::WorkerDied));
                        if sender.send(Message::Done { parcel, prepared, result }).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            self.attend(work, inbox, failed.as_deref())
        });
        (self.manifests, failure)
    }

    /// Takes messages until the last parcel is there, or something failed and nothing is under way any more.
    fn attend(
        &mut self,
        work: mpsc::Sender<(usize, Work)>,
        inbox: &mpsc::Receiver<Message>,
        failed: Option<&AtomicBool>,
    ) -> Option<Error> {
        let (mut failure, mut closed) = (None, false);
        loop {
            while failure.is_none() && self.busy < WORKERS {
                let Some(job) = self.next_job() else { break };
                self.busy += 1;
                if work.send(job).is_err() {
                    return Some(Error::WorkerDied);
                }
            }
            if self.busy == 0 && (failure.is_some() || (closed && self.backlog.is_empty())) {
                return failure;
            }
            match inbox.recv() {
                Err(_) => return failure.or(Some(Error::WorkerDied)),
                Ok(Message::Close) => closed = true,
                Ok(Message::Publish(publication)) => self.accept(publication),
                Ok(Message::Packed(parcel, layer)) => self.packed(parcel, layer),
                Ok(Message::Done { parcel, prepared, result }) => {
                    self.busy -= 1;
                    self.preparing -= usize::from(prepared);
                    match result {
                        Ok(done) => self.done(parcel, *done),
                        Err(error) => {
                            self.halted.store(true, Ordering::Relaxed);
                            if let Some(failed) = failed {
                                failed.store(true, Ordering::Relaxed);
                            }
                            failure = failure.or(Some(error));
                        }
                    }
                }
            }
        }
    }

    /// The next of the jobs that may begin.
    fn next_job(&mut self) -> Option<(usize, Work)> {
        let may_prepare = self.preparing < PREPARERS;
        let may_begin = |(_, work): &(usize, Work)| may_prepare || !matches!(work, Work::Prepare(_));
        let job = self.backlog.remove(self.backlog.iter().position(may_begin)?)?;
        self.preparing += usize::from(matches!(job.1, Work::Prepare(_)));
        Some(job)
    }

    fn accept(&mut self, publication: Publication) {
        let parcel = self.parcels.len();
        self.backlog.push_back((parcel, Work::Prepare(publication.clone())));
        self.parcels.push(Parcel { publication, description: None, missing: 0 });
    }

    fn done(&mut self, parcel: usize, done: Done) {
        match done {
            Done::Prepared(description) => self.prepared(parcel, *description),
            Done::Blob(blob) => {
                self.known.insert(blob);
                for waiting in self.awaited.remove(&blob).unwrap_or_default() {
                    self.parcels[waiting].missing -= 1;
                    self.tag_when_whole(waiting);
                }
            }
            Done::Declined(layer) => self.declined(parcel, layer),
            Done::Tagged(manifest) => {
                self.manifests.insert(self.parcels[parcel].publication.record.digest, manifest);
            }
        }
    }

    /// Leaves the stages out that are not worth a blob's bytes. Others that have come to wait for it get it.
    fn declined(&mut self, parcel: usize, layer: LayerBlob) {
        let mut waiting = self.awaited.remove(&layer.blob.blob).unwrap_or_default();
        waiting.retain(|waiting| !self.parcels[*waiting].publication.behind);
        if !waiting.is_empty() {
            self.awaited.insert(layer.blob.blob, waiting);
            self.backlog.push_back((parcel, Work::Layer(layer, Effort::Pull)));
        }
    }

    /// Sends a blob while those above it are still being packed.
    fn packed(&mut self, parcel: usize, layer: LayerBlob) {
        let blob = layer.blob.blob;
        if !self.parcels[parcel].publication.behind && !self.known.contains(&blob) {
            self.await_blob(parcel, blob, Work::Layer(layer, Effort::Pull));
        }
    }

    /// Has a blob brought, unless it is on its way. One at a time: registries have been seen to lose a blob that arrives twice
    /// at once.
    fn await_blob(&mut self, parcel: usize, blob: BlobId, work: Work) -> &mut Vec<usize> {
        self.awaited.entry(blob).or_insert_with(|| {
            self.backlog.push_back((parcel, work));
            Vec::new()
        })
    }

    fn prepared(&mut self, parcel: usize, description: Description) {
        let description = Arc::new(description);
        let effort = if self.parcels[parcel].publication.behind { Effort::Free } else { Effort::Pull };
        let layers = description.blobs().map(|layer| (layer.blob.blob, Work::Layer(layer.clone(), effort)));
        let config = (description.config_digest(), Work::Config(Arc::clone(&description)));
        let mut wanted = BTreeSet::new();
        for (blob, work) in layers.chain([config]) {
            if self.known.contains(&blob) || !wanted.insert(blob) {
                continue;
            }
            self.await_blob(parcel, blob, work).push(parcel);
        }
        self.parcels[parcel].missing = wanted.len();
        self.parcels[parcel].description = Some(description);
        self.tag_when_whole(parcel);
    }

    fn tag_when_whole(&mut self, parcel: usize) {
        let Parcel { publication, description: Some(description), missing: 0 } = &self.parcels[parcel] else { return };
        // Before other blobs: what is whole should be of use to others soon.
        self.backlog.push_front((parcel, Work::Tags(publication.clone(), Arc::clone(description))));
    }
}

/// One worker at work.
struct Hand<'h, 'e, 'a> {
    worker: &'h mut Worker<'e, 'a>,
    store: &'h RemoteStore,
    /// Has claims renewed, where stages are claimed.
    hold: Option<Hold>,
    /// Hears of each blob of a stage that is being prepared.
    packed: Packed<'h>,
}

impl Hand<'_, '_, '_> {
    fn does(&mut self, work: Work) -> Result<Done, Error> {
        self.worker.engine.check_cancelled()?;
        match work {
            Work::Prepare(publication) => self.prepare(&publication),
            Work::Layer(layer, effort) => {
                let is_brought = match effort {
                    Effort::Pull => self.bring_layer(&layer).map(|()| true)?,
                    Effort::Free => self.bring_free(&layer)?,
                };
                Ok(if is_brought { Done::Blob(layer.blob.blob) } else { Done::Declined(layer) })
            }
            Work::Config(description) => {
                self.bring_config(&description)?;
                Ok(Done::Blob(description.config_digest()))
            }
            Work::Tags(publication, description) => {
                let tagged = self.tag(&publication, &description)?;
                self.leave_hints(&publication, &description)?;
                Ok(tagged)
            }
        }
    }

    fn prepare(&mut self, publication: &Publication) -> Result<Done, Error> {
        let Publication { image, platform, record, fresh, .. } = publication;
        if !fresh && let Some(manifest) = self.tagged(&record.digest)? {
            return Ok(Done::Tagged(manifest));
        }
        let compression = self.worker.engine.settings.compression;
        let described = describe(self.worker, image, platform, record, compression, self.packed)?;
        Ok(Done::Prepared(Box::new(described)))
    }

    /// The manifest that a stage's tag stands on, if it may stay.
    fn tagged(&self, digest: &StageDigest) -> Result<Option<Descriptor>, Error> {
        if self.hold.is_some() && self.worker.engine.damaged.contains(digest) {
            return Ok(None);
        }
        self.store.manifest(digest).map_err(|source| unreadable(self.store, source))
    }

    /// The manifest of the stage as others have published it by now. A record without its image is of a builder that did not
    /// get any further: the image follows.
    fn taken(&self, publication: &Publication) -> Result<Option<Descriptor>, Error> {
        let digest = publication.record.digest;
        let Some(hold) = &self.hold else { return self.tagged(&digest) };
        claims::end(hold, digest);
        let id = StageId { image: publication.image.clone(), stage: publication.record.slot.name().to_owned() };
        let Some(theirs) = claims::standing(self.worker.engine, self.store, &id, &digest)? else { return Ok(None) };
        if self.tagged(&digest)?.is_none() {
            let failed = |source| Error::Push { reference: self.store.image(&digest).to_string(), source };
            self.store.put_image(&digest, &theirs.image).map_err(failed)?;
        }
        Ok(Some(theirs.manifest()))
    }

    /// Notes in the main storage what other machines should know of a stage that is there now.
    fn leave_hints(&self, publication: &Publication, description: &Description) -> Result<(), Error> {
        if self.hold.is_none() {
            return Ok(());
        }
        let parts = self.parts_hint(&publication.record, description)?;
        let failed =
            |source| Error::Push { reference: self.store.image(&publication.record.digest).to_string(), source };
        publication.hints.iter().chain(&parts).try_for_each(|hint| self.store.put_hint(hint).map_err(failed))
    }

    /// The note that leads from mappings to the parts of what they brought, for a stage of git content in parts.
    fn parts_hint(&self, record: &StageRecord, description: &Description) -> Result<Option<Hint>, Error> {
        let (Some(last), Some([_, _, ..])) = (record.layers.last(), description.layers.last().map(Vec::as_slice))
        else {
            return Ok(None);
        };
        let Some((layer, _)) = self.worker.index.layer(&last.layer)? else { return Ok(None) };
        let LayerSource::Git { mappings } = &layer.source else { return Ok(None) };
        let mappings = git_content::mappings_id(self.worker.engine, mappings)?;
        Ok(Some(Hint::Sources { mappings, stage: record.digest }))
    }

    fn bring_layer(&mut self, layer: &LayerBlob) -> Result<(), Error> {
        bring_blob(self.worker, self.store.client(), self.store.repository(), layer)
    }

    /// Brings a blob that is here, or that the registry has in another repository. Whether it is there.
    fn bring_free(&mut self, layer: &LayerBlob) -> Result<bool, Error> {
        let (repository, blob) = (self.store.repository(), layer.blob);
        if BlobStore::new(self.worker.engine.home.clone()).has(&blob.blob, blob.size) {
            return self.bring_layer(layer).map(|()| true);
        }
        let Some(origin) = near_origin(repository, layer) else { return Ok(false) };
        let failed = |source| Error::Push { reference: format!("{repository}@{}", blob.blob), source };
        let mount = self.store.client().mount_blob(repository, blob.blob, origin.repository()).map_err(failed)?;
        Ok(matches!(mount, Mount::Mounted))
    }

    fn bring_config(&self, description: &Description) -> Result<(), Error> {
        let repository = self.store.repository();
        let failed =
            |source| Error::Push { reference: format!("{repository}@{}", description.config_digest()), source };
        self.store.client().push_bytes(repository, &description.config).map(drop).map_err(failed)
    }

    fn tag(&mut self, publication: &Publication, description: &Description) -> Result<Done, Error> {
        let blob = |layer: &LayerBlob| PublishedBlob { content: layer.content, diff_id: layer.blob.diff_id };
        let layers: Vec<Vec<PublishedBlob>> =
            description.layers.iter().map(|blobs| blobs.iter().map(blob).collect()).collect();
        // Right before the tags: what another has published since stays.
        if let Some(manifest) = self.taken(publication)? {
            return Ok(Done::Tagged(manifest));
        }
        let (store, digest) = (self.store, publication.record.digest);
        let stack = base_chain(publication.record.layers.iter().map(|used| &used.layer));
        let directories = self.worker.index.directories(&stack)?;
        let failed = |source| Error::Push { reference: store.image(&digest).to_string(), source };
        let mut attempts = UNKNOWN_BLOB_ATTEMPTS;
        loop {
            match store.put_stage(&publication.record, &description.manifest, &layers, directories.clone()) {
                Err(error) if attempts > 0 && error.is_blob_unknown() => {
                    // It was cleaned away in between, or the registry is behind its own answers.
                    description.blobs().try_for_each(|layer| self.bring_layer(layer))?;
                    self.bring_config(description)?;
                    std::thread::sleep(PAUSE * (UNKNOWN_BLOB_ATTEMPTS + 1 - attempts));
                    attempts -= 1;
                }
                Err(source) => return Err(failed(source)),
                Ok(()) => return Ok(Done::Tagged(description.descriptor.clone())),
            }
        }
    }
}

/// How often blobs are brought again that a registry says it doesn't know when it gets the manifest.
const UNKNOWN_BLOB_ATTEMPTS: u32 = 4;

/// The pause before a manifest is tried again; it grows with each try.
const PAUSE: Duration = Duration::from_millis(50);

/// Brings a layer's blob into a repository: it is there, or comes from another repository of the same registry, or is sent.
pub(super) fn bring_blob(
    worker: &mut Worker<'_, '_>,
    client: &Client,
    repository: &Repository,
    layer: &LayerBlob,
) -> Result<(), Error> {
    let blob = layer.blob;
    let failed = |source| Error::Push { reference: format!("{repository}@{}", blob.blob), source };
    let begun = match near_origin(repository, layer) {
        Some(origin) => match client.mount_blob(repository, blob.blob, origin.repository()).map_err(failed)? {
            Mount::Mounted => return Ok(()),
            Mount::Started(upload) => Some(upload),
        },
        None if client.has_blob(repository, blob.blob).map_err(failed)? => return Ok(()),
        None => None,
    };
    blobs::fetch_blob(worker, layer)?;
    let store = BlobStore::new(worker.engine.home.clone());
    let open = |offset: u64| -> io::Result<Box<dyn Read>> {
        let mut file = store.open(&blob.blob).map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    };
    let upload = match begun {
        Some(upload) => upload,
        None => client.start_upload(repository).map_err(failed)?,
    };
    client.upload_blob(upload, blob.blob, blob.size, &open).map_err(failed)?;
    Ok(())
}

/// Where a blob can be had without a byte: another repository of the same registry.
fn near_origin(repository: &Repository, layer: &LayerBlob) -> Option<Reference> {
    let origin = layer.origin.as_ref()?.parse::<Reference>().ok()?;
    let is_near = origin.repository() != repository && origin.repository().registry() == repository.registry();
    is_near.then_some(origin)
}
