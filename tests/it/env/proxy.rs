//! A proxy before a registry that does what networks, load balancers and registries do on a bad day.
//!
//! Requests go through as they are until a [`Rule`] matches: the first one that still has turns left decides. All that
//! passes is remembered, with the bytes of bodies in each direction. A second port serves what the first one redirects to.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Registry;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends without an answer, before the body is read.
    Reset,
    /// The connection ends after so many bytes of the request's body; the registry has got them.
    CutRequest(u64),
    /// The same before a registry that gets whole requests only, as behind a proxy that buffers: this one gets nothing.
    CutBuffered(u64),
    /// The connection ends when so many bytes of bodies have come in all, in the buffered way or not. Once.
    CutAt { bytes: u64, buffered: bool },
    /// The connection ends after so many bytes of the answer's body.
    CutAnswer(u64),
    /// Silence after so many bytes of the answer's body, until the client gives up.
    StallAnswer(u64),
    /// An answer of the proxy's own: the registry never hears of the request.
    Answer(Canned),
    /// The registry gets the request, the client another answer.
    AnswerAfter(Canned),
    /// Sent on to the proxy's other port.
    Redirect(u16),
    /// The last byte of the answer's body is another one.
    Corrupt,
    /// The answer announces another length, and closes after its body.
    Length(i64),
    /// The answer lacks this header.
    Without(&'static str),
    /// A token that this proxy gives is asked for; each is good for so many requests.
    Token(u64),
    /// Where a manifest has been put, its next so many reads find nothing.
    Stale(u64),
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Canned {
    status: u16,
    headers: &'static str,
    body: &'static str,
}

impl Canned {
    pub(crate) const fn status(status: u16) -> Self {
        Self { status, headers: "", body: "" }
    }

    /// A page for people, as a load balancer or a hotel has it.
    pub(crate) const fn html(status: u16) -> Self {
        let body = "<html><head><title>Portal</title></head><body><h1>Please log in</h1></body></html>";
        Self { status, headers: "Content-Type: text/html\r\n", body }
    }

    /// With these header lines, each ended by `\r\n`.
    pub(crate) const fn headers(self, headers: &'static str) -> Self {
        Self { headers, ..self }
    }

    /// With an error as registries write them.
    pub(crate) const fn json(status: u16, body: &'static str) -> Self {
        Self { status, headers: "Content-Type: application/json\r\n", body }
    }
}

/// Which requests a fault befalls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    methods: &'static str,
    path: &'static str,
    times: u64,
    fault: Fault,
}

impl Rule {
    /// All requests with one of these methods (as in `GET HEAD`) whose path contains that text.
    pub(crate) const fn on(methods: &'static str, path: &'static str, fault: Fault) -> Self {
        Self { methods, path, times: u64::MAX, fault }
    }

    /// Only the first so many of them.
    pub(crate) const fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// What happens to them.
    pub(crate) const fn fault(&self) -> Fault {
        self.fault
    }

    /// Whether it befalls this one; counts it.
    fn takes(&mut self, request: &Head) -> bool {
        if !self.methods.split(' ').any(|method| method == request.method) || !request.path.contains(self.path) {
            return false;
        }
        let takes = self.times > 0;
        self.times -= u64::from(takes && !matches!(self.fault, Fault::Token(_) | Fault::Stale(_)));
        takes
    }
}

/// A request that came by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passed {
    /// The path with its query.
    pub(crate) path: String,
    /// The status that the client saw, if it saw one.
    pub(crate) status: u16,
    /// Bytes of the request's body that the client has sent.
    pub(crate) sent: u64,
    /// Bytes of the answer's body that the client was sent.
    pub(crate) received: u64,
    /// It had an `Authorization`.
    pub(crate) authorized: bool,
    /// It came to the other port.
    pub(crate) elsewhere: bool,
}

