//! The files that a `werf.yaml` project takes from other repositories: fetched at the commits of the lock, and given to the
//! gate.

use stages::filter::PathFilter;
use stages::spec::GitReference;

use super::{Error, ProjectOptions, logins};
use crate::config::{self, ConfigError, DISCOVERED, Dialect, INCLUDES_FILE, INCLUDES_LOCK, Include, IncludeLocks};
use crate::git::{RemoteReference, Remotes};
use crate::giterminism::{FileClass, Gate, Included};
use crate::source::Diagnostic;

/// The names of configs that may come from another repository; one of them is enough.
const CONFIGS: [&str; 2] = ["werf.yaml", "werf.yml"];

/// The files of other repositories, the ones that count first in front; none for a project that lists none.
pub(super) fn read(gate: &Gate, options: &ProjectOptions, remotes: &Remotes) -> Result<Vec<Included>, Error> {
    let Some(text) = listed(gate, options)? else { return Ok(Vec::new()) };
    let includes = config::includes(&text)?;
    if includes.is_empty() {
        return Ok(Vec::new());
    }
    let locks = locks(gate, options, &includes)?;
    // Later ones in the list are more specific.
    let mut included = Vec::with_capacity(includes.len());
    for (index, include) in includes.iter().enumerate().rev() {
        let files = fetch(gate, remotes, include, locks.as_ref())?;
        if files.is_empty() {
            return Err(nothing(index).into());
        }
        included.push(files);
    }
    let mut has_config = false;
    for name in CONFIGS {
        has_config |= file(gate, FileClass::Config, name)?.is_some();
    }
    for included in &mut included {
        // Another repository has no say in what this project's config is written in.
        for (name, _) in DISCOVERED.iter().filter(|(_, dialect)| has_config || !dialect.is_werf()) {
            included.forget(name);
        }
        has_config |= CONFIGS.iter().any(|name| included.has(name));
    }
    Ok(included)
}

/// The text of the list, if the project is one of werf and has it.
fn listed(gate: &Gate, options: &ProjectOptions) -> Result<Option<String>, Error> {
    let named = options
        .dialect
        .or_else(|| options.config.as_deref().map(|path| Dialect::of_file(path).unwrap_or(Dialect::Stager)));
    let applies = match named {
        Some(dialect) => dialect.is_werf(),
        None => {
            file(gate, FileClass::Config, "stager.yaml")?.is_none()
                && file(gate, FileClass::Config, "stager.yml")?.is_none()
        }
    };
    if applies { file(gate, FileClass::Rules, INCLUDES_FILE) } else { Ok(None) }
}

fn file(gate: &Gate, class: FileClass, path: &str) -> Result<Option<String>, Error> {
    let content = gate.read_file(class, path)?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
}

/// The commits; `None` where the newest ones are asked for, which the rules must allow.
fn locks(gate: &Gate, options: &ProjectOptions, includes: &[Include]) -> Result<Option<IncludeLocks>, Error> {
    if options.allow_includes_update {
        gate.check_includes_update()?;
        return Ok(None);
    }
    let Some(text) = file(gate, FileClass::Rules, INCLUDES_LOCK)? else {
        let problem = Diagnostic::error(format!("there is no file `{INCLUDES_LOCK}`")).code("file-not-found");
        let help = format!(
            "write and commit it: it has a commit for each of the {} entries of `{INCLUDES_FILE}`",
            includes.len()
        );
        return Err(ConfigError::single(problem.help(help)).into());
    };
    Ok(Some(config::include_locks(&text)?))
}

fn fetch(gate: &Gate, remotes: &Remotes, include: &Include, locks: Option<&IncludeLocks>) -> Result<Included, Error> {
    let reference = match (locks, &include.reference) {
        (Some(locks), _) => RemoteReference::Commit(locks.commit(include)?.to_owned()),
        (None, GitReference::Commit(commit)) => RemoteReference::Commit(commit.clone()),
        (None, GitReference::Tag(tag)) => RemoteReference::Tag(tag.clone()),
        (None, GitReference::Branch(branch)) => RemoteReference::Branch(branch.clone()),
    };
    let login = include.login.as_ref().map(|login| logins::one(gate, login)).transpose();
    let login = login.map_err(|problem| ConfigError::single(problem.note(format!("in `{INCLUDES_FILE}`"))))?;
    let fetched = remotes.fetch_alone(&include.url, &reference, login.as_ref())?;
    let filter = PathFilter::new(&include.include_paths, &include.exclude_paths).map_err(|error| {
        ConfigError::single(Diagnostic::error(format!("`{INCLUDES_FILE}`: {error}")).code("glob-syntax"))
    })?;
    Ok(Included::new(fetched.repository, fetched.tree, &include.add, &include.to, &filter)?)
}

fn nothing(index: usize) -> ConfigError {
    let message = format!("`{INCLUDES_FILE}`: `includes[{index}]` takes no file: the commit has none that it selects");
    let problem = Diagnostic::error(message).code("file-not-found");
    ConfigError::single(problem.help("look at `add`, `includePaths` and `excludePaths`"))
}
