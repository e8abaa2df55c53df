//! A relay for the customers of a service: who may be an agent, and how much each may have, is looked up in the service's own accounts.
//!
//! `cargo run -p hvym-tunnel-examples --example custom_registry -- GCUSTOMER...`

use std::collections::BTreeMap;
use std::sync::RwLock;

use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_relay::{Admission, Decision, Refusal, Registry, Relay, RelayEvent};

type Error = Box<dyn std::error::Error>;

/// What a customer has paid for.
#[derive(Copy, Clone)]
pub(crate) struct Plan {
    pub(crate) services: usize,
    pub(crate) requests_per_second: u32,
}

/// The accounts. A real service would ask its database here; a decision may wait for five seconds.
#[derive(Default)]
pub(crate) struct Accounts(RwLock<BTreeMap<Address, Plan>>);

impl Accounts {
    pub(crate) fn put(&self, customer: Address, plan: Plan) {
        self.0.write().expect("no writer panics").insert(customer, plan);
    }
}

impl Registry for Accounts {
    fn admit(&self, agent: Address) -> Decision<'_, Admission> {
        Box::pin(async move {
            let plan = self.0.read().expect("no writer panics").get(&agent).copied();
            let plan = plan.ok_or_else(|| Refusal("open an account first".to_owned()))?;
            let admission = Admission::default().with_max_services(Some(plan.services));
            Ok(admission.with_rate(Some(plan.requests_per_second)))
        })
    }

    fn may_offer(&self, _agent: &Address, service: &str) -> Result<(), Refusal> {
        match service {
            "admin" => Err(Refusal("this name is ours".to_owned())),
            _ => Ok(()),
        }
    }
}

fn main() -> Result<(), Error> {
    let accounts = Accounts::default();
    for customer in std::env::args().skip(1) {
        accounts.put(customer.parse()?, Plan { services: 2, requests_per_second: 100 });
    }
    let runtime = Runtime::new()?;
    let relay = Relay::builder(Identity::generate()?).registry(accounts).start(runtime.handle())?;
    println!("agents dial {}", relay.urls().1);
    let events = relay.events();
    runtime.block_on(async {
        while let Some(event) = events.next().await {
            match event {
                RelayEvent::AgentJoined { owner, url, .. } => println!("{owner} is at {url}"),
                RelayEvent::AgentLeft { owner, reason, .. } => println!("{owner} has left: {reason}"),
                _ => {}
            }
        }
    });
    Ok(())
}
