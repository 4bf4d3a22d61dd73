//! The operations behind the commands: options in, report out. No clap, no terminal.

mod access;
mod build;
mod ci_env;
mod error;
mod giterminism;
mod includes;
mod login;
mod logins;
mod mapped;
mod namespace;
mod project;
mod promotion;
mod publish_index;
mod repositories;
mod selection;
mod stages;
mod stages_copy;
mod unmatched;

pub use access::{RegistriesFile, RegistryAccess};
pub use build::{BuildOptions, Built, build};
pub use ci_env::{CiEnv, CiEnvError, CiEnvOptions, CiSystem, ci_env};
pub use error::Error;
pub use giterminism::{Checked, RefusedItem, check_giterminism};
pub use login::{LoggedIn, LoginOptions, login, logout};
pub use project::{OpenProject, ProjectFiles, ProjectOptions, TemplateOptions};
pub use publish_index::{PublishIndexOptions, publish_index};
pub use repositories::Repositories;
pub use selection::{Selection, select};
pub use stages::{ListedStage, ShownBlob, ShownLayer, ShownStage, StageName, StageStorage, list_stages, show_stage};
pub use stages_copy::{CopyOptions, CopyWhat, copy_stages};
