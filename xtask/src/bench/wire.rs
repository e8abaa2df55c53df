//! A network path with a round trip, a loss rate and a bottleneck, simulated for TCP connections through a proxy.
//!
//! Each direction of each connection has a congestion window of its own (slow start, then CUBIC, RFC 9438) and delivers in
//! order: a lost segment holds back what follows it for one round trip, as a fast retransmission does. All connections
//! share the bottleneck and its queue; what does not fit the queue is lost. It is a model, equal for all who are measured.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::SockRef;

/// Bytes of one segment.
const SEGMENT: f64 = 1448.0;
/// Segments of the first window (RFC 6928).
const INITIAL_SEGMENTS: f64 = 10.0;
/// The factor of the window after a loss, and the growth constant (RFC 9438 sections 4.6 and 5).
const CUBIC: (f64, f64) = (0.7, 0.4);
/// The most bytes under way: what Linux grants a receiver by default.
const RECEIVE_WINDOW: f64 = 6.0 * 1024.0 * 1024.0;
/// What the proxy takes from a sender at once.
const BLOCK: usize = 64 * 1024;
/// Receive buffer of the proxy's sockets, so that the sender's bytes wait at the sender.
const SOCKET_BUFFER: usize = 64 * 1024;
/// Blocks that are under way in one direction at most.
const BLOCKS: usize = 4096;
/// How long the queue of the bottleneck is at its rate.
const QUEUE: Duration = Duration::from_millis(100);

/// What the path is like.
#[derive(Copy, Clone, Debug)]
pub(super) struct Conditions {
    /// There and back.
    pub(super) round_trip: Duration,
    /// Of one segment.
    pub(super) loss: f64,
    /// Bytes per second in each direction; `None` is no limit.
    pub(super) rate: Option<f64>,
}

/// The bottleneck of one direction, shared by all connections.
#[derive(Default)]
struct Bottleneck(Mutex<Option<Instant>>);

impl Bottleneck {
    /// When the last of `bytes` leaves it; `None`: the queue is full.
    fn pass(&self, bytes: usize, rate: f64, now: Instant) -> Option<Instant> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = free.map_or(now, |free| free.max(now));
        if begin - now > QUEUE {
            return None;
        }
        let end = begin + Duration::from_secs_f64(bytes as f64 / rate);
        *free = Some(end);
        Some(end)
    }
}

/// The congestion window of one direction of a connection, in bytes.
struct Congestion {
    window: f64,
    threshold: f64,
    /// The window before the last loss, and when that was.
    peak: Option<(f64, Instant)>,
}

impl Congestion {
    fn new() -> Self {
        Self { window: INITIAL_SEGMENTS * SEGMENT, threshold: f64::MAX, peak: None }
    }

    fn acknowledged(&mut self, bytes: f64, round_trip: Duration, now: Instant) {
        if self.window < self.threshold {
            self.window += bytes;
        } else if let Some((peak, since)) = self.peak {
            let (beta, c) = CUBIC;
            let peak = peak / SEGMENT;
            let k = (peak * (1.0 - beta) / c).cbrt();
            let t = (now - since + round_trip).as_secs_f64();
            let target = (c * (t - k).powi(3) + peak) * SEGMENT;
            // Never slower than Reno with the same factor (RFC 9438 section 4.3).
            let reno = 3.0 * (1.0 - beta) / (1.0 + beta) * SEGMENT * bytes / self.window;
            self.window += ((target - self.window) * bytes / self.window).max(reno);
        }
        self.window = self.window.min(RECEIVE_WINDOW);
    }

    /// At most once for what was sent within one round trip.
    fn lost(&mut self, round_trip: Duration, now: Instant) {
        if self.peak.is_some_and(|(_, at)| now - at < round_trip) {
            return;
        }
        self.peak = Some((self.window, now));
        self.window = (self.window * CUBIC.0).max(2.0 * SEGMENT);
        self.threshold = self.window;
    }
}

/// Numbers that are the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    /// Between 0 and 1.
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Opens a path to `target` on this machine; the port to dial. It stays until this process ends.
pub(super) fn open(conditions: Conditions, target: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&listener).set_recv_buffer_size(SOCKET_BUFFER)?;
    let port = listener.local_addr()?.port();
    let bottlenecks: [Arc<Bottleneck>; 2] = Default::default();
    thread::spawn(move || {
        for (number, stream) in (1u64..).zip(listener.incoming().map_while(Result::ok)) {
            let bottlenecks = bottlenecks.clone();
            // A connection that breaks is seen by whoever measures.
            thread::spawn(move || drop(connect(conditions, target, stream, number, bottlenecks)));
        }
    });
    Ok(port)
}

fn connect(
    conditions: Conditions,
    target: u16,
    near: TcpStream,
    number: u64,
    bottlenecks: [Arc<Bottleneck>; 2],
) -> io::Result<()> {
    // Its handshake takes one round trip.
    thread::sleep(conditions.round_trip);
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    for socket in [&near, &far] {
        SockRef::from(socket).set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_nodelay(true)?;
    }
    let ways = [(near.try_clone()?, far.try_clone()?), (far, near)];
    for (side, ((from, to), bottleneck)) in (0u64..).zip(ways.into_iter().zip(bottlenecks)) {
        let (sender, coming) = sync_channel(BLOCKS);
        let written = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&written);
        thread::spawn(move || deliver(&to, &coming, &told));
        let dice = Dice((number * 2 + side).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut way = Way { conditions, bottleneck, dice, congestion: Congestion::new(), held: None };
        thread::spawn(move || way.carry(from, &sender, &written));
    }
    Ok(())
}

