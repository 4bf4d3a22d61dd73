//! The world outside of a template, as a reader of files lets it in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::gotemplate::{Host, name_of_text};
use super::render::{DebugSink, GoRequest};
use crate::source::{FileReader, ReadError, ReadErrorKind, SourceFile};

/// A [`Host`] over a [`FileReader`], which keeps the last error of the reader as it was.
pub(super) struct ReaderHost {
    files: Arc<dyn FileReader>,
    loose: bool,
    debug: Option<DebugSink>,
    failed: Mutex<Option<ReadError>>,
    read: Mutex<BTreeMap<String, SourceFile>>,
}

impl ReaderHost {
    pub(super) fn new(request: &GoRequest<'_>) -> Self {
        Self {
            files: Arc::clone(&request.files),
            loose: request.loose,
            debug: request.debug.cloned(),
            failed: Mutex::new(None),
            read: Mutex::default(),
        }
    }

    /// The reader's last error, if that is what this reason of a template's error tells of.
    pub(super) fn failed(&self, reason: &str) -> Option<ReadError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed.filter(|error| reason.ends_with(&error.message))
    }

    /// Files that the template read, by the name that their text has when it is given to `tpl`.
    pub(super) fn read(&self) -> BTreeMap<String, SourceFile> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read_one(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let bytes = self.files.read(path)?;
        if memchr::memmem::find(&bytes, b"{{").is_some()
            && let Ok(text) = std::str::from_utf8(&bytes)
        {
            let source = SourceFile { name: path.to_owned(), text: text.to_owned() };
            self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name_of_text(&bytes), source);
        }
        Ok(bytes)
    }

    fn kept<T>(&self, result: Result<T, ReadError>) -> Result<T, String> {
        result.map_err(|mut error| {
            if error.kind == ReadErrorKind::NotFound && error.hint.is_none() {
                error.hint = Some("is it committed? paths are relative to the project directory".to_owned());
            }
            let message = error.message.clone();
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            message
        })
    }

    fn find(&self, pattern: &str) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        let paths = self.files.glob_within(&clean(pattern))?;
        paths.into_iter().map(|path| Ok((path.clone(), self.read_one(&path)?))).collect()
    }
}

impl Host for ReaderHost {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        self.kept(self.files.env(name))
    }

    fn missing_env(&self, name: &str) -> Result<String, String> {
        if self.loose {
            return Ok(String::new());
        }
        let error = ReadError::not_found(name).code("env-unset");
        let error = error.hint(format!("set it, or give a default: {{{{ env {name:?} \"…\" }}}}"));
        self.kept(Err(ReadError { message: format!("the environment variable `{name}` is not set"), ..error }))
    }

    fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        self.kept(self.read_one(&clean(path)))
    }

    fn glob(&self, pattern: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        self.kept(self.find(pattern))
    }

    fn exists(&self, path: &str) -> Result<bool, String> {
        let path = clean(path);
        let found = path.is_empty() || self.kept(self.files.exists(&path))? || self.kept(self.files.is_dir(&path))?;
        Ok(found)
    }

    fn is_dir(&self, path: &str) -> Result<bool, String> {
        let path = clean(path);
        Ok(path.is_empty() || self.kept(self.files.is_dir(&path))?)
    }

    fn debug(&self, text: &str) {
        if let Some(DebugSink(sink)) = &self.debug {
            sink(text);
        }
    }
}

/// A path as readers take it: relative to the project directory whatever it starts with, `..` only at its front.
pub(super) fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if segments.last().is_some_and(|last| *last != "..") => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    segments.join("/")
}
