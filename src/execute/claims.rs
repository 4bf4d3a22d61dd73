//! Who makes a stage, when several builders of one storage want it.
//!
//! A stage whose bytes may come out differently is claimed before it is made (see [`crate::storage::Claim`]): written, and read
//! again a little later, when all who wrote at the same time find the last of them. Whoever finds the claim of another waits for
//! the result and adopts it; when that claim is not renewed, its owner is gone, and the next one
//! takes over. Before a result is published its owner looks once more: one that was stopped for longer than its claim lived
//! finds somebody else's, and adopts what came of that.
//!
//! A registry that doesn't show what was written, for longer than a moment, is an error: without that there is no telling.
//!
//! One thread renews all claims of a run, and its lease: the note of what it needs.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use stages::StageDigest;

use super::remote::unreadable;
use super::{Engine, Error};
use crate::report::{Event, StageId};
use crate::storage::{Claim, Found, Lease, RemoteStage, RemoteStore};

/// How often claims are renewed: a few times within their life.
const BEAT: Duration = Duration::from_secs(7);

/// How often somebody else's claim is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The shortest time between writing a claim and reading it again.
const SETTLE: Duration = Duration::from_millis(15);

/// What may be added to that where the registry is slow.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);

/// How often a claim that was written is looked for. The pauses double: some ten seconds in all.
const LOOKS: u32 = 10;

/// What a builder may do with a stage.
pub(super) enum Turn {
    /// Make it, and publish it if the claim still stands then.
    Make,
    /// Take what another has made.
    Adopt(Box<RemoteStage>),
}

/// Tells the thread that renews claims.
pub(super) type Hold = mpsc::Sender<Pulse>;

/// What it is told.
pub(super) enum Pulse {
    Hold(StageDigest),
    /// It is about to be published: no renewal may come after that. The answer says that none will.
    Done(StageDigest, mpsc::Sender<()>),
    /// It will not be: others need not wait.
    Release(StageDigest),
}

/// Starts to renew the claims of a run. The thread ends when all senders are gone, and releases what is held then.
pub(super) fn start<'scope, 'env>(scope: &'scope Scope<'scope, 'env>, engine: &'env Engine<'env>) -> Hold {
    let (hold, pulses) = mpsc::channel();
    scope.spawn(move || renew(engine, &pulses));
    hold
}

/// Ends the renewals of a claim, before the stage is published in its place.
pub(super) fn end(hold: &Hold, stage: StageDigest) {
    let (answer, answered) = mpsc::channel();
    if hold.send(Pulse::Done(stage, answer)).is_ok() {
        // A thread that is gone renews nothing.
        let _gone = answered.recv();
    }
}

/// For who claims nothing.
pub(super) fn nobody() -> Hold {
    mpsc::channel().0
}

fn renew(engine: &Engine<'_>, pulses: &mpsc::Receiver<Pulse>) {
    let Some(main) = &engine.roles.main else { return };
    let mut held: BTreeMap<StageDigest, u64> = BTreeMap::new();
    let mut next = Instant::now() + BEAT;
    let mut leased = lease(engine, main);
    loop {
        if leased.elapsed() > LEASE_RENEWAL {
            leased = lease(engine, main);
        }
        match pulses.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Pulse::Hold(stage)) => drop(held.insert(stage, 0)),
            Ok(Pulse::Done(stage, answer)) => {
                held.remove(&stage);
                // Who asked may have been interrupted.
                let _gone = answer.send(());
            }
            Ok(Pulse::Release(stage)) => {
                if held.remove(&stage).is_some() {
                    release(engine, main, [stage]);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                held.retain(|stage, beat| {
                    *beat += 1;
                    write_over_own(engine, main, stage, *beat, false)
                });
                next = Instant::now() + BEAT;
            }
            Err(RecvTimeoutError::Disconnected) => {
                release(engine, main, held.into_keys());
                return;
            }
        }
    }
}

/// How long a lease holds, in seconds, and when the next one is written.
const LEASE_SECONDS: i64 = 3 * 3600;
const LEASE_RENEWAL: Duration = Duration::from_secs(2 * 3600);

/// Notes what this run needs, for cleanups; when that was. A storage that can't take the note does not stop a build: what a
/// cleanup takes away too early is made again.
fn lease(engine: &Engine<'_>, main: &RemoteStore) -> Instant {
    let settings = &engine.settings;
    let passed = i64::try_from(settings.started.elapsed().as_secs()).unwrap_or(0);
    let lease = Lease {
        project: settings.project.clone(),
        run: settings.run.clone(),
        expires: settings.now + passed + LEASE_SECONDS,
        stages: settings.leased.clone(),
    };
    if let Err(error) = main.note_lease(&lease)
        && !engine.cancel.is_cancelled()
    {
        let message = format!("the storage has no note of what this build needs: {error}");
        engine.events.send(Event::Warning { message });
    }
    Instant::now()
}

