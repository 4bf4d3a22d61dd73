//! Patterns over project files: what matches in the commit, and on disk where that counts.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use stages::filter::PathFilter;

use super::error::{Error, Refusal, RefusalKind};
use super::gate::{Gate, ReadKind};
use super::patterns::clean;
use super::reader::FileClass;
use crate::git::{FileMode, TrailEnd};

/// Links to directories within directories behind links end here.
const MAX_NESTING: usize = 8;
/// And all files of one pattern here.
const MAX_FILES: usize = 200_000;

/// Where files are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Commit,
    Disk,
}

/// A pattern, split where its wildcards start.
struct Pattern<'a> {
    text: &'a str,
    /// The directory before the first wildcard, relative to the project directory.
    start: String,
    filter: PathFilter,
    exact: GlobMatcher,
    /// Matches what is in directories that match, where that is wanted too.
    within: Option<GlobMatcher>,
}

/// What makes a segment more than a name.
const WILD: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

impl<'a> Pattern<'a> {
    fn new(text: &'a str) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadPattern { pattern: text.to_owned(), reason };
        let segments: Vec<&str> = text.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
        let is_wild = |segment: &&str| segment.contains(WILD);
        let literal = segments.iter().position(is_wild).unwrap_or(segments.len());
        let (start, rest) = segments.split_at(literal.min(segments.len().saturating_sub(1)));
        let rest = rest.join("/");
        let filter = PathFilter::new(std::slice::from_ref(&rest), &[]).map_err(|error| bad(error.to_string()))?;
        let exact = matcher(&rest).map_err(bad)?;
        Ok(Self { text, start: clean(&start.join("/")), filter, exact, within: None })
    }

    /// The same, where a directory that matches stands for all in it. `None` for a pattern without wildcards: what is in
    /// the directory that it names is looked for from there, since that may be a link.
    fn within(text: &'a str) -> Result<Option<Self>, Error> {
        let pattern = Self::new(text)?;
        let is_wild = pattern.exact.glob().glob().contains(WILD);
        let bad = |reason: String| Error::BadPattern { pattern: text.to_owned(), reason };
        let within = is_wild.then(|| matcher(&format!("{}/**", pattern.exact.glob()))).transpose().map_err(bad)?;
        Ok(within.map(|within| Self { within: Some(within), ..pattern }))
    }

    fn matches(&self, path: &str) -> bool {
        self.exact.is_match(path) || self.within.as_ref().is_some_and(|within| within.is_match(path))
    }

    /// The path of a match relative to the project directory.
    fn whole(&self, path: &str) -> String {
        if self.start.is_empty() { path.to_owned() } else { format!("{}/{path}", self.start) }
    }
}

fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}

impl Gate {
    /// The files of the project that match, as the commit has them, and those on disk that the rules let in. Links are
    /// followed within the repository.
    ///
    /// Files on disk that match but are neither committed nor ignored, and committed ones that are gone, are refused, all
    /// of one kind at once, untracked ones first. In loose giterminism the files are those of the disk.
    pub fn find(&self, pattern: &str) -> Result<Vec<String>, Error> {
        self.find_all(&Pattern::new(pattern)?)
    }

