//! What a config says, whatever its dialect: every dialect lowers into [`Project`].
//!
//! Values are validated by the dialect: paths are absolute and clean where the field says so, references between images
//! exist and have no cycle, names are unique.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::ids::{ImageName, Platform, ProjectName};
use crate::kind::{Slot, StageKind};

/// A whole config: the project and its images in the order they were written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Project {
    /// The name of the project.
    pub name: ProjectName,
    /// The platforms to build for; never empty.
    pub platforms: Vec<Platform>,
    /// Enters the `from` stage of every image that has none of its own; empty when not set.
    pub cache_version: String,
    /// The repository that images are named in where one names another; `None` as long as they are published nowhere: then
    /// they are known by the project's name.
    #[serde(skip)]
    pub repository: Option<String>,
    /// Images and artifacts.
    pub images: Vec<ImageSpec>,
}

impl Project {
    /// The image or artifact of that name.
    pub fn image(&self, name: &ImageName) -> Option<&ImageSpec> {
        self.images.iter().find(|image| image.name == *name)
    }
}

/// One image or artifact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageSpec {
    /// Unique in the project, images and artifacts together.
    pub name: ImageName,
    /// An artifact is made when something needs it, and never published.
    pub artifact: bool,
    /// Whether it is meant to be published; an image that is not is built like any other.
    pub is_final: bool,
    /// The platforms it is built for; empty for the project's.
    pub platforms: Vec<Platform>,
    /// What it starts from.
    pub base: Base,
    /// Enters the `from` stage in place of the project's; `None` takes that.
    pub cache_version: Option<String>,
    /// Free text that enters the `from` stage; `None` when not set (an empty text is a value).
    pub from_cache_version: Option<String>,
    /// Git content, in order: where two mappings bring the same path, the later one wins.
    pub git: Vec<GitMapping>,
    /// What happens on top of the base, in order: each dialect has an order of its own. At most one place is
    /// [`Content::Git`]; steps behind it see git content, steps before it don't.
    pub conveyor: Vec<Place>,
    /// Mounts that every step of this image sees.
    pub mounts: Vec<Mount>,
    /// Tests run against the finished image.
    pub tests: Vec<ImageTest>,
    /// Tags to publish the image under.
    pub publish_tags: Vec<String>,
}

impl ImageSpec {
    /// Its imports in the conveyor's order.
    pub fn imports(&self) -> impl Iterator<Item = &Import> {
        self.import_places().flat_map(|imports| &imports.files)
    }

    /// The variables that tell its steps about other images, in the conveyor's order.
    pub fn variables(&self) -> impl Iterator<Item = &ImageVariable> {
        self.import_places().flat_map(|imports| &imports.variables)
    }

    fn import_places(&self) -> impl Iterator<Item = &Imports> {
        self.conveyor.iter().filter_map(|place| match &place.content {
            Content::Imports(imports) => Some(imports),
            _ => None,
        })
    }
}

/// A place in an image's conveyor, and what the config puts there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// Names the stage; unique in the image.
    pub slot: Slot,
    /// What kind of stage it becomes.
    pub kind: StageKind,
    /// What is there.
    pub content: Content,
}

impl Place {
    /// A place.
    pub fn new(kind: StageKind, slot: impl Into<String>, content: Content) -> Self {
        Self { slot: Slot::new(slot), kind, content }
    }
}

/// What a place of the conveyor holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// Files and names of other images.
    Imports(Imports),
    /// Packages to install.
    Packages(Packages),
    /// The git content of [`ImageSpec::git`].
    Git,
    /// A command to run; the plan holds the same one.
    Step(#[serde(serialize_with = "shared")] Arc<Step>),
    /// Symlinks and image config.
    Post(Box<Post>),
}

/// What one stage takes from other images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imports {
    /// Files, in order.
    pub files: Vec<Import>,
    /// Variables that name other images; they stay in the image's environment.
    pub variables: Vec<ImageVariable>,
}

impl Imports {
    /// Whether nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.variables.is_empty()
    }
}

/// An environment variable that says something about another image of this config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageVariable {
    /// Its name.
    pub name: String,
    /// Which image.
    pub image: ImageName,
    /// What it says of it.
    pub value: ImageAttribute,
}

/// What can be said of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageAttribute {
    /// `REPOSITORY:TAG`.
    Name,
    /// The tag: the image's digest in hex.
    Tag,
    /// The repository.
    Repository,
    /// The digest of its manifest.
    ManifestDigest,
    /// The digest of its config.
    Id,
}

impl ImageAttribute {
    /// The name in digests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tag => "tag",
            Self::Repository => "repository",
            Self::ManifestDigest => "manifestDigest",
            Self::Id => "id",
        }
    }
}

