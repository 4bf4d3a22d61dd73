//! `registries.yaml`: what a user sets for single registries. It is no part of a project.

use std::collections::BTreeMap;
use std::path::Path;

use super::ConfigError;
use super::read::{At, FromNode, MapOf, OneOrMany, Reader, table};
use super::yaml::{self, Documents};
use crate::registry::{Certificates, ClientIdentity, HostSettings, Mirror, RegistryName};
use crate::source::{Diagnostic, SourceFile};

table! {
    /// The document.
    RegistriesDocument {
        "registries" => registries: MapOf<RegistryTable>,
    }

    /// What is set for a registry.
    RegistryTable {
        "mirrors" => mirrors: Vec<At<String>>,
        "insecure" => insecure: bool,
        "ca" => ca: OneOrMany<String>,
        "clientCertificate" => client_certificate: String,
        "clientKey" => client_key: String,
    }
}

/// What is set for each registry.
pub type Registries = BTreeMap<RegistryName, HostSettings>;

/// Reads the text of `file`. Paths in it are relative to `directory`. All mistakes are reported, each with its place.
pub fn parse_registries(file: &str, directory: &Path, text: &str) -> Result<Registries, ConfigError> {
    let Documents { documents, mut problems } = yaml::parse(file, text);
    let mut reader = Reader::new(file);
    let mut registries = Registries::new();
    for (index, node) in documents.iter().enumerate() {
        if index > 0 {
            reader.error(node.mark, "a second document: this file is one document");
        } else if let Some(document) = RegistriesDocument::read(node, &mut reader) {
            registries = lower(document, directory, &mut reader);
        }
    }
    problems.extend(reader.into_problems());
    if problems.iter().any(Diagnostic::is_error) {
        let source = SourceFile { name: file.to_owned(), text: text.to_owned() };
        return Err(ConfigError { diagnostics: problems, sources: vec![source], rendered: None, claims: Vec::new() });
    }
    Ok(registries)
}

fn lower(document: RegistriesDocument, directory: &Path, reader: &mut Reader<'_>) -> Registries {
    let mut registries = Registries::new();
    for (name, table) in document.registries.map(|entries| entries.value.0).unwrap_or_default() {
        match name.value.parse::<RegistryName>() {
            Err(error) => drop(reader.error(name.mark, error.to_string())),
            Ok(registry) if registries.contains_key(&registry) => {
                reader.error(name.mark, format!("`{registry}` is there twice, by two of its names"));
            }
            Ok(registry) => drop(registries.insert(registry, host(&table, directory, reader))),
        }
    }
    registries
}

fn host(table: &At<RegistryTable>, directory: &Path, reader: &mut Reader<'_>) -> HostSettings {
    let At { value: table, mark } = table;
    let path = |path: &At<String>| directory.join(&path.value);
    let identity = match (&table.client_certificate, &table.client_key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate: path(certificate), key: path(key) }),
        (None, None) => None,
        _ if table.broken.iter().any(|key| key.starts_with("client")) => None,
        _ => {
            reader.error(*mark, "`clientCertificate` and `clientKey` go together, and one is missing");
            None
        }
    };
    HostSettings {
        mirrors: table.mirrors.iter().flat_map(|list| &list.value).filter_map(|text| mirror(text, reader)).collect(),
        insecure: table.insecure.as_ref().is_some_and(|insecure| insecure.value),
        certificates: Certificates {
            authorities: table.ca.iter().flat_map(|list| &list.value.0).map(path).collect(),
            identity,
        },
    }
}

fn mirror(text: &At<String>, reader: &mut Reader<'_>) -> Option<Mirror> {
    let parsed = text.value.parse::<Mirror>();
    parsed
        .map_err(|error| {
            let plain = text.value.starts_with("http://");
            let problem = reader.error(text.mark, format!("this is no mirror, HOST[:PORT][/PATH]: {error}"));
            problem.help = plain.then(|| "leave `http://` out, and set `insecure: true` for that registry".to_owned());
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Registries, Vec<String>> {
        parse_registries("registries.yaml", Path::new("/etc/stager"), text).map_err(|error| {
            let line = |problem: &Diagnostic| {
                let place = problem.place.as_ref().map(|place| format!("{}:{}: ", place.line, place.column));
                format!("{}{}", place.unwrap_or_default(), problem.message)
            };
            error.diagnostics.iter().map(line).collect()
        })
    }

    #[test]
    fn settings_are_read() {
        let text = "registries:\n  index.docker.io:\n    mirrors: [mirror.local:5000/hub, https://other]\n    insecure: true\n    ca: ca.pem\n    clientCertificate: /c.pem\n    clientKey: keys/k.pem\n  empty:\n";
        let found = parse(text).unwrap();
        assert_eq!(found.keys().map(RegistryName::as_str).collect::<Vec<_>>(), ["docker.io", "empty"]);
        let hub = found.get("docker.io").unwrap();
        assert_eq!(hub.mirrors, ["mirror.local:5000/hub".parse().unwrap(), "other".parse().unwrap()]);
        assert!(hub.insecure);
        assert_eq!(hub.certificates.authorities, [Path::new("/etc/stager/ca.pem")]);
        let identity = hub.certificates.identity.as_ref().unwrap();
        assert_eq!(
            (identity.certificate.as_path(), identity.key.as_path()),
            (Path::new("/c.pem"), Path::new("/etc/stager/keys/k.pem"))
        );
        assert_eq!(found.get("empty"), Some(&HostSettings::default()));
        assert_eq!(parse("").unwrap(), Registries::new());
        assert_eq!(parse("registries:\n").unwrap(), Registries::new());
    }

    #[test]
    fn mistakes_have_places() {
        let text = "registry: {}\nregistries:\n  h_x: {}\n  docker.io: {mirror: [a]}\n  index.docker.io:\n    insecure: yes\n  a.b:\n    clientKey: x\n  c.d:\n    mirrors: ['http://user:hush@m', 'm/A']\n---\nx: 1\n";
        insta::assert_snapshot!(parse(text).unwrap_err().join("\n"), @r#"
        1:1: unknown key `registry`
        4:15: unknown key `registries["docker.io"].mirror`
        6:15: `registries["index.docker.io"].insecure` must be true or false, not text
        3:3: invalid registry name `h_x`: it must be host, host:port or [ipv6]:port
        5:3: `docker.io` is there twice, by two of its names
        8:5: `clientCertificate` and `clientKey` go together, and one is missing
        10:15: this is no mirror, HOST[:PORT][/PATH]: invalid registry name `http:`: it must be host, host:port or [ipv6]:port
        10:37: this is no mirror, HOST[:PORT][/PATH]: invalid image reference `m/A`: the repository name must be lower case
        12:1: a second document: this file is one document
        "#);
    }
}
