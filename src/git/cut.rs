//! Git content in parts, so that one changed file changes one of them.
//!
//! The cut is a pure rule of the content: no history, no clock, the same on every machine. A directory that is too large is
//! cut along its own directories; what is small in it is dealt into as many groups as its size asks for, by a hash of the
//! names, so that a file that comes or goes moves no other one. The size of a part is a power of two of the whole's, so that
//! it seldom changes.
//!
//! The figures come from the histories of three public repositories (60 steps of 5 merges each; 11, 12 and 81 MB of files), cut in
//! different ways. Parts of a 32nd, of 1 MiB at least, make 15 to 33 layers, and the median step sends 3.6, 4.3 and 17.5 MB before
//! compression; those of an 8th make 6 to 10 layers, and send 6.5, 5.7 and 46 MB. A 64th of the largest sends 8 MB in 60 layers, half
//! of what images may have. Content as small as the first two stays whole all the same: compressed it is 3 MB, in one layer.

use std::collections::BTreeMap;

use stages::digest::Encoder;

use super::error::GitError;
use super::layout::DirectoryLookup;
use super::merged::{Directory, DirectoryMeta, Leaf, Node, Placement, expand, merge};
use super::stream::{OutSink, stream_tree};
use super::tree::push_segment;

/// Content of fewer bytes stays whole.
const WHOLE: u64 = 16 << 20;

/// Parts have at least so many bytes, where there is a choice.
const SMALLEST: u64 = 1 << 20;

/// Into how many parts content is cut, about.
const PARTS: u64 = 32;

/// The most parts: images have at most 127 layers.
const MOST: usize = 64;

/// What an entry counts beside its content: its share of an archive.
const ENTRY: u64 = 1 << 10;

/// A part of git content.
pub struct Part {
    tree: Directory,
    /// Names what the part holds: paths, modes, owners and objects.
    pub id: blake3::Hash,
}

/// Cuts the content of placements into parts. One part is all of it.
pub fn cut(placements: &[Placement]) -> Result<Vec<Part>, GitError> {
    let whole = weigh_directory(merge(placements)?, &mut Vec::new())?;
    if whole.weight < WHOLE {
        return Ok(vec![part(vec![whole.files()])]);
    }
    let mut size = (whole.weight / PARTS).next_power_of_two().max(SMALLEST);
    loop {
        let mut groups = Vec::new();
        whole.deal(size, &mut groups);
        if groups.len() <= MOST {
            return Ok(groups.into_iter().map(part).collect());
        }
        size *= 2;
    }
}

/// Hands over the entries of a part, as [`super::stream`] does with all of them.
pub fn stream_part(part: &Part, directories: DirectoryLookup<'_>, sink: OutSink<'_>) -> Result<(), GitError> {
    stream_tree(part.tree.clone(), directories, sink)
}

/// A file or link with where it is, and the metadata of the directories above it.
#[derive(Clone)]
struct File {
    path: Vec<Vec<u8>>,
    above: Vec<Option<DirectoryMeta>>,
    leaf: Leaf,
}

struct Weighed {
    weight: u64,
    content: Content,
}

enum Content {
    File(Box<File>),
    Directory(BTreeMap<Vec<u8>, Weighed>),
}

type Above = Vec<(Vec<u8>, Option<DirectoryMeta>)>;

fn weigh_directory(directory: Directory, above: &mut Above) -> Result<Weighed, GitError> {
    let mut children = BTreeMap::new();
    for (name, node) in directory.children {
        let meta = node.directory_meta();
        let weighed = match node {
            Node::Leaf(leaf) => weigh_file(leaf, &name, above)?,
            node => {
                let Some(inner) = expand(node)? else { continue };
                above.push((name.clone(), meta));
                let weighed = weigh_directory(inner, above)?;
                above.pop();
                weighed
            }
        };
        children.insert(name, weighed);
    }
    Ok(Weighed { weight: children.values().map(|child| child.weight).sum(), content: Content::Directory(children) })
}

fn weigh_file(leaf: Leaf, name: &[u8], above: &Above) -> Result<Weighed, GitError> {
    let size = leaf.root.repository.objects()?.size(leaf.id)?;
    let path = above.iter().map(|(name, _)| name.clone()).chain([name.to_vec()]).collect();
    let file = File { path, above: above.iter().map(|(_, meta)| *meta).collect(), leaf };
    Ok(Weighed { weight: size + ENTRY, content: Content::File(Box::new(file)) })
}

impl Weighed {
    /// Deals out what a part of that size would not hold.
    fn deal<'w>(&'w self, size: u64, groups: &mut Vec<Vec<Vec<&'w File>>>) {
        let Content::Directory(children) = &self.content else {
            groups.push(vec![self.files()]);
            return;
        };
        let (large, small): (Vec<_>, Vec<_>) = children.iter().partition(|(_, child)| child.weight > size);
        for (_, child) in large {
            child.deal(size, groups);
        }
        let weight: u64 = small.iter().map(|(_, child)| child.weight).sum();
        let count = weight.div_ceil(size).next_power_of_two();
        let mut dealt: BTreeMap<u64, Vec<Vec<&File>>> = BTreeMap::new();
        for (name, child) in small {
            dealt.entry(place(name) % count).or_default().push(child.files());
        }
        groups.extend(dealt.into_values());
    }

    fn files(&self) -> Vec<&File> {
        match &self.content {
            Content::File(file) => vec![file],
            Content::Directory(children) => children.values().flat_map(Self::files).collect(),
        }
    }
}

