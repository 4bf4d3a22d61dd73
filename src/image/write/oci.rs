//! OCI layouts: a directory that grows from run to run, and an archive that is one run's images.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde::Deserialize;
use stages::ids::BlobId;

use super::destination::check_layout_name;
use super::output::{temporary_in, write_file, write_tar};
use super::{OciImage, Part, WriteError};
use crate::image::read::blob_name;
use crate::image::spec::{
    Descriptor, Document, Index, MAX_MANIFEST_BYTES, Manifest, PlatformFields, REF_NAME, SpecError, media_type,
};

const LAYOUT_FILE: &str = "oci-layout";
const INDEX_FILE: &str = "index.json";
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// How long to wait for another process that changes the same layout; each holds it for moments only.
const LOCK_SECONDS: u64 = 30;

/// Blobs and index entries of some images.
struct Content<'a> {
    blobs: BTreeMap<BlobId, Part<'a>>,
    entries: Vec<Descriptor>,
}

/// Writes an archive of the images' layout. Blobs follow the index, sorted by digest.
pub fn write_oci_archive(path: &Path, images: &[OciImage], epoch: u64) -> Result<(), WriteError> {
    let content = Content::of(images)?;
    let mut index = Index::new(content.entries);
    sort(&mut index);
    let mut parts = vec![
        (LAYOUT_FILE.to_owned(), Part::Bytes(LAYOUT.to_vec())),
        (INDEX_FILE.to_owned(), Part::Bytes(index.to_bytes())),
    ];
    parts.extend(content.blobs.into_iter().map(|(digest, part)| (blob_name(&digest), part)));
    write_file(path, |output| {
        let parts = parts.iter().map(|(name, part)| (name.as_str(), part));
        write_tar(output, parts, epoch, |error| WriteError::io(path)(error))
    })
}

/// Adds the images to a layout, which is made when missing. Blobs that are there stay; an entry of the same name is
/// replaced, and an image without a name replaces all entries without one.
pub fn write_oci_directory(path: &Path, images: &[OciImage]) -> Result<(), WriteError> {
    let content = Content::of(images)?;
    let blobs = path.join("blobs/sha256");
    check_free(path)?;
    fs_err::create_dir_all(&blobs).map_err(WriteError::io(path))?;
    let scratch = {
        let _lock = lock(path)?;
        check_version(path)?;
        remove_abandoned(path);
        Scratch::new(path)?
    };
    for (digest, part) in &content.blobs {
        let target = path.join(blob_name(digest));
        if !present(&target, part.size()) {
            write_blob(&scratch, &target, part)?;
        }
    }
    let _lock = lock(path)?;
    update_index(path, &scratch, content.entries)
}

impl<'a> Content<'a> {
    fn of(images: &'a [OciImage]) -> Result<Self, WriteError> {
        let mut content = Self { blobs: BTreeMap::new(), entries: Vec::new() };
        let mut groups: BTreeMap<Option<&str>, Vec<Descriptor>> = BTreeMap::new();
        for image in images {
            let entry = content.add_image(image)?;
            let group = groups.entry(image.reference.as_deref()).or_default();
            if group.iter().any(|other| other.platform == entry.platform && other.digest != entry.digest) {
                let name = image.reference.as_deref().unwrap_or("without a name");
                return Err(WriteError::Conflict(format!("two images {name} for {}", image.platform)));
            }
            group.retain(|other| other.platform != entry.platform);
            group.push(entry);
        }
        for (name, group) in groups {
            content.add_group(name, group)?;
        }
        Ok(content)
    }

    fn add_image(&mut self, image: &'a OciImage) -> Result<Descriptor, WriteError> {
        let document_error = |source| WriteError::Document { name: image.reference.clone(), source };
        let manifest = match Document::parse(&image.manifest).map_err(document_error)? {
            Document::Manifest(manifest) => manifest,
            Document::Index(_) => return Err(document_error(SpecError::Unsupported("it is an index".to_owned()))),
        };
        check_parts(image, &manifest)?;
        self.add_bytes(&manifest.config.media_type, image.config.clone());
        for layer in &image.layers {
            let Descriptor { digest: id, size, .. } = layer.descriptor;
            self.blobs.entry(id).or_insert(Part::Stream { id, size, open: &layer.open, trusted: layer.trusted });
        }
        let media_type = manifest.media_type.as_deref().unwrap_or(media_type::MANIFEST);
        let mut entry = self.add_bytes(media_type, image.manifest.clone());
        entry.platform = Some(PlatformFields::from(&image.platform));
        Ok(entry)
    }

    /// One entry for one name: an index in between when there are several platforms.
    fn add_group(&mut self, name: Option<&str>, mut group: Vec<Descriptor>) -> Result<(), WriteError> {
        let Some(name) = name else {
            self.entries.append(&mut group);
            return Ok(());
        };
        check_layout_name(name).map_err(WriteError::Conflict)?;
        let mut index = Index::new(group);
        sort(&mut index);
        let mut entry = match index.manifests.as_slice() {
            [entry] => entry.clone(),
            _ => self.add_bytes(media_type::INDEX, index.to_bytes()),
        };
        entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        self.entries.push(entry);
        Ok(())
    }

    fn add_bytes(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor::of(media_type, &bytes);
        self.blobs.entry(descriptor.digest).or_insert(Part::Bytes(bytes));
        descriptor
    }
}

