//! Templates: minijinja for the native format, and Go's text/template ([`gotemplate`]) for the dialects that use it.
//!
//! [`render`] turns a template into text. It reads files and variables through a [`FileReader`] only, so the policy of
//! the reader holds for templates too. [`origins`] says, for a rendered text, which template line each of its lines came
//! from; it renders a second time and is meant for the moment when something is wrong.
//!
//! A template sees: `env(name, default)`, `files.read(path)`, `files.glob(pattern)`, `files.exists(path)`,
//! `git.commit`, `git.branch`, `git.tag` (`none` when there is none), `project`, the filters of minijinja plus `slug` and
//! `quote`, and the templates under `.stager/` by `include`, `import` and `extends`. What is undefined is an error, and
//! so is writing `none`. Work and output are bounded.
//!
//! [`FileReader`]: crate::source::FileReader

mod explain;
mod filters;
mod go;
pub mod gotemplate;
mod jinja;
mod marks;
mod origin;
mod values;

pub use filters::slug;
pub use go::{DebugSink, GoDialect, GoOrigin, GoOrigins, GoRendered, GoRequest, GoTemplate, render_go};
pub use gotemplate::{CommitFacts, yaml_scalar};
pub use jinja::{GitValues, Rendered, TemplateFailure, TemplateRequest, has_tags, render};
pub use origin::{Origin, Origins, origins};
