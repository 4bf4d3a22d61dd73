//! Reading a file of rules: its keys, and what each may hold.
//!
//! The words for truth are those of YAML 1.1, since werf takes them: a rule that reads `yes` there means yes here. Everything
//! else is strict, because a rule that is silently not read is either a hole or a riddle. Only an unknown key of werf's own
//! file is let pass with a warning: it allows nothing, and files that people have rely on that. So do they on the last one of
//! equal keys being the one that counts. werf v3 refuses it: see
//! [`Gate::refuse_unread_rules`](super::Gate::refuse_unread_rules).

use super::error::Error;
use super::patterns::{Branches, HostPaths, Names, Paths};
use super::rules::{Flavour, Rules};
use crate::config::yaml::{self, Content, Entry, Node, Scalar, ScalarKind};
use crate::source::{Diagnostic, SourceFile, nearest};

/// Largest file of rules in bytes: about ten thousand entries.
const MAX_SIZE: usize = 1 << 20;

/// Every key there is, by its path; one that is the start of others is a section.
const KEYS: [&str; 34] = [
    "giterminismConfigVersion",
    "cli",
    "cli.allowCustomTags",
    "config",
    "config.allowUncommitted",
    "config.allowUncommittedTemplates",
    "config.goTemplateRendering",
    "config.goTemplateRendering.allowEnvVariables",
    "config.goTemplateRendering.allowUncommittedFiles",
    "config.stapel",
    "config.stapel.allowFromLatest",
    "config.stapel.git",
    "config.stapel.git.allowBranch",
    "config.stapel.mount",
    "config.stapel.mount.allowBuildDir",
    "config.stapel.mount.allowFromPaths",
    "config.dockerfile",
    "config.dockerfile.allowUncommitted",
    "config.dockerfile.allowUncommittedDockerignoreFiles",
    "config.dockerfile.allowContextAddFiles",
    "config.secrets",
    "config.secrets.allowEnvVariables",
    "config.secrets.allowFiles",
    "config.secrets.allowValueIds",
    "config.native",
    "config.native.allowFromLatest",
    "config.native.allowBaseFiles",
    "config.native.allowGitBranches",
    "config.native.allowHostMounts",
    "config.native.allowHostNetwork",
    "helm",
    "helm.allowUncommittedFiles",
    "includes",
    "includes.allowIncludesUpdate",
];

pub(super) fn read(file: &str, text: &str) -> Result<Rules, Error> {
    let mut reader =
        Reader { file, flavour: Flavour::of_file(file), rules: Rules::default(), mistakes: Vec::new(), version: false };
    if text.len() > MAX_SIZE {
        reader.mistakes.push(Diagnostic::error(format!("it is larger than {} KiB", MAX_SIZE >> 10)));
    } else {
        reader.text(text);
    }
    for mistake in reader.mistakes.iter_mut().chain(&mut reader.rules.unread) {
        mistake.code = Some("giterminism-config-invalid".to_owned());
    }
    let source = || Box::new(SourceFile { name: file.to_owned(), text: text.chars().take(MAX_SIZE).collect() });
    if !reader.mistakes.is_empty() {
        return Err(Error::Rules { text: source(), mistakes: reader.mistakes });
    }
    let text = (!reader.rules.unread.is_empty()).then(source);
    Ok(Rules { text, ..reader.rules })
}

struct Reader<'a> {
    file: &'a str,
    flavour: Flavour,
    rules: Rules,
    mistakes: Vec<Diagnostic>,
    version: bool,
}

