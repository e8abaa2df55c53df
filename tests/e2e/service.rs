//! `service`: definitions that systemd takes, and a service that is back after a restart of the system.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use hvym_tunnel_tests::http::nobody;
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::Relay;
use rustix::process::Signal;

/// The unit that would be installed, in a file of `home`.
fn unit(home: &Home, scope: &str, command: &[&str]) -> String {
    let arguments =
        [&["service", "install", "--print", "--platform", "systemd", scope, "--"], command].concat();
    let output = home.command(&arguments).output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let path = home.path("hvym-tunnel.service");
    fs::write(&path, &output.stdout).expect("a folder takes a file");
    path.to_str().expect("text").to_owned()
}

const COMMANDS: [&[&str]; 2] = [
    &["expose", "./a folder", "--relay", "tunnel.example"],
    &["relay", "--domain", "tunnel.example", "--open"],
];

#[test]
fn systemd_takes_the_units_and_finds_them_well_confined() {
    let Some(analyze) = required_tool("systemd-analyze") else { return };
    let home = Home::new();
    for command in COMMANDS {
        for (scope, manager) in [("--user", "--user"), ("--system", "--system")] {
            let path = unit(&home, scope, command);
            let mut verify = Command::new(&analyze);
            verify.args(["verify", manager, "--man=no", &path]).env("XDG_RUNTIME_DIR", home.path(""));
            let verified = verify.output().expect("it starts");
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(verified.status.success() && said.is_empty(), "{scope} {command:?}: {said}");
        }
        let path = unit(&home, "--system", command);
        let mut security = Command::new(&analyze);
        let rated =
            security.args(["security", "--offline=true", "--threshold=20", "--no-pager", &path]).output();
        let rated = rated.expect("it starts");
        assert!(rated.status.success(), "{command:?}: {}", String::from_utf8_lossy(&rated.stdout));
    }
}

#[test]
fn a_command_that_cannot_run_is_not_installed() {
    let home = Home::new();
    for command in
        [&["whoami"][..], &["expose"], &["expose", "3000", "--frobnicate"], &["relay", "--tls-key", "x"]]
    {
        let mut program = home.start(&[&["service", "install", "--print", "--"], command].concat());
        assert_eq!(program.code(), 2, "{command:?}: {program:?}");
    }
}

#[test]
fn what_the_command_is_told_to_write_can_be_written_by_the_service() {
    let home = Home::new();
    let writable = |command: &[&str]| -> (Vec<String>, bool) {
        let path = unit(&home, "--user", command);
        let unit = fs::read_to_string(path).expect("a unit");
        let paths = unit.lines().find_map(|line| line.strip_prefix("ReadWritePaths=")).expect("some are");
        (paths.split(' ').map(str::to_owned).collect(), unit.contains("\nPrivateTmp=no\n"))
    };
    let expose = ["expose", "3000", "--relay", "tunnel.example"];
    let (usual, _) = writable(&expose);
    assert_eq!(usual.len(), 2, "{usual:?}");
    let with = |file: &str| writable(&[&expose[..], &["--url-file", file]].concat());
    let (more, is_shared) = with("/srv/ann/url");
    assert_eq!((&more[..2], &more[2..]), (&usual[..], &["/srv/ann".to_owned()][..]));
    // The home of this test is there itself.
    assert!(is_shared, "nobody else would find what is written below /tmp");
    let here = std::env::current_dir().expect("a folder");
    assert_eq!(with("url").0.last().map(String::as_str), here.to_str());
    let relay = ["relay", "--open", "--access-log", "-", "--audit-file", "/srv/audit/log"];
    assert_eq!(writable(&relay).0.split_off(2), ["/srv/audit"]);
}

#[test]
fn without_a_command_it_runs_what_the_settings_say() {
    let home = Home::new();
    let output = home.command(&["service", "install", "--print", "--platform", "systemd"]).output();
    let unit = String::from_utf8(output.expect("the program starts").stdout).expect("text");
    assert!(unit.lines().any(|line| line.starts_with("ExecStart=") && line.ends_with(" \"up\"")), "{unit}");
    assert!(unit.contains("ExecReload="), "{unit}");
}

