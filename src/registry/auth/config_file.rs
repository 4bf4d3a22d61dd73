//! Docker's `config.json` as something to be changed: all that is not changed stays as it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::credentials::read_config;

/// The file, read.
pub(super) struct ConfigFile {
    /// Where it is, links followed.
    path: PathBuf,
    members: Members,
    /// The logins, when one has been changed.
    auths: Option<Members>,
}

/// The members of an object: names and values as written, in their order.
#[derive(Debug, Clone, Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl ConfigFile {
    /// Reads `config.json` of a directory; one that does not exist is empty.
    pub(super) fn read(directory: &Path) -> Result<Self, String> {
        let path = directory.join("config.json");
        // A link is kept, and what it leads to is written.
        let path = fs_err::canonicalize(&path).unwrap_or(path);
        let text = read_config(&path).map_err(|error| error.to_string())?.unwrap_or_default();
        let members = if text.trim_ascii().is_empty() {
            Members::default()
        } else {
            serde_json::from_slice(&text)
                .map_err(|error| format!("{} is not a JSON object: {error}", path.display()))?
        };
        Ok(Self { path, members, auths: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The credential helper for any of these names, with the name that it knows; else the store for all names.
    pub(super) fn helper<'k>(&self, keys: &[&'k str]) -> Result<Option<(String, &'k str)>, String> {
        let helpers: BTreeMap<String, String> = self.member("credHelpers")?.unwrap_or_default();
        let own = keys.iter().find_map(|key| Some((helpers.get(*key).filter(|name| !name.is_empty())?.clone(), *key)));
        let store: Option<String> = self.member("credsStore")?;
        let store = || Some((store.filter(|name| !name.is_empty())?, *keys.first()?));
        Ok(own.or_else(store))
    }

    /// Puts a login in; whether that changes anything.
    pub(super) fn put(&mut self, key: &str, login: &serde_json::Value) -> Result<bool, String> {
        let login = RawValue::from_string(login.to_string()).map_err(|error| error.to_string())?;
        let auths = self.auths()?;
        match auths.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) if old.get() == login.get() => return Ok(false),
            Some((_, old)) => *old = login,
            None => auths.0.push((key.to_owned(), login)),
        }
        Ok(true)
    }

    /// Takes out the logins whose names fit; whether there was one.
    pub(super) fn remove(&mut self, fits: impl Fn(&str) -> bool) -> Result<bool, String> {
        let auths = self.auths()?;
        let before = auths.0.len();
        auths.0.retain(|(name, _)| !fits(name));
        Ok(auths.0.len() < before)
    }

    /// Writes the file: for the user alone, and whole or not at all.
    pub(super) fn write(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("/"));
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
        text.push(b'\n');
        // Its mode is 0600 from the start.
        let mut file = tempfile::Builder::new().prefix("config.json.").tempfile_in(directory)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn member<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, String> {
        let found = self.members.0.iter().rev().find(|(member, _)| member == name);
        let read = |(_, value): &(String, Box<RawValue>)| serde_json::from_str::<Option<T>>(value.get());
        let read = found.map(read).transpose();
        read.map(Option::flatten).map_err(|error| format!("`{name}` of {}: {error}", self.path.display()))
    }

    fn auths(&mut self) -> Result<&mut Members, String> {
        if self.auths.is_none() {
            self.auths = Some(self.member("auths")?.unwrap_or_default());
        }
        Ok(self.auths.get_or_insert_default())
    }
}

impl Serialize for ConfigFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.members.0 {
            match self.auths.as_ref().filter(|_| name == "auths") {
                Some(auths) => map.serialize_entry(name, auths)?,
                None => map.serialize_entry(name, value)?,
            }
        }
        let has_auths = self.members.0.iter().any(|(name, _)| name == "auths");
        if let Some(auths) = self.auths.as_ref().filter(|_| !has_auths) {
            map.serialize_entry("auths", auths)?;
        }
        map.end()
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let before = r#"{"z": {"b": 1.50, "a": [ 1e400 ]}, "auths": {"y":{"auth": "eDp5", "more": {}}, "x": {}}, "a": "\u00e9"}"#;
        fs_err::write(&path, before).unwrap();
        let mut file = ConfigFile::read(directory.path()).unwrap();
        assert!(file.put("h", &serde_json::json!({"auth": "YTpi"})).unwrap());
        assert!(!file.put("h", &serde_json::json!({"auth": "YTpi"})).unwrap());
        assert!(file.remove(|name| name == "x").unwrap() && !file.remove(|name| name == "x").unwrap());
        file.write().unwrap();
        let expected = "{\n\t\"z\": {\"b\": 1.50, \"a\": [ 1e400 ]},\n\t\"auths\": {\n\t\t\"y\": {\"auth\": \"eDp5\", \"more\": {}},\n\t\t\"h\": {\"auth\":\"YTpi\"}\n\t},\n\t\"a\": \"\\u00e9\"\n}\n";
        assert_eq!(fs_err::read_to_string(&path).unwrap(), expected);
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn broken_files_are_named_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        for (text, part) in
            [("[]", "object"), ("{", "EOF"), (r#"{"auths": 7}"#, "auths"), (r#"{"credsStore": 7}"#, "credsStore")]
        {
            fs_err::write(&path, text).unwrap();
            let result = ConfigFile::read(directory.path()).and_then(|mut file| {
                file.helper(&["h"])?;
                file.put("h", &serde_json::json!({})).map(drop)
            });
            let error = result.unwrap_err();
            assert!(error.contains("config.json") && error.contains(part), "{error}");
        }
    }
}
