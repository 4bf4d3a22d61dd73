//! Docker's credential helpers: other programs that keep passwords.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

use super::credentials::SLICE;
use crate::registry::error::printable;
use crate::registry::settings::Settings;

/// What of a helper's words is read, in bytes.
const MAX_WORDS: u64 = 64 << 10;

/// Lets `docker-credential-NAME` do something with `input`, within the time that helpers have. What it says when that
/// fails is the error; it is not looked at for secrets, so the caller hides its own.
pub(super) fn run(settings: &Settings, name: &str, action: &str, input: String) -> Result<(), String> {
    let program = program(name)?;
    let failed = |error: std::io::Error| format!("cannot run {program}: {error}");
    let (mut words, writer) = std::io::pipe().map_err(failed)?;
    let mut command = Command::new(&program);
    command.arg(action).stdin(Stdio::piped()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    // It has credentials of its own; ours for other hosts are none of its business.
    command.env_remove("STAGER_REGISTRY_AUTH");
    let mut child = command.spawn().map_err(failed)?;
    // It holds the writing ends of the pipe, and the end of the words is when the helper's own are closed.
    drop(command);
    let stdin = child.stdin.take();
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        // A helper that does not read says in its exit code what it makes of that.
        let _unread = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
        let mut said = Vec::new();
        let _cut = words.by_ref().take(MAX_WORDS).read_to_end(&mut said);
        drop(sender.send(said));
    });
    let deadline = Instant::now() + settings.timeouts.credential_helper;
    let said = loop {
        match receiver.recv_timeout(SLICE) {
            Ok(said) => break said,
            Err(RecvTimeoutError::Disconnected) => break Vec::new(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if settings.cancel.load(std::sync::atomic::Ordering::Relaxed) || Instant::now() >= deadline {
            let _gone = child.kill();
            let _reaped = child.wait();
            return Err(format!("{program} did not finish within {:?}", settings.timeouts.credential_helper));
        }
    };
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let said = printable(&String::from_utf8_lossy(&said), 200);
    Err(if said.is_empty() { format!("{program} failed: {status}") } else { format!("{program}: {said}") })
}

fn program(name: &str) -> Result<String, String> {
    if name.contains('/') {
        return Err(format!("`{}` is not the name of a credential helper", printable(name, 60)));
    }
    Ok(format!("docker-credential-{name}"))
}
