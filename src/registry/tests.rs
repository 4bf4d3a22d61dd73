//! The client against a real docker-registry, and against everything that registries do wrong.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::net::UdpSocket;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stages::ids::BlobId;

use super::manifest::MAX_MANIFEST;
use super::testing::{Asking, Cut, Cutter, Registry, Reply, Scripted, quick_settings, with_config};
use super::*;
use crate::image::spec::media_type;
use crate::sha256::Sha256;

/// Settings for a real server on a busy machine.
fn patient_settings() -> Settings {
    let mut settings = quick_settings();
    settings.timeouts.idle = Duration::from_secs(20);
    settings
}

/// Bytes that look random and differ by seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn opener(bytes: &[u8]) -> impl Fn(u64) -> io::Result<Box<dyn Read>> {
    let bytes = bytes.to_vec();
    move |offset| Ok(Box::new(Cursor::new(bytes[offset as usize..].to_vec())) as Box<dyn Read>)
}

fn push(client: &Client, repository: &Repository, bytes: &[u8]) -> Result<BlobId, Error> {
    let digest = Sha256::of(bytes);
    client.push_blob(repository, digest, bytes.len() as u64, &opener(bytes)).map(|_| digest)
}

fn pull(client: &Client, repository: &Repository, digest: BlobId, size: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut reader = client.blob(repository, digest, size as u64)?;
    reader.read_to_end(&mut bytes).map_err(|error| Error::from_io(error).expect("a registry error"))?;
    Ok(bytes)
}

fn repository(host: &str, path: &str) -> Repository {
    format!("{host}/{path}").parse().unwrap()
}

/// An image of one layer; its manifest.
fn push_image(client: &Client, reference: &Reference, layer: &[u8]) -> BlobId {
    let repository = reference.repository();
    let diff_id = Sha256::of(layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let (config_digest, layer_digest) =
        (push(client, repository, config.as_bytes()).unwrap(), push(client, repository, layer).unwrap());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len()}],
    });
    client.put_manifest(reference, manifest.to_string().as_bytes(), media_type::MANIFEST).unwrap()
}

#[test]
fn images_go_to_a_real_registry_and_back() {
    let Some(server) = Registry::start() else { return };
    let client = Client::new(patient_settings());
    let reference: Reference = format!("{}/team/app:v1", server.host()).parse().unwrap();
    let app = reference.repository();
    let layer = noise(1, 300_000);
    let digest = push_image(&client, &reference, &layer);

    let descriptor = client.resolve(&reference).unwrap();
    assert_eq!((descriptor.digest, descriptor.media_type.as_str()), (digest, media_type::MANIFEST));
    assert_eq!(client.resolve(&app.with_digest(digest)).unwrap(), descriptor);
    let (raw, image) = client.image(&reference, &"linux/amd64".parse().unwrap()).unwrap();
    assert_eq!((raw.digest, raw.descriptor()), (digest, descriptor.clone()));
    assert_eq!(pull(&client, app, image.layers[0].digest, layer.len()).unwrap(), layer);
    let config = client.blob_bytes(app, &image.config, 1 << 20).unwrap();
    assert_eq!(Sha256::of(&config), image.config.digest);
    assert!(client.blob_bytes(app, &image.config, 3).is_err());

    let before = client.traffic();
    assert_eq!(
        client.push_blob(app, image.layers[0].digest, layer.len() as u64, &opener(&layer)).unwrap(),
        Pushed::Present
    );
    let after = client.traffic();
    assert_eq!((after.requests, after.sent), (before.requests + 1, before.sent), "one HEAD");

    let other = repository(&server.host(), "team/other");
    assert!(!client.has_blob(&other, image.layers[0].digest).unwrap());
    assert!(matches!(client.mount_blob(&other, image.layers[0].digest, app).unwrap(), Mount::Mounted));
    assert!(client.has_blob(&other, image.layers[0].digest).unwrap());
    let absent = noise(2, 5000);
    let Mount::Started(upload) = client.mount_blob(&other, Sha256::of(&absent), app).unwrap() else {
        panic!("nothing to mount")
    };
    client.upload_blob(upload, Sha256::of(&absent), 5000, &opener(&absent)).unwrap();
    assert_eq!(pull(&client, &other, Sha256::of(&absent), 5000).unwrap(), absent);
    assert_eq!(push(&client, &other, b"").map(|digest| pull(&client, &other, digest, 0).unwrap()).unwrap(), b"");

    let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [
        {"mediaType": media_type::MANIFEST, "digest": digest, "size": descriptor.size, "platform": {"os": "linux", "architecture": "arm64"}}]});
    let list = app.with_tag("multi").unwrap();
    client.put_manifest(&list, index.to_string().as_bytes(), media_type::INDEX).unwrap();
    assert_eq!(client.image(&list, &"linux/arm64".parse().unwrap()).unwrap().0.digest, digest);
    let error = client.image(&list, &"linux/amd64".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("there is linux/arm64"), "{error}");

    let mut tags = client.tags(app).unwrap();
    tags.sort();
    assert_eq!(tags, ["multi", "v1"]);
    inspect_with_skopeo(&reference, digest);
    client.delete_manifest(app, digest).unwrap();
    assert!(matches!(client.resolve(&reference), Err(Error::NotFound { .. })));
    assert!(matches!(client.delete_manifest(app, digest), Err(Error::NotFound { .. })));
    let error = client.manifest(&reference).unwrap_err().to_string();
    assert!(error.starts_with("cannot pull manifest 127.0.0.1:") && error.contains("MANIFEST_UNKNOWN"), "{error}");
    assert!(matches!(pull(&client, app, Sha256::of(b"never"), 5), Err(Error::NotFound { .. })));
}

fn inspect_with_skopeo(reference: &Reference, digest: BlobId) {
    let Ok(output) =
        Command::new("skopeo").args(["inspect", "--tls-verify=false", &format!("docker://{reference}")]).output()
    else {
        eprintln!("skipped: skopeo is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["Digest"], digest.to_string());
}

#[test]
fn many_threads_share_a_client() {
    let Some(server) = Registry::start() else { return };
    let client = Client::new(patient_settings());
    let app = repository(&server.host(), "a");
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let (client, app) = (&client, &app);
            scope.spawn(move || {
                let bytes = noise(seed / 2, 40_000);
                let digest = push(client, app, &bytes).unwrap();
                assert_eq!(pull(client, app, digest, bytes.len()).unwrap(), bytes);
            });
        }
    });
}

#[test]
fn a_cut_upload_to_a_real_registry_succeeds() {
    let Some(server) = Registry::start() else { return };
    let bytes = noise(3, 3_000_000);
    for percent in [10, 50, 90] {
        let cutter = Cutter::start(server.port, bytes.len() as u64 * percent / 100, Cut::One);
        let app = repository(&cutter.host(), &format!("cut{percent}"));
        let client = Client::new(patient_settings());
        let digest = push(&client, &app, &bytes).unwrap();
        let sent = cutter.sent.load(Ordering::SeqCst);
        assert!(sent > bytes.len() as u64, "{percent} %: the cut was made");
        assert_eq!(
            pull(&client, &repository(&server.host(), &format!("cut{percent}")), digest, bytes.len()).unwrap(),
            bytes
        );
    }
}

