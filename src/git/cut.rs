//! Git content in parts, so that one changed file changes one of them.
//!
//! The cut is a pure rule of the content, and of how many layers lie below: no history, no clock, the same on every machine.
//! The files stand in the order of their paths. What is too large is cut in two, somewhere in its middle half, where the fewest directories are torn, and among
//! such places at the one that a hash of the next path prefers; and so on with both. So where the cuts are depends little on how
//! large the files are, and one that comes or goes moves few of them. The size of a part is a 48th of the whole, in steps of a
//! half and a third, so that it seldom changes.
//!
//! The figures come from the history of a public repository (moby, 119 MB of files) and from made-up content, in bytes before
//! compression: in the median of 60 merges one more merge changes parts of 5.7 MB, in 46 to 48 layers. Files dealt into groups by a
//! hash of their names, as was done first, made that 9.9 MB in 40 layers. One changed, new or lost file of 500 MB, in one directory
//! or in hundreds, changes 9 to 10 MB in the mean of 40 such changes, and 30 MB at most, in 61 to 66 layers; dealt by hash it was
//! 13 to 23 MB, and up to 46 MB. Cutting from the front to the end, each part half full at least, has the same mean, but a change
//! that moves one cut may move all behind it: up to 90 MB.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use stages::digest::Encoder;

use super::error::GitError;
use super::layout::DirectoryLookup;
use super::merged::{Directory, DirectoryMeta, Leaf, Node, Placement, expand, merge};
use super::stream::{OutSink, stream_tree};
use super::tree::push_segment;

/// Content of fewer bytes stays whole: compressed it is some 5 MB, in one layer.
const WHOLE: u64 = 16 << 20;

/// The least size of a part: what is smaller saves little and costs a layer.
const SMALLEST: u64 = 4 << 20;

/// A part may have this share of the whole. Parts are three quarters full in the mean.
const SHARE: u64 = 48;

/// What an entry counts beside its content: its share of an archive.
const ENTRY: u64 = 1 << 10;

/// A part of git content.
pub struct Part {
    tree: Directory,
    /// Names what the part holds: paths, modes, owners and objects.
    pub id: blake3::Hash,
}

/// Into how many parts content may be cut that has so many layers below it: images have at most 127 layers, and those
/// above need room.
pub fn most_parts(below: usize) -> usize {
    match below {
        0..16 => 80,
        16..48 => 48,
        48..80 => 24,
        80..96 => 8,
        _ => 1,
    }
}

/// Cuts the content of placements into at most so many parts. One part is all of it.
pub fn cut(placements: &[Placement], most: usize) -> Result<Vec<Part>, GitError> {
    let mut files = Vec::new();
    list(merge(placements)?, &mut Vec::new(), &mut files)?;
    let whole: u64 = files.iter().map(|file| file.weight).sum();
    if whole < WHOLE {
        return Ok(vec![part(&files)]);
    }
    let places = places(&files);
    let mut size = SMALLEST;
    while size < whole / SHARE {
        size = next_size(size);
    }
    loop {
        let parts = stretches(&places, size);
        if parts.len() <= most.max(1) {
            return Ok(parts.into_iter().map(|stretch| part(&files[stretch])).collect());
        }
        size = next_size(size);
    }
}

/// Sizes are powers of two, and halfway between.
fn next_size(size: u64) -> u64 {
    if size.is_power_of_two() { size / 2 * 3 } else { size / 3 * 4 }
}

/// A place where files can be cut apart.
struct Place {
    /// What all files before it weigh.
    before: u64,
    /// How good it is.
    rank: (Reverse<usize>, [u8; 32]),
}

/// The places before each file, and behind the last.
fn places(files: &[File]) -> Vec<Place> {
    let mut places = vec![Place { before: 0, rank: Default::default() }];
    let mut before = 0;
    for (at, file) in files.iter().enumerate() {
        before += file.weight;
        let rank =
            files.get(at + 1).map(|next| (Reverse(torn(file, next)), *blake3::hash(&next.full_path()).as_bytes()));
        places.push(Place { before, rank: rank.unwrap_or_default() });
    }
    places
}

