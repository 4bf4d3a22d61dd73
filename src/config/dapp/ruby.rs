//! The Ruby format of older projects, `Dappfile`: a program, so that only Ruby can tell what it says. What it seems to say
//! is listed with the keys of `dappfile.yml` that say the same, for the one who has to write that.

use std::collections::BTreeSet;

use crate::config::load::ConfigError;
use crate::source::{Diagnostic, Place, SourceFile};

/// The name of such files.
pub(in crate::config) const FILE: &str = "Dappfile";

/// Words of the Ruby format, and what they are in `dappfile.yml`.
const DIRECTIVES: &[(&str, &str)] = &[
    (
        "dimg_group",
        "there are no groups: write what its members share into each of them, or loop over them in a template",
    ),
    ("dimg", "`dimg: NAME`, a document of its own"),
    ("artifact", "`artifact: NAME`, a document of its own"),
    ("export", "`import` of the dimg that takes it: `artifact`, `add`, `to`, and `before` or `after`"),
    ("import", "`import`, with `before` or `after`"),
    ("docker.from", "`from`; its `cache_version` is `fromCacheVersion`"),
    ("docker.volume", "`docker.VOLUME`"),
    ("docker.expose", "`docker.EXPOSE`"),
    ("docker.env", "`docker.ENV`"),
    ("docker.label", "`docker.LABEL`"),
    ("docker.cmd", "`docker.CMD`"),
    ("docker.onbuild", "`docker.ONBUILD`"),
    ("docker.workdir", "`docker.WORKDIR`"),
    ("docker.user", "`docker.USER`"),
    ("docker.entrypoint", "`docker.ENTRYPOINT`"),
    ("git", "`git`; an address is its `url`, each `add` an entry with `to`"),
    ("stage_dependencies", "`git.stageDependencies`"),
    ("include_paths", "`includePaths`"),
    ("exclude_paths", "`excludePaths`"),
    ("shell.before_install", "`shell.beforeInstall`"),
    ("shell.install", "`shell.install`"),
    ("shell.before_setup", "`shell.beforeSetup`"),
    ("shell.setup", "`shell.setup`"),
    ("shell.build_artifact", "`shell.buildArtifact`"),
    ("shell", "`shell`; its `version` is `cacheVersion`, that of a stage `installCacheVersion` and so on"),
    ("chef", "nothing: write its recipes as `shell` commands or `ansible` tasks"),
    ("mount", "`mount`, with `from: tmp_dir`, `from: build_dir` or `fromPath`"),
    ("dev_mode", "nothing: `--dev` on the command line"),
];

/// The blocks whose words have their name in front when it is left out.
const BLOCKS: [&str; 2] = ["docker", "shell"];

/// The error for a project that has only such a file.
pub(in crate::config) fn refuse(file: &str, text: String) -> ConfigError {
    let place = first_line(file, &text);
    let mut problem = Diagnostic::error(format!(
        "`{file}` is a Ruby program, which is not read: write it as `dappfile.yml`, the YAML of later dapps"
    ))
    .code("dappfile-ruby")
    .help("translate it document by document; `stager config check` tells what is still wrong");
    problem.place = place;
    for (word, meaning) in directives(&text) {
        problem = problem.note(format!("`{word}` is {meaning}"));
    }
    let sources = vec![SourceFile { name: file.to_owned(), text }];
    ConfigError { diagnostics: vec![problem], sources, rendered: None, claims: Vec::new() }
}

fn first_line(file: &str, text: &str) -> Option<Place> {
    let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let (index, line) = text.lines().enumerate().find(|(_, line)| code(line))?;
    let indent = line.chars().take_while(|letter| letter.is_whitespace()).count();
    Some(Place { file: file.to_owned(), line: index + 1, column: indent + 1, len: line.trim().chars().count() })
}

/// The directives that a file seems to use, in the order of the table.
fn directives(text: &str) -> Vec<(&'static str, &'static str)> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut block: Option<(&str, usize)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let code = line.trim_start();
        if code.starts_with('#') {
            continue;
        }
        block = block.filter(|(_, start)| indent > *start);
        let words: Vec<&str> = words(code).collect();
        let Some(first) = words.first().copied() else { continue };
        if let Some((name, _)) = block {
            seen.insert(format!("{name}.{first}"));
        }
        if BLOCKS.contains(&first) {
            block = Some((BLOCKS.into_iter().find(|name| *name == first).unwrap_or_default(), indent));
        }
        seen.extend(words.iter().map(|word| (*word).to_owned()));
        let two = words.get(1).filter(|_| code.starts_with(&format!("{first}.")));
        seen.extend(two.map(|second| format!("{first}.{second}")));
    }
    DIRECTIVES.iter().filter(|(word, _)| seen.contains(*word)).copied().collect()
}

/// The names of a line that stand where a method can: at its start, or behind a dot.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = Some(code);
    std::iter::from_fn(move || {
        let code = rest?;
        let end = code.find(|letter| !is_word(letter)).unwrap_or(code.len());
        let word = code.get(..end).filter(|word| !word.is_empty());
        let after = code.get(end..).unwrap_or_default();
        rest = match after.strip_prefix('.') {
            Some(chained) => Some(chained),
            None => after.find(").").and_then(|at| after.get(at + 2..)),
        };
        word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_seen_in_blocks_and_chains() {
        let text = "dimg_group do\n  docker.from 'ubuntu:16.04', cache_version: 2\n  # chef.recipe 'x'\n  docker do\n    \
                    expose 80\n  end\n  git.add('/').to('/app')\n  shell do\n    before_install do\n      run 'apt'\n    end\n  \
                    end\n  dimg 'app' do\n    docker.env RAILS_ENV: 'production'\n  end\nend\n";
        let seen: Vec<&str> = directives(text).into_iter().map(|(word, _)| word).collect();
        assert_eq!(
            seen,
            [
                "dimg_group",
                "dimg",
                "docker.from",
                "docker.expose",
                "docker.env",
                "git",
                "shell.before_install",
                "shell"
            ]
        );
    }

    #[test]
    fn the_error_tells_the_keys() {
        let error = refuse(FILE, "# old\ndimg do\n  docker.from 'alpine'\nend\n".to_owned());
        let problem = &error.diagnostics[0];
        assert_eq!(problem.place.as_ref().map(|place| (place.line, place.len)), Some((2, 7)));
        assert!(problem.message.contains("`dappfile.yml`"), "{}", problem.message);
        assert!(problem.notes.iter().any(|note| note.starts_with("`docker.from` is `from`")), "{:?}", problem.notes);
    }
}
