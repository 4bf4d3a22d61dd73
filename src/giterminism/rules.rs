//! `stager-giterminism.yaml`: what may be let in from outside of the commit.

use serde::Deserialize;

use super::entries::Entries;

/// The files that hold the rules, the first one there wins.
pub const RULES_FILES: &[&str] = &["stager-giterminism.yaml", "werf-giterminism.yaml"];

/// The rules as typed values; nothing is allowed by default.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The file that they were read from; the first of [`RULES_FILES`] when there is none.
    pub(super) file: String,
    pub(super) allow_uncommitted_config: bool,
    pub(super) uncommitted_templates: Entries,
    pub(super) env_variables: Entries,
    pub(super) uncommitted_files: Entries,
    pub(super) secret_env_variables: Entries,
    pub(super) secret_files: Entries,
    pub(super) from_latest: bool,
    pub(super) git_branches: Branches,
    pub(super) base_files: Entries,
    pub(super) host_mounts: Entries,
    pub(super) host_network: bool,
}

/// Which branches of remote repositories may be used.
#[derive(Debug, Clone, Default)]
pub(super) struct Branches {
    pub(super) all: bool,
    pub(super) some: Entries,
}

impl Rules {
    /// Reads the text of a rules file.
    ///
    /// # Errors
    /// Says what is wrong, with the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, String> {
        let document: Document = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        match &document.giterminism_config_version {
            Version::Number(1) => {}
            Version::Text(text) if text == "1" => {}
            _ => return Err("`giterminismConfigVersion` must be 1".to_owned()),
        }
        let Config {
            allow_uncommitted,
            allow_uncommitted_templates,
            go_template_rendering,
            stapel,
            secrets,
            native,
            ..
        } = document.config;
        let mut host_mounts = stapel.mount.allow_from_paths;
        host_mounts.extend(native.allow_host_mounts);
        Ok(Self {
            file: file.to_owned(),
            allow_uncommitted_config: allow_uncommitted,
            uncommitted_templates: Entries::new(&allow_uncommitted_templates)?,
            env_variables: Entries::new(&go_template_rendering.allow_env_variables)?,
            uncommitted_files: Entries::new(&go_template_rendering.allow_uncommitted_files)?,
            secret_env_variables: Entries::new(&secrets.allow_env_variables)?,
            secret_files: Entries::new(&secrets.allow_files)?,
            from_latest: stapel.allow_from_latest || native.allow_from_latest,
            git_branches: Branches { all: stapel.git.allow_branch, some: Entries::new(&native.allow_git_branches)? },
            base_files: Entries::new(&native.allow_base_files)?,
            host_mounts: Entries::new(&host_mounts)?,
            host_network: native.allow_host_network,
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Version {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "giterminismConfigVersion")]
    giterminism_config_version: Version,
    #[serde(default)]
    config: Config,
    /// Rules of werf's that concern what stager does not do; accepted so that one file serves both.
    #[serde(default, rename = "cli")]
    _cli: Ignored,
    #[serde(default, rename = "helm")]
    _helm: Ignored,
    #[serde(default, rename = "includes")]
    _includes: Ignored,
}

#[derive(Default, Deserialize)]
struct Ignored {}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    allow_uncommitted: bool,
    allow_uncommitted_templates: Vec<String>,
    go_template_rendering: Rendering,
    stapel: Stapel,
    secrets: Secrets,
    native: Native,
    #[serde(rename = "dockerfile")]
    _dockerfile: Dockerfile,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Rendering {
    allow_env_variables: Vec<String>,
    allow_uncommitted_files: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Stapel {
    allow_from_latest: bool,
    git: StapelGit,
    mount: StapelMount,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct StapelGit {
    allow_branch: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct StapelMount {
    #[serde(rename = "allowBuildDir")]
    _allow_build_dir: bool,
    allow_from_paths: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Dockerfile {
    #[serde(rename = "allowUncommitted")]
    _allow_uncommitted: Vec<String>,
    #[serde(rename = "allowUncommittedDockerignoreFiles")]
    _allow_uncommitted_dockerignore_files: Vec<String>,
    #[serde(rename = "allowContextAddFiles")]
    _allow_context_add_files: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Secrets {
    allow_env_variables: Vec<String>,
    allow_files: Vec<String>,
    #[serde(rename = "allowValueIds")]
    _allow_value_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Native {
    allow_from_latest: bool,
    allow_base_files: Vec<String>,
    allow_git_branches: Vec<String>,
    allow_host_mounts: Vec<String>,
    allow_host_network: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_of_either_tool_is_read() {
        let text = "giterminismConfigVersion: \"1\"\ncli: {allowCustomTags: true}\nconfig:\n  allowUncommitted: true\n  \
                    goTemplateRendering: {allowEnvVariables: [CI, /A_.*/]}\n  stapel: {mount: {allowFromPaths: [/cache]}}\n  \
                    dockerfile: {allowUncommitted: [Dockerfile]}\n  native: {allowHostMounts: [/ccache]}\nhelm: {}\n";
        let rules = Rules::parse("werf-giterminism.yaml", text).unwrap();
        assert!(rules.allow_uncommitted_config && rules.env_variables.allow("A_B"));
        assert!(rules.host_mounts.allow("/cache") && rules.host_mounts.allow("/ccache"));
    }

    #[test]
    fn unknown_keys_and_versions_are_refused() {
        let unknown = Rules::parse("f", "giterminismConfigVersion: 1\nconfig: {allowUncomitted: true}\n").unwrap_err();
        assert!(unknown.contains("allowUncomitted") && unknown.contains("line 2"), "{unknown}");
        assert!(Rules::parse("f", "giterminismConfigVersion: 2\n").is_err());
        assert!(Rules::parse("f", "config: {}\n").is_err());
    }
}
