//! `forward`: what a person types to reach the service of another identity.

use std::net::SocketAddr;

use clap::Args;

use super::Output;
use super::identity::{IdentityRole, SourceArgs};
use crate::exit::{EXIT_CODES, ExitError};
use crate::forward::ForwardOptions;
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_net::key::Source;
use hvym_tunnel_net::target::ServiceAddress;
use hvym_tunnel_relay::config::listen_address;

const AFTER: &str = "\
Examples:
    hvym-tunnel forward GOWNER.../web --relay tunnel.example
    hvym-tunnel forward GOWNER.../db 5432 --relay tunnel.example
    psql -h 127.0.0.1 -p 5432

The place to connect to stands alone on the first line of standard output. Your
own address, which the owner allows with --allow, is what hvym-tunnel identity
says. Be another identity than the one that exposes the service.";

/// Reach the service of another identity at a port of this machine
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct ForwardArgs {
    /// Whose service: the owner's address, a slash, the service's name
    #[arg(value_name = "ADDRESS/SERVICE")]
    to: ServiceAddress,
    /// Where to take local connections: a port of this machine alone, or IP:port
    ///
    /// Whoever can connect there is you, to the owner.
    #[arg(value_name = "LISTEN", value_parser = listen_address, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(flatten)]
    link: LinkSettings,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl ForwardArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, ForwardOptions), ExitError> {
        let source = self.source.source(IdentityRole::Agent);
        let options = ForwardOptions { link: self.link, to: self.to, listen: self.listen };
        options.check()?;
        Ok((source, options))
    }
}
