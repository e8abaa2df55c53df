//! Settings that change again and again while the program runs: nothing is lost, and nothing is applied by half.
#![cfg(unix)]

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use rustix::process::Signal;

fn save(home: &Home, text: &[u8]) {
    let path = home.path("config/hvym-tunnel/config.toml");
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder takes a folder");
    let draft = path.with_extension("new");
    fs::write(&draft, text).expect("a folder takes a file");
    fs::rename(&draft, &path).expect("a file takes the place of another");
}

fn ask(visitor: &mut Conversation, url: &str) -> io::Result<u16> {
    visitor.send(request(host_of(url), "GET", "/", &[]))?;
    let head = visitor.head()?;
    visitor.body(&head)?;
    Ok(head.status())
}

/// Settings of a link and its services.
fn settings(relay: &Relay, link: &str, services: &[(&str, u16, &str)]) -> String {
    let head = format!("version = 1\n[[link]]\nname = \"home\"\nrelay = \"{}\"\n{link}\n", relay.url());
    let service = |(name, port, more): &(&str, u16, &str)| {
        format!("[[service]]\nname = \"{name}\"\ntarget = \"{port}\"\n{more}\n")
    };
    services.iter().map(service).fold(head, |text, service| text + &service)
}

/// The program, which follows its settings file.
fn follow(home: &Home, command: &str) -> Program {
    let mut started = home.command(&[command, "--json"]);
    // Of a manager alone, beside the file.
    started.env("HVYM_TUNNEL_API_PORT", nobody().to_string());
    Program::start(started)
}

#[test]
fn visitors_lose_no_request_while_the_settings_change() {
    lose_no_request("up");
}

#[test]
fn visitors_lose_no_request_while_the_settings_of_a_manager_change() {
    lose_no_request("manager");
}

fn lose_no_request(command: &str) {
    /// Visitors, each of whom asks again as soon as it has an answer.
    const VISITORS: usize = 4;
    let (relay, home, origin) = (Relay::start(&[]), Home::new(), Origin::saying(b"hello"));
    let port = origin.port;
    save(&home, settings(&relay, "", &[("web", port, "")]).as_bytes());
    let mut up = follow(&home, command);
    let url = up.event("ready")["url"].as_str().expect("a URL").to_owned();
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS)
            .map(|_| {
                scope.spawn(|| {
                    let mut visitor = relay.visit();
                    while !is_over.load(Ordering::Relaxed) {
                        assert_eq!(ask(&mut visitor, &url).expect("an answer"), 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let more = |count: usize| {
            // Each change has visitors under way before and after it.
            let deadline = Instant::now() + PATIENCE;
            let before = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) < before + count {
                assert!(Instant::now() < deadline && !visitors.iter().any(|visitor| visitor.is_finished()));
                std::thread::yield_now();
            }
        };
        let extra = ("extra", port, "");
        for (link, services) in [
            ("", vec![("web", port, ""), extra]),
            ("", vec![("web", port, ""), ("extra", port, "public = false")]),
            ("", vec![("web", port, "probe = \"tcp\""), extra]),
            ("", vec![("web", port, "models = [\"m\"]"), ("extra", port, "enabled = false")]),
            ("ping_interval = 9", vec![("web", port, "")]),
            ("", vec![("web", port, ""), extra]),
            ("", vec![("web", port, "")]),
        ] {
            more(20);
            save(&home, settings(&relay, link, &services).as_bytes());
            let loaded = up.event("config_loaded");
            assert!(loaded["changes"].as_u64().is_some_and(|changes| changes > 0), "{loaded}");
        }
        more(20);
        is_over.store(true, Ordering::Relaxed);
    });
    up.signal(Signal::TERM);
    assert_eq!(up.code(), 0);
}

/// A generator that needs no more than a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % most as u64).expect("it is below a usize")
    }
}

/// `text` with one edit behind its first `fixed` bytes.
fn edited(text: &[u8], fixed: usize, random: &mut Random) -> Vec<u8> {
    let (head, tail) = text.split_at(fixed.min(text.len()));
    let mut lines: Vec<Vec<u8>> = tail.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (line, other) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(5) {
        0 => drop(lines.remove(line)),
        1 => lines.insert(line, lines[other].clone()),
        2 => lines.swap(line, other),
        3 if !lines[line].is_empty() => {
            let at = random.below(lines[line].len());
            lines[line][at] = u8::try_from(random.below(256)).expect("a byte");
        }
        _ => lines.truncate(line),
    }
    [head, &lines.join(&b'\n')].concat()
}

#[test]
fn a_file_that_is_edited_at_random_never_ends_the_program() {
    edit_at_random("up");
}

#[test]
fn a_file_that_is_edited_at_random_never_ends_a_manager() {
    edit_at_random("manager");
}

/// `HVYM_EDITS` says how often, `HVYM_EDITS_SEED` which edits.
fn edit_at_random(command: &str) {
    let edits = std::env::var("HVYM_EDITS").ok().and_then(|edits| edits.parse().ok()).unwrap_or(20);
    let seed = std::env::var("HVYM_EDITS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5e77_1465);
    let (relay, home, origin) = (Relay::start(&[]), Home::new(), Origin::saying(b"hello"));
    let services = [
        ("web", origin.port, "public = true"),
        ("api", origin.port, "probe = \"http\"\nprobe_path = \"/health\""),
        ("llm", origin.port, "models = [\"a\", \"b\"]\n\n[health]\ninterval = 30\n\n[log]\nlevel = \"info\""),
    ];
    let good = settings(&relay, "", &services);
    // Of the link itself nothing is edited: another relay, or another address of it, is a reason to end.
    let fixed = good.find("[[service]]").expect("there is one");
    save(&home, good.as_bytes());
    let mut up = follow(&home, command);
    let url = up.event("ready")["url"].as_str().expect("a URL").to_owned();
    let (mut random, mut text) = (Random(seed), good.clone().into_bytes());
    let (mut loaded, mut kept) = (0, 0);
    for round in 0..edits {
        text = edited(&text, fixed, &mut random);
        save(&home, &text);
        match answer(&mut up, seed, round).as_str() {
            "config_loaded" => loaded += 1,
            _ => {
                kept += 1;
                // What was wrong is mended now and then, or nothing would be applied any more.
                if random.below(2) == 0 {
                    text = good.clone().into_bytes();
                }
            }
        }
    }
    assert!(loaded > 0 && kept > 0, "{loaded} were applied and {kept} were not, with seed {seed}");
    save(&home, good.as_bytes());
    answer(&mut up, seed, edits);
    let deadline = Instant::now() + PATIENCE;
    // The last change may have dialled the link anew.
    while ask(&mut relay.visit(), &url).ok() != Some(200) {
        assert!(Instant::now() < deadline, "seed {seed}: {up:?}");
    }
    up.signal(Signal::TERM);
    assert_eq!(up.code(), 0, "seed {seed}");
}

/// How the program took a new file.
fn answer(up: &mut Program, seed: u64, round: usize) -> String {
    loop {
        assert!(up.runs(), "it ended at edit {round} with seed {seed}: {up:?}");
        let line = up.line();
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        if let Some(name @ ("config_loaded" | "config_kept")) = event["event"].as_str() {
            return name.to_owned();
        }
    }
}
