use std::io::Read;

use super::*;

/// Bytes that compress somewhat, from a fixed generator.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"abcdefgh0123\n  "[(state >> 24) as usize % 15]
    })
    .take(count)
    .collect()
}

fn blob(content: &[u8], compression: Compression, threads: usize) -> (Vec<u8>, BlobSummary) {
    let mut out = Vec::new();
    let produce = |sink: &mut dyn Write| {
        content.chunks(77_777).try_for_each(|chunk| sink.write_all(chunk)).map_err(Error::stream("write", "test"))
    };
    let summary = write_blob(produce, &mut out, compression, threads).unwrap();
    (out, summary)
}

#[test]
fn the_bytes_do_not_depend_on_the_threads_and_the_digests_are_right() {
    for size in [0, 1, GZIP_BLOCK, 3 * GZIP_BLOCK + 5] {
        let content = bytes(size);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (first, summary) = blob(&content, compression, 1);
            for threads in [2, 5] {
                assert_eq!(blob(&content, compression, threads), (first.clone(), summary), "{compression:?} {size}");
            }
            assert_eq!(summary.diff_id, Sha256::of(&content));
            assert_eq!(summary.blob, Sha256::of(&first));
            assert_eq!((summary.size, summary.uncompressed_size), (first.len() as u64, size as u64));
        }
    }
}

#[test]
fn other_implementations_read_the_blobs() {
    let content = bytes(2 * GZIP_BLOCK + 7);
    let mut read = Vec::new();
    let (gzip, _) = blob(&content, Compression::Gzip, 2);
    flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
    assert!(read == content);
    let (zstd, _) = blob(&content, Compression::Zstd, 2);
    assert!(zstd::decode_all(&zstd[..]).unwrap() == content);
}

#[test]
fn the_bytes_of_compression_version_2_do_not_change() {
    let content = [bytes(2 * GZIP_BLOCK + 7), noise(2 * GZIP_BLOCK)].concat();
    assert_eq!(crate::layer::COMPRESSION_VERSION, 2);
    let digest = |compression| blob(&content, compression, 2).1.blob.to_string();
    assert_eq!(digest(Compression::Gzip), "sha256:fb1d8dccca5cb01330e1e8ac30b6c1014c4694575c36203e31b7074eb20232a6");
    assert_eq!(digest(Compression::Zstd), "sha256:f5dd71dc010a4e7ecb1eb795bfc7085928738af9d95a3658efd0611bd65882e1");
}

/// Bytes that do not compress, from a fixed generator.
fn noise(count: usize) -> Vec<u8> {
    let blocks = (0_u64..).map(|block| blake3::hash(&block.to_le_bytes()));
    blocks.flat_map(|hash| *hash.as_bytes()).take(count).collect()
}

#[test]
fn what_does_not_get_smaller_is_stored_and_nothing_else() {
    let mut blocks = GzipBlocks::new();
    assert!(blocks.is_dense(&noise(GZIP_BLOCK)));
    assert!(blocks.is_dense(&noise(GZIP_BLOCK / 8)));
    assert!(!blocks.is_dense(&bytes(GZIP_BLOCK)));
    // What repeats within reach gets smaller, as even as it is.
    assert!(!blocks.is_dense(&noise(20_000).repeat(50)));
    let hexadecimal =
        |byte: &u8| [b"0123456789abcdef"[usize::from(byte >> 4)], b"0123456789abcdef"[usize::from(byte & 15)]];
    let text: Vec<u8> = noise(GZIP_BLOCK / 2).iter().flat_map(hexadecimal).collect();
    assert!(!blocks.is_dense(&text));
    assert!(!blocks.is_dense(&[bytes(GZIP_BLOCK / 2), noise(GZIP_BLOCK / 2)].concat()));
    assert!(!blocks.is_dense(&noise(GZIP_BLOCK / 16)), "too little to tell");
    assert!(blocks.member(&noise(GZIP_BLOCK)).len() < GZIP_BLOCK + 200);
}

struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failing_sink_or_producer_ends_everything() {
    let content = bytes(20 * GZIP_BLOCK);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let all = |sink: &mut dyn Write| sink.write_all(&content).map_err(Error::stream("write", "test"));
        let full = write_blob(all, &mut Full(GZIP_BLOCK), compression, 2);
        assert!(
            matches!(full, Err(Error::Stream { source, .. }) if source.kind() == io::ErrorKind::StorageFull),
            "{compression:?}"
        );
        let broken = |sink: &mut dyn Write| {
            sink.write_all(&content[..=GZIP_BLOCK]).map_err(Error::stream("write", "test"))?;
            Err(Error::NotFound { path: "x".into() })
        };
        let broken = write_blob(broken, &mut io::sink(), compression, 2);
        assert!(matches!(broken, Err(Error::NotFound { .. })), "{compression:?}");
    }
}
