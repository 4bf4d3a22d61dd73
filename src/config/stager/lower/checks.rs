//! Tests of the finished image.

use std::collections::{BTreeMap, BTreeSet};

use stages::spec::{FileCheck, ImageTest, TestStep, TextCheck};

use super::context::Context;
use super::project::within;
use super::steps::variables;
use crate::config::read::{At, MapOf, OneOrMany};
use crate::config::rules::{absolute_path, c_text, not_blank, permissions};
use crate::config::stager::schema::{FileCheckTable, TestEntry, TestStepEntry, TextCheckTable};

pub(super) fn tests(context: &mut Context<'_>, entries: Option<&At<Vec<At<TestEntry>>>>) -> Vec<ImageTest> {
    let entries = entries.map(|entries| entries.value.as_slice()).unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut tests = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let test = within(context, &["tests"], Some(index), |context| test(context, &entry.value));
        if !test.name.is_empty() && !names.insert(test.name.clone()) {
            context.reader.error(entry.mark, format!("two tests are named `{}`", test.name));
        }
        tests.push(test);
    }
    tests
}

fn test(context: &mut Context<'_>, entry: &TestEntry) -> ImageTest {
    let name =
        context.required((entry.mark, &entry.broken), "name", entry.name.as_ref(), not_blank).unwrap_or_default();
    let env = variables(context, "env", entry.env.as_ref());
    let written = entry.steps.as_ref().map(|steps| steps.value.as_slice()).unwrap_or_default();
    let steps: Vec<TestStep> = written
        .iter()
        .enumerate()
        .map(|(index, step)| within(context, &["steps"], Some(index), |context| test_step(context, &step.value)))
        .collect();
    let files = files(context, entry.files.as_ref());
    if steps.is_empty() && files.is_empty() && entry.broken.is_empty() {
        let path = context.reader.path();
        let problem = context.reader.error(entry.mark, format!("`{path}` checks nothing"));
        problem.help = Some("add `steps` or `files`".to_owned());
    }
    ImageTest { name, env, steps, files }
}

fn test_step(context: &mut Context<'_>, entry: &TestStepEntry) -> TestStep {
    let here = (entry.mark, entry.broken.as_slice());
    let command = context.required(here, "command", entry.command.as_ref(), not_blank).unwrap_or_default();
    if let Some(code) = entry.exit_code.as_ref().filter(|code| code.value > 255) {
        let path = context.reader.path_to("exitCode");
        context.reader.error(code.mark, format!("`{path}` must be between 0 and 255"));
    }
    TestStep {
        command,
        stdin: context.checked("stdin", entry.stdin.as_ref(), c_text),
        stdout: output(context, "stdout", entry.stdout.as_ref()),
        stderr: output(context, "stderr", entry.stderr.as_ref()),
        exit_code: entry.exit_code.as_ref().map_or(0, |code| code.value as i32),
    }
}

/// The keys of a text check, which two tables have.
macro_rules! text_check {
    ($context:expr, $table:expr) => {
        TextCheck {
            equals: text($table.equals.as_ref()),
            contains: texts($table.contains.as_ref()),
            starts_with: text($table.starts_with.as_ref()),
            ends_with: text($table.ends_with.as_ref()),
            matches: $context.list("matches", $table.matches.as_ref(), not_blank),
            empty: flag($table.empty.as_ref()),
        }
    };
}

fn output(context: &mut Context<'_>, key: &str, table: Option<&At<TextCheckTable>>) -> TextCheck {
    let Some(table) = table.map(|table| &table.value) else { return TextCheck::default() };
    within(context, &[key], None, |context| text_check!(context, table))
}

fn text(field: Option<&At<String>>) -> Option<String> {
    field.map(|field| field.value.clone())
}

fn texts(field: Option<&At<OneOrMany<String>>>) -> Vec<String> {
    field.map(|field| field.value.0.iter().map(|item| item.value.clone()).collect()).unwrap_or_default()
}

fn flag(field: Option<&At<bool>>) -> bool {
    field.is_some_and(|field| field.value)
}

fn files(context: &mut Context<'_>, map: Option<&At<MapOf<FileCheckTable>>>) -> BTreeMap<String, FileCheck> {
    let pairs = map.map(|map| map.value.0.as_slice()).unwrap_or_default();
    let mut checks = BTreeMap::new();
    for (path, table) in pairs {
        let keys = ["files", path.value.as_str()];
        let checked =
            within(context, &keys[..1], None, |context| context.checked(&path.value, Some(path), absolute_path));
        let check = within(context, &keys, None, |context| file_check(context, &table.value));
        checks.extend(checked.map(|path| (path, check)));
    }
    checks
}

fn file_check(context: &mut Context<'_>, table: &FileCheckTable) -> FileCheck {
    let check = FileCheck {
        not_exist: flag(table.not_exist.as_ref()),
        is_dir: table.is_dir.as_ref().map(|field| field.value),
        permissions: context.checked("permissions", table.permissions.as_ref(), permissions),
        link_target: text(table.link_target.as_ref()),
        content: text_check!(context, table),
    };
    let rest = FileCheck { not_exist: false, ..check.clone() };
    if check.not_exist && rest != FileCheck::default() {
        let path = context.reader.path();
        context.reader.error(table.mark, format!("`{path}` checks a file that must not exist"));
    }
    check
}
