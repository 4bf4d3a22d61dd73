//! Sections as written to the project specification.
//!
//! Problems are found in rounds, as werf finds them: what cannot be read, then what single sections say, then what holds
//! between images. A round with problems is the last one, and reports all of its own; each section is looked at in every
//! round, so that one run shows everything of a kind.

#![allow(clippy::ref_option, reason = "the keys of tables are options, and helpers take them as they are")]

pub(in crate::config) mod ansible;
mod base;
mod cleanup;
pub(in crate::config) mod context;
pub(in crate::config) mod dependencies;
pub(in crate::config) mod docker;
mod dockerfile;
pub(in crate::config) mod exports;
pub(in crate::config) mod git;
mod image_spec;
pub(in crate::config) mod images;
mod imports;
pub(in crate::config) mod mounts;
mod names;
pub(in crate::config) mod paths;
mod platforms;
pub(in crate::config) mod project;
mod secrets;
mod sections;
mod stapel;
pub(in crate::config) mod steps;
pub(in crate::config) mod warnings;
pub(in crate::config) mod words;

use self::context::Context;
use self::images::Lowering;
use self::names::Names;
use self::project::Project;
use self::sections::Written;
use self::warnings::Warnings;
use super::{Semantics, code};
use crate::config::dialect::Lowered;
use crate::config::yaml;
use crate::source::Diagnostic;
use crate::template::CommitFacts;

/// Lowers a rendered `werf.yaml`. `commit` is what steps are told of the commit.
pub(crate) fn lower(file: &str, text: &str, commit: &CommitFacts, semantics: Semantics) -> Lowered {
    let mut warnings = Warnings::default();
    let mut lowered = Lowered::default();
    if let Some((project, sections)) = read(file, text, semantics, &mut warnings, &mut lowered) {
        let mut lowering = Lowering::new(&project, Names::of(&sections), commit, semantics);
        lower_images(file, &mut lowering, &sections, &mut warnings, &mut lowered);
        if lowered.problems.is_empty() {
            lowered.project = project.lowered();
        }
    }
    lowered.problems.append(&mut warnings.into_diagnostics(file));
    lowered
}

/// The first round.
fn read(
    file: &str,
    text: &str,
    semantics: Semantics,
    warnings: &mut Warnings,
    lowered: &mut Lowered,
) -> Option<(Project, Vec<Written>)> {
    let (sections, mut problems) = yaml::parse_sections(file, text);
    let mut context = Context::new(file, warnings, semantics);
    let sections: Vec<Written> =
        sections.into_iter().filter_map(|section| sections::read(&mut context, section)).collect();
    let project = one_project(&mut context, &sections);
    lowered.at_build.append(&mut context.at_build);
    problems.append(&mut context.into_problems());
    problems.sort_by_key(|problem| problem.place.as_ref().map(|place| place.line));
    if problems.is_empty() && project.is_none() {
        problems.push(without_project(file));
    }
    lowered.problems.append(&mut problems);
    Some((project.filter(|_| lowered.problems.is_empty())?, sections))
}

fn one_project(context: &mut Context<'_>, sections: &[Written]) -> Option<Project> {
    let mut found = None;
    for section in sections {
        let Written::Project { section, is_clean } = section else { continue };
        match &found {
            None => found = Some((section.mark, is_clean.then(|| project::lower(context, section)))),
            Some((first, _)) => {
                let related = context.reader.place(*first);
                let message = "there are two project sections";
                let problem = context.error(section.mark, code::META_DUPLICATE, message);
                *problem =
                    problem.clone().label("again here").related(related, "first here").help("leave one of them out");
            }
        }
    }
    found.and_then(|(_, project)| project)
}

fn without_project(file: &str) -> Diagnostic {
    Diagnostic::error("the config has no project section")
        .code(code::META_MISSING)
        .at(yaml::Mark { line: 1, column: 1, len: 0 }.place(file))
        .help("start with a section of `configVersion: 1` and `project: NAME`, and a line `---` after it")
}

/// The other rounds, but for names and references, which are checked for all dialects alike.
fn lower_images(
    file: &str,
    lowering: &mut Lowering<'_>,
    sections: &[Written],
    warnings: &mut Warnings,
    lowered: &mut Lowered,
) {
    let semantics = lowering.semantics;
    // As in werf, images from a Dockerfile are looked at first.
    let is_dockerfile = |section: &&Written| matches!(section, Written::Dockerfile(_));
    let others = sections.iter().filter(|section| !is_dockerfile(section));
    for section in sections.iter().filter(is_dockerfile).chain(others) {
        let mut context = Context::new(file, warnings, semantics);
        match section {
            Written::Project { .. } => continue,
            Written::Stapel(section) => stapel::lower(lowering, &mut context, section),
            Written::Dockerfile(section) => dockerfile::lower(lowering, &mut context, section),
        }
        if lowered.problems.is_empty() {
            lowered.claims.append(&mut context.claims);
            lowered.logins.append(&mut context.logins);
        }
        lowered.at_build.append(&mut context.at_build);
        let note = format!("in image `{}`", context.subject);
        lowered.problems.extend(context.into_problems().into_iter().map(|problem| problem.note(note.clone())));
    }
    lowering.images.sort_by_key(|image| image.mark);
    if lowered.problems.is_empty() {
        let mut context = Context::new(file, warnings, semantics);
        lowering.check_nameless(&mut context);
        lowering.check_platforms(&mut context);
        images::inherit_mounts(&mut lowering.images);
        lowered.problems.append(&mut context.into_problems());
    }
    lowered.images = std::mem::take(&mut lowering.images);
}
