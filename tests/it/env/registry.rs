//! Debian's `docker-registry` on a free loopback port.

use std::path::Path;

use fs_err as fs;

use super::daemon::Daemon;
use super::run::find;
use super::{Missing, Network, wait_until};

/// A registry with storage of its own; stopped when dropped.
pub(crate) struct Registry {
    daemon: Daemon,
    address: String,
}

/// One line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
}

impl Registry {
    pub(crate) fn start() -> Result<Self, Missing> {
        Self::start_with("")
    }

    /// One that lets in nobody but `alice`, whose password is `wonder land`.
    pub(crate) fn start_private() -> Result<Self, Missing> {
        Self::start_with("auth: {htpasswd: {realm: test, path: DIRECTORY/passwords}}\n")
    }

    /// One in the middle of a network.
    pub(crate) fn start_in(network: &Network) -> Result<Self, Missing> {
        let (enter, namespace) = network.in_the_middle()?;
        let program = find("docker-registry")?;
        let before = [namespace, program.to_str().expect("a program's path is UTF-8").to_owned()];
        Ok(Self::start_as(&enter, &before, &CONFIGURATION.replace("127.0.0.1", Network::MIDDLE)))
    }

    fn start_with(more: &str) -> Result<Self, Missing> {
        Ok(Self::start_as(&find("docker-registry")?, &[], &format!("{CONFIGURATION}{more}")))
    }

    fn start_as(program: &Path, before: &[String], configured: &str) -> Self {
        let directory = Daemon::directory("registry");
        let configuration = directory.join("config.yml");
        let text = configured.replace("DIRECTORY", directory.to_str().unwrap());
        fs::write(&configuration, text).unwrap();
        fs::write(directory.join("passwords"), PASSWORDS).unwrap();
        let arguments = before.iter().map(String::as_str).chain(["serve", configuration.to_str().unwrap()]);
        let daemon = Daemon::start(directory, program, &arguments.collect::<Vec<_>>());
        let mut address = None;
        wait_until("the registry to listen", || {
            address = listening(&daemon.log());
            address.is_some()
        });
        Self { daemon, address: address.expect("just waited for") }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The requests answered so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.daemon.stdout().lines().filter_map(parse).collect()
    }

    /// The requests that `work` makes.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Request>) {
        let before = self.requests().len();
        let result = work();
        let mark = format!("/v2/mark-{before}/manifests/1");
        self.get(&mark);
        let mut requests = Vec::new();
        wait_until("a request in the access log", || {
            requests = self.requests().split_off(before);
            requests.iter().any(|request| request.path == mark)
        });
        requests.retain(|request| request.path != mark);
        (result, requests)
    }

    /// The answer to a GET request, headers and all.
    pub(crate) fn get(&self, path: &str) -> String {
        use std::io::{Read, Write};

        let mut connection = std::net::TcpStream::connect(self.address()).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json";
        write!(connection, "GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: {accept}\r\n\r\n", self.address()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The tags of a repository, sorted.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        names(&self.repository(repository).join("_manifests/tags"))
    }

    /// The blobs of a repository, as hexadecimal digits, sorted; those of its manifests are not among them.
    pub(crate) fn blobs(&self, repository: &str) -> Vec<String> {
        names(&self.repository(repository).join("_layers/sha256"))
    }

    /// The digest that a tag stands on, as hexadecimal digits.
    pub(crate) fn tagged(&self, repository: &str, tag: &str) -> String {
        let link = self.repository(repository).join("_manifests/tags").join(tag).join("current/link");
        fs::read_to_string(link).unwrap().trim_start_matches("sha256:").to_owned()
    }

    /// The content of a blob or manifest that any repository has.
    pub(crate) fn content(&self, hex: &str) -> Vec<u8> {
        let blobs = self.daemon.path().join("data/docker/registry/v2/blobs/sha256");
        fs::read(blobs.join(&hex[..2]).join(hex).join("data")).unwrap()
    }

    /// Where a repository is on disk.
    fn repository(&self, repository: &str) -> std::path::PathBuf {
        self.daemon.path().join("data/docker/registry/v2/repositories").join(repository)
    }

    /// Takes a tag away from a repository.
    pub(crate) fn untag(&self, repository: &str, tag: &str) {
        fs::remove_dir_all(self.repository(repository).join("_manifests/tags").join(tag)).unwrap();
    }

    /// Takes a blob away from a repository, as a garbage collection does.
    pub(crate) fn lose(&self, repository: &str, digest: &str) {
        let hex = digest.trim_start_matches("sha256:");
        fs::remove_dir_all(self.repository(repository).join("_layers/sha256").join(hex)).unwrap();
    }
}

const CONFIGURATION: &str = "version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: DIRECTORY/data}, delete: {enabled: true}}
http: {addr: '127.0.0.1:0'}
";

/// `alice:wonder land`, by bcrypt.
const PASSWORDS: &str = "alice:$2b$04$v88cfF5SJggzbXbvM5asfu1qgDwqxkB7ZbNsqdQI1BHhlYEdSm6NO\n";

/// What is in a directory, sorted; nothing where there is none.
fn names(directory: &std::path::Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn listening(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("listening on ")?;
    let (address, _) = rest.split_once('"')?;
    Some(address.to_owned())
}

/// `127.0.0.1 - - [time] "GET /v2/ HTTP/1.1" 200 2 "" "agent"`
fn parse(line: &str) -> Option<Request> {
    let mut quoted = line.splitn(3, '"').skip(1);
    let mut request = quoted.next()?.split(' ');
    let status = quoted.next()?.split_whitespace().next()?.parse().ok()?;
    Some(Request { method: request.next()?.to_owned(), path: request.next()?.to_owned(), status })
}

#[test]
fn the_registry_answers_and_logs_requests() {
    let registry = need!(Registry::start());
    let answer = registry.get("/v2/none/manifests/1");
    assert!(answer.contains("MANIFEST_UNKNOWN"), "{answer}");
    wait_until("the request in the access log", || !registry.requests().is_empty());
    let expected = Request { method: "GET".into(), path: "/v2/none/manifests/1".into(), status: 404 };
    assert_eq!(registry.requests(), [expected]);
}