#[test]
fn a_piece_whose_connection_is_cut_is_sent_again_and_no_other() {
    const PIECE: u64 = 16 << 20;
    let Some(server) = Registry::start() else { return };
    let bytes = noise(4, 40_000_000);
    let size = bytes.len() as u64;
    for (percent, what) in [(10, Cut::One), (50, Cut::One), (90, Cut::One), (90, Cut::All)] {
        let cutter = Cutter::start(server.port, size * percent / 100, what);
        let name = format!("cut{percent}{what:?}").to_lowercase();
        let client = Client::new(patient_settings());
        let digest = push(&client, &repository(&cutter.host(), &name), &bytes).unwrap();
        let sent = cutter.sent.load(Ordering::SeqCst);
        match what {
            Cut::One => assert!(sent > size && sent < size + PIECE + 100_000, "{percent} %: {sent} bytes of {size}"),
            // The registry has forgotten the upload.
            Cut::All => assert!(sent > size && sent < 2 * size + 100_000, "{percent} %: {sent} bytes of {size}"),
        }
        assert_eq!(pull(&client, &repository(&server.host(), &name), digest, bytes.len()).unwrap(), bytes);
    }
}

#[test]
fn a_registry_that_can_do_with_one_request_only_gets_one() {
    // It gives an upload up when one of its requests ends early.
    let uploads = std::sync::Arc::new(Mutex::new(Vec::<Option<Vec<u8>>>::new()));
    let kept = std::sync::Arc::clone(&uploads);
    let registry = Scripted::start(move |got| {
        let mut uploads = kept.lock().unwrap();
        let session = uploads.len();
        let length: usize = got.header("content-length").map_or(0, |text| text.parse().unwrap());
        let place = |session: usize, end: usize| format!("/v2/a/blobs/uploads/{session}?_state={end}");
        let of = |got: &super::testing::Got| got.path.split(['/', '?']).nth(5).unwrap().parse::<usize>().unwrap() - 1;
        match got.method.as_str() {
            "POST" => {
                uploads.push(Some(Vec::new()));
                Reply::new(202).header("location", place(session + 1, 0))
            }
            "PATCH" | "PUT" => {
                let at = of(got);
                if got.body.len() < length {
                    uploads[at] = None;
                    return Reply::hang_up();
                }
                let Some(data) = &mut uploads[at] else { return Reply::new(404) };
                data.extend(&got.body);
                let status = if got.method == "PUT" { 201 } else { 202 };
                let end = data.len();
                Reply::new(status).header("location", place(at + 1, end)).header("range", format!("0-{}", end - 1))
            }
            _ => Reply::new(404),
        }
    });
    let client = Client::new(quick_settings());
    for seed in [5, 6] {
        let bytes = noise(seed, 40_000_000);
        push(&client, &repository(&registry.host(), "a"), &bytes).unwrap();
        assert_eq!(uploads.lock().unwrap().last().unwrap().as_deref(), Some(bytes.as_slice()));
    }
    let begun = registry.lines().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(begun, 3, "the first upload was begun again, the second was not");
}

#[test]
fn a_registry_that_gives_no_consent_gets_one_request_only() {
    let data = std::sync::Arc::new(Mutex::new(Vec::<u8>::new()));
    let kept = std::sync::Arc::clone(&data);
    let registry = Scripted::start_deaf(move |got| {
        let mut data = kept.lock().unwrap();
        data.extend(&got.body);
        let place = format!("/v2/a/blobs/uploads/1?_state={}", data.len());
        match got.method.as_str() {
            "HEAD" => Reply::new(404),
            "PUT" => Reply::new(201),
            _ => Reply::new(202).header("location", place).header("range", format!("0-{}", data.len().max(1) - 1)),
        }
    });
    let bytes = noise(7, 20_000_000);
    push(&Client::new(patient_settings()), &repository(&registry.host(), "a"), &bytes).unwrap();
    assert!(*data.lock().unwrap() == bytes);
    let bodies: Vec<_> = registry.got().iter().filter(|got| got.method == "PATCH").map(|got| got.body.len()).collect();
    assert_eq!(bodies, [0, 16 << 20, 20_000_000 - (16 << 20)], "the second one was taken back, and never tried again");
}

#[test]
fn certificates_are_checked() {
    let Some(address) = own_address() else { return };
    let Some(directory) = certificates(&address) else { return };
    let Some(server) = Registry::start_with(&address, &tls_config(&directory)) else { return };
    let host = format!("{address}:{}", server.port);
    let app = repository(&host, "a");
    let error = push(&Client::new(patient_settings()), &app, b"x").unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    let authority = fs_err::read(directory.path().join("ca.pem")).unwrap();
    let trusting = Settings { extra_ca: vec![authority], ..patient_settings() };
    push(&Client::new(trusting), &app, b"x").unwrap();
    let mut insecure = patient_settings();
    insecure.insecure_hosts.insert(host);
    push(&Client::new(insecure), &app, b"y").unwrap();
    let broken = Settings { extra_ca: vec![b"no pem".to_vec()], ..patient_settings() };
    assert!(matches!(push(&Client::new(broken), &app, b"x"), Err(Error::Settings { .. })));
}

#[test]
fn certificates_of_a_host_are_for_that_host() {
    let Some(address) = own_address() else { return };
    let Some(directory) = certificates(&address) else { return };
    let config = tls_config(&directory);
    let authority = directory.path().join("ca.pem");
    let asking = format!("{}, clientcas: [{}]}}\n", config.trim_end().trim_end_matches('}'), authority.display());
    let Some(server) = Registry::start_with(&address, &asking) else { return };
    let app = repository(&format!("{address}:{}", server.port), "a");
    let identity =
        ClientIdentity { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
    let with = |host: String, identity: Option<ClientIdentity>| {
        let certificates = Certificates { authorities: vec![authority.clone()], identity };
        let host = (host.parse().unwrap(), HostSettings { certificates, ..HostSettings::default() });
        Client::new(Settings { hosts: [host].into(), ..patient_settings() })
    };
    let own = |identity| with(app.registry().to_owned(), identity);
    push(&own(Some(identity.clone())), &app, b"x").unwrap();
    let error = push(&own(None), &app, b"x").unwrap_err();
    assert!(matches!(error, Error::Tls { .. } | Error::Disconnected { .. }), "a certificate is asked for: {error:?}");
    let other = with(address.clone(), Some(identity.clone()));
    let error = push(&other, &app, b"x").unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "another port is another host: {error:?}");
    let absent = own(Some(ClientIdentity { key: "/nonexistent/key".into(), ..identity.clone() }));
    let error = push(&absent, &app, b"x").unwrap_err().to_string();
    assert!(error.contains("/nonexistent/key"), "{error}");
    let swapped = ClientIdentity { certificate: identity.key.clone(), key: identity.certificate.clone() };
    assert!(push(&own(Some(swapped)), &app, b"x").unwrap_err().to_string().contains("holds no certificate"));

    let docker = directory.path().join("certs.d");
    let host = docker.join(app.registry());
    fs_err::create_dir_all(&host).unwrap();
    for (from, to) in [("ca.pem", "any.crt"), ("cert.pem", "client.cert"), ("key.pem", "client.key")] {
        fs_err::copy(directory.path().join(from), host.join(to)).unwrap();
    }
    let settings = Settings { docker_certificates: Some(docker), ..patient_settings() };
    push(&Client::new(settings), &app, b"x").unwrap();
}

