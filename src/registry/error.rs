//! What can go wrong with a registry, and how its answers become text.
//!
//! Every message names the operation, the object and the host. URLs appear without query and user information, and
//! what a registry says about itself is cut to a line of printable characters: an answer is foreign text.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use stages::ids::BlobId;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the client was doing, for messages: `pull manifest docker.io/library/debian:latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task(Box<(&'static str, String)>);

impl Task {
    pub(super) fn new(operation: &'static str, object: impl fmt::Display) -> Self {
        Self(Box::new((operation, object.to_string())))
    }

    /// The operation, such as `pull manifest`.
    pub fn operation(&self) -> &'static str {
        self.0.0
    }

    /// The object: a reference, a repository with a digest, a registry.
    pub fn object(&self) -> &str {
        &self.0.1
    }

    /// The registry that the object is in: all objects that need a login begin with it.
    pub fn registry(&self) -> &str {
        self.object().split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.0.0, self.0.1)
    }
}

/// A registry's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The host that answered, with its port.
    pub host: String,
    /// The HTTP status.
    pub status: u16,
    /// The registry's own words in one printable line, at most some 300 characters; empty when it said nothing.
    pub message: String,
    /// The codes of the registry's errors, such as `BLOB_UNKNOWN`.
    pub codes: Vec<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} answered {}", self.host, self.status)?;
        if self.message.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.message) }
    }
}

/// A registry operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A reference that does not parse.
    #[error("invalid image reference `{text}`: {reason}")]
    InvalidReference {
        /// The text as given, made printable.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A registry's name that does not parse.
    #[error("invalid registry name `{text}`: it must be host, host:port or [ipv6]:port")]
    InvalidRegistry {
        /// The text as given, made printable.
        text: String,
    },
    /// A setting that can't be used, such as a certificate file without certificates.
    #[error("cannot use the registry settings: {reason}")]
    Settings {
        /// What is wrong.
        reason: String,
    },
    /// The user's credentials could not be written.
    #[error("cannot {action} the credentials for {host}: {reason}")]
    Store {
        /// `save` or `remove`.
        action: &'static str,
        /// The registry they are for.
        host: String,
        /// What is wrong; names the file or helper.
        reason: String,
    },
    /// The user's credentials could not be read.
    #[error("cannot read the credentials for {host}: {reason}")]
    Credentials {
        /// The registry they are for.
        host: String,
        /// What is wrong; names the file or helper.
        reason: String,
    },
    /// The object is not there.
    #[error("cannot {task}: not found ({answer})")]
    NotFound {
        /// What was being done.
        task: Task,
        /// The registry's answer.
        answer: Answer,
    },
    /// The registry wants other credentials, or any.
    #[error("cannot {task}: not authorised: {reason}")]
    Unauthorized {
        /// What was being done.
        task: Task,
        /// Whether credentials were lacking or refused, and what the registry said.
        reason: String,
    },
    /// The credentials are good but do not allow this.
    #[error("cannot {task}: denied ({answer})")]
    Denied {
        /// What was being done.
        task: Task,
        /// The registry's answer.
        answer: Answer,
    },
    /// The registry asks to slow down, for longer than the retry policy allows.
    #[error("cannot {task}: too many requests ({answer})")]
    TooManyRequests {
        /// What was being done.
        task: Task,
        /// The registry's answer.
        answer: Answer,
        /// How long the registry asked to wait.
        retry_after: Option<Duration>,
    },
    /// The registry, or a proxy before it, refuses a body of this size.
    #[error("cannot {task}: the body is too large ({answer})")]
    TooLarge {
        /// What was being done.
        task: Task,
        /// The registry's answer.
        answer: Answer,
    },
    /// The registry does not offer this operation.
    #[error("cannot {task}: the registry does not support it ({answer})")]
    Unsupported {
        /// What was being done.
        task: Task,
        /// The registry's answer.
        answer: Answer,
    },
    /// Any other status that is not a success.
    #[error("cannot {task}: {answer}")]
    Status {
        /// What was being done.
        task: Task,
        /// The registry's answer.
        answer: Answer,
        /// How long the registry asked to wait.
        retry_after: Option<Duration>,
    },
    /// No connection to the host.
    #[error("cannot {task}: cannot reach {host}")]
    Unreachable {
        /// What was being done.
        task: Task,
        /// The host, with its port.
        host: String,
        /// The reason.
        source: Cause,
    },
    /// No trusted connection to the host.
    #[error("cannot {task}: no secure connection to {host}")]
    Tls {
        /// What was being done.
        task: Task,
        /// The host, with its port.
        host: String,
        /// The reason, such as an unknown issuer.
        source: Cause,
    },
    /// The connection ended before its time.
    #[error("cannot {task}: the connection to {host} was cut")]
    Disconnected {
        /// What was being done.
        task: Task,
        /// The host, with its port.
        host: String,
        /// The reason.
        source: Cause,
    },
    /// A deadline passed.
    #[error("cannot {task}: {host} took too long to {waiting}")]
    Timeout {
        /// What was being done.
        task: Task,
        /// The host, with its port.
        host: String,
        /// What the host was waited for.
        waiting: &'static str,
    },
    /// The bytes are not the ones that were asked for.
    #[error("cannot {task}: the content has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// What was being done.
        task: Task,
        /// The digest asked for.
        expected: BlobId,
        /// The digest of what came, or that the registry claims.
        actual: String,
    },
    /// The content has another length than announced.
    #[error("cannot {task}: the content has {actual} bytes, not {expected}")]
    SizeMismatch {
        /// What was being done.
        task: Task,
        /// The length asked for.
        expected: u64,
        /// The length that came or was announced.
        actual: u64,
    },
    /// An answer that breaks the protocol, or one that is refused for safety.
    #[error("cannot {task}: {reason}")]
    Protocol {
        /// What was being done.
        task: Task,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A host that accepts something and doesn't have it afterwards.
    #[error("cannot {task}: {host} accepts it, and does not have it afterwards; is it a registry?")]
    NotKept {
        /// What was being done.
        task: Task,
        /// The host, with its port.
        host: String,
    },
    /// An index without a manifest for the platform.
    #[error("no image for the platform {wanted}; there is {}", available_text(.available))]
    NoPlatform {
        /// The platform asked for.
        wanted: String,
        /// The platforms of the index.
        available: Vec<String>,
    },
    /// The local content to be uploaded could not be read.
    #[error("cannot {task}: cannot read the content to send")]
    Source {
        /// What was being done.
        task: Task,
        /// The reason.
        source: io::Error,
    },
    /// The caller's cancel flag was set.
    #[error("cannot {task}: interrupted")]
    Cancelled {
        /// What was being done.
        task: Task,
    },
}

