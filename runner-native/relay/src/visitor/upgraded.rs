//! A visitor's or agent's connection after HTTP: whoever serves it gets it once the 101 was sent.

use smol::channel::{Receiver, Sender, bounded};

use crate::settings::UPGRADE_TIMEOUT;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::timeout::within;

/// Gives the connection away.
pub(crate) type UpgradeSender = Sender<Wire>;

/// The connection of a request that asks for another protocol: an extension of the request.
#[derive(Clone)]
pub(crate) struct OnUpgrade(Receiver<Wire>);

impl OnUpgrade {
    /// Both ends.
    pub(crate) fn new() -> (UpgradeSender, Self) {
        let (sender, receiver) = bounded(1);
        (sender, Self(receiver))
    }

    /// The connection, once the 101 is sent; `None` if it ended before, or [`UPGRADE_TIMEOUT`] passed.
    pub(crate) async fn completed(self) -> Option<Wire> {
        within(UPGRADE_TIMEOUT, self.0.recv()).await?.ok()
    }
}
