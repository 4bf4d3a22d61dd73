//! Compression whose bytes depend on the input alone.

use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor, Crc};

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// The archive as it is.
    None,
    /// gzip, which every tool reads.
    #[default]
    Gzip,
    /// Zstandard: smaller and faster to read, unknown to old tools.
    Zstd,
}

/// The version of the bytes that each [`Compression`] makes; raised by whatever changes one.
///
/// Changelog:
/// - 2: gzip: a member whose block would not get smaller holds it as it is (`GzipBlocks::is_dense`).
/// - 1: gzip: each mebibyte of input a member of its own, by libdeflate 1.x at level 1, with no time, no name, extra
///   flags 4 (fastest) and operating system 255 (unknown); no input is one empty member. zstd: one frame by libzstd 1.5
///   at level 3 with its multi-threaded job splitting, a checksum and no content size.
pub const COMPRESSION_VERSION: u32 = 2;

/// The bytes of input that make one gzip member.
pub(super) const GZIP_BLOCK: usize = 1 << 20;

const GZIP_LEVEL: i32 = 1;
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
const ZSTD_LEVEL: i32 = 3;

/// Makes gzip members; one for each worker.
pub(super) struct GzipBlocks {
    fast: Compressor,
    stored: Compressor,
}

impl GzipBlocks {
    pub(super) fn new() -> Self {
        let compressor = |level| Compressor::new(CompressionLvl::new(level).expect("the level is one of libdeflate's"));
        Self { fast: compressor(GZIP_LEVEL), stored: compressor(0) }
    }

    /// Makes one member of one block.
    pub(super) fn member(&mut self, block: &[u8]) -> Vec<u8> {
        let compressor = if self.is_dense(block) { &mut self.stored } else { &mut self.fast };
        let mut out = vec![0; GZIP_HEADER.len() + compressor.deflate_compress_bound(block.len()) + 8];
        out[..GZIP_HEADER.len()].copy_from_slice(&GZIP_HEADER);
        let length = compressor
            .deflate_compress(block, &mut out[GZIP_HEADER.len()..])
            .expect("the buffer has the size that libdeflate asks for");
        out.truncate(GZIP_HEADER.len() + length);
        let mut crc = Crc::new();
        crc.update(block);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&(block.len() as u32).to_le_bytes());
        out
    }

    /// Whether a block is not worth compressing, as archives and pictures are not: its bytes are spread evenly, and a piece from
    /// its middle, twice as long as deflate looks back, does not get smaller.
    pub(super) fn is_dense(&mut self, block: &[u8]) -> bool {
        if block.len() < 2 * PROBE || !is_even(block) {
            return false;
        }
        let start = (block.len() - PROBE) / 2;
        let mut out = vec![0; self.fast.deflate_compress_bound(PROBE)];
        let length = self.fast.deflate_compress(&block[start..start + PROBE], &mut out);
        length.is_ok_and(|length| length >= PROBE - PROBE / 64)
    }
}

/// The length of the piece that is tried, in bytes.
const PROBE: usize = 64 << 10;

/// Whether all bytes are about as frequent as each other, in a sample of one of 255: the sum of the squares of their counts is
/// within a quarter of that of chance.
fn is_even(block: &[u8]) -> bool {
    let mut counts = [0_u64; 256];
    block.iter().step_by(255).for_each(|byte| counts[usize::from(*byte)] += 1);
    let all: u64 = counts.iter().sum();
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    4 * squares <= 5 * (all * all / 256 + all)
}

/// A writer that compresses with zstd. At least one worker thread always runs, because libzstd's bytes differ without.
pub(super) fn zstd_encoder<W: Write>(out: W, threads: usize) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
    encoder.multithread(threads.clamp(1, 64) as u32)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}
