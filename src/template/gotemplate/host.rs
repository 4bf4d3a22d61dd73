//! What templates may learn of the world outside, and the functions and data through which werf and dapp offer it.

use std::sync::Arc;

use super::function::{Arguments, Call, Function, Outcome, function};
use super::json::JsonError;
use super::quote::quoted;
use super::value::{Key, Map, Object, Signature, Type, Value};
use super::yaml;

/// The world outside of a template. Implementations hold the gates: what is not allowed is an `Err` that says so.
pub trait Host: Send + Sync {
    /// The value of an environment variable; `None` if it is not set.
    fn env(&self, name: &str) -> Result<Option<String>, String>;

    /// What an unset variable without a default gives: an error, or a text in a loose mode.
    fn missing_env(&self, name: &str) -> Result<String, String> {
        Err(format!("the environment variable \"{name}\" must be set or default must be provided"))
    }

    /// The text of a file of the project.
    fn read_file(&self, path: &str) -> Result<Vec<u8>, String>;

    /// Paths and texts of the files that match a pattern.
    fn glob(&self, pattern: &str) -> Result<Vec<(String, Vec<u8>)>, String>;

    /// Whether there is a file or directory.
    fn exists(&self, path: &str) -> Result<bool, String>;

    /// Whether there is a directory.
    fn is_dir(&self, path: &str) -> Result<bool, String>;

    /// Takes a line that a debug function of werf reports.
    fn debug(&self, _text: &str) {}
}

/// What werf has beside Sprig and [`helm`](super::helm()): `env NAME [DEFAULT]`, a `tpl` that adds to the set, a `toYaml` that
/// knows what `fromYaml` gives, debug forms.
pub fn werf(host: &Arc<dyn Host>) -> Vec<Function> {
    let mut functions = vec![
        hosted("env", &[Type::Any, Type::String], true, host, werf_env),
        hosted("tpl", &[Type::String, Type::Any], false, host, |_, call, arguments| {
            super::nested::lasting_tpl(call, arguments)
        }),
        function("toYaml", &[Type::Any], Type::String, to_yaml),
    ];
    functions.extend(debug_functions(host));
    functions
}

/// Sprig's own `env NAME` and `expandenv TEXT`: an unset variable is empty.
pub fn environment(host: &Arc<dyn Host>) -> Vec<Function> {
    vec![
        hosted("env", &[Type::String], false, host, |host, _, arguments| {
            Ok(Value::from(host.env(&arguments.string(0))?.unwrap_or_default()))
        }),
        hosted("expandenv", &[Type::String], false, host, |host, _, arguments| {
            expand(&arguments.string(0), &|name| Ok(host.env(name)?.unwrap_or_default())).map(Value::from)
        }),
    ]
}

/// dapp's functions beside Sprig's and `include`: the environment as Sprig gives it.
pub fn dapp(host: &Arc<dyn Host>) -> Vec<Function> {
    environment(host)
}

type HostBody = fn(&dyn Host, &mut Call<'_>, &Arguments<'_>) -> Outcome;

fn hosted(
    name: &'static str,
    params: &'static [Type],
    variadic: bool,
    host: &Arc<dyn Host>,
    body: HostBody,
) -> Function {
    let host = Arc::clone(host);
    let body = Arc::new(move |call: &mut Call<'_>, arguments: &Arguments<'_>| body(host.as_ref(), call, arguments));
    Function::hosted(name, params, variadic, Type::String, body)
}

/// Maps with keys of any type have a YAML form. A value that has none becomes no text at all.
fn to_yaml(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    match yaml::write_direct(arguments.value(0)) {
        Ok(text) => Ok(Value::string(text.strip_suffix(b"\n").unwrap_or(&text))),
        Err(JsonError::Exhausted(exhausted)) => Err(exhausted.into()),
        Err(_) => Ok(Value::from("")),
    }
}

fn werf_env(host: &dyn Host, _: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    if arguments.len() > 2 {
        return Err("more than 1 optional argument prohibited".to_owned());
    }
    let name = shown(arguments.value(0))?;
    let default = (arguments.len() == 2).then(|| arguments.string(1));
    let value = match (host.env(&name)?, default) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(default)) => default,
        (None, None) => host.missing_env(&name)?,
    };
    Ok(Value::from(value))
}

