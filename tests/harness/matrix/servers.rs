//! Our agent on servers of older systems.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::clients::{PACKAGE_WORDS, tunely};
use super::visitor::Visitor;
use super::{Agent, Column, Impossible, Joining, Public, Row, Setting};
use crate::program::{Home, PATIENCE, Program};
use crate::tunely::{Mode, NAME, OLD, Server};

/// A token that no server ever gave out.
const UNKNOWN: &str = "tun_0000000000000000000000000000000000000000";
/// One second for a service: visitors by messages, and connections on which nothing comes.
const IMPATIENT: [(&str, &str); 2] = [("TUNELY_REQUEST_TIMEOUT", "1"), ("WS_TUNNEL_TCP_IDLE_TIMEOUT", "1")];

/// A real server of tunely, and our agent on it.
#[derive(Debug)]
pub struct TunelyServer {
    version: &'static str,
    mode: Mode,
    /// Our package for Node in place of our agent, by the path of its program.
    package: Option<PathBuf>,
}

impl TunelyServer {
    /// One of this version that carries a tunnel so; `None` after it was said that it is not installed.
    pub fn installed(version: &'static str, mode: Mode) -> Option<Self> {
        crate::installed::tunely_folder()?;
        Some(TunelyServer { version, mode, package: None })
    }

    /// The same, with our package for Node on it, whose program this is.
    #[must_use]
    pub fn with_package(self, program: PathBuf) -> Self {
        TunelyServer { package: Some(program), ..self }
    }
}

const NEW_TCP_CANNOT: &[Impossible] = &[Impossible::seen(
    Column::TargetSlow,
    "the server knows bytes alone there, and ends a connection on which none come without a word",
    "no answer",
)];

const BINARY_UP: Impossible = Impossible::seen(
    Column::BinaryUp,
    "the server decodes a body as text, and replaces what is none",
    "bytes instead of",
);
const BINARY_DOWN: Impossible =
    Impossible::seen(Column::BinaryDown, "the server carries text alone; the agent says so", "502");
const GZIP_UNASKED: Impossible = Impossible::seen(
    Column::GzipUnasked,
    "the server carries text alone; the agent asks for nothing compressed, and says so if it is all the same",
    "502",
);
const EVENTS: Impossible = Impossible::seen(
    Column::Events,
    "the server wraps what comes in events of its own (`data: data: ..`)",
    "the events are \"event: start",
);

/// What the package decodes is sent, where our agent sends what came.
const PACKAGE_CANNOT: &[Impossible] = &[BINARY_UP, BINARY_DOWN, EVENTS];
const NEW_HTTP_CANNOT: &[Impossible] = &[BINARY_UP, BINARY_DOWN, GZIP_UNASKED, EVENTS];
const OLD_CANNOT: &[Impossible] = &[
    BINARY_UP,
    BINARY_DOWN,
    GZIP_UNASKED,
    EVENTS,
    Impossible::seen(
        Column::Duplicate,
        "the server forgets the agent that it has when it refuses another, and does not tell it",
        "503 Service Unavailable",
    ),
    Impossible::stalls(
        Column::Forced,
        "the server forgets the agent that it has when the one before has ended, and does not tell it",
        "503 Service Unavailable",
    ),
];

impl Row for TunelyServer {
    fn name(&self) -> &'static str {
        match (self.version, self.mode, &self.package) {
            (OLD, _, None) => "our agent on tunely 0.2.1",
            (_, Mode::Tcp, None) => "our agent on tunely 0.12.0, TCP tunnel",
            (_, Mode::Http, None) => "our agent on tunely 0.12.0, HTTP tunnel",
            (OLD, _, Some(_)) => "our package for Node on tunely 0.2.1",
            (_, Mode::Tcp, Some(_)) => "our package for Node on tunely 0.12.0, TCP tunnel",
            (_, Mode::Http, Some(_)) => "our package for Node on tunely 0.12.0, HTTP tunnel",
        }
    }

    fn impossible(&self) -> &'static [Impossible] {
        match (self.version, self.mode, &self.package) {
            (OLD, ..) => OLD_CANNOT,
            (_, Mode::Tcp, _) => NEW_TCP_CANNOT,
            (_, Mode::Http, None) => NEW_HTTP_CANNOT,
            (_, Mode::Http, Some(_)) => PACKAGE_CANNOT,
        }
    }

    fn keeps_json(&self) -> bool {
        self.mode == Mode::Tcp
    }

    fn open(&self, setting: Setting) -> Box<dyn Public> {
        let variables = if setting == Setting::Impatient { &IMPATIENT[..] } else { &[] };
        let server = Server::start_with(self.version, variables).expect("it was there before");
        let token = server.tunnel(self.mode);
        Box::new(Theirs { server: Some(server), mode: self.mode, token, package: self.package.clone() })
    }
}

/// Their server.
struct Theirs {
    /// Away for the moment of a new start.
    server: Option<Server>,
    mode: Mode,
    token: String,
    package: Option<PathBuf>,
}

impl Theirs {
    fn server(&self) -> &Server {
        self.server.as_ref().expect("it is away only while it starts again")
    }
}

impl Public for Theirs {
    fn visitor(&self) -> Visitor {
        let port = match self.mode {
            Mode::Tcp => self.server().tcp_port,
            Mode::Http => self.server().port,
        };
        let host = format!("{NAME}.localhost");
        Visitor { port, host, prefix: String::new(), patience: PATIENCE }
    }

    fn restart(&mut self) {
        self.server = self.server.take().map(Server::restart);
    }

    fn join(&self, joining: Joining) -> Agent {
        let home = Home::new();
        let token = if joining.is_known { &self.token } else { UNKNOWN };
        if let Some(program) = &self.package {
            let [joined, refused] = PACKAGE_WORDS;
            let command = tunely(program, &home, &self.server().url(), token, joining);
            return Agent { program: Program::start(command), home, joined: joined.to_owned(), refused };
        }
        let file = home.path("token");
        fs::write(&file, token).expect("a folder takes a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its owner may");
        let (target, url) = (joining.target.to_string(), self.server().url());
        let file = file.display().to_string();
        let arguments =
            ["expose", &target, "--json", "--relay", &url, "--dialect", "tunely", "--token-file", &file];
        let force = if joining.is_forced { &["--force"][..] } else { &[] };
        let program = home.start(&[&arguments, force].concat());
        Agent { program, home, joined: "\"event\":\"ready\"".to_owned(), refused: "\"event\":\"error\"" }
    }
}
