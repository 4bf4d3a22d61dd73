//! Blobs back to archives: gzip, zstd or plain, told by the first bytes; bounded, because the input is hostile.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;

use super::compress::Compression;
use super::error::{Error, Result};

const BUFFER: usize = 256 << 10;
const MAGIC: u64 = 6;
const GZIP_START: u8 = 0x1f;

impl Compression {
    /// Tells by the first bytes of a blob (six are enough). The error names a method that OCI does not know.
    pub fn detect(start: &[u8]) -> std::result::Result<Self, &'static str> {
        match start {
            [GZIP_START, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or one that is to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err("xz"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err("lz4"),
            [b'L', b'Z', b'I', b'P', ..] => Err("lzip"),
            _ => Ok(Self::None),
        }
    }
}

/// A reader of the archive in a blob.
///
/// Reading fails with `UnexpectedEof` when the blob is cut short, and with `FileTooLarge` when the archive is longer
/// than the limit. gzip may have several members, and zeros after the last one; zstd may have several frames. The end of
/// the archive is the end of the blob too, so that a blob that verifies itself has been asked for its verdict.
pub struct Decompressor<R: Read> {
    inner: Inner<Input<R>>,
    left: u64,
}

type Input<R> = Chain<Cursor<Vec<u8>>, BufReader<R>>;

enum Inner<B: BufRead> {
    Plain(B),
    Gzip(Box<GzipMembers<B>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, B>>),
}

impl<R: Read> Decompressor<R> {
    /// Looks at the first bytes of `blob`; at most `limit` bytes of archive will be read.
    pub fn new(blob: R, limit: u64) -> Result<Self> {
        let failed = Error::stream("read", "layer blob");
        let mut blob = BufReader::with_capacity(BUFFER, blob);
        let mut magic = Vec::new();
        if let Err(error) = blob.by_ref().take(MAGIC).read_to_end(&mut magic) {
            return Err(failed(error));
        }
        let compression = Compression::detect(&magic).map_err(|method| Error::Compression { method })?;
        let input = Cursor::new(magic).chain(blob);
        let inner = match compression {
            Compression::None => Inner::Plain(input),
            Compression::Gzip => Inner::Gzip(Box::new(GzipMembers { decoder: Some(GzDecoder::new(input)) })),
            Compression::Zstd => {
                Inner::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(input).map_err(failed)?))
            }
        };
        Ok(Self { inner, left: limit })
    }

    /// What the blob is compressed with.
    pub fn compression(&self) -> Compression {
        match self.inner {
            Inner::Plain(_) => Compression::None,
            Inner::Gzip(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
        }
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.inner {
            Inner::Plain(plain) => plain.read(buffer),
            Inner::Gzip(gzip) => gzip.read(buffer),
            Inner::Zstd(zstd) => zstd.read(buffer),
        }?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "the layer is larger than allowed when decompressed")
        })?;
        Ok(count)
    }
}

/// The members of a gzip file, one after the other. Once the last one is read there is no decoder any more.
struct GzipMembers<B: BufRead> {
    decoder: Option<GzDecoder<B>>,
}

impl<B: BufRead> Read for GzipMembers<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.decoder {
            let count = decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            self.decoder = self.decoder.take().map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

fn next_member<B: BufRead>(finished: GzDecoder<B>) -> io::Result<Option<GzDecoder<B>>> {
    let mut input = finished.into_inner();
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        match bytes.get(zeros) {
            Some(&first) if first == GZIP_START => {
                input.consume(zeros);
                return Ok(Some(GzDecoder::new(input)));
            }
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes that are not gzip after gzip")),
            None if zeros == 0 => return Ok(None),
            None => input.consume(zeros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::error::Error;

    /// Gives one byte at a time, as a slow network may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let room = buffer.len().min(1);
            self.0.read(&mut buffer[..room])
        }
    }

    fn read(blob: &[u8], limit: u64) -> io::Result<(Compression, Vec<u8>)> {
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new(Slow(blob), limit).unwrap();
        decompressor.read_to_end(&mut out)?;
        Ok((decompressor.compression(), out))
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        super::super::compress::GzipBlocks::new().member(content)
    }

    #[test]
    fn tells_the_formats_apart() {
        let content = vec![7; 10_000];
        assert_eq!(read(&content, 10_000).unwrap(), (Compression::None, content.clone()));
        assert_eq!(read(&gzip(&content), 10_000).unwrap(), (Compression::Gzip, content.clone()));
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        assert_eq!(read(&zstd, 10_000).unwrap(), (Compression::Zstd, content.clone()));
        assert_eq!(read(&[zstd.clone(), zstd].concat(), 20_000).unwrap().1.len(), 20_000);
        assert_eq!(read(b"", 0).unwrap(), (Compression::None, Vec::new()));
        assert_eq!(Compression::detect(b"\xfd7zXZ\0"), Err("xz"));
        assert!(matches!(Decompressor::new(&b"BZh91AY"[..], 1), Err(Error::Compression { method: "bzip2" })));
    }

    #[test]
    fn gzip_members_and_padding_are_read_and_garbage_is_not() {
        let (one, two) = (gzip(b"one"), gzip(b"two"));
        let blob = |parts: &[&[u8]]| read(&parts.concat(), 100);
        assert_eq!(blob(&[&one, &two]).unwrap().1, b"onetwo");
        assert_eq!(blob(&[&one, &[0; 600], &two, &[0; 600]]).unwrap().1, b"onetwo");
        assert_eq!(blob(&[&one, &gzip(b""), &two]).unwrap().1, b"onetwo");
        assert_eq!(blob(&[&one, b"garbage"]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn zstd_frames_are_read_or_skipped_and_garbage_is_not() {
        let frame = |content: &[u8]| zstd::encode_all(content, 1).unwrap();
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9].to_vec();
        assert_eq!(read(&[skipped, frame(b"ab"), frame(b"c")].concat(), 100).unwrap().1, b"abc");
        assert!(read(&[frame(b"ab"), b"garbage".to_vec()].concat(), 100).is_err());
    }

    /// Fails in place of its end, as a blob of another digest does.
    struct Corrupt<'a>(&'a [u8]);

    impl Read for Corrupt<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::new(io::ErrorKind::InvalidData, "corrupt")),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn the_blob_is_read_to_its_end() {
        for blob in [gzip(b"content"), zstd::encode_all(&b"content"[..], 1).unwrap(), b"content".to_vec()] {
            let mut decompressor = Decompressor::new(Corrupt(&blob), 100).unwrap();
            assert_eq!(decompressor.read_to_end(&mut Vec::new()).unwrap_err().to_string(), "corrupt");
        }
    }

    #[test]
    fn cut_and_broken_blobs_fail() {
        let content: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        for blob in [gzip(&content), zstd::encode_all(&content[..], 1).unwrap()] {
            for length in [MAGIC as usize, 11, blob.len() / 2, blob.len() - 9, blob.len() - 1] {
                let error = read(&blob[..length], u64::MAX).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length} of {}", blob.len());
            }
        }
        let mut wrong = gzip(&content);
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert!(read(&wrong, u64::MAX).is_err());
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let content = vec![0; 1 << 20];
        for blob in [gzip(&content), zstd::encode_all(&content[..], 1).unwrap(), content.clone()] {
            assert_eq!(read(&blob, 5_000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
            assert_eq!(read(&blob, 1 << 20).unwrap().1.len(), 1 << 20);
        }
    }
}
