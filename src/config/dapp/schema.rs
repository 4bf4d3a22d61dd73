//! The sections of `dappfile.yml` as written: every key, and what it may hold.

use crate::config::read::{MapOf, table};
use crate::config::werf::schema::{Items, Maybe, MountEntry, Names, Raw, Texts};

table! {
    /// A dimg or an artifact.
    DimgSection {
        "dimg" => dimg: Names,
        "artifact" => artifact: String,
        "from" => from: String,
        "fromCacheVersion" => from_cache_version: String,
        "fromDimg" => from_dimg: String,
        "fromDimgArtifact" => from_dimg_artifact: String,
        "git" => git: Items<GitEntry>,
        "shell" => shell: Maybe<ShellTable>,
        "ansible" => ansible: Maybe<AnsibleTable>,
        "mount" => mount: Items<MountEntry>,
        "import" => import: Items<ImportEntry>,
        "docker" => docker: Maybe<DockerTable>,
        "asLayers" => as_layers: bool,
    }

    /// An entry of `git`.
    GitEntry {
        "as" => alias: String,
        "add" => add: String,
        "to" => to: String,
        "includePaths" => include_paths: Texts,
        "excludePaths" => exclude_paths: Texts,
        "owner" => owner: String,
        "group" => group: String,
        "stageDependencies" => stage_dependencies: Maybe<StageDependencies>,
        "url" => url: String,
        "branch" => branch: String,
        "tag" => tag: String,
        "commit" => commit: String,
    }

    /// `stageDependencies` of a git entry.
    StageDependencies {
        "install" => install: Texts,
        "beforeSetup" => before_setup: Texts,
        "setup" => setup: Texts,
        "buildArtifact" => build_artifact: Texts,
    }

    /// `shell`.
    ShellTable {
        "beforeInstall" => before_install: Texts,
        "install" => install: Texts,
        "beforeSetup" => before_setup: Texts,
        "setup" => setup: Texts,
        "buildArtifact" => build_artifact: Texts,
        "cacheVersion" => cache_version: String,
        "beforeInstallCacheVersion" => before_install_cache_version: String,
        "installCacheVersion" => install_cache_version: String,
        "beforeSetupCacheVersion" => before_setup_cache_version: String,
        "setupCacheVersion" => setup_cache_version: String,
        "buildArtifactCacheVersion" => build_artifact_cache_version: String,
    }

    /// `ansible`.
    AnsibleTable {
        "beforeInstall" => before_install: Items<Raw>,
        "install" => install: Items<Raw>,
        "beforeSetup" => before_setup: Items<Raw>,
        "setup" => setup: Items<Raw>,
        "buildArtifact" => build_artifact: Items<Raw>,
        "cacheVersion" => cache_version: String,
        "beforeInstallCacheVersion" => before_install_cache_version: String,
        "installCacheVersion" => install_cache_version: String,
        "beforeSetupCacheVersion" => before_setup_cache_version: String,
        "setupCacheVersion" => setup_cache_version: String,
        "buildArtifactCacheVersion" => build_artifact_cache_version: String,
    }

    /// An entry of `import`.
    ImportEntry {
        "artifact" => artifact: String,
        "before" => before: String,
        "after" => after: String,
        "add" => add: String,
        "to" => to: String,
        "includePaths" => include_paths: Texts,
        "excludePaths" => exclude_paths: Texts,
        "owner" => owner: String,
        "group" => group: String,
    }

    /// `docker`.
    DockerTable {
        "VOLUME" => volume: Texts,
        "EXPOSE" => expose: Texts,
        "ENV" => env: MapOf<String>,
        "LABEL" => label: MapOf<String>,
        "CMD" => cmd: Texts,
        "ONBUILD" => on_build: Texts,
        "WORKDIR" => workdir: String,
        "USER" => user: String,
        "ENTRYPOINT" => entrypoint: Texts,
    }
}
