//! Our multiplexer against the crate `yamux`, in both roles, in memory and over TCP.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::sent;
use crate::yamux::Peer;
use hvym_tunnel_core::mux::{MuxConfig, MuxEnd, MuxError, OpenError, Role};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::apps::{echo, exchange, pattern, size};
use hvym_tunnel_tests::lens::{ACK, DATA, FIN, PING, frames_so_far};
use hvym_tunnel_tests::meeting::{Io, OurEnd, Tasks, Transport, connect, meet};
use hvym_tunnel_tests::pipe::{carry_late, pipe};
use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use yamux::{Config, ConnectionError, Mode};

const WINDOW: usize = 256 * 1024;

/// Both sessions, running.
struct Pair {
    tasks: Tasks,
    ours: OurEnd,
    theirs: Peer,
    their_end: smol::Task<Result<(), ConnectionError>>,
}

impl Pair {
    fn start(tasks: Tasks, role: Role, ends: (Box<dyn Io>, Box<dyn Io>)) -> Self {
        let mode = match role {
            Role::Client => Mode::Server,
            Role::Server => Mode::Client,
        };
        let ours = OurEnd::start(&tasks, role, MuxConfig::default(), ends.0);
        let (theirs, driver) = Peer::new(mode, Config::default(), ends.1);
        let their_end = tasks.spawn(driver);
        Pair { tasks, ours, theirs, their_end }
    }

    /// Their side sends back whatever comes on any stream.
    fn they_echo(&self) {
        let (theirs, tasks) = (self.theirs.clone(), self.tasks.clone());
        let work = async move {
            while let Some(stream) = theirs.accept().await {
                tasks.spawn(echo(stream)).detach();
            }
        };
        self.tasks.spawn(work).detach();
    }
}

/// Runs a test in both roles over both transports.
fn everywhere(test: impl AsyncFn(Pair)) {
    for transport in [Transport::Memory, Transport::Tcp] {
        for role in [Role::Client, Role::Server] {
            eprintln!("we are the {role:?}, over {transport:?}");
            meet(async |tasks| test(Pair::start(tasks, role, connect(transport).await)).await);
        }
    }
}

#[test]
fn what_we_send_on_two_hundred_streams_comes_back_whole() {
    everywhere(async |pair| {
        pair.they_echo();
        let mut exchanges = Vec::new();
        for n in 0..200 {
            let node = pair.ours.node.clone();
            exchanges.push(pair.tasks.spawn(async move {
                let request = pattern(n, size(n));
                let stream = node.open().await.expect("the session lives");
                assert_eq!(exchange(stream, &request).await.expect("an answer"), request, "stream {n}");
            }));
        }
        for exchange in exchanges {
            exchange.await;
        }
        let largest = frames_so_far(&pair.ours.record.outbound.borrow())
            .iter()
            .map(|f| (f.kind == DATA, f.length))
            .max();
        assert!(largest.is_some_and(|(data, length)| data && length <= 64 * 1024));
        assert_eq!(pair.ours.node.stats().outbound, 0);
    });
}

#[test]
fn what_they_send_on_two_hundred_streams_goes_back_whole() {
    everywhere(async |pair| {
        pair.ours.echo(&pair.tasks);
        let mut exchanges = Vec::new();
        for n in 0..200 {
            let theirs = pair.theirs.clone();
            exchanges.push(pair.tasks.spawn(async move {
                let request = pattern(n, size(n));
                let answer = exchange(theirs.open().await, &request).await.expect("an answer");
                assert_eq!(answer, request, "stream {n}");
            }));
        }
        for exchange in exchanges {
            exchange.await;
        }
        pair.ours.node.until(|node| (node.stats().inbound == 0).then_some(())).await;
    });
}

