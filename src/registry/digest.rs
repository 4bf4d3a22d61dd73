//! SHA-256 as OCI uses it.

use ring::digest::{Context, SHA256};
use stages::ids::BlobId;

/// A running digest.
#[derive(Clone)]
pub(super) struct Hasher(Context);

impl Hasher {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> BlobId {
        let digest = self.0.finish();
        BlobId::from_bytes(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// The digest of bytes in memory.
pub(super) fn sha256(bytes: &[u8]) -> BlobId {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}