#[test]
fn a_client_certificate_is_shown_to_its_host_only() {
    let Some(address) = own_address() else { return };
    let Some(directory) = certificates(&address) else { return };
    let file = |name: &str| directory.path().join(name);
    let (own, other) = (Asking::start(&address, directory.path()), Asking::start(&address, directory.path()));
    let identity = ClientIdentity { certificate: file("cert.pem"), key: file("key.pem") };
    let settings = |host: &str, identity| {
        let certificates = Certificates { authorities: vec![file("ca.pem")], identity };
        (host.parse().unwrap(), HostSettings { certificates, ..HostSettings::default() })
    };
    let hosts = [settings(own.host(), Some(identity)), settings(other.host(), None)];
    let trusting = Settings { hosts: hosts.clone().into(), ..patient_settings() };
    // Hosts for which nothing is set share their connections.
    let [of_own, _] = hosts;
    let insecure = [other.host().to_owned()].into();
    let unchecked = Settings { hosts: [of_own].into(), insecure_hosts: insecure, ..patient_settings() };

    // Not a blob, as openssl's server has no pages with a colon.
    let path = "/v2/a/manifests/1";
    let redirect =
        format!("HTTP/1.1 307 Found\r\nLocation: https://{}{path}\r\nContent-Length: 0\r\n\r\n", other.host());
    own.page(path, redirect.as_bytes());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", IMAGE.len());
    other.page(path, &[head.as_bytes(), IMAGE].concat());
    for (settings, times) in [(trusting, 1), (unchecked, 2)] {
        let client = Client::new(settings);
        for host in [own.host(), other.host()] {
            let tag = repository(host, "a").with_tag("1").unwrap();
            assert_eq!(client.manifest(&tag).unwrap().bytes, IMAGE);
        }
        assert_eq!(own.seen(), (times, times), "shown to its host");
        assert_eq!(other.seen(), (2 * times, 0), "after a redirect, and asked itself");
    }
}

/// This machine's address on some network; nothing is sent.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let address = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).ok().map(|address| address.ip());
    if address.is_none_or(|address| address.is_loopback()) {
        eprintln!("skipped: this machine has only loopback");
        return None;
    }
    address.map(|address| address.to_string())
}

#[test]
fn a_loopback_registry_with_tls_is_found() {
    let Some(directory) = certificates("127.0.0.1") else { return };
    let Some(server) = Registry::start_with("127.0.0.1", &tls_config(&directory)) else { return };
    let client = Client::new(patient_settings());
    let app = repository(&server.host(), "a");
    let digest = push(&client, &app, b"over tls").unwrap();
    assert_eq!(pull(&client, &app, digest, 8).unwrap(), b"over tls");
}

fn tls_config(directory: &tempfile::TempDir) -> String {
    let path = directory.path().display();
    format!("  tls: {{certificate: {path}/cert.pem, key: {path}/key.pem}}\n")
}

