//! The texts of `--output`.

use std::fmt;
use std::path::PathBuf;

/// Where an image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `oci:DIR[:TAG]`
    OciDirectory {
        /// The layout, made when missing.
        path: PathBuf,
        /// The name of the image in it.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`
    OciArchive {
        /// The file, replaced when there.
        path: PathBuf,
        /// The name of the image in it.
        tag: Option<String>,
    },
    /// `docker-archive:FILE[:REPOSITORY[:TAG]]`
    DockerArchive {
        /// The file, replaced when there.
        path: PathBuf,
        /// The name of the image, with its tag.
        reference: Option<String>,
    },
    /// `docker-daemon:REPOSITORY[:TAG]`
    DockerDaemon {
        /// The name of the image, with its tag.
        reference: String,
    },
    /// `rootfs:FILE.tar`
    RootfsTar {
        /// The file, replaced when there.
        path: PathBuf,
    },
    /// `registry:REPOSITORY[:TAG]`
    Registry {
        /// The name of the image, with its tag.
        reference: String,
    },
}

/// An `--output` that names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid output `{text}`: {reason}")]
pub struct DestinationError {
    /// As given.
    pub text: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

const FORMS: &str = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], docker-daemon:NAME[:TAG], \
                     rootfs:FILE.tar or registry:NAME[:TAG]";

impl Destination {
    /// Reads what `--output` was given. Paths end at the first colon, as with every other tool of this syntax.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        parse(text).map_err(|reason| DestinationError { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Destination, String> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(format!("it must be one of {FORMS}"));
    };
    match scheme {
        "oci" => path_and_name(rest, tag).map(|(path, tag)| Destination::OciDirectory { path, tag }),
        "oci-archive" => path_and_name(rest, tag).map(|(path, tag)| Destination::OciArchive { path, tag }),
        "docker-archive" => {
            path_and_name(rest, reference).map(|(path, reference)| Destination::DockerArchive { path, reference })
        }
        "docker-daemon" => reference(rest).map(|reference| Destination::DockerDaemon { reference }),
        "registry" => {
            let name = rest.strip_prefix("//").unwrap_or(rest);
            reference(name).map(|reference| Destination::Registry { reference })
        }
        "rootfs" if rest.is_empty() => Err("the file is missing".to_owned()),
        "rootfs" => Ok(Destination::RootfsTar { path: rest.into() }),
        "docker" => Err(format!("`docker:` is written `registry:{}`", rest.trim_start_matches('/'))),
        other => Err(format!("`{other}:` is not known; it must be one of {FORMS}")),
    }
}

fn path_and_name(
    rest: &str,
    check: impl Fn(&str) -> Result<String, String>,
) -> Result<(PathBuf, Option<String>), String> {
    let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name)));
    if path.is_empty() {
        return Err("the path is missing".to_owned());
    }
    Ok((path.into(), name.map(check).transpose()?))
}

fn tag(text: &str) -> Result<String, String> {
    check_layout_name(text).map(|()| text.to_owned())
}

fn reference(text: &str) -> Result<String, String> {
    docker_reference(text).map_err(|reason| format!("the image name {text:?} {reason}"))
}

/// Whether an OCI layout may list an image under this name (the grammar of its `ref.name` annotation, loosely).
pub(super) fn check_layout_name(text: &str) -> Result<(), String> {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:@+/".contains(&byte)) {
        return Ok(());
    }
    Err(format!("the image name {text:?} must be latin letters, digits and any of -._:@+/"))
}

/// Checks the name of an image for Docker or a registry, and adds `:latest` when it has no tag.
pub fn docker_reference(text: &str) -> Result<String, &'static str> {
    if text.contains('@') {
        return Err("has a digest: an image is written under a tag");
    }
    let last_part = text.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match text[last_part..].find(':') {
        Some(colon) => (&text[..last_part + colon], &text[last_part + colon + 1..]),
        None => (text, "latest"),
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let good_tag = tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if !good_tag {
        return Err("has a tag that is not 1 to 128 latin letters, digits, `_`, `.` and `-`");
    }
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, name),
    };
    if host.is_some_and(|host| !good_host(host)) {
        return Err("has a registry that is not a host name with an optional port");
    }
    if path.is_empty() || !path.split('/').all(good_part) {
        return Err("must be lower-case letters, digits and inner `.`, `_`, `-`, in parts separated by `/`");
    }
    Ok(format!("{name}:{tag}"))
}

fn good_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "0"),
    };
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let good_name = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
    };
    good_name && port.parse::<u16>().is_ok()
}

fn good_part(part: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    edge(part.bytes().next())
        && edge(part.bytes().last())
        && part.bytes().all(|byte| edge(Some(byte)) || b"._-".contains(&byte))
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, name) = match self {
            Self::OciDirectory { path, tag } => ("oci", Some(path), tag.as_ref()),
            Self::OciArchive { path, tag } => ("oci-archive", Some(path), tag.as_ref()),
            Self::DockerArchive { path, reference } => ("docker-archive", Some(path), reference.as_ref()),
            Self::DockerDaemon { reference } => ("docker-daemon", None, Some(reference)),
            Self::RootfsTar { path } => ("rootfs", Some(path), None),
            Self::Registry { reference } => ("registry", None, Some(reference)),
        };
        formatter.write_str(scheme)?;
        path.iter().try_for_each(|path| write!(formatter, ":{}", path.display()))?;
        name.iter().try_for_each(|name| write!(formatter, ":{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_parse_and_print() {
        for (text, printed) in [
            ("oci:dir", "oci:dir"),
            ("oci:a/b:v1", "oci:a/b:v1"),
            ("oci-archive:/x/y.tar:app/web", "oci-archive:/x/y.tar:app/web"),
            ("docker-archive:x.tar", "docker-archive:x.tar"),
            ("docker-archive:x.tar:app", "docker-archive:x.tar:app:latest"),
            ("docker-archive:x.tar:reg:5000/a/b:v1", "docker-archive:x.tar:reg:5000/a/b:v1"),
            ("docker-daemon:app", "docker-daemon:app:latest"),
            ("registry:localhost:5000/app", "registry:localhost:5000/app:latest"),
            ("registry://ghcr.io/a/b:V_1", "registry:ghcr.io/a/b:V_1"),
            ("registry:[::1]:5000/a", "registry:[::1]:5000/a:latest"),
            ("rootfs:a:b.tar", "rootfs:a:b.tar"),
        ] {
            assert_eq!(Destination::parse(text).map(|destination| destination.to_string()).as_deref(), Ok(printed));
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (text, part) in [
            ("out.tar", "must be one of oci:DIR"),
            ("", "must be one of"),
            ("tar:out", "`tar:` is not known"),
            ("docker://a/b", "registry:a/b"),
            ("oci:", "path is missing"),
            ("oci::tag", "path is missing"),
            ("oci:a: b", "must be latin letters"),
            ("rootfs:", "file is missing"),
            ("docker-daemon:App", "lower-case"),
            ("docker-daemon:a@sha256:00", "digest"),
            ("docker-daemon:a:", "tag"),
            ("docker-daemon:a:b c", "tag"),
            ("docker-daemon:", "lower-case"),
            ("registry:a..b:x/y", "host name"),
            ("registry:a.b/../c", "lower-case"),
        ] {
            let error = Destination::parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
