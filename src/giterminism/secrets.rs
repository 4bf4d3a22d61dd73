//! Secrets: allowed by name or path, read at the last moment, never recorded.

use stages::spec::SecretSource;

use super::error::{Error, RefusalKind};
use super::gate::{Gate, Mode, ReadKind};

/// A secret larger than this is a mistake.
const LIMIT: u64 = 1 << 20;

impl Gate {
    /// Allows or refuses a secret without reading it. `id` is the name that the config gives it.
    pub fn check_secret(&self, id: &str, source: &SecretSource) -> Result<(), Error> {
        let (allowed, rule, name) = match source {
            SecretSource::Env(name) => {
                let allowed = self.any(|rules| rules.config.secrets.allow_env_variables.allow(name));
                (allowed, "config.secrets.allowEnvVariables", name.as_str())
            }
            SecretSource::File(path) => {
                let full = self.host_path(path)?;
                let (project, home) = (&self.options.directory, self.options.home.as_deref());
                let allowed = self.any(|rules| rules.config.secrets.allow_files.allow(&full, project, home));
                (allowed, "config.secrets.allowFiles", path.as_str())
            }
            // A value that the config holds is named by its id, so that no message repeats it.
            SecretSource::Value(_) => {
                (self.any(|rules| rules.config.secrets.allow_value_ids.allow(id)), "config.secrets.allowValueIds", id)
            }
        };
        if allowed { Ok(()) } else { self.refuse(RefusalKind::Secret, rule, vec![name.to_owned()]) }
    }

    /// The value of a secret, if the rules allow it. A value written in the config was judged by
    /// [`Gate::check_secret`], which knows its id.
    pub fn secret(&self, source: &SecretSource) -> Result<Vec<u8>, Error> {
        match source {
            SecretSource::Value(value) => Ok(value.clone().into_bytes()),
            SecretSource::Env(name) => {
                self.check_secret(name, source)?;
                self.note(ReadKind::Secret, name, None);
                let value = self.options.env.get(name).ok_or_else(|| Error::NoVariable { name: name.clone() })?;
                Ok(value.clone().into_bytes())
            }
            SecretSource::File(path) => {
                self.check_secret(path, source)?;
                self.note(ReadKind::Secret, path, None);
                self.secret_file(path)
            }
        }
    }

    fn secret_file(&self, path: &str) -> Result<Vec<u8>, Error> {
        use std::io::Read as _;
        let full = self.host_path(path)?;
        let failed = |error| Error::io("read the secret", &full, error);
        let file = match fs_err::File::open(&full) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotFound { path: path.to_owned(), place: "on this machine" });
            }
            Err(error) => return Err(failed(error)),
        };
        let mut value = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut value).map_err(failed)?;
        if value.len() as u64 > LIMIT {
            return Err(failed(std::io::Error::other("it is larger than 1 MiB")));
        }
        Ok(value)
    }

    /// Whether everything is let in, with warnings.
    pub fn is_loose(&self) -> bool {
        self.options.mode == Mode::Loose
    }
}
