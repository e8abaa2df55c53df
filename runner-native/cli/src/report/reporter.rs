//! The [`Reporter`]: decides which stream a report goes to, and keeps one line from tearing another.
//!
//! Whether something is worth a report is decided by the caller. A thread of its own writes, so that a stream that nobody
//! reads holds up nothing else.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hvym_tunnel_net::files::{self, FileAccess};
use hvym_tunnel_net::log_writer::{LogWriter, Output, Priority};
use hvym_tunnel_settings::Settings;
use tracing::Level;

use super::certificates::certificates;
use super::human;
use super::line::{Line, OutputStream, escaped};
use super::log_files::LogFiles;
use super::request_line::{self, ClockText};
use super::settings::settings;
use super::{Report, RequestReport, json};

/// How long the end of the program waits until everything is written; for ever would be for a stream that nobody reads.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// The most lines that are written again: what has left the screen at its top cannot be wiped. A reason and a hint need 3 at 80
/// columns.
const MAX_LIVE_LINES: usize = 12;

/// How wide a terminal is that does not say.
const DEFAULT_COLUMNS: usize = 80;

/// How reports are written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Style {
    /// One JSON object per line on standard output, instead of text.
    pub(crate) json: bool,
    /// Whether text may be coloured.
    pub(crate) colour: bool,
    /// Whether standard error is a terminal, so that a line on it can be written again.
    pub(crate) live: bool,
    /// How wide that terminal is; `None`: as it is at the moment.
    pub(crate) columns: Option<usize>,
    /// A file to hold the URL of the first service while there is one.
    pub(crate) url_file: Option<PathBuf>,
}

/// Tells reports. Cheap to clone; clones share one screen, on which no line tears another.
#[derive(Clone)]
pub(crate) struct Reporter {
    screen: Arc<Mutex<Screen>>,
    files: LogFiles,
}

