//! The passphrase that a person types on a terminal: asked for twice or again, and never shown.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-typed-{}", std::process::id()));
        let _none = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("hvym-tunnel")).expect("a folder");
        Home(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_hvym-tunnel")]).args(arguments);
        command.env("HOME", &self.0).env("XDG_CONFIG_HOME", &self.0);
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A program that does not outlive the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Runs the program on a terminal of its own, and answers each of these prompts. Returns the exit code and all that was shown.
fn typed(home: &Home, arguments: &[&str], answers: &[(&str, &str)]) -> (Option<i32>, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal of our own");
    let side = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
    let theirs = File::options().read(true).write(true).open(side).expect("the other end");
    let stdio = || Stdio::from(theirs.try_clone().expect("a second handle"));
    let child = home.command(arguments).stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn();
    let mut child = Ended(child.expect("setsid"));
    let (mut ours, mut shown, mut answers) = (File::from(ours), String::new(), answers.iter());
    let (mut next, mut seen) = (answers.next(), 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "it goes on: {shown}");
        let mut ready = [PollFd::new(&ours, PollFlags::IN)];
        let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        poll(&mut ready, Some(&moment)).expect("a terminal can be waited for");
        if ready[0].revents().contains(PollFlags::IN) {
            let mut room = [0; 4096];
            let count = ours.read(&mut room).expect("the terminal lives");
            shown.push_str(&String::from_utf8_lossy(&room[..count]));
        } else if let Some(status) = child.0.try_wait().expect("our child") {
            let modes = tcgetattr(&theirs).expect("a terminal").local_modes;
            assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "the terminal is not as it was");
            assert!(next.is_none(), "it did not ask {next:?}: {shown}");
            return (status.code(), shown);
        }
        if let Some((prompt, answer)) = next
            && let Some(at) = shown[seen..].find(prompt)
        {
            seen += at + prompt.len();
            writeln!(ours, "{answer}").expect("the terminal takes keys");
            next = answers.next();
        }
    }
}

#[test]
fn a_passphrase_is_typed_twice_asked_for_again_and_never_shown() {
    if Command::new("setsid").arg("--version").output().is_err() {
        eprintln!("skipped: there is no setsid");
        return;
    }
    let home = Home::new();
    let file = home.0.join("hvym-tunnel/identity.key");
    let made = Command::new(env!("CARGO_BIN_EXE_hvym-tunnel"))
        .args(["identity", "new"])
        .env("HOME", &home.0)
        .env("XDG_CONFIG_HOME", &home.0)
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{made:?}");
    let secret = fs::read_to_string(&file).expect("a file");

    let lock = ["identity", "lock"];
    let (code, shown) = typed(&home, &lock, &[("new passphrase", "hush-hush"), ("again", "hush")]);
    assert_eq!(code, Some(2), "{shown}");
    assert_eq!(fs::read_to_string(&file).expect("a file"), secret, "it was changed");
    let (code, shown) = typed(&home, &lock, &[("new passphrase", "hush-hush"), ("again", "hush-hush")]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    assert!(!fs::read_to_string(&file).expect("a file").contains(secret.trim()));

    let unlock = ["identity", "unlock"];
    let tries = [("passphrase for", "wrong"), ("wrong; passphrase for", "hush-hush")];
    let (code, shown) = typed(&home, &unlock, &tries);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("hush") && !shown.contains(secret.trim()), "{shown}");
    assert_eq!(fs::read_to_string(&file).expect("a file"), secret);
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
}
