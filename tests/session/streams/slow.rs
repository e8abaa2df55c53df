//! A link whose socket takes little: much waits to be sent, and the answer to a ping waits behind it.

use std::time::Duration;

use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_tests::ends::{
    AgentEnd, RelayEnd, agent_config, opening, pair_with, read, session_config, write,
};
use hvym_tunnel_tests::pair::Pair;
use hvym_tunnel_tests::wire::WireConfig;

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// Downloads side by side, from an agent with an uplink of `rate` bytes a second, whose socket and path hold `room`.
struct Downloads {
    pair: Pair<AgentEnd, RelayEnd>,
    ours: Vec<StreamId>,
    theirs: Vec<StreamId>,
    arrived: usize,
}

impl Downloads {
    fn start(streams: usize, rate: u64, room: usize) -> Self {
        let wire = WireConfig { rate: Some(rate), room, ..WireConfig::default() };
        let mut pair = pair_with(agent_config(), session_config(), wire, [7; 32]);
        pair.up();
        let now = pair.now;
        let open = |_| pair.relay.session().open(&opening("web"), now).expect("room");
        let ours = (0..streams).map(open).collect();
        pair.run(5 * SECOND);
        let theirs = pair.agent.opened().into_iter().map(|(id, _)| id).collect();
        Self { pair, ours, theirs, arrived: 0 }
    }

    /// Both applications do what they can, and time passes.
    fn step(&mut self, time: Duration) {
        for id in &self.theirs {
            while write(&mut self.pair.agent.machine, *id, &[0; PIECE], self.pair.now) > 0 {}
        }
        self.pair.run(time);
        let now = self.pair.now;
        for id in &self.ours {
            self.arrived += read(self.pair.relay.session(), *id, now).0.len();
        }
    }
}

#[test]
fn a_download_over_a_slow_uplink_keeps_its_link_however_long_it_takes() {
    // 256 kbit/s with little and with much queued in the socket and on the path, and 1 Mbit/s with many downloads.
    for (streams, rate, room, total) in [
        (1, 32_000, 128 * 1024, 6 * MIB),
        (1, 32_000, 512 * 1024, 6 * MIB),
        (64, 125_000, 512 * 1024, 10 * MIB),
    ] {
        let mut downloads = Downloads::start(streams, rate, room);
        let start = downloads.pair.now;
        while downloads.arrived < total {
            downloads.step(SECOND / 4);
            let downs = downloads.pair.agent.downs();
            assert!(downs.is_empty(), "{streams} streams, after {:?}: {downs:?}", downloads.pair.now - start);
        }
        let seconds = (downloads.pair.now - start).as_secs();
        assert!(seconds <= total as u64 / rate * 11 / 10 + 10, "{streams} streams took {seconds} s");
    }
}

#[test]
fn an_agent_whose_socket_takes_nothing_any_more_gives_its_link_up() {
    let mut downloads = Downloads::start(1, 32_000, 128 * 1024);
    for _ in 0..240 {
        downloads.step(SECOND / 4);
    }
    // The relay stops, and so do its acknowledgements: what the socket holds is all that it takes.
    downloads.pair.stopped = Some(Side::Relay);
    let stopped_at = downloads.pair.now;
    let given_up = |pair: &mut Pair<AgentEnd, RelayEnd>| !pair.agent.downs().is_empty();
    assert!(downloads.pair.run_until(stopped_at + 21 * SECOND, given_up));
    assert_eq!(downloads.pair.agent.downs()[0].0, &DownReason::Silent);
}
