//! What `expose` says about the relay that it starts where none is named.

use std::net::Ipv4Addr;

use clap::Args;

use crate::embedded::OwnRelay;

#[derive(Args, Debug)]
#[command(next_help_heading = "Relay")]
pub(super) struct OwnRelayArgs {
    /// Without a relay: let the machines of this network visit, as a telephone
    ///
    /// The URL has a name that leads to the address of this machine in its network, or to the one named here, and is shown as a
    /// QR code. Everybody in that network can read what passes. The name is looked up in the public DNS (sslip.io); some routers
    /// refuse such answers, and then nobody gets there.
    #[arg(
        long,
        value_name = "IP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0.0.0.0",
        conflicts_with = "relay",
        env = "HVYM_TUNNEL_LAN",
        hide_env = true
    )]
    lan: Option<Ipv4Addr>,
}

impl OwnRelayArgs {
    /// At the usual port.
    pub(super) fn own_relay(&self) -> OwnRelay {
        OwnRelay { lan: self.lan, ..OwnRelay::default() }
    }
}
