//! What giterminism would refuse, all of it at once.

use std::path::Path;

use stages::CommitId;

use super::Error;
use super::mapped::Mapped;
use super::project::{ProjectFiles, ProjectOptions, remotes};
use crate::config::ConfigError;
use crate::git::{ChangeKind, Uncommitted};
use crate::giterminism::{Mode, Read, Refusal};
use crate::source::{Diagnostic, SourceFile};

/// Names of uncommitted mapped files that a check keeps; the rest is counted.
const NAMES: usize = 10_000;
/// Names of them in the text for people.
const SHOWN: usize = 50;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The commit that was looked at.
    pub commit: CommitId,
    /// What was refused.
    pub refused: Vec<RefusedItem>,
    /// What is no refusal, but worth knowing.
    pub warnings: Vec<String>,
    /// Why the check ended early, if it did: what the config would have asked for besides is not known then.
    pub problem: Option<Error>,
    /// What was read, and let in.
    pub reads: Vec<Read>,
    /// The texts that places name.
    pub sources: Vec<SourceFile>,
}

/// One thing that is refused, or several of a kind.
#[derive(Debug)]
pub struct RefusedItem {
    /// What, why and what to do; with a place where the config asks for it.
    pub diagnostic: Diagnostic,
    /// Paths, names or addresses; empty if the diagnostic says it all.
    pub names: Vec<String>,
    /// The key of the rules that decides; empty if no rule can allow it.
    pub rule: &'static str,
}

/// Loads a project's config and puts to the gate all that it reads and claims, and the files that it maps: those that
/// differ from the commit are refused here, while a build only warns of them.
pub fn check_giterminism(options: &ProjectOptions, store: &Path) -> Result<Checked, Error> {
    let options = ProjectOptions { mode: Mode::Strict, ..options.clone() };
    let files = ProjectFiles::open_as(&options, store, &remotes(store), true)?;
    let loaded = files.read(&options);
    let mut checked = Checked {
        commit: files.head.commit.clone(),
        refused: files.gate.refusals().iter().map(refused_read).collect(),
        warnings: files.gate.unread_rules(),
        problem: None,
        reads: Vec::new(),
        sources: Vec::new(),
    };
    match loaded {
        Err(error) => checked.problem = Some(error),
        Ok(loaded) => {
            checked.sources = loaded.text.sources();
            let mut broken = Vec::new();
            for (diagnostic, refusal) in files.refused(&loaded) {
                match refusal {
                    Some(Refusal { names, rule, .. }) => checked.refused.push(RefusedItem { diagnostic, names, rule }),
                    None => broken.push(diagnostic),
                }
            }
            checked.problem = problem(broken, &checked.sources);
            let mapped = Mapped::of(&files.repository, &loaded.project);
            checked.refused.extend(refused_files(&mapped.uncommitted(&files.head, NAMES)?));
            checked.warnings.extend(mapped.warnings(&files.head, &files.head.tree, Mode::Dev));
        }
    }
    checked.reads = files.gate.reads();
    Ok(checked)
}

fn problem(broken: Vec<Diagnostic>, sources: &[SourceFile]) -> Option<Error> {
    let error = ConfigError { diagnostics: broken, sources: sources.to_vec(), rendered: None, claims: Vec::new() };
    (!error.diagnostics.is_empty()).then(|| error.into())
}

fn refused_read(refusal: &Refusal) -> RefusedItem {
    let diagnostic = Diagnostic::error(refusal.to_string()).code(refusal.kind.code()).help(refusal.remedy());
    RefusedItem { diagnostic, names: refusal.names.clone(), rule: refusal.rule }
}

/// Mapped files that differ, those of one kind together; new ones first.
fn refused_files(uncommitted: &Uncommitted) -> Vec<RefusedItem> {
    let kinds = [
        (ChangeKind::Added, "untracked", uncommitted.added, ["it is not committed", "they are not committed"]),
        (
            ChangeKind::Modified,
            "uncommitted",
            uncommitted.modified,
            ["it differs from the commit", "they differ from the commit"],
        ),
        (
            ChangeKind::Removed,
            "uncommitted",
            uncommitted.removed,
            ["it is gone from the disk", "they are gone from the disk"],
        ),
    ];
    let refused = kinds.into_iter().filter(|(_, _, count, _)| *count > 0).map(|(kind, code, count, [one, many])| {
        let named = uncommitted.names.iter().filter(|(_, of)| *of == kind);
        let names: Vec<String> = named.map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect();
        let message = match count {
            1 => format!("giterminism refuses a mapped file: {one}"),
            _ => format!("giterminism refuses {count} mapped files: {many}"),
        };
        let diagnostic = Diagnostic::error(message).code(code);
        let mut diagnostic =
            diagnostic.help("commit what is meant, or take it back: an image gets what the commit has");
        diagnostic.notes = shown(&names, count, uncommitted);
        RefusedItem { diagnostic, names, rule: "" }
    });
    refused.collect()
}

/// The names for people.
fn shown(names: &[String], count: u64, uncommitted: &Uncommitted) -> Vec<String> {
    let name = |name: &String| {
        let moved = uncommitted.moved.iter().any(|path| path == name.as_bytes());
        if moved { format!("{name} (a submodule with another commit checked out)") } else { name.clone() }
    };
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(name).collect();
    if count > shown.len() as u64 {
        shown.push(format!("and {} more", count - shown.len() as u64));
    }
    shown
}
