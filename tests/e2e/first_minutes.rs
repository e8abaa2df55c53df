//! What somebody sees who meets the program for the first time, and does what others do then: typing errors, words of other
//! tunnels, a relay that is none, a service that is not there.
#![cfg(unix)]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use hvym_tunnel_tests::alone::Alone;
use hvym_tunnel_tests::http::{Origin, answer, nobody, ok};
use hvym_tunnel_tests::installed::any_required_tool;
use hvym_tunnel_tests::program::{Home, Program, binary};
use hvym_tunnel_tests::tunnel::{Relay, Tunnel, host_of};
use rustix::process::Signal;

use crate::tls::Place;

/// What the program says that ends by itself, and its exit code.
fn told(home: &Home, arguments: &[&str]) -> (i32, String) {
    let mut program = home.start(arguments);
    (program.code(), program.transcript())
}

/// How a dial of `relay` fails: the error and the hint.
fn failure(relay: &str, more: &[&str]) -> String {
    let (code, told) =
        told(&Home::new(), &[&["expose", "3000", "--no-retry", "--relay", relay], more].concat());
    assert_eq!(code, 6, "{told}");
    told
}

#[test]
fn words_of_other_tunnels_do_what_they_say() {
    let service = Origin::answering(|_, _| ok(b"hello"));
    let port = service.port.to_string();
    let colon = format!(":{port}");
    for words in [&["http", &port][..], &[&port], &[&colon], &["--port", &port], &["expose", "http", &port]] {
        let home = Home::new();
        let mut agent = home.start(&[words, &["--json"]].concat());
        agent.says("understood as: hvym-tunnel expose ");
        let ready = agent.event("ready");
        assert_eq!(ready["target"], format!("http://localhost:{port}"), "{words:?}");
    }
    let (code, told) = told(&Home::new(), &["tcp", "22", "--relay", "ws://127.0.0.1:1", "--no-retry"]);
    assert_eq!(code, 6, "{told}");
    assert!(told.contains("understood as: hvym-tunnel expose tcp://localhost:22"), "{told}");
}

#[test]
fn a_name_is_asked_for_in_the_words_of_other_tunnels() {
    let relay = Relay::start(&["--claim-names"]);
    let url = relay.url();
    let mut agent =
        Home::new().into_program(&["http", "3000", "--subdomain", "cool-app", "--json", "--relay", &url]);
    agent.says("understood as: hvym-tunnel expose 3000 --name");
    let ready = agent.event("ready");
    assert!(ready["url"].as_str().expect("a URL").starts_with("http://cool-app.localhost:"), "{ready}");
}

#[test]
fn a_relay_that_is_none_is_explained_with_the_command_that_helps() {
    let no_name = failure("wss://nowhere.invalid", &[]);
    assert!(no_name.contains("the name nowhere.invalid does not resolve"), "{no_name}");
    assert!(
        no_name.contains("hint: ") && no_name.contains("hvym-tunnel doctor --relay nowhere.invalid"),
        "{no_name}"
    );

    let at = format!("127.0.0.1:{}", nobody());
    let closed = failure(&format!("ws://{at}"), &[]);
    assert!(closed.contains(&format!("nothing is listening on {at}")), "{closed}");
    assert!(closed.contains(&format!("doctor --relay {at}")), "{closed}");

    let relay = Relay::start(&[]);
    let plain = failure(&format!("wss://localhost:{}", relay.port), &[]);
    assert!(plain.contains(&format!("localhost:{} does not speak TLS", relay.port)), "{plain}");
    assert!(plain.contains(&format!("--relay ws://localhost:{}", relay.port)), "{plain}");

    let web = Origin::answering(|_, _| answer("404 Not Found", &[], b"no"));
    let web = failure(&format!("ws://127.0.0.1:{}", web.port), &[]);
    assert!(
        web.contains("there is a web server at 127.0.0.1:") && web.contains("and no relay (HTTP 404)"),
        "{web}"
    );
    assert!(web.contains("usually /connect"), "{web}");
}

