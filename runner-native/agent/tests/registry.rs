//! A relay whose registry decides who may be an agent, and what it may offer.

use std::time::Duration;

use hvym_tunnel_agent::event::AgentEvent;
use hvym_tunnel_agent::{Agent, Identity, RelayUrl, ServiceSpec};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_relay::{Admission, AuditKind, Decision, Refusal, Registry, Relay, RelayEvent};

const LIMIT: Duration = Duration::from_secs(20);

/// Knows one agent, which may offer one service.
struct OneAgent(Address);

impl Registry for OneAgent {
    fn admit(&self, agent: Address) -> Decision<'_, Admission> {
        let is_known = agent == self.0;
        Box::pin(async move {
            if is_known { Ok(Admission::default()) } else { Err(Refusal("not on the list".to_owned())) }
        })
    }

    fn may_offer(&self, _agent: &Address, service: &str) -> Result<(), Refusal> {
        if service == "web" { Ok(()) } else { Err(Refusal(format!("{service} is not yours to offer"))) }
    }
}

fn spec(name: &str) -> ServiceSpec {
    ServiceSpec::new(name.parse().expect("a name"), "3000".parse().expect("a target"))
}

#[test]
fn a_registry_decides_who_may_be_an_agent_and_what_it_may_offer() {
    let runtime = Runtime::new().expect("threads");
    let [relay, known, stranger] = [(); 3].map(|()| Identity::generate().expect("randomness"));
    let relay = Relay::builder(relay).registry(OneAgent(known.address()));
    let relay = relay.start(runtime.handle()).expect("a free port");
    let (at, path) = (relay.local_addr(), RelayUrl::DEFAULT_PATH.to_owned());
    let url = RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path };

    let refused = Agent::builder(stranger).relay(url.clone()).service(spec("web"));
    let refused = refused.start(runtime.handle()).expect("it starts");
    let ended = runtime.block_on(within(LIMIT, refused.closed())).expect("it ends");
    let error = ended.expect_err("it is not let in").to_string();
    assert!(error.contains("not on the list"), "{error}");

    let owner = known.address();
    let audited = runtime.block_on(within(LIMIT, relay.events().next())).expect("an event");
    assert!(
        matches!(&audited, Some(RelayEvent::Audit(record))
            if record.kind == AuditKind::LoginRefused && record.detail.contains("not on the list")),
        "{audited:?}"
    );

    let agent = Agent::builder(known).relay(url).service(spec("web")).service(spec("admin"));
    let agent = agent.start(runtime.handle()).expect("it starts");
    let events = agent.events();
    let (mut online, mut declined) = (None, None);
    while online.is_none() || declined.is_none() {
        match runtime.block_on(within(LIMIT, events.next())).expect("an event").expect("the agent runs") {
            AgentEvent::Online { services } => online = Some(services.len()),
            AgentEvent::ServiceRefused { service, message, .. } => declined = Some((service, message)),
            _ => {}
        }
    }
    assert_eq!(online, Some(1));
    let text = "admin is not yours to offer".to_owned();
    assert_eq!(declined, Some(("admin".to_owned(), text)));
    let joined = loop {
        let event = runtime.block_on(within(LIMIT, relay.events().next())).expect("an event");
        if !matches!(event, Some(RelayEvent::Audit(_))) {
            break event;
        }
    };
    assert!(
        matches!(&joined, Some(RelayEvent::AgentJoined { owner: joined, .. }) if *joined == owner.into()),
        "{joined:?}"
    );
    assert!(runtime.block_on(within(LIMIT, agent.shutdown(LIMIT))).expect("it ends").is_ok());
    runtime.block_on(relay.shutdown(LIMIT));
    assert!(runtime.shutdown(LIMIT));
}
