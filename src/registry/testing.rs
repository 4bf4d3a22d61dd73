//! Servers for tests: Debian's docker-registry, a scripted server that does what registries shouldn't, and a proxy that
//! cuts connections.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::Settings;

/// Settings under which failures are quick.
pub(crate) fn quick_settings() -> Settings {
    let mut settings = Settings::default();
    settings.timeouts.idle = Duration::from_millis(400);
    settings.timeouts.commit = Duration::from_secs(20);
    settings.retry.base_delay = Duration::from_millis(1);
    settings.retry.attempts = 4;
    settings
}

/// Settings with a docker `config.json`.
pub(crate) fn with_config(directory: &Path, json: &str) -> Settings {
    fs_err::write(directory.join("config.json"), json).unwrap();
    Settings { docker_config_dir: Some(directory.to_owned()), ..quick_settings() }
}

/// A running docker-registry with its own storage.
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
    _directory: TempDir,
}

impl Registry {
    /// Starts one on loopback; `None`, with a word on stderr, where it isn't installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("127.0.0.1", "")
    }

    /// `http` is put below `http:` in the configuration, two spaces in.
    pub(crate) fn start_with(address: &str, http: &str) -> Option<Self> {
        const PROGRAM: &str = "/usr/bin/docker-registry";
        if !Path::new(PROGRAM).exists() {
            eprintln!("skipped: {PROGRAM} is not installed");
            return None;
        }
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
            let root = directory.path().join("data");
            let config = format!(
                "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: {address}:{port}\n{http}",
                root.display()
            );
            let file = directory.path().join("config.yml");
            fs_err::write(&file, config).unwrap();
            let mut child = Command::new(PROGRAM)
                .args([Path::new("serve"), &file])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let log = BufReader::new(child.stderr.take().unwrap());
            let (sender, receiver) = mpsc::channel();
            thread::spawn(move || {
                for line in log.lines().map_while(Result::ok) {
                    if line.contains("listening on") {
                        let _ = sender.send(());
                    }
                }
            });
            if receiver.recv_timeout(Duration::from_secs(60)).is_ok() {
                return Some(Self { child, port, _directory: directory });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("docker-registry does not start");
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// openssl's server: it has pages, asks clients for a certificate and serves those without one too.
pub(crate) struct Asking {
    child: Child,
    address: String,
    directory: TempDir,
}

impl Asking {
    /// Starts one at an address with the `cert.pem` and `key.pem` of a directory; clients' are asked of its `ca.pem`.
    pub(crate) fn start(address: &str, certificates: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new("openssl")
            .args(["s_server", "-HTTP", "-verify", "1", "-accept", &format!("{address}:0"), "-cert"])
            .args([certificates.join("cert.pem"), "-key".into(), certificates.join("key.pem")])
            .args(["-CAfile".into(), certificates.join("ca.pem")])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs_err::File::create(directory.path().join("log")).unwrap().into_file())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        thread::spawn(move || lines.for_each(drop));
        Self { child, address, directory }
    }

    pub(crate) fn host(&self) -> &str {
        &self.address
    }

    /// Answers requests for a path with this, headers and all.
    pub(crate) fn page(&self, path: &str, answer: &[u8]) {
        let file = self.directory.path().join(path.trim_start_matches('/'));
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, answer).unwrap();
    }

    /// How many requests it has answered, and how many certificates it was shown.
    pub(crate) fn seen(&self) -> (usize, usize) {
        let log = fs_err::read_to_string(self.directory.path().join("log")).unwrap();
        (log.matches("FILE:").count(), log.matches("depth=0 ").count())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request as the scripted server got it.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
    /// The body, as far as it was read.
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn length(&self) -> u64 {
        self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// What the scripted server does with a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The `Content-Length`, where it is not the truth.
    claimed: Option<u64>,
    after: After,
}

#[derive(Debug, Clone, Copy, Default)]
enum After {
    #[default]
    Go,
    Close,
    /// Silence until the client gives up.
    Stall,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Announces a longer body than is sent, then closes.
    pub(crate) fn cut(self, claimed: usize) -> Self {
        Self { claimed: Some(claimed as u64), after: After::Close, ..self }
    }

    /// Announces a longer body than is sent, then is silent.
    pub(crate) fn stall(self, claimed: usize) -> Self {
        Self { claimed: Some(claimed as u64), after: After::Stall, ..self }
    }

    /// No answer at all.
    pub(crate) fn hang_up() -> Self {
        Self { after: After::Close, ..Self::default() }
    }
}

type Script = dyn Fn(&Got) -> Reply + Send + Sync;
type Reading = dyn Fn(&Got) -> Option<u64> + Send + Sync;

/// Whether a server tells clients that ask first to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    Given,
    Withheld,
}

/// A server that follows a script and remembers what it was asked.
pub(crate) struct Scripted {
    pub(crate) port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    stop: Arc<AtomicBool>,
}

impl Scripted {
    pub(crate) fn start(script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_reading(|_| Some(u64::MAX), script)
    }

    /// It has no notion of consent.
    pub(crate) fn start_deaf(script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(Consent::Withheld, |_| Some(u64::MAX), script)
    }

    /// `reading` says how much of a body is read before the reply; with `None` the reply comes without consent to send.
    pub(crate) fn start_reading(
        reading: impl Fn(&Got) -> Option<u64> + Send + Sync + 'static,
        script: impl Fn(&Got) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Consent::Given, reading, script)
    }

    fn start_with(
        consent: Consent,
        reading: impl Fn(&Got) -> Option<u64> + Send + Sync + 'static,
        script: impl Fn(&Got) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (script, reading): (Arc<Script>, Arc<Reading>) = (Arc::new(script), Arc::new(reading));
        let (remembered, stopped) = (Arc::clone(&got), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (script, reading, got) = (Arc::clone(&script), Arc::clone(&reading), Arc::clone(&remembered));
                thread::spawn(move || while serve(&stream, consent, &*script, &*reading, &got).unwrap_or(false) {});
            }
        });
        Self { port, got, stop }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// `METHOD path` of each request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.got().iter().map(|got| format!("{} {}", got.method, got.path)).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    stream: &TcpStream,
    consent: Consent,
    script: &Script,
    reading: &Reading,
    all: &Mutex<Vec<Got>>,
) -> io::Result<bool> {
    let mut input = BufReader::new(stream);
    let Some(mut got) = read_head(&mut input)? else { return Ok(false) };
    let wanted = reading(&got);
    let length = got.length();
    let mut whole = length == 0;
    if let Some(wanted) = wanted {
        if got.header("expect").is_some() && consent == Consent::Given {
            (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let limit = wanted.min(length);
        input.take(limit).read_to_end(&mut got.body)?;
        whole = limit == length;
    }
    all.lock().unwrap().push(got.clone());
    let reply = script(&got);
    if reply.status > 0 {
        let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
        let length = reply.claimed.unwrap_or(reply.body.len() as u64);
        if !reply.headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding") {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        for (name, value) in &reply.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        (&*stream).write_all(format!("{head}\r\n").as_bytes())?;
        if got.method != "HEAD" {
            (&*stream).write_all(&reply.body)?;
        }
    }
    match reply.after {
        After::Go if whole => return Ok(true),
        After::Go | After::Close => {}
        After::Stall => drop((&*stream).read(&mut [0; 1])),
    }
    let _ = stream.shutdown(Shutdown::Both);
    Ok(false)
}

fn read_head(input: &mut impl BufRead) -> io::Result<Option<Got>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Ok(Some(Got { method, path, headers, body: Vec::new() }))
}

/// What a [`Cutter`] cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection whose turn it is.
    One,
    /// All that are open.
    All,
}