/// An authority and a certificate it gives to an address.
fn certificates(address: &str) -> Option<tempfile::TempDir> {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let make = |name: &str, more: &[&str]| {
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={name}"), "-out", &file(&format!("{name}.pem"))])
            .args(["-keyout", &file(&if name == "ca" { "ca.key".to_owned() } else { "key.pem".to_owned() })])
            .args(more)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let alternative = format!("subjectAltName=IP:{address}");
    let leaf = [
        "-CA",
        &file("ca.pem"),
        "-CAkey",
        &file("ca.key"),
        "-addext",
        &alternative,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    if make("ca", &[]) && make("cert", &leaf) {
        return Some(directory);
    }
    eprintln!("skipped: openssl 3 is not installed");
    None
}

/// Settings with mirrors of a registry, and what is told about them.
fn mirrored(registry: &str, mirrors: &[String]) -> (Settings, std::sync::Arc<Mutex<Vec<String>>>) {
    let mirrors = mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect();
    let host = (registry.parse().unwrap(), HostSettings { mirrors, ..HostSettings::default() });
    let told = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&told);
    let hook = WaitHook::new(move |wait| seen.lock().unwrap().push(wait.reason.to_string()));
    (Settings { hosts: [host].into(), on_wait: Some(hook), ..quick_settings() }, told)
}

const IMAGE: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;

/// A server that has one manifest and one blob, whatever they are called.
fn having(manifest: &'static [u8], blob: Vec<u8>) -> Scripted {
    Scripted::start(move |got| {
        if got.path.contains("/blobs/") { Reply::new(200).body(blob.clone()) } else { Reply::new(200).body(manifest) }
    })
}

/// The address of nobody.
fn nobody() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("127.0.0.1:{port}")
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_not_at_all() {
    let blob = noise(20, 1000);
    let (mirror, registry) = (having(IMAGE, blob.clone()), having(IMAGE, Vec::new()));
    let (settings, told) = mirrored(&registry.host(), &[format!("{}/hub", mirror.host())]);
    let client = Client::new(settings);
    let app = repository(&registry.host(), "team/app");
    assert_eq!(client.manifest(&app.with_tag("1").unwrap()).unwrap().bytes, IMAGE);
    assert_eq!(pull(&client, &app, Sha256::of(&blob), 1000).unwrap(), blob);
    let expected =
        ["GET /v2/hub/team/app/manifests/1".to_owned(), format!("GET /v2/hub/team/app/blobs/{}", Sha256::of(&blob))];
    assert_eq!((mirror.lines(), registry.lines()), (expected.to_vec(), Vec::new()));
    assert!(told.lock().unwrap().is_empty());
    let other = repository(&mirror.host(), "x");
    client.manifest(&other.with_tag("1").unwrap()).unwrap();
    assert_eq!(mirror.lines().last().unwrap(), "GET /v2/x/manifests/1", "a mirror itself has none");
}

#[test]
fn what_mirrors_lack_comes_from_the_next_and_the_dead_are_asked_once() {
    let blob = noise(21, 1000);
    let (lacking, registry) = (Scripted::start(|_| Reply::new(404)), having(IMAGE, blob.clone()));
    let busy = Scripted::start(|_| Reply::new(503).header("retry-after", 3600));
    let dead = nobody();
    let (settings, told) = mirrored(&registry.host(), &[dead.clone(), lacking.host(), busy.host()]);
    let client = Client::new(settings);
    let app = repository(&registry.host(), "a");
    client.manifest(&app.with_tag("1").unwrap()).unwrap();
    assert_eq!(client.resolve(&app.with_tag("1").unwrap()).unwrap().digest, Sha256::of(IMAGE));
    assert_eq!(pull(&client, &app, Sha256::of(&blob), 1000).unwrap(), blob);
    assert_eq!((lacking.lines().len(), busy.lines().len()), (3, 3), "one try for each");
    let told = std::mem::take(&mut *told.lock().unwrap());
    let of_dead = told.iter().filter(|reason| reason.contains(&dead)).count();
    assert_eq!((of_dead, told.len()), (1, 4), "what is not found is no failure: {told:?}");
    let error = client.manifest(&repository(&nobody(), "a").with_tag("1").unwrap()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "the registry itself is no mirror");
}

#[test]
fn a_lying_mirror_changes_nothing() {
    let blob = noise(22, 300_000);
    let other = br#"{"schemaVersion":2,"config":{},"layers":null}"#;
    let half = blob[..200_000].to_vec();
    let mirror = Scripted::start(move |got| {
        if got.path.contains("/blobs/") {
            Reply::new(200).body(half.clone()).cut(300_000)
        } else {
            Reply::new(200).body(other)
        }
    });
    let registry = flaky(blob.clone(), |_, _, _| None, true);
    let (settings, _) = mirrored(&registry.host(), &[mirror.host()]);
    let client = Client::new(settings);
    let app = repository(&registry.host(), "a");
    assert_eq!(pull(&client, &app, Sha256::of(&blob), 300_000).unwrap(), blob, "the rest is the registry's");
    assert_eq!(registry.got()[0].header("range"), Some("bytes=200000-"));

    let registry = having(IMAGE, Vec::new());
    let (settings, told) = mirrored(&registry.host(), &[mirror.host()]);
    let app = repository(&registry.host(), "a");
    let client = Client::new(settings);
    assert_eq!(client.manifest(&app.with_digest(Sha256::of(IMAGE))).unwrap().bytes, IMAGE);
    assert!(told.lock().unwrap()[0].contains(&mirror.host()), "{told:?}");
    assert_eq!(client.manifest(&app.with_tag("1").unwrap()).unwrap().bytes, other, "a tag is what the mirror says");
    let wrong = having(IMAGE, noise(23, 1000));
    let (settings, _) = mirrored(&registry.host(), &[wrong.host()]);
    let mut reader = Client::new(settings).blob(&app, Sha256::of(b"right"), 1000).unwrap();
    let error = Error::from_io(reader.read_to_end(&mut Vec::new()).unwrap_err()).unwrap();
    assert!(matches!(error, Error::DigestMismatch { .. }) && error.to_string().contains(&wrong.host()), "{error}");
    assert!(reader.read(&mut [0; 8]).is_err(), "a failed blob does not end");
    assert!(!registry.lines().iter().any(|line| line.contains("/blobs/")), "and does not begin anew");
}

#[test]
fn mirrors_have_their_own_credentials_and_get_no_pushes() {
    let mirror = Scripted::start(|got| match got.header("authorization") {
        Some("Basic bTptaXJyb3I=") => Reply::new(200).body(IMAGE),
        _ => Reply::new(401).header("www-authenticate", "Basic realm=x"),
    });
    let registry = Scripted::start(|got| match got.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST" => Reply::new(202).header("location", "/v2/a/blobs/uploads/1"),
        "GET" => Reply::new(200).body(IMAGE),
        "PUT" if got.path.contains("/manifests/") => {
            Reply::new(201).header("docker-content-digest", Sha256::of(IMAGE).to_string())
        }
        _ => Reply::new(201),
    });
    let app = repository(&registry.host(), "a");
    let tag = app.with_tag("1").unwrap();
    let ask = |entries: String| {
        let (settings, _) = mirrored(&registry.host(), &[mirror.host()]);
        let client = Client::new(Settings { credentials: entries.parse().unwrap(), ..settings });
        client.manifest(&tag).unwrap();
        client
    };
    ask(format!("{}=r:registry {}=m:mirror", registry.host(), mirror.host()));
    assert!(registry.lines().is_empty(), "the mirror lets its own user in");
    let before = mirror.lines().len();
    let client = ask(format!("{}=r:registry", registry.host()));
    assert_eq!((mirror.lines().len(), registry.lines().len()), (before + 1, 1));
    client.manifest(&tag).unwrap();
    assert_eq!(mirror.lines().len(), before + 1, "it is not asked again");
    assert!(mirror.got().iter().skip(before).all(|got| got.header("authorization").is_none()), "whose it is not");

    let (settings, _) = mirrored(&registry.host(), &[mirror.host()]);
    let (client, before) = (Client::new(settings), mirror.lines().len());
    push(&client, &app, b"x").unwrap();
    client.put_manifest(&tag, IMAGE, media_type::MANIFEST).unwrap();
    assert!(!client.has_blob(&app, Sha256::of(b"x")).unwrap());
    let _listing = client.tags(&app);
    assert_eq!(mirror.lines().len(), before, "only pulls go to a mirror");
    client.without_mirrors().manifest(&tag).unwrap();
    assert_eq!(mirror.lines().len(), before, "nor does what must be as it is now");
}

#[test]
fn a_login_is_checked_by_the_registry_and_its_token_server() {
    let servers = guarded(Vec::new());
    let registry: RegistryName = servers.registry.host().parse().unwrap();
    let ask = |registry: &RegistryName, password: &str| {
        let credentials = GivenCredentials::one(registry.clone(), "alice", Secret::new(password));
        Client::new(Settings { credentials, ..quick_settings() }).check_login(registry)
    };
    let error = ask(&registry, "wrong").unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(!error.to_string().contains("d3Jvbmc="), "{error}");
    assert_eq!(ask(&registry, "wonder").unwrap(), LoginCheck::Accepted);
    assert_eq!(servers.tokens.lines().last().unwrap(), "GET /token?service=some%20registry&scope=repository:a:pull");
}

#[test]
fn a_login_by_password_says_whether_anybody_looked() {
    let server = Scripted::start(|got| match (got.path.as_str(), got.header("authorization")) {
        ("/v2/", Some("Basic YWxpY2U6d29uZGVy")) => Reply::new(200),
        ("/v2/", _) => Reply::new(401).header("www-authenticate", "Basic realm=x"),
        _ => Reply::new(404),
    });
    let open = Scripted::start(|_| Reply::new(200));
    let place = format!("http://{}/", open.host());
    let elsewhere = Scripted::start(move |_| Reply::new(307).header("location", &place));
    let ask = |server: &Scripted, password: &str| {
        let registry: RegistryName = server.host().parse().unwrap();
        let credentials = GivenCredentials::one(registry.clone(), "alice", Secret::new(password));
        Client::new(Settings { credentials, ..quick_settings() }).check_login(&registry)
    };
    assert_eq!(ask(&server, "wonder").unwrap(), LoginCheck::Accepted);
    let error = ask(&server, "wrong").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot log in to {}: not authorised: the registry refuses the credentials", server.host())
    );
    assert_eq!(ask(&open, "any").unwrap(), LoginCheck::NotAsked);
    assert!(open.got().iter().all(|got| got.header("authorization").is_none()));
    assert!(matches!(ask(&elsewhere, "any"), Err(Error::Protocol { .. })), "a page is no registry");
}

