//! What single values must look like, whatever the dialect. Each rule takes the text and returns the value, or the end of a
//! sentence that starts with the key: "must be an absolute path".

use globset::GlobBuilder;

/// The outcome of a rule.
pub(crate) type Rule<T> = Result<T, String>;

/// An absolute, clean path; a trailing slash is dropped.
pub(crate) fn absolute_path(text: &str) -> Rule<String> {
    if !text.starts_with('/') {
        return Err("must be an absolute path".to_owned());
    }
    if text == "/" {
        return Ok(text.to_owned());
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    clean_segments(&path[1..])?;
    Ok(path.to_owned())
}

/// An absolute, clean path below the root.
pub(crate) fn path_below_root(text: &str) -> Rule<String> {
    match absolute_path(text)?.as_str() {
        "/" => Err("must not be the root directory".to_owned()),
        path => Ok(path.to_owned()),
    }
}

/// A clean path relative to the project directory.
pub(crate) fn relative_path(text: &str) -> Rule<String> {
    let path = text.strip_prefix("./").unwrap_or(text);
    let path = path.strip_suffix('/').unwrap_or(path);
    clean_segments(path)?;
    Ok(path.to_owned())
}

fn clean_segments(path: &str) -> Rule<()> {
    if path.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    if path.len() > 4095 {
        return Err("must be shorter than 4096 bytes".to_owned());
    }
    match path.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
        None => Ok(()),
        Some("") if path.is_empty() => Err("must not be empty".to_owned()),
        Some("") => Err("must not contain `//`".to_owned()),
        Some(segment) => Err(format!("must not contain `{segment}`")),
    }
}

/// A glob pattern relative to some directory.
pub(crate) fn pattern(text: &str) -> Rule<String> {
    if text.starts_with('/') {
        return Err("must be a relative pattern: without a leading `/`".to_owned());
    }
    let pattern = text.strip_prefix("./").unwrap_or(text);
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    clean_segments(pattern)?;
    match GlobBuilder::new(pattern).literal_separator(true).build() {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => Err(format!("must be a valid pattern: {}", error.kind())),
    }
}

/// A user or group: a name or a number.
pub(crate) fn account(text: &str) -> Rule<String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let start = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let name =
        start && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-$".contains(&byte));
    let valid = if digits { text.parse::<u32>().is_ok_and(|id| id < u32::MAX) } else { name };
    if valid { Ok(text.to_owned()) } else { Err("must be a user or group name, or a number".to_owned()) }
}

/// The user of an image: `user`, or `user:group`.
pub(crate) fn user_and_group(text: &str) -> Rule<String> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let valid = account(user).is_ok() && group.is_none_or(|group| account(group).is_ok());
    if valid { Ok(text.to_owned()) } else { Err("must be `user` or `user:group`, by name or number".to_owned()) }
}

/// A name that can be part of a path and of a stage's name.
pub(crate) fn plain_name(text: &str) -> Rule<String> {
    let start = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let valid =
        start && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if valid {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 63 letters, digits, `_`, `.` and `-`, starting with a letter, a digit or `_`".to_owned())
    }
}

/// The name of an environment variable.
pub(crate) fn variable_name(text: &str) -> Rule<String> {
    let start = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let valid = start && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if valid {
        Ok(text.to_owned())
    } else {
        Err("must be a variable name: letters, digits and `_`, not starting with a digit".to_owned())
    }
}

/// A label's key.
pub(crate) fn label_name(text: &str) -> Rule<String> {
    let valid =
        !text.is_empty() && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control() || letter == '=');
    if valid { Ok(text.to_owned()) } else { Err("must be a label name: not empty, without spaces and `=`".to_owned()) }
}

/// A text that programs can take as an argument or variable.
pub(crate) fn c_text(text: &str) -> Rule<String> {
    if text.contains('\0') { Err("must not contain a null character".to_owned()) } else { Ok(text.to_owned()) }
}

/// A text that says something.
pub(crate) fn not_blank(text: &str) -> Rule<String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { c_text(text) }
}

/// A port as image configs write it: `8080` becomes `8080/tcp`.
pub(crate) fn port(text: &str) -> Rule<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let number =
        number.parse::<u16>().ok().filter(|&port| port > 0 && number.bytes().all(|byte| byte.is_ascii_digit()));
    match (number, protocol.as_str()) {
        (Some(number), "tcp" | "udp" | "sctp") => Ok(format!("{number}/{protocol}")),
        _ => Err("must be a port such as `8080`, `8080/tcp` or `53/udp`".to_owned()),
    }
}

/// A signal by name or number.
pub(crate) fn signal(text: &str) -> Rule<String> {
    const NAMES: &[&str] = &[
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN", "RTMAX",
    ];
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: Option<&str>| rest.is_some_and(|rest| rest.parse::<u8>().is_ok_and(|offset| offset <= 30));
    let number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    let valid =
        number || NAMES.contains(&name) || offset(name.strip_prefix("RTMIN+")) || offset(name.strip_prefix("RTMAX-"));
    if valid { Ok(text.to_owned()) } else { Err("must be a signal such as `SIGTERM`, or its number".to_owned()) }
}

/// A duration such as `1h30m`, `1.5s` or `200ms`, in nanoseconds.
pub(crate) fn duration(text: &str) -> Rule<i64> {
    let invalid = || "must be a duration with units, such as `30s`, `1m30s` or `500ms`".to_owned();
    if text == "0" {
        return Ok(0);
    }
    let (mut total, mut rest) = (0i128, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3_600 * 1_000_000_000,
            _ => return Err(invalid()),
        };
        total += scaled(number, unit).ok_or_else(invalid)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(invalid());
    }
    i64::try_from(total).map_err(|_| "must be shorter than 292 years".to_owned())
}

fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 18 || fraction.len() > 18 || (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let value = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
    let fraction_value = value(fraction)? * unit / 10i128.pow(fraction.len() as u32);
    Some(value(whole)? * unit + fraction_value)
}

/// Permission bits in octal, as `chmod` takes them.
pub(crate) fn permissions(text: &str) -> Rule<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let valid = (3..=5).contains(&digits.len());
    let bits = u32::from_str_radix(digits, 8).ok().filter(|&bits| valid && bits <= 0o7777);
    bits.ok_or_else(|| "must be permissions in octal, such as `0755`".to_owned())
}

/// The address of a git repository.
pub(crate) fn git_url(text: &str) -> Rule<String> {
    let invalid =
        || Err("must be a git address: https://, http://, ssh://, git://, file://, or user@host:path".to_owned());
    if text.starts_with('-') || text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return invalid();
    }
    match text.split_once("://") {
        Some(("https" | "http" | "ssh" | "git", rest)) => {
            let authority = rest.split('/').next().unwrap_or_default();
            if authority.is_empty() || authority.starts_with('-') {
                return invalid();
            }
            if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
                return Err("must not contain a password: git's credential helpers are asked for it".to_owned());
            }
            Ok(text.to_owned())
        }
        Some(("file", rest)) if rest.starts_with('/') => Ok(text.to_owned()),
        Some(_) => invalid(),
        None => match text.split_once(':') {
            Some((host, path))
                if host.contains('@') && !host.contains('/') && !path.is_empty() && !path.starts_with(':') =>
            {
                Ok(text.to_owned())
            }
            _ => invalid(),
        },
    }
}

/// The name of a branch or tag, by git's rules.
pub(crate) fn git_reference(text: &str) -> Rule<String> {
    let forbidden = |letter: char| letter.is_whitespace() || letter.is_control() || "~^:?*[\\".contains(letter);
    let segment =
        |segment: &str| !segment.is_empty() && !segment.starts_with('.') && segment.strip_suffix(".lock").is_none();
    let valid = !text.chars().any(forbidden)
        && text.split('/').all(segment)
        && !text.starts_with('-')
        && !text.ends_with('.')
        && !text.contains("..")
        && !text.contains("@{");
    if valid { Ok(text.to_owned()) } else { Err("must be the name of a branch or tag".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_clean() {
        for (path, expected) in [("/", "/"), ("/a", "/a"), ("/a/b/", "/a/b"), ("/.a/..b", "/.a/..b")] {
            assert_eq!(absolute_path(path).as_deref(), Ok(expected), "{path}");
        }
        for bad in ["", "a", "//", "/a//b", "/a/../b", "/./a", "/a\n", "/a\0"] {
            assert!(absolute_path(bad).is_err(), "{bad:?}");
        }
        assert!(path_below_root("/").is_err());
        assert_eq!(relative_path("./a/b/").as_deref(), Ok("a/b"));
        for bad in ["", "/a", "../a", "a/./b"] {
            assert!(relative_path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            ("200ms", 200_000_000),
            ("0", 0),
            ("1h", 3_600_000_000_000),
            (".5s", 500_000_000),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for bad in ["", "30", "s", "1x", "1.2.3s", "-1s", "1 s", "999999999999h", "."] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_keep_to_their_rules() {
        type Check = fn(&str) -> bool;
        let tables: [(&str, Check, &[&str], &[&str]); 9] = [
            ("port", |text| port(text).is_ok(), &["80", "80/tcp", "53/UDP"], &["0", "65536", "80/x", "+80", "a"]),
            ("signal", |text| signal(text).is_ok(), &["SIGTERM", "term", "9", "SIGRTMIN+3"], &["SIGX", "0", "65", ""]),
            (
                "account",
                |text| account(text).is_ok(),
                &["root", "www-data", "0", "1000"],
                &["", "a b", "1a", "4294967295", "a:b"],
            ),
            (
                "user",
                |text| user_and_group(text).is_ok(),
                &["1000:1000", "app", "app:0"],
                &["", ":", "a:", ":a", "a:b:c"],
            ),
            ("variable", |text| variable_name(text).is_ok(), &["A", "_a1"], &["", "1A", "A=B", "A B"]),
            (
                "pattern",
                |text| pattern(text).is_ok(),
                &["**/*.js", "docs", "a/{b,c}/*"],
                &["", "/a", "../a", "a{", "[", "a//b"],
            ),
            (
                "permissions",
                |text| permissions(text).is_ok(),
                &["0755", "755", "0o644", "4755", "04755"],
                &["7", "999", "0x1", "77777"],
            ),
            (
                "url",
                |text| git_url(text).is_ok(),
                &["https://x.io/a.git", "git@x.io:a/b.git", "ssh://git@x.io/a", "file:///srv/a", "http://u@x/a"],
                &[
                    "ext::sh -c x",
                    "--upload-pack=x",
                    "https://u:p@x.io/a",
                    "a",
                    "https://",
                    "file://a",
                    "ssh://-oX/a",
                    "ext::sh",
                ],
            ),
            (
                "reference",
                |text| git_reference(text).is_ok(),
                &["main", "feature/x", "v1.2"],
                &["", "-x", "a..b", "a b", "a.lock", "/a", "a:b", "a/"],
            ),
        ];
        for (rule, check, good, bad) in tables {
            for text in good {
                assert!(check(text), "{rule}: {text:?}");
            }
            for text in bad {
                assert!(!check(text), "{rule}: {text:?}");
            }
        }
    }
}
