//! Image references: `debian`, `host:5000/a/b:tag@sha256:…`.
//!
//! The rules are those of docker's reference grammar: a first component with a dot or a colon, or the word `localhost`,
//! is a registry; anything else is a repository of Docker Hub, where a name without a slash belongs
//! to `library/`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use stages::ids::BlobId;

use super::Error;

/// The registry that short names mean.
pub const DOCKER_HUB: &str = "docker.io";

/// The longest repository name that registries accept, in bytes.
const MAX_NAME: usize = 255;

/// A registry's name: `host[:port]` in lower case; `docker.io` for Docker Hub, whichever of its names was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryName(String);

impl RegistryName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Borrow<str> for RegistryName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegistryName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let host = match text.strip_prefix("https://") {
            Some(rest) => rest.strip_suffix('/').unwrap_or(rest),
            None => text,
        };
        let host = if host == "index.docker.io/v1" { DOCKER_HUB } else { host };
        if !is_host(host) {
            // What is before an @ may be a password.
            let shown = text.rsplit('@').next().unwrap_or_default();
            return Err(Error::InvalidRegistry { text: super::error::printable(shown, 300) });
        }
        let host = host.to_ascii_lowercase();
        let is_hub = matches!(host.as_str(), "index.docker.io" | "registry-1.docker.io");
        Ok(Self(if is_hub { DOCKER_HUB.to_owned() } else { host }))
    }
}

/// Where the repositories of another registry can be had as well: a registry, and perhaps a path that theirs follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    registry: RegistryName,
    prefix: String,
}

impl Mirror {
    /// The registry of the mirror itself.
    pub fn registry(&self) -> &RegistryName {
        &self.registry
    }
}

/// Reads `[https://]host[:port][/path]`.
impl FromStr for Mirror {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let registry = host.parse()?;
        if path.is_empty() {
            return Ok(Self { registry, prefix: String::new() });
        }
        check_path(rest, path)?;
        Ok(Self { registry, prefix: format!("{path}/") })
    }
}

/// A repository: a registry and a path in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: String,
    path: String,
}

impl Repository {
    /// The registry's name, `host[:port]` in lower case; `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry, such as `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same repository as a mirror has it.
    pub(super) fn on(&self, mirror: &Mirror) -> Self {
        Self { registry: mirror.registry.0.clone(), path: format!("{}{}", mirror.prefix, self.path) }
    }

    /// The reference to a tag of this repository.
    pub fn with_tag(&self, tag: &str) -> Result<Reference, Error> {
        if !is_tag(tag) {
            return Err(invalid(tag, BAD_TAG));
        }
        Ok(Reference { repository: self.clone(), tag: Some(tag.to_owned()), digest: None })
    }

    /// The reference to a manifest of this repository.
    pub fn with_digest(&self, digest: BlobId) -> Reference {
        Reference { repository: self.clone(), tag: None, digest: Some(digest) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.path)
    }
}

impl FromStr for Repository {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (registry, path) = split_registry(text);
        Self::from_parts(text, registry, path)
    }
}

impl Repository {
    fn from_parts(text: &str, registry: Option<&str>, path: &str) -> Result<Self, Error> {
        let registry = match registry {
            None => DOCKER_HUB.to_owned(),
            Some(host) if !is_host(host) => return Err(invalid(text, BAD_HOST)),
            Some(host) => host.to_ascii_lowercase(),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB.to_owned() } else { registry };
        check_path(text, path)?;
        let path =
            if registry == DOCKER_HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        if registry.len() + 1 + path.len() > MAX_NAME {
            return Err(invalid(text, "the repository name is longer than 255 characters"));
        }
        Ok(Self { registry, path })
    }
}

/// A normalised image reference: a repository, and a tag or a digest or both. Without either the tag is `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<BlobId>,
}

impl Reference {
    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag; `None` only when there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest when the reference pins it; it then decides, and the tag is a remark.
    pub fn digest(&self) -> Option<BlobId> {
        self.digest
    }

    /// The same tag or digest of another repository.
    pub(super) fn of(&self, repository: &Repository) -> Self {
        Self { repository: repository.clone(), ..self.clone() }
    }

    /// What stands in a registry's manifest address: the digest, or else the tag.
    pub(super) fn selector(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag.clone().expect("a reference without a digest has a tag"),
        }
    }

    /// The short form people write: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let text = self.to_string();
        match text.strip_prefix("docker.io/") {
            Some(rest) => rest.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(rest).to_owned(),
            None => text,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(formatter, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(formatter, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(invalid(text, "it is empty"));
        }
        if text.contains("://") {
            return Err(invalid(text, "it has a scheme; write host/name:tag"));
        }
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid(text, "64 hexadecimal digits name an image id, not a repository"));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => (rest, Some(parse_digest(text, digest)?)),
        };
        let (registry, rest) = split_registry(rest);
        let (path, tag) = match rest.split_once(':') {
            None => (rest, None),
            Some((_, tag)) if !is_tag(tag) => return Err(invalid(text, BAD_TAG)),
            Some((path, tag)) => (path, Some(tag.to_owned())),
        };
        let repository = Repository::from_parts(text, registry, path)?;
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { repository, tag, digest })
    }
}