#[test]
fn a_relay_with_tls_that_is_dialled_without_it_is_told_apart() {
    let place = Place::new(2060);
    let at = format!("localhost:{}", place.relay.port);
    let told = failure(&format!("ws://{at}"), &[]);
    assert!(told.contains(&format!("{at} speaks TLS")), "{told}");
    assert!(told.contains(&format!("--relay wss://{at}")), "{told}");
    let untrusted = failure(&format!("wss://{at}"), &[]);
    assert!(
        untrusted.contains("TLS with localhost: ") && untrusted.contains("--relay-ca FILE"),
        "{untrusted}"
    );
}

#[test]
fn it_connects_before_the_first_time_and_reconnects_after() {
    let port = nobody();
    let home = Home::new();
    let relay_url = format!("ws://127.0.0.1:{port}");
    let mut agent = home.start(&["expose", "3000", "--relay", &relay_url, "--backoff-initial", "0.1"]);
    let line = agent.says("(attempt 1)");
    assert!(line.trim_start().starts_with("connecting in "), "{line}");
    agent.says("is the relay running, and is this its port?");
    let relay = Relay::start_in(Home::new(), port, &[]);
    agent.says("is service web of ");
    let relay = relay.restart(&[]);
    let line = agent.says("(attempt 1)");
    assert!(line.trim_start().starts_with("reconnecting in "), "{line}");
    drop(relay);
}

#[test]
fn a_relay_of_ones_own_is_at_the_usual_port_from_run_to_run() {
    let port = || {
        let agent = Alone::exposing(&nobody().to_string(), &[]);
        host_of(&agent.url).rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).expect("a port")
    };
    // Other tests take and leave these ports meanwhile; two free ones of the system would never be the same.
    let is_kept = (0..20).any(|_| {
        let [first, second] = [port(), port()];
        assert!((4896..4912).contains(&first), "{first}");
        first == second
    });
    assert!(is_kept, "the port changes from run to run");
}

#[test]
fn the_local_network_is_let_in_when_asked_and_no_other_agent() {
    let service = Origin::answering(|_, _| ok(b"hello"));
    let agent = Alone::exposing(&service.port.to_string(), &["--lan=127.0.0.1"]);
    assert!(agent.url.contains(".127-0-0-1.sslip.io:"), "{}", agent.url);
    let (head, body) = agent.get("/").expect("an answer");
    assert_eq!((head.status(), &body[..]), (200, &b"hello"[..]));
    let port = host_of(&agent.url).rsplit_once(':').expect("a port").1.to_owned();
    let (code, told) =
        told(&Home::new(), &["expose", "3000", "--no-retry", "--relay", &format!("ws://127.0.0.1:{port}")]);
    assert_eq!(code, 4, "{told}");
}

#[test]
fn requests_say_who_came_and_long_ones_say_so_before_their_end() {
    let (enough, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let service = Origin::start(move |mut visitor| {
        let head = visitor.head()?;
        if head.target() != "/slow" {
            return visitor.send(ok(b"hello"));
        }
        visitor.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // As a language model answers: word by word, until somebody has seen enough.
        let wait = wait.lock().expect("no panic");
        while wait.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            visitor.send("5\r\nword \r\n")?;
        }
        visitor.send("0\r\n\r\n")
    });
    let mut tunnel = Tunnel::to(service.port);
    tunnel.get("/").expect("an answer");
    assert_eq!(tunnel.agent.program.event("request")["visitor"], "127.0.0.1");

    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/slow", &[])).expect("the relay reads");
    let ongoing = tunnel.agent.program.event("request_ongoing");
    assert_eq!((&ongoing["path"], &ongoing["status"]), (&"/slow".into(), &200.into()));
    assert_eq!(ongoing["visitor"], "127.0.0.1");
    assert!(ongoing["elapsed_ms"].as_u64().is_some_and(|millis| millis >= 2_000), "{ongoing}");
    enough.send(()).expect("the service waits");
    let head = visitor.head().expect("a head");
    assert!(visitor.body(&head).expect("all of it").starts_with(b"word word "));
    assert_eq!(tunnel.agent.program.event("request")["path"], "/slow");
}