/// Cuts files into stretches that weigh at most `size`, or are one file. In order.
fn stretches(places: &[Place], size: u64) -> Vec<Range<usize>> {
    let mut stretches = Vec::new();
    let mut open = Vec::from([Range { start: 0, end: places.len() - 1 }]);
    while let Some(stretch) = open.pop() {
        if stretch.len() < 2 || places[stretch.end].before - places[stretch.start].before <= size {
            stretches.push(stretch);
            continue;
        }
        let cut = best_cut(places, &stretch);
        open.extend([cut..stretch.end, stretch.start..cut]);
    }
    stretches
}

/// The best place in the middle half of a stretch, or the one that is nearest to its middle.
fn best_cut(places: &[Place], stretch: &Range<usize>) -> usize {
    let first = places[stretch.start].before;
    let whole = places[stretch.end].before - first;
    let inner = stretch.start + 1..stretch.end;
    let is_middle = |at: &usize| (whole / 4..=whole - whole / 4).contains(&(places[*at].before - first));
    let best = inner.clone().filter(is_middle).max_by_key(|&at| places[at].rank);
    let nearest = || inner.min_by_key(|&at| (2 * (places[at].before - first)).abs_diff(whole));
    best.or_else(nearest).unwrap_or(stretch.start + 1)
}

/// How many directories hold both files.
fn torn(one: &File, next: &File) -> usize {
    let directories = |file: &File| file.path.len().saturating_sub(1);
    let both = one.path.iter().zip(&next.path).take(directories(one).min(directories(next)));
    both.take_while(|(one, next)| one == next).count()
}

/// Hands over the entries of a part, as [`super::stream`] does with all of them, or with a directory of all of them, as
/// [`super::stream_laid_out`] does.
pub fn stream_part(
    part: &Part,
    laid_out: Option<&Path>,
    directories: DirectoryLookup<'_>,
    sink: OutSink<'_>,
) -> Result<(), GitError> {
    stream_tree(part.tree.clone(), laid_out, directories, sink)
}

/// A file or link with where it is, and the metadata of the directories above it.
struct File {
    path: Vec<Vec<u8>>,
    above: Vec<Option<DirectoryMeta>>,
    leaf: Leaf,
    weight: u64,
}

impl File {
    fn full_path(&self) -> Vec<u8> {
        let mut path = Vec::new();
        self.path.iter().for_each(|segment| push_segment(&mut path, segment));
        path
    }
}

type Above = Vec<(Vec<u8>, Option<DirectoryMeta>)>;

/// Lists the files of a directory in the order of their paths.
fn list(directory: Directory, above: &mut Above, files: &mut Vec<File>) -> Result<(), GitError> {
    for (name, node) in directory.children {
        let meta = node.directory_meta();
        match node {
            Node::Leaf(leaf) => {
                let weight = leaf.root.repository.objects()?.size(leaf.id)? + ENTRY;
                let path = above.iter().map(|(name, _)| name.clone()).chain([name]).collect();
                files.push(File { path, above: above.iter().map(|(_, meta)| *meta).collect(), leaf, weight });
            }
            node => {
                let Some(inner) = expand(node)? else { continue };
                above.push((name, meta));
                list(inner, above, files)?;
                above.pop();
            }
        }
    }
    Ok(())
}