/// Where a name falls among groups.
fn place(name: &[u8]) -> u64 {
    let hash = blake3::hash(name);
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}

fn part(files: Vec<Vec<&File>>) -> Part {
    let mut tree = Directory::default();
    let mut named: BTreeMap<Vec<u8>, &File> = BTreeMap::new();
    for file in files.into_iter().flatten() {
        let mut path = Vec::new();
        file.path.iter().for_each(|segment| push_segment(&mut path, segment));
        named.insert(path, file);
        put(&mut tree, file);
    }
    let mut encoder = Encoder::new("stager git part");
    for (path, file) in named {
        encoder.bytes(&path);
        encoder.text(&format!("{:?}", file.leaf.mode));
        encoder.bytes(file.leaf.id.as_bytes());
        encoder.integer(i64::from(file.leaf.owner.0));
        encoder.integer(i64::from(file.leaf.owner.1));
        for meta in &file.above {
            encoder.bool(meta.is_some());
            let (mode, owner) = meta.map(|meta| (meta.mode, meta.owner)).unwrap_or_default();
            for value in [mode, owner.0, owner.1] {
                encoder.integer(i64::from(value));
            }
        }
    }
    Part { tree, id: encoder.finish() }
}

fn put(tree: &mut Directory, file: &File) {
    let Some((name, parents)) = file.path.split_last() else { return };
    let mut directory = tree;
    for (parent, meta) in parents.iter().zip(&file.above) {
        let empty = || Node::Directory(Directory { meta: *meta, children: BTreeMap::new() });
        let Node::Directory(inner) = directory.children.entry(parent.clone()).or_insert_with(empty) else { return };
        directory = inner;
    }
    directory.children.insert(name.clone(), Node::Leaf(file.leaf.clone()));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use stages::ObjectId;
    use stages::filter::PathFilter;

    use super::*;
    use crate::git::fixture::Fixture;

    fn placement(fixture: &Fixture, tree: &ObjectId) -> Placement {
        Placement {
            repository: fixture.repository(),
            tree: tree.clone(),
            add: Vec::new(),
            filter: Arc::new(PathFilter::new(&[], &[]).unwrap()),
            to: "/src".into(),
            owner: (0, 0),
            directory_mode: 0o755,
        }
    }

    fn paths(part: &Part) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        stream_part(part, &|_| None, &mut |entry| {
            if !matches!(entry.kind, crate::git::OutKind::Directory) {
                paths.insert(String::from_utf8_lossy(entry.path).into_owned());
            }
            Ok(())
        })
        .unwrap();
        paths
    }

    /// 24 MiB in directories of different sizes.
    fn large() -> Fixture {
        let fixture = Fixture::new();
        for directory in 0..6 {
            for file in 0..40 {
                let text = format!("{directory}-{file}\n").repeat(2000 * (directory + 4));
                fixture.write(&format!("d{directory}/f{file}"), &text);
            }
        }
        fixture.write("big", &"0123456789abcde\n".repeat(150_000));
        fixture.write("small", "small\n");
        fixture
    }

    #[test]
    fn little_content_stays_whole() {
        let fixture = Fixture::with(&[("a", "1"), ("b/c", "2")]);
        let tree = fixture.commit("again");
        assert_eq!(cut(&[placement(&fixture, &tree)]).unwrap().len(), 1);
    }

    #[test]
    fn parts_are_all_of_it_and_a_change_changes_one() {
        let fixture = large();
        let tree = fixture.commit("start");
        let parts = cut(&[placement(&fixture, &tree)]).unwrap();
        assert!((8..=MOST).contains(&parts.len()), "{}", parts.len());
        let all: Vec<String> = parts.iter().flat_map(paths).collect();
        assert_eq!(all.len(), 6 * 40 + 2, "each file once");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        let ids: BTreeSet<_> = parts.iter().map(|part| part.id.to_hex()).collect();
        fixture.write("d3/f7", "changed\n");
        fixture.write("d3/new", "new\n");
        let changed = cut(&[placement(&fixture, &fixture.commit("change"))]).unwrap();
        let fresh: Vec<_> = changed.iter().filter(|part| !ids.contains(&part.id.to_hex())).collect();
        assert!((1..=2).contains(&fresh.len()), "{}", fresh.len());
        assert!(fresh.iter().any(|part| paths(part).contains("src/d3/f7")));
        fixture.write("d3/f7", &"3-7\n".repeat(2000 * 7));
        fixture.remove("d3/new");
        let again = cut(&[placement(&fixture, &fixture.commit("back"))]).unwrap();
        assert_eq!(again.iter().map(|part| part.id.to_hex()).collect::<BTreeSet<_>>(), ids, "no history");
    }
}