/// What an image starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Base {
    /// Nothing at all.
    Scratch,
    /// An image of a registry.
    Registry {
        /// The canonical reference, with a tag or digest.
        reference: String,
        /// `fromLatest`: the reference's current manifest digest enters the stage digest.
        latest: bool,
    },
    /// A file of the commit (or one that giterminism allows).
    File {
        /// How to read it.
        format: BaseFormat,
        /// Relative to the project directory and clean, or absolute; with the image named in it (see
        /// [`BaseFormat::split`]).
        path: String,
    },
    /// Another image of this config (`fromImage`).
    Image {
        /// Its name.
        name: ImageName,
    },
    /// An artifact of this config (`fromArtifact`).
    Artifact {
        /// Its name.
        name: ImageName,
    },
    /// What a Dockerfile makes.
    Dockerfile(Box<DockerfileImage>),
}

impl Base {
    /// The image of this config that this base names.
    pub fn image(&self) -> Option<&ImageName> {
        match self {
            Self::Image { name } | Self::Artifact { name } => Some(name),
            Self::Scratch | Self::Registry { .. } | Self::File { .. } | Self::Dockerfile(_) => None,
        }
    }
}

/// An image made by a Dockerfile. Paths are clean and relative to the project directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DockerfileImage {
    /// The Dockerfile.
    pub dockerfile: String,
    /// The directory of the context; empty for the project directory.
    pub context: String,
    /// Files and directories from the disk that are added to the context.
    pub context_add_files: Vec<String>,
    /// The stage to make; `None` for the last one.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Lines for `/etc/hosts` while building, `HOST:IP`.
    pub add_hosts: Vec<String>,
    /// The network of its instructions, as the builder names it.
    pub network: Option<String>,
    /// The ssh agent or key that is passed through.
    pub ssh: Option<String>,
    /// Secrets of its instructions.
    pub secrets: Vec<Secret>,
    /// Build arguments that name other images.
    pub variables: Vec<ImageVariable>,
    /// One stage for each instruction.
    pub staged: bool,
}

/// The formats of base files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseFormat {
    /// An OCI image layout directory.
    Oci,
    /// A tar of an OCI image layout.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
    /// A tar of a root file system.
    Rootfs,
}

impl BaseFormat {
    /// Splits what follows the prefix into the path and the image named in it (`DIR:TAG`, `FILE@DIGEST`, …). A path has no
    /// colon; a root file system names no image.
    pub fn split(self, text: &str) -> (&str, Option<&str>) {
        if self == Self::Rootfs {
            return (text, None);
        }
        let end = text.find("@sha256:").or_else(|| text.find(':')).unwrap_or(text.len());
        (&text[..end], text.get(end + 1..).filter(|reference| !reference.is_empty()))
    }

    /// The prefix in a `from` value, such as `oci-archive`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
            Self::Rootfs => "rootfs",
        }
    }
}

/// Git content placed into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GitMapping {
    /// Which repository.
    pub source: GitSource,
    /// Absolute path inside the repository (for the local one: inside the project directory); `/` is all of it.
    pub add: String,
    /// Absolute path in the image.
    pub to: String,
    /// Patterns relative to `add`; none means everything.
    pub include_paths: Vec<String>,
    /// Patterns relative to `add`.
    pub exclude_paths: Vec<String>,
    /// Owner of what is placed.
    pub owner: Owner,
    /// The mode of directories below the target; the target itself and what is above it always have 0755.
    pub directory_mode: u32,
    /// Whether it is an error when nothing is selected.
    pub required: bool,
}

impl GitMapping {
    /// The mode of directories unless a dialect says otherwise.
    pub const DIRECTORY_MODE: u32 = 0o755;
}

/// Where git content comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum GitSource {
    /// The project's own repository at its commit.
    Local,
    /// Another repository.
    Remote {
        /// Its address.
        url: String,
        /// What to take of it.
        reference: GitReference,
    },
}

/// What to take of a remote repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GitReference {
    /// A full commit id.
    Commit(String),
    /// A tag.
    Tag(String),
    /// A branch: its tip is looked up at each run, so giterminism must allow it.
    Branch(String),
}

/// User and group of placed files, by name or number; `None` keeps the default (0, or the source's own for imports).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// A user name of the image's `/etc/passwd`, or a number.
    pub user: Option<String>,
    /// A group name of the image's `/etc/group`, or a number.
    pub group: Option<String>,
}

/// Packages to install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Packages {
    /// By the manager found in the base.
    Any(Vec<String>),
    /// By manager: the list of the one found in the base is taken; a base with none of them is an error.
    ByManager(BTreeMap<PackageManager, Vec<String>>),
}

