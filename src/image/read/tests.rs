use std::io::Write;

use rustix::fs::Mode;

use super::*;
use crate::image::spec::{Descriptor, Index, Manifest, REF_NAME, canonical_json};
use crate::sha256::Sha256;

/// A tar of these files; a name that ends in `->` is a symlink to its content.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some(link) = name.strip_suffix("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, link, std::str::from_utf8(content).unwrap()).unwrap();
        } else {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, *content).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Files of a layout, found in memory.
#[derive(Clone, Default)]
struct Layout(std::collections::BTreeMap<String, Vec<u8>>);

impl ImageSource for Layout {
    fn open(&self, name: &str) -> io::Result<Option<SourceFile>> {
        let open =
            |bytes: &Vec<u8>| SourceFile { size: bytes.len() as u64, reader: Box::new(io::Cursor::new(bytes.clone())) };
        Ok(self.0.get(name).map(open))
    }
}

impl Layout {
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.0.insert(oci::blob_name(&descriptor.digest), bytes.to_vec());
        descriptor
    }

    fn image(&mut self, platform: &str, layers: &[&[u8]]) -> Descriptor {
        let mut config = ImageConfig::scratch(&platform.parse().unwrap());
        config.rootfs.diff_ids = layers.iter().map(|layer| Sha256::of(layer)).collect();
        let layers = layers.iter().map(|layer| self.blob(media_type::DOCKER_LAYER_GZIP, &gzip(layer))).collect();
        self.image_of(&config.to_bytes(), platform, layers)
    }

    fn image_of(&mut self, config: &[u8], platform: &str, layers: Vec<Descriptor>) -> Descriptor {
        let config = self.blob(media_type::CONFIG, config);
        let manifest = crate::image::assemble::manifest(config, Vec::new(), std::collections::BTreeMap::new()).unwrap();
        let manifest = Manifest { layers, ..manifest };
        let mut entry = self.blob(media_type::MANIFEST, &manifest.to_bytes());
        entry.platform = Some(PlatformFields::from(&platform.parse::<Platform>().unwrap()));
        entry
    }

    fn index(mut self, entries: Vec<Descriptor>) -> Self {
        self.0.insert("index.json".to_owned(), Index::new(entries).to_bytes());
        self.0.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        self
    }

    fn tar(&self) -> Vec<u8> {
        tar_of(&self.0.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
    }
}

fn named(mut entry: Descriptor, name: &str) -> Descriptor {
    entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    entry
}

fn open(format: BaseFormat, input: BaseInput, reference: Option<&str>) -> Result<OpenedBase, ReadError> {
    let spool = tempfile::tempdir().unwrap();
    let platform = "linux/amd64".parse().unwrap();
    open_base(format, input, &OpenOptions { platform: &platform, reference, spool: spool.path() })
}

fn open_layout(layout: &Layout, reference: Option<&str>) -> Result<OpenedBase, ReadError> {
    open(BaseFormat::Oci, BaseInput::Source(Arc::new(layout.clone())), reference)
}

fn open_docker(files: &[(&str, &[u8])], reference: Option<&str>) -> Result<OpenedBase, ReadError> {
    open(BaseFormat::DockerArchive, BaseInput::Bytes(tar_of(files).into()), reference)
}

fn layer_bytes(base: &OpenedBase) -> Vec<Vec<u8>> {
    base.layers
        .iter()
        .map(|layer| {
            let mut bytes = Vec::new();
            layer.open_tar().unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        })
        .collect()
}

fn error(result: Result<OpenedBase, ReadError>) -> String {
    let mut error: Box<dyn std::error::Error> = Box::new(result.unwrap_err());
    let mut text = error.to_string();
    while let Some(source) = error.source() {
        text = format!("{text}: {source}");
        let Some(next) = source.source() else { break };
        error = next.to_string().into();
    }
    text
}

fn one_image() -> Layout {
    let mut layout = Layout::default();
    let entry = layout.image("linux/amd64", &[b"layer one", b"layer two"]);
    layout.index(vec![entry])
}