#[test]
fn a_dead_service_that_is_back_is_announced() {
    let port = nobody();
    let mut agent = Alone::exposing(&port.to_string(), &[]);
    agent.agent.event("upstream_unreachable");
    assert_eq!(agent.get("/").expect("a page").0.status(), 502);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("nobody took it");
    let service = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept()?;
        let _request = stream.read(&mut [0; 4096])?;
        stream.write_all(&ok(b"here now"))
    });
    assert_eq!(agent.get("/").expect("an answer").1, b"here now");
    assert_eq!(agent.agent.event("upstream_reachable")["service"], "web");
    service.join().expect("no panic").expect("no error");
}

#[test]
fn a_url_file_of_a_process_that_was_killed_is_gone_at_the_next_start() {
    let home = Home::new();
    let file = home.path("url.txt");
    fs::write(&file, "https://old.example\n").expect("a folder takes a file");
    let path = file.to_str().expect("text").to_owned();
    let relay = format!("ws://127.0.0.1:{}", nobody());
    let mut agent = home.start(&["expose", "3000", "--url-file", &path, "--relay", &relay]);
    agent.says("connecting in ");
    assert!(!file.exists(), "a stale URL is believed");
}

#[test]
fn a_url_file_that_cannot_be_is_told_at_once() {
    let home = Home::new();
    let file = home.path("nowhere/url.txt");
    let (code, told) = told(&home, &["expose", "3000", "--url-file", file.to_str().expect("text")]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("the URL cannot be kept in "), "{told}");
}

#[test]
fn a_url_file_does_not_outlive_the_terminal() {
    let home = Home::new();
    let file = home.path("url.txt");
    let path = file.to_str().expect("text").to_owned();
    let mut agent = home.start(&["expose", &nobody().to_string(), "--url-file", &path, "--json"]);
    agent.event("ready");
    assert!(file.exists());
    agent.signal(Signal::HUP);
    assert_eq!(agent.code(), 129, "{agent:?}");
    assert!(!file.exists(), "the file outlived the URL");
}

