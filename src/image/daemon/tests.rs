use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::image::write::tests::{docker_image, layer_tar, opener};

static RUNNING: AtomicBool = AtomicBool::new(false);

fn load(host: &str, images: &[DockerImage]) -> Result<Vec<String>, DaemonError> {
    let options = DaemonOptions { host: Some(host), idle: Duration::from_secs(20), cancelled: &RUNNING };
    load_into_daemon(images, 1, &options)
}

fn images() -> Vec<DockerImage> {
    vec![docker_image(&["stager-test/app:v1"], &[layer_tar("hello", b"hello"), layer_tar("x", &[7; 3_000_000])])]
}

/// What the made-up engine does with an upload.
#[derive(Clone, Copy)]
enum Engine {
    /// Reads all of it and answers so.
    Answers(&'static str, &'static str),
    /// Reads some of it and answers so.
    Interrupts(&'static str, &'static str),
    HangsUp,
    Stalls,
    /// Reads some of it and then nothing.
    StopsReading,
}

/// A made-up engine at a socket; returns the uploaded archive.
fn with_engine<T>(engine: Engine, test: impl FnOnce(&str) -> T) -> (T, Vec<u8>) {
    let work = tempfile::tempdir().unwrap();
    let socket = work.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = std::thread::spawn(move || serve(&listener, engine));
    let result = test(&format!("unix://{}", socket.display()));
    // a last connection ends an engine that nobody has uploaded to
    drop(UnixStream::connect(&socket));
    (result, serving.join().unwrap())
}

fn serve(listener: &UnixListener, engine: Engine) -> Vec<u8> {
    loop {
        let (stream, _) = listener.accept().unwrap();
        let mut input = BufReader::new(stream.try_clone().unwrap());
        let mut output = stream;
        let mut request = String::new();
        input.read_line(&mut request).unwrap();
        if request.is_empty() {
            return Vec::new();
        }
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            input.read_line(&mut line).unwrap();
        }
        if request.starts_with("GET /") && request.contains("/version") {
            respond(&mut output, "200 OK", r#"{"ApiVersion":"1.41","Version":"20.10"}"#);
            continue;
        }
        assert!(request.starts_with("POST /") && request.contains("/images/load?"), "{request}");
        return match engine {
            Engine::Answers(status, text) => {
                let archive = chunks(&mut input, usize::MAX);
                respond(&mut output, status, text);
                archive
            }
            Engine::Interrupts(status, text) => {
                let archive = chunks(&mut input, 1000);
                respond(&mut output, status, text);
                archive
            }
            Engine::HangsUp => chunks(&mut input, 1000),
            Engine::Stalls => {
                let archive = chunks(&mut input, usize::MAX);
                // until the client gives up
                let _ = input.read(&mut [0]);
                archive
            }
            Engine::StopsReading => {
                let archive = chunks(&mut input, 1000);
                let mut events = [rustix::event::PollFd::new(&output, rustix::event::PollFlags::RDHUP)];
                rustix::event::poll(&mut events, None).unwrap();
                archive
            }
        };
    }
}

fn respond(output: &mut UnixStream, status: &str, text: &str) {
    let length = text.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    let _ = output.write_all(format!("{head}Content-Length: {length}\r\n\r\n{text}").as_bytes());
}

/// The body of a chunked request, or some of it; a body that breaks off counts as empty.
fn chunks(input: &mut impl BufRead, enough: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < enough {
        let mut size = String::new();
        input.read_line(&mut size).unwrap();
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { return Vec::new() };
        let mut chunk = vec![0; size + 2];
        if input.read_exact(&mut chunk).is_err() {
            return Vec::new();
        }
        if size == 0 {
            break;
        }
        body.extend_from_slice(&chunk[..size]);
    }
    body
}

fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    docker_archive_to(&mut bytes, &images(), 1).unwrap();
    bytes
}

#[test]
fn the_engine_gets_the_whole_archive() {
    let answer = "{\"stream\":\"Loaded image: stager-test/app:v1\\n\"}\n{\"status\":\"x\"}\n";
    let (said, uploaded) = with_engine(Engine::Answers("200 OK", answer), |host| load(host, &images()));
    assert_eq!(said.unwrap(), ["Loaded image: stager-test/app:v1"]);
    assert!(uploaded == archive());
}

