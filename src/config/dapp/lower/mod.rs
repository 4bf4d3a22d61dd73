//! Sections as written to the project specification, in rounds: what cannot be read, what single sections say, what holds
//! between them. A round with problems is the last one, and reports all of its own.

#![allow(clippy::ref_option, reason = "the keys of tables are options, and helpers take them as they are")]

mod base;
mod dimg;
mod docker;
mod git;
mod imports;
mod mounts;
mod names;
mod sections;
mod steps;

use self::names::Names;
use super::project::{self, ProjectHome};
use super::schema::DimgSection;
use crate::config::dialect::{Lowered, LoweredImage};
use crate::config::werf::Semantics;
use crate::config::werf::lower::context::Context;
use crate::config::werf::lower::images::inherit_mounts;
use crate::config::werf::lower::warnings::Warnings;
use crate::config::{validate, yaml};
use crate::source::Diagnostic;

/// Lowers a rendered `dappfile.yml`; `home` is what its project is named after.
pub(crate) fn lower(file: &str, text: &str, home: &ProjectHome) -> Lowered {
    let mut warnings = Warnings::default();
    let mut lowered = Lowered { project: Some(project::lower(home)), ..Lowered::default() };
    let sections = read(file, text, &mut warnings, &mut lowered);
    if lowered.problems.is_empty() {
        let names = Names::of(&sections);
        lowered.images = images(file, &sections, &names, &mut warnings, &mut lowered);
    }
    if lowered.problems.is_empty() {
        lowered.problems = validate::check(file, &lowered.images);
        inherit_mounts(&mut lowered.images);
    }
    lowered.problems.append(&mut warnings.into_diagnostics(file));
    lowered
}

/// The first round.
fn read(file: &str, text: &str, warnings: &mut Warnings, lowered: &mut Lowered) -> Vec<DimgSection> {
    let (sections, mut problems) = yaml::parse_sections(file, text);
    let mut context = Context::new(file, warnings, Semantics::default());
    let sections: Vec<DimgSection> =
        sections.into_iter().filter_map(|section| sections::read(&mut context, section.node?)).collect();
    problems.append(&mut context.into_problems());
    if problems.is_empty() && sections.iter().all(|section| section.dimg.is_none()) {
        problems.push(without_dimgs(file));
    }
    lowered.problems = problems;
    sections
}

fn without_dimgs(file: &str) -> Diagnostic {
    Diagnostic::error("the config has no dimg")
        .code(crate::config::werf::code::REQUIRED)
        .at(yaml::Mark { line: 1, column: 1, len: 0 }.place(file))
        .help("write one: `dimg: NAME` and `from: IMAGE`")
}

/// The second round.
fn images(
    file: &str,
    sections: &[DimgSection],
    names: &Names,
    warnings: &mut Warnings,
    lowered: &mut Lowered,
) -> Vec<LoweredImage> {
    let mut images = Vec::new();
    for section in sections {
        let mut context = Context::new(file, warnings, Semantics::default());
        images.append(&mut dimg::lower(&mut context, section, names));
        lowered.claims.append(&mut context.claims);
        lowered.at_build.append(&mut context.at_build);
        let kind = if section.artifact.is_some() { "artifact" } else { "dimg" };
        let subject = if context.subject.is_empty() { "~" } else { &context.subject };
        let note = format!("in {kind} `{subject}`");
        lowered.problems.extend(context.into_problems().into_iter().map(|problem| problem.note(note.clone())));
    }
    if lowered.problems.is_empty() {
        let mut context = Context::new(file, warnings, Semantics::default());
        names::check_nameless(&mut context, &images);
        lowered.problems.append(&mut context.into_problems());
    }
    images
}
