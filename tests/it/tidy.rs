//! The shape of the code: which module may use which, and which folder may use which library.
//!
//! A new arrow between modules, or a library in a new place, is an edit of these tables, so that somebody looks at it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// A module may use those of the lines above its own.
const LEVELS: [&[&str]; 6] = [
    &["source", "report", "sha256"],
    &["git", "registry", "image", "layer", "template"],
    &["config", "giterminism", "storage", "builder"],
    &["plan", "execute", "cleanup"],
    &["ops"],
    &["cli", "ui"],
];

/// Arrows within a line. `git` writes layer directories: what an owner looks like in one is the affair of `layer`.
/// The rules of `giterminism` are YAML with places, as configs are: one reader for both.
/// `registry` carries manifests and indexes: what they say is the affair of `image`, which knows blobs as `layer` does.
const SIDEWAYS: [(&str, &str); 6] = [
    ("execute", "plan"),
    ("cli", "ui"),
    ("git", "layer"),
    ("giterminism", "config"),
    ("registry", "image"),
    ("image", "layer"),
];

/// Libraries that are known in one place only.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("bollard", &["builder/docker", "image/daemon"]),
    ("clap", &["cli"]),
    ("git2", &["git"]),
    ("minijinja", &["template"]),
    ("rusqlite", &["storage/index"]),
    ("serde_yaml", &["config"]),
    ("ureq", &["registry"]),
];

#[test]
fn modules_use_what_is_below_them() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        for used in used_modules(&text) {
            let sideways = SIDEWAYS.contains(&(module.as_str(), used.as_str()));
            if used != module && !sideways && level(&used) >= level(&module) {
                wrong.push(format!("src/{} uses crate::{used}", path.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn libraries_stay_in_their_place() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (library, places) in LIBRARIES {
            let uses = text.lines().any(|line| line.trim_start().starts_with(&format!("use {library}::")));
            if uses && !places.iter().any(|place| path.to_str().is_some_and(|path| path.starts_with(place))) {
                wrong.push(format!("src/{} uses {library}, which belongs in {places:?}", path.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn main_is_short_and_files_can_be_read() {
    for (path, text) in sources() {
        let code = text.lines().count();
        let limit = if path == Path::new("main.rs") { 40 } else { 1000 };
        assert!(code < limit, "src/{} has {code} lines, the limit is {limit}", path.display());
    }
}

/// The files below `src` by their path there, without the tests in them.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut directories, mut found) = (vec![root.clone()], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(&root).unwrap().to_owned();
            let is_test =
                name.file_stem().is_some_and(|stem| ["tests", "testing", "fixture"].map(Some).contains(&stem.to_str()));
            if path.is_dir() {
                directories.push(path);
            } else if name.extension().is_some_and(|extension| extension == "rs") && !is_test {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("\nmod tests {").next().unwrap_or_default();
                found.push((name, code.to_owned()));
            }
        }
    }
    found.sort();
    found
}

/// The module that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.components().next().expect("a file has a name");
    first.as_os_str().to_str().expect("our file names are UTF-8").trim_end_matches(".rs").to_owned()
}

fn level(module: &str) -> usize {
    match module {
        // They tie everything together.
        "lib" | "main" => LEVELS.len(),
        _ => {
            let found = LEVELS.iter().position(|modules| modules.contains(&module));
            found.unwrap_or_else(|| panic!("module {module} is not in the table of tests/it/tidy.rs"))
        }
    }
}

/// The modules of this crate that the `use crate::` items name.
fn used_modules(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for item in text.split("use crate::").skip(1) {
        let item = item.split(';').next().unwrap_or_default().trim();
        if let Some(group) = item.strip_prefix('{') {
            used.extend(top_level(group.trim_end_matches('}')).iter().map(|path| first_name(path)));
        } else {
            used.insert(first_name(item));
        }
    }
    used.remove("");
    used
}

/// The parts of a group between its own commas.
fn top_level(group: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for letter in group.chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("it starts with one").push(letter),
        }
    }
    parts
}

fn first_name(path: &str) -> String {
    path.trim().chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}

#[test]
fn use_items_are_understood() {
    let text = "use crate::a::{b, c};\npub use crate::d;\nuse crate::{e::{f, g}, h};\nuse crate::{\n    i::J,\n};\n";
    assert_eq!(used_modules(text), ["a", "d", "e", "h", "i"].map(String::from).into());
}
