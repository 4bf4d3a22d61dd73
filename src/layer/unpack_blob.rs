//! From a blob to a layer directory with both digests, each stage on a thread of its own.
//!
//! ```text
//! blob ──▶ sha256 (blob), decompress ──▶ 1 MiB blocks ──▶ sha256 (diff id)
//!                                                    └──▶ unpack
//! ```

use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::scope;

use super::blob::BlobSummary;
use super::decompress::Decompressor;
use super::error::{Error, Result};
use super::unpack::{UnpackOptions, UnpackStats, unpack};
use crate::sha256::{HashingReader, Sha256};

const BLOCK: usize = 1 << 20;
const QUEUE: usize = 4;

type Block = Arc<Vec<u8>>;

/// Unpacks a compressed or plain layer blob; see [`unpack`]. The caller compares the digests with those it wanted, and
/// throws `into` away when they differ: they are known only when everything has been read. `blob` runs on another thread.
pub fn unpack_blob(
    blob: impl Read + Send,
    into: &Path,
    lowers: &[PathBuf],
    options: &UnpackOptions,
) -> Result<(BlobSummary, UnpackStats)> {
    scope(|scope| {
        let (archive, unpacked) = sync_channel::<io::Result<Block>>(QUEUE);
        let (hashed, diff_blocks) = sync_channel::<Block>(QUEUE);
        let hasher = scope.spawn(move || {
            let (mut hash, mut size) = (Sha256::new(), 0);
            for block in diff_blocks {
                hash.update(&block);
                size += block.len() as u64;
            }
            (hash.finish(), size)
        });
        let limit = options.limits.archive;
        let reader = scope.spawn(move || decompress_blocks(blob, limit, &archive, &hashed));
        let stats = unpack(Blocks { blocks: unpacked, block: Block::default(), read: 0 }, into, lowers, options);
        let read = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        let (diff_id, uncompressed_size) = hasher.join().unwrap_or_else(|panic| resume_unwind(panic));
        let stats = stats?;
        let (blob, size) = read?;
        Ok((BlobSummary { diff_id, blob, size, uncompressed_size }, stats))
    })
}

/// Sends the archive in blocks; what fails after the first block reaches the unpacker as a failed read.
fn decompress_blocks(
    blob: impl Read,
    limit: u64,
    archive: &SyncSender<io::Result<Block>>,
    hashed: &SyncSender<Block>,
) -> Result<(stages::BlobId, u64)> {
    let mut blob = HashingReader::new(blob);
    let mut decompressor = Decompressor::new(&mut blob, limit)?;
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        match decompressor.by_ref().take(BLOCK as u64).read_to_end(&mut block) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                let again = io::Error::new(error.kind(), error.to_string());
                // When nobody listens, unpacking has failed for a reason of its own.
                let _ = archive.send(Err(error));
                return Err(Error::stream("read", "layer blob")(again));
            }
        }
        let block = Block::new(block);
        if archive.send(Ok(Arc::clone(&block))).is_err() || hashed.send(block).is_err() {
            return Err(Error::stream("read", "layer blob")(io::ErrorKind::BrokenPipe.into()));
        }
    }
    drop(decompressor);
    let (_, digest, size) = blob.finish();
    Ok((digest, size))
}

/// Reads blocks as one stream.
struct Blocks {
    blocks: Receiver<io::Result<Block>>,
    block: Block,
    read: usize,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            match self.blocks.recv() {
                Ok(block) => (self.block, self.read) = (block?, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.block.len() - self.read);
        buffer[..count].copy_from_slice(&self.block[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::layer::blob::write_blob;
    use crate::layer::compress::Compression;
    use crate::layer::tar::reader::Limits;
    use crate::layer::testing::{Tree, listing, ownership};

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.directory("d").file("d/small", "x").file("large", vec![b'y'; 3 * BLOCK]);
        tree
    }

    fn blob(archive: &[u8], compression: Compression) -> (Vec<u8>, BlobSummary) {
        let mut blob = Vec::new();
        let produce = |sink: &mut dyn Write| sink.write_all(archive).map_err(Error::stream("write", "test"));
        let summary = write_blob(produce, &mut blob, compression, 2).unwrap();
        (blob, summary)
    }

    fn options() -> UnpackOptions {
        UnpackOptions { ownership: ownership(), limits: Limits { archive: 16 << 20, ..Limits::default() } }
    }

    #[test]
    fn blobs_come_back_with_their_digests() {
        let tree = tree();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (blob, summary) = blob(&tree.pack(), compression);
            let into = Tree::new();
            let (found, stats) = unpack_blob(&blob[..], &into.root(), &[], &options()).unwrap();
            assert_eq!((found, stats.entries), (summary, 3), "{compression:?}");
            assert_eq!(listing(&into.root()), listing(&tree.root()));
        }
    }

    #[test]
    fn cut_oversized_and_broken_blobs_fail() {
        let archive = tree().pack();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (blob, _) = blob(&archive, compression);
            for length in [blob.len() / 2, blob.len() * 3 / 4] {
                let cut = unpack_blob(&blob[..length], &Tree::new().root(), &[], &options());
                let eof = |error: &Error| matches!(error, Error::Stream { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof);
                assert!(cut.as_ref().is_err_and(eof), "{compression:?} {length} {cut:?}");
            }
            let small = UnpackOptions { limits: Limits { archive: 1 << 20, ..Limits::default() }, ..options() };
            assert!(unpack_blob(&blob[..], &Tree::new().root(), &[], &small).is_err());
        }
        let mut hostile = archive;
        hostile[..3].copy_from_slice(b"../");
        let (blob, _) = blob(&hostile, Compression::Gzip);
        let refused = unpack_blob(&blob[..], &Tree::new().root(), &[], &options());
        assert!(matches!(refused, Err(Error::Archive { .. })));
        let foreign = unpack_blob(&b"BZh91AY&SY"[..], &Tree::new().root(), &[], &options());
        assert!(matches!(foreign, Err(Error::Compression { .. })), "{foreign:?}");
    }
}
