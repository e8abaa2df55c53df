//! Agents of older systems on our relay.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use hvym_tunnel_core::stellar::Address;

use super::visitor::Visitor;
use super::{Agent, Column, Impossible, Joining, Public, Row, Setting};
use crate::Key;
use crate::installed::{packaged_python, tunely_folder};
use crate::program::{Home, PATIENCE, Program};
use crate::tunely::{OLD, alone};
use crate::tunnel::Relay;

/// What the relay calls tunely's agent.
const NAME: &str = "guest";
/// What that agent shows, and what a stranger shows.
const TOKENS: [&str; 2] =
    ["tun_9Wq2sVtY4nZpXk7LdR0cBmHfJgEaUiOs1xC3vN5b", "tun_0000000000000000000000000000000000000000"];
/// What agents of tunely say when they were let in, and when they were not.
const WORDS: [&str; 2] = ["已连接: domain=guest", "认证失败"];
/// What our package for Node says there.
pub(super) const PACKAGE_WORDS: [&str; 2] = ["connected: domain=", "the server refuses the token"];
/// Who the agent of the other system is, and who a stranger is.
const SEED: [u8; 32] = [0x5a; 32];

/// An agent of tunely on our relay.
#[derive(Debug)]
pub struct TunelyAgent {
    name: &'static str,
    program: PathBuf,
    words: [&'static str; 2],
    impossible: &'static [Impossible],
}

impl TunelyAgent {
    /// The one in Python of this version; `None` after it was said that it is not installed.
    pub fn python(version: &str) -> Option<Self> {
        let name = match version {
            OLD => "tunely 0.2.1 (Python) on our relay",
            _ => "tunely 0.12.0 (Python) on our relay",
        };
        let program = tunely_folder()?.join(format!("python-{version}/bin/tunely"));
        Some(TunelyAgent { name, program, words: WORDS, impossible: &[] })
    }

    /// The one for Node; `None` after it was said that it is not installed.
    pub fn node() -> Option<Self> {
        let program = tunely_folder()?.join("node-0.2.1/node_modules/.bin/tunely");
        let name = "tunely 0.2.1 (Node) on our relay";
        Some(TunelyAgent { name, program, words: WORDS, impossible: NODE_CANNOT })
    }

    /// Our package for Node, whose program this is, in its place.
    pub fn package(program: PathBuf) -> Self {
        let name = "our package for Node, as tunely, on our relay";
        TunelyAgent { name, program, words: PACKAGE_WORDS, impossible: &[] }
    }
}

/// See `dist/client.js` of the package.
const NODE_CANNOT: &[Impossible] = &[
    Impossible::seen(Column::BinaryUp, "a request's body is a JSON string there, sent on as UTF-8", "415"),
    Impossible::seen(
        Column::BinaryDown,
        "it reads every answer by `fetch().text()`, which replaces what is no UTF-8",
        "502",
    ),
    Impossible::seen(
        Column::Cookies,
        "it keeps one value for each field name (`Object.fromEntries`), of several cookies the last",
        "the cookies are [\"b=2",
    ),
];

impl Row for TunelyAgent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn impossible(&self) -> &'static [Impossible] {
        self.impossible
    }

    fn open(&self, setting: Setting) -> Box<dyn Public> {
        let config = format!("[[tunely.tunnels]]\nname = \"{NAME}\"\ntoken = \"{}\"\n", TOKENS[0]);
        Box::new(Ours::open(setting, &config, Guest::Tunely(self.program.clone(), self.words)))
    }
}

/// The program that existing services of HVYM use, on our relay.
#[derive(Debug)]
pub struct HvymAgent {
    python: PathBuf,
}

impl HvymAgent {
    /// `None` after it was said that its packages are not installed.
    pub fn installed() -> Option<Self> {
        Some(HvymAgent { python: packaged_python()? })
    }
}

/// See `peers/hvym_agent.py`, which does what that program does.
const HVYM_CANNOT: &[Impossible] = &[
    Impossible::seen(Column::BinaryUp, "a request's body is a JSON string there, sent on as UTF-8", "415"),
    Impossible::seen(Column::BinaryDown, "it decodes every answer as text, and replaces what is none", "502"),
    Impossible::stalls(
        Column::Events,
        "its dialect has one message for a whole answer, and these have no end",
        "nothing comes before the end",
    ),
    Impossible::stalls(
        Column::TenAtOnce,
        "it takes the next message when it has answered the one before",
        "not past the slow one",
    ),
    Impossible::seen(Column::LargeUp, "it takes no message above 1 MiB, and loses its link over one", "413"),
];