/// A registry with one blob that wants tokens; blobs are on another host.
struct Guarded {
    registry: Scripted,
    tokens: Scripted,
    storage: Scripted,
}

fn guarded(blob: Vec<u8>) -> Guarded {
    let storage = Scripted::start(move |_| Reply::new(200).body(blob.clone()));
    let tokens = Scripted::start(|got| {
        let full = got.header("authorization") == Some("Basic YWxpY2U6d29uZGVy")
            || got.body.windows(7).any(|w| w == b"refresh");
        if full {
            Reply::new(200).body(r#"{"token":"good","expires_in":300}"#)
        } else {
            Reply::new(401).body("who is this? YWxpY2U6d3Jvbmc=")
        }
    });
    let (realm, cdn) =
        (format!("http://{}/token", tokens.host()), format!("http://{}/blob?sig=secret-signature", storage.host()));
    let registry = Scripted::start(move |got| {
        if got.header("authorization") == Some("Bearer good") {
            if got.path == "/v2/" {
                return Reply::new(200);
            }
            return Reply::new(307).header("location", &cdn);
        }
        let challenge = format!(r#"Bearer realm="{realm}",service="some registry",scope="repository:a:pull""#);
        Reply::new(401).header("www-authenticate", challenge)
    });
    Guarded { registry, tokens, storage }
}

#[test]
fn tokens_are_fetched_once_and_stay_with_the_registry() {
    let blob = noise(4, 50_000);
    let servers = guarded(blob.clone());
    let host = servers.registry.host();
    let directory = tempfile::tempdir().unwrap();
    let config = format!(r#"{{"auths":{{"{host}":{{"auth":"YWxpY2U6d29uZGVy"}},"127.0.0.1":{{"auth":"eDp5"}}}}}}"#);
    let client = Client::new(with_config(directory.path(), &config));
    for _ in 0..2 {
        assert_eq!(pull(&client, &repository(&host, "a"), Sha256::of(&blob), blob.len()).unwrap(), blob);
    }
    assert_eq!(servers.tokens.lines(), ["GET /token?service=some%20registry&scope=repository:a:pull"]);
    assert_eq!(servers.registry.lines().len(), 3, "one refusal, two answers");
    assert_eq!(servers.storage.lines().len(), 2);
    assert!(
        servers.storage.got().iter().all(|got| got.header("authorization").is_none()),
        "no credentials for strangers"
    );
    assert!(!format!("{client:?}").contains("wonder"));
}

#[test]
fn identity_tokens_are_exchanged() {
    let blob = noise(5, 100);
    let servers = guarded(blob.clone());
    let host = servers.registry.host();
    let directory = tempfile::tempdir().unwrap();
    let config = format!(r#"{{"auths":{{"{host}":{{"auth":"","identitytoken":"refresh+me"}}}}}}"#);
    let client = Client::new(with_config(directory.path(), &config));
    assert_eq!(pull(&client, &repository(&host, "a"), Sha256::of(&blob), blob.len()).unwrap(), blob);
    let got = servers.tokens.got();
    assert_eq!(got[0].method, "POST");
    let form = String::from_utf8(got[0].body.clone()).unwrap();
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=refresh%2Bme"), "{form}");
    assert!(form.contains("scope=repository%3Aa%3Apull"), "{form}");
}

#[test]
fn refused_credentials_are_told_without_being_shown() {
    let servers = guarded(Vec::new());
    let host = servers.registry.host();
    let app = repository(&host, "a");
    let error = Client::new(quick_settings()).has_blob(&app, Sha256::of(b"")).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }));
    assert!(error.to_string().contains(&format!("no credentials for {host}")), "{error}");
    let directory = tempfile::tempdir().unwrap();
    // alice:wrong
    let config = format!(r#"{{"auths":{{"{host}":{{"auth":"YWxpY2U6d3Jvbmc="}}}}}}"#);
    let error =
        Client::new(with_config(directory.path(), &config)).has_blob(&app, Sha256::of(b"")).unwrap_err().to_string();
    assert!(error.contains("refused") && error.contains("***") && !error.contains("YWxp"), "{error}");
}

#[test]
fn a_token_that_ends_during_a_push_is_replaced() {
    let issued = AtomicUsize::new(0);
    let tokens = Scripted::start(move |_| {
        let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
        Reply::new(200).body(format!(r#"{{"access_token":"t{number}"}}"#))
    });
    let realm = format!("http://{}/token", tokens.host());
    // The registry takes the first token for one request only, and refuses before it takes a body.
    let reading = |got: &super::testing::Got| (got.header("authorization") == Some("Bearer t2")).then_some(u64::MAX);
    let registry = Scripted::start_reading(reading, move |got| {
        let refuse =
            || Reply::new(401).header("www-authenticate", format!(r#"Bearer realm="{realm}",error="invalid_token""#));
        match (got.method.as_str(), got.header("authorization")) {
            ("HEAD", Some("Bearer t1")) => Reply::new(404),
            ("POST", Some("Bearer t1")) => Reply::new(202).header("location", "/v2/a/blobs/uploads/1?state=x"),
            ("PUT", Some("Bearer t2")) => Reply::new(201),
            _ => refuse(),
        }
    });
    let bytes = noise(6, 2_000_000);
    let client = Client::new(quick_settings());
    push(&client, &repository(&registry.host(), "a"), &bytes).unwrap();
    let got = registry.got();
    let put = got.iter().filter(|got| got.method == "PUT").collect::<Vec<_>>();
    assert_eq!(
        put.iter().map(|got| got.body.len()).collect::<Vec<_>>(),
        [0, bytes.len()],
        "refused before the body was sent"
    );
    assert_eq!(put[1].body, bytes);
    assert_eq!(tokens.lines()[0], "GET /token?scope=repository:a:pull,push");
}

#[test]
fn insufficient_scope_is_a_denial_when_there_are_credentials() {
    let tokens = Scripted::start(|_| Reply::new(200).body(r#"{"token":"weak"}"#));
    let realm = format!("http://{}/token", tokens.host());
    let registry = Scripted::start(move |_| {
        let challenge = format!(r#"Bearer realm="{realm}",scope="repository:a:pull,push",error="insufficient_scope""#);
        let body = r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#;
        Reply::new(401).header("www-authenticate", challenge).body(body)
    });
    let app = repository(&registry.host(), "a").with_tag("x").unwrap();
    let put = |settings| Client::new(settings).put_manifest(&app, b"{}", media_type::MANIFEST).unwrap_err();
    let error = put(quick_settings());
    assert!(matches!(&error, Error::Unauthorized { .. }) && error.to_string().contains("no credentials"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"YWxpY2U6d29uZGVy"}}}}}}"#, registry.host());
    let error = put(with_config(directory.path(), &config));
    assert!(matches!(&error, Error::Denied { .. }) && error.to_string().contains("read only"), "{error}");
    assert!(registry.lines().len() <= 6);
}

#[test]
fn a_token_server_that_is_gone_says_nothing_about_the_object() {
    let tokens = Scripted::start(|_| Reply::new(404));
    let realm = format!("http://{}/token", tokens.host());
    let registry =
        Scripted::start(move |_| Reply::new(401).header("www-authenticate", format!(r#"Bearer realm="{realm}""#)));
    let error =
        Client::new(quick_settings()).has_blob(&repository(&registry.host(), "a"), Sha256::of(b"x")).unwrap_err();
    assert!(matches!(&error, Error::Unauthorized { .. }), "{error:?}");
}

#[test]
fn basic_authentication_works_and_stays_home() {
    let blob = noise(7, 10);
    let storage_blob = blob.clone();
    let storage = Scripted::start(move |_| Reply::new(200).body(storage_blob.clone()));
    let cdn = format!("http://{}/b", storage.host());
    let registry = Scripted::start(move |got| match got.header("authorization") {
        Some("Basic YWxpY2U6d29uZGVy") => Reply::new(302).header("location", &cdn),
        _ => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
    });
    let directory = tempfile::tempdir().unwrap();
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"YWxpY2U6d29uZGVy"}}}}}}"#, registry.host());
    let client = Client::new(with_config(directory.path(), &config));
    assert_eq!(pull(&client, &repository(&registry.host(), "a"), Sha256::of(&blob), 10).unwrap(), blob);
    assert!(storage.got().iter().all(|got| got.header("authorization").is_none()));
}

#[test]
fn busy_registries_are_given_time() {
    let count = AtomicUsize::new(0);
    let registry = Scripted::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(429).header("retry-after", 0),
        1 => Reply::new(503).body("<html><body>upstream</body></html>"),
        2 => Reply::hang_up(),
        _ => Reply::new(200)
            .header("docker-content-digest", Sha256::of(b"x"))
            .header("content-type", media_type::MANIFEST)
            .header("content-length", 7),
    });
    let waits = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&waits);
    let hook = WaitHook::new(move |wait| seen.lock().unwrap().push((wait.reason.to_string(), wait.delay)));
    let client = Client::new(Settings { on_wait: Some(hook), ..quick_settings() });
    let reference: Reference = format!("{}/a:b", registry.host()).parse().unwrap();
    assert_eq!(client.resolve(&reference).unwrap().size, 7);
    let waits = waits.lock().unwrap();
    assert_eq!((waits.len(), waits[0].1), (3, Some(Duration::ZERO)), "{waits:?}");

    let asks_too_much = Scripted::start(|_| Reply::new(429).header("retry-after", 86400).body("slow down"));
    let reference: Reference = format!("{}/a:b", asks_too_much.host()).parse().unwrap();
    let error = client.manifest(&reference).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86400)));
    assert!(matches!(error, Error::TooManyRequests { .. }) && error.to_string().contains("slow down"), "{error}");
    assert_eq!(asks_too_much.lines().len(), 1);
}

