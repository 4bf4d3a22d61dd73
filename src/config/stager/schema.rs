//! The documents of `stager.yaml` as written: every key, and what it may hold.

use crate::config::read::{AnyScalar, At, FromNode, MapOf, OneOrMany, Reader, TextOrList, table};
use crate::config::yaml::{Content, Node};

table! {
    /// The first document.
    ProjectDocument {
        "stager" => stager: String,
        "project" => project: String,
        "platforms" => platforms: Vec<At<String>>,
        "cacheVersion" => cache_version: AnyScalar,
        "cleanup" => cleanup: Cleanup,
    }

    /// `cleanup`.
    Cleanup {
        "keepBuiltWithinHours" => keep_built_within_hours: u32,
        "keep" => keep: Vec<At<KeepEntry>>,
    }

    /// An entry of `cleanup.keep`.
    KeepEntry {
        "references" => references: References,
        "imagesPerReference" => images_per_reference: LimitTable,
    }

    /// `references` of a keep policy.
    References {
        "branch" => branch: String,
        "tag" => tag: String,
        "limit" => limit: LimitTable,
    }

    /// How many, and how old.
    LimitTable {
        "last" => last: i64,
        "in" => within: String,
        "operator" => operator: String,
    }

    /// Any other document: an image or an artifact.
    ImageDocument {
        "image" => image: String,
        "artifact" => artifact: String,
        "from" => from: String,
        "fromLatest" => from_latest: bool,
        "fromImage" => from_image: String,
        "fromArtifact" => from_artifact: String,
        "fromCacheVersion" => from_cache_version: AnyScalar,
        "git" => git: Vec<At<GitEntry>>,
        "deps" => deps: Deps,
        "import" => import: Vec<At<ImportEntry>>,
        "build" => build: Build,
        "mount" => mount: Vec<At<MountEntry>>,
        "post" => post: PostTable,
        "tests" => tests: Vec<At<TestEntry>>,
        "publish" => publish: Publish,
    }

    /// An entry of `git`.
    GitEntry {
        "add" => add: String,
        "to" => to: String,
        "includePaths" => include_paths: OneOrMany<String>,
        "excludePaths" => exclude_paths: OneOrMany<String>,
        "owner" => owner: String,
        "group" => group: String,
        "url" => url: String,
        "commit" => commit: String,
        "tag" => tag: String,
        "branch" => branch: String,
    }

    /// `deps`.
    Deps {
        "packages" => packages: PackageLists,
        "run" => run: OneOrMany<StepEntry>,
        "env" => env: MapOf<AnyScalar>,
        "network" => network: String,
        "files" => files: OneOrMany<String>,
        "caches" => caches: Vec<At<CacheEntry>>,
        "secrets" => secrets: Vec<At<SecretEntry>>,
    }

    /// `deps.packages` by package manager.
    PackagesByManager {
        "apt" => apt: OneOrMany<String>,
        "apk" => apk: OneOrMany<String>,
        "dnf" => dnf: OneOrMany<String>,
    }

    /// `build`.
    Build {
        "env" => env: MapOf<AnyScalar>,
        "network" => network: String,
        "files" => files: OneOrMany<String>,
        "caches" => caches: Vec<At<CacheEntry>>,
        "secrets" => secrets: Vec<At<SecretEntry>>,
        "steps" => steps: Vec<At<StepEntry>>,
    }

    /// A step that says more than its command.
    StepTable {
        "name" => name: String,
        "command" => command: TextOrList,
        "files" => files: OneOrMany<String>,
        "env" => env: MapOf<AnyScalar>,
        "network" => network: String,
        "caches" => caches: Vec<At<CacheEntry>>,
        "secrets" => secrets: Vec<At<SecretEntry>>,
        "timeout" => timeout: String,
    }

    /// An entry of `caches`.
    CacheEntry {
        "path" => path: String,
        "id" => id: String,
        "sharing" => sharing: String,
    }

    /// An entry of `secrets`.
    SecretEntry {
        "id" => id: String,
        "src" => src: String,
        "env" => env: String,
    }

    /// An entry of `import`.
    ImportEntry {
        "fromImage" => from_image: String,
        "fromArtifact" => from_artifact: String,
        "from" => from: String,
        "add" => add: String,
        "to" => to: String,
        "includePaths" => include_paths: OneOrMany<String>,
        "excludePaths" => exclude_paths: OneOrMany<String>,
        "owner" => owner: String,
        "group" => group: String,
        "before" => before: String,
        "after" => after: String,
    }

    /// An entry of `mount`.
    MountEntry {
        "to" => to: String,
        "from" => from: String,
    }

    /// `post`.
    PostTable {
        "symlinks" => symlinks: MapOf<SymlinkTable>,
        "labels" => labels: MapOf<AnyScalar>,
        "env" => env: MapOf<AnyScalar>,
        "entrypoint" => entrypoint: TextOrList,
        "cmd" => cmd: TextOrList,
        "workdir" => workdir: String,
        "user" => user: String,
        "stopSignal" => stop_signal: String,
        "volumes" => volumes: OneOrMany<String>,
        "expose" => expose: OneOrMany<String>,
        "healthcheck" => healthcheck: HealthcheckTable,
    }

    /// A value of `post.symlinks`.
    SymlinkTable {
        "paths" => paths: OneOrMany<String>,
        "uid" => uid: u32,
        "gid" => gid: u32,
    }

    /// `post.healthcheck`.
    HealthcheckTable {
        "test" => test: TextOrList,
        "interval" => interval: String,
        "timeout" => timeout: String,
        "startPeriod" => start_period: String,
        "startInterval" => start_interval: String,
        "retries" => retries: u32,
    }

    /// An entry of `tests`.
    TestEntry {
        "name" => name: String,
        "env" => env: MapOf<AnyScalar>,
        "steps" => steps: Vec<At<TestStepEntry>>,
        "files" => files: MapOf<FileCheckTable>,
    }

    /// An entry of a test's `steps`.
    TestStepEntry {
        "command" => command: String,
        "stdin" => stdin: String,
        "stdout" => stdout: TextCheckTable,
        "stderr" => stderr: TextCheckTable,
        "exitCode" => exit_code: u32,
    }

    /// What a text must be.
    TextCheckTable {
        "equals" => equals: String,
        "contains" => contains: OneOrMany<String>,
        "startsWith" => starts_with: String,
        "endsWith" => ends_with: String,
        "matches" => matches: OneOrMany<String>,
        "empty" => empty: bool,
    }

    /// What a file must be; the keys of a text check apply to its content.
    FileCheckTable {
        "notExist" => not_exist: bool,
        "isDir" => is_dir: bool,
        "permissions" => permissions: String,
        "linkTarget" => link_target: String,
        "equals" => equals: String,
        "contains" => contains: OneOrMany<String>,
        "startsWith" => starts_with: String,
        "endsWith" => ends_with: String,
        "matches" => matches: OneOrMany<String>,
        "empty" => empty: bool,
    }

    /// `publish`.
    Publish {
        "tags" => tags: OneOrMany<String>,
    }
}

/// `deps.packages`: a list, or lists by package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PackageLists {
    Any(Vec<At<String>>),
    ByManager(PackagesByManager),
}

impl FromNode for PackageLists {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Mapping(_) => PackagesByManager::read(node, reader).map(Self::ByManager),
            Content::Sequence(_) => Vec::read(node, reader).map(Self::Any),
            Content::Scalar(_) if node.is_null() => Some(Self::Any(Vec::new())),
            Content::Scalar(_) => {
                reader.wrong_type(node, "a list, or a map of lists by package manager");
                None
            }
        }
    }
}

/// A step: its command, or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StepEntry {
    Command(String),
    Table(Box<StepTable>),
}

impl FromNode for StepEntry {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Mapping(_) => StepTable::read(node, reader).map(|table| Self::Table(Box::new(table))),
            Content::Scalar(_) if !node.is_null() => String::read(node, reader).map(Self::Command),
            _ => {
                reader.wrong_type(node, "a command or a map");
                None
            }
        }
    }
}
