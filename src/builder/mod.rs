//! Runs the steps of a conveyor on a tree and leaves the changes in a directory of their own.
//!
//! A [`StepTask`] is plain data: which directories make the parent tree, what to run in it, as whom, with which
//! mounts and which network. A [`Builder`] runs it and answers with a [`StepOutcome`]. How it isolates the step is its
//! own business: [`native`] is the embedded executor (namespaces and overlayfs, no daemon, no root).
//!
//! Invariants:
//! - A step that exits with a code, dies of a signal, runs out of time or is cancelled is an *outcome*; a
//!   [`BuilderError`] says that the step could not be run at all.
//! - When [`Builder::run`] returns, nothing of the step is left running or mounted.
//! - What the builder itself placed in the tree (mount points, service files, secrets) is not in the result.
//!
//! This module knows nothing of stages, configs, stores or terminals.

mod cancel;
pub mod native;
mod task;

pub use cancel::CancelToken;
pub use task::{
    BuilderError, Limits, MountSource, Network, StepMount, StepOutcome, StepStatus, StepTask, Usage, UserIds,
};

/// Something that runs steps.
///
/// Implementations are shared between worker threads; each call runs one step and blocks until it has ended.
pub trait Builder: Send + Sync {
    /// Runs one step.
    ///
    /// `output` gets the step's standard output and error, merged in the order they were written, in chunks of at
    /// most 64 KiB; a slow receiver slows the step down, nothing is buffered without bound. `cancel` ends the step
    /// within a second, with [`StepStatus::Cancelled`].
    fn run(
        &self,
        task: &StepTask,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancelToken,
    ) -> Result<StepOutcome, BuilderError>;

    /// One line for people: which builder this is and how it isolates steps.
    fn describe(&self) -> String;
}
