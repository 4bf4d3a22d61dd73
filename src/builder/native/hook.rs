//! What the program does instead of its usual work when it was started as a helper of itself.

use std::os::unix::ffi::OsStrExt;

use super::{runner, sys};

/// The name (argv\[0\]) under which the engine starts a runner.
pub(super) const RUNNER_NAME: &str = "stager: step";
/// The name under which the engine starts a probe.
pub(super) const PROBE_NAME: &str = "stager: probe";

/// Does a helper's work if this process was started as one, and returns its exit code.
///
/// Call it first in `main`: helpers count on being alone in a fresh process. A name is no secret, but whoever starts
/// the program by hand as a helper only gets what he could do himself.
pub fn helper_hook() -> Option<i32> {
    let name = std::env::args_os().next()?;
    if name.as_bytes() == RUNNER_NAME.as_bytes() && sys::is_socket(0) {
        return Some(runner::main());
    }
    if name.as_bytes() == PROBE_NAME.as_bytes() {
        return Some(super::probe::helper_main());
    }
    None
}
