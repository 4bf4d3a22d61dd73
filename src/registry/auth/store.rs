//! Keeping credentials where docker keeps them: in the helper that its config names for a registry, in the store that it names
//! for all, else in the config itself.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use super::config_file::ConfigFile;
use super::credentials::keys;
use super::{Secret, helper};
use crate::registry::Error;
use crate::registry::reference::RegistryName;
use crate::registry::settings::Settings;

/// Where a password is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In a file, in plain text.
    File(PathBuf),
    /// By a credential helper: its program.
    Helper(String),
}

/// The credentials of docker's config directory.
#[derive(Debug)]
pub struct CredentialStore<'a> {
    directory: &'a Path,
    settings: &'a Settings,
}

impl<'a> CredentialStore<'a> {
    /// The store that the settings name.
    pub fn new(settings: &'a Settings) -> Option<Self> {
        settings.docker_config_dir.as_deref().map(|directory| Self { directory, settings })
    }

    /// Keeps a password, in place of an earlier one.
    pub fn save(&self, registry: &RegistryName, user: &str, password: &Secret) -> Result<Kept, Error> {
        self.save_inner(registry, user, password).map_err(|reason| Error::Store {
            action: "save",
            host: registry.to_string(),
            reason: reason.replace(password.reveal(), "***"),
        })
    }

    /// Removes what is kept for a registry; whether there was anything.
    pub fn remove(&self, registry: &RegistryName) -> Result<bool, Error> {
        let failed = |reason| Error::Store { action: "remove", host: registry.to_string(), reason };
        self.remove_inner(registry).map_err(failed)
    }

    fn save_inner(&self, registry: &RegistryName, user: &str, password: &Secret) -> Result<Kept, String> {
        let failed = |error: io::Error| format!("{}: {error}", self.directory.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(self.directory).map_err(failed)?;
        let keys = keys(registry.as_str());
        if let Some((name, key)) = ConfigFile::read(self.directory)?.helper(&keys)? {
            let login = json!({"ServerURL": key, "Username": user, "Secret": password.reveal()});
            helper::run(self.settings, &name, "store", login.to_string())?;
            // As docker does: the config names the registry, and has no password beside the helper's.
            self.change(|file| file.put(key, &json!({})))?;
            return Ok(Kept::Helper(format!("docker-credential-{name}")));
        }
        let key = keys.first().copied().unwrap_or(registry.as_str());
        let auth = STANDARD.encode(format!("{user}:{}", password.reveal()));
        self.change(|file| file.put(key, &json!({"auth": auth})))?;
        Ok(Kept::File(self.directory.join("config.json")))
    }

    fn remove_inner(&self, registry: &RegistryName) -> Result<bool, String> {
        let file = ConfigFile::read(self.directory)?;
        let mut found = false;
        for key in keys(registry.as_str()) {
            if let Some((name, key)) = file.helper(&[key])? {
                found |= self.erase(&name, key)?;
            }
        }
        let removed = self.change(|file| file.remove(|name| is_for(name, registry)))?;
        Ok(found || removed)
    }

    /// Some helpers are content to erase what they don't have: they are asked for it first.
    fn erase(&self, name: &str, key: &str) -> Result<bool, String> {
        match helper::run(self.settings, name, "get", key.to_owned()) {
            Ok(()) => helper::run(self.settings, name, "erase", key.to_owned()).map(|()| true),
            Err(said) if said.contains("credentials not found") => Ok(false),
            Err(said) => Err(said),
        }
    }

    /// Changes the config, unless there is nothing to change; two processes do so one after the other.
    fn change(&self, change: impl FnOnce(&mut ConfigFile) -> Result<bool, String>) -> Result<bool, String> {
        let directory = fs_err::File::open(self.directory);
        // Where there are no locks, the last writer wins.
        let _unlocked = directory.as_ref().map(|directory| flock(directory, FlockOperation::LockExclusive));
        let mut file = ConfigFile::read(self.directory)?;
        let changed = change(&mut file)?;
        if changed {
            file.write().map_err(|error| format!("cannot write {}: {error}", file.path().display()))?;
        }
        Ok(changed)
    }
}

/// Whether a login of the config is for the registry: older ones have the form of an address.
fn is_for(name: &str, registry: &RegistryName) -> bool {
    let rest = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://"));
    let host = rest.map_or(name, |rest| rest.split('/').next().unwrap_or(rest));
    host.parse::<RegistryName>().is_ok_and(|host| host == *registry)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Credential;
    use super::*;
    use crate::registry::error::Task;

    struct Home {
        directory: tempfile::TempDir,
        settings: Settings,
    }

    impl Home {
        fn new(config: Option<&str>) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let docker = directory.path().join("docker");
            if let Some(config) = config {
                fs_err::create_dir(&docker).unwrap();
                fs_err::write(docker.join("config.json"), config).unwrap();
            }
            Self { directory, settings: Settings { docker_config_dir: Some(docker), ..Settings::default() } }
        }

        fn save(&self, registry: &str) -> Result<Kept, Error> {
            let store = CredentialStore::new(&self.settings).unwrap();
            store.save(&registry.parse().unwrap(), "alice", &Secret::new("won:der"))
        }

        fn remove(&self, registry: &str) -> Result<bool, Error> {
            CredentialStore::new(&self.settings).unwrap().remove(&registry.parse().unwrap())
        }

        fn find(&self, registry: &str) -> Option<Credential> {
            Credential::find(&self.settings, &Task::new("test", "x"), registry).unwrap()
        }

        fn text(&self) -> String {
            fs_err::read_to_string(self.directory.path().join("docker/config.json")).unwrap()
        }
    }

