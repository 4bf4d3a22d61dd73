//! The contract through which config and templates read files and the environment.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;

/// Reads the project's files and the environment, under whatever policy the implementation holds.
///
/// Paths and patterns are relative to the project directory, separated by `/`; a reader may let `..` at their start lead to
/// directories above. The answers of one reader do not change while it lives.
pub trait FileReader: Send + Sync {
    /// The content of a file.
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError>;

    /// Whether there is a file (not a directory) at the path.
    fn exists(&self, path: &str) -> Result<bool, ReadError>;

    /// Whether there is a directory at the path.
    fn is_dir(&self, path: &str) -> Result<bool, ReadError>;

    /// The files whose path matches the pattern, sorted. `*` and `?` stay within a segment, `**` crosses them.
    fn glob(&self, pattern: &str) -> Result<Vec<String>, ReadError>;

    /// The same, where a directory that matches stands for all files in it.
    fn glob_within(&self, pattern: &str) -> Result<Vec<String>, ReadError> {
        let mut paths = self.glob(pattern)?;
        if !pattern.ends_with("**") {
            paths.extend(self.glob(&format!("{pattern}/**"))?);
            paths.sort_unstable();
            paths.dedup();
        }
        Ok(paths)
    }

    /// The files below a directory that come from other repositories, in the order in which they count.
    fn included(&self, _directory: &str) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    /// The value of an environment variable; `None` when it is not set.
    fn env(&self, name: &str) -> Result<Option<String>, ReadError>;
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// There is no such file.
    NotFound,
    /// The pattern, path or name is malformed.
    Invalid,
    /// Giterminism refuses it.
    Refused,
    /// It is there, but could not be read.
    Failed,
}

/// A file, pattern or variable that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// Why.
    pub kind: ReadErrorKind,
    /// The class of the problem, as in [`Diagnostic::code`](super::Diagnostic::code).
    pub code: Option<&'static str>,
    /// Names what was read and why it failed, lower case.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ReadError {
    /// An error of that kind.
    pub fn new(kind: ReadErrorKind, message: impl Into<String>) -> Self {
        let code = match kind {
            ReadErrorKind::NotFound => Some("file-not-found"),
            ReadErrorKind::Refused => Some("giterminism-denied"),
            ReadErrorKind::Invalid | ReadErrorKind::Failed => None,
        };
        Self { kind, code, message: message.into(), hint: None }
    }

    /// There is no such file.
    pub fn not_found(path: &str) -> Self {
        Self::new(ReadErrorKind::NotFound, format!("there is no file `{path}`"))
    }

    /// With the class of the problem.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// With a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether giterminism refused it.
    pub fn is_refusal(&self) -> bool {
        self.kind == ReadErrorKind::Refused
    }
}

/// Files and variables held in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
    variables: BTreeMap<String, String>,
    refused: BTreeSet<String>,
}

impl MemoryFiles {
    /// No files, no variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a path or variable that giterminism refuses.
    #[must_use]
    pub fn refused(mut self, name: &str) -> Self {
        self.refused.insert(name.to_owned());
        self
    }

    fn check(&self, name: &str) -> Result<(), ReadError> {
        if self.refused.contains(name) {
            return Err(ReadError::new(ReadErrorKind::Refused, format!("giterminism does not allow `{name}`")));
        }
        Ok(())
    }
}

impl FileReader for MemoryFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        self.check(path)?;
        self.files.get(path).cloned().ok_or_else(|| ReadError::not_found(path))
    }

    fn exists(&self, path: &str) -> Result<bool, ReadError> {
        self.check(path)?;
        Ok(self.files.contains_key(path))
    }

    fn is_dir(&self, path: &str) -> Result<bool, ReadError> {
        self.check(path)?;
        let prefix = format!("{path}/");
        Ok(self.files.keys().any(|file| file.starts_with(&prefix)))
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, ReadError> {
        let matcher = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| {
                ReadError::new(ReadErrorKind::Invalid, format!("invalid pattern `{pattern}`: {}", error.kind()))
            })?
            .compile_matcher();
        Ok(self.files.keys().filter(|path| matcher.is_match(path)).cloned().collect())
    }

    fn env(&self, name: &str) -> Result<Option<String>, ReadError> {
        self.check(name)?;
        Ok(self.variables.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_files_answer_like_a_tree() {
        let files =
            MemoryFiles::new().file("a/b.txt", "x").file("c.txt", "y").variable("HOME", "/root").refused("TOKEN");
        assert_eq!(files.read("a/b.txt").unwrap(), b"x");
        assert_eq!(files.read("a").unwrap_err().kind, ReadErrorKind::NotFound);
        assert!(files.is_dir("a").unwrap() && !files.is_dir("c.txt").unwrap());
        assert_eq!(files.glob("*.txt").unwrap(), ["c.txt"]);
        assert_eq!(files.glob("**/*.txt").unwrap(), ["a/b.txt", "c.txt"]);
        assert_eq!(files.glob_within("*").unwrap(), ["a/b.txt", "c.txt"]);
        assert_eq!(files.env("HOME").unwrap().as_deref(), Some("/root"));
        assert!(files.env("TOKEN").unwrap_err().is_refusal());
        assert_eq!(files.glob("a{").unwrap_err().kind, ReadErrorKind::Invalid);
    }
}