#[test]
fn our_frames_stay_small_however_large_their_window_has_grown() {
    const TOTAL: usize = 6 * 1024 * 1024;
    meet(async |tasks| {
        // A long line makes their window grow.
        let (ours, near) = pipe();
        let (far, theirs) = pipe();
        let delay = Duration::from_millis(10);
        let ((near_in, near_out), (far_in, far_out)) = (smol::io::split(near), smol::io::split(far));
        tasks.spawn(carry_late(near_in, far_out, delay)).detach();
        tasks.spawn(carry_late(far_in, near_out, delay)).detach();
        let pair = Pair::start(tasks, Role::Client, (Box::new(ours), Box::new(theirs)));
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        let data = pattern(1, TOTAL);
        let send = async {
            stream.write_all(&data).await.expect("they read");
            stream.close().await.expect("they read");
        };
        let receive = async {
            let mut received = Vec::new();
            let mut stream = pair.theirs.accept().await.expect("a stream");
            stream.read_to_end(&mut received).await.expect("we write");
            received
        };
        let ((), received) = zip(send, receive).await;
        assert!(received == data);
        let inbound = frames_so_far(&pair.ours.record.inbound.borrow());
        let grant = inbound.iter().filter(|frame| frame.kind != DATA).map(|frame| frame.length).max();
        assert!(grant.is_some_and(|grant| grant as usize > 2 * WINDOW), "their window grew: {grant:?}");
        let outbound = frames_so_far(&pair.ours.record.outbound.borrow());
        assert!(outbound.iter().filter(|frame| frame.kind == DATA).all(|frame| frame.length <= 64 * 1024));
    });
}

#[test]
fn an_answer_longer_than_a_window_follows_our_end() {
    everywhere(async |pair| {
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        stream.write_all(b"everything, please").await.expect("they read");
        stream.close().await.expect("a half of its own");
        let answer = pattern(3, 5 * WINDOW);
        let mut theirs = pair.theirs.accept().await.expect("a stream");
        let mut received = Vec::new();
        let reply = async {
            let mut question = Vec::new();
            theirs.read_to_end(&mut question).await.expect("we write");
            assert_eq!(question, b"everything, please");
            theirs.write_all(&answer).await.expect("we read");
            theirs.close().await.expect("we read");
        };
        let ((), outcome) = zip(reply, stream.read_to_end(&mut received)).await;
        outcome.expect("an end, not a reset");
        assert!(received == answer);
    });
}

#[test]
fn an_answer_longer_than_a_window_follows_their_end() {
    everywhere(async |pair| {
        let mut theirs = pair.theirs.open().await;
        theirs.write_all(b"everything, please").await.expect("we read");
        theirs.close().await.expect("a half of its own");
        let answer = pattern(4, 5 * WINDOW);
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        let mut received = Vec::new();
        let reply = async {
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await.expect("they write");
            assert_eq!(question, b"everything, please");
            stream.write_all(&answer).await.expect("they read");
            stream.close().await.expect("they read");
        };
        let ((), outcome) = zip(reply, theirs.read_to_end(&mut received)).await;
        outcome.expect("an end");
        assert!(received == answer);
    });
}

#[test]
fn ten_thousand_streams_come_and_go_many_at_a_time() {
    // In both roles over both transports: ten thousand.
    const CYCLES: usize = 2_500;
    const AT_ONCE: usize = 256;
    everywhere(async |pair| {
        pair.they_echo();
        let done = Rc::new(RefCell::new(0));
        let mut workers = Vec::new();
        for worker in 0..AT_ONCE {
            let (node, done) = (pair.ours.node.clone(), done.clone());
            workers.push(pair.tasks.spawn(async move {
                for _ in (worker..CYCLES).step_by(AT_ONCE) {
                    let stream = node.open().await.expect("the session lives");
                    assert_eq!(exchange(stream, b"ping").await.expect("an answer"), b"ping");
                    *done.borrow_mut() += 1;
                    assert!(node.stats().unacked <= 256);
                }
            }));
        }
        for worker in workers {
            worker.await;
        }
        assert_eq!(*done.borrow(), CYCLES);
        assert_eq!(pair.ours.node.stats().outbound, 0);
    });
}

