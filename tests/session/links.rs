//! Several links for one session: further ones join, old ones drain, and the loss of one costs its streams alone.

mod earlier_session;
mod growth;
mod limits;
mod walk;

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::{AgentConfig, AgentEvent};
use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::mux::OpenError;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::SessionEvent;
use hvym_tunnel_tests::ends::{Outcome, agent_config, finish, session_config};
use hvym_tunnel_tests::links::{Net, Process, Visit};
use hvym_tunnel_tests::pair::Dials;
use hvym_tunnel_tests::wire::WireConfig;

const SECOND: Duration = Duration::from_secs(1);
const HI: &[u8] = b"through the tunnel and back";

fn config() -> AgentConfig {
    AgentConfig { max_links: 8, ..agent_config() }
}

fn net() -> Net {
    let mut net = Net::new(config(), session_config(), WireConfig::default(), [7; 32]);
    net.up(1);
    net
}

/// The relay says so on the link that carries control messages.
fn relay_says(net: &mut Net, json: &'static str) {
    net.agent.machine.handle_message(Message::Text(Bytes::from_static(json.as_bytes())), net.now);
}

fn with_links(links: usize) -> Net {
    let mut net = net();
    net.run(SECOND);
    let json = format!(r#"{{"type":"links","wanted":{links}}}"#);
    net.agent.machine.handle_message(Message::Text(json.into()), net.now);
    net.up(links);
    net
}

fn visit(net: &mut Net) -> Visit {
    net.visit(HI).expect("room")
}

/// The service answers, and the visitor has all of it.
fn assert_answered(net: &mut Net, visit: Visit) {
    net.run(SECOND);
    net.serve();
    net.run(SECOND);
    assert_eq!(net.read(visit).0, HI, "the whole answer");
}

fn ups(net: &Net) -> usize {
    net.agent.events.iter().filter(|event| matches!(event, AgentEvent::Up(_))).count()
}

fn end(net: &mut Net, visit: Visit) {
    let now = net.now;
    finish(net.session_of(visit), visit.id, now);
    net.run(SECOND);
    net.serve();
    net.run(SECOND);
    assert_eq!(net.read(visit).1, Outcome::Finished);
}

#[test]
fn a_change_of_network_moves_new_streams_to_another_link_before_the_old_one_ends() {
    let mut net = net();
    let before = visit(&mut net);
    net.run(SECOND);
    net.agent.machine.network_changed(net.now);
    net.up(2);
    let after = visit(&mut net);
    assert_ne!(before.id.session(), after.id.session(), "another link");
    assert_answered(&mut net, after);
    assert_answered(&mut net, before);
    assert_eq!(net.open_sockets(), 2, "the old link carries what it began");
    end(&mut net, before);
    net.run(SECOND);
    assert_eq!(net.open_sockets(), 1);
    assert_eq!((net.agent.downs().len(), ups(&net)), (0, 1), "{:?}", net.agent.events);
    assert_eq!(net.agent.bound(), ["web", "api"], "nothing is bound anew");
    let later = visit(&mut net);
    assert_answered(&mut net, later);
}

#[test]
fn a_dead_network_costs_no_more_than_its_own_streams_when_it_changed() {
    let mut net = net();
    let lost = visit(&mut net);
    net.agent.machine.network_changed(net.now);
    net.up(2);
    let stream = visit(&mut net);
    assert!(net.cut(0), "the old link");
    net.run(SECOND);
    assert!(matches!(net.read(lost).1, Outcome::Broken(_)));
    net.run(SECOND);
    assert_answered(&mut net, stream);
    assert!(net.agent.downs().is_empty());
}

#[test]
fn a_relay_that_goes_away_is_left_for_its_successor_without_losing_a_stream() {
    let mut net = net();
    let before = visit(&mut net);
    net.run(SECOND);
    net.processes[0].is_closed = true;
    net.processes.push(Process::default());
    let now = net.now;
    net.session().expect("up").drain("update", SECOND * 60, now);
    let moved = net.run_until(now + SECOND * 10, |net| net.processes[1].session().is_some());
    assert!(moved, "{:?}", net.agent.events);
    net.run(SECOND);
    let after = visit(&mut net);
    assert_answered(&mut net, after);
    assert_answered(&mut net, before);
    end(&mut net, before);
    net.run(SECOND);
    // The relay may still send visitors to it, so the relay ends it.
    let now = net.now;
    net.processes[0].session().expect("left to the relay").shutdown(DownReason::GoingAway, now + SECOND, now);
    net.run(SECOND);
    assert!(net.processes[0].hosted[0].closed().is_some(), "the old session is over");
    assert_eq!((net.agent.downs().len(), ups(&net)), (0, 2), "{:?}", net.agent.events);
    assert_eq!(net.agent.bound(), ["web", "api", "web", "api"], "bound at both");
    assert_eq!(net.processes[1].hosted.len(), 1, "one login was enough");
}

#[test]
fn a_successor_that_is_late_is_dialled_until_it_is_there() {
    let mut net = net();
    let before = visit(&mut net);
    net.processes[0].is_closed = true;
    let now = net.now;
    net.session().expect("up").drain("update", SECOND * 60, now);
    net.run(SECOND * 3);
    assert!(net.agent.machine.is_up() && net.agent.downs().is_empty(), "{:?}", net.agent.events);
    net.processes.push(Process::default());
    assert!(net.run_until(now + SECOND * 10, |net| net.processes[1].session().is_some()));
    assert_answered(&mut net, before);
    assert!(net.agent.downs().is_empty());
}

#[test]
fn a_link_that_joins_nothing_begins_a_session_where_it_is_needed() {
    let mut net = net();
    let before = visit(&mut net);
    net.run(SECOND);
    // The same name leads to another machine now, which nobody announced.
    net.processes.push(Process::default());
    net.agent.machine.network_changed(net.now);
    let now = net.now;
    assert!(net.run_until(now + SECOND * 10, |net| net.processes[1].session().is_some()));
    let refused = net.processes[1].hosted[0].closed();
    assert!(matches!(refused, Some(DownReason::UnknownSession(_))), "{refused:?}");
    net.run(SECOND);
    let after = visit(&mut net);
    assert_answered(&mut net, after);
    assert_answered(&mut net, before);
    assert_eq!((net.agent.downs().len(), ups(&net)), (0, 2));
}

#[test]
fn further_links_share_new_streams_and_the_loss_of_one_costs_its_streams_alone() {
    let mut net = with_links(3);
    let visits: Vec<Visit> = (0..6).map(|_| visit(&mut net)).collect();
    let mut links: Vec<u32> = visits.iter().map(|visit| visit.id.session()).collect();
    links.sort_unstable();
    assert_eq!(links, [0, 0, 1, 1, 2, 2], "even");
    net.run(SECOND);
    assert!(net.cut(1));
    net.run(SECOND);
    for visit in &visits {
        let is_lost = matches!(net.read(*visit).1, Outcome::Broken(_));
        assert_eq!(is_lost, visit.id.session() == 1, "{visit:?}");
    }
    net.serve();
    net.run(SECOND);
    for visit in visits.iter().filter(|visit| visit.id.session() != 1) {
        assert_eq!(net.read(*visit).0, HI);
    }
    assert!(net.agent.downs().is_empty());
    let told = net.processes[0].hosted[0].events.iter();
    assert!(told.clone().all(|event| !matches!(event, SessionEvent::Closed(_))));
    let links = told.filter_map(|event| match event {
        SessionEvent::Links(links) => Some(*links),
        _ => None,
    });
    assert_eq!(links.collect::<Vec<_>>(), [2, 3, 2], "streams are woken");
}

#[test]
fn a_session_ends_with_its_last_link() {
    let mut net = with_links(2);
    assert!(net.cut(0));
    net.run(SECOND);
    assert!(net.processes[0].hosted[0].closed().is_none() && net.agent.machine.is_up());
    net.dials = Dials::Hang;
    assert!(net.cut(0));
    net.run(SECOND);
    assert!(net.processes[0].hosted[0].closed().is_some());
    assert_eq!(net.agent.downs().len(), 1, "{:?}", net.agent.events);
}

#[test]
fn a_relay_allows_so_many_links_and_one_that_replaces_another() {
    for (limit, wanted) in [(1, 1), (2, 2), (8, 8), (100, 8)] {
        let relay = hvym_tunnel_core::relay::SessionConfig { max_links: limit, ..session_config() };
        let mut net = Net::new(config(), relay, WireConfig::default(), [7; 32]);
        net.up(1);
        relay_says(&mut net, r#"{"type":"links","wanted":4294967295}"#);
        net.run(SECOND * 10);
        assert_eq!(net.agent.machine.links(), wanted, "{limit}");
        let stream = visit(&mut net);
        net.run(SECOND);
        net.agent.machine.network_changed(net.now);
        net.run(SECOND * 5);
        let after = visit(&mut net);
        assert_ne!(after.id.session(), stream.id.session(), "{limit}");
        assert_answered(&mut net, stream);
        assert!(net.agent.downs().is_empty(), "{limit}");
    }
}

#[test]
fn nobody_joins_a_session_of_another_identity_or_by_a_wrong_name_or_beyond_the_limit() {
    let mut net = with_links(8);
    let unknown = |outcome: Result<(), DownReason>| match outcome {
        Err(DownReason::UnknownSession(text)) => text,
        other => panic!("{other:?}"),
    };
    let mine = agent_config().login.identity;
    let other = hvym_tunnel_tests::keys::Key::from_seed([9; 32]).address();
    let name = net_name(&net);
    let session = net.session().expect("up");
    assert_eq!(session.may_join(mine, &name), Ok(()), "one that replaces another");
    assert!(unknown(session.may_join(other, &name)).contains("no such session"));
    assert!(unknown(session.may_join(mine, "another")).contains("no such session"));
    assert!(unknown(session.may_join(mine, "")).contains("no such session"));
    net.agent.machine.network_changed(net.now);
    let now = net.now;
    let nine = net.run_until(now + SECOND, |net| net.session().is_some_and(|session| session.links() == 9));
    assert!(nine);
    let session = net.session().expect("up");
    assert!(unknown(session.may_join(mine, &name)).contains("all the links"));
}

/// What the relay calls the agent's session.
fn net_name(net: &Net) -> String {
    let name = net.agent.events.iter().find_map(|event| match event {
        AgentEvent::Up(endpoint) => endpoint.terms.session.clone(),
        _ => None,
    });
    name.expect("a session")
}

#[test]
fn an_agent_that_goes_away_finishes_every_stream_that_the_relay_has_opened() {
    let mut net = net();
    let early = visit(&mut net);
    net.run(SECOND);
    net.agent.machine.drain(SECOND * 300, net.now);
    net.settle();
    // The relay does not know yet: it opens streams until it hears of it.
    let late: Vec<Visit> = (0..20).map(|_| visit(&mut net)).collect();
    net.run(SECOND);
    let refused = net.visit(HI).expect_err("the agent goes away");
    assert!(matches!(refused, OpenStreamError::Refused(OpenError::Draining)));
    assert!(!net.session().expect("up").takes_streams());
    let told = |event: &SessionEvent| matches!(event, SessionEvent::GoingAway);
    assert!(net.processes[0].hosted[0].events.iter().any(told));
    for visit in late.into_iter().chain([early]) {
        assert!(net.agent.machine.is_up(), "a stream is left");
        assert_answered(&mut net, visit);
        end(&mut net, visit);
    }
    net.run(SECOND);
    let downs = net.agent.downs();
    assert_eq!(downs, [(&DownReason::Finished, None)]);
    assert_eq!((net.open_sockets(), net.agent.machine.poll_timeout()), (0, None));
    assert!(net.processes[0].hosted[0].closed().is_some());
}

#[test]
fn an_agent_that_goes_away_waits_no_longer_than_it_said() {
    let mut net = net();
    let stream = visit(&mut net);
    net.run(SECOND);
    let began = net.now;
    net.agent.machine.drain(SECOND * 30, began);
    assert!(!net.run_until(began + SECOND * 29, |net| !net.agent.machine.is_up()));
    assert!(net.run_until(began + SECOND * 30, |net| !net.agent.machine.is_up()));
    net.run(SECOND);
    assert_eq!(net.agent.downs(), [(&DownReason::Finished, None)]);
    assert!(matches!(net.read(stream).1, Outcome::Broken(_)));
}

#[test]
fn an_agent_without_streams_goes_away_within_two_round_trips() {
    let mut net = with_links(2);
    let began = net.now;
    net.agent.machine.drain(SECOND * 30, began);
    let latency = net.wire.latency;
    assert!(net.run_until(began + latency * 4, |net| net.agent.downs().len() == 1));
    assert_eq!(net.agent.downs(), [(&DownReason::Finished, None)]);
}

#[test]
fn a_drain_of_an_agent_that_has_no_link_ends_it_at_once() {
    let mut net = Net::new(config(), session_config(), WireConfig::default(), [7; 32]);
    net.dials = Dials::Hang;
    net.settle();
    net.agent.machine.drain(SECOND * 30, net.now);
    net.settle();
    assert_eq!(net.agent.downs(), [(&DownReason::Finished, None)]);
    assert_eq!(net.agent.machine.poll_timeout(), None);
}

#[test]
fn a_link_that_the_relay_wants_replaced_is_used_until_it_is() {
    let mut net = net();
    net.dials = Dials::Hang;
    relay_says(&mut net, r#"{"type":"drain","reason":"few ids","deadline_ms":1000,"scope":"link"}"#);
    net.run(SECOND);
    let before = visit(&mut net);
    assert_answered(&mut net, before);
    net.dials = Dials::Succeed;
    net.up(2);
    let after = visit(&mut net);
    assert_ne!(before.id.session(), after.id.session());
    end(&mut net, before);
    net.run(SECOND);
    assert_eq!((net.open_sockets(), ups(&net)), (1, 1));
}

#[test]
fn a_session_that_dies_while_its_next_link_logs_in_is_followed_by_another() {
    let mut net = net();
    net.agent.machine.network_changed(net.now);
    net.settle();
    assert_eq!(net.open_sockets(), 2, "it logs in");
    assert!(net.cut(0));
    net.run(SECOND * 5);
    assert!(net.agent.machine.is_up(), "{:?}", net.agent.events);
    let stream = visit(&mut net);
    assert_answered(&mut net, stream);
}

#[test]
fn the_end_of_a_replaced_session_does_not_end_the_agent() {
    let mut net = net();
    let stream = visit(&mut net);
    net.run(SECOND);
    net.processes.push(Process::default());
    net.agent.machine.network_changed(net.now);
    net.run(SECOND * 2);
    assert!(net.processes[1].session().is_some());
    let now = net.now;
    net.session_of(stream).refuse(DownReason::Replaced, now);
    net.run(SECOND);
    assert!(net.agent.machine.is_up() && net.agent.downs().is_empty());
    // Of the session in use it does.
    net.session().expect("up").refuse(DownReason::Replaced, now);
    net.run(SECOND);
    assert_eq!(net.agent.downs(), [(&DownReason::Replaced, None)]);
}

#[test]
fn an_agent_with_one_socket_keeps_it_until_it_ends() {
    let config = AgentConfig { max_links: 1, ..config() };
    let mut net = Net::new(config, session_config(), WireConfig::default(), [7; 32]);
    net.up(1);
    net.agent.machine.network_changed(net.now);
    relay_says(&mut net, r#"{"type":"links","wanted":8}"#);
    relay_says(&mut net, r#"{"type":"drain","reason":"update","deadline_ms":1000}"#);
    net.run(SECOND * 5);
    assert_eq!((net.agent.attempts().len(), net.open_sockets()), (1, 1));
}

#[test]
fn a_failed_dial_for_more_links_changes_nothing() {
    let mut net = net();
    net.run(SECOND);
    net.dials = Dials::Fail;
    relay_says(&mut net, r#"{"type":"links","wanted":3}"#);
    net.run(SECOND * 60);
    assert_eq!(net.agent.attempts().len(), 2, "tried once");
    net.agent.machine.handle_message(Message::Text(Bytes::from_static(b"{")), net.now);
    net.run(SECOND);
    assert!(!net.agent.downs().is_empty(), "the link itself may end as ever");
    net.agent.machine.handle_close(Close::abnormal("late"), net.now);
}

#[test]
fn an_agent_whose_last_link_is_replaced_while_it_logs_in_again_carries_on() {
    let mut net = net();
    let old = net.agent.machine.main_socket().expect("a link is up");
    relay_says(&mut net, r#"{"type":"drain","reason":"update","deadline_ms":1000}"#);
    net.run(Duration::from_millis(1));
    let attempts = net.agent.attempts();
    assert_eq!(attempts.len(), 2, "it logs in to another session");
    net.agent.machine.handle_close_from(old, Close::new(4009, "replaced"), net.now);
    net.up(1);
    assert_eq!((ups(&net), net.agent.attempts()), (2, attempts), "by the login that was under way");
}