/// A running proxy.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    registry: SocketAddr,
    address: SocketAddr,
    other: SocketAddr,
    state: Mutex<State>,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    passed: Vec<Passed>,
    /// The lengths of bodies that a [`Fault::CutAt`] has counted, and whether its turn has come.
    counted: u64,
    is_cut: bool,
    /// The requests that each token given is good for, as far as they are left.
    tokens: Vec<u64>,
    /// Reads of a path that find nothing yet.
    stale: BTreeMap<String, u64>,
}

const CONSENT: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl State {
    /// What a [`Fault::CutAt`] does to a request whose body has begun to come.
    fn cut_at(&mut self, bytes: u64, buffered: bool, length: u64) -> Option<Fault> {
        let before = self.counted;
        self.counted += length;
        if self.is_cut || before > bytes || before + length <= bytes {
            return None;
        }
        self.is_cut = true;
        let left = bytes - before;
        Some(if buffered { Fault::CutBuffered(left) } else { Fault::CutRequest(left) })
    }
}

impl Proxy {
    /// Whether the turn of a [`Fault::CutAt`] has come.
    pub(crate) fn has_cut(&self) -> bool {
        self.shared.state().is_cut
    }

    pub(crate) fn start(registry: &Registry, rules: impl IntoIterator<Item = Rule>) -> Self {
        let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let [address, other] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let state = Mutex::new(State { rules: rules.into_iter().collect(), ..State::default() });
        let registry = registry.address().parse().unwrap();
        let shared = Arc::new(Shared { registry, address, other, state, stop: AtomicBool::new(false) });
        for (listener, elsewhere) in listeners.into_iter().zip([false, true]) {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || listen(&shared, &listener, elsewhere));
        }
        Self { shared }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.shared.address.to_string()
    }

    /// Other rules from now on; what has passed is forgotten.
    pub(crate) fn rules(&self, rules: impl IntoIterator<Item = Rule>) {
        *self.shared.state() = State { rules: rules.into_iter().collect(), ..State::default() };
    }

    /// What has passed.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.shared.state().passed.clone()
    }

    /// How many tokens were given.
    pub(crate) fn tokens(&self) -> usize {
        self.shared.state().tokens.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for address in [self.shared.address, self.shared.other] {
            TcpStream::connect(address).ok();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn listen(shared: &Arc<Shared>, listener: &TcpListener, elsewhere: bool) {
    for client in listener.incoming().map_while(Result::ok) {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let mut input = BufReader::new(&client);
            // A client that goes away is no news here.
            let mut exchange = Exchange { shared: &shared, client: &client, input: &mut input, elsewhere };
            while exchange.run().unwrap_or(false) {}
            client.shutdown(Shutdown::Both).ok();
        });
    }
}

/// The head of a request or an answer.
#[derive(Debug, Clone, Default)]
struct Head {
    /// Of an answer: the version.
    method: String,
    /// Of an answer: the status.
    path: String,
    lines: Vec<String>,
}

impl Head {
    fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if input.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut words = first.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                return Ok(Some(Self { method, path, lines }));
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&String| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.lines.iter().find(named)?.split_once(':').map(|(_, value)| value.trim())
    }

    fn without(mut self, name: &str) -> Self {
        self.lines.retain(|line| !line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name)));
        self
    }

    fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    fn text(&self, first: &str) -> String {
        format!("{first}\r\n{}{}\r\n", self.lines.join("\r\n"), if self.lines.is_empty() { "" } else { "\r\n" })
    }
}

/// One request and its answer.
struct Exchange<'a, 'c> {
    shared: &'a Shared,
    client: &'c TcpStream,
    input: &'a mut BufReader<&'c TcpStream>,
    elsewhere: bool,
}

impl Exchange<'_, '_> {
    /// Whether the connection can serve another one.
    fn run(&mut self) -> io::Result<bool> {
        let Some(head) = Head::read(self.input)? else { return Ok(false) };
        let mut passed = Passed {
            path: head.path.clone(),
            authorized: head.header("authorization").is_some(),
            elsewhere: self.elsewhere,
            ..Passed::default()
        };
        let fault = if self.elsewhere { None } else { self.fault(&head) };
        let result = self.serve(&head, fault, &mut passed);
        self.shared.state().passed.push(passed);
        result
    }

