//! Base files: archives and layouts that an image starts from, of the commit or, where the rules allow it, of the host.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stages::Checksum;
use stages::filter::PathFilter;

use super::error::{Error, IN_COMMIT, RefusalKind};
use super::gate::{Gate, ReadKind};
use crate::git::{self, FileMode, LayoutOptions, Placement, is_lfs_pointer};
use crate::layer::Ownership;

/// Enters the checksum of every base file on disk first.
const FORMAT: &[u8] = b"stager.base-file.1";

/// The format of the kept checksums: the first line of the file.
const CACHE_FORMAT: &str = "stager base file checksums 1";

impl Gate {
    /// Refuses a base file that is not of the commit, unless the rules allow it.
    pub fn check_base(&self, path: &str) -> Result<(), Error> {
        self.base(path).map(|_| ())
    }

    /// The checksum of a base file or directory: by git's object id if the commit has it, else, if
    /// `config.native.allowBaseFiles` allows the path, of its bytes on disk.
    pub fn base_checksum(&self, path: &str) -> Result<Checksum, Error> {
        if let Some(known) = self.state().base_files.get(path) {
            return Ok(*known);
        }
        let checksum = match self.base(path)? {
            Base::Host(place) => self.host_checksum(path, &place)?,
            Base::Committed(full) => {
                let repository = &self.repository;
                let found = repository.checksum(&self.options.tree, &full, &PathFilter::everything())?;
                found.ok_or_else(|| not_found(path))?
            }
        };
        self.note(ReadKind::BaseFile, path, Some(checksum.as_bytes()));
        self.state().base_files.insert(path.to_owned(), checksum);
        Ok(checksum)
    }