fn part(files: &[File]) -> Part {
    let mut tree = Directory::default();
    let mut encoder = Encoder::new("stager git part");
    for file in files {
        put(&mut tree, file);
        encoder.bytes(&file.full_path());
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
        stream_part(part, None, &|_| None, &mut |entry| {
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
        assert_eq!(cut(&[placement(&fixture, &tree)], most_parts(0)).unwrap().len(), 1);
    }

    #[test]
    fn what_is_laid_out_is_read_there() {
        let fixture = Fixture::with(&[("a", "object"), ("b", "object")]);
        let parts = cut(&[placement(&fixture, &fixture.commit("again"))], 1).unwrap();
        let laid_out = tempfile::tempdir().unwrap();
        fs_err::create_dir(laid_out.path().join("src")).unwrap();
        fs_err::write(laid_out.path().join("src/a"), "onDisk").unwrap();
        let mut read = Vec::new();
        stream_part(&parts[0], Some(laid_out.path()), &|_| None, &mut |entry| {
            if let crate::git::OutKind::File { content, .. } = entry.kind {
                let mut text = String::new();
                content.read_to_string(&mut text)?;
                read.push(text);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(read, ["onDisk", "object"]);
    }

    #[test]
    fn parts_are_all_of_it_and_a_change_changes_one() {
        let fixture = large();
        let tree = fixture.commit("start");
        let parts = cut(&[placement(&fixture, &tree)], most_parts(0)).unwrap();
        assert!((5..=12).contains(&parts.len()), "{}", parts.len());
        let all: Vec<String> = parts.iter().flat_map(paths).collect();
        assert_eq!(all.len(), 6 * 40 + 2, "each file once");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        let ids: BTreeSet<_> = parts.iter().map(|part| part.id.to_hex()).collect();
        fixture.write("d3/f7", "changed\n");
        fixture.write("d3/new", "new\n");
        let changed = cut(&[placement(&fixture, &fixture.commit("change"))], most_parts(0)).unwrap();
        let fresh: Vec<_> = changed.iter().filter(|part| !ids.contains(&part.id.to_hex())).collect();
        assert!((1..=2).contains(&fresh.len()), "{}", fresh.len());
        assert!(fresh.iter().any(|part| paths(part).contains("src/d3/f7")));
        fixture.write("d3/f7", &"3-7\n".repeat(2000 * 7));
        fixture.remove("d3/new");
        let again = cut(&[placement(&fixture, &fixture.commit("back"))], most_parts(0)).unwrap();
        assert_eq!(again.iter().map(|part| part.id.to_hex()).collect::<BTreeSet<_>>(), ids, "no history");
        assert!(cut(&[placement(&fixture, &tree)], 4).unwrap().len() <= 4);
        assert_eq!(cut(&[placement(&fixture, &tree)], 1).unwrap().len(), 1);
    }

    /// Files of a size in directories, as [`list`] would give them.
    fn made_up(directories: usize, files: usize, weight: u64) -> Vec<File> {
        let fixture = Fixture::with(&[("a", "1")]);
        let tree = merge(&[placement(&fixture, &fixture.commit("again"))]).unwrap();
        let mut one = Vec::new();
        list(tree, &mut Vec::new(), &mut one).unwrap();
        let names = (0..directories).flat_map(|directory| (0..files).map(move |file| (directory, file)));
        let file = |(directory, file)| File {
            path: vec![format!("d{directory:03}").into_bytes(), format!("f{file:03}").into_bytes()],
            above: vec![None],
            leaf: one[0].leaf.clone(),
            weight,
        };
        names.map(file).collect()
    }

    #[test]
    fn stretches_are_even_and_keep_directories_together() {
        for (directories, files) in [(20, 100), (41, 100), (1, 2000), (300, 50)] {
            let parts = stretches(&places(&made_up(directories, files, 1)), 40);
            assert_eq!(parts.iter().map(Range::len).sum::<usize>(), directories * files);
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start), "{parts:?}");
            assert!(parts.iter().all(|part| (10..=40).contains(&part.len())), "{parts:?}");
        }
        // Eight directories of 30 files, at most 40 in a part.
        let parts = stretches(&places(&made_up(8, 30, 1)), 40);
        assert_eq!(parts, (0..8).map(|directory| 30 * directory..30 * (directory + 1)).collect::<Vec<_>>());
    }

    #[test]
    fn there_is_room_for_other_layers() {
        let layers: Vec<usize> = (0..96).map(|below| below + most_parts(below)).collect();
        assert!(layers.iter().all(|layers| *layers <= 104), "{layers:?}");
    }

    #[test]
    fn large_files_stand_alone() {
        let mut files = made_up(1, 6, 10);
        files[2].weight = 500;
        assert_eq!(stretches(&places(&files), 100), [0..2, 2..3, 3..6]);
        files[0].weight = 101;
        assert_eq!(stretches(&places(&files), 100), [0..1, 1..2, 2..3, 3..6]);
    }

    #[test]
    fn a_file_that_comes_or_goes_changes_few_stretches() {
        let held = |files: &[File]| -> BTreeSet<Vec<Vec<u8>>> {
            let parts = stretches(&places(files), 40 << 10);
            parts.into_iter().map(|part| files[part].iter().map(File::full_path).collect()).collect()
        };
        let before = held(&made_up(1, 900, 1 << 10));
        let changed = |gone| {
            let mut rest = made_up(1, 900, 1 << 10);
            rest.remove(gone);
            held(&rest).difference(&before).count()
        };
        let changed: Vec<usize> = (0..900).step_by(9).map(changed).collect();
        assert!(changed.iter().sum::<usize>() < 2 * changed.len(), "{changed:?}");
    }
}
