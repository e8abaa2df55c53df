//! Our multiplexer against `hashicorp/yamux`, alive, in both roles over loopback TCP.

use std::io;
use std::time::Duration;

use crate::hashicorp::{self, Peer};
use crate::sent;
use hvym_tunnel_core::mux::{MuxConfig, MuxEnd, MuxError, OpenError, Role};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::apps::{exchange, pattern, size};
use hvym_tunnel_tests::lens::{ACK, DATA, FIN, GO_AWAY, PING, frames_so_far};
use hvym_tunnel_tests::meeting::{Io, OurEnd, Tasks, meet};
use hvym_tunnel_tests::pipe::{carry_late, pipe};
use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};

const WINDOW: usize = 256 * 1024;

/// Both sessions, running.
struct Pair {
    tasks: Tasks,
    ours: OurEnd,
    theirs: Peer,
}

async fn start(tasks: Tasks, role: Role, config: MuxConfig, flags: &[&str], delay: Duration) -> Pair {
    let command = match role {
        Role::Client => "serve",
        Role::Server => "dial",
    };
    let (theirs, stream) = Peer::start(command, flags).await;
    let io: Box<dyn Io> = if delay.is_zero() {
        Box::new(stream)
    } else {
        let (ours, line) = pipe();
        let (reader, writer) = smol::io::split(line);
        tasks.spawn(carry_late(stream.clone(), writer, delay)).detach();
        tasks.spawn(carry_late(reader, stream, delay)).detach();
        Box::new(ours)
    };
    let ours = OurEnd::start(&tasks, role, config, io);
    Pair { tasks, ours, theirs }
}

/// Runs a test in both roles, if there is a peer.
fn in_both_roles(config: MuxConfig, flags: &[&str], test: impl AsyncFn(Pair)) {
    if !hashicorp::is_there() {
        return;
    }
    for role in [Role::Client, Role::Server] {
        eprintln!("we are the {role:?}");
        meet(async |tasks| test(start(tasks, role, config.clone(), flags, Duration::ZERO).await).await);
    }
}

fn everywhere(test: impl AsyncFn(Pair)) {
    in_both_roles(MuxConfig::default(), &[], test);
}

#[test]
fn what_we_send_on_two_hundred_streams_comes_back_whole() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let mut exchanges = Vec::new();
        for n in 0..200 {
            let node = pair.ours.node.clone();
            exchanges.push(pair.tasks.spawn(async move {
                let request = pattern(n, size(n));
                let stream = node.open().await.expect("the session lives");
                assert!(exchange(stream, &request).await.expect("an answer") == request, "stream {n}");
            }));
        }
        for exchange in exchanges {
            exchange.await;
        }
        assert_eq!(pair.ours.node.stats().outbound, 0);
    });
}

#[test]
fn what_they_send_on_two_hundred_streams_goes_back_whole() {
    // They open the next stream before we have seen the end of the last one.
    in_both_roles(MuxConfig::acceptor(), &[], async |mut pair| {
        pair.ours.echo(&pair.tasks);
        assert_eq!(pair.theirs.tell("exchange 200 5").await, "ok");
        pair.ours.node.until(|node| (node.stats().inbound == 0).then_some(())).await;
    });
}

#[test]
fn megabytes_written_in_one_call_arrive_over_a_long_line_in_frames_larger_than_a_first_window() {
    const TOTAL: usize = 8 * 1024 * 1024;
    if !hashicorp::is_there() {
        return;
    }
    meet(async |tasks| {
        let config = MuxConfig::default().with(|config| config.max_stream_window = 8 << 20);
        let mut pair = start(tasks, Role::Client, config, &[], Duration::from_millis(20)).await;
        assert_eq!(pair.theirs.tell("open").await, "ok");
        pair.theirs.command(&format!("write 0 {TOTAL}")).await;
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        let mut received = vec![0; TOTAL];
        stream.read_exact(&mut received).await.expect("they write");
        assert_eq!(pair.theirs.answer().await, format!("{TOTAL} <nil>"));
        assert!(received.iter().enumerate().all(|(i, b)| *b == (i * 7 + (i >> 8)) as u8));
        assert!(pair.ours.node.stats().window_growth > WINDOW, "{:?}", pair.ours.node.stats());
        let inbound = frames_so_far(&pair.ours.record.inbound.borrow());
        let largest = inbound.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.length).max();
        assert!(largest.is_some_and(|length| length as usize > WINDOW), "{largest:?}");
    });
}

