//! A relay of the agent's own, for somebody who named none: on this machine, for this machine.
//!
//! It is the same relay as any other, and the agent trusts it no more than its address deserves.

use hvym_tunnel_core::stellar::Address;

use crate::exit::{Exit, ExitError};
use hvym_tunnel_net::config::KeepaliveSettings;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_net::target::RelayUrl;
use hvym_tunnel_relay::{Relay, RelayHandle};

/// A relay that lives as long as the agent does.
pub(crate) struct Embedded {
    relay: RelayHandle,
}

/// Starts a relay on `port`, or on a free one if that is 0, with an identity that nobody will see again. Unless `reaching`,
/// its agents do not reach services of each other: what is exposed here is for visitors alone.
///
/// # Errors
/// No entropy, or a port that is taken.
pub(crate) fn start(keepalive: KeepaliveSettings, port: u16, reaching: bool) -> Result<Embedded, ExitError> {
    let identity =
        Identity::generate().map_err(|error| ExitError::new(Exit::Unexpected, error.to_string()))?;
    let relay = Relay::builder(identity).reaching(reaching).with_options(|options| {
        options.keepalive = keepalive;
        options.ingress.listen.set_port(port);
    });
    Ok(Embedded { relay: relay.start(&RuntimeHandle::current())? })
}

impl Embedded {
    /// Where agents dial it.
    pub(crate) fn url(&self) -> RelayUrl {
        let at = self.relay.local_addr();
        let path = RelayUrl::DEFAULT_PATH.to_owned();
        RelayUrl { tls: false, host: at.ip().to_string(), port: at.port(), path }
    }

    /// Its identity.
    pub(crate) fn address(&self) -> Address {
        self.relay.address()
    }

    /// Ends it and everything on it.
    pub(crate) async fn stop(self) {
        self.relay.stop();
        self.relay.closed().await;
    }
}
