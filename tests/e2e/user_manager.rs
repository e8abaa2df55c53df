//! `service` under systemd's own manager of a user: what was installed runs, and is back when the manager is started again.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use hvym_tunnel_tests::http::nobody;
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::Relay;
use rustix::process::{Pid, Signal, kill_process};

const SYSTEMD: &str = "/lib/systemd/systemd";
/// By this folder systemd knows that it started the machine; elsewhere a manager gets one that it alone sees.
const BOOTED: &str = "/run/systemd/system";
const AS_IF_BOOTED: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system \
    && exec /lib/systemd/systemd --user --log-target=console";

/// A running manager, which ends with its services when it is dropped.
struct UserManager(Program);

impl UserManager {
    /// That of a user who lives in `home`; `None` if the system lets nobody have one.
    fn boot(home: &Home) -> Option<Self> {
        let runtime = home.path("run");
        fs::create_dir_all(&runtime).expect("a folder takes a folder");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).expect("our folder");
        let mut command = if Path::new(BOOTED).is_dir() {
            let mut command = Command::new(SYSTEMD);
            command.args(["--user", "--log-target=console"]);
            command
        } else {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", AS_IF_BOOTED]);
            command
        };
        of_user(home, &mut command);
        let mut process = Program::start(command);
        let deadline = Instant::now() + PATIENCE;
        while !home.path("run/systemd/private").exists() {
            if !process.runs() {
                return None;
            }
            assert!(Instant::now() < deadline, "{process:?}");
            std::thread::yield_now();
        }
        Some(UserManager(process))
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        if self.0.runs() {
            self.0.signal(Signal::TERM);
        }
        while self.0.runs() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

/// Has `command` belong to the user who lives in `home`.
fn of_user(home: &Home, command: &mut Command) {
    command
        .env_clear()
        .env("HOME", home.path(""))
        .env("XDG_CONFIG_HOME", home.path("config"))
        .env("XDG_RUNTIME_DIR", home.path("run"))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
}

/// What a command of the user prints, which must be done.
fn done(home: &Home, mut command: Command) -> String {
    of_user(home, &mut command);
    let mut program = Program::start(command);
    assert_eq!(program.code(), 0, "{program:?}");
    program.transcript()
}

fn service(home: &Home, arguments: &[&str]) {
    done(home, home.command(&[&["service"], arguments].concat()));
}

/// Kills the service's process.
fn kill_service(home: &Home) {
    let mut command = Command::new("systemctl");
    command.args(["--user", "show", "--property=MainPID", "--value", "hvym-tunnel"]);
    let pid = done(home, command).trim().parse().ok().and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, Signal::KILL).expect("it runs");
}

fn waits(for_what: impl Fn() -> bool, manager: &UserManager) {
    let deadline = Instant::now() + PATIENCE;
    while !for_what() {
        assert!(Instant::now() < deadline, "{:?}", manager.0);
        std::thread::yield_now();
    }
}

#[test]
fn an_installed_service_is_back_when_the_manager_of_its_user_is_started_again() {
    if required_tool("systemctl").is_none() {
        return;
    }
    let (home, relay) = (Home::new(), Relay::start(&[]));
    let Some(mut manager) = UserManager::boot(&home) else {
        // A stand-in is asked in `service.rs` too.
        eprintln!("no manager of a user can be started here");
        return;
    };
    let (port, url, file) = (nobody().to_string(), relay.url(), home.path("url"));
    let file_text = file.to_str().expect("text");
    let expose = ["expose", &port, "--relay", &url, "--url-file", file_text];
    service(&home, &[&["install", "--user", "--"], &expose[..]].concat());
    waits(|| file.exists(), &manager);
    let first = fs::read_to_string(&file).expect("a URL");

    // The power fails, and the system starts again.
    kill_service(&home);
    manager.0.kill();
    fs::remove_file(&file).expect("it was there");
    fs::remove_dir_all(home.path("run")).expect("a folder for as long as the system runs");
    manager = UserManager::boot(&home).expect("there was one before");
    waits(|| file.exists(), &manager);
    assert_eq!(fs::read_to_string(&file).expect("a URL"), first, "the address changed");

    service(&home, &["stop", "--user"]);
    waits(|| !file.exists(), &manager);
    service(&home, &["uninstall", "--user"]);
    assert!(!home.path("config/systemd/user/hvym-tunnel.service").exists());
}