/// Serves a blob that fails in a given way at given requests.
fn flaky(
    blob: Vec<u8>,
    fail: impl Fn(usize, &[u8], usize) -> Option<Reply> + Send + Sync + 'static,
    ranges: bool,
) -> Scripted {
    let count = AtomicUsize::new(0);
    Scripted::start(move |got| {
        let start = got
            .header("range")
            .filter(|_| ranges)
            .map_or(0, |range| range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap());
        let rest = &blob[start..];
        let base = if start > 0 {
            Reply::new(206).header("content-range", format!("bytes {start}-{}/{}", blob.len() - 1, blob.len()))
        } else {
            Reply::new(200)
        };
        match fail(count.fetch_add(1, Ordering::SeqCst), rest, start) {
            Some(reply) => reply,
            None => base.body(rest),
        }
    })
}

fn partial(start: usize, rest: &[u8], whole: usize, send: usize) -> Reply {
    let base = if start > 0 {
        Reply::new(206).header("content-range", format!("bytes {start}-{}/{whole}", whole - 1))
    } else {
        Reply::new(200)
    };
    base.body(&rest[..send.min(rest.len())])
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let blob = noise(8, 400_000);
    let whole = blob.len();
    let fail = move |number: usize, rest: &[u8], start: usize| match number {
        0 | 1 => Some(partial(start, rest, whole, 100_000).cut(rest.len())),
        2 => Some(Reply::new(503)),
        3 => Some(partial(start, rest, whole, 70_000).stall(rest.len())),
        _ => None,
    };
    let registry = flaky(blob.clone(), fail, true);
    let client = Client::new(quick_settings());
    let mut reader = client.blob(&repository(&registry.host(), "a"), Sha256::of(&blob), whole as u64).unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, blob);
    assert!(reader.resumes() >= 3);
    let ranges: Vec<Option<String>> = registry.got().iter().map(|got| got.header("range").map(str::to_owned)).collect();
    let range = |offset: usize| Some(format!("bytes={offset}-"));
    assert_eq!(ranges, [None, range(100_000), range(200_000), range(200_000), range(270_000)]);
}

#[test]
fn a_server_without_ranges_is_read_again() {
    let blob = noise(9, 300_000);
    let whole = blob.len();
    let fail =
        move |number: usize, rest: &[u8], _: usize| (number == 0).then(|| partial(0, rest, whole, 100_000).cut(whole));
    let registry = flaky(blob.clone(), fail, false);
    let client = Client::new(quick_settings());
    assert_eq!(pull(&client, &repository(&registry.host(), "a"), Sha256::of(&blob), whole).unwrap(), blob);
    assert_eq!(registry.lines().len(), 2);
}

#[test]
fn wrong_content_never_ends_well() {
    let blob = noise(10, 1000);
    let mut wrong = blob.clone();
    wrong[999] ^= 1;
    let client = Client::new(quick_settings());
    let check = |reply: Reply| {
        let registry = Scripted::start(move |_| reply.clone());
        let mut bytes = Vec::new();
        let result = client.blob(&repository(&registry.host(), "a"), Sha256::of(&blob), 1000).and_then(|mut reader| {
            let result = reader.read_to_end(&mut bytes).map_err(|error| Error::from_io(error).unwrap());
            assert!(reader.read(&mut [0; 8]).is_err(), "a failed blob does not end");
            result
        });
        assert!(bytes.len() < 1000, "the last bytes are held back");
        assert!(registry.lines().len() <= 4);
        result.unwrap_err()
    };
    assert!(matches!(check(Reply::new(200).body(wrong)), Error::DigestMismatch { .. }));
    assert!(matches!(check(Reply::new(200).body(&blob[..999])), Error::SizeMismatch { actual: 999, .. }));
    assert!(matches!(check(Reply::new(200).body([&blob[..], b"x"].concat())), Error::SizeMismatch { .. }));
    let chunked = [b"3e9\r\n", &blob[..], b"x\r\n0\r\n\r\n"].concat();
    let endless = Reply::new(200).header("transfer-encoding", "chunked").body(chunked);
    assert!(matches!(check(endless), Error::SizeMismatch { .. }));
    let short = [b"a\r\n", &blob[..10], b"\r\n0\r\n\r\n"].concat();
    let early = Reply::new(200).header("transfer-encoding", "chunked").body(short);
    assert!(matches!(check(early), Error::Disconnected { .. }));
    assert!(matches!(check(Reply::new(200).body(&blob[..50]).cut(1000)), Error::Disconnected { .. }));
    assert!(matches!(check(Reply::new(200).body(&blob[..50]).stall(1000)), Error::Timeout { .. }));
    let html =
        Reply::new(403).header("content-type", "text/html").body("<html><title>Blocked</title>by \x1b[31mproxy</html>");
    let error = check(html).to_string();
    assert!(error.contains("403: Blocked by \\u{1b}[31mproxy"), "{error}");
}

