//! Whatever a peer, a clock or an owner does: no panic, and the next honest connection works.

mod act;

use std::time::Duration;

use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::reason::Retry;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::{
    AgentEnd, Outcome, RelayEnd, agent_config, opening, pair, read, session_config, write,
};
use hvym_tunnel_tests::pair::{End, Pair};
use hvym_tunnel_tests::wire::WireConfig;
use proptest::prelude::*;

use act::{Act, acts};

/// More than any machine may want to say about one input: a flood would be cut off long before.
const MAX_OUTPUT: usize = 2_000;

/// An agent or a session under test, with what its owner and its socket would know.
struct Subject<E> {
    end: E,
    now: Instant,
    /// Whether the machine has said its last word on this socket.
    closed: bool,
}

impl<E: End> Subject<E> {
    /// Drains the machine as a driver would; what it says must be well-formed and bounded.
    fn drain(&mut self) {
        while let Some(event) = self.end.machine().and_then(Machine::poll_event) {
            self.end.on_event(event, self.now);
        }
        let mut said = 0;
        while let Some(transmit) = self.end.machine().and_then(Machine::poll_transmit) {
            said += 1;
            assert!(said < MAX_OUTPUT, "an output without end");
            assert!(!self.closed, "{transmit:?} after the close");
            if let Transmit::Close(close) = transmit {
                assert!(
                    close.reason.len() <= Close::MAX_REASON_BYTES && close.code >= 1000 && close.code != 1006
                );
                self.closed = true;
            }
        }
        while let Some(event) = self.end.machine().and_then(Machine::poll_event) {
            self.end.on_event(event, self.now);
        }
    }
}

/// The agent of a fresh pair, after `logged_in` steps of an honest login.
fn agent(logged_in: bool) -> Subject<AgentEnd> {
    let mut pair = pair();
    match logged_in {
        true => pair.up(),
        false => pair.settle(),
    }
    Subject { end: pair.agent, now: pair.now, closed: false }
}

fn session(logged_in: bool) -> Subject<RelayEnd> {
    let mut pair = pair();
    match logged_in {
        true => pair.up(),
        false => pair.settle(),
    }
    Subject { end: pair.relay, now: pair.now, closed: false }
}

fn play_on_agent(acts: &[Act], logged_in: bool) -> Subject<AgentEnd> {
    let mut subject = agent(logged_in);
    for act in acts {
        subject.closed &= !act.opens();
        act.on_agent(&mut subject.end, &mut subject.now);
        if act.is_polite() {
            subject.drain();
        }
    }
    subject.drain();
    subject
}

/// After anything at all, an honest relay and one dial are enough.
fn repair_agent(subject: Subject<AgentEnd>) {
    let stopped = subject.end.machine.poll_timeout().is_none();
    let (agent, now) = (subject.end, subject.now);
    if stopped {
        // Only an end that no dial can mend is final.
        let last = agent.downs().last().map(|(reason, at)| (reason.retry(), *at));
        assert!(
            matches!(last, Some((Retry::Never, None))),
            "an agent that does nothing and says nothing: {:?}",
            agent.events.last()
        );
        return;
    }
    let mut agent = agent;
    agent.events.retain(|event| !matches!(event, AgentEvent::Stream(_)));
    let mut pair = Pair::of(agent, RelayEnd::new(session_config(), [9; 32]), WireConfig::default(), [9; 32]);
    pair.now = now;
    // The old transport, whatever is left of it, ends.
    pair.agent.machine.handle_close(Close::abnormal("lost"), now);
    carry_a_stream(&mut pair);
}

fn carry_a_stream(pair: &mut Pair<AgentEnd, RelayEnd>) {
    let end = pair.now + Duration::from_secs(200);
    let up = pair.run_until(end, |pair| pair.agent.machine.is_up() && pair.relay.is_up());
    assert!(up, "never up again: {:?}", pair.agent.events.last());
    let now = pair.now;
    let id = pair.relay.session().open(&opening("web"), now).expect("room");
    assert_eq!(write(pair.relay.session(), id, b"honest", now), 6);
    pair.run(Duration::from_millis(200));
    let (theirs, _) = pair.agent.opened().pop().expect("announced");
    assert_eq!(read(&mut pair.agent.machine, theirs, pair.now), (b"honest".to_vec(), Outcome::Open));
}

fn play_on_session(acts: &[Act], logged_in: bool) -> Subject<RelayEnd> {
    let mut subject = session(logged_in);
    for act in acts {
        act.on_session(subject.end.session(), &mut subject.now);
        if act.is_polite() {
            subject.drain();
        }
    }
    subject.drain();
    subject
}

fn cases() -> ProptestConfig {
    // PROPTEST_CASES overrides it.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn an_agent_survives_anything_and_comes_back(acts in acts(), logged_in: bool) {
        repair_agent(play_on_agent(&acts, logged_in));
    }

    #[test]
    fn a_session_survives_anything_and_the_relay_serves_the_next_one(acts in acts(), logged_in: bool) {
        let mut subject = play_on_session(&acts, logged_in);
        let closings = subject.end.closings().len();
        prop_assert!(closings <= 1, "{closings} ends");
        let session = subject.end.session();
        session.handle_close(Close::abnormal("lost"), subject.now);
        subject.drain();
        prop_assert_eq!(subject.end.closings().len(), 1);
        prop_assert_eq!(subject.end.session().poll_timeout(), None);
        let mut pair = Pair::of(
            AgentEnd::new(agent_config(), [9; 32], Instant::ZERO), subject.end, WireConfig::default(), [9; 32],
        );
        pair.relay.events.clear();
        carry_a_stream(&mut pair);
    }
}