/// Writes a claim where our own stands; whether it did. What can't be reached now is tried at the next beat.
fn write_over_own(engine: &Engine<'_>, main: &RemoteStore, stage: &StageDigest, beat: u64, released: bool) -> bool {
    let owner = engine.settings.run.clone();
    match main.stage(stage) {
        Ok(Found::Claimed(claim)) if claim.owner == owner => {
            let _next_beat = main.put_claim(stage, &Claim { owner, beat, released });
            true
        }
        Ok(_) => false,
        Err(_unreachable) => true,
    }
}

/// How long an interrupted run may take to give its claims up.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Gives claims up, so that nobody waits for them; also when the run was interrupted, as long as the registry answers at once.
fn release(engine: &Engine<'_>, main: &RemoteStore, stages: impl IntoIterator<Item = StageDigest>) {
    let (begun, is_over) = (Instant::now(), engine.cancel.is_cancelled());
    let last = is_over.then(|| main.for_a_last_word());
    for stage in stages {
        if is_over && begun.elapsed() >= LAST_WORDS {
            return;
        }
        write_over_own(engine, last.as_ref().unwrap_or(main), &stage, u64::MAX, true);
    }
}

/// Waits until this builder may make a stage, or another one has.
pub(super) fn take_turn(
    engine: &Engine<'_>,
    main: &RemoteStore,
    id: &StageId,
    stage: &StageDigest,
    hold: &Hold,
) -> Result<Turn, Error> {
    let failed = |source| unreadable(main, source);
    let (mut watch, mut unseen) = (Watch::default(), 0);
    loop {
        engine.check_cancelled()?;
        let asked = Instant::now();
        match main.stage(stage).map_err(failed)? {
            Found::Stage(found) if !engine.damaged.contains(stage) => return Ok(Turn::Adopt(found)),
            Found::Claimed(claim) if claim.owner != engine.settings.run && !watch.is_void(&claim) => {
                unseen = 0;
                watch.wait(engine, id)?;
            }
            Found::Claimed(claim) if claim.owner == engine.settings.run => {
                return Ok(Turn::Make);
            }
            _ if unseen == LOOKS => {
                return Err(Error::ClaimUnseen { stage: id.clone(), repository: main.repository().to_string() });
            }
            found => {
                // Registries may be behind their own answers: what has been written is waited for, not written again.
                let is_late = unseen > 0 && matches!(found, Found::Nothing | Found::Damaged { .. });
                if !is_late {
                    let claim = Claim { owner: engine.settings.run.clone(), beat: 0, released: false };
                    let reference = main.image(stage).to_string();
                    // From now on, so that it is given up when the run ends while it is written: an interruption may hide the
                    // answer, and not the claim. Nobody is going to listen any more when the run is over.
                    let _over = hold.send(Pulse::Hold(*stage));
                    main.put_claim(stage, &claim).map_err(|source| Error::Push { reference, source })?;
                }
                // Others may have been as slow between looking and writing; not so if this one was stopped in between.
                std::thread::sleep(SETTLE * (1 << unseen) + (2 * asked.elapsed()).min(LONGEST_SETTLE));
                unseen += 1;
            }
        }
    }
}

/// The stage as another builder has published it; `None` when it is ours to publish.
pub(super) fn standing(
    engine: &Engine<'_>,
    main: &RemoteStore,
    id: &StageId,
    stage: &StageDigest,
) -> Result<Option<Box<RemoteStage>>, Error> {
    let mut watch = Watch::default();
    loop {
        engine.check_cancelled()?;
        match main.stage(stage).map_err(|source| unreadable(main, source))? {
            Found::Stage(found) if !engine.damaged.contains(stage) => return Ok(Some(found)),
            Found::Claimed(claim) if claim.owner != engine.settings.run && !watch.is_void(&claim) => {
                watch.wait(engine, id)?;
            }
            _ => return Ok(None),
        }
    }
}

/// Watches somebody else's claim.
#[derive(Default)]
struct Watch {
    seen: Option<(Claim, Instant)>,
    since: Option<Instant>,
}

impl Watch {
    /// Whether a claim need not be waited for: it was given up, or has not been renewed for its life.
    fn is_void(&mut self, claim: &Claim) -> bool {
        match &self.seen {
            Some((seen, at)) if seen == claim => claim.released || at.elapsed() > Claim::LIFE,
            _ => {
                self.seen = Some((claim.clone(), Instant::now()));
                claim.released
            }
        }
    }

    /// Waits a little, and says so the first time.
    fn wait(&mut self, engine: &Engine<'_>, id: &StageId) -> Result<(), Error> {
        let what = || format!("stage `{}` of image `{}`, which another builder makes", id.stage, id.image);
        let since = *self.since.get_or_insert_with(|| {
            engine.events.send(Event::Waiting { what: what() });
            Instant::now()
        });
        if since.elapsed() > engine.settings.lock_deadline {
            return Err(Error::ClaimDeadline { what: what(), waited: since.elapsed() });
        }
        std::thread::sleep(LOOK);
        Ok(())
    }
}
