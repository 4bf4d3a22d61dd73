//! The files of an image, read from its layers by a reader of its own.
//!
//! Unpacking Debian for each of some hundred images would be most of the suite's work, so layers are applied to a list of
//! entries, and the list of the first layer, which all images share, is made once.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use tar::EntryType;

use crate::env::sha256;

/// Contents up to this size are kept, for comparisons that are more than one of digests.
const KEPT: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: &'static str,
    pub(super) mode: u32,
    pub(super) own: String,
    pub(super) sha256: Option<String>,
    pub(super) content: Option<Arc<[u8]>>,
    pub(super) target: Option<String>,
}

/// The files of an image by absolute path.
#[derive(Clone, Default)]
pub(super) struct Listing(BTreeMap<String, Node>);

impl Listing {
    pub(super) fn of_layer(file: &Path) -> Self {
        let mut listing = Self::default();
        listing.apply(file);
        listing
    }

    /// Lays a layer over what is there.
    pub(super) fn apply(&mut self, file: &Path) {
        let mut brought = Vec::new();
        let mut archive = tar::Archive::new(fs::File::open(file).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let path = format!("/{}", path.trim_start_matches("./").trim_matches('/'));
            let (parent, name) = path.rsplit_once('/').unwrap();
            let parent = self.resolved(parent);
            if name == ".wh..wh..opq" {
                self.remove_below(&parent);
            } else if let Some(gone) = name.strip_prefix(".wh.") {
                self.remove(&format!("{parent}/{gone}"));
            } else if !name.is_empty() {
                brought.push((format!("{parent}/{name}"), Self::node(&mut entry)));
            }
        }
        for (path, node) in brought {
            let node = match node {
                Brought::Node(node) => node,
                Brought::LinkTo(path) => self.0[&path].clone(),
            };
            if node.kind != "dir" {
                self.remove_below(&path);
            }
            self.imply(&path);
            self.0.insert(path, node);
        }
    }

    /// The directories above a path, made where a layer does not bring them, as whoever unpacks it makes them.
    fn imply(&mut self, path: &str) {
        for (end, _) in path.match_indices('/').skip(1) {
            self.0.entry(path[..end].to_owned()).or_insert_with(|| Node {
                kind: "dir",
                mode: 0o755,
                own: "0:0".to_owned(),
                sha256: None,
                content: None,
                target: None,
            });
        }
    }

    fn node(entry: &mut tar::Entry<'_, fs::File>) -> Brought {
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let kind = match entry.header().entry_type() {
            EntryType::Link => {
                let link = link.unwrap();
                return Brought::LinkTo(format!("/{}", link.trim_start_matches("./").trim_matches('/')));
            }
            EntryType::Directory => "dir",
            EntryType::Symlink => "symlink",
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => "file",
            EntryType::Fifo => "fifo",
            EntryType::Char => "char",
            EntryType::Block => "block",
            other => panic!("no layer should hold {other:?}"),
        };
        let mut content = Vec::new();
        if kind == "file" {
            entry.read_to_end(&mut content).unwrap();
        }
        let header = entry.header();
        Brought::Node(Node {
            kind,
            mode: header.mode().unwrap() & 0o7777,
            own: format!("{}:{}", header.uid().unwrap(), header.gid().unwrap()),
            sha256: (kind == "file").then(|| sha256(&content)),
            content: (kind == "file" && content.len() <= KEPT).then(|| content.into()),
            target: link.filter(|_| kind == "symlink"),
        })
    }

    /// A directory's path with the links on its way followed.
    fn resolved(&self, path: &str) -> String {
        let mut resolved = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let next = format!("{resolved}/{name}");
            resolved = match self.0.get(&next).and_then(|node| node.target.as_deref()) {
                Some(target) if target.starts_with('/') => self.resolved(target),
                Some(target) => self.resolved(&format!("{resolved}/{target}")),
                None => next,
            };
        }
        resolved
    }

    fn remove(&mut self, path: &str) {
        self.0.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, path: &str) {
        let prefix = format!("{path}/");
        self.0.retain(|path, _| !path.starts_with(&prefix));
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    /// What a recorded listing of `look` shows: the path and what is below it, only itself with a `!` behind.
    pub(super) fn look(&self, look: &str) -> BTreeMap<&str, &Node> {
        let (path, below) = match look.strip_suffix('!') {
            Some(path) => (path, None),
            None => (look, Some(format!("{}/", look.trim_end_matches('/')))),
        };
        let shown = |other: &str| other == path || below.as_ref().is_some_and(|prefix| other.starts_with(prefix));
        self.0.iter().filter(|(path, _)| shown(path)).map(|(path, node)| (path.as_str(), node)).collect()
    }
}

enum Brought {
    Node(Node),
    /// A hard link.
    LinkTo(String),
}
