//! A second request for a piece of an upload, opened before the first is sent, which takes over when that is cut.
//!
//! docker-registry 2.8 signs into an upload's address how many bytes it has got, and gives the upload up when a request comes
//! with another number. So a request that is cut after some of its bytes leaves an upload that no later request fits. One
//! that is open already fits: it was let in when the number was right, and writes its bytes, the same ones, to the same place.
//! When the first request goes through, the second is dropped without a byte.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::Error;
use super::exchange::{Answered, Call, Core};
use super::wire::{Body, Consent, OpenStream, lock};

/// How long the second request may take to be let in. A registry that gives no consent in this time gets one request only from
/// then on.
const OPENING: Duration = Duration::from_secs(2);

/// How long the second request itself waits for consent: longer, so that its body is asked for only when it has been let in.
const CONSENT: Duration = Duration::from_secs(3);

/// A proxy before the registry may let a request in before the registry has.
const SETTLING: Duration = Duration::from_millis(10);

/// The bytes that are handed to the second request at once.
const BLOCK: usize = 256 << 10;

/// Sends a piece of `length` bytes that `open` gives: by `call`, which has no body yet, and where its connection is lost by
/// another one like it. Any status outside `good` is an error.
pub(super) fn send(
    core: &Core,
    call: &Call<'_>,
    length: u64,
    open: &OpenStream<'_>,
    good: &[u16],
) -> Result<Answered, Error> {
    let (task, registry, target, headers, scopes) =
        (call.task, call.registry, call.target.clone(), call.headers.clone(), call.scopes.clone());
    let method = call.method.clone();
    std::thread::scope(|scope| {
        let (let_in, is_let_in) = sync_channel(1);
        let (blocks, coming) = sync_channel(1);
        let standby = scope.spawn(move || {
            let held = Mutex::new(Some(Held { let_in: Some(let_in), coming, block: Vec::new(), taken: 0 }));
            let open = || match lock(&held).take() {
                Some(held) => Ok(Box::new(held) as Box<dyn Read>),
                None => Err(io::Error::other("it was opened before")),
            };
            let body = Body::Stream { length, consent: Consent::Awaited(CONSENT), open: &open };
            let mut call = Call::new(task, registry, method, target, scopes).body(body).commit();
            call.headers = headers;
            core.once(&call, good)
        });
        let ended = || standby.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let body = Body::Stream { length, consent: Consent::Asked, open };
        let alone = || core.once(&call.clone().body(body), good);
        match is_let_in.recv_timeout(OPENING) {
            Ok(()) => std::thread::sleep(SETTLING),
            Err(RecvTimeoutError::Timeout) => {
                // Late it would be one that fits no more, and end the upload.
                drop(blocks);
                let _late = ended();
                lock(&core.alone).insert(registry.to_owned());
                return alone();
            }
            // Refused: the other one would be, too.
            Err(RecvTimeoutError::Disconnected) => match ended() {
                Err(error) if error.answer().is_none() => return alone(),
                refused => return refused,
            },
        }
        let lost = match alone() {
            Err(error) if is_lost(&error) => error,
            answered => return answered,
        };
        feed(blocks, open).map_err(|source| Error::Source { task: task.clone(), source })?;
        // What went wrong first is what counts.
        ended().map_err(|_| lost)
    })
}

/// Whether the request was cut on its way, so that the registry may have a part of it.
fn is_lost(error: &Error) -> bool {
    let gateway = error.answer().is_some_and(|answer| matches!(answer.status, 502 | 504));
    gateway || matches!(error, Error::Disconnected { .. } | Error::Timeout { .. })
}

/// Hands a piece to the second request; its own failure is known when it has ended.
fn feed(blocks: SyncSender<Vec<u8>>, open: &OpenStream<'_>) -> io::Result<()> {
    let mut content = open()?;
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        content.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() || blocks.send(block).is_err() {
            return Ok(());
        }
    }
}

/// The body of the second request: says when it is first asked for, which is when the registry has let the request in, and
/// ends in an error when no bytes come.
struct Held {
    let_in: Option<SyncSender<()>>,
    coming: Receiver<Vec<u8>>,
    block: Vec<u8>,
    taken: usize,
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(let_in) = self.let_in.take() {
            // Nobody listens any more when that took too long.
            let _ = let_in.send(());
        }
        if self.taken == self.block.len() {
            self.block = self.coming.recv().map_err(|_| io::Error::other("it is not needed"))?;
            self.taken = 0;
        }
        let count = buffer.len().min(self.block.len() - self.taken);
        buffer[..count].copy_from_slice(&self.block[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
