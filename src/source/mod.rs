//! Text with an origin, places in it, diagnostics as plain data, and the one trait through which files are read.
//!
//! Everything here is serialisable data or a contract: nothing renders to a terminal ([`crate::ui`] does) and nothing
//! opens a file. A [`Diagnostic`] names its places by file name; whoever shows it brings the [`SourceFile`]s.

mod diagnostic;
mod nearest;
mod reader;

pub use diagnostic::{Diagnostic, Place, Related, Severity, SourceFile};
pub use nearest::nearest;
pub use reader::{FileReader, MemoryFiles, ReadError, ReadErrorKind};
