//! Variables in texts of an image config.
//!
//! `$NAME` and `${NAME}` are the value in a given environment; unset is empty, but for `PATH`. `$$` and `\$` are a plain `$`; a
//! `$` that no name follows is itself. With [`Syntax::defaults`], `${NAME:-text}`, `${NAME:+text}`, `${NAME:?text}` and their
//! forms without the colon (which ask whether it is set at all) are known too; the text may hold variables. With
//! [`Syntax::quotes`], the whole is one word of a shell: `'…'` is taken as it is, `"…"` and what is outside of quotes is
//! expanded, quotes are dropped, and `\` makes the next character plain. Whatever else stands in `${…}` is an error, so that
//! nobody finds it taken literally in an image.

use super::{AssembleError, env_value};

/// What container engines give a process whose image sets no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a text is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Syntax {
    /// `${NAME:-text}` and its kin are known.
    pub(super) defaults: bool,
    /// The text is a word of a shell.
    pub(super) quotes: bool,
}

/// The text with its variables replaced. `what` says whose text it is, for errors.
pub(super) fn expand(what: &str, text: &str, env: &[String], syntax: Syntax) -> Result<String, AssembleError> {
    let mut scanner = Scanner { what, env, syntax, rest: text };
    let out = scanner.until(None, syntax.quotes)?;
    Ok(out)
}

struct Scanner<'a> {
    what: &'a str,
    env: &'a [String],
    syntax: Syntax,
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Expands up to `end`, which is dropped; without one, to the end of the text.
    fn until(&mut self, end: Option<char>, quotes: bool) -> Result<String, AssembleError> {
        let mut out = String::with_capacity(self.rest.len());
        let start = self.rest;
        while let Some(letter) = self.next() {
            match letter {
                _ if Some(letter) == end => return Ok(out),
                '\\' => self.escaped(&mut out, end, quotes),
                '$' => out.push_str(&self.variable()?),
                '\'' if quotes => {
                    let (plain, rest) = self.rest.split_once('\'').ok_or_else(|| self.open("'", start))?;
                    out.push_str(plain);
                    self.rest = rest;
                }
                '"' if quotes => out.push_str(&self.until(Some('"'), false)?),
                letter => out.push(letter),
            }
        }
        match end {
            None => Ok(out),
            Some(end) => Err(self.open(&end.to_string(), start)),
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next()?;
        self.rest = letters.as_str();
        Some(letter)
    }

    /// What follows a backslash. It is dropped before a `$`, in double quotes before what they give a meaning, and in a
    /// shell's word before anything.
    fn escaped(&mut self, out: &mut String, end: Option<char>, quotes: bool) {
        let in_double_quotes = self.syntax.quotes && end == Some('"');
        match self.rest.chars().next() {
            Some(letter) if letter == '$' || quotes || (in_double_quotes && matches!(letter, '"' | '\\')) => {
                out.push(letter);
                self.next();
            }
            _ => out.push('\\'),
        }
    }

    /// What stands after a `$`.
    fn variable(&mut self) -> Result<String, AssembleError> {
        let after = self.rest;
        if let Some(rest) = after.strip_prefix('$') {
            self.rest = rest;
            return Ok("$".to_owned());
        }
        if let Some(braced) = after.strip_prefix('{') {
            self.rest = braced;
            return self.braced(after);
        }
        let (name, rest) = after.split_at(name_length(after));
        self.rest = rest;
        Ok(if name.is_empty() { "$".to_owned() } else { self.value(name).to_owned() })
    }

    /// What stands after a `${`; `whole` is the text from its brace on.
    fn braced(&mut self, whole: &str) -> Result<String, AssembleError> {
        let unknown = |scanner: &Self| AssembleError::Expansion {
            what: scanner.what.to_owned(),
            text: format!("${}", whole.split_inclusive('}').next().unwrap_or(whole)),
            known: if scanner.syntax.defaults {
                "$NAME, ${NAME}, ${NAME:-text}, ${NAME:+text} and ${NAME:?text}"
            } else {
                "$NAME and ${NAME}"
            },
        };
        let (name, rest) = self.rest.split_at(name_length(self.rest));
        if name.is_empty() {
            return Err(unknown(self));
        }
        if let Some(rest) = rest.strip_prefix('}') {
            self.rest = rest;
            return Ok(self.value(name).to_owned());
        }
        let (must_say_something, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
        let operator = rest.chars().next().filter(|operator| self.syntax.defaults && "-+?".contains(*operator));
        let Some(operator) = operator else { return Err(unknown(self)) };
        self.rest = &rest[1..];
        let text = self.until(Some('}'), self.syntax.quotes).map_err(|error| match error {
            AssembleError::Quote { .. } => unknown(self),
            other => other,
        })?;
        let value = env_value(self.env, name).filter(|value| !must_say_something || !value.is_empty());
        match (operator, value) {
            ('+', Some(_)) => Ok(text),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value.to_owned()),
            ('?', None) => {
                Err(AssembleError::Unset { what: self.what.to_owned(), name: name.to_owned(), message: text })
            }
            (_, None) => Ok(text),
        }
    }

    /// The value of a variable; unset is empty, but for `PATH`, which containers have even so.
    fn value(&self, name: &str) -> &'a str {
        let default = if name == "PATH" { DEFAULT_PATH } else { "" };
        env_value(self.env, name).unwrap_or(default)
    }

    fn open(&self, quote: &str, text: &str) -> AssembleError {
        AssembleError::Quote { what: self.what.to_owned(), quote: quote.to_owned(), text: text.to_owned() }
    }
}

