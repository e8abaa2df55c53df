//! The end of a run: after anything at all, an honest peer and one dial are enough.

use std::time::Duration;

use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::Close;
use hvym_tunnel_core::reason::Retry;
use hvym_tunnel_core::time::Instant;

use super::Trial;
use crate::ends::{AgentEnd, Outcome, RelayEnd, opening, read, write};
use crate::pair::Pair;
use crate::wire::WireConfig;

/// What a visitor of an older dialect asks, and how the service sees it.
const REQUEST: (&[u8], &[u8]) = (b"GET /honest HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /honest HTTP/1.1\r\n");

impl Trial {
    pub(super) fn repair(mut self) {
        self.drain(Side::Agent);
        self.drain(Side::Relay);
        match self.setup.subject {
            Side::Agent => self.repair_agent(),
            Side::Relay => self.repair_session(),
        }
    }

    fn repair_agent(mut self) {
        if self.agent.machine.poll_timeout().is_none() {
            // Only an end that no dial can mend is final.
            let last = self.agent.downs().last().map(|(reason, at)| (reason.retry(), *at));
            assert!(
                matches!(last, Some((Retry::Never, None))),
                "an agent that does nothing and says nothing: {:?}",
                self.agent.events.last()
            );
            return;
        }
        self.agent.events.retain(|event| !matches!(event, AgentEvent::Stream(_)));
        let mut relay = self.setup.relay();
        relay.declines = None;
        relay.config.login.allowed_services = None;
        let mut pair = Pair::of(self.agent, relay, WireConfig::default(), [9; 32]);
        pair.now = self.now;
        // The old transport, whatever is left of it, ends.
        pair.agent.machine.handle_close(Close::abnormal("lost"), self.now);
        carry_a_stream(&mut pair, self.setup.dialect().is_some());
    }

    fn repair_session(mut self) {
        assert!(self.relay.closings().len() <= self.relay.accepted as usize, "ends of sessions");
        self.retire_session();
        self.relay.config.login.allowed_services = None;
        let agent = self.setup.agent(Instant::ZERO);
        let mut pair = Pair::of(agent, self.relay, WireConfig::default(), [9; 32]);
        pair.relay.events.clear();
        carry_a_stream(&mut pair, self.setup.dialect().is_some());
    }
}

fn carry_a_stream(pair: &mut Pair<AgentEnd, RelayEnd>, is_request: bool) {
    let end = pair.now + Duration::from_secs(200);
    let up = pair.run_until(end, |pair| pair.agent.machine.is_up() && pair.relay.is_up());
    assert!(up, "never up again: {:?}", pair.agent.events.last());
    let now = pair.now;
    let id = pair.relay.session().open(&opening("web"), now).expect("room");
    let (sent, expected) = if is_request { REQUEST } else { (&b"honest"[..], &b"honest"[..]) };
    assert_eq!(write(pair.relay.session(), id, sent, now), sent.len());
    pair.run(Duration::from_millis(200));
    let (theirs, _) = pair.agent.opened().pop().expect("announced");
    let (heard, outcome) = read(&mut pair.agent.machine, theirs, pair.now);
    if is_request {
        assert!(heard.starts_with(expected), "{:?}", String::from_utf8_lossy(&heard));
    } else {
        assert_eq!((&*heard, outcome), (expected, Outcome::Open));
    }
}
