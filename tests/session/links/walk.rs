//! Anything may happen to the links, in any order; afterwards visitors are served as ever.

use std::time::Duration;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_tests::ends::session_config;
use hvym_tunnel_tests::links::{Net, Process};
use hvym_tunnel_tests::pair::Dials;
use hvym_tunnel_tests::wire::WireConfig;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{HI, SECOND, assert_answered, config, visit};

/// The relay wants one link replaced.
const LEAVE_LINK: &str = r#"{"type":"drain","reason":"few ids","deadline_ms":1000,"scope":"link"}"#;

fn act(net: &mut Net, act: u8, argument: u8) {
    let now = net.now;
    match act % 10 {
        0 => net.run(Duration::from_millis(u64::from(argument) * 10)),
        1 => net.run(Duration::from_millis(u64::from(argument) * 500)),
        2 => drop(net.visit(HI)),
        3 => net.serve(),
        4 => drop(net.cut(usize::from(argument % 4))),
        5 => net.agent.machine.network_changed(now),
        6 => {
            net.dials = [Dials::Succeed, Dials::Succeed, Dials::Fail, Dials::Hang][usize::from(argument % 4)]
        }
        7 => super::relay_says(net, r#"{"type":"links","wanted":5}"#),
        8 => {
            // The relay is replaced by another process; the old one goes away in good order, or at once.
            net.processes.iter_mut().for_each(|process| process.is_closed = true);
            net.processes.push(Process::default());
            let sessions = net.processes.iter_mut().flat_map(|process| &mut process.hosted);
            for session in sessions.map(|hosted| &mut hosted.session).filter(|session| session.is_up()) {
                match argument % 3 {
                    0 => session.refuse(DownReason::GoingAway, now),
                    1 => session.drain("update", SECOND * 10, now),
                    _ => {}
                }
            }
        }
        _ => super::relay_says(net, LEAVE_LINK),
    }
    net.settle();
    let links = net.session().map_or(0, |session: &mut Session| session.links());
    assert!(links <= 9, "{links} links at one session");
    assert!(net.agent.machine.links() <= 9 * net.processes.len(), "more links than sessions allow");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_anything_at_all_visitors_are_served_again(acts in vec(any::<(u8, u8)>(), 0..40)) {
        let mut net = Net::new(config(), session_config(), WireConfig::default(), [7; 32]);
        net.settle();
        for (kind, argument) in acts {
            act(&mut net, kind, argument);
        }
        net.dials = Dials::Succeed;
        // Sessions of processes that are gone end with what is under way there.
        let end = net.now + SECOND * 120;
        net.run(SECOND * 90);
        let is_back = |net: &mut Net| net.agent.machine.is_up() && net.session().is_some();
        prop_assert!(net.run_until(end, is_back), "{:?}", net.agent.events.last());
        prop_assert!(net.agent.downs().iter().all(|(_, retry_at)| retry_at.is_some()));
        let stream = visit(&mut net);
        assert_answered(&mut net, stream);
    }
}
