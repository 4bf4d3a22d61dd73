//! Compressed streams, known by their first bytes and bounded in what they unpack to.

use std::io::{self, BufReader, Read};

/// The most bytes a layer or a compressed archive may unpack to: a bound on bombs, far above any real image.
pub(super) const MAX_TAR_BYTES: u64 = 256 << 30;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// zstd, of one or more frames.
    Zstd,
}

impl Compression {
    /// Looks at the first bytes (six are enough). The error names a compression that isn't supported.
    pub fn detect(start: &[u8]) -> Result<Self, &'static str> {
        const SKIPPABLE_FRAME: [u8; 3] = [0x2a, 0x4d, 0x18];
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            [0x50..=0x5f, rest @ ..] if rest.starts_with(&SKIPPABLE_FRAME) => Ok(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err("xz"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err("lz4"),
            _ => Ok(Self::None),
        }
    }

    /// The uncompressed stream.
    pub fn reader(self, stored: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => stored,
            Self::Gzip => Box::new(ToTheEnd::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(stored)))),
            Self::Zstd => Box::new(ToTheEnd::new(zstd::Decoder::with_buffer(BufReader::new(stored))?)),
        })
    }
}

/// A decoder that may be satisfied before its input has ended.
trait Decoder: Read {
    fn input(&mut self) -> &mut dyn Read;
}

impl<R: io::BufRead> Decoder for flate2::bufread::MultiGzDecoder<R> {
    fn input(&mut self) -> &mut dyn Read {
        self.get_mut()
    }
}

impl<R: io::BufRead> Decoder for zstd::Decoder<'_, R> {
    fn input(&mut self) -> &mut dyn Read {
        self.get_mut()
    }
}

/// Makes the end of the output the end of the input too, so that a verifying reader below is asked for its verdict.
struct ToTheEnd<D>(D);

impl<D: Decoder> ToTheEnd<D> {
    fn new(decoder: D) -> Self {
        Self(decoder)
    }
}

impl<D: Decoder> Read for ToTheEnd<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        if count == 0 && !buffer.is_empty() && self.0.input().read(&mut [0; 1])? > 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "data after the end of the compressed stream"));
        }
        Ok(count)
    }
}

/// Fails a stream that goes on after `limit` bytes.
pub(super) fn bounded(inner: Box<dyn Read + Send>, limit: u64) -> Box<dyn Read + Send> {
    Box::new(Bounded { inner, remaining: limit })
}

struct Bounded {
    inner: Box<dyn Read + Send>,
    remaining: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.remaining = self
            .remaining
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it unpacks to more than any image has"))?;
        Ok(count)
    }
}

/// Reads until `buffer` is full or the stream ends; how many bytes came.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(stored: Vec<u8>) -> io::Result<Vec<u8>> {
        let kind = Compression::detect(&stored).expect("supported");
        let mut out = Vec::new();
        kind.reader(Box::new(io::Cursor::new(stored)))?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn members_and_frames_are_concatenated_and_rest_is_refused() {
        assert_eq!(unpack([gzip(b"ab"), gzip(b"c")].concat()).unwrap(), b"abc");
        let frame = |content: &[u8]| zstd::encode_all(content, 1).unwrap();
        let skippable = vec![0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9];
        assert_eq!(unpack([skippable, frame(b"ab"), frame(b"c")].concat()).unwrap(), b"abc");
        assert!(unpack([gzip(b"ab"), b"rest".to_vec()].concat()).is_err());
        assert!(unpack([frame(b"ab"), b"rest".to_vec()].concat()).is_err());
        let whole = gzip(&[7; 1000]);
        assert!(unpack(whole[..whole.len() - 3].to_vec()).is_err());
        let whole = frame(&[7; 1000]);
        assert!(unpack(whole[..whole.len() - 3].to_vec()).is_err());
        assert_eq!(unpack(b"plain".to_vec()).unwrap(), b"plain");
    }

    #[test]
    fn other_compressions_are_named() {
        assert_eq!(Compression::detect(b"\xfd7zXZ\0"), Err("xz"));
        assert_eq!(Compression::detect(b"BZh9"), Err("bzip2"));
        assert_eq!(Compression::detect(b""), Ok(Compression::None));
    }

    #[test]
    fn bombs_are_cut() {
        let mut bomb = bounded(Box::new(io::repeat(0)), 1000);
        assert!(io::copy(&mut bomb, &mut io::sink()).is_err());
        let mut fits = bounded(Box::new(io::repeat(0).take(1000)), 1000);
        assert_eq!(io::copy(&mut fits, &mut io::sink()).unwrap(), 1000);
    }
}
