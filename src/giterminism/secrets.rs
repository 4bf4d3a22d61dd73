//! Secrets: allowed by name or path, read at the last moment, never recorded.

use stages::spec::SecretSource;

use super::error::{Error, RefusalKind};
use super::gate::{Gate, ReadKind};

/// A secret larger than this is a mistake.
const LIMIT: u64 = 1 << 20;

impl Gate {
    /// Refuses a secret unless the rules allow it. A value written in the config is judged by
    /// [`Gate::check_secret_value`], which knows its id.
    pub fn check_secret(&self, source: &SecretSource) -> Result<(), Error> {
        match source {
            SecretSource::Env(name) => {
                let allowed = self.any(|rules| rules.secrets.variables.allow(name));
                self.check(allowed, RefusalKind::SecretVariable, "config.secrets.allowEnvVariables", name)
            }
            SecretSource::File(path) => {
                let place = self.host_path(path)?;
                let (project, home) = (&self.options.directory, self.home());
                let allowed = self.any(|rules| rules.secrets.files.allow(&place, project, home));
                self.check(allowed, RefusalKind::SecretFile, "config.secrets.allowFiles", path)
            }
            SecretSource::Value(_) => Ok(()),
        }
    }

    /// Refuses a secret whose value is in the config unless the rules allow its id. The value is never repeated.
    pub fn check_secret_value(&self, id: &str) -> Result<(), Error> {
        let allowed = self.any(|rules| rules.secrets.values.allow(id));
        self.check(allowed, RefusalKind::SecretValue, "config.secrets.allowValueIds", id)
    }

    /// The value of a secret, if the rules allow it, and the permission bits of the file that it is from. It is never
    /// recorded.
    pub fn secret(&self, source: &SecretSource) -> Result<(Vec<u8>, Option<u32>), Error> {
        self.check_secret(source)?;
        self.value_of(source)
    }

    /// A password for a git server. It brings nothing into an image that its commit does not name, so that no rule has a say.
    /// A line feed at the end of a file is no part of it, and an empty variable is one that is not set.
    pub fn git_password(&self, source: &SecretSource) -> Result<String, Error> {
        let (value, _) = self.value_of(source)?;
        let text = String::from_utf8_lossy(&value).into_owned();
        match source {
            SecretSource::Env(name) if text.is_empty() => Err(Error::NoVariable { name: name.clone() }),
            SecretSource::File(_) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            SecretSource::Env(_) | SecretSource::Value(_) => Ok(text),
        }
    }

    fn value_of(&self, source: &SecretSource) -> Result<(Vec<u8>, Option<u32>), Error> {
        match source {
            SecretSource::Value(value) => Ok((value.clone().into_bytes(), None)),
            SecretSource::Env(name) => {
                self.note(ReadKind::Secret, name, None);
                let value = self.options.env.get(name).ok_or_else(|| Error::NoVariable { name: name.clone() })?;
                Ok((value.clone().into_bytes(), None))
            }
            SecretSource::File(path) => {
                self.note(ReadKind::Secret, path, None);
                self.secret_file(path)
            }
        }
    }

    fn secret_file(&self, path: &str) -> Result<(Vec<u8>, Option<u32>), Error> {
        use std::io::Read as _;
        use std::os::unix::fs::PermissionsExt as _;
        let full = self.host_path(path)?;
        let failed = |error| Error::io("read the secret", &full, error);
        let file = match fs_err::File::open(&full) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotFound { path: path.to_owned(), place: "on this machine" });
            }
            Err(error) => return Err(failed(error)),
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        let mut value = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut value).map_err(failed)?;
        if value.len() as u64 > LIMIT {
            return Err(failed(std::io::Error::other("it is larger than 1 MiB")));
        }
        Ok((value, Some(mode)))
    }
}
