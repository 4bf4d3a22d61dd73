//! The sections of `werf.yaml` as written: every key, and what it may hold.

mod image;
mod project;
mod values;

pub(super) use image::{
    AnsibleTable, BasicAuth, DependencyEntry, DependencyImport, DockerTable, DockerfileSection, GitEntry,
    HealthcheckTable, ImageSpecConfig, ImageSpecTable, ImportEntry, MountEntry, SecretEntry, StageDependencies,
    StapelSection,
};
pub(super) use project::{
    Build, Cleanup, Deploy, GlobalImageSpec, KeepPolicyTable, Limits, ProjectSection, References,
};
pub(super) use values::{Items, Maybe, Names, Raw, Texts};