#[test]
fn our_frames_stay_small_in_a_window_of_eight_megabytes() {
    in_both_roles(MuxConfig::default(), &["-window", "8388608"], async |mut pair| {
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let request = pattern(8, 8 << 20);
        let stream = pair.ours.node.open().await.expect("the session lives");
        assert!(exchange(stream, &request).await.expect("an answer") == request);
        let outbound = frames_so_far(&pair.ours.record.outbound.borrow());
        assert!(outbound.iter().filter(|frame| frame.kind == DATA).all(|frame| frame.length <= 64 * 1024));
    });
}

#[test]
fn an_answer_longer_than_a_window_follows_our_end() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("reply 1500000").await, "ok");
        let stream = pair.ours.node.open().await.expect("the session lives");
        assert_eq!(exchange(stream, b"everything, please").await.expect("an answer").len(), 1_500_000);
        assert_eq!(pair.ours.node.stats().outbound, 0);
    });
}

#[test]
fn thousands_of_our_streams_come_and_go_many_at_a_time() {
    const CYCLES: usize = 5_000;
    const AT_ONCE: usize = 256;
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let mut workers = Vec::new();
        for worker in 0..AT_ONCE {
            let node = pair.ours.node.clone();
            workers.push(pair.tasks.spawn(async move {
                let mut done = 0;
                for _ in (worker..CYCLES).step_by(AT_ONCE) {
                    let stream = node.open().await.expect("the session lives");
                    assert_eq!(exchange(stream, b"ping").await.expect("an answer"), b"ping");
                    assert!(node.stats().unacked <= 256);
                    done += 1;
                }
                done
            }));
        }
        let mut done = 0;
        for worker in workers {
            done += worker.await;
        }
        assert_eq!(done, CYCLES);
        assert_eq!(pair.ours.node.stats().outbound, 0);
    });
}

#[test]
fn thousands_of_their_streams_come_and_go_many_at_a_time() {
    everywhere(async |mut pair| {
        pair.ours.echo(&pair.tasks);
        assert_eq!(pair.theirs.tell("exchange 100 50").await, "ok");
        pair.ours.node.until(|node| (node.stats().inbound == 0).then_some(())).await;
    });
}

#[test]
fn their_goodbye_stops_new_streams_and_no_old_one() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        stream.write_all(b"first").await.expect("room");
        stream.read_exact(&mut [0; 5]).await.expect("an answer");
        assert_eq!(pair.theirs.tell("goaway").await, "<nil>");
        pair.ours.node.remote_left().await;
        assert!(matches!(pair.ours.node.try_open(), Err(OpenError::Draining)));
        let request = pattern(9, 3 * WINDOW);
        assert!(exchange(stream, &request).await.expect("an answer") == request);
        assert_eq!(pair.ours.node.end(), None);
    });
}

#[test]
fn our_goodbye_stops_their_new_streams_and_no_old_one() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let stream = pair.ours.node.open().await.expect("the session lives");
        let deadline = Instant::from_millis(3_600_000);
        pair.ours.node.with(|mux, now| mux.go_away(now));
        // Their answer to a ping shows that they have read what came before it.
        assert_eq!(pair.theirs.tell("storm 1").await, "1");
        assert_eq!(pair.theirs.tell("open").await, "remote end is not accepting connections");
        pair.ours.node.with(|mux, now| mux.shutdown(deadline, now));
        let request = pattern(10, 3 * WINDOW);
        assert!(exchange(stream, &request).await.expect("an answer") == request);
        assert_eq!(pair.ours.end.await, MuxEnd::Normal);
        assert_eq!(pair.theirs.tell("ended").await, "ok");
        let goodbyes = frames_so_far(&pair.ours.record.outbound.borrow());
        assert!(goodbyes.iter().filter(|frame| frame.kind == GO_AWAY).all(|frame| frame.length == 0));
    });
}

#[test]
fn their_close_of_the_session_is_a_loss_and_not_an_end() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("open").await, "ok");
        assert_eq!(pair.theirs.tell("write 0 11").await, "11 <nil>");
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        stream.read_exact(&mut [0; 11]).await.expect("they write");
        assert_eq!(pair.theirs.tell("end").await, "<nil>");
        let error = stream.read(&mut [0]).await.expect_err("a stream was cut short");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    });
}

