//! From an archive being made to a blob with both its digests, each stage on a thread of its own.
//!
//! ```text
//! produce ──▶ 1 MiB blocks ──▶ sha256 (diff id)
//!                         └──▶ compress ×N ──▶ in order: sha256 (blob), sink
//! ```
//!
//! Every queue is bounded, so that memory is a few blocks for each thread, whatever the size of the layer.

use std::io::{self, Write};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle, scope};

use stages::BlobId;

use super::compress::{Compression, GZIP_BLOCK, GzipBlocks, zstd_encoder};
use super::error::Error;
use super::pool::{Pending, Pool};
use crate::sha256::Sha256;

/// What a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobSummary {
    /// The digest of the archive before compression: OCI's diff id.
    pub diff_id: BlobId,
    /// The digest of the blob.
    pub blob: BlobId,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The size of the archive in bytes.
    pub uncompressed_size: u64,
}

type Block = Arc<Vec<u8>>;

/// How many blocks may wait between two stages.
const QUEUE: usize = 4;

/// Runs `produce`, which writes an archive, and writes the blob made of it to `sink`, with `threads` for compression.
/// The bytes do not depend on the number of threads. `produce` runs on another thread, `sink` on this one.
///
/// # Errors
/// What `produce` says; an [`Error::Stream`] when the sink or the compressor fails.
pub fn write_blob<E: From<Error> + Send>(
    produce: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send,
    sink: &mut dyn Write,
    compression: Compression,
    threads: usize,
) -> Result<BlobSummary, E> {
    scope(|scope| {
        let (diff_hash, diff_blocks) = sync_channel::<Block>(QUEUE);
        let hasher = scope.spawn(move || hash_blocks(&diff_blocks));
        let (ready, finished) = sync_channel::<Ready>(threads.max(1) + QUEUE);
        let output = Output::start(scope, compression, threads, ready);
        let producer = scope.spawn(move || {
            let mut blocks = Blocks { block: Vec::new(), diff_hash, output, count: 0 };
            produce(&mut blocks)?;
            blocks.finish().map_err(|error| E::from(Error::stream("compress", "layer archive")(error)))
        });
        let drained = drain(finished, sink);
        let produced = join(producer);
        let (diff_id, uncompressed_size) = join(hasher);
        let drained = drained?;
        produced?;
        let (blob, size) = drained.unwrap_or((diff_id, uncompressed_size));
        Ok(BlobSummary { diff_id, blob, size, uncompressed_size })
    })
}

fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn hash_blocks(blocks: &Receiver<Block>) -> (BlobId, u64) {
    let (mut hash, mut size) = (Sha256::new(), 0);
    for block in blocks {
        hash.update(&block);
        size += block.len() as u64;
    }
    (hash.finish(), size)
}

/// What reaches the sink.
enum Ready {
    /// The archive itself: its digest is the diff id.
    Plain(Block),
    /// A gzip member being made.
    Member(Pending<Vec<u8>>),
    /// Compressed bytes.
    Bytes(Vec<u8>),
}

/// Writes what is ready, in order; gives the digest and size of compressed output.
fn drain(finished: Receiver<Ready>, sink: &mut dyn Write) -> Result<Option<(BlobId, u64)>, Error> {
    let (mut hash, mut size, mut plain) = (Sha256::new(), 0, false);
    let failed = |error| Error::stream("write", "layer blob")(error);
    for ready in finished {
        let compressed = match ready {
            Ready::Plain(block) => {
                plain = true;
                sink.write_all(&block).map_err(failed)?;
                continue;
            }
            Ready::Member(pending) => pending.recv().map_err(|_| failed(stopped()))?,
            Ready::Bytes(bytes) => bytes,
        };
        hash.update(&compressed);
        size += compressed.len() as u64;
        sink.write_all(&compressed).map_err(failed)?;
    }
    sink.flush().map_err(failed)?;
    Ok((!plain).then(|| (hash.finish(), size)))
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "another stage of the pipeline stopped")
}

/// Where blocks go besides the diff hash.
enum Output {
    Plain(SyncSender<Ready>),
    Gzip(Pool<Block, Vec<u8>>, SyncSender<Ready>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Sender>>),
    ZstdFailed(io::Error),
}

impl Output {
    fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        compression: Compression,
        threads: usize,
        ready: SyncSender<Ready>,
    ) -> Self {
        match compression {
            Compression::None => Self::Plain(ready),
            Compression::Gzip => Self::Gzip(Pool::start(scope, threads, gzip_worker), ready),
            Compression::Zstd => match zstd_encoder(Sender { ready, buffer: Vec::new() }, threads) {
                Ok(encoder) => Self::Zstd(Box::new(encoder)),
                Err(error) => Self::ZstdFailed(error),
            },
        }
    }

    fn block(&mut self, block: Block) -> io::Result<()> {
        match self {
            Self::Plain(ready) => ready.send(Ready::Plain(block)).map_err(|_| stopped()),
            Self::Gzip(pool, ready) => ready.send(Ready::Member(pool.submit(block))).map_err(|_| stopped()),
            Self::Zstd(encoder) => encoder.write_all(&block),
            Self::ZstdFailed(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }

    fn finish(self, empty: bool) -> io::Result<()> {
        match self {
            Self::Gzip(pool, ready) if empty => {
                ready.send(Ready::Member(pool.submit(Block::default()))).map_err(|_| stopped())
            }
            Self::Plain(_) | Self::Gzip(..) => Ok(()),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
            Self::ZstdFailed(error) => Err(error),
        }
    }
}

fn gzip_worker() -> impl FnMut(Block) -> Vec<u8> + Send {
    let mut blocks = GzipBlocks::new();
    move |block| blocks.member(&block)
}

/// Hands compressed bytes on in pieces of some size.
struct Sender {
    ready: SyncSender<Ready>,
    buffer: Vec<u8>,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 256 << 10 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.ready.send(Ready::Bytes(std::mem::take(&mut self.buffer))).map_err(|_| stopped())
    }
}

/// Cuts what the producer writes into blocks.
struct Blocks {
    block: Vec<u8>,
    diff_hash: SyncSender<Block>,
    output: Output,
    count: u64,
}

impl Blocks {
    fn hand_on(&mut self) -> io::Result<()> {
        let block = Block::new(std::mem::take(&mut self.block));
        self.count += 1;
        self.diff_hash.send(Arc::clone(&block)).map_err(|_| stopped())?;
        self.output.block(block)
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.hand_on()?;
        }
        self.output.finish(self.count == 0)
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.capacity() == 0 {
            self.block.reserve_exact(GZIP_BLOCK);
        }
        let count = bytes.len().min(GZIP_BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == GZIP_BLOCK {
            self.hand_on()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
