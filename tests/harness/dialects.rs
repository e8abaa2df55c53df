//! What a test of an older dialect needs: recorded conversations, and the owner of a machine that speaks one.

use std::path::Path;

use bytes::Bytes;
use hvym_tunnel_compat::dialect::Dialect;
use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_compat::{CompatAgent, HvymFallback, TokenLogin};
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent};
use hvym_tunnel_core::dialect::{Service, StreamHeader};
use hvym_tunnel_core::handshake::{Credential, SharedFallback, TokenAuthRequest, Upgrade};
use hvym_tunnel_core::link::{OpenStreamError, StreamEvent, Streams};
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::relay::{Session, SessionEvent};
use hvym_tunnel_core::stellar::Claims;
use hvym_tunnel_core::time::Instant;
use serde_json::{Value, json};

use crate::Key;
use crate::ends::{AGENT, HOST, RELAY, agent_config, session_config};
use crate::pair::{EPOCH, open, wall};

/// The records of the conversation `path` below `tests/golden/`.
///
/// # Panics
/// When there is none, which is a fault of the test.
pub fn conversation(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line is a record")).collect();
    assert!(records.len() > 2, "{} records nothing", path.display());
    records
}

/// The content of a record; `None` where it was too long to be kept.
pub fn content(record: &Value) -> Option<Vec<u8>> {
    if let Some(text) = record["text"].as_str() {
        return Some(text.as_bytes().to_vec());
    }
    match record["b64"].as_str() {
        Some(b64) => Some(data_encoding::BASE64.decode(b64.as_bytes()).expect("base64")),
        None if record["len"].is_null() => Some(Vec::new()),
        None => None,
    }
}

/// The header fields of a record.
pub fn fields(record: &Value) -> Vec<(String, String)> {
    let pair = |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
    record["headers"].as_array().map(|list| list.iter().filter_map(pair).collect()).unwrap_or_default()
}

/// One visitor's request and everything that was said because of it.
#[derive(Clone, Debug, Default)]
pub struct Visit {
    /// What the visitor sent.
    pub request: Value,
    /// What the visitor got.
    pub response: Value,
    /// What the local service saw, if it saw anything.
    pub local_request: Option<Value>,
    /// What it answered.
    pub local_response: Option<Value>,
    /// Text messages from the relay.
    pub asked: Vec<String>,
    /// Text messages from the agent.
    pub answered: Vec<String>,
}

impl Visit {
    /// What the recorder called it.
    pub fn label(&self) -> String {
        let start = self.request["start"].as_str().unwrap_or_default();
        format!("{start} {}", self.request["label"].as_str().unwrap_or_default())
    }