impl Reporter {
    /// Writes text or JSON to `out`, and what must not mix with it to `err`.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn new(
        style: Style,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let dropped = |lines| {
            (
                Output::Err,
                format!("warning: {lines} lines were dropped: they came faster than they were read\n")
                    .into_bytes(),
            )
        };
        if let Some(path) = &style.url_file {
            // Of a process that was killed: nobody should take it for a URL of this one.
            if is_file(path) {
                let _none = std::fs::remove_file(path);
            }
        }
        let files = LogFiles::default();
        let screen = Screen {
            style,
            files: files.clone(),
            writer: LogWriter::new(out, err, dropped)?,
            started: Instant::now(),
            attempt: None,
            live_lines: 0,
            hint: None,
            url: None,
            line: String::new(),
            clock: ClockText::default(),
        };
        Ok(Reporter { screen: Arc::new(Mutex::new(screen)), files })
    }

    /// Keeps what is told and logged in the files that these settings name, from now on. Files that cannot be written are told,
    /// and stop nothing.
    pub(crate) fn open_log_files(&self, settings: &Settings) {
        let reporter = self.clone();
        let failed = move |message: String| reporter.tell(&Report::StateFailed { message });
        if let Err(message) = self.files.open(settings, failed) {
            self.tell(&Report::StateFailed { message });
        }
    }

    /// The log files, which have been opened or not.
    pub(crate) fn log_files(&self) -> &LogFiles {
        &self.files
    }

    /// Whether a program reads the reports.
    pub(crate) fn is_json(&self) -> bool {
        self.screen().style.json
    }

    /// Tells one report. A stream that is closed is no reason to stop, so nothing is returned.
    pub(crate) fn tell(&self, report: &Report) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.screen().tell(report, now);
    }

    /// Tells a person something that is no report, beside the URLs and requests.
    pub(crate) fn note(&self, text: &str) {
        self.screen().note(text);
    }

    /// Writes to standard output as it is: `bytes` may steer the terminal.
    pub(crate) fn show(&self, bytes: &str) {
        let mut screen = self.screen();
        screen.leave_live_line();
        screen.writer.write(Output::Out, Priority::Important, bytes.as_bytes());
    }

    /// Tells of one request.
    pub(crate) fn tell_request(&self, request: &RequestReport<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.screen().tell_request(request, now);
    }

    /// Ends the line that is being updated, removes the URL file if it is still the one written here, and waits a moment
    /// until everything is written. Call it last.
    pub(crate) fn finish(&self) {
        let writer = self.screen().finish();
        // Unlocked, so that nobody waits for it.
        writer.flush(FLUSH_LIMIT);
        self.files.flush(FLUSH_LIMIT);
    }

    /// Standard error for a log: one write is one line, which no report tears, and in which what could steer a terminal is
    /// escaped.
    pub(crate) fn log(&self) -> Log {
        Log(self.clone())
    }

    /// Where a panic is told: whoever panics may hold the screen, and must not wait for whoever reads.
    pub(crate) fn panic_log(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let writer = self.screen().writer.clone();
        move |line| {
            writer.write(Output::Err, Priority::Important, log_line(line).as_bytes());
        }
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        // A thread that panicked in the middle of a line did no worse than tear it.
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Reporter::log`].
pub(crate) struct Log(Reporter);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut screen = self.0.screen();
        screen.leave_live_line();
        let escaped = log_line(&String::from_utf8_lossy(line));
        screen.writer.write(Output::Err, Priority::Droppable, escaped.as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of the log with its end. The only way into the log: what is in its fields may come from strangers.
fn log_line(text: &str) -> String {
    format!("{}\n", escaped(text.strip_suffix('\n').unwrap_or(text)))
}

struct Screen {
    style: Style,
    files: LogFiles,
    writer: LogWriter,
    started: Instant,
    /// The attempt that was told last, since the link was lost.
    attempt: Option<u32>,
    /// How many lines at the end of standard error are unfinished, to be written again.
    live_lines: usize,
    /// The advice that was told last, since the link was lost.
    hint: Option<String>,
    /// What the URL file holds.
    url: Option<String>,
    /// Room for one line.
    line: String,
    /// The time of the last one.
    clock: ClockText,
}

impl Screen {
    fn tell(&mut self, report: &Report, now: Duration) {
        let same_attempt = self.remember(report);
        if !same_attempt {
            self.files.report(level(report), report, now);
        }
        if self.style.json {
            if !same_attempt {
                let line = format!("{}\n", json::line(report, now));
                self.writer.write(Output::Out, priority(report), line.as_bytes());
            }
            // A person who looks on must see why it ended.
            if !matches!(report, Report::Error { .. }) {
                return;
            }
        }
        let moment = human::Moment { now, running: self.started.elapsed() };
        let mut lines = human::lines(report, moment);
        lines.extend(certificates(report, moment));
        lines.extend(settings(report, moment));
        let live = self.style.live && matches!(report, Report::Disconnected { retry_in: Some(_), .. });
        if same_attempt && !live {
            return;
        }
        self.leave_live_line();
        if live {
            return self.write_live(lines);
        }
        if matches!(report, Report::Disconnected { hint, .. } if hint.is_some() && *hint == self.hint) {
            // It stands a few lines above.
            lines.pop();
        }
        if let Report::Disconnected { hint, .. } = report {
            self.hint.clone_from(hint);
        }
        for line in lines {
            self.write(&line, report);
        }
    }

    /// Writes lines that the next report wipes. One that the terminal wrapped could not be wiped; whoever makes the terminal
    /// narrower meanwhile is helped by switching wrapping off (DECAWM).
    fn write_live(&mut self, lines: Vec<Line>) {
        let columns = self.style.columns.or_else(terminal_columns).unwrap_or(DEFAULT_COLUMNS);
        let lines = lines.into_iter().flat_map(|line| line.wrapped(columns));
        let lines: Vec<Line> = lines.take(MAX_LIVE_LINES).collect();
        self.live_lines = lines.len();
        let texts: Vec<String> = lines.iter().map(|line| line.text(self.style.colour)).collect();
        let text = format!("\x1b[?7l{}\x1b[?7h", texts.join("\n"));
        self.writer.write(Output::Err, Priority::Important, text.as_bytes());
    }

    fn tell_request(&mut self, request: &RequestReport<'_>, now: Duration) {
        self.files.report(Level::INFO, request, now);
        self.line.clear();
        if self.style.json {
            self.line.push_str(&json::line(request, now));
        } else {
            request_line::request(request, self.clock.at(now), self.style.colour, &mut self.line);
            self.leave_live_line();
        }
        self.line.push('\n');
        self.writer.write(Output::Out, Priority::Droppable, self.line.as_bytes());
    }

    /// Keeps what later reports depend on; true if `report` only updates what was told before.
    fn remember(&mut self, report: &Report) -> bool {
        match report {
            Report::Disconnected { attempt, .. } => self.attempt.replace(*attempt) == Some(*attempt),
            Report::Ready { url, .. } | Report::Reconnected { url, .. } | Report::Listening { url, .. } => {
                (self.attempt, self.hint) = (None, None);
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

    fn write(&self, line: &Line, report: &Report) {
        let text = line.text(self.style.colour);
        let output = match line.stream {
            OutputStream::Out => Output::Out,
            OutputStream::Err => Output::Err,
        };
        self.writer.write(output, priority(report), format!("{text}\n").as_bytes());
    }

    fn note(&mut self, text: &str) {
        self.leave_live_line();
        let line = format!("{}\n", human::note(text).text(self.style.colour));
        self.writer.write(Output::Err, Priority::Important, line.as_bytes());
    }

    /// Wipes the lines that are being updated, so that others can take their place.
    fn leave_live_line(&mut self) {
        let lines = std::mem::take(&mut self.live_lines);
        if lines > 0 {
            let text = format!("\r\x1b[K{}", "\x1b[A\x1b[K".repeat(lines - 1));
            self.writer.write(Output::Err, Priority::Important, text.as_bytes());
        }
    }

    fn keep_url(&mut self, url: &str) {
        let Some(path) = &self.style.url_file else { return };
        let url = escaped(url).into_owned();
        if self.url.as_ref() == Some(&url) {
            return;
        }
        let written = match path.exists() && !is_file(path) {
            // Whoever may do anything would put a file in the place of /dev/null.
            true => Err(io::Error::other("it is no file")),
            false => files::replace(path, format!("{url}\n").as_bytes(), FileAccess::Public),
        };
        match written {
            Ok(()) => self.url = Some(url),
            Err(error) => {
                let message = format!("warning: cannot write the URL to {}: {error}", path.display());
                self.leave_live_line();
                let line = format!("{}\n", escaped(&message));
                self.writer.write(Output::Err, Priority::Important, line.as_bytes());
            }
        }
    }

    fn finish(&mut self) -> LogWriter {
        self.leave_live_line();
        if let (Some(path), Some(url)) = (&self.style.url_file, self.url.take()) {
            // Another process may have taken the file over since.
            if is_file(path) && std::fs::read_to_string(path).is_ok_and(|content| content.trim_end() == url) {
                let _gone = std::fs::remove_file(path);
            }
        }
        self.writer.clone()
    }
}

/// Whether this is a file that may be removed and replaced, or a link to one.
fn is_file(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.is_file())
}

/// How wide the terminal of standard error is.
#[cfg(unix)]
fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The same, where nobody says.
#[cfg(not(unix))]
fn terminal_columns() -> Option<usize> {
    None
}

/// Connections and requests may be many; everything else is rare.
fn priority(report: &Report) -> Priority {
    match report {
        Report::Connection { .. } | Report::RequestOngoing { .. } => Priority::Droppable,
        _ => Priority::Important,
    }
}

/// How much a report matters to whoever reads log files.
fn level(report: &Report) -> Level {
    match report {
        Report::Error { .. } => Level::ERROR,
        Report::Disconnected { .. }
        | Report::BindFailed { .. }
        | Report::Unbound { .. }
        | Report::NameRefused { .. }
        | Report::Refused { .. }
        | Report::NotReached { .. }
        | Report::UpstreamUnreachable { .. }
        | Report::CertificateKept { .. }
        | Report::CertificateFailed { .. }
        | Report::StateFailed { .. }
        | Report::KeysKept { .. }
        | Report::ConfigKept { .. }
        | Report::LinkFailed { .. } => Level::WARN,
        _ => Level::INFO,
    }
}

#[cfg(test)]
#[path = "escape_tests.rs"]
mod escape_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
