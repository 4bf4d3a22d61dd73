//! Streams of promised content: a blob is what its digest says, or reading it fails.

use std::io::{self, Read};

use stages::ids::BlobId;

use crate::sha256::Sha256;

/// Passes bytes on and checks them: the error comes at the end of the stream at the latest, in place of the end. Who
/// stops reading earlier has verified nothing.
pub struct VerifyingReader<R> {
    inner: R,
    expected: BlobId,
    /// Bytes still to come; `None` when the size isn't known beforehand.
    remaining: Option<u64>,
    hasher: Option<Sha256>,
    /// What was wrong, so that reading on fails again.
    failure: Option<String>,
}

impl<R: Read> VerifyingReader<R> {
    /// Expects exactly `size` bytes (when known) with this digest.
    pub fn new(inner: R, expected: BlobId, size: Option<u64>) -> Self {
        Self { inner, expected, remaining: size, hasher: Some(Sha256::new()), failure: None }
    }

    /// Checks the size alone: for bytes whose digest somebody else answers for.
    pub fn size_only(inner: R, expected: BlobId, size: u64) -> Self {
        Self { hasher: None, ..Self::new(inner, expected, Some(size)) }
    }

    fn finish(&mut self) -> io::Result<usize> {
        if self.remaining.is_some_and(|remaining| remaining > 0) {
            return self.fail(format!("{} ends before its declared size", self.expected));
        }
        match self.hasher.take().map(Sha256::finish) {
            Some(found) if found != self.expected => {
                self.fail(format!("content of {} is {found}: it is corrupt", self.expected))
            }
            _ => Ok(0),
        }
    }

    fn fail(&mut self, message: String) -> io::Result<usize> {
        self.failure = Some(message.clone());
        Err(invalid(message))
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(message) = &self.failure {
            return Err(invalid(message.clone()));
        }
        let count = self.inner.read(buffer)?;
        if count == 0 {
            return self.finish();
        }
        if let Some(remaining) = self.remaining {
            let Some(rest) = remaining.checked_sub(count as u64) else {
                return self.fail(format!("{} is longer than its declared size", self.expected));
            };
            self.remaining = Some(rest);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], expected: &[u8], size: Option<u64>) -> io::Result<Vec<u8>> {
        let mut reader = VerifyingReader::new(content, Sha256::of(expected), size);
        let mut bytes = Vec::new();
        let result = reader.read_to_end(&mut bytes);
        if result.is_err() {
            assert!(reader.read_to_end(&mut Vec::new()).is_err(), "a failure lasts");
        }
        result.map(|_| bytes)
    }

    #[test]
    fn only_the_promised_bytes_pass() {
        assert_eq!(read(b"abc", b"abc", Some(3)).unwrap(), b"abc");
        assert_eq!(read(b"abc", b"abc", None).unwrap(), b"abc");
        assert!(read(b"abd", b"abc", Some(3)).unwrap_err().to_string().contains("corrupt"));
        assert!(read(b"ab", b"abc", Some(3)).unwrap_err().to_string().contains("ends before"));
        assert!(read(b"abcd", b"abc", Some(3)).unwrap_err().to_string().contains("longer"));
        assert!(read(b"", b"abc", None).is_err());
    }
}
