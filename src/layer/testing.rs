//! Trees for the tests of this module.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{self, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::metadata::{OPAQUE_XATTR, Ownership};
use super::pack::{PackOptions, pack};

/// A temporary directory with a layer directory in it.
pub(super) struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tree = Self { directory };
        fs_err::create_dir(tree.root()).unwrap();
        tree.mode("", 0o755);
        tree
    }

    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("layer")
    }

    /// A place beside the layer directory.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    pub(super) fn directory(&self, path: impl AsRef<Path>) -> &Self {
        fs_err::create_dir_all(self.path(path.as_ref())).unwrap();
        self.mode(path, 0o755)
    }

    pub(super) fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        fs_err::write(self.path(path.as_ref()), content).unwrap();
        self.mode(path, 0o644)
    }

    pub(super) fn symlink(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> &Self {
        fs_err::os::unix::fs::symlink(target, self.path(path)).unwrap();
        self
    }

    pub(super) fn hard_link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> &Self {
        fs_err::hard_link(self.path(target), self.path(path)).unwrap();
        self
    }

    pub(super) fn whiteout(&self, path: impl AsRef<Path>) -> &Self {
        fs::mknodat(fs::CWD, self.path(path), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        self
    }

    pub(super) fn opaque(&self, path: impl AsRef<Path>) -> &Self {
        self.xattr(path, OPAQUE_XATTR, b"y")
    }

    pub(super) fn fifo(&self, path: impl AsRef<Path>) -> &Self {
        fs::mknodat(fs::CWD, self.path(path.as_ref()), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        self.mode(path, 0o644)
    }

    pub(super) fn xattr(&self, path: impl AsRef<Path>, name: &str, value: &[u8]) -> &Self {
        fs::lsetxattr(self.path(path), name, value, XattrFlags::empty()).unwrap();
        self
    }

    pub(super) fn mode(&self, path: impl AsRef<Path>, mode: u32) -> &Self {
        fs_err::set_permissions(self.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(super) fn owner(&self, path: impl AsRef<Path>, uid: u32, gid: u32) -> &Self {
        std::os::unix::fs::lchown(self.path(path), Some(uid), Some(gid)).unwrap();
        self
    }

    /// Sets every time in the tree, the root's too.
    pub(super) fn times(&self, seconds: i64) -> &Self {
        set_times(&self.root(), seconds);
        self
    }

    pub(super) fn pack(&self) -> Vec<u8> {
        pack_bytes(&self.root())
    }
}

pub(super) fn set_times(path: &Path, seconds: i64) {
    if fs_err::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs_err::read_dir(path).unwrap() {
            set_times(&entry.unwrap().path(), seconds);
        }
    }
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    fs::utimensat(fs::CWD, path, &times, fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// How trees are packed here.
pub(super) fn pack_options() -> PackOptions {
    PackOptions { ownership: ownership(), clamp: None }
}

pub(super) fn pack_bytes(layer: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    pack(layer, &mut out, &pack_options()).unwrap();
    out
}

/// Every path below a directory with type, mode, owner and content, one line each; whiteouts and opaque marks too.
pub(super) fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, Path::new(""), &mut lines);
    lines.sort();
    lines
}

fn list(root: &Path, path: &Path, lines: &mut Vec<String>) {
    for entry in fs_err::read_dir(root.join(path)).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name());
        let metadata = fs_err::symlink_metadata(entry.path()).unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            let mut value = [0; 1];
            let opaque = fs::lgetxattr(entry.path(), OPAQUE_XATTR, &mut value[..]).is_ok() && value == *b"y";
            if opaque { "opaque" } else { "dir" }.to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", fs_err::read_link(entry.path()).unwrap().display())
        } else if kind.is_file() {
            format!("= {}", String::from_utf8_lossy(&fs_err::read(entry.path()).unwrap()))
        } else if kind.is_char_device() && metadata.rdev() == 0 {
            "whiteout".to_owned()
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!("device {}", metadata.rdev())
        };
        if kind.is_dir() || kind.is_file() {
            lines.push(format!(
                "{} {what} {:o} {}:{}",
                path.display(),
                metadata.mode() & 0o7777,
                shown_id(metadata.uid(), rustix::process::geteuid().as_raw()),
                shown_id(metadata.gid(), rustix::process::getegid().as_raw())
            ));
        } else {
            lines.push(format!("{} {what}", path.display()));
        }
        if kind.is_dir() {
            list(root, &path, lines);
        }
    }
}

/// An id as the tests name it: who runs them without root stands for root.
fn shown_id(id: u32, own: u32) -> u32 {
    if id == own && !can_set_owners() { 0 } else { id }
}

/// Tells whether any owner can be set here: real root, or a user namespace with many ids.
pub(super) fn can_set_owners() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::chown(file.path(), Some(1_001), Some(1_002)).is_ok()
    })
}

/// Tells whether the test may set owners and make device nodes; says so when not.
pub(super) fn is_root() -> bool {
    if !can_set_owners() {
        eprintln!("skipped: needs root to set owners and make device nodes");
    }
    can_set_owners()
}

/// The ownership that works here.
pub(super) fn ownership() -> Ownership {
    if can_set_owners() { Ownership::Real } else { Ownership::Recorded }
}

/// An entry of an archive that says what it likes: type flag, path, link, content.
pub(super) type Raw<'a> = (u8, &'a str, &'a str, &'a [u8]);

/// An archive made by hand; every entry has mode 0644 (directories 0755), owner 0:0 and time 5.
pub(super) fn raw_archive(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (flag, path, link, content) in entries {
        out.extend_from_slice(&raw_header(*flag, path.as_bytes(), link.as_bytes(), content.len() as u64));
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

pub(super) fn raw_header(flag: u8, path: &[u8], link: &[u8], size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..path.len()].copy_from_slice(path);
    block[157..157 + link.len()].copy_from_slice(link);
    let mode = if flag == b'5' { 0o755 } else { 0o644 };
    for (range, value) in [(100..108, mode), (108..116, 0), (116..124, 0), (124..136, size), (136..148, 5)] {
        super::tar::numbers::write_octal(&mut block[range], value);
    }
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    fix_checksum(&mut block);
    block
}

pub(super) fn fix_checksum(block: &mut [u8; 512]) {
    let (sum, _) = super::tar::header::checksums(block);
    super::tar::numbers::write_octal(&mut block[148..155], sum);
}
