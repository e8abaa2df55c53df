//! A visitor's or agent's connection after HTTP: what is left of it once the upgrade is done.

use std::io;

use hyper::upgrade::{OnUpgrade, Upgraded};

use crate::http1::request_guard::RequestGuard;
use crate::http1::rewind::Rewind;
use crate::settings::UPGRADE_TIMEOUT;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::timeout::within;

/// The connection of an upgrade, once the 101 is flushed.
///
/// # Errors
/// The connection ended before, or [`UPGRADE_TIMEOUT`] passed.
pub(crate) async fn completed(upgrade: OnUpgrade) -> io::Result<Upgraded> {
    let upgraded = within(UPGRADE_TIMEOUT, upgrade).await.ok_or(io::ErrorKind::TimedOut)?;
    upgraded.map_err(io::Error::other)
}

/// The connection of a visitor or agent below HTTP, with the bytes that HTTP read ahead put back.
pub(crate) fn reclaim(upgraded: Upgraded) -> Wire {
    match upgraded.downcast::<Io<RequestGuard>>() {
        Ok(parts) => {
            let (wire, ahead) = parts.io.0.into_parts();
            let wire = Rewind::put_back(ahead, wire);
            Rewind::put_back(parts.read_buf, wire)
        }
        Err(upgraded) => Wire::Boxed(Box::new(Io(upgraded))),
    }
}