/// One block, and when it arrives.
type Block = (Instant, Vec<u8>);

/// One direction of a connection.
struct Way {
    conditions: Conditions,
    bottleneck: Arc<Bottleneck>,
    dice: Dice,
    congestion: Congestion,
    /// Until when a retransmission holds back what follows.
    held: Option<Instant>,
}

impl Way {
    /// Takes from the sender as much as the window allows, until it ends.
    fn carry(&mut self, mut from: TcpStream, to: &SyncSender<Block>, written: &AtomicU64) {
        let (mut sent, mut acknowledged) = (0u64, 0u64);
        // When each block is acknowledged, and how many bytes were sent then.
        let mut under_way: VecDeque<(Instant, u64)> = VecDeque::new();
        let mut room = vec![0; BLOCK];
        loop {
            while let Some((at, upto)) = under_way.front().copied() {
                let now = Instant::now();
                let full = (sent - acknowledged) as f64 + SEGMENT > self.congestion.window;
                if now < at {
                    if !full {
                        break;
                    }
                    thread::sleep(at - now);
                }
                // A receiver that does not read acknowledges and grants nothing more.
                while written.load(Ordering::Acquire) < upto && full {
                    thread::sleep(Duration::from_micros(200));
                }
                let now = Instant::now();
                self.congestion.acknowledged((upto - acknowledged) as f64, self.conditions.round_trip, now);
                acknowledged = upto;
                under_way.pop_front();
            }
            let allowed = (self.congestion.window - (sent - acknowledged) as f64).max(SEGMENT) as usize;
            let Ok(n @ 1..) = from.read(&mut room[..allowed.min(BLOCK)]) else { return };
            let (arrives, acked) = self.send(n);
            sent += n as u64;
            under_way.push_back((acked, sent));
            if to.send((arrives, room[..n].to_vec())).is_err() {
                let _gone = from.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// When `n` bytes that are sent now arrive, and when that is known to the sender.
    fn send(&mut self, n: usize) -> (Instant, Instant) {
        let now = Instant::now();
        let Conditions { round_trip, loss, rate } = self.conditions;
        let segments = (n as f64 / SEGMENT).ceil();
        let mut is_lost = loss > 0.0 && self.dice.roll() > (1.0 - loss).powf(segments);
        let mut left = now;
        if let Some(rate) = rate {
            match self.bottleneck.pass(n, rate, now) {
                Some(end) => left = end,
                None => {
                    is_lost = true;
                    // The retransmission finds room when the queue has drained.
                    left = now + QUEUE;
                }
            }
        }
        let mut arrives = left + round_trip / 2;
        if is_lost {
            self.congestion.lost(round_trip, now);
            arrives += round_trip;
        }
        arrives = self.held.map_or(arrives, |held| held.max(arrives));
        self.held = Some(arrives);
        // Selective acknowledgements free the window for what was not lost.
        (arrives, if is_lost { arrives + round_trip / 2 } else { left + round_trip })
    }
}

/// Writes each block when it is due.
fn deliver(mut to: &TcpStream, coming: &Receiver<Block>, written: &AtomicU64) {
    for (due, bytes) in coming {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            return;
        }
        written.fetch_add(bytes.len() as u64, Ordering::Release);
    }
    let _gone = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_doubles_each_round_trip_and_shrinks_once_for_one_loss() {
        let (start, round_trip) = (Instant::now(), Duration::from_millis(100));
        let mut congestion = Congestion::new();
        let first = congestion.window;
        congestion.acknowledged(first, round_trip, start);
        assert_eq!(congestion.window, 2.0 * first);
        let full = congestion.window;
        congestion.lost(round_trip, start);
        congestion.lost(round_trip, start + round_trip / 2);
        assert_eq!(congestion.window, full * CUBIC.0);
        let reduced = congestion.window;
        congestion.acknowledged(reduced, round_trip, start + round_trip);
        assert!(congestion.window > reduced && congestion.window < full, "{}", congestion.window);
    }

    #[test]
    fn a_bottleneck_passes_at_its_rate_and_loses_what_its_queue_does_not_hold() {
        let (bottleneck, now) = (Bottleneck::default(), Instant::now());
        assert_eq!(bottleneck.pass(1000, 10_000.0, now), Some(now + Duration::from_millis(100)));
        assert_eq!(bottleneck.pass(1000, 10_000.0, now), Some(now + Duration::from_millis(200)));
        assert_eq!(bottleneck.pass(1000, 10_000.0, now), None);
    }

    #[test]
    fn bytes_pass_in_order_and_an_end_is_passed_on() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let target = listener.local_addr().expect("an address").port();
        let conditions = Conditions { round_trip: Duration::from_millis(1), loss: 0.05, rate: Some(50e6) };
        let port = open(conditions, target).expect("a path");
        let sent: Vec<u8> = (0..300_000u32).map(|at| at.to_be_bytes()[3]).collect();
        let expected = sent.clone();
        thread::spawn(move || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
            stream.write_all(&sent).expect("the path takes it");
        });
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("the end");
        assert!(received == expected);
    }
}
