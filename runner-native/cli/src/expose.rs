//! `expose`: an agent, and a relay of its own beside it if none was named.

use hvym_tunnel_agent::Place;
use hvym_tunnel_agent::config::ExposeOptions;
use hvym_tunnel_net::exit::Failure;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::report::{Report, Reporter};
use hvym_tunnel_net::signals::StopSignals;

use crate::embedded;

/// Exposes local services until a person, or the relay, ends it.
///
/// # Errors
/// Why it ended, unless a person asked for it after visitors could come.
pub(crate) async fn run(
    identity: Identity,
    options: ExposeOptions,
    reporter: Reporter,
    signals: StopSignals,
) -> Result<(), Failure> {
    let named = options.link.relay.clone().map(|url| Place { url, address: options.link.relay_address });
    let (keepalive, port) = (options.link.keepalive, options.own_relay_port);
    let mut own = None;
    let place = || match named {
        Some(place) => Ok(place),
        None => {
            let relay = own.insert(embedded::start(keepalive, port)?);
            let place = relay.place();
            reporter.tell(&Report::OwnRelay { relay: place.url.to_string() });
            Ok(place)
        }
    };
    let outcome = hvym_tunnel_agent::run(identity, options, place, reporter.clone(), signals).await;
    if let Some(own) = own {
        own.stop().await;
    }
    outcome?;
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    Ok(())
}
