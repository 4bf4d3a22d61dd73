//! Go templates of configs: the functions and data of a dialect over a [`FileReader`], the template's errors as
//! diagnostics, and where each part of the rendered text came from.
//!
//! What a template reads goes through the reader, so its policy holds here too, and what it refuses keeps its class and its
//! remedy. A config with the templates that it may include becomes one text; nothing here knows YAML.
//!
//! [`FileReader`]: crate::source::FileReader

mod explain;
mod host;
mod origin;
mod render;
mod sources;

pub use origin::{GoOrigin, GoOrigins};
pub use render::{DebugSink, GoDialect, GoRendered, GoRequest, GoTemplate, render_go};
use sources::Sources;
