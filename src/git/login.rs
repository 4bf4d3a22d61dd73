//! A user name and password for a git server, handed to the `git` program.
//!
//! The program asks a helper of ours for them, which its environment alone knows: they are in no file, no argument and no
//! address. The helper is set for the one server that they are meant for, and in place of the user's own helpers there, which
//! could keep them.

use std::fmt;
use std::process::Command;

/// Who to be at a git server.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    username: String,
    password: String,
}

/// A user name or password that git's own protocol cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user name and password are text on one line, and the password is not empty")]
pub struct BadLogin;

const HELPER: &str = "!answer() { test \"$1\" != get || \
     printf 'username=%s\\npassword=%s\\n' \"$STAGER_GIT_USERNAME\" \"$STAGER_GIT_PASSWORD\"; }; answer";

impl Login {
    /// A login.
    pub fn new(username: String, password: String) -> Result<Self, BadLogin> {
        let fits = |text: &str| text.len() <= 32 << 10 && !text.contains(['\n', '\r', '\0']);
        if password.is_empty() || !fits(&username) || !fits(&password) {
            return Err(BadLogin);
        }
        Ok(Self { username, password })
    }

    /// What must not be in messages.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Lets a `git` command log in at a server, such as `https://host:8443`, and at no other. Comes before the subcommand.
    pub(super) fn give(&self, command: &mut Command, server: &str) {
        let key = format!("credential.{server}.helper");
        command
            .args(["-c", &format!("{key}="), "-c", &format!("{key}={HELPER}")])
            .env("STAGER_GIT_USERNAME", &self.username)
            .env("STAGER_GIT_PASSWORD", &self.password);
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The server of an http address, as git's settings name it; `None` when its host has letters that hosts do not have.
pub(super) fn server(scheme: &str, authority: &str) -> Option<String> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_plain = !host.is_empty() && host.bytes().all(plain);
    is_plain.then(|| format!("{scheme}://{}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_protocol_cannot_carry_is_refused() {
        let login = |username: &str, password: &str| Login::new(username.to_owned(), password.to_owned());
        assert!(login("", "x").is_ok());
        for (username, password) in [("u", ""), ("u\nhost=evil", "x"), ("u", "x\nquit=1"), ("u", "x\0")] {
            assert_eq!(login(username, password), Err(BadLogin), "{username:?} {password:?}");
        }
        assert!(!format!("{:?}", login("u", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn no_host_becomes_a_setting_of_git() {
        assert_eq!(server("https", "user@Host:8443").as_deref(), Some("https://host:8443"));
        for authority in ["x.helper=!id", "h h", "", "a=b", "h\"x"] {
            assert_eq!(server("https", authority), None, "{authority}");
        }
    }
}
