//! werf's `werf-includes.yaml`, which takes files of a config from other repositories. It is read so that nothing of it is
//! passed over in silence: a config that needs such files is refused by name.

use serde::Deserialize;

use super::load::ConfigError;
use super::render::unreadable;
use crate::source::{Diagnostic, FileReader, Place, SourceFile};

const FILE: &str = "werf-includes.yaml";
const LOCK: &str = "werf-includes.lock";

/// The part of the file that matters here: how many repositories it lists, and which.
#[derive(Debug, Deserialize)]
struct Includes {
    #[serde(default)]
    includes: Option<Vec<Include>>,
}

#[derive(Debug, Deserialize)]
struct Include {
    git: Option<String>,
}

/// Refuses a project that takes files from other repositories.
pub(super) fn check(files: &dyn FileReader) -> Result<(), ConfigError> {
    if !files.exists(FILE).map_err(|error| unreadable(&error))? {
        return Ok(());
    }
    let bytes = files.read(FILE).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let parsed: Result<Option<Includes>, _> = serde_yaml::from_str(&text);
    let source = SourceFile { name: FILE.to_owned(), text };
    let includes = match parsed {
        Ok(parsed) => parsed.and_then(|file| file.includes).unwrap_or_default(),
        Err(error) => return Err(malformed(source, &error)),
    };
    if includes.is_empty() {
        return Ok(());
    }
    files.read(LOCK).map_err(|error| unreadable(&error))?;
    let names: Vec<String> =
        includes.iter().filter_map(|include| Some(format!("`{}`", include.git.as_ref()?))).collect();
    let what = if names.is_empty() { "other repositories".to_owned() } else { names.join(", ") };
    let problem = Diagnostic::error(format!("`{FILE}` takes files from {what}, which this version does not do"));
    let problem = problem.code("directive-unsupported");
    Err(ConfigError::single(problem.help("copy the files into this repository, and remove them from the list")))
}

fn malformed(source: SourceFile, error: &serde_yaml::Error) -> ConfigError {
    let mut problem = Diagnostic::error(format!("`{FILE}` cannot be read: {error}")).code("yaml-syntax");
    if let Some(location) = error.location() {
        let (line, column) = (location.line(), location.column());
        problem = problem.at(Place { file: source.name.clone(), line, column, len: 0 });
    }
    ConfigError { diagnostics: vec![problem], sources: vec![source], rendered: None, claims: Vec::new() }
}