#[test]
fn streams_they_never_acknowledge_stop_our_opening_until_one_of_them_moves() {
    everywhere(async |pair| {
        let mut ours = Vec::new();
        loop {
            match pair.ours.node.try_open() {
                Ok(stream) => ours.push(stream),
                Err(error) => {
                    assert_eq!(error, OpenError::AckBacklog);
                    break;
                }
            }
        }
        assert_eq!(ours.len(), 256);
        // They accept all of them and only read: that says nothing on the wire.
        let mut theirs = Vec::new();
        for stream in &mut ours {
            stream.write_all(b"x").await.expect("room");
        }
        for _ in &ours {
            let mut accepted = pair.theirs.accept().await.expect("a stream");
            accepted.read_exact(&mut [0]).await.expect("we write");
            theirs.push(accepted);
        }
        assert!(matches!(pair.ours.node.try_open(), Err(OpenError::AckBacklog)));
        // One answers, and one ends: both make room.
        theirs[0].write_all(b"y").await.expect("we read");
        theirs[1].close().await.expect("we read");
        for _ in 0..2 {
            ours.push(pair.ours.node.open().await.expect("room again"));
        }
        assert!(matches!(pair.ours.node.try_open(), Err(OpenError::AckBacklog)));
        let frames = frames_so_far(&pair.ours.record.inbound.borrow());
        let acks = frames.iter().filter(|f| f.kind != PING && f.flags & ACK != 0).count();
        assert!(acks <= 2, "{acks} acknowledgements");
    });
}

#[test]
fn their_goodbye_in_the_middle_is_a_loss_and_not_an_end() {
    everywhere(async |pair| {
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        stream.write_all(b"more").await.expect("room");
        let mut theirs = pair.theirs.accept().await.expect("a stream");
        theirs.write_all(b"half an ans").await.expect("we read");
        let mut received = [0; 11];
        stream.read_exact(&mut received).await.expect("they write");
        pair.theirs.close();
        pair.ours.node.remote_left().await;
        let refused = pair.ours.node.try_open().err();
        assert!(matches!(refused, Some(OpenError::Draining | OpenError::Closed)), "{refused:?}");
        let error = stream.read(&mut received).await.expect_err("an answer was cut short");
        assert!(
            matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset),
            "{error}"
        );
    });
}

#[test]
fn our_shutdown_lets_a_transfer_end_and_then_says_goodbye() {
    everywhere(async |pair| {
        pair.they_echo();
        let stream = pair.ours.node.open().await.expect("the session lives");
        let request = pattern(5, 3 * WINDOW);
        let deadline = Instant::from_millis(3_600_000);
        pair.ours.node.with(|mux, now| mux.shutdown(deadline, now));
        assert!(matches!(pair.ours.node.try_open(), Err(OpenError::Draining)));
        assert!(exchange(stream, &request).await.expect("an answer") == request);
        assert_eq!(pair.ours.end.await, MuxEnd::Normal);
        assert!(!matches!(pair.their_end.await, Err(ConnectionError::Decode(_))));
    });
}

#[test]
fn a_stream_they_drop_is_reset_here() {
    everywhere(async |pair| {
        let mut theirs = pair.theirs.open().await;
        theirs.write_all(b"half a que").await.expect("we read");
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        stream.read_exact(&mut [0; 10]).await.expect("they write");
        drop(theirs);
        let error = stream.read(&mut [0]).await.expect_err("a question was cut short");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        // The session lives on.
        pair.they_echo();
        let other = pair.ours.node.open().await.expect("the session lives");
        assert_eq!(exchange(other, b"still here?").await.expect("an answer"), b"still here?");
    });
}

