//! Many visitors and large bodies at once: nobody waits for somebody slower, and nothing piles up on the way.
#![cfg(target_os = "linux")]

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Tunnel, request};

const MIB: usize = 1024 * 1024;
const GIB: usize = 1024 * MIB;
/// What a large body may cost either process beyond what it held before: the buffers of a stream and its sockets.
const MOST_GROWTH: u64 = 32 * MIB as u64;
/// What a large body takes without optimization on a busy machine, MiB/s, a tenth of what it takes on an idle one. One
/// that waits for a timer or an acknowledgement for each block is slower.
const LEAST_SPEED: f64 = 8.0;
const BLOCK: usize = 64 * 1024;

/// The block `number` of a body in which no two blocks are alike: its number, then noise that is the same in all.
struct Blocks(Vec<u8>);

impl Blocks {
    fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = (0..BLOCK / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Blocks(noise.collect())
    }

    fn block(&mut self, number: usize) -> &[u8] {
        self.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
        &self.0
    }

    fn send(&mut self, size: usize, mut to: impl io::Write) -> io::Result<()> {
        (0..size / BLOCK).try_for_each(|number| to.write_all(self.block(number)))
    }

    /// Reads this many bytes, and compares each with what was sent.
    fn check(&mut self, size: usize, from: &mut Conversation) -> io::Result<()> {
        let mut room = vec![0; BLOCK];
        for number in 0..size / BLOCK {
            from.fill(&mut room)?;
            if room != self.block(number) {
                return Err(io::Error::other(format!("block {number} is another")));
            }
        }
        Ok(())
    }
}

#[test]
fn a_hundred_visitors_do_not_wait_for_each_other() {
    let door = Door::default();
    let (entered, entering) = channel();
    let (held, entered) = (door.clone(), Mutex::new(entered));
    let origin = Origin::answering(move |head, _| {
        if head.target() == "/slow" {
            entered.lock().expect("nobody panics here").send(()).expect("the test waits");
            held.pass();
        }
        ok(head.target().as_bytes())
    });
    let tunnel = Arc::new(Tunnel::to(origin.port));
    let visit = |target: String| {
        let tunnel = Arc::clone(&tunnel);
        thread::spawn(move || {
            let (head, body) = tunnel.get(&target).expect("an answer");
            assert_eq!((head.status(), body), (200, target.into_bytes()));
        })
    };
    let slow: Vec<_> = (0..50).map(|_| visit("/slow".to_owned())).collect();
    for _ in &slow {
        entering.recv_timeout(PATIENCE).expect("every slow visitor reaches the service");
    }
    let fast: Vec<_> = (0..50).map(|number| visit(format!("/fast/{number}"))).collect();
    fast.into_iter()
        .for_each(|visitor| visitor.join().expect("a fast visitor is served while the slow wait"));
    assert!(slow.iter().all(|visitor| !visitor.is_finished()), "a slow visitor was not held");
    door.open();
    slow.into_iter().for_each(|visitor| visitor.join().expect("a slow visitor is served in the end"));
}

/// What both processes held before, against the most they ever held.
struct Scales {
    before: [u64; 2],
    begun: Instant,
}

impl Scales {
    fn new(tunnel: &Tunnel) -> Self {
        Scales { before: Self::weigh(tunnel, "VmRSS"), begun: Instant::now() }
    }

    fn weigh(tunnel: &Tunnel, which: &str) -> [u64; 2] {
        [&tunnel.relay.program, &tunnel.agent.program].map(|program| program.memory(which))
    }

    /// Both processes grew little while they carried this many bytes.
    fn check(&self, tunnel: &Tunnel, what: &str, bytes: usize) {
        let most = Self::weigh(tunnel, "VmHWM");
        let growth = [0, 1].map(|side| most[side].saturating_sub(self.before[side]));
        let speed = (bytes / MIB) as f64 / self.begun.elapsed().as_secs_f64();
        let [relay, agent] = growth.map(|bytes| bytes as f64 / MIB as f64);
        println!("{what}: {speed:.0} MiB/s; the relay grew by {relay:.1} MiB, the agent by {agent:.1} MiB");
        assert!(growth.iter().all(|growth| *growth < MOST_GROWTH), "{what}: {growth:?}");
        assert!(speed > LEAST_SPEED || bytes < GIB, "{what}: {speed} MiB/s");
    }
}

#[test]
fn a_large_download_arrives_byte_for_byte_and_is_never_held() {
    let origin = Origin::start(|mut connection| {
        connection.head()?;
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n"))?;
        Blocks::new().send(GIB, connection.writer())
    });
    let tunnel = Tunnel::to(origin.port);
    let scales = Scales::new(&tunnel);
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").field("content-length"), Some(GIB.to_string().as_str()));
    Blocks::new().check(GIB, &mut visitor).expect("the whole download");
    scales.check(&tunnel, "download", GIB);
}

#[test]
fn a_large_upload_arrives_byte_for_byte_and_is_never_held() {
    let origin = Origin::start(|mut connection| {
        let head = connection.head()?;
        assert_eq!(head.field("content-length"), Some(GIB.to_string().as_str()));
        let verdict = Blocks::new().check(GIB, &mut connection);
        connection
            .send(ok(verdict.map_or_else(|error| error.to_string(), |()| "whole".to_owned()).as_bytes()))
    });
    let tunnel = Tunnel::to(origin.port);
    let scales = Scales::new(&tunnel);
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("POST", "/", &[&format!("Content-Length: {GIB}")])).expect("the relay reads");
    Blocks::new().send(GIB, visitor.writer()).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("a whole answer"), b"whole");
    scales.check(&tunnel, "upload", GIB);
}

/// A service that streams for as long as somebody takes it, and says how much was taken.
fn fountain() -> (Origin, Receiver<usize>) {
    let (poured, pouring): (Sender<usize>, _) = channel();
    let poured = Mutex::new(poured);
    let origin = Origin::start(move |mut connection| {
        connection.head()?;
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n"))?;
        let poured = poured.lock().expect("nobody panics here").clone();
        let mut total = 0;
        let block = vec![7; BLOCK];
        while total < GIB {
            connection.send(&block)?;
            total += BLOCK;
            let _unheard = poured.send(total);
        }
        Ok(())
    });
    (origin, pouring)
}

#[test]
fn a_visitor_who_stops_reading_stops_the_service_and_nobody_else() {
    let (origin, pouring) = fountain();
    let other = Origin::saying(b"quick").port;
    let tunnel = Tunnel::with(origin.port, &[], &["--bind", &format!("other=localhost:{other}")]);
    let scales = Scales::new(&tunnel);
    let mut stuck = tunnel.visit();
    stuck.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
    stuck.head().expect("an answer");
    // The service is stopped when it says nothing for as long as a hundred other visits take.
    let mut taken = 0;
    loop {
        let before = taken;
        for _ in 0..100 {
            let mut visitor = tunnel.visit();
            let host = format!("other--{}", tunnel.agent.host());
            visitor.send(request(&host, "GET", "/", &[])).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            assert_eq!(visitor.body(&head).expect("a whole answer"), b"quick");
        }
        taken = pouring.try_iter().last().unwrap_or(taken);
        if taken == before {
            break;
        }
    }
    assert!(taken < 64 * MIB, "{taken} bytes were taken for a visitor who reads nothing");
    scales.check(&tunnel, "a stuck download", taken);
    let mut room = vec![0; 2 * taken];
    stuck.fill(&mut room).expect("it goes on where it stopped");
    assert!(room.iter().all(|byte| *byte == 7));
}
