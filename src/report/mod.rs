//! Events and reports: serialisable, versioned.
//!
//! Workers send [`Event`]s; the terminal, the JSON progress stream and the report are consumers of the same events. A report
//! ([`BuildReport`]) is plain data; `plan --format json` and `build --report` share its schema.

mod build;
mod causes;
mod event;

pub use build::{BuildReport, ImageReport, SCHEMA, StageReport, StageSource, StageStatus};
pub use causes::with_causes;
pub use event::{Event, EventSink, StageId};
