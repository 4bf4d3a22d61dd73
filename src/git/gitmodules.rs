//! What `.gitmodules` says, and the addresses that it gives relative to its own repository's.
//!
//! The file is another's: it is parsed here and not by libgit2, which would follow its `include` sections.

use git2::{ObjectType, Oid};

use super::error::GitError;
use super::repository::{Repository, object_id};
use super::tree::{FileMode, TreeEntries};

/// A submodule as `.gitmodules` lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: String,
    /// Where it is, without a `/` at the end.
    pub(super) path: String,
    /// Its address, which may be relative; empty if there is none.
    pub(super) url: String,
}

/// More than any project has: one entry takes about a hundred bytes.
const MAX_SIZE: u64 = 1 << 20;

impl Repository {
    /// The submodules that `.gitmodules` of a commit's tree lists, one for each path.
    pub(super) fn modules(&self, tree: Oid) -> Result<Vec<Module>, GitError> {
        let objects = self.objects()?;
        let object = objects.read(tree, ObjectType::Tree)?;
        for entry in TreeEntries::new(tree, object.data()) {
            let entry = entry?;
            // git takes no link in its place either.
            if entry.name == b".gitmodules" && matches!(entry.mode, FileMode::Regular | FileMode::Executable) {
                let text = self.read_blob(&object_id(entry.id), MAX_SIZE)?;
                return Ok(parse(&String::from_utf8_lossy(&text)));
            }
        }
        Ok(Vec::new())
    }
}

fn parse(text: &str) -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    let mut current = None;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            current = section_name(section).map(|name| {
                modules.iter().position(|module| module.name == name).unwrap_or_else(|| {
                    modules.push(Module { name, ..Module::default() });
                    modules.len() - 1
                })
            });
        } else if let Some((key, written)) = line.split_once('=')
            && let Some(module) = current.and_then(|at: usize| modules.get_mut(at))
        {
            match key.trim().to_ascii_lowercase().as_str() {
                "path" => value(written).trim_end_matches('/').clone_into(&mut module.path),
                "url" => module.url = value(written),
                _ => {}
            }
        }
    }
    let mut paths = std::collections::HashSet::new();
    modules.retain(|module| !module.path.is_empty() && paths.insert(module.path.clone()));
    modules
}

/// The name in `submodule "name"]`.
fn section_name(section: &str) -> Option<String> {
    let (kind, rest) = section.split_once('"')?;
    let (name, _) = rest.rsplit_once('"')?;
    kind.trim().eq_ignore_ascii_case("submodule").then(|| name.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// A value without quotes, escapes and what follows it as a comment.
fn value(written: &str) -> String {
    let mut value = String::new();
    let mut solid = 0;
    let mut quoted = false;
    let mut letters = written.trim().chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted = !quoted,
            '#' | ';' if !quoted => break,
            '\\' => value.extend(letters.next()),
            _ => value.push(letter),
        }
        if quoted || !letter.is_whitespace() {
            solid = value.len();
        }
    }
    value.truncate(solid);
    value
}

/// The address of a submodule of the repository at `parent`: one that starts with `./` or `../` is relative to it. `None`
/// if it leads above the host or the root directory.
pub(super) fn resolve(parent: &str, url: &str) -> Option<String> {
    if !(url.starts_with("./") || url.starts_with("../")) {
        return Some(url.to_owned());
    }
    let (base, path) = split(parent)?;
    let mut path = path.trim_end_matches('/');
    let mut rest = url;
    loop {
        if let Some(below) = rest.strip_prefix("../") {
            if path.is_empty() {
                return None;
            }
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
            rest = below;
        } else if let Some(here) = rest.strip_prefix("./") {
            rest = here;
        } else {
            break;
        }
    }
    let between = if path.is_empty() { "" } else { "/" };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    Some(format!("{base}{path}{between}{rest}"))
}

/// An address in the part that names the host or the root directory, and the path beneath.
fn split(address: &str) -> Option<(&str, &str)> {
    let start = match address.find("://") {
        Some(at) => at + 3 + address.get(at + 3..)?.find('/')?,
        None if address.starts_with('/') => 0,
        None => address.find(':')?,
    };
    let path = address.get(start + 1..)?;
    // `host:/path`
    let root = path.len() - path.trim_start_matches('/').len();
    Some(address.split_at(start + 1 + root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_git_writes_them() {
        let text = "# x\n[submodule \"a name\"]\n\tpath = libs/a\n\turl = ../a.git ; why\n[core]\n\turl = no\n\
                    [submodule \"b\"]\n path=\"libs/b/\"\n[submodule \"c \\\"q\\\"\"]\nURL = \"https://h/#x\"\npath = c\n\
                    [submodule \"b\"]\n\turl = /b\n[submodule \"again\"]\npath = libs/a\nurl = other\n[submodule \"none\"]\n";
        let module =
            |name: &str, path: &str, url: &str| Module { name: name.into(), path: path.into(), url: url.into() };
        let wanted = [
            module("a name", "libs/a", "../a.git"),
            module("b", "libs/b", "/b"),
            module("c \"q\"", "c", "https://h/#x"),
        ];
        assert_eq!(parse(text), wanted);
    }

    #[test]
    fn relative_addresses_are_resolved_as_git_does() {
        for (parent, url, wanted) in [
            ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
            ("https://h/a/b.git/", "../../c/d.git/", "https://h/c/d.git"),
            ("https://u:p@h/a/b.git", "../c.git", "https://u:p@h/a/c.git"),
            ("https://h/a/b.git", "./c", "https://h/a/b.git/c"),
            ("ssh://git@h:22/a/b", ".././../c", "ssh://git@h:22/c"),
            ("git@h:a/b.git", "../c.git", "git@h:a/c.git"),
            ("git@h:b.git", "../c.git", "git@h:c.git"),
            ("h:/srv/b", "../c", "h:/srv/c"),
            ("/srv/b", "../c", "/srv/c"),
            ("file:///srv/b", "../../c", "file:///c"),
            ("/srv/b", "https://h/c", "https://h/c"),
            ("/srv/b", "c", "c"),
        ] {
            assert_eq!(resolve(parent, url).as_deref(), Some(wanted), "{parent} {url}");
        }
        for (parent, url) in [
            ("https://h/b", "../../evil/x"),
            ("https://h", "../x"),
            ("git@h:b", "../../x"),
            ("h:/b", "../../x"),
            ("file:///b", "../../x"),
        ] {
            assert_eq!(resolve(parent, url), None, "{parent} {url}");
        }
    }
}
