//! The passwords for git servers that a config names, read where it says they are.

use std::collections::HashMap;

use crate::config::GitLogin;
use crate::git::Login;
use crate::giterminism::Gate;
use crate::source::{Diagnostic, Place, ReadError};

/// The logins by address; else what is wrong with them, each where it is written.
pub(super) fn read(gate: &Gate, written: &[(GitLogin, Place)]) -> Result<HashMap<String, Login>, Vec<Diagnostic>> {
    let mut logins: HashMap<String, Login> = HashMap::new();
    let mut problems = Vec::new();
    for (at, (login, place)) in written.iter().enumerate() {
        let same = written.iter().take(at).find(|(earlier, _)| earlier.url == login.url);
        match same {
            Some((earlier, _)) if earlier == login => {}
            Some((_, first)) => problems.push(twice(place, first)),
            None => match one(gate, login) {
                Ok(read) => {
                    logins.insert(login.url.clone(), read);
                }
                Err(problem) => problems.push(problem.at(place.clone())),
            },
        }
    }
    if problems.is_empty() { Ok(logins) } else { Err(problems) }
}

/// One login.
pub(super) fn one(gate: &Gate, login: &GitLogin) -> Result<Login, Diagnostic> {
    let failed = |error: ReadError| Diagnostic::of_read(&error);
    let password = gate.git_password(&login.password).map_err(|error| failed(error.into()))?;
    Login::new(login.username.clone(), password)
        .map_err(|error| Diagnostic::error(format!("`basicAuth` cannot be used: {error}")).code("directive-value"))
}

fn twice(place: &Place, first: &Place) -> Diagnostic {
    Diagnostic::error("one repository has two different `basicAuth`")
        .code("directive-conflict")
        .at(place.clone())
        .related(first.clone(), "the other one")
        .help("write the same for each mapping of the repository")
}
