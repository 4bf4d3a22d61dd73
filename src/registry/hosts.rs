//! What is set for single registries, and the certificates that belong to a host.

use std::io;
use std::path::{Path, PathBuf};

use super::reference::{Mirror, RegistryName};
use super::settings::Settings;

/// What is set for one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Where pulls are tried first, in this order.
    pub mirrors: Vec<Mirror>,
    /// Whether it may be spoken to over plain http, and its certificate is not checked.
    pub insecure: bool,
    /// Its certificates.
    pub certificates: Certificates,
}

/// The certificates for one host: files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Authorities to trust beside the system's.
    pub authorities: Vec<PathBuf>,
    /// What we show of ourselves.
    pub identity: Option<ClientIdentity>,
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, with those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Those for the host of an address: what is set for it, then what docker's directory has.
    pub(super) fn find(settings: &Settings, authority: &str) -> io::Result<Self> {
        let Ok(name) = authority.parse::<RegistryName>() else { return Ok(Self::default()) };
        let mut found = settings.hosts.get(&name).map(|host| host.certificates.clone()).unwrap_or_default();
        if let Some(directory) = &settings.docker_certificates {
            let docker = Self::read_directory(&directory.join(name.as_str()))?;
            found.authorities.extend(docker.authorities);
            found.identity = found.identity.or(docker.identity);
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none()
    }

    /// As docker has it: `*.crt` are authorities, a `*.cert` is a client certificate, with its key in the `*.key` of that name.
    fn read_directory(directory: &Path) -> io::Result<Self> {
        let mut files = match fs_err::read_dir(directory) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Vec::new(),
            Err(error) => return Err(error),
        };
        files.sort();
        let has_ending = |file: &&PathBuf, ending| file.extension().is_some_and(|found| found == ending);
        let authorities = files.iter().filter(|file| has_ending(file, "crt")).cloned().collect();
        let identity = files.iter().find(|file| has_ending(file, "cert")).map(|certificate| ClientIdentity {
            certificate: certificate.clone(),
            key: certificate.with_extension("key"),
        });
        Ok(Self { authorities, identity })
    }
}