impl Reader<'_> {
    fn text(&mut self, text: &str) {
        let (sections, problems) = match self.flavour {
            Flavour::Stager => yaml::parse_sections(self.file, text),
            Flavour::Werf => yaml::parse_sections_with_repeated_keys(self.file, text),
        };
        let (mistakes, repeated) = problems.into_iter().partition(Diagnostic::is_error);
        (self.mistakes, self.rules.repeated) = (mistakes, repeated);
        let mut documents = sections.iter().filter_map(|section| section.node.as_ref());
        if let Some(root) = documents.next() {
            self.section(root, "");
        }
        if let Some(second) = documents.next() {
            self.mistake(second, "a second document: rules are one document");
        }
        if self.mistakes.is_empty() && !self.version {
            let missing = Diagnostic::error("giterminismConfigVersion: 1 is missing");
            self.mistakes.push(missing.help("write `giterminismConfigVersion: 1` as the first line"));
        }
    }

    fn mistake(&mut self, node: &Node, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.mistakes.len();
        self.mistakes.push(Diagnostic::error(message).at(node.mark.place(self.file)));
        &mut self.mistakes[at]
    }

    fn wrong_type(&mut self, node: &Node, path: &str, expected: &str) {
        let subject = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        self.mistake(node, format!("{subject} must be {expected}, not {}", node.describe()));
    }

    fn section(&mut self, node: &Node, path: &str) {
        let Content::Mapping(entries) = &node.content else { return self.wrong_type(node, path, "a map") };
        for entry in entries {
            let full = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            // A key with a dot in it is not the path that it looks like.
            if entry.key.contains('.') || !KEYS.contains(&full.as_str()) {
                self.unknown(entry, path, &full);
            } else if KEYS.iter().any(|key| key.strip_prefix(&full).is_some_and(|rest| rest.starts_with('.'))) {
                self.section(&entry.value, &full);
            } else {
                self.rule(&entry.value, &full);
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, path: &str, full: &str) {
        let siblings = KEYS.iter().filter_map(|key| match key.rsplit_once('.') {
            Some((parent, name)) => (parent == path).then_some(name),
            None => path.is_empty().then_some(*key),
        });
        let siblings: Vec<&str> = siblings.collect();
        let mistake = Diagnostic::error(format!("unknown key `{full}`")).at(entry.mark.place(self.file));
        let help = match nearest(&entry.key, siblings.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("the keys here are `{}`", siblings.join("`, `")),
        };
        match self.flavour {
            Flavour::Stager => self.mistakes.push(mistake.help(help)),
            Flavour::Werf => self.rules.unread.push(mistake.help(help)),
        }
    }

    fn rule(&mut self, node: &Node, path: &str) {
        match path {
            "giterminismConfigVersion" => self.read_version(node),
            "cli.allowCustomTags" => self.rules.custom_tags = self.switch(node, path),
            "config.allowUncommitted" => self.rules.config = self.switch(node, path),
            "config.allowUncommittedTemplates" => self.rules.templates = self.paths(node, path),
            "config.goTemplateRendering.allowEnvVariables" => {
                self.rules.rendering.variables = self.names(node, path, true);
            }
            "config.goTemplateRendering.allowUncommittedFiles" => self.rules.rendering.files = self.paths(node, path),
            "config.stapel.allowFromLatest" => self.rules.stapel.from_latest = self.switch(node, path),
            "config.stapel.git.allowBranch" => self.rules.stapel.branches = self.switch(node, path),
            "config.stapel.mount.allowBuildDir" => self.rules.stapel.build_dir = self.switch(node, path),
            "config.stapel.mount.allowFromPaths" => self.rules.stapel.from_paths = self.host_paths(node, path),
            "config.dockerfile.allowUncommitted" => self.rules.dockerfile.dockerfiles = self.paths(node, path),
            "config.dockerfile.allowUncommittedDockerignoreFiles" => {
                self.rules.dockerfile.dockerignores = self.paths(node, path);
            }
            "config.dockerfile.allowContextAddFiles" => self.rules.dockerfile.context_files = self.paths(node, path),
            "config.secrets.allowEnvVariables" => self.rules.secrets.variables = self.names(node, path, false),
            "config.secrets.allowFiles" => self.rules.secrets.files = self.host_paths(node, path),
            "config.secrets.allowValueIds" => self.rules.secrets.values = self.names(node, path, false),
            "config.native.allowFromLatest" => self.rules.native.from_latest = self.switch(node, path),
            "config.native.allowBaseFiles" => self.rules.native.base_files = self.host_paths(node, path),
            "config.native.allowGitBranches" => self.rules.native.branches = self.branches(node, path),
            "config.native.allowHostMounts" => self.rules.native.host_mounts = self.host_paths(node, path),
            "config.native.allowHostNetwork" => self.rules.native.host_network = self.switch(node, path),
            "includes.allowIncludesUpdate" => self.rules.includes_update = self.switch(node, path),
            // Charts are the affair of the tool that deploys; what is written there must still be sound.
            "helm.allowUncommittedFiles" => drop(self.paths(node, path)),
            _ => drop(self.switch(node, path)),
        }
    }

    fn read_version(&mut self, node: &Node) {
        self.version = true;
        let Content::Scalar(scalar) = &node.content else {
            return self.wrong_type(node, "giterminismConfigVersion", "1");
        };
        let one = match scalar.kind {
            ScalarKind::Integer => yaml::integer(&scalar.text) == Some(1),
            ScalarKind::Float => scalar.text.parse() == Ok(1.0),
            ScalarKind::Text => scalar.text == "1",
            ScalarKind::Null | ScalarKind::Boolean => false,
        };
        if !one {
            self.mistake(node, "giterminismConfigVersion must be 1");
        }
    }

    fn switch(&mut self, node: &Node, path: &str) -> bool {
        let value = truth(node);
        if value.is_none() {
            self.wrong_type(node, path, "true or false");
        }
        value == Some(true)
    }

    fn paths(&mut self, node: &Node, path: &str) -> Paths {
        let entries = self.texts(node, path);
        self.read_list(node, path, Paths::new(&entries))
    }

    fn host_paths(&mut self, node: &Node, path: &str) -> HostPaths {
        let entries = self.texts(node, path);
        self.read_list(node, path, HostPaths::new(entries))
    }

    fn names(&mut self, node: &Node, path: &str, expressions: bool) -> Names {
        let entries = self.texts(node, path);
        self.read_list(node, path, Names::new(entries, self.flavour, expressions))
    }

    fn branches(&mut self, node: &Node, path: &str) -> Branches {
        match truth(node) {
            Some(all) => Branches::All(all),
            None => Branches::Named(self.names(node, path, true)),
        }
    }

    fn read_list<T: Default>(&mut self, node: &Node, path: &str, list: Result<T, String>) -> T {
        list.unwrap_or_else(|reason| {
            self.mistake(node, format!("`{path}`: {reason}"));
            T::default()
        })
    }

    fn texts(&mut self, node: &Node, path: &str) -> Vec<String> {
        let Content::Sequence(items) = &node.content else {
            self.wrong_type(node, path, "a list");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match text_of(item) {
                Some("") => {
                    self.mistake(item, format!("an entry of `{path}` is empty"));
                }
                Some(text) => texts.push(text.to_owned()),
                None => {
                    let message = format!("an entry of `{path}` must be text, not {}", item.describe());
                    self.mistake(item, message).help = Some("put it in quotes".to_owned());
                }
            }
        }
        texts
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar(Scalar { text, kind: ScalarKind::Text }) => Some(text),
        _ => None,
    }
}

fn truth(node: &Node) -> Option<bool> {
    match &node.content {
        Content::Scalar(Scalar { text, kind: ScalarKind::Boolean }) => yaml::boolean(text),
        _ => None,
    }
}
