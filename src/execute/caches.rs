//! Directories that outlive a step: cache mounts, which outlive the build too, and those that end with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use stages::plan::PlannedImage;
use stages::spec::{Mount, MountSource as SpecSource, Sharing, Step};

use super::{Engine, Error};
use crate::builder::{MountSource, StepMount};
use crate::report::{Event, StageId};
use crate::storage::{Home, Lock, TempDir};

/// The cache directories of one step, held as their sharing says until this is dropped.
pub(super) struct CacheHold {
    mounts: Vec<(String, PathBuf)>,
    /// Held until they are dropped.
    locks: Vec<Lock>,
}

impl CacheHold {
    /// Takes the caches of a step, and the image's `from: cache` mounts. A `locked` one may have to be waited for; of a
    /// `private` one the first free copy is taken.
    pub(super) fn take(engine: &Engine<'_>, id: &StageId, step: &Step, mounts: &[Mount]) -> Result<Self, Error> {
        let mut hold = Self { mounts: Vec::new(), locks: Vec::new() };
        for mount in mounts.iter().filter(|mount| mount.source == SpecSource::Cache) {
            hold.add(engine, id, &mount.to, &format!("mount:{}", mount.to), Sharing::Shared)?;
        }
        // In the order of their ids, so that two steps that lock the same two never wait for each other.
        let mut caches: Vec<_> = step.caches.iter().collect();
        caches.sort_by(|left, right| left.id.cmp(&right.id));
        for cache in caches {
            hold.add(engine, id, &cache.path, &format!("cache:{}", cache.id), cache.sharing)?;
        }
        Ok(hold)
    }

    fn add(&mut self, engine: &Engine<'_>, id: &StageId, path: &str, key: &str, sharing: Sharing) -> Result<(), Error> {
        let project = engine.settings.project.as_str();
        let directory = match sharing {
            Sharing::Shared => engine.home.cache(project, key),
            Sharing::Locked if self.mounts.iter().any(|(_, held)| *held == engine.home.cache(project, key)) => {
                engine.home.cache(project, key)
            }
            Sharing::Locked => {
                let directory = engine.home.cache(project, key);
                let what = format!("cache `{key}` for stage `{}` of image `{}`", id.stage, id.image);
                let waiting =
                    || engine.events.send(Event::Waiting { what: format!("{what}, which another step uses") });
                let cancelled = || engine.cancel.is_cancelled();
                let lock = Self::lock_path(engine, &directory);
                self.locks.push(Lock::take(&lock, &what, engine.settings.lock_deadline, waiting, cancelled)?);
                directory
            }
            Sharing::Private => self.first_free(engine, project, key)?,
        };
        fs::create_dir_all(&directory)?;
        self.mounts.push((path.to_owned(), directory));
        Ok(())
    }

    fn first_free(&mut self, engine: &Engine<'_>, project: &str, key: &str) -> Result<PathBuf, Error> {
        let mut copy = 0_u32;
        loop {
            let directory = engine.home.cache(project, &format!("{key}#{copy}"));
            if let Some(lock) = Lock::try_take(&Self::lock_path(engine, &directory))? {
                self.locks.push(lock);
                return Ok(directory);
            }
            copy += 1;
        }
    }

    fn lock_path(engine: &Engine<'_>, directory: &std::path::Path) -> PathBuf {
        let hash = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
        engine.home.lock(&format!("cache-{}", &hash[..32]))
    }

    /// The mounts for the builder.
    pub(super) fn mounts(&self) -> impl Iterator<Item = StepMount> {
        self.mounts.iter().map(|(target, path)| StepMount {
            target: target.clone(),
            source: MountSource::Bind { path: path.clone(), read_only: false },
        })
    }
}

/// The directories of one build that are empty when it starts, each shared by the steps of an image. They are made when a step
/// wants one, and gone when this is dropped; what a killed build leaves, a later one takes away.
#[derive(Debug, Default)]
pub struct RunDirectories(Mutex<Option<TempDir>>);

impl RunDirectories {
    /// The directory for a mount of an image.
    pub(super) fn of(&self, home: &Home, image: &PlannedImage, to: &str) -> Result<PathBuf, Error> {
        let mut temp = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let temp = match &mut *temp {
            Some(temp) => temp,
            none => none.insert(home.temp()?),
        };
        let name = blake3::hash(format!("{}\n{}\n{to}", image.name, image.platform).as_bytes()).to_hex();
        let path = temp.path().join(&name[..32]);
        if !path.is_dir() {
            fs::create_dir(&path)?;
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(path)
    }
}