    fn alice() -> Credential {
        Credential::Password { user: "alice".to_owned(), password: Secret::new("won:der") }
    }

    #[test]
    fn a_password_goes_to_the_config_and_is_found_there() {
        let home = Home::new(None);
        assert!(!home.remove("docker.io").unwrap());
        assert!(!home.directory.path().join("docker").exists(), "nothing is made to remove nothing");
        for registry in ["reg.example.org:5000", "index.docker.io"] {
            assert!(matches!(home.save(registry).unwrap(), Kept::File(_)));
        }
        assert_eq!((home.find("reg.example.org:5000"), home.find("docker.io")), (Some(alice()), Some(alice())));
        assert_eq!(home.find("reg.example.org"), None);
        assert!(home.text().contains(r#""https://index.docker.io/v1/": {"auth":"#), "{}", home.text());
        let mode = |name: &str| {
            let path = home.directory.path().join(name);
            fs_err::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("docker"), mode("docker/config.json")), (0o700, 0o600));
        assert!(home.remove("docker.io").unwrap() && !home.remove("docker.io").unwrap());
        assert_eq!((home.find("reg.example.org:5000"), home.find("docker.io")), (Some(alice()), None));
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_becomes_private() {
        let home = Home::new(Some("{}"));
        let (config, dotfile) =
            (home.directory.path().join("docker/config.json"), home.directory.path().join("dotfile"));
        fs_err::rename(&config, &dotfile).unwrap();
        fs_err::set_permissions(&dotfile, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&dotfile, &config).unwrap();
        home.save("h:1").unwrap();
        assert!(fs_err::symlink_metadata(&config).unwrap().is_symlink());
        assert_eq!(fs_err::metadata(&dotfile).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(home.find("h:1"), Some(alice()));
    }

    #[test]
    fn all_spellings_of_a_registry_are_removed_and_no_others() {
        let home = Home::new(Some(
            r#"{"auths":{"https://h.example.org/v1/":{"auth":"eDp5"},"h.example.org":{"auth":"eDp5"},"h.example.org:1":{},"h.example.org/team":{}}}"#,
        ));
        assert!(home.remove("h.example.org").unwrap());
        assert!(!home.text().contains("eDp5") && home.text().contains("h.example.org:1"), "{}", home.text());
        assert!(home.text().contains("h.example.org/team"));
    }

    #[test]
    fn a_config_that_cannot_be_read_is_not_replaced() {
        let home = Home::new(Some("{\"auths\": "));
        let error = home.save("h:1").unwrap_err().to_string();
        assert!(error.contains("save the credentials for h:1") && !error.contains("won:der"), "{error}");
        assert_eq!(home.text(), "{\"auths\": ");
    }

    #[test]
    fn a_helper_that_is_no_program_name_is_refused() {
        let home = Home::new(Some(r#"{"credHelpers":{"h:1":"x/../evil"},"auths":{"h:1":{"auth":"eDp5"}}}"#));
        let error = home.save("h:1").unwrap_err().to_string();
        assert!(error.contains("not the name of a credential helper"), "{error}");
        assert!(home.text().contains("eDp5"), "nothing is changed");
        let error = Home::new(Some(r#"{"credsStore":"stager-has-none"}"#)).save("h:1").unwrap_err().to_string();
        assert!(error.contains("docker-credential-stager-has-none"), "{error}");
    }
}