/// The manifest must name exactly the config and the layers that come with it.
fn check_parts(image: &OciImage, manifest: &Manifest) -> Result<(), WriteError> {
    let config = Descriptor::of("", &image.config);
    let same = |left: &Descriptor, right: &Descriptor| (left.digest, left.size) == (right.digest, right.size);
    let layers_fit = image.layers.len() == manifest.layers.len()
        && image.layers.iter().zip(&manifest.layers).all(|(layer, named)| same(&layer.descriptor, named));
    if same(&config, &manifest.config) && layers_fit {
        return Ok(());
    }
    let name = image.reference.as_deref().unwrap_or("without a name");
    Err(WriteError::Conflict(format!("the manifest of image {name} names other blobs than it came with")))
}

fn sort(index: &mut Index) {
    let platform = |entry: &Descriptor| entry.platform.as_ref().map(crate::image::platform::describe);
    index
        .manifests
        .sort_by_cached_key(|entry| (entry.ref_name().map(ToOwned::to_owned), platform(entry), entry.digest));
}

/// A directory with something else in it is not ours to fill.
fn check_free(path: &Path) -> Result<(), WriteError> {
    let mut found = match fs_err::read_dir(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(WriteError::io(path)(error)),
    };
    let known =
        |name: &std::ffi::OsStr| name == LAYOUT_FILE || name == "blobs" || name.as_encoded_bytes().starts_with(PREFIX);
    if path.join(LAYOUT_FILE).exists() || found.all(|entry| entry.is_ok_and(|entry| known(&entry.file_name()))) {
        return Ok(());
    }
    Err(WriteError::Occupied { path: path.to_owned(), reason: "is neither empty nor an OCI layout" })
}

/// The layout file is made, or has to be of the version that is written here.
fn check_version(path: &Path) -> Result<(), WriteError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layout {
        image_layout_version: String,
    }
    let file = path.join(LAYOUT_FILE);
    let Some(bytes) = read_small(&file)? else {
        let mut temporary = temporary_in(path).map_err(WriteError::io(path))?;
        temporary.write_all(LAYOUT).map_err(WriteError::io(&file))?;
        return temporary.persist(&file).map(drop).map_err(|error| WriteError::io(&file)(error.error));
    };
    match serde_json::from_slice::<Layout>(&bytes) {
        Ok(layout) if layout.image_layout_version.starts_with("1.") => Ok(()),
        _ => Err(WriteError::Occupied { path: file, reason: "is not of an OCI layout of version 1" }),
    }
}

fn read_small(path: &Path) -> Result<Option<Vec<u8>>, WriteError> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(WriteError::io(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(WriteError::io(path))?;
    Ok(Some(bytes))
}

/// Holds the layout for a moment; released when dropped, or with the process.
fn lock(path: &Path) -> Result<File, WriteError> {
    let (directory, _) = fs_err::File::open(path).map_err(WriteError::io(path))?.into_parts();
    let deadline = Instant::now() + Duration::from_secs(LOCK_SECONDS);
    loop {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(directory),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(WriteError::Locked { path: path.to_owned(), seconds: LOCK_SECONDS });
            }
            Err(error) => return Err(WriteError::io(path)(error.into())),
        }
    }
}

/// How the names of unfinished work start.
const PREFIX: &[u8] = b".stager-";

/// A directory for unfinished blobs, beside `blobs/` so that tools that list blobs don't trip over them. Locked while its
/// process lives.
struct Scratch {
    directory: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    fn new(layout: &Path) -> Result<Self, WriteError> {
        let directory =
            tempfile::Builder::new().prefix(".stager-").tempdir_in(layout).map_err(WriteError::io(layout))?;
        let lock = lock(directory.path())?;
        Ok(Self { directory, _lock: lock })
    }
}

/// Removes what killed processes left: what nobody holds. Failing to is no reason to fail.
fn remove_abandoned(layout: &Path) {
    let Ok(entries) = fs_err::read_dir(layout) else { return };
    let left: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX))
        .map(|entry| entry.path())
        .collect();
    for path in left {
        let Ok((handle, _)) = fs_err::File::open(&path).map(fs_err::File::into_parts) else { continue };
        if rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs_err::remove_dir_all(&path).or_else(|_| fs_err::remove_file(&path));
        }
    }
}

fn present(path: &Path, size: u64) -> bool {
    fs_err::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}

fn write_blob(scratch: &Scratch, target: &Path, part: &Part<'_>) -> Result<(), WriteError> {
    let mut file = temporary_in(scratch.directory.path()).map_err(WriteError::io(target))?;
    part.copy_to(&mut file, WriteError::io(target))?;
    file.persist(target).map(drop).map_err(|error| WriteError::io(target)(error.error))
}

fn update_index(path: &Path, scratch: &Scratch, entries: Vec<Descriptor>) -> Result<(), WriteError> {
    let file = path.join(INDEX_FILE);
    let document_error = |source| WriteError::Document { name: Some(file.display().to_string()), source };
    let mut index = match read_small(&file)? {
        None => Index::new(Vec::new()),
        Some(bytes) => match Document::parse(&bytes).map_err(document_error)? {
            Document::Index(index) => index,
            Document::Manifest(_) => return Err(document_error(SpecError::Unsupported("it is a manifest".to_owned()))),
        },
    };
    index.manifests.retain(|old| !entries.iter().any(|new| new.ref_name() == old.ref_name()));
    index.manifests.extend(entries);
    sort(&mut index);
    write_blob(scratch, &file, &Part::Bytes(index.to_bytes()))
}
