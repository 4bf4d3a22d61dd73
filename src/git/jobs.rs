//! A few threads that work off jobs which bring more jobs.

use std::sync::{Condvar, Mutex, PoisonError};

use super::error::GitError;
use super::repository::lock;

/// Jobs done by the calling thread before others are started: small work ends sooner than a thread begins.
const ALONE: usize = 8;

/// Performs one job and adds those that it brings.
pub(super) type Perform<'a, J> = dyn Fn(J, &mut Vec<J>) -> Result<(), GitError> + Sync + 'a;

/// Performs `first` and all jobs that it brings, on up to `threads` threads. Ends with the first failure.
pub(super) fn run<J: Send>(threads: usize, first: J, perform: &Perform<'_, J>) -> Result<(), GitError> {
    let pool = Pool {
        queue: Mutex::new(Queue { jobs: vec![first], running: 0, failure: None }),
        wake: Condvar::new(),
        perform,
    };
    pool.work(ALONE);
    if !lock(&pool.queue).jobs.is_empty() {
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| pool.work(usize::MAX));
            }
            pool.work(usize::MAX);
        });
    }
    let failure = lock(&pool.queue).failure.take();
    failure.map_or(Ok(()), Err)
}

struct Pool<'a, J> {
    queue: Mutex<Queue<J>>,
    wake: Condvar,
    perform: &'a Perform<'a, J>,
}

struct Queue<J> {
    jobs: Vec<J>,
    /// Jobs taken and not finished.
    running: usize,
    failure: Option<GitError>,
}

impl<J> Pool<'_, J> {
    /// Works off at most `limit` jobs, or until nothing is left.
    fn work(&self, limit: usize) {
        let mut more = Vec::new();
        for _ in 0..limit {
            let Some(job) = self.take() else { return };
            let finish = Finish(self);
            let result = (self.perform)(job, &mut more);
            let mut queue = lock(&self.queue);
            queue.jobs.append(&mut more);
            if let Err(error) = result {
                queue.failure.get_or_insert(error);
            }
            drop(queue);
            drop(finish);
        }
    }

    fn take(&self) -> Option<J> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.failure.is_some() {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                queue.running += 1;
                return Some(job);
            }
            if queue.running == 0 {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Ends a job also when it panics, so that no thread waits for it forever.
struct Finish<'a, 'b, J>(&'a Pool<'b, J>);

impl<J> Drop for Finish<'_, '_, J> {
    fn drop(&mut self) {
        lock(&self.0.queue).running -= 1;
        self.0.wake.notify_all();
    }
}
