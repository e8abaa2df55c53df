//! A link that is slower than what wants to pass: what waits for it waits where a small answer can overtake it.
#![cfg(target_os = "linux")]

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use hvym_tunnel_tests::bottleneck::{Bottleneck, Way};
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, request};

const KIB: u64 = 1024;
const BLOCK: usize = 64 * 1024;
/// What passes before the link stands still, so that the kernel has made its buffers as large as it makes them, blocks.
const BEFORE: usize = 256;
/// What the kernel may hold of a link that was fast and stands still: twice the most that it may hold unsent, since it counts
/// whole segments. Without a limit it is several megabytes.
const MOST_QUEUED: u64 = 512 * KIB;

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

/// A visitor that moves bulk until it breaks; `moved` hears when it has moved enough.
fn bulk(mut visitor: Conversation, host: String, way: Way, moved: std::sync::mpsc::Sender<()>) {
    thread::spawn(move || {
        let mut one_block: Box<dyn FnMut(&mut Conversation) -> io::Result<()>> = match way {
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
    let relay = Relay::start(&[]);
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
    bottleneck.close();
    // As many looks as the kernel needs to fill whatever buffer it has.
    let most = (0..200).map(|_| bottleneck.queued()).max().expect("looks");
    assert!(most <= MOST_QUEUED, "{} KiB wait in the kernel", most / KIB);
    assert!(most > 0, "nothing waits");
    visitor.send(&small).expect("the relay reads");
    bottleneck.open();
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
