//! Patterns of stage dependencies that match no file of the commit: what they were meant for never runs the stage again.

use std::collections::BTreeSet;

use stages::ObjectId;
use stages::filter::PathFilter;
use stages::spec::{Content, FileView, GitMapping, GitSource, ImageSpec, Project, Step};

use crate::git::Repository;

/// A text for each of them; one that several images have is told of once.
pub(super) fn patterns(repository: &Repository, tree: &ObjectId, project: &Project) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut warnings = Vec::new();
    for Dependency { image, step, mapping, pattern } in project.images.iter().flat_map(dependencies) {
        let key = (&mapping.add, &mapping.include_paths, &mapping.exclude_paths, pattern);
        if seen.insert(key) && matches_nothing(repository, tree, mapping, pattern) {
            warnings.push(format!(
                "image `{}`, stage `{}`: no file of `git.add: {}` matches the stage dependency `{pattern}`",
                image.name, step.name, mapping.add
            ));
        }
    }
    warnings
}

struct Dependency<'a> {
    image: &'a ImageSpec,
    step: &'a Step,
    mapping: &'a GitMapping,
    pattern: &'a str,
}

/// What steps of an image say of the project's own files. Those of other repositories are not looked for, as that could
/// need the network.
fn dependencies(image: &ImageSpec) -> impl Iterator<Item = Dependency<'_>> {
    let steps = image.conveyor.iter().filter_map(|place| match &place.content {
        Content::Step(step) => Some(step.as_ref()),
        _ => None,
    });
    let keyed = steps.filter_map(|step| match &step.files {
        FileView::KeyedBy(patterns) => Some((step, patterns)),
        _ => None,
    });
    keyed.flat_map(move |(step, patterns)| {
        let local = image.git.iter().zip(patterns).filter(|(mapping, _)| mapping.source == GitSource::Local);
        local.flat_map(move |(mapping, patterns)| {
            patterns.iter().map(move |pattern| Dependency { image, step, mapping, pattern })
        })
    })
}

/// What is wrong with a mapping, or cannot be read, is said by the plan.
fn matches_nothing(repository: &Repository, tree: &ObjectId, mapping: &GitMapping, pattern: &str) -> bool {
    let filter = PathFilter::new(&mapping.include_paths, &mapping.exclude_paths)
        .and_then(|filter| filter.narrowed("", &[pattern.to_owned()]));
    let (Ok(filter), Ok(add)) = (filter, repository.in_project(&mapping.add)) else { return false };
    matches!(repository.checksum(tree, &add, &filter), Ok(None))
}
