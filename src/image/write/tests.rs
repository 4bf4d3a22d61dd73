use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use stages::spec::BaseFormat;

use super::*;
use crate::image::assemble::{LayerRef, assemble, manifest};
use crate::image::read::split_reference;
use crate::image::read::{BaseInput, OpenOptions, OpenedBase, open_base};
use crate::image::spec::{Document, ImageConfig, media_type};
use crate::sha256::Sha256;

const EPOCH: u64 = 315_532_801;

/// A layer with one file in it.
pub(crate) fn layer_tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn opener(bytes: Vec<u8>) -> Opener {
    let bytes: Arc<[u8]> = bytes.into();
    Box::new(move || Ok(Box::new(io::Cursor::new(Arc::clone(&bytes)))))
}

fn config_of(platform: &str, layers: &[Vec<u8>]) -> ImageConfig {
    let platform = platform.parse().unwrap();
    let line = |tar: &Vec<u8>| LayerRef { diff_id: Some(Sha256::of(tar)), created_by: "stager build".to_owned() };
    let mut base = ImageConfig::scratch(&platform);
    base.config.cmd = vec!["/hello".to_owned()];
    assemble(&base, &platform, &layers.iter().map(line).collect::<Vec<_>>(), EPOCH).unwrap()
}

fn oci_image(name: Option<&str>, platform: &str, layers: &[Vec<u8>]) -> OciImage {
    let config = config_of(platform, layers).to_bytes();
    let packed: Vec<Vec<u8>> = layers.iter().map(|tar| gzip(tar)).collect();
    let descriptors: Vec<Descriptor> = packed.iter().map(|blob| Descriptor::of(media_type::LAYER_GZIP, blob)).collect();
    let document = manifest(Descriptor::of(media_type::CONFIG, &config), descriptors.clone(), BTreeMap::new()).unwrap();
    OciImage {
        reference: name.map(ToOwned::to_owned),
        platform: platform.parse().unwrap(),
        manifest: document.to_bytes(),
        config,
        layers: descriptors
            .into_iter()
            .zip(packed)
            .map(|(descriptor, blob)| OciLayer { descriptor, open: opener(blob), trusted: false })
            .collect(),
    }
}

pub(crate) fn docker_image(names: &[&str], layers: &[Vec<u8>]) -> DockerImage {
    DockerImage {
        references: names.iter().map(ToString::to_string).collect(),
        config: config_of("linux/amd64", layers).to_bytes(),
        layers: layers
            .iter()
            .map(|tar| DockerLayer { diff_id: Sha256::of(tar), size: None, open: opener(tar.clone()), trusted: false })
            .collect(),
    }
}

fn hello() -> Vec<Vec<u8>> {
    vec![layer_tar("hello", b"hello"), layer_tar("etc/name", b"world")]
}

fn open_back(format: BaseFormat, text: &str) -> Result<OpenedBase, crate::image::read::ReadError> {
    let (path, reference) = split_reference(format, text);
    let input = match format {
        BaseFormat::Oci => BaseInput::Directory(path.into()),
        _ => BaseInput::File(path.into()),
    };
    let platform = "linux/amd64".parse().unwrap();
    open_base(format, input, &OpenOptions { platform: &platform, reference, spool: Path::new("/tmp") })
}