#[test]
fn a_stream_we_reset_is_reset_there_in_every_state() {
    everywhere(async |mut pair| {
        for state in 0..3 {
            let mut stream = pair.ours.node.open().await.expect("the session lives");
            stream.write_all(b"abc").await.expect("room");
            assert_eq!(pair.theirs.tell("hold").await, "ok");
            assert_eq!(pair.theirs.tell(&format!("read {state} 3")).await, "3 <nil>");
            if state == 1 {
                assert_eq!(pair.theirs.tell("write 1 1").await, "1 <nil>");
            }
            if state == 2 {
                assert_eq!(pair.theirs.tell("close 2").await, "<nil>");
                assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
            }
            drop(stream);
            if state < 2 {
                assert_eq!(pair.theirs.tell(&format!("read {state} 1")).await, "0 connection reset");
            }
        }
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let other = pair.ours.node.open().await.expect("the session lives");
        assert_eq!(exchange(other, b"still here?").await.expect("an answer"), b"still here?");
        assert_eq!(pair.theirs.tell("streams").await, "0");
    });
}

#[test]
fn their_second_close_of_a_stream_is_harmless() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("open").await, "ok");
        for command in ["close 0", "close 0"] {
            assert_eq!(pair.theirs.tell(command).await, "<nil>");
        }
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
        stream.close().await.expect("a half of its own");
        assert_eq!(pair.theirs.tell("storm 1").await, "1");
        assert_eq!(pair.ours.node.stats().inbound, 0);
        assert_eq!(pair.theirs.tell("streams").await, "0");
    });
}

#[test]
fn we_end_a_stream_once_and_never_together_with_data() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        stream.write_all(&[1; 100_000]).await.expect("room");
        stream.close().await.expect("a half of its own");
        stream.close().await.expect("a second time does nothing");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("an end");
        assert_eq!(received, [1; 100_000]);
        assert_eq!(pair.theirs.tell("storm 1").await, "1", "their session lives");
        let outbound = frames_so_far(&pair.ours.record.outbound.borrow());
        let ends: Vec<_> = outbound.iter().filter(|frame| frame.flags & FIN != 0 && frame.id != 0).collect();
        assert!(matches!(ends[..], [end] if end.kind != DATA), "{ends:?}");
    });
}

#[test]
fn their_keepalive_is_answered_and_ends_the_session_when_we_hang() {
    let flags = ["-keepalive", "-interval", "50ms", "-timeout", "400ms"];
    in_both_roles(MuxConfig::default(), &flags, async |mut pair| {
        let record = pair.ours.record.clone();
        let answers = move || {
            let outbound = frames_so_far(&record.outbound.borrow());
            outbound.iter().filter(|frame| frame.kind == PING && frame.flags & ACK != 0).count()
        };
        pair.ours.node.until(|_| (answers() >= 3).then_some(())).await;
        assert_eq!(pair.ours.node.end(), None);
        pair.ours.node.set_reading(false);
        assert_eq!(pair.theirs.tell("ended").await, "ok");
    });
}

#[test]
fn a_peer_that_hangs_is_given_up_by_our_keepalive() {
    let (interval, timeout) = (Duration::from_secs(30), Duration::from_secs(20));
    let config = MuxConfig::default().with(|config| config.keepalive = Some((interval, timeout)));
    in_both_roles(config, &[], async |pair| {
        let record = pair.ours.record.clone();
        let count = move |flag| {
            let both = [record.inbound.borrow(), record.outbound.borrow()].map(|bytes| frames_so_far(&bytes));
            both.concat().iter().filter(|frame| frame.kind == PING && frame.flags & flag != 0).count()
        };
        // Ten minutes in which nobody says anything else.
        for answered in 1..=20 {
            // The first is the measurement of the start.
            pair.ours.node.until(|_| (count(ACK) == answered).then_some(())).await;
            pair.ours.node.skip(interval);
            pair.ours.node.until(|_| (count(ACK) == answered + 1).then_some(())).await;
        }
        assert_eq!(pair.ours.node.end(), None);
        pair.theirs.signal("STOP");
        pair.ours.node.skip(interval);
        pair.ours.node.until(|_| (count(1) == 22).then_some(())).await;
        pair.ours.node.skip(timeout);
        assert_eq!(pair.ours.end.await, MuxEnd::Failed(MuxError::KeepAlive));
        pair.theirs.signal("CONT");
    });
}