/// Stands for systemd's manager of a user: enabled units are links, and `boot` starts them.
const MANAGER: &str = r#"#!/bin/sh
# systemctl --user VERB [UNIT]
units="$XDG_CONFIG_HOME/systemd/user"
wants="$units/default.target.wants"
start() {
    sed -n 's/^ExecStart=//p' "$units/$1.service" > "$HOME/line"
    (eval "exec setsid $(cat "$HOME/line")" >> "$HOME/log" 2>&1 & echo $! > "$HOME/$1.pid")
}
stop() { [ ! -e "$HOME/$1.pid" ] || kill "$(cat "$HOME/$1.pid")" 2> /dev/null; rm -f "$HOME/$1.pid"; }
[ "$1" = --user ] && shift
case "$1" in
    daemon-reload) ;;
    enable) mkdir -p "$wants" && ln -sf "$units/$2.service" "$wants/" ;;
    disable) [ "$2" = --now ] && { shift; stop "$2"; }; rm -f "$wants/$2.service" ;;
    is-enabled) [ -e "$wants/$2.service" ] && echo enabled || { echo disabled; exit 1; } ;;
    is-active) kill -0 "$(cat "$HOME/$2.pid")" 2> /dev/null && echo active || { echo inactive; exit 3; } ;;
    status) [ "$2" = --no-pager ] && echo "$3 is known" ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    restart) stop "$2"; start "$2" ;;
    boot) for unit in "$wants"/*.service; do start "$(basename "$unit" .service)"; done ;;
    *) exit 3 ;;
esac
"#;

/// Runs something in `home`, where systemctl is [`MANAGER`].
fn with_manager(home: &Home, mut command: Command) -> Program {
    let folder = home.path("bin");
    fs::create_dir_all(&folder).expect("a folder takes a folder");
    fs::write(folder.join("systemctl"), MANAGER).expect("a folder takes a file");
    fs::set_permissions(folder.join("systemctl"), fs::Permissions::from_mode(0o755)).expect("our file");
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    Program::start(command)
}

#[test]
fn an_installed_service_is_back_after_the_system_was_started_again() {
    let (home, relay) = (Home::new(), Relay::start(&[]));
    let (port, url, file) = (nobody().to_string(), relay.url(), home.path("url"));
    let file_text = file.to_str().expect("text").to_owned();
    let ours = |arguments: &[&str]| with_manager(&home, home.command(arguments)).code();
    let appears = |file: &Path| {
        let deadline = std::time::Instant::now() + hvym_tunnel_tests::program::PATIENCE;
        while !file.exists() {
            assert!(std::time::Instant::now() < deadline, "{:?}", fs::read_to_string(home.path("log")));
            std::thread::yield_now();
        }
        fs::read_to_string(file).expect("a file")
    };
    let install =
        ["service", "install", "--user", "--", "expose", &port, "--relay", &url, "--url-file", &file_text];
    assert_eq!(ours(&install), 0);
    let first = appears(&file);

    // The power fails, and the system starts again.
    let pid = fs::read_to_string(home.path("hvym-tunnel.pid")).expect("it runs");
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process");
    rustix::process::kill_process(pid, Signal::KILL).expect("it runs");
    fs::remove_file(&file).expect("it was there");
    let mut boot = Command::new(home.path("bin/systemctl"));
    boot.args(["--user", "boot"])
        .env_clear()
        .env("HOME", home.path(""))
        .env("XDG_CONFIG_HOME", home.path("config"));
    assert_eq!(with_manager(&home, boot).code(), 0);
    assert_eq!(appears(&file), first, "the address changed");

    assert_eq!(ours(&["service", "stop", "--user"]), 0);
    let deadline = std::time::Instant::now() + hvym_tunnel_tests::program::PATIENCE;
    while file.exists() {
        assert!(std::time::Instant::now() < deadline, "it goes on");
        std::thread::yield_now();
    }
    assert_eq!(ours(&["service", "uninstall", "--user"]), 0);
    assert!(!home.path("config/systemd/user/hvym-tunnel.service").exists());
    assert_eq!(ours(&["service", "uninstall", "--user"]), 3, "what is not there cannot be removed");
}

#[test]
fn whoever_starts_it_is_told_that_it_is_ready_and_lives_and_stops() {
    let home = Home::new();
    let path = home.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a folder takes a socket");
    socket.set_read_timeout(Some(hvym_tunnel_tests::program::PATIENCE)).expect("a socket");
    let next = || {
        let mut room = [0; 256];
        let length = socket.recv(&mut room).expect("a message in time");
        String::from_utf8_lossy(&room[..length]).into_owned()
    };
    // No relay is there: the process is ready all the same.
    let relay = format!("ws://127.0.0.1:{}", nobody());
    let settings =
        format!("[[link]]\nrelay = \"{relay}\"\n\n[[service]]\nname = \"web\"\ntarget = \"3000\"\n");
    fs::create_dir_all(home.path("config/hvym-tunnel")).expect("a folder takes a folder");
    fs::write(home.path("config/hvym-tunnel/config.toml"), settings).expect("a folder takes a file");
    let manager = ["manager", "--set", "api.enabled=false"];
    for command in
        [&["expose", "3000", "--relay", &relay][..], &["relay", "--listen", "0"], &["up"], &manager]
    {
        let mut started = home.command(command);
        started.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000");
        let mut program = Program::start(started);
        assert_eq!(next(), "READY=1");
        assert_eq!((next(), next()), ("WATCHDOG=1".to_owned(), "WATCHDOG=1".to_owned()));
        program.signal(Signal::TERM);
        while next() != "STOPPING=1" {}
        program.code();
        // Signs of life that were on their way.
        socket.set_nonblocking(true).expect("a socket");
        while socket.recv(&mut [0; 256]).is_ok() {}
        socket.set_nonblocking(false).expect("a socket");
    }
}

#[test]
fn a_setting_has_the_service_start_with_the_machine_and_doctor_says_how_it_is() {
    let home = Home::new();
    let port = nobody().to_string();
    let ours = |arguments: &[&str]| {
        let mut program = with_manager(&home, home.command(arguments));
        (program.code(), program.transcript())
    };
    let wanted = home.path("config/systemd/user/default.target.wants/hvym-tunnel.service");
    let (_, before) = ours(&["config", "set", "start.auto_start_on_boot", "true"]);
    assert!(before.contains("hvym-tunnel service install"), "{before}");
    assert!(ours(&["doctor"]).1.contains("it is not installed"));
    let install = ["service", "install", "--user", "--", "expose", &port, "--relay", "ws://127.0.0.1:1"];
    assert_eq!(ours(&install).0, 0);
    assert!(wanted.exists());
    assert!(ours(&["doctor"]).1.contains("yours is active, and starts by itself"));
    assert_eq!(ours(&["config", "set", "start.auto_start_on_boot", "false"]).0, 0);
    assert!(!wanted.exists(), "it starts all the same");
    assert!(ours(&["doctor"]).1.contains("yours is active, and does not start by itself"));
    assert_eq!(ours(&["config", "set", "start.auto_start_on_boot", "true"]).0, 0);
    assert!(wanted.exists());
    for (verb, active) in [("stop", false), ("start", true), ("restart", true)] {
        assert_eq!(ours(&["service", verb, "--user"]).0, 0);
        let (_, said) = ours(&["doctor"]);
        assert_eq!(said.contains("yours is active"), active, "{verb}: {said}");
    }
    let (code, said) = ours(&["service", "status", "--user"]);
    assert!(code == 0 && said.contains("hvym-tunnel is known"), "{said}");
    assert_eq!(ours(&["service", "uninstall", "--user"]).0, 0);
}
