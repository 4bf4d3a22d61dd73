//! Identifiers: one newtype for each, parsed once, never changed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An identifier that did not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} `{value}`: {reason}")]
pub struct IdError {
    /// What was being parsed, such as `stage digest`.
    pub kind: &'static str,
    /// The text as given.
    pub value: String,
    /// The rule it breaks.
    pub reason: &'static str,
}

fn id_error(kind: &'static str, value: &str, reason: &'static str) -> IdError {
    IdError { kind, value: value.to_owned(), reason }
}

macro_rules! text_impls {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes of BLAKE3 output.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first twelve hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.to_string()[..12].to_owned()
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(formatter, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({})", stringify!($name), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_hex::<32>(text)
                    .map(Self)
                    .ok_or_else(|| id_error($kind, text, "must be 64 lower-case hexadecimal digits"))
            }
        }

        text_impls!($name);
    };
}

/// Writes all digits at once: plans print thousands of digests, and hash them as text.
fn write_hex(formatter: &mut fmt::Formatter<'_>, bytes: &[u8; 32]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    formatter.write_str(std::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    if bytes.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *slot = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some(out)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

digest_type!(
    /// Names a stage: BLAKE3-256 over its inputs and its parent's digest (see [`crate::digest`]).
    StageDigest,
    "stage digest"
);
digest_type!(
    /// Names what a stage or layer *holds*, whatever it was made from: the key of early cutoff.
    ContentId,
    "content id"
);
digest_type!(
    /// A checksum over a selection of git content: paths, modes, types and object ids.
    Checksum,
    "checksum"
);

/// The SHA-256 digest of a blob as OCI writes it: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId([u8; 32]);

impl BlobId {
    /// Wraps the 32 bytes of a SHA-256 hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 64 hexadecimal digits without the algorithm.
    pub fn hex(&self) -> String {
        self.to_string()["sha256:".len()..].to_owned()
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sha256:")?;
        write_hex(formatter, &self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("sha256:")
            .and_then(parse_hex::<32>)
            .map(Self)
            .ok_or_else(|| id_error("blob digest", text, "must be `sha256:` and 64 lower-case hexadecimal digits"))
    }
}

text_impls!(BlobId);

/// A git object id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(String);

/// The id of a commit.
pub type CommitId = ObjectId;

impl ObjectId {
    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ObjectId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let valid = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| hex_digit(byte).is_some());
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(id_error("git object id", text, "must be 40 or 64 lower-case hexadecimal digits"))
        }
    }
}

text_impls!(ObjectId);

/// The name of an image or artifact of the config: any text on one line. The native format allows plain names only (see
/// [`ImageName::is_plain`]), the others whatever people wrote. The empty name is the nameless image that the werf and dapp
/// dialects allow; it is shown as `~`, which therefore is no name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

impl ImageName {
    /// The rule of plain names.
    pub const PLAIN: &str = "must be `/`-separated segments of latin letters, digits, `_`, `.` and `-`, each starting and ending with a letter or digit";

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it keeps to [`Self::PLAIN`].
    pub fn is_plain(&self) -> bool {
        let segment = |segment: &str| {
            let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
            edge(segment.bytes().next())
                && edge(segment.bytes().last())
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        self.0.split('/').all(segment)
    }

    /// The name as a part of paths and references. A plain name is itself; of any other one the letters that a plain name
    /// can have are left, with a mark of the whole name, so that no two names become one and none leads out of a directory.
    pub fn in_paths(&self) -> String {
        if self.0.is_empty() {
            return "image".to_owned();
        }
        if self.is_plain() {
            return self.0.clone();
        }
        let letters = self.0.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
        let readable: String =
            letters.collect::<String>().split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let mark = &blake3::hash(self.0.as_bytes()).to_hex()[..8];
        if readable.is_empty() { format!("image-{mark}") } else { format!("{readable}-{mark}") }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "~" } else { &self.0 })
    }
}

impl FromStr for ImageName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let reason = match text {
            "~" => "must not be `~`, which stands for the image without a name",
            _ if text.len() > 255 => "must be shorter than 256 bytes",
            _ if text.chars().any(char::is_control) => "must not contain control characters",
            _ => return Ok(Self(text.to_owned())),
        };
        Err(id_error("image name", text, reason))
    }
}

impl Serialize for ImageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The name of a project: lower-case letters, digits and inner hyphens, at most 50 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectName(String);

impl ProjectName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ProjectName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let valid = (1..=50).contains(&bytes.len())
            && edge(bytes[0])
            && edge(bytes[bytes.len() - 1])
            && bytes.iter().all(|&byte| edge(byte) || byte == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(id_error("project name", text, "must be 1 to 50 lower-case letters, digits and inner hyphens"))
        }
    }
}

text_impls!(ProjectName);

/// A platform in OCI's terms: `os/architecture[/variant]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// The platform of the machine that this program was compiled for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7".to_owned())),
            "x86" => ("386", None),
            other => (other, None),
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant }
    }

    /// The operating system, such as `linux`.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture in Go's terms, such as `amd64`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant, such as `v7`.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(formatter, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parts: Vec<&str> = text.split('/').collect();
        let part = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte))
        };
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() <= 1 && parts.iter().all(part) => Ok(Self {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: rest.first().map(|variant| (*variant).to_owned()),
            }),
            _ => Err(id_error("platform", text, "must be `os/architecture` or `os/architecture/variant`")),
        }
    }
}

text_impls!(Platform);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_rules() {
        for (name, plain, in_paths) in [
            ("app", true, "app"),
            ("a/b", true, "a/b"),
            ("a.b-c_d", true, "a.b-c_d"),
            ("", false, "image"),
            ("/a", false, "a-"),
            ("../x", false, "x-"),
            ("App One", false, "App-One-"),
            ("ä", false, "image-"),
        ] {
            let parsed: ImageName = name.parse().unwrap();
            let found = parsed.in_paths();
            assert_eq!(parsed.is_plain(), plain, "{name}");
            assert!(found.starts_with(in_paths) && (!plain || found == in_paths), "{name}: {found}");
            assert!(found.parse::<ImageName>().unwrap().is_plain(), "{name}: {found}");
        }
        for bad in ["~", "a\nb", "a\0", &"a".repeat(256)] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
        for bad in ["", "A", "-a", "a-", "a_b", &"a".repeat(51)] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_round_trip() {
        let digest = StageDigest::from_bytes([0xab; 32]);
        assert_eq!(digest.to_string().parse::<StageDigest>(), Ok(digest));
        assert!("AB".repeat(32).parse::<StageDigest>().is_err());
        let blob = BlobId::from_bytes([1; 32]);
        assert_eq!(blob.to_string().parse::<BlobId>(), Ok(blob));
    }
}
