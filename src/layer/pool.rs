//! Worker threads whose results are taken in the order of the jobs.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

/// A fixed set of workers. Dropping the pool ends them.
pub(super) struct Pool<J, R> {
    jobs: SyncSender<(J, SyncSender<R>)>,
}

/// A result to come.
pub(super) type Pending<R> = Receiver<R>;

impl<J: Send, R: Send> Pool<J, R> {
    /// Starts at least one worker in `scope`; `worker` makes the function that each of them runs.
    pub(super) fn start<'scope, 'env, F>(
        scope: &'scope Scope<'scope, 'env>,
        threads: usize,
        worker: impl Fn() -> F,
    ) -> Self
    where
        F: FnMut(J) -> R + Send + 'scope,
        J: 'scope,
        R: 'scope,
    {
        let threads = threads.max(1);
        let (jobs, queue) = sync_channel::<(J, SyncSender<R>)>(threads);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let mut work = worker();
            scope.spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((job, answer)) = job else { break };
                    // Nobody waits for the answer when the caller has failed already.
                    let _ = answer.send(work(job));
                }
            });
        }
        Self { jobs }
    }

    /// Hands a job over, waiting while all workers are busy. The result never comes if the worker panicked.
    pub(super) fn submit(&self, job: J) -> Pending<R> {
        let (answer, pending) = sync_channel(1);
        // Sending fails only when every worker has panicked; the pending result then says so.
        let _ = self.jobs.send((job, answer));
        pending
    }
}
