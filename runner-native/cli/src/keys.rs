//! What the keys of a terminal do while something is exposed: show the URL as a QR code, copy it, open it.

use std::process::{Command, Stdio};
use std::sync::Arc;

use async_signal::{Signal, Signals};
use base64ct::{Base64, Encoding};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use hvym_tunnel_net::runtime::{Task, spawn};
use smol::channel::Receiver;

use crate::agent_reports::AgentReports;
use crate::qr_code;
use crate::report::Reporter;
use crate::terminal::KeyMode;

/// Opens a URL in the browser of whoever is logged in.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Listens to keys until it is dropped, if there is a terminal; dropping it sets the terminal back. With `shows_code` the QR
/// code is shown without a key.
pub(crate) fn listen(reports: &Arc<AgentReports>, reporter: &Reporter, shows_code: bool) -> Option<Task<()>> {
    // Before the terminal is changed: what ends the process by itself would leave it so.
    let signals = Signals::new([Signal::Quit, Signal::Cont]).ok()?;
    let mode = KeyMode::enter()?;
    let keys = mode.keys()?;
    reports.set_keys(shows_code);
    let keyboard = Keyboard { mode, reports: Arc::clone(reports), reporter: reporter.clone() };
    Some(spawn(keyboard.run(keys, signals)))
}

struct Keyboard {
    mode: KeyMode,
    reports: Arc<AgentReports>,
    reporter: Reporter,
}

impl Keyboard {
    async fn run(self, keys: Receiver<u8>, mut signals: Signals) {
        loop {
            match select(Box::pin(keys.recv()), signals.next()).await {
                Either::Left((Ok(key), _)) => self.handle_key(key),
                Either::Right((Some(Ok(Signal::Cont)), _)) => drop(self.mode.apply()),
                Either::Right((Some(Ok(signal)), _)) => {
                    drop(self.mode);
                    self.reporter.finish();
                    // As if nobody had listened for it, but for the terminal (the shell's code for a signal).
                    std::process::exit(128 + signal as i32);
                }
                Either::Left((Err(_), _)) | Either::Right((Some(Err(_)) | None, _)) => return,
            }
        }
    }

    fn handle_key(&self, key: u8) {
        let Some(url) = self.reports.url() else { return };
        match key {
            b'q' | b'Q' => qr_code::show(&url, &self.reporter),
            b'c' | b'C' => {
                // By the terminal itself (xterm's OSC 52), so that it works over SSH.
                self.reporter.show(&format!("\x1b]52;c;{}\x07", Base64::encode_string(url.as_bytes())));
                self.reporter.note("copied, if your terminal lets programs copy");
            }
            b'o' | b'O' if url.starts_with("http") => self.open(&url),
            b'o' | b'O' => self.reporter.note("a browser opens http and https alone"),
            _ => {}
        }
    }

    fn open(&self, url: &str) {
        let mut opener = Command::new(OPENER);
        opener.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match opener.spawn() {
            Ok(mut child) => {
                self.reporter.note(&format!("opening {url}"));
                // Nobody waits for it, but it must not stay a zombie.
                let reaped = std::thread::Builder::new().spawn(move || child.wait());
                drop(reaped);
            }
            Err(error) => self.reporter.note(&format!("{OPENER} cannot be started: {error}")),
        }
    }
}