#[test]
fn a_stream_we_drop_ends_there_in_every_state() {
    everywhere(async |pair| {
        // Before anything was sent, after data, after our end, after their end.
        drop(pair.ours.node.open().await.expect("the session lives"));
        for state in 0..3 {
            let mut stream = pair.ours.node.open().await.expect("the session lives");
            stream.write_all(b"abc").await.expect("room");
            let mut theirs = pair.theirs.accept().await.expect("a stream");
            theirs.read_exact(&mut [0; 3]).await.expect("we write");
            if state == 1 {
                stream.close().await.expect("a half of its own");
            }
            if state == 2 {
                theirs.close().await.expect("a half of its own");
                assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
            }
            drop(stream);
            assert_eq!(theirs.read(&mut [0]).await.expect("they see an end in a reset"), 0);
        }
        pair.they_echo();
        let other = pair.ours.node.open().await.expect("the session lives");
        assert_eq!(exchange(other, b"still here?").await.expect("an answer"), b"still here?");
        assert_eq!(pair.ours.node.stats().outbound, 0);
    });
}

#[test]
fn their_second_end_of_a_stream_is_harmless() {
    everywhere(async |pair| {
        let mut theirs = pair.theirs.open().await;
        theirs.write_all(b"x").await.expect("we read");
        theirs.close().await.expect("we read");
        theirs.close().await.expect("they allow it");
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("an end");
        assert_eq!(received, b"x");
        stream.write_all(b"answer").await.expect("this half is open");
        stream.close().await.expect("a half of its own");
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.expect("an end");
        assert_eq!(answer, b"answer");
        let ends =
            frames_so_far(&pair.ours.record.inbound.borrow()).iter().filter(|f| f.flags & FIN != 0).count();
        assert_eq!(ends, 2, "they really send it twice");
        assert_eq!(pair.ours.node.end(), None);
    });
}

#[test]
fn a_reader_that_stops_here_holds_a_window_and_no_more() {
    everywhere(async |pair| {
        let mut theirs = pair.theirs.open().await;
        let data = pattern(6, 8 * WINDOW);
        let sender = pair.tasks.spawn({
            let data = data.clone();
            async move {
                theirs.write_all(&data).await.expect("we read in the end");
                theirs.close().await.expect("we read in the end");
            }
        });
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        pair.ours.node.until(|node| (node.stats().unread == WINDOW).then_some(())).await;
        // Others go on meanwhile.
        pair.they_echo();
        let other = pair.ours.node.open().await.expect("the session lives");
        assert_eq!(exchange(other, b"meanwhile").await.expect("an answer"), b"meanwhile");
        assert_eq!(pair.ours.node.stats().unread, WINDOW);
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("an end");
        sender.await;
        assert!(received == data);
    });
}

#[test]
fn a_reader_that_stops_there_stops_our_writer_and_no_other() {
    everywhere(async |pair| {
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        let data = pattern(7, 8 * WINDOW);
        let sender = pair.tasks.spawn({
            let data = data.clone();
            async move {
                stream.write_all(&data).await.expect("they read in the end");
                stream.close().await.expect("they read in the end");
                stream
            }
        });
        let mut theirs = pair.theirs.accept().await.expect("a stream");
        pair.they_echo();
        sent::by_first_stream(&pair.ours.record, WINDOW).await;
        let other = pair.ours.node.open().await.expect("the session lives");
        assert_eq!(exchange(other, b"meanwhile").await.expect("an answer"), b"meanwhile");
        assert_eq!(pair.ours.node.stats().unsent, 0, "nothing is queued that they have not granted");
        assert_eq!(sent::by_first_stream(&pair.ours.record, WINDOW).await, WINDOW);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.expect("an end");
        sender.await;
        assert!(received == data);
    });
}

#[test]
fn a_connection_that_is_lost_in_the_middle_of_a_frame_is_no_end() {
    everywhere(async |pair| {
        let mut theirs = pair.theirs.open().await;
        theirs.write_all(b"a frame, and then a part of one").await.expect("we read");
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        stream.read_exact(&mut [0; 31]).await.expect("they write");
        pair.their_end.cancel().await;
        let error = stream.read(&mut [0]).await.expect_err("the stream was cut short");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(pair.ours.end.await, MuxEnd::Failed(MuxError::Lost));
    });
}
