//! What stager wrote, as other tools see it: skopeo copies it, umoci unpacks it, and the files are listed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use super::run::program;
use super::{Missing, is_root};

/// The files of an image by absolute path; names that are not UTF-8 are shown with replacement characters.
pub(crate) type Tree = BTreeMap<String, Entry>;

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) size: u64,
    pub(crate) sha256: Option<String>,
    pub(crate) link: Option<PathBuf>,
    pub(crate) mtime: i64,
}

/// An image in an OCI layout that holds one.
#[derive(Debug)]
pub(crate) struct OciImage {
    path: PathBuf,
    /// The descriptor's digest.
    pub(crate) digest: String,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
}

impl OciImage {
    pub(crate) fn open(path: &Path) -> Self {
        let read = |file: PathBuf| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
        let index = read(path.join("index.json"));
        let manifests = index["manifests"].as_array().expect("an index has manifests");
        assert_eq!(manifests.len(), 1, "one image in {}: {index}", path.display());
        let digest = manifests[0]["digest"].as_str().expect("a descriptor has a digest").to_owned();
        let blob = |digest: &str| path.join("blobs").join(digest.replace(':', "/"));
        let manifest = read(blob(&digest));
        let config = read(blob(manifest["config"]["digest"].as_str().expect("a manifest has a config")));
        Self { path: path.to_owned(), digest, manifest, config }
    }

    /// The digests of the layers, as they are stored.
    pub(crate) fn layers(&self) -> Vec<&str> {
        let layers = self.manifest["layers"].as_array().expect("a manifest has layers");
        layers.iter().map(|layer| layer["digest"].as_str().expect("a descriptor has a digest")).collect()
    }

    /// The digests of the layers' contents.
    pub(crate) fn diff_ids(&self) -> Vec<&str> {
        let ids = self.config["rootfs"]["diff_ids"].as_array().expect("a config has diff ids");
        ids.iter().map(|id| id.as_str().expect("a diff id is a text")).collect()
    }

    /// Unpacks with skopeo and umoci, and lists the files. Owners are real only when the tests run as root.
    pub(crate) fn tree(&self) -> Result<Tree, Missing> {
        let directory = tempfile::tempdir().unwrap();
        let copy = format!("{}/copy:it", directory.path().display());
        let from = format!("oci:{}", self.path.display());
        program("skopeo", ["--insecure-policy", "copy", "--quiet", &from, &format!("oci:{copy}")])?.succeeds();
        let bundle = directory.path().join("bundle");
        let mut arguments = vec!["unpack", "--image", &copy];
        if !is_root() {
            arguments.push("--rootless");
        }
        arguments.push(bundle.to_str().expect("test paths are UTF-8"));
        program("umoci", arguments)?.succeeds();
        let mut tree = Tree::new();
        list(&bundle.join("rootfs"), "", &mut tree);
        Ok(tree)
    }
}

fn list(directory: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}/{}", String::from_utf8_lossy(entry.file_name().as_bytes()));
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        let kind = metadata.file_type();
        let content = kind.is_file().then(|| fs::read(entry.path()).unwrap());
        let link = kind.is_symlink().then(|| fs::read_link(entry.path()).unwrap());
        let letter = letter(kind.is_dir(), kind.is_symlink(), kind.is_file());
        let described = Entry {
            kind: letter,
            mode: metadata.permissions().mode() & 0o7777,
            owner: (metadata.uid().into(), metadata.gid().into()),
            size: content.as_ref().map_or(0, |content| content.len() as u64),
            sha256: content.as_deref().map(sha256),
            link,
            mtime: metadata.mtime(),
        };
        tree.insert(path.clone(), described);
        if kind.is_dir() {
            list(&entry.path(), &path, tree);
        }
    }
}

fn letter(is_directory: bool, is_link: bool, is_file: bool) -> char {
    match (is_directory, is_link, is_file) {
        (true, _, _) => 'd',
        (_, true, _) => 'l',
        (_, _, true) => 'f',
        _ => 'x',
    }
}

/// The files that a tar of a root file system holds.
pub(crate) fn tar_tree(path: &Path) -> Tree {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let mut tree = Tree::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let kind = header.entry_type();
        let letter = letter(kind.is_dir(), kind.is_symlink(), kind.is_file());
        let described = Entry {
            kind: letter,
            mode: header.mode().unwrap() & 0o7777,
            owner: (header.uid().unwrap(), header.gid().unwrap()),
            size: content.len() as u64,
            sha256: kind.is_file().then(|| sha256(&content)),
            link: entry.link_name().unwrap().filter(|_| kind.is_symlink()).map(Cow::into_owned),
            mtime: header.mtime().unwrap() as i64,
        };
        let path = path.trim_start_matches("./").trim_end_matches('/');
        tree.insert(format!("/{path}"), described);
    }
    tree
}

/// The sha256 of the bytes in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
