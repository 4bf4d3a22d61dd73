//! What works, but is worth a word: deprecated forms, once for each kind, and values that do not do what they seem to.

use std::collections::BTreeMap;

use crate::config::yaml::Mark;
use crate::source::Diagnostic;

/// A form that there is a later one for, or that has come to mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum Deprecated {
    Artifact,
    FromImage,
    ImportImage,
    ImportStage,
    DependencyImage,
    Docker,
    Ansible,
    Nameless,
    ContextAddFile,
    GitAs,
}

impl Deprecated {
    fn what(self) -> &'static str {
        match self {
            Self::Artifact => "`artifact`, `fromArtifact` and `import.artifact` are deprecated",
            Self::FromImage => "`fromImage` is deprecated",
            Self::ImportImage => "`import.image` is deprecated",
            Self::ImportStage => "`import.stage` is deprecated",
            Self::DependencyImage => "`dependencies.image` is deprecated",
            Self::Docker => "`docker` is deprecated",
            Self::Ansible => "`ansible` is deprecated",
            Self::Nameless => "an image without a name is deprecated",
            Self::ContextAddFile => "`contextAddFile` is deprecated",
            Self::GitAs => "`git.as` means nothing",
        }
    }

    fn instead(self) -> &'static str {
        match self {
            Self::Artifact => "make it an `image` with `final: false`",
            Self::FromImage => "`from` takes the name of an image too",
            Self::ImportImage => "`import.from` takes the name of an image too",
            Self::ImportStage => "import from an image that ends with that stage",
            Self::DependencyImage => "write `dependencies.from`",
            Self::Docker => "write `imageSpec`",
            Self::Ansible => "write the tasks as `shell` commands",
            Self::Nameless => "give it a name: `image: NAME`",
            Self::ContextAddFile => "write `contextAddFiles`",
            Self::GitAs => "leave it out: nothing ever looks at the name",
        }
    }
}

#[derive(Debug, Default)]
pub(in crate::config) struct Warnings {
    deprecated: BTreeMap<Deprecated, (Mark, usize)>,
    others: Vec<(Mark, String, &'static str)>,
}

impl Warnings {
    pub(in crate::config) fn deprecated(&mut self, kind: Deprecated, mark: Mark) {
        self.deprecated.entry(kind).or_insert((mark, 0)).1 += 1;
    }

    pub(in crate::config) fn add(&mut self, mark: Mark, message: String, help: &'static str) {
        self.others.push((mark, message, help));
    }

    pub(in crate::config) fn into_diagnostics(self, file: &str) -> Vec<Diagnostic> {
        let deprecated = self.deprecated.into_iter().map(|(kind, (mark, count))| {
            let warning = Diagnostic::warning(kind.what()).at(mark.place(file)).help(kind.instead());
            if count > 1 { warning.note(format!("{count} times in this config")) } else { warning }
        });
        let others = self
            .others
            .into_iter()
            .map(|(mark, message, help)| Diagnostic::warning(message).at(mark.place(file)).help(help));
        deprecated.chain(others).collect()
    }
}
