//! `relay`: runs a relay until a person ends it, and tells that person what happens.

use std::pin::pin;
use std::sync::Arc;

use crate::exit::ExitError;
use crate::report::{Report, Reporter};
use crate::signals::{DRAIN_LIMIT, ReloadSignals, Stop, StopSignals};
use futures_util::future::{Either, select};
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_relay::config::RelayOptions;
use hvym_tunnel_relay::{Relay, RelayEvent, RelayHandle};

/// Runs a relay until a person ends it.
///
/// # Errors
/// It could not start.
pub(crate) async fn run(
    identity: Identity,
    options: RelayOptions,
    reporter: Reporter,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    let address = identity.address();
    let seals = options.guests.seal;
    let mut builder = Relay::builder(address).options(options).observer(Arc::new(Reports(reporter.clone())));
    if seals {
        // Whoever breaks into a relay finds no key in it, unless it has to seal messages.
        builder = builder.sealer(Arc::new(identity));
    }
    let relay = builder.start(&RuntimeHandle::current())?;
    // Without files to read again the signal means what it always means: the terminal is gone. It is heard before anybody
    // is told that the relay runs, or it would end a relay that has just begun.
    let mut reloads = relay.has_files().then(ReloadSignals::new).and_then(Result::ok);
    let (url, agent_url) = relay.urls();
    let listen = relay.local_addr().to_string();
    reporter.tell(&Report::Listening { url, relay: agent_url, address, listen });
    if until_stop(&relay, &mut signals, &mut reloads).await == Stop::Drain {
        let reason = "as asked".to_owned();
        reporter.tell(&Report::Draining { reason, deadline: DRAIN_LIMIT });
        relay.drain(DRAIN_LIMIT);
        if let Either::Right(_) = select(pin!(relay.closed()), pin!(signals.next())).await {
            tracing::info!("asked again: stopping at once");
        }
    }
    relay.stop();
    relay.closed().await;
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    Ok(())
}

/// Waits for the end, and reads certificate and keys again on SIGHUP meanwhile.
async fn until_stop(
    relay: &RelayHandle,
    signals: &mut StopSignals,
    reloads: &mut Option<ReloadSignals>,
) -> Stop {
    loop {
        let Some(reloads) = reloads else { return signals.next().await };
        match select(pin!(signals.next()), pin!(reloads.next())).await {
            Either::Left((stop, _)) => return stop,
            Either::Right(_) => relay.reload(),
        }
    }
}

/// Tells a person what happens at a relay.
struct Reports(Reporter);

impl Observer<RelayEvent> for Reports {
    fn handle_event(&self, event: &RelayEvent) {
        let report = match event.clone() {
            RelayEvent::AgentJoined { owner, url, peer } => {
                Report::AgentJoined { who: owner.into(), url, peer: peer.to_string() }
            }
            RelayEvent::AgentLeft { owner, reason } => {
                Report::AgentLeft { who: owner.into(), reason: reason.to_string() }
            }
            RelayEvent::Keys(Ok(())) => Report::KeysLoaded,
            RelayEvent::Keys(Err(error)) => Report::KeysKept { message: error.to_string() },
            RelayEvent::Certificate(Ok(())) => Report::CertificateLoaded,
            RelayEvent::Certificate(Err(error)) => Report::CertificateKept { message: error.to_string() },
            // Something that this program has no words for.
            _ => return,
        };
        self.0.tell(&report);
    }
}