/// A proxy before a real server that cuts connections after so many bytes from the client in all, once.
pub(crate) struct Cutter {
    pub(crate) port: u16,
    /// Bytes from the client so far.
    pub(crate) sent: Arc<AtomicU64>,
}

impl Cutter {
    pub(crate) fn start(server: u16, after: u64, what: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let open = Arc::new(Mutex::new(Vec::new()));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = io::copy(&mut &back_from, &mut &back_to);
                    let _ = back_to.shutdown(Shutdown::Both);
                });
                let (counter, open) = (Arc::clone(&counter), Arc::clone(&open));
                if what == Cut::All {
                    open.lock().unwrap().push((client.try_clone().unwrap(), server.try_clone().unwrap()));
                }
                thread::spawn(move || {
                    if pump(&client, &server, &counter, after) {
                        for (client, server) in open.lock().unwrap().drain(..) {
                            let _ = client.shutdown(Shutdown::Both);
                            let _ = server.shutdown(Shutdown::Both);
                        }
                    }
                });
            }
        });
        Self { port, sent }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Hands bytes on until the end, or the cut; whether this was it.
fn pump(mut from: &TcpStream, mut to: &TcpStream, counter: &AtomicU64, after: u64) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    let mut is_cut = false;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let before = counter.fetch_add(count as u64, Ordering::SeqCst);
        is_cut = before < after && before + count as u64 >= after;
        if to.write_all(&buffer[..count]).is_err() || is_cut {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    is_cut
}
