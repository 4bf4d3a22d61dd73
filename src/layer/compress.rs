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
/// - 1: gzip: each mebibyte of input a member of its own, by libdeflate 1.x at level 1, with no time, no name, extra
///   flags 4 (fastest) and operating system 255 (unknown); no input is one empty member. zstd: one frame by libzstd 1.5
///   at level 3 with its multi-threaded job splitting, a checksum and no content size.
pub const COMPRESSION_VERSION: u32 = 1;

/// The bytes of input that make one gzip member.
pub(super) const GZIP_BLOCK: usize = 1 << 20;

const GZIP_LEVEL: i32 = 1;
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
const ZSTD_LEVEL: i32 = 3;

/// Makes gzip members; one for each worker.
pub(super) struct GzipBlocks(Compressor);

impl GzipBlocks {
    pub(super) fn new() -> Self {
        Self(Compressor::new(CompressionLvl::new(GZIP_LEVEL).expect("the level is one of libdeflate's")))
    }

    /// Compresses one block into one member.
    pub(super) fn member(&mut self, block: &[u8]) -> Vec<u8> {
        let mut out = vec![0; GZIP_HEADER.len() + self.0.deflate_compress_bound(block.len()) + 8];
        out[..GZIP_HEADER.len()].copy_from_slice(&GZIP_HEADER);
        let length = self
            .0
            .deflate_compress(block, &mut out[GZIP_HEADER.len()..])
            .expect("the buffer has the size that libdeflate asks for");
        out.truncate(GZIP_HEADER.len() + length);
        let mut crc = Crc::new();
        crc.update(block);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&(block.len() as u32).to_le_bytes());
        out
    }
}

/// A writer that compresses with zstd. At least one worker thread always runs, because libzstd's bytes differ without.
pub(super) fn zstd_encoder<W: Write>(out: W, threads: usize) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
    encoder.multithread(threads.clamp(1, 64) as u32)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}