/// The package managers stager drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// Debian's `apt-get`.
    Apt,
    /// Alpine's `apk`.
    Apk,
    /// `dnf`, `tdnf` or `microdnf`, whichever is there.
    Dnf,
}

/// One command to run in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Names the stage: `build/<name>`; unique in its list.
    pub name: String,
    /// What to run.
    pub command: Command,
    /// Which git files it sees, and is keyed by.
    pub files: FileView,
    /// Environment of this step beyond the base image's.
    pub env: BTreeMap<String, String>,
    /// Environment that it sees without being keyed by it, one for all steps of a config; none in the native format.
    #[serde(serialize_with = "shared")]
    pub unkeyed_env: Arc<BTreeMap<String, String>>,
    /// Free texts that enter the digest under these names, `cacheVersion` and `stageCacheVersion`: to make it anew.
    pub cache_versions: BTreeMap<String, String>,
    /// Its network.
    pub network: Network,
    /// Cache mounts.
    pub caches: Vec<CacheMount>,
    /// Secrets; only ids and places are keyed, never values.
    pub secrets: Vec<Secret>,
    /// Killed after so many seconds.
    pub timeout_seconds: Option<u64>,
}

fn shared<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

/// What a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// A script for `/bin/sh -e`.
    Shell(String),
    /// An argument vector, run without a shell.
    Exec(Vec<String>),
    /// Commands run one after the other by one bash (`sh` where the base has none), which ends at the first that fails;
    /// with none of them nothing runs.
    Script(Vec<String>),
    /// Ansible tasks, each as JSON, run on the image itself.
    Ansible(Vec<String>),
}

/// Which of the mapped git files a step sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FileView {
    /// All mapped files.
    All,
    /// Those that match one of these patterns, relative to the mapped repository's root (local: the project directory).
    Matching(Vec<String>),
    /// It sees all mapped files and is keyed only by those that match: for each mapping in order, patterns relative to its
    /// `add`. (werf's `stageDependencies`: the config takes it upon itself that they name all that matters.)
    KeyedBy(Vec<Vec<String>>),
}

/// The network a step has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The builder's default: the user's own network for the native builder.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's network; giterminism must allow it.
    Host,
}

/// A directory that outlives the step and never enters a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheMount {
    /// Absolute path in the image.
    pub path: String,
    /// Names the directory within the project; defaults to the path.
    pub id: String,
    /// Who may use it at the same time.
    pub sharing: Sharing,
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Everybody at once.
    #[default]
    Shared,
    /// Each concurrent user gets a directory of its own.
    Private,
    /// One at a time; others wait.
    Locked,
}

/// A secret file at `/run/secrets/<id>`, or where `target` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Its id, a plain file name.
    pub id: String,
    /// Where the value comes from.
    pub source: SecretSource,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretSource {
    /// A host file; `~/` is the user's home, a relative path is relative to the project directory.
    File(String),
    /// An environment variable of the host.
    Env(String),
    /// A value written in the config itself.
    Value(String),
}

/// Files from another image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// From where.
    pub source: ImportSource,
    /// The place of the source's conveyor after which its files are taken; `None`, or one that the source has not, is its end.
    pub stage: Option<Slot>,
    /// Absolute path in the source: a file, or a directory whose content is taken.
    pub add: String,
    /// Absolute path in this image.
    pub to: String,
    /// Patterns relative to `add`; none means everything.
    pub include_paths: Vec<String>,
    /// Patterns relative to `add`.
    pub exclude_paths: Vec<String>,
    /// New owner; what is not set keeps the source's.
    pub owner: Owner,
    /// Whether a selection of nothing is nothing; else it is an empty directory. `add` must exist in either case.
    pub required: bool,
    /// How its places are found.
    pub places: ImportPlaces,
}

/// How the places of an import are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportPlaces {
    /// A link at `add` is taken as a link, and `to` is the name of what is made, whatever the image has there.
    #[default]
    Exact,
    /// As a copying tool finds them: of a link to a directory at `add` the content is taken, a directory (or a link to one)
    /// at `to` is gone into, and patterns over all of an image leave out `/proc`, `/sys` and `/dev`.
    Followed,
}

/// Where an import takes its files from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportSource {
    /// An image of this config.
    Image(ImageName),
    /// An artifact of this config.
    Artifact(ImageName),
    /// A canonical registry reference.
    External(String),
}

impl ImportSource {
    /// The image of this config that is imported from.
    pub fn image(&self) -> Option<&ImageName> {
        match self {
            Self::Image(name) | Self::Artifact(name) => Some(name),
            Self::External(_) => None,
        }
    }
}

/// A mount that every step of an image sees; its content never enters a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Absolute path in the image.
    pub to: String,
    /// What is mounted there.
    pub source: MountSource,
}

