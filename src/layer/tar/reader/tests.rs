use proptest::prelude::*;

use super::*;
use crate::layer::testing::{fix_checksum, raw_archive, raw_header};

const LIMITS: Limits =
    Limits { entries: 100, path: 1000, depth: 50, extensions: 100_000, bytes: 1 << 30, archive: 1 << 30 };

fn read_all(archive: &[u8]) -> Result<Vec<Entry>> {
    let mut reader = TarReader::new(archive, LIMITS);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.push(entry);
    }
    Ok(entries)
}

/// An archive with a long name of each sort and some content.
fn sample() -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |flag, path: &[u8], content: &[u8]| {
        out.extend_from_slice(&raw_header(flag, path, b"", content.len() as u64));
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
    };
    add(flag::GLOBAL_PAX, b"pax_global_header", b"18 comment=ignored\n");
    add(flag::GNU_LONG_NAME, b"././@LongLink", &[b"n".repeat(150), vec![0]].concat());
    add(flag::GNU_LONG_LINK, b"././@LongLink", &[b"l".repeat(150), vec![0]].concat());
    add(flag::SYMLINK, b"nnn", b"");
    add(flag::PAX, b"pax", b"22 path=from the pax\n\n28 mtime=1700000000.5000000\n");
    add(flag::FILE, b"short", b"content");
    add(0, b"old directory/", b"");
    add(flag::DIRECTORY, b"dir", b"");
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn every_dialect_is_read() {
    let entries = read_all(&sample()).unwrap();
    let paths: Vec<_> = entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    assert_eq!(paths, ["n".repeat(150).as_str(), "from the pax\n", "old directory/", "dir"]);
    assert_eq!(entries[0].kind, EntryKind::Symlink { target: b"l".repeat(150) });
    assert_eq!(entries[1].kind, EntryKind::File { size: 7, sparse: None });
    assert_eq!(entries[1].metadata.mtime, Mtime { seconds: 1_700_000_000, nanoseconds: 500_000_000 });
    assert_eq!(entries[2].kind, EntryKind::Directory);

    let mut prefixed = raw_header(flag::FILE, b"name", b"", 0);
    prefixed[345..351].copy_from_slice(b"prefix");
    fix_checksum(&mut prefixed);
    assert_eq!(read_all(&prefixed).unwrap()[0].path, b"prefix/name");
    prefixed[257..265].copy_from_slice(b"ustar  \0");
    fix_checksum(&mut prefixed);
    assert_eq!(read_all(&prefixed).unwrap()[0].path, b"name", "GNU keeps times there");
}

#[test]
fn cut_archives_fail_and_a_missing_end_does_not() {
    let archive = sample();
    let whole = archive.len() - 1024;
    assert_eq!(read_all(&archive[..whole]).unwrap().len(), 4);
    assert_eq!(read_all(&archive[..whole + 512]).unwrap().len(), 4);
    assert_eq!(read_all(&archive[..whole + 700]).unwrap().len(), 4);
    let ends: Vec<usize> = (1..whole).filter(|&length| read_all(&archive[..length]).is_ok()).collect();
    assert_eq!(ends, [1024, 3584, 5632, 6144], "only between entries");
    assert!(read_all(b"").unwrap().is_empty());
}

#[test]
fn malformed_headers_are_refused() {
    let reason = |archive: &[u8]| read_all(archive).unwrap_err().to_string();
    let mut block = raw_header(flag::FILE, b"x", b"", 0);
    block[0] = b'y';
    assert_eq!(reason(&block), "invalid layer archive at byte 0: a header with a wrong checksum");
    for (range, value) in [
        (field::SIZE, &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..]),
        (field::SIZE, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (field::UID, b"\x80\0\0\x01\0\0\0\0"),
        (field::MODE, b"rwxr-xr-"),
        (field::MTIME, b"yesterday!!!"),
    ] {
        let mut block = raw_header(flag::FILE, b"x", b"", 0);
        block[range].copy_from_slice(value);
        fix_checksum(&mut block);
        assert!(reason(&block).starts_with("invalid layer archive at byte 0"), "{value:?}");
    }
    let lonely = raw_archive(&[(flag::PAX, "x", "", b"9 path=x\n")]);
    assert_eq!(reason(&lonely), "invalid layer archive at byte 1024: an extension header with no entry");
    let broken = raw_archive(&[(flag::PAX, "x", "", b"99 path=x\n")]);
    assert_eq!(reason(&broken), "invalid layer archive at byte 0: a malformed PAX record");
}

#[test]
fn hostile_sparse_maps_are_refused() {
    let pax = |records: &[(&str, &str)], content: &[u8]| {
        let mut data = Vec::new();
        for (key, value) in records {
            pax::write_record(&mut data, key.as_bytes(), value.as_bytes());
        }
        [raw_archive(&[(flag::PAX, "x", "", &data)])[..1024].to_vec(), raw_archive(&[(flag::FILE, "x", "", content)])]
            .concat()
    };
    let one = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "100")];
    let padded = |text: &str| {
        let mut block = text.as_bytes().to_vec();
        block.resize(512, 0);
        block
    };
    assert!(read_all(&pax(&one, &[padded("1\n5\n3\n"), b"abc".to_vec()].concat())).is_ok());
    for map in
        ["1\n5\n", "1\n5\n4\n", "2\n5\n2\n4\n1\n", "1\n99\n3\n", "x\n", "999999999\n", "1\n18446744073709551615\n3\n"]
    {
        assert!(read_all(&pax(&one, &[padded(map), b"abc".to_vec()].concat())).is_err(), "{map:?}");
    }
    let zero = |map| pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", "100")], b"abc");
    assert!(read_all(&zero("0,3")).is_ok());
    for map in ["0", "0,3,", "0,4", "98,3", "-1,3"] {
        assert!(read_all(&zero(map)).is_err(), "{map}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(changes in prop::collection::vec((0..7_168_usize, any::<u8>()), 1..8), fix in any::<bool>()) {
        let mut archive = sample();
        for (place, value) in changes {
            let place = place % archive.len();
            archive[place] = value;
            if fix {
                let start = place / 512 * 512;
                let mut block: Block = archive[start..start + 512].try_into().unwrap();
                fix_checksum(&mut block);
                archive[start..start + 512].copy_from_slice(&block);
            }
        }
        let _ = read_all(&archive);
    }
}
