//! The values a template sees: `env`, `files`, `git`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, Value, from_args};
use minijinja::{Error, ErrorKind, State, context};

use super::jinja::{GitValues, is_clean};
use crate::source::{FileReader, ReadError, ReadErrorKind};

/// `env(name, default)`.
pub(super) fn env(files: &Arc<dyn FileReader>) -> Value {
    let files = Arc::clone(files);
    Value::from_function(move |name: String, default: Option<Value>, named: Kwargs| {
        let default = match default {
            Some(default) => Some(default),
            None => named.get::<Option<Value>>("default")?,
        };
        named.assert_all_used()?;
        match (files.env(&name).map_err(failure)?, default) {
            (Some(value), _) => Ok(Value::from(value)),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(unset(&name)),
        }
    })
}

fn unset(name: &str) -> Error {
    failure(
        ReadError::new(ReadErrorKind::NotFound, format!("the environment variable `{name}` is not set"))
            .code("env-unset")
            .hint(format!("set it, or give a default: env(\"{name}\", \"…\")")),
    )
}

/// `git.commit`, `git.branch`, `git.tag`.
pub(super) fn git(git: &GitValues) -> Value {
    context! { commit => &git.commit, branch => &git.branch, tag => &git.tag }
}

/// `files.read`, `files.glob`, `files.exists`.
pub(super) fn files(files: &Arc<dyn FileReader>) -> Value {
    Value::from_object(Files(Arc::clone(files)))
}

struct Files(Arc<dyn FileReader>);

impl fmt::Debug for Files {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("files")
    }
}

impl Object for Files {
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        let (argument,): (String,) = from_args(args)?;
        match method {
            "read" => {
                let path = clean(&argument)?;
                Ok(Value::from(text(path, self.0.read(path).map_err(failure)?)?))
            }
            "exists" => Ok(Value::from(self.0.exists(clean(&argument)?).map_err(failure)?)),
            "glob" => Ok(Value::from(self.0.glob(&argument).map_err(failure)?)),
            other => {
                Err(Error::new(ErrorKind::UnknownMethod, format!("files has read, glob and exists, but no `{other}`")))
            }
        }
    }
}

fn clean(path: &str) -> Result<&str, Error> {
    let relative = path.strip_prefix("./").unwrap_or(path);
    if is_clean(relative) {
        return Ok(relative);
    }
    let message = format!("a file's path is relative to the project directory and has no `..`; got {path:?}");
    Err(failure(ReadError::new(ReadErrorKind::Invalid, message)))
}

/// The text of a file.
pub(super) fn text(path: &str, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes)
        .map_err(|_| failure(ReadError::new(ReadErrorKind::Invalid, format!("`{path}` is not UTF-8 text"))))
}

/// A reader's error as a template's.
pub(super) fn failure(error: ReadError) -> Error {
    Error::new(ErrorKind::InvalidOperation, error.message.clone()).with_source(error)
}