#[test]
fn wrong_manifests_are_refused() {
    let image = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    let client = Client::new(quick_settings());
    let ask = |reply: Reply, digest: Option<BlobId>| {
        let registry = Scripted::start(move |_| reply.clone());
        let repository = repository(&registry.host(), "a");
        let reference =
            digest.map_or_else(|| repository.with_tag("t").unwrap(), |digest| repository.with_digest(digest));
        client.manifest(&reference)
    };
    assert_eq!(ask(Reply::new(200).body(image), Some(Sha256::of(image))).unwrap().media_type, media_type::MANIFEST);
    assert!(matches!(ask(Reply::new(200).body(image), Some(Sha256::of(b""))), Err(Error::DigestMismatch { .. })));
    let lying = Reply::new(200).header("docker-content-digest", Sha256::of(b"")).body(image);
    assert!(matches!(ask(lying, None), Err(Error::DigestMismatch { .. })));
    let both = Reply::new(200).body(r#"{"layers":[],"manifests":[]}"#);
    assert!(matches!(ask(both, None), Err(Error::Protocol { .. })));
    let huge = Reply::new(200).body(vec![b' '; MAX_MANIFEST + 1]);
    assert!(ask(huge, None).unwrap_err().to_string().contains("4 MiB"));
    let login = Reply::new(200).header("content-type", "text/html").body("<html>please log in</html>");
    assert!(ask(login, None).unwrap_err().to_string().contains("invalid manifest"));
}

#[test]
fn resolve_falls_back_to_get() {
    let image = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    for head in [Reply::new(405), Reply::new(200).header("content-type", media_type::MANIFEST)] {
        let registry =
            Scripted::start(move |got| if got.method == "HEAD" { head.clone() } else { Reply::new(200).body(image) });
        let reference: Reference = format!("{}/a:b", registry.host()).parse().unwrap();
        let descriptor = Client::new(quick_settings()).resolve(&reference).unwrap();
        assert_eq!((descriptor.digest, descriptor.size), (Sha256::of(image), image.len() as u64));
    }
}

/// A registry that keeps the bytes of a cut upload, as the specification has it.
struct Uploads {
    data: std::sync::Arc<Mutex<BTreeMap<u32, Vec<u8>>>>,
}

fn resumable(cut_after: u64) -> (Scripted, Uploads) {
    let data = std::sync::Arc::new(Mutex::new(BTreeMap::<u32, Vec<u8>>::new()));
    let kept = std::sync::Arc::clone(&data);
    let first = AtomicUsize::new(0);
    let reading = move |got: &super::testing::Got| {
        let cut = got.method == "PUT" && first.fetch_add(1, Ordering::SeqCst) == 0;
        Some(if cut { cut_after } else { u64::MAX })
    };
    let registry = Scripted::start_reading(reading, move |got| {
        let mut data = kept.lock().unwrap();
        let location = |session: usize| format!("/v2/a/blobs/uploads/{session}");
        let session = data.len() as u32;
        let length: usize = got.header("content-length").map_or(0, |text| text.parse().unwrap());
        match got.method.as_str() {
            "HEAD" => Reply::new(404),
            "POST" => {
                data.insert(session + 1, Vec::new());
                Reply::new(202).header("location", location(session as usize + 1))
            }
            "GET" => {
                let end = data[&session].len() - 1;
                Reply::new(204).header("location", location(session as usize)).header("range", format!("0-{end}"))
            }
            _ => {
                data.get_mut(&session).unwrap().extend(&got.body);
                if got.body.len() < length {
                    return Reply::hang_up();
                }
                let end = data[&session].len().max(1) - 1;
                let status = if got.method == "PUT" { 201 } else { 202 };
                Reply::new(status).header("location", location(session as usize)).header("range", format!("0-{end}"))
            }
        }
    });
    (registry, Uploads { data })
}

#[test]
fn a_cut_upload_goes_on_at_the_committed_offset() {
    let bytes = noise(11, 500_000);
    let (registry, uploads) = resumable(123_456);
    let client = Client::new(quick_settings());
    let digest = push(&client, &repository(&registry.host(), "a"), &bytes).unwrap();
    let lines = registry.lines();
    assert_eq!(
        lines,
        [
            format!("HEAD /v2/a/blobs/{digest}"),
            "POST /v2/a/blobs/uploads/".to_owned(),
            format!("PUT /v2/a/blobs/uploads/1?digest={digest}"),
            format!("HEAD /v2/a/blobs/{digest}"),
            "GET /v2/a/blobs/uploads/1".to_owned(),
            "PATCH /v2/a/blobs/uploads/1".to_owned(),
            format!("PUT /v2/a/blobs/uploads/1?digest={digest}"),
        ]
    );
    assert_eq!(uploads.data.lock().unwrap()[&1], bytes);
    let got = registry.got();
    assert_eq!(got[5].header("content-range"), Some("123456-499999"));
}

#[test]
fn a_body_that_is_too_large_is_sent_in_pieces() {
    let data = std::sync::Arc::new(Mutex::new(Vec::<u8>::new()));
    let kept = std::sync::Arc::clone(&data);
    let limit = 600_000;
    let length =
        |got: &super::testing::Got| got.header("content-length").map_or(0, |text| text.parse::<usize>().unwrap());
    let reading = move |got: &super::testing::Got| (length(got) <= limit).then_some(u64::MAX);
    let registry = Scripted::start_reading(reading, move |got| {
        if length(got) > limit {
            return Reply::new(413).body("<html><h1>413 Request Entity Too Large</h1></html>");
        }
        let mut data = kept.lock().unwrap();
        data.extend(&got.body);
        let end = data.len().max(1) - 1;
        match got.method.as_str() {
            "HEAD" => Reply::new(404),
            "PUT" => Reply::new(201),
            _ => Reply::new(202).header("location", "/v2/a/blobs/uploads/1").header("range", format!("0-{end}")),
        }
    });
    let bytes = noise(12, 2_500_000);
    push(&Client::new(quick_settings()), &repository(&registry.host(), "a"), &bytes).unwrap();
    assert_eq!(*data.lock().unwrap(), bytes);

    let strict = Scripted::start(|got| match got.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST" => Reply::new(202).header("location", "/v2/a/blobs/uploads/1"),
        _ => Reply::new(413),
    });
    let error = push(&Client::new(quick_settings()), &repository(&strict.host(), "a"), &bytes).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(strict.lines().len() < 10, "{:?}", strict.lines());
}

