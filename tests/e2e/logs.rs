//! The log files of a program that runs for long, as a person reads them.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use rustix::process::Signal;

/// A manager of one service in a home of its own, and where visitors reach it.
struct Managed {
    relay: Relay,
    home: Home,
    manager: Program,
    origin: Origin,
    api: u16,
    url: String,
}

impl Managed {
    fn start(log: &str) -> Self {
        let (relay, home, origin) =
            (Relay::start(&[]), Home::of(&Key::from_seed([81; 32])), Origin::saying(b"hello"));
        let api = nobody();
        write(&home, &settings(&relay, api, origin.port, log));
        let mut manager = home.start(&["manager", "--json"]);
        let url = started(&mut manager);
        Managed { relay, home, manager, origin, api, url }
    }

    /// Has the settings say this of logs from now on.
    fn reload(&mut self, log: &str) {
        write(&self.home, &settings(&self.relay, self.api, self.origin.port, log));
        assert_eq!(self.manager.event("config_loaded")["changes"], 1);
    }

    fn visit(&mut self, path: &str) {
        let mut visitor = Conversation::dial(self.relay.port);
        let fields = ["Cookie: session=crumbs", "Authorization: Bearer of-bad-news"];
        visitor.send(request(host_of(&self.url), "GET", path, &fields)).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), 200);
        self.manager.event("request");
    }

    fn log(&self, name: &str) -> PathBuf {
        self.home.path(".local/state/hvym-tunnel").join(name)
    }

    fn logs(&self, arguments: &[&str]) -> String {
        let output =
            self.home.command(&[&["logs"], arguments].concat()).output().expect("the program starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// Waits until visitors can come and the API listens, in whichever order; where visitors come.
fn started(manager: &mut Program) -> String {
    let (mut url, mut listens) = (None, false);
    loop {
        let event: serde_json::Value = serde_json::from_str(&manager.line()).expect("JSON");
        match event["event"].as_str() {
            Some("ready") => url = event["url"].as_str().map(str::to_owned),
            Some("api") => listens = true,
            _ => {}
        }
        if let Some(url) = url.take_if(|_| listens) {
            return url;
        }
    }
}

fn settings(relay: &Relay, api: u16, target: u16, log: &str) -> String {
    format!(
        "version = 1\n[api]\nport = {api}\n[log]\n{log}\n[[link]]\nname = \"home\"\nrelay = \"{}\"\n\
         [[service]]\nname = \"web\"\ntarget = \"{target}\"\nprobe = \"tcp\"\n",
        relay.url()
    )
}

fn write(home: &Home, text: &str) {
    let file = home.path("config/hvym-tunnel/config.toml");
    let draft = file.with_extension("new");
    fs::write(&draft, text).expect("a folder takes a file");
    fs::rename(&draft, &file).expect("a file takes the place of another");
}

/// The content of a file, once it has `words` in it.
fn once_it_says(path: &Path, words: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains(words) {
            return text;
        }
        assert!(Instant::now() < deadline, "{words:?} is not in {}: {text}", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn what_happens_is_kept_for_its_owner_alone_and_without_anything_secret() {
    let mut managed = Managed::start("level = \"debug\"");
    managed.visit("/page?password=hunter2");
    let mut asked = Conversation::dial(managed.api);
    let fields = ["Authorization: Bearer of-bad-news"];
    asked.send(request("localhost", "GET", "/api/status?token=hunter2", &fields)).expect("it reads");
    assert_eq!(asked.head().expect("an answer").status(), 401, "a wrong token is refused");
    let (agent, api) = (managed.log("agent.log"), managed.log("api.log"));
    let agent_text = once_it_says(&agent, " INFO request ");
    let api_text = once_it_says(&api, "path=\"/api/status\"");
    assert!(agent_text.contains(&format!("url=\"{}\"", managed.url)), "{agent_text}");
    assert!(agent_text.contains("path=\"/page\""), "{agent_text}");
    assert!(!agent_text.contains("/api/status"), "{agent_text}");
    for text in [&agent_text, &api_text] {
        for hidden in ["hunter2", "of-bad-news", "crumbs", "eyJhbGci"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
    for path in [&agent, &api] {
        let mode = fs::metadata(path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let shown = managed.logs(&[]);
    assert!(
        shown.contains(" INFO request ") && agent_text.starts_with(shown.lines().next().expect("a line"))
    );
    assert_eq!(managed.logs(&["--lines", "1"]).lines().count(), 1);
    assert_eq!(managed.logs(&["--since", "1h"]).lines().next(), shown.lines().next());
    assert!(managed.logs(&["--api-log"]).contains("path=\"/api/status\""));
}

#[test]
fn logs_follow_the_files_through_a_change_of_their_settings_and_a_lost_folder() {
    let mut managed = Managed::start("");
    once_it_says(&managed.log("agent.log"), " INFO ready ");
    let mut follower = managed.home.start(&["logs", "--follow"]);
    let mut until = |words: &str| while !follower.line().contains(words) {};
    // The follower has begun once it shows something.
    managed.reload("level = \"info\"\nmax_files = 7");
    until("config_loaded");
    managed.visit("/first");
    until("path=\"/first\"");
    fs::rename(managed.log("agent.log"), managed.log("moved.log")).expect("it was ours");
    managed.visit("/second");
    until("path=\"/second\"");

    managed.reload("format = \"json\"\nagent_file = \"tunnel_manager.log\"");
    managed.visit("/third");
    let text = once_it_says(&managed.log("tunnel_manager.log"), "\"path\":\"/third\"");
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(record["time"].is_string() && record["level"].is_string(), "{line}");
    }
    fs::remove_dir_all(managed.home.path(".local/state/hvym-tunnel")).expect("it was ours");
    managed.visit("/fourth");
    once_it_says(&managed.log("tunnel_manager.log"), "/fourth");

    // A place that takes no file is told, once, and nothing stops for it.
    fs::write(managed.home.path("file"), "").expect("a folder takes a file");
    managed.reload(&format!("folder = \"{}/logs\"", managed.home.path("file").display()));
    managed.visit("/fifth");
    managed.visit("/sixth");
    managed.manager.signal(Signal::TERM);
    assert_eq!(managed.manager.code(), 0);
    let transcript = managed.manager.transcript();
    assert_eq!(transcript.matches("\"event\":\"state_failed\"").count(), 1, "{transcript}");
}

#[test]
fn under_the_journal_there_are_files_only_where_they_are_asked_for() {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    for (asked, log) in [(false, ""), (true, "folder = \"logs\"")] {
        let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([82; 32])));
        write(&home, &settings(&relay, nobody(), nobody(), log));
        let journal = fs::File::create(home.path("journal")).expect("a folder takes a file");
        let place = journal.metadata().expect("a file");
        let mut command = home.command(&["manager"]);
        command.env("JOURNAL_STREAM", format!("{}:{}", place.dev(), place.ino()));
        command.stdout(journal.as_fd().try_clone_to_owned().expect("a descriptor")).stderr(journal);
        let mut manager = command.spawn().expect("the program starts");
        let url = home.path("journal");
        once_it_says(&url, "http");
        let [agent, named] = [".local/state/hvym-tunnel/agent.log", "config/hvym-tunnel/logs/agent.log"];
        if asked {
            once_it_says(&home.path(named), " INFO ready ");
        }
        assert!(!home.path(agent).exists());
        manager.kill().expect("it is ours");
        manager.wait().expect("it is ours");
    }
}