#[test]
fn a_storm_of_pings_from_an_honest_application_is_weathered() {
    // Pongs that nobody pulled in time are overwritten, so not every ping is answered.
    in_both_roles(MuxConfig::default(), &["-timeout", "500ms"], async |mut pair| {
        let answered: usize = pair.theirs.tell("storm 500").await.parse().expect("a number");
        assert!(answered >= 16, "{answered}");
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let stream = pair.ours.node.open().await.expect("the session lives");
        assert_eq!(exchange(stream, b"still here?").await.expect("an answer"), b"still here?");
    });
}

#[test]
fn a_reader_that_stops_here_holds_a_window_and_no_more() {
    everywhere(async |mut pair| {
        let total = 8 * WINDOW;
        assert_eq!(pair.theirs.tell("open").await, "ok");
        pair.theirs.command(&format!("write 0 {total}")).await;
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        pair.ours.node.until(|node| (node.stats().unread == WINDOW).then_some(())).await;
        let mut received = vec![0; total];
        stream.read_exact(&mut received).await.expect("they write");
        assert_eq!(pair.theirs.answer().await, format!("{total} <nil>"));
    });
}

#[test]
fn a_reader_that_stops_there_stops_our_writer() {
    everywhere(async |mut pair| {
        let total = 8 * WINDOW;
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        let sender = pair.tasks.spawn(async move {
            stream.write_all(&pattern(1, total)).await.expect("they read in the end");
            stream.close().await.expect("they read in the end");
            stream
        });
        assert_eq!(pair.theirs.tell("hold").await, "ok");
        sent::by_first_stream(&pair.ours.record, WINDOW).await;
        assert_eq!(pair.theirs.tell("storm 1").await, "1");
        assert_eq!(pair.ours.node.stats().unsent, 0, "nothing is queued that they have not granted");
        assert_eq!(sent::by_first_stream(&pair.ours.record, WINDOW).await, WINDOW);
        assert_eq!(pair.theirs.tell("drain 0").await, format!("{total} <nil>"));
        drop(sender.await);
    });
}

#[test]
fn a_peer_that_is_killed_in_the_middle_is_a_loss_and_not_an_end() {
    everywhere(async |mut pair| {
        assert_eq!(pair.theirs.tell("open").await, "ok");
        pair.theirs.command("write 0 100000000").await;
        let mut stream = pair.ours.node.accept().await.expect("a stream");
        stream.read_exact(&mut vec![0; 1_000_000]).await.expect("they write");
        pair.theirs.signal("KILL");
        let mut rest = Vec::new();
        let error = stream.read_to_end(&mut rest).await.expect_err("the stream was cut short");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(pair.ours.end.await, MuxEnd::Failed(MuxError::Lost));
    });
}

#[test]
fn streams_beyond_their_backlog_are_reset_and_the_others_live() {
    in_both_roles(MuxConfig::default(), &["-backlog", "8"], async |mut pair| {
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut stream = pair.ours.node.try_open().expect("their backlog is not ours");
            stream.write_all(b"hello").await.expect("room");
            streams.push(stream);
        }
        pair.ours.node.until(|node| (node.stats().outbound == 8).then_some(())).await;
        assert_eq!(pair.theirs.tell("echo").await, "ok");
        let mut alive = 0;
        for stream in &mut streams {
            match stream.read_exact(&mut [0; 5]).await {
                Ok(()) => alive += 1,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
            }
        }
        assert_eq!(alive, 8);
    });
}

#[test]
fn both_ends_may_write_much_at_once_and_neither_stops() {
    everywhere(async |mut pair| {
        let total = 16 * WINDOW;
        let mut stream = pair.ours.node.open().await.expect("the session lives");
        stream.write_all(b"!").await.expect("room");
        assert_eq!(pair.theirs.tell("hold").await, "ok");
        pair.theirs.command(&format!("write 0 {total}")).await;
        let (mut reader, mut writer) = smol::io::split(stream);
        let (data, mut received) = (pattern(2, total), vec![0; total]);
        let work = zip(writer.write_all(&data), reader.read_exact(&mut received));
        // They write before they read; our writing must not keep us from reading.
        let their_work = async {
            assert_eq!(pair.theirs.answer().await, format!("{total} <nil>"));
            assert_eq!(
                pair.theirs.tell(&format!("read 0 {}", total + 1)).await,
                format!("{} <nil>", total + 1)
            );
        };
        let ((sent, got), ()) = zip(work, their_work).await;
        sent.expect("they read in the end");
        got.expect("they write");
    });
}
