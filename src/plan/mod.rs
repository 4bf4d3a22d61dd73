//! Gathers the facts that the pure planner needs, and makes the plan.
//!
//! Everything is read from the commit; nothing is asked of a store or a network, but for `fromLatest` (the base's digest) and
//! branches of remote repositories.

mod facts;
mod mermaid;

pub use facts::{CommitFacts, LatestDigest, PlanError};
pub use mermaid::mermaid;

use stages::CommitId;
use stages::conveyor::ImageError;
use stages::plan::Plan;
use stages::spec::Project;

/// Plans all images of a project at a commit.
pub fn plan(project: &Project, commit: CommitId, facts: &CommitFacts<'_>) -> Result<Plan, ImageError<PlanError>> {
    stages::conveyor::lay_out(project, commit, facts)
}
