//! SHA-256, of bytes in memory and while bytes pass: the digests that OCI knows blobs by.

use std::io::{self, Read};

use stages::BlobId;

/// An incremental SHA-256.
#[derive(Clone)]
pub struct Sha256(ring::digest::Context);

impl Sha256 {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> BlobId {
        let digest = self.0.finish();
        BlobId::from_bytes(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The digest of one slice.
    pub fn of(bytes: &[u8]) -> BlobId {
        let mut hash = Self::new();
        hash.update(bytes);
        hash.finish()
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// A reader that hashes and counts what passes through it.
pub struct HashingReader<R> {
    inner: R,
    hash: Sha256,
    count: u64,
}

impl<R: Read> HashingReader<R> {
    /// Wraps a reader.
    pub fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), count: 0 }
    }

    /// The reader, the digest of the bytes read and their number.
    pub fn finish(self) -> (R, BlobId, u64) {
        (self.inner, self.hash.finish(), self.count)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_what_passes() {
        assert_eq!(Sha256::of(b"abc").to_string(), ABC);
        let mut reader = HashingReader::new(&b"abc"[..]);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "abc");
        let (_, digest, count) = reader.finish();
        assert_eq!((digest.to_string().as_str(), count), (ABC, 3));
    }
}