/// Functions that only report to a log: `printf_debug` and `dump_debug` print nothing, the others what their plain twin does.
fn debug_functions(host: &Arc<dyn Host>) -> Vec<Function> {
    vec![
        hosted("include_debug", &[Type::String, Type::Any], false, host, |host, call, arguments| {
            let output = super::nested::include(call, arguments)?;
            host.debug(&format!("include {}: {}", arguments.string(0), shown(&output)?));
            Ok(output)
        }),
        hosted("tpl_debug", &[Type::String, Type::Any], false, host, |host, call, arguments| {
            let output = super::nested::lasting_tpl(call, arguments)?;
            host.debug(&format!("tpl: {}", shown(&output)?));
            Ok(output)
        }),
        hosted("printf_debug", &[Type::String, Type::Any], true, host, |host, _, arguments| {
            let text = super::format::sprintf(arguments.text(0), arguments.to_vec().get(1..).unwrap_or_default())?;
            host.debug(&String::from_utf8_lossy(&text));
            Ok(Value::from(""))
        }),
        hosted("dump_debug", &[Type::Any], false, host, |host, _, arguments| {
            let text = super::format::sprintf(b"%#v", std::slice::from_ref(arguments.value(0)))?;
            host.debug(&String::from_utf8_lossy(&text));
            Ok(Value::from(""))
        }),
    ]
}

fn shown(value: &Value) -> Result<String, String> {
    Ok(String::from_utf8_lossy(&super::format::display(value)?).into_owned())
}

/// Replaces `$NAME` and `${NAME}`.
fn expand(text: &str, lookup: &dyn Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail, taken) = variable_name(after);
        if !name.is_empty() {
            out.push_str(&lookup(name)?);
        } else if taken == 0 {
            out.push('$');
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// The name behind a dollar sign, what follows, and how many bytes the name took with its braces.
fn variable_name(text: &str) -> (&str, &str, usize) {
    if let Some(body) = text.strip_prefix('{') {
        return match body.split_once('}') {
            Some((name, rest)) => (name, rest, name.len() + 2),
            // Go eats a brace that is never closed.
            None => ("", body, 1),
        };
    }
    let special = text.starts_with(|first: char| "*#$@!?-0123456789".contains(first));
    let length =
        if special { 1 } else { text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count() };
    (&text[..length], &text[length..], length)
}

/// `.Files`.
struct Files {
    host: Arc<dyn Host>,
    /// dapp takes a missing file for an empty one and has no other methods.
    lenient: bool,
}

impl Object for Files {
    fn type_name(&self) -> &'static str {
        "config.files"
    }

    fn method(&self, name: &str) -> Option<Signature> {
        let result = match name {
            "Get" => Type::String,
            "Glob" if !self.lenient => Type::MAP,
            "Exists" | "IsDir" if !self.lenient => Type::Bool,
            _ => return None,
        };
        Some(Signature { params: &[Type::String], variadic: false, result })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Outcome {
        let path = match arguments.first() {
            Some(Value::Str(text)) => text.to_text(),
            _ => String::new(),
        };
        match name {
            "Get" => match self.host.read_file(&path) {
                Ok(text) => Ok(Value::string(text)),
                Err(reason) if self.lenient => {
                    self.host.debug(&reason);
                    Ok(Value::from(""))
                }
                Err(reason) => Err(format!("{{{{ .Files.Get {} }}}}: {reason}", quoted(path.as_bytes()))),
            },
            "Glob" => {
                let files = self.host.glob(&path)?;
                Ok(Value::map(files.into_iter().map(|(path, text)| (path, Value::string(text)))))
            }
            "Exists" => self.host.exists(&path).map(Value::Bool),
            _ => self.host.is_dir(&path).map(Value::Bool),
        }
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The commit that a werf config is rendered for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitFacts {
    /// The full hash.
    pub hash: String,
    /// The committer's date for people.
    pub date_human: String,
    /// The committer's date in seconds since 1970.
    pub date_unix: i64,
}

/// The root data of a werf config: `.Files`, `.Env`, `.Commit`.
pub fn werf_data(host: &Arc<dyn Host>, env: &str, commit: &CommitFacts) -> Value {
    // werf offers both as texts.
    let date = Map::with_types(Type::String, Type::String);
    date.insert(Key::from("Human"), Value::from(commit.date_human.as_str()));
    date.insert(Key::from("Unix"), Value::from(commit.date_unix.to_string()));
    Value::map([
        ("Files", Value::object(Files { host: Arc::clone(host), lenient: false })),
        ("Env", Value::from(env)),
        ("Commit", Value::map([("Hash", Value::from(commit.hash.as_str())), ("Date", Value::Map(date))])),
    ])
}

/// The root data of a dappfile: `.Files` with `Get` alone.
pub fn dapp_data(host: &Arc<dyn Host>) -> Value {
    Value::map([("Files", Value::object(Files { host: Arc::clone(host), lenient: true }))])
}