    /// The request as bytes, for the target `target`.
    pub fn bytes(&self, target: &str) -> Vec<u8> {
        let method = self.request["start"].as_str().and_then(|s| s.split(' ').next()).expect("a method");
        let mut out = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in fields(&self.request) {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend(value.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')));
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend(content(&self.request).unwrap_or_default());
        out
    }
}

/// The visits of a conversation in which they came one after another.
pub fn visits(records: &[Value]) -> Vec<Visit> {
    let mut found = Vec::new();
    let mut open: Option<Visit> = None;
    for record in records {
        match (record["ev"].as_str(), record["dir"].as_str()) {
            (Some("ingress_request"), _) => {
                open = Some(Visit { request: record.clone(), ..Visit::default() });
            }
            (Some("ingress_response"), _) => {
                if let Some(mut visit) = open.take() {
                    visit.response = record.clone();
                    found.push(visit);
                }
            }
            (Some(event), dir) => {
                let Some(visit) = &mut open else { continue };
                let text = record["text"].as_str().map(str::to_owned);
                match (event, dir) {
                    ("local_request", _) => visit.local_request = Some(record.clone()),
                    ("local_response", _) => visit.local_response = Some(record.clone()),
                    ("text", Some("s2c")) => visit.asked.extend(text),
                    ("text", Some("c2s")) => visit.answered.extend(text),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    found
}

/// The recorded service's answer as bytes.
pub fn local_answer(record: &Value) -> Vec<u8> {
    let body = content(record).expect("short");
    let mut out = format!("HTTP/1.1 {}\r\n", record["status"].as_str().expect("a status")).into_bytes();
    let mut chunked = false;
    for (name, value) in fields(record) {
        chunked |= name.eq_ignore_ascii_case("transfer-encoding");
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if chunked {
        out.extend_from_slice(format!("\r\n{:x}\r\n", body.len()).as_bytes());
        out.extend_from_slice(&body);
        out.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        out.extend_from_slice(&body);
    }
    out
}

/// A response, taken apart by hand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields, in their order.
    pub fields: Vec<(String, String)>,
    /// The body, free of its transfer coding.
    pub body: Vec<u8>,
}

impl Answer {
    /// The values of the field `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// Takes apart what a stream gave.
    ///
    /// # Panics
    /// When it is no whole response.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().expect("a status line");
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let pair =
            |line: &str| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).expect("a field");
        let fields: Vec<_> = lines.map(pair).collect();
        let mut answer = Self { status, fields, body: bytes[end..].to_vec() };
        if answer.all("transfer-encoding") == ["chunked"] {
            answer.body = unchunked(&answer.body);
        } else if let [length] = answer.all("content-length")[..] {
            let length: usize = length.parse().expect("a length");
            assert!(answer.body.is_empty() || answer.body.len() == length, "{length} was promised");
        }
        answer
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).expect("hex"), 16).expect("hex");
        rest = &rest[line + 2..];
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// A machine and an owner that answers at once, with a test in the place of its socket.
pub struct Owner<M: Streams> {
    /// The machine.
    pub machine: M,
    /// Events that were not answered here, oldest first.
    pub events: Vec<M::Event>,
    /// Streams that the peer opened, oldest first.
    pub opened: Vec<(StreamId, StreamHeader)>,
    /// Streams that were torn down.
    pub resets: Vec<StreamId>,
    /// How it was closed.
    pub closed: Option<Close>,
    /// The time.
    pub now: Instant,
}

impl<M: Streams> Owner<M> {
    /// An owner of `machine`.
    pub fn new(machine: M) -> Self {
        let (events, opened, resets) = (Vec::new(), Vec::new(), Vec::new());
        Self { machine, events, opened, resets, closed: None, now: Instant::ZERO }
    }

    /// Everything that leaves, texts as JSON.
    pub fn said(&mut self) -> Vec<Value> {
        let json = |bytes: &Bytes| serde_json::from_slice(bytes).expect("texts are JSON");
        self.sent()
            .iter()
            .map(|message| match message {
                Message::Text(text) => json(text),
                Message::Binary(data) => json!({"binary": data_encoding::HEXLOWER.encode(data)}),
            })
            .collect()
    }

    /// Everything that leaves.
    pub fn sent(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit() {
            match transmit {
                Transmit::Send(message) => sent.push(message),
                Transmit::Close(close) => self.closed = Some(close),
            }
        }
        sent
    }

    /// The text message `text` arrives.
    pub fn hear_text(&mut self, text: &str) {
        self.hear_message(Message::Text(Bytes::copy_from_slice(text.as_bytes())));
    }

    /// The message `json` arrives.
    pub fn hear(&mut self, json: &Value) {
        self.hear_text(&json.to_string());
    }

    /// Any message arrives.
    pub fn hear_message(&mut self, message: Message) {
        self.machine.handle_message(message, self.now);
        self.listen();
    }

    /// Time passes.
    pub fn wait(&mut self, seconds: u64) {
        self.now = Instant::from_micros(self.now.as_micros() + seconds * 1_000_000);
        self.machine.handle_timeout(self.now);
        self.listen();
    }

    /// Takes the events.
    pub fn listen(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match M::split_event(event) {
                Ok(StreamEvent::Opened { id, header: opening }) => self.opened.push((id, *opening)),
                Ok(StreamEvent::Reset(id, _)) => self.resets.push(id),
                Ok(_) => {}
                Err(event) => self.events.push(event),
            }
        }
    }

    /// Writes all of `data`.
    pub fn write(&mut self, id: StreamId, data: &[u8]) {
        let mut data = Bytes::copy_from_slice(data);
        let mut stream = self.machine.stream(id).expect("a live stream");
        stream.write(&mut data, self.now).expect("it takes data");
        assert!(data.is_empty(), "{} bytes were not taken", data.len());
        self.listen();
    }

    /// Reads what is there; `true` if it has ended.
    pub fn read(&mut self, id: StreamId) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        loop {
            let Ok(mut stream) = self.machine.stream(id) else { return (out, false) };
            match stream.read(usize::MAX, self.now).expect("no reset") {
                Read::Data(data) => out.extend_from_slice(&data),
                Read::Empty => return (out, false),
                Read::Finished => return (out, true),
            }
        }
    }

    /// Reads a whole response.
    ///
    /// # Panics
    /// When it has not ended.
    pub fn answer(&mut self, id: StreamId) -> Answer {
        let (bytes, ended) = self.read(id);
        assert!(ended, "no end after {:?}", String::from_utf8_lossy(&bytes));
        Answer::parse(&bytes)
    }
}

/// A token of the tests' agent for the tests' relay.
pub fn token(challenge: Option<&str>) -> String {
    let (agent, relay) = (Key::from_seed(AGENT).address(), Key::from_seed(RELAY).address());
    let claims = Claims::new(agent, relay.to_string(), EPOCH).with_services(["pintheon"]);
    let input =
        challenge.map_or(claims.clone(), |challenge| claims.with_challenge(challenge)).signing_input();
    let signature = Key::from_seed(AGENT).sign(&input);
    input.into_token(signature).expect("the agent's own").as_str().to_owned()
}

/// A session that waits for its agent's first message.
pub fn session(credential: &Credential) -> Owner<Session> {
    session_with(None, credential)
}

/// Serves existing HVYM programs, and seals messages if there is a key.
fn fallback(key: Option<SealKey>) -> Option<SharedFallback> {
    Some(SharedFallback::new(HvymFallback::sealing(move |_| key.clone())))
}

/// As [`session`]; messages of an existing HVYM program can be sealed with `key`.
pub fn session_with(key: Option<SealKey>, credential: &Credential) -> Owner<Session> {
    let mut config = session_config();
    config.link.fallback = fallback(key);
    let upgrade = Upgrade::new(HOST).with_credential(credential.clone());
    let mut owner = Owner::new(Session::new(config, upgrade, wall(Instant::ZERO), [5; 32], Instant::ZERO));
    owner.listen();
    owner
}

impl Owner<Session> {
    /// Lets in whoever was announced, and confirms every service.
    pub fn agree(&mut self) {
        for event in std::mem::take(&mut self.events) {
            match event {
                SessionEvent::Admit(_) => self.machine.admit("https://agent.example".into(), self.now),
                SessionEvent::Bind(service) => {
                    self.machine.confirm(service, "https://agent.example".into(), self.now);
                }
                other => self.events.push(other),
            }
        }
        self.listen();
    }

    /// Opens a stream for a visitor of the first service.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(&mut self) -> Result<StreamId, OpenStreamError> {
        let service = self.machine.service(None).cloned().unwrap_or_else(|| Service::http("pintheon"));
        let opening = StreamHeader { service: service.name, proto: service.proto, ..StreamHeader::default() };
        self.machine.open(&opening, self.now)
    }

    /// A visitor asks, and waits.
    ///
    /// # Panics
    /// When there is no room.
    pub fn ask(&mut self, request: &[u8]) -> StreamId {
        let id = self.open().expect("there is room");
        self.write(id, request);
        id
    }
}

/// A session with a program that logs in by token, and has said nothing yet.
pub fn guest(guest: CompatAgent) -> Owner<Session> {
    let mut owner =
        Owner::new(hvym_tunnel_compat::session(session_config().link, guest, [5; 32], Instant::ZERO));
    owner.listen();
    owner
}

impl Owner<Session> {
    /// Lets in whoever shows a token, and gives the token.
    ///
    /// # Panics
    /// When nobody does.
    pub fn admit_token(&mut self, service: Service) -> TokenAuthRequest {
        let Some(SessionEvent::Authenticate(request)) = self.events.pop() else {
            panic!("nobody shows a token")
        };
        self.machine.admit_token("agent".into(), service, self.now);
        self.listen();
        request
    }
}

/// An agent with a token, whose socket has just opened.
pub fn token_agent(dialect: Dialect, token: &str) -> Owner<Agent> {
    let config = AgentConfig { services: vec![Service::http("web")], ..agent_config() };
    let login = TokenLogin { dialect, token: token.into(), force: false };
    let now = Instant::ZERO;
    let mut owner = Owner::new(hvym_tunnel_compat::agent(config, login, wall(now), [6; 32], now));
    owner.listen();
    open(&mut owner.machine, now);
    owner.listen();
    owner
}

/// An agent whose socket has just opened.
pub fn agent() -> Owner<Agent> {
    agent_with(fallback(None))
}

/// As [`agent`]; messages to an existing HVYM relay can be sealed with `key`.
pub fn sealing_agent(key: SealKey) -> Owner<Agent> {
    agent_with(fallback(Some(key)))
}

/// As [`agent`], with any fallback for relays that name no data plane.
pub fn agent_with(fallback: Option<SharedFallback>) -> Owner<Agent> {
    let mut config = agent_config();
    config.link.fallback = fallback;
    config.login.relay_address = None;
    config.services = vec![Service { local_port: Some(9998), ..Service::http("pintheon") }];
    let now = Instant::ZERO;
    let mut owner = Owner::new(Agent::new(config, wall(now), [6; 32], now));
    owner.listen();
    open(&mut owner.machine, now);
    owner.listen();
    owner
}

impl Owner<Agent> {
    /// Signs what is to be signed.
    pub fn sign(&mut self) {
        for event in std::mem::take(&mut self.events) {
            match event {
                AgentEvent::Sign(input) => {
                    let signature = Key::from_seed(AGENT).sign(&input);
                    self.machine.handle_signature(&input, Some(signature), self.now);
                }
                other => self.events.push(other),
            }
        }
        self.listen();
    }
}