impl Error {
    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TooManyRequests { .. }
            | Self::Unreachable { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::NotKept { .. } => true,
            Self::Status { answer, .. } => matches!(answer.status, 408 | 425 | 500 | 502 | 503 | 504 | 520..=524),
            _ => false,
        }
    }

    /// How long the registry asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The registry's answer, when there was one.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::NotFound { answer, .. }
            | Self::Denied { answer, .. }
            | Self::TooManyRequests { answer, .. }
            | Self::TooLarge { answer, .. }
            | Self::Unsupported { answer, .. }
            | Self::Status { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// The registry error that a blob's reader wrapped for [`io::Read`].
    pub fn in_io(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    /// Unwraps what [`Error::in_io`] sees; any other error comes back as it was.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        if Self::in_io(&error).is_none() {
            return Err(error);
        }
        let inner = error.into_inner().expect("in_io saw an inner error");
        Ok(*inner.downcast::<Self>().expect("in_io saw its type"))
    }

    /// Whether the registry says of a manifest that it doesn't have a blob that is named there.
    pub fn is_blob_unknown(&self) -> bool {
        let unknown = |code: &String| code == "MANIFEST_BLOB_UNKNOWN" || code == "BLOB_UNKNOWN";
        self.answer().is_some_and(|answer| answer.codes.iter().any(unknown))
    }

    pub(super) fn protocol(task: &Task, reason: impl Into<String>) -> Self {
        Self::Protocol { task: task.clone(), reason: reason.into() }
    }
}

fn available_text(available: &[String]) -> String {
    if available.is_empty() { "none".to_owned() } else { available.join(", ") }
}

