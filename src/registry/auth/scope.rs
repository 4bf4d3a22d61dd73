//! What a token must allow.

use std::collections::{BTreeMap, BTreeSet};

/// Actions by resource, such as `repository:library/debian` → `pull`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    pub(crate) fn pull(path: &str) -> Self {
        Self::default().with(path, &["pull"])
    }

    pub(crate) fn push(path: &str) -> Self {
        Self::default().with(path, &["pull", "push"])
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::default().with(path, &["delete", "pull"])
    }

    /// Reads the space-separated scopes of a challenge.
    pub(crate) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split_whitespace().take(20) {
            if let Some((resource, actions)) = scope.rsplit_once(':') {
                scopes.0.entry(resource.to_owned()).or_default().extend(actions.split(',').map(str::to_owned));
            }
        }
        scopes
    }

    pub(crate) fn and(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.0 {
            self.0.entry(resource.clone()).or_default().extend(actions.iter().cloned());
        }
        self
    }

    pub(crate) fn covers(&self, needed: &Self) -> bool {
        needed.0.iter().all(|(resource, actions)| self.0.get(resource).is_some_and(|have| have.is_superset(actions)))
    }

    /// One text for each resource, as token servers want them.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |(resource, actions): (&String, &BTreeSet<String>)| {
            format!("{resource}:{}", actions.iter().map(String::as_str).collect::<Vec<_>>().join(","))
        };
        self.0.iter().map(text).collect()
    }

    fn with(mut self, path: &str, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|&action| action.to_owned());
        self.0.entry(format!("repository:{path}")).or_default().extend(actions);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_merge_and_cover() {
        let mount = Scopes::push("a/b").and(&Scopes::pull("c"));
        assert_eq!(mount.texts(), ["repository:a/b:pull,push", "repository:c:pull"]);
        assert!(mount.covers(&Scopes::pull("a/b")) && mount.covers(&Scopes::pull("c")));
        assert!(!mount.covers(&Scopes::push("c")) && !Scopes::pull("a/b").covers(&mount));
        assert_eq!(Scopes::parse("repository:a/b:push,pull repository:c:pull junk"), mount);
        assert!(Scopes::default().covers(&Scopes::parse("")));
    }
}
