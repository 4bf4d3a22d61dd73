//! What the process was started with: read once, passed as values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::CommandError;
use crate::registry::Secret;

/// The process's surroundings.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// The command line, the program's name first.
    pub(super) arguments: Vec<OsString>,
    /// The environment, which templates may see; variables that are not UTF-8 are left out, and those with credentials.
    pub(super) env: BTreeMap<String, String>,
    /// `STAGER_REGISTRY_AUTH`.
    pub(super) registry_auth: Option<Secret>,
    /// The current directory.
    pub(super) directory: PathBuf,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// Columns of the terminal on standard error; `None` when it is none.
    pub(super) columns: Option<usize>,
    /// Whether standard error shows colours.
    pub(super) colours: bool,
    /// Whether standard input is a terminal.
    pub(super) input_terminal: bool,
    /// The effective user id.
    pub(super) user: u32,
}

impl Context {
    /// Reads the process's surroundings.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    pub(super) fn from_process() -> Result<Self, CommandError> {
        let mut env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let registry_auth = env.remove("STAGER_REGISTRY_AUTH").filter(|entries| !entries.is_empty()).map(Secret::new);
        let directory = std::env::current_dir()
            .map_err(|error| CommandError::usage("cannot tell the current directory", &error))?;
        let terminal = std::io::stderr().is_terminal() && env.get("TERM").is_none_or(|term| term != "dumb");
        let columns = terminal.then(|| {
            rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col).max(20))
        });
        Ok(Self {
            arguments: std::env::args_os().collect(),
            directory,
            now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64),
            columns,
            colours: terminal && env.get("NO_COLOR").is_none_or(String::is_empty),
            input_terminal: std::io::stdin().is_terminal(),
            user: rustix::process::geteuid().as_raw(),
            registry_auth,
            env,
        })
    }

    /// The value of a variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The user's directory of settings.
    pub(super) fn config_home(&self) -> Option<PathBuf> {
        let own = self.variable("XDG_CONFIG_HOME").filter(|directory| directory.starts_with('/')).map(PathBuf::from);
        own.or_else(|| self.variable("HOME").map(|home| PathBuf::from(home).join(".config")))
    }

    /// The store: `$STAGER_HOME`, else `stager` in the user's data directory.
    pub(super) fn stager_home(&self) -> Result<PathBuf, CommandError> {
        if let Some(home) = self.variable("STAGER_HOME") {
            return Ok(self.directory.join(home));
        }
        if let Some(data) = self.variable("XDG_DATA_HOME").filter(|data| data.starts_with('/')) {
            return Ok(PathBuf::from(data).join("stager"));
        }
        match self.variable("HOME") {
            Some(home) => Ok(PathBuf::from(home).join(".local/share/stager")),
            None => Err(CommandError::usage_text("neither STAGER_HOME, XDG_DATA_HOME nor HOME is set")
                .hint("set STAGER_HOME to the directory that stages are kept in")),
        }
    }
}
