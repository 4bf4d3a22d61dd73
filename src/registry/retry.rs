//! Waiting before another attempt: exponential, with chance, within a budget, ended at once by the cancel flag.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::Error;
use super::error::Task;
use super::settings::{Settings, Wait};

/// How often the cancel flag is looked at during a wait.
const SLICE: Duration = Duration::from_millis(50);

/// Bytes that count as progress; less would let a broken server hold a transfer for ever.
const PROGRESS: u64 = 64 * 1024;

/// Whether another attempt follows a failure that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Retry,
    /// There is somebody else to ask.
    Once,
}

/// The attempts of one operation.
pub(super) struct Backoff<'a> {
    settings: &'a Settings,
    task: &'a Task,
    patience: Patience,
    failures: u32,
    waited: Duration,
}

impl<'a> Backoff<'a> {
    pub(super) fn new(settings: &'a Settings, task: &'a Task) -> Self {
        Self::resumed(settings, task, Spent::default())
    }

    /// Goes on with what an earlier part of the operation has spent.
    pub(super) fn resumed(settings: &'a Settings, task: &'a Task, spent: Spent) -> Self {
        Self { settings, task, patience: Patience::Retry, failures: spent.failures, waited: spent.waited }
    }

    pub(super) fn with(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn spent(&self) -> Spent {
        Spent { failures: self.failures, waited: self.waited }
    }

    /// Waits after `error`, or gives it back when there is no sense in another attempt.
    pub(super) fn wait(&mut self, error: Error) -> Result<(), Error> {
        let policy = &self.settings.retry;
        if self.patience == Patience::Once || !error.is_transient() {
            return Err(error);
        }
        self.failures += 1;
        if self.failures >= policy.attempts {
            return Err(error);
        }
        let own = policy.base_delay.saturating_mul(1 << (self.failures - 1).min(16)).min(policy.max_delay);
        let delay = error.retry_after().unwrap_or_else(|| own.mul_f64(1.0 - chance() / 2.0));
        if self.waited + delay > policy.budget {
            return Err(error);
        }
        self.waited += delay;
        if let Some(hook) = &self.settings.on_wait {
            hook.call(&Wait { reason: &error, delay: Some(delay) });
        }
        sleep(self.settings, self.task, delay)
    }

    /// After bytes have moved the number of attempts starts anew; the time budget does not.
    pub(super) fn progressed(&mut self, bytes: u64) {
        if bytes >= PROGRESS {
            self.failures = 0;
        }
    }
}

/// What an operation has used up of its retry policy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    failures: u32,
    waited: Duration,
}

/// Fails when the caller has cancelled.
pub(super) fn check_cancel(settings: &Settings, task: &Task) -> Result<(), Error> {
    if settings.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled { task: task.clone() }) } else { Ok(()) }
}

fn sleep(settings: &Settings, task: &Task, delay: Duration) -> Result<(), Error> {
    let end = Instant::now() + delay;
    loop {
        check_cancel(settings, task)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}

/// A number in 0..1, so that many builders do not come back at the same instant.
fn chance() -> f64 {
    f64::from((RandomState::new().hash_one(0) & 0xffff) as u32) / 65536.0
}

/// Reads a `Retry-After` value: seconds, or a date measured against the registry's own `Date`.
pub(super) fn parse_retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let moment = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|moment| moment.timestamp());
    let now = date.and_then(moment).or_else(|| SystemTime::now().try_into().ok())?;
    let wait = moment(value)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::error::Answer;
    use super::*;

    fn busy(retry_after: Option<Duration>) -> Error {
        let answer = Answer { host: "h".to_owned(), status: 429, message: String::new(), codes: Vec::new() };
        Error::TooManyRequests { task: Task::new("x", "y"), answer, retry_after }
    }

    fn quick(attempts: u32) -> Settings {
        let mut settings = Settings::default();
        settings.retry.attempts = attempts;
        settings.retry.base_delay = Duration::from_micros(10);
        settings
    }

    #[test]
    fn attempts_and_budget_are_bounded() {
        let task = Task::new("x", "y");
        let settings = quick(3);
        let mut backoff = Backoff::new(&settings, &task);
        assert!(backoff.wait(busy(None)).is_ok());
        assert!(backoff.wait(busy(None)).is_ok());
        assert!(backoff.wait(busy(None)).is_err());
        backoff.progressed(1);
        assert!(backoff.wait(busy(None)).is_err());
        backoff.progressed(PROGRESS);
        assert!(backoff.wait(busy(None)).is_ok());
        assert!(backoff.wait(busy(Some(Duration::from_secs(3600)))).is_err(), "beyond the budget");
        assert!(backoff.wait(Error::Cancelled { task: task.clone() }).is_err());
    }

    #[test]
    fn the_cancel_flag_ends_a_wait() {
        let task = Task::new("x", "y");
        let settings = quick(3);
        settings.cancel.store(true, Ordering::Relaxed);
        let mut backoff = Backoff::new(&settings, &task);
        let error = backoff.wait(busy(Some(Duration::from_secs(200)))).unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }));
    }

    #[test]
    fn retry_after_has_two_forms() {
        assert_eq!(parse_retry_after("7", None), Some(Duration::from_secs(7)));
        let date = Some("Fri, 31 Dec 1999 23:59:00 GMT");
        assert_eq!(parse_retry_after("Fri, 31 Dec 1999 23:59:59 GMT", date), Some(Duration::from_secs(59)));
        assert_eq!(parse_retry_after("Fri, 31 Dec 1999 23:58:59 GMT", date), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("-1", None), None);
        assert_eq!(parse_retry_after("soon", date), None);
    }
}
