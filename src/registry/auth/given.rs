//! Credentials that are handed over with the settings, instead of being looked for.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Credential, Secret};
use crate::registry::Error;
use crate::registry::reference::RegistryName;

/// Names and passwords, each for one registry and for no other. They come before all that docker's config holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenCredentials(BTreeMap<RegistryName, Credential>);

impl GivenCredentials {
    /// Those for one registry.
    pub fn one(registry: RegistryName, user: &str, password: Secret) -> Self {
        Self([(registry, Credential::Password { user: user.to_owned(), password })].into())
    }

    /// Whether there are some for the registry.
    pub fn has(&self, registry: &RegistryName) -> bool {
        self.0.contains_key(registry)
    }

    pub(crate) fn find(&self, registry: &str) -> Option<&Credential> {
        self.0.get(registry)
    }
}

/// Reads `HOST=USER:PASSWORD` entries with white space between them. Nothing of an entry is shown when it is wrong.
impl FromStr for GivenCredentials {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut given = BTreeMap::new();
        for (index, entry) in text.split_whitespace().enumerate() {
            let bad = |what: &str| Error::Settings { reason: format!("entry {} of the credentials {what}", index + 1) };
            let (registry, credential) = parse(entry).ok_or_else(|| bad("is not HOST=USER:PASSWORD"))?;
            if given.insert(registry, credential).is_some() {
                return Err(bad("is for the registry of an earlier one"));
            }
        }
        Ok(Self(given))
    }
}

fn parse(entry: &str) -> Option<(RegistryName, Credential)> {
    let (host, login) = entry.split_once('=')?;
    let (user, password) = login.split_once(':').filter(|(user, password)| !user.is_empty() && !password.is_empty())?;
    Some((host.parse().ok()?, Credential::Password { user: user.to_owned(), password: Secret::new(password) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_for_one_host_each() {
        let given: GivenCredentials = "reg.example.org:5000=alice:p=a:ss\n  docker.io=bob:x ".parse().unwrap();
        let expected = Credential::Password { user: "alice".to_owned(), password: Secret::new("p=a:ss") };
        assert_eq!(given.find("reg.example.org:5000"), Some(&expected));
        assert!(given.find("docker.io").is_some() && given.has(&"index.docker.io".parse().unwrap()));
        for other in ["reg.example.org", "evilreg.example.org:5000", "example.org", "index.docker.io"] {
            assert_eq!(given.find(other), None, "{other}");
        }
        assert!(!format!("{given:?}").contains("p=a:ss"));
        assert_eq!("".parse::<GivenCredentials>().unwrap(), GivenCredentials::default());
    }

    #[test]
    fn wrong_entries_are_counted_and_not_shown() {
        for (text, number) in [
            ("hush:hush", "entry 1"),
            ("h=hush", "entry 1"),
            ("h=:hush", "entry 1"),
            ("h=hush:", "entry 1"),
            ("h=a:b h_hush=hush:x", "entry 2"),
            ("h=a:b H=c:hush", "entry 2"),
            ("=hush:x", "entry 1"),
        ] {
            let error = text.parse::<GivenCredentials>().unwrap_err().to_string();
            assert!(error.contains(number) && !error.contains("hush"), "{text}: {error}");
        }
    }
}
