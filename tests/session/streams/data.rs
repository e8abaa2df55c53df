//! Bytes through a link: ends, tears, loss, and streams beside each other.

use std::time::Duration;

use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Close;
use hvym_tunnel_core::mux::{ClosedStream, StreamError, StreamId};
use hvym_tunnel_tests::ends::{
    AgentEnd, Outcome, RelayEnd, agent_config, finish, opening, pair, pair_with, read, session_config, write,
};
use hvym_tunnel_tests::pair::Pair;
use hvym_tunnel_tests::wire::{Recut, WireConfig};

const GONE: Outcome = Outcome::Broken(StreamError::Closed(ClosedStream));
const A_MOMENT: Duration = Duration::from_millis(100);

/// A stream of a link: the relay's id and the agent's.
fn open(pair: &mut Pair<AgentEnd, RelayEnd>) -> (StreamId, StreamId) {
    let now = pair.now;
    let ours = pair.relay.session().open(&opening("web"), now).expect("room");
    pair.run(A_MOMENT);
    (ours, pair.agent.opened().last().expect("announced").0)
}

fn every_recut() -> impl Iterator<Item = Pair<AgentEnd, RelayEnd>> {
    [Recut::Whole, Recut::Every(1), Recut::Every(13), Recut::Anywhere].into_iter().map(|recut| {
        let wire = WireConfig { recut, ..WireConfig::default() };
        let mut pair = pair_with(agent_config(), session_config(), wire, [7; 32]);
        pair.up();
        pair
    })
}

#[test]
fn each_half_ends_by_itself_question_first() {
    for mut pair in every_recut() {
        let (ours, theirs) = open(&mut pair);
        let now = pair.now;
        write(pair.relay.session(), ours, b"question", now);
        finish(pair.relay.session(), ours, now);
        pair.run(A_MOMENT);
        assert_eq!(
            read(&mut pair.agent.machine, theirs, pair.now),
            (b"question".to_vec(), Outcome::Finished)
        );
        assert_eq!(read(pair.relay.session(), ours, now), (vec![], Outcome::Open));
        let now = pair.now;
        write(&mut pair.agent.machine, theirs, b"answer", now);
        pair.run(A_MOMENT);
        assert_eq!(read(pair.relay.session(), ours, now), (b"answer".to_vec(), Outcome::Open));
        finish(&mut pair.agent.machine, theirs, pair.now);
        pair.run(A_MOMENT);
        let now = pair.now;
        assert_eq!(read(pair.relay.session(), ours, now), (vec![], Outcome::Finished));
    }
}

#[test]
fn each_half_ends_by_itself_answer_first() {
    for mut pair in every_recut() {
        let (ours, theirs) = open(&mut pair);
        write(&mut pair.agent.machine, theirs, b"go away", pair.now);
        finish(&mut pair.agent.machine, theirs, pair.now);
        pair.run(A_MOMENT);
        let now = pair.now;
        assert_eq!(read(pair.relay.session(), ours, now), (b"go away".to_vec(), Outcome::Finished));
        write(pair.relay.session(), ours, b"but why", now);
        finish(pair.relay.session(), ours, now);
        pair.run(A_MOMENT);
        assert_eq!(read(&mut pair.agent.machine, theirs, pair.now), (b"but why".to_vec(), Outcome::Finished));
    }
}

#[test]
fn a_reset_never_reads_as_an_end() {
    for agent_resets in [true, false] {
        for mut pair in every_recut() {
            let (ours, theirs) = open(&mut pair);
            let now = pair.now;
            write(pair.relay.session(), ours, b"half a que", now);
            write(&mut pair.agent.machine, theirs, b"half an ans", now);
            pair.run(A_MOMENT);
            let now = pair.now;
            if agent_resets {
                pair.agent.machine.stream(theirs).expect("live").reset(9, now);
            } else {
                pair.relay.session().stream(ours).expect("live").reset(9, now);
            }
            pair.run(A_MOMENT);
            let now = pair.now;
            let (relay, agent) =
                (read(pair.relay.session(), ours, now).1, read(&mut pair.agent.machine, theirs, now).1);
            assert!(
                matches!((relay, agent), (Outcome::Broken(_), Outcome::Broken(_))),
                "{relay:?} {agent:?}"
            );
            assert!(pair.agent.machine.is_up());
        }
    }
}

