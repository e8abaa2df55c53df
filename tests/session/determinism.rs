//! The same seed and the same inputs give the same bytes, at the same times, in the same order.

use std::time::Duration;

use hvym_tunnel_core::handshake::AuthMode;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_tests::ends::{agent_config, finish, opening, pair_with, read, session_config, write};
use hvym_tunnel_tests::pair::Dials;
use hvym_tunnel_tests::wire::{Recut, WireConfig};

const SECOND: Duration = Duration::from_secs(1);

/// Everything that can happen to a link, one after the other. What was sent, and what both owners were told.
fn story(seed: u8, mode: AuthMode, recut: Recut) -> String {
    let mut agent = agent_config();
    agent.login.mode = mode;
    let wire = WireConfig { recut, ..WireConfig::default() };
    let mut pair = pair_with(agent, session_config(), wire, [seed; 32]);
    pair.dials = Dials::Fail;
    pair.run(20 * SECOND);
    pair.dials = Dials::Succeed;
    pair.up();
    for round in 0..3_u8 {
        let now = pair.now;
        let streams: Vec<_> =
            (0..20).map(|_| pair.relay.session().open(&opening("web"), now).expect("room")).collect();
        for (at, id) in streams.iter().enumerate() {
            write(pair.relay.session(), *id, &vec![round; 100 * (at + 1)], now);
        }
        pair.run(SECOND / 10);
        let now = pair.now;
        let opened = pair.agent.opened();
        for (id, _) in &opened[opened.len() - 20..] {
            let (data, _) = read(&mut pair.agent.machine, *id, now);
            write(&mut pair.agent.machine, *id, &data, now);
            finish(&mut pair.agent.machine, *id, now);
        }
        pair.run(25 * SECOND);
        match round {
            0 => pair.cut(),
            1 => {
                pair.stopped = Some(Side::Relay);
                pair.run(30 * SECOND);
                pair.stopped = None;
            }
            _ => pair.relay.session().refuse(DownReason::GoingAway, pair.now),
        }
        pair.up();
    }
    pair.agent.machine.close(pair.now);
    pair.run(60 * SECOND);
    format!("{}\n{:#?}\n{:#?}", pair.transcript, pair.agent.events, pair.relay.events)
}

#[test]
fn the_same_seed_and_inputs_give_the_same_bytes() {
    for mode in [AuthMode::Challenge, AuthMode::Bearer] {
        for recut in [Recut::Whole, Recut::Anywhere] {
            let first = story(1, mode, recut);
            assert!(first.len() > 100_000, "{}", first.len());
            assert!(first == story(1, mode, recut), "{mode:?} {recut:?}");
        }
    }
}

#[test]
fn another_seed_gives_other_challenges_and_delays() {
    let (one, two) =
        (story(1, AuthMode::Challenge, Recut::Whole), story(2, AuthMode::Challenge, Recut::Whole));
    let challenges = |story: &str| -> Vec<String> {
        story.lines().filter(|line| line.contains("auth_challenge")).map(str::to_owned).collect()
    };
    assert!(challenges(&one).len() >= 4);
    assert!(challenges(&one).iter().all(|line| !challenges(&two).contains(line)));
}

#[test]
fn where_messages_are_cut_changes_no_event_of_a_stream() {
    let opened = |story: &str| story.matches("Opened").count();
    let whole = story(3, AuthMode::Challenge, Recut::Whole);
    for recut in [Recut::Every(1), Recut::Every(100), Recut::Anywhere] {
        let cut = story(3, AuthMode::Challenge, recut);
        assert_eq!(opened(&cut), opened(&whole), "{recut:?}");
        assert_eq!(cut.matches("Down").count(), whole.matches("Down").count(), "{recut:?}");
    }
}
