//! The name of a dapp project, which its files do not say: it is that of the repository, made fit by dapp's slug.

use stages::ids::{Platform, ProjectName};

use crate::config::cleanup::CleanupPolicies;
use crate::config::dialect::LoweredProject;

/// What dapp names a project after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectHome {
    /// The address of the repository's remote `origin`.
    pub origin: Option<String>,
    /// The name of the repository's directory.
    pub directory: Option<String>,
}

impl ProjectHome {
    /// The name: the last part of the address of `origin` without `.git`, else that of the directory.
    fn name(&self) -> &str {
        let origin = self.origin.as_deref().map(last_part).filter(|name| !name.is_empty());
        origin.or(self.directory.as_deref()).filter(|name| !name.is_empty()).unwrap_or("project")
    }
}

fn last_part(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    url.rsplit(['/', ':']).next().unwrap_or(url)
}

/// What holds for the whole project.
pub(super) fn lower(home: &ProjectHome) -> LoweredProject {
    LoweredProject {
        name: project_name(home.name()),
        platforms: vec![Platform::host()],
        cache_version: String::new(),
        cleanup: CleanupPolicies::default(),
    }
}

/// Longest name of a project.
const MAX_NAME: usize = 50;

fn project_name(text: &str) -> ProjectName {
    let slug = slug(text);
    if let Ok(name) = slug.parse() {
        return name;
    }
    let mark = mark(text);
    let plain = slug.strip_suffix(&mark).unwrap_or(&slug);
    let room = plain.get(..MAX_NAME - mark.len() - 1).unwrap_or(plain).trim_matches('-');
    let name = if room.is_empty() { mark } else { format!("{room}-{mark}") };
    name.parse().expect("it is short, of lower-case letters, digits and inner hyphens")
}

/// dapp's slug: a text that is lower-case letters, digits and single inner hyphens as it is; of any other one what can be
/// kept, with a mark of the whole.
pub fn slug(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let plain = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    if plain == text { plain } else { format!("{plain}-{}", mark(text)) }
}

/// The MurmurHash3 of a text, its bytes in the order of little-endian machines.
fn mark(text: &str) -> String {
    format!("{:08x}", murmur3(text.as_bytes()).swap_bytes())
}

/// MurmurHash3, 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = 0u32;
    for word in words {
        hash = (hash ^ mix(u32::from_le_bytes(*word))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = rest.iter().rev().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
    hash ^= mix(rest);
    // The length is of 32 bits in the algorithm itself.
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs are those that dapp's documentation prints.
    #[test]
    fn slugs_are_those_of_dapp() {
        for (text, expected) in [
            ("v2.3.1", "v2-3-1-5cb8b0a4"),
            ("feature/using_cache", "feature-using-cache-81644ed0"),
            ("core/feature/ADD_SETTINGS", "core-feature-add-settings-c3fd80df"),
            ("branch/one/!@#4.4-3", "branch-one-4-4-3-5589e04f"),
            ("fix/memory-leak", "fix-memory-leak-b3715a6e"),
            ("my-app", "my-app"),
        ] {
            assert_eq!(slug(text), expected);
        }
    }

    #[test]
    fn projects_are_named_after_their_repository() {
        let named = |origin: Option<&str>, directory: &str| {
            let home = ProjectHome { origin: origin.map(str::to_owned), directory: Some(directory.to_owned()) };
            lower(&home).name.to_string()
        };
        for (origin, expected) in [
            (Some("git@example.org:group/my-app.git"), "my-app"),
            (Some("https://example.org/group/app2/"), "app2"),
            (Some("host:app"), "app"),
            (Some(""), "dir"),
            (None, "dir"),
        ] {
            assert_eq!(named(origin, "dir"), expected, "{origin:?}");
        }
        let marked = named(Some("ssh://git@example.org/My_App.git"), "dir");
        assert!(marked.starts_with("my-app-") && marked.len() == 15, "{marked}");
        let long = named(None, &"x".repeat(80));
        assert!(long.len() <= 50 && long.starts_with("xxxx"), "{long}");
        assert_eq!(named(None, "приложение").len(), 8);
        assert_eq!(lower(&ProjectHome::default()).name.as_str(), "project");
    }
}
