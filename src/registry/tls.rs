//! Whom we trust under TLS, and who we are there.

use std::io::Read;
use std::path::Path;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::hosts::{Certificates, ClientIdentity};
use super::settings::Settings;
use super::wire::Failure;

/// The largest file of certificates that is read, in bytes.
const MAX_PEM: u64 = 4 << 20;

/// The settings for hosts with these certificates.
pub(super) fn config(settings: &Settings, verify: bool, own: &Certificates) -> Result<TlsConfig, Failure> {
    let identity = own.identity.as_ref().map(identity).transpose()?;
    let builder = TlsConfig::builder().client_cert(identity);
    if !verify {
        return Ok(builder.disable_verification(true).build());
    }
    let system = rustls_native_certs::load_native_certs().certs;
    let mut roots: Vec<Certificate<'static>> =
        system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    for pem in &settings.extra_ca {
        roots.extend(certificates(pem, "a CA file")?);
    }
    for file in &own.authorities {
        roots.extend(certificates(&read(file)?, &file.display().to_string())?);
    }
    let roots = if roots.is_empty() { RootCerts::WebPki } else { roots.into() };
    Ok(builder.root_certs(roots).build())
}

fn identity(files: &ClientIdentity) -> Result<ClientCert, Failure> {
    let chain = certificates(&read(&files.certificate)?, &files.certificate.display().to_string())?;
    let key = PrivateKey::from_pem(&read(&files.key)?);
    let key = key.map_err(|_| Failure::Settings(format!("{} holds no private key in PEM", files.key.display())))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// The certificates of a PEM text; at least one.
fn certificates(pem: &[u8], name: &str) -> Result<Vec<Certificate<'static>>, Failure> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(Failure::Settings(format!("{name} does not parse: {error}"))),
        }
    }
    if found.is_empty() { Err(Failure::Settings(format!("{name} holds no certificate"))) } else { Ok(found) }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let opened = fs_err::File::open(file).and_then(|opened| opened.take(MAX_PEM).read_to_end(&mut bytes));
    opened.map_err(|error| Failure::Settings(error.to_string()))?;
    Ok(bytes)
}
