//! Paths inside a layer: relative, without `.` and `..`, compared byte by byte.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// The prefix of a whiteout's name in a layer archive.
pub(super) const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The prefix of names that older tools used for their own purposes.
pub(super) const WHITEOUT_META_PREFIX: &[u8] = b".wh..wh.";
/// The name in a layer archive that makes its directory opaque.
pub(super) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";

/// Cleans a path of an archive or a caller: no leading slash, no `.`, no empty components; the root is the empty path.
/// Refuses `..` and NUL bytes.
pub(super) fn clean(raw: &[u8]) -> Result<PathBuf> {
    let refused = |reason| Err(Error::refused(OsStr::from_bytes(raw), reason));
    if raw.contains(&0) {
        return refused("a path cannot hold a NUL byte");
    }
    let mut out = Vec::with_capacity(raw.len());
    for component in raw.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return refused("`..` is not allowed in a layer"),
            name => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(name);
            }
        }
    }
    Ok(PathBuf::from(std::ffi::OsString::from_vec(out)))
}

/// The bytes of a path.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// A path from bytes.
pub(super) fn from_bytes(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The components of a clean path.
pub(super) fn components(path: &Path) -> impl Iterator<Item = &OsStr> {
    bytes(path).split(|&byte| byte == b'/').filter(|name| !name.is_empty()).map(OsStr::from_bytes)
}

/// Splits a clean path other than the root into parent and name.
pub(super) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let raw = bytes(path);
    if raw.is_empty() {
        return None;
    }
    Some(match raw.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (from_bytes(&raw[..slash]), OsStr::from_bytes(&raw[slash + 1..])),
        None => (Path::new(""), OsStr::from_bytes(raw)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_and_refuses() {
        for (raw, clean_path) in [("/a/b", "a/b"), ("./a//b/", "a/b"), (".", ""), ("/", ""), ("a/./b", "a/b")] {
            assert_eq!(clean(raw.as_bytes()).unwrap(), Path::new(clean_path), "{raw}");
        }
        for raw in ["..", "a/..", "a/../../b", "a\0b"] {
            assert!(clean(raw.as_bytes()).is_err(), "{raw}");
        }
        assert_eq!(split(Path::new("a/b/c")), Some((Path::new("a/b"), OsStr::new("c"))));
        assert_eq!(split(Path::new("a")), Some((Path::new(""), OsStr::new("a"))));
        assert_eq!(split(Path::new("")), None);
    }
}
