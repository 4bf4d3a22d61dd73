//! What lowering a document carries along: the reader with its problems, the claims, and helpers for single keys.

use stages::ids::ImageName;

use crate::config::claim::Claim;
use crate::config::read::{At, OneOrMany, Reader};
use crate::config::rules::Rule;
use crate::config::yaml::Mark;
use crate::source::Diagnostic;

pub(super) struct Context<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) claims: Vec<(Claim, Mark)>,
    /// The image that is being lowered.
    pub(super) subject: String,
}

impl<'a> Context<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self { reader: Reader::new(file), claims: Vec::new(), subject: String::new() }
    }

    pub(super) fn into_problems(self) -> Vec<Diagnostic> {
        self.reader.into_problems()
    }

    /// A key's value put to a rule; `None` when it is absent or breaks the rule.
    pub(super) fn checked<T>(
        &mut self,
        key: &str,
        field: Option<&At<String>>,
        rule: impl Fn(&str) -> Rule<T>,
    ) -> Option<T> {
        let field = field?;
        self.reader.key(key, |reader| check(reader, field, &rule))
    }

    /// A key's value that has to be there. `broken` names the keys that are there but could not be read.
    pub(super) fn required<T>(
        &mut self,
        (mark, broken): (Mark, &[&str]),
        key: &str,
        field: Option<&At<String>>,
        rule: impl Fn(&str) -> Rule<T>,
    ) -> Option<T> {
        if field.is_none() {
            self.missing(mark, broken, key);
        }
        self.checked(key, field, rule)
    }

    /// Reports a key as missing, unless it is there but could not be read.
    pub(super) fn missing(&mut self, mark: Mark, broken: &[&str], key: &str) {
        if !broken.contains(&key) {
            let path = self.reader.path_to(key);
            let problem = self.reader.error(mark, format!("missing key `{path}`"));
            problem.code = Some("directive-required".to_owned());
        }
    }

    /// Each text of a list put to a rule.
    pub(super) fn each<T>(&mut self, key: &str, list: &[At<String>], rule: impl Fn(&str) -> Rule<T>) -> Vec<T> {
        self.reader.key(key, |reader| {
            let item = |(index, item): (usize, &At<String>)| reader.index(index, |reader| check(reader, item, &rule));
            list.iter().enumerate().filter_map(item).collect()
        })
    }

    /// As [`Self::each`], for a key that may be absent.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        list: Option<&At<OneOrMany<String>>>,
        rule: impl Fn(&str) -> Rule<T>,
    ) -> Vec<T> {
        list.map(|list| self.each(key, &list.value.0, rule)).unwrap_or_default()
    }

    /// Of keys that exclude each other, the one that is set; a second one is an error.
    pub(super) fn exclusive(&mut self, keys: &[(&'static str, Option<Mark>)]) -> Option<&'static str> {
        let mut set = keys.iter().filter_map(|(key, mark)| Some((*key, (*mark)?)));
        let (first, first_mark) = set.next()?;
        for (other, mark) in set {
            let (first_path, other_path) = (self.reader.path_to(first), self.reader.path_to(other));
            let related = self.reader.place(first_mark);
            let problem = self.reader.error(mark, format!("`{other_path}` and `{first_path}` exclude each other"));
            *problem = problem.clone().related(related, format!("`{first}` is here"));
        }
        Some(first)
    }

    pub(super) fn claim(&mut self, mark: Mark, claim: Claim) {
        self.claims.push((claim, mark));
    }
}

/// Puts a value to a rule; the key is the reader's path.
pub(super) fn check<T>(reader: &mut Reader<'_>, field: &At<String>, rule: &impl Fn(&str) -> Rule<T>) -> Option<T> {
    match rule(&field.value) {
        Ok(value) => Some(value),
        Err(reason) => {
            let path = reader.path();
            let shown: String = field.value.chars().take(80).collect();
            let problem = reader.error(field.mark, format!("`{path}` {reason}"));
            problem.label = Some(format!("is {shown:?}"));
            None
        }
    }
}

/// The name of an image or artifact.
pub(super) fn image_name(text: &str) -> Rule<ImageName> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.len() > 255 {
        return Err("must be shorter than 256 characters".to_owned());
    }
    let name: ImageName = text.parse().map_err(|error: stages::IdError| error.reason.to_owned())?;
    if name.is_plain() { Ok(name) } else { Err(ImageName::PLAIN.to_owned()) }
}