#[test]
fn the_loss_of_the_link_never_reads_as_an_end() {
    type Lose = fn(&mut Pair<AgentEnd, RelayEnd>);
    let ways: [(&str, Lose); 5] = [
        ("cut", |pair| pair.cut()),
        ("the relay goes", |pair| {
            pair.relay.session().refuse(hvym_tunnel_core::reason::DownReason::GoingAway, pair.now)
        }),
        ("a clean close", |pair| pair.agent.machine.handle_close(Close::new(1000, ""), pair.now)),
        ("the agent goes", |pair| pair.agent.machine.close(pair.now)),
        ("silence", |pair| {
            pair.stopped = Some(hvym_tunnel_core::machine::Side::Relay);
            pair.run(Duration::from_secs(20));
        }),
    ];
    for (what, lose) in ways {
        let mut pair = pair();
        pair.up();
        let (_, theirs) = open(&mut pair);
        let (_, read_out) = open(&mut pair);
        let now = pair.now;
        pair.relay.session().open(&opening("api"), now).expect("room");
        lose(&mut pair);
        pair.run(A_MOMENT);
        for id in [theirs, read_out] {
            assert_eq!(read(&mut pair.agent.machine, id, pair.now), (vec![], GONE), "{what}");
        }
    }
}

#[test]
fn a_session_that_is_lost_breaks_its_streams_too() {
    let mut pair = pair();
    pair.up();
    let (ours, theirs) = open(&mut pair);
    write(&mut pair.agent.machine, theirs, b"half an answer", pair.now);
    pair.run(A_MOMENT);
    pair.relay.session().handle_close(Close::abnormal("reset"), pair.now);
    let now = pair.now;
    assert_eq!(read(pair.relay.session(), ours, now), (vec![], GONE));
    assert!(pair.relay.session().open(&opening("web"), now).is_err());
}

#[test]
fn a_stream_that_nobody_reads_does_not_delay_another_one() {
    for mut pair in every_recut().take(1) {
        let (slow, _) = open(&mut pair);
        let (fast, theirs) = open(&mut pair);
        let now = pair.now;
        while write(pair.relay.session(), slow, &[1; 16 * 1024], now) > 0 {
            pair.run(A_MOMENT);
        }
        let start = pair.now;
        let (mut sent, mut received) = (0, 0);
        while received < 1024 * 1024 {
            let now = pair.now;
            sent += write(pair.relay.session(), fast, &[2; 16 * 1024], now);
            pair.run(Duration::from_millis(10));
            let now = pair.now;
            let (data, outcome) = read(&mut pair.agent.machine, theirs, now);
            assert_eq!(outcome, Outcome::Open);
            assert!(data.iter().all(|byte| *byte == 2));
            received += data.len();
        }
        assert!(sent >= received);
        // 16 KiB every 10 ms, and the way there.
        assert!(pair.now - start <= Duration::from_millis(700), "{:?}", pair.now - start);
    }
}

#[test]
fn bytes_arrive_in_order_and_whole_wherever_the_messages_are_cut() {
    for mut pair in every_recut() {
        let streams: Vec<_> = (0..5).map(|_| open(&mut pair)).collect();
        let data = |stream: usize| (0..20_000).map(move |at| (at * 7 + stream) as u8).collect::<Vec<u8>>();
        for (at, (ours, theirs)) in streams.iter().enumerate() {
            let now = pair.now;
            assert_eq!(write(pair.relay.session(), *ours, &data(at), now), 20_000);
            assert_eq!(write(&mut pair.agent.machine, *theirs, &data(at + 100), now), 20_000);
            finish(pair.relay.session(), *ours, now);
            finish(&mut pair.agent.machine, *theirs, now);
        }
        pair.run(Duration::from_secs(1));
        let now = pair.now;
        for (at, (ours, theirs)) in streams.into_iter().enumerate() {
            assert_eq!(read(&mut pair.agent.machine, theirs, now), (data(at), Outcome::Finished));
            assert_eq!(read(pair.relay.session(), ours, now), (data(at + 100), Outcome::Finished));
        }
    }
}