/// The error of a status that is not a success.
pub(super) fn from_answer(task: Task, answer: Answer, retry_after: Option<Duration>) -> Error {
    let code = |code: &str| answer.codes.iter().any(|found| found == code);
    match answer.status {
        401 => Error::Unauthorized { task, reason: answer.to_string() },
        403 => Error::Denied { task, answer },
        404 => Error::NotFound { task, answer },
        405 => Error::Unsupported { task, answer },
        400 if code("UNSUPPORTED") => Error::Unsupported { task, answer },
        413 => Error::TooLarge { task, answer },
        429 => Error::TooManyRequests { task, answer, retry_after },
        _ if code("TOOMANYREQUESTS") => Error::TooManyRequests { task, answer, retry_after },
        _ => Error::Status { task, answer, retry_after },
    }
}

/// The registry's own message and codes in an error body of any kind.
pub(super) fn read_message(content_type: &str, body: &[u8]) -> (String, Vec<String>) {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<Item>,
        #[serde(default, alias = "error_description", alias = "details")]
        message: Option<String>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(default)]
        code: Option<serde_json::Value>,
        #[serde(default)]
        message: Option<String>,
    }
    if let Ok(body) = serde_json::from_slice::<Body>(body) {
        let code = |item: &Item| match &item.code {
            Some(serde_json::Value::String(code)) => Some(printable(code, 60)),
            Some(serde_json::Value::Number(code)) => Some(code.to_string()),
            _ => None,
        };
        let codes = body.errors.iter().take(10).filter_map(code).collect();
        let items = body.errors.iter().take(3).map(|item| match (code(item), item.message.as_deref()) {
            (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
            (code, message) => code.or_else(|| message.map(str::to_owned)).unwrap_or_default(),
        });
        let text = items.chain(body.message).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        return (printable(&text, 300), codes);
    }
    let text = String::from_utf8_lossy(body);
    let html = content_type.contains("html") || text.trim_start().starts_with('<');
    (printable(&if html { html_text(&text) } else { text.into_owned() }, 200), Vec::new())
}

/// The words of a page, its style and script left out.
fn html_text(page: &str) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        out.push(' ');
        let lower = after.get(..6).unwrap_or(after).to_ascii_lowercase();
        let close = ["style", "script"].into_iter().find(|name| lower.starts_with(name));
        let end = match close {
            Some(name) => after.to_ascii_lowercase().find(&format!("</{name}")).map(|at| at + 1),
            None => Some(0),
        };
        rest = end.and_then(|end| after.get(end..)).and_then(|tail| tail.split_once('>')).map_or("", |(_, tail)| tail);
    }
    out.push_str(rest);
    out
}

/// One line of at most `limit` characters: white space folded, control and direction characters escaped.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        if length > 0 {
            out.push(' ');
            length += 1;
        }
        for character in word.chars() {
            if length >= limit {
                out.push('…');
                return out;
            }
            let hidden = character.is_control()
                || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            if hidden {
                out.extend(character.escape_unicode());
            } else {
                out.push(character);
            }
            length += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_short_and_printable() {
        let json =
            br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m access"},{"code":"X"},{"code":7,"message":null}]}"#;
        let (text, codes) = read_message("application/json", json);
        assert_eq!(text, "DENIED: no\\u{1b}[31m access; X; 7");
        assert_eq!(codes, ["DENIED", "X", "7"]);
        let html = b"<html><head><style>a{b:c}</style><title>502 Bad Gateway</title></head>\n<body>nginx</body></html>";
        assert_eq!(read_message("text/html", html).0, "502 Bad Gateway nginx");
        assert_eq!(read_message("", b"<script>never closed").0, "");
        assert_eq!(read_message("text/plain", "x".repeat(5000).as_bytes()).0.chars().count(), 201);
        assert_eq!(read_message("text/plain", b"a\r\n\tb\xff").0, "a b\u{fffd}");
        assert_eq!(printable("a\u{202e}b", 10), "a\\u{202e}b");
    }

    #[test]
    fn errors_travel_through_io() {
        let error = io::Error::other(Error::Cancelled { task: Task::new("pull blob", "x") });
        assert!(matches!(Error::in_io(&error), Some(Error::Cancelled { .. })));
        assert!(Error::from_io(error).is_ok());
        assert!(Error::from_io(io::Error::other("x")).is_err());
    }
}
