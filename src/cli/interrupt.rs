//! Ctrl-C and its kin.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::CommandError;
use crate::builder::CancelToken;

/// A token that nothing raises: Ctrl-C ends the process as it does by default.
pub(super) fn unheard() -> Result<CancelToken, CommandError> {
    CancelToken::new().map_err(|error| CommandError::usage("cannot make an event descriptor", &error))
}

/// A token that the first SIGINT, SIGTERM or SIGHUP raises. The second one ends the process at once: steps die with it.
pub(super) fn token() -> Result<CancelToken, CommandError> {
    let failed = |error| CommandError::usage("cannot listen for signals", &error);
    let token = CancelToken::new().map_err(failed)?;
    let raised = token.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    std::thread::spawn(move || {
        for _ in &mut signals {
            if raised.is_cancelled() {
                std::process::exit(130);
            }
            raised.cancel();
        }
    });
    Ok(token)
}
