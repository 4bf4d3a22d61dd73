//! A registry that serves what it holds, under any repository name: bases need not be pushed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use serde_json::{Value as Json, json};

use crate::env::sha256;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layer in a file, with its digest.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) file: PathBuf,
    pub(super) digest: String,
}

#[derive(Default)]
struct Content {
    blobs: BTreeMap<String, PathBuf>,
    /// `REPOSITORY:TAG` and `REPOSITORY@DIGEST` → the manifest.
    manifests: BTreeMap<String, Vec<u8>>,
}

/// Serves until the test binary ends.
pub(super) struct Registry {
    address: String,
    directory: PathBuf,
    content: Arc<Mutex<Content>>,
}

impl Registry {
    pub(super) fn start(directory: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let content = Arc::<Mutex<Content>>::default();
        let shared = Arc::clone(&content);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let content = Arc::clone(&shared);
                // A client that goes away in the middle is no concern of the server.
                std::thread::spawn(move || answer(stream, &content));
            }
        });
        Self { address, directory: directory.to_owned(), content }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Holds an image under `REPOSITORY:TAG`; `config` is the inner config.
    pub(super) fn put(&self, name: &str, config: &Json, layers: &[Layer]) {
        let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
        let config = json!({
            "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let config_file = self.directory.join(sha256(&config));
        fs::write(&config_file, &config).unwrap();
        let described: Vec<Json> = layers
            .iter()
            .map(|layer| {
                let size = fs::metadata(&layer.file).unwrap().len();
                let digest = format!("sha256:{}", layer.digest);
                json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size})
            })
            .collect();
        let digest = format!("sha256:{}", sha256(&config));
        let media_type = "application/vnd.oci.image.config.v1+json";
        let config = json!({"mediaType": media_type, "digest": digest, "size": config.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described});
        let manifest = manifest.to_string().into_bytes();
        let mut content = self.content.lock().unwrap();
        content.blobs.insert(digest, config_file);
        for layer in layers {
            content.blobs.insert(format!("sha256:{}", layer.digest), layer.file.clone());
        }
        let (repository, _) = name.rsplit_once(':').unwrap();
        content.manifests.insert(format!("{repository}@sha256:{}", sha256(&manifest)), manifest.clone());
        content.manifests.insert(name.to_owned(), manifest);
    }
}

fn answer(stream: TcpStream, content: &Mutex<Content>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some((kind, body)) = find(path, content) else {
        return write!(&stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n");
    match body {
        Body::Bytes(bytes) => {
            let digest = sha256(&bytes);
            let length = bytes.len();
            write!(&stream, "{head}Docker-Content-Digest: sha256:{digest}\r\nContent-Length: {length}\r\n\r\n")?;
            if method == "GET" { (&stream).write_all(&bytes) } else { Ok(()) }
        }
        Body::File(file) => {
            write!(&stream, "{head}Content-Length: {}\r\n\r\n", fs::metadata(&file)?.len())?;
            if method == "GET" {
                std::io::copy(&mut fs::File::open(&file)?, &mut &stream)?;
            }
            Ok(())
        }
    }
}

enum Body {
    Bytes(Vec<u8>),
    File(PathBuf),
}

fn find(path: &str, content: &Mutex<Content>) -> Option<(&'static str, Body)> {
    let content = content.lock().unwrap();
    let path = path.strip_prefix("/v2/")?;
    if path.is_empty() {
        return Some(("application/json", Body::Bytes(b"{}".to_vec())));
    }
    if let Some((_, digest)) = path.split_once("/blobs/") {
        return Some(("application/octet-stream", Body::File(content.blobs.get(digest)?.clone())));
    }
    let (repository, reference) = path.split_once("/manifests/")?;
    let separator = if reference.contains(':') { '@' } else { ':' };
    let manifest = |repository: &str| content.manifests.get(&format!("{repository}{separator}{reference}"));
    // Each scenario has a name space of its own, over what all of them share.
    let manifest = manifest(repository).or_else(|| manifest(repository.split_once('/')?.1))?;
    Some((MANIFEST, Body::Bytes(manifest.clone())))
}
