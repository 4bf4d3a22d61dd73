//! `git`: content of the commit, or of another repository.

use std::collections::BTreeMap;

use stages::spec::{GitMapping, GitSource};

use crate::config::dapp::schema::{GitEntry, StageDependencies};
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::lower::context::{Context, filled, texts};
use crate::config::werf::lower::exports::{self, Export, Origin, git_pattern};
use crate::config::werf::lower::git::{DIRECTORY_MODE, Remote, source};
use crate::config::werf::lower::paths;
use crate::config::werf::lower::project::present;
use crate::config::werf::lower::warnings::Deprecated;
use crate::config::werf::schema::Items;
use crate::config::yaml::Mark;

/// An entry, and the patterns that key the user stages.
pub(super) struct Mapping {
    pub(super) export: Export,
    source: GitSource,
    /// By the key of the stage; where each list is written.
    pub(super) dependencies: BTreeMap<&'static str, (Mark, Vec<String>)>,
}

impl Mapping {
    pub(super) fn into_spec(self) -> GitMapping {
        let Export { add, to, include_paths, exclude_paths, owner, .. } = self.export;
        let normal = |patterns: Vec<String>| patterns.iter().map(|pattern| git_pattern(pattern)).collect();
        GitMapping {
            source: self.source,
            add,
            to,
            include_paths: normal(include_paths),
            exclude_paths: normal(exclude_paths),
            owner,
            directory_mode: DIRECTORY_MODE,
            // An entry that selects nothing places nothing.
            required: false,
        }
    }
}

pub(super) fn lower(context: &mut Context<'_>, git: &Option<At<Items<GitEntry>>>) -> Vec<Mapping> {
    let entries = git.as_ref().map(|git| git.value.0.as_slice()).unwrap_or_default();
    context.each("git", entries, mapping)
}

fn mapping(context: &mut Context<'_>, entry: &At<GitEntry>) -> Option<Mapping> {
    let table = &entry.value;
    if let Some(alias) = &table.alias {
        context.deprecated(Deprecated::GitAs, alias.mark);
    }
    let everything = At { value: "/".to_owned(), mark: entry.mark };
    let add = if table.broken.contains(&"add") { None } else { Some(filled(&table.add).unwrap_or(&everything)) };
    let keys = exports::Keys {
        mark: entry.mark,
        broken: &table.broken,
        add,
        to: table.to.as_ref(),
        origin: Origin::Git,
        include_paths: &table.include_paths,
        exclude_paths: &table.exclude_paths,
        owner: &table.owner,
        group: &table.group,
    };
    let export = exports::lower(context, &keys);
    let dependencies = dependencies(context, present(&table.stage_dependencies));
    let remote = Remote { url: &table.url, branch: &table.branch, tag: &table.tag, commit: &table.commit };
    let source = source(context, &remote);
    if let Some(url) = filled(&table.url).filter(|url| !names_a_repository(&url.value)) {
        let message = format!("{} must end in `OWNER/NAME.git`", context.key("url"));
        let problem = context.error(url.mark, code::VALUE, message);
        problem.label = Some(format!("is {:?}", paths::shortened(&url.value)));
        problem.help = Some("add `.git`".to_owned());
    }
    Some(Mapping { export: export?, source, dependencies })
}

fn dependencies(
    context: &mut Context<'_>,
    table: Option<&StageDependencies>,
) -> BTreeMap<&'static str, (Mark, Vec<String>)> {
    let Some(table) = table else { return BTreeMap::new() };
    let keys = [
        ("install", &table.install),
        ("beforeSetup", &table.before_setup),
        ("setup", &table.setup),
        ("buildArtifact", &table.build_artifact),
    ];
    context.within(&["stageDependencies"], None, |context| {
        let mut dependencies = BTreeMap::new();
        for (key, field) in keys {
            let patterns = paths::relative_patterns(context, key, texts(field));
            if let Some(field) = field.as_ref().filter(|_| !patterns.is_empty()) {
                let patterns = patterns.iter().map(|pattern| git_pattern(pattern)).collect();
                dependencies.insert(key, (field.mark, patterns));
            }
        }
        dependencies
    })
}

/// Whether an address ends as dapp wants it to, which it takes the repository's name from.
fn names_a_repository(url: &str) -> bool {
    let Some((rest, name)) = url.strip_suffix(".git").and_then(|path| path.rsplit_once('/')) else { return false };
    let owner = rest.rsplit([':', '/', ' ']).next().unwrap_or_default();
    !owner.is_empty() && !name.is_empty() && !name.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_in_owner_and_name() {
        for url in ["https://example.org/group/lib.git", "git@example.org:group/lib.git", "a/b.git"] {
            assert!(names_a_repository(url), "{url}");
        }
        for url in ["https://example.org/group/lib", "lib.git", "https://example.org//.git", "group/.git", ":/lib.git"]
        {
            assert!(!names_a_repository(url), "{url}");
        }
    }
}
