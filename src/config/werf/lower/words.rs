//! Values as Dockerfile instructions write them: words with quotes, and arguments as JSON.

use stages::spec::Healthcheck;

use crate::config::rules::duration;

/// A value of `ENV` or `LABEL`: quotes and escapes resolved, `$NAME` left for whoever knows the variables, and what is no
/// variable escaped as `\$`. `None` when it is more than one word, or a quote is left open.
pub(in crate::config) fn word(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            ('$', Some('\'')) => out.push_str("\\$"),
            ('\\', None | Some('"')) => match letters.next() {
                Some('$') => out.push_str("\\$"),
                Some(next) if quote.is_none() || matches!(next, '"' | '\\') => out.push(next),
                Some(next) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
            (letter, None) if letter.is_whitespace() => return None,
            _ => out.push(letter),
        }
    }
    quote.is_none().then_some(out)
}

/// The arguments of `CMD` and the like: a JSON list as it is, any other text as a script for the shell.
pub(in crate::config) fn arguments(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

/// A JSON list of texts.
pub(in crate::config) fn list(text: &str) -> Option<Vec<String>> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A `HEALTHCHECK`: `NONE`, or options and `CMD`.
pub(in crate::config) fn healthcheck(text: &str) -> Result<Healthcheck, String> {
    let mut check = Healthcheck::default();
    let mut rest = text.trim();
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option.split_once('=').ok_or_else(|| format!("has `--{option}` without a value"))?;
        set(&mut check, name, value)?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    check.test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => vec!["NONE".to_owned()],
        "CMD" if !command.is_empty() => match list(command) {
            Some(arguments) => std::iter::once("CMD".to_owned()).chain(arguments).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        _ => return Err("must be `NONE`, or options and `CMD` with a command".to_owned()),
    };
    Ok(check)
}

fn set(check: &mut Healthcheck, name: &str, value: &str) -> Result<(), String> {
    let time = || duration(value).map_err(|reason| format!("has `--{name}`, which {reason}"));
    match name {
        "interval" => check.interval = Some(time()?),
        "timeout" => check.timeout = Some(time()?),
        "start-period" => check.start_period = Some(time()?),
        "start-interval" => check.start_interval = Some(time()?),
        "retries" => {
            let retries: Option<u32> = value.parse().ok();
            check.retries =
                Some(i64::from(retries.ok_or_else(|| format!("has `--retries={value}`, which is no number"))?));
        }
        _ => return Err(format!("has the unknown option `--{name}`")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_their_quotes() {
        for (text, expected) in [
            ("a", Some("a")),
            ("\"a b\"", Some("a b")),
            ("'a $b'", Some("a \\$b")),
            ("$PATH:/x", Some("$PATH:/x")),
            ("a\\ b", Some("a b")),
            ("\\$a", Some("\\$a")),
            ("\"a\\\"b\\n\"", Some("a\"b\\n")),
            ("a b", None),
            ("'a", None),
            ("", Some("")),
        ] {
            assert_eq!(word(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn healthchecks_are_those_of_dockerfiles() {
        let check =
            healthcheck("--interval=30s --timeout=3s --start-period=1m --retries=2 CMD curl -f localhost").unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "curl -f localhost"]);
        assert_eq!((check.interval, check.timeout), (Some(30_000_000_000), Some(3_000_000_000)));
        assert_eq!((check.start_period, check.retries), (Some(60_000_000_000), Some(2)));
        assert_eq!(healthcheck("CMD [\"a\", \"b\"]").unwrap().test, ["CMD", "a", "b"]);
        assert_eq!(healthcheck("NONE").unwrap().test, ["NONE"]);
        for bad in [
            "",
            "curl",
            "CMD",
            "--interval CMD a",
            "--interval=x CMD a",
            "--foo=1 CMD a",
            "NONE x",
            "--retries=a CMD b",
        ] {
            assert!(healthcheck(bad).is_err(), "{bad}");
        }
        assert_eq!(arguments("[\"a\", \"b\"]"), ["a", "b"]);
        assert_eq!(arguments("[a"), ["/bin/sh", "-c", "[a"]);
    }
}