    fn fault(&self, head: &Head) -> Option<Fault> {
        let mut state = self.shared.state();
        let at = state.rules.iter_mut().position(|rule| rule.takes(head));
        let fault = at.map(|at| state.rules[at].fault);
        match fault {
            Some(Fault::Token(uses)) if head.path.starts_with("/token") => {
                state.tokens.push(uses);
                fault
            }
            Some(Fault::Token(_)) => {
                let token = head.header("authorization").and_then(|text| text.strip_prefix("Bearer token-"));
                let token = token.and_then(|number| number.parse::<usize>().ok());
                let left = token.and_then(|number| state.tokens.get_mut(number.checked_sub(1)?));
                let Some(left) = left.filter(|left| **left > 0) else { return fault };
                *left -= 1;
                None
            }
            Some(Fault::Stale(reads)) if head.method == "PUT" => {
                state.stale.insert(head.path.clone(), reads);
                None
            }
            Some(Fault::Stale(_)) => {
                let left = state.stale.get_mut(&head.path).filter(|left| **left > 0)?;
                *left -= 1;
                fault
            }
            other => other,
        }
    }

    fn serve(&mut self, head: &Head, fault: Option<Fault>, passed: &mut Passed) -> io::Result<bool> {
        match &fault {
            Some(Fault::Reset) => Ok(false),
            Some(Fault::Answer(canned)) => self.answer(canned.status, canned.headers, canned.body, head, passed),
            Some(Fault::Stale(_)) => self.answer(404, "", "", head, passed),
            Some(Fault::Redirect(status)) => {
                let location = format!("Location: http://{}{}\r\n", self.shared.other, head.path);
                self.answer(*status, &location, "", head, passed)
            }
            Some(Fault::Token(_)) => self.authenticate(head, passed),
            _ => self.forward(head, fault, passed),
        }
    }

