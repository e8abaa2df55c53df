//! The keys of `expose` on a terminal: what they do, and that the terminal is left as it was.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

/// `expose` on a terminal of its own.
struct OnTerminal {
    ours: File,
    /// Keeps the terminal alive after the program.
    theirs: File,
    child: Child,
    seen: String,
    home: PathBuf,
}

impl OnTerminal {
    fn expose(name: &str, more: &[&str]) -> Self {
        let home = std::env::temp_dir().join(format!("hvym-tunnel-keys-{name}-{}", std::process::id()));
        let _none = fs::remove_dir_all(&home);
        fs::create_dir_all(home.join("bin")).expect("a folder");
        // Stands for the browser.
        let opener = home.join("bin/xdg-open");
        let script = format!(
            "#!/bin/sh\nprintf %s \"$1\" > {0}/opened.part && mv {0}/opened.part {0}/opened\n",
            home.display()
        );
        fs::write(&opener, script).expect("a file");
        fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).expect("our file");
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal of our own");
        let side = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
        let theirs = File::options().read(true).write(true).open(side).expect("the other end");
        let service = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = service.local_addr().expect("bound").port().to_string();
        let stdio = || Stdio::from(theirs.try_clone().expect("a second handle"));
        // A session of its own, whose terminal this is.
        let child = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_hvym-tunnel"), "expose", &port])
            .args(more)
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("PATH", format!("{}:{}", home.join("bin").display(), std::env::var("PATH").expect("a path")))
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("setsid is there");
        drop(service);
        OnTerminal { ours: File::from(ours), theirs, child, seen: String::new(), home }
    }

    /// Reads until these words were shown, and returns everything up to them.
    fn until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(words) {
                let rest = self.seen.split_off(at + words.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let mut ready = [PollFd::new(&self.ours, PollFlags::IN)];
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            poll(&mut ready, Some(&second)).expect("a terminal can be waited for");
            assert!(Instant::now() < deadline, "{words:?} was not shown: {:?}", self.seen);
            if ready[0].revents().contains(PollFlags::IN) {
                let mut room = [0; 4096];
                let count = self.ours.read(&mut room).expect("the terminal lives");
                self.seen.push_str(&String::from_utf8_lossy(&room[..count]));
            }
        }
    }

    fn press(&self, key: &[u8]) {
        rustix::io::write(&self.ours, key).expect("the terminal takes keys");
    }

    fn gives_single_keys(&self) -> bool {
        let modes = tcgetattr(&self.theirs).expect("a terminal").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.theirs).expect("a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn ready(&mut self) -> String {
        // The URL is the last line, alone.
        let shown: String = ["o open it", ".localhost:", "/"].iter().map(|words| self.until(words)).collect();
        let url = &shown[shown.rfind("http://").expect("a URL")..];
        url.split(['/', '\x1b', '\r']).take(3).collect::<Vec<_>>().join("/") + "/"
    }

    fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            // What it writes has to go somewhere.
            let mut ready = [PollFd::new(&self.ours, PollFlags::IN)];
            let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            if poll(&mut ready, Some(&moment)).is_ok_and(|count| count > 0) {
                let _more = self.ours.read(&mut [0; 4096]);
            }
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        let _cleaned = fs::remove_dir_all(&self.home);
    }
}

#[test]
fn keys_show_copy_and_open_the_url() {
    let mut shown = OnTerminal::expose("keys", &[]);
    let url = shown.ready();
    assert!(shown.gives_single_keys());
    shown.press(b"q");
    shown.until("\x1b[38;5;16;48;5;231m");
    let code = shown.until("\x1b[0m\r\n\x1b[38;5;16;48;5;231m");
    assert!(code.chars().all(|c| matches!(c, ' ' | '\u{2580}'..='\u{2588}') || c.is_ascii()), "{code:?}");
    shown.press(b"c");
    // The URL in base64 (RFC 4648).
    let copied = shown.until("\x07");
    let encoded = copied.rsplit("\x1b]52;c;").next().expect("the sequence").trim_end_matches('\x07');
    assert_eq!(Base64::decode_vec(encoded).ok(), Some(url.clone().into_bytes()));
    shown.press(b"o");
    shown.until("opening ");
    let deadline = Instant::now() + PATIENCE;
    while !shown.home.join("opened").exists() {
        assert!(Instant::now() < deadline, "nobody opened it");
        std::thread::yield_now();
    }
    assert_eq!(fs::read_to_string(shown.home.join("opened")).expect("text"), url);
    // Ctrl-C is a signal as ever.
    shown.press(b"\x03");
    assert_eq!(shown.end(), Some(0));
    assert!(shown.is_as_before());
}

#[test]
fn in_the_local_network_a_phone_finds_the_url_without_a_key() {
    let mut shown = OnTerminal::expose("lan", &["--lan=127.0.0.1"]);
    let code = shown.until("o open it");
    assert!(code.contains("\x1b[0m\r\n\x1b[38;5;16;48;5;231m"), "{code:?}");
    // The URL is the last line, below the code.
    shown.until("http://");
    shown.until(".127-0-0-1.sslip.io:");
}

#[test]
fn the_terminal_is_as_it_was_whatever_ends_the_program() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::QUIT, 131), (Signal::HUP, 129)] {
        let mut shown = OnTerminal::expose("end", &[]);
        shown.ready();
        assert!(shown.gives_single_keys());
        let pid = Pid::from_child(&shown.child);
        kill_process(pid, signal).expect("our child");
        assert_eq!(shown.end(), Some(code), "{signal:?}");
        assert!(shown.is_as_before(), "{signal:?}");
    }
}
