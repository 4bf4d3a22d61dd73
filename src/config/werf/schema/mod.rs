//! The sections of `werf.yaml` as written: every key, and what it may hold.

mod image;
mod project;
mod values;

pub(in crate::config) use image::{
    AnsibleTable, BasicAuth, DependencyEntry, DependencyImport, DockerTable, DockerfileSection, GitEntry,
    HealthcheckTable, ImageSpecConfig, ImageSpecTable, ImportEntry, MountEntry, Password, SecretEntry,
    StageDependencies, StapelSection,
};
pub(in crate::config) use project::{
    Build, Cleanup, Deploy, GlobalImageSpec, KeepPolicyTable, Limits, ProjectSection, References,
};
pub(in crate::config) use values::{Items, Maybe, Names, Raw, Texts};
