//! The files of `packaging` for containers and for a relay's options, with the program where they name it.
//!
//! There is no container engine here: the command lines and the environment of the files are run as they are written.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use hvym_tunnel_tests::databases::DatabaseServer;
use hvym_tunnel_tests::guests::write_private;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program, binary};
use hvym_tunnel_tests::redis::RedisServer;
use hvym_tunnel_tests::tunnel::request;

fn packaged(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a file says behind `begin`, on its only line that begins so.
fn value<'a>(text: &'a str, begin: &str) -> &'a str {
    let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(begin));
    let first = lines.next().unwrap_or_else(|| panic!("no {begin}"));
    assert!(lines.next().is_none(), "{begin} is there twice");
    first
}

/// The words of a list in JSON.
fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A container as the Containerfile describes it: its environment, with the volume in a folder of the test.
struct Container {
    home: Home,
    file: String,
}

impl Container {
    fn new() -> Self {
        let (home, file) = (Home::new(), packaged("container/Containerfile"));
        fs::create_dir_all(home.path("data")).expect("a folder takes a folder");
        assert_eq!(words(value(&file, "ENTRYPOINT ")), ["/hvym-tunnel"]);
        Self { home, file }
    }

    /// A word with everything where it is in this test.
    fn here(&self, word: &str) -> String {
        let data = self.home.path("data").display().to_string();
        match word {
            "/data" => data,
            word => word.replace("/data/", &format!("{data}/")).replace("0.0.0.0:4896", "127.0.0.1:0"),
        }
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(binary());
        command.args(words.iter().map(|word| self.here(word))).env_clear();
        for pair in value(&self.file, "ENV ").split(' ') {
            let (name, value) = pair.split_once('=').expect("a variable");
            command.env(name, self.here(value));
        }
        command
    }

    fn start(&self, words: &[String]) -> Program {
        let mut command = self.command(words);
        command.arg("--json").env("HVYM_TUNNEL_HOLD", "0.001");
        Program::start(command)
    }

    /// What the health check ends with.
    fn health(&self) -> i32 {
        let check = words(value(&self.file, "HEALTHCHECK ").split_once("CMD ").expect("a command").1);
        assert_eq!(check[0], "/hvym-tunnel");
        Program::start(self.command(&check[1..])).code()
    }
}

fn port_of(relay: &mut Program) -> u16 {
    let event = relay.event("listening");
    let at = event["listen"].as_str().and_then(|at| at.rsplit_once(':')).expect("an address");
    at.1.parse().expect("a port")
}

#[test]
fn a_container_serves_keeps_its_identity_in_the_volume_and_is_healthy_while_it_runs() {
    let container = Container::new();
    let command = words(value(&container.file, "CMD "));
    assert_eq!(container.health(), 6, "nothing runs yet");
    let mut relay = container.start(&command);
    let port = port_of(&mut relay);
    let mut visitor = Conversation::dial(port);
    visitor.send(request("localhost", "GET", "/", &[])).expect("it reads");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
    assert_eq!(container.health(), 0);
    assert!(container.home.path("data/hvym-tunnel/relay.key").is_file());
    relay.signal(rustix::process::Signal::TERM);
    assert_eq!(relay.code(), 0, "{relay:?}");
    assert_eq!(container.health(), 6);
}