fn assert_layers(base: &OpenedBase, expected: &[Vec<u8>]) {
    assert_eq!(base.layers.len(), expected.len());
    for (layer, expected) in base.layers.iter().zip(expected) {
        let mut bytes = Vec::new();
        layer.open_tar().unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, *expected);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_written_reads_back_and_is_the_same_each_time() {
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name);
    for round in ["1", "2"] {
        write_oci_archive(&path(&format!("oci{round}")), &[oci_image(Some("v1"), "linux/amd64", &hello())], EPOCH)
            .unwrap();
        write_docker_archive(&path(&format!("docker{round}")), &[docker_image(&["app:v1"], &hello())], EPOCH).unwrap();
        write_oci_directory(&path(&format!("layout{round}")), &[oci_image(Some("v1"), "linux/amd64", &hello())])
            .unwrap();
    }
    for name in ["oci", "docker"] {
        let bytes = |round| fs_err::read(path(&format!("{name}{round}"))).unwrap();
        assert_eq!(bytes("1"), bytes("2"), "{name}");
    }
    let index = |round: &str| fs_err::read(path(&format!("layout{round}")).join("index.json")).unwrap();
    assert_eq!(index("1"), index("2"));
    for (format, name) in [
        (BaseFormat::OciArchive, "oci1:v1"),
        (BaseFormat::DockerArchive, "docker1:app:v1"),
        (BaseFormat::Oci, "layout1:v1"),
    ] {
        assert_layers(&open_back(format, path(name).to_str().unwrap()).unwrap(), &hello());
    }
    assert_eq!(names(&path("layout1")), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(names(work.path()), ["docker1", "docker2", "layout1", "layout2", "oci1", "oci2"]);
}

/// Pins every byte of an output: a change here changes what users get from the same commit.
#[test]
fn golden_archives() {
    let mut bytes = Vec::new();
    docker_archive_to(&mut bytes, &[docker_image(&["app:v1"], &hello())], EPOCH).unwrap();
    assert_eq!(
        Sha256::of(&bytes).to_string(),
        "sha256:6f855700c68c86c53ed1ff974e1f7be9347d558ce7c63cbd5a8d7fc8941b22a3"
    );
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("a.tar");
    write_oci_archive(&path, &[oci_image(Some("v1"), "linux/amd64", &[])], EPOCH).unwrap();
    let bytes = fs_err::read(&path).unwrap();
    assert_eq!(
        Sha256::of(&bytes).to_string(),
        "sha256:60ff7cf086c3092f8b816d217868fa6062533dc2860cd387bddc8175dca9ac9b"
    );
}

#[test]
fn tar_headers_hold_the_epoch_and_no_owner() {
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("a.tar");
    write_oci_archive(&path, &[oci_image(None, "linux/amd64", &hello())], EPOCH).unwrap();
    let mut archive = tar::Archive::new(fs_err::File::open(&path).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (EPOCH, 0, 0));
        assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
        found.push(entry.path().unwrap().display().to_string());
    }
    assert_eq!(found[..4], ["oci-layout", "index.json", "blobs/", "blobs/sha256/"]);
    assert!(found[4..].is_sorted());
}

#[test]
fn a_layout_grows_and_replaces_by_name() {
    let work = tempfile::tempdir().unwrap();
    let layout = work.path().join("layout");
    let write = |images: &[OciImage]| write_oci_directory(&layout, images).unwrap();
    let text = |name: &str| format!("{}:{name}", layout.display());
    let other = vec![layer_tar("x", b"1")];
    write(&[oci_image(Some("a"), "linux/amd64", &hello()), oci_image(Some("b"), "linux/amd64", &other)]);
    write(&[oci_image(Some("a"), "linux/amd64", &other)]);
    assert_layers(&open_back(BaseFormat::Oci, &text("a")).unwrap(), &other);
    assert_layers(&open_back(BaseFormat::Oci, &text("b")).unwrap(), &other);

    write(&[oci_image(None, "linux/amd64", &hello())]);
    write(&[oci_image(None, "linux/amd64", &other)]);
    let index = fs_err::read(layout.join("index.json")).unwrap();
    let Document::Index(index) = Document::parse(&index).unwrap() else { panic!("not an index") };
    assert_eq!(index.manifests.iter().map(Descriptor::ref_name).collect::<Vec<_>>(), [None, Some("a"), Some("b")]);
}

#[test]
fn platforms_of_one_name_become_an_index() {
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("multi.tar");
    let arm = vec![layer_tar("arm", b"1")];
    let images = [oci_image(Some("app"), "linux/arm64", &arm), oci_image(Some("app"), "linux/amd64", &hello())];
    write_oci_archive(&path, &images, EPOCH).unwrap();
    assert_layers(&open_back(BaseFormat::OciArchive, &format!("{}:app", path.display())).unwrap(), &hello());
    let images = [oci_image(Some("app"), "linux/amd64", &arm), oci_image(Some("app"), "linux/amd64", &hello())];
    let error = write_oci_archive(&path, &images, EPOCH).unwrap_err();
    assert_eq!(error.to_string(), "two images app for linux/amd64");
}

#[test]
fn present_blobs_are_not_read_again() {
    let work = tempfile::tempdir().unwrap();
    let layout = work.path().join("layout");
    write_oci_directory(&layout, &[oci_image(Some("a"), "linux/amd64", &hello())]).unwrap();
    let mut again = oci_image(Some("b"), "linux/amd64", &hello());
    for layer in &mut again.layers {
        layer.open = Box::new(|| Err(io::Error::other("must not be opened")));
    }
    write_oci_directory(&layout, std::slice::from_ref(&again)).unwrap();
    let blob = layout.join(crate::image::read::blob_name(&again.layers[0].descriptor.digest));
    fs_err::write(&blob, "short").unwrap();
    assert!(write_oci_directory(&layout, &[again]).is_err(), "a damaged blob is written anew");
}

