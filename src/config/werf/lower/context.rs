//! What lowering carries along: the reader with its problems, the claims, what is deprecated, and helpers for single keys.

use super::warnings::{Deprecated, Warnings};
use crate::config::claim::Claim;
use crate::config::login::GitLogin;
use crate::config::read::{At, Reader};
use crate::config::werf::code;
use crate::config::werf::schema::Texts;
use crate::config::werf::semantics::{Rules, Semantics};
use crate::config::yaml::Mark;
use crate::source::Diagnostic;

pub(in crate::config) struct Context<'a> {
    pub(in crate::config) reader: Reader<'a>,
    /// What holds in the line of werf that is being read.
    pub(in crate::config) rules: &'static Rules,
    pub(in crate::config) claims: Vec<(Claim, Mark)>,
    pub(in crate::config) logins: Vec<(GitLogin, Mark)>,
    pub(in crate::config) warnings: &'a mut Warnings,
    /// What stops a build, though the config can be read.
    pub(in crate::config) at_build: Vec<Diagnostic>,
    /// The image that is being lowered; the first of them, when a section has several names.
    pub(in crate::config) subject: String,
}

impl<'a> Context<'a> {
    pub(in crate::config) fn new(file: &'a str, warnings: &'a mut Warnings, semantics: Semantics) -> Self {
        let rules = semantics.rules();
        Self {
            reader: Reader::yaml11(file).without(rules.withheld),
            rules,
            claims: Vec::new(),
            logins: Vec::new(),
            warnings,
            at_build: Vec::new(),
            subject: String::new(),
        }
    }

    pub(in crate::config) fn into_problems(self) -> Vec<Diagnostic> {
        self.reader.into_problems()
    }

    /// Adds an error with its word for programs.
    pub(in crate::config) fn error(&mut self, mark: Mark, code: &str, message: impl Into<String>) -> &mut Diagnostic {
        let problem = self.reader.error(mark, message);
        problem.code = Some(code.to_owned());
        problem
    }

    /// Adds what stops a build, but not the reading of a config: werf finds it out that late too.
    pub(in crate::config) fn at_build(&mut self, mark: Mark, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.at_build.len();
        self.at_build.push(Diagnostic::error(message).at(self.reader.place(mark)).code(code::VALUE));
        &mut self.at_build[at]
    }

    pub(in crate::config) fn deprecated(&mut self, kind: Deprecated, mark: Mark) {
        self.warnings.deprecated(kind, mark);
    }

    /// Adds a claim; once something is wrong, nothing more is asked for.
    pub(in crate::config) fn claim(&mut self, mark: Mark, claim: Claim) {
        if !self.reader.has_problems() {
            self.claims.push((claim, mark));
        }
    }

    /// The key path of a key here, in backquotes.
    pub(in crate::config) fn key(&self, key: &str) -> String {
        format!("`{}`", self.reader.path_to(key))
    }

    /// Runs with keys, and perhaps an index, on the path.
    pub(in crate::config) fn within<T>(
        &mut self,
        keys: &[&str],
        index: Option<usize>,
        run: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let depth = self.reader.enter(keys, index);
        let result = run(self);
        self.reader.leave(depth);
        result
    }

    /// Runs for each item of a list, with its index on the path.
    pub(in crate::config) fn each<T, U>(
        &mut self,
        key: &str,
        items: &[At<T>],
        mut run: impl FnMut(&mut Self, &At<T>) -> Option<U>,
    ) -> Vec<U> {
        let lowered = |(index, item): (usize, &At<T>)| self.within(&[key], Some(index), |context| run(context, item));
        items.iter().enumerate().filter_map(lowered).collect()
    }

    /// Of keys that exclude each other, the one that is set; a second one is an error.
    pub(in crate::config) fn exclusive<'k>(
        &mut self,
        keys: &[(&'static str, Option<&'k At<String>>)],
    ) -> Option<(&'static str, &'k At<String>)> {
        let mut set = keys.iter().filter_map(|(key, field)| Some((*key, (*field)?)));
        let first = set.next()?;
        for (other, field) in set {
            let related = self.reader.place(first.1.mark);
            let message = format!("{} and {} exclude each other", self.key(other), self.key(first.0));
            let problem = self.error(field.mark, code::CONFLICT, message);
            *problem = problem.clone().related(related, format!("`{}` is here", first.0)).help("keep one of the two");
        }
        Some(first)
    }
}

/// A text that says something: werf takes an empty one for an absent one.
pub(in crate::config) fn filled(field: &Option<At<String>>) -> Option<&At<String>> {
    field.as_ref().filter(|field| !field.value.is_empty())
}

/// The text of a key, when it says something.
pub(in crate::config) fn owned(field: &Option<At<String>>) -> Option<String> {
    filled(field).map(|field| field.value.clone())
}

pub(in crate::config) fn is_true(field: &Option<At<bool>>) -> bool {
    field.as_ref().is_some_and(|field| field.value)
}

/// The items of a list that may be absent.
pub(in crate::config) fn listed(field: &Option<At<Vec<At<String>>>>) -> &[At<String>] {
    field.as_ref().map_or(&[], |list| &list.value)
}

/// The texts of a key that may be absent.
pub(in crate::config) fn texts(field: &Option<At<Texts>>) -> &[At<String>] {
    field.as_ref().map_or(&[], |texts| texts.value.items())
}

/// The values alone.
pub(in crate::config) fn values(items: &[At<String>]) -> Vec<String> {
    items.iter().map(|item| item.value.clone()).collect()
}
