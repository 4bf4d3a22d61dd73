//! The typed content of `stager-giterminism.yaml` and `werf-giterminism.yaml`.

use serde::Deserialize;
use serde_yaml::Value;

use super::error::Error;
use super::patterns::{HostPaths, Names, Paths};
use crate::source::nearest;

/// Where rules are looked for; what any of them allows is allowed.
pub const RULES_FILES: [&str; 2] = ["stager-giterminism.yaml", "werf-giterminism.yaml"];

/// What a project lets in from outside of the commit. The default allows nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rules {
    #[serde(rename = "giterminismConfigVersion")]
    _version: Version,
    pub(super) cli: CliRules,
    pub(super) config: ConfigRules,
    /// Charts are no part of a build; the key is accepted for the tool that deploys.
    #[serde(rename = "helm")]
    _helm: HelmRules,
    /// As for charts: there are no includes here.
    #[serde(rename = "includes")]
    _includes: IncludesRules,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct CliRules {
    pub(super) allow_custom_tags: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ConfigRules {
    pub(super) allow_uncommitted: bool,
    pub(super) allow_uncommitted_templates: Paths,
    pub(super) go_template_rendering: TemplateRules,
    pub(super) stapel: StapelRules,
    pub(super) dockerfile: DockerfileRules,
    pub(super) secrets: SecretRules,
    pub(super) native: NativeRules,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct TemplateRules {
    pub(super) allow_env_variables: Names,
    pub(super) allow_uncommitted_files: Paths,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StapelRules {
    pub(super) allow_from_latest: bool,
    pub(super) git: StapelGitRules,
    pub(super) mount: StapelMountRules,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StapelGitRules {
    pub(super) allow_branch: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StapelMountRules {
    pub(super) allow_build_dir: bool,
    pub(super) allow_from_paths: HostPaths,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DockerfileRules {
    pub(super) allow_uncommitted: Paths,
    pub(super) allow_uncommitted_dockerignore_files: Paths,
    pub(super) allow_context_add_files: Paths,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SecretRules {
    pub(super) allow_env_variables: Names,
    pub(super) allow_files: HostPaths,
    pub(super) allow_value_ids: Names,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NativeRules {
    pub(super) allow_from_latest: bool,
    pub(super) allow_base_files: HostPaths,
    pub(super) allow_git_branches: Branches,
    pub(super) allow_host_mounts: HostPaths,
    pub(super) allow_host_network: bool,
}

/// Branches by name, or all or none of them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of branch names, or true or false")]
pub(super) enum Branches {
    All(bool),
    Named(Names),
}

impl Branches {
    pub(super) fn allow(&self, branch: &str) -> bool {
        match self {
            Self::All(allowed) => *allowed,
            Self::Named(names) => names.allow(branch),
        }
    }
}

impl Default for Branches {
    fn default() -> Self {
        Self::All(false)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HelmRules {
    #[serde(rename = "allowUncommittedFiles")]
    _allow_uncommitted_files: Paths,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IncludesRules {
    #[serde(rename = "allowIncludesUpdate")]
    _allow_includes_update: bool,
}

/// `giterminismConfigVersion`: 1, as a number or text.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
struct Version;

impl TryFrom<Value> for Version {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if value.as_u64() == Some(1) || value.as_str() == Some("1") {
            Ok(Self)
        } else {
            Err("giterminismConfigVersion must be 1".to_owned())
        }
    }
}

/// Every key there is, by its path.
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

impl Rules {
    /// Reads a file of rules. All unknown keys are reported at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let broken = |mistakes| Error::Rules { file: file.to_owned(), mistakes };
        let value: Value = serde_yaml::from_str(text).map_err(|error| broken(vec![error.to_string()]))?;
        let Value::Mapping(root) = &value else {
            return Err(broken(vec!["giterminismConfigVersion: 1 is missing".to_owned()]));
        };
        let mut mistakes = Vec::new();
        if !root.contains_key("giterminismConfigVersion") {
            mistakes.push("giterminismConfigVersion: 1 is missing".to_owned());
        }
        unknown_keys(&value, "", &mut mistakes);
        if !mistakes.is_empty() {
            return Err(broken(mistakes));
        }
        // From the text again, not from the value: only so do messages have lines.
        let rules: Self = serde_yaml::from_str(text).map_err(|error| broken(vec![error.to_string()]))?;
        let host_paths = [
            ("config.secrets.allowFiles", &rules.config.secrets.allow_files),
            ("config.native.allowBaseFiles", &rules.config.native.allow_base_files),
            ("config.native.allowHostMounts", &rules.config.native.allow_host_mounts),
            ("config.stapel.mount.allowFromPaths", &rules.config.stapel.mount.allow_from_paths),
        ];
        let bad = host_paths.iter().filter_map(|(key, paths)| Some(format!("{key}: {}", paths.check().err()?)));
        let bad: Vec<String> = bad.collect();
        if bad.is_empty() { Ok(rules) } else { Err(broken(bad)) }
    }
}

fn unknown_keys(value: &Value, path: &str, mistakes: &mut Vec<String>) {
    let Value::Mapping(entries) = value else { return };
    for (key, value) in entries {
        let shown = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
        let full = if path.is_empty() { shown.clone() } else { format!("{path}.{shown}") };
        if KEYS.contains(&full.as_str()) {
            unknown_keys(value, &full, mistakes);
            continue;
        }
        let siblings = KEYS.iter().filter_map(|key| match key.rsplit_once('.') {
            Some((parent, name)) => (parent == path).then_some(name),
            None => path.is_empty().then_some(*key),
        });
        let hint = nearest(&shown, siblings).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
        mistakes.push(format!("unknown key `{full}`{hint}"));
    }
}