    /// The same, where a directory that matches stands for all files in it. One walk finds both.
    pub(super) fn find_within(&self, pattern: &str) -> Result<Vec<String>, Error> {
        if pattern.ends_with("**") {
            return self.find(pattern);
        }
        if let Some(wanted) = Pattern::within(pattern)? {
            return self.find_all(&wanted);
        }
        let mut found = self.find(pattern)?;
        found.extend(self.find(&format!("{pattern}/**"))?);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn find_all(&self, wanted: &Pattern<'_>) -> Result<Vec<String>, Error> {
        let committed = self.matches(wanted, Side::Commit)?;
        let mode = self.options.mode;
        let has_disk = self.repository.work_dir().is_some();
        let found = if !has_disk || mode.is_dev() && !mode.is_loose() && !self.may_let_in() {
            committed
        } else {
            let on_disk = self.matches(wanted, Side::Disk)?;
            self.reconcile(committed, on_disk)?
        };
        self.note(ReadKind::Glob, wanted.text, Some(found.join("\n").as_bytes()));
        Ok(found)
    }

    fn matches(&self, pattern: &Pattern<'_>, side: Side) -> Result<Vec<String>, Error> {
        let start = self.locate(&pattern.start)?;
        let mut found = Vec::new();
        if let TrailEnd::Directory(directory) = self.trail_on(side, &start.full)? {
            self.collect(pattern, side, &directory, "", &mut vec![directory.clone()], &mut found)?;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Adds what matches in a directory, which the pattern knows by the path `above`.
    fn collect(
        &self,
        pattern: &Pattern<'_>,
        side: Side,
        directory: &[u8],
        above: &str,
        seen: &mut Vec<Vec<u8>>,
        found: &mut Vec<String>,
    ) -> Result<(), Error> {
        let everything = PathFilter::everything();
        let filter = if above.is_empty() { &pattern.filter } else { &everything };
        for (path, is_link) in self.entries(side, directory, filter)? {
            let Ok(name) = String::from_utf8(path.clone()) else { continue };
            let known = if above.is_empty() { name } else { format!("{above}/{name}") };
            if found.len() > MAX_FILES {
                let reason = format!("it matches more than {MAX_FILES} files");
                return Err(Error::BadPattern { pattern: pattern.text.to_owned(), reason });
            }
            if !is_link {
                found.extend(pattern.matches(&known).then(|| pattern.whole(&known)));
                continue;
            }
            let link = if directory.is_empty() { path } else { [directory, b"/", &path].concat() };
            match self.trail_on(side, &link)? {
                TrailEnd::Directory(target) if seen.len() < MAX_NESTING && !seen.contains(&target) => {
                    seen.push(target.clone());
                    self.collect(pattern, side, &target, &known, seen, found)?;
                    seen.pop();
                }
                TrailEnd::File(_) => found.extend(pattern.matches(&known).then(|| pattern.whole(&known))),
                _ => {}
            }
        }
        Ok(())
    }

    fn trail_on(&self, side: Side, path: &[u8]) -> Result<TrailEnd, Error> {
        Ok(match side {
            Side::Commit => self.repository.trail(&self.options.tree, path)?.end,
            Side::Disk => self.repository.trail_on_disk(path)?.end,
        })
    }

    /// Files and links beneath a directory, and whether each is a link.
    fn entries(&self, side: Side, directory: &[u8], filter: &PathFilter) -> Result<Vec<(Vec<u8>, bool)>, Error> {
        if side == Side::Disk {
            return Ok(self.repository.working_files(directory, filter)?);
        }
        let entries = self.repository.list_with_links(&self.options.tree, directory, filter)?;
        Ok(entries.into_iter().map(|(path, mode)| (path, mode == FileMode::Symlink)).collect())
    }

    /// Both lists are sorted; so is the result.
    fn reconcile(&self, committed: Vec<String>, on_disk: Vec<String>) -> Result<Vec<String>, Error> {
        let mode = self.options.mode;
        let mut found = Vec::new();
        let mut differing = Differing::new();
        for path in &committed {
            let class = self.class_of(path);
            let is_here = on_disk.binary_search(path).is_ok();
            // One that the rules let in and that is gone is missed when it is read.
            if is_here || mode.is_dev() || self.lets_in(class, path) {
                found.extend((is_here || !mode.is_loose()).then(|| path.clone()));
            } else if self.repository.is_unwatched(self.locate(path)?.full)? {
                found.push(path.clone());
            } else {
                differing.entry((RefusalKind::Deleted, class.rule())).or_default().push(path.clone());
                found.extend((!mode.is_loose()).then(|| path.clone()));
            }
        }
        for path in on_disk {
            if committed.binary_search(&path).is_ok() {
                continue;
            }
            let class = self.class_of(&path);
            if self.lets_in(class, &path) {
                found.push(path);
            } else if mode.is_loose() || !mode.is_dev() {
                self.untracked(&mut differing, &mut found, class, path)?;
            }
        }
        self.refuse_all(differing.into_iter().map(|((kind, rule), names)| Refusal::new(kind, rule, names)).collect())?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// A path on disk that the commit does not have and no rule lets in.
    fn untracked(
        &self,
        differing: &mut Differing,
        found: &mut Vec<String>,
        class: FileClass,
        path: String,
    ) -> Result<(), Error> {
        let location = self.locate(&path)?;
        let ignored = self.repository.is_ignored(&location.full)?;
        if !ignored && let Some((kind, place)) = self.compare(&location)?.difference {
            differing.entry((kind, class.rule())).or_default().push(self.shown(&place));
            found.push(path);
        } else if self.options.mode.is_loose() {
            found.push(path);
        }
        Ok(())
    }
}

/// Paths by how they differ and by the rule that would let them in.
type Differing = BTreeMap<(RefusalKind, &'static str), Vec<String>>;