#[test]
fn corrupt_layers_fail_and_leave_nothing() {
    let work = tempfile::tempdir().unwrap();
    let corrupt = |bytes: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let mut image = oci_image(Some("a"), "linux/amd64", &hello());
        image.layers[1].open = opener(bytes(gzip(&hello()[1])));
        image
    };
    let flip = |mut bytes: Vec<u8>| {
        bytes[15] ^= 1;
        bytes
    };
    let longer = |bytes: Vec<u8>| [bytes, vec![0]].concat();
    let shorter = |bytes: Vec<u8>| bytes[1..].to_vec();
    for image in [corrupt(&flip), corrupt(&longer), corrupt(&shorter)] {
        let error = write_oci_archive(&work.path().join("a.tar"), &[image], EPOCH).unwrap_err();
        assert!(error.to_string().starts_with("cannot copy layer sha256:"), "{error}");
    }
    let layout = work.path().join("layout");
    write_oci_directory(&layout, &[oci_image(Some("a"), "linux/amd64", &[layer_tar("x", b"")])]).unwrap();
    let before = fs_err::read(layout.join("index.json")).unwrap();
    assert!(write_oci_directory(&layout, &[corrupt(&flip)]).is_err());
    assert_eq!(fs_err::read(layout.join("index.json")).unwrap(), before);
    assert_eq!(names(&layout), ["blobs", "index.json", "oci-layout"]);

    let mut image = docker_image(&[], &hello());
    image.layers[0].open = opener(layer_tar("hello", b"HELLO"));
    assert!(write_docker_archive(&work.path().join("d.tar"), &[image], EPOCH).is_err());
    assert_eq!(names(work.path()), ["layout"]);

    let mut trusted = corrupt(&shorter);
    trusted.layers[1].trusted = true;
    assert!(write_oci_archive(&work.path().join("a.tar"), &[trusted], EPOCH).is_err(), "sizes are always checked");
}

#[test]
fn images_that_contradict_themselves_are_refused() {
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("a.tar");
    let mut image = oci_image(Some("a"), "linux/amd64", &hello());
    image.layers.pop();
    let error = write_oci_archive(&path, &[image], EPOCH).unwrap_err();
    assert_eq!(error.to_string(), "the manifest of image a names other blobs than it came with");
    let error = write_oci_archive(&path, &[oci_image(Some("a b"), "linux/amd64", &[])], EPOCH).unwrap_err();
    assert!(error.to_string().contains("latin letters"), "{error}");
    let mut image = docker_image(&["a:1"], &hello());
    image.layers.swap(0, 1);
    let error = write_docker_archive(&path, &[image], EPOCH).unwrap_err();
    assert_eq!(error.to_string(), "the config of image a:1 names other layers than it came with");
    for names in [&["a"][..], &["A:1"], &["a:1", "a:1"]] {
        assert!(write_docker_archive(&path, &[docker_image(names, &[])], EPOCH).is_err(), "{names:?}");
    }
    assert!(names(work.path()).is_empty());
}

#[test]
fn destinations_with_something_else_are_left_alone() {
    let work = tempfile::tempdir().unwrap();
    fs_err::write(work.path().join("mine"), "x").unwrap();
    let image = || [oci_image(Some("a"), "linux/amd64", &hello())];
    let error = write_oci_directory(work.path(), &image()).unwrap_err();
    assert!(error.to_string().ends_with("is neither empty nor an OCI layout"), "{error}");
    assert_eq!(names(work.path()), ["mine"]);
    let error = write_oci_archive(work.path(), &image(), EPOCH).unwrap_err();
    assert!(error.to_string().contains("is a directory"), "{error}");
    let layout = work.path().join("layout");
    write_oci_directory(&layout, &image()).unwrap();
    fs_err::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"9.0.0"}"#).unwrap();
    assert!(write_oci_directory(&layout, &image()).is_err());
    assert!(write_oci_archive(Path::new("/nonexistent/a.tar"), &image(), EPOCH).is_err());
}

#[test]
fn links_are_followed_and_pipes_written_to() {
    let work = tempfile::tempdir().unwrap();
    let (real, link) = (work.path().join("real"), work.path().join("link"));
    fs_err::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    write_docker_archive(&link, &[docker_image(&[], &hello())], EPOCH).unwrap();
    assert!(fs_err::symlink_metadata(&link).unwrap().is_symlink());
    let expected = fs_err::read(&real).unwrap();
    let pipe = work.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs_err::read(pipe).unwrap()
    });
    write_docker_archive(&pipe, &[docker_image(&[], &hello())], EPOCH).unwrap();
    assert_eq!(reader.join().unwrap(), expected);
}

#[test]
fn what_killed_processes_left_is_removed() {
    let work = tempfile::tempdir().unwrap();
    let layout = work.path().join("layout");
    fs_err::create_dir_all(layout.join(".stager-dead/x")).unwrap();
    fs_err::write(layout.join(".stager-file"), "x").unwrap();
    fs_err::create_dir_all(layout.join(".stager-alive")).unwrap();
    let alive = fs_err::File::open(layout.join(".stager-alive")).unwrap();
    rustix::fs::flock(alive.file(), rustix::fs::FlockOperation::LockExclusive).unwrap();
    write_oci_directory(&layout, &[oci_image(Some("a"), "linux/amd64", &hello())]).unwrap();
    assert_eq!(names(&layout), [".stager-alive", "blobs", "index.json", "oci-layout"]);
}