#[test]
fn nohup_keeps_it_running() {
    let Some(nohup) = any_required_tool(&["nohup"]) else { return };
    let home = Home::new();
    let mut command = Command::new(nohup);
    let template = home.command(&[]);
    command.arg(binary()).args(["expose", &nobody().to_string(), "--json"]).env_clear();
    command.envs(template.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut agent = Program::start(command);
    agent.event("ready");
    agent.signal(Signal::HUP);
    agent.signal(Signal::TERM);
    assert_eq!(agent.code(), 0, "{agent:?}");
}

#[test]
fn the_command_that_a_relay_prints_works_when_it_is_copied() {
    let home = Home::new();
    let mut relay = home.start(&["relay", "--listen", "0"]);
    assert!(relay.line().starts_with("http://"));
    let command = relay.line();
    assert!(command.starts_with("hvym-tunnel expose 3000 --relay "), "{command:?}");
    let folder = home.path("bin");
    fs::create_dir(&folder).expect("a folder takes a folder");
    std::os::unix::fs::symlink(binary(), folder.join("hvym-tunnel")).expect("a folder takes a link");
    let other = Home::new();
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(format!("exec {command}"))
        .env_clear()
        .env("HOME", other.path(""))
        .env("PATH", folder);
    let mut agent = Program::start(shell);
    assert!(agent.line().starts_with("http://"), "{agent:?}");
}

#[test]
fn who_and_what_this_is_can_be_asked() {
    let home = Home::new();
    let (code, none) = told(&home, &["whoami"]);
    assert!(code == 4 && none.contains("identity new"), "{none}");
    let (_, address) = told(&home, &["identity", "new"]);
    let (code, who) = told(&home, &["whoami", "--json"]);
    let who: serde_json::Value = serde_json::from_str(&who).expect("JSON");
    assert_eq!(code, 0);
    assert!(address.contains(who["address"].as_str().expect("an address")), "{who}");
    assert!(who["key"].as_str().is_some_and(|key| key.ends_with("identity.key")), "{who}");
    let agent = Alone::exposing_in(home, "3000", &[], |_| ());
    let name = who["name"].as_str().expect("a name");
    assert!(agent.url.starts_with(&format!("http://{name}.localhost:")), "{} {name}", agent.url);

    let (_, version) = told(&Home::new(), &["version", "--json"]);
    let version: serde_json::Value = serde_json::from_str(&version).expect("JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["protocols"]["native"], 2);
    assert!(version["rustc"].as_str().is_some_and(|rustc| rustc.starts_with("rustc ")), "{version}");
    let (_, text) = told(&Home::new(), &["version"]);
    assert!(text.starts_with("hvym-tunnel ") && text.contains("rustc "), "{text}");
}

#[test]
fn short_help_fits_one_screen_and_long_help_has_everything() {
    let home = Home::new();
    for command in [&[][..], &["expose"], &["forward"], &["relay"]] {
        let help = |option: &str| {
            let mut program = home.command(&[command, &[option]].concat());
            let output = program.env("COLUMNS", "80").output().expect("the program starts");
            String::from_utf8(output.stdout).expect("text")
        };
        let (short, long) = (help("-h"), help("--help"));
        assert!(short.lines().count() <= 24, "{} lines:\n{short}", short.lines().count());
        assert!(short.lines().all(|line| line.chars().count() <= 80), "{short}");
        assert!(short.contains("--help") && long.lines().count() > short.lines().count(), "{command:?}");
    }
}

/// What a shell offers for the last word of `line`.
fn completed(shell: &str, program: &str, line: &str) -> Option<String> {
    let shell_path = any_required_tool(&[shell])?;
    let home = Home::new();
    let script = home.path("completions");
    let output = home.command(&["completions", shell]).output().expect("the program starts");
    fs::write(&script, output.stdout).expect("a folder takes a file");
    let mut command = Command::new(shell_path);
    command
        .args(["-c", program, shell])
        .arg(&script)
        .arg(line)
        .env("HOME", home.path(""))
        .stdin(Stdio::null());
    let output = command.output().expect("the shell starts");
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

const BASH: &str = r#"
. "$1"
read -ra COMP_WORDS <<< "$2"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_hvym__tunnel "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

const FISH: &str = r#"source $argv[2]; complete -C "$argv[3]""#;

const ZSH: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PROMPT=; autoload -U compinit; compinit -u -D; source $1; print RE''ADY"
zpty -r z shown '*READY*'
zpty -n -w z "$2"$'\t\t'
zpty -n -w z $'\C-u'"print DO''NE"$'\n'
zpty -r z shown '*DONE*'
print -r -- "$shown"
"#;

#[test]
fn bash_completes_after_the_first_word() {
    for (line, offered) in [
        ("hvym-tunnel exp", "expose"),
        ("hvym-tunnel expose --require-", "--require-upstream"),
        ("hvym-tunnel identity del", "delegate"),
        ("hvym-tunnel identity delegate --serv", "--services"),
        ("hvym-tunnel expose 3000 --on-conflict po", "pool"),
    ] {
        let Some(shown) = completed("bash", BASH, line) else { return };
        assert!(shown.lines().any(|word| word == offered), "{line}: {shown}");
    }
}

#[test]
fn fish_completes_after_the_first_word() {
    for (line, offered) in
        [("hvym-tunnel expose --require-", "--require-upstream"), ("hvym-tunnel identity del", "delegate")]
    {
        let Some(shown) = completed("fish", FISH, line) else { return };
        assert!(shown.lines().any(|word| word.starts_with(offered)), "{line}: {shown}");
    }
}

#[test]
fn zsh_completes_after_the_first_word() {
    for (line, offered) in
        [("hvym-tunnel expose --require-", "--require-upstream"), ("hvym-tunnel identity del", "delegate")]
    {
        // It offers nothing while keys are waiting, and nobody can type slower than a busy machine reads.
        let mut shown = String::new();
        for _ in 0..20 {
            let Some(now_shown) = completed("zsh", ZSH, line) else { return };
            shown = now_shown;
            if shown.contains(offered) {
                break;
            }
        }
        assert!(shown.contains(offered), "{line}: {shown}");
    }
}
