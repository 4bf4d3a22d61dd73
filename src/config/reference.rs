//! Image references as people write them, in their one canonical form.

/// `debian` → `docker.io/library/debian:latest`. With a digest the tag says nothing, and is left out.
pub fn canonical(text: &str) -> Result<String, String> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(check_digest(digest)?)),
        None => (text, None),
    };
    let (name, tag) = split_tag(name);
    let (registry, repository) = split_registry(name);
    let repository = match (registry, repository.contains('/')) {
        (DEFAULT_REGISTRY, false) => format!("library/{repository}"),
        _ => repository.to_owned(),
    };
    check_repository(&repository)?;
    check_registry(registry)?;
    match (digest, tag) {
        (Some(digest), tag) => {
            tag.map_or(Ok(()), check_tag)?;
            Ok(format!("{registry}/{repository}@{digest}"))
        }
        (None, Some(tag)) => check_tag(tag).map(|()| format!("{registry}/{repository}:{tag}")),
        (None, None) => Ok(format!("{registry}/{repository}:latest")),
    }
}

/// The canonical form of a text that is a reference and says which version it means, by a tag or digest.
pub fn with_tag_or_digest(text: &str) -> Option<String> {
    let (name, digest) = text.split_once('@').map_or((text, false), |(name, _)| (name, true));
    let versioned = digest || split_tag(name).1.is_some();
    if versioned { canonical(text).ok() } else { None }
}

/// Whether a canonical reference names a digest.
pub fn has_digest(reference: &str) -> bool {
    reference.contains('@')
}

const DEFAULT_REGISTRY: &str = "docker.io";

fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

/// The first component is a registry when it looks like a host: it has a dot or a port, or is `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => (DEFAULT_REGISTRY, rest),
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(label) && !host.starts_with(['.', '-']) && !host.ends_with(['.', '-'])
        }
    };
    let valid_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if valid_host && valid_port { Ok(()) } else { Err(format!("has an invalid registry `{registry}`")) }
}

fn check_repository(repository: &str) -> Result<(), String> {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let component = |text: &str| {
        edge(text.bytes().next())
            && edge(text.bytes().last())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte))
    };
    if repository.len() > 255 || !repository.split('/').all(component) {
        let reason = if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            "must be in lower case"
        } else {
            "must be lower-case letters, digits and inner `.`, `_`, `-`, separated by `/`"
        };
        return Err(format!("names an invalid repository `{repository}`: it {reason}"));
    }
    Ok(())
}

/// Whether a text can be a tag of a registry.
pub fn check_tag(tag: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let valid = (1..=128).contains(&tag.len()) && tag.bytes().all(inner) && !tag.starts_with(['.', '-']);
    if valid {
        return Ok(());
    }
    Err(format!(
        "has an invalid tag `{tag}`: tags are 1 to 128 letters, digits, `_`, `.` and `-`, and do not start with `.` or `-`"
    ))
}

fn check_digest(digest: &str) -> Result<&str, String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let valid = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if valid {
        Ok(digest)
    } else {
        Err(format!("has an invalid digest `{digest}`: it must be `sha256:` and 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_tag_or_a_digest() {
        let digest = format!("x@sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("golang:1.22", true),
            ("localhost:5000/x", false),
            ("localhost:5000/x:1", true),
            ("x@sha256:12", false),
            (&digest, true),
            ("Golang:1", false),
            ("builder", false),
        ] {
            assert_eq!(with_tag_or_digest(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn references_have_one_form() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("debian", "docker.io/library/debian:latest".to_owned()),
            ("debian:bookworm", "docker.io/library/debian:bookworm".to_owned()),
            ("grafana/loki:2", "docker.io/grafana/loki:2".to_owned()),
            ("index.docker.io/a/b", "docker.io/a/b:latest".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("localhost:5000/x:1", "localhost:5000/x:1".to_owned()),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest".to_owned()),
            ("[::1]:5000/x", "[::1]:5000/x:latest".to_owned()),
            ("quay.io/a/b/c:V1_x", "quay.io/a/b/c:V1_x".to_owned()),
            (&format!("debian:12@{digest}"), format!("docker.io/library/debian@{digest}")),
        ] {
            assert_eq!(canonical(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "A/b",
            "a//b",
            "a:",
            "a b",
            "-x",
            "a@sha256:1",
            "x.io/",
            "a:b c",
            "https://x.io/a",
            "x.io:99999/a",
            "a:-1",
            "a/../b",
        ] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
    }
}