#[test]
fn a_failure_after_success_is_a_success() {
    let stored = AtomicUsize::new(0);
    let manifest = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    let registry = Scripted::start(move |got| match got.method.as_str() {
        "HEAD" if stored.load(Ordering::SeqCst) > 0 => {
            Reply::new(200).header("docker-content-digest", Sha256::of(manifest))
        }
        "HEAD" => Reply::new(404),
        "POST" => Reply::new(202).header("location", "/v2/a/blobs/uploads/1"),
        _ => {
            stored.fetch_add(1, Ordering::SeqCst);
            Reply::new(504)
        }
    });
    let client = Client::new(quick_settings());
    let app = repository(&registry.host(), "a");
    push(&client, &app, b"x").unwrap();
    client.put_manifest(&app.with_tag("t").unwrap(), manifest, media_type::MANIFEST).unwrap();
    assert_eq!(registry.lines().iter().filter(|line| line.starts_with("PUT")).count(), 2);
}

#[test]
fn a_yes_of_something_that_is_no_registry_is_not_believed() {
    let page = Scripted::start(|_| Reply::new(200).header("content-type", "text/html").body("<html>log in</html>"));
    let client = Client::new(quick_settings());
    let reference = repository(&page.host(), "app").with_tag("1").unwrap();
    let error = client.put_manifest(&reference, b"{}", "application/json").unwrap_err();
    assert!(matches!(error, Error::NotKept { .. }), "{error}");
    assert!(error.to_string().contains("is it a registry?"));
    // One that names no digests shows the manifest.
    let plain = Scripted::start(|got| Reply::new(if got.method == "PUT" { 201 } else { 200 }).body("{}"));
    let reference = repository(&plain.host(), "app").with_tag("1").unwrap();
    assert_eq!(client.put_manifest(&reference, b"{}", "application/json").unwrap(), Sha256::of(b"{}"));
    let methods: Vec<String> = plain.got().into_iter().map(|got| got.method).collect();
    assert_eq!(methods, ["PUT", "HEAD", "GET"]);
}

#[test]
fn redirects_are_followed_only_where_they_may_lead() {
    let target = Scripted::start(|_| Reply::new(200));
    let place = format!("http://{}/x?token=secret", target.host());
    let registry = Scripted::start(move |got| {
        let to = match got.path.split('/').nth(2).unwrap() {
            "loop" => "/v2/loop/blobs/x".to_owned(),
            "user" => "http://user:pw@127.0.0.1/".to_owned(),
            "file" => "file:///etc/passwd".to_owned(),
            _ => place.clone(),
        };
        Reply::new(307).header("location", to)
    });
    let client = Client::new(quick_settings());
    let ask = |path: &str| client.has_blob(&repository(&registry.host(), path), Sha256::of(b"x"));
    assert!(ask("ok").unwrap());
    for path in ["loop", "user", "file"] {
        let error = ask(path).unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{path}: {error}");
        assert!(!error.to_string().contains("pw@"), "{error}");
    }
    let upload = Scripted::start(move |got| match got.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST" if got.path.ends_with("/uploads/") => Reply::new(308).header("location", "/moved"),
        "POST" => Reply::new(202).header("location", "up?x=1"),
        _ if got.path.starts_with("/up") => Reply::new(307).header("location", "/final?y=2"),
        _ => Reply::new(201),
    });
    push(&client, &repository(&upload.host(), "a"), b"moved").unwrap();
    let got = upload.got();
    assert_eq!(got.last().unwrap().path, "/final?y=2");
    assert_eq!(got.last().unwrap().body, b"moved");
}

#[test]
fn tags_are_paged_without_circles() {
    let registry = Scripted::start(|got| {
        let page = |tags: &str, next: &str| {
            Reply::new(200)
                .header("link", format!("<{next}>; rel=\"next\""))
                .body(format!(r#"{{"name":"a","tags":{tags}}}"#))
        };
        match got.path.as_str() {
            "/v2/a/tags/list" => page(r#"["1","2"]"#, "/v2/a/tags/list?last=1,2"),
            "/v2/a/tags/list?last=1,2" => Reply::new(200).body(r#"{"tags":["3"]}"#),
            "/v2/empty/tags/list" => Reply::new(200).body(r#"{"tags":null}"#),
            "/v2/away/tags/list" => page("[]", "http://127.0.0.1:1/x"),
            _ => page(r#"["x"]"#, "/v2/loop/tags/list?again"),
        }
    });
    let client = Client::new(quick_settings());
    let tags = |path: &str| client.tags(&repository(&registry.host(), path));
    assert_eq!(tags("a").unwrap(), ["1", "2", "3"]);
    assert!(tags("empty").unwrap().is_empty());
    for path in ["loop", "away"] {
        assert!(tags(path).unwrap_err().to_string().contains("circle"));
    }
}

#[test]
fn a_source_that_fails_is_named_and_not_retried() {
    let registry = Scripted::start(|got| match got.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST" => Reply::new(202).header("location", "/v2/a/blobs/uploads/1"),
        _ => Reply::new(201),
    });
    let client = Client::new(quick_settings());
    let app = repository(&registry.host(), "a");
    let short = client.push_blob(&app, Sha256::of(b"x"), 10, &opener(b"abc")).unwrap_err();
    assert!(matches!(short, Error::Source { .. }), "{short:?}");
    let missing = client.push_blob(&app, Sha256::of(b"x"), 10, &|_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
    assert!(matches!(missing, Error::Source { .. }), "{missing:?}");
}

#[test]
fn the_cancel_flag_ends_a_stalled_transfer() {
    let registry = Scripted::start(|_| Reply::new(200).body(vec![0; 100]).stall(1000));
    let mut settings = quick_settings();
    settings.timeouts.idle = Duration::from_secs(60);
    let cancel = std::sync::Arc::clone(&settings.cancel);
    let client = Client::new(settings);
    let mut reader = client.blob(&repository(&registry.host(), "a"), Sha256::of(b"x"), 1000).unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    let began = Instant::now();
    let (ready, start) = std::sync::mpsc::channel::<()>();
    let canceller = std::thread::spawn(move || {
        start.recv().unwrap();
        cancel.store(true, Ordering::SeqCst);
    });
    ready.send(()).unwrap();
    let error = Error::from_io(reader.read(&mut [0; 100]).unwrap_err()).unwrap();
    canceller.join().unwrap();
    assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(matches!(
        client.has_blob(&repository(&registry.host(), "a"), Sha256::of(b"x")),
        Err(Error::Cancelled { .. })
    ));
}

#[test]
fn an_absent_registry_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reference: Reference = format!("127.0.0.1:{port}/a:b").parse().unwrap();
    let error = Client::new(quick_settings()).resolve(&reference).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    assert_eq!(error.to_string(), format!("cannot resolve 127.0.0.1:{port}/a:b: cannot reach 127.0.0.1:{port}"));
}

#[test]
fn clients_and_readers_move_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Client>();
    shared::<Error>();
    sent::<BlobReader>();
    sent::<Upload>();
}