const BAD_HOST: &str = "the registry must be host, host:port or [ipv6]:port";
const BAD_TAG: &str = "the tag must be 1 to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`";

fn invalid(text: &str, reason: &'static str) -> Error {
    Error::InvalidReference { text: super::error::printable(text, 300), reason }
}

/// Splits off the registry, when the first component looks like one.
fn split_registry(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':', '[']) => (Some(first), rest),
        _ => (None, text),
    }
}

fn parse_digest(text: &str, digest: &str) -> Result<BlobId, Error> {
    match digest.split_once(':') {
        Some(("sha256", _)) => digest
            .parse()
            .map_err(|_| invalid(text, "the digest must be `sha256:` and 64 lower-case hexadecimal digits")),
        Some(_) => Err(invalid(text, "only sha256 digests are supported")),
        None => Err(invalid(text, "the part after `@` must be a digest such as sha256:…")),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                return address.parse::<std::net::Ipv6Addr>().is_ok()
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn check_path(text: &str, path: &str) -> Result<(), Error> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(invalid(text, "the repository name must be lower case"));
    }
    if path.split('/').all(is_component) {
        return Ok(());
    }
    Err(invalid(
        text,
        "the repository name must be `/`-separated components of lower-case letters and digits, joined by `.`, `_`, `__` or hyphens",
    ))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let edges = bytes.first().is_some_and(|&byte| plain(byte)) && bytes.last().is_some_and(|&byte| plain(byte));
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    edges && separators.into_iter().all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_normalised() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let cases = [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("debian:12", "docker.io/library/debian:12", "debian:12"),
            ("grafana/k6", "docker.io/grafana/k6:latest", "grafana/k6:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("index.docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("Registry.Example.com/a", "registry.example.com/a:latest", "registry.example.com/a:latest"),
            ("a/b__c-d.e--f:T_1.x", "docker.io/a/b__c-d.e--f:T_1.x", "a/b__c-d.e--f:T_1.x"),
        ];
        for (text, canonical, familiar) in cases {
            let reference: Reference = text.parse().expect(text);
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(canonical.parse::<Reference>().expect(canonical), reference);
        }
        let both: Reference = format!("h:5000/a/b:tag@{digest}").parse().unwrap();
        assert_eq!(both.to_string(), format!("h:5000/a/b:tag@{digest}"));
        assert_eq!((both.tag(), both.selector()), (Some("tag"), digest.clone()));
        let pinned: Reference = format!("debian@{digest}").parse().unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/debian@{digest}"));
    }

    #[test]
    fn registries_have_one_name_each() {
        let cases = [
            ("docker.io", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("https://Registry.example.org/", "registry.example.org"),
            ("registry.example.org:5000", "registry.example.org:5000"),
            ("mirror", "mirror"),
            ("[::1]:5000", "[::1]:5000"),
        ];
        for (text, name) in cases {
            assert_eq!(text.parse::<RegistryName>().expect(text).as_str(), name);
        }
        for bad in ["", "http://h", "h/", "h/team", "h:port", "../h", ".", "..", "user:hush@h_x", "https://h/v2/"] {
            let error = bad.parse::<RegistryName>().expect_err(bad).to_string();
            assert!(error.contains("host:port") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn mirrors_have_a_path_or_none() {
        let debian: Repository = "debian".parse().unwrap();
        for (text, repository) in [
            ("mirror.local:5000", "mirror.local:5000/library/debian"),
            ("mirror.local:5000/hub", "mirror.local:5000/hub/library/debian"),
            ("https://mirror/a/b/", "mirror/a/b/library/debian"),
        ] {
            assert_eq!(debian.on(&text.parse().expect(text)).to_string(), repository);
        }
        for bad in ["", "http://h", "h:x", "h/A", "h/../x", "h//x", "h/a?b", "user:hush@h_/x"] {
            let error = bad.parse::<Mirror>().expect_err(bad).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn bad_references_say_why() {
        let hex = "a".repeat(64);
        let long = format!("h.io/{}", "a".repeat(251));
        let cases = [
            ("", "empty"),
            ("https://h/a", "scheme"),
            (hex.as_str(), "image id"),
            ("Debian", "lower case"),
            ("a/B", "lower case"),
            ("REG/a", "lower case"),
            ("a//b", "components"),
            ("a/.b", "components"),
            ("a/b___c", "components"),
            ("a/b..c", "components"),
            ("-a", "components"),
            ("a/b/", "components"),
            ("h:port/a", "host:port"),
            ("h:0/a", "host:port"),
            ("h_x.io/a", "host:port"),
            ("[::g]/a", "host:port"),
            ("a:", "tag"),
            ("a:-t", "tag"),
            ("a:b:c", "tag"),
            ("a@sha512:00", "only sha256"),
            ("a@sha256:00", "64 lower-case"),
            ("a@latest", "digest such as"),
            ("a b", "components"),
            ("a\nb", "components"),
            (long.as_str(), "255"),
        ];
        for (text, part) in cases {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(error.contains(part), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!("a:t".parse::<Repository>().is_err());
    }
}
