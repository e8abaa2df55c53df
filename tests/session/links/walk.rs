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

/// Whether visitors are served after `acts`.
fn is_back_after(acts: &[(u8, u8)]) -> Result<(), String> {
    let mut net = Net::new(config(), session_config(), WireConfig::default(), [7; 32]);
    net.settle();
    for (kind, argument) in acts {
        act(&mut net, *kind, *argument);
    }
    net.dials = Dials::Succeed;
    // Sessions of processes that are gone end with what is under way there.
    let end = net.now + SECOND * 120;
    net.run(SECOND * 90);
    let is_back = |net: &mut Net| net.agent.machine.is_up() && net.session().is_some();
    if !net.run_until(end, is_back) || net.agent.downs().iter().any(|(_, retry_at)| retry_at.is_none()) {
        return Err(format!("{:?}", net.agent.events.last()));
    }
    let stream = visit(&mut net);
    assert_answered(&mut net, stream);
    Ok(())
}

#[test]
fn the_end_of_a_link_that_was_being_replaced_is_not_the_end_of_the_agent() {
    // Five links; one is cut, one has a surplus, one is to be replaced, and those that were to stay are cut.
    for cuts in 1..5 {
        for first in 0..4 {
            let mut acts = vec![(7, 0), (1, 88), (4, 0), (1, 153), (9, 0)];
            acts.extend((0..cuts).map(|at| (4, first + at)));
            assert_eq!(is_back_after(&acts), Ok(()), "{acts:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_anything_at_all_visitors_are_served_again(acts in vec(any::<(u8, u8)>(), 0..40)) {
        let outcome = is_back_after(&acts);
        prop_assert_eq!(outcome, Ok(()));
    }
}
