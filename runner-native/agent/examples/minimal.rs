//! Exposes a port of this machine: `cargo run --example minimal -- wss://relay.example 3000`

use std::error::Error;
use std::time::Duration;

use hvym_tunnel_agent::{Agent, AgentEvent, Identity, ServiceSpec};
use hvym_tunnel_net::runtime::Runtime;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(relay), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("give the URL of a relay and a local port".into());
    };
    let runtime = Runtime::new()?;
    let agent = Agent::builder(Identity::generate()?)
        .relay(relay.parse()?)
        .service(ServiceSpec::new("web".parse()?, port.parse()?))
        .start(runtime.handle())?;
    runtime.block_on(async {
        let events = agent.events();
        while let Some(event) = events.next().await {
            match event {
                AgentEvent::Online { services } => println!("{}", services[0].url),
                AgentEvent::Request(request) => println!("{} {}", request.status, request.target),
                AgentEvent::Disconnected { reason, retry_in, .. } => {
                    eprintln!("{reason}; again in {} s", retry_in.as_secs());
                }
                _ => {}
            }
        }
        agent.shutdown(Duration::from_secs(10)).await
    })?;
    Ok(())
}
