use std::io;

use super::*;
use crate::layer::metadata::Mtime;
use crate::sha256::Sha256;

fn metadata(mode: u32) -> Metadata {
    Metadata { mode, uid: 0, gid: 0, mtime: Mtime::from_seconds(1), xattrs: Xattrs::new() }
}

/// A layer with one of everything, written by hand.
fn sample() -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    let file = metadata(0o644);
    let directory = metadata(0o755);
    let long = format!("dir/{}", "long/".repeat(40));
    writer.directory(Path::new("dir"), &directory).unwrap();
    writer.opaque(Path::new("dir")).unwrap();
    writer.whiteout(Path::new("dir/zz")).unwrap();
    writer.file(Path::new("dir/a"), &file, 5, &mut &b"hello"[..]).unwrap();
    writer.hard_link(Path::new("dir/b"), Path::new("dir/a"), &file).unwrap();
    writer.symlink(Path::new("dir/c"), Path::new("../else"), &metadata(0o777)).unwrap();
    writer.file(&Path::new(&long).join("x"), &file, 0, &mut io::empty()).unwrap();
    writer.fifo(Path::new("dir/pipe"), &file).unwrap();
    let null = Device { kind: DeviceKind::Character, major: 1, minor: 3 };
    writer.device(Path::new("null"), null, &metadata(0o666)).unwrap();
    let mut odd = metadata(0o4755);
    odd.uid = 3_000_000;
    odd.gid = 4_000_000;
    odd.mtime = Mtime::from_seconds(-5);
    odd.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 4, 0, 0]);
    odd.xattrs.insert(b"user.a=b".to_vec(), b"\0x".to_vec());
    writer.file(Path::new("odd"), &odd, 3, &mut &b"odd"[..]).unwrap();
    writer.finish().unwrap()
}

#[test]
fn the_bytes_of_format_version_1_do_not_change() {
    assert_eq!(FORMAT_VERSION, 1);
    assert_eq!(
        Sha256::of(&sample()).to_string(),
        "sha256:daf639aba9dbff71cdf293c3ba34ae49c9a1bb00bfec7d467e3deae064ddcc2d"
    );
}

#[test]
fn the_tar_crate_reads_what_is_written() {
    let bytes = sample();
    let mut names = Vec::new();
    for entry in ::tar::Archive::new(&bytes[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path_bytes().as_ref() == b"odd" {
            let pax: Vec<_> = entry
                .pax_extensions()
                .unwrap()
                .unwrap()
                .map(|record| record.map(|record| record.key_bytes().to_vec()).unwrap())
                .collect();
            let keys: Vec<_> = pax.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
            assert_eq!(keys, ["SCHILY.xattr.security.capability", "SCHILY.xattr.user.a%3Db", "gid", "mtime", "uid"]);
            assert_eq!(entry.header().uid().unwrap(), 3_000_000);
        }
        names.push(String::from_utf8_lossy(&entry.path_bytes()).into_owned());
    }
    assert_eq!(names[..5], ["dir/", "dir/.wh..wh..opq", "dir/.wh.zz", "dir/a", "dir/b"]);
    assert_eq!(names[6].len(), 205);
}

#[test]
fn a_size_beyond_eight_gibibytes_goes_into_a_pax_record() {
    let metadata = metadata(0o644);
    let fields = Fields { size: 9 << 30, ..Fields::new(b"big", &metadata) };
    let mut records = Vec::new();
    fields.pax_records(&mut records).unwrap();
    assert_eq!(records, b"19 size=9663676416\n");
    assert_eq!(fields.block()[field::SIZE], *b"00000000000\0");
    let fields = Fields { size: (8 << 30) - 1, ..Fields::new(b"big", &metadata) };
    records.clear();
    fields.pax_records(&mut records).unwrap();
    assert!(records.is_empty());
    assert_eq!(fields.block()[field::SIZE], *b"77777777777\0");
}

#[test]
fn entries_out_of_order_are_refused() {
    type Write = fn(&mut TarWriter<Vec<u8>>) -> Result<()>;
    let directory: Write = |writer| writer.directory(Path::new("a"), &metadata(0o755));
    let cases: [(&str, &[Write]); 5] = [
        ("twice", &[directory, directory]),
        ("child before parent", &[|writer| writer.fifo(Path::new("a/b"), &metadata(0o644)), directory]),
        ("names", &[|writer| writer.fifo(Path::new("b"), &metadata(0o644)), directory]),
        ("a.b before a/c", &[|w| w.fifo(Path::new("a.b"), &metadata(0)), |w| w.fifo(Path::new("a/c"), &metadata(0))]),
        ("whiteout after entry", &[|w| w.fifo(Path::new("a"), &metadata(0)), |w| w.whiteout(Path::new("b"))]),
    ];
    for (name, calls) in cases {
        let mut writer = TarWriter::new(Vec::new());
        let results: Vec<_> = calls.iter().map(|call| call(&mut writer)).collect();
        assert!(results[0].is_ok(), "{name}");
        assert!(matches!(results[1], Err(Error::OutOfOrder { .. })), "{name}");
    }
}

#[test]
fn reserved_names_and_short_content_are_refused() {
    let mut writer = TarWriter::new(Vec::new());
    assert!(matches!(writer.fifo(Path::new(".wh.a"), &metadata(0)), Err(Error::Refused { .. })));
    assert!(matches!(writer.fifo(Path::new("a/../b"), &metadata(0)), Err(Error::Refused { .. })));
    assert!(matches!(writer.whiteout(Path::new("/")), Err(Error::Refused { .. })));
    let short = writer.file(Path::new("a"), &metadata(0o644), 5, &mut &b"1234"[..]);
    assert!(matches!(short, Err(Error::Changed { .. })));
}
