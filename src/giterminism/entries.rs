//! Entries of the rules: a name, a glob, or `/a regular expression/`.

use globset::{GlobBuilder, GlobMatcher};

/// A list of entries.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries(Vec<Entry>);

#[derive(Debug, Clone)]
enum Entry {
    Regex(regex::Regex),
    Glob { text: String, glob: GlobMatcher },
}

impl Entries {
    /// Reads entries; the error names the one that can't be read.
    pub(super) fn new(texts: &[String]) -> Result<Self, String> {
        texts.iter().map(|text| Entry::new(text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an entry is this name or matches it. A glob that matches a directory matches what is in it.
    pub(super) fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|entry| entry.matches(name))
    }
}

impl Entry {
    fn new(text: &str) -> Result<Self, String> {
        if let Some(pattern) =
            text.strip_prefix('/').and_then(|text| text.strip_suffix('/')).filter(|text| !text.is_empty())
        {
            return regex::Regex::new(&format!("^(?:{pattern})$"))
                .map(Self::Regex)
                .map_err(|_| format!("`{text}` is not a regular expression"));
        }
        let clean = text.trim_end_matches('/');
        GlobBuilder::new(clean)
            .literal_separator(true)
            .build()
            .map(|glob| Self::Glob { text: clean.to_owned(), glob: glob.compile_matcher() })
            .map_err(|error| format!("`{text}` is not a glob: {}", error.kind()))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(name),
            Self::Glob { text, glob } => {
                let parents = name.match_indices('/').map(|(at, _)| &name[..at]).filter(|parent| !parent.is_empty());
                text == name || glob.is_match(name) || parents.into_iter().any(|parent| glob.is_match(parent))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_globs_and_expressions() {
        let entries = ["CI", "docs/**/*.md", "/FOO_.*/", "dir"].map(str::to_owned);
        let entries = Entries::new(&entries).unwrap();
        for allowed in ["CI", "docs/a/b.md", "FOO_BAR", "dir", "dir/file"] {
            assert!(entries.allow(allowed), "{allowed}");
        }
        for refused in ["CI_TOKEN", "docs/a/b.txt", "XFOO_BAR", "director"] {
            assert!(!entries.allow(refused), "{refused}");
        }
        assert!(Entries::new(&["/(/".to_owned()]).is_err());
    }
}
