//! What every stage is made with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stages::{ProjectName, StageDigest};

use super::{Error, LostBlob, RunDirectories};
use crate::builder::{Builder, CancelToken};
use crate::git::{Remotes, Repository};
use crate::giterminism::Gate;
use crate::layer::{Compression, Ownership};
use crate::registry::Client;
use crate::report::EventSink;
use crate::storage::{Home, Roles};

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
    /// The stage storages in registries.
    pub roles: &'a Roles,
    /// Stages that the main storage has something else for.
    pub damaged: BTreeSet<StageDigest>,
    /// Blobs that registries were found not to have, or not as they should be.
    pub lost: &'a BTreeSet<LostBlob>,
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
    /// Names this run among all builders.
    pub run: String,
    /// The stages that the run needs.
    pub leased: Vec<StageDigest>,
    /// The project, which names its cache mounts.
    pub project: ProjectName,
    /// How many stages are made at once.
    pub parallel: usize,
    /// How owners are kept on disk.
    pub ownership: Ownership,
    /// How new layers are compressed when they leave.
    pub compression: Compression,
    /// The present, in seconds since 1970.
    pub now: i64,
    /// When the run began: `now` on a clock that nobody sets.
    pub started: Instant,
    /// How long to wait for another stager that makes the same stage.
    pub lock_deadline: Duration,
}

impl Engine<'_> {
    /// Fails when the run was interrupted.
    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