#[test]
fn writers_of_one_layout_lose_no_entry() {
    let work = tempfile::tempdir().unwrap();
    let layout = work.path().join("layout");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let layout = &layout;
            scope.spawn(move || {
                for round in 0..10 {
                    let name = format!("n{number}-{round}");
                    let layers = [layer_tar("n", &[number]), layer_tar("shared", b"s")];
                    write_oci_directory(layout, &[oci_image(Some(&name), "linux/amd64", &layers)]).unwrap();
                }
            });
        }
    });
    for number in 0..8 {
        for round in 0..10 {
            open_back(BaseFormat::Oci, &format!("{}:n{number}-{round}", layout.display())).unwrap();
        }
    }
    assert_eq!(names(&layout), ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn large_sizes_fit_the_header() {
    let mut sink = io::sink();
    let image = DockerImage {
        layers: vec![DockerLayer {
            diff_id: Sha256::of(b"x"),
            size: Some(20 << 30),
            open: opener(Vec::new()),
            trusted: true,
        }],
        ..docker_image(&[], &[])
    };
    let config = ImageConfig {
        rootfs: crate::image::spec::RootFs { diff_ids: vec![Sha256::of(b"x")], ..Default::default() },
        ..ImageConfig::default()
    };
    let image = DockerImage { config: config.to_bytes(), ..image };
    let error = docker_archive_to(&mut sink, &[image], EPOCH).unwrap_err();
    assert!(matches!(error, WriteError::Layer { .. }), "the header could be made, the layer is too short: {error}");
}

/// Runs a tool; `None` if this machine doesn't have it.
fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(tool).args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no {tool}");
            None
        }
        result => {
            let output = result.unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{tool} {arguments:?}: {stderr}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
    }
}

#[test]
fn skopeo_takes_all_outputs() {
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    let oci = || [oci_image(Some("v1"), "linux/amd64", &hello()), oci_image(Some("v2"), "linux/amd64", &hello())];
    write_oci_directory(Path::new(&path("layout")), &oci()).unwrap();
    write_oci_archive(Path::new(&path("oci.tar")), &oci(), EPOCH).unwrap();
    let doubled = [hello(), hello()].concat();
    let docker = [docker_image(&["app:v1", "app:v2"], &hello()), docker_image(&["other/app:latest"], &doubled)];
    write_docker_archive(Path::new(&path("docker.tar")), &docker, EPOCH).unwrap();
    let sources = [
        format!("oci:{}:v1", path("layout")),
        format!("oci-archive:{}:v2", path("oci.tar")),
        format!("docker-archive:{}:app:v2", path("docker.tar")),
        format!("docker-archive:{}:docker.io/other/app:latest", path("docker.tar")),
    ];
    for (number, source) in sources.iter().enumerate() {
        let Some(text) = run("skopeo", &["inspect", source]) else { return };
        assert!(text.contains("\"Created\": \"1980-01-01T00:00:01Z\""), "{text}");
        let copy = path(&format!("copy{number}"));
        run("skopeo", &["--insecure-policy", "copy", source, &format!("oci:{copy}:c")]).unwrap();
        let expected = if source.contains("other") { doubled.clone() } else { hello() };
        assert_layers(&open_back(BaseFormat::Oci, &format!("{copy}:c")).unwrap(), &expected);
        // and what skopeo writes is read here
        let saved = path(&format!("saved{number}.tar"));
        run("skopeo", &["--insecure-policy", "copy", source, &format!("docker-archive:{saved}:x:y")]).unwrap();
        assert_layers(&open_back(BaseFormat::DockerArchive, &format!("{saved}:x:y")).unwrap(), &expected);
    }
}

#[test]
fn umoci_unpacks_a_layout() {
    let work = tempfile::tempdir().unwrap();
    let (layout, bundle) = (work.path().join("layout"), work.path().join("bundle"));
    write_oci_directory(&layout, &[oci_image(Some("v1"), "linux/amd64", &hello())]).unwrap();
    let image = format!("{}:v1", layout.display());
    let bundle = bundle.to_str().unwrap();
    if run("umoci", &["unpack", "--rootless", "--image", &image, bundle]).is_some() {
        assert_eq!(fs_err::read_to_string(format!("{bundle}/rootfs/etc/name")).unwrap(), "world");
        run("umoci", &["gc", "--layout", layout.to_str().unwrap()]).unwrap();
        assert_layers(&open_back(BaseFormat::Oci, &image).unwrap(), &hello());
    }
}