/// How many bytes at the start of `text` are a variable name.
fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, defaults: bool, quotes: bool) -> Result<String, AssembleError> {
        let env = ["A=1", "B=two words", "E=", "PATH=/bin"].map(str::to_owned);
        expand("env X", text, &env, Syntax { defaults, quotes })
    }

    #[test]
    fn defaults_are_those_of_a_shell() {
        for (text, expected) in [
            ("${A:-x}", "1"),
            ("${N:-x}", "x"),
            ("${N-x}", "x"),
            ("${E:-x}", "x"),
            ("${E-x}", ""),
            ("${A:+x}", "x"),
            ("${E:+x}", ""),
            ("${E+x}", "x"),
            ("${N:+x}", ""),
            ("${N:-}", ""),
            ("${N:-a$A}b", "a1b"),
            ("${N:-${M:-${A}}}/", "1/"),
            ("${N:-\\$A}", "$A"),
            ("${A:?gone}", "1"),
            ("x${N}y$$\\$A", "xy$$A"),
        ] {
            assert_eq!(run(text, true, false).unwrap(), expected, "{text}");
        }
        let error = run("${N:?is needed}", true, false).unwrap_err().to_string();
        assert!(error.contains("env X") && error.contains("is needed") && error.contains('N'), "{error}");
        for text in ["${A", "${A:-x", "${A%x}", "${A:x}", "${}", "${:-x}", "${A/1/2}", "${1}"] {
            assert!(matches!(run(text, true, false), Err(AssembleError::Expansion { .. })), "{text}");
        }
        assert!(run("${A:-x}", false, false).is_err());
    }

    #[test]
    fn words_lose_their_quotes() {
        for (text, expected) in [
            ("a b", "a b"),
            ("'$A' \"$A\" $A", "$A 1 1"),
            ("\"a \\\"b\\\" \\\\ \\n \\$A\"", "a \"b\" \\ \\n $A"),
            ("it\\'s \\a", "it's a"),
            ("\"it's\"", "it's"),
            ("${N:-'$A'}", "$A"),
            ("${N:-\"}\"}", "}"),
            ("/new:$PATH", "/new:/bin"),
        ] {
            assert_eq!(run(text, true, true).unwrap(), expected, "{text}");
        }
        for text in ["it's", "\"a"] {
            assert!(matches!(run(text, true, true), Err(AssembleError::Quote { .. })), "{text}");
        }
        assert_eq!(run("it's \"x\"", true, false).unwrap(), "it's \"x\"", "quotes are plain elsewhere");
    }
}
