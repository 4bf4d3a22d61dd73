//! `git http-backend` behind a little http server on loopback, which asks for a user name and a password.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;

/// What a request brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitRequest {
    pub(crate) path: String,
    /// `user:password`.
    pub(crate) login: Option<String>,
}

/// What a server does.
#[derive(Clone)]
enum Answer {
    /// Serves the repositories below a directory to whom has this `user:password`.
    Serve(PathBuf, String),
    /// Sends everybody elsewhere.
    Redirect(String),
}

/// A git server; it answers until the test ends.
pub(crate) struct GitServer {
    address: String,
    requests: Arc<Mutex<Vec<GitRequest>>>,
}

impl GitServer {
    /// Serves the repositories below `root` to `login`, a `user:password`.
    pub(crate) fn start(root: &Path, login: &str) -> Self {
        Self::run(Answer::Serve(root.to_owned(), login.to_owned()))
    }

    /// Sends everybody to another server.
    pub(crate) fn redirecting(to: &Self) -> Self {
        Self::run(Answer::Redirect(to.address.clone()))
    }

    fn run(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::<Mutex<Vec<GitRequest>>>::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is no failure of the server.
                let _done = serve(stream, &answer, &seen);
            }
        });
        Self { address, requests }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<GitRequest> {
        self.requests.lock().unwrap().clone()
    }
}

struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn serve(stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<GitRequest>>) -> std::io::Result<()> {
    let request = read(&stream)?;
    let login =
        request.headers.get("authorization").and_then(|value| value.strip_prefix("Basic ")).map(|encoded| {
            String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap()
        });
    let path = request.target.split('?').next().unwrap_or_default().to_owned();
    seen.lock().unwrap().push(GitRequest { path, login: login.clone() });
    let response = match answer {
        Answer::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\nLocation: http://{to}{}\r\nContent-Length: 0\r\n", request.target)
                .into_bytes()
        }
        Answer::Serve(_, wanted) if login.as_ref() != Some(wanted) => {
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n".to_vec()
        }
        Answer::Serve(root, _) => return (&stream).write_all(&backend(root, &request)?),
    };
    (&stream).write_all(&[&response[..], b"Connection: close\r\n\r\n"].concat())
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, target, headers, body })
}

/// Runs git's own CGI program, and makes its answer one of http.
fn backend(root: &Path, request: &Request) -> std::io::Result<Vec<u8>> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().expect("it is piped").write_all(&request.body)?;
    let output = child.wait_with_output()?.stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("a CGI answer has headers");
    let headers = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = headers.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let content = &output[end + 4..];
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    Ok([head.as_bytes(), content].concat())
}
