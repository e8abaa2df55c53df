//! Everything that a person or a script is told, as one list of reports, and the [`Reporter`] that tells it.
//!
//! Decides which stream a report goes to and keeps one line from tearing another. How a report reads is in
//! `human.rs`; whether it is worth telling is for whoever reports.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use serde::{Serialize, Serializer};

use super::bursts::Bursts;
use super::exit::Failure;
use super::files::{self, Access};
use super::human::{self, Line, Stream};

/// Whose agent it is. In JSON one member, named like the variant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// An identity's.
    Address(Address),
    /// A guest's, by the name that the relay's operator gave it.
    Name(String),
}

impl From<Owner> for Who {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Identity(address) => Who::Address(address),
            Owner::Named(name) => Who::Name(name.as_ref().to_owned()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Address(address) => address.fmt(f),
            Who::Name(name) => f.write_str(name),
        }
    }
}

/// One thing that happened. In JSON: the variant is the member `event`, in snake case; times are whole
/// milliseconds in members that end in `_ms`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Report {
    /// A key pair was made, because there was none.
    IdentityCreated {
        /// Its public half.
        address: Address,
        /// Its file.
        path: String,
    },
    /// No relay was named, so there is one that only this machine can visit.
    OwnRelay {
        /// What agents would give as `--relay`.
        relay: String,
    },
    /// The relay took the agent, and visitors can come. The first one decides what is in the URL file.
    Ready {
        /// Where visitors reach the first service; of a private one, what its friends give to `forward`.
        url: String,
        /// Where that service really is.
        target: String,
        /// Its name.
        service: String,
        /// Who the agent is; a server that knows it by a token is not told.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<Address>,
        /// Whom it dialled.
        relay: String,
        /// Whether only identities that were named reach it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        private: bool,
        /// What a person should know about the URL.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    },
    /// A further service can be visited.
    Bound {
        /// Its name.
        service: String,
        /// Where visitors reach it.
        url: String,
        /// Where it really is.
        target: String,
    },
    /// The relay did not take a service.
    BindFailed {
        /// Its name.
        service: String,
        /// The relay's word for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// A visitor's request was answered. What follows `?` in its path is not told: it may hold a visitor's secrets.
    Request {
        /// As the visitor sent it.
        method: String,
        /// As the visitor sent it.
        #[serde(serialize_with = "path_alone")]
        path: String,
        /// What the visitor got.
        status: u16,
        /// From the first byte of the question to the first byte of the answer.
        millis: u64,
        /// Bytes of the answer's body, once they are known.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// Which service, when that is not obvious.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// What a person should know about it, with the way out.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// An identity reached a service. Told now and then, not for every stream.
    Reached {
        /// The service.
        service: String,
        /// Who.
        from: Address,
    },
    /// An identity that may not reach a service tried to. Told now and then, not for every stream.
    Refused {
        /// The service.
        service: String,
        /// Who.
        from: Address,
    },
    /// Local connections lead to the service of another identity. The first one decides what is in the URL file.
    Forwarding {
        /// Whose service, and which: `<address>/<service>`.
        service: String,
        /// Where local connections are taken.
        listen: String,
        /// Who the agent is: what the owner must allow.
        address: Address,
        /// Whom it dialled.
        relay: String,
    },
    /// A local connection was cut, because the service of the other identity was not reached. Told when it begins.
    NotReached {
        /// Whose service, and which.
        service: String,
        /// The other side's word for the reason.
        code: String,
        /// What is wrong, in words.
        message: String,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A visitor's connection to a service that carries bytes is over.
    Connection {
        /// Where the visitor came from, as the relay saw it; of an identity, its address.
        #[serde(skip_serializing_if = "Option::is_none")]
        visitor: Option<String>,
        /// Bytes that came from the visitor.
        received: u64,
        /// Bytes that went to the visitor.
        sent: u64,
        /// How long it was open.
        #[serde(rename = "lasted_ms", serialize_with = "millis")]
        lasted: Duration,
        /// Which service, when that is not obvious.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// What a person should know about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Nobody answers at a target. Told when it begins, not for every visitor.
    UpstreamUnreachable {
        /// The service.
        service: String,
        /// Where it should be.
        target: String,
        /// What is wrong, in words, with the way out.
        message: String,
    },
    /// There is no link to the relay.
    Disconnected {
        /// Why, in words.
        reason: String,
        /// When the next attempt comes; `None` is never.
        #[serde(rename = "retry_in_ms", serialize_with = "optional_millis")]
        retry_in: Option<Duration>,
        /// Counts the attempts since the link was lost, from 1. Telling the same attempt again updates its line.
        attempt: u32,
    },
    /// There is a link again, and visitors can come.
    Reconnected {
        /// Where visitors reach the first service.
        url: String,
        /// How long there was no link.
        #[serde(rename = "after_ms", serialize_with = "millis")]
        after: Duration,
    },
    /// The other side wants a person to know something.
    Told {
        /// Its word for it.
        code: String,
        /// Its text.
        message: String,
        /// Its advice.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A relay takes visitors and agents.
    Listening {
        /// Where visitors begin.
        url: String,
        /// What agents give as `--relay`.
        relay: String,
        /// What agents give as `--relay-address`.
        address: Address,
        /// Where it really listens.
        listen: String,
    },
    /// An agent was admitted.
    AgentJoined {
        /// Who.
        #[serde(flatten)]
        who: Who,
        /// Where visitors reach it.
        url: String,
        /// From where it dialled.
        peer: String,
    },
    /// An agent's link ended.
    AgentLeft {
        /// Who.
        #[serde(flatten)]
        who: Who,
        /// Why, in words.
        reason: String,
    },
    /// The relay's certificate was read again, and is used from now on.
    CertificateLoaded,
    /// The relay's new certificate cannot be used, and the one from before stays.
    CertificateKept {
        /// What is wrong with it.
        message: String,
    },
    /// The keys of guests' tokens were read again, and are used from now on.
    KeysLoaded,
    /// The new keys of guests' tokens cannot be used, and those from before stay.
    KeysKept {
        /// What is wrong with them.
        message: String,
    },
    /// Nothing new is taken, what is under way may finish.
    Draining {
        /// Why, in words.
        reason: String,
        /// How long that may take.
        #[serde(rename = "deadline_ms", serialize_with = "millis")]
        deadline: Duration,
    },
    /// The last report of a process that ends as it was asked.
    Stopped {
        /// Why, in words.
        reason: String,
    },
    /// The last report of a process that cannot go on. Also as text on standard error, whatever the style.
    Error {
        /// The word for the exit code.
        code: &'static str,
        /// The exit code.
        exit: u8,
        /// What happened.
        message: String,
        /// What to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

impl From<&Failure> for Report {
    fn from(failure: &Failure) -> Report {
        Report::Error {
            code: failure.exit.word(),
            exit: failure.exit.code(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        }
    }
}

/// How reports are written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// One JSON object per line on standard output, instead of text.
    pub json: bool,
    /// Whether text may be coloured.
    pub colour: bool,
    /// Whether standard error is a terminal, so that a line on it can be written again.
    pub live: bool,
    /// A file to hold the URL of the first service while there is one.
    pub url_file: Option<PathBuf>,
}

/// Tells reports. Cheap to clone; clones share one screen, on which no line tears another.
#[derive(Clone)]
pub struct Reporter {
    screen: Arc<Mutex<Screen>>,
}

impl Reporter {
    /// Writes text or JSON to `out`, and what must not mix with it to `err`.
    pub fn new(style: Style, out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        let screen = Screen {
            style,
            out: Bursts::new(out),
            err: Box::new(err),
            started: Instant::now(),
            attempt: None,
            live_line: false,
            url: None,
        };
        Reporter { screen: Arc::new(Mutex::new(screen)) }
    }

    /// Tells one report. A stream that is closed is no reason to stop, so nothing is returned.
    pub fn tell(&self, report: &Report) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.screen().tell(report, now);
    }

    /// Writes what still waits for more, ends the line that is being updated, and removes the URL file if it is still
    /// the one written here. Call it last: what is told later is still shown.
    pub fn finish(&self) {
        self.screen().finish();
    }

    /// Standard error for a log: one write is one line, which no report tears.
    pub fn log(&self) -> Log {
        Log(self.clone())
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        // A thread that panicked in the middle of a line did no worse than tear it.
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Reporter::log`].
pub struct Log(Reporter);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut screen = self.0.screen();
        screen.leave_live_line();
        let _closed = screen.out.flush();
        screen.err.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.screen().err.flush()
    }
}

struct Screen {
    style: Style,
    out: Bursts,
    err: Box<dyn Write + Send>,
    started: Instant,
    /// The attempt that was told last, since the link was lost.
    attempt: Option<u32>,
    /// Whether the last line of standard error is unfinished, to be written again.
    live_line: bool,
    /// What the URL file holds.
    url: Option<String>,
}

impl Screen {
    fn tell(&mut self, report: &Report, now: Duration) {
        let same_attempt = self.remember(report);
        if self.style.json {
            if !same_attempt {
                let _closed = writeln!(self.out, "{}", json(report, now)).and_then(|()| self.settle(report));
            }
            // A person who looks on must see why it ended.
            if !matches!(report, Report::Error { .. }) {
                return;
            }
        }
        let lines = human::lines(report, human::Moment { now, running: self.started.elapsed() });
        let live = self.style.live && matches!(report, Report::Disconnected { retry_in: Some(_), .. });
        if same_attempt && !live {
            return;
        }
        self.leave_live_line();
        for line in lines {
            self.write(&line, live, report);
        }
        self.live_line = live;
    }

    /// Keeps what later reports depend on; true if `report` only updates what was told before.
    fn remember(&mut self, report: &Report) -> bool {
        match report {
            Report::Disconnected { attempt, .. } => self.attempt.replace(*attempt) == Some(*attempt),
            Report::Ready { url, .. } | Report::Reconnected { url, .. } | Report::Listening { url, .. } => {
                self.attempt = None;
                self.keep_url(url);
                false
            }
            Report::Forwarding { listen, .. } => {
                self.attempt = None;
                self.keep_url(listen);
                false
            }
            _ => false,
        }
    }

    /// Requests may be many; everything else is told at once.
    fn settle(&mut self, report: &Report) -> io::Result<()> {
        if matches!(report, Report::Request { .. }) { self.out.settle() } else { self.out.flush() }
    }

    fn write(&mut self, line: &Line, live: bool, report: &Report) {
        let text = line.text(self.style.colour);
        // A line that wrapped could not be wiped: switch wrapping off for it (DECAWM).
        let (begin, end) = if live { ("\x1b[?7l", "\x1b[?7h") } else { ("", "\n") };
        let _closed = match line.stream {
            Stream::Out => write!(self.out, "{begin}{text}{end}").and_then(|()| self.settle(report)),
            Stream::Err => {
                // On a terminal both are one, and what was told first stands first.
                let _closed = self.out.flush();
                write!(self.err, "{begin}{text}{end}").and_then(|()| self.err.flush())
            }
        };
    }

    /// Wipes the line that is being updated, so that another can take its place.
    fn leave_live_line(&mut self) {
        if std::mem::take(&mut self.live_line) {
            let _closed = self.err.write_all(b"\r\x1b[K").and_then(|()| self.err.flush());
        }
    }

    fn keep_url(&mut self, url: &str) {
        let Some(path) = &self.style.url_file else { return };
        let url = human::escaped(url).into_owned();
        if self.url.as_ref() == Some(&url) {
            return;
        }
        match files::replace(path, format!("{url}\n").as_bytes(), Access::Public) {
            Ok(()) => self.url = Some(url),
            Err(error) => {
                let message = format!("warning: cannot write the URL to {}: {error}", path.display());
                self.leave_live_line();
                let _closed = writeln!(self.err, "{}", human::escaped(&message));
            }
        }
    }

    fn finish(&mut self) {
        let _closed = self.out.flush();
        self.leave_live_line();
        if let (Some(path), Some(url)) = (&self.style.url_file, self.url.take()) {
            // Another process may have taken the file over since.
            if std::fs::read_to_string(path).is_ok_and(|content| content.trim_end() == url) {
                let _gone = std::fs::remove_file(path);
            }
        }
    }
}

/// One line of JSON, ASCII only: what a visitor or a relay sent cannot steer a terminal that shows it.
fn json(report: &Report, now: Duration) -> String {
    #[derive(Serialize)]
    struct Timed<'a> {
        #[serde(flatten)]
        report: &'a Report,
        unix_ms: u64,
    }
    let timed = Timed { report, unix_ms: whole_millis(now) };
    let text = serde_json::to_string(&timed).expect("numbers and texts always have a JSON form");
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text;
    }
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => ascii.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(ascii, "\\u{unit:04x}").expect("a string takes every write");
                }
            }
        }
    }
    ascii
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn path_alone<S: Serializer>(path: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(human::without_query(path))
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_millis(*duration))
}

fn optional_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(whole_millis).serialize(serializer)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