    fn authenticate(&mut self, head: &Head, passed: &mut Passed) -> io::Result<bool> {
        if head.path.starts_with("/token") {
            let tokens = self.shared.state().tokens.len();
            let body = format!("{{\"token\":\"token-{tokens}\",\"expires_in\":3600}}");
            return self.answer(200, "Content-Type: application/json\r\n", &body, head, passed);
        }
        let realm = format!("http://{}/token", self.shared.address);
        let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"proxy\"\r\n");
        self.answer(401, &header, "", head, passed)
    }

    /// Answers without the registry. A body that the client had no consent for is never read.
    fn answer(&mut self, status: u16, headers: &str, body: &str, head: &Head, passed: &mut Passed) -> io::Result<bool> {
        let length = head.length().unwrap_or(0);
        let consent = head.header("expect").is_none();
        if consent {
            passed.sent = io::copy(&mut self.input.take(length), &mut io::sink())?;
        }
        passed.status = status;
        let text = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        (&*self.client).write_all(text.as_bytes())?;
        if head.method != "HEAD" {
            (&*self.client).write_all(body.as_bytes())?;
            passed.received = body.len() as u64;
        }
        Ok(consent || length == 0)
    }

    fn forward(&mut self, head: &Head, fault: Option<Fault>, passed: &mut Passed) -> io::Result<bool> {
        let server = TcpStream::connect(self.shared.registry)?;
        // Where a body is cut the client is to know whether the registry has let the request in.
        let relayed = head.header("expect").is_some() && matches!(fault, Some(Fault::CutAt { .. }));
        if head.header("expect").is_some() && !relayed {
            (&*self.client).write_all(CONSENT)?;
        }
        let length = head.length().unwrap_or(0);
        let asked = head.clone().without("connection");
        let asked = if relayed { asked } else { asked.without("expect") };
        let asked = Head { lines: [vec!["Connection: close".to_owned()], asked.lines].concat(), ..asked };
        if !matches!(fault, Some(Fault::CutBuffered(_))) {
            (&server).write_all(asked.text(&format!("{} {} HTTP/1.1", head.method, head.path)).as_bytes())?;
        }
        if relayed {
            let mut consent = [0; CONSENT.len()];
            (&server).read_exact(&mut consent)?;
            (&*self.client).write_all(&consent)?;
            if consent != CONSENT {
                return Ok(false);
            }
        }
        let fault = match fault {
            // A body that never comes counts nothing.
            Some(Fault::CutAt { .. }) if length > 0 && self.input.fill_buf()?.is_empty() => return Ok(false),
            Some(Fault::CutAt { bytes, buffered }) => self.shared.state().cut_at(bytes, buffered, length),
            fault => fault,
        };
        let limit = match fault {
            Some(Fault::CutRequest(limit) | Fault::CutBuffered(limit)) => limit,
            _ => u64::MAX,
        };
        if let Some(Fault::CutBuffered(_)) = fault {
            passed.sent = io::copy(&mut self.input.take(limit.min(length)), &mut io::sink())?;
            server.shutdown(Shutdown::Both)?;
            return Ok(false);
        }
        passed.sent = io::copy(&mut self.input.take(limit.min(length)), &mut &server)?;
        if passed.sent < length {
            server.shutdown(Shutdown::Both)?;
            return Ok(false);
        }
        self.pass_back(&mut BufReader::new(&server), head, fault, passed)
    }

    fn pass_back(
        &mut self,
        server: &mut BufReader<&TcpStream>,
        head: &Head,
        fault: Option<Fault>,
        passed: &mut Passed,
    ) -> io::Result<bool> {
        let Some(answer) = Head::read(server)? else { return Ok(false) };
        let mut answer = answer.without("connection");
        if let Some(Fault::AnswerAfter(canned)) = &fault {
            let Canned { status, headers, body } = canned;
            let text = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
            passed.status = *status;
            (&*self.client).write_all(text.as_bytes())?;
            (&*self.client).write_all(body.as_bytes())?;
            return Ok(true);
        }
        let bodiless = head.method == "HEAD" || matches!(answer.path.as_str(), "204" | "304");
        let length = if bodiless { Some(0) } else { answer.length() };
        match &fault {
            Some(Fault::Without(name)) => answer = answer.without(name),
            Some(Fault::Length(more)) => {
                let claimed = answer.length().unwrap_or(0).saturating_add_signed(*more);
                answer = answer.without("content-length");
                answer.lines.push(format!("Content-Length: {claimed}"));
            }
            _ => {}
        }
        passed.status = answer.path.parse().unwrap_or(0);
        (&*self.client).write_all(answer.text(&format!("HTTP/1.1 {} X", answer.path)).as_bytes())?;
        let mut body = server.take(length.unwrap_or(u64::MAX));
        passed.received = match &fault {
            Some(Fault::CutAnswer(limit) | Fault::StallAnswer(limit)) => {
                io::copy(&mut body.take(*limit), &mut &*self.client)?
            }
            Some(Fault::Corrupt) => self.corrupt(&mut body)?,
            _ => io::copy(&mut body, &mut &*self.client)?,
        };
        match fault {
            Some(Fault::StallAnswer(_)) => {
                // Ends when the client closes.
                io::copy(self.input, &mut io::sink())?;
                Ok(false)
            }
            Some(Fault::CutAnswer(_) | Fault::Length(_)) => Ok(false),
            _ => Ok(length.is_some()),
        }
    }

    fn corrupt(&self, body: &mut impl Read) -> io::Result<u64> {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        (&*self.client).write_all(&bytes)?;
        Ok(bytes.len() as u64)
    }
}

#[test]
fn the_proxy_forwards_and_breaks() {
    let registry = need!(Registry::start());
    let proxy = Proxy::start(&registry, [Rule::on("GET", "/broken/", Fault::Answer(Canned::html(502))).times(1)]);
    let get = |path: &str| {
        let mut connection = TcpStream::connect(proxy.address()).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/v2/broken/manifests/1").starts_with("HTTP/1.1 502"));
    assert!(get("/v2/broken/manifests/1").contains("MANIFEST_UNKNOWN"));
    let statuses: Vec<u16> = proxy.passed().iter().map(|passed| passed.status).collect();
    assert_eq!(statuses, [502, 404]);
}
