//! `stager ci-env`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{CommandError, Context};
use crate::ops::{self, CiEnvOptions, CiSystem};
use crate::ui;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The CI system
    #[arg(value_enum)]
    system: System,

    /// Write the exports to a file, and print its path: `. "$(stager ci-env gitlab --as-file)"`
    #[arg(long, env = "STAGER_AS_FILE", value_parser = clap::builder::BoolishValueParser::new(), conflicts_with = "as_env_file")]
    as_file: bool,

    /// The same with lines NAME=VALUE, as docker and GitHub read them
    #[arg(long, env = "STAGER_AS_ENV_FILE", value_parser = clap::builder::BoolishValueParser::new())]
    as_env_file: bool,

    /// The file to write; that of GITHUB_ENV or GITHUB_OUTPUT is added to, any other one replaced
    #[arg(short, long, value_name = "FILE", env = "STAGER_OUTPUT_FILE")]
    output_file: Option<PathBuf>,

    /// The shell that reads the exports
    #[arg(long, value_enum, env = "STAGER_SHELL", default_value = "sh")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum System {
    Github,
    Gitlab,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    /// sh, bash, zsh and the like
    Sh,
    Fish,
    Powershell,
}

impl Shell {
    fn ending(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Fish => "fish",
            Self::Powershell => "ps1",
        }
    }

    /// A line that exports the value, whatever is in it.
    fn export(self, name: &str, value: &str) -> String {
        match self {
            Self::Sh => format!("export {name}='{}'\n", value.replace('\'', r"'\''")),
            Self::Fish => format!("set -gx {name} '{}'\n", value.replace('\\', r"\\").replace('\'', r"\'")),
            // PowerShell takes typographic quotes for plain ones.
            Self::Powershell => {
                let quote = |letter: char| match letter {
                    '\'' | '\u{2018}'..='\u{201b}' => format!("{letter}{letter}"),
                    letter => letter.to_string(),
                };
                format!("$env:{name} = '{}'\n", value.chars().map(quote).collect::<String>())
            }
        }
    }
}

pub(super) fn run(context: &Context, arguments: &Arguments, program: &clap::Command) -> Result<(), CommandError> {
    let options = CiEnvOptions {
        system: match arguments.system {
            System::Github => CiSystem::Github,
            System::Gitlab => CiSystem::Gitlab,
        },
        env: context.env.clone(),
        docker_config: context.variable("HOME").map(|home| PathBuf::from(home).join(".docker")),
        temp: context.directory.join(context.variable("TMPDIR").unwrap_or("/tmp")),
    };
    let found =
        ops::ci_env(&options).map_err(|error| CommandError::usage("cannot make the job's environment", &error))?;
    for note in &found.notes {
        ui::print_message(&format!("warning: {}", ui::printable(note, false)));
    }
    // A variable that no flag reads would only pretend to do something.
    let exports: BTreeMap<_, _> =
        found.exports.into_iter().filter(|(name, _)| !name.starts_with("STAGER_") || reads(program, name)).collect();
    let text = if arguments.as_env_file { env_file(&exports)? } else { script(&exports, arguments.shell) };
    if !(arguments.as_file || arguments.as_env_file || arguments.output_file.is_some()) {
        return ui::print_data(&text).map_err(|error| CommandError::usage("cannot write the exports", &error));
    }
    let path = write(context, arguments, &options.temp, &text)
        .map_err(|error| CommandError::usage("cannot write the exports", &error))?;
    let printed = ui::print_data(&format!("{}\n", path.display()));
    printed.map_err(|error| CommandError::usage("cannot print the path", &error))
}

/// Whether a flag of some command has the variable.
fn reads(command: &clap::Command, variable: &str) -> bool {
    command.get_arguments().any(|argument| argument.get_env().is_some_and(|name| name == variable))
        || command.get_subcommands().any(|command| reads(command, variable))
}

fn script(exports: &BTreeMap<String, String>, shell: Shell) -> String {
    exports.iter().map(|(name, value)| shell.export(name, value)).collect()
}

/// Lines as they are: nothing in them is quoted, so that nothing but a new line can be misread.
fn env_file(exports: &BTreeMap<String, String>) -> Result<String, CommandError> {
    let mut text = String::new();
    for (name, value) in exports {
        if value.contains(['\n', '\r', '\0']) {
            let message = format!("the value of {name} has more than one line, which such a file cannot hold");
            return Err(CommandError::usage_text(message).hint("leave --as-env-file out"));
        }
        text.extend([name, "=", value, "\n"]);
    }
    Ok(text)
}

/// Writes the file, for the user alone if it is new; its path.
fn write(context: &Context, arguments: &Arguments, temp: &Path, text: &str) -> std::io::Result<PathBuf> {
    if let Some(path) = &arguments.output_file {
        let path = context.directory.join(path);
        let shared = ["GITHUB_ENV", "GITHUB_OUTPUT"];
        let added = shared.iter().any(|name| context.variable(name).is_some_and(|file| Path::new(file) == path));
        if added {
            fs_err::OpenOptions::new().append(true).create(true).open(&path)?.write_all(text.as_bytes())?;
        } else {
            fs_err::write(&path, text)?;
        }
        return Ok(path);
    }
    let ending = if arguments.as_env_file { "env" } else { arguments.shell.ending() };
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix("stager-ci-").suffix(&format!(".{ending}")).tempfile_in(temp)?;
    file.write_all(text.as_bytes())?;
    Ok(file.keep().map_err(|error| error.error)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_is_quoted() {
        let value = "a'b\"c\\d$e`f\n\u{2019}!%";
        assert_eq!(Shell::Sh.export("X", value), "export X='a'\\''b\"c\\d$e`f\n\u{2019}!%'\n");
        assert_eq!(Shell::Fish.export("X", value), "set -gx X 'a\\'b\"c\\\\d$e`f\n\u{2019}!%'\n");
        assert_eq!(Shell::Powershell.export("X", value), "$env:X = 'a''b\"c\\d$e`f\n\u{2019}\u{2019}!%'\n");
        assert!(env_file(&BTreeMap::from([("X".to_owned(), "a\nY=b".to_owned())])).is_err());
        assert_eq!(env_file(&BTreeMap::from([("X".to_owned(), "a 'b'".to_owned())])).unwrap(), "X=a 'b'\n");
    }
}