#[test]
fn refusals_are_told_in_the_engines_words() {
    let in_stream = r#"{"errorDetail":{"message":"no space left"},"error":"no space left"}"#;
    for engine in [
        Engine::Answers("200 OK", in_stream),
        Engine::Answers("500 Internal Server Error", r#"{"message":"no space left"}"#),
        Engine::Interrupts("500 Internal Server Error", r#"{"message":"no space left"}"#),
    ] {
        let (result, _) = with_engine(engine, |host| load(host, &images()));
        let error = result.unwrap_err();
        let lost = matches!(error, DaemonError::Lost { .. }) && matches!(engine, Engine::Interrupts(..));
        assert!(error.to_string().ends_with("refused the image: no space left") || lost, "{error:?}");
    }
}

#[test]
fn a_broken_connection_is_an_error() {
    for engine in [Engine::HangsUp, Engine::Interrupts("200 OK", "")] {
        let (result, _) = with_engine(engine, |host| load(host, &images()));
        assert!(matches!(result, Err(DaemonError::Lost { .. })), "{result:?}");
    }
}

#[test]
fn a_broken_layer_never_looks_like_a_whole_archive() {
    let mut broken = images();
    broken[0].layers[1].open = opener(vec![1; 3_000_000]);
    broken[0].layers[1].size = Some(3_001_344);
    let (result, uploaded) = with_engine(Engine::Answers("200 OK", "{}"), |host| load(host, &broken));
    let error = result.unwrap_err();
    assert!(matches!(error, DaemonError::Archive(_)), "{error:?}");
    assert!(uploaded.is_empty(), "the body was not ended properly");
}

#[test]
fn waits_end() {
    let (result, _) = with_engine(Engine::Stalls, |host| {
        let options = DaemonOptions { host: Some(host), idle: Duration::from_millis(300), cancelled: &RUNNING };
        load_into_daemon(&images(), 1, &options)
    });
    assert!(matches!(result, Err(DaemonError::Stalled { .. })), "{result:?}");
    let (result, _) = with_engine(Engine::Stalls, |host| {
        let options =
            DaemonOptions { host: Some(host), idle: Duration::from_secs(60), cancelled: &AtomicBool::new(true) };
        load_into_daemon(&images(), 1, &options)
    });
    assert!(matches!(result, Err(DaemonError::Cancelled)), "{result:?}");
}

#[test]
fn an_engine_that_stops_reading_does_not_hold_the_writer() {
    let large = [docker_image(&["a:1"], &[layer_tar("large", &vec![7; 20_000_000])])];
    let (result, _) = with_engine(Engine::StopsReading, |host| {
        let options = DaemonOptions { host: Some(host), idle: Duration::from_millis(300), cancelled: &RUNNING };
        load_into_daemon(&large, 1, &options)
    });
    assert!(matches!(result, Err(DaemonError::Stalled { .. })), "{result:?}");
}

#[test]
fn a_missing_engine_is_named() {
    for host in ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1", "http://127.0.0.1:1"] {
        let error = load(host, &images()).unwrap_err();
        assert_eq!(error.to_string(), format!("no docker engine answers at {host}"));
        assert!(std::error::Error::source(&error).is_some());
    }
    for host in ["ssh://box", "docker.sock", "https://x"] {
        assert!(matches!(load(host, &images()), Err(DaemonError::Host { .. })), "{host}");
    }
}

/// A real engine with everything in a directory of its own.
struct Dockerd {
    process: Child,
    host: String,
    work: tempfile::TempDir,
}

impl Dockerd {
    fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: dockerd needs root");
            return None;
        }
        let work = tempfile::tempdir().unwrap();
        let path = |name: &str| work.path().join(name).display().to_string();
        let host = format!("unix://{}", path("docker.sock"));
        let log = fs_err::File::create(path("log")).unwrap().into_parts().0;
        let started = Command::new("dockerd")
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--host", &host, "--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                eprintln!("skipped: cannot start dockerd: {error}");
                return None;
            }
        };
        let mut dockerd = Self { process, host, work };
        let deadline = Instant::now() + Duration::from_secs(30);
        while UnixStream::connect(Path::new(&dockerd.host["unix://".len()..])).is_err() {
            if dockerd.process.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let log = fs_err::read_to_string(dockerd.work.path().join("log")).unwrap_or_default();
                eprintln!("skipped: dockerd does not run here: {log}");
                return None;
            }
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Some(dockerd)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

#[test]
fn a_real_engine_loads_the_images() {
    let Some(dockerd) = Dockerd::start() else { return };
    let mut images = images();
    images.push(docker_image(&["stager-test/twice:v1", "stager-test/twice:v2"], &vec![layer_tar("a", b"a"); 2]));
    let said = load(&dockerd.host, &images).unwrap();
    assert!(said.iter().any(|line| line.contains("stager-test/app:v1")), "{said:?}");
    let inspect = |name: &str| {
        let host = &dockerd.host;
        let arguments =
            ["--host", host, "image", "inspect", "--format", "{{.Created}} {{.RootFS.Layers}} {{.Config.Cmd}}"];
        let Ok(output) = Command::new("docker").args(arguments).arg(name).output() else {
            eprintln!("skipped: there is no docker client");
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(text) = inspect("stager-test/app:v1") else { return };
    let digests: Vec<String> = images[0].layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    assert_eq!(text.trim(), format!("1980-01-01T00:00:01Z [{}] [/hello]", digests.join(" ")));
    assert!(inspect("stager-test/twice:v2").is_some());
    // what the engine saves is read here
    let work = tempfile::tempdir().unwrap();
    let saved = work.path().join("saved.tar");
    let save = [
        "--host",
        &dockerd.host,
        "save",
        "--output",
        saved.to_str().unwrap(),
        "stager-test/app:v1",
        "stager-test/twice:v1",
    ];
    assert!(Command::new("docker").args(save).status().unwrap().success());
    let platform = "linux/amd64".parse().unwrap();
    let options = crate::image::read::OpenOptions {
        platform: &platform,
        reference: Some("stager-test/twice:v1"),
        spool: work.path(),
    };
    let input = crate::image::read::BaseInput::File(saved);
    let base = crate::image::read::open_base(stages::spec::BaseFormat::DockerArchive, input, &options).unwrap();
    for layer in &base.layers {
        let mut bytes = Vec::new();
        layer.open_tar().unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, layer_tar("a", b"a"));
    }
    assert_eq!(base.layers.len(), 2);
}
