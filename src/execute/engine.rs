//! What every stage is made with.

use std::sync::Arc;
use std::time::Duration;

use stages::ProjectName;

use super::{Error, RunDirectories};
use crate::builder::{Builder, CancelToken};
use crate::git::{Remotes, Repository};
use crate::giterminism::Gate;
use crate::layer::Ownership;
use crate::registry::Client;
use crate::report::EventSink;
use crate::storage::Home;

/// The time that everything a build makes carries, in seconds since 1970: 1980-01-01T00:00:01Z, the first second that zip
/// archives can show (as buildpacks use it). Steps see it as `SOURCE_DATE_EPOCH`.
pub const SOURCE_DATE_EPOCH: i64 = 315_532_801;

/// The parts that stages are made with, and what they report to. Shared by all workers.
pub struct Engine<'a> {
    /// The store.
    pub home: &'a Home,
    /// Runs steps.
    pub builder: &'a dyn Builder,
    /// Pulls bases.
    pub registry: &'a Client,
    /// The project's repository.
    pub repository: &'a Repository,
    /// Opens the repository of a remote mapping, which planning has fetched.
    pub remotes: &'a Remotes,
    /// Secrets and base files.
    pub gate: &'a Gate,
    /// Where events go.
    pub events: Arc<dyn EventSink>,
    /// Raised on Ctrl-C.
    pub cancel: &'a CancelToken,
    /// Directories that end with the build.
    pub run_directories: RunDirectories,
    /// The rest.
    pub settings: Settings,
}

/// Values that an engine runs with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project, which names its cache mounts.
    pub project: ProjectName,
    /// How many stages are made at once.
    pub parallel: usize,
    /// How owners are kept on disk.
    pub ownership: Ownership,
    /// The present, in seconds since 1970.
    pub now: i64,
    /// How long to wait for another stager that makes the same stage.
    pub lock_deadline: Duration,
}

impl Engine<'_> {
    /// Fails when the run was interrupted.
    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
