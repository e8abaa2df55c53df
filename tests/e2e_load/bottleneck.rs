//! A link that is slower than what wants to pass: what waits for it waits where a small answer can overtake it.
#![cfg(target_os = "linux")]

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use hvym_tunnel_tests::bottleneck::{Bottleneck, Way};
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, request};

const KIB: u64 = 1024;
const BLOCK: usize = 64 * 1024;
/// What passes before the link stands still, so that the kernel has made its buffers as large as it makes them, blocks.
const BEFORE: usize = 256;
/// What the kernel may hold of a link that was fast a moment ago: twice the most that it may hold unsent, since it counts
/// whole segments. Without a limit it is several megabytes.
const MOST_AT_FIRST: u64 = 512 * KIB;
/// What it may hold once both ends know that the link is slow.
const MOST_LATER: u64 = 64 * KIB;
/// What is carried until they know it.
const CARRIED: usize = 2 * 1024 * 1024;

/// Answers `/small` and says so; anything else is sent and received without end.
fn origin(answered: std::sync::mpsc::Sender<()>) -> Origin {
    let answered = Mutex::new(answered);
    Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            match (head.method(), head.target()) {
                (_, "/small") => {
                    connection.send(ok(b"small"))?;
                    let _listening = answered.lock().expect("nobody panics here").send(());
                }
                ("GET", _) => {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")?;
                    loop {
                        connection.send([b'.'; BLOCK])?;
                    }
                }
                _ => loop {
                    connection.take(BLOCK)?;
                },
            }
        }
    })
}

/// Moves one block.
type OneBlock = Box<dyn FnMut(&mut Conversation) -> io::Result<()>>;

/// A visitor that moves bulk until it breaks; `moved` hears when it has moved enough.
fn bulk(mut visitor: Conversation, host: String, way: Way, moved: std::sync::mpsc::Sender<()>) {
    thread::spawn(move || {
        let mut one_block: OneBlock = match way {
            Way::ToRelay => {
                visitor.send(request(&host, "GET", "/bulk", &[]))?;
                visitor.head()?;
                Box::new(|visitor| visitor.take(BLOCK).map(drop))
            }
            Way::ToAgent => {
                let length = "Content-Length: 1000000000000";
                visitor.send(request(&host, "POST", "/bulk", &[length]))?;
                Box::new(|visitor| visitor.send([b'.'; BLOCK]))
            }
        };
        for _ in 0..BEFORE {
            one_block(&mut visitor)?;
        }
        let _listening = moved.send(());
        loop {
            one_block(&mut visitor)?;
        }
        #[allow(unreachable_code)]
        io::Result::Ok(())
    });
}

fn little_waits_in_the_kernel(way: Way) {
    let (answered, answers) = channel();
    let relay = Relay::start(&["--also-name", "127.0.0.1:*"]);
    let bottleneck = Bottleneck::start(relay.port, way);
    let url = format!("ws://127.0.0.1:{}", bottleneck.port);
    let home = hvym_tunnel_tests::program::Home::new();
    let mut program = home.start(&["expose", &origin(answered).port.to_string(), "--json", "--relay", &url]);
    let ready = program.event("ready");
    let tunnel = Tunnel { relay, agent: Agent { program, ready, home } };
    let mut visitor = tunnel.visit();
    let small = tunnel.request("GET", "/small", &[]);
    // The stream of the small request is there already, so that only its answer has to pass.
    visitor.send(&small).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("a whole answer"), b"small");
    answers.recv_timeout(PATIENCE).expect("it was answered");

    let (moved, moving) = channel();
    bulk(tunnel.visit(), tunnel.agent.host().to_owned(), way, moved);
    moving.recv_timeout(PATIENCE).expect("bulk passes");
    bottleneck.slow_down();
    let most = |looks: usize| (0..looks).map(|_| bottleneck.queued()).max().expect("looks");
    let at_first = most(100);
    assert!(0 < at_first && at_first <= MOST_AT_FIRST, "{} KiB wait in the kernel", at_first / KIB);
    let deadline = Instant::now() + PATIENCE;
    while bottleneck.carried_slowly() < CARRIED {
        assert!(Instant::now() < deadline, "bulk does not pass");
        thread::yield_now();
    }
    let later = most(100);
    assert!(later <= MOST_LATER, "{} KiB wait in the kernel for a slow link", later / KIB);
    visitor.send(&small).expect("the relay reads");
    let head = visitor.head().expect("an answer beside bulk");
    assert_eq!(visitor.body(&head).expect("a whole answer"), b"small");
}

#[test]
fn little_of_a_download_waits_in_the_kernel() {
    little_waits_in_the_kernel(Way::ToRelay);
}

#[test]
fn little_of_an_upload_waits_in_the_kernel() {
    little_waits_in_the_kernel(Way::ToAgent);
}
