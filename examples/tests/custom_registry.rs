//! The example of a registry: customers are let in as far as their plans go, strangers are not.

#[allow(dead_code, reason = "its main function is for the command line")]
#[path = "../examples/custom_registry.rs"]
mod custom_registry;

use std::time::Duration;

use custom_registry::{Accounts, Plan};
use hvym_tunnel_agent::{Agent, AgentEvent, AgentHandle, Identity, RelayUrl, ServiceSpec};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_relay::Relay;

const PATIENCE: Duration = Duration::from_secs(20);

fn spec(name: &str) -> ServiceSpec {
    ServiceSpec::new(name.parse().expect("a name"), "3000".parse().expect("a target"))
}

/// The service that the relay has not taken, and its reason.
fn refused(runtime: &Runtime, agent: &AgentHandle) -> (String, String) {
    let events = agent.events();
    loop {
        let event = runtime.block_on(within(PATIENCE, events.next())).expect("an event");
        if let AgentEvent::ServiceRefused { service, message, .. } = event.expect("the agent runs") {
            return (service, message);
        }
    }
}

#[test]
fn customers_are_let_in_as_far_as_their_plans_go() {
    let runtime = Runtime::new().expect("threads");
    let [relay, customer, stranger] = [(); 3].map(|()| Identity::generate().expect("randomness"));
    let accounts = Accounts::default();
    accounts.put(customer.address(), Plan { services: 1, requests_per_second: 9 });
    let listen = "127.0.0.1:0".parse().expect("an address");
    let relay = Relay::builder(relay).listen(listen).registry(accounts).start(runtime.handle());
    let relay = relay.expect("a free port");
    let (at, path) = (relay.local_addr(), RelayUrl::DEFAULT_PATH.to_owned());
    let url = RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path };

    let agent = Agent::builder(stranger).relay(url.clone()).service(spec("web")).start(runtime.handle());
    let ended = runtime.block_on(within(PATIENCE, agent.expect("it starts").closed())).expect("it ends");
    assert!(ended.expect_err("it is not let in").to_string().contains("open an account first"));

    let agent = Agent::builder(customer).relay(url).service(spec("web")).start(runtime.handle());
    let agent = agent.expect("it starts");
    let online = runtime.block_on(within(PATIENCE, agent.events().next())).expect("an event");
    assert!(matches!(online, Some(AgentEvent::Online { .. })), "{online:?}");
    agent.add_service(spec("admin")).expect("it runs");
    assert_eq!(refused(&runtime, &agent), ("admin".to_owned(), "this name is ours".to_owned()));
    agent.add_service(spec("api")).expect("it runs");
    assert_eq!(refused(&runtime, &agent).0, "api", "its plan has one service");

    assert!(runtime.block_on(within(PATIENCE, agent.shutdown(PATIENCE))).expect("it ends").is_ok());
    relay.stop();
    runtime.block_on(relay.closed());
}