impl Row for HvymAgent {
    fn name(&self) -> &'static str {
        "HVYM's JSON agent on our relay"
    }

    fn impossible(&self) -> &'static [Impossible] {
        HVYM_CANNOT
    }

    fn has_force(&self) -> bool {
        false
    }

    fn open(&self, setting: Setting) -> Box<dyn Public> {
        Box::new(Ours::open(setting, "", Guest::Hvym(self.python.clone())))
    }
}

/// Which program joins, and where it lies.
enum Guest {
    Tunely(PathBuf, [&'static str; 2]),
    Hvym(PathBuf),
}

/// Our relay.
struct Ours {
    /// Away for the moment of a new start.
    relay: Option<Relay>,
    arguments: Vec<String>,
    guest: Guest,
}

impl Ours {
    fn open(setting: Setting, config: &str, guest: Guest) -> Self {
        let home = Home::new();
        let mut arguments = Vec::new();
        if !config.is_empty() {
            let file = home.path("relay.toml");
            fs::write(&file, config).expect("a folder takes a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its owner may");
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        let more: &[&str] = match setting {
            Setting::Usual => &[],
            Setting::Impatient => &["--response-timeout", "1"],
            Setting::Loyal if matches!(guest, Guest::Hvym(_)) => &["--policy", "reject"],
            // Its agents say themselves what they want.
            Setting::Loyal => &[],
        };
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let relay = Relay::start_in(home, 0, &words(&arguments));
        Ours { relay: Some(relay), arguments, guest }
    }

    fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("it is away only while it starts again")
    }
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

impl Public for Ours {
    fn visitor(&self) -> Visitor {
        let port = self.relay().port;
        let label = match self.guest {
            Guest::Tunely(..) => NAME.to_owned(),
            Guest::Hvym(_) => Key::from_seed(SEED).address().to_string().to_ascii_lowercase(),
        };
        let host = format!("{label}.localhost:{port}");
        Visitor { port, host, prefix: String::new(), patience: PATIENCE }
    }

    fn restart(&mut self) {
        let relay = self.relay.take().map(|relay| relay.restart(&words(&self.arguments)));
        self.relay = relay;
    }

    fn join(&self, joining: Joining) -> Agent {
        let home = Home::new();
        match &self.guest {
            Guest::Tunely(program, [joined, refused]) => {
                let token = TOKENS[usize::from(!joining.is_known)];
                let command = tunely(program, &home, &self.relay().url(), token, joining);
                Agent { program: Program::start(command), home, joined: (*joined).to_owned(), refused }
            }
            Guest::Hvym(python) => {
                let command = hvym(python, self.relay(), joining);
                Agent {
                    program: Program::start(command),
                    home,
                    joined: "joined".to_owned(),
                    refused: "refused",
                }
            }
        }
    }
}

/// A program with the arguments of tunely's, about to join what listens at `url`.
pub(super) fn tunely(program: &Path, home: &Home, url: &str, token: &str, joining: Joining) -> Command {
    let mut command = alone(program, home);
    let server = format!("{url}/ws/tunnel");
    let target = format!("http://127.0.0.1:{}", joining.target);
    // Seconds until they try again.
    command.args(["connect", "-r", "0.2", "-s", &server, "-T", &target, "-t", token]);
    if joining.is_forced {
        command.arg("--force");
    }
    command
}

fn hvym(python: &Path, relay: &Relay, joining: Joining) -> Command {
    let url = format!("{}/connect", relay.url());
    let seed = data_encoding::HEXLOWER.encode(&SEED);
    // A token for another relay is no token here.
    let audience = if joining.is_known { relay.address } else { stranger() };
    crate::installed::peer_command(
        python,
        &["hvym_agent.py", &url, &audience.to_string(), &seed, &joining.target.to_string()],
    )
}

fn stranger() -> Address {
    Key::from_seed([0x5b; 32]).address()
}
