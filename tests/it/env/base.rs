//! Root file systems to build on, made of what the machine has, and images of them in a registry.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde_json::json;

use super::layout::sha256;
use super::run::program;
use super::{Missing, Registry, is_root};

/// A tar with a static busybox and its applets, `/etc/passwd`, `/etc/group` and `/tmp`; the same bytes on every call.
pub(crate) fn busybox_rootfs() -> &'static [u8] {
    static ROOTFS: OnceLock<Vec<u8>> = OnceLock::new();
    ROOTFS.get_or_init(make_busybox)
}

fn make_busybox() -> Vec<u8> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.is_file());
    let busybox = busybox.expect("busybox-static is not installed: run `tests/run --set-up`");
    let applets = program(busybox.file_name().unwrap().to_str().unwrap(), ["--list"]).expect("just found");
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode) in [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("usr/", 0o755), ("usr/bin", 0o755)] {
        append(&mut tar, path, tar::EntryType::Directory, mode, b"");
    }
    append(&mut tar, "tmp", tar::EntryType::Directory, 0o1777, b"");
    append(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, &fs::read(busybox).unwrap());
    append(&mut tar, "etc/passwd", tar::EntryType::Regular, 0o644, PASSWD.as_bytes());
    append(&mut tar, "etc/group", tar::EntryType::Regular, 0o644, GROUP.as_bytes());
    for applet in applets.succeeds().stdout.lines().filter(|applet| *applet != "busybox") {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    tar.into_inner().unwrap()
}

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nwww:x:33:\nstaff:x:50:\nnogroup:x:65534:\n";

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, mode: u32, content: &[u8]) {
    let mut header = header(kind, mode, content.len() as u64);
    tar.append_data(&mut header, path, content).unwrap();
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(315_532_801);
    header
}

/// A minimal Debian with apt, whose package sources are this machine's own. Made once, and again after a week.
pub(crate) fn debian_rootfs() -> Result<&'static Path, Missing> {
    static ROOTFS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let rootfs = ROOTFS.get_or_init(|| make_debian().map_err(|missing| missing.0));
    rootfs.as_deref().map_err(|why| Missing(why.clone()))
}

fn make_debian() -> Result<PathBuf, Missing> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.filter(|_| release.lines().any(|line| line == "ID=debian"));
    let codename = codename.ok_or_else(|| Missing("this machine is not a Debian".into()))?;
    if !is_root() {
        return Err(Missing("a Debian base is made as root".into()));
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bases");
    let rootfs = directory.join(format!("debian-{codename}.tar"));
    let is_fresh = |made: SystemTime| made.elapsed().is_ok_and(|age| age < Duration::from_secs(7 * 24 * 3600));
    if fs::metadata(&rootfs).and_then(|metadata| metadata.modified()).is_ok_and(is_fresh) {
        return Ok(rootfs);
    }
    fs::create_dir_all(&directory).unwrap();
    let new = directory.join(format!("new-{}.tar", std::process::id()));
    let sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"].map(Path::new);
    let sources = sources.into_iter().find(|path| path.is_file());
    let sources = sources.ok_or_else(|| Missing("this machine has no list of package sources".into()))?;
    let proxy = program("apt-config", ["dump", "Acquire::http::Proxy"])?.stdout;
    let proxy = proxy.lines().filter(|line| !line.contains("\"\"")).map(|line| format!("--aptopt={line}"));
    let fixed = ["--quiet", "--variant=apt", "--dpkgopt=path-exclude=/usr/share/doc/*", codename].map(str::to_owned);
    let places = [new.to_str().unwrap().to_owned(), sources.to_str().unwrap().to_owned()];
    program("mmdebstrap", proxy.chain(fixed).chain(places))?.succeeds();
    fs::rename(new, &rootfs).unwrap();
    Ok(rootfs)
}

/// Pushes a root file system to a registry as a one-layer image with `/bin/sh` as command; the image's reference.
pub(crate) fn push_rootfs(registry: &Registry, name: &str, rootfs: &[u8]) -> Result<String, Missing> {
    let directory = tempfile::tempdir().unwrap();
    let blobs = directory.path().join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |kind: &str, bytes: &[u8]| {
        let digest = sha256(bytes);
        fs::write(blobs.join(&digest), bytes).unwrap();
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let layer = blob("layer.v1.tar", rootfs);
    let config = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Labels": {"base": "yes"}},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "history": [{"created": "1980-01-01T00:00:01Z", "created_by": "it"}],
    });
    let config = blob("config.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let manifest = blob("manifest.v1+json", manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(directory.path().join("index.json"), index.to_string()).unwrap();
    fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let reference = format!("{}/{name}", registry.address());
    let from = format!("oci:{}", directory.path().display());
    let to = format!("docker://{reference}");
    program("skopeo", ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &from, &to])?.succeeds();
    Ok(reference)
}

#[test]
fn a_pushed_base_comes_back_as_it_was() {
    let registry = need!(Registry::start());
    let reference = need!(push_rootfs(&registry, "busybox:1", busybox_rootfs()));
    let layout = tempfile::tempdir().unwrap();
    let (from, to) = (format!("docker://{reference}"), format!("oci:{}", layout.path().display()));
    let copied = program("skopeo", ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", &from, &to]);
    need!(copied).succeeds();
    let image = super::OciImage::open(layout.path());
    assert_eq!(image.config["config"]["Labels"]["base"], "yes");
    assert_eq!(image.diff_ids(), [format!("sha256:{}", sha256(busybox_rootfs()))]);
    let tree = need!(image.tree());
    assert_eq!((tree["/tmp"].kind, tree["/tmp"].mode), ('d', 0o1777));
    assert_eq!(tree["/bin/sh"].link.as_deref(), Some(Path::new("busybox")));
    assert!(need!(debian_rootfs()).metadata().unwrap().len() > 10_000_000);
}