/// What a mount brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MountSource {
    /// An empty directory, gone after the step.
    Tmp,
    /// A directory that is empty when the build starts, shared by the steps of one image, gone with the build.
    Run,
    /// A directory kept between builds of the project, shared by path.
    Cache,
    /// A host path; giterminism must allow it.
    Host(String),
}

/// The image-post stage: symlinks, and the image config. `None` and empty maps keep what the base has. What is to be removed
/// goes first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Post {
    /// Target of the links → where they are created.
    pub symlinks: BTreeMap<String, Symlinks>,
    /// Added to the base's labels.
    pub labels: BTreeMap<String, String>,
    /// Added to the base's environment; variables in them mean the values before this stage.
    pub env: BTreeMap<String, String>,
    /// How its texts are read.
    pub rules: PostRules,
    /// The entrypoint; `Some([])` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// The command; `Some([])` clears it.
    pub cmd: Option<Vec<String>>,
    /// The working directory.
    pub workdir: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The stop signal.
    pub stop_signal: Option<String>,
    /// Volumes, added to the base's.
    pub volumes: Vec<String>,
    /// Exposed ports (`8080/tcp`), added to the base's.
    pub expose: Vec<String>,
    /// The health check.
    pub healthcheck: Option<Healthcheck>,
    /// Triggers for images that a Dockerfile makes of this one.
    pub on_build: Vec<String>,
    /// What is removed from the base's config before anything is added.
    pub remove: Removal,
    /// The author; `None` keeps the base's.
    pub author: Option<String>,
    /// Empties the history, but for what layers need.
    pub clear_history: bool,
}

/// What is removed from a base's config. Names are exact, or `/regular expressions/` for the whole name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Keys of labels.
    pub labels: Vec<String>,
    /// Names of environment variables.
    pub env: Vec<String>,
    /// Paths of volumes.
    pub volumes: Vec<String>,
    /// All exposed ports.
    pub ports: bool,
}

impl Post {
    /// Whether the stage has nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self { rules: self.rules, ..Self::default() }
    }
}

/// How the texts of a [`Post`] are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PostRules {
    /// In `env`, `$NAME` and `${NAME}` are variables; any other `${…}` is an error.
    #[default]
    Plain,
    /// As instructions of a Dockerfile that are put on a container: variables, also with a default (`${NAME:-text}`), in
    /// `env`, labels, volumes, ports, user, working directory and stop signal, whose quotes are resolved already; a health
    /// check that leaves something out keeps it from the base.
    Instructions,
    /// Each value of `env` is a word of a shell: quotes are resolved, and variables may have a default.
    Words,
}

impl PostRules {
    /// The name in digests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Instructions => "instructions",
            Self::Words => "words",
        }
    }
}

/// Links to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Symlinks {
    /// Absolute paths of the links.
    pub paths: Vec<String>,
    /// Owner of the links.
    pub uid: u32,
    /// Group of the links.
    pub gid: u32,
}

/// A health check as Docker's image config has it; times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`.
    pub test: Vec<String>,
    /// Time between checks.
    pub interval: Option<i64>,
    /// Time for one check.
    pub timeout: Option<i64>,
    /// Time before failures count.
    pub start_period: Option<i64>,
    /// Time between checks during the start period.
    pub start_interval: Option<i64>,
    /// Failures in a row until unhealthy.
    pub retries: Option<i64>,
}

/// A test of the finished image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageTest {
    /// Its name, unique in the image.
    pub name: String,
    /// Environment of its steps.
    pub env: BTreeMap<String, String>,
    /// Commands and what they must print.
    pub steps: Vec<TestStep>,
    /// Files that must be as said.
    pub files: BTreeMap<String, FileCheck>,
}

/// One command of a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TestStep {
    /// Run by `/bin/sh -e`.
    pub command: String,
    /// Given on standard input.
    pub stdin: Option<String>,
    /// What standard output must be.
    pub stdout: TextCheck,
    /// What standard error must be.
    pub stderr: TextCheck,
    /// The exit code it must have.
    pub exit_code: i32,
}

/// What a text must be; checks that are not set do not apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TextCheck {
    /// Exactly this.
    pub equals: Option<String>,
    /// All of these are somewhere in it.
    pub contains: Vec<String>,
    /// It starts so.
    pub starts_with: Option<String>,
    /// It ends so.
    pub ends_with: Option<String>,
    /// All of these regular expressions match.
    pub matches: Vec<String>,
    /// It is empty.
    pub empty: bool,
}

/// What a file must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// It must not exist.
    pub not_exist: bool,
    /// It is a directory.
    pub is_dir: Option<bool>,
    /// Its permission bits.
    pub permissions: Option<u32>,
    /// Its target, when it is a link.
    pub link_target: Option<String>,
    /// Its content.
    pub content: TextCheck,
}
