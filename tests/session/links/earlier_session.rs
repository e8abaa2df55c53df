//! Links of a session that another one has followed.

use bytes::Bytes;
use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_tests::links::Process;

use super::{SECOND, assert_answered, ups, visit, with_links};

#[test]
fn a_goodbye_of_the_old_session_that_comes_late_does_not_end_the_new_one() {
    let mut net = with_links(2);
    let held = [visit(&mut net), visit(&mut net)];
    net.run(SECOND);
    let [first, second] = net.agent.attempts()[..] else { panic!("two links") };
    let drain = || {
        let json = r#"{"type":"drain","reason":"update","deadline_ms":60000}"#;
        Message::Text(Bytes::from_static(json.as_bytes()))
    };
    net.processes[0].is_closed = true;
    net.processes.push(Process::default());
    net.agent.machine.handle_message_from(first, drain(), net.now);
    let moved = net.run_until(net.now + SECOND * 10, |net| net.processes[1].session().is_some());
    net.run(SECOND);
    assert!(moved && ups(&net) == 2, "{:?}", net.agent.events);
    net.agent.machine.handle_message_from(second, drain(), net.now);
    net.run(SECOND);
    let visited = visit(&mut net);
    let wanted = Message::Text(Bytes::from_static(br#"{"type":"links","wanted":2}"#));
    let third = net.agent.attempts()[2];
    net.agent.machine.handle_message_from(third, wanted, net.now);
    net.run(SECOND * 3);
    assert_eq!(ups(&net), 2, "the further link joins: {:?}", net.agent.events);
    let is_joined = |event: &AgentEvent| matches!(event, AgentEvent::Links(links) if *links > 2);
    assert!(net.agent.events.iter().any(is_joined), "{:?}", net.agent.events);
    [visited, held[0], held[1]].into_iter().for_each(|visit| assert_answered(&mut net, visit));
    assert!(net.agent.downs().is_empty(), "{:?}", net.agent.events);
}
