//! The operations behind the commands: options in, report out. No clap, no terminal.

mod build;
mod error;
mod namespace;
mod project;
mod selection;

pub use build::{BuildOptions, Built, build};
pub use error::Error;
pub use project::{OpenProject, ProjectFiles, ProjectOptions, RegistryAccess, TemplateOptions};
pub use selection::{Selection, select};
