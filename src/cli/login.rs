//! `stager login` and `stager logout`.

use std::io::Read;
use std::sync::Arc;

use clap::builder::BoolishValueParser;

use super::arguments::RegistryArguments;
use super::{CommandError, Context, interrupt};
use crate::ops::{self, LoggedIn, LoginOptions};
use crate::registry::{Kept, LoginCheck, RegistryName, Secret};
use crate::report::EventSink;
use crate::ui::{self, Progress, ProgressMode};

/// The longest password or token that is read, in bytes.
const MAX_PASSWORD: usize = 64 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The registry, HOST[:PORT]; docker.io is Docker Hub
    #[arg(value_name = "REGISTRY")]
    registry: String,

    /// The user's name; on a terminal it is asked for
    #[arg(short, long, value_name = "USER", env = "STAGER_USERNAME")]
    username: Option<String>,

    /// Read the password from standard input, to its end; on a terminal it is asked for without
    #[arg(long, env = "STAGER_PASSWORD_STDIN", value_parser = BoolishValueParser::new())]
    password_stdin: bool,

    #[command(flatten)]
    access: RegistryArguments,
}

#[derive(Debug, clap::Args)]
pub(super) struct LogoutArguments {
    /// The registry, HOST[:PORT]; docker.io is Docker Hub
    #[arg(value_name = "REGISTRY")]
    registry: String,

    #[command(flatten)]
    access: RegistryArguments,
}

pub(super) fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let registry = parse(&arguments.registry)?;
    let from_terminal = context.input_terminal && !arguments.password_stdin;
    let user = user(arguments.username, from_terminal)?;
    let password = match (arguments.password_stdin, from_terminal) {
        (true, _) => password_of(std::io::stdin())?,
        (false, true) => ui::ask_secret("password: ").map_err(asking)?.ok_or_else(CommandError::interrupted)?,
        (false, false) => {
            let error = CommandError::usage_text("there is no terminal to ask for a password");
            return Err(error.hint("give it on standard input: `--password-stdin < FILE`"));
        }
    };
    if password.is_empty() {
        return Err(CommandError::usage_text("the password is empty"));
    }
    let options =
        LoginOptions { registry, user, password: Secret::new(password), access: arguments.access.access(context) };
    let cancel = interrupt::token()?;
    let progress = Progress::start(ProgressMode::Plain, context.colours);
    let events: Arc<dyn EventSink> = Arc::new(progress.sink());
    let done = ops::login(&options, &cancel, &events)?;
    tell(&options, &done);
    Ok(())
}

pub(super) fn run_logout(context: &Context, arguments: LogoutArguments) -> Result<(), CommandError> {
    let registry = parse(&arguments.registry)?;
    let cancel = interrupt::token()?;
    let progress = Progress::start(ProgressMode::Plain, context.colours);
    let events: Arc<dyn EventSink> = Arc::new(progress.sink());
    let there = ops::logout(&registry, &arguments.access.access(context), &cancel, &events)?;
    ui::print_message(&if there {
        format!("logged out of {registry}")
    } else {
        format!("not logged in to {registry}")
    });
    Ok(())
}

fn parse(registry: &str) -> Result<RegistryName, CommandError> {
    registry.parse().map_err(|error: crate::registry::Error| {
        CommandError::usage_text(error.to_string()).hint("a login is for a whole registry: leave the repository out")
    })
}

fn user(given: Option<String>, from_terminal: bool) -> Result<String, CommandError> {
    let user = match given {
        Some(user) => user,
        None if from_terminal => ui::ask("user name: ").map_err(asking)?,
        None => return Err(CommandError::usage_text("whose password is it? name the user by `--username`")),
    };
    match user.trim() {
        "" => Err(CommandError::usage_text("the user name is empty")),
        // It is not shown: the rest may be a password.
        name if name.contains(':') => Err(CommandError::usage_text("a user name has no `:` in it")),
        name => Ok(name.to_owned()),
    }
}

/// All there is, without the line break at its end.
fn password_of(input: impl Read) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = input.take(MAX_PASSWORD as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| CommandError::usage("cannot read the password", &error))?;
    if text.len() > MAX_PASSWORD {
        return Err(CommandError::usage_text(format!("the password is longer than {} KiB", MAX_PASSWORD >> 10)));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn asking(error: std::io::Error) -> CommandError {
    CommandError::usage("cannot ask on the terminal", &error)
}

fn tell(options: &LoginOptions, done: &LoggedIn) {
    let (registry, user) = (&options.registry, ui::printable(&options.user, false));
    if done.check == LoginCheck::NotAsked {
        ui::print_message(&format!("warning: {registry} lets everybody in: it did not look at the password"));
    }
    if done.hidden {
        ui::print_message(&format!(
            "warning: STAGER_REGISTRY_AUTH has other credentials for {registry}, which come first"
        ));
    }
    let place = match &done.kept {
        Kept::File(path) => format!("the password is in {}, in plain text", path.display()),
        Kept::Helper(program) => format!("the password is kept by {program}"),
    };
    ui::print_message(&format!("logged in to {registry} as {user}; {place}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_all_but_the_last_line_break() {
        for (input, password) in [("a", "a"), ("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")] {
            assert_eq!(password_of(input.as_bytes()).unwrap(), password);
        }
        assert!(password_of("x".repeat(MAX_PASSWORD + 1).as_bytes()).is_err());
        assert!(password_of(&b"\xff"[..]).is_err());
    }

    #[test]
    fn a_user_name_is_needed_and_holds_no_password() {
        assert_eq!(user(Some(" me ".to_owned()), false).unwrap(), "me");
        for bad in [None, Some(String::new()), Some("me:hush".to_owned())] {
            assert!(!format!("{:?}", user(bad, false).unwrap_err()).contains("hush"));
        }
    }
}
