//! The ready queue: stages whose needs are met, taken by a fixed number of workers.
//!
//! The calling thread owns all state. Workers take a job, make the stage, and send back what came of it; they share nothing
//! but the two channels.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use stages::StageDigest;

use super::claims::Hold;
use super::need::{Need, Node};
use super::publish::{Publication, Publisher};
use super::worker::{Made, Worker};
use super::{Engine, Error};
use crate::report::{Event, StageId, StageStatus};
use crate::storage::StageRecord;

/// The records of the stages that a stage needs.
pub(super) type Records = BTreeMap<StageDigest, Arc<StageRecord>>;

struct Job<'a> {
    node: Node<'a>,
    needs: Records,
}

/// Makes all missing stages. The first failure ends the run once the stages at work are done with; no other is begun.
pub(super) fn run(
    engine: &Engine<'_>,
    need: Need<'_>,
    publisher: &Publisher<'_>,
    hold: &Hold,
) -> (BTreeMap<StageDigest, Made>, Result<(), Error>) {
    let workers = engine.settings.parallel.min(need.missing.len()).max(1);
    let (jobs, job_receiver) = mpsc::channel::<Job<'_>>();
    let job_receiver = Mutex::new(job_receiver);
    let (done_sender, done) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (done_sender, job_receiver, hold) = (done_sender.clone(), &job_receiver, hold.clone());
            scope.spawn(move || {
                let mut worker = None;
                loop {
                    // Held while waiting for a job, which is all that the other idle workers do too.
                    let job = job_receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { node, needs }) = job else { break };
                    let make = AssertUnwindSafe(|| {
                        let worker = match &mut worker {
                            Some(worker) => worker,
                            none => none.insert(Worker::open(engine, hold.clone())?),
                        };
                        worker.make(node, &needs)
                    });
                    // A panic is a defect: it ends the run as any failure does, not by hanging it.
                    let made = catch_unwind(make).unwrap_or(Err(Error::WorkerDied));
                    if done_sender.send((node.stage.digest, node, made)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done_sender);
        let mut queue = Queue::new(need, workers);
        let result = queue.run(engine, publisher, jobs, &done);
        (queue.made, result)
    })
}

struct Queue<'a> {
    records: Records,
    /// Stages not begun yet → how many of their needs are still missing.
    waiting: BTreeMap<StageDigest, (Node<'a>, usize)>,
    dependents: BTreeMap<StageDigest, Vec<StageDigest>>,
    ready: VecDeque<Node<'a>>,
    idle: usize,
    busy: usize,
    made: BTreeMap<StageDigest, Made>,
}

impl<'a> Queue<'a> {
    fn new(need: Need<'a>, workers: usize) -> Self {
        let mut queue = Self {
            records: need.found,
            waiting: BTreeMap::new(),
            dependents: BTreeMap::new(),
            ready: VecDeque::new(),
            idle: workers,
            busy: 0,
            made: BTreeMap::new(),
        };
        for (digest, node) in &need.missing {
            let needs: BTreeSet<StageDigest> =
                node.stage.needs().into_iter().filter(|needed| need.missing.contains_key(needed)).collect();
            for needed in &needs {
                queue.dependents.entry(*needed).or_default().push(*digest);
            }
            if needs.is_empty() {
                queue.ready.push_back(*node);
            } else {
                queue.waiting.insert(*digest, (*node, needs.len()));
            }
        }
        queue
    }

    fn run(
        &mut self,
        engine: &Engine<'_>,
        publisher: &Publisher<'_>,
        jobs: mpsc::Sender<Job<'a>>,
        done: &mpsc::Receiver<(StageDigest, Node<'a>, Result<Made, Error>)>,
    ) -> Result<(), Error> {
        let mut failure: Option<Error> = None;
        loop {
            while failure.is_none() && self.idle > 0 && !engine.cancel.is_cancelled() && !publisher.has_failed() {
                let Some(node) = self.ready.pop_front() else { break };
                let needs = node
                    .stage
                    .needs()
                    .into_iter()
                    .filter_map(|needed| Some((needed, Arc::clone(self.records.get(&needed)?))))
                    .collect();
                self.idle -= 1;
                self.busy += 1;
                if jobs.send(Job { node, needs }).is_err() {
                    return Err(Error::WorkerDied);
                }
            }
            if self.busy == 0 {
                break;
            }
            let Ok((digest, node, result)) = done.recv() else { return Err(Error::WorkerDied) };
            self.idle += 1;
            self.busy -= 1;
            match result {
                Ok(made) => {
                    let (image, platform) = (node.image.name.clone(), node.image.platform.clone());
                    let record = Arc::clone(&made.record);
                    publisher.publish(&Publication {
                        image,
                        platform,
                        record,
                        fresh: made.status != StageStatus::Reused,
                        hints: made.hints.clone(),
                        behind: false,
                    });
                    self.finish(digest, made);
                }
                Err(error) => {
                    if !matches!(error, Error::Interrupted) {
                        let id = StageId { image: node.image.name.clone(), stage: node.stage.slot.name().to_owned() };
                        engine.events.send(Event::StageFailed { id, message: error.to_string() });
                    }
                    // A failure that follows from the first one, or from Ctrl-C, would hide the cause.
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None if engine.cancel.is_cancelled() => Err(Error::Interrupted),
            None => Ok(()),
        }
    }

    fn finish(&mut self, digest: StageDigest, made: Made) {
        self.records.insert(digest, Arc::clone(&made.record));
        self.made.insert(digest, made);
        for dependent in self.dependents.remove(&digest).unwrap_or_default() {
            if let Some((node, missing)) = self.waiting.get_mut(&dependent) {
                *missing -= 1;
                if *missing == 0 {
                    self.ready.push_back(*node);
                    self.waiting.remove(&dependent);
                }
            }
        }
    }
}