#[test]
fn a_layout_reads_alike_from_everywhere() {
    let layout = one_image();
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in &layout.0 {
        let path = directory.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
    let archive = directory.path().join("archive.tar.gz");
    fs_err::write(&archive, gzip(&layout.tar())).unwrap();
    let zstd = zstd::encode_all(layout.tar().as_slice(), 1).unwrap();
    let inputs = [
        (BaseFormat::Oci, BaseInput::Directory(directory.path().to_owned())),
        (BaseFormat::Oci, BaseInput::Source(Arc::new(layout.clone()))),
        (BaseFormat::OciArchive, BaseInput::File(archive)),
        (BaseFormat::OciArchive, BaseInput::Bytes(layout.tar().into())),
        (BaseFormat::OciArchive, BaseInput::Bytes(zstd.into())),
        (BaseFormat::DockerArchive, BaseInput::Bytes(layout.tar().into())),
    ];
    for (format, input) in inputs {
        let base = open(format, input, None).unwrap();
        assert_eq!(layer_bytes(&base), [b"layer one".to_vec(), b"layer two".to_vec()]);
        assert_eq!(base.layers[0].media_type, media_type::LAYER_GZIP);
        assert_eq!(Sha256::of(&base.config_bytes).to_string(), base_config_digest(&base));
        let mut stored = Vec::new();
        base.layers[1].open().unwrap().read_to_end(&mut stored).unwrap();
        assert_eq!(Some(Sha256::of(&stored)), base.layers[1].digest);
    }
}

fn base_config_digest(base: &OpenedBase) -> String {
    let (digest, manifest) = base.manifest.as_ref().unwrap();
    assert_eq!(Sha256::of(manifest), *digest);
    match crate::image::spec::Document::parse(manifest).unwrap() {
        crate::image::spec::Document::Manifest(manifest) => manifest.config.digest.to_string(),
        crate::image::spec::Document::Index(_) => unreachable!("a base has an image manifest"),
    }
}

#[test]
fn platforms_and_names_select() {
    let mut layout = Layout::default();
    let amd = layout.image("linux/amd64", &[b"amd"]);
    let arm = layout.image("linux/arm64", &[b"arm"]);
    let other = layout.image("linux/amd64", &[b"other"]);
    let nested = layout.blob(media_type::INDEX, &Index::new(vec![arm.clone(), amd.clone()]).to_bytes());

    let flat = layout.clone().index(vec![arm.clone(), amd.clone()]);
    assert_eq!(layer_bytes(&open_layout(&flat, None).unwrap()), [b"amd"]);
    let deep = layout.clone().index(vec![named(nested, "multi")]);
    assert_eq!(layer_bytes(&open_layout(&deep, Some("multi")).unwrap()), [b"amd"]);

    let two = layout.clone().index(vec![named(amd.clone(), "v1"), named(other.clone(), "v2")]);
    assert_eq!(layer_bytes(&open_layout(&two, Some("v2")).unwrap()), [b"other"]);
    assert_eq!(layer_bytes(&open_layout(&two, Some(&other.digest.to_string())).unwrap()), [b"other"]);
    assert_eq!(error(open_layout(&two, None)), "several images fit; name one of v1, v2");
    assert_eq!(error(open_layout(&two, Some("v3"))), "no image named \"v3\"; there is v1, v2");
    let aliases = layout.clone().index(vec![named(amd.clone(), "v1"), named(amd, "latest")]);
    assert_eq!(layer_bytes(&open_layout(&aliases, None).unwrap()), [b"amd"]);

    let arm_only = layout.clone().index(vec![arm.clone()]);
    let text = error(open_layout(&arm_only, None));
    assert!(
        text.starts_with("no image for linux/amd64; there is sha256:") && text.ends_with("(linux/arm64)"),
        "{text}"
    );
    let unsaid = layout.clone().index(vec![Descriptor { platform: None, ..arm }]);
    assert_eq!(error(open_layout(&unsaid, None)), "the image is for linux/arm64, not for linux/amd64");
    assert!(error(open_layout(&layout.index(Vec::new()), None)).contains("there is none"));
}

#[test]
fn corrupt_layouts_are_refused() {
    let layout = one_image();
    let base = open_layout(&layout, None).unwrap();
    let (manifest, _) = base.manifest.clone().unwrap();
    let config = Sha256::of(&base.config_bytes);

    for digest in [manifest, config] {
        let mut broken = layout.clone();
        broken.0.get_mut(&oci::blob_name(&digest)).unwrap()[5] ^= 1;
        assert!(error(open_layout(&broken, None)).contains("corrupt"));
        broken.0.remove(&oci::blob_name(&digest));
        assert!(error(open_layout(&broken, None)).contains("not among the blobs"));
    }

    let blob = oci::blob_name(&base.layers[0].digest.unwrap());
    let mut broken = layout.clone();
    broken.0.get_mut(&blob).unwrap()[12] ^= 1;
    let opened = open_layout(&broken, None).unwrap();
    assert!(io::copy(&mut opened.layers[0].open().unwrap(), &mut io::sink()).is_err());
    broken.0.get_mut(&blob).unwrap().push(0);
    assert!(error(open_layout(&broken, None)).contains("as declared"));
    broken.0.remove(&blob);
    assert!(error(open_layout(&broken, None)).contains("not among the blobs"));
    broken.0.remove("index.json");
    assert!(error(open_layout(&broken, None)).contains("not an OCI layout"));
}

#[test]
fn a_right_blob_with_a_wrong_diff_id_fails_at_its_end() {
    let mut layout = Layout::default();
    let mut config = ImageConfig::scratch(&"linux/amd64".parse().unwrap());
    config.rootfs.diff_ids = vec![Sha256::of(b"promised")];
    let layer = layout.blob(media_type::LAYER_GZIP, &gzip(b"delivered"));
    let entry = layout.image_of(&config.to_bytes(), "linux/amd64", vec![layer.clone()]);
    let base = open_layout(&layout.clone().index(vec![entry]), None).unwrap();
    assert!(io::copy(&mut base.layers[0].open().unwrap(), &mut io::sink()).is_ok());
    assert!(io::copy(&mut base.layers[0].open_tar().unwrap(), &mut io::sink()).is_err());

    let miscounted = layout.image_of(&config.to_bytes(), "linux/amd64", vec![layer.clone(), layer]);
    let text = error(open_layout(&layout.index(vec![miscounted]), None));
    assert_eq!(text, "the image config lists 1 layers, the manifest 2");
}

#[test]
fn mislabelled_compression_is_seen_through() {
    let mut layout = Layout::default();
    let mut config = ImageConfig::scratch(&"linux/amd64".parse().unwrap());
    config.rootfs.diff_ids = vec![Sha256::of(b"layer"); 3];
    let layers = vec![
        layout.blob(media_type::LAYER_GZIP, b"layer"),
        layout.blob(media_type::LAYER_TAR, &gzip(b"layer")),
        layout.blob(media_type::LAYER_GZIP, &zstd::encode_all(b"layer".as_slice(), 1).unwrap()),
    ];
    let entry = layout.image_of(&config.to_bytes(), "linux/amd64", layers);
    let base = open_layout(&layout.index(vec![entry]), None).unwrap();
    assert_eq!(layer_bytes(&base), [b"layer", b"layer", b"layer"]);
}

#[test]
fn odd_documents_of_a_layout_are_errors() {
    let mut layout = Layout::default();
    let null = layout.image_of(b"{\"rootfs\":null,\"config\":null}", "linux/amd64", Vec::new());
    assert!(open_layout(&layout.clone().index(vec![null]), None).unwrap().layers.is_empty());
    let not_config = layout.image_of(b"[]", "linux/amd64", Vec::new());
    assert!(error(open_layout(&layout.clone().index(vec![not_config]), None)).contains("invalid image config"));

    let both = canonical_json(&serde_json::json!({"schemaVersion": 2, "manifests": [], "layers": []}));
    let both = layout.blob(media_type::MANIFEST, &both);
    assert!(error(open_layout(&layout.clone().index(vec![both]), None)).contains("two images"));

    let mut artifact = Descriptor::of("application/vnd.example", b"{}");
    layout.0.insert(oci::blob_name(&artifact.digest), b"{}".to_vec());
    let manifest = Manifest {
        schema_version: 2,
        media_type: None,
        config: artifact.clone(),
        layers: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
        extra: std::collections::BTreeMap::new(),
    };
    artifact = layout.blob(media_type::MANIFEST, &manifest.to_bytes());
    assert!(error(open_layout(&layout.clone().index(vec![artifact]), None)).contains("artifact of type"));

    let huge = Descriptor { size: u64::MAX, ..layout.image("linux/amd64", &[]) };
    assert!(open_layout(&layout.index(vec![huge]), None).is_err());
}

fn docker_config(layers: &[&[u8]]) -> (String, Vec<u8>) {
    let mut config = ImageConfig::scratch(&"linux/amd64".parse().unwrap());
    config.rootfs.diff_ids = layers.iter().map(|layer| Sha256::of(layer)).collect();
    let bytes = config.to_bytes();
    (Sha256::of(&bytes).hex(), bytes)
}

#[test]
fn docker_archives_of_all_generations() {
    let (id, config) = docker_config(&[b"one", b"two", b"one"]);
    let json = format!("{id}.json");
    let manifest = |config: &str, layers: &str| {
        format!(r#"[{{"Config":"{config}","RepoTags":["app:v1","docker.io/library/other:latest"],"Layers":{layers}}}]"#)
    };
    let old = manifest(&json, r#"["a/layer.tar","b/layer.tar","c/layer.tar"]"#);
    let zipped = gzip(b"two");
    let base = open_docker(
        &[
            ("a/VERSION", b"1.0"),
            ("a/layer.tar", b"one"),
            ("./b/layer.tar", &zipped),
            ("c/layer.tar->", b"../a/layer.tar"),
            (&json, &config),
            ("manifest.json", old.as_bytes()),
        ],
        None,
    )
    .unwrap();
    assert_eq!(layer_bytes(&base), [b"one", b"two", b"one"]);
    assert_eq!(base.layers[0].media_type, media_type::LAYER_TAR);
    assert_eq!(base.layers[1].media_type, media_type::LAYER_GZIP);

    let blob = |content: &[u8]| oci::blob_name(&Sha256::of(content));
    let layers = serde_json::to_string(&[blob(b"one"), blob(b"two"), blob(b"one")]).unwrap();
    let new = manifest(&blob(&config), &layers);
    let files: [(&str, &[u8]); 5] = [
        (&blob(b"one"), b"one"),
        (&blob(b"two"), b"two"),
        (&blob(&config), &config),
        ("index.json", b"{}"),
        ("manifest.json", new.as_bytes()),
    ];
    for reference in [None, Some("app:v1"), Some("other"), Some("docker.io/library/app:v1")] {
        assert_eq!(layer_bytes(&open_docker(&files, reference).unwrap()), [b"one", b"two", b"one"]);
    }
    assert!(error(open_docker(&files, Some("app"))).contains("there is app:v1"));
}

#[test]
fn hostile_docker_archives_are_refused() {
    let (id, config) = docker_config(&[b"one"]);
    let json = format!("{id}.json");
    let open_with = |config_name: &str, layer_name: &str, files: &[(&str, &[u8])]| {
        let manifest = format!(r#"[{{"Config":"{config_name}","RepoTags":null,"Layers":["{layer_name}"]}}]"#);
        let files = [files, &[("manifest.json", manifest.as_bytes())]].concat();
        open_docker(&files, None)
    };
    let good: [(&str, &[u8]); 2] = [(&json, &config), ("l.tar", b"one")];
    assert!(open_with(&json, "l.tar", &good).is_ok());
    for outside in ["/etc/passwd", "../../../../etc/passwd", "x/../../l.tar", "", ".", "missing"] {
        assert!(error(open_with(&json, outside, &good)).contains("in the archive"), "{outside}");
        assert!(error(open_with(outside, "l.tar", &good)).contains("in the archive"), "{outside}");
    }
    for target in ["/etc/passwd", "../../etc/passwd", "b.tar"] {
        let links: [(&str, &[u8]); 3] = [(&json, &config), ("a.tar->", target.as_bytes()), ("b.tar->", b"a.tar")];
        assert!(error(open_with(&json, "a.tar", &links)).contains("in the archive"), "{target}");
    }
    let other = format!("{}.json", "0".repeat(64));
    assert!(error(open_with(&other, "l.tar", &[(&other, &config), ("l.tar", b"one")])).contains("corrupt"));
    let tampered = open_with(&json, "l.tar", &[(&json, &config), ("l.tar", b"two")]).unwrap();
    assert!(io::copy(&mut tampered.layers[0].open().unwrap(), &mut io::sink()).is_err());
    assert!(error(open_with(&json, "l.tar", &[(&json, &config), ("l.tar", b"\xfd7zXZ\0")])).contains("xz"));
    for manifest in ["[]", "{}", "null", r#"[{"Config":null}]"#, r#"[{"Layers":[]}]"#] {
        assert!(open_docker(&[("manifest.json", manifest.as_bytes())], None).is_err(), "{manifest}");
    }
    assert!(error(open_docker(&[("x", b"")], None)).contains("not a docker archive"));
}

#[test]
fn several_images_of_a_docker_archive_need_a_name() {
    let (id, config) = docker_config(&[]);
    let manifest = format!(
        r#"[{{"Config":"{id}.json","RepoTags":["a:1"],"Layers":null}},{{"Config":"{id}.json","RepoTags":["b:2"],"Layers":[]}}]"#
    );
    let name = format!("{id}.json");
    let files: [(&str, &[u8]); 2] = [(&name, &config), ("manifest.json", manifest.as_bytes())];
    assert_eq!(error(open_docker(&files, None)), "several images fit; name one of a:1, b:2");
    assert!(open_docker(&files, Some("b:2")).is_ok());
}

#[test]
fn rootfs_tars_are_one_layer_on_scratch() {
    let tar = tar_of(&[("etc/os-release", b"ID=x")]);
    for (stored, kind) in [
        (tar.clone(), media_type::LAYER_TAR),
        (gzip(&tar), media_type::LAYER_GZIP),
        (zstd::encode_all(tar.as_slice(), 1).unwrap(), media_type::LAYER_ZSTD),
    ] {
        let base = open(BaseFormat::Rootfs, BaseInput::Bytes(stored.clone().into()), None).unwrap();
        assert_eq!((base.layers[0].media_type.as_str(), base.layers[0].diff_id), (kind, None));
        assert_eq!(layer_bytes(&base), std::slice::from_ref(&tar));
        assert_eq!(base.config.architecture, "amd64");
        assert!(base.config.rootfs.diff_ids.is_empty());
    }
    let not_tar = vec![b'x'; 2000];
    for bytes in [not_tar.clone(), gzip(&not_tar), Vec::new()] {
        assert!(error(open(BaseFormat::Rootfs, BaseInput::Bytes(bytes.into()), None)).contains("not a tar"));
    }
    assert!(error(open(BaseFormat::Rootfs, BaseInput::Bytes(b"BZh9....".to_vec().into()), None)).contains("bzip2"));
    assert!(open(BaseFormat::Rootfs, BaseInput::File("/dev/zero".into()), None).is_err());
}

#[test]
fn damaged_archives_are_errors() {
    let tar = one_image().tar();
    let open_bytes = |bytes: Vec<u8>| open(BaseFormat::OciArchive, BaseInput::Bytes(bytes.into()), None);
    for length in [100, 512, 700, 1536, tar.len() / 2] {
        assert!(open_bytes(tar[..length].to_vec()).is_err(), "{length}");
    }
    let closing = tar.iter().rev().take_while(|&&byte| byte == 0).count() / 512 * 512;
    assert!(open_bytes(tar[..tar.len() - closing].to_vec()).is_ok(), "closing blocks may be missing");
    let mut flipped = tar.clone();
    flipped[3] ^= 1;
    assert!(error(open_bytes(flipped)).contains("at byte 0: this is not a tar header"));
    let packed = gzip(&tar);
    assert!(open_bytes(packed[..packed.len() - 9].to_vec()).is_err());
    assert!(error(open_bytes(b"\xfd7zXZ\0\0\0".to_vec())).contains("xz"));
    let missing = open(BaseFormat::OciArchive, BaseInput::File("/nonexistent".into()), None);
    assert!(error(missing).contains("/nonexistent"));
    let directory = open(BaseFormat::OciArchive, BaseInput::Directory("/tmp".into()), None);
    assert!(error(directory).contains("is a directory"));
}

#[test]
fn hostile_headers_are_bounded() {
    let header = |kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let scan = |bytes: Vec<u8>| error(open(BaseFormat::OciArchive, BaseInput::Bytes(bytes.into()), None));
    assert!(scan(header(tar::EntryType::Regular, u64::MAX / 2)).contains("cut off"));
    assert!(scan(header(tar::EntryType::GNULongName, 1 << 40)).contains("cut off"));
    let long_name = [header(tar::EntryType::GNULongName, 2 << 20), vec![b'a'; 2 << 20]].concat();
    assert!(scan(long_name).contains("larger than 1 MiB"));
    let pax = |record: &[u8]| {
        let mut content = record.to_vec();
        content.resize(512, 0);
        [header(tar::EntryType::XHeader, record.len() as u64), content, header(tar::EntryType::Regular, 0)].concat()
    };
    assert!(scan(pax(b"12 size=bad\n")).contains("PAX"));
    assert!(scan(pax(b"29 size=18446744073709551615\n")).contains("cut off"));
    assert!(scan(pax(b"99 path=\n")).contains("PAX"));
    assert!(scan(pax(b"22 GNU.sparse.major=1\n")).contains("sparse"));
    assert!(scan(header(tar::EntryType::GNUSparse, 0)).contains("sparse"));
}

#[test]
fn long_names_and_pax_names_are_found() {
    let long = format!("blobs/{}/file", "d".repeat(200));
    let tar = tar_of(&[(&long, b"content")]);
    let spool = tempfile::tempdir().unwrap();
    let source = ArchiveSource::from_bytes(tar.into(), spool.path()).unwrap();
    assert_eq!(source.open(&long).unwrap().unwrap().size, 7);

    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", b"pax/name".as_slice()), ("size", b"3")]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(3);
    header.set_cksum();
    builder.append(&header, b"abc".as_slice()).unwrap();
    let source = ArchiveSource::from_bytes(builder.into_inner().unwrap().into(), spool.path()).unwrap();
    let mut text = String::new();
    source.open("./pax//name").unwrap().unwrap().reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "abc");
    assert!(source.open("short").unwrap().is_none());
}

#[test]
fn a_directory_source_stays_beneath_its_root() {
    let outside = tempfile::tempdir().unwrap();
    fs_err::write(outside.path().join("secret"), "s").unwrap();
    let root = outside.path().join("root");
    fs_err::create_dir_all(root.join("blobs")).unwrap();
    fs_err::write(root.join("blobs/file"), "f").unwrap();
    for (link, target) in [("up", "../secret"), ("blobs/inside", "file"), ("proc", "/proc/self/fd/0")] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), fifo, Mode::RUSR, 0).unwrap();
    let source = DirectorySource::open(&root).unwrap();
    assert_eq!(source.open("blobs/inside").unwrap().unwrap().size, 1);
    assert!(source.open("up").is_err());
    assert!(source.open("proc").is_err());
    assert!(source.open("fifo").is_err());
    assert!(source.open("blobs").is_err());
    assert!(source.open("../secret").unwrap().is_none());
    assert!(source.open("missing/file").unwrap().is_none());
}

#[test]
fn references_are_split_from_paths() {
    for (format, text, path, reference) in [
        (BaseFormat::Oci, "a/b", "a/b", None),
        (BaseFormat::Oci, "a/b:v1", "a/b", Some("v1")),
        (BaseFormat::Oci, "a@sha256:00", "a", Some("sha256:00")),
        (BaseFormat::Oci, "a:", "a", None),
        (BaseFormat::DockerArchive, "f.tar:reg:5000/app:v1", "f.tar", Some("reg:5000/app:v1")),
        (BaseFormat::Rootfs, "f:1.tar", "f:1.tar", None),
    ] {
        assert_eq!(split_reference(format, text), (path, reference), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_archive_makes_the_reader_panic(flips in proptest::collection::vec((0usize..6000, proptest::num::u8::ANY), 1..6)) {
        let mut tar = one_image().tar();
        for (at, byte) in flips {
            let length = tar.len();
            tar[at % length] = byte;
        }
        if let Ok(base) = open(BaseFormat::OciArchive, BaseInput::Bytes(tar.into()), None) {
            for layer in base.layers {
                let _ = layer.open_tar().map(|mut tar| io::copy(&mut tar, &mut io::sink()));
            }
        }
    }
}
