//! What a config has and an image built on it doesn't want: names, exact or as `/regular expressions/`.

use regex::Regex;
use stages::spec::Removal;

use super::{AssembleError, variable};
use crate::image::spec::RunConfig;

/// Removes what is named. Names that aren't there are no error: configs say what must not be there.
pub(super) fn remove(state: &mut RunConfig, removal: &Removal) -> Result<(), AssembleError> {
    let labels = Names::new("labels", &removal.labels)?;
    state.labels.retain(|name, _| !labels.contain(name));
    let env = Names::new("env", &removal.env)?;
    state.env.retain(|entry| !env.contain(variable(entry)));
    let volumes = Names::new("volumes", &removal.volumes)?;
    state.volumes.retain(|path| !volumes.contain(path));
    if removal.ports {
        state.exposed_ports.clear();
    }
    Ok(())
}

struct Names<'a> {
    exact: Vec<&'a str>,
    patterns: Vec<Regex>,
}

impl<'a> Names<'a> {
    fn new(what: &'static str, names: &'a [String]) -> Result<Self, AssembleError> {
        let mut all = Self { exact: Vec::new(), patterns: Vec::new() };
        for name in names {
            match name.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
                Some(pattern) if what != "volumes" || is_pattern(pattern) => {
                    let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| AssembleError::Pattern {
                        what,
                        pattern: name.clone(),
                        reason: error.to_string().lines().last().unwrap_or_default().to_owned(),
                    })?;
                    all.patterns.push(regex);
                }
                _ => all.exact.push(name),
            }
        }
        Ok(all)
    }

    fn contain(&self, name: &str) -> bool {
        self.exact.contains(&name) || self.patterns.iter().any(|pattern| pattern.is_match(name))
    }
}

/// Whether what stands between two slashes is more than a path: the volume `/data/` is no expression.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '+', '?', '[', ']', '(', ')', '{', '}', '|', '^', '$', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_go_exactly_or_by_a_whole_expression() {
        let state = || RunConfig {
            labels: [("base.a", "1"), ("base", "2"), ("other", "3")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            env: texts(&["BASE_A=1", "BASE_B=2", "XBASE_A=3", "BARE"]),
            volumes: texts(&["/data", "/data/", "/more"]).into_iter().collect(),
            exposed_ports: texts(&["80/tcp"]).into_iter().collect(),
            ..RunConfig::default()
        };
        let mut after = state();
        let removal = Removal {
            labels: texts(&[r"/base\..*/", "other", "absent", "ba"]),
            env: texts(&["/BASE_[A]/", "BARE", "base_b"]),
            volumes: texts(&["/data/", "/.m.*e/"]),
            ports: true,
        };
        remove(&mut after, &removal).unwrap();
        assert_eq!(after.labels.keys().collect::<Vec<_>>(), ["base"]);
        assert_eq!(after.env, ["BASE_B=2", "XBASE_A=3"]);
        assert_eq!(after.volumes.iter().collect::<Vec<_>>(), ["/data"]);
        assert!(after.exposed_ports.is_empty());
        let mut after = state();
        remove(&mut after, &Removal { env: texts(&["/A|BASE_B/"]), ..Removal::default() }).unwrap();
        assert_eq!(after.env, ["BASE_A=1", "XBASE_A=3", "BARE"], "an alternative is anchored as well");
        let bad = Removal { labels: texts(&["/(/"]), ..Removal::default() };
        let error = remove(&mut state(), &bad).unwrap_err().to_string();
        assert!(error.contains("/(/") && error.contains("labels"), "{error}");
    }
}
