//! The 512-byte block that starts every entry, in the ustar layout.

/// The size of a block, and what content is padded to.
pub(in crate::layer) const BLOCK: usize = 512;

/// A block.
pub(in crate::layer) type Block = [u8; BLOCK];

/// The type flags.
pub(in crate::layer) mod flag {
    pub(in crate::layer) const FILE: u8 = b'0';
    pub(in crate::layer) const HARD_LINK: u8 = b'1';
    pub(in crate::layer) const SYMLINK: u8 = b'2';
    pub(in crate::layer) const CHARACTER: u8 = b'3';
    pub(in crate::layer) const BLOCK_DEVICE: u8 = b'4';
    pub(in crate::layer) const DIRECTORY: u8 = b'5';
    pub(in crate::layer) const FIFO: u8 = b'6';
    pub(in crate::layer) const CONTIGUOUS: u8 = b'7';
    pub(in crate::layer) const PAX: u8 = b'x';
    pub(in crate::layer) const SOLARIS_PAX: u8 = b'X';
    pub(in crate::layer) const GLOBAL_PAX: u8 = b'g';
    pub(in crate::layer) const GNU_LONG_NAME: u8 = b'L';
    pub(in crate::layer) const GNU_LONG_LINK: u8 = b'K';
    pub(in crate::layer) const GNU_SPARSE: u8 = b'S';
    pub(in crate::layer) const GNU_VOLUME: u8 = b'V';
}

/// The fields of a header, as byte ranges.
pub(in crate::layer) mod field {
    use std::ops::Range;

    pub(in crate::layer) const NAME: Range<usize> = 0..100;
    pub(in crate::layer) const MODE: Range<usize> = 100..108;
    pub(in crate::layer) const UID: Range<usize> = 108..116;
    pub(in crate::layer) const GID: Range<usize> = 116..124;
    pub(in crate::layer) const SIZE: Range<usize> = 124..136;
    pub(in crate::layer) const MTIME: Range<usize> = 136..148;
    pub(in crate::layer) const CHECKSUM: Range<usize> = 148..156;
    pub(in crate::layer) const FLAG: usize = 156;
    pub(in crate::layer) const LINK: Range<usize> = 157..257;
    pub(in crate::layer) const MAGIC: Range<usize> = 257..265;
    pub(in crate::layer) const DEVICE_MAJOR: Range<usize> = 329..337;
    pub(in crate::layer) const DEVICE_MINOR: Range<usize> = 337..345;
    pub(in crate::layer) const PREFIX: Range<usize> = 345..500;
    pub(in crate::layer) const STAR_PREFIX: Range<usize> = 345..476;
    pub(in crate::layer) const STAR_MAGIC: Range<usize> = 508..512;
    /// GNU's old sparse header: four pairs of offset and length, 12 digits each.
    pub(in crate::layer) const SPARSE_MAP: Range<usize> = 386..482;
    pub(in crate::layer) const SPARSE_MORE: usize = 482;
    pub(in crate::layer) const SPARSE_REAL_SIZE: Range<usize> = 483..495;
}

/// ustar's magic and version.
pub(in crate::layer) const USTAR: &[u8; 8] = b"ustar\x0000";

/// The sum over a header with its checksum field as spaces: of unsigned bytes, and of signed ones as some old tars did.
pub(in crate::layer) fn checksums(block: &Block) -> (u64, i64) {
    let bytes =
        block.iter().enumerate().map(|(index, &byte)| if field::CHECKSUM.contains(&index) { b' ' } else { byte });
    bytes.fold((0, 0), |(unsigned, signed), byte| (unsigned + u64::from(byte), signed + i64::from(byte as i8)))
}
