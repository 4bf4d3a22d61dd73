//! Blobs by their sha256.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use fs_err as fs;
use stages::BlobId;

use super::{Error, Home, TempDir};
use crate::sha256::Sha256;

/// The blobs of a store.
#[derive(Debug, Clone)]
pub struct BlobStore {
    home: Home,
}

impl BlobStore {
    /// The blobs in that store.
    pub fn new(home: Home) -> Self {
        Self { home }
    }

    /// Where a blob is, or would be.
    pub fn path(&self, blob: &BlobId) -> PathBuf {
        self.home.root().join("blobs/sha256").join(blob.hex())
    }

    /// Whether a blob of that length is there.
    pub fn has(&self, blob: &BlobId, size: u64) -> bool {
        fs::metadata(self.path(blob)).is_ok_and(|metadata| metadata.len() == size)
    }

    /// Opens a blob; `None` when it is not there.
    pub fn open(&self, blob: &BlobId) -> Result<Option<fs::File>, Error> {
        match fs::File::open(self.path(blob)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts a new blob.
    pub fn create(&self) -> Result<NewBlob, Error> {
        let temp = self.home.temp()?;
        let file = fs::File::create(temp.path().join("blob"))?;
        Ok(NewBlob { store: self.clone(), temp, file })
    }

    /// Stores what a reader gives, which must have the digest `expected`.
    pub fn copy_in(&self, reader: &mut dyn Read, expected: &BlobId) -> Result<(), Error> {
        let mut blob = self.create()?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            blob.write_all(&buffer[..read])?;
        }
        let found = hash.finish();
        if found != *expected {
            return Err(Error::WrongDigest { expected: *expected, found });
        }
        blob.keep(expected)
    }
}

/// A blob being written; gone unless kept.
#[derive(Debug)]
pub struct NewBlob {
    store: BlobStore,
    temp: TempDir,
    file: fs::File,
}

impl NewBlob {
    /// Moves it in under its digest, which the caller has computed from the bytes written.
    pub fn keep(self, blob: &BlobId) -> Result<(), Error> {
        fs::rename(self.temp.path().join("blob"), self.store.path(blob))?;
        Ok(())
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