#[test]
fn the_relay_of_the_compose_file_keeps_its_tunnels_in_postgresql() {
    let Some(database) = DatabaseServer::postgres() else { return };
    let (container, compose) = (Container::new(), packaged("container/compose.yml"));
    let url = write_private(&container.home, "database_url", &database.url());
    let key = write_private(&container.home, "admin_key", "the-operators-own-key");
    let options = packaged("container/relay.toml");
    let options = options.replace("0.0.0.0:4896", "127.0.0.1:0").replace("/run/secrets/admin_key", &key);
    assert!(options.contains(&key) && options.contains("127.0.0.1:0"), "{options}");
    let config = write_private(&container.home, "relay.toml", &options);
    let command: Vec<String> = words(value(&compose, "command: "))
        .iter()
        .map(|word| {
            word.replace("/etc/hvym-tunnel/relay.toml", &config).replace("/run/secrets/database_url", &url)
        })
        .collect();
    assert!(command.contains(&config) && command.contains(&url), "{command:?}");
    let mut relay = container.start(&command);
    let port = port_of(&mut relay);
    let tunnel = |words: &[&str]| {
        let server = format!("http://127.0.0.1:{port}");
        let mut command = container.home.command(&[&["tunnel"], words, &["--server", &server]].concat());
        let output = command.arg("--api-key-file").arg(&key).output().expect("the program starts");
        assert!(output.status.success(), "{words:?}: {output:?} {relay:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(tunnel(&["create", "shop"]).contains("tun_"));
    assert!(tunnel(&["list"]).contains("shop"));
    assert!(database.sql("tunnels", "SELECT domain FROM tunnels").contains("shop"));
    assert_eq!(container.health(), 0);
}

#[test]
fn the_relays_of_the_compose_file_with_redis_have_one_identity_and_serve_each_others_agents() {
    let Some(redis) = RedisServer::start() else { return };
    let (home, compose) = (Home::new(), packaged("container/cluster-compose.yml"));
    let key = home.path("relay_key").display().to_string();
    assert_eq!(home.start(&["identity", "new", "--identity", &key]).code(), 0);
    let url = write_private(&home, "cluster_url", &redis.url());
    // An agent believes no relay of this machine that it has another domain.
    let options = packaged("container/cluster-relay.toml").replace("tunnel.example", "localhost");
    let commands = compose.lines().filter_map(|line| line.trim_start().strip_prefix("command: "));
    let commands: Vec<Vec<String>> = commands.map(words).filter(|words| words[0] == "relay").collect();
    assert_eq!(commands.len(), 2, "{compose}");
    let relays = commands.iter().enumerate().map(|(at, command)| {
        let (container, port) = (Container::new(), nobody());
        let config = write_private(
            &container.home,
            "relay.toml",
            &options.replace("0.0.0.0:4896", &format!("127.0.0.1:{port}")),
        );
        let own = format!("ws://relay{}:4896", at + 1);
        assert!(command.contains(&own), "{command:?}");
        let here = |word: &String| match word.as_str() {
            "/etc/hvym-tunnel/relay.toml" => config.clone(),
            "/run/secrets/relay_key" => key.clone(),
            "/run/secrets/cluster_url" => url.clone(),
            word => word.replace(&own, &format!("ws://127.0.0.1:{port}")),
        };
        let mut relay = container.start(&command.iter().map(here).collect::<Vec<_>>());
        let address = relay.event("listening")["address"].clone();
        (relay, port, address, container)
    });
    let relays: Vec<_> = relays.collect();
    assert_eq!(relays[0].2, relays[1].2, "both have one identity");
    let origin = Origin::saying(b"here");
    let (target, at) = (origin.port.to_string(), format!("ws://127.0.0.1:{}", relays[0].1));
    let mut agent = home.start(&["expose", &target, "--json", "--relay", &at]);
    let ready = agent.event("ready");
    let url = ready["url"].as_str().and_then(|url| url.strip_prefix("https://")).expect("a URL");
    let host = url.trim_end_matches('/');
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut visitor = Conversation::dial(relays[1].1);
        visitor.send(request(host, "GET", "/", &["Connection: close"])).expect("it reads");
        let head = visitor.head().expect("an answer");
        if head.status() == 200 {
            assert_eq!(visitor.body(&head).expect("a body"), b"here");
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", relays[1].0);
    }
    for (_, _, _, container) in &relays {
        assert_eq!(container.health(), 0);
    }
}

#[test]
fn the_packaged_options_are_options_of_the_relay_as_they_are_and_for_one_behind_a_proxy() {
    let text = packaged("relay.toml");
    let agent = hvym_tunnel_tests::Key::from_seed([7; 32]).address().to_string();
    let behind_proxy =
        ["domain", "allow_agent", "public_scheme", "trusted_proxy"].iter().fold(text.clone(), |text, key| {
            let commented = format!("\n#{key} = ");
            assert!(text.contains(&commented), "{key}");
            text.replace(&commented, &format!("\n{key} = "))
        });
    for (text, url) in
        [(text, "http://localhost:"), (behind_proxy.replace("G...", &agent), "https://tunnel.example")]
    {
        let home = Home::new();
        let config = write_private(&home, "relay.toml", &text);
        let mut program = home.start(&["relay", "--json", "--config", &config, "--listen", "0"]);
        let event = program.event("listening");
        assert!(event["url"].as_str().is_some_and(|told| told.starts_with(url)), "{event}");
    }
}