    /// Makes a base file or directory readable: the path of that on the host, or `scratch`, to which that of the commit
    /// is written.
    pub fn materialize_base(&self, path: &str, scratch: &Path) -> Result<PathBuf, Error> {
        let full = match self.base(path)? {
            Base::Host(place) => return Ok(place),
            Base::Committed(full) => full,
        };
        let repository = &self.repository;
        let entry = repository.entry(&self.options.tree, &full)?.ok_or_else(|| not_found(path))?;
        if matches!(entry.mode, FileMode::Tree | FileMode::Submodule) {
            fs_err::create_dir_all(scratch).map_err(|error| Error::io("create", scratch, error))?;
            let placement = Placement {
                repository: repository.clone(),
                tree: self.options.tree.clone(),
                add: full,
                filter: Arc::new(PathFilter::everything()),
                to: "/".into(),
                owner: (0, 0),
                directory_mode: 0o755,
            };
            let options =
                LayoutOptions { mtime: 0, ownership: Ownership::Recorded, threads: 2, directories: &|_| None };
            git::lay_out(&[placement], scratch, None, options)?;
            return Ok(scratch.to_owned());
        }
        if entry.repository.blob_size(&entry.id)? < 1024
            && is_lfs_pointer(&entry.repository.read_blob(&entry.id, 1024)?)
        {
            return Err(Error::LfsPointer { path: path.to_owned(), place: IN_COMMIT });
        }
        let failed = |error| Error::io("write", scratch, error);
        if let Some(parent) = scratch.parent() {
            fs_err::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = fs_err::File::create(scratch).map_err(failed)?;
        entry.repository.copy_blob(&entry.id, &mut file)?.map_err(failed)?;
        Ok(scratch.to_owned())
    }

    fn base(&self, path: &str) -> Result<Base, Error> {
        let place = self.host_path(path)?;
        let (project, home) = (&self.options.directory, self.home());
        let allowed = self.any(|rules| rules.native.base_files.allow(&place, project, home));
        let inside = place.strip_prefix(project).ok();
        let full = inside.map(|inside| self.repository.in_project(inside.as_os_str().as_bytes())).transpose()?;
        let committed = match full {
            Some(full) => self.repository.resolve_symlink_path(&self.options.tree, &full)?,
            None => None,
        };
        // Bytes of the disk take precedence only where a rule, or loose giterminism, lets them in, and where they differ: the
        // same commit has the same digests in every mode.
        let disk = (allowed || self.options.mode.is_loose()) && place.exists();
        if let Some((full, entry)) = committed {
            let differs = disk
                && match entry.mode {
                    FileMode::Tree | FileMode::Submodule => allowed,
                    _ => self.repository.file_differs(&self.options.tree, &full)?,
                };
            return Ok(if differs { Base::Host(place) } else { Base::Committed(full) });
        }
        if disk {
            return Ok(Base::Host(place));
        }
        if !place.exists() {
            return Err(not_found(path));
        }
        self.check(false, RefusalKind::BaseFile, "config.native.allowBaseFiles", path)?;
        Ok(Base::Host(place))
    }

    fn host_checksum(&self, path: &str, place: &Path) -> Result<Checksum, Error> {
        let cache_path = self.checksum_cache.as_deref();
        let mut cache = Kept::load(cache_path);
        let mut hasher = blake3::Hasher::new();
        hasher.update(FORMAT);
        let mut frame = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        let files = if place.is_dir() { files_below(place)? } else { vec![PathBuf::new()] };
        if files.is_empty() {
            return Err(not_found(path));
        }
        for file in files {
            let full = if file.as_os_str().is_empty() { place.to_owned() } else { place.join(&file) };
            frame(file.as_os_str().as_bytes());
            frame(cache.hash(&full)?.as_bytes());
        }
        if let Some(cache_path) = cache_path {
            cache.save(cache_path)?;
        }
        Ok(hasher.finalize().into())
    }
}

enum Base {
    Host(PathBuf),
    /// Its path in the repository.
    Committed(Vec<u8>),
}

fn not_found(path: &str) -> Error {
    Error::NotFound { path: path.to_owned(), place: IN_COMMIT }
}

/// Files beneath a directory, sorted and relative to it. Links are followed: what counts is what will be read.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    const MAX_FILES: usize = 100_000;
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let full = directory.join(&relative);
        let failed = |error| Error::io("read", &full, error);
        for entry in fs_err::read_dir(&full).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let inner = relative.join(entry.file_name());
            let meta = fs_err::metadata(entry.path()).map_err(failed)?;
            if meta.is_dir() && inner.components().count() < 32 {
                pending.push(inner);
            } else if meta.is_file() {
                found.push(inner);
            }
            if found.len() > MAX_FILES {
                return Err(failed(std::io::Error::other("it has more than 100 000 files")));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

struct Line {
    path: PathBuf,
    identity: String,
    hash: blake3::Hash,
    /// When the file last changed, if it was hashed now: seconds since 1970 by the file system's clock.
    changed: Option<i64>,
}

/// Hashes of files on disk, kept by what the file system says of them: hashing a base of 160 MB takes longer than all
/// else in a build that has nothing to do.
#[derive(Default)]
struct Kept {
    lines: Vec<Line>,
    changed: bool,
}

impl Kept {
    /// A missing or damaged file is an empty one: everything in it can be had again.
    fn load(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| fs_err::read_to_string(path).ok()).unwrap_or_default();
        let mut lines = text.lines();
        if lines.next() != Some(CACHE_FORMAT) {
            return Self::default();
        }
        let parse = |line: &str| {
            let (identity, rest) = line.split_once('\t')?;
            let (hash, path) = rest.split_once('\t')?;
            let hash = blake3::Hash::from_hex(hash).ok()?;
            Some(Line { path: PathBuf::from(path), identity: identity.to_owned(), hash, changed: None })
        };
        Self { lines: lines.filter_map(parse).collect(), changed: false }
    }

    fn hash(&mut self, path: &Path) -> Result<blake3::Hash, Error> {
        let failed = |error| Error::io("read", path, error);
        let meta = fs_err::metadata(path).map_err(failed)?;
        let identity = identity(&meta);
        if let Some(line) = self.lines.iter().find(|line| line.path == path && line.identity == identity) {
            return Ok(line.hash);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs_err::File::open(path).map_err(failed)?).map_err(failed)?;
        let hash = hasher.finalize();
        if path.to_str().is_some_and(|path| !path.contains('\n')) {
            self.lines.retain(|line| line.path != path);
            let changed = Some(meta.mtime().max(meta.ctime()));
            self.lines.push(Line { path: path.to_owned(), identity, hash, changed });
            self.changed = true;
        }
        Ok(hash)
    }

    fn save(&self, path: &Path) -> Result<(), Error> {
        const MAX_LINES: usize = 10_000;
        if !self.changed {
            return Ok(());
        }
        let failed = |error| Error::io("write", path, error);
        let parent = path.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(parent).map_err(failed)?;
        let temp = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
        let now = temp.as_file().metadata().map_err(failed)?.mtime();
        let mut text = format!("{CACHE_FORMAT}\n");
        for line in self.lines.iter().rev().take(MAX_LINES).rev() {
            // A file this young may change again without its times telling.
            if line.changed.is_none_or(|changed| changed + 2 < now) {
                text.extend([&line.identity, "\t", &line.hash.to_hex(), "\t"]);
                text.extend([line.path.to_str().unwrap_or_default(), "\n"]);
            }
        }
        fs_err::write(temp.path(), text).map_err(failed)?;
        temp.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn identity(meta: &std::fs::Metadata) -> String {
    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    format!("{} {} {} {}.{} {}.{}", meta.dev(), meta.ino(), meta.size(), times.0, times.1, times.2, times.3)
}
