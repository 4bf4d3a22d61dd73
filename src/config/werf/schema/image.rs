//! The sections of images: stapel images and artifacts, and images from a Dockerfile.

use super::values::{Items, Maybe, Names, Raw, Texts};
use crate::config::read::{At, MapOf, table};

table! {
    /// A stapel image or an artifact.
    StapelSection {
        "image" => image: Names,
        "artifact" => artifact: String,
        "from" => from: String,
        "fromImage" => from_image: String,
        "fromArtifact" => from_artifact: String,
        "fromLatest" => from_latest: bool,
        "fromCacheVersion" => from_cache_version: String,
        "cacheVersion" => cache_version: String,
        "disableGitAfterPatch" => disable_git_after_patch: bool,
        "final" => is_final: Maybe<bool>,
        "platform" => platform: Vec<At<String>>,
        "network" => network: String,
        "git" => git: Items<GitEntry>,
        "shell" => shell: Maybe<ShellTable>,
        "ansible" => ansible: Maybe<AnsibleTable>,
        "mount" => mount: Items<MountEntry>,
        "import" => import: Items<ImportEntry>,
        "dependencies" => dependencies: Items<DependencyEntry>,
        "secrets" => secrets: Items<SecretEntry>,
        "docker" => docker: Maybe<DockerTable>,
        "imageSpec" => image_spec: Maybe<ImageSpecTable>,
    }

    /// An image from a Dockerfile.
    DockerfileSection {
        "image" => image: Names,
        "dockerfile" => dockerfile: String,
        "final" => is_final: Maybe<bool>,
        "cacheVersion" => cache_version: String,
        "context" => context: String,
        "contextAddFile" => context_add_file: Texts,
        "contextAddFiles" => context_add_files: Texts,
        "target" => target: String,
        "args" => args: MapOf<Raw>,
        "addHost" => add_host: Texts,
        "network" => network: String,
        "ssh" => ssh: String,
        "dependencies" => dependencies: Items<DependencyEntry>,
        "staged" => staged: bool,
        "platform" => platform: Vec<At<String>>,
        "secrets" => secrets: Items<SecretEntry>,
        "imageSpec" => image_spec: Maybe<ImageSpecTable>,
    }

    /// An entry of `git`.
    GitEntry {
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
        "basicAuth" => basic_auth: Maybe<BasicAuth>,
    }

    /// `stageDependencies` of a git mapping.
    StageDependencies {
        "install" => install: Texts,
        "beforeSetup" => before_setup: Texts,
        "setup" => setup: Texts,
    }

    /// `basicAuth` of a git mapping.
    BasicAuth {
        "username" => username: String,
        "password" => password: Password,
    }

    /// `basicAuth.password`.
    Password {
        "env" => env: String,
        "src" => src: String,
        "value" => value: String,
    }

    /// `shell`.
    ShellTable {
        "beforeInstall" => before_install: Texts,
        "install" => install: Texts,
        "beforeSetup" => before_setup: Texts,
        "setup" => setup: Texts,
        "cacheVersion" => cache_version: String,
        "beforeInstallCacheVersion" => before_install_cache_version: String,
        "installCacheVersion" => install_cache_version: String,
        "beforeSetupCacheVersion" => before_setup_cache_version: String,
        "setupCacheVersion" => setup_cache_version: String,
    }

    /// `ansible`.
    AnsibleTable {
        "beforeInstall" => before_install: Items<Raw>,
        "install" => install: Items<Raw>,
        "beforeSetup" => before_setup: Items<Raw>,
        "setup" => setup: Items<Raw>,
        "cacheVersion" => cache_version: String,
        "beforeInstallCacheVersion" => before_install_cache_version: String,
        "installCacheVersion" => install_cache_version: String,
        "beforeSetupCacheVersion" => before_setup_cache_version: String,
        "setupCacheVersion" => setup_cache_version: String,
    }

    /// An entry of `mount`.
    MountEntry {
        "to" => to: String,
        "from" => from: String,
        "fromPath" => from_path: String,
    }

    /// An entry of `import`.
    ImportEntry {
        "image" => image: String,
        "from" => from: String,
        "artifact" => artifact: String,
        "before" => before: String,
        "after" => after: String,
        "stage" => stage: String,
        "add" => add: String,
        "to" => to: String,
        "includePaths" => include_paths: Texts,
        "excludePaths" => exclude_paths: Texts,
        "owner" => owner: String,
        "group" => group: String,
    }

    /// An entry of `dependencies`.
    DependencyEntry {
        "from" => from: String,
        "image" => image: String,
        "before" => before: String,
        "after" => after: String,
        "imports" => imports: Items<DependencyImport>,
    }

    /// An entry of `imports` of a dependency.
    DependencyImport {
        "type" => kind: String,
        "targetEnv" => target_env: String,
        "targetBuildArg" => target_build_arg: String,
    }

    /// An entry of `secrets`.
    SecretEntry {
        "id" => id: String,
        "env" => env: String,
        "src" => src: String,
        "value" => value: String,
    }

    /// `docker`.
    DockerTable {
        "VOLUME" => volume: Texts,
        "EXPOSE" => expose: Texts,
        "ENV" => env: MapOf<String>,
        "LABEL" => label: MapOf<String>,
        "CMD" => cmd: Texts,
        "WORKDIR" => workdir: String,
        "USER" => user: String,
        "ENTRYPOINT" => entrypoint: Texts,
        "HEALTHCHECK" => healthcheck: String,
        "exactValues" => exact_values: bool,
    }

    /// `imageSpec`.
    ImageSpecTable {
        "author" => author: String,
        "clearHistory" => clear_history: bool,
        "config" => config: Maybe<ImageSpecConfig>,
    }

    /// `imageSpec.config`.
    ImageSpecConfig {
        "labels" => labels: MapOf<String>,
        "removeLabels" => remove_labels: Vec<At<String>>,
        "env" => env: MapOf<String>,
        "removeEnv" => remove_env: Vec<At<String>>,
        "volumes" => volumes: Vec<At<String>>,
        "removeVolumes" => remove_volumes: Vec<At<String>>,
        "expose" => expose: Maybe<Vec<At<String>>>,
        "user" => user: String,
        "workingDir" => working_dir: String,
        "cmd" => cmd: Maybe<Vec<At<String>>>,
        "entrypoint" => entrypoint: Maybe<Vec<At<String>>>,
        "stopSignal" => stop_signal: String,
        "healthcheck" => healthcheck: Maybe<HealthcheckTable>,
        "clearCmd" => clear_cmd: bool,
        "clearEntrypoint" => clear_entrypoint: bool,
        "clearUser" => clear_user: bool,
        "clearWorkingDir" => clear_working_dir: bool,
        "clearWerfLabels" => clear_werf_labels: bool,
        "keepEssentialWerfLabels" => keep_essential_werf_labels: bool,
    }

    /// `imageSpec.config.healthcheck`; numbers are seconds.
    HealthcheckTable {
        "test" => test: Vec<At<String>>,
        "interval" => interval: i64,
        "timeout" => timeout: i64,
        "startPeriod" => start_period: i64,
        "startperiod" => start_period_lower_case: i64,
        "retries" => retries: i64,
    }
}
